import base64
import json

import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, policy, tiles
from fairwitness_core.verify.log import check_log
from hypothesis import given
from hypothesis import strategies as st
from tlog_builder import published

KEY, WITNESS = SigningKey(b"\1" * 32), SigningKey(b"\2" * 32)
LOG = note.VerifierKey("log.example", note.ED25519, KEY.public)
RULE = policy.k_of([policy.PolicyLog(LOG)], [policy.Witness("w", cosignature.vkey("w.example", WITNESS.public))], 1)


def a_log(size, *, quorum=True):
    entries = [b"entry %d" % n for n in range(size)]
    edge = merkle.Frontier()
    edge.extend(entries)
    signed = checkpoint.sign(checkpoint.Checkpoint("log.example", size, edge.root()), KEY)
    if quorum:
        signed = signed.with_signatures(cosignature.cosign(signed.text, "w.example", WITNESS, 7))
    return published(entries) | {"checkpoint": signed.encode()}


@pytest.mark.parametrize("size", [0, 1, 256, 300, 513])
def test_a_whole_log_passes_every_check(size):
    report = check_log(a_log(size).__getitem__, RULE, LOG)
    assert report.ok, report.first_failure
    assert [check.number for check in report.checks] == [1, 2, 3, 4, 5, 6]
    assert report.cosigned.newest == 7
    assert dict(report.entry_kinds) == ({"opaque": size} if size else {})


WHOLE = a_log(300)


@given(st.data())
def test_any_changed_byte_of_any_file_is_found_and_its_place_named(data):
    files = dict(WHOLE)
    path = data.draw(st.sampled_from(sorted(files)))
    raw = bytearray(files[path])
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    files[path] = bytes(raw)
    report = check_log(files.__getitem__, RULE, LOG)
    assert not report.ok
    assert not report.checks[-1].ok
    if path == "checkpoint":
        assert report.checks[-1].number <= 2
    elif path.startswith("tile/1"):
        assert report.first_failure.startswith("tile/1/000.p/1")
    else:
        # A bundle and its tile accuse each other; the number of the tile is the same.
        assert path.removeprefix("tile/entries").removeprefix("tile/0") in report.first_failure.split(":")[0]


@pytest.mark.parametrize("path", sorted(WHOLE))
def test_a_missing_file_is_named(path):
    files = {name: data for name, data in WHOLE.items() if name != path}
    report = check_log(files.__getitem__, RULE, LOG)
    assert report.first_failure.startswith(path)


def test_without_a_quorum_or_a_policy():
    lone = a_log(3, quorum=False)
    assert check_log(lone.__getitem__, RULE, LOG).checks[-1].number == 2
    report = check_log(lone.__getitem__, None, LOG)
    assert report.ok
    assert not report.pinned
    other = note.VerifierKey("log.example", note.ED25519, WITNESS.public)
    assert check_log(lone.__getitem__, None, other).checks[-1].number == 1


def test_a_log_rewritten_below_a_true_checkpoint_is_caught_by_the_root():
    files = a_log(300)
    forged = published([b"forged", *(b"entry %d" % n for n in range(1, 300))])
    report = check_log((files | forged).__getitem__, RULE, LOG)
    assert report.checks[-1].number == 5


def test_entries_are_counted_by_what_they_say_they_are():
    def envelope(payload):
        return json.dumps({"payload": base64.b64encode(json.dumps(payload).encode()).decode()}).encode()

    entries = [
        envelope({"type": "feed_tick", "v": 1}),
        envelope({"type": "feed_tick", "v": 1}),
        envelope({"type": "of_next_year", "v": 9}),
        envelope({"type": "no version"}),
        envelope([1]),
        b"[" * 50000,
        b"\xff",
        b"",
        bytes(32),
        b'{"payload": 5}',
    ]
    edge = merkle.Frontier()
    edge.extend(entries)
    signed = checkpoint.sign(checkpoint.Checkpoint("log.example", len(entries), edge.root()), KEY)
    files = published(entries) | {"checkpoint": signed.encode()}
    report = check_log(files.__getitem__, None, LOG)
    assert report.ok
    assert dict(report.entry_kinds) == {"feed_tick v1": 2, "of_next_year v9": 1, "sealed": 1, "opaque": 6}
    assert tiles.entries_path(0, 10) in files
