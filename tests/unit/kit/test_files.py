import errno
import os
import stat
import subprocess
import sys

import pytest

from fairwitness.kit import files


def full(*_args):
    raise OSError(errno.ENOSPC, "full")


def test_write_atomic_replaces_whole_and_private(tmp_path):
    target = tmp_path / "a"
    files.write_atomic(target, b"one")
    files.write_atomic(target, b"two")
    assert target.read_bytes() == b"two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_full_disk_keeps_what_stood(tmp_path, monkeypatch, step):
    target = tmp_path / "a"
    files.write_atomic(target, b"one")
    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(files.DiskFull, match="nothing was lost"):
        files.write_atomic(target, b"two")
    with pytest.raises(files.DiskFull):
        files.append_durable(target, b"more")
    monkeypatch.undo()
    assert target.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_append_cuts_back_a_half_written_record(tmp_path, monkeypatch):
    target = tmp_path / "a"
    assert files.append_durable(target, b"one") == 0
    real, calls = os.write, []

    def half(handle, data):
        calls.append(1)
        return real(handle, bytes(data)[:1]) if len(calls) == 1 else full()

    monkeypatch.setattr(files.os, "write", half)
    with pytest.raises(files.DiskFull):
        files.append_durable(target, b"two")
    monkeypatch.undo()
    assert target.read_bytes() == b"one"
    assert files.append_durable(target, b"two") == 3
    assert target.read_bytes() == b"onetwo"


def test_other_errors_pass(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.write_atomic(tmp_path / "no" / "a", b"")


def test_private_dir_closes_an_open_folder(tmp_path):
    (tmp_path / "x").mkdir(mode=0o755)
    assert stat.S_IMODE(files.private_dir(tmp_path / "x").stat().st_mode) == 0o700
    assert stat.S_IMODE(files.private_dir(tmp_path / "y" / "z").stat().st_mode) == 0o700


def test_require_mode(tmp_path):
    key = tmp_path / "key"
    files.write_atomic(key, b"s")
    assert files.read_secret(key) == b"s"
    key.chmod(0o640)
    with pytest.raises(files.UnsafeMode, match=r"mode 0640.*chmod 0600"):
        files.read_secret(key)
    (tmp_path / "link").symlink_to(key)
    with pytest.raises(files.UnsafeMode, match="plain file"):
        files.require_mode(tmp_path / "link")
    key.chmod(0o400)
    files.require_mode(key)


def test_long_secret_is_refused(tmp_path):
    files.write_atomic(tmp_path / "k", b"x" * 11)
    with pytest.raises(ValueError, match="longer"):
        files.read_secret(tmp_path / "k", 10)


def test_lock_is_exclusive_and_ends_with_its_process(tmp_path):
    path = tmp_path / "lock"
    with files.FileLock(path) as lock:
        assert lock.held
        with pytest.raises(files.Locked):
            files.FileLock(path).acquire(wait=False)
        with pytest.raises(files.Locked):
            lock.acquire()
    code = f"from fairwitness.kit.files import FileLock; from pathlib import Path; FileLock(Path({str(path)!r})).acquire()"
    subprocess.run([sys.executable, "-c", code], check=True)
    lock = files.FileLock(path).acquire(wait=False)
    lock.release()
    lock.release()
    assert not lock.held
