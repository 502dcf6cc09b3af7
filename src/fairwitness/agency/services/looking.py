"""Pictures and parts of an opened clip, made in a child and kept nowhere (see `fairwitness.agency.looker`).

The clip comes from `evidence.use`, so nothing is looked at that was not logged. One child at a time in each web process: what
it holds in memory is bounded by MOST.
"""

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import Officer, Touch
from fairwitness.agency.services import evidence
from fairwitness.kit.errors import Refused

MOST = 512 << 20
"""Bytes of the largest clip that is looked at or cut here."""
STRIP = 12
_SECONDS = 120
_WAIT = 60
_CHUNK = 1 << 18
_KEPT = ("PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "COVERAGE_PROCESS_START")
_one = threading.BoundedSemaphore(1)


@dataclass(frozen=True, slots=True)
class Look:
    """A JPEG, `fps` pictures a second (0 unknown) and the clip's length in seconds."""

    jpeg: bytes
    fps: float
    seconds: float


def strip(officer: Officer, touch: Touch) -> Look:
    """Return a clip's key frames side by side. Raises Refused, ProtocolError."""
    return _look(officer, touch, {"do": "strip", "count": STRIP})


def still(officer: Officer, touch: Touch, at: float = 0.0) -> Look:
    """Return one picture of a clip. Raises Refused, ProtocolError."""
    return _look(officer, touch, {"do": "still", "at": at})


def cut(officer: Officer, touch: Touch, start: float, end: float) -> Iterator[bytes]:
    """Return the bytes of a part of a clip, its pictures copied as they are where they can be.

    It begins at the key frame before `start`. The first piece is there on return. Raises Refused, ProtocolError; a failure
    later ends the stream early.
    """
    child = _child(officer, touch, {"do": "cut", "start": start, "end": end})
    head = next(child)
    _check(head)
    return child


def _look(officer: Officer, touch: Touch, job: dict[str, object]) -> Look:
    with contextlib.closing(_child(officer, touch, job)) as child:
        found = _check(next(child))
    return Look(base64.b64decode(found["jpeg"], validate=True), float(found["fps"]), float(found["seconds"]))


def _check(line: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise ProtocolError("clip.crashed", "the clip could not be processed within its limits") from error
    if "error" in found:
        raise ProtocolError(found["error"]["code"], found["error"]["message"])
    return found


def _child(officer: Officer, touch: Touch, job: dict[str, object]) -> Generator[bytes]:
    """Yield the child's first line, then the bytes behind it; the child is ended with the iterator."""
    if not _one.acquire(timeout=_WAIT):
        raise Refused(503, "clip.busy", "Other clips are being looked at.", "Try again in a moment.")
    try:
        with evidence.use(officer, touch) as stream:
            size = stream.seek(0, 2)
            if size > MOST:
                raise Refused(413, "clip.large", "This clip is too large for that here.", "Play it, or download it whole.")
            stream.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-m", "fairwitness.agency.looker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                cwd="/",
            )
            timer = threading.Timer(_SECONDS, process.kill)
            timer.start()
            try:
                _feed(process, stream, json.dumps({**job, "size": size}).encode() + b"\n")
                yield from _answer(process)
            finally:
                timer.cancel()
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()
    finally:
        _one.release()


def _feed(process: "subprocess.Popen[bytes]", stream: BinaryIO, line: bytes) -> None:
    if process.stdin is None:
        raise RuntimeError("the child has no input")
    with contextlib.suppress(BrokenPipeError), process.stdin:  # a child that died says so by what it does not answer
        process.stdin.write(line)
        while piece := stream.read(_CHUNK):
            process.stdin.write(piece)


def _answer(process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
    if process.stdout is None:
        raise RuntimeError("the child has no output")
    yield process.stdout.readline()
    while piece := process.stdout.read(_CHUNK):
        yield piece
    if process.wait() != 0:
        raise ProtocolError("clip.crashed", "the clip could not be processed within its limits")


def address(look: Look) -> str:
    """Return a picture as a data address, so that no second request has to make it again."""
    return f"data:image/jpeg;base64,{base64.b64encode(look.jpeg).decode()}"
