"""What becomes of a request by its agency's word: back with a note, anew, longer, and its outcome."""

from dataclasses import replace

import h3
import pytest
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.errors import RefusedWhole
from fairwitness.agency.models import Request, RequestChange
from fairwitness.agency.services import changes, drafting, node, officers, requests
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

DAY = 86_400
REASON = "Two neighbours were away and asked for more time."


def test_a_draft_comes_back_with_a_note_and_is_written_anew_under_a_new_id(world):
    first = requests.draft(world.ana, world.case(), world.draft())
    with pytest.raises(Refused, match=r"auth\.role"):
        drafting.give_back(world.ana, first, "Shorter.")
    with pytest.raises(Refused, match=r"request\.note"):
        drafting.give_back(world.sam, first, "  ")
    drafting.give_back(world.sam, first, "The window is too wide: the neighbour heard it at 14:20.")
    assert (first.state, first.returned_by) == ("returned", world.sam)
    assert list(requests.waiting_for(world.ana)) == [first]
    with pytest.raises(Refused, match=r"request\.state"):
        requests.approve(world.sam, first)
    broken = world.draft(msg="suspicious person")
    with pytest.raises(RefusedWhole):
        drafting.redraft(world.ana, first, broken)
    assert requests.get(first.id).state == "returned"
    second = drafting.redraft(world.ana, first, world.draft())
    assert (second.state, second.replaces_id, requests.get(first.id).state) == ("draft", first.id, "replaced")
    assert second.id != first.id
    assert first not in requests.listing(world.ana)
    assert list(requests.waiting_for(world.sam)) == [second]
    assert requests.approve(world.sam, second).state == "submitted"


def test_nobody_returns_their_own_draft(world):
    mine = requests.draft(world.sam, world.case(), world.draft())
    with pytest.raises(Refused, match="same_person"):
        drafting.give_back(world.sam, mine, "Not good enough.")


def test_an_extension_needs_a_second_officer_and_counts_once_it_is_proven(world):
    request = world.published()
    end = request.expires_at + 2 * DAY
    change = changes.extend(world.ana, request, end, REASON)
    assert list(requests.waiting_for(world.sam)) == [request]
    with pytest.raises(Refused, match=r"auth\.role"):
        changes.approve(world.ana, change)
    with pytest.raises(Refused, match="once"):
        changes.extend(world.ana, request, end, REASON)
    changes.approve(world.sam, change)
    assert (change.state, requests.get(request.id).expires_at) == ("sent", request.expires_at)
    envelope = dsse.Envelope.parse(bytes(change.envelope))
    envelope.verify(dsse.ENTRY, officers.public_key(world.ana), officers.public_key(world.sam))
    world.hub.log_change(request.id, "extended")
    changes.beat(clock.now())
    change.refresh_from_db()
    assert (change.state, requests.get(request.id).expires_at) == ("logged", end)
    with pytest.raises(Refused, match="once"):
        changes.extend(world.ana, request, end + DAY, REASON)
    requests.beat(world.step(end - clock.now() - 60))
    assert requests.get(request.id).state == "published"
    requests.beat(world.step(120))
    assert requests.get(request.id).state == "expired"


def test_an_extension_keeps_the_rules_and_a_supervisors_own_needs_another(world):
    request = world.published()
    for expires, reason, rule in (
        (changes.latest_end(request) + 60, REASON, "extension.long"),
        (request.expires_at - 60, REASON, "extension.shorter"),
        (request.expires_at + DAY, "more time", "text.vague"),
    ):
        with pytest.raises(RefusedWhole) as caught:
            changes.extend(world.ana, request, expires, reason)
        assert rule in {detail.code for detail in caught.value.details}
    change = changes.extend(world.sam, request, request.expires_at + DAY, REASON)
    with pytest.raises(Refused, match="same_person"):
        changes.approve(world.sam, change)
    changes.drop(world.ana, change)
    with pytest.raises(Refused, match=r"request\.state"):
        changes.approve(world.sue, change)
    assert changes.extend(world.sam, request, request.expires_at + DAY, REASON).state == "draft"


def test_an_extension_proven_late_lets_a_request_live_again(world):
    request = world.published()
    end = request.expires_at + 2 * DAY
    change = changes.extend(world.ana, request, end, REASON)
    changes.approve(world.sam, change)
    requests.beat(world.step(request.expires_at - clock.now() + 60))
    assert requests.get(request.id).state == "expired"
    world.hub.log_change(request.id, "extended")
    assert changes.follow(change) == "logged"
    assert requests.get(request.id).state == "published"


def test_an_outcome_ends_a_request_once_the_log_proves_it(world):
    request = world.published()
    with pytest.raises(Refused, match="outcome"):
        changes.resolve(world.ana, request, "arrested")
    with pytest.raises(RefusedWhole) as caught:
        changes.resolve(world.ana, request, "not_solved", "Write to det@example.org")
    assert "text.email" in {detail.code for detail in caught.value.details}
    change = changes.resolve(world.ana, request, "solved_with_footage", "The van was found. Thank you.")
    assert (change.state, requests.get(request.id).state) == ("sent", "published")
    world.hub.log_change(request.id, "resolved")
    changes.beat(clock.now())
    done = requests.get(request.id)
    assert (done.state, bool(done.ended_at)) == ("resolved", True)
    with pytest.raises(Refused, match=r"request\.state"):
        changes.resolve(world.ana, request, "not_solved")
    with pytest.raises(Refused, match=r"request\.state"):
        requests.withdraw(world.ana, request)
    requests.beat(world.step(31 * DAY))
    assert not node.key_file("requests", request.id).exists()


def test_only_the_very_envelope_that_was_signed_counts(world):
    request = world.published()
    change = changes.resolve(world.ana, request, "not_solved")
    world.hub.log_change(request.id, "resolved", world.hub.requests[request.id]["envelope"])
    assert changes.follow(change) == "refused"
    assert requests.get(request.id).state == "published"


def test_a_proof_without_a_quorum_changes_nothing(world):
    request = world.published()
    change = changes.resolve(world.ana, request, "not_solved")
    world.hub.cosigners = 1
    world.hub.log_change(request.id, "resolved")
    with pytest.raises(ProtocolError):
        changes.follow(change)
    assert requests.get(request.id).state == "published"


def test_what_an_unreachable_hub_did_not_hear_is_sent_later(world):
    request = world.published()
    world.hub.down = True
    change = changes.resolve(world.ana, request, "not_solved")
    assert change.state == "approved"
    world.hub.down = False
    changes.beat(clock.now())
    assert RequestChange.objects.get(pk=change.pk).state == "sent"


def test_what_is_written_so_far_is_judged_field_by_field(world):
    case, whole = world.case(), world.draft()
    empty = drafting.look(world.ana, case, replace(whole, area=(), from_=0, to=0, msg="", contact="", modes=()))
    assert empty.missing == ("area", "window", "msg", "contact", "modes")
    assert not any(empty.found.values())
    assert drafting.look(world.ana, case, whole).ready

    def rules(field, **typed):
        found = drafting.look(world.ana, case, replace(whole, **typed)).found
        assert not any(found[name] for name in found if name != field), found
        return [violation.rule for violation in found[field]]

    assert rules("area", area=whole.area[:3]) == ["area.small"]
    far = tuple(h3.grid_disk(h3.latlng_to_cell(40.7, -74.0, 9), 1))
    assert rules("area", area=far) == ["area.jurisdiction"]
    wide = tuple(sorted(h3.grid_disk(whole.area[0], 2)))
    assert rules("area", area=wide) == ["area.large"]
    assert rules("wide", area=wide, wide_reason="because") == ["text.vague"]
    assert rules("window", to=whole.from_ + 60) == ["window.short"]
    assert rules("window", to=whole.from_) == ["window.short"]
    assert "text.phone" in rules("msg", msg=whole.msg + " Call 510 555 0199.")
    assert rules("contact", contact="See https://example.org") == ["text.link"]
    assert rules("expires", expires=clock.now() + 15 * DAY) == ["expiry.long"]
    assert not Request.objects.exists()


def test_dwellings_are_counted_where_the_node_knows_them(world, tmp_path, monkeypatch):
    case, whole = world.case(), world.draft()
    assert drafting.look(world.ana, case, whole).dwellings is None
    path = tmp_path / "cells.csv"
    path.write_text("cell,dwellings\n" + "".join(f"{cell},3\n" for cell in whole.area))
    known = replace(node.settings(), census_file=str(path))
    monkeypatch.setattr(node, "settings", lambda: known)
    found = drafting.look(world.ana, case, whole)
    assert found.dwellings == 3 * len(whole.area)
    assert [violation.rule for violation in found.found["area"]] == ["area.dwellings"]
    path.write_text("cell,dwellings\nnonsense,3\n")
    monkeypatch.undo()


def test_another_officers_case_is_none_of_ones_business(world):
    request = world.published()
    ben = officers.enrol("ben", "Ben Wu", "officer").officer
    with pytest.raises(Refused, match="not_found"):
        requests.seen_by(ben, request.id)
    for act in (
        lambda: requests.draft(ben, request.case, world.draft()),
        lambda: requests.withdraw(ben, request),
        lambda: changes.extend(ben, request, request.expires_at + DAY, REASON),
        lambda: changes.resolve(ben, request, "not_solved"),
        lambda: drafting.look(ben, request.case, world.draft()),
    ):
        with pytest.raises(Refused, match=r"case\.member"):
            act()
