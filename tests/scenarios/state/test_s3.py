"""Blobs in a bucket keep every promise that blobs in a folder keep, on two servers; and strangers are turned away."""

import hashlib
import io
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairwitness.kit import blobs, blobs_s3, config
from fairwitness.kit.blobs import BadName, BlobExists, BlobMissing, BlobsUnavailable, BlobTooLarge, FileBlobs
from fairwitness.kit.blobs_s3 import PIECE, S3Blobs, client_of
from fairwitness.kit.config import BlobsConfig, ConfigError
from tests.harness import s3


@pytest.fixture(scope="module")
def moto():
    with s3.moto() as server:
        yield server


@pytest.fixture(scope="module")
def nanio(tmp_path_factory):
    with s3.nanio(tmp_path_factory.mktemp("nanio")) as server:
        yield server


def settings_for(server, bucket, **changes):
    given = {"url": f"s3://{bucket}/town", "endpoint": server.endpoint, "timeout_seconds": 10}
    return BlobsConfig(**(given | {"write_once": "server" if server.conditional else "client"} | changes))


def open_store(server, folder, bucket=None, area="inbox"):
    found = settings_for(server, bucket or server.bucket())
    return S3Blobs(client_of(found, s3.credentials(folder)), area, conditional=server.conditional)


@pytest.fixture(params=["files", "moto", "nanio"])
def store(request, tmp_path):
    if request.param == "files":
        return FileBlobs(tmp_path / "b")
    return open_store(request.getfixturevalue(request.param), tmp_path)


def put(store, name, data, limit=1 << 30):
    return store.put(name, [data[:2], data[2:]], max_bytes=limit)


def read(store, name):
    with store.open(name) as stream:
        return stream.read()


def test_what_is_put_reads_back(store):
    stored = put(store, "a/b/c", b"hello")
    assert (stored.size, stored.sha256) == (5, hashlib.sha256(b"hello").digest())
    assert read(store, "a/b/c") == b"hello"
    assert store.size("a/b/c") == 5
    assert store.exists("a/b/c")
    put(store, "a/d", b"")
    put(store, "ab", b"1")
    assert read(store, "a/d") == b""
    assert list(store.names()) == sorted(["a/b/c", "a/d", "ab"])
    assert sorted(store.names("a")) == ["a/b/c", "a/d"]
    assert store.free() is None or store.free() > 0


def test_written_once(store):
    put(store, "a", b"one")
    assert put(store, "a", b"one").size == 3
    with pytest.raises(BlobExists):
        put(store, "a", b"two")
    assert read(store, "a") == b"one"


def test_limit_and_failure_leave_nothing(store):
    with pytest.raises(BlobTooLarge):
        put(store, "a", b"12345", limit=4)

    def breaks():
        yield bytes(PIECE + 1)
        raise RuntimeError("the sender left")

    with pytest.raises(RuntimeError):
        store.put("b", breaks(), max_bytes=PIECE * 2)
    assert list(store.names()) == []
    assert list(store.unfinished()) == []
    assert not store.exists("a")


def test_parts_join_once(store):
    store.put_part("up", 2, [b"d", b"ef"], max_bytes=9)
    with pytest.raises(BlobMissing):
        store.join("up", 2, max_bytes=9)
    store.put_part("up", 1, [b"abc"], max_bytes=9)
    store.put_part("up", 1, [b"abc"], max_bytes=9)
    with pytest.raises(BlobExists):
        store.put_part("up", 1, [b"abX"], max_bytes=9)
    with pytest.raises(BlobTooLarge):
        store.put_part("up", 3, [b"abX"], max_bytes=2)
    assert store.parts("up") == {1: 3, 2: 3}
    assert list(store.unfinished()) == ["up"]
    with pytest.raises(BlobTooLarge):
        store.join("up", 2, max_bytes=5)
    with pytest.raises(BlobMissing):
        store.join("up", 1, max_bytes=9)
    stored = store.join("up", 2, max_bytes=9)
    assert stored.sha256 == hashlib.sha256(b"abcdef").digest()
    assert store.join("up", 2, max_bytes=9) == stored
    assert store.parts("up") == {}
    assert list(store.unfinished()) == []
    assert read(store, "up") == b"abcdef"


def test_delete_takes_everything(store):
    put(store, "a", b"1")
    store.put_part("a2", 1, [b"x"], max_bytes=1)
    store.put_part("a3", 1, [b"x"], max_bytes=1)
    store.join("a3", 1, max_bytes=1)
    assert store.delete("a")
    assert not store.delete("a")
    assert store.delete("a2")
    assert store.delete("a3")
    assert store.parts("a2") == {}
    assert list(store.names()) == list(store.unfinished()) == []
    for act in (store.open, store.size):
        with pytest.raises(BlobMissing):
            act("a")
    put(store, "a", b"2")
    assert read(store, "a") == b"2"


@pytest.mark.parametrize("name", ["", "..", "a/..", "/a", "a//b", ".a", "a b", "a~b", "é", "a/b/c/d/e/f/g"])
def test_bad_names(store, name):
    for act in (store.exists, store.open, store.delete, store.parts, lambda n: put(store, n, b"")):
        with pytest.raises(BadName):
            act(name)


def test_deleted_means_nothing_is_left_in_the_bucket(moto, nanio, tmp_path):
    for server in (moto, nanio):
        bucket = server.bucket()
        store = open_store(server, tmp_path, bucket)
        put(store, "x/y", b"1" * (PIECE + 5))
        store.put_part("up", 1, [b"x"], max_bytes=1)
        assert len(server.paths(bucket)) == 4
        store.delete("x/y")
        store.delete("up")
        assert server.paths(bucket) == []


def test_a_big_blob_is_read_at_any_place_and_never_held_whole(moto, tmp_path):
    store = open_store(moto, tmp_path)
    pattern = hashlib.sha256(b"seed").digest() * 1024

    def chunks():
        for _ in range(640):  # 20 MiB
            yield pattern

    size = 640 * len(pattern)
    whole = pattern * 640
    assert store.put("big", chunks(), max_bytes=size).size == size
    with store.open("big") as stream:
        for place, length in ((0, 10), (PIECE - 3, 7), (PIECE * 2 - 1, 2), (size - 5, 50), (size, 1), (7, PIECE + 9)):
            stream.seek(place)
            assert stream.read(length) == whole[place : place + length], place
        assert stream.seek(-3, io.SEEK_END) == size - 3
        assert stream.read() == whole[-3:]


def test_of_writers_at_one_time_one_wins(moto, tmp_path):
    store = open_store(moto, tmp_path)
    outcomes = []
    start = threading.Barrier(6)

    def write(data):
        start.wait()
        try:
            put(store, "race", data)
            outcomes.append(data)
        except BlobExists:
            outcomes.append(None)

    threads = [threading.Thread(target=write, args=(b"%d" % n * 10,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [one for one in outcomes if one]
    assert read(store, "race") == winner
    assert list(store.unfinished()) == []


@pytest.mark.parametrize("lost", ["piece", "index", "part"])
def test_an_answer_that_was_lost_costs_nothing(moto, tmp_path, monkeypatch, lost):
    """The write is done and its answer never comes: once for each kind of object."""
    bucket = moto.bucket()
    store = open_store(moto, tmp_path, bucket)
    honest, state = blobs_s3.obstore.put, {"lost": False}

    def put_once(client, path, *rest, **named):
        found = honest(client, path, *rest, **named)
        if f"/{lost}/" in f"/{path}" and not state["lost"]:
            state["lost"] = True
            raise blobs_s3.faults.GenericError("connection reset")
        return found

    monkeypatch.setattr(blobs_s3.obstore, "put", put_once)

    def act():
        if lost == "part":
            return store.put_part("a", 1, [b"data"], max_bytes=9)
        return put(store, "a", b"data")

    with pytest.raises(BlobsUnavailable):
        act()
    assert act().size == 4
    if lost == "part":
        store.join("a", 1, max_bytes=9)
    assert read(store, "a") == b"data"
    store.delete("a")
    assert moto.paths(bucket) == []


def test_a_server_that_overwrites_is_refused(nanio, tmp_path):
    found = settings_for(nanio, nanio.bucket(), write_once="server")
    with pytest.raises(ConfigError, match="overwrites"):
        S3Blobs(client_of(found, s3.credentials(tmp_path)), "inbox").check()


def test_a_bucket_with_versions_is_refused(moto, tmp_path):
    store = open_store(moto, tmp_path, moto.bucket(versions=True))
    with pytest.raises(ConfigError, match="versions"):
        store.check()


def test_a_good_server_passes_its_check_and_is_left_as_it_was(moto, nanio, tmp_path):
    for server in (moto, nanio):
        bucket = server.bucket()
        open_store(server, tmp_path, bucket).check() if server.conditional else None
        assert server.paths(bucket) == []


def test_a_wrong_secret_is_turned_away(nanio, tmp_path):
    bucket = nanio.bucket()
    put(open_store(nanio, tmp_path, bucket), "a", b"1")
    thief = S3Blobs(
        client_of(settings_for(nanio, bucket), s3.credentials(tmp_path, secret="guessed")), "inbox", conditional=False
    )
    for act in (lambda: thief.open("a"), lambda: put(thief, "b", b"2"), lambda: list(thief.names()), lambda: thief.delete("a")):
        with pytest.raises(BlobsUnavailable) as caught:
            act()
        for secret in (s3.SECRET, s3.KEY, "guessed", bucket):
            assert secret not in str(caught.value)
    assert read(open_store(nanio, tmp_path, bucket), "a") == b"1"


def test_a_server_that_is_down_is_said_to_be_down(tmp_path):
    found = BlobsConfig(url="s3://none/x", endpoint="http://127.0.0.1:9", timeout_seconds=1)
    store = S3Blobs(client_of(found, s3.credentials(tmp_path)), "inbox")
    with pytest.raises(BlobsUnavailable) as caught:
        put(store, "a", b"1")
    assert caught.value.status == 503
    assert "127.0.0.1" not in str(caught.value)


def test_the_environment_is_not_asked(moto, tmp_path, monkeypatch):
    bucket = moto.bucket()
    put(open_store(moto, tmp_path, bucket), "a", b"1")
    for name, value in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT", "http://127.0.0.1:9"),
        ("AWS_REGION", "elsewhere"),
        ("AWS_SESSION_TOKEN", "foreign"),
        ("AWS_BUCKET", "other"),
    ):
        monkeypatch.setenv(name, value)
    assert read(open_store(moto, tmp_path, bucket), "a") == b"1"


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://bucket/x"},
        {"url": "s3://key:secret@bucket/x"},
        {"url": "s3:///x"},
        {"url": "s3://bucket/../x"},
        {"url": "s3://bucket/x?a=b"},
        {"endpoint": "http://s3.example.org"},
        {"endpoint": "https://user@s3.example.org"},
        {"endpoint": "ftp://s3.example.org"},
    ],
)
def test_addresses_that_are_refused(tmp_path, changes):
    with pytest.raises((ConfigError, BadName)):
        client_of(BlobsConfig(**({"url": "s3://bucket/x", "endpoint": "http://127.0.0.1:9"} | changes)), s3.credentials(tmp_path))


def test_credentials_come_from_a_private_file_alone(tmp_path):
    found = BlobsConfig(url="s3://bucket/x", endpoint="http://127.0.0.1:9")
    path = s3.credentials(tmp_path)
    path.chmod(0o640)
    with pytest.raises(blobs.files.UnsafeMode):
        client_of(found, path)
    path.chmod(0o600)
    path.write_text('access_key_id = "a"\n')
    with pytest.raises(ConfigError):
        client_of(found, path)
    path.write_text('access_key_id = "a"\nsecret_access_key = "b"\nother = "c"\n')
    with pytest.raises(ConfigError):
        client_of(found, path)
    with pytest.raises(ConfigError, match="missing"):
        client_of(found, tmp_path / "none")
    with pytest.raises(ConfigError, match="unknown key"):
        config.parse(config.RoleConfig, {"blobs": {"secret_access_key": "x"}}, where="config.toml")
    assert path.stat().st_mode & 0o777 == 0o600


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_foreign_index_is_believed(data):
    with pytest.raises(blobs.BlobError):
        blobs_s3._Index.parse(data)
