"""An agency's signed calls: once, now, to this hub, by a current key."""

import pytest
from fairwitness_core.crypto.sign import SigningKey

from fairwitness.hub.models import CallNonce
from fairwitness.hub.services import calls


def test_a_call_is_made_once(world):
    data = world.agency.envelope("inbox_list", {})
    assert world.agency.post(data) == {"ok": True, "responses": []}
    assert world.agency.post(data, 409)["error"]["code"] == "call.replay"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"at": 1}, "call.time"),
        ({"hub": "0" * 64}, "call.hub"),
        ({"agency": "us-ca-nowhere"}, "call.signature"),
        ({"key": SigningKey(b"\5" * 32)}, "call.signature"),
    ],
)
def test_false_calls(world, changes, code):
    assert world.agency.call("inbox_list", {}, 401, **changes)["error"]["code"] == code
    assert not CallNonce.objects.exists()


def test_an_officers_key_makes_no_calls(world):
    assert world.agency.call("inbox_list", {}, 401, key=world.agency.ana)["error"]["code"] == "call.signature"


@pytest.mark.parametrize(
    ("op", "body", "status"),
    [
        ("nothing_such", {}, 404),
        ("inbox_list", {"x": 1}, 400),
        ("request_state", {"request_id": 1}, 400),
        ("request_state", {"request_id": "a", "more": 1}, 400),
        ("request_submit", {"envelope": "%%"}, 400),
        ("sealed_append", {"commitments": ["AA=="]}, 400),
        ("sealed_append", {"commitments": [1]}, 400),
        ("public_proof", {"index": True}, 400),
        ("public_proof", {"index": 10**6}, 404),
        ("inbox_ack", {"response_ids": "x"}, 400),
    ],
)
def test_bad_arguments(world, op, body, status):
    answer = world.agency.call(op, body, status)
    assert set(answer["error"]) >= {"code", "message", "hint"}


def test_bodies_that_are_no_calls(world):
    for body in (b"{}", b"\xff" * 50, b'{"a":1}'):
        assert world.agency.post(body, 401)["error"]["code"]
    answer = world.client.post("/v1/agency", b"x" * (2 << 20), content_type="application/octet-stream")
    assert answer.status_code == 413


def test_nonces_go_when_their_time_would_be_refused(world):
    world.agency.call("inbox_list")
    assert calls.forget_old(world.now) == 0
    world.now += 700
    assert calls.forget_old(world.now) == 1
