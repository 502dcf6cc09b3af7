"""Answering in a browser: each step, its refusals, what is shown before is what leaves, and what becomes of it."""
# ruff: noqa: F811 - fixtures are imported by name

import hashlib
import json
import shutil
from datetime import UTC, datetime

import pytest

from core.tests.rules.feed_world import CENTRE, START
from fairwitness.demo.footage import make_clip
from fairwitness.home.models import Answer, AnswerClip, Recording, Request
from fairwitness.home.services import answers, delivery, footage, household, masks, previews, sharing
from tests.unit.home.pages.test_requests import browser, words
from tests.unit.home.test_masks import SQUARE
from tests.unit.home.test_sharing import asked, folder, open_response  # noqa: F401

SECONDS = 4


@pytest.fixture(scope="module", name="footage")
def recorded(tmp_path_factory):
    """One real recording, made once: the tests move it into place."""
    path = tmp_path_factory.mktemp("footage") / "clip.mp4"
    return make_clip(
        path, seed=7, seconds=SECONDS, start=START - 5000, camera="Porch", place=CENTRE, width=320, height=180, fps=10
    )


@pytest.fixture
def page(asked):
    shutil.rmtree(previews._cache(), ignore_errors=True)
    asked.client = browser()
    asked.request = Request.objects.get()
    asked.begin = f"/requests/{asked.request.pk}/answer"
    yield asked
    footage.settle()
    shutil.rmtree(previews._cache(), ignore_errors=True)


@pytest.fixture
def draft(page):
    assert page.client.post(page.begin).status_code == 302
    page.answer = Answer.objects.get()
    page.path = f"/answers/{page.answer.pk}"
    return page


def clip():
    return AnswerClip.objects.get()


def body(answer):
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def ready(page, path):
    """Ask until what is made is there, as the page does."""
    page.client.get(path)
    footage.settle()
    return page.client.get(path)


def send(page, **more):
    return page.client.post(
        page.path + "/check", {"agree": "1", "terms": answers.TERMS_SHA256, "when": "now", **more}, follow=True
    )


def test_a_draft_begins_at_its_clips_muted_and_whole(draft):
    found = draft.client.get(draft.path, follow=True)
    assert found.redirect_chain[-1][0] == f"{draft.path}/clips"
    told = words(found)
    assert "Nothing leaves before the last step." in told
    assert "Porch" in told
    assert 'name="sound"' in found.content.decode()
    assert clip().mute
    picture = draft.client.get(f"{draft.path}/clips/1/cover")
    assert picture["Content-Type"] == "image/jpeg"
    again = draft.client.post(draft.begin)
    assert again["Location"] == draft.path, "the open draft goes on"


def test_clips_are_left_out_and_taken_in_again_and_sound_is_kept_on_wish(draft):
    one = clip()
    draft.client.post(f"{draft.path}/clips", {"clip": [one.pk], "sound": [one.pk], "then": "on"})
    assert clip().pk == one.pk, "what stays keeps its row"
    assert not clip().mute
    draft.client.post(f"{draft.path}/clips", {"then": "stay"})
    assert not AnswerClip.objects.exists()
    html = draft.client.get(f"{draft.path}/clips").content.decode()
    (other,) = answers.others(answers.get(draft.answer.pk))
    assert f'name="add" value="{other.key}"' in html
    draft.client.post(f"{draft.path}/clips", {"add": [other.key], "then": "on"})
    assert clip().recording_id == one.recording_id
    assert clip().mute


def test_a_button_of_a_clip_keeps_the_ticks_and_leads_to_its_page(draft):
    there = draft.client.post(f"{draft.path}/clips", {"clip": [clip().pk], "then": f"trim:{clip().pk}"})
    assert there["Location"] == f"{draft.path}/clips/1/trim"
    back = draft.client.post(f"{draft.path}/clips", {"then": "trim:1"})
    assert back["Location"] == f"{draft.path}/clips"


def test_a_clip_is_trimmed_by_its_handles(draft):
    path = f"{draft.path}/clips/1/trim"
    assert "made ready to look at" in words(draft.client.get(path))
    found = ready(draft, path)
    html = found.content.decode()
    assert "<fw-player" in html
    assert " trim" in html
    film = draft.client.get(f"{draft.path}/clips/1/stage")
    assert (film.status_code, film["Content-Type"]) == (200, "video/mp4")
    body(film)
    assert draft.client.get(f"{draft.path}/clips/1/strip")["Content-Type"] == "image/jpeg"
    told = draft.client.post(path, {"base": "0", "start": "1.000", "end": "2.500"}, follow=True)
    assert "What lies outside does not leave your home." in words(told)
    assert (clip().cut_start, clip().cut_end) == (1.0, 2.5)
    # What was cut away can be had back: the stage still shows all of it.
    assert footage.stage(footage.clip_of(draft.answer.pk, 1)).begin == 0.0


@pytest.mark.parametrize(
    "bad", [{}, {"start": "1"}, {"start": "2", "end": "2.1"}, {"start": "x", "end": "3"}, {"start": "nan", "end": "3"}]
)
def test_a_trim_that_is_none_is_refused_in_words(draft, bad):
    draft.client.get(f"{draft.path}/clips/1/trim")
    footage.settle()
    before = (clip().cut_start, clip().cut_end)
    answer = draft.client.post(f"{draft.path}/clips/1/trim", {"base": "0", **bad})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert (clip().cut_start, clip().cut_end) == before


def test_with_a_name_or_without(draft):
    path = f"{draft.path}/who"
    told = words(draft.client.get(path))
    assert "the viewpoint may tell which house it was taken from" in told
    answer = draft.client.post(path, {"mode": "identified", "name": "Robin Example", "contact": ""})
    assert answer.status_code == 422
    assert "Robin Example" in answer.content.decode(), "what was typed stays"
    assert draft.client.post(path, {"mode": "loudly"}).status_code == 422
    assert (
        draft.client.post(path, {"mode": "identified", "name": "Robin Example", "contact": "robin@home.invalid"}).status_code
        == 302
    )
    assert Answer.objects.get().mode == "identified"
    assert "robin@home.invalid" in draft.client.get(f"{draft.path}/check").content.decode()
    footage.settle()
    draft.client.post(path, {"mode": "anonymous"})
    assert Answer.objects.get().identity is None


def test_words_and_how_long_they_may_be_kept(draft):
    path = f"{draft.path}/words"
    for until in ("", "yesterday", "1999-01-01", "2099-01-01"):
        answer = draft.client.post(path, {"statement": "I saw a red car.", "until": until})
        assert answer.status_code == 422
        assert "I saw a red car." in answer.content.decode()
    assert draft.client.post(path, {"statement": "x" * 4001, "until": "2027-01-01"}).status_code == 422
    good = datetime.fromtimestamp(draft.now + 40 * 86_400, UTC).strftime("%Y-%m-%d")
    assert draft.client.post(path, {"statement": "A red\r\ncar.", "until": good})["Location"] == f"{draft.path}/check"
    row = Answer.objects.get()
    assert row.statement == "A red\ncar."
    assert datetime.fromtimestamp(row.until, UTC).strftime("%Y-%m-%d %H:%M:%S") == f"{good} 23:59:59"


def test_no_video_but_words(draft):
    draft.client.post(f"{draft.path}/clips", {"then": "statement"})
    assert not AnswerClip.objects.exists()
    told = words(draft.client.get(f"{draft.path}/words"))
    assert "What did you see?" in told
    until = draft.client.get(f"{draft.path}/words").content.decode().split('type="date" value="')[1][:10]
    assert draft.client.post(f"{draft.path}/words", {"statement": " ", "until": until}).status_code == 422
    assert draft.client.post(f"{draft.path}/words", {"statement": "A red car, twice.", "until": until}).status_code == 302
    told = words(draft.client.get(f"{draft.path}/check"))
    assert "No video goes with this answer." in told
    assert "A red car, twice." in told
    assert "You agreed to send it" in words(send(draft))


def sealed_clips(page):
    delivery.seal_due(page.now)
    delivery.upload_due(page.now)
    row = Answer.objects.get(kind="clips")
    assert row.state == "uploaded", (row.state, row.problem)
    _opened, found = open_response(page, row.response_id)
    return found


@pytest.mark.claim("P20")
@pytest.mark.parametrize("kind", ["whole", "trimmed", "covered"])
def test_what_is_shown_before_is_byte_for_byte_what_the_agency_opens(draft, kind):
    if kind == "covered":
        masks.add(draft.porch.pk, "Neighbour", SQUARE)
    if kind == "trimmed":
        answers.trim(draft.answer.pk, clip().pk, 1.0, 2.5)
    page = ready(draft, f"{draft.path}/check")
    shown = body(draft.client.get(f"{draft.path}/clips/1/film"))
    assert hashlib.sha256(shown).hexdigest() in page.content.decode()
    assert ("1 area is black" in words(page)) == (kind == "covered")
    send(draft)
    assert sealed_clips(draft) == {"clip-01.mp4": shown}
    assert AnswerClip.objects.get().sha256 == hashlib.sha256(shown).hexdigest()


def test_nothing_is_shown_that_is_not_what_would_leave_now(draft):
    ready(draft, f"{draft.path}/check")
    before = body(draft.client.get(f"{draft.path}/clips/1/film"))
    masks.add(draft.porch.pk, "Neighbour", SQUARE)
    answer = draft.client.get(f"{draft.path}/clips/1/film")
    assert answer.status_code == 503, "an area was drawn: the old preview is not served for it"
    ready(draft, f"{draft.path}/clips/1/look")
    assert body(draft.client.get(f"{draft.path}/clips/1/film")) != before


def test_a_recording_that_is_gone_is_said_before_sending(draft, folder):
    (folder / "porch.mp4").unlink()
    told = words(draft.client.get(f"{draft.path}/check"))
    assert "As it is, this clip cannot be sent." in told
    assert draft.client.get(f"{draft.path}/clips/1/film").status_code == 404


def test_sending_needs_agreement_and_the_terms_that_were_shown(draft):
    answer = draft.client.post(f"{draft.path}/check", {"terms": answers.TERMS_SHA256})
    assert answer.status_code == 422
    assert "Tick that you agree" in words(answer)
    answer = draft.client.post(f"{draft.path}/check", {"agree": "1", "terms": "0" * 64})
    assert answer.status_code == 409
    assert Answer.objects.get().state == "draft"
    footage.settle()


def test_from_waiting_to_accepted_and_the_receipt(draft):
    draft.client.post(f"{draft.path}/check", {"agree": "1", "terms": answers.TERMS_SHA256, "when": "later"})
    row = Answer.objects.get()
    assert row.state == "queued"
    Answer.objects.update(not_before=draft.now + 600)
    told = words(draft.client.get(draft.path))
    assert "It leaves about" in told
    assert "Nothing has left your home. It is cancelled without a trace." in told
    part = draft.client.get(draft.path, headers={"hx-request": "true"}).content.decode()
    assert part.startswith('<div id="progress"')
    assert "hx-trigger" in part
    draft.client.post(f"{draft.path}/act", {"act": "send-now"})
    delivery.seal_due(draft.now)
    delivery.upload_due(draft.now)
    told = words(draft.client.get(draft.path))
    assert "signed a receipt" in told
    assert "hx-trigger" not in draft.client.get(draft.path, headers={"hx-request": "true"}).content.decode()
    receipt = draft.client.get(f"{draft.path}/receipt")
    data = draft.client.get(f"{draft.path}/receipt.json")
    assert "attachment" in data["Content-Disposition"]
    found = json.loads(data.content)
    assert found["promise"]
    assert found["promise"] in receipt.content.decode()
    assert found["sealed"] in receipt.content.decode()
    Answer.objects.update(status="accepted", status_at=draft.now)
    assert "Accepted" in words(draft.client.get("/answers"))
    assert "The agency has it already and may have seen it." in words(draft.client.get(draft.path))


def test_taking_back_says_what_that_means(draft):
    send(draft)
    told = words(draft.client.post(f"{draft.path}/act", {"act": "withdraw"}, follow=True))
    assert "Cancelled. Nothing ever left this home." in told
    again = draft.client.post(f"{draft.path}/act", {"act": "withdraw"})
    assert again.status_code == 409
    assert "taken back already" in words(again)
    assert draft.hub.calls == []


def test_stepping_forward_after_an_anonymous_answer(draft):
    send(draft)
    sealed_clips(draft)
    assert "Give your name after all" in words(draft.client.get(draft.path))
    answer = draft.client.post(f"{draft.path}/act", {"act": "step-forward", "name": "", "contact": ""})
    assert answer.status_code == 422
    told = draft.client.post(
        f"{draft.path}/act", {"act": "step-forward", "name": "Robin", "contact": "robin@home.invalid"}, follow=True
    )
    assert "You stepped forward with your name." in words(told)
    step = Answer.objects.get(kind="step_forward")
    assert "Stepping forward with your name" in words(draft.client.get(f"/answers/{step.pk}"))


def test_a_failed_answer_says_why_and_is_sent_again(draft, folder):
    send(draft)
    (folder / "porch.mp4").rename(folder / "away.mp4")
    delivery.seal_due(draft.now)
    told = words(draft.client.get(draft.path))
    assert "A recording that you chose is not there any more." in told
    (folder / "away.mp4").rename(folder / "porch.mp4")
    draft.client.post(f"{draft.path}/act", {"act": "retry", "when": "now"})
    assert Answer.objects.get().state == "queued"


def test_a_draft_is_thrown_away(draft):
    told = words(draft.client.post(f"{draft.path}/act", {"act": "discard"}, follow=True))
    assert "Nothing had left this home." in told
    assert not Answer.objects.exists()
    assert draft.client.get(draft.path).status_code == 404


def test_a_member_prepares_and_an_owner_sends(draft):
    kim = household.add("Kim", "member")
    owner, draft.client = draft.client, browser(kim)
    told = words(draft.client.get(f"{draft.path}/check"))
    assert "An owner of this home sends answers." in told
    assert draft.client.post(f"{draft.path}/check", {"agree": "1", "terms": answers.TERMS_SHA256}).status_code == 403
    assert draft.client.post(f"{draft.path}/act", {"act": "withdraw"}).status_code == 403
    draft.client.post(f"{draft.path}/who", {"mode": "anonymous"})
    draft.client = owner
    assert "You agreed to send it" in words(send(draft))
    footage.settle()


def test_joined_recordings_are_trimmed_across_their_seams(home):
    """Three recordings in a row: what begins in the second leaves the first out."""
    for number in range(3):
        home.recording(home.porch, home.world.start - 5000 + 10 * number, seconds=10, path=f"{number}.mp4")
    home.world.publish(home.world.request(1))
    home.tick()
    row = answers.draft(Request.objects.get().pk)
    one = row.clips.get()
    assert one.pieces.count() == 2
    answers.trim(row.pk, one.pk, 12.0, 18.0)
    one = row.clips.get()
    assert (one.recording.path, one.cut_start, one.cut_end, one.pieces.count()) == ("1.mp4", 2.0, 8.0, 0)
    assert [other.choice.recording for other in answers.others(row)] == list(
        Recording.objects.exclude(pk=one.recording_id).order_by("start").values_list("pk", flat=True)
    )


def test_the_list_is_empty_at_first(home):
    assert "You have not answered anything" in words(browser().get("/answers"))
    assert sharing.SENTENCES["draft"]
