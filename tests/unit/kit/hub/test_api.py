"""Errors, bodies, schemas and the CSRF rule, through a real API object."""

import json

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import path
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.accounts import gate
from fairwitness.kit.api import Refused, StrictSchema, body_chunks, make_api, read_body

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

api = make_api("kit-test")


class Wish(StrictSchema):
    count: int
    word: str = ""


@api.post("/wish", auth=gate.Anyone("for these tests"))
def wish(request: HttpRequest, data: Wish):
    return {"count": data.count}


@api.get("/refuse/{kind}", auth=gate.Anyone("for these tests"))
def refuse(request: HttpRequest, kind: str):
    if kind == "refused":
        raise Refused(409, "a.b", "No.", "Do that.")
    if kind == "protocol":
        raise ProtocolError("json.duplicate_key", "twice", hint="once")
    raise RuntimeError("Jane")


@api.post("/raw", auth=gate.SignedBody("for these tests"))
def raw(request: HttpRequest):
    return {"size": len(read_body(request, 10))}


@api.post("/mine", auth=gate.Session("admin"))
def mine(request: HttpRequest):
    return {"who": gate.actor(request).username}


def plain(_request):
    raise Refused(403, "x.y", "Not you.", "Ask.")


urlpatterns = [path("api/", api.urls), path("plain", plain), path("auth/sign-in", plain, name="account_login")]


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


def test_refusals_have_one_shape(client):
    answer = client.get("/api/refuse/refused")
    assert answer.status_code == 409
    assert answer.json() == {"error": {"code": "a.b", "message": "No.", "hint": "Do that."}}
    answer = client.get("/api/refuse/protocol")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "json.duplicate_key")
    assert client.get("/plain", headers={"accept": "application/json"}).json()["error"]["code"] == "x.y"
    page = client.get("/plain", headers={"accept": "text/html"})
    assert page.status_code == 403
    assert b"Not you." in page.content


def test_defects_reach_the_journal_without_their_text(client, journal_lines):
    answer = client.get("/api/refuse/defect")
    assert answer.status_code == 500
    assert b"Jane" not in answer.content
    assert [line["event"] for line in journal_lines] == ["defect"]
    assert journal_lines[0]["error"] == "runtimeerror"
    assert "Jane" not in json.dumps(journal_lines)


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", '{"count": "1"}', '{"count": 1, "more": 2}', "{}", '{"count": 1.0}', '{"count": true}', "\xff"],
)
def test_input_is_strict(client, body):
    answer = client.post("/api/wish", body, content_type="application/json")
    assert answer.status_code in (400, 422), answer.content
    assert set(answer.json()["error"]) == {"code", "message", "hint"}
    assert client.post("/api/wish", '{"count": 1}', content_type="application/json").json() == {"count": 1}


def test_body_limits(client):
    assert client.post("/api/raw", b"x" * 10, content_type="a/b").json() == {"size": 10}
    answer = client.post("/api/raw", b"x" * 11, content_type="a/b")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body.too_large")
    big = client.post("/api/wish", b"x" * ((1 << 20) + 1), content_type="application/json")
    assert big.status_code == 413


@pytest.mark.parametrize(
    ("length", "code"), [("", "body.length"), ("-1", "body.length"), ("x", "body.length"), ("5", "body.short")]
)
def test_lying_lengths(length, code):
    request = RequestFactory().post("/", b"1234", content_type="a/b")
    request.META["CONTENT_LENGTH"] = length
    with pytest.raises(Refused) as caught:
        list(body_chunks(request, 10))
    assert caught.value.code == code


def test_session_endpoints_need_a_session(client):
    answer = client.post("/api/mine")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "auth.sign_in")


def test_nothing_is_cached_by_default(client):
    assert client.get("/api/refuse/refused").headers["Cache-Control"] == "no-store"


def test_unknown_roles_cannot_be_declared():
    for roles in ((), ("king",)):
        with pytest.raises(ValueError, match="roles"):
            gate.Session(*roles)
