"""Covered areas: drawn or typed, saved by the same service as the API, and seen as a share would show them."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fairwitness.home.models import Mask, Source
from fairwitness.home.services import cameras, masks, previews
from fairwitness.kit.video.make import write_recording
from tests.permissions.cases import signed_in
from tests.unit.home.pages.test_timeline import add, text

SQUARE = {"x": ["0", "50", "50", "0"], "y": ["0", "0", "50", "50"]}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    place = tmp_path_factory.mktemp("footage")
    pictures = (np.full((90, 160, 3), 200, np.uint8) for _ in range(20))
    write_recording(place / "h264.mp4", pictures, fps=10, options={"preset": "ultrafast", "g": "10"})
    return place


@pytest.fixture
def porch(home, tmp_path, footage):
    home.folder = tmp_path / "cam"
    home.folder.mkdir()
    home.source = Source.objects.create(camera=home.porch, folder=str(home.folder))
    add(home, footage, "a", home.now - 100)
    _, home.owner = signed_in("owner", name="owner2")
    home.owner.defaults["HTTP_ACCEPT"] = "text/html"
    home.page = f"/cameras/{home.porch.pk}/masks"
    yield home
    shutil.rmtree(previews._cache(), ignore_errors=True)


def levels(jpeg):
    picture = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"))
    height, width = picture.shape
    return int(picture[: height // 2 - 6, : width // 2 - 6].max()), int(picture[height // 2 + 6 :, width // 2 + 6 :].min())


def test_an_area_is_typed_changed_and_removed_without_a_script(porch):
    page = text(porch.owner.get(porch.page))
    assert "Covered areas always apply when you share" in page
    saved = porch.owner.post(porch.page, {"name": "Window", **SQUARE}, follow=True)
    assert "is saved. It is black in everything you share" in saved.content.decode()
    row = Mask.objects.get()
    assert row.points == [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]
    assert 'value="50.0"' in text(porch.owner.get(f"{porch.page}?area={row.pk}"))
    porch.owner.post(porch.page, {"mask": row.pk, "name": "Garden", "x": ["10,5", "50", "50"], "y": ["0", "0", "50"]})
    row.refresh_from_db()
    assert (row.name, row.points[0]) == ("Garden", [0.105, 0])
    porch.owner.post(porch.page, {"mask": row.pk, "act": "remove"})
    assert not Mask.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"x": ["0", "50"], "y": ["0", "0"]}, "at least three corners"),
        ({"x": ["0", "50", "120"], "y": ["0", "0", "50"]}, "two numbers from 0 to 100"),
        ({"x": ["0", "50", "nan"], "y": ["0", "0", "50"]}, "two numbers from 0 to 100"),
        ({"x": ["0", "50", ""], "y": ["0", "0", "50"]}, "two numbers from 0 to 100"),
        ({"x": ["0", "50", "100"], "y": ["0", "50", "100"]}, "lie on one line"),
        (SQUARE | {"name": " "}, "Give the area a name"),
    ],
)
def test_a_wrong_area_is_refused_and_what_was_typed_stays(porch, fields, words):
    answer = porch.owner.post(porch.page, {"name": "Window", **fields})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert 'value="50.0"' in page
    assert not Mask.objects.exists()


def test_anothers_area_is_not_changed_through_this_camera(porch):
    other = cameras.add("Garden")
    row = masks.add(other.pk, "Window", [[0, 0], [0.5, 0], [0.5, 0.5]])
    answer = porch.owner.post(porch.page, {"mask": row.pk, "act": "remove"})
    assert answer.status_code == 422
    assert Mask.objects.filter(pk=row.pk).exists()
    assert 'value="Window"' not in text(porch.owner.get(f"{porch.page}?area={row.pk}"))


def test_the_preview_is_painted_as_a_share_is(porch):
    assert levels(porch.owner.get(f"{porch.page}/picture").content)[0] > 150
    square = [[[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]]
    drawn = porch.owner.post(f"{porch.page}/preview", {"areas": json.dumps(square)}, headers={"accept": "application/json"})
    inside, outside = levels(base64.b64decode(drawn.json()["jpeg"]))
    assert inside < 40
    assert outside > 150
    row = masks.add(porch.porch.pk, "Window", square[0])
    assert levels(porch.owner.get(f"{porch.page}/picture").content)[0] < 40
    # While it is drawn anew, its old form is not shown beside the new one.
    corner = [[[0.9, 0.9], [1, 0.9], [1, 1]]]
    moved = porch.owner.post(f"{porch.page}/preview", {"areas": json.dumps(corner), "mask": row.pk})
    assert levels(moved.content)[0] > 150
    for wrong in ("x", "{}", "[[[2,2],[0,0],[1,1]]]", "[1]", '[["a"]]'):
        answer = porch.owner.post(f"{porch.page}/preview", {"areas": wrong}, headers={"accept": "application/json"})
        assert answer.status_code == 422, wrong


def test_a_camera_without_a_picture_can_still_be_covered(porch):
    other = cameras.add("Garden")
    page = text(porch.owner.get(f"/cameras/{other.pk}/masks"))
    assert "No picture yet" in page
    assert porch.owner.post(f"/cameras/{other.pk}/masks", {"name": "Window", **SQUARE}).status_code == 302
    assert other.masks.count() == 1
