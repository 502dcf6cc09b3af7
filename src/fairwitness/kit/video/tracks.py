"""Joining boxes that were found in one picture after the other into tracks, by where they are. Nothing is recognised again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from fairwitness.kit.video.faces import Found
from fairwitness.kit.video.regions import LEAST, Key, Track

GAP: Final = 1.2
"""Seconds for which a thing may stay unfound until it is another one; in between it is covered in a straight line."""
_FAR: Final = 1.5  # of its own size: how far a thing may be from where it was expected
_ALIKE: Final = 3.0  # how much larger or smaller it may have become
_ONWARD: Final = 0.4  # seconds for which a thing goes on as it went before it was found first and after it was found last
_ONCE: Final = 0.4  # how sure a look must be of what no other look found
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Proposal:
    """Something found and followed: `kind` face or plate, where it is, and how sure the best look at it was."""

    kind: str
    track: Track
    score: float


@dataclass(slots=True)
class _Thing:
    kind: str
    keys: list[Key] = field(default_factory=list)  # as found, not made larger yet
    score: float = 0.0

    @property
    def last(self) -> Key:
        return self.keys[-1]

    @property
    def likely(self) -> bool:
        return len(self.keys) > 1 or self.score >= _ONCE

    def speed(self, end: int) -> tuple[float, float]:
        """Return how the middle moves at the beginning (0) or the end (-1), per second."""
        if len(self.keys) < 2:
            return 0.0, 0.0
        near = self.keys[:4] if end == 0 else self.keys[-4:]
        a, b = near[0], near[-1]
        span = max(b[0] - a[0], 1e-3)
        return ((b[1] + b[3] / 2) - (a[1] + a[3] / 2)) / span, ((b[2] + b[4] / 2) - (a[2] + a[4] / 2)) / span

    def expected(self, at: float) -> tuple[float, float]:
        vx, vy = self.speed(-1)
        passed = min(at - self.last[0], _ONWARD)
        return self.last[1] + self.last[3] / 2 + vx * passed, self.last[2] + self.last[4] / 2 + vy * passed

    def distance(self, at: float, one: Found) -> float | None:
        """Return how far a box is from where this thing is expected, in its own sizes; None where it cannot be this thing."""
        wide, high = max(self.last[3], one.width), max(self.last[4], one.height)
        smaller = min(self.last[3] * self.last[4], one.width * one.height)
        if wide * high > _ALIKE * max(smaller, 1e-9):
            return None
        x, y = self.expected(at)
        away = max(abs(one.x + one.width / 2 - x) / wide, abs(one.y + one.height / 2 - y) / high)
        return away if away <= _FAR else None


class Joiner:
    """Takes what was found in pictures in order of time, gives what was followed."""

    def __init__(self, kind: str, grow: tuple[float, float]) -> None:
        self._kind, self._grow = kind, grow
        self._open: list[_Thing] = []

    def add(self, at: float, found: Sequence[Found]) -> list[Proposal]:
        """Take one picture's boxes; return what ended before it."""
        pairs = sorted(
            (away, number, index)
            for number, thing in enumerate(self._open)
            for index, one in enumerate(found)
            if (away := thing.distance(at, one)) is not None
        )
        things, boxes = set(), set()
        for _away, number, index in pairs:
            if number not in things and index not in boxes:
                things.add(number)
                boxes.add(index)
                self._put(self._open[number], at, found[index])
        for index, one in enumerate(found):
            if index not in boxes:
                thing = _Thing(self._kind)
                self._put(thing, at, one)
                self._open.append(thing)
        over = [thing for thing in self._open if at - thing.last[0] > GAP]
        self._open = [thing for thing in self._open if at - thing.last[0] <= GAP]
        return [self._proposal(thing) for thing in over if thing.likely]

    def end(self) -> list[Proposal]:
        """Return what was there to the end."""
        over, self._open = self._open, []
        return [self._proposal(thing) for thing in over if thing.likely]

    @staticmethod
    def _put(thing: _Thing, at: float, one: Found) -> None:
        thing.keys.append((at, one.x, one.y, one.width, one.height))
        thing.score = max(thing.score, one.score)

    def _proposal(self, thing: _Thing) -> Proposal:
        keys = list(thing.keys)
        for end, moment in ((0, max(keys[0][0] - _ONWARD, 0.0)), (-1, keys[-1][0] + _ONWARD)):
            vx, vy = thing.speed(end)
            at, x, y, width, height = keys[end]
            passed = moment - at
            if passed and (vx or vy):
                keys.insert(0 if end == 0 else len(keys), (moment, x + vx * passed, y + vy * passed, width, height))
        grown = [_inside(key, self._grow) for key in keys]
        inside = ordered(key for key in grown if key is not None) or [_corner(keys[0])]
        return Proposal(thing.kind, tuple(simpler(inside)), round(thing.score, 3))


def _inside(key: Key, grow: tuple[float, float]) -> Key | None:
    """Return a place made larger and kept inside the picture; None where nothing of it is inside."""
    at, x, y, width, height = key
    left, right = max(x - width * grow[0], 0.0), min(x + width * (1 + grow[0]), 1.0)
    top, bottom = max(y - height * grow[1], 0.0), min(y + height * (1 + grow[1]), 1.0)
    if right - left < LEAST or bottom - top < LEAST:
        return None
    return (round(at, 3), round(left, _DIGITS), round(top, _DIGITS), round(right - left, _DIGITS), round(bottom - top, _DIGITS))


def _corner(key: Key) -> Key:
    """Return a place at the border for a thing that lies beyond it altogether."""
    x, y = min(max(key[1], 0.0), 1 - 2 * LEAST), min(max(key[2], 0.0), 1 - 2 * LEAST)
    return (round(key[0], 3), x, y, 2 * LEAST, 2 * LEAST)


def simpler(keys: Sequence[Key], part: float = 0.05) -> list[Key]:
    """Leave out places that a straight line between others gives, up to `part` of a box's size."""
    if len(keys) < 3:
        return list(keys)
    keep = {0, len(keys) - 1}
    spans = [(0, len(keys) - 1)]
    while spans:
        first, last = spans.pop()
        worst, where = 0.0, 0
        for index in range(first + 1, last):
            off = _off(keys[first], keys[last], keys[index])
            if off > worst:
                worst, where = off, index
        if worst > part:
            keep.add(where)
            spans += [(first, where), (where, last)]
    return [keys[index] for index in sorted(keep)]


def _off(a: Key, b: Key, key: Key) -> float:
    share = (key[0] - a[0]) / (b[0] - a[0])
    sizes = (key[3], key[4], key[3], key[4])
    return max(
        abs(one + (two - one) * share - is_) / size
        for one, two, is_, size in zip(_edges(a), _edges(b), _edges(key), sizes, strict=True)
    )


def _edges(key: Key) -> tuple[float, float, float, float]:
    return key[1], key[2], key[1] + key[3], key[2] + key[4]


def ordered(keys: Iterable[Key]) -> list[Key]:
    """Return places in order of time, one for each moment."""
    found = sorted(keys)
    if not found:
        return []
    return [key for key, after in pairwise(found) if after[0] - key[0] >= 0.001] + found[-1:]
