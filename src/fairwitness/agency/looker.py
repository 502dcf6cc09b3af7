"""The child process that looks at one opened clip: `python -m fairwitness.agency.looker`.

Its standard input is one line of JSON, then the clip's bytes. They exist in this process's anonymous memory only and go with
it: no disk sees them. Jobs: `strip` (key frames side by side), `still` (one picture), `cut` (a part, copied). It answers with
one line of JSON, behind which a cut's bytes follow. No key enters it.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import files, process

_MEMORY = 2 << 30
_CPU_SECONDS = 120
_CHUNK = 1 << 20


def _limit() -> None:
    process.harden()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # it would set memory aside for every processor, beyond the limit
    for kind, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CPU, _CPU_SECONDS), (resource.RLIMIT_FSIZE, _MEMORY)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _say(message: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def _receive(size: int) -> Path:
    handle = os.memfd_create("clip")
    left = size
    while left and (part := sys.stdin.buffer.read(min(left, _CHUNK))):
        files.write_all(handle, part)
        left -= len(part)
    if left:
        raise ProtocolError("clip.short", "the clip ended early")
    return Path(f"/proc/self/fd/{handle}")


def _facts(path: Path) -> dict[str, object]:
    from fairwitness.kit.video.source import open_source, picture_stream, seconds_of  # noqa: PLC0415 - after the limits

    with open_source(path) as container:
        video = picture_stream(container)
        rate = video.average_rate or video.guessed_rate
        return {"fps": float(rate) if rate else 0.0, "seconds": seconds_of(container, video) or 0.0}


def _look(job: dict[str, Any], path: Path) -> None:
    from fairwitness.kit.video import thumbs  # noqa: PLC0415 - after the limits

    strip = job["do"] == "strip"
    at = int(job["count"]) if strip else [float(job["at"])]
    wanted = {"at": at, "side": thumbs.STRIP_SIDE if strip else thumbs.MAX_SIDE, "exact": not strip}
    told: list[dict[str, object]] = []
    thumbs.serve(path, wanted, told.append)
    _say({**told[0], **_facts(path)})


def _cut(job: dict[str, Any], path: Path) -> None:
    from fairwitness.kit.video.clip import ClipPass, Cut  # noqa: PLC0415 - after the limits

    begun = False
    for chunk in ClipPass(Cut(path, float(job["start"]), float(job["end"]), mute=False)):
        if not begun:
            _say({"ok": True})
            begun = True
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def main() -> int:
    """Do the one job; exit code 0 when it is whole, 2 for a clip that cannot be shown (said in JSON where nothing was yet)."""
    _limit()
    job = json.loads(sys.stdin.buffer.readline())
    try:
        path = _receive(int(job["size"]))
        if job["do"] == "cut":
            _cut(job, path)
        else:
            _look(job, path)
    except ProtocolError as error:
        _say({"error": {"code": error.code, "message": error.message}})
        return 2
    except MemoryError:
        _say({"error": {"code": "clip.limits", "message": "the clip needs too much memory"}})
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
