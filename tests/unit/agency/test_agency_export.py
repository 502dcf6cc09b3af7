"""The bag: verified by the offline verifier under pinned keys, and never made before it is logged; and the day's accounts."""

import hashlib

import pytest
from fairwitness_core.model.custody import CustodyEvent
from fairwitness_core.verify.bag import verify_bag
from fairwitness_core.verify.cli import FolderFiles
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire import dsse

from fairwitness.agency.errors import NotYetLogged, RefusedWhole
from fairwitness.agency.models import Export, Response, Touch
from fairwitness.agency.services import custody, evidence, export, reconcile, triage
from fairwitness.kit.errors import Refused
from tests.harness.rows import as_owner
from tests.unit.agency.agency_steps import PURPOSE
from tests.unit.agency.world import Owner

ORDER = {"purpose": "trial of the driver of the silver hatchback", "recipient": "District attorney of Alameda"}


@pytest.fixture
def two(world, inline):
    """A request with two accepted responses, and the tick that binds the directory after it."""
    request = world.published()
    responses = world.collected(request, Owner(1, [world.clip, world.clip], name="Dana Owner"), Owner(2, []))
    for response in responses:
        triage.accept(world.sam, response, PURPOSE)
    world.hub.tick()
    return world, request, responses


def check(world, path, trusted=True):
    return verify_bag(FolderFiles(path), TrustPolicy.from_join(world.hub.join) if trusted else None)


@pytest.mark.claim("P16")
def test_the_bag_verifies_offline(two, tmp_path):
    world, request, responses = two
    with evidence.open_clip(world.ana, responses[0], "clip-02.mp4", "viewed", PURPOSE):
        pass
    ids = [r.id for r in responses]
    done = export.export(world.tom, request, ids, out=tmp_path / "case", **ORDER)
    report = check(world, done.path)
    assert report.exit_code == 0, [(c.number, c.title, c.detail) for c in report.checks if not c.ok]
    assert check(world, done.path, trusted=False).exit_code == 3
    clip = done.path / "bag" / "data" / responses[0].id / "clip-01.mp4"
    assert clip.read_bytes() == world.clip
    assert clip.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256((done.path / "bag/tagmanifest-sha256.txt").read_bytes()).hexdigest() == done.tagmanifest
    # Told, on record, repeatable without a second bag.
    assert export.export(world.tom, request, ids, out=tmp_path / "case", **ORDER) == done
    assert world.told(responses[1]) == ["collected", "accepted", "exported"]
    assert ORDER["recipient"] in world.hub.statuses[-1]["note"]
    assert [c.action for c in custody.chain(responses[0])] == ["collected", "accepted", "viewed", "exported"]
    assert Response.objects.get(pk=ids[0]).state == "exported"
    # A second export carries the first one as a link.
    again = export.export(
        world.tom, request, ids[:1], purpose="disclosure to the hatchback driver before trial", recipient="Public defender"
    )
    assert check(world, again.path).exit_code == 0
    clip.write_bytes(clip.read_bytes()[:-1] + b"x")
    assert check(world, done.path).exit_code == 1


@pytest.mark.claim("P8")
@pytest.mark.claim("P16")
def test_nothing_is_decrypted_for_a_bag_before_it_is_logged(two, tmp_path, monkeypatch):
    world, request, responses = two
    opened = []
    honest = evidence._decrypt
    monkeypatch.setattr(evidence, "_decrypt", lambda r, n: opened.append(n) or honest(r, n))
    ids = [r.id for r in responses]
    world.settle()
    world.hub.slow = True
    for _ in range(2):
        with pytest.raises(NotYetLogged):
            export.export(world.tom, request, ids, out=tmp_path / "case", **ORDER)
    assert not opened
    assert not (tmp_path / "case").exists()
    assert not list(tmp_path.rglob("clip-*.mp4"))
    assert Export.objects.count() == 1
    world.hub.slow = False
    done = export.export(world.tom, request, ids, out=tmp_path / "case", **ORDER)
    assert opened
    assert check(world, done.path).exit_code == 0
    assert [c.action for c in custody.chain(responses[0])].count("exported") == 1


@pytest.mark.parametrize("point", ["_copy", "_finish", "rename"])
def test_a_crash_while_writing_is_resumed(two, tmp_path, monkeypatch, point):
    world, request, responses = two
    ids = [r.id for r in responses]

    class Crash(BaseException):
        pass

    def crash(*args, **kwargs):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(export.Path if point == "rename" else export, point, crash)
        with pytest.raises(Crash):
            export.export(world.tom, request, ids, out=tmp_path / "case", **ORDER)
    done = export.export(world.tom, request, ids, out=tmp_path / "case", **ORDER)
    assert check(world, done.path).exit_code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"agency", "hub", "case"}
    assert [c.action for c in custody.chain(responses[0])].count("exported") == 1


def test_who_what_and_why(two, tmp_path):
    world, request, responses = two
    ids = [r.id for r in responses]
    with pytest.raises(Refused, match=r"auth\.role"):
        export.export(world.ana, request, ids, **ORDER)
    with pytest.raises(RefusedWhole):
        export.export(world.tom, request, ids, purpose="immigration detainer on the driver", recipient="X")
    with pytest.raises(Refused, match="not_found"):
        export.export(world.tom, request, ["0" * 64], **ORDER)
    with pytest.raises(Refused, match=r"export\.exists"):
        export.export(world.tom, request, ids, out=tmp_path, **ORDER)
    with pytest.raises(Refused, match=r"recipient\.missing"):
        export.export(world.tom, request, ids, purpose=ORDER["purpose"], recipient=" ")


def test_a_court_sealed_export_is_not_told(two):
    world, request, responses = two
    export.export(world.tom, request, [responses[1].id], sealed_by="Order 9", **ORDER)
    assert world.told(responses[1]) == ["collected", "accepted"]
    link = custody.chain(responses[1])[-1]
    event = CustodyEvent.from_statement(dsse.Envelope.parse(bytes(link.envelope)).payload)
    assert event.purpose == f"{ORDER['purpose']} (sealed by Order 9)"
    with pytest.raises(Refused, match=r"purpose\.missing"):
        export.export(world.tom, request, [responses[1].id], sealed_by="x" * 300, **ORDER)


def test_an_export_begun_openly_is_not_finished_as_a_sealed_one(two):
    world, request, responses = two
    world.settle()
    world.hub.slow = True
    with pytest.raises(NotYetLogged):
        export.export(world.tom, request, [responses[1].id], **ORDER)
    world.hub.slow = False
    world.settle()
    export.export(world.tom, request, [responses[1].id], sealed_by="Order 9", **ORDER)
    links = [link for link in custody.chain(responses[1]) if link.action == "exported"]
    purposes = [CustodyEvent.from_statement(dsse.Envelope.parse(bytes(link.envelope)).payload).purpose for link in links]
    assert purposes == [ORDER["purpose"], f"{ORDER['purpose']} (sealed by Order 9)"]


# ---------------------------------------------------------------- P17, T19


@pytest.fixture
def day(two):
    world, _, responses = two
    name = responses[0].inbox_day
    world.hub.close_day(name, "20270116")
    return world, responses, name


@pytest.mark.claim("P17")
def test_the_days_accounts_agree(day, tmp_path):
    world, responses, name = day
    promises = [world.hub.promise(r.id) for r in responses]
    report = reconcile.day_report(name, promises)
    assert report.findings == ()
    reconcile.write(report, tmp_path / "out")
    assert reconcile.judge(reconcile.read(tmp_path / "out"), promises) == ()


@pytest.mark.claim("P17")
def test_a_response_that_the_agency_deleted_is_flagged(day, tmp_path):
    world, responses, name = day
    lost = responses[1]
    gone = lost.id
    promise = world.hub.promise(gone)
    with as_owner():
        Touch.objects.filter(record__response=lost).delete()
        custody.CustodyRecord.objects.filter(response=lost).delete()
        lost.notices.all().delete()
        lost.delete()
    report = reconcile.day_report(name, [promise])
    assert {(f.code, f.response_id) for f in report.findings} == {
        ("missing_at_agency", gone),
        ("promise_missing_at_agency", gone),
    }
    reconcile.write(report, tmp_path / "out")
    assert (tmp_path / "out" / "findings.json").stat().st_size > 100
    assert reconcile.judge(reconcile.read(tmp_path / "out"), [promise]) == report.findings


@pytest.mark.claim("P17")
def test_what_the_hub_hides_or_invents_is_flagged(day):
    world, responses, name = day
    rid = responses[0].id
    promise = world.hub.promise(rid)
    honest = world.hub.inbox[rid]
    del world.hub.inbox[rid]
    assert {f.code for f in reconcile.day_report(name).findings} == {"missing_at_hub"}
    world.hub.inbox[rid] = honest
    leaves = world.hub.days[name]
    world.hub.days[name] = [bytes(32), *leaves[1:]]
    assert "root" in {f.code for f in reconcile.day_report(name).findings}
    # A root that lacks a promised leaf: the owner's promise shows it even where both lists are silent.
    for leaf in [leaf for leaf in leaves if leaf == reconcile.inbox_leaf(rid, honest.sealed, honest.tick)]:
        world.hub.days[name] = sorted([*[x for x in leaves if x != leaf], bytes(31) + b"\x01"])
    codes = {f.code for f in reconcile.day_report(name, [promise]).findings}
    assert {"root", "agency_unlisted", "hub_unlisted", "promise_broken"} <= codes
    world.hub.days[name] = leaves
    honest.sealed = "1" * 64
    assert {"changed", "hub_unlisted"} <= {f.code for f in reconcile.day_report(name).findings}


def test_what_still_waits_at_the_hub_is_not_missing(day):
    world, _, name = day
    world.hub.put(Owner(9).response_id, b"sealed")
    world.hub.inbox[Owner(9).response_id].day = name
    world.hub.close_day(name, "20270116")
    assert reconcile.day_report(name).findings == ()


def test_a_day_is_judged_once_it_is_closed(two):
    with pytest.raises(Refused, match=r"reconcile\.open"):
        reconcile.day_report("20270115")
