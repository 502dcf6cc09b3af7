"""An answer from a home reaches the officer's desk: opened, stepped through, accepted, written about, exported, and verified."""

import zipfile

import pytest
from fairwitness_core.verify.bag import verify_bag
from fairwitness_core.verify.cli import FolderFiles
from fairwitness_core.verify.trust import TrustPolicy

from fairwitness.demo.play import PURPOSE, Story

pytestmark = [pytest.mark.slow, pytest.mark.network]

LOGGED = 60_000  # milliseconds that the town's ledger is given


def asked(town):
    """Publish a request and have one owner answer it with their name; return (request, response) once it is collected."""
    story = Story(town)
    story._ask()
    story._match()
    resident = next(one for one in town.town.residents if one.part == "shares")
    story._answer(resident, mode="identified", statement="The red car came past twice, the second time faster.")
    wanted = story._answers["shares"]["response_id"]
    town.until("the answer is collected", lambda: any(one["id"] == wanted for one in story._responses()))
    return story.request_id, wanted


def test_from_the_queue_to_a_bag(town, staff, tmp_path):
    request, response = asked(town)
    ana = staff("ana", f"/requests/{request}/responses")
    page = ana.page
    page.get_by_text("The beat is the same whether there are any or not.").wait_for()
    ana.look("triage-queue", spanish=True)
    page.get_by_role("link", name="Answer 1").click()
    ana.look("triage-closed")
    page.get_by_label("Purpose").first.fill(PURPOSE)
    page.get_by_role("button", name="Log it and open").click()
    page.get_by_role("heading", name="What its owner says").wait_for(timeout=LOGGED)  # the page of the log went on by itself
    player = page.locator("fw-player").first
    page.locator("fw-player[data-ready]").first.wait_for(timeout=LOGGED)
    video = player.locator("video")
    before = video.evaluate("one => one.currentTime")
    player.get_by_role("button", name="One picture on").click()
    player.focus()
    page.keyboard.press(".")
    page.wait_for_function("([one, at]) => one.currentTime > at", arg=[video.element_handle(), before])
    player.get_by_label("Speed").select_option("0.25")
    assert video.evaluate("one => one.playbackRate") == 0.25
    assert player.locator("img.strip").get_attribute("src").startswith("data:image/jpeg")
    ana.look("triage-open", spanish=True)
    page.get_by_role("button", name="Accept", exact=True).click()
    page.get_by_text("Accepted. Its owner is told").wait_for(timeout=LOGGED)
    page.get_by_role("link", name="Work with it as evidence").click()
    page.locator("fw-player[data-ready]").first.wait_for(timeout=LOGGED)
    page.locator("fw-player").first.get_by_role("button", name="One picture on").click()
    page.get_by_label("Your words").first.fill("The car turns left here")
    page.get_by_role("button", name="Set a marker").first.click()
    page.get_by_text("Written down.").wait_for()
    page.get_by_text("The car turns left here").wait_for()
    ana.look("evidence-item", spanish=True)
    with page.expect_download() as got:
        page.get_by_role("button", name="Report (PDF)").click()
    assert got.value.path().read_bytes()[:5] == b"%PDF-"
    page.goto(town.agency_url + "/evidence")
    ana.look("evidence-grid", spanish=True)

    tess = staff("tess", f"/requests/{request}/export")
    page = tess.page
    page.get_by_label("Court", exact=True).check()
    page.get_by_label("Name of the receiver").fill("County court clerk")
    page.get_by_label("What for").fill("Disclosure of the video of the stolen red car for trial")
    tess.look("export-new", spanish=True)
    page.get_by_role("button", name="Log it and make the bag").click()
    page.get_by_text("The bag is ready to download.").wait_for(timeout=2 * LOGGED)
    tess.look("exports", spanish=True)
    with page.expect_download() as got:
        page.get_by_role("button", name="Download the bag").first.click()
    with zipfile.ZipFile(got.value.path()) as archive:
        archive.extractall(tmp_path)
    [root] = tmp_path.iterdir()
    trust = TrustPolicy.read((town.agency / "join.json").read_bytes())
    assert verify_bag(FolderFiles(root), trust).ok
    for place in ("holds", "quarantine"):
        page.goto(f"{town.agency_url}/{place}")
        tess.look(f"evidence-{place}", spanish=True)
    assert response
