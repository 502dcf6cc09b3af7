"""A resident on a phone with a keyboard alone: from the inbox through every step to the receipt, and back out again."""

import re
from dataclasses import dataclass

import pytest

from fairwitness.demo.processes import command
from tests.browser.conftest import Node, Visitor

NO_POINTER = """
for (const kind of ['pointerdown', 'mousedown', 'touchstart'])
  addEventListener(kind, () => console.error('a pointer was used'), true)
"""
FOCUS = """() => {
  const at = document.activeElement
  if (!at || at === document.body || at === document.documentElement) return null
  const shown = node => {
    const style = getComputedStyle(node)
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && !/, 0\\)$/.test(style.outlineColor)
  }
  let outlined = false
  for (let node = at; node && node !== document.body; node = node.parentElement) outlined ||= shown(node)
  const box = at.getBoundingClientRect()
  const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth
  const corners = [[.5, .5], [.1, .2], [.9, .2], [.1, .8], [.9, .8]]
  const points = corners.map(([x, y]) => [box.left + box.width * x, box.top + box.height * y])
  const seen = points.some(([x, y]) => {
    const hit = document.elementFromPoint(x, y)
    return hit && (at.contains(hit) || hit.contains(at) || hit.closest('label')?.contains(at))
  })
  const fixed = node => node && (['fixed', 'sticky'].includes(getComputedStyle(node).position) || fixed(node.parentElement))
  const earlier = window.lastFocus && window.lastFocus.isConnected ? window.lastFocus : null
  const backwards = !!earlier && !!(earlier.compareDocumentPosition(at) & Node.DOCUMENT_POSITION_PRECEDING)
  window.lastFocus = at
  const label = at.getAttribute('aria-label') || [...(at.labels ?? [])].map(one => one.textContent).join(' ') || at.textContent
  return {
    tag: at.tagName.toLowerCase(), role: at.getAttribute('role') ?? '', type: at.getAttribute('type') ?? '',
    name: (label ?? '').replace(/\\s+/g, ' ').trim(), html: at.outerHTML.slice(0, 160),
    outlined, inside, seen, backwards, tabindex: at.tabIndex, top: box.top + scrollY, floating: !!fixed(at),
    main: !!at.closest('main'), checked: at.checked ?? null, dialog: at.closest('dialog')?.id ?? '',
  }
}"""


@dataclass
class Keys:
    """Somebody who has nothing but keys. Each stop of theirs must be seen, and come after the one before."""

    who: Visitor

    def press(self, *keys: str) -> None:
        for key in keys:
            self.who.page.keyboard.press(key)

    def here(self) -> dict | None:
        return self.who.page.evaluate(FOCUS)

    def to(self, name: str, tag: str = "", *, back: bool = False, most: int = 90) -> dict:
        """Press Tab until what has the focus is called `name` (a pattern)."""
        page, top, where = self.who.page, 0.0, []
        page.evaluate("window.lastFocus = null")
        for _ in range(most):
            self.press("Shift+Tab" if back else "Tab")
            stop = self.here()
            if stop is None:
                where.append("(the page's end)")
                page.evaluate("window.lastFocus = null")
                top = 0.0
                continue
            where.append(f"{stop['tag']} {stop['name'][:40]!r}")
            said = f"{page.url}: {stop['html']}"
            assert stop["outlined"], f"the focus is not seen on {said}"
            assert stop["inside"], f"the focus is off the screen on {said}"
            assert stop["seen"], f"what has the focus is covered on {said}"
            assert stop["tabindex"] == 0, f"a place of its own in the order of {said}"
            assert stop["name"], f"nothing says what this is: {said}"
            if not back:
                assert not stop["backwards"], f"the order goes back at {said}"
                if stop["main"] and not stop["floating"] and not stop["dialog"]:
                    # Beside each other, the taller begins above; never by more than a picture.
                    assert stop["top"] >= top - 120, f"the focus jumps up the page at {said}"
                    top = max(top, stop["top"])
            if re.search(name, stop["name"]) and tag in ("", stop["tag"], stop["role"], stop["type"]):
                return stop
        raise AssertionError(f"no Tab leads to {name!r} on {page.url}: {where}")

    def enter(self, name: str, tag: str = "", *, then: str = "") -> None:
        """Go to `name` and press Enter; `then` is a pattern of the address that this leads to."""
        self.to(name, tag)
        if not then:
            return self.press("Enter")
        with self.who.page.expect_navigation(url=re.compile(then), timeout=60_000):
            self.press("Enter")
        return None

    def checked(self) -> bool:
        return bool(self.here()["checked"])


@pytest.fixture
def keys(town, visitor):
    """A resident whose phone, with a keyboard, is paired by it with the home."""
    one = town.town.residents[0]
    who = visitor(Node("home", town.home_urls[one.name], {}), passkeys=False, phone=True)
    who.page.add_init_script(NO_POINTER)
    address = re.search(r"http\S+/pair#\S+", command("home", "pair", town.home(one)))[0]
    who.page.goto(address)
    found = Keys(who)
    found.to("^Pair$", "button")
    found.press("Enter")
    who.page.wait_for_url(lambda url: "/pair" not in url)
    return found


def test_keys_alone_lead_from_the_inbox_to_the_receipt_and_back_out(town, story, keys):
    who, page = keys.who, keys.who.page
    # One picture is made at a time: a cover that is asked for meanwhile is told so.
    who.expect_status(503)
    page.get_by_role("heading", name="Your home").wait_for()

    # The skip link comes first, and leads past the head of the page.
    keys.press("Tab")
    assert keys.here()["name"] == "Skip to the content"
    keys.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.reload()
    keys.enter("^Requests", "a", then="/requests$")

    # What renews itself every minute leaves the focus where it was.
    keys.to("ask for video$", "a")
    before = page.evaluate("document.activeElement.href")
    with page.expect_response(lambda answer: answer.url.endswith("/requests"), timeout=90_000):
        pass
    page.wait_for_timeout(700)
    assert page.evaluate("document.activeElement.href ?? ''") == before, "a page that renews itself lost the focus"
    with page.expect_navigation(url=re.compile(story.request_id)):
        keys.press("Enter")

    page.locator("fw-map[data-ready]").wait_for()
    keys.enter("Look and answer", "button", then="/answers/[0-9]+/clips")

    # Two clips: the second stays at home. Sound is kept, then not.
    boxes = page.locator("input[name=clip]")
    assert boxes.count() == 2
    keys.to("", "checkbox")
    assert keys.checked()
    keys.to("Keep the sound", "checkbox")
    assert not keys.checked()
    keys.press("Space")
    assert keys.checked()
    keys.enter("Trim clip 1", "button", then="/trim")
    page.locator("fw-player[data-ready]").wait_for()
    begin, end = page.get_by_role("slider", name="Begin"), page.get_by_role("slider", name="End").first
    keys.to("^Begin", "slider")
    keys.press(*["Shift+ArrowRight"] * 4, "ArrowRight", "ArrowLeft")
    keys.to("^End", "slider")
    keys.press(*["Shift+ArrowLeft"] * 5)
    assert float(begin.get_attribute("aria-valuenow")) == pytest.approx(4, abs=0.1)
    assert float(end.get_attribute("aria-valuenow")) == pytest.approx(15, abs=0.5)
    keys.enter("^Trim$", "button", then="/clips$")
    page.get_by_text("A part of the recording").wait_for()
    keys.to("Keep the sound", "checkbox")
    assert keys.checked(), "what was ticked before the trim still is"
    keys.press("Space")
    keys.to("Trim clip 1")
    keys.to("", "checkbox")
    assert keys.checked()
    keys.press("Space")
    assert [boxes.nth(n).is_checked() for n in range(2)] == [True, False]
    keys.enter("^Go on", "button", then="/who$")

    # With the name: the arrows choose, the fields follow.
    keys.to("Without a name", "radio")
    keys.press("ArrowDown")
    assert keys.here()["name"].startswith("With your name")
    assert keys.checked()
    keys.to("^Your name", "input")
    page.keyboard.type("Robin Example")
    keys.to("^How they reach you", "input")
    page.keyboard.type("robin@example.org")
    keys.enter("^Go on", "button", then="/words$")

    keys.to("What you saw or heard", "textarea")
    page.keyboard.type("The red car came past twice.")
    keys.enter("^Go on", "button", then="/check$")

    # The preview is looked at, and nothing but the one cut clip is in it.
    page.locator("fw-player[data-ready]").wait_for(timeout=300_000)
    page.get_by_label("I have looked at it and agree.").wait_for(timeout=300_000)
    assert page.locator("fw-player").count() == 1
    page.get_by_text("no sound").wait_for()
    video = page.locator("fw-player video")
    assert float(video.evaluate("v => v.duration")) == pytest.approx(11, abs=0.7)
    keys.to("", "group")
    keys.press("Space")
    page.wait_for_function("() => document.querySelector('fw-player video').currentTime > 0.2")
    keys.press("Space")
    assert video.evaluate("v => v.paused")
    keys.enter("^Fingerprint of this file", "summary")
    shown = page.locator("[id^=look-] details .code").inner_text()
    assert re.fullmatch("[0-9a-f]{64}", shown)
    keys.to("I have looked at it and agree", "checkbox")
    keys.press("Space")
    keys.to("After a random wait", "radio")
    keys.press("ArrowDown")
    assert keys.here()["name"].startswith("Now")
    keys.enter("^Send$", "button", then="/answers/[0-9]+$")

    page.get_by_text("signed a receipt").wait_for(timeout=180_000)
    who.look("keys-answer")
    keys.enter("^Receipt$", "a", then="/receipt$")
    page.get_by_text(shown).wait_for()
    keys.to("^As a file", "a")
    with page.expect_download():
        keys.press("Enter")
    page.reload()
    keys.enter("^Your answer$", "a", then="/answers/[0-9]+$")

    # Taken back: the dialog takes the focus and keeps it, Escape changes nothing and gives it back.
    keys.enter("^Take it back$", "button")
    dialog = page.locator("dialog[open]")
    dialog.get_by_role("heading", name="Take this answer back?").wait_for()
    assert keys.here()["dialog"] == "withdraw"
    keys.press("Escape")
    assert not dialog.count()
    assert keys.here()["name"] == "Take it back"
    keys.press("Enter")
    dialog.wait_for()
    keys.to("^Take it back$", "button", most=3)
    assert keys.here()["dialog"] == "withdraw"
    keys.press("Enter")
    page.get_by_text(re.compile("Cancelled|Taken back")).first.wait_for(timeout=60_000)
