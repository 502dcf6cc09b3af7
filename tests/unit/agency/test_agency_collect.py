"""Everything that can happen to a response between the hub's inbox and the agency's evidence."""

import io
import subprocess

import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.crypto.segments import SegmentReader, which_opens
from fairwitness_core.model.response import Manifest, StepForward, Withdraw
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

from fairwitness.agency import worker
from fairwitness.agency.models import CustodyRecord, Notice, Request, Response, Status
from fairwitness.agency.services import collect, custody, evidence, intake, node, requests, status, vault, withdrawals
from fairwitness.kit import clock, files
from fairwitness.kit.errors import Refused
from tests.unit.agency.agency_steps import PURPOSE
from tests.unit.agency.world import Owner


def files_of(world):
    return sorted(p.relative_to(world.folder).as_posix() for p in world.folder.rglob("*") if p.is_file())


def test_a_response_becomes_evidence_through_the_child_process(world):
    request = world.published()
    owner = Owner(1, [world.clip, world.clip], name="Dana Owner")
    [response] = world.collected(request, owner)
    assert response.state == "collected"
    assert response.acknowledged
    assert [clip.name for clip in response.clips.all()] == ["clip-01.mp4", "clip-02.mp4"]
    assert world.hub.inbox[owner.response_id].acked
    assert not list((world.folder / "spool").iterdir())
    assert world.told(response) == ["collected"]
    # Sealed to a key of its own: neither the request's key nor the node's opens a clip.
    own = node.get_secret(node.key_file("responses", response.id)).decode()
    request_key = node.get_secret(node.key_file("requests", request.id)).decode()
    with pytest.raises(ProtocolError):
        SegmentReader(vault.open_file(response.id, "clip-01.mp4.fws"), [request_key])
    assert SegmentReader(vault.open_file(response.id, "clip-01.mp4.fws"), [own]).read() == world.clip
    assert node.key_file("responses", response.id).stat().st_mode & 0o777 == 0o600
    manifest = evidence.read_manifest(world.ana, response, PURPOSE)
    assert isinstance(manifest, Manifest)
    assert manifest.identity.name == "Dana Owner"
    # Nothing that the owner wrote or showed stands in a file as it is.
    for path in (p for p in world.folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        assert b"Dana Owner" not in data
        assert owner.statement.encode() not in data
        assert world.clip[:200] not in data
    assert request.responses.count() == 1


def test_statement_alone_and_step_forward(world, inline):
    request = world.published()
    owner = Owner(1, [])
    [response] = world.collected(request, owner)
    assert not response.clips.exists()
    helper = Owner(2)
    world.hub.put(helper.response_id, helper.step_forward(world.document(request), owner))
    collect.run(clock.now())
    known = Response.objects.get(pk=helper.response_id)
    assert known.about == owner.response_id
    said = evidence.read_manifest(world.ana, known, PURPOSE)
    assert isinstance(said, StepForward)
    assert said.name == "Dana Owner"


def test_acknowledged_only_when_durable_and_repeated_without_harm(world, inline):
    request = world.published()
    owner = Owner(1, [world.clip])
    world.hub.refuse = lambda op: op == "inbox_ack"
    [response] = world.collected(request, owner)
    assert not response.acknowledged
    assert not world.hub.inbox[owner.response_id].acked
    world.hub.refuse = lambda op: False
    collect.run(clock.now())
    assert Response.objects.get(pk=response.id).acknowledged
    assert CustodyRecord.objects.filter(response=response).count() == 1
    collect.run(clock.now())
    assert Response.objects.count() == 1


@pytest.mark.parametrize("point", ["place", "_store", "rename"])
def test_a_crash_between_the_steps_is_resumed(world, inline, monkeypatch, point):
    request = world.published()
    owner = Owner(1, [world.clip])
    world.hub.answer(world.document(request), owner)

    class Crash(BaseException):
        pass

    def crash(*args, **kwargs):
        raise Crash

    with monkeypatch.context() as patch:
        if point == "place":
            patch.setattr(intake, "place", crash)
        elif point == "_store":
            patch.setattr(collect, "_store", crash)
        else:
            patch.setattr(intake.Path, "rename", crash)
        with pytest.raises(Crash):
            collect.run(clock.now())
    assert not Response.objects.exists()
    assert not world.hub.inbox[owner.response_id].acked
    collect.run(clock.now())
    response = Response.objects.get()
    with evidence.open_clip(world.ana, response, "clip-01.mp4", "viewed", PURPOSE) as stream:
        assert stream.read() == world.clip
    assert not list((world.folder / "evidence").glob(".*"))


def test_a_crash_followed_by_a_withdrawal_leaves_nothing(world, inline, monkeypatch):
    request = world.published()
    owner = Owner(1, [world.clip])
    world.hub.answer(world.document(request), owner)

    class Crash(BaseException):
        pass

    def crash(*args):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(collect, "_store", crash)
        with pytest.raises(Crash):
            collect.run(clock.now())
    world.hub.withdraw(owner)
    withdrawals.beat(clock.now())
    collect.run(clock.now())
    assert not Response.objects.exists()
    assert not [name for name in files_of(world) if owner.response_id in name]


def test_withdrawn_in_between(world, inline, monkeypatch):
    request = world.published()
    owner = Owner(1, [world.clip])
    world.hub.answer(world.document(request), owner)
    honest = intake.place

    def withdraws_meanwhile(taken, rid):
        honest(taken, rid)
        world.hub.withdraw(owner)
        withdrawals.beat(clock.now())

    monkeypatch.setattr(intake, "place", withdraws_meanwhile)
    done = collect.run(clock.now())
    assert done.gone == [owner.response_id]
    assert not done.collected
    assert not Response.objects.exists()
    assert not [name for name in files_of(world) if owner.response_id in name]


def test_gone_when_fetched(world, inline):
    request = world.published()
    owner = Owner(1, [world.clip])
    world.hub.answer(world.document(request), owner)
    listed = world.hub.op_inbox_list({})
    world.hub.op_inbox_list = lambda body: listed
    world.hub.withdraw(owner)
    assert collect.run(clock.now()).gone == [owner.response_id]


def test_withdrawal_after_collection_is_a_notice_on_record(world, inline):
    request = world.published()
    owner = Owner(1, [world.clip])
    [response] = world.collected(request, owner)
    world.hub.withdraw(owner)
    withdrawals.beat(clock.now())
    withdrawals.beat(clock.now())
    response.refresh_from_db()
    assert response.withdrawn_at
    assert response.state == "collected"
    assert [link.action for link in custody.chain(response)] == ["collected", "withdrawal_noted"]
    assert Notice.objects.filter(kind="withdrawn").count() == 1
    assert world.told(response) == ["collected", "withdrawn"]


def test_a_withdrawal_that_its_owner_did_not_sign_is_passed_over(world, inline):
    request = world.published()
    owner = Owner(1, [world.clip])
    [response] = world.collected(request, owner)
    stranger = Owner(2)
    world.hub.withdraw(stranger)
    forged = dsse.Envelope.parse(world.hub.withdrawals[0])
    document = Withdraw(response_id=owner.response_id, pk=owner.key.public.raw, at=clock.now())
    world.hub.withdrawals.insert(0, dsse.Envelope(dsse.RESPONSE, document.encode(), forged.signatures).encode())
    withdrawals.beat(clock.now())
    response.refresh_from_db()
    assert response.withdrawn_at is None


def broken(world, request, kind):
    document = world.document(request)
    owner = Owner(1, [world.clip])
    match kind:
        case "intake.clips":
            other = owner.manifest(document, [])
            return owner, owner.seal(document, envelope=other)
        case "intake.boxes":
            owner.clips = [world.clip + b"\x00\x00\x00\x10uuidABCDEFGH"]
            return owner, owner.seal(document)
        case "intake.decode":
            cut = world.clip.index(b"moof") - 4
            owner.clips = [world.clip[:cut]]
            return owner, owner.seal(document)
        case "intake.no_key":
            return owner, owner.seal(document, recipient=seal.new_identity()[1])
        case "intake.request":
            return owner, owner.seal(document, request_id="f" * 32)
        case "intake.response_id":
            data = Owner(2, [world.clip]).seal(document)
            return owner, data
        case "intake.mode":
            return owner, owner.seal(document, mode="anonymous")
        case "seal.open":
            owner.clips = [world.clip + bytes(100_000)]  # its key opens the first chunk; a later one was changed
            data = bytearray(owner.seal(document))
            data[-40] ^= 1
            return owner, bytes(data)
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    ["intake.clips", "intake.boxes", "intake.decode", "intake.no_key", "intake.request", "intake.response_id", "intake.mode",
     "seal.open"],
)  # fmt: skip
def test_what_is_wrong_is_quarantined_with_its_reason(world, inline, kind):
    request = world.published(**({"modes": ("identified",)} if kind == "intake.mode" else {}))
    owner, data = broken(world, request, kind)
    world.hub.put(owner.response_id, data)
    done = collect.run(clock.now())
    assert done.quarantined == [owner.response_id]
    response = Response.objects.get()
    assert (response.state, response.reason) == ("quarantined", kind)
    assert response.acknowledged
    # Kept as it came, sealed, and nothing opened beside it.
    assert vault.open_quarantined(response.id).read() == data
    assert list(vault.held()) == []
    assert not node.key_file("responses", response.id).exists()
    assert not list((world.folder / "evidence").iterdir())
    with pytest.raises(Refused, match=r"evidence\.quarantined"):
        evidence.open_clip(world.sam, response, "clip-01.mp4", "viewed", PURPOSE)
    status.send(clock.now())
    [told] = [s for s in world.hub.statuses if s["response_id"] == response.id]
    assert told["status"] == "collected"
    assert kind in told["note"]
    assert "nobody has seen it" in told["note"]
    assert [link.action for link in custody.chain(response)] == ["quarantined"]
    assert Notice.objects.filter(kind="quarantined", response=response).exists()


def test_bytes_that_are_not_what_the_hub_promised_are_not_acknowledged(world, inline):
    request = world.published()
    owner = Owner(1, [world.clip])
    world.hub.answer(world.document(request), owner)
    world.hub.inbox[owner.response_id].data = b"x" + world.hub.inbox[owner.response_id].data[1:]
    done = collect.run(clock.now())
    assert done.kept == [owner.response_id]
    assert not Response.objects.exists()
    assert not list((world.folder / "spool").iterdir())


def test_one_bad_response_does_not_stop_the_others(world, inline):
    request = world.published()
    good = [Owner(n, [world.clip]) for n in (2, 3)]
    for owner in good:
        world.hub.answer(world.document(request), owner)
    world.hub.put("0" * 64, b"not age at all")
    done = collect.run(clock.now())
    assert sorted(done.collected) == sorted(o.response_id for o in good)
    assert done.quarantined == ["0" * 64]


def test_late_answers_are_kept_and_marked_until_the_key_is_gone(world, inline):
    request = world.published()
    requests.beat(world.step(8 * 86400))
    [late] = world.collected(request, Owner(1, [world.clip]))
    assert late.late
    assert late.state == "collected"
    requests.beat(world.step(31 * 86400))
    [lost] = world.collected(request, Owner(2, [world.clip]))
    assert (lost.state, lost.reason) == ("quarantined", "intake.no_key")


def test_a_full_disk_loses_nothing(world, inline, monkeypatch):
    request = world.published()
    owner = Owner(1, [world.clip])
    world.hub.answer(world.document(request), owner)

    def full(*args, **kwargs):
        raise files.DiskFull(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(worker.files, "sync_folder", full)
        with pytest.raises(files.DiskFull):
            collect.run(clock.now())
    assert not world.hub.inbox[owner.response_id].acked
    assert collect.run(clock.now()).collected == [owner.response_id]


def test_a_worker_that_dies_is_tried_again_and_at_last_quarantined(world, monkeypatch):
    request = world.published()
    owner = Owner(1, [world.clip])
    world.hub.answer(world.document(request), owner)
    real = subprocess.run

    def dies(command, **options):
        return real(["/bin/false"], input=b"", stdout=subprocess.PIPE, check=False)

    monkeypatch.setattr(intake.subprocess, "run", dies)
    assert collect.run(clock.now()).kept == [owner.response_id]
    assert collect.run(clock.now()).kept == [owner.response_id]
    assert collect.run(clock.now()).quarantined == [owner.response_id]
    assert Response.objects.get().reason == "intake.failed"


def test_the_beat_is_the_same_with_and_without_responses(world, inline):
    request = world.published()
    seen = []
    for hour in range(3):
        if hour == 1:
            world.hub.answer(world.document(request), Owner(1, [world.clip]))
        before = len(world.hub.calls)
        for _ in range(12):
            collect.beat(clock.now())
            world.step(300)
        seen.append([op for op in world.hub.calls[before:] if op == "inbox_list"])
    assert [len(ops) for ops in seen] == [1, 1, 1]


def test_an_emergency_speeds_the_beat_up(world):
    world.published()
    assert collect.beat(clock.now()) is not None
    assert collect.beat(world.step(900)) is None
    Request.objects.update(emergency=True)
    assert collect.beat(clock.now()) is not None
    assert collect.beat(clock.now()) is None
    assert collect.beat(world.step(900)) is not None


def test_statuses_wait_for_a_hub_that_is_away(world, inline):
    request = world.published()
    world.collected(request, Owner(1, [world.clip]))
    world.hub.down = True
    with pytest.raises(Refused):
        status.send(clock.now())
    assert Status.objects.filter(sent_at=None).count() == 1
    world.hub.down = False
    assert status.send(clock.now()) == 1
    assert status.send(clock.now()) == 0


def test_a_status_that_the_hub_refuses_holds_up_no_other(world, inline):
    request = world.published()
    first, second = world.collected(request, Owner(1, [world.clip]), Owner(2, [world.clip]))
    honest = world.hub.op_status_put

    def forgets_the_first(body):
        names = [dsse.Envelope.parse(dsse.unb64(text, "envelope")).payload.decode() for text in body["envelopes"]]
        return world.hub.no(404, "upload.unknown") if any(first.id in name for name in names) else honest(body)

    world.hub.op_status_put = forgets_the_first
    assert status.send(clock.now()) == 1
    assert [s["response_id"] for s in world.hub.statuses] == [second.id]
    assert not Status.objects.filter(sent_at=None).exists()


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=0, max_size=3000))
def test_no_bytes_break_the_intake(data):
    """What is no sealed response is refused with a code, whatever it is."""
    found = "nobody's"
    try:
        if which_opens([seal.new_identity()[0]], io.BytesIO(b"age-encryption.org/v1\n" + data)) is not None:
            found = "ours"
    except ProtocolError as error:
        found = error.code
    assert found in {"nobody's", "seal.format"}
