"""Requests at the hub: what is refused, by which rule, what the public learns of it, and how moderation and withdrawal go."""

from dataclasses import replace

import h3
import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model.document import kind_of
from fairwitness_core.model.request import RequestWithdrawn
from fairwitness_core.wire import canonical, dsse

from fairwitness.hub.errors import RulesRefused
from fairwitness.hub.models import LogEntry, PendingEntry, Request
from fairwitness.hub.services import agencies, identity, ledger, moderation, requests
from fairwitness.kit.errors import Refused
from tests.harness.rows import as_owner
from tests.unit.hub.world import CENTRE, Agency


def logged(world, kind):
    """Payloads of all public entries of a kind."""
    reader = ledger.reader("p")
    found = []
    for index in LogEntry.objects.filter(kind=kind).order_by("index").values_list("index", flat=True):
        value = canonical.decode(dsse.Envelope.parse(reader.entry(index)).payload)
        assert kind_of(value)[0] == kind
        found.append(value)
    return found


def publish(world, request):
    world.agency.submit(request)
    moderation.approve(request.id, 1)
    assert world.step(1) == "ok"


BAIT = {
    "one cell": ({"area": (CENTRE,)}, "area.small"),
    "six cells": ({"area": tuple(sorted(h3.grid_ring(CENTRE, 1)))}, "area.small"),
    "a link": ({"msg": "Burglary at a shop, a grey van: see https://example.org/clip for more of it"}, "text.link"),
    "an overlong window": ({"from_": 1_700_000_000}, "window.long"),
    "a short window": ({}, "window.short"),
    "any offence": ({"offense": "nibrs:90Z"}, "offense.catch_all"),
    "a vague text": ({"msg": "Incident. Looking for information."}, "text.vague"),
    "a long life": ({"expires": 1_900_000_000}, "expiry.long"),
    "another town": ({"centre": h3.latlng_to_cell(36.6, -121.9, 9)}, "area.jurisdiction"),
}


@pytest.mark.claim("P6")
@pytest.mark.parametrize("name", BAIT)
def test_bait_is_refused_and_only_its_rule_is_public(world, name):
    changes, rule = BAIT[name]
    if name == "a short window":
        changes = {"from_": world.now - 7200, "to": world.now - 7100}
    request = world.agency.request(**changes)
    answer = world.agency.submit(request, status=409)["error"]
    assert rule in [d["rule"] for d in answer["details"]]
    assert answer["code"] == answer["details"][0]["rule"]
    world.step(60)
    (refused,) = logged(world, "request_refused")
    assert set(refused) == {"v", "type", "request_id", "agency", "offense", "rule", "at"}
    assert refused["rule"] == answer["code"]
    assert request.msg.encode() not in b"".join(ledger.reader("p").entries(0, ledger.reader("p").size))
    assert not logged(world, "request_published")


def test_all_violations_are_named_at_once_and_a_retry_gets_the_same(world):
    request = world.agency.request(area=(CENTRE,), offense="nibrs:90Z", expires=1_900_000_000)
    first = world.agency.submit(request, status=409)["error"]
    assert {"area.small", "offense.catch_all", "expiry.long"} <= {d["rule"] for d in first["details"]}
    assert world.agency.submit(request, status=409)["error"] == first
    world.step(60)
    assert len(logged(world, "request_refused")) == 1


@pytest.mark.claim("P6")
def test_two_different_officers_sign(world):
    alone = world.agency.request()
    assert world.agency.submit(alone, world.agency.ana, status=409)["error"]["code"] == "signers.two"
    stranger = world.agency.request()
    answer = world.agency.submit(stranger, world.agency.ana, SigningKey.generate(), status=409)
    assert answer["error"]["code"] == "signers.unknown"
    console = world.agency.request()
    assert world.agency.submit(console, world.agency.ana, world.agency.key, status=409)["error"]["code"] == "signers.unknown"
    false = world.agency.request()
    envelope = dsse.Envelope.parse(world.agency.sign(false))
    broken = dsse.Envelope(
        envelope.payload_type, envelope.payload, (envelope.signatures[0], dsse.Signature(envelope.signatures[1].kid, b"\0" * 64))
    )
    answer = world.agency.call("request_submit", {"envelope": dsse.b64(broken.encode())}, 409)
    assert answer["error"]["code"] == "dsse.bad_signature"


def test_a_request_is_an_agencys_own(world):
    other = Agency(world, id="us-ca-berkeley", seed="berkeley")
    agencies.register(other.registration())
    world.step(1)
    foreign = world.agency.request(agency=other.id)
    assert world.agency.submit(foreign, status=403)["error"]["code"] == "request.agency"
    mine = world.agency.request()
    world.agency.submit(mine)
    assert other.call("request_state", {"request_id": mine.id}, 404)["error"]["code"] == "request.unknown"
    assert other.withdraw(mine, 404)["error"]["code"] == "request.unknown"


def test_the_same_bytes_again_change_nothing_and_other_bytes_are_refused(world):
    request = world.agency.request()
    assert world.agency.submit(request) == world.agency.submit(request)
    other = world.agency.request(id=request.id)
    assert world.agency.submit(other, status=409)["error"]["code"] == "request.conflict"
    publish(world, request)
    assert world.agency.submit(request)["state"] == "published"
    assert len(logged(world, "request_published")) == 1


def test_live_requests_are_counted_withdrawn_ones_too(world):
    far = h3.latlng_to_cell(37.76, -122.20, 9)
    for n in range(2):
        publish(world, world.agency.request(case="26-7", centre=CENTRE if n else far))
    third = world.agency.request(case="26-7", centre=h3.latlng_to_cell(37.75, -122.25, 9))
    assert world.agency.submit(third, status=409)["error"]["code"] == "live.case"
    first = Request.objects.filter(state="published").order_by("log_index").first()
    doc = world.agency.request(id=first.id)
    world.agency.withdraw(doc)
    world.step(1)
    again = world.agency.request(case="26-7", centre=h3.latlng_to_cell(37.75, -122.25, 9))
    assert world.agency.submit(again, status=409)["error"]["code"] == "live.case"


def test_standing(world):
    nevada = Agency(world, id="us-nv-reno", state="NV", seed="reno")
    federal = Agency(world, id="us-us-fbi", state="US", federal=True, seed="fbi")
    for agency in (nevada, federal):
        agencies.register(agency.registration())
    world.step(1)
    assert nevada.submit(nevada.request(), status=409)["error"]["code"] == "standing.state"
    assert federal.submit(federal.request(), status=409)["error"]["code"] == "standing.federal"
    agencies.suspend(federal.id, "misuse")
    world.step(1)
    # A suspended agency cannot even call.
    assert federal.submit(federal.request(), status=401)["error"]["code"] == "call.signature"
    with pytest.raises(Exception, match="86400 s before"):
        agencies.change_policy("standing", '["us-nv-reno"]', world.now + 3600)
    agencies.change_policy("standing", '["us-nv-reno"]', world.now + 86_500)
    world.step(1)
    assert nevada.submit(nevada.request(), status=409)["error"]["code"] == "standing.state"
    world.now += 86_600
    assert nevada.submit(nevada.request())["state"] == "submitted"


def test_the_polygon_is_exact_where_cells_are_not(world):
    edge = next(
        cell
        for cell in h3.grid_disk(h3.latlng_to_cell(37.80, -122.36, 9), 2)
        if h3.cell_to_latlng(cell)[1] < -122.36 < max(lon for _, lon in h3.cell_to_boundary(cell))
    )
    area = next(
        tuple(sorted(h3.grid_disk(near, 1)))
        for near in h3.grid_ring(edge, 1)
        if h3.cell_to_latlng(near)[1] > -122.36 and edge in h3.grid_disk(near, 1)
    )
    answer = world.agency.submit(world.agency.request(area=area), status=409)["error"]
    assert [d["rule"] for d in answer["details"]] == ["area.jurisdiction"]


def test_rate(world, settings):
    for n in range(60):
        Request.objects.create(
            id=f"{n:032x}", agency=world.agency.id, case="c", offense="nibrs:220", envelope=b"", envelope_sha256="",
            state="refused", emergency=False, submitted_at=world.now, expires=world.now,
        )  # fmt: skip
    assert world.agency.submit(world.agency.request(), status=429)["error"]["code"] == "request.rate"


def test_a_moderator_refuses_by_a_rule(world):
    request = world.agency.request()
    world.agency.submit(request)
    with pytest.raises(Refused, match=r"rule\.unknown"):
        moderation.refuse(request.id, "because")
    moderation.refuse(request.id, "moderation.vague")
    moderation.refuse(request.id, "moderation.vague")
    with pytest.raises(Refused, match=r"request\.state"):
        moderation.approve(request.id, 1)
    world.step(60)
    assert [r["rule"] for r in logged(world, "request_refused")] == ["moderation.vague"]
    assert [r["action"] for r in logged(world, "moderation_action")] == ["refused"]
    assert world.agency.call("request_state", {"request_id": request.id})["rule"] == "moderation.vague"


def test_an_assembly_needs_a_second_moderator_and_shows(world, tmp_path, monkeypatch):
    lat, lon = h3.cell_to_latlng(CENTRE)
    calendar = tmp_path / "cal.ics"
    calendar.write_text(
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Vigil\r\nDTSTART:20270115T200000Z\r\nDTEND:20270115T235900Z\r\n"
        f"GEO:{lat};{lon}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    census = tmp_path / "cells.csv"
    census.write_text("cell,dwellings\n" + "".join(f"{cell},10\n" for cell in h3.grid_disk(CENTRE, 1)))
    changed = replace(identity.settings(), assemblies_file=str(calendar), census_file=str(census))
    monkeypatch.setattr(identity, "settings", lambda: changed)
    request = world.agency.request()
    answer = world.agency.submit(request)
    assert answer["flags"] == ["assembly_overlap"]
    assert moderation.approve(request.id, 1).state == "submitted"
    assert moderation.approve(request.id, 1).state == "submitted"
    assert moderation.approve(request.id, 2).state == "approved"
    world.step(1)
    (action,) = logged(world, "moderation_action")
    assert (action["moderators"], action["flags"]) == (2, ["assembly_overlap"])
    sparse = world.agency.request(centre=h3.latlng_to_cell(37.76, -122.20, 9))
    assert world.agency.submit(sparse, status=409)["error"]["code"] == "area.dwellings"


def test_emergency_is_published_at_once_and_withdrawn_when_nobody_reviews(world):
    request = world.agency.request(emergency=True)
    assert world.agency.submit(request)["state"] == "approved"
    world.step(1)
    assert world.agency.call("request_state", {"request_id": request.id})["state"] == "published"
    moderation.withdraw_unreviewed(world.now)
    assert not PendingEntry.objects.filter(state="queued").exists()
    world.now += 7200
    assert moderation.withdraw_unreviewed(world.now) == 1
    assert moderation.withdraw_unreviewed(world.now) == 0
    world.step(60)
    (withdrawn,) = logged(world, "request_withdrawn")
    assert withdrawn["reason"] == "emergency_unreviewed"
    assert [a["action"] for a in logged(world, "moderation_action")] == ["emergency_published", "withdrawn"]
    _, verified = world.follow()
    assert [w.document.request_id for v in verified for w in v.withdrawn] == [request.id]


def test_emergency_reviewed_stands(world):
    request = world.agency.request(emergency=True)
    world.agency.submit(request)
    world.step(1)
    moderation.review(request.id, 1)
    moderation.review(request.id, 1)
    world.now += 7300
    assert moderation.withdraw_unreviewed(world.now) == 0
    world.step(1)
    assert [a["action"] for a in logged(world, "moderation_action")] == ["emergency_published", "reviewed"]
    moderation.withdraw(request.id)
    moderation.withdraw(request.id)
    world.step(1)
    assert [w["reason"] for w in logged(world, "request_withdrawn")] == ["moderation"]


def test_an_emergency_over_an_assembly_needs_as_many_reviewers_as_any_other_needs_moderators(world):
    request = world.agency.request(emergency=True)
    world.agency.submit(request)
    world.step(1)
    with as_owner():
        Request.objects.filter(id=request.id).update(required=2)
    moderation.review(request.id, 1)
    moderation.review(request.id, 1)
    assert Request.objects.get(id=request.id).review_due is not None
    moderation.review(request.id, 2)
    assert Request.objects.get(id=request.id).review_due is None
    world.step(1)
    (reviewed,) = (a for a in logged(world, "moderation_action") if a["action"] == "reviewed")
    assert reviewed["moderators"] == 2


def test_withdrawing_before_publication_leaves_no_trace(world):
    request = world.agency.request()
    world.agency.submit(request)
    assert world.agency.withdraw(request)["state"] == "lapsed"
    world.step(60)
    assert not logged(world, "request_withdrawn")
    with pytest.raises(Refused):
        moderation.approve(request.id, 1)
    bad = RequestWithdrawn(request_id=request.id, agency=world.agency.id, reason="moderation", at=world.now)
    data = dsse.sign(dsse.ENTRY, bad.encode(), world.agency.ana).encode()
    answer = world.agency.call("request_withdraw", {"envelope": dsse.b64(data)}, 403)
    assert answer["error"]["code"] == "request.agency"


def test_a_removed_officer_counts_no_more_from_the_entry_on(world):
    request = world.agency.request()
    world.agency.submit(request)
    world.agency.officers = [world.agency.ana, world.agency.eve]
    (row,) = agencies.register(world.agency.registration())
    assert row.kind == "key_rotated"
    moderation.approve(request.id, 1)  # queued behind the rotation, before the sequencer saw either
    world.step(1)
    found = world.agency.call("request_state", {"request_id": request.id})
    assert (found["state"], found["rule"]) == ("refused", "signers.unknown")
    world.step(1)
    assert [r["rule"] for r in logged(world, "request_refused")] == ["signers.unknown"]
    again = world.agency.request()
    assert world.agency.submit(again, world.agency.ana, world.agency.eve)["state"] == "submitted"


def test_approval_judges_again(world):
    request = world.agency.request(expires=world.now + 3600)
    world.agency.submit(request)
    world.now += 4000
    with pytest.raises(RulesRefused, match="expiry"):
        moderation.approve(request.id, 1)
    assert requests.expire(world.now) == 1
    assert world.agency.call("request_state", {"request_id": request.id})["state"] == "lapsed"


def test_registration_is_strict(world):
    value = world.agency.registration()
    for broken in (
        {**value, "extra": 1},
        {**value, "type": "other"},
        {**value, "keys": {}},
        {**value, "jurisdiction": {"type": "Point", "coordinates": [0, 0]}},
        {**value, "jurisdiction": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]}},
    ):
        with pytest.raises(Exception, match=r"registration|jurisdiction|agency"):
            agencies.register(broken)
    assert agencies.register(value) == ()


def test_an_extension_is_logged_once_and_homes_read_it(world):
    request = world.agency.request()
    publish(world, request)
    refused = [
        (world.agency.extend(request, world.agency.ana, status=400), "signers.two"),
        (world.agency.extend(request, world.agency.ana, world.agency.eve, status=400), "signers.unknown"),
        (world.agency.extend(request, status=409, expires=request.at + 15 * 86_400), "extension.long"),
        (world.agency.extend(request, status=409, expires=request.at + 4 * 86_400), "extension.shorter"),
        (world.agency.extend(request, status=409, reason="more time"), "text.vague"),
        (world.agency.extend(world.agency.request(), status=404), "request.unknown"),
    ]
    assert [answer["error"]["code"] for answer, _ in refused] == [code for _, code in refused]
    assert world.agency.extend(request) == world.agency.extend(request)
    assert world.agency.extend(request, status=409, expires=request.at + 10 * 86_400)["error"]["code"] == "request.pending"
    world.step(1)
    (entry,) = logged(world, "request_extended")
    found = world.agency.call("request_state", {"request_id": request.id})
    assert found["state"] == "published"
    assert requests.public_entry(found["extended_index"])[0]
    assert world.agency.extend(request, status=409, expires=request.at + 10 * 86_400)["error"]["code"] == "extension.once"
    world.step(60)
    _, verified = world.follow()
    assert [e.document.expires for v in verified for e in v.extended] == [entry["expires"]]
    world.now = request.expires + 60
    requests.expire(world.now)
    assert Request.objects.get(id=request.id).state == "published"
    world.now = entry["expires"] + 60
    requests.expire(world.now)
    assert Request.objects.get(id=request.id).state == "expired"


def test_an_extension_that_came_too_late_to_the_log_is_refused_there(world):
    request = world.agency.request()
    publish(world, request)
    world.agency.extend(request)
    world.now = request.expires + 1
    world.step(1)
    assert not logged(world, "request_extended")
    assert PendingEntry.objects.get(kind="request_extended").rule == "extension.ended"


def test_an_emergency_is_not_extended_before_its_review(world):
    request = world.agency.request(emergency=True)
    world.agency.submit(request)
    world.step(1)
    assert world.agency.extend(request, status=409)["error"]["code"] == "extension.unreviewed"


def test_an_outcome_ends_a_request_and_still_counts_it(world):
    request = world.agency.request(case="26-7")
    publish(world, request)
    assert world.agency.resolve(request, world.agency.eve, status=400)["error"]["code"] == "signers.unknown"
    for words in ("See https://example.org", "The victim, Mrs Smith, is well."):
        assert world.agency.resolve(request, status=409, words=words)["error"]["code"].startswith("text.")
    assert world.agency.resolve(request) == world.agency.resolve(request)
    world.step(1)
    found = world.agency.call("request_state", {"request_id": request.id})
    assert (found["state"], len(logged(world, "request_resolved"))) == ("resolved", 1)
    assert world.agency.resolve(request, status=409, outcome="not_solved")["error"]["code"] == "resolution.state"
    assert world.agency.extend(request, status=409)["error"]["code"] == "extension.ended"
    assert world.agency.withdraw(request, 409)["error"]["code"] == "request.ended"
    publish(world, world.agency.request(case="26-7", centre=h3.latlng_to_cell(37.76, -122.20, 9)))
    third = world.agency.request(case="26-7", centre=h3.latlng_to_cell(37.75, -122.25, 9))
    assert world.agency.submit(third, status=409)["error"]["code"] == "live.case"
    world.step(60)
    _, verified = world.follow()
    assert [(r.document.request_id, r.words) for v in verified for r in v.resolved] == [
        (request.id, "The van was found. Thank you.")
    ]


def test_an_outcome_may_follow_the_end_and_none_comes_before_the_public_did(world):
    request = world.agency.request()
    world.agency.submit(request)
    assert world.agency.resolve(request, status=409)["error"]["code"] == "resolution.state"
    moderation.approve(request.id, 1)
    world.step(1)
    world.now = request.expires + 86_400
    requests.expire(world.now)
    world.agency.resolve(request, outcome="solved_otherwise", words="")
    world.step(1)
    assert Request.objects.get(id=request.id).state == "resolved"
