"""The one interface behind which every kind of camera and recorder stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fairwitness.home.recordings.folder import Recording, Refusal, Scan

type Known = Mapping[str, Recording | Refusal]
type Span = tuple[int, int]
"""Begin and end, Unix seconds UTC."""


class SourceProblem(Exception):
    """A source could not be looked at now; `code` is a word for the owner's page. What was known of it stays known."""

    def __init__(self, code: str) -> None:
        """Keep the code; there is no text, because a library's text can hold an address or a password."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a source found. `whole`: `scan` names everything there is, so what it leaves out is gone."""

    scan: Scan
    whole: bool
    cursor: str = ""


class Adapter(Protocol):
    """One source of recordings, as the scan sees it.

    An adapter MUST NOT change or delete anything at its source, MUST NOT decode pictures, and MUST return only recordings
    that lie whole and finished in the source's folder, with a time that it can justify (else None). It MUST keep credentials
    out of every error.
    """

    @property
    def kind(self) -> str:
        """A word: `folder`, `rtsp`, `frigate`."""

    def look(self, known: Known, *, now: int, cursor: str, windows: Sequence[Span]) -> Look:
        """Look at `now` (Unix seconds UTC). `known`: what is known by path; `cursor`: what the last look handed back.

        `windows`: times that live requests near this camera ask about; an adapter that fetches from a recorder fetches those and
        nothing else. Raises SourceProblem, OSError; then nothing is forgotten.
        """
