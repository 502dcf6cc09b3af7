"""A resident answers a request on a phone, from the inbox to the receipt; another answers in words and takes it back."""

import re

import pytest


def step(page, name):
    page.locator("ol.steps li[aria-current=step]", has_text=name).wait_for()


def test_from_the_inbox_to_the_receipt_on_a_phone(town, story, resident):
    who = resident(0, phone=True)
    page = who.page
    who.go("/requests")
    assert page.locator("nav .count").inner_text().startswith("1")
    page.get_by_text("Only you know that.").wait_for()
    who.look("requests", spanish=True)

    page.locator(f'a.cover[href="/requests/{story.request_id}"]').click()
    page.locator("fw-map[data-ready]").wait_for()
    assert "recorded 2 clips then" in page.get_by_role("heading", name="What you have").locator("..").inner_text()
    page.locator(".pictures a").first.click()
    page.locator("fw-player[data-ready]").wait_for()
    who.look("request-clip", spanish=True)
    page.get_by_role("link", name=re.compile("^Request of")).click()
    page.get_by_text("Details to check").click()
    assert page.locator(".pictures img").first.evaluate("i => i.decode().then(() => i.naturalWidth)") > 0
    who.look("request", spanish=True)
    page.locator("fw-map[data-ready]").wait_for()
    assert not page.locator("nav .count").count(), "what was opened is not new any more"

    page.get_by_role("button", name="Look and answer").click()
    step(page, "Clips")
    clips = page.locator("li.clip")
    assert clips.count() == 2
    who.look("answer-clips", spanish=True)
    page.get_by_role("button", name="Trim clip 1").click()
    page.locator("fw-player[data-ready]").wait_for()
    begin = page.get_by_role("slider", name="Begin")
    begin.focus()
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    end = page.get_by_role("slider", name="End").first
    page.locator("fw-player").evaluate("node => node.scrollIntoView({block: 'center'})")
    box, bar = end.bounding_box(), page.locator(".player-bar").bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(bar["x"] + bar["width"] * 0.7, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert float(begin.get_attribute("aria-valuenow")) == pytest.approx(4, abs=0.1)
    assert float(end.get_attribute("aria-valuenow")) == pytest.approx(14, abs=0.5)
    who.look("answer-trim")
    page.get_by_role("button", name="Trim").click()
    page.get_by_text("What lies outside does not leave your home.").wait_for()
    page.get_by_text("A part of the recording").wait_for()
    page.get_by_role("button", name="Go on").click()

    step(page, "You")
    who.look("answer-who", spanish=True)
    page.get_by_label("With your name").check()
    page.get_by_label("Your name", exact=True).fill("Robin Example")
    who.expect_status(422)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("alert").get_by_text("Give a name and a contact").wait_for()
    assert page.get_by_label("Your name", exact=True).input_value() == "Robin Example"
    page.get_by_label("Without a name").check()
    page.get_by_role("button", name="Go on").click()

    step(page, "Words")
    who.look("answer-words", spanish=True)
    page.get_by_label("What you saw or heard").fill("The red car came past twice.")
    page.get_by_role("button", name="Go on").click()

    step(page, "Check and send")
    page.locator("fw-player[data-ready]").nth(1).wait_for(timeout=300_000)
    shown = page.locator("[id^=look-] details .code").all_text_contents()
    assert len(shown) == 2
    assert float(page.locator("fw-player video").first.evaluate("v => v.duration")) == pytest.approx(10, abs=0.6)
    who.look("answer-check", spanish=True)
    page.get_by_label("I have looked at it and agree.").check()
    page.get_by_label("Now", exact=False).last.check()
    page.get_by_role("button", name="Send").click()

    page.get_by_text("signed a receipt").wait_for(timeout=180_000)
    who.look("answer", spanish=True)
    page.get_by_role("link", name="Receipt").click()
    for sha256 in shown:
        page.get_by_text(sha256).wait_for()
    who.look("answer-receipt", spanish=True)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="As a file").click()
    assert re.fullmatch(r"fairwitness-receipt-\d+\.json", waiting.value.suggested_filename)
    who.go("/answers")
    who.look("answers", spanish=True)


def test_words_alone_are_sent_later_and_taken_back(story, resident):
    who = resident(1, phone=True)
    page = who.page
    who.go(f"/requests/{story.request_id}")
    page.get_by_role("button", name="Look and answer").click()
    page.get_by_role("button", name="No video, but I saw something").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("What you saw or heard").fill("Somebody ran towards the park.")
    page.get_by_role("button", name="Go on").click()
    page.get_by_text("No video goes with this answer.").wait_for()
    page.get_by_label("I have looked at it and agree.").check()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("button", name="Take it back").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_role("heading", name="Take this answer back?").wait_for()
    dialog.get_by_role("button", name="Take it back").click()
    page.get_by_text(re.compile("Cancelled|Taken back")).first.wait_for()
    who.look("answer-taken-back")


def test_put_away_and_quiet(story, resident):
    who = resident(2)
    page = who.page
    who.go(f"/requests/{story.request_id}")
    page.locator("fw-map[data-ready]").wait_for()
    page.get_by_text("None of these three sends anything.").wait_for()
    page.get_by_role("button", name="Put away").click()
    page.get_by_text("Nothing was sent, and nobody learns of it.").wait_for()
    page.get_by_role("heading", name="Nothing for you").wait_for()
    who.look("requests-empty", spanish=True)
