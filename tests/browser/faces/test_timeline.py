"""A resident looks through a camera's day, watches it, covers a part of its picture, and deletes with a receipt."""

import pytest

from fairwitness.demo.footage import make_clip
from tests.harness.rtsp import RtspCamera


@pytest.fixture
def camera(town, tmp_path):
    """A camera on the network that the last home records, beside the one whose files it has in a folder."""
    film = make_clip(tmp_path / "film.mp4", seed=7, seconds=12, start=1_780_000_000, width=320, height=180, fps=10)
    found = RtspCamera(film, tmp_path / "camera")
    found.start()
    owner = town.owners[town.town.residents[4].name]
    made = owner.post("/api/cameras", {"name": "Gate", "lat": 41.0, "lon": -87.0})
    row = owner.post("/api/recorders/rtsp", {"camera": made["id"], "address": found.address})
    yield made["id"]
    owner.ask("DELETE", f"/api/recorders/{row['id']}?erase=true")
    found.stop()


def go(one, path):
    """Open a page without waiting for what is decoded for it: on a busy machine that takes its time."""
    one.page.set_default_timeout(60_000)
    one.page.goto(one.node.at(path), wait_until="domcontentloaded")


def test_a_day_is_looked_through_played_covered_and_deleted(town, resident):
    one = resident(0)
    page = one.page
    one.expect_status(503)  # a picture that a busy machine makes later is asked for again
    go(one, "/cameras/1")
    page.locator("fw-player[data-ready]").wait_for()
    one.look("timeline", spanish=True)

    # By keyboard alone: the band, to a moment, and from there on.
    band = page.get_by_role("slider", name="Time in the day")
    page.get_by_role("link", name="20 min").click()
    page.locator("fw-player[data-ready]").wait_for()
    band.focus()
    page.keyboard.press("Home")
    begin = int(band.get_attribute("aria-valuenow"))
    page.keyboard.press("ArrowRight")
    assert int(band.get_attribute("aria-valuenow")) > begin
    with page.expect_response(lambda answer: "/play?t=" in answer.url):
        page.keyboard.press("Enter")
    page.wait_for_function("() => { const v = document.querySelector('video'); return v.currentTime > 0.3 }")
    one.look("timeline-zoomed")

    # A download has a name that says camera and time.
    with page.expect_download() as taken:
        page.get_by_role("link", name="Download this recording").click()
    assert "_20" in taken.value.suggested_filename

    go(one, "/cameras/1/masks")
    stage = page.locator(".masks-stage")
    page.locator("#masks-still").evaluate("image => image.decode()")
    box = stage.bounding_box()
    for x, y in ((0.6, 0.1), (0.9, 0.1), (0.9, 0.4)):
        page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
    page.get_by_role("button", name="Corner 3").press("ArrowLeft")
    page.get_by_role("button", name="Corner 2").press("Delete")
    assert page.get_by_role("button", name="Corner 3").count() == 0
    page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.1)
    page.wait_for_function("() => document.querySelector('#masks-shown').src.startsWith('data:')")
    one.look("masks")
    page.get_by_label("What it is").fill("The neighbour's gate")
    page.get_by_role("button", name="Save this area").click()
    page.get_by_text("is saved. It is black in everything you share").wait_for()
    one.look("masks-saved", spanish=True)

    go(one, "/cameras/1")
    page.get_by_role("link", name="Delete").first.click()
    one.look("timeline-delete", spanish=True)
    page.get_by_role("link", name="Keep everything").click()
    page.wait_for_url(lambda url: "/cameras/1" in url)
    go(one, "/recordings/deleted")
    one.look("timeline-deleted", spanish=True)


def test_a_phone_watches_a_camera_live_and_it_stops_with_the_page(town, resident, camera):
    one = resident(4, phone=True)
    page = one.page
    home = town.home(town.town.residents[4])
    parts = home / "data" if (home / "data").exists() else home
    go(one, f"/cameras/{camera}/live")
    page.get_by_text("s behind").wait_for(timeout=70_000)
    page.wait_for_function("() => { const v = document.querySelector('video'); return !v.hidden && v.currentTime > 2 }")
    one.look("live")
    runs = list(parts.rglob(f"cache/live/{camera}/run-*"))
    assert len(runs) == 1
    go(one, "/cameras")
    for _ in range(150):
        if not runs[0].exists():
            break
        page.wait_for_timeout(200)
    assert not runs[0].exists()
