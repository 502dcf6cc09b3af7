"""Whole requests to a hub, changed: also where the sender's key signs whatever the mutator wrote. Never an answer of 500."""

import base64
import hashlib
import json

import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model import response
from fairwitness_core.model.call import Call
from fairwitness_core.wire import dsse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.harness import mutate, shown
from tests.unit.hub.world import end_world, make_world

KEY = SigningKey(b"\6" * 32)
PK = KEY.public.raw
RID = response.response_id(PK)
ID = {"response_id": RID, "pk": PK}
OPS = {
    "request_submit": {"envelope": "AAAA"}, "request_state": {"request_id": "0" * 32}, "request_withdraw": {"envelope": "AAAA"},
    "request_extend": {"envelope": "AAAA"}, "request_resolve": {"envelope": "AAAA"},
    "sealed_append": {"commitments": ["A" * 43 + "="]}, "sealed_proof": {"commitment": "A" * 43 + "="},
    "public_proof": {"index": 0}, "inbox_list": {}, "inbox_ack": {"response_ids": [RID]},
    "inbox_accounting": {"day": "20260101"}, "withdrawals_list": {"after": 0},
    "status_put": {"envelopes": ["AAAA"]}, "inbox_fetch": {"response_id": RID},
}  # fmt: skip


@pytest.fixture
def world(tmp_path, db):
    made, before = make_world(tmp_path)
    from fairwitness.hub.services import agencies  # noqa: PLC0415 - needs the settings

    assert made.step() == "ok"
    agencies.register(made.agency.registration())
    assert made.step(1) == "ok"
    yield made
    end_world(made, before)


def few(function, times=1):
    return settings(
        max_examples=120 * times, derandomize=times == 1, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )(given(st.randoms(use_true_random=False))(function))


def sent(world, method, path, body, **headers):
    client = world.client
    client.raise_request_exception = True
    answer = client.generic(method, path, data=body, content_type="application/octet-stream", headers=headers)
    assert answer.status_code < 500, (path, answer.status_code, answer.content[:300], shown(body))
    return answer.status_code


def signed(kind, payload, key):
    return dsse.sign(kind, payload, key).encode()


def calls(world):
    made = []
    for number, (op, body) in enumerate(OPS.items()):
        call = Call(agency=world.agency.id, hub=genesis(world), op=op, nonce=f"{number:032x}", at=world.now, body=body)
        made.append(call.encode())
    return made


def genesis(world):
    return hashlib.sha256((world.hub / "genesis.json").read_bytes()).hexdigest()


@pytest.mark.parametrize("path", ["/v1/agency", "/v1/agency/blob"])
def test_what_an_agency_signs(world, path):
    seeds = calls(world)
    codes = set()

    def draw(rng):
        payload = mutate(rng, seeds, "json", 1 << 16)
        codes.add(sent(world, "POST", path, signed(dsse.CALL, payload, world.agency.key)))
        codes.add(sent(world, "POST", path, mutate(rng, [signed(dsse.CALL, seeds[0], world.agency.key)], "json", 1 << 16)))

    few(draw)()
    assert codes & {400, 403, 404, 409}


def test_what_an_owners_key_signs(world):
    token = b"\0\1" + bytes(144)
    opened = response.UploadOpen(**ID, agency=world.agency.id, size=5, parts=1, token=token, at=world.now).encode()
    finish = response.Finalize(**ID, agency=world.agency.id, sealed="0" * 64, size=5, parts=1, token=token).encode()
    part = response.UploadPart(**ID, part=0, sha256="0" * 64).encode()
    back = response.Withdraw(**ID, at=world.now).encode()

    def draw(rng):
        for method, path, seed in (
            ("POST", "/v1/uploads", opened),
            ("POST", f"/v1/uploads/{RID}/finalize", finish),
            ("POST", "/v1/withdrawals", back),
        ):
            sent(world, method, path, signed(dsse.RESPONSE, mutate(rng, [seed], "json", 1 << 14), KEY))
        statement = signed(dsse.RESPONSE, mutate(rng, [part], "json", 1 << 14), KEY)
        header = base64.urlsafe_b64encode(statement).decode().rstrip("=")
        sent(world, "PUT", f"/v1/uploads/{RID}/0", b"abcde", **{"fairwitness-part": header})
        junk = mutate(rng, [header.encode()], "bytes", 4000).decode("latin-1").replace("\n", "").replace("\r", "")
        sent(world, "PUT", f"/v1/uploads/{RID}/0", b"abcde", **{"fairwitness-part": junk})
        framed = b"FWP1" + len(statement).to_bytes(4, "big") + statement + b"abcde"
        sent(world, "PUT", f"/v1/uploads/{RID}/0", mutate(rng, [framed], "bytes", 1 << 14))

    few(draw)()


def test_what_a_household_asks_for(world):
    body = {"invite": "abc", "epoch": 1, "blinded": [dsse.b64(bytes(52))] * 8}
    good = json.dumps(body).encode()

    def draw(rng):
        data = mutate(rng, [good], "json", 1 << 14)
        answer = world.client.post("/issuer/v1/tokens", data=data, content_type="application/json")
        assert answer.status_code < 500, (answer.status_code, shown(data))

    few(draw)()
