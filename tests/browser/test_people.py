"""An administrator looks after people, with the keyboard alone; and what every page has in common."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.network]

STOP = """() => {
  const at = document.activeElement
  const style = getComputedStyle(at)
  const box = at.getBoundingClientRect()
  return {
    name: (at.getAttribute('aria-label') || at.innerText || at.labels?.[0]?.innerText || '').trim(),
    ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.height > 0 && box.top < innerHeight && box.bottom > 0,
  }
}"""


def tab_to(person, name: str, *, most: int = 60, parts: tuple[str, ...] = ()) -> None:
    """Press Tab until what has the focus bears `name`; every stop on the way must be seen and ringed.

    `parts`: fields whose focus lies in parts that the browser itself draws, such as those of a date.
    """
    for _ in range(most):
        person.page.keyboard.press("Tab")
        stop = person.page.evaluate(STOP)
        if not stop["name"]:
            continue  # the browser's own frame, at the end of the page
        assert stop["ring"] or stop["name"] in parts, f"nothing shows that {stop['name']!r} has the focus"
        assert stop["seen"], f"{stop['name']!r} has the focus out of sight"
        if stop["name"].startswith(name):
            return
    raise AssertionError(f"Tab never reached {name!r}")


def test_an_administrator_does_everything_with_the_keyboard_alone(visitor):
    person = visitor("agency")
    person.expect_status(409)
    page, keys = person.page, person.page.keyboard
    person.go("/auth/sign-in")
    tab_to(person, "Skip to the content")
    keys.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    tab_to(person, "First time here?")
    keys.press("Enter")
    page.wait_for_url("**/auth/enrol")
    tab_to(person, "One-time code")
    keys.type(person.node.codes["okafor"])
    keys.press("Enter")
    page.wait_for_url("**/auth/enrol/passkey")
    tab_to(person, "Add the passkey")
    keys.press("Space")
    page.get_by_text("Your passkey is stored").wait_for()
    tab_to(person, "Sign in with a passkey")
    keys.press("Enter")
    page.get_by_role("heading", name="Good to see you, Sam Okafor").wait_for()
    person.look("start")
    tab_to(person, "Sam Okafor")
    keys.press("Enter")
    page.get_by_role("heading", name="Your account").wait_for()
    tab_to(person, "People")
    keys.press("Enter")
    page.wait_for_url("**/auth/people")
    tab_to(person, "More for adisa")
    keys.press("Enter")
    person.look("people")
    tab_to(person, "Allow adisa")
    keys.press("Enter")
    page.get_by_text("Authenticator secret for Bola Adisa").wait_for()
    assert page.get_by_text("authenticator app allowed").count() == 1
    # A reload of the address that changed something changes nothing, and shows the people.
    page.goto(page.url)
    page.wait_for_url("**/auth/people")
    tab_to(person, "More for adisa")
    keys.press("Enter")
    tab_to(person, "Freeze adisa")
    keys.press("Enter")
    page.get_by_text("Bola Adisa is frozen and signed out everywhere.").wait_for()
    person.look("frozen")
    page.reload()
    assert page.get_by_text("frozen and signed out").count() == 0
    tab_to(person, "More for adisa")
    keys.press("Enter")
    tab_to(person, "Unfreeze adisa")
    keys.press("Enter")
    page.get_by_text("Bola Adisa may sign in again.").wait_for()
    # Bad input is answered beside the form, and nothing that was typed is lost.
    tab_to(person, "Username")
    keys.type("rivera")
    keys.press("Tab")
    keys.type("Ana Rivera the Second")
    keys.press("Enter")
    assert page.get_by_role("alert").inner_text().strip() == "This username is taken."
    assert page.get_by_label("Name to show").input_value() == "Ana Rivera the Second"
    person.look("taken")
    page.get_by_label("Username").press("End")
    keys.type(".2")
    keys.press("Enter")
    page.get_by_text("One-time code for Ana Rivera the Second").wait_for()
    assert page.locator("code.code").inner_text().count("-") == 5
    person.look("code")


def test_an_unknown_page_says_so(visitor):
    person = visitor("hub")
    person.expect_status(404)
    person.go("/nothing/here")
    assert person.heading() == "There is no such page"
    person.look("missing")
    person.page.get_by_role("link", name="Go to sign-in").click()
    assert person.heading() == "Sign in"
    person.go("/auth/totp")
    person.expect_status(403)
    person.page.get_by_label("Username").fill("moss")
    person.page.get_by_label("Six-digit code").fill("123456")
    person.page.keyboard.press("Enter")
    assert "This did not work" in person.page.get_by_role("alert").inner_text()
    assert person.page.get_by_label("Username").input_value() == "moss"
    person.look("totp-wrong")


def test_a_page_speaks_the_language_of_its_reader(visitor):
    person = visitor("agency", locale="es-MX")
    person.go("/auth/sign-in")
    assert person.page.locator("html").get_attribute("lang") == "es"
    assert person.heading() == "Iniciar sesión"
    person.page.get_by_role("button", name="Entrar con una llave de acceso").click()
    person.page.get_by_text("No se confirmó nada").wait_for()
    person.look("spanish")


def test_what_watches_the_pages_is_not_blind(visitor):
    person = visitor("hub")
    person.go("/auth/sign-in")
    person.page.evaluate(
        """() => {
          const main = document.querySelector('main')
          main.insertAdjacentHTML('beforeend', '<img src="/static/kit/icon.svg"><p style="color: red">x</p>')
          fetch('http://elsewhere.test/').catch(() => {})
          console.error('a script complains')
        }"""
    )
    person.look("blind")
    seen = "\n".join(person.troubles)
    for sign in (
        "policy violated: style-src",
        "policy violated: connect-src",
        "a script complains",
        "axe blind desktop light: image-alt",
    ):
        assert sign in seen, sign
    person.page.evaluate("() => { location.href = 'http://127.0.0.1:9/' }")
    person.page.wait_for_timeout(300)
    assert any("request to another host" in trouble for trouble in person.troubles)
    person.troubles.clear()
