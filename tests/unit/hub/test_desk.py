"""The staff's pages: what a moderator and an administrator read and do there."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from fairwitness_core.model.hub import LegalProcess
from fairwitness_core.wire import dsse

from fairwitness.hub.models import LegalDemand, PendingEntry, Request, Shift
from fairwitness.hub.services import desk, legal, rota
from fairwitness.kit.accounts import services as accounts
from fairwitness.kit.errors import Refused
from tests.permissions.cases import signed_in

DAY = 86_400
TICKED = dict.fromkeys(("says", "place", "person", "victim", "pressure", "purpose"), "on")


@pytest.fixture
def people(world):
    def arrive(role, name):
        _, client = signed_in(role, name=name)
        client.defaults["HTTP_ACCEPT"] = "text/html"
        return client

    return arrive


@pytest.fixture
def waiting(world):
    world.agency.submit(world.agency.request())
    return Request.objects.get()


def text(answer):
    return answer.content.decode()


def test_the_queue_shows_what_waits_and_a_decision_empties_it(world, people, waiting):
    mina: Client = people("moderator", "mina")
    assert "Nothing waits" not in text(mina.get("/desk"))
    page = text(mina.get(f"/desk/requests/{waiting.id}"))
    assert desk.document(waiting).msg[:30] in page
    half = mina.post(f"/desk/requests/{waiting.id}/approve", {"says": "on"})
    assert half.status_code == 400
    waiting.refresh_from_db()
    assert waiting.state == "submitted"
    assert mina.post(f"/desk/requests/{waiting.id}/approve", TICKED).status_code == 302
    waiting.refresh_from_db()
    assert waiting.state == "approved"
    assert "Nothing waits" in text(mina.get("/desk"))
    assert desk.times(world.now).decided == 1


def test_a_refusal_names_a_rule_and_nothing_else(world, people, waiting):
    mina = people("moderator", "mina")
    assert mina.post(f"/desk/requests/{waiting.id}/refuse", {"rule": "because"}).status_code == 400
    assert mina.post(f"/desk/requests/{waiting.id}/refuse", {"rule": "moderation.vague"}).status_code == 302
    waiting.refresh_from_db()
    assert (waiting.state, waiting.rule) == ("refused", "moderation.vague")


def test_an_administrator_reads_the_queue_and_decides_nothing(world, people, waiting):
    rosa = people("admin", "rosa")
    assert "Moderators decide" in text(rosa.get(f"/desk/requests/{waiting.id}"))
    assert rosa.post(f"/desk/requests/{waiting.id}/approve", TICKED).status_code == 403


def test_the_rota_names_gaps_and_who_is_on_duty(world, people):
    rosa = people("admin", "rosa")
    mina = accounts.create_user("mina", "Mina Okafor", "moderator")
    now = world.now
    assert rota.gaps(now, days=1) == [(now, now + DAY)]
    sent = {"username": "mina", "begins": str(now), "ends": str(now + 3600)}
    assert rosa.post("/desk/rota", sent).status_code == 302
    assert rota.on_duty(now) == ["Mina Okafor"]
    assert rota.gaps(now, days=1) == [(now + 3600, now + DAY)]
    assert rosa.post("/desk/rota", sent | {"ends": str(now - 5)}).status_code == 400
    assert rosa.post("/desk/rota", sent | {"begins": ""}).status_code == 400
    accounts.freeze(mina)
    with pytest.raises(Refused):
        rota.add("mina", now, now + 60)
    assert rosa.post(f"/desk/rota/{Shift.objects.get().pk}/remove").status_code == 302
    assert rota.on_duty(now) == []
    moderator = people("moderator", "kit")
    assert moderator.post("/desk/rota", sent).status_code == 403


def test_agencies_are_shown_with_who_vouches_and_suspended(world, people):
    rosa = people("admin", "rosa")
    name = world.agency.registration()["agency"]
    assert "may ask" in text(rosa.get("/desk/agencies"))
    assert world.agency.registration()["vouched"][0] in text(rosa.get(f"/desk/agencies/{name}"))
    assert rosa.get("/desk/agencies/us-ca-nowhere").status_code == 404
    assert rosa.post("/desk/agencies", {"registration": "{", "days": "1"}).status_code == 400
    assert rosa.post("/desk/agencies", {"registration": "{}", "days": "1"}).status_code == 400
    assert rosa.post(f"/desk/agencies/{name}/suspend", {"reason": "audit failed"}).status_code == 400
    assert rosa.post(f"/desk/agencies/{name}/suspend", {"reason": "misuse"}).status_code == 302
    world.step(60)
    assert "suspended" in text(rosa.get(f"/desk/agencies/{name}"))


def test_health_shows_witnesses_ticks_and_disk(world, people):
    world.step(60)
    mina = people("moderator", "mina")
    page = text(mina.get("/desk/health"))
    assert "everything runs" in page
    assert {one.name for one in desk.witnesses() if one.at} == {"w1", "w2", "w3"}
    assert desk.ticks()[-1].late >= 0
    world.net.down |= {"w1.test", "w2.test", "w3.test"}


def test_demands_by_law_are_counted_each_month_also_when_there_were_none(world, people):
    rosa = people("admin", "rosa")
    assert "Nobody demanded anything" in text(rosa.get("/desk/legal"))
    sent = {"kind": "warrant", "reference": "Court 12-3", "asked": "all camera locations", "answer": "pending"}
    assert rosa.post("/desk/legal", sent).status_code == 302
    assert rosa.post("/desk/legal", sent | {"asked": " "}).status_code == 400
    assert rosa.post("/desk/legal", sent | {"kind": "favour"}).status_code == 400
    row = LegalDemand.objects.get()
    assert rosa.post(f"/desk/legal/{row.pk}/answer", {"answer": "pending"}).status_code == 400
    assert rosa.post(f"/desk/legal/{row.pk}/answer", {"answer": "nothing"}).status_code == 302
    assert rosa.post(f"/desk/legal/{row.pk}/answer", {"answer": "sealed_bytes"}).status_code == 409
    legal.enter("subpoena", "Secret 1", "everything", "nothing", silent_until=world.now + 70 * DAY)
    month, later = world.now + 32 * DAY, world.now + 110 * DAY
    before = {bytes(e.envelope) for e in PendingEntry.objects.all()}
    assert legal.close_months(month) >= 1
    assert legal.close_months(month) == 0
    legal.close_months(later)
    found = [
        LegalProcess.parse(dsse.Envelope.parse(bytes(e.envelope)).payload)
        for e in PendingEntry.objects.filter(kind=LegalProcess.TYPE).order_by("id")
        if bytes(e.envelope) not in before
    ]
    by_month = {one.month: {count.kind: count.asked for count in one.counts} for one in found}
    assert by_month[legal.month_of(world.now)] == {"warrant": 1}
    assert by_month[legal.month_of(world.now + 70 * DAY)] == {"subpoena": 1}
    assert all(b"Secret" not in bytes(e.envelope) and b"Court" not in bytes(e.envelope) for e in PendingEntry.objects.all())


def test_nobody_else_reads_the_desk(world):
    client = Client(HTTP_ACCEPT="text/html")
    for path in ("/desk", "/desk/rota", "/desk/agencies", "/desk/health", "/desk/legal"):
        assert client.get(path).status_code == 302
    assert get_user_model().objects.count() == 0
