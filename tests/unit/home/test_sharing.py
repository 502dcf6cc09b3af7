"""Consent, sealing, upload, receipts, status, withdrawal: what the hub gets, what the agency can open, what survives a kill."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are; the rest is layout

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.model.response import PART_SIZE, Manifest, Promise, StepForward, verify_responder
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.frames import FrameReader

from core.tests.rules.feed_world import AGENCY, CENTRE, key
from fairwitness.demo.footage import make_clip
from fairwitness.home.models import Answer, AnswerClip, Recording, Token
from fairwitness.home.services import answers, delivery, follower, matching, requests, sharing, sources, tokens
from fairwitness.home.services.answers import ClipChoice
from fairwitness.kit.errors import Refused

SECONDS = 4


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """One real clip, made once: the test moves it into place."""
    path = tmp_path_factory.mktemp("footage") / "clip.mp4"
    from core.tests.rules.feed_world import START

    return make_clip(
        path, seed=7, seconds=SECONDS, start=START - 5000, camera="Porch", place=CENTRE, width=320, height=180, fps=10
    )


@pytest.fixture
def folder(tmp_path, footage):
    place = tmp_path / "cam"
    place.mkdir()
    target = place / "porch.mp4"
    shutil.copyfile(footage, target)
    os.utime(target, (1_700_000_000, 1_700_000_000))
    return place


@pytest.fixture
def asked(home, folder):
    """A home with a scanned folder and a live request that its footage answers."""
    sources.add(home.porch.pk, str(folder))
    sources.scan(home.now)
    (row,) = sources.unknown_times() or [None]
    if row is not None:
        sources.answer_time(row.pk, home.world.start - 5000)
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    home.hub.calls.clear()
    return home


def open_response(home, rid, number=1):
    class Sink:
        def __init__(self, name):
            self.name, self.data = name, b""

        def write(self, data):
            self.data += bytes(data)

        def close(self, digest):
            clips[self.name] = self.data

    clips = {}
    reader = FrameReader(Sink)
    import io

    seal.open_stream(io.BytesIO(home.hub.body_of(rid)), reader, [home.world.identity(number)])
    return reader.finish(), clips


def go(home, at=None):
    """Run the sealing and uploading beats at a moment."""
    if at is not None:
        home.at(at)
    delivery.seal_due(home.now)
    return delivery.upload_due(home.now)


def test_a_whole_answer_from_footage_to_receipt(asked):
    answer = answers.draft(f"{1:032x}")
    assert answer.mode == "anonymous"
    (clip,) = answer.clips.all()
    assert clip.mute
    answers.set_statement(answer.pk, "The van came back twice.")
    answers.confirm(answer.pk, at_once=True)
    assert asked.hub.calls == []  # consent alone sends nothing
    assert go(asked) == 1
    answer.refresh_from_db()
    assert answer.state == "uploaded"
    ((rid, upload),) = asked.hub.finalized().items()
    assert rid == answer.response_id
    assert upload.open.agency == AGENCY
    opened, clips = open_response(asked, rid)
    manifest = verify_responder(Manifest, opened.manifest)
    assert (manifest.request_id, manifest.mode, manifest.identity) == (f"{1:032x}", "anonymous", None)
    assert manifest.statement == "The van came back twice."
    assert manifest.consent.terms_sha256 == answers.TERMS_SHA256
    assert manifest.redactions == ("sound removed",)
    assert manifest.clips[0].muted
    assert manifest.clips[0].time_source == "owner"
    assert manifest.clips[0].start <= asked.world.start - 5000
    assert hashlib.sha256(clips["clip-01.mp4"]).hexdigest() == manifest.clips[0].sha256
    assert manifest.at % 3600 == 0
    receipt = sharing.receipts(answer.pk)
    assert Promise.parse(dsse.Envelope.parse(receipt.promise).payload).response_id == rid
    assert [kind for _at, kind, _detail in receipt.events] == ["confirmed", "sealed", "uploaded"]
    assert "cannot" not in receipt.sentence
    assert list(sharing.spool_folder().iterdir()) == []


@pytest.mark.claim("P18")
def test_nothing_that_leaves_names_the_camera_the_place_or_the_file(asked, folder):
    answer = answers.draft(f"{1:032x}")
    answers.confirm(answer.pk, at_once=True)
    go(asked)
    (rid,) = asked.hub.finalized()
    opened, clips = open_response(asked, rid)
    everything = b"".join([opened.manifest, *clips.values(), *(body for *_rest, body in asked.hub.calls)])
    everything += b"".join(url.encode() for _n, _m, url, _h, _b in asked.hub.calls)
    for private in ("Porch", "porch", str(folder), "37.80", "-122.27", "Demo", "+37"):
        assert private.encode() not in everything, private


def test_the_delay_is_exponential_capped_and_skippable(asked, monkeypatch):
    waits = [answers.delay() for _ in range(4000)]
    assert max(waits) <= 6 * 3600
    assert 1600 < sum(waits) / len(waits) < 2000
    assert sum(wait < 1248 for wait in waits) / 4000 == pytest.approx(0.5, abs=0.05)
    answer = answers.confirm(answers.draft(f"{1:032x}").pk)
    answer.not_before = asked.now + 900
    answer.save()
    assert go(asked) == 0
    answer.refresh_from_db()
    assert answer.state == "sealed"
    assert asked.hub.calls == []
    answers.send_now(answer.pk)
    assert delivery.upload_due(asked.now) == 1


def test_a_statement_alone_and_an_identified_answer(asked):
    answer = answers.draft(f"{1:032x}")
    answers.set_clips(answer.pk, [])
    with pytest.raises(Refused, match=r"answer\.empty"):
        answers.confirm(answer.pk)
    answers.set_statement(answer.pk, "I saw the van's driver: tall, in a red coat.")
    answers.set_mode(answer.pk, "identified", name="Jo Neighbour", contact="jo@example.org")
    answers.confirm(answer.pk, at_once=True)
    assert b"Jo Neighbour" not in bytes(Answer.objects.get().identity)
    assert go(asked) == 1
    (rid,) = asked.hub.finalized()
    manifest = verify_responder(Manifest, open_response(asked, rid)[0].manifest)
    assert manifest.identity.name == "Jo Neighbour"
    assert not manifest.clips


def test_stepping_forward_later_is_signed_by_the_same_key(asked):
    first = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    go(asked)
    first.refresh_from_db()
    step = sharing.step_forward(first.pk, "Jo Neighbour", "jo@example.org", at_once=True)
    with pytest.raises(Refused, match=r"step\.done"):
        sharing.step_forward(first.pk, "Jo Neighbour", "jo@example.org")
    assert go(asked) == 1
    step.refresh_from_db()
    assert step.response_id != first.response_id
    opened, clips = open_response(asked, step.response_id)
    found = verify_responder(StepForward, opened.manifest)
    assert (found.response_id, found.name, clips) == (first.response_id, "Jo Neighbour", {})


def test_no_answer_to_a_request_that_ended(asked):
    from fairwitness_core.model.request import RequestWithdrawn

    waiting = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    delivery.seal_due(asked.now)
    gone = RequestWithdrawn(request_id=f"{1:032x}", agency=AGENCY, reason="resolved", at=asked.now)
    asked.world.publish(gone, asked.world.officers[0])
    asked.tick()
    asked.hub.calls.clear()
    assert delivery.upload_due(asked.now) == 0
    waiting.refresh_from_db()
    assert (waiting.state, waiting.problem) == ("cancelled", "request.withdrawn")
    assert asked.hub.calls == []
    assert tokens.available(asked.now) == 8
    with pytest.raises(Refused, match=r"request\.withdrawn"):
        answers.draft(f"{1:032x}")


# ---------------------------------------------------------------- withdrawal, at each stage with its honest sentence


def test_taken_back_before_it_left_nothing_is_sent(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk)
    delivery.seal_due(asked.now)
    assert sharing.withdraw(answer.pk) == "Cancelled. Nothing ever left this home."
    asked.at(asked.now + 7 * 3600)
    go(asked)
    assert asked.hub.calls == []
    assert list(sharing.spool_folder().iterdir()) == []
    assert tokens.available(asked.now) == 8
    with pytest.raises(Refused, match=r"answer\.over"):
        sharing.withdraw(answer.pk)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("", "the hub deletes it before the agency collects it"),
        ("collected", "may have seen it"),
        ("accepted", "on record"),
        ("declined", "declined it already"),
        ("exported", "cannot be recalled"),
    ],
)
def test_taken_back_afterwards_the_sentence_says_what_that_means(asked, status, words):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    go(asked)
    answer.refresh_from_db()
    if status:
        asked.hub.put_status(answer.response_id, status, asked.now)
        sharing.status_due(asked.now)
    asked.hub.down = True
    assert words in sharing.withdraw(answer.pk)
    assert not asked.hub.uploads[answer.response_id].withdrawn
    asked.hub.down = False
    assert sharing.withdrawals_due(asked.now) == 1
    assert asked.hub.uploads[answer.response_id].withdrawn
    assert sharing.withdrawals_due(asked.now) == 0
    answer.refresh_from_db()
    assert words in sharing.sentence(answer)


# ---------------------------------------------------------------- status and receipts


def test_only_the_agency_says_what_became_of_an_answer(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    go(asked)
    answer.refresh_from_db()
    rid = answer.response_id
    asked.hub.put_status(rid, "accepted", asked.now, signer=asked.world.hub)
    sharing.status_due(asked.now)
    answer.refresh_from_db()
    assert answer.status == ""
    asked.hub.statuses.clear()
    asked.hub.put_status(rid, "collected", asked.now)
    asked.hub.put_status(rid, "accepted", asked.now + 5, note="part of the case file")
    sharing.status_due(asked.now)
    answer.refresh_from_db()
    assert (answer.status, len(answer.statuses)) == ("accepted", 2)
    asked.hub.statuses = {rid: asked.hub.statuses[rid][:1]}  # an old word again changes nothing
    sharing.status_due(asked.now)
    answer.refresh_from_db()
    assert answer.status == "accepted"


def test_a_promise_is_found_in_its_day_or_an_alarm_is_raised(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    go(asked)
    answer.refresh_from_db()
    day = Promise.parse(dsse.Envelope.parse(bytes(answer.promise)).payload).inbox_day
    asked.hub.close_inbox(day)
    asked.tick()
    asked.at(asked.now + 2 * 86_400)
    sharing.status_due(asked.now)
    answer.refresh_from_db()
    assert answer.inbox_state == "logged"
    Answer.objects.update(inbox_state="")
    asked.hub.close_inbox(day, leave_out={answer.response_id})
    sharing.status_due(asked.now)
    answer.refresh_from_db()
    assert answer.inbox_state == "missing"
    assert [row.code for row in follower.alarms()] == ["inbox.missing"]


@pytest.mark.claim("P17")
@pytest.mark.parametrize("served", [True, False])
def test_a_list_that_is_not_in_the_log_or_not_served_is_an_alarm_once_it_is_overdue(asked, monkeypatch, served):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    go(asked)
    answer.refresh_from_db()
    day = Promise.parse(dsse.Envelope.parse(bytes(answer.promise)).payload).inbox_day
    asked.hub.close_inbox(day)  # the feed never brings this root to the home
    if not served:
        asked.hub.inbox.clear()
    asked.at(asked.now + 2 * 86_400)
    asked.hub.calls.clear()
    sharing.status_due(asked.now)
    answer.refresh_from_db()
    assert answer.inbox_state == ""
    assert [call for call in asked.hub.calls if "status" in str(call)], "waiting for the list keeps no status back"
    monkeypatch.setattr(sharing, "_inbox_overdue", lambda _day: True)
    sharing.status_due(asked.now)
    answer.refresh_from_db()
    assert answer.inbox_state == "missing"
    assert "inbox.missing" in [row.code for row in follower.alarms()]


def test_a_list_is_overdue_when_the_feed_was_read_two_days_behind_it(asked, monkeypatch):
    now = follower.status().next_tick * asked.world.tick_seconds
    day = f"{asked.world.start:d}"
    monkeypatch.setattr(sharing.feed, "first_tick_after", lambda _day, _seconds: now - sharing.INBOX_LATE_S)
    assert sharing._inbox_overdue(day)
    monkeypatch.setattr(sharing.feed, "first_tick_after", lambda _day, _seconds: now - sharing.INBOX_LATE_S + 1)
    assert not sharing._inbox_overdue(day)


def test_a_false_promise_is_no_receipt(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    honest = asked.world.hub
    asked.world.hub = key("not the hub")
    assert go(asked) == 0
    answer.refresh_from_db()
    assert (answer.state, answer.promise) == ("uploading", None)
    assert [row.code for row in follower.alarms()] == ["promise.false"]
    asked.world.hub = honest
    for upload in asked.hub.uploads.values():
        upload.promise = b""
    assert go(asked, asked.now + 3600) == 1


# ---------------------------------------------------------------- originals


def test_the_original_stays_and_opens_its_commitment(asked, folder):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    before = hashlib.sha256((folder / "porch.mp4").read_bytes()).hexdigest()
    go(asked)
    (rid,) = asked.hub.finalized()
    manifest = verify_responder(Manifest, open_response(asked, rid)[0].manifest)
    (folder / "porch.mp4").unlink()  # the camera's folder is full
    reveal = sharing.reveal_original(answer.clips.get().pk)
    assert reveal.unchanged
    assert reveal.original_sha256 == before
    assert reveal.commitment == manifest.clips[0].orig_commit
    again = hashlib.sha256(b"fairwitness/orig" + bytes.fromhex(reveal.salt) + bytes.fromhex(before)).hexdigest()
    assert again == reveal.commitment


def test_a_recording_that_changed_after_it_was_chosen_is_not_sent(asked, folder):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    (folder / "porch.mp4").write_bytes(b"something else")
    assert go(asked) == 0
    answer.refresh_from_db()
    assert (answer.state, answer.problem) == ("failed", "clip.changed")
    assert asked.hub.calls == []
    assert tokens.available(asked.now) == 8


# ---------------------------------------------------------------- killed anywhere, and failing networks


def test_lost_answers_at_every_call_still_end_in_one_response(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    for lost in ("/v1/uploads", "/0", "/finalize"):
        asked.hub.lose_answer = [lost]
        assert go(asked, asked.now + 4000) == 0
        asked.hub.lose_answer = []
    assert go(asked, asked.now + 8000) == 1
    assert len(asked.hub.finalized()) == 1
    assert len(asked.hub.spent) == 1
    answer.refresh_from_db()
    assert answer.state == "uploaded"
    puts = [call for call in asked.hub.calls if call[1] == "PUT"]
    assert len(puts) <= 3


class Killed(BaseException):
    """The process ends here."""


def steps():
    """Where a process can be killed: before a call leaves, and before a row is stored."""
    return range(1, 13)


@pytest.mark.claim("P17")
@pytest.mark.parametrize("step", steps())
def test_killed_at_any_write_or_call_the_answer_arrives_once(asked, monkeypatch, step):
    from django.db.models.query import QuerySet

    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    count = {"left": step}

    def fuse():
        count["left"] -= 1
        if count["left"] == 0:
            raise Killed

    real_save, real_update, real_send = Answer.save, QuerySet.update, asked.hub.send

    def save(self, *args, **kwargs):
        fuse()
        real_save(self, *args, **kwargs)

    def update(self, **values):
        if self.model is Answer:
            fuse()
        return real_update(self, **values)

    def send(*args):
        fuse()
        found = real_send(*args)
        fuse()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Answer, "save", save)
        patch.setattr(QuerySet, "update", update)
        patch.setattr(asked.hub, "send", send)
        try:
            go(asked)
        except Killed:
            assert step < 13
    follower._cache = None
    for _again in range(3):
        go(asked, asked.now + 4000)
    answer.refresh_from_db()
    assert answer.state == "uploaded"
    assert list(asked.hub.finalized()) == [answer.response_id]
    assert len(asked.hub.spent) == 1
    assert Token.objects.filter(state="used").count() == 1
    assert list(sharing.spool_folder().iterdir()) == []
    verify_responder(Manifest, open_response(asked, answer.response_id)[0].manifest)


def test_an_unfinished_spool_is_made_anew_and_a_lost_one_too(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    (sharing.spool_folder() / "left-over.age.part").write_bytes(b"half")
    delivery.seal_due(asked.now)
    answer.refresh_from_db()
    assert [path.name for path in sharing.spool_folder().iterdir()] == [answer.spool]
    (sharing.spool_folder() / answer.spool).write_bytes(b"cut short")
    assert delivery.upload_due(asked.now) == 0
    assert asked.hub.calls == []
    assert go(asked) == 1


def test_a_refused_attempt_waits_for_the_owner_and_an_unclear_one_is_not_repeated(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    asked.hub.bent["/v1/uploads"] = asked.hub._error(410, "upload.expired")
    assert go(asked) == 0
    answer.refresh_from_db()
    assert (answer.state, answer.problem) == ("failed", "upload.expired")
    asked.hub.bent.clear()
    old = answer.token_id
    delivery.retry(answer.pk, at_once=True)
    assert go(asked) == 1
    answer.refresh_from_db()
    assert answer.token_id != old
    assert len(asked.hub.finalized()) == 1
    Answer.objects.update(state="failed", problem="upload.unclear")
    with pytest.raises(Refused, match=r"answer\.unclear"):
        delivery.retry(answer.pk)


def test_withdrawn_while_on_its_way_it_is_never_finalised(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    asked.hub.lose_call = ["/finalize"]
    go(asked)
    asked.hub.lose_call = []
    assert "could never read it" in sharing.withdraw(answer.pk)
    go(asked, asked.now + 8000)
    assert asked.hub.finalized() == {}
    assert not [call for call in asked.hub.calls if call[2].endswith("/finalize")][1:]


def test_many_parts_are_resumed_where_they_ended(asked, monkeypatch):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    delivery.seal_due(asked.now)
    answer.refresh_from_db()
    spool = sharing.spool_folder() / answer.spool
    body = os.urandom(2 * PART_SIZE + 77)
    spool.write_bytes(body)
    Answer.objects.update(size=len(body), sealed=hashlib.sha256(body).hexdigest())
    asked.hub.lose_call = ["/1"]
    assert delivery.upload_due(asked.now) == 0
    asked.hub.lose_call = []
    asked.hub.calls.clear()
    asked.at(asked.now + 4000)
    assert delivery.upload_due(asked.now) == 1
    assert [url.rsplit("/", 1)[1] for _n, method, url, _h, _b in asked.hub.calls if method == "PUT"] == ["1", "2"]


# ---------------------------------------------------------------- drafts


def test_trimming_and_choosing(asked):
    answer = answers.draft(f"{1:032x}")
    (row,) = Recording.objects.all()
    answers.set_clips(answer.pk, [ClipChoice(row.pk, 1.0, 3.0), ClipChoice(row.pk, 0.0, None, mute=False)])
    assert [clip.mute for clip in AnswerClip.objects.all()] == [True, False]
    for choice in (ClipChoice(row.pk, 3.0, 1.0), ClipChoice(row.pk, 99.0, None), ClipChoice(row.pk, float("nan"), None)):
        with pytest.raises(Refused, match=r"answer\.cut"):
            answers.set_clips(answer.pk, [choice])
    assert answer.clips.count() == 2
    with pytest.raises(Refused, match=r"recording\.unknown"):
        answers.set_clips(answer.pk, [ClipChoice(999, 0.0, None)])
    with pytest.raises(Refused, match=r"answer\.mode"):
        answers.set_mode(answer.pk, "pseudonymous")
    with pytest.raises(Refused, match=r"answer\.terms"):
        answers.confirm(answer.pk, terms="0" * 64)
    with pytest.raises(ProtocolError):
        answers.set_mode(answer.pk, "identified", name="", contact="x")
    answers.discard(answer.pk)
    assert not Answer.objects.exists()


def test_without_a_token_nothing_is_queued(asked):
    Token.objects.update(state="used")
    answer = answers.draft(f"{1:032x}")
    with pytest.raises(Refused, match=r"token\.none"):
        answers.confirm(answer.pk)
    answer.refresh_from_db()
    assert answer.state == "draft"


def test_gaps_are_declared(asked):
    request = asked.world.request(1)
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    begin = asked.world.start - 5000
    assert answer.gaps == [[request.from_ - 30, begin], [begin + SECONDS, request.to]]
    assert Path(answer.clips.get().source_path).name == "porch.mp4"


def minutes(count, first, *, size=1):
    """Recordings of a minute each, one behind the other, as a scan would leave them."""
    (row,) = Recording.objects.all()
    Recording.objects.all().delete()
    for number in range(count):
        row.pk, row.path, row.size, row.codec, row.time_source = None, f"{number:02}.mp4", size, "hevc", "name"
        row.start, row.end, row.seconds = first + 60 * number, first + 60 * (number + 1), 60.0
        row.save(force_insert=True)


def test_what_leaves_is_shown_before_consent_in_program_and_api(asked, capsys):
    """A draft may begin before what is asked about, at a key frame: its owner sees so before agreeing."""
    import argparse

    from django.test import Client

    from fairwitness.home import access, commands

    row = requests.get(f"{1:032x}")
    commands._answer(argparse.Namespace(request=row.pk, no_clips=False, clip=[], sound=False, statement=None, name=""))
    drafted = json.loads(capsys.readouterr().out)
    answer = answers.get(drafted["answer"])
    (clip,) = answer.clips.all()
    (seen,) = answers.leaving(answer)
    assert (seen.start, seen.sound, seen.areas) == (clip.started + clip.cut_start, False, 0)
    assert seen.before == max(row.start - seen.start, 0)
    assert commands._share(argparse.Namespace(yes=False, answer=answer.pk, now=False)) == 1
    told = capsys.readouterr().out
    (listed,) = json.JSONDecoder().raw_decode(told)[0]["leaves"]
    assert [listed] == drafted["leaves"]
    assert listed["from"].endswith(" UTC")
    assert listed["seconds_before_what_is_asked"] == round(seen.before, 1)
    owner = Client(headers={"Authorization": f"Bearer {access.owner_token()}", "host": "localhost"})
    (one,) = owner.get("/api/answers").json()
    shown = one["clips"][0]["leaves"]
    assert (shown["start"], shown["before"], shown["end"]) == (seen.start, seen.before, seen.end)


def test_forty_minutes_of_one_minute_files_are_one_clip(asked):
    document = matching.document(requests.get(f"{1:032x}"))
    minutes(62, document.from_ - 40)
    answer = answers.draft(f"{1:032x}")
    (clip,) = answer.clips.all()
    assert clip.pieces.count() == 60  # an hour's window with its pre-roll touches 61 of them
    assert (clip.started + clip.cut_start, answers.left_out(answer)) == (document.from_ - 30, 0)
    last = clip.pieces.last()
    assert clip.cut_end == pytest.approx(document.to - clip.started, abs=2)
    assert last.offset == pytest.approx(3600, abs=2)
    assert clip.cut_end > last.offset


def test_a_run_is_cut_where_a_clip_would_become_too_large(asked):
    document = matching.document(requests.get(f"{1:032x}"))
    minutes(60, document.from_, size=70 << 20)  # HEVC becomes larger when it is converted: counted twice
    answer = answers.draft(f"{1:032x}")
    kept = [1 + clip.pieces.count() for clip in answer.clips.all()]
    assert kept[0] == 12
    assert 140 * sum(kept) <= 3584  # MiB
    assert answers.left_out(answer) == 60 - sum(kept) > 0
    again = [answers.choice_of(clip) for clip in answer.clips.all()]
    answers.set_clips(answer.pk, again)
    assert [1 + clip.pieces.count() for clip in answer.clips.all()] == kept


def test_a_draft_begins_at_a_key_frame_and_leaves_as_it_was_recorded(asked):
    """What an owner trims away, though, does not leave: such a clip is converted."""
    begin = asked.world.start - 5000
    asked.world.publish(asked.world.request(2, from_=begin + 31))
    asked.tick()
    answer = answers.draft(f"{2:032x}")
    (clip,) = answer.clips.all()
    assert (clip.started, clip.cut_start) == (begin, 0.0)  # a second before what was asked for, and shown
    answers.confirm(answer.pk, at_once=True)
    go(asked)
    answer.refresh_from_db()
    (sent,) = verify_responder(Manifest, open_response(asked, answer.response_id, 2)[0].manifest).clips
    assert (sent.start, sent.transcoded, sent.chain_commit) == (begin, False, "")
    answer = answers.draft(f"{1:032x}")
    answers.set_clips(answer.pk, [ClipChoice(clip.recording_id, 1.0, None)])
    answers.confirm(answer.pk, at_once=True)
    go(asked)
    answer.refresh_from_db()
    (sent,) = verify_responder(Manifest, open_response(asked, answer.response_id)[0].manifest).clips
    assert (sent.start, sent.transcoded) == (begin + 1, True)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("7", ClipChoice(7, 0.0, None)),
        ("7-12", ClipChoice(7, 0.0, None, through=12)),
        ("7@1.5", ClipChoice(7, 1.5, None)),
        ("7-12@30-2400", ClipChoice(7, 30.0, 2400.0, through=12)),
        ("7-", None),
        ("7@-3", None),
        ("x", None),
        ("7@1-2-3", None),
    ],
)
def test_a_choice_is_read_from_the_command_line(text, choice):
    if choice is not None:
        assert answers.read_choice(text) == choice
        return
    with pytest.raises(Refused, match=r"answer\.choice"):
        answers.read_choice(text)


def test_a_draft_says_how_many_stretches_it_has_no_room_for(asked):
    """More recordings than an answer holds: the first are chosen, the rest are counted, never dropped unsaid."""
    (row,) = Recording.objects.all()
    for number in range(1, 19):
        row.pk, row.path = None, f"more-{number:02}.mp4"
        row.start, row.end = row.start + 30, row.end + 30
        row.save(force_insert=True)
    answer = answers.draft(requests.listing()[0].id)
    assert answer.clips.count() == 16
    own = sum(len(camera.pieces) for camera in matching.own_clips(answer.request))
    assert answers.left_out(answer) == own - 16 > 0
