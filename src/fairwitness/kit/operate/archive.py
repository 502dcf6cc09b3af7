"""The archive of a backup: a plain tar whose last member, `manifest.json`, has the size and SHA-256 of every other one.

Nothing in it is needed to be believed: `Archive.open` reads it whole and compares before a byte is written anywhere. The
manifest's own hash is printed when the archive is made; with it a restore also knows that it is *that* archive.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from fairwitness_core.crypto import seal

from fairwitness.kit import files, foreign

MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_MAX_MANIFEST = 1 << 28
_MAX_PATH = 4096
UNREADABLE = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)
"""What tarfile raises for bytes that are no tar: its own errors, and others for numbers and names that cannot be."""


class BackupError(Exception):
    """A backup or restore that cannot be done as asked; nothing that was there before was changed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive."""

    path: str
    size: int
    sha256: str


class Writer:
    """Writes an archive to `out`, which appears only when it is complete and on disk, mode 0600."""

    def __init__(self, out: Path) -> None:
        if out.exists():
            raise BackupError(f"{out} is there already; name another file, or move it away")
        self._out = out
        self._spare = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        self.entries: dict[str, Entry] = {}
        handle = os.open(self._spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE)
        self._stream = os.fdopen(handle, "wb")
        self._tar = tarfile.open(fileobj=self._stream, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed below

    def add(self, path: str, source: BinaryIO, size: int) -> None:
        """Add `size` bytes of `source` as `path`. Raises BackupError where it has fewer, DiskFull."""
        counting = _Hashing(source, path)
        with files.disk_errors(self._out.name):
            self._tar.addfile(_member(path, size), _Exactly(counting, size, path))
        self.entries[path] = Entry(path, size, counting.digest.hexdigest())

    def add_bytes(self, path: str, data: bytes) -> None:
        """Add a small file."""
        self.add(path, io.BytesIO(data), len(data))

    def finish(self, about: Mapping[str, Any]) -> str:
        """Write the manifest with `about`, make the archive durable and return the manifest's SHA-256."""
        listed = [{"path": e.path, "size": e.size, "sha256": e.sha256} for _, e in sorted(self.entries.items())]
        manifest = json.dumps({"v": 1, "type": "backup", **about, "files": listed}, sort_keys=True, ensure_ascii=False).encode()
        with files.disk_errors(self._out.name):
            self._tar.addfile(_member(MANIFEST, len(manifest)), io.BytesIO(manifest))
            self._tar.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            os.link(self._spare, self._out)  # unlike a rename, this never takes the place of a file made meanwhile
            self._spare.unlink()
            files.sync_folder(self._out.parent)
        return hashlib.sha256(manifest).hexdigest()

    def abandon(self) -> None:
        """Leave nothing behind; harmless after `finish`."""
        self._stream.close()
        self._spare.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that was read whole, every hash compared."""

    path: Path
    about: Mapping[str, Any]
    entries: Mapping[str, Entry]
    sha256: str

    @classmethod
    def open(cls, path: Path, *, expect: str = "") -> "Archive":
        """Verify the archive in `path`. Raises BackupError naming the first thing that is wrong.

        On return: 1. each member is a plain file under a plain relative name, each once; 2. the manifest is the last one
        (and, with `expect`, has that SHA-256); 3. files and manifest name the same paths with the same sizes and hashes.
        """
        seen: dict[str, Entry] = {}
        manifest: bytes | None = None
        try:
            with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in tar:
                    # 1.
                    _check_member(member, seen)
                    if manifest is not None:
                        raise BackupError(f"{path}: {member.name} comes after the manifest")
                    source = tar.extractfile(member)
                    if source is None:
                        raise BackupError(f"{path}: {member.name} is no plain file")
                    if member.name == MANIFEST:
                        if member.size > _MAX_MANIFEST:
                            raise BackupError(f"{path}: the manifest is too long")
                        manifest = source.read()
                        continue
                    digest = hashlib.sha256()
                    size = 0
                    while chunk := source.read(_CHUNK):
                        digest.update(chunk)
                        size += len(chunk)
                    if size != member.size:
                        raise BackupError(f"{path}: {member.name} is cut off")
                    seen[member.name] = Entry(member.name, size, digest.hexdigest())
        except UNREADABLE as error:
            raise BackupError(f"{path} is no backup, or is damaged: {error}") from error
        # 2.
        if manifest is None:
            raise BackupError(f"{path} has no manifest at its end: it was cut off while it was written or copied")
        found = hashlib.sha256(manifest).hexdigest()
        if expect and expect.lower() != found:
            raise BackupError(f"{path} is another archive than the one asked for: its manifest's SHA-256 is {found}")
        # 3.
        about, listed = _read_manifest(path, manifest)
        if listed != seen:
            wrong = sorted(name for name in {*listed, *seen} if listed.get(name) != seen.get(name))
            raise BackupError(f"{path}: {wrong[0]} is not what the manifest says ({len(wrong)} in all); do not use this copy")
        return cls(path, about, seen, found)

    def members(self, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[tuple[Entry, seal.Readable]]:
        """Yield each `wanted` file with its bytes, to be read whole; raises BackupError where they are not those `open` saw."""
        with self.path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if member.name == MANIFEST:
                    return
                if not wanted(member.name):
                    continue
                entry, source = self.entries.get(member.name), tar.extractfile(member)
                if entry is None or source is None:
                    raise BackupError(f"{self.path} changed while it was read")
                hashing = _Hashing(source, member.name)
                yield entry, hashing
                if hashing.digest.hexdigest() != entry.sha256:
                    raise BackupError(f"{self.path} changed while it was read")


def check_name(name: str) -> str:
    """Return `name` if it is a plain relative path of at least one step; raises BackupError."""
    pure = PurePosixPath(name)
    plain = name == str(pure) and not pure.is_absolute() and "\0" not in name and len(name) <= _MAX_PATH
    if not plain or any(step in ("", ".", "..") for step in pure.parts) or not pure.parts:
        raise BackupError(f"an archive must not name {name!r}")
    return name


def _check_member(member: tarfile.TarInfo, seen: Mapping[str, Entry]) -> None:
    check_name(member.name)
    if not member.isreg() or member.issparse():
        raise BackupError(f"{member.name} is no plain file")
    if member.name in seen:
        raise BackupError(f"{member.name} stands in the archive twice")


def _read_manifest(path: Path, data: bytes) -> tuple[dict[str, Any], dict[str, Entry]]:
    try:
        value = foreign.json_value(data)
        if not isinstance(value, dict) or value.get("type") != "backup":
            raise BackupError(f"{path} is no backup of this program")
        if value.get("v") != 1:
            raise BackupError(f"{path} was made by a newer version; restore it with that version")
        listed = {str(item["path"]): Entry(item["path"], item["size"], item["sha256"]) for item in value.pop("files")}
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path}: the manifest cannot be read: {type(error).__name__}") from error
    return value, listed


def _member(path: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(check_name(path))
    info.size, info.mode = size, files.PRIVATE_FILE
    return info


class _Hashing:
    def __init__(self, source: Any, path: str) -> None:
        self._source = source
        self._path = path
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data: bytes = self._source.read(size)
        self.digest.update(data)
        return data


class _Exactly:
    """Reads exactly `size` bytes, however long the file has become; a shorter one is an error, never padding."""

    def __init__(self, source: _Hashing, size: int, path: str) -> None:
        self._source, self._left, self._path = source, size, path

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = bytearray()
        while len(data) < wanted:
            chunk = self._source.read(wanted - len(data))
            if not chunk:
                raise BackupError(f"{self._path} became shorter while it was copied; run the backup again")
            data += chunk
        self._left -= wanted
        return bytes(data)
