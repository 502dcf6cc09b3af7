"""Following a file while its recorder writes it, and handing its pictures on in pieces that a browser plays as they come.

H.264 is copied: nothing is decoded. Everything else is decoded and encoded, at most 1280 pixels wide. The child writes fragmented
MP4 of its own making into a folder, a new file with each file that it follows, all on one line of time, and a small `live.json`
beside them that says how far it is. It ends with the last viewer, when its parent ends it, or when nothing comes any more.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.encode import PictureEncoder
from fairwitness.kit.video.fmp4 import VIDEO_SCALE, Sample, VideoTrack, Writer
from fairwitness.kit.video.nal import Cleaner, ParameterSets, parameter_sets
from fairwitness.kit.video.source import picture_stream

STATE: Final = "live.json"
SIDE: Final = 1280
_STEP: Final = 0.1  # seconds between two looks at a file that grows
_PIECE: Final = VIDEO_SCALE // 2  # of pictures in one fragment at most: what a viewer waits for
_SILENT: Final = 20.0  # seconds without a new byte after which there is nothing to follow
_KEPT: Final = 2  # files that stay: the newest, and the one that viewers are still reading
_PIXELS: Final = 64_000_000


class Growing:
    """A file that another process writes, read as it grows; its end is where the writer has given it another name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = self.path.open("rb", buffering=0)
        self.waited = False  # all that was in the file when it was opened has been read

    def read(self, size: int) -> bytes:
        """Return what there is, waiting for it; nothing once the file is finished and read, or silent for too long."""
        silent = time.monotonic() + _SILENT
        while True:
            finished = not self.path.exists()
            data = self._handle.read(size)
            if data:
                return data
            if finished or time.monotonic() > silent:
                return b""
            self.waited = True
            time.sleep(_STEP)

    def close(self) -> None:
        """Close it."""
        self._handle.close()


class Following:
    """Puts pictures into files that viewers read."""

    def __init__(self, out: Path, say: Callable[[dict[str, object]], None]) -> None:
        self._out, self._say = out, say
        self._number = 0
        self._writer: Writer | None = None
        self._held: list[Sample] = []
        self._key = self._size = self._head = 0
        self._began = 0.0
        self._codec = ""
        self.end = 0  # of all pictures so far, in 1/90000 s

    def begin(self, track: VideoTrack, began: float) -> None:
        """Start a file; `began`: Unix seconds of its first picture less their own time."""
        self.flush()
        self._number += 1
        self._writer = Writer(track, None, 0.0)
        self._codec = "avc1." + track.record[1:4].hex()
        self._began, self._size, self._key = began, 0, 0
        head = self._writer.head()
        self._head = len(head)
        self._append(head, key=False)
        for old in self._out.glob("*.mp4"):
            if old.stem.isdecimal() and int(old.stem) <= self._number - _KEPT:
                old.unlink(missing_ok=True)

    def add(self, sample: Sample) -> None:
        """Take a picture; a key frame begins a fragment of its own."""
        if sample.sync or (self._held and sample.time - self._held[0].time >= _PIECE):
            self.flush()
        self._held.append(sample)
        self.end = sample.time + sample.length

    def flush(self) -> None:
        """Write what is held."""
        if self._held and self._writer is not None:
            self._append(self._writer.fragment(self._held, []), key=self._held[0].sync)
            self._held = []

    def _append(self, data: bytes, *, key: bool) -> None:
        with (self._out / f"{self._number}.mp4").open("ab") as file:
            file.write(data)
        if key:
            self._key = self._size
        self._size += len(data)
        if not self._key:
            return  # nobody can begin before the first key frame
        state = {
            "file": self._number,
            "size": self._size,
            "head": self._head,
            "key": self._key,
            "codec": self._codec,
            "began": self._began,
        }
        spare = self._out / f"{STATE}.tmp"
        spare.write_text(json.dumps(state))
        spare.replace(self._out / STATE)
        self._say({"size": self._size})


def serve(job: dict[str, Any], say: Callable[[dict[str, object]], None]) -> None:
    """Follow the files in the folder `path` in the child, until there are none."""
    parts, out = Path(job["path"]), Path(job["out"])
    following = Following(out, say)
    seen = ""
    idle = time.monotonic() + _SILENT
    while time.monotonic() < idle:
        newest = max((p for p in parts.glob("*.mp4") if p.stem.isdecimal() and p.stem > seen), key=lambda p: p.stem, default=None)
        if newest is None:
            time.sleep(_STEP)
            continue
        first, seen = not seen, newest.stem
        with suppress(FileNotFoundError, av.error.FFmpegError):
            _follow(newest, following, int(newest.stem) / 1000, first=first)
            idle = time.monotonic() + _SILENT
    following.flush()


def _follow(path: Path, following: Following, began: float, *, first: bool) -> None:
    source = Growing(path)
    # Nothing but what the recorder itself has written is read, from its start to its end; no other file or address is opened.
    options = {"protocol_whitelist": "none", "analyzeduration": "50000", "fpsprobesize": "0"}
    try:
        with av.open(source, "r", format="mov", options=options, buffer_size=1 << 14) as container:
            video = picture_stream(container)
            copied = video.codec_context.name == "h264"
            packets = _packets(container, video, source, behind=first)
            for sample in (_copied if copied else _converted)(video, packets, following, began):
                following.add(sample)
        following.flush()
    finally:
        source.close()


def _packets(container: InputContainer, video: VideoStream, source: Growing, *, behind: bool) -> Iterator[Any]:
    """Yield packets from a key frame on: with `behind` from the newest one that is in the file already."""
    held: list[Any] = []
    started = not behind
    keyed = False
    for packet in container.demux(video):
        if not packet.size or packet.dts is None or packet.pts is None:
            continue
        if packet.is_keyframe:
            held, keyed = [], True
        if not keyed:
            continue
        if started:
            yield packet
            continue
        held.append(packet)
        if source.waited:
            yield from held
            held, started = [], True
    yield from held


def _copied(video: VideoStream, packets: Iterator[Any], following: Following, began: float) -> Iterator[Sample]:
    sets = parameter_sets(video.codec_context.extradata)
    if sets is None:
        raise ProtocolError("clip.codec", "the stream does not say how its pictures are made")
    cleaner = Cleaner(sets)
    base = following.end
    zero: int | None = None
    for packet in packets:
        scale = packet.time_base * VIDEO_SCALE
        decoded, shown = int(packet.dts * scale), int(packet.pts * scale)
        if zero is None:
            zero = decoded
            _begin(video.codec_context.width, video.codec_context.height, sets, following, began + (zero - base) / VIDEO_SCALE)
        data = cleaner.clean(bytes(packet))
        if data:
            length = int((packet.duration or 0) * scale) or VIDEO_SCALE // 25
            yield Sample(base + decoded - zero, length, shown - decoded, sync=packet.is_keyframe, data=data)


def _converted(video: VideoStream, packets: Iterator[Any], following: Following, began: float) -> Iterator[Sample]:
    rate = video.average_rate or video.guessed_rate
    pace = Fraction(rate.numerator, rate.denominator) if rate and 1 <= rate <= 120 else Fraction(15)
    length = int(VIDEO_SCALE / pace)
    video.codec_context.thread_count = 2
    base = following.end
    zero: int | None = None
    encoder: PictureEncoder | None = None
    cleaner: Cleaner | None = None

    def taken(made: list[Any]) -> Iterator[Sample]:
        for one in made:
            data = b"" if cleaner is None else cleaner.clean(bytes(one))
            if data:
                yield Sample(base + (one.dts or 0), length, 0, sync=one.is_keyframe, data=data)

    for packet in packets:
        with suppress(av.error.InvalidDataError):
            for frame in packet.decode():
                if frame.pts is None or frame.width * frame.height > _PIXELS:
                    continue
                at = int(frame.pts * frame.time_base * VIDEO_SCALE)
                if encoder is None:
                    zero = at
                    encoder = PictureEncoder(frame, pace, max_side=SIDE)
                    sets = parameter_sets(encoder.extradata)
                    if sets is None:
                        raise RuntimeError("the encoder gave no parameter sets")
                    cleaner = Cleaner(sets)
                    _begin(encoder.width, encoder.height, sets, following, began + (zero - base) / VIDEO_SCALE)
                yield from taken(encoder.encode(frame, at - (zero or 0)))
    if encoder is not None:
        yield from taken(encoder.finish())


def _begin(width: int, height: int, sets: ParameterSets, following: Following, began: float) -> None:
    following.begin(VideoTrack(width, height, 0, (1, 1), sets.record()), began)
