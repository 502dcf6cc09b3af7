"""From single looks to stretches of time. Pure: no picture, no file, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOTION: Final = "motion"
PERSON: Final = "person"
JOIN_S: Final = 2.0
"""Two stretches of one kind that are not further apart become one."""
_TWICE: Final = 1.0  # seconds within which a second look has to agree with the first, or it was noise


@dataclass(frozen=True, slots=True)
class Look:
    """One look, `at` seconds: part of the picture that moved and the best person in it, each 0..1."""

    at: float
    motion: float
    person: float


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` to `end` seconds there was `kind`; `score` is the highest of its looks."""

    start: float
    end: float
    kind: str
    score: float


def intervals(looks: Iterable[Look]) -> tuple[Interval, ...]:
    """Return the stretches in the order of their begins; a single look that no other confirms is none."""
    rows = sorted(looks, key=lambda look: look.at)
    found = [
        *_runs([(look.at, look.motion) for look in rows], MOTION),
        *_runs([(look.at, look.person) for look in rows], PERSON),
    ]
    return tuple(sorted(found, key=lambda one: (one.start, one.kind)))


def _runs(rows: list[tuple[float, float]], kind: str) -> list[Interval]:
    hits = [(at, score) for at, score in rows if score > 0]
    sure = [
        (at, score)
        for number, (at, score) in enumerate(hits)
        if (number and at - hits[number - 1][0] <= _TWICE) or (number + 1 < len(hits) and hits[number + 1][0] - at <= _TWICE)
    ]
    runs: list[Interval] = []
    for at, score in sure:
        if runs and at - runs[-1].end <= JOIN_S:
            last = runs.pop()
            runs.append(Interval(last.start, at, kind, max(last.score, score)))
        else:
            runs.append(Interval(at, at, kind, score))
    return [one for one in runs if one.end > one.start]
