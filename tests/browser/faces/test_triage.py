"""An answer from a home reaches the officer's desk: opened, stepped through, accepted, written about, exported, and verified."""

import zipfile

import pytest
from fairwitness_core.verify.bag import verify_bag
from fairwitness_core.verify.cli import FolderFiles
from fairwitness_core.verify.trust import TrustPolicy

from fairwitness.demo.play import PURPOSE, Story

pytestmark = [pytest.mark.slow, pytest.mark.network]

STATEMENT = "The red car came past twice, the second time faster."
LOGGED = 60_000  # milliseconds that the town's ledger is given


POST = """async ([url, form]) => {
    const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
    return (await fetch(url, {method: "POST", headers: {"X-CSRFToken": token}, body: new URLSearchParams(form)})).status;
}"""


def asked(town, page):
    """Publish a request and have the owner before `page` answer it with their name; return its id once it is collected."""
    story = Story(town)
    story._ask()
    story._match()
    owner = town.owners[town.town.residents[0].name]
    answer = owner.post(f"/api/requests/{story.request_id}/answer")["id"]
    owner.ask(
        "PATCH",
        f"/api/answers/{answer}",
        {"mode": "identified", "statement": STATEMENT, "name": "Robin Example", "contact": "robin@home.invalid"},
    )
    blur = f"/answers/{answer}/clips/1/blur"
    page.goto(town.home_urls[town.town.residents[0].name] + blur)
    assert page.evaluate(POST, [blur, {"act": "off"}]) < 400  # the search for faces has tests of its own, and takes long
    owner.post(f"/api/answers/{answer}/confirm", {"terms_sha256": owner.get("/api/terms")["sha256"], "at_once": True})
    town.until("the hub has promised it", lambda: owner.get(f"/api/answers/{answer}/receipt")["promise"], seconds=300)
    wanted = next(one for one in owner.get("/api/answers") if one["id"] == answer)["response_id"]
    town.until("the answer is collected", lambda: any(one["id"] == wanted for one in story._responses()))
    return story.request_id


def test_from_the_queue_to_a_bag(town, staff, resident, tmp_path):
    request = asked(town, resident(0).page)
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
    tess.look("export-new", spanish=True)
    page.get_by_label("Court", exact=True).check()
    page.get_by_label("Name of the receiver").fill("County court clerk")
    page.get_by_label("What for").fill("Disclosure of the video of the stolen red car for trial")
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
