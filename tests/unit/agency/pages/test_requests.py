"""The officer asks, through the pages: writing, the second officer, a note, a later end, an outcome; what is refused is kept."""

import json

from fairwitness.agency.models import Request, RequestChange
from fairwitness.agency.services import changes, requests
from fairwitness.kit import clock
from tests.unit.agency.agency_steps import AREA, MESSAGE

DAY = 86_400
REASON = "Two neighbours were away and asked for more time."


def typed(**changed):
    now = clock.now()
    form = {
        "area": json.dumps(AREA), "from": str(now - 7200), "to": str(now - 3600), "msg": MESSAGE, "days": "7",
        "contact": "Traffic desk, 510 555 0100", "modes": ["anonymous", "identified"], "wide": "", "wide_reason": "",
    }  # fmt: skip
    return form | changed


def test_a_request_goes_from_the_form_over_a_second_officer_into_the_log(world, sit, read):
    case = world.case()
    ana, sam = sit("ana"), sit("sam")
    assert "Nobody was asked yet" in read(ana.get("/requests"))
    assert "Still missing" in read(ana.get(f"/cases/{case.pk}/requests/new"))
    answer = ana.post(f"/cases/{case.pk}/requests/new", **typed())
    made = Request.objects.get()
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/requests/{made.id}")
    page = read(ana.get(f"/requests/{made.id}"))
    assert "Waits for a second officer" in page
    assert "Approve and sign" not in page
    assert ana.post(f"/requests/{made.id}/approve").status_code == 403
    assert "keeps every rule" in read(sam.get(f"/requests/{made.id}"))
    assert "Waiting for me 1" in read(sam.get("/requests"))
    assert sam.post(f"/requests/{made.id}/approve").status_code == 302
    assert "With the hub's moderator" in read(ana.get(f"/requests/{made.id}"))
    world.hub.publish(made.id)
    requests.beat(clock.now())
    page = read(ana.get(f"/requests/{made.id}"))
    assert "Seen there by 3 independent witnesses" in page
    assert "0 answers collected" in page
    assert "known to nobody" in page
    assert "live" in read(ana.get("/requests?show=live"))


def test_a_drafter_does_not_approve_even_as_a_supervisor(world, sit, read):
    case = world.case()
    sam = sit("sam")
    sam.post(f"/cases/{case.pk}/requests/new", **typed())
    made = Request.objects.get()
    answer = sam.post(f"/requests/{made.id}/approve")
    assert (answer.status_code, "Ask another supervisor." in read(answer)) == (403, True)
    assert Request.objects.get().state == "draft"


def test_a_refusal_names_rule_and_remedy_and_keeps_every_word(world, sit, read):
    case = world.case()
    ana = sit("ana")
    words = "suspicious person <b>near the school</b>"
    answer = ana.post(f"/cases/{case.pk}/requests/new", **typed(area=json.dumps(AREA[:3]), msg=words, contact="Det. Diaz"))
    page, shown = answer.content.decode(), read(answer)
    assert answer.status_code == 409
    assert "An area has at least 7 cells." in shown
    assert "draw the area larger" in shown
    assert "suspicious person &lt;b&gt;near the school&lt;/b&gt;</textarea>" in page
    assert 'value="Det. Diaz"' in page
    assert all(cell in page for cell in AREA[:3])
    empty = ana.post(f"/cases/{case.pk}/requests/new", **typed(area="", msg="", to="", modes=[]))
    assert empty.status_code == 400
    for said in ("Draw the area on the map.", "Say from when to when", "Say what happened", "Allow at least one way"):
        assert said in read(empty)
    for broken in ("[[", '{"a": 1}', "[1, null]", "[" * 3000):
        assert ana.post(f"/cases/{case.pk}/requests/new", **typed(area=broken)).status_code == 400
    assert not Request.objects.exists()


def test_what_is_typed_is_checked_as_it_is_typed(world, sit, read):
    case = world.case()
    ana = sit("ana")
    answer = ana.post(
        f"/cases/{case.pk}/requests/check", **typed(area=json.dumps(AREA[:3]), wide="reason", wide_reason="because")
    )
    shown = read(answer)
    assert "3 cells" in shown
    assert "km²" in shown
    assert "An area has at least 7 cells." in shown
    assert "2 rules are broken" in shown
    assert MESSAGE in shown
    assert answer.content.decode().count('hx-swap-oob="true"') == 9
    good = read(ana.post(f"/cases/{case.pk}/requests/check", **typed()))
    assert "Every rule that can be checked here is kept" in good
    assert "no census file" in good
    marked = read(ana.post(f"/cases/{case.pk}/requests/check", **typed(emergency="on")))
    assert "Published before moderation" in marked
    assert not Request.objects.exists()


def test_a_draft_comes_back_and_is_edited(world, sit, read):
    case = world.case()
    ana, sam = sit("ana"), sit("sam")
    ana.post(f"/cases/{case.pk}/requests/new", **typed())
    first = Request.objects.get()
    assert sam.post(f"/requests/{first.id}/return", note="").status_code == 400
    assert sam.post(f"/requests/{first.id}/return", note="Say which way it drove.").status_code == 302
    assert "Say which way it drove." in read(ana.get(f"/requests/{first.id}"))
    assert "Waiting for me 1" in read(ana.get("/requests"))
    form = ana.get(f"/requests/{first.id}/edit")
    assert "Say which way it drove." in read(form)
    assert MESSAGE in read(form)
    answer = ana.post(f"/requests/{first.id}/edit", **typed(msg=f"{MESSAGE} It drove past the library."))
    second = Request.objects.exclude(pk=first.pk).get()
    assert answer.headers["Location"] == f"/requests/{second.id}"
    assert "written anew" in read(ana.get(f"/requests/{first.id}"))
    assert second.replaces_id == first.id


def test_a_later_end_and_an_outcome(world, sit, read):
    request = world.published()
    ana, sam = sit("ana"), sit("sam")
    late = ana.post(f"/requests/{request.id}/extend", expires=str(clock.now() + 20 * DAY), reason=REASON)
    assert late.status_code == 409
    assert "at most 14 days in all" in read(late)
    assert REASON in late.content.decode()
    end = request.expires_at + DAY
    assert ana.post(f"/requests/{request.id}/extend", expires=str(end), reason=REASON).status_code == 302
    change = RequestChange.objects.get()
    assert REASON in read(sam.get(f"/requests/{request.id}"))
    assert ana.post(f"/requests/{request.id}/changes/{change.pk}", act="approve").status_code == 403
    assert sam.post(f"/requests/{request.id}/changes/999", act="approve").status_code == 404
    assert sam.post(f"/requests/{request.id}/changes/{change.pk}", act="approve").status_code == 302
    world.hub.log_change(request.id, "extended")
    changes.beat(clock.now())
    page = read(ana.get(f"/requests/{request.id}"))
    assert "The later end is public" in page
    assert "Extend it" not in page
    bad = ana.post(f"/requests/{request.id}/resolve", outcome="solved_otherwise", words="Write to a@example.org")
    assert bad.status_code == 409
    assert "Write to a@example.org" in bad.content.decode()
    assert ana.post(f"/requests/{request.id}/resolve", outcome="solved_otherwise", words="Thank you.").status_code == 302
    world.hub.log_change(request.id, "resolved")
    changes.beat(clock.now())
    page = read(sam.get(f"/requests/{request.id}"))
    assert "Solved by other means" in page
    assert "The outcome is public" in page
    assert "Withdraw" not in page


def test_withdrawing_and_asking_again(world, sit, read):
    request = world.published()
    ana = sit("ana")
    assert ana.post(f"/requests/{request.id}/withdraw").status_code == 302
    page = read(ana.get(f"/requests/{request.id}"))
    assert "Withdrawn · Ana" in page
    assert ana.post(f"/requests/{request.id}/withdraw").status_code == 409
    assert ana.get(f"/requests/{request.id}/edit").status_code == 200


def test_the_hubs_refusal_is_shown_with_its_rule(world, sit, read):
    case = world.case()
    ana, sam = sit("ana"), sit("sam")
    ana.post(f"/cases/{case.pk}/requests/new", **typed(msg=f"{MESSAGE} A bait shop camera faces it."))
    made = Request.objects.get()
    answer = sam.post(f"/requests/{made.id}/approve")
    assert answer.status_code == 409
    assert "Say more." in read(answer)
    page = read(ana.get(f"/requests/{made.id}"))
    assert "The hub refused it" in page
    assert "text.vague" in page
    assert "Ask again with changes" in page
