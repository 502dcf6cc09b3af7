"""A clean H.264 preview of a stretch of a recording, readable while it is made.

The child writes to a file beside the cache's, one fragment at a time, and tells how far it is. The file gets its name when it is
complete, so that what lies in a cache is always whole.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fairwitness.kit.video.clip import ClipPass, Cut
from fairwitness.kit.video.worker import child_lines, cut_in, cut_out

MAX_SECONDS: Final = 600
LARGEST_SIDE: Final = 1280  # of a converted preview; a copy stays as large as it is


@dataclass(frozen=True, slots=True)
class Facts:
    """What a finished preview is: SHA-256 (hex), bytes, and as ClipFacts its true start and end, tracks and covered areas."""

    sha256: str
    size: int
    start: float
    end: float
    tracks: tuple[str, ...]
    transcoded: bool
    covered: int


def part_of(target: Path) -> Path:
    """Return the name that an unfinished preview has."""
    return target.with_name(target.name + ".part")


def make(
    cut: Cut,
    target: Path,
    *,
    cancelled: Callable[[], bool] | None = None,
    seconds: int = 1800,
    done: Callable[[Facts], None] | None = None,
) -> Iterator[int]:
    """Have a child with limits make a preview; yield how many bytes `part_of(target)` has, each time that there are more.

    `target` exists once this ends; where it fails or is closed nothing is left. `done` is told what it is right before it gets
    its name. One maker of a `target` at a time. Raises as `worker.pass_to_spool`.
    """
    part = part_of(target)
    part.unlink(missing_ok=True)
    job: dict[str, object] = {
        "do": "look",
        "look": "preview",
        "cut": cut_out(cut),
        "part": str(part),
        "nice": 5,
    }
    part.touch(0o600, exist_ok=False)
    try:
        for message in child_lines(job, seconds=seconds, cancelled=cancelled):
            if "facts" in message:
                if done is not None:
                    done(Facts(**{**message["facts"], "tracks": tuple(message["facts"]["tracks"])}))
            else:
                yield int(message["size"])
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def serve(job: dict[str, Any], say: Callable[[dict[str, object]], None]) -> None:
    """Make a preview in the child."""
    size = 0
    digest = hashlib.sha256()
    clip = ClipPass(cut_in(job["cut"]))
    with Path(job["part"]).open("r+b") as out:
        for chunk in clip:
            out.write(chunk)
            out.flush()
            digest.update(chunk)
            size += len(chunk)
            say({"size": size})
    found = clip.facts
    facts = Facts(digest.hexdigest(), size, found.start, found.end, found.tracks, found.transcoded, found.covered)
    say({"facts": asdict(facts)})
