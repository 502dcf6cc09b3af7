"""Positioned reads and writes for files that many share, and replacement whose folder is synced once for many files."""

import os
from collections.abc import Iterable
from pathlib import Path

_GROUP = 128


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
    replace_all([(target, data)], mode=mode)


def replace_all(items: Iterable[tuple[Path, bytes]], *, mode: int = 0o644) -> None:
    """Do as `replace` for each target and its bytes, in order.

    All of a group are written before the first is synced: the disk then has one journal to close, not one each.
    """
    group: list[tuple[int, Path, Path]] = []
    try:
        for target, data in items:
            work = target.with_name(f"{target.name}.tmp")
            fd = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            group.append((fd, work, target))
            pwrite_all(fd, data, 0)
            if len(group) >= _GROUP:
                _finish(group)
        _finish(group)
    finally:
        for fd, _, _ in group:
            os.close(fd)


def _finish(group: list[tuple[int, Path, Path]]) -> None:
    for fd, _, _ in group:
        os.fsync(fd)
    while group:
        fd, work, target = group.pop(0)
        os.close(fd)
        rename(work, target)


def rename(source: Path, target: Path) -> None:
    """Move a file or folder over `target` in one step; durable once the caller has synced the folder."""
    os.replace(source, target)  # noqa: PTH105 - by this name a test can stop the process here
