"""Two officers, the same bytes, and a request that counts only once the log proves it."""

import pytest
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.errors import RefusedWhole
from fairwitness.agency.models import Request
from fairwitness.agency.services import hubcalls, node, officers, requests
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused


def test_both_officers_sign_the_same_bytes_and_the_log_decides(world):
    request = requests.draft(world.ana, world.case(), world.draft())
    assert request.state == "draft"
    assert request.envelope is None
    requests.approve(world.sam, request)
    assert request.state == "submitted"
    envelope = dsse.Envelope.parse(bytes(request.envelope))
    keys = [officers.public_key(world.ana), officers.public_key(world.sam)]
    assert envelope.verify(dsse.ENTRY, *keys) == bytes(request.payload)
    assert requests.poll(request) == "submitted"
    world.hub.publish(request.id)
    assert requests.poll(request) == "published"
    request.refresh_from_db()
    assert request.log_index is not None
    assert request.proof


def test_a_drafter_cannot_approve_and_an_officer_is_no_supervisor(world):
    mine = requests.draft(world.sam, world.case(), world.draft())
    with pytest.raises(Refused, match="same_person"):
        requests.approve(world.sam, mine)
    with pytest.raises(Refused, match=r"auth\.role"):
        requests.approve(world.ana, mine)
    assert requests.approve(world.sue, mine).state == "submitted"
    with pytest.raises(Refused, match=r"request\.state"):
        requests.approve(world.sue, mine)


def test_broken_rules_are_refused_early_and_all_at_once(world):
    with pytest.raises(RefusedWhole) as caught:
        requests.draft(world.ana, world.case(), world.draft(msg="suspicious person", to=clock.now() + 9000))
    codes = {detail.code for detail in caught.value.details}
    assert {"text.vague", "window.future"} <= codes
    assert all(detail.message for detail in caught.value.details)
    assert not Request.objects.exists()
    verdict = requests.check(world.ana, world.case(), world.draft(area=world.draft().area[:3]))
    assert "area.small" in verdict.rules


def test_a_third_live_request_of_a_case_is_refused_here(world):
    world.published()
    world.published()
    with pytest.raises(RefusedWhole) as caught:
        world.published()
    assert "live.case" in {d.code for d in caught.value.details}


def test_the_hubs_refusal_comes_whole(world):
    request = requests.draft(world.ana, world.case(), world.draft(msg=world.draft().msg + " A bait shop camera faces it."))
    with pytest.raises(hubcalls.HubRefused) as caught:
        requests.approve(world.sam, request)
    assert caught.value.details[0].hint == "what happened"
    assert requests.get(request.id).state == "refused"
    assert "text.vague" in requests.get(request.id).refusal


def test_an_unreachable_hub_loses_nothing(world):
    request = requests.draft(world.ana, world.case(), world.draft())
    world.hub.down = True
    assert requests.approve(world.sam, request).state == "approved"
    world.hub.down = False
    requests.beat(clock.now())
    assert requests.get(request.id).state == "submitted"


@pytest.mark.parametrize("fault", ["other_entry", "quorum", "log", "index"])
def test_published_means_proven(world, fault):
    request = requests.draft(world.ana, world.case(), world.draft())
    requests.approve(world.sam, request)
    found = world.hub.requests[request.id]
    if fault == "quorum":
        world.hub.cosigners = 1
    world.hub.publish(request.id)
    honest = world.hub.op_request_state

    def lie(body):
        status, answer = honest(body)
        if fault == "other_entry":
            answer |= {"proof": world.hub.public.proof(1).decode(), "log_index": 1}
        if fault == "log":
            world.hub.sealed.append([found["envelope"]])
            world.hub.cosign(world.hub.sealed)
            answer["proof"] = world.hub.sealed.proof(world.hub.sealed.size - 1).decode()
        if fault == "index":
            answer["log_index"] += 1
        return status, answer

    world.hub.op_request_state = lie
    with pytest.raises(ProtocolError):
        requests.poll(request)
    assert requests.get(request.id).state == "submitted"


def test_withdrawal_expiry_and_the_end_of_the_key(world):
    request = world.published()
    requests.withdraw(world.ana, request, "resolved")
    assert world.hub.requests[request.id]["state"] == "withdrawn"
    second = world.published()
    requests.beat(world.step(8 * 86400))
    assert requests.get(second.id).state == "expired"
    path = node.key_file("requests", second.id)
    assert path.exists()
    requests.beat(world.step(31 * 86400))
    assert not path.exists()
    assert requests.get(second.id).key_destroyed_at


def test_a_removed_officer_signs_no_more(world):
    request = requests.draft(world.ana, world.case(), world.draft())
    officers.remove(world.sue, world.adm)
    with pytest.raises(Refused, match=r"officer\.removed"):
        requests.approve(world.sue, request)
    assert officers.public_key(world.sue).b64 not in str(officers.registration()["keys"])
    assert not node.key_file("officers", world.sue.actor).exists()
    world.hub.authorise(officers.registration())
    requests.approve(world.sam, request)


def test_an_officer_unknown_to_the_log_is_refused_before_submission(world):
    new = officers.enrol("zoe", "Zoe", "supervisor", world.adm).officer
    request = requests.draft(world.ana, world.case(), world.draft())
    with pytest.raises(RefusedWhole, match=r"signers\.unknown"):
        requests.approve(new, request)


def test_a_bad_hub_directory_is_not_believed(world):
    honest = world.hub.route
    world.hub.route = lambda m, p, d: (200, b"") if p.startswith("/feed/v1/agencies/") else honest(m, p, d)
    with pytest.raises(ProtocolError, match=r"feed\.directory"):
        requests.draft(world.ana, world.case(), world.draft())
