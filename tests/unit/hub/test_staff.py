"""The session API as moderators and administrators use it, with a software passkey through the ordinary pages."""

import json

import h3
import pytest
from django.test import Client

from fairwitness.demo.authenticator import SoftClient
from fairwitness.hub.models import PendingEntry
from fairwitness.kit.accounts import services as accounts
from tests.unit.hub.world import Agency


class Staff:
    """A signed-in person."""

    def __init__(self, role, name):
        self.client = SoftClient.over_django(Client(enforce_csrf_checks=True))
        self.client.enrol(accounts.issue_code(accounts.create_user(name, name, role)))
        self.client.sign_in()

    def post(self, path, body=None, status=200):
        answer = self.client.post(path, data=body or {})
        assert answer.status == status, answer.body
        return answer.json()

    def get(self, path, status=200):
        answer = self.client.get(path)
        assert answer.status == status, answer.body
        return answer.json()


@pytest.fixture
def moderator(world, settings):
    # The passkeys of this test live under the name that the settings were loaded with.
    return Staff("moderator", "mora")


@pytest.fixture
def admin(world):
    return Staff("admin", "adam")


def test_a_moderator_works_the_queue(world, moderator):
    first, second = world.agency.request(case="26-1"), world.agency.request(case="26-2")
    for request in (first, second):
        world.agency.submit(request)
    shown = moderator.get("/api/requests")["requests"]
    assert [item["id"] for item in shown] == [first.id, second.id]
    assert (shown[0]["msg"], shown[0]["approvals"], shown[0]["required"]) == (first.msg, 0, 1)
    assert moderator.post(f"/api/requests/{first.id}/approve")["state"] == "approved"
    assert moderator.post(f"/api/requests/{second.id}/refuse", {"rule": "moderation.vague"})["state"] == "refused"
    assert moderator.post(f"/api/requests/{second.id}/refuse", {"rule": "nonsense"}, 400)["error"]["code"] == "rule.unknown"
    assert moderator.post("/api/requests/nothing/approve", status=404)["error"]["code"] == "request.unknown"
    world.step(1)
    assert moderator.get(f"/api/requests/{first.id}")["state"] == "published"
    assert moderator.post(f"/api/requests/{first.id}/withdraw")["state"] == "published"
    world.step(1)
    assert moderator.get("/api/requests?state=withdrawn")["requests"][0]["id"] == first.id
    emergency = world.agency.request(case="26-3", emergency=True, centre=world_cell())
    world.agency.submit(emergency)
    world.step(1)
    assert [r["id"] for r in moderator.get("/api/requests?state=review")["requests"]] == [emergency.id]
    moderator.post(f"/api/requests/{emergency.id}/review")
    assert moderator.get("/api/requests?state=review")["requests"] == []
    assert "live.case" in moderator.get("/api/rules")["rules"]
    assert moderator.post("/api/invites", {}, 403)["error"]["code"] == "auth.role"


def world_cell():
    return h3.latlng_to_cell(37.76, -122.20, 9)


def test_an_administrator_keeps_agencies_invites_and_policies(world, admin):
    other = Agency(world, id="us-ca-berkeley", seed="berkeley")
    assert admin.post("/api/agencies", {"registration": other.registration()})["queued"] == ["agency_authorized"]
    again = admin.post("/api/agencies", {"registration": other.registration()}, 409)
    assert again["error"]["code"] == "agency.pending"
    world.step(1)
    assert [a["agency"] for a in admin.get("/api/agencies")["agencies"]] == ["us-ca-berkeley", "us-ca-oakland"]
    other.officers.append(other.eve)
    assert admin.post(f"/api/agencies/{other.id}/keys", {"registration": other.registration()})["queued"] == ["key_rotated"]
    wrong = admin.post(f"/api/agencies/{world.agency.id}/keys", {"registration": other.registration()}, 400)
    assert wrong["error"]["code"] == "agency.other"
    assert admin.post("/api/agencies", {"registration": {}, "days": 0}, 400)["error"]["code"] == "agency.days"
    (code,) = admin.post("/api/invites", {"uses": 3})["codes"]
    assert admin.post("/api/invites/revoke", {"code": code})["revoked"] is True
    soon = admin.post("/api/policies", {"kind": "moderation", "text": "x", "effective_at": world.now}, 400)
    assert soon["error"]["code"] == "policy.notice"
    admin.post("/api/policies", {"kind": "moderation", "text": "Two look.", "effective_at": world.now + 900})
    assert admin.post(f"/api/agencies/{other.id}/suspend", {"reason": "left"})["queued"] == ["agency_suspended"]
    assert admin.post(f"/api/agencies/{other.id}/suspend", {"reason": "dislike"}, 400)["error"]["code"]
    world.step(1)
    assert not PendingEntry.objects.filter(state="queued").exists()
    assert admin.get("/api/status")["state"] == "ok"
    code = admin.post("/api/users", {"username": "mo", "display_name": "Mo", "role": "moderator"})["code"]
    assert json.dumps(code)
    assert admin.post("/api/users", {"username": "mo", "display_name": "Mo", "role": "moderator"}, 409)["error"]["code"]
