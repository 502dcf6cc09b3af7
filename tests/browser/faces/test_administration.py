"""Start pages, cases and the administration of an agency; and a case, a request and its approval by keyboard alone."""

from datetime import datetime, timedelta

import pytest

from tests.browser.faces.test_asking import NOW, WORDS, local
from tests.browser.test_people import tab_to

DATES = ("From", "To")

pytestmark = [pytest.mark.slow, pytest.mark.network]


def test_people_retention_and_the_record(town, staff):
    alex = staff("alex", then="/admin")
    page = alex.page
    alex.look("admin", spanish=True)
    page.get_by_label("Username").fill("kim")
    page.get_by_label("Name to show").fill("Kim Lee")
    page.get_by_label("Training").fill("Policy course, 2 November 2026")
    page.get_by_role("button", name="Add and make a one-time code").click()
    page.get_by_text("One-time code for Kim Lee").wait_for()
    alex.look("admin-code")
    page.get_by_role("link", name="Kim Lee").click()
    alex.look("admin-person", spanish=True)
    page.get_by_role("button", name="Freeze this person").click()
    page.get_by_text("Frozen, in every session, as of now.").wait_for()
    page.goto(town.agency_url + "/admin/retention")
    alex.look("admin-retention-empty", spanish=True)
    page.get_by_label("Name").fill("Property")
    page.get_by_label("Days").fill("400")
    page.get_by_label("Offences").select_option(["nibrs:240", "nibrs:23H"])
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Nothing was destroyed by it.").wait_for()
    alex.look("admin-retention")
    page.goto(town.agency_url + "/admin/record")
    page.locator("td", has_text="account.frozen").first.wait_for()
    alex.look("admin-record", spanish=True)
    with page.expect_download() as got:
        page.get_by_role("link", name="CSV").click()
    assert got.value.path().read_text().startswith("at,actor,action,subject,case,words")
    page.goto(town.agency_url + "/admin")
    page.get_by_role("button", name="Freeze the agency…").click()
    alex.look("admin-freeze")
    page.get_by_role("button", name="Cancel").click()


def test_start_cases_and_review(staff):
    ana = staff("ana", then="/")
    ana.page.locator("fw-map[data-ready]").wait_for()
    ana.look("start", spanish=True)
    ana.go("/cases")
    ana.look("cases", spanish=True)
    ana.go("/cases/new")
    ana.look("case-new", spanish=True)
    ana.page.get_by_label("Case number").fill("26-008801")
    ana.page.get_by_label("Offence").fill("220 burglary")
    ana.page.get_by_label("Title").fill("Back door forced on Elm Way")
    ana.page.get_by_role("button", name="Open the case").click()
    ana.page.get_by_label("A new note").fill("The neighbour opposite has a camera over the garage.")
    ana.page.get_by_role("button", name="Write it down").click()
    ana.page.get_by_text("opened the case").wait_for()
    ana.look("case", spanish=True)
    sam = staff("sam", then="/review")
    sam.look("review", spanish=True)


def test_a_case_a_request_and_its_approval_by_keyboard_alone(town, staff):
    ana = staff("ana", then="/cases/new")
    page, keys = ana.page, ana.page.keyboard
    tab_to(ana, "Case number")
    keys.type("26-009901")
    tab_to(ana, "Offence")
    keys.type("240 motor vehicle theft")
    tab_to(ana, "Title")
    keys.type("Van taken")
    keys.press("Enter")
    page.get_by_role("heading", name="Van taken").wait_for()
    tab_to(ana, "Ask the neighbourhood")
    keys.press("Enter")
    page.locator("fw-map[data-ready]").wait_for()
    tab_to(ana, "Draw the area")
    keys.press("Enter")
    page.locator("#area-facts", has_text="7 cells").wait_for()
    now = datetime.fromisoformat(page.evaluate(NOW))
    for name, back in (("From", 60), ("To", 20)):
        tab_to(ana, name, parts=DATES)
        # A date field is typed part by part; its own script takes the rest.
        page.evaluate(
            """text => { const at = document.activeElement; at.value = text
                         at.dispatchEvent(new Event("input", { bubbles: true })) }""",
            local(now - timedelta(minutes=back)),
        )
    tab_to(ana, "What happened", parts=DATES)
    keys.type(WORDS)
    tab_to(ana, "Whom to ask")
    keys.type("Property desk, 510 555 0100")
    page.get_by_text("Every rule that can be checked here is kept").wait_for()
    tab_to(ana, "Submit for approval", most=90)
    keys.press("Enter")
    page.get_by_text("Waits for a second officer", exact=True).wait_for()
    made = page.url.rsplit("/", 1)[1]

    sam = staff("sam", then=f"/requests/{made}")
    sam.page.get_by_text("Checked again just now").wait_for()
    tab_to(sam, "Approve and sign", most=90)
    sam.page.keyboard.press("Enter")
    sam.page.get_by_text("With the hub's moderator").wait_for()
    town.until(
        "it waits for the moderator",
        lambda: any(one["id"] == made for one in town.people["mina"].get("/api/requests")["requests"]),
    )
    mina = staff("mina", then=f"/desk/requests/{made}")
    for words in ("It says what", "Area and time", "It points at", "It names no", "It neither", "It serves no"):
        tab_to(mina, words)
        mina.page.keyboard.press("Space")
    tab_to(mina, "Approve")
    mina.page.keyboard.press("Enter")
    mina.page.get_by_text("It goes out with the next tick.").wait_for()
