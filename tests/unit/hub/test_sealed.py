"""The sealed ledger: a constant beat of batches that say nothing."""

import hashlib

import pytest
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.wire import dsse

from fairwitness.hub.models import SealedPending
from fairwitness.hub.services import identity, ledger
from fairwitness.kit.logstore import LogReader


def sizes(world):
    key = identity.load().vkey("s")
    return LogReader.open(identity.log_folder("s"), key.name, key).size


def commitments(count, tag=b""):
    return [dsse.b64(hashlib.sha256(tag + bytes([n])).digest()) for n in range(count)]


@pytest.mark.claim("P8")
def test_batches_come_on_the_beat_whether_or_not_there_is_anything(world):
    start = sizes(world)
    for _ in range(3):
        world.step(10)
    assert sizes(world) == start + 24
    world.agency.call("sealed_append", {"commitments": commitments(9)})
    world.step(1)
    assert sizes(world) == start + 24
    world.step(9)
    assert sizes(world) == start + 24 + 16
    world.step(8)
    assert sizes(world) == start + 24 + 16
    assert "agency" not in {f.name for f in SealedPending._meta.fields}


@pytest.mark.claim("P8")
def test_each_commitment_gets_its_proof(world):
    items = commitments(3)
    assert world.agency.call("sealed_append", {"commitments": items})["accepted"] == 3
    assert world.agency.call("sealed_proof", {"commitment": items[0]}, 404)["error"]["code"] == "sealed.not_yet"
    world.agency.call("sealed_append", {"commitments": items})
    world.step(10)
    world.agency.call("sealed_append", {"commitments": items})
    world.step(10)
    policy = Policy.parse(world.join.policy.encode())
    indexes = set()
    for item in items:
        found = world.agency.call("sealed_proof", {"commitment": item})
        proven = TlogProof.parse(found["proof"].encode()).verify(policy, dsse.unb64(item, "x"))
        assert proven.index == found["index"]
        indexes.add(found["index"])
    assert len(indexes) == SealedPending.objects.count() == 3


def test_without_a_quorum_there_is_no_proof(world):
    (item,) = commitments(1, b"q")
    world.net.down = {"w1.test", "w2.test"}
    world.agency.call("sealed_append", {"commitments": [item]})
    assert world.step(10) == "no_quorum"
    assert world.agency.call("sealed_proof", {"commitment": item}, 404)["error"]["code"] == "sealed.not_yet"
    world.net.down = set()
    assert world.step(10) == "ok"
    assert world.agency.call("sealed_proof", {"commitment": item})["proof"]


@pytest.mark.parametrize("items", [[], commitments(1) * 300, ["AA=="]])
def test_bad_batches(world, items):
    assert world.agency.call("sealed_append", {"commitments": items}, 400)


def test_a_crash_between_append_and_row_loses_and_doubles_nothing(world, monkeypatch):
    items = commitments(2, b"crash")
    world.agency.call("sealed_append", {"commitments": items})
    real = ledger.catch_up_sealed
    monkeypatch.setattr(ledger, "catch_up_sealed", lambda store: (_ for _ in ()).throw(OSError("stopped")))
    with pytest.raises(OSError, match="stopped"):
        world.step(10)
    monkeypatch.setattr(ledger, "catch_up_sealed", real)
    size = sizes(world)
    assert world.step(1) == "ok"
    assert sizes(world) == size + 8
    assert world.agency.call("sealed_proof", {"commitment": items[1]})["proof"]
