"""What a camera recorded within a request's window, and what it did not."""

from collections.abc import Iterable
from dataclasses import dataclass

from fairwitness.home.recordings.folder import Recording


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
