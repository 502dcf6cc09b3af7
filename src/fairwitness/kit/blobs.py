"""Where large bytes lie: written once, durable before the call returns, never whole in memory."""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from fairwitness.kit import clock, config, files
from fairwitness.kit.errors import Refused

_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._\-]{0,127}")
_MAX_STEPS = 6
_CHUNK = 1 << 20
MAX_PARTS = 100_000


class BlobError(Exception):
    """A blob could not be stored or read as asked."""


class BlobExists(BlobError):
    """A blob or part of this name exists with other bytes; nothing was changed."""


class BlobMissing(BlobError):
    """There is no such blob, or a part is missing."""


class BlobTooLarge(BlobError):
    """The bytes passed the stated limit; nothing was stored."""


class BlobsUnavailable(BlobError, Refused):
    """The server of the blobs was not reached or refused; what was asked for may or may not have been done. Ask again."""

    def __init__(self, error: Exception) -> None:
        """Name the error's kind alone: a client's texts quote addresses and answers."""
        self.kind = type(error).__name__
        Refused.__init__(
            self, 503, "storage.unavailable", f"The storage of sealed files failed ({self.kind}).", "Try again soon."
        )


class BadName(BlobError):
    """The name is not one that a store accepts."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored: its size in bytes and SHA-256 (32 bytes)."""

    size: int
    sha256: bytes


class BlobStore(Protocol):
    """A write-once store of named bytes. Every implementation MUST keep the promises that each method states."""

    def put(self, name: str, chunks: Iterable[bytes], *, max_bytes: int) -> Stored:
        """Store a new blob. On return it MUST be durable; on any error nothing of it may be visible under `name`.

        The same bytes again succeed. Raises BlobExists (other bytes), BlobTooLarge, BadName, DiskFull.
        """

    def put_part(self, name: str, number: int, chunks: Iterable[bytes], *, max_bytes: int) -> Stored:
        """Store part `number` (from 1) of the future blob `name`, durable on return; the same bytes again succeed."""

    def parts(self, name: str) -> dict[int, int]:
        """Return the stored parts' numbers and sizes in bytes."""

    def join(self, name: str, count: int, *, max_bytes: int) -> Stored:
        """Make parts 1..count the blob `name`, atomically, and forget the parts. Raises BlobMissing, BlobTooLarge."""

    def open(self, name: str) -> BinaryIO:
        """Open a blob for reading (seekable). Raises BlobMissing."""

    def size(self, name: str) -> int:
        """Return the size in bytes. Raises BlobMissing."""

    def exists(self, name: str) -> bool:
        """Tell whether the blob is stored."""

    def delete(self, name: str) -> bool:
        """Remove the blob and its parts; durable on return. Tells whether there was anything to remove."""

    def drop_parts(self, name: str) -> bool:
        """Remove parts that a joined blob needs no more, which a kill within `join` left. Tells whether there were any."""

    def names(self, under: str = "") -> Iterator[str]:
        """Yield the names of all blobs, sorted; with `under`, of those whose name begins with it and a slash."""

    def unfinished(self, under: str = "") -> Iterator[str]:
        """Yield the names of blobs of which parts are stored, sorted, as `names` does."""

    def free(self) -> int | None:
        """Return how many bytes there is room for; None where the store knows no end."""


def store_of(cfg: config.RoleConfig, area: str) -> BlobStore:
    """Return the store of the blobs of one kind: the folder `area` of the data folder, or of the bucket in `[blobs]`.

    Raises ConfigError, UnsafeMode.
    """
    if not cfg.blobs.url:
        return FileBlobs(cfg.folder(area))
    from fairwitness.kit import blobs_s3  # noqa: PLC0415 - only nodes that use it load its client

    return blobs_s3.store_of(cfg, area)


def check_name(name: str) -> str:
    """Return `name` if it is one to six steps of [A-Za-z0-9_.-] joined by slashes; raises BadName."""
    steps = name.split("/")
    if len(steps) > _MAX_STEPS or not all(_STEP.fullmatch(step) for step in steps):
        raise BadName("a blob's name is one to six steps of letters, digits, '_', '.', '-' and starts with no dot")
    return name


def chunks_of(stream: BinaryIO, size: int = _CHUNK) -> Iterator[bytes]:
    """Yield what is left of `stream` in chunks of at most `size` bytes."""
    while chunk := stream.read(size):
        yield chunk


class FileBlobs:
    """A BlobStore in a private folder: files of mode 0600, written beside and renamed, file and folder synced."""

    def __init__(self, root: Path) -> None:
        self._root = files.private_dir(root)
        self._spares = files.private_dir(root / ".tmp")
        self._parts = files.private_dir(root / ".parts")

    def put(self, name: str, chunks: Iterable[bytes], *, max_bytes: int) -> Stored:
        """Store a new blob; see BlobStore.put."""
        return self._store(self._path(name), chunks, max_bytes)

    def put_part(self, name: str, number: int, chunks: Iterable[bytes], *, max_bytes: int) -> Stored:
        """Store one part; see BlobStore.put_part."""
        return self._store(self._part(name, number), chunks, max_bytes)

    def parts(self, name: str) -> dict[int, int]:
        """Return the stored parts' numbers and sizes in bytes."""
        folder = self._part_folder(name)
        if not folder.is_dir():
            return {}
        return {int(entry.name): entry.stat().st_size for entry in sorted(folder.iterdir()) if entry.name.isdigit()}

    def join(self, name: str, count: int, *, max_bytes: int) -> Stored:
        """Make parts 1..count one blob; see BlobStore.join."""
        if self.exists(name) and not self.parts(name):
            return self._describe(self._path(name))
        found = self.parts(name)
        missing = [number for number in range(1, count + 1) if number not in found]
        if missing or len(found) != count:
            raise BlobMissing(f"expected parts 1 to {count}, {len(missing)} of them are missing and {len(found)} are here")
        stored = self._store(self._path(name), self._read_parts(name, count), max_bytes)
        self.drop_parts(name)
        return stored

    def open(self, name: str) -> BinaryIO:
        """Open a blob for reading; raises BlobMissing."""
        try:
            return self._path(name).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise BlobMissing("there is no such blob") from error

    def size(self, name: str) -> int:
        """Return the size in bytes; raises BlobMissing."""
        if not self.exists(name):
            raise BlobMissing("there is no such blob")
        return self._path(name).stat().st_size

    def exists(self, name: str) -> bool:
        """Tell whether the blob is stored."""
        return self._path(name).is_file()

    def delete(self, name: str) -> bool:
        """Remove the blob and its parts, durably."""
        path = self._path(name)
        there = path.is_file()
        if there:
            path.unlink()
            files.sync_folder(path.parent)
        return self._forget_parts(name) or there

    def names(self, under: str = "") -> Iterator[str]:
        """Yield the names of all blobs, sorted; see BlobStore.names."""
        found = []
        for folder, folders, entries in os.walk(self._path(under) if under else self._root):
            folders[:] = [f for f in folders if not f.startswith(".")]
            found += [(Path(folder) / entry).relative_to(self._root).as_posix() for entry in entries if not entry.startswith(".")]
        yield from sorted(found)

    def unfinished(self, under: str = "") -> Iterator[str]:
        """Yield the names of blobs of which parts are stored, sorted, as `names` does."""
        for entry in sorted(self._parts.iterdir()):
            name = entry.name.replace("+", "/")
            if not under or name.startswith(f"{under}/"):
                yield name

    def free(self) -> int | None:
        """Return the free bytes of the folder's disk."""
        return shutil.disk_usage(self._root).free

    def clear_spares(self, idle: int = 0) -> int:
        """Remove what an interrupted write left behind and nobody wrote to for `idle` seconds. Returns how many.

        With 0 call it before any writer.
        """
        count = 0
        for entry in self._spares.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if not idle or entry.stat().st_mtime < clock.now() - idle:
                    entry.unlink()
                    count += 1
        return count

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    def _part_folder(self, name: str) -> Path:
        return self._parts / check_name(name).replace("/", "+")

    def _part(self, name: str, number: int) -> Path:
        if not 1 <= number <= MAX_PARTS:
            raise BadName(f"a part's number is between 1 and {MAX_PARTS}")
        return self._part_folder(name) / f"{number:06d}"

    def _read_parts(self, name: str, count: int) -> Iterator[bytes]:
        for number in range(1, count + 1):
            with self._part(name, number).open("rb") as stream:
                yield from chunks_of(stream)

    def drop_parts(self, name: str) -> bool:
        """Remove what a joined blob needs no more; parts without a blob stay."""
        return self.exists(name) and self._forget_parts(name)

    def _forget_parts(self, name: str) -> bool:
        folder = self._part_folder(name)
        if not folder.is_dir():
            return False
        shutil.rmtree(folder)
        files.sync_folder(self._parts)
        return True

    def _store(self, path: Path, chunks: Iterable[bytes], max_bytes: int) -> Stored:
        spare = self._spares / secrets.token_hex(12)
        digest = hashlib.sha256()
        size = 0
        with files.disk_errors("a blob"):
            handle = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.PRIVATE_FILE)
            try:
                try:
                    for chunk in chunks:
                        size += len(chunk)
                        if size > max_bytes:
                            raise BlobTooLarge(f"more than {max_bytes} bytes came")
                        digest.update(chunk)
                        files.write_all(handle, chunk)
                    os.fsync(handle)
                finally:
                    os.close(handle)
                self._link(spare, path, Stored(size, digest.digest()))
            finally:
                spare.unlink(missing_ok=True)
        return Stored(size, digest.digest())

    def _link(self, spare: Path, path: Path, stored: Stored) -> None:
        """Give the finished file its name; a hard link fails where a rename would silently replace."""
        fresh = [p for p in (path.parent, *path.parent.parents) if p.is_relative_to(self._root) and not p.exists()]
        files.private_dir(path.parent)
        for folder in fresh:
            files.sync_folder(folder.parent)
        try:
            os.link(spare, path)
        except FileExistsError as error:
            if self._describe(path) != stored:
                raise BlobExists("this name holds other bytes") from error
        with contextlib.suppress(FileNotFoundError):
            spare.unlink()
        files.sync_folder(path.parent)

    def _describe(self, path: Path) -> Stored:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
        return Stored(path.stat().st_size, digest.digest())
