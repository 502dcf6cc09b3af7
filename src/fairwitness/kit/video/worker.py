"""The child process that touches hostile recordings, and the parent's side of it.

The child gets one line of JSON on its standard input, never arguments or environment, answers with lines of JSON on its
standard output, and has no key: when every clip is sealed it sends the clips' facts and waits for the manifest, which the
parent makes and signs. Limits on memory, processor time, files and file size hold for the child alone; it cannot gain
privileges and dies with its parent. Exit code 0: done; 2: a ProtocolError, which was sent as JSON; 1: a defect of ours.
"""

import base64
import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.frames import MAX_RESPONSE

from fairwitness.kit.video import looks
from fairwitness.kit.video.clip import Cut, Next
from fairwitness.kit.video.digests import Pictures, key_before, pictures_of
from fairwitness.kit.video.opening import decodes
from fairwitness.kit.video.probe import Probe, Stream, probe
from fairwitness.kit.video.spool import ClipResult, Job, SpoolResult, part_of, seal_response

MEMORY: Final = 2 << 30
"""Address space of the child in bytes; a 4K conversion needs most of a gigabyte of it."""
_STEP: Final = 4 << 20  # bytes of ciphertext between two reports of progress
_BATCH: Final = 20  # files that one child probes
_KEPT: Final = ("PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "COVERAGE_PROCESS_START")


# -- the parent ----------------------------------------------------------------------------------------------------------


class _Child:
    """A running child: lines out of it, lines into it, a deadline, and an end."""

    def __init__(self, job: dict[str, object], seconds: int, cancelled: Callable[[], bool] | None) -> None:
        self._cancelled = cancelled or (lambda: False)
        self._seconds = seconds
        self.renew()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fairwitness.kit.video.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
            cwd="/",
        )
        self._buffer = b""
        self._noise = b""
        self.send({"cpu": seconds, **job})

    def renew(self) -> None:
        """Give the child its full time again, from now."""
        self._deadline = time.monotonic() + self._seconds

    def send(self, message: dict[str, object]) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the child has no input")
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            return  # it died: its output says why

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the child's messages; raises ProtocolError, OSError or RuntimeError for the way it failed."""
        out, err = self._process.stdout, self._process.stderr
        if out is None or err is None:
            raise RuntimeError("the child has no output")
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            selector.register(err, selectors.EVENT_READ)
            while selector.get_map():
                if self._cancelled():
                    raise ProtocolError("clip.cancelled", "the pass was cancelled")
                if time.monotonic() > self._deadline:
                    raise ProtocolError("clip.limits", "the recording took too long to process")
                for key, _ in selector.select(0.2):
                    data = os.read(key.fd, 65536)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is err:
                        self._noise = (self._noise + data)[-4096:]
                    else:
                        yield from self._split(data)
        self._check(self._process.wait())

    def _split(self, data: bytes) -> Iterator[dict[str, Any]]:
        *whole, self._buffer = (self._buffer + data).split(b"\n")
        for line in whole:
            message = json.loads(line)
            if "error" in message:
                raise ProtocolError(**message["error"])
            if "os_error" in message:
                raise OSError(*message["os_error"])
            yield message

    def _check(self, code: int) -> None:
        if code < 0:
            # A decoder crashed or a limit was hit: the recording's doing, so far as anyone can tell.
            name = signal.Signals(-code).name
            raise ProtocolError("clip.crashed", "the recording could not be processed within its limits", evidence=name)
        if code:
            raise RuntimeError(f"the video worker failed: {self._noise.decode(errors='replace')}")

    def end(self) -> None:
        """Stop the child if it still runs, and release its pipes."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def pass_to_spool(
    job: Job,
    make_manifest: Callable[[tuple[ClipResult, ...]], bytes],
    *,
    progress: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    seconds: int = 1800,
) -> SpoolResult:
    """Do what `spool.seal_response` does, in a child with limits; `make_manifest` runs here, so no key enters the child.

    `seconds` bounds both its processor and its wall-clock time. Raises as `seal_response`, and ProtocolError `clip.crashed` or
    `clip.limits` when the child dies of the recording. No spool is left then.
    """
    child = _Child({"do": "seal", "job": _job_out(job)}, seconds, cancelled)
    result: SpoolResult | None = None
    try:
        for message in child.lines():
            if "progress" in message and progress is not None:
                progress(message["progress"])
            elif "clips" in message:
                manifest = make_manifest(tuple(_clip_in(clip) for clip in message["clips"]))
                child.send({"manifest": base64.b64encode(manifest).decode()})
            elif "done" in message:
                done = message["done"]
                result = SpoolResult(done["sha256"], done["size"], tuple(_clip_in(clip) for clip in done["clips"]))
    except BaseException:
        child.end()
        part_of(job.spool).unlink(missing_ok=True)
        raise
    child.end()
    if result is None:
        raise RuntimeError("the video worker ended without a result")
    return result


def probe_each(paths: Iterable[Path], *, seconds: int = 60) -> Iterator[tuple[Path, Probe | ProtocolError]]:
    """Probe recordings in children with limits: yield each path with its facts or with why it is refused.

    One child serves many files; where a file kills it, that file is refused and a new child takes the rest.
    """
    left = list(paths)
    while left:
        batch, at = left[:_BATCH], 0
        child = _Child({"do": "probe", "paths": [str(path) for path in batch]}, seconds, None)
        try:
            for message in child.lines():
                found = message["probe"]
                answer = ProtocolError(**found["refused"]) if "refused" in found else _probe_in(found)
                yield batch[at], answer
                at += 1
                child.renew()  # the time is for each file: a slow disk is not a hostile recording
        except ProtocolError as error:
            yield batch[at], error
            at += 1
        finally:
            child.end()
        left = left[max(at, 1) :]


def decodes_safely(path: Path, *, seconds: float = 1.0, limit: int = 60) -> bool:
    """Do what `opening.decodes` does, in a child with limits."""
    child = _Child({"do": "decodes", "path": str(path), "seconds": seconds}, limit, None)
    answer = False
    try:
        for message in child.lines():
            answer = bool(message["decodes"])
    except ProtocolError:
        return False
    finally:
        child.end()
    return answer


def pictures_each(paths: Iterable[Path], *, seconds: int = 300) -> Iterator[tuple[Path, Pictures | None]]:
    """Do what `digests.pictures_of` does for each path, in a child with limits; None also for a file that kills it."""
    for path in paths:
        child = _Child({"do": "pictures", "path": str(path)}, seconds, None)
        found: Pictures | None = None
        try:
            for message in child.lines():
                if message["pictures"] is not None:
                    found = Pictures(base64.b64decode(message["pictures"], validate=True))
        except ProtocolError:
            found = None
        finally:
            child.end()
        yield path, found


def keys_before(places: Iterable[tuple[Path, float]], *, seconds: int = 60) -> list[float | None]:
    """Do what `digests.key_before` does for each (path, seconds), in a child with limits; None for what it could not say."""
    asked = [[str(path), at] for path, at in places]
    found: list[float | None] = []
    if asked:
        child = _Child({"do": "keys", "places": asked}, seconds, None)
        try:
            found += [message["key"] for message in child.lines()]
        except ProtocolError:
            found.append(None)  # this file ended the child: the ones behind it are cut where they were asked to be
        finally:
            child.end()
    return (found + [None] * len(asked))[: len(asked)]


def child_lines(job: dict[str, object], *, seconds: int, cancelled: Callable[[], bool] | None = None) -> Iterator[dict[str, Any]]:
    """Yield what a child with limits says to `job`; it is ended with the iterator. Raises as `pass_to_spool`."""
    child = _Child(job, seconds, cancelled)
    try:
        yield from child.lines()
    finally:
        child.end()


def _job_out(job: Job) -> dict[str, object]:
    cuts = [cut_out(cut) for cut in job.cuts]
    return {"cuts": cuts, "recipients": list(job.recipients), "spool": str(job.spool.absolute())}


def cut_out(cut: Cut) -> dict[str, object]:
    """Return a cut as JSON for a child: all of it, so that what is sealed and what is looked at cannot differ."""
    more = [{"source": str(one.source.absolute()), "offset": one.offset} for one in cut.more]
    return {**asdict(cut), "source": str(cut.source.absolute()), "more": more}


def _job_in(data: dict[str, Any]) -> Job:
    return Job(tuple(cut_in(cut) for cut in data["cuts"]), tuple(data["recipients"]), Path(data["spool"]))


def cut_in(data: dict[str, Any]) -> Cut:
    """Return the cut that `cut_out` wrote. Raises ProtocolError `clip.*`, `mask.*`."""
    more = tuple(Next(Path(one["source"]), one["offset"]) for one in data["more"])
    return Cut(**{**data, "source": Path(data["source"]), "more": more})


def _clip_in(data: dict[str, Any]) -> ClipResult:
    return ClipResult(**{**data, "tracks": tuple(data["tracks"])})


def _probe_in(data: dict[str, Any]) -> Probe:
    return Probe(**{**data, "streams": tuple(Stream(**stream) for stream in data["streams"])})


# -- the child -----------------------------------------------------------------------------------------------------------


def _confine(cpu: int) -> None:
    """Set the limits that a decoder's defect runs into."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_FSIZE: MAX_RESPONSE + (64 << 20),
        resource.RLIMIT_AS: MEMORY,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _hear() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        raise SystemExit(1)  # the parent is gone
    return cast("dict[str, Any]", json.loads(line))


def _seal(job: Job) -> None:
    told = 0

    def progress(size: int) -> None:
        nonlocal told
        if size - told >= _STEP:
            told = size
            _say({"progress": size})

    def manifest(clips: tuple[ClipResult, ...]) -> bytes:
        _say({"clips": [asdict(clip) for clip in clips]})
        return base64.b64decode(_hear()["manifest"], validate=True)

    _say({"done": asdict(seal_response(job, manifest, progress=progress))})


def _refusal(error: ProtocolError) -> dict[str, object]:
    return {"code": error.code, "message": error.message, "evidence": error.evidence, "hint": error.hint}


def _probe(path: Path) -> dict[str, object]:
    try:
        return asdict(probe(path))
    except ProtocolError as error:
        return {"refused": _refusal(error)}


def main() -> int:
    """Serve one job; see the module's docstring."""
    job = _hear()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # it would set memory aside for every processor, beyond the limit
    os.nice(int(job.get("nice", 0)))
    _confine(int(job["cpu"]))
    try:
        if job["do"] == "seal":
            _seal(_job_in(job["job"]))
        elif job["do"] == "look":
            looks.serve(job, _say)
        elif job["do"] == "probe":
            for path in job["paths"]:
                _say({"probe": _probe(Path(path))})
        elif job["do"] == "pictures":
            seen = pictures_of(Path(job["path"]))
            _say({"pictures": None if seen is None else base64.b64encode(seen.digests).decode()})
        elif job["do"] == "keys":
            for path, at in job["places"]:
                _say({"key": key_before(Path(path), at)})
        else:
            _say({"decodes": decodes(Path(job["path"]), job["seconds"])})
    except ProtocolError as error:
        _say({"error": _refusal(error)})
        return 2
    except MemoryError:
        _say({"error": {"code": "clip.limits", "message": "the recording needs too much memory"}})
        return 2
    except OSError as error:
        _say({"os_error": [error.errno, error.strerror]})
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
