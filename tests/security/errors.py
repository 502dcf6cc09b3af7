"""Errors that Django answers by itself, asked for by a program and by a browser; each role runs this in its own process."""

import json

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from fairwitness.kit.middleware import Quiet

HOST = {"host": "localhost"}
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NOWHERE = ("/nowhere", "/api/nowhere", "/auth/nowhere", "/static/nowhere.js", "/%00", "/api/requests/x/y/z", "/v1/%ff")


def body_of(answer):
    assert answer.headers["Content-Type"] == "application/json", answer.content[:80]
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    found = json.loads(answer.content)
    assert set(found) == {"error"}
    assert set(found["error"]) == {"code", "message", "hint"}
    return found["error"]


@pytest.mark.django_db
@pytest.mark.parametrize("accept", [{}, {"accept": "*/*"}, {"accept": "application/json"}])
@pytest.mark.parametrize("path", NOWHERE)
def test_an_unknown_address_is_json_for_a_program(path, accept):
    answer = Client(headers=HOST | accept).get(path)
    assert answer.status_code == 404
    assert body_of(answer)["code"] == "not_found"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/nowhere", "/auth/nowhere"])
def test_and_a_page_for_a_browser(path):
    answer = Client(headers=HOST | BROWSER).get(path)
    assert answer.status_code == 404
    assert b"<h1>" in answer.content


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path"), [("PATCH", "/readyz"), ("DELETE", "/metrics"), ("DELETE", "/auth/sign-in")])
def test_a_wrong_method_is_named_with_those_that_are_right(method, path):
    answer = Client(headers=HOST).generic(method, path)
    assert answer.status_code == 405
    assert body_of(answer)["code"] == "method.not_allowed"
    assert "GET" in answer.headers["Allow"]
    page = Client(headers=HOST | BROWSER).generic(method, path)
    assert page.status_code == 405
    assert b"method.not_allowed" in page.content
    assert page.headers["Content-Type"].startswith("text/html")


@pytest.mark.django_db
def test_a_wrong_method_of_the_api_too():
    from django.urls import get_resolver  # noqa: PLC0415 - the role's settings are ready by now

    found = {pattern.pattern._route for pattern in get_resolver().url_patterns if hasattr(pattern.pattern, "_route")}
    path = "/api/me" if "api/" in found else "/api/moderation/queue"
    answer = Client(headers=HOST).generic("TRACE", path)
    assert answer.status_code in (404, 405)
    body_of(answer)


@pytest.mark.django_db
def test_a_host_that_is_not_ours_is_told_so_as_json():
    answer = Client(headers={"host": "evil.example"}).get("/healthz")
    assert answer.status_code == 400
    assert body_of(answer)["code"] == "input.unreadable"


@pytest.mark.django_db
def test_a_defect_is_json_for_a_program_and_says_nothing_of_itself(monkeypatch):
    from fairwitness.kit.operate import views  # noqa: PLC0415 - needs the settings

    def broken(_role):
        raise LookupError("private words")

    monkeypatch.setattr(views, "is_ready", broken)
    client = Client(headers=HOST, raise_request_exception=False)
    answer = client.get("/readyz")
    assert answer.status_code == 500
    assert body_of(answer)["code"] == "defect"
    assert b"private" not in answer.content
    assert b"Traceback" not in answer.content
    page = client.get("/readyz", headers=BROWSER)
    assert page.status_code == 500
    assert b"<h1>" in page.content


def test_every_status_has_a_body():
    def one(status):
        return Quiet(lambda _request: HttpResponse(status=status))(HttpRequest())

    for status in (400, 401, 403, 404, 405, 413, 415, 429, 431, 500, 502, 503):
        answer = one(status)
        assert answer.status_code == status
        assert body_of(answer)["message"]
    assert one(204).content == b""
    assert one(302).content == b""
