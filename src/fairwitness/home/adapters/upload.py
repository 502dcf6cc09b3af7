"""What the owner brought in with a browser. Its time is the owner's word alone: a name or a container only proposes one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fairwitness.home.adapters.base import Known, Look, SourceProblem, Span
from fairwitness.home.recordings import folder as folders
from fairwitness.home.recordings.folder import Recording
from fairwitness.home.recordings.times import CameraClock, TimeSource, TimeVerdict

WHY = "you have not said yet when it was recorded"


def unconfirmed(recording: Recording) -> Recording:
    """Return a recording without a time, unless its owner gave one."""
    if recording.time_source is TimeSource.OWNER:
        return recording
    return folders.answered(recording, TimeVerdict(None, TimeSource.UNKNOWN, WHY))


@dataclass(frozen=True, slots=True)
class UploadAdapter:
    """`folder` holds finished files only: services.uploads moves them here once they are whole and were looked into."""

    folder: Path
    kind: str = "upload"

    def look(self, known: Known, *, now: int, cursor: str, windows: Sequence[Span]) -> Look:  # noqa: ARG002 - it looks at all
        """Look through the folder. Raises SourceProblem, OSError."""
        if not self.folder.is_dir():
            raise SourceProblem("unreadable")
        found = folders.scan(self.folder, known, now=now, clock=CameraClock(), settle=0)
        return Look(replace(found, recordings=tuple(unconfirmed(item) for item in found.recordings)), whole=True)
