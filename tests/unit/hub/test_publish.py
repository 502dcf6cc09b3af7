"""From an officer's two signatures to a container that a home believes."""

from fairwitness_core.tlog.policy import Policy
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.wire import dsse

from fairwitness.hub.services import moderation


def test_a_request_becomes_a_line_that_a_home_believes(world):
    request = world.agency.request()
    answer = world.agency.submit(request)
    assert (answer["state"], answer["flags"]) == ("submitted", ["dwellings_unchecked"])
    moderation.approve(request.id, 1)
    assert world.agency.call("request_state", {"request_id": request.id})["state"] == "approved"
    assert world.step(1) == "ok"
    found = world.agency.call("request_state", {"request_id": request.id})
    assert found["state"] == "published"
    policy = Policy.parse(world.join.policy.encode())
    proven = TlogProof.parse(found["proof"].encode()).verify(policy, world.agency.sign(request))
    assert proven.index == found["log_index"]
    assert world.step(60) == "ok"
    _, verified = world.follow()
    published = [p for v in verified for p in v.published]
    assert [p.request.id for p in published] == [request.id]
    assert not [r for v in verified for r in v.refused]
    entry = world.agency.call("public_proof", {"index": 0})
    assert dsse.unb64(entry["entry"], "x") == (world.hub / "genesis.json").read_bytes()
