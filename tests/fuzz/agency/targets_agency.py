"""What a hub answers to an agency, and what a player asks of it, by the functions that read it."""

from typing import Any

from fairwitness_core.wire import canonical
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency import api
from fairwitness.agency.services import collect, hubcalls, reconcile
from fairwitness.kit import foreign, http
from fairwitness.kit.errors import Refused
from tests.fuzz.harness import Target


def answer(data: bytes) -> Any:
    for status in (400, 409, 502):
        refused = hubcalls._refusal(http.Response(status, {}, data))
        assert isinstance(refused, Refused)
    found = hubcalls._read(http.Response(200, {}, data))
    for name in ("entry", "proof", "index", "responses"):
        for read in (hubcalls.text_of, hubcalls.number_of, hubcalls.list_of):
            try:
                read(found, name)
            except hubcalls.HubUnreachable:
                continue
    return found


def listed(data: bytes) -> Any:
    found = hubcalls._read(http.Response(200, {}, data))
    return [collect.Item.read(value) for value in hubcalls.list_of(found, "responses")]


def accounts(data: bytes) -> Any:
    try:
        value = foreign.json_value(data)
    except ValueError as error:
        raise ProtocolError("json", "not read") from error
    rows = reconcile._rows(value)
    waiting = reconcile._waiting(value)
    canonical.encode(value)
    for other in ({}, rows):
        reconcile._differences(rows, other, waiting)
    return None


def asked_range(data: bytes) -> Any:
    """A header's value: bytes as WSGI hands them over."""
    first, last, status = api._range(data.decode("latin-1"), 1000)
    assert status in (200, 206)
    assert 0 <= first <= last < 1000 or (status, first) == (200, 0)
    return None


ROW = b'{"response_id":"%s","sealed":"%s","size":5,"tick":9,"inbox_day":"20260101"}' % (b"1" * 64, b"2" * 64)
TARGETS = (
    Target("agency-answer", (), answer, lambda: [
        b'{"ok":true,"entry":"AAAA","proof":"x","index":3,"responses":[]}',
        b'{"error":{"code":"a","message":"b","hint":"c","details":[{"rule":"r","message":"m","hint":"h"}]}}'],
        (Refused,), shape="json", role="agency"),
    Target("agency-inbox", (), listed, lambda: [b'{"responses":[%s,%s]}' % (ROW, ROW)], (Refused,), shape="json", role="agency"),
    Target("agency-accounts", (), accounts, lambda: [b'{"responses":[%s],"waiting":["%s"]}' % (ROW, b"1" * 64)],
           (ProtocolError,), shape="json", role="agency"),
    Target("agency-range", (), asked_range, lambda: [b"bytes=0-99", b"bytes=-5", b"bytes=10-", b"bytes=5-1"], (Refused,),
           role="agency"),
)  # fmt: skip
