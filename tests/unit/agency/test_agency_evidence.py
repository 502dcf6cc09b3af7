"""Log first, then open: no path to a clip without a proof of exactly this touch (T9, P8)."""

import json

import pytest
from fairwitness_core.model.custody import CustodyEvent, commitment
from fairwitness_core.wire import dsse

from fairwitness.agency.errors import NotYetLogged, RefusedWhole
from fairwitness.agency.models import Clip, CustodyRecord, Export, Hold, Notice, Response, Touch
from fairwitness.agency.services import access, custody, evidence, export, hold, node, triage, vault
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused
from tests.harness.rows import as_owner
from tests.unit.agency.agency_steps import PURPOSE
from tests.unit.agency.world import Owner

DAY = 86400


@pytest.fixture
def one(world, inline):
    """A published request with one collected response."""
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    return world, request, response


@pytest.fixture
def decryptions(monkeypatch):
    """Every decryption of evidence, with what the ledger's state was at that moment."""
    seen = []
    honest = evidence._decrypt

    def decrypt(response, name):
        seen.append((name, [link.state for link in custody.chain(response)]))
        return honest(response, name)

    monkeypatch.setattr(evidence, "_decrypt", decrypt)
    return seen


@pytest.mark.claim("P8")
def test_the_touch_is_in_the_ledger_before_a_byte_is_decrypted(one, decryptions):
    world, request, response = one
    with evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", PURPOSE) as stream:
        stream.seek(1000)
        assert stream.read(64) == world.clip[1000:1064]
    assert decryptions == [("clip-01.mp4", ["proven", "proven"])]
    link = custody.chain(response)[1]
    event = CustodyEvent.from_statement(
        dsse.Envelope.parse(bytes(link.envelope)).verify(dsse.STATEMENT, node.agency_key().public)
    )
    assert (event.action, event.actor, event.purpose) == ("viewed", world.ana.actor, PURPOSE)
    assert [s.name for s in event.subjects] == ["clip-01.mp4"]
    assert event.case == request.case.number
    assert event.prev == custody.chain(response)[0].sha256
    # The hub saw 32 bytes and nothing of this.
    assert commitment(bytes(link.nonce), bytes(link.envelope)) in world.hub.commitments


@pytest.mark.claim("P8")
@pytest.mark.parametrize(
    "fault", ["down", "slow", "broken", "quorum", "other_log", "other_leaf", "tampered", "stale", "no_proof"]
)
def test_without_a_valid_proof_nothing_opens(one, decryptions, fault):
    world, _, response = one
    world.settle()
    hub = world.hub
    honest = hub.op_sealed_proof

    def lie(body):
        status, answer = honest(body)
        leaf = dsse.unb64(body["commitment"], "commitment")
        if fault == "other_log" and status == 200:
            hub.public.append([leaf])
            hub.cosign(hub.public)
            answer["proof"] = hub.public.proof(hub.public.size - 1).decode()
        if fault == "other_leaf" and status == 200:
            answer["proof"] = hub.sealed.proof(0).decode()
        if fault == "tampered" and status == 200:
            answer["proof"] = answer["proof"].replace("index ", "index 1", 1)
        if fault == "no_proof" and status == 200:
            del answer["proof"]
        return status, answer

    hub.op_sealed_proof = lie
    hub.down, hub.slow = fault == "down", fault == "slow"
    hub.cosigners = 1 if fault == "quorum" else 3
    if fault == "broken":
        hub.refuse = lambda op: op == "sealed_append"
    if fault == "stale":
        world.moment["now"] -= 600
        hub.slow = True
        with pytest.raises((NotYetLogged, Refused)):
            evidence.touch(world.ana, response, "viewed", PURPOSE, target="clip-01.mp4")
        hub.slow = False
        hub.flush()
        world.moment["now"] += 600
        with as_owner():
            CustodyRecord.objects.filter(action="viewed").update(at=clock.now())
    expected = NotYetLogged if fault == "slow" else Refused
    with pytest.raises(expected) as caught:
        evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", PURPOSE)
    if expected is Refused:
        assert caught.value.code == "custody.unlogged"
        assert "cannot be logged now" in caught.value.message
    assert decryptions == []
    # An honest hub later: the same touch is proven, and only then it opens.
    if fault != "stale":
        hub.op_sealed_proof, hub.down, hub.slow, hub.cosigners = honest, False, False, 3
        hub.refuse = lambda op: False
        hub.cosign(hub.sealed)
        with evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", PURPOSE):
            assert CustodyRecord.objects.filter(response=response, action="viewed").count() == 1


@pytest.mark.claim("P8")
def test_a_proof_opens_only_its_own_touch_for_its_own_officer_and_for_a_while(one, decryptions):
    world, request, response = one
    [other] = world.collected(request, Owner(2, [world.clip]))
    found = evidence.touch(world.ana, response, "viewed", PURPOSE, target="clip-01.mp4")
    with pytest.raises(Refused, match="not_found"):
        evidence.use(world.sam, found)
    # A proof moved to another response's touch is noticed.
    world.hub.slow = True
    with pytest.raises(NotYetLogged):
        evidence.touch(world.ana, other, "viewed", PURPOSE, target="clip-01.mp4")
    stolen = CustodyRecord.objects.get(pk=found.record_id)
    CustodyRecord.objects.filter(response=other, action="viewed").update(state="proven", proof=stolen.proof)
    with pytest.raises(Exception, match=r"merkle|proof"):
        evidence.use(world.ana, Touch.objects.get(record__response=other))
    with evidence.use(world.ana, found):
        pass
    world.step(16 * 60)
    with pytest.raises(Refused, match=r"touch\.over"):
        evidence.use(world.ana, found)
    assert len(decryptions) == 1


def test_asking_again_writes_one_link(one):
    world, _, response = one
    world.hub.slow = True
    for _ in range(3):
        with pytest.raises(NotYetLogged):
            evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", PURPOSE)
    world.hub.slow = False
    pauses = []

    def act():
        return evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", PURPOSE)

    with custody.wait(act, 2, pause=pauses.append):
        pass
    assert [link.action for link in custody.chain(response)] == ["collected", "viewed"]


@pytest.mark.parametrize("purpose", ["", "two\nlines", "find out whether the driver is an undocumented immigrant", "x" * 301])
def test_a_purpose_is_stated_and_lawful(one, purpose):
    world, _, response = one
    with pytest.raises((Refused, Exception)) as caught:
        evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", purpose)
    assert caught.value.code in {"purpose.missing", "purpose.immigration"}
    assert CustodyRecord.objects.filter(action="viewed").count() == 0


def test_who_may_open(one):
    world, _, response = one
    with pytest.raises(Refused, match=r"auth\.role"):
        evidence.open_clip(world.adm, response, "clip-01.mp4", "viewed", PURPOSE)
    with pytest.raises(Refused, match="not_found"):
        evidence.open_clip(world.ana, response, "clip-02.mp4", "viewed", PURPOSE)


def test_the_chain_is_complete_and_its_last_links_are_settled_by_the_beat(one):
    world, _, response = one
    world.hub.slow = True
    for purpose in (PURPOSE, PURPOSE + " again"):
        with pytest.raises(NotYetLogged):
            evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", purpose)
    assert world.settle() == 2
    world.hub.slow = False
    assert world.settle() == 0
    links = custody.chain(response)
    assert [link.number for link in links] == [1, 2, 3]
    before = "0" * 64
    for link in links:
        event = CustodyEvent.from_statement(dsse.Envelope.parse(bytes(link.envelope)).payload)
        assert event.prev == before
        before = link.sha256
        custody.verify(link, bytes(link.proof))


# ---------------------------------------------------------------- accept, decline, hold, destroy


def test_accept_and_decline_are_logged_first(one):
    world, _, response = one
    world.hub.slow = True
    with pytest.raises(NotYetLogged):
        triage.accept(world.ana, response, PURPOSE)
    response.refresh_from_db()
    assert response.state == "collected"
    world.hub.slow = False
    triage.accept(world.ana, response, PURPOSE)
    assert triage.accept(world.ana, response, PURPOSE).state == "accepted"
    triage.decline(world.sam, response, "it shows another street")
    assert world.told(response) == ["collected", "accepted", "declined"]
    with pytest.raises(Exception, match="illegal"):
        triage.accept(world.ana, response, PURPOSE)


def test_declining_ends_access_at_once(one, decryptions):
    world, _, response = one
    found = evidence.touch(world.ana, response, "viewed", PURPOSE, target="clip-01.mp4")
    triage.decline(world.ana, response, "it shows another street")
    with pytest.raises(Refused, match=r"evidence\.declined"):
        evidence.use(world.ana, found)  # logged before, and over now
    with pytest.raises(Refused, match=r"evidence\.declined"):
        evidence.open_clip(world.tom, response, "clip-01.mp4", "viewed", PURPOSE)
    assert not node.key_file("responses", response.id).exists()
    with pytest.raises(Refused, match=r"key\.gone"):
        evidence._decrypt(response, "clip-01.mp4")
    assert node.hold_file(response.id).stat().st_mode & 0o777 == 0o600


def test_a_logged_demand_releases_a_declined_response_and_lifting_it_locks_it_again(one):
    world, _, response = one
    triage.decline(world.ana, response, "it shows another street")
    world.hub.down = True
    with pytest.raises(Refused, match=r"custody\.unlogged"):
        hold.place(world.sam, response, "defence_preservation", "Demand 12", "the defence asks for it")
    assert not node.key_file("responses", response.id).exists()
    world.hub.down = False
    with pytest.raises(Refused, match=r"auth\.role"):
        hold.place(world.ana, response, "legal_hold", "Order 7", "x")
    held = hold.place(world.sam, response, "defence_preservation", "Demand 12", "the defence asks for it")
    assert hold.place(world.sam, response, "defence_preservation", "Demand 12", "again").pk == held.pk
    response.refresh_from_db()
    assert response.state == "held"
    with pytest.raises(Refused, match=r"auth\.role"):
        evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", PURPOSE)
    with evidence.open_clip(world.tom, response, "clip-01.mp4", "viewed", "copy for the defence") as stream:
        assert stream.read() == world.clip
    assert triage.destroy_due(world.step(31 * DAY)) == 0
    hold.lift(world.sam, held, "the defence has its copy")
    response.refresh_from_db()
    assert response.state == "declined"
    assert not node.key_file("responses", response.id).exists()
    assert triage.destroy_due(clock.now()) == 1
    actions = [link.action for link in custody.chain(response)]
    assert actions == ["collected", "declined", "held", "viewed", "released", "destroyed"]
    assert Hold.objects.get().lifted_at


def test_a_hold_placed_before_the_decline_keeps_it_and_can_be_lifted(one):
    world, _, response = one
    held = hold.place(world.sam, response, "legal_hold", "Order 7", "the court asks for it")
    triage.decline(world.ana, response, "it shows another street")
    assert triage.destroy_due(world.step(31 * DAY)) == 0
    with pytest.raises(Refused, match=r"evidence\.state"):
        evidence.use_in_case(world.sam, response, case="26-9", purpose=PURPOSE, recipient="Theft desk")
    hold.lift(world.sam, held, "the order ended")
    assert triage.destroy_due(clock.now()) == 1


def test_a_scrub_that_failed_is_made_up_for(one, monkeypatch):
    world, _, response = one
    triage.decline(world.ana, response, "it shows another street")
    world.step(30 * DAY)
    scrubs = []

    def locked():
        raise OSError("database is locked")

    monkeypatch.setattr(triage.database, "scrub", locked)
    with pytest.raises(OSError, match="locked"):
        triage.destroy_due(clock.now())
    monkeypatch.setattr(triage.database, "scrub", lambda: scrubs.append(1) or True)
    assert triage.destroy_due(clock.now()) == 0
    triage.destroy_due(clock.now())
    assert scrubs == [1]


def test_declined_is_destroyed_after_thirty_days_and_not_before(one):
    world, _, response = one
    triage.decline(world.ana, response, "it shows another street")
    assert triage.destroy_due(world.step(30 * DAY - 1)) == 0
    assert list(vault.held()) == [response.id]
    assert triage.destroy_due(world.step(1)) == 1
    response.refresh_from_db()
    assert response.state == "destroyed"
    assert not Clip.objects.filter(response=response).exists()
    assert list(vault.held()) == []
    assert not node.evidence_folder(response.id).exists()
    assert not node.hold_file(response.id).exists()
    assert [p for p in world.folder.rglob("*") if response.id in p.name] == []
    assert world.told(response)[-1] == "declined"
    assert "destroyed" in world.hub.statuses[-1]["note"]
    with pytest.raises(Refused, match=r"evidence\.destroyed"):
        hold.place(world.sam, response, "legal_hold", "Order 7", "too late")


def test_destruction_waits_a_day_for_the_ledger_and_then_keeps_the_promise(one):
    world, _, response = one
    triage.decline(world.ana, response, "it shows another street")
    world.hub.down = True
    assert triage.destroy_due(world.step(30 * DAY)) == 0
    assert triage.destroy_due(world.step(DAY)) == 1
    assert [link.state for link in custody.chain(response)][-1] == "pending"
    world.hub.down = False
    assert world.settle() == 0


def test_untriaged_escalates_and_is_never_destroyed(one):
    world, _, response = one
    assert triage.escalate(world.step(2 * DAY - 1)) == 0
    assert triage.escalate(world.step(1)) == 1
    assert triage.escalate(clock.now()) == 0
    assert triage.escalate(world.step(3 * DAY)) == 1
    assert triage.destroy_due(world.step(400 * DAY)) == 0
    access.train(world.adm, world.ana, "The yearly course", clock.now() + DAY)
    with evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", PURPOSE) as stream:
        assert stream.read() == world.clip
    triage.escalate(clock.now())
    assert [n.kind for n in Notice.objects.order_by("at", "id")] == ["untriaged", "untriaged", "consent_over"]
    triage.seen(world.ana, Notice.objects.first().pk)
    assert triage.notices(world.ana).count() == 2


def test_use_in_another_case_names_itself_and_is_told(one):
    world, _, response = one
    with pytest.raises(RefusedWhole) as caught:
        evidence.use_in_case(world.sam, response, case="26-009", purpose="investigation", recipient="Theft desk")
    assert caught.value.code == "text.vague"
    with pytest.raises(RefusedWhole):
        evidence.use_in_case(
            world.sam, response, case="26-009", purpose="who took part in the protest march on Main", recipient="Theft desk"
        )
    words = "the same hatchback was used to steal a trailer on Fruitvale"
    evidence.use_in_case(world.sam, response, case="26-009", purpose=words, recipient="Theft desk")
    evidence.use_in_case(world.sam, response, case="26-009", purpose=words, recipient="Theft desk")
    evidence.use_in_case(
        world.sam, response, case="26-010", purpose=words + " too", recipient="Grand jury", sealed_by="Order 9 of Dept 4"
    )
    world.told(response)
    notes = [s["note"] for s in world.hub.statuses if s["response_id"] == response.id]
    assert len(notes) == 2
    assert "26-009" in notes[1]
    assert "Theft desk" in notes[1]
    events = [json.loads(dsse.Envelope.parse(bytes(c.envelope)).payload)["predicate"] for c in custody.chain(response)]
    assert [e.get("recipient") for e in events] == [None, "Theft desk", "Grand jury"]


def test_nothing_of_a_response_is_exported_before_it_is_accepted(one):
    world, request, response = one
    with pytest.raises(Refused, match=r"export\.state"):
        export.export(world.tom, request, [response.id], purpose="trial of the hatchback's driver", recipient="District attorney")
    assert not Export.objects.exists()
    assert Response.objects.get(pk=response.id).state == "collected"
