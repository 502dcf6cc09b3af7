"""Stills of a recording: one picture at a time, or a strip of key frames. Decoded in a child, without a word of metadata."""

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream
from fairwitness_core.wire.errors import ProtocolError
from PIL import Image

from fairwitness.kit.video.source import open_source, picture_stream, seconds_of
from fairwitness.kit.video.worker import child_lines

MAX_SIDE: Final = 480
STRIP_SIDE: Final = 160
MAX_STRIP: Final = 30
_PIXELS: Final = 64_000_000
_PACKETS: Final = 600  # read at most for one still: a key frame every ten seconds at 60 pictures a second
_ERRORS: Final = 50
_QUALITY: Final = 75


@dataclass(frozen=True, slots=True)
class Strip:
    """A JPEG of `len(times)` tiles beside each other, each `width` x `height`; `times` in seconds from the first picture."""

    jpeg: bytes
    width: int
    height: int
    times: tuple[float, ...]


def thumb(path: Path, at: float, *, seconds: int = 30) -> bytes:
    """Return a JPEG of what a recording shows at `at` seconds, longest side 480. Raises ProtocolError `clip.*`, OSError."""
    return _ask(path, [at], MAX_SIDE, exact=True, seconds=seconds).jpeg


def strip(path: Path, count: int, *, seconds: int = 90) -> Strip:
    """Return up to `count` key frames (at most 30) from all over a recording. Raises ProtocolError `clip.*`, OSError."""
    if not 1 <= count <= MAX_STRIP:
        raise ProtocolError("clip.strip", f"a strip has 1 to {MAX_STRIP} pictures", evidence=str(count))
    return _ask(path, count, STRIP_SIDE, exact=False, seconds=seconds)


def _ask(path: Path, at: list[float] | int, side: int, *, exact: bool, seconds: int) -> Strip:
    job: dict[str, object] = {"do": "look", "look": "stills", "path": str(path.absolute()), "nice": 5}
    job |= {"at": at, "side": side, "exact": exact}
    found: Strip | None = None
    for message in child_lines(job, seconds=seconds):
        jpeg = base64.b64decode(message["jpeg"], validate=True)
        found = Strip(jpeg, message["width"], message["height"], tuple(message["times"]))
    if found is None:
        raise RuntimeError("the video worker ended without a picture")
    return found


# -- the child -----------------------------------------------------------------------------------------------------------


def serve(path: Path, job: dict[str, Any], say: Callable[[dict[str, object]], None]) -> None:
    """Make stills in the child."""
    tiles, times = _tiles(path, job, search=True)
    if not tiles:
        tiles, times = _tiles(path, job, search=False)  # a stream without times, where searching led nowhere
    if not tiles:
        raise ProtocolError("clip.undecodable", "no picture of this recording can be shown")
    width, height = tiles[0].size
    sheet = Image.new("RGB", (width * len(tiles), height))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number * width, 0))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=_QUALITY)
    say({"jpeg": base64.b64encode(out.getvalue()).decode(), "width": width, "height": height, "times": times})


def _tiles(path: Path, job: dict[str, Any], *, search: bool) -> tuple[list[Image.Image], list[float]]:
    tiles: list[Image.Image] = []
    times: list[float] = []
    with open_source(path) as container:
        video = picture_stream(container)
        if video.codec_context.width * video.codec_context.height > _PIXELS:
            raise ProtocolError("clip.pixels", "the pictures are too large")
        at = job["at"]
        places = at if isinstance(at, list) else _spread(seconds_of(container, video), at)
        for time, picture in _stills(container, video, places, exact=job["exact"], search=search):
            tile = _small(picture, job["side"])
            if not tiles or time != times[-1]:
                tiles.append(tile if not tiles else tile.resize(tiles[0].size))
                times.append(time)
    return tiles, times


def _spread(length: float | None, count: int) -> list[float]:
    return [0.0] if not length else [length * (number + 0.5) / count for number in range(count)]


def _stills(
    container: InputContainer, video: VideoStream, places: Sequence[float], *, exact: bool, search: bool
) -> Iterator[tuple[float, av.VideoFrame]]:
    base = float(video.time_base or 0) or 1 / 90_000
    origin = video.start_time or 0
    video.codec_context.skip_frame = "DEFAULT" if exact else "NONKEY"
    for place in places if search else places[:1]:
        try:
            if search:
                container.seek(origin + int(place / base), stream=video, backward=True)
        except (av.error.FFmpegError, OSError):
            if place > 0 and not exact:
                continue  # this container cannot be searched: the pictures that can be had are shown
        found = _picture(container, video, origin * base + place if exact else None)
        if found is not None:
            yield round(max(float(found.time or 0.0) - origin * base, 0.0), 3), found


def _picture(container: InputContainer, video: VideoStream, until: float | None) -> av.VideoFrame | None:
    """Return the first picture from here on or, up to the time `until` (seconds of the file), the last one."""
    last: av.VideoFrame | None = None
    errors = 0
    for number, packet in enumerate(container.demux(video)):
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            frames, errors = [], errors + 1
        for frame in frames:
            if frame.width * frame.height > _PIXELS:
                raise ProtocolError("clip.pixels", "the pictures are too large")
            if last is not None and until is not None and frame.time is not None and frame.time > until:
                return last
            last = frame
            if until is None or frame.time is None:
                return last
        if number > _PACKETS or errors > _ERRORS:
            break
    return last


def _small(frame: av.VideoFrame, side: int) -> Image.Image:
    """Return a picture as it is displayed, scaled to a longest side; never larger than it is."""
    scale = min(1.0, side / max(frame.width, frame.height))
    width, height = max(round(frame.width * scale), 1), max(round(frame.height * scale), 1)
    picture = Image.fromarray(frame.reformat(width=width, height=height, format="rgb24").to_ndarray())
    turn = -frame.rotation % 360
    return picture.transpose(_TURNS[turn]) if turn in _TURNS else picture


# Pillow turns the other way round.
_TURNS: Final = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
