"""The child process that opens one sealed response: `python -m fairwitness.agency.worker`, job on stdin, result on stdout.

pyrage holds the interpreter's lock for a whole file and a hostile video may crash a decoder: neither may stop the node. The
keys come through the pipe, never as arguments. Plaintext exists in this process's memory only, in bounded pieces: each clip
goes from one seal straight into the next, and what a decoder must see as a file is at most 64 MiB in anonymous memory.
"""

import base64
import contextlib
import io
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO

from fairwitness_core.crypto import seal
from fairwitness_core.crypto.segments import SUFFIX, SegmentReader, SegmentWriter
from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.frames import ClipDigest

from fairwitness.kit import files, process
from fairwitness.kit.video.boxes import check_clean
from fairwitness.kit.video.opening import decodes, open_sealed

_SAMPLE = 64 << 20
_MEMORY = 6 << 30
_CPU_SECONDS = 3600
_FILES = 256


class Resealer:
    """A clip's sink that seals what it is given to another key at once, in segments that can be read at any place."""

    def __init__(self, path: Path, recipient: str) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.PRIVATE_FILE)
        self._file = os.fdopen(handle, "wb")
        self._segments = SegmentWriter(self._file, [recipient])

    def write(self, data: bytes) -> None:
        """Seal the next bytes."""
        self._segments.write(data)

    def close(self, digest: ClipDigest | None = None) -> None:  # noqa: ARG002 - the reader of frames checked it
        """Finish the file; durable on return."""
        self._segments.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Leave the file as it is; an unfinished one never reads as whole. Nothing happens to a finished one."""
        with contextlib.suppress(OSError):
            self._file.close()


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Open, re-seal and check one response.

    On return: 1. the frames are whole and every clip's hash is right; 2. each clip lies sealed to the response's own key in
    `folder`, durable; 3. each holds no box, track or message beyond the allow-list; 4. each decodes. The manifest is returned
    unverified. Raises ProtocolError, OSError.
    """
    folder, own = Path(job["folder"]), str(job["own"])
    recipient = seal.recipient_of(own)
    sinks: list[Resealer] = []

    def open_clip(name: str) -> Resealer:
        sinks.append(Resealer(folder / f"{name}{SUFFIX}", recipient))
        return sinks[-1]

    # 1., 2.
    try:
        opened = open_sealed(Path(job["sealed"]), [str(job["identity"])], open_clip)
    except BaseException:
        for sink in sinks:
            sink.abandon()
        raise
    files.sync_folder(folder)
    # 3., 4.
    for clip in opened.clips:
        with SegmentReader((folder / f"{clip.name}{SUFFIX}").open("rb"), [own]) as plain:
            _check(clip.name, io.BufferedReader(plain, 1 << 16))
    return {
        "manifest": base64.b64encode(opened.manifest).decode(),
        "clips": [{"name": c.name, "sha256": c.sha256.hex(), "size": c.size} for c in opened.clips],
    }


def _check(name: str, clip: BinaryIO) -> None:
    found = check_clean(clip)
    if found:
        raise ProtocolError("intake.boxes", f"{name} holds what no clip may hold", evidence=f"{found[0].path}: {found[0].what}")
    clip.seek(0)
    handle = os.memfd_create("clip")
    try:
        left = _SAMPLE
        while left and (part := clip.read(min(left, 1 << 20))):
            files.write_all(handle, part)
            left -= len(part)
        if not decodes(Path(f"/proc/self/fd/{handle}")):
            raise ProtocolError("intake.decode", f"{name} shows no pictures")
    finally:
        os.close(handle)


def _limit() -> None:
    process.harden()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would be a plaintext file
    for kind, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CPU, _CPU_SECONDS), (resource.RLIMIT_NOFILE, _FILES)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> int:
    """Do the one job and say how it went: `{"manifest", "clips"}` or `{"error": {"code", "message", "evidence"}}`."""
    _limit()
    try:
        result = work(json.loads(sys.stdin.buffer.read()))
    except ProtocolError as error:
        result = {"error": {"code": error.code, "message": error.message, "evidence": error.evidence}}
    except OSError as error:
        result = {"failed": {"errno": error.errno or 0, "what": type(error).__name__}}
    sys.stdout.buffer.write(json.dumps(result).encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
