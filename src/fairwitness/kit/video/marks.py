"""Where something moved in a recording, and what of it looked like a person: figures for each moment, no picture and no identity.

Decoding is the cost, so as little as possible is decoded: key frames alone where they are close enough, else what other pictures
refer to; of that, three pictures a second are looked at, made small. Covered areas are black before anything looks at them.
"""

import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import av.error
from av.video.stream import VideoStream
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.masks import Polygon, blocks, check, turn_of
from fairwitness.kit.video.source import open_source, picture_stream
from fairwitness.kit.video.worker import child_lines

if TYPE_CHECKING:
    import numpy as np

    type Picture = np.ndarray[Any, Any]

PACE: Final = 1 / 3
"""Seconds between two pictures that are looked at."""
_PATIENCE: Final = 20
_CLOSE: Final = 0.7  # seconds between key frames that suffice
_SMALL: Final = 320  # longest side, for motion
_LARGE: Final = 640  # for persons
_PIXELS: Final = 64_000_000
_ERRORS: Final = 500
_FIRST: Final = 12  # pictures whose median is the first background
_BATCH: Final = 32
_LEARNING: Final = 0.02
_VARIANCE: Final = 30.0
_LEAST: Final = 0.0012  # of the picture: what is smaller is a leaf or an insect
_WHOLE: Final = 0.45  # of the picture: more than that is the light, or the camera was moved
_STEP: Final = 12  # levels between two looks that are a change
_WEIGHT: Final = 0.4  # of the detector for persons; below it most findings are none


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, `at` seconds from the first picture: the part of the picture that moved, and the best person, each 0..1."""

    at: float
    motion: float
    person: float


def samples(
    path: Path,
    masks: tuple[Polygon, ...],
    *,
    seconds: int,
    cancelled: Callable[[], bool],
    spent: Callable[[float], None],
) -> Iterator[Sample]:
    """Yield looks at a recording, made in a child with limits and the lowest priority; `spent` hears its processor time.

    `seconds` bounds its processor time; at the lowest priority it may take many times as long. Raises
    ProtocolError `clip.*`, also `clip.cancelled`.
    """
    job: dict[str, object] = {"do": "look", "look": "marks", "path": str(path.absolute()), "masks": masks, "nice": 19}
    job |= {"cpu": seconds}
    for message in child_lines(job, seconds=seconds * _PATIENCE, cancelled=cancelled):
        spent(float(message["cpu"]))
        for row in message["samples"]:
            yield Sample(*row)


# -- the child -----------------------------------------------------------------------------------------------------------


def serve(path: Path, job: dict[str, Any], say: Callable[[dict[str, object]], None]) -> None:
    """Look through one recording in the child."""
    import cv2  # noqa: PLC0415 - the parent has no use for it

    cv2.setNumThreads(1)
    cv2.ocl.setUseOpenCL(False)
    masks = check(job["masks"])
    found = _looks(path, masks)
    while rows := [[one.at, round(one.motion, 4), round(one.person, 3)] for one in islice(found, _BATCH)]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        say({"samples": rows, "cpu": used.ru_utime + used.ru_stime})


def _looks(path: Path, masks: tuple[Polygon, ...]) -> Iterator[Sample]:
    eye: _Eye | None = None
    first: list[tuple[float, av.VideoFrame]] = []
    turn = 0
    for at, frame, turn in _pictures(path, turned=bool(masks)):
        if eye is not None:
            yield eye.look(at, frame)
            continue
        first.append((at, frame))
        if len(first) == _FIRST:
            eye = _Eye(masks, [one for _at, one in first], turn)
            yield from (eye.look(time, one) for time, one in first)
    if eye is None and first:
        eye = _Eye(masks, [one for _at, one in first], turn)
        yield from (eye.look(time, one) for time, one in first)


def _key_frames_suffice(path: Path) -> bool:
    """Tell from the first packets, without decoding, whether key frames come often enough."""
    with open_source(path) as container:
        video = picture_stream(container)
        times = [
            float(packet.pts * packet.time_base)
            for packet in islice(container.demux(video), 400)
            if packet.is_keyframe and packet.pts is not None and packet.time_base
        ]
    return len(times) > 2 and max(b - a for a, b in pairwise(times)) <= _CLOSE


def _pictures(path: Path, *, turned: bool) -> Iterator[tuple[float, av.VideoFrame, int]]:
    """Yield (seconds from the first, small picture, its display turn) at the pace; what cannot be decoded is left out."""
    keys = _key_frames_suffice(path)
    with open_source(path) as container:
        video = picture_stream(container)
        if video.codec_context.width * video.codec_context.height > _PIXELS:
            raise ProtocolError("clip.pixels", "the pictures are too large")
        video.codec_context.thread_count = 1
        video.codec_context.skip_frame = "NONKEY" if keys else "NONREF"
        start: float | None = None
        due = 0.0
        for at, frame in _decoded(container, video):
            start = at if start is None else start
            if at - start < due - PACE / 8:
                continue
            due = max(due + PACE, at - start + PACE / 2)
            yield round(at - start, 3), _reduced(frame), turn_of(frame) if turned else 0


def _decoded(container: Any, video: VideoStream) -> Iterator[tuple[float, av.VideoFrame]]:
    rate = float(video.average_rate or video.guessed_rate or 25)
    errors = number = 0
    packets = container.demux(video)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            return
        except (av.error.FFmpegError, ValueError) as error:
            errors += 1
            if errors > _ERRORS:
                raise ProtocolError("clip.undecodable", "too much of the recording is damaged", evidence=str(error)) from error
            if isinstance(error, EOFError):
                return
            continue
        for frame in frames:
            number += 1
            yield (frame.time if frame.time is not None else number / rate), frame


def _reduced(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a grey copy that is small enough to keep."""
    if frame.width * frame.height > _PIXELS:
        raise ProtocolError("clip.pixels", "the pictures are too large")
    scale = min(1.0, _LARGE / max(frame.width, frame.height))
    width, height = (max(round(side * scale / 2) * 2, 16) for side in (frame.width, frame.height))
    return frame.reformat(width=width, height=height, format="gray")


class _Eye:
    """Looks at pictures one after the other, in the order of their times."""

    def __init__(self, masks: tuple[Polygon, ...], first: list[av.VideoFrame], turn: int) -> None:
        import cv2  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415

        self._size = (first[0].width, first[0].height)
        scale = min(1.0, _SMALL / max(self._size))
        self._little = (max(round(self._size[0] * scale), 8), max(round(self._size[1] * scale), 8))
        self._covered: Picture | None = None
        self._shade: Picture = np.zeros(self._little[::-1], np.bool_)
        if masks:
            covered = blocks(masks, *self._size, turn).repeat(2, axis=0).repeat(2, axis=1)
            self._covered = covered > 0
            self._shade = cv2.resize(covered, self._little, interpolation=cv2.INTER_AREA) > 0
        self._open = max(int((~self._shade).sum()), 1)
        self._ground = cv2.createBackgroundSubtractorMOG2(history=200, varThreshold=_VARIANCE, detectShadows=True)
        pictures = [self._small(self._large(one)) for one in first]
        self._learn(np.median(np.stack(pictures), axis=0).astype(np.uint8))
        self._last: Picture | None = None
        self._people = cv2.HOGDescriptor()
        self._people.setSVMDetector(np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))

    def look(self, at: float, frame: av.VideoFrame) -> Sample:
        """Return what moved in this picture since the last one, before a background that it stands out from."""
        import cv2  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415

        large = self._large(frame)
        small = self._even(self._small(large))
        changed = None if self._last is None else cv2.absdiff(small, self._last) > _STEP
        self._last = small
        front = np.asarray(self._ground.apply(small, None, _LEARNING) == 255, np.uint8)
        if changed is None:
            return Sample(at, 0.0, 0.0)
        if front.sum() > _WHOLE * self._open or changed.sum() > _WHOLE * self._open:
            self._learn(small)
            return Sample(at, 0.0, 0.0)
        front = cv2.morphologyEx(front, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        front = cv2.dilate(front, np.ones((5, 5), np.uint8))
        count, labels, stats, _centres = cv2.connectedComponentsWithStats(front)
        boxes = []
        moved = 0
        for label in range(1, count):
            x, y, width, height, area = (int(v) for v in stats[label])
            if area < max(_LEAST * self._open, 12) or int((changed & (labels == label)).sum()) < max(area * 0.04, 6):
                continue
            moved += area
            boxes.append((x, y, width, height))
        person = self._person(large, boxes) if boxes else 0.0
        return Sample(at, min(moved / self._open, 1.0), person)

    def _large(self, frame: av.VideoFrame) -> "Picture":
        import cv2  # noqa: PLC0415

        picture: Picture = frame.to_ndarray()
        if picture.shape[::-1] != self._size:
            picture = cv2.resize(picture, self._size)
        if self._covered is not None:
            picture = picture.copy()
            picture[self._covered] = 0
        return picture

    def _small(self, large: "Picture") -> "Picture":
        import cv2  # noqa: PLC0415

        return cv2.GaussianBlur(cv2.resize(large, self._little, interpolation=cv2.INTER_AREA), (5, 5), 0)

    def _learn(self, picture: "Picture") -> None:
        self._ground.apply(picture, None, 1.0)

    def _even(self, picture: "Picture") -> "Picture":
        """Take a change of the light out: the straight line that maps the background's levels to this picture's, undone."""
        import numpy as np  # noqa: PLC0415

        ground = self._ground.getBackgroundImage()
        x, y = (np.asarray(one[::4, ::4], np.float64).ravel() for one in (ground, picture))
        keep = ~self._shade[::4, ::4].ravel()
        x, y = x[keep], y[keep]
        if x.size < 16:
            return picture
        gain, shift = 1.0, float(np.median(y - x))
        for _ in range(2):
            near = abs(y - gain * x - shift) <= np.median(abs(y - gain * x - shift)) * 2.5 + 2
            if near.sum() < 16 or x[near].std() < 4:
                break
            gain, shift = (float(v) for v in np.polyfit(x[near], y[near], 1))
        if not 0.4 < gain < 2.5:
            return picture
        even: Picture = np.clip((picture - shift) / gain, 0, 255).astype(np.uint8)
        even[self._shade] = 0
        return even

    def _person(self, large: "Picture", boxes: list[tuple[int, int, int, int]]) -> float:
        """Return how sure the detector is of a person where something moved; 0 for none."""
        import cv2  # noqa: PLC0415

        scale = self._size[0] / self._little[0]
        best = 0.0
        for x, y, width, height in boxes:
            if height * scale < 24:
                continue
            margin = max(width, height) * scale * 0.4
            left, top = max(int(x * scale - margin), 0), max(int(y * scale - margin), 0)
            right, bottom = (
                min(int((x + width) * scale + margin), large.shape[1]),
                min(int((y + height) * scale + margin), large.shape[0]),
            )
            part: Picture = large[top:bottom, left:right]
            grow = max(72 / part.shape[1], 136 / part.shape[0], min(1.0, 160 / part.shape[0]))
            if grow > 5:
                continue
            part = cv2.resize(part, None, fx=grow, fy=grow)
            found, weights = self._people.detectMultiScale(part, winStride=(8, 8), padding=(8, 8), scale=1.08)
            for weight in list(weights)[: len(found)]:
                best = max(best, float(weight))
        return min(best / 2, 1.0) if best >= _WEIGHT else 0.0
