"""What a recorder decides about a stream of packets, without touching one: times, cuts, names, pauses. No input or output."""

import re
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

JUMP_S: Final = 2.0
"""A camera's clock, or this machine's, that moves by more seconds than this between two packets breaks the stream."""
_WINDOW_S: Final = 60.0
DRIFT_AFTER_S: Final = 300.0
"""Drift is stated only after this many seconds: a jitter of 5 ms over less would read as a clock that is wrong."""
_NAME = re.compile(r"\d{4}-\d\d-\d\d/(\d{8}T\d{6}\.\d{3})Z_(\d{1,8})\.mp4")
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0


def name_of(start: int, end: int) -> str:
    """Return a segment's path inside its camera's folder; it says begin (UTC) and length, both to the millisecond."""
    at = datetime.fromtimestamp(start // 1000, UTC)
    return f"{at:%Y-%m-%d}/{at:%Y%m%dT%H%M%S}.{start % 1000:03d}Z_{end - start}.mp4"


def times_of(name: str) -> tuple[int, int] | None:
    """Return begin and end (ms UTC) out of a name that `name_of` made, else None."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        whole = datetime.strptime(match[1], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return None
    start = int(whole.timestamp()) * 1000 + whole.microsecond // 1000
    end = start + int(match[2])
    return (start, end) if end > start and name_of(start, end) == name else None


def pause(failures: int, draw: float) -> float:
    """Return seconds to wait before connecting again after `failures` in a row; `draw` in [0, 1) spreads several cameras."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE) * (0.75 + draw / 2)


@dataclass(slots=True)
class Stamps:
    """Makes one track's decode times complete and rising: cameras leave out the first ones and repeat some.

    No time is moved by more than it must be; without this a muxer drops the very key frame that a segment starts with.
    """

    last: int | None = None

    def fill(self, pts: int | None, dts: int | None) -> tuple[int, int]:
        """Return (pts, dts) for a packet, in the track's own units; at least one of the two must be known."""
        known = dts if dts is not None else pts
        if known is None:
            raise ValueError("a packet without any time has none to fill in")
        dts = known if self.last is None else max(known, self.last + 1)
        self.last = dts
        return (dts if pts is None else max(pts, dts)), dts


def backwards(first: int, step: int, count: int) -> list[int]:
    """Return times for `count` packets that came without one before a packet at `first`, `step` units apart."""
    return [first - step * (count - index) for index in range(count)]


@dataclass(slots=True)
class MediaClock:
    """Ties a camera's media time (seconds since anything) to this machine's clock (Unix seconds).

    Delays only ever make a packet late, so over a while the least late packet tells the true difference; the longer the
    watch, the better also the drift of the camera's clock against ours is known.
    """

    first: tuple[float, float] | None = None
    _recent: deque[tuple[float, float]] = field(default_factory=deque)  # (wall, difference), differences rising
    _began: float | None = None
    _last: tuple[float, float, float] | None = None

    def see(self, media: float, wall: float, steady: float) -> str:
        """Take a packet's time and arrival; return why nothing joins what came before (`stream`, `clock`), or "".

        `steady`: seconds of a clock that nobody sets. Media time that leaps is footage that was lost on the way.
        """
        if self._last is not None:
            step, passed, true = media - self._last[0], wall - self._last[1], steady - self._last[2]
            if abs(passed - true) > JUMP_S / 2:
                return "clock"
            if not -JUMP_S <= step <= JUMP_S:
                return "stream"
        self._last = (media, wall, steady)
        self._began = wall if self._began is None else self._began
        late = wall - media
        while self._recent and self._recent[-1][1] >= late:
            self._recent.pop()
        self._recent.append((wall, late))
        while self._recent[0][0] < wall - _WINDOW_S:
            self._recent.popleft()
        if self.first is None and wall - self._began >= _WINDOW_S:
            self.first = self._recent[0]
        return ""

    def wall(self, media: float) -> float:
        """Return the Unix seconds of the media time `media`. Raises ValueError before the first packet."""
        if not self._recent:
            raise ValueError("no packet was seen")
        return media + self._recent[0][1]

    def drift_ppm(self) -> int | None:
        """Return how much faster the camera's media clock runs than ours, in millionths; None while it is too early to say."""
        if self.first is None or self._last is None or self._last[1] - self.first[0] < DRIFT_AFTER_S:
            return None
        now, late = self._recent[0]
        passed = max(now - self.first[0], 1.0)
        return round((self.first[1] - late) / passed * 1e6)


@dataclass(frozen=True, slots=True)
class Cutter:
    """Decides where a segment ends: at the first key frame after `seconds`; after `longest` seconds wherever it is."""

    seconds: float
    longest: float

    def ends(self, started: float, at: float, *, key: bool) -> bool:
        """Tell whether the segment that began at media time `started` ends before the packet at `at`."""
        return at - started >= (self.seconds if key else self.longest)
