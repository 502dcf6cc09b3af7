"""An owner's covered areas: always applied on sharing, and never left out because something failed."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import io
import json
import os
import shutil

import av
import pytest
from django.test import Client
from fairwitness_core.model.response import Manifest, verify_responder
from fairwitness_core.wire.errors import ProtocolError

from core.tests.rules.feed_world import CENTRE, START
from fairwitness.demo.footage import make_clip
from fairwitness.home import access
from fairwitness.home.models import AnswerClip, Mask
from fairwitness.home.services import answers, delivery, masks, sources
from fairwitness.kit.errors import Refused
from tests.unit.home.test_sharing import go, open_response

SQUARE = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]
STRIP = [[0.0, 0.0], [0.2, 0.0], [0.2, 1.0], [0.0, 1.0]]


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    path = tmp_path_factory.mktemp("footage") / "clip.mp4"
    return make_clip(path, seed=7, seconds=2, start=START - 5000, camera="Porch", place=CENTRE, width=320, height=180, fps=10)


@pytest.fixture
def asked(home, tmp_path, footage):
    """A home with footage of a live request."""
    place = tmp_path / "cam"
    place.mkdir()
    shutil.copyfile(footage, place / "porch.mp4")
    os.utime(place / "porch.mp4", (1_700_000_000, 1_700_000_000))
    sources.add(home.porch.pk, str(place))
    sources.scan(home.now)
    for row in sources.unknown_times():
        sources.answer_time(row.pk, home.world.start - 5000)
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    home.hub.calls.clear()
    return home


def levels(data, points):
    """The brightest value inside an upright rectangle, of every picture."""
    found = []
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            picture = frame.to_ndarray(format="gray")
            height, width = picture.shape
            (x1, y1), _, (x2, y2), _ = points
            inside = picture[int(y1 * height) + 8 : int(y2 * height) - 8, int(x1 * width) + 8 : int(x2 * width) - 8]
            found.append(int(inside.max()))
    return found


def shared(home, answer):
    assert go(home) == 1
    answer.refresh_from_db()
    opened, clips = open_response(home, answer.response_id)
    return verify_responder(Manifest, opened.manifest), clips["clip-01.mp4"]


@pytest.mark.claim("P20")
def test_areas_of_choosing_and_of_sealing_are_both_black(asked):
    early = masks.add(asked.porch.pk, "Window", SQUARE)
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    masks.remove(early.pk)
    masks.add(asked.porch.pk, "Street", STRIP)
    manifest, clip = shared(asked, answer)
    assert manifest.redactions == ("sound removed", "areas covered")
    assert manifest.clips[0].transcoded
    assert AnswerClip.objects.get().covered == 2
    assert max(levels(clip, SQUARE)) <= 24
    assert max(levels(clip, STRIP)) <= 24
    assert len(levels(clip, STRIP)) == 20


def test_without_areas_nothing_is_converted_or_claimed(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    manifest, clip = shared(asked, answer)
    assert manifest.redactions == ("sound removed",)
    assert max(levels(clip, SQUARE)) > 60


@pytest.mark.claim("P20")
def test_an_area_drawn_while_the_answer_waits_is_covered_too(asked):
    answer = answers.confirm(answers.draft(f"{1:032x}").pk)
    answer.not_before = asked.now + 900
    answer.save()
    delivery.seal_due(asked.now)
    answer.refresh_from_db()
    assert answer.state == "sealed"
    masks.add(asked.porch.pk, "Window", SQUARE)
    answer.refresh_from_db()
    assert answer.state == "queued"
    delivery.seal_due(asked.now)
    asked.at(asked.now + 1000)
    manifest, clip = shared(asked, answer)
    assert "areas covered" in manifest.redactions
    assert max(levels(clip, SQUARE)) <= 24


@pytest.mark.claim("P20")
@pytest.mark.parametrize("how", ["drawn", "drawn anew"])
def test_an_area_drawn_while_the_answer_is_being_sealed_is_covered_too(asked, monkeypatch, how):
    """Converting takes minutes; the owner's word in that time counts."""
    row = masks.add(asked.porch.pk, "Window", STRIP) if how == "drawn anew" else None
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    real = delivery.pass_to_spool

    def meanwhile(job, make, **more):
        result = real(job, make, **more)
        monkeypatch.setattr(delivery, "pass_to_spool", real)
        if row is None:
            masks.add(asked.porch.pk, "Window", SQUARE)
        else:
            masks.edit(row.pk, "Window", SQUARE)
        return result

    monkeypatch.setattr(delivery, "pass_to_spool", meanwhile)
    assert delivery.seal_due(asked.now) == 0
    answer.refresh_from_db()
    assert (answer.state, answer.spool) == ("queued", "")
    assert not list(delivery.sharing.spool_folder().iterdir())
    assert asked.hub.calls == []
    manifest, clip = shared(asked, answer)
    assert "areas covered" in manifest.redactions
    assert max(levels(clip, SQUARE)) <= 24


@pytest.mark.claim("P20")
@pytest.mark.parametrize("how", ["row", "paint", "silent"])
def test_where_covering_fails_nothing_is_sealed(asked, monkeypatch, how):
    row = masks.add(asked.porch.pk, "Window", SQUARE)
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    if how == "row":
        Mask.objects.filter(pk=row.pk).update(points=[[0, 0]])
    else:
        from fairwitness.kit.video import masks as areas
        from fairwitness.kit.video.spool import seal_response

        def paint(self, frame, turn):
            if how == "paint":
                raise ProtocolError("mask.format", "cannot")

        monkeypatch.setattr(areas.Painter, "paint", paint)
        monkeypatch.setattr(delivery, "pass_to_spool", lambda job, make, **_more: seal_response(job, make))
    assert delivery.seal_due(asked.now) == 0
    answer.refresh_from_db()
    assert (answer.state, answer.spool) == ("failed", "")
    assert answer.problem.startswith("mask.")
    assert delivery.upload_due(asked.now) == 0
    assert asked.hub.calls == []


def test_a_manifest_is_signed_only_for_what_was_covered(asked, monkeypatch):
    """A worker that forgot its areas gets no signature."""
    from dataclasses import replace

    masks.add(asked.porch.pk, "Window", SQUARE)
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    real = delivery.pass_to_spool
    monkeypatch.setattr(
        delivery,
        "pass_to_spool",
        lambda job, make, **_more: real(replace(job, cuts=tuple(replace(c, masks=()) for c in job.cuts)), make),
    )
    assert delivery.seal_due(asked.now) == 0
    answer.refresh_from_db()
    assert (answer.state, answer.problem) == ("failed", "mask.missed")


def test_the_owner_draws_names_and_removes(home):
    one = masks.add(home.porch.pk, " Window ", SQUARE)
    assert masks.view(one).name == "Window"
    with pytest.raises(Refused, match="name"):
        masks.add(home.porch.pk, "Window", STRIP)
    with pytest.raises(Refused, match="name"):
        masks.add(home.porch.pk, " ", STRIP)
    with pytest.raises(ProtocolError):
        masks.add(home.porch.pk, "Line", [[0, 0], [1, 1]])
    with pytest.raises(ProtocolError):
        masks.add(home.porch.pk, "Far", [[0, 0], [0, 2], [1, 1]])
    for number in range(15):
        masks.add(home.porch.pk, f"{number}", STRIP)
    with pytest.raises(Refused, match="16"):
        masks.add(home.porch.pk, "one more", STRIP)
    masks.edit(one.pk, "Window", STRIP)
    assert masks.listing(home.porch.pk)[0].points == STRIP
    masks.remove(one.pk)
    assert len(masks.listing(home.porch.pk)) == 15
    for call in (lambda: masks.remove(one.pk), lambda: masks.listing(999)):
        with pytest.raises(Refused):
            call()


def test_over_http(home):
    client = Client(headers={"Authorization": f"Bearer {access.owner_token()}", "host": "localhost"})
    place = f"/api/cameras/{home.porch.pk}/masks"
    made = client.post(place, json.dumps({"name": "Window", "points": SQUARE}), content_type="application/json")
    assert made.status_code == 200, made.content
    assert client.get(place).json() == [made.json()]
    row = made.json()["id"]
    bad = client.put(f"/api/masks/{row}", json.dumps({"name": "W", "points": [[0, 0]]}), content_type="application/json")
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "mask.points")
    assert client.put(
        f"/api/masks/{row}", json.dumps({"name": "W", "points": STRIP}), content_type="application/json"
    ).json()["points"] == STRIP  # fmt: skip
    assert client.delete(f"/api/masks/{row}").json() == {"ok": True}
    assert client.delete(f"/api/masks/{row}").status_code == 404
