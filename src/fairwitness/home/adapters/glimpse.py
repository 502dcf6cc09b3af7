"""One short look at a camera's stream, for an owner who waits for it: what comes, how its clock stands, and the first picture.

The stream is read and one picture decoded in a child process, `python -m fairwitness.home.adapters.glimpse`, which gets its task
(adapters.task) with the camera's password as one line of standard input, has limits and no keys, and answers with one line.
"""

# ruff: noqa: BLE001 - a library's error can quote the camera's address with its password, so only its kind leaves here

import base64
import contextlib
import io
import json
import os
import resource
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import av
import av.error
import av.logging

from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.recorder import PICTURES, codec_of, kind_of, opened
from fairwitness.home.adapters.task import Task
from fairwitness.kit import clock

DEADLINE_S: Final = 25.0
SIDE: Final = 640
MEMORY: Final = 1 << 30
_RATE_S: Final = 3.0  # of media, from which its bytes a day are estimated
_CLOCK_S: Final = 6.0  # how long to wait for the camera to say its time (RTCP sender reports come every few seconds)
_PICTURE_S: Final = 14.0
_PIXELS: Final = 64_000_000
_MAX_ANSWER: Final = 4 << 20
_KEPT: Final = ("PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "COVERAGE_PROCESS_START")


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What a stream shows. `ahead_ms`: the camera's clock ahead of this machine's (None: it did not say).

    `bytes_per_s`: of the pictures, 0 where too little came; `picture`: a JPEG, empty where none could be decoded.
    """

    codec: str
    width: int
    height: int
    ahead_ms: int | None
    bytes_per_s: float
    picture: bytes


def look(task: Task) -> Glimpse:
    """Look at a stream for a few seconds. Raises SourceProblem: `unreachable`, `refused`, `not_found`, `no_stream`, ..."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fairwitness.home.adapters.glimpse"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _KEPT if name in os.environ},
        cwd="/",
    )
    try:
        said, _ = process.communicate(json.dumps(asdict(task)).encode() + b"\n", timeout=DEADLINE_S)
    except subprocess.TimeoutExpired as error:
        raise SourceProblem("slow") from error
    finally:
        process.kill()
        process.wait()
    try:
        value: dict[str, Any] = json.loads(said[:_MAX_ANSWER])
        if "problem" in value:
            raise SourceProblem(str(value["problem"]))
        return Glimpse(**{**value, "picture": base64.b64decode(value["picture"], validate=True)})
    except (ValueError, TypeError, KeyError) as error:
        # A decoder crashed or a limit was hit: the stream's doing, so far as anyone can tell.
        raise SourceProblem("failed") from error


# -- the child -----------------------------------------------------------------------------------------------------------


def _look(task: Task) -> Glimpse:
    with opened(task) as camera:
        stream = next((s for s in camera.streams.video if codec_of(s) in PICTURES), None)
        if stream is None:
            raise SourceProblem("no_pictures")
        stream.thread_type = "NONE"
        began = time.monotonic()
        first: float | None = None
        last, count = 0.0, 0
        ahead: list[int] = []
        picture = b""
        width, height = stream.codec_context.width, stream.codec_context.height
        for packet in camera.demux(stream):
            if not packet.size:
                continue
            count += packet.size
            if packet.dts is not None:
                last = float(packet.dts * packet.time_base)
                first = last if first is None else first
            ahead += _stated(packet)
            if not picture:
                picture, width, height = _shown(packet, width, height)
            spent = time.monotonic() - began
            span = last - (last if first is None else first)
            if picture and span >= _RATE_S and (ahead or spent > _CLOCK_S):
                break
            if spent > _PICTURE_S:
                break
        span = last - (last if first is None else first)
    middle = sorted(ahead)[len(ahead) // 2] if ahead else None
    return Glimpse(codec_of(stream), width, height, middle, count / span if span >= 1 else 0.0, picture)


def _stated(packet: Any) -> list[int]:
    """Return how far ahead of ours the clock is that a packet's sender report states (RFC 3550 section 6.4.1), in ms."""
    found = []
    for data in packet.iter_sidedata():
        if data.data_type == "prft":
            (stated,) = struct.unpack_from("<q" if sys.byteorder == "little" else ">q", bytes(data))
            difference = round(stated / 1000 - clock.now_float() * 1000)
            if abs(difference) < 2**46:
                found.append(difference)
    return found


def _shown(packet: Any, width: int, height: int) -> tuple[bytes, int, int]:
    try:
        frames = packet.decode()
    except (av.error.FFmpegError, ValueError):
        return b"", width, height
    for frame in frames:
        if not 0 < frame.width * frame.height <= _PIXELS:
            raise SourceProblem("too_large")
        scale = min(1.0, SIDE / max(frame.width, frame.height))
        size = {"width": max(round(frame.width * scale), 1), "height": max(round(frame.height * scale), 1)}
        out = io.BytesIO()
        frame.reformat(**size, format="rgb24").to_image().save(out, "JPEG", quality=80)
        return out.getvalue(), frame.width, frame.height
    return b"", width, height


def main() -> int:
    """Answer one task."""
    os.umask(0o077)
    av.logging.set_level(None)
    for kind, value in ((resource.RLIMIT_DATA, MEMORY), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, 20)):
        resource.setrlimit(kind, (value, value))
    try:
        task = Task(**json.loads(sys.stdin.buffer.readline(65_536)))
    except (ValueError, TypeError):
        return 2
    answer: dict[str, object]
    try:
        found = _look(task)
        answer = asdict(found) | {"picture": base64.b64encode(found.picture).decode()}
    except SourceProblem as problem:
        answer = {"problem": problem.code}
    except Exception as error:
        known = isinstance(error, OSError | av.error.FFmpegError)
        answer = {"problem": kind_of(error) if known else "failed"}
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
