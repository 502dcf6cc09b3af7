"""The API over real sessions, and a census: no route, field or table can speak of owners who did not answer (T2, P1, P2)."""

import re

import pytest
from django.apps import apps
from django.test import Client
from fairwitness_core.wire import canonical

from fairwitness.agency.api import api
from fairwitness.agency.services import collect
from fairwitness.demo.authenticator import SoftClient
from fairwitness.kit import clock
from tests.unit.agency.agency_steps import AREA, MESSAGE, PURPOSE
from tests.unit.agency.world import Owner


@pytest.fixture
def people(world, inline):
    """Everybody of the agency, signed in with a passkey each."""
    found = {}
    for name, code in world.codes.items():
        client = SoftClient.over_django(Client(enforce_csrf_checks=True))
        client.enrol(code)
        client.sign_in()
        found[name] = client
    return found


def test_the_main_job_over_the_api(world, people):
    ana, sam, tom = people["ana"], people["sam"], people["tom"]
    assert ana.get("/api/me").json()["role"] == "officer"
    case = ana.post("/api/cases", data={"number": "26-7", "offense": "nibrs:13A", "title": "Hit and run"}).json()
    now = clock.now()
    body = {"area": list(AREA), "from": now - 7200, "to": now - 3600, "msg": MESSAGE, "expires": now + 86400, "contact": "Desk"}
    short = ana.post(f"/api/cases/{case['id']}/check", data=body | {"msg": "help"}).json()
    assert not short["ok"]
    assert short["violations"][0]["hint"]
    refused = ana.post(f"/api/cases/{case['id']}/requests", data=body | {"msg": "help", "area": list(AREA)[:3]})
    assert refused.status == 409
    assert len(refused.json()["error"]["details"]) > 1
    request = ana.post(f"/api/cases/{case['id']}/requests", data=body).json()
    assert ana.post(f"/api/requests/{request['id']}/approve").status == 403
    assert sam.post(f"/api/requests/{request['id']}/approve").json()["state"] == "submitted"
    world.hub.publish(request["id"])
    from fairwitness.agency.services import requests  # noqa: PLC0415 - the beat's part

    requests.beat(now)
    assert ana.get(f"/api/requests/{request['id']}").json()["state"] == "published"
    owner = Owner(1, [world.clip])
    world.hub.answer(requests.document_of(requests.get(request["id"])), owner)
    collect.run(clock.now())
    [listed] = ana.get(f"/api/requests/{request['id']}/responses").json()["responses"]
    assert owner.statement not in str(listed)
    rid = listed["id"]
    world.hub.slow = True
    wanted = {"action": "viewed", "target": "clip-01.mp4", "purpose": PURPOSE}
    waiting = ana.post(f"/api/responses/{rid}/touch", data=wanted)
    assert waiting.status == 202
    assert waiting.json()["state"] == "logging"
    touch = waiting.json()["touch"]
    assert ana.get(f"/api/touches/{touch}").status == 202
    assert ana.get(f"/api/touches/{touch}/content").status == 409
    world.hub.slow = False
    assert ana.get(f"/api/touches/{touch}").json()["state"] == "logged"
    assert sam.get(f"/api/touches/{touch}/content").status == 404
    content = ana.get(f"/api/touches/{touch}/content")
    assert content.body == world.clip
    assert content.headers["content-type"] == "video/mp4"
    world.hub.down = True
    assert ana.get(f"/api/touches/{touch}/content").status == 200  # proven already: the hub is not needed again
    denied = ana.post(f"/api/responses/{rid}/accept", data={"purpose": PURPOSE})
    assert denied.status == 503
    assert "cannot be logged now" in denied.json()["error"]["message"]
    world.hub.down = False
    words = ana.post(f"/api/responses/{rid}/touch", data=wanted | {"target": "manifest.dsse.json"}).json()["touch"]
    assert ana.get(f"/api/touches/{words}/manifest").json()["manifest"]["statement"] == owner.statement
    assert ana.post(f"/api/responses/{rid}/accept", data={"purpose": PURPOSE}).json()["state"] == "accepted"
    world.hub.tick()
    order = {"responses": [rid], "purpose": "trial of the driver of the hatchback", "recipient": "District attorney"}
    assert ana.post(f"/api/requests/{request['id']}/export", data=order).status == 403
    made = tom.post(f"/api/requests/{request['id']}/export", data=order)
    assert made.status == 200
    assert (world.folder / "exports" / made.json()["export"] / "bag").is_dir()
    assert len(tom.get("/api/exports").json()["exports"]) == 1
    chain = tom.get(f"/api/responses/{rid}/custody").json()["custody"]
    # The acceptance that could not be logged stands where it was tried; acting on it waited for its proof.
    assert [link["action"] for link in chain] == ["collected", "viewed", "accepted", "viewed", "exported"]
    assert [s["status"] for s in ana.get(f"/api/responses/{rid}/status").json()["status"]] == [
        "collected", "accepted", "exported",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "status", "part"),
    [
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=500-", 206, slice(500, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=a-b", 200, slice(None)),
    ],
)
def test_byte_ranges(world, people, header, status, part):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    wanted = {"action": "viewed", "target": "clip-01.mp4", "purpose": PURPOSE}
    touch = people["ana"].post(f"/api/responses/{response.id}/touch", data=wanted).json()["touch"]
    client = Client()
    client.cookies.load(people["ana"].cookies)
    answer = client.get(f"/api/touches/{touch}/content", headers={"range": header, "host": "localhost"})
    data = b"".join(answer.streaming_content)
    assert answer.status_code == status
    assert data == world.clip[part]
    assert int(answer["Content-Length"]) == len(data)
    beyond = client.get(f"/api/touches/{touch}/content", headers={"range": "bytes=99999999-", "host": "localhost"})
    assert beyond.status_code == 416


def test_hold_decline_and_people_over_the_api(world, people):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    assert people["tom"].post(f"/api/responses/{response.id}/decline", data={"purpose": "another street"}).status == 200
    order = {"kind": "legal_hold", "reference": "Order 7", "purpose": "the court asks for it"}
    assert people["tom"].post(f"/api/responses/{response.id}/hold", data=order).status == 403
    held = people["sam"].post(f"/api/responses/{response.id}/hold", data=order).json()
    assert people["sam"].post(f"/api/holds/{held['id']}/lift", data={"purpose": "the order ended"}).status == 200
    assert people["sam"].get("/api/notices").status == 200
    added = people["adm"].post("/api/officers", data={"username": "new", "display_name": "New", "role": "officer"}).json()
    assert len(added["registration"]["keys"]) == 5
    assert added["code"]
    assert people["adm"].post(f"/api/officers/{added['id']}/remove").status == 200
    assert people["adm"].get("/api/status").json()["joined"]
    assert len(people["adm"].get("/api/officers").json()["officers"]) == 6


# ---------------------------------------------------------------- T2: the census

# Every table and column that an agency has. A new one is added here by somebody who has asked: does its value depend on owners
# who were told, looked, muted, ignored or declined to answer? (What a response itself holds depends on its sender's choice.)
TABLES = {
    "auditrecord": "id at actor action subject case words",
    "casemember": "id case officer added_by added_at removed_at",
    "casenote": "id case officer at text struck_at struck_by",
    "officer": "id user actor public_key created_at removed_at trained_until training renewed_at",
    "freeze": "id by at reason lifted_by lifted_at",
    "retentionclass": "id name days offenses",
    "case": "id number offense title opened_by opened_at",
    "request": "id case state payload drafted_by draft_signature approved_by envelope emergency created_at expires_at "
    "log_index proof refusal ended_at key_destroyed_at returned_by returned_at return_note replaces",
    "requestchange": "id request kind state payload drafted_by draft_signature approved_by envelope at log_index proof refusal",
    "response": "id request state sealed size tick inbox_day collected_at acknowledged manifest_sha256 manifest_size until "
    "late about mode reason triage_level decided_at destroy_at destroyed_at withdrawn_at exported",
    "clip": "id response name sha256 size seconds",
    "annotation": "id response kind clip start_ms end_ms text officer at struck_at struck_by struck_words",
    "custodyrecord": "id response number action actor at envelope sha256 nonce commitment state index proof",
    "touch": "id record officer target key expires_at done_at",
    "status": "id response_id status envelope at sent_at",
    "withdrawal": "id seq response_id envelope at noted",
    "hold": "id response kind reference placed_by placed_at lifted_at",
    "export": "id request officer key folder tagmanifest seal records at written_at",
    "notice": "id kind request response level at seen_at",
    "mark": "name value",
}
ROUTES = {
    "GET /me", "GET /cases", "POST /cases", "GET /cases/{case_id}", "POST /cases/{case_id}/check",
    "POST /cases/{case_id}/requests", "GET /requests", "GET /requests/{request_id}", "POST /requests/{request_id}/approve",
    "POST /requests/{request_id}/withdraw", "GET /requests/{request_id}/responses", "POST /requests/{request_id}/export",
    "GET /exports", "GET /responses/{response_id}", "GET /responses/{response_id}/custody",
    "GET /responses/{response_id}/status", "POST /responses/{response_id}/touch", "GET /touches/{touch_id}",
    "GET /touches/{touch_id}/manifest", "GET /touches/{touch_id}/content", "POST /responses/{response_id}/accept",
    "POST /responses/{response_id}/decline", "POST /responses/{response_id}/hold", "POST /holds/{hold_id}/lift",
    "POST /responses/{response_id}/use", "GET /quarantine", "GET /notices", "POST /notices/{notice_id}/seen", "GET /officers",
    "POST /officers", "POST /officers/{officer_id}/remove", "GET /registration", "GET /status",
}  # fmt: skip
FORBIDDEN = re.compile(
    r"recipient(?!s?$)|notified|delivered|delivery|audience|reach|read_receipt|ignored|muted|matched|viewers|homes|households|"
    r"owners?_|subscribers|count"
)


@pytest.mark.claim("P1")
@pytest.mark.claim("P2")
def test_no_table_has_a_place_for_an_owner_who_did_not_answer():
    found = {model._meta.model_name: [f.name for f in model._meta.fields] for model in apps.get_app_config("agency").get_models()}
    assert {name: set(columns) for name, columns in found.items()} == {
        name: set(columns.split()) for name, columns in TABLES.items()
    }
    for columns in found.values():
        assert not [column for column in columns if FORBIDDEN.search(column)]


def routes():
    for prefix, router in api._routers:
        for path, view in router.path_operations.items():
            for operation in view.operations:
                for method in operation.methods:
                    yield f"{method} {prefix.rstrip('/')}/{path.lstrip('/')}".replace("{int:", "{"), operation


@pytest.mark.claim("P1")
@pytest.mark.claim("P2")
def test_every_route_was_asked_about():
    assert {name for name, _ in routes()} == ROUTES


def keys_in(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


@pytest.mark.claim("P1")
@pytest.mark.claim("P2")
def test_answers_are_the_same_bytes_whoever_else_lives_there(world, people):
    """What the console shows before anybody answers is a function of the agency's own acts: nothing counts, lists or hints."""
    request = world.published()
    collect.run(clock.now())
    shown = {}
    for path in ("/cases", "/requests", f"/requests/{request.id}", f"/requests/{request.id}/responses", "/notices"):
        answer = people["sam"].get(f"/api{path}")
        assert answer.status == 200
        assert not [key for key in keys_in(answer.json()) if FORBIDDEN.search(key)]
        shown[path] = answer.json()
    assert shown[f"/requests/{request.id}/responses"] == {"responses": []}
    assert shown["/notices"] == {"notices": []}
    assert canonical.encode(shown["/requests"]["requests"][0]["request"]) == bytes(request.payload)
