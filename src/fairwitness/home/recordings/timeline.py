"""What a camera recorded within a request's window, and what it did not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fairwitness.home.recordings.folder import Recording

JOIN_S: Final = 1.0
"""Seconds between one recording's end and the next one's start at which the two still follow each other: names say no less."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recording stands: begin (Unix seconds UTC, as exactly as it is known) and length in seconds.

    Only those of one `source` are joined. `link`: its number in its source's chain, None where it has none; `follows`: nothing
    is missing between it and the link before. `chained`: its source has a chain, so a recording without a link follows nothing.
    """

    source: str
    start: float
    seconds: float
    chained: bool = False
    link: int | None = None
    follows: bool = False


def join(places: Sequence[Place]) -> list[list[tuple[int, float]]]:
    """Put recordings, in order of time, together where they follow each other without a gap.

    Returns the runs in order of time; of each the recordings' indexes, each with its offset: seconds from the first one's
    begin to where its pictures go on. Small overlaps are taken for what a clock of whole seconds says.
    """
    runs: list[list[tuple[int, float]]] = []
    open_runs: dict[str, tuple[list[tuple[int, float]], Place, float]] = {}
    for index, place in enumerate(places):
        found = open_runs.get(place.source)
        if found is not None and _follows(found[1], place, found[2]):
            run, _, end = found
            begin = max(place.start, end)
            run.append((index, begin - places[run[0][0]].start))
        else:
            run, begin = [(index, 0.0)], place.start
            runs.append(run)
        open_runs[place.source] = (run, place, begin + place.seconds)
    return runs


def _follows(before: Place, place: Place, end: float) -> bool:
    if before.seconds <= 0 or place.seconds <= 0 or place.start <= before.start:
        return False
    if place.chained and (before.link is None or place.link != before.link + 1 or not place.follows):
        return False
    return abs(place.start - end) <= JOIN_S


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of one recording that lies in the window: seconds into the recording, and Unix seconds (UTC)."""

    recording: Recording
    cut_start: float
    cut_end: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A time within the window (Unix seconds, UTC) of which nothing was recorded; an honest response declares it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """Pieces in order of time, gaps between them, and recordings whose time is unknown: the owner may place those."""

    clips: tuple[Piece, ...]
    gaps: tuple[Gap, ...]
    unplaced: tuple[Recording, ...]


def clips_in_window(recordings: Iterable[Recording], start: int, end: int, pre_roll: int = 0) -> Window:
    """Return what of one camera's `recordings` lies in `start` to `end` (Unix seconds UTC), begun `pre_roll` seconds early.

    Overlapping recordings are both returned. Raises ValueError when the window is empty or `pre_roll` is negative.
    """
    if end <= start or pre_roll < 0:
        raise ValueError("a window ends after it starts, and a pre-roll is not negative")
    begin = start - pre_roll
    pieces: list[Piece] = []
    unplaced: list[Recording] = []
    for recording in recordings:
        if recording.start is None or recording.end is None:
            unplaced.append(recording)
            continue
        low, high = max(recording.start, begin), min(recording.end, end)
        if low < high:
            cut_end = min(float(high - recording.start), max(recording.seconds, 0.0) or float(high - recording.start))
            cut_start = float(low - recording.start)
            if cut_start < cut_end:
                pieces.append(Piece(recording, cut_start, cut_end, low, high))
    pieces.sort(key=lambda piece: (piece.start, piece.end, piece.recording.path))
    gaps: list[Gap] = []
    covered = begin
    for piece in pieces:
        if piece.start > covered:
            gaps.append(Gap(covered, piece.start))
        covered = max(covered, piece.end)
    if covered < end:
        gaps.append(Gap(covered, end))
    return Window(tuple(pieces), tuple(gaps), tuple(unplaced))
