import errno
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairwitness.kit import blobs, files
from fairwitness.kit.blobs import BadName, BlobExists, BlobMissing, BlobTooLarge, FileBlobs, check_name


@pytest.fixture
def store(tmp_path):
    return FileBlobs(tmp_path / "b")


def put(store, name, data, limit=100):
    return store.put(name, [data[:2], data[2:]], max_bytes=limit)


def test_put_reads_back_and_is_private(store, tmp_path):
    stored = put(store, "a/b/c", b"hello")
    assert (stored.size, stored.sha256) == (5, hashlib.sha256(b"hello").digest())
    with store.open("a/b/c") as stream:
        assert b"".join(blobs.chunks_of(stream, 2)) == b"hello"
    assert store.size("a/b/c") == 5
    assert (tmp_path / "b/a/b/c").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b/a").stat().st_mode & 0o777 == 0o700
    assert list(store.names()) == ["a/b/c"]


def test_written_once(store):
    put(store, "a", b"one")
    assert put(store, "a", b"one").size == 3
    with pytest.raises(BlobExists):
        put(store, "a", b"two")
    with store.open("a") as stream:
        assert stream.read() == b"one"


def test_limit_and_failure_leave_nothing(store, tmp_path):
    with pytest.raises(BlobTooLarge):
        put(store, "a", b"12345", limit=4)

    def breaks():
        yield b"1"
        raise RuntimeError("the sender left")

    with pytest.raises(RuntimeError):
        store.put("b", breaks(), max_bytes=10)
    assert list(store.names()) == []
    assert list((tmp_path / "b/.tmp").iterdir()) == []
    assert not store.exists("a")


@pytest.mark.parametrize("step", ["write", "fsync", "link"])
def test_full_disk_leaves_nothing(store, tmp_path, monkeypatch, step):
    def full(*_args):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(files.DiskFull):
        put(store, "a", b"12345")
    monkeypatch.undo()
    assert not store.exists("a")
    assert list((tmp_path / "b/.tmp").iterdir()) == []
    put(store, "a", b"12345")


def test_parts_join_once(store, tmp_path):
    store.put_part("up", 2, [b"def"], max_bytes=9)
    with pytest.raises(BlobMissing):
        store.join("up", 2, max_bytes=9)
    store.put_part("up", 1, [b"abc"], max_bytes=9)
    store.put_part("up", 1, [b"abc"], max_bytes=9)
    with pytest.raises(BlobExists):
        store.put_part("up", 1, [b"abX"], max_bytes=9)
    assert store.parts("up") == {1: 3, 2: 3}
    with pytest.raises(BlobTooLarge):
        store.join("up", 2, max_bytes=5)
    with pytest.raises(BlobMissing):
        store.join("up", 1, max_bytes=9)
    stored = store.join("up", 2, max_bytes=9)
    assert stored.sha256 == hashlib.sha256(b"abcdef").digest()
    assert store.join("up", 2, max_bytes=9) == stored
    assert store.parts("up") == {}
    assert list((tmp_path / "b/.parts").iterdir()) == []


def test_delete(store):
    put(store, "a", b"1")
    store.put_part("a2", 1, [b"x"], max_bytes=1)
    assert store.delete("a")
    assert not store.delete("a")
    assert store.delete("a2")
    assert store.parts("a2") == {}
    for read in (store.open, store.size):
        with pytest.raises(BlobMissing):
            read("a")


@pytest.mark.parametrize(
    "name", ["", "/", "..", "a/..", "../a", "/a", "a//b", ".a", "a/.b", "a b", "a\0", "é", "a/b/c/d/e/f/g", "a\n"]
)
def test_bad_names(store, name):
    for act in (store.exists, store.open, store.delete, store.parts, lambda n: put(store, n, b"")):
        with pytest.raises(BadName):
            act(name)


@given(st.text(max_size=40))
def test_no_accepted_name_leaves_the_folder(name):
    try:
        check_name(name)
    except BadName:
        return
    assert not any(step.startswith(".") or not step for step in name.split("/"))


def test_bad_part_numbers(store):
    for number in (0, -1, blobs.MAX_PARTS + 1):
        with pytest.raises(BadName):
            store.put_part("a", number, [b""], max_bytes=1)


def test_clear_spares(store, tmp_path):
    (tmp_path / "b/.tmp/left").write_bytes(b"x")
    assert store.clear_spares() == 1
