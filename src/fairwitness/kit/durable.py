"""Positioned reads and writes for files that many share, and replacement whose folder is synced once for many files."""

import os
from pathlib import Path


def pread_all(fd: int, length: int, at: int) -> bytes:
    """Read `length` bytes at `at`; fewer only where the file ends."""
    data = os.pread(fd, length, at)
    while len(data) < length:
        more = os.pread(fd, length - len(data), at + len(data))
        if not more:
            break
        data += more
    return data


def pwrite_all(fd: int, data: bytes | bytearray, at: int) -> None:
    """Write all of `data` at `at`; the caller syncs."""
    done = os.pwrite(fd, data, at)
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], at + done)


def replace(target: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put `data` at `target` whole or not at all; the name is durable once the caller has synced the folder."""
    work = target.with_name(f"{target.name}.tmp")
    fd = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        pwrite_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    rename(work, target)


def rename(source: Path, target: Path) -> None:
    """Move a file or folder over `target` in one step; durable once the caller has synced the folder."""
    os.replace(source, target)  # noqa: PTH105 - by this name a test can stop the process here
