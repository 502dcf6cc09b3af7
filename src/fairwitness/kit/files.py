"""Files that survive a power cut: atomic writes, durable appends, private folders and locks."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

PRIVATE_FILE = 0o600
_SPARE = len("0123456789ab.tmp")  # what follows a file's name in the name of a spare
PRIVATE_FOLDER = 0o700


class DiskFull(OSError):
    """No space (or no quota) is left; nothing was stored and what stood before still stands."""


class UnsafeMode(Exception):
    """A secret file can be read by others, or is not a plain file of ours."""


class Locked(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT inside the block into DiskFull naming `what`; let every other error through."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(error.errno, f"no space left to store {what}; free some space, nothing was lost") from error
        raise


def sync_folder(path: Path) -> None:
    """Make the names inside the folder `path` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write all of `data` to the file descriptor `handle`, however short each write is."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def write_atomic(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Replace the file `path` by `data` so that a reader, or a restart, sees the old bytes or the new and nothing else.

    The bytes and the name are on disk when this returns. Raises DiskFull, or OSError.
    """
    spare = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(path.name):
        handle = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            try:
                os.fchmod(handle, mode)
                write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            spare.replace(path)
        except BaseException:
            spare.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def spares_of(path: Path) -> list[Path]:
    """Return what interrupted `write_atomic` calls left beside the file `path`; only while nobody else writes it."""
    start = f".{path.name}."
    return sorted(p for p in path.parent.glob(".*.tmp") if p.name.startswith(start) and len(p.name) == len(start) + _SPARE)


def append_durable(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> int:
    """Append `data` to the file `path` and return the offset at which it stands; it is on disk when this returns.

    If the write fails the file is cut back to its former length. Raises DiskFull, or OSError. One writer at a time: hold
    a FileLock.
    """
    with disk_errors(path.name):
        fresh = not path.exists()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, mode)
        try:
            start = os.fstat(handle).st_size
            try:
                write_all(handle, data)
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, start)
                raise
        finally:
            os.close(handle)
        if fresh:
            sync_folder(path.parent)
    return start


def private_dir(path: Path) -> Path:
    """Create the folder `path` (and its parents) for this user alone and return it; an open folder is closed to others."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    with disk_errors(path.name):
        for folder in reversed(missing):
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(PRIVATE_FOLDER)
    return path


def require_mode(path: Path, mode: int = PRIVATE_FILE) -> None:
    """Raise UnsafeMode unless `path` is a plain file of this user with no more permission bits than `mode`."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeMode(f"{path} must be a plain file, not a link or a device")
    if found.st_uid != os.geteuid():
        raise UnsafeMode(f"{path} belongs to another user; change its owner to the user that runs this role")
    bits = stat.S_IMODE(found.st_mode)
    if bits & ~mode:
        raise UnsafeMode(f"{path} has mode {bits:04o}; others could read it. Run: chmod {mode:04o} {path}")


def read_secret(path: Path, max_bytes: int = 65536) -> bytes:
    """Return the bytes of a secret file after require_mode; raises UnsafeMode, OSError, or ValueError if it is too long."""
    require_mode(path)
    with path.open("rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"{path} is longer than {max_bytes} bytes")
    return data


class FileLock:
    """An advisory lock that one process (and one holder in it) has at a time; it goes with the process that held it.

    `with FileLock(path):` waits; `FileLock(path).acquire(wait=False)` raises Locked when another holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Tell whether this object holds the lock."""
        return self._handle is not None

    def acquire(self, *, wait: bool = True) -> Self:
        """Take the lock, waiting if `wait`; raises Locked when not waiting, or when this object holds it already."""
        if self._handle is not None:
            raise Locked(f"{self._path.name} is held by this very object")
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            os.close(handle)
            raise Locked(f"another process holds {self._path.name}") from error
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return self

    def release(self) -> None:
        """Let the lock go; does nothing when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        """Take the lock, waiting for it."""
        return self.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let the lock go."""
        self.release()
