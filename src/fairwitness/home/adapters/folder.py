"""A folder that a camera, a recorder or a phone writes into: watched, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairwitness.home.adapters.base import Known, Look, Span
from fairwitness.home.recordings import folder as folders
from fairwitness.home.recordings.times import CameraClock


@dataclass(frozen=True, slots=True)
class FolderAdapter:
    """`clock`: what the owner said about the camera's clock; `settle`: seconds for which a file must have stood unchanged."""

    folder: Path
    clock: CameraClock
    settle: int
    kind: str = "folder"

    def look(self, known: Known, *, now: int, cursor: str, windows: Sequence[Span]) -> Look:  # noqa: ARG002 - it looks at all
        """Look through the folder (recordings.folder.scan). Raises OSError."""
        return Look(folders.scan(self.folder, known, now=now, clock=self.clock, settle=self.settle), whole=True)
