"""Looking through what would leave for faces and plates, and following a box that the owner drew; in a child with limits.

Five pictures a second are looked at, as they are displayed; where nothing moves since the last look, its findings stand. The
times are those by which a clip's areas are covered, over all recordings of a cut (`clip.ClipPass` shows the pictures).
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import av
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.clip import ClipPass, Cut
from fairwitness.kit.video.faces import Faces, Found
from fairwitness.kit.video.masks import turn_of
from fairwitness.kit.video.networks import SIDE, Picture
from fairwitness.kit.video.plates import Plates
from fairwitness.kit.video.regions import LEAST, MAX_TRACKS, Box, Key, Track, check
from fairwitness.kit.video.tracks import Joiner, Proposal, ordered, simpler
from fairwitness.kit.video.worker import child_lines, cut_in, cut_out

PACE: Final = 0.2
"""Seconds between two pictures that are looked at."""
FOLLOWED_S: Final = 60
"""So far a drawn box is followed, to either side."""
_LARGEST: Final = 1920  # pixels of a picture's longest side that is kept for looking
_STILL: Final = 160  # pixels of one that is compared with the last
_BLOCK: Final = 8
_MOVED: Final = 5.0  # levels by which one block changes where something moved
_GREY: Final = 480  # pixels of the longest side of pictures in which a box is followed
_POINTS: Final = 60
_FEWEST: Final = 6
_BACK_AND_FORTH: Final = 1.5  # pixels that a point may be off when it is followed back
_LIKE: Final = 0.35  # correlation with what the box held last, below which it is lost

type Say = Callable[[dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a look is: `at` seconds on the clip's scale, and what was followed to its end since the last word."""

    at: float
    found: tuple[Proposal, ...]


def find(
    cut: Cut, *, seconds: int, cancelled: Callable[[], bool] | None = None, side: int = SIDE, pace: float = PACE
) -> Iterator[Progress]:
    """Look through a cut for faces and plates; yield now and then how far it is. Raises as `worker.pass_to_spool`.

    The first word has the time of the first picture and nothing found.
    """
    job: dict[str, object] = {"do": "look", "look": "regions", "cut": cut_out(cut), "side": side, "pace": pace, "nice": 10}
    for message in child_lines(job, seconds=seconds, cancelled=cancelled):
        found = tuple(Proposal(str(one["kind"]), check([one["track"]])[0], float(one["score"])) for one in message["found"])
        yield Progress(float(message["at"]), found)


def follow(cut: Cut, at: float, box: Box, *, seconds: int = 120, cancelled: Callable[[], bool] | None = None) -> Track:
    """Follow what a box holds `at` a time, forth and back, as far as it can be seen. Raises as `worker.pass_to_spool`."""
    begin = {"at": at, "box": [box.x, box.y, box.width, box.height]}
    job: dict[str, object] = {"do": "look", "look": "regions", "cut": cut_out(cut), "follow": begin, "nice": 5}
    track: Track | None = None
    for message in child_lines(job, seconds=seconds, cancelled=cancelled):
        (track,) = check([message["track"]])
    if track is None:
        raise ProtocolError("region.lost", "there is no picture at this moment")
    return track


# -- the child -----------------------------------------------------------------------------------------------------------


def serve(job: dict[str, Any], say: Say) -> None:
    """Look or follow in the child."""
    import cv2  # noqa: PLC0415 - the parent has no use for it

    cv2.setNumThreads(2)
    cv2.ocl.setUseOpenCL(False)
    cut = cut_in(job["cut"])
    if "follow" in job:
        eye = _Hand(float(job["follow"]["at"]), Box(*job["follow"]["box"]))
        _run(cut, eye.see)
        say({"track": eye.track()})
        return
    seeker = _Seeker(int(job["side"]), float(job["pace"]), say)
    _run(cut, seeker.see)
    seeker.end()


class _EnoughError(Exception):
    """Nothing more has to be seen."""


def _run(cut: Cut, see: Callable[[float, av.VideoFrame], None]) -> None:
    try:
        for _chunk in ClipPass(cut, see=see):
            raise RuntimeError("a look makes nothing")
    except _EnoughError:
        return


def _displayed(frame: av.VideoFrame, side: int, form: str) -> Picture:
    """Return a picture as it is displayed, its longest side at most `side`."""
    import numpy as np  # noqa: PLC0415

    scale = min(1.0, side / max(frame.width, frame.height))
    width, height = (max(round(edge * scale / 2) * 2, 16) for edge in (frame.width, frame.height))
    stored = frame.reformat(width=width, height=height, format=form).to_ndarray()
    return np.ascontiguousarray(np.rot90(stored, -turn_of(frame) // 90))


class _Seeker:
    """Looks at pictures at the pace, joins what it finds."""

    def __init__(self, side: int, pace: float, say: Say) -> None:
        self._finders = (Faces(side), Plates(side))
        self._joiners = tuple(Joiner(finder.kind, finder.grow) for finder in self._finders)
        self._found: tuple[list[Found], ...] = ([], [])
        self._pace, self._say = pace, say
        self._due: float | None = None
        self._last: Picture | None = None
        self._at = 0.0
        self._count = 0

    def see(self, at: float, frame: av.VideoFrame) -> None:
        """Look at one picture if it is due."""
        if self._due is None:
            self._due = at
            self._say({"at": at, "found": []})
        if at < self._due - self._pace / 8:
            return
        self._due = max(self._due + self._pace, at + self._pace / 2)
        picture = _displayed(frame, _LARGEST, "bgr24")
        if self._changed(picture):
            self._found = tuple(finder.find(picture) for finder in self._finders)
        over = [one for joiner, found in zip(self._joiners, self._found, strict=True) for one in joiner.add(at, found)]
        self._at = at
        self._tell(over)

    def end(self) -> None:
        """Tell what was there to the end."""
        self._tell([one for joiner in self._joiners for one in joiner.end()])

    def _tell(self, over: list[Proposal]) -> None:
        self._count += len(over)
        if self._count > MAX_TRACKS:
            raise ProtocolError("region.count", f"more than {MAX_TRACKS} faces and plates", hint="trim the clip")
        self._say({"at": self._at, "found": [{"kind": p.kind, "track": p.track, "score": p.score} for p in over]})

    def _changed(self, picture: Picture) -> bool:
        """Tell whether anything moved since the last picture that was looked at; noise and a change of light do, too."""
        import cv2  # noqa: PLC0415

        scale = _STILL / max(picture.shape[:2])
        small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        last, self._last = self._last, small
        if last is None or last.shape != small.shape:
            return True
        difference = cv2.absdiff(small, last)
        rows, columns = (max(edge // _BLOCK, 1) for edge in difference.shape)
        blocks = cv2.resize(difference, (columns, rows), interpolation=cv2.INTER_AREA)
        if float(blocks.max()) >= _MOVED:
            return True
        self._last = last  # slow changes add up
        return False


class _Hand:
    """Follows one box through grey pictures, forth from a moment and back from it."""

    def __init__(self, at: float, box: Box) -> None:
        self._moment, self._box = at, box
        self._before: deque[tuple[float, Picture]] = deque(maxlen=round(FOLLOWED_S / PACE * 2))
        self._keys: list[Key] = []
        self._now: tuple[float, Picture] | None = None
        self._here = box
        self._due: float | None = None

    def see(self, at: float, frame: av.VideoFrame) -> None:
        """Keep one picture, or follow into it; ten a second are enough."""
        if self._due is not None and at < self._due - PACE / 16:
            return
        self._due = at + PACE / 2
        grey = _displayed(frame, _GREY, "gray")
        if at < self._moment - PACE / 4:
            self._before.append((at, grey))
            return
        if self._now is None:
            self._start(at, grey)
            return
        onward = _step(self._now[1], grey, self._here)
        if onward is None or at - self._moment > FOLLOWED_S:
            raise _EnoughError
        self._here, self._now = onward, (at, grey)
        self._keys.append(_key(at, onward))

    def _start(self, at: float, grey: Picture) -> None:
        self._now = (at, grey)
        self._keys.append(_key(at, self._box))
        here, picture = self._box, grey
        for earlier, one in reversed(self._before):
            back = _step(picture, one, here)
            if back is None or at - earlier > FOLLOWED_S:
                break
            here, picture = back, one
            self._keys.append(_key(earlier, back))
        self._before.clear()

    def track(self) -> list[Key]:
        """Return where it was; one place alone where it could not be followed."""
        if not self._keys:
            raise ProtocolError("region.lost", "there is no picture at this moment")
        return simpler(ordered(self._keys))


def _key(at: float, box: Box) -> Key:
    x, y = min(max(box.x, 0.0), 1 - 2 * LEAST), min(max(box.y, 0.0), 1 - 2 * LEAST)
    right, bottom = min(box.x + box.width, 1.0), min(box.y + box.height, 1.0)
    return (round(at, 3), x, y, max(right - x, 2 * LEAST), max(bottom - y, 2 * LEAST))


def _step(one: Picture, two: Picture, box: Box) -> Box | None:
    """Return where the contents of a box in one picture are in the next; None where they are lost or left the picture."""
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    if one.shape != two.shape:
        return None
    high, wide = one.shape
    left, top = int(max(box.x * wide, 0)), int(max(box.y * high, 0))
    right, bottom = int(min((box.x + box.width) * wide + 1, wide)), int(min((box.y + box.height) * high + 1, high))
    if right - left < 6 or bottom - top < 6:
        return None
    inside = np.zeros_like(one)
    inside[top:bottom, left:right] = 255
    points = cv2.goodFeaturesToTrack(one, _POINTS, 0.01, 3, mask=inside)
    if points is None or len(points) < _FEWEST:
        return None
    how: dict[str, Any] = {"winSize": (21, 21), "maxLevel": 4}
    there, seen, _ = cv2.calcOpticalFlowPyrLK(one, two, points, points.copy(), **how)
    back, again, _ = cv2.calcOpticalFlowPyrLK(two, one, there, points.copy(), **how)
    good = (seen.ravel() == 1) & (again.ravel() == 1) & (abs(back - points).reshape(-1, 2).max(axis=1) <= _BACK_AND_FORTH)
    if int(good.sum()) < _FEWEST:
        return None
    a, b = points.reshape(-1, 2)[good], there.reshape(-1, 2)[good]
    shift = np.median(b - a, axis=0)
    spread = [np.linalg.norm(p - np.median(p, axis=0), axis=1) for p in (a, b)]
    far = spread[0] > 2
    scale = float(np.clip(np.median(spread[1][far] / spread[0][far]), 0.9, 1.1)) if far.any() else 1.0
    width, height = box.width * scale, box.height * scale
    x = box.x + box.width / 2 + float(shift[0]) / wide - width / 2
    y = box.y + box.height / 2 + float(shift[1]) / high - height / 2
    if not (-width / 2 < x < 1 - width / 2 and -height / 2 < y < 1 - height / 2):
        return None
    part = one[top:bottom, left:right]
    over = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]], np.float32)
    moved = cv2.warpAffine(two, over, (wide, high))[top:bottom, left:right]
    if float(cv2.matchTemplate(moved, part, cv2.TM_CCOEFF_NORMED)[0, 0]) < _LIKE:
        return None
    return Box(x, y, width, height)
