"""One pass from recordings to a sealed response on disk (design.md 9.5).

cuts -> clean fMP4 -> FWR1 frames -> age -> ciphertext spool (0600), hashed on the way. No plaintext touches the disk and no
clip is ever whole in memory. The spool appears under its name only when it is complete and synced; until then it is NAME.part,
which a new start removes.
"""

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fairwitness_core.crypto import seal
from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.frames import MAX_CLIPS, ClipDigest, FrameSource, clip_name

from fairwitness.kit.video.clip import ClipFacts, ClipPass, Cut

MIME: Final = "video/mp4"
_BATCH: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """What to seal, to whom (age recipients), and the name of the spool file to make."""

    cuts: tuple[Cut, ...]
    recipients: tuple[str, ...]
    spool: Path

    def __post_init__(self) -> None:
        """Refuse a job that could not end well."""
        if not 1 <= len(self.cuts) <= MAX_CLIPS:
            raise ProtocolError("spool.clips", f"a response has 1 to {MAX_CLIPS} clips", evidence=str(len(self.cuts)))
        for recipient in self.recipients:
            seal.check_recipient(recipient)


@dataclass(frozen=True, slots=True)
class ClipResult:
    """One clip as the manifest names it.

    `start` and `end` are the true times in seconds from the recording's first picture: a copied clip begins at a key frame,
    which may lie before the time that was asked for. `sha256` (hex) and `bytes` are of the clean clip.
    `covered`: how many areas were covered in each of its pictures; `regions`: how many that move were followed through them.
    """

    name: str
    sha256: str
    bytes: int
    start: float
    end: float
    mime: str
    seconds: float
    tracks: tuple[str, ...]
    transcoded: bool
    covered: int = 0
    regions: int = 0


@dataclass(frozen=True, slots=True)
class SpoolResult:
    """A complete spool: SHA-256 (hex) and size of the ciphertext, and the clips inside."""

    sha256: str
    size: int
    clips: tuple[ClipResult, ...]


class _Spool:
    """The ciphertext on its way to disk.

    A thread hashes and writes, because both release the GIL that pyrage holds: sealing goes on meanwhile. At most three
    batches are in memory.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] | None) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self._progress = progress
        self._batch: list[bytes] = []
        self._held = 0
        self._queue: queue.Queue[bytes | None] = queue.Queue(maxsize=1)
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._store, name="spool")
        self.size = 0
        try:
            self._thread.start()
        except RuntimeError as error:
            os.close(self._file)
            raise MemoryError("no room for another thread") from error

    def write(self, data: bytes) -> None:
        self._batch.append(data)
        self._held += len(data)
        self.size += len(data)
        if self._held >= _BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._queue.put(b"".join(self._batch))
        self._batch.clear()
        self._held = 0
        if self._progress is not None:
            self._progress(self.size)

    def _store(self) -> None:
        while (data := self._queue.get()) is not None:
            if self._failure is not None:
                continue  # go on emptying the queue, so that the sealer is not left waiting
            self._hash.update(data)
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._file, view) :]
            except OSError as error:
                self._failure = error

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def sync(self) -> str:
        """Write what is left, make it durable, and return the hash (hex) of all of it."""
        self._hand_over()
        self._stop()
        if self._failure is not None:
            raise self._failure
        os.fsync(self._file)
        return self._hash.hexdigest()

    def close(self) -> None:
        self._stop()
        os.close(self._file)


def part_of(spool: Path) -> Path:
    """Return the name that an unfinished spool has."""
    return spool.with_name(spool.name + ".part")


def seal_response(
    job: Job,
    make_manifest: Callable[[tuple[ClipResult, ...]], bytes],
    *,
    progress: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> SpoolResult:
    """Run `job` in this process and return the complete spool's facts.

    `make_manifest` is called once, when every clip's hash, size and true times are known; `progress` with the ciphertext's size
    so far. Raises ProtocolError (`clip.*`, `frames.*`, `seal.*`), OSError when the disk fails, and whatever `make_manifest`
    raises; then no spool is left. It holds the GIL and decodes hostile files: a role calls `worker.pass_to_spool`.
    """
    part = part_of(job.spool)
    part.unlink(missing_ok=True)
    passes: list[ClipPass] = []
    results: list[ClipResult] = []

    def clips() -> Iterator[tuple[str, Iterable[bytes]]]:
        for index, cut in enumerate(job.cuts):
            passes.append(ClipPass(cut, cancelled=cancelled))
            yield clip_name(index), passes[-1]

    def manifest(digests: tuple[ClipDigest, ...]) -> bytes:
        results.extend(_result(digest, done.facts) for digest, done in zip(digests, passes, strict=True))
        return make_manifest(tuple(results))

    try:
        spool = _Spool(part, progress)
        try:
            seal.seal_stream(FrameSource(clips(), manifest), spool, job.recipients)
            digest = spool.sync()
        finally:
            spool.close()
        part.replace(job.spool)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(job.spool.parent)
    return SpoolResult(digest, spool.size, tuple(results))


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _result(digest: ClipDigest, facts: ClipFacts) -> ClipResult:
    return ClipResult(
        name=digest.name,
        sha256=digest.sha256.hex(),
        bytes=digest.size,
        start=facts.start,
        end=facts.end,
        mime=MIME,
        seconds=facts.seconds,
        tracks=facts.tracks,
        transcoded=facts.transcoded,
        covered=facts.covered,
        regions=facts.regions,
    )
