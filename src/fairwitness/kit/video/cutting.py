"""A stretch of recordings as one file, without encoding anything again, for the person whose recordings they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairwitness.kit.video.clip import ClipPass, Cut, Next
from fairwitness.kit.video.worker import child_lines

LEAD: float = 600.0
"""Seconds before the asked begin at which the key frame may lie: without encoding, nothing later can be shown."""


def make(cut: Cut, target: Path, *, seconds: int = 600) -> float:
    """Have a child with limits write `cut`, sound included, to `target`; returns when it truly begins (seconds).

    `target` exists only when it is whole. Raises ProtocolError `clip.*` (`clip.not_copyable`: pictures of another kind than
    H.264), OSError.
    """
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    part.touch(0o600)
    job: dict[str, object] = {
        "do": "look",
        "look": "cut",
        "path": str(cut.source.absolute()),
        "start": cut.start,
        "end": cut.end,
        "more": [[str(one.source.absolute()), one.offset] for one in cut.more],
        "part": str(part),
    }
    begin = cut.start
    try:
        for message in child_lines(job, seconds=seconds):
            begin = float(message["begin"])
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return begin


def serve(job: dict[str, Any], say: Callable[[dict[str, object]], None]) -> None:
    """Cut in the child."""
    more = tuple(Next(Path(path), offset) for path, offset in job["more"])
    made = ClipPass(Cut(Path(job["path"]), job["start"], job["end"], mute=False, transcode=False, lead=LEAD, more=more))
    with Path(job["part"]).open("r+b") as out:
        out.writelines(made)
    say({"begin": made.facts.start})
