import errno
import os
import stat

import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import files
from fairwitness.witness import services
from fairwitness.witness.errors import WitnessError

NAME, ORIGIN = "witness.example/w", "log.example/p"
LOG = SigningKey(b"\1" * 32)
VKEY = note.VerifierKey(ORIGIN, note.ED25519, LOG.public)
LEAVES = [b"%d" % n for n in range(40)]


def nodes(leaves):
    def read(level, index):
        edge = merkle.Frontier()
        edge.extend(leaves[index << level : (index + 1) << level])
        return edge.root()

    return read


def head(size, leaves=LEAVES, key=LOG, origin=ORIGIN):
    return checkpoint.sign(checkpoint.Checkpoint(origin, size, merkle.tree_root(size, nodes(leaves))), key)


def body(old, new, leaves=LEAVES, **named):
    path = merkle.consistency(old, new, nodes(leaves)) if 0 < old <= new else []
    return cosignature.add_checkpoint_body(old, path, head(new, leaves, **named).encode())


@pytest.fixture
def witness(tmp_path):
    services.init(tmp_path, NAME, seed=b"\7" * 32)
    services.trust(tmp_path, ORIGIN, VKEY.encode())
    config = services.load(tmp_path)
    return services.open_store(config), config


def ask(witness, data, now=1000):
    return services.add_checkpoint(*witness, data, now)


def test_a_first_head_then_its_growth_are_cosigned(witness):
    for old, new, now in ((0, 3, 1000), (3, 3, 1001), (3, 8, 1002), (8, 40, 1003)):
        answer = ask(witness, body(old, new), now)
        assert answer.status == 200, answer.body
        lines = note.parse_signature_lines(answer.body)
        assert cosignature.verify(head(new).with_signatures(*lines), witness[1].vkey) == now
    assert services.logs_page(*witness).startswith(b"log.example/p 40 ")


def test_the_size_is_told_to_who_does_not_know_it(witness):
    ask(witness, body(0, 5))
    for old in (0, 4, 6):
        answer = ask(witness, body(old, 8))
        assert (answer.status, answer.content_type, answer.body) == (409, "text/x.tlog.size", b"5\n")


def test_an_empty_log_is_a_head_too(witness):
    assert ask(witness, body(0, 0)).status == 200
    assert ask(witness, body(0, 0)).status == 200
    assert ask(witness, body(0, 4)).status == 200


FORK = [*LEAVES[:2], b"another", *LEAVES[3:]]


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, b""),
        (400, b"old 5\n\n"),
        (400, b"old x\n\n" + head(8).encode()),
        (400, cosignature.add_checkpoint_body(9, [], head(8).encode())),
        (400, b"old 5\n\n" + note.Note("no checkpoint\n", head(8).signatures).encode()),
        (404, body(5, 8, origin="log.example/unknown")),
        (403, body(5, 8, key=SigningKey(b"\2" * 32))),
        (403, cosignature.add_checkpoint_body(5, [], note.Note(head(8).text, head(7).signatures).encode())),
        (409, body(4, 8)),
        (409, body(5, 5, leaves=FORK)),
        (422, cosignature.add_checkpoint_body(5, [], head(8).encode())),
        (422, cosignature.add_checkpoint_body(5, [bytes(32)] * 3, head(8).encode())),
        (422, cosignature.add_checkpoint_body(5, [bytes(32)], head(5).encode())),
        (422, body(5, 8, leaves=FORK)),
    ],
)
def test_everything_else_is_refused_as_the_specification_says(witness, status, data):
    assert ask(witness, body(0, 5)).status == 200
    answer = ask(witness, data)
    assert answer.status == status, answer.body
    assert b"\xe2\x80\x94" not in answer.body
    assert witness[0].head(ORIGIN).size == 5
    assert ask(witness, body(5, 6)).status == 200


def test_a_proof_from_nothing_is_empty(witness):
    assert ask(witness, cosignature.add_checkpoint_body(0, [bytes(32)], head(5).encode())).status == 422


def test_two_signed_heads_of_one_size_are_kept_as_evidence(tmp_path, witness):
    ask(witness, body(0, 5))
    for _ in range(3):
        ask(witness, body(5, 5, leaves=FORK))
    (kept,) = services.conflicts(tmp_path)
    first, second = kept[: kept.index(b"\n" + ORIGIN.encode(), 1)], kept[kept.index(b"\n" + ORIGIN.encode(), 1) + 1 :]
    found = [checkpoint.verify(note.Note.parse(raw), VKEY) for raw in (first, second)]
    assert [item.size for item in found] == [5, 5]
    assert found[0].root != found[1].root


def test_strange_signature_lines_are_not_kept(witness):
    stranger = note.sign(head(5).text, "stranger.example", SigningKey(b"\3" * 32))
    signed = head(5).with_signatures(stranger)
    assert ask(witness, cosignature.add_checkpoint_body(0, [], signed.encode())).status == 200
    assert witness[0].head(ORIGIN).size == 5
    kept = next((witness[1].directory / "heads").iterdir()).read_bytes()
    assert b"stranger" not in kept


def test_logs_are_kept_apart(tmp_path, witness):
    other = SigningKey(b"\2" * 32)
    vkey = note.VerifierKey("log.example/s", note.ED25519, other.public)
    services.trust(tmp_path, "log.example/s", vkey.encode())
    services.trust(tmp_path, "log.example/s", vkey.encode())
    witness = (witness[0], services.load(tmp_path))
    assert ask(witness, body(0, 5)).status == 200
    assert ask(witness, body(0, 3, key=other, origin="log.example/s")).status == 200
    page = services.logs_page(*witness).splitlines()
    assert [line.split()[:2] for line in page] == [[b"log.example/p", b"5"], [b"log.example/s", b"3"]]
    # A key that is trusted for one log says nothing about another.
    assert ask(witness, body(5, 8, key=other)).status == 403
    assert len((tmp_path / "logs").read_text().splitlines()) == 2


def test_a_new_key_of_a_log_is_trusted_beside_the_old_one(tmp_path, witness):
    new = SigningKey(b"\4" * 32)
    services.trust(tmp_path, ORIGIN, note.VerifierKey(ORIGIN, note.ED25519, new.public).encode())
    witness = (witness[0], services.load(tmp_path))
    assert ask(witness, body(0, 5)).status == 200
    assert ask(witness, body(5, 8, key=new)).status == 200


def test_the_folder(tmp_path):
    vkey = services.init(tmp_path / "w", NAME)
    assert services.init(tmp_path / "w", NAME) == vkey
    assert note.VerifierKey.parse(vkey).algorithm == note.COSIGNATURE
    assert stat.S_IMODE((tmp_path / "w" / "key").stat().st_mode) == 0o600
    with pytest.raises(WitnessError, match="already"):
        services.init(tmp_path / "w", "witness.example/other")
    with pytest.raises(WitnessError, match="already"):
        services.init(tmp_path / "w", NAME, seed=bytes(32))
    with pytest.raises(ProtocolError):
        services.init(tmp_path / "x", "two words")
    for origin, key in ((ORIGIN, vkey), ("other", VKEY.encode()), (ORIGIN, "junk")):
        with pytest.raises(ProtocolError):
            services.trust(tmp_path / "w", origin, key)
    with pytest.raises(WitnessError, match="no witness"):
        services.load(tmp_path / "none")
    (tmp_path / "w" / "key").chmod(0o644)
    with pytest.raises(files.UnsafeMode):
        services.load(tmp_path / "w")


@pytest.mark.parametrize("how", ["cut", "foreign", "other"])
def test_a_damaged_head_stops_the_witness_for_that_log(tmp_path, witness, how):
    ask(witness, body(0, 5))
    place = next((tmp_path / "heads").iterdir())
    match how:
        case "cut":
            place.write_bytes(place.read_bytes()[:-9])
        case "foreign":
            place.write_bytes(head(2).encode())
        case "other":
            text = head(2, origin="log.example/other").text
            line = cosignature.cosign(text, NAME, witness[1].key, 5)
            place.write_bytes(note.Note(text, (line,)).encode())
    with pytest.raises(WitnessError):
        ask(witness, body(2, 8))


@pytest.mark.parametrize("stored", [False, True])
def test_a_failed_write_is_not_answered_with_a_cosignature(witness, monkeypatch, stored):
    assert ask(witness, body(0, 5)).status == 200
    plain = os.fsync

    def fail(fd):
        raise OSError(errno.EIO, "I/O error")

    if stored:
        # The name is in place already when the folder's sync fails.
        plain_sync = files.sync_folder
        monkeypatch.setattr(files, "sync_folder", fail)
    else:
        monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="I/O error"):
        ask(witness, body(5, 8))
    monkeypatch.setattr(os, "fsync", plain)
    if stored:
        monkeypatch.setattr(files, "sync_folder", plain_sync)
    # Whichever head stands, it is one of the two, and the log can go on from it.
    held = witness[0].head(ORIGIN)
    assert held.size == (8 if stored else 5)
    assert ask(witness, body(held.size, 9)).status == 200
