"""People and their access, the freeze, retention classes and the record, as services and as an administrator's pages."""

import csv
import io

import pytest

from fairwitness.agency.models import AuditRecord, Freeze, Officer, RetentionClass
from fairwitness.agency.services import access, audit, cases, officers, retention
from fairwitness.kit import clock
from fairwitness.kit.accounts import services as accounts
from fairwitness.kit.errors import Refused
from tests.permissions.cases import session_of

DAY = 86400


@pytest.fixture
def admin(world):
    """A browser of the administrator `adm`."""
    client = session_of(world.adm.user)
    client.defaults["HTTP_ACCEPT"] = "text/html"
    return client


def text(answer):
    return answer.content.decode()


def test_training_runs_out_and_is_recorded_anew(world):
    world.step(366 * DAY)
    with pytest.raises(Refused) as refused:
        cases.open_case(world.ana, "26-1", "nibrs:240")
    assert refused.value.code == "officer.training"
    access.train(world.adm, world.ana, "Policy course 2027", clock.now() + 90 * DAY)
    cases.open_case(world.ana, "26-1", "nibrs:240")
    for until in (clock.now() - 1, clock.now() + 4 * 366 * DAY):
        with pytest.raises(Refused):
            access.train(world.adm, world.ana, "x", until)
    with pytest.raises(Refused):
        access.train(world.sam, world.ana, "x", clock.now() + DAY)


def test_who_is_not_trained_reads_nothing_either(world):
    ana = session_of(world.ana.user)
    assert ana.get("/api/requests").status_code == 200
    Officer.objects.filter(pk=world.ana.pk).update(trained_until=clock.now())
    answer = ana.get("/api/requests")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "officer.training")


def test_the_record_names_the_administrator_who_acted(world):
    access.stop(world.adm, world.ana)
    access.let_go_on(world.adm, world.ana)
    officers.new_code(world.ana, world.adm)
    session_of(world.sam.user)
    access.sign_out(world.adm, world.sam)
    kim = officers.enrol("kim", "Kim Lee", "officer", world.adm).officer
    officers.remove(kim, world.adm)
    found = AuditRecord.objects.filter(actor=world.adm.actor).order_by("pk").values_list("action", "subject")
    ana, new, sam = f"account {world.ana.actor}", "account kim", f"account {world.sam.actor}"
    assert list(found) == [
        ("account.frozen", ana),
        ("account.unfrozen", ana),
        ("account.code_issued", ana),
        ("account.sessions_ended", sam),
        ("account.created", new),
        ("officer.added", f"officer {kim.actor}"),
        ("account.code_issued", f"account {kim.actor}"),
        ("account.frozen", f"account {kim.actor}"),
        ("officer.removed", f"officer {kim.actor}"),
    ]


def test_unused_access_ends_by_itself_and_one_administrator_stays(world):
    world.step(29 * DAY)
    assert access.lapse(clock.now()) == 0
    session_of(world.ana.user)
    world.step(2 * DAY)
    ended = access.lapse(clock.now())
    assert ended == 3  # sam, sue, tom; ana was here, adm is the only administrator
    assert access.lapse(clock.now()) == 0
    states = {one.officer.user.username: one.state for one in access.people()}
    assert states == {"ana": "active", "sam": "lapsed", "sue": "lapsed", "tom": "lapsed", "adm": "active"}
    assert AuditRecord.objects.filter(action="officer.lapsed", actor=audit.NODE).count() == 3
    with pytest.raises(Refused) as refused:
        officers.need(world.sam, "supervisor")
    assert refused.value.code == "officer.removed"
    access.renew(world.adm, world.sam, clock.now() + 90 * DAY)
    world.sam.user.refresh_from_db()
    officers.need(world.sam, "supervisor")
    access.renew(world.sam, world.tom, clock.now() + 90 * DAY)
    with pytest.raises(Refused):
        access.renew(world.sam, world.sam, clock.now() + 90 * DAY)


def test_one_step_stops_the_whole_agency(world):
    session_of(world.ana.user)
    access.freeze_agency(world.adm, "A key was found on the street")
    access.freeze_agency(world.adm, "again")
    assert Freeze.objects.count() == 1
    assert accounts.sessions_of(world.ana.user).count() == 0
    for officer, role in ((world.ana, "officer"), (world.sam, "supervisor"), (world.tom, "technician")):
        with pytest.raises(Refused) as refused:
            officers.need(officer, role)
        assert refused.value.code == "agency.frozen"
    with pytest.raises(Refused) as reading:
        officers.of_user(world.ana.user)
    assert reading.value.code == "agency.frozen"
    ana = session_of(world.ana.user)
    assert ana.get("/").status_code == 403
    assert ana.get("/api/cases").status_code == 403
    assert officers.of_user(world.adm.user) == world.adm
    access.thaw_agency(world.adm)
    officers.need(world.ana, "officer")
    assert ana.get("/api/cases").status_code == 200
    with pytest.raises(Refused):
        access.freeze_agency(world.sam, "not mine to do")


def test_one_step_stops_one_person(world):
    access.stop(world.adm, world.ana)
    with pytest.raises(Refused):
        officers.need(world.ana, "officer")
    with pytest.raises(Refused):
        access.stop(world.adm, world.adm)
    access.let_go_on(world.adm, world.ana)
    world.ana.user.refresh_from_db()
    officers.need(world.ana, "officer")


def test_the_longest_class_counts_and_nothing_goes_by_itself(world):
    retention.put(world.adm, "Short", 30, ["nibrs:240"])
    long = retention.put(world.adm, "Long", 300, ["nibrs:240", "nibrs:220"])
    assert retention.class_of("nibrs:240", retention.listing()) == long
    assert retention.class_of("nibrs:120", retention.listing()) is None
    for name, days, codes in (("", 1, []), ("x", 0, []), ("x", 1, ["nibrs:zzz"]), ("Short", 1, [])):
        with pytest.raises(Refused):
            retention.put(world.adm, name, days, codes)
    with pytest.raises(Refused):
        retention.put(world.sam, "Mine", 1, [])
    assert retention.due(world.sam, clock.now()) == []
    retention.drop(world.adm, long.pk)
    assert [one.name for one in RetentionClass.objects.all()] == ["Short"]


def test_the_record_has_the_same_fields_for_everything(world, admin):
    cases.open_case(world.ana, "26-7", "nibrs:240", "=1+1")
    AuditRecord.objects.create(at=1, actor="x", action="a.b", subject="s", words="=cmd()")
    rows = list(csv.reader(io.StringIO("".join(audit.as_csv(audit.Wanted())))))
    assert rows[0] == list(audit.FIELDS)
    assert {len(row) for row in rows} == {len(audit.FIELDS)}
    assert "'=cmd()" in rows[-1]
    page = text(admin.get("/admin/record?action=case.opened"))
    assert "26-7" in page
    assert "account.created" not in page.split("<tbody>")[1]
    answer = admin.get(f"/admin/record.csv?actor={world.ana.actor}")
    assert b"case.opened" in b"".join(answer.streaming_content)
    assert admin.get("/admin/record?since=x&until=99999999999999&page=nonsense").status_code == 200


def test_an_administrator_adds_trains_freezes_and_removes_on_pages(world, admin):
    assert "Ana" in text(admin.get("/admin"))
    form = {"username": "kim", "display_name": "Kim Lee", "role": "officer", "training": "Policy course"}
    assert admin.post("/admin/people/add", form | {"training": ""}).status_code == 400
    page = text(admin.post("/admin/people/add", form))
    assert "One-time code for Kim Lee" in page
    kim = officers.by_name("kim")
    assert "Policy course" in text(admin.get(f"/admin/people/{kim.pk}"))
    until = str(clock.now() + 30 * DAY)
    assert admin.post(f"/admin/people/{kim.pk}/train", {"training": "Again", "until": until}).status_code == 302
    assert admin.post(f"/admin/people/{kim.pk}/renew", {"until": until}).status_code == 302
    assert admin.post(f"/admin/people/{kim.pk}/renew", {"until": "soon"}).status_code == 400
    assert admin.post(f"/admin/people/{kim.pk}/freeze").status_code == 302
    assert "frozen" in text(admin.get(f"/admin/people/{kim.pk}"))
    assert admin.post(f"/admin/people/{kim.pk}/unfreeze").status_code == 302
    assert "One-time code" in text(admin.post(f"/admin/people/{kim.pk}/code"))
    assert admin.post(f"/admin/people/{kim.pk}/sign-out").status_code == 302
    assert admin.post(f"/admin/people/{world.adm.pk}/freeze").status_code == 409
    assert admin.post(f"/admin/people/{kim.pk}/remove").status_code == 302
    assert "removed" in text(admin.get(f"/admin/people/{kim.pk}"))
    assert admin.get("/admin/registration.json").json()["type"] == "agency_registration"
    assert admin.post("/admin/freeze", {"reason": ""}).status_code == 400
    assert admin.post("/admin/freeze", {"reason": "Lost laptop"}).status_code == 302
    assert "Lost laptop" in text(admin.get("/admin"))
    assert admin.post("/admin/thaw").status_code == 302
    kept = {"name": "Property", "days": "90", "offense": ["nibrs:240"]}
    assert admin.post("/admin/retention", kept).status_code == 302
    assert "Property" in text(admin.get("/admin/retention"))
    assert admin.post("/admin/retention", kept | {"days": "x", "name": "B"}).status_code == 400
    assert admin.post(f"/admin/retention/{RetentionClass.objects.get().pk}/remove").status_code == 302
