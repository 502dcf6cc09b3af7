import errno
import os
import struct
import threading

import aics_tlog as peer
import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, policy, proof, tiles
from fairwitness_core.verify.log import check_log
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import logstore
from fairwitness.kit.logstore import LogDamagedError, LogError, LogLockedError, LogReader, LogStore, LogWriteError, refill

ORIGIN = "log.example/p"
KEY = SigningKey(b"\1" * 32)
VKEY = note.VerifierKey(ORIGIN, note.ED25519, KEY.public)
WITNESSES = [SigningKey(bytes([n]) * 32) for n in (11, 12, 13)]
RULE = policy.k_of(
    [policy.PolicyLog(VKEY)],
    [policy.Witness(f"w{n}", cosignature.vkey(f"w{n}.example", key.public)) for n, key in enumerate(WITNESSES)],
    2,
)


def cosign(data, *which, at=1000):
    signed = note.Note.parse(data)
    return signed.with_signatures(*(cosignature.cosign(signed.text, f"w{n}.example", WITNESSES[n], at) for n in which)).encode()


def entries(begin, end):
    return [b"entry %d " % n + b"x" * (n % 700) for n in range(begin, end)]


def check_store(store, expected):
    """The whole-world check: entries, root, every size's root, proofs and what is served."""
    size = len(expected)
    edge = merkle.Frontier()
    edge.extend(expected)
    assert store.size == size
    assert store.root() == edge.root() == store.root_at(size)
    assert store.entries(0, size) == expected
    for index in {0, size // 2, size - 1} if size else ():
        assert store.entry(index) == expected[index]
        path = store.inclusion(index, size)
        merkle.verify_inclusion(merkle.leaf_hash(expected[index]), index, size, path, store.root())
    for old in {1, size // 3, size} if size else ():
        if old:
            merkle.verify_consistency(old, store.root_at(old), size, store.root(), store.consistency(old, size))
    served = store.cosigned
    if served:
        report = check_log(lambda path: (store.public / path).read_bytes(), None, VKEY)
        assert report.ok, report.first_failure
        assert report.root == store.root_at(served.size)


@pytest.fixture
def store(tmp_path):
    with LogStore.open(tmp_path / "log", ORIGIN, KEY) as opened:
        yield opened


def test_a_log_grows_is_published_and_is_opened_again(tmp_path):
    expected = []
    for end in (1, 2, 7, 255, 256, 257, 600, 1100):
        with LogStore.open(tmp_path / "log", ORIGIN, KEY) as store:
            assert store.dropped == 0
            check_store(store, expected)
            fresh = entries(len(expected), end)
            assert store.append(fresh) == range(len(expected), end)
            expected += fresh
            check_store(store, expected)
            store.publish(cosign(store.signed_checkpoint(), 0, 1))
            check_store(store, expected)
            found = proof.TlogProof.parse(store.proof(end - 1)).verify(RULE, expected[-1])
            assert (found.index, found.checkpoint.newest) == (end - 1, 1000)
    with LogReader.open(tmp_path / "log", ORIGIN, VKEY) as reader:
        assert reader.size == 1100
        assert reader.entries(0, 1100) == expected
        assert reader.proof(3) == LogStore.proof(reader, 3)
        assert reader.consistency(0, 5) == []


def test_an_empty_log_and_an_empty_batch(store):
    assert store.append([]) == range(0)
    assert store.root() == merkle.EMPTY_ROOT
    assert store.cosigned is None
    store.publish(cosign(store.signed_checkpoint(), 0))
    assert store.cosigned == checkpoint.Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT)
    assert store.append([b"", b""]) == range(2)
    assert store.entries(0, 2) == [b"", b""]


def test_what_is_not_there_is_a_lookup_error(store):
    store.append(entries(0, 5))
    for call in (
        lambda: store.entry(5),
        lambda: store.entry(-1),
        lambda: store.entries(3, 6),
        lambda: store.inclusion(5, 5),
        lambda: store.inclusion(0, 6),
        lambda: store.root_at(6),
        lambda: store.consistency(4, 3),
        lambda: store.proof(0),
    ):
        with pytest.raises(LookupError):
            call()
    store.publish(store.signed_checkpoint())
    store.append([b"later"])
    assert store.proof(4)
    with pytest.raises(LookupError):
        store.proof(5)


def test_a_batch_that_cannot_be_stored_changes_nothing(store):
    store.append(entries(0, 3))
    with pytest.raises(ValueError, match="does not fit"):
        store.append([b"fine", bytes(65536)])
    check_store(store, entries(0, 3))


def test_one_writer_only(tmp_path, store):
    with pytest.raises(LogLockedError):
        LogStore.open(tmp_path / "log", ORIGIN, KEY)
    store.append([b"still here"])
    store.close()
    LogStore.open(tmp_path / "log", ORIGIN, KEY).close()


def test_a_folder_is_never_continued_as_another_log(tmp_path, store):
    store.close()
    with pytest.raises(LogError, match="another log"):
        LogStore.open(tmp_path / "log", "log.example/other", KEY)
    with pytest.raises(LogError, match="another log"):
        LogStore.open(tmp_path / "log", ORIGIN, WITNESSES[0])
    with pytest.raises(LogError, match="no log"):
        LogReader.open(tmp_path / "none", ORIGIN, VKEY)
    (tmp_path / "log" / "log").unlink()
    with pytest.raises(LogDamagedError):
        LogStore.open(tmp_path / "log", ORIGIN, KEY)


def test_only_a_true_checkpoint_is_served_and_it_never_goes_back(store):
    store.append(entries(0, 300))
    first = store.signed_checkpoint()
    store.append(entries(300, 310))
    second = store.signed_checkpoint()
    store.publish(cosign(second, 0))
    for bad in (
        first,
        checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 310, bytes(32)), KEY).encode(),
        checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 311, bytes(32)), KEY).encode(),
        checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 310, store.root()), WITNESSES[0]).encode(),
        b"junk",
    ):
        with pytest.raises(ProtocolError):
            store.publish(bad)
        assert store.cosigned.size == 310
    # More cosignatures of the same head are added; a known one is only replaced by a later one.
    store.publish(cosign(second, 1, at=900))
    assert RULE.verify(store.cosigned_note).times == (("w0", 1000), ("w1", 900))
    store.publish(cosign(second, 0, at=500))
    assert RULE.verify(store.cosigned_note).times == (("w0", 1000), ("w1", 900))
    store.publish(cosign(second, 0, 1, at=2000))
    assert RULE.verify(store.cosigned_note).times == (("w0", 2000), ("w1", 2000))


def test_partial_tiles_go_once_the_full_one_is_served(store):
    store.append(entries(0, 250))
    store.publish(store.signed_checkpoint())
    assert (store.public / "tile/0/000.p/250").exists()
    store.append(entries(250, 260))
    store.publish(store.signed_checkpoint())
    assert not (store.public / "tile/0/000.p").exists()
    assert (store.public / "tile/entries/000").exists()
    found = {str(path.relative_to(store.public)) for path in store.public.rglob("*") if path.is_file()}
    assert found == {"checkpoint"} | {path.encode() for path in tiles.tiles_for(0, 260)}


def test_the_peer_reads_the_published_files(store):
    expected = entries(0, 1500)
    store.append(expected)
    store.publish(cosign(store.signed_checkpoint(), 0, 1))
    reader = peer.FileSystemTileReader(store.public)
    assert peer.tree_root_from_tiles(reader, 1500) == store.root()
    assert peer.inclusion_proof_from_tiles(reader, 1234, 1500) == store.inclusion(1234, 1500)
    assert peer.consistency_proof_from_tiles(reader, 700, 1500) == store.consistency(700, 1500)
    assert peer.read_entry(reader, 1499, 1500) == expected[1499]
    result = peer.verify_checkpoint(
        peer.parse_note((store.public / "checkpoint").read_bytes()),
        peer.parse_vkey(VKEY.encode()),
        [peer.parse_vkey(witness.key.encode()) for witness in RULE.witnesses],
        2,
    )
    assert result.ok, result.error


def test_opening_does_not_hash_the_log_again(tmp_path, monkeypatch):
    with LogStore.open(tmp_path / "log", ORIGIN, KEY) as store:
        store.append([b"%d" % n for n in range(20000)])
    counted = []
    plain = merkle.leaf_hash
    monkeypatch.setattr(merkle, "leaf_hash", lambda data: counted.append(1) or plain(data))
    monkeypatch.setattr(merkle.Frontier, "extend", lambda self, items: pytest.fail("the entries were hashed again"))
    with LogStore.open(tmp_path / "log", ORIGIN, KEY) as store:
        assert store.size == 20000
        assert len(counted) <= 256


@pytest.mark.parametrize("name", ["hashes", "offsets", "mark"])
@pytest.mark.parametrize("how", ["gone", "cut", "changed", "longer"])
def test_derived_files_are_made_again_from_the_leaves(tmp_path, name, how):
    expected = entries(0, 700)
    with LogStore.open(tmp_path / "log", ORIGIN, KEY) as store:
        store.append(expected[:600])
        store.publish(store.signed_checkpoint())
        store.append(expected[600:])
    spoil(tmp_path / "log" / name, how)
    if name == "hashes" and how == "changed":
        # A changed hash within the last tile is found at open; one before it only makes proofs that fail.
        data = (tmp_path / "log" / name).read_bytes()
        (tmp_path / "log" / name).write_bytes(data[:-3200] + bytes(3200))
    with LogStore.open(tmp_path / "log", ORIGIN, KEY) as store:
        if name != "offsets" or how != "changed":
            check_store(store, expected)


def spoil(path, how):
    data = path.read_bytes()
    match how:
        case "gone":
            path.unlink()
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "longer":
            path.write_bytes(data + b"stray")
        case "changed":
            half = len(data) // 2
            path.write_bytes(data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :])


def frame_starts(data):
    at, found = 0, []
    while at < len(data):
        found.append(at)
        at += 28 + struct.unpack_from(">I", data, at + 16)[0]
    return found


@pytest.mark.parametrize("marked", [False, True])
def test_a_torn_last_batch_is_removed_at_any_length(tmp_path, marked):
    folder = tmp_path / "log"
    store = LogStore.open(folder, ORIGIN, KEY)
    store.append(entries(0, 5))
    store.append(entries(5, 7))
    store.close(mark=marked)
    whole = (folder / "leaves").read_bytes()
    with LogStore.open(folder, ORIGIN, KEY) as store:
        store.append([b"lost", b"too"])
        store.close(mark=False)
    torn = (folder / "leaves").read_bytes()
    for length in range(len(whole), len(torn)):
        (folder / "leaves").write_bytes(torn[:length])
        with LogStore.open(folder, ORIGIN, KEY) as store:
            check_store(store, entries(0, 7))
            assert store.dropped == length - len(whole)
            store.close(mark=False)
        assert (folder / "leaves").read_bytes() == whole
    # After a loss of power the length may be there before the bytes.
    (folder / "leaves").write_bytes(whole + bytes(len(torn) - len(whole)))
    with LogStore.open(folder, ORIGIN, KEY) as store:
        check_store(store, entries(0, 7))


def test_damage_that_no_crash_explains_is_refused_and_nothing_is_cut(tmp_path):
    folder = tmp_path / "log"
    store = LogStore.open(folder, ORIGIN, KEY)
    for n in range(4):
        store.append(entries(n, n + 1))
    store.close(mark=False)
    whole = (folder / "leaves").read_bytes()
    second, last = frame_starts(whole)[1], frame_starts(whole)[-1]
    for at in (second, second + 7, second + 20, second + 30, last - 1, last + 5):
        bad = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        (folder / "leaves").write_bytes(bad)
        with pytest.raises(LogDamagedError):
            LogStore.open(folder, ORIGIN, KEY)
        assert (folder / "leaves").read_bytes() == bad
    (folder / "leaves").write_bytes(whole)
    with LogStore.open(folder, ORIGIN, KEY) as store:
        check_store(store, entries(0, 4))
        store.publish(store.signed_checkpoint())
    # What was marked or served must be there: a shorter file is a loss, never a torn batch.
    for remove in ((), ("mark",)):
        for name in remove:
            (folder / name).unlink()
        (folder / "leaves").write_bytes(whole[:last])
        with pytest.raises(LogDamagedError):
            LogStore.open(folder, ORIGIN, KEY)
        assert (folder / "leaves").read_bytes() == whole[:last]


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("stored", [False, True])
def test_a_failed_write_keeps_nothing_and_the_store_goes_on(store, monkeypatch, fault, stored):
    store.append(entries(0, 3))
    plain = os.pwrite

    def fail(fd, data, at):
        if stored:
            plain(fd, data, at)
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(LogWriteError) as caught:
        store.append(entries(3, 200))
    assert caught.value.stored is False
    monkeypatch.setattr(os, "pwrite", plain)
    check_store(store, entries(0, 3))
    store.append(entries(3, 5))
    check_store(store, entries(0, 5))
    reopened = reopen(store)
    check_store(reopened, entries(0, 5))
    reopened.close()


@pytest.mark.parametrize("stored", [False, True])
def test_after_a_failed_sync_the_store_refuses_until_it_is_opened_again(store, monkeypatch, stored):
    store.append(entries(0, 3))
    plain = getattr(os, logstore._SYNC_NAME)

    def fail(fd):
        if stored:
            plain(fd)
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(os, logstore._SYNC_NAME, fail)
    with pytest.raises(LogWriteError) as caught:
        store.append(entries(3, 5))
    assert caught.value.stored is None
    monkeypatch.setattr(os, logstore._SYNC_NAME, plain)
    check_store(store, entries(0, 3))
    with pytest.raises(LogWriteError, match="open it again"):
        store.append([b"more"])
    reopened = reopen(store)
    check_store(reopened, entries(0, 5))
    reopened.append(entries(5, 6))
    check_store(reopened, entries(0, 6))
    reopened.close()


def test_a_write_that_cannot_be_taken_back_stops_the_store(store, monkeypatch):
    store.append(entries(0, 3))

    def fail(*_):
        raise OSError(errno.EIO, "I/O error")

    plain = os.pwrite
    monkeypatch.setattr(os, "pwrite", fail)
    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(LogWriteError) as caught:
        store.append(entries(3, 5))
    assert caught.value.stored is None
    monkeypatch.setattr(os, "pwrite", plain)
    with pytest.raises(LogWriteError):
        store.append([b"more"])
    check_store(store, entries(0, 3))


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("call", ["pwrite", "fsync", "fdatasync", "replace"])
def test_a_failed_publication_leaves_the_old_checkpoint_or_the_new_one(store, monkeypatch, call, stored):
    store.append(entries(0, 300))
    store.publish(store.signed_checkpoint())
    store.append(entries(300, 600))
    plain = getattr(os, call)
    for nth in range(60):
        left = [nth]

        def fail(*arguments, left=left):
            left[0] -= 1
            if left[0] >= 0:
                return plain(*arguments)
            if left[0] == -1:
                if stored:
                    plain(*arguments)
                raise OSError(errno.ENOSPC, "no space")
            return plain(*arguments)

        monkeypatch.setattr(os, call, fail)
        try:
            store.publish(store.signed_checkpoint())
        except LogWriteError:
            monkeypatch.setattr(os, call, plain)
            assert store.cosigned.size in {300, 600}
            check_store(store, entries(0, 600))
        else:
            break
    else:
        pytest.fail("publishing never ended")
    monkeypatch.setattr(os, call, plain)
    assert store.cosigned.size == 600
    check_store(store, entries(0, 600))


def reopen(store):
    store.close()
    return LogStore.open(store.directory, ORIGIN, KEY)


def test_readers_in_other_threads_see_whole_states(store):
    store.append(entries(0, 50))
    store.publish(store.signed_checkpoint())
    stop, faults = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                size = store.size
                path = store.inclusion(size - 1, size)
                merkle.verify_inclusion(merkle.leaf_hash(store.entry(size - 1)), size - 1, size, path, store.root_at(size))
            except Exception as error:  # noqa: BLE001 - any fault in the thread is the test's finding
                faults.append(error)
                return

    thread = threading.Thread(target=read)
    thread.start()
    for n in range(50, 3000, 59):
        store.append(entries(n, n + 59))
        store._flush()
    stop.set()
    thread.join()
    assert not faults


def test_a_log_is_refilled_from_what_was_published(tmp_path, store):
    expected = entries(0, 600)
    store.append(expected)
    store.publish(cosign(store.signed_checkpoint(), 0, 1))
    head = (store.public / "checkpoint").read_bytes()
    store.append([b"never published"])

    def fetch(path):
        return (store.public / path).read_bytes()

    with pytest.raises(LogError, match="not empty"):
        refill(store.directory, fetch, checkpoint=head, log=VKEY)
    assert refill(tmp_path / "new", fetch, checkpoint=head, log=VKEY) == 600
    with LogStore.open(tmp_path / "new", ORIGIN, KEY) as again:
        check_store(again, expected)
        assert again.cosigned_note == store.cosigned_note
        again.append([b"and on it goes"])

    def forged(path):
        return fetch(path).replace(b"entry 7 ", b"Entry 7 ")

    with pytest.raises(ProtocolError, match="refill"):
        refill(tmp_path / "bad", forged, checkpoint=head, log=VKEY)
    other = note.VerifierKey(ORIGIN, note.ED25519, WITNESSES[0].public)
    with pytest.raises(ProtocolError):
        refill(tmp_path / "bad", fetch, checkpoint=head, log=other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "new"]
