"""What a hub answers to a home, by the functions that read it."""

import json
from typing import Any

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model.response import Promise
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.services import delivery, join, sharing, tokens
from fairwitness.kit import http
from tests.fuzz.harness import Target
from tests.fuzz.targets import bag_world, envelopes

HUB = SigningKey(b"\5" * 32)


def token_answer(data: bytes) -> Any:
    tokens.error_code(http.Response(403, {}, data))
    return tokens._evaluated(data, 2)


def upload_answer(data: bytes) -> Any:
    for status in (200, 409):
        try:
            found = delivery._checked(http.Response(status, {}, data))
            delivery._parts_have(found)
        except (delivery._Wait, delivery._Over):
            continue


def promise(data: bytes) -> Promise:
    """A hub that signs anything as its promise."""
    envelope = dsse.sign(dsse.RECEIPT, data, HUB).encode()
    return sharing.read_promise(envelope, HUB.public, response_id="1" * 64, sealed="2" * 64)


def promises() -> list[bytes]:
    return [Promise(response_id="1" * 64, sealed="2" * 64, tick=3, inbox_day="20260101").encode()]


TARGETS = (
    Target("home-tokens", (), token_answer, lambda: [b'{"evaluated":["AAAA","AAAA"]}', b'{"error":{"code":"invite.used_up"}}'],
           (ProtocolError,), shape="json", role="home"),
    Target("home-upload", (), upload_answer,
           lambda: [b'{"response_id":"a","parts_have":[0,1]}', b'{"error":{"code":"token.spent"}}'], (), shape="json",
           role="home"),
    Target("home-status", (), sharing._envelopes,
           lambda: [json.dumps({"envelopes": [dsse.b64(item) for item in envelopes()[:2]]}).encode()], (ProtocolError,),
           shape="json", role="home"),
    Target("home-promise", (), promise, promises, (ProtocolError,), shape="json", role="home"),
    Target("home-join", (), join.read_join, lambda: [bag_world().join.encode() + b"\n"], (ProtocolError,), shape="json",
           role="home"),
)  # fmt: skip
