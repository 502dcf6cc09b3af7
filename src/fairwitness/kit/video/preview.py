"""A clean H.264 preview of a stretch of a recording, sent on while it is made.

The child writes to a file beside the cache's, one fragment at a time, and tells how far it is; the parent reads from there. The
file gets its name when it is complete, so that what lies in a cache is always whole.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from fairwitness.kit.video.clip import ClipPass, Cut
from fairwitness.kit.video.worker import child_lines

MAX_SECONDS: Final = 600
LARGEST_SIDE: Final = 1280  # of a converted preview; a copy stays as large as it is
_READ: Final = 256 << 10


def make(cut: Cut, target: Path, *, cancelled: Callable[[], bool] | None = None, seconds: int = 1800) -> Iterator[bytes]:
    """Yield a preview's bytes as a child with limits makes them; `target` exists once all were drawn, else nothing is left.

    `cut` as `clip.Cut`; one maker of a `target` at a time. Raises as `worker.pass_to_spool`.
    """
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    job: dict[str, object] = {
        "do": "look",
        "look": "preview",
        "path": str(cut.source.absolute()),
        "cut": {"start": cut.start, "end": cut.end, "mute": cut.mute, "lead": cut.lead, "masks": cut.masks},
        "part": str(part),
        "nice": 5,
    }
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        sent = 0
        for message in child_lines(job, seconds=seconds, cancelled=cancelled):
            while sent < message["size"]:
                data = os.pread(handle, min(_READ, message["size"] - sent), sent)
                if not data:
                    raise OSError("a preview was cut short while it was made")
                sent += len(data)
                yield data
        part.replace(target)
    finally:
        os.close(handle)
        part.unlink(missing_ok=True)


def serve(job: dict[str, Any], say: Callable[[dict[str, object]], None]) -> None:
    """Make a preview in the child."""
    cut = Cut(Path(job["path"]), side=LARGEST_SIDE, **job["cut"])
    size = 0
    with Path(job["part"]).open("wb") as out:
        done = ClipPass(cut)
        for chunk in done:
            out.write(chunk)
            out.flush()
            size += len(chunk)
            say({"size": size})
    say({"size": size})
