"""A household's first page, settings, people and export, in a browser on a phone and a desktop."""

import zipfile

from tests.browser.conftest import Node

ROOMS = {
    "start": "/",
    "settings": "/settings",
    "notify": "/settings/notify",
    "choices": "/settings/choices",
    "devices": "/settings/devices",
    "household": "/settings/household",
    "export": "/settings/export",
    "about": "/settings/about",
}


def test_an_owner_sees_and_sets_everything(resident, visitor, tmp_path):
    owner = resident(3, phone=True)
    page = owner.page
    assert page.url.rstrip("/") == owner.node.url, "pairing leads to the first page"
    page.get_by_role("heading", name="Your home").wait_for()
    for name, path in ROOMS.items():
        page.goto(owner.node.url + path)
        owner.look(f"home-{name}", spanish=True)
    page.get_by_role("button", name="Look it over").click()
    page.locator("#checks").wait_for()
    owner.look("home-examined")

    # A channel on the own network that nobody serves: said in words, and kept.
    page.goto(f"{owner.node.url}/settings/notify")
    page.get_by_label("Name").fill("Kitchen tablet")
    page.get_by_label("Address", exact=True).fill("ntfy://127.0.0.1:9/alerts")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("Kitchen tablet was added.").wait_for()
    owner.expect_status(502)
    page.get_by_role("button", name="Send a test to Kitchen tablet").click()
    page.get_by_role("alert").get_by_text("Nobody took the test message").wait_for()
    owner.look("home-notify-failed")
    page.get_by_role("button", name="Remove Kitchen tablet").click()

    # Somebody who may look at one camera, on a browser of their own.
    page.goto(f"{owner.node.url}/settings/household")
    page.get_by_label("Name").fill("Nina")
    page.get_by_role("radio", name="Viewer").check()
    page.locator("input[name=cameras]").first.check()
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("Nina was added.").wait_for()
    page.get_by_role("button", name="Make a code").click()
    code = page.locator("code.code").inner_text()
    owner.look("home-person-code")
    nina = visitor(Node("home", owner.node.url, {}), passkeys=False)
    nina.page.goto(f"{owner.node.url}/pair#{code}")
    nina.page.get_by_role("button", name="Pair", exact=True).click()
    nina.page.get_by_role("heading", name="Cameras").wait_for()
    page.locator("#pairing-state.good").wait_for()
    assert nina.page.get_by_role("link", name="Requests").count() == 0
    nina.look("home-start-viewer")
    nina.go("/settings")
    assert nina.page.get_by_role("link", name="Household").count() == 0

    page.goto(f"{owner.node.url}/settings/household")
    page.get_by_role("link", name="Nina").click()
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("Nina was removed.").wait_for()
    nina.page.reload()
    nina.page.wait_for_url("**/auth/sign-in**")

    page.goto(f"{owner.node.url}/settings/export")
    page.get_by_role("checkbox").check()
    with page.expect_download() as coming:
        page.get_by_role("button", name="Save the file").click()
    coming.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as whole:
        assert whole.testzip() is None
        assert "index.html" in whole.namelist()
        assert any(name.startswith("recordings/") and name.endswith(".mp4") for name in whole.namelist())


def test_a_keyboard_is_enough_to_choose_what_not_to_hear_of(resident):
    owner = resident(4)
    page = owner.page
    owner.go("/settings/choices")
    page.get_by_role("button", name="Hear of none", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_text("You hear of no request any more.").wait_for()
    owner.look("home-choices-off")
    page.get_by_role("button", name="Hear of requests again").focus()
    page.keyboard.press("Enter")
    page.get_by_text("You hear of requests again.").wait_for()
