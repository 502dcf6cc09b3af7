"""Covering what moves: proposed, decided by the owner, never left out unsaid; what is sealed shows none of it."""
# ruff: noqa: F811 - fixtures are imported by name

import io
import shutil

import av
import numpy as np
import pytest
from fairwitness_core.model.response import Manifest, verify_responder
from fairwitness_core.wire.errors import ProtocolError

from core.tests.rules.feed_world import START
from fairwitness.demo.footage import Passing, make_clip
from fairwitness.home.models import Answer, AnswerClip, ClipLook, ClipRegion
from fairwitness.home.services import answers, blur, blurring, delivery, footage, previews
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import following
from fairwitness.kit.video.regions import Box, where
from fairwitness.kit.video.tracks import Proposal
from tests.unit.home.pages.test_requests import browser, words
from tests.unit.home.test_sharing import asked, folder, go, open_response  # noqa: F401

BOX = Box(0.3, 0.3, 0.3, 0.3)


@pytest.fixture(scope="module", name="footage")
def recorded(tmp_path_factory):
    """A car with a plate passes."""
    car = Passing("car", at=0.5, speed=150, color="red", plate="DEMO 1")
    path = tmp_path_factory.mktemp("footage") / "clip.mp4"
    return make_clip(path, seed=7, seconds=4, start=START - 5000, width=640, height=360, fps=10, passings=[car])


@pytest.fixture
def draft(asked):
    shutil.rmtree(previews._cache(), ignore_errors=True)
    asked.client = browser()
    asked.answer = blur.choose(answers.draft(f"{1:032x}").pk, on=True)
    asked.clip = asked.answer.clips.get()
    asked.path = f"/answers/{asked.answer.pk}/clips/1/blur"
    yield asked
    footage.settle()
    shutil.rmtree(previews._cache(), ignore_errors=True)


PLATE = Proposal("plate", ((0.8, 0.1, 0.75, 0.15, 0.1), (3.0, 0.6, 0.75, 0.15, 0.1)), 0.9)
FACE = Proposal("face", ((1.0, 0.4, 0.2, 0.1, 0.2),), 0.6)


@pytest.fixture(autouse=True)
def seen(monkeypatch):
    """What is found in the car's clip, said without looking: tests/unit/media/test_faces.py looks."""

    def find(cut, **_):
        assert not cut.regions
        yield following.Progress(0.0, ())
        yield following.Progress(3.9, (PLATE, FACE))

    monkeypatch.setattr(following, "find", find)


def looked(home):
    assert blurring.step(home.now)
    assert ClipLook.objects.get().state == "done"


def pictures(data):
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            yield float(frame.time), frame.to_ndarray(format="gray")


def inside(picture, box):
    """The pixels that lie wholly within a box, away from its edge."""
    height, width = picture.shape
    left, right = int(box.x * width) + 4, int((box.x + box.width) * width) - 4
    top, bottom = int(box.y * height) + 4, int((box.y + box.height) * height) - 4
    return picture[top:bottom, left:right] if right > left and bottom > top else np.zeros((1, 1))


def sealed(home):
    assert go(home) == 1
    home.answer.refresh_from_db()
    opened, clips = open_response(home, home.answer.response_id)
    return verify_responder(Manifest, opened.manifest), clips["clip-01.mp4"]


@pytest.mark.claim("P21")
def test_what_is_found_is_covered_in_every_picture_that_leaves(draft):
    looked(draft)
    plate = ClipRegion.objects.filter(kind="plate").order_by("-score").first()
    track = blur.track_of(plate)
    answers.confirm(draft.answer.pk, at_once=True)
    manifest, data = sealed(draft)
    assert blur.REDACTION in manifest.redactions
    clip = AnswerClip.objects.get()
    seen = 0
    for at, picture in pictures(data):
        box = where(track, at + clip.cut_start)
        if box is not None:
            assert inside(picture, box).max() <= 30
            seen += 1
    assert seen >= 10


@pytest.mark.claim("P21")
def test_an_answer_waits_until_it_was_looked_through(draft):
    answers.confirm(draft.answer.pk, at_once=True)
    assert go(draft) == 0
    draft.answer.refresh_from_db()
    assert (draft.answer.state, draft.answer.problem) == ("queued", "blur.looking")
    looked(draft)
    manifest, _data = sealed(draft)
    assert blur.REDACTION in manifest.redactions


@pytest.mark.claim("P21")
def test_where_looking_fails_nothing_leaves_without_a_word(draft, monkeypatch):
    def fails(*_, **__):
        raise ProtocolError("clip.crashed", "no")
        yield

    monkeypatch.setattr(following, "find", fails)
    assert blurring.step(draft.now)
    assert blur.readiness(draft.answer).state == "failed"
    with pytest.raises(Refused) as refused:
        answers.confirm(draft.answer.pk, at_once=True)
    assert refused.value.code == "blur.failed"
    page = draft.client.get(draft.path)
    assert "could not be looked through" in words(page)
    Answer.objects.update(blur="off")  # agreed to, then failed: as after a restart
    answers.confirm(draft.answer.pk, at_once=True)
    Answer.objects.update(blur="on")
    assert delivery.seal_due(draft.now) == 0
    blur.choose(draft.answer.pk, on=False)
    assert delivery.seal_due(draft.now) == 1


@pytest.mark.claim("P21")
def test_without_the_search_the_owners_own_boxes_are_still_covered(draft):
    row = blur.add(draft.clip, 0.0, 4.0, BOX)
    assert draft.client.post(draft.path, {"act": "off"}).status_code == 302
    answers.confirm(draft.answer.pk, at_once=True)
    manifest, data = sealed(draft)
    assert blur.REDACTION in manifest.redactions
    track = blur.track_of(row)
    shown = list(pictures(data))
    assert len(shown) == 40
    assert all(inside(picture, where(track, at)).max() <= 30 for at, picture in shown)


def test_the_preview_is_what_leaves(draft):
    looked(draft)
    clip = footage.clip_of(draft.answer.pk, 1)
    assert draft.client.get(draft.path + "?leaves=1").status_code == 200
    footage.settle()
    size = footage.prepare(clip, footage.leaving(clip)).facts
    answers.confirm(draft.answer.pk, at_once=True)
    manifest, _data = sealed(draft)
    assert manifest.clips[0].sha256 == size.sha256


def test_the_page_names_what_is_covered_and_what_stays_readable(draft):
    looked(draft)
    footage.prepare(draft.clip, blurring.edited(draft.clip))
    footage.settle()
    page = draft.client.get(draft.path)
    assert page.status_code == 200
    plate = ClipRegion.objects.filter(kind="plate").first()
    assert f"Plate {plate.number}" in words(page)
    assert "covered 0:0" in words(page)
    said = draft.client.post(draft.path, {"act": "clear", "region": plate.pk}, headers={"HX-Request": "true"})
    assert "this plate stays readable" in words(said)
    assert "<html" not in said.content.decode()
    plate.refresh_from_db()
    assert (plate.state, plate.why) == ("clear", "described")
    assert plate.track not in [list(map(list, track)) for track in blur.tracks_of(draft.clip)]
    assert "this plate stays readable" in words(draft.client.get(draft.path + "?leaves=1"))
    draft.client.post(draft.path, {"act": "remove", "region": plate.pk})
    assert "1 removed" in words(draft.client.get(draft.path))
    draft.client.post(draft.path, {"act": "cover", "region": plate.pk})
    plate.refresh_from_db()
    assert plate.state == "covered"
    film = draft.client.get(draft.path + "/film")
    assert film.status_code == 200
    b"".join(film.streaming_content)


def test_boxes_are_moved_timed_followed_and_thrown_away_by_numbers(draft):
    ClipLook.objects.create(clip=draft.clip, state="done")
    place = {"zero": "0", "at": "2.0", "x": "5", "y": "70", "width": "30", "height": "25"}
    answer = draft.client.post(draft.path, {"act": "add", **place})
    row = ClipRegion.objects.get()
    assert answer.status_code in (302, 409)
    assert row.kind == "own"
    span = {"act": "span", "region": row.pk, "zero": "0", "begin": "0.5", "end": "3.5"}
    assert draft.client.post(draft.path, span).status_code == 302
    row.refresh_from_db()
    assert (row.track[0][0], row.track[-1][0]) == (0.5, 3.5)
    assert draft.client.post(draft.path, {"act": "move", "region": row.pk, **place, "at": "0.5", "x": "50"}).status_code == 302
    row.refresh_from_db()
    assert row.track[0] == [0.5, 0.5, 0.7, 0.3, 0.25]
    bad = draft.client.post(draft.path, {"act": "move", "region": row.pk, **place, "x": "left"})
    assert bad.status_code == 422
    assert "Fill in numbers" in words(bad)
    assert draft.client.post(draft.path, {"act": "cover", "region": 10**9}).status_code == 404
    draft.client.post(draft.path, {"act": "remove", "region": row.pk})
    assert not ClipRegion.objects.exists()


def test_a_trimmed_clip_keeps_what_was_decided(draft):
    looked(draft)
    count = ClipRegion.objects.count()
    assert count
    answers.trim(draft.answer.pk, draft.clip.pk, 0.5, 3.9)
    (look,) = ClipLook.objects.all()
    assert look.state == "done"
    assert look.clip_id != draft.clip.pk
    assert 0 < ClipRegion.objects.filter(clip=look.clip).count() <= count


def test_after_agreeing_nothing_is_changed_any_more(draft):
    row = blur.add(draft.clip, 0.0, 4.0, BOX)
    answers.confirm(draft.answer.pk)
    clip = footage.clip_of(draft.answer.pk, 1)
    with pytest.raises(Refused):
        blur.set_state(clip, row.pk, "clear")
    assert draft.client.get(draft.path).status_code == 302
