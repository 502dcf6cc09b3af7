"""Blur proposes, the owner decides: boxes over the video by finger and by key, the same as a list, and what leaves."""

import re


def test_the_editor_on_a_desktop_and_a_phone(town, story, resident):
    who = resident(0)
    page = who.page
    who.go(f"/requests/{story.request_id}")
    page.get_by_role("button", name="Look and answer").click()
    page.get_by_role("button", name=re.compile("^Blur")).first.click()
    page.get_by_role("heading", name=re.compile("^What is covered")).wait_for()
    page.get_by_text("Looking for faces and number plates").wait_for(state="detached", timeout=240_000)
    page.locator("fw-player[data-ready]").wait_for(timeout=120_000)

    # A box of one's own, drawn with the mouse; it is followed where that can be, else its owner is told.
    who.expect_status(409)
    page.get_by_role("button", name="Add a box", exact=True).click()
    film = page.locator(".blur-over.drawing").bounding_box()
    page.mouse.move(film["x"] + film["width"] * 0.2, film["y"] + film["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(film["x"] + film["width"] * 0.5, film["y"] + film["height"] * 0.6, steps=5)
    page.mouse.up()
    row = page.locator("[data-region]", has_text="Box 1")
    row.get_by_text("covered 0:00").wait_for(timeout=120_000)
    box = page.get_by_role("button", name=re.compile("^Box 1: covered"))
    box.wait_for()

    # A tap leaves it visible, another covers it again: by the mouse and by the keyboard.
    box.click()
    row.get_by_text("stays visible").wait_for()
    page.get_by_role("button", name=re.compile("^Box 1: stays visible")).focus()
    page.keyboard.press("Enter")
    row.get_by_text("covered 0:00").wait_for()

    # Moved by the arrow keys; the list says where it is.
    place = float(row.get_by_label("Left, %").input_value())
    box.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "was => Number(document.querySelector('[data-region] input[name=x]')?.value) > was + 2", arg=place, timeout=60_000
    )
    who.look("blur", spanish=True)

    # The list alone does the same.
    row = page.locator("[data-region]").filter(has_text=re.compile("Box 1|Recuadro 1"))
    row.locator("summary").click()
    row.locator("input[name=begin]").fill("0")
    row.locator("input[name=end]").fill("4")
    row.locator("button[value=span]").click()
    page.locator("[data-region]").filter(has_text=re.compile("0:00.0:04")).first.wait_for()

    page.locator("a[href='?leaves=1']").click()
    page.locator("fw-player[data-ready]").wait_for(timeout=240_000)
    who.look("blur-leaves")
