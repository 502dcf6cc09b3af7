"""What a child process does for somebody who looks at a recording: previews, stills, marks, faces and plates (see `worker`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairwitness_core.wire.errors import ProtocolError

type Say = Callable[[dict[str, object]], None]


def serve(job: dict[str, Any], say: Say) -> None:
    """Do one job in the child; `say` sends a line to the parent. Raises ProtocolError, OSError."""
    match job["look"]:
        case "preview":
            from fairwitness.kit.video import preview  # noqa: PLC0415 - each needs libraries that the others do not

            preview.serve(job, say)
        case "cut":
            from fairwitness.kit.video import cutting  # noqa: PLC0415

            cutting.serve(job, say)
        case "live":
            from fairwitness.kit.video import live  # noqa: PLC0415

            live.serve(job, say)
        case "stills":
            from fairwitness.kit.video import thumbs  # noqa: PLC0415

            thumbs.serve(Path(job["path"]), job, say)
        case "marks":
            from fairwitness.kit.video import marks  # noqa: PLC0415

            marks.serve(Path(job["path"]), job, say)
        case "regions":
            from fairwitness.kit.video import following  # noqa: PLC0415

            following.serve(job, say)
        case other:
            raise ProtocolError("clip.look", "there is no such look at a recording", evidence=str(other))
