"""Enrolling, signing in, looking after passkeys and sessions: in a real browser, with the browser's own authenticator."""

import re

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.mark.parametrize(("role", "username", "shown"), [("agency", "rivera", "Ana Rivera"), ("hub", "moss", "Kit Moss")])
def test_a_person_enrols_signs_in_and_signs_out(visitor, role, username, shown):
    person = visitor(role)
    page = person.page
    person.go("/auth/account")
    page.wait_for_url(re.compile(r"/auth/sign-in\?next="))
    person.look("sign-in")
    page.get_by_role("link", name="First time here?").click()
    person.look("enrol")
    page.get_by_label("One-time code").fill(person.node.codes[username].lower().replace("-", " "))
    page.get_by_role("button", name="Go on").click()
    assert person.heading() == "Add a passkey"
    person.look("add")
    page.get_by_label("A name for it").fill("Work laptop")
    page.get_by_role("button", name="Add the passkey").click()
    page.get_by_text("Your passkey is stored").wait_for()
    person.look("enrolled")
    assert person.credentials()[0]["isResidentCredential"] is True
    # What the code opened is over: only the passkey opens more.
    person.go("/auth/account")
    assert person.heading() == "Sign in"
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(person.node.at("/auth/account"))
    person.look("account")
    assert page.get_by_text("Work laptop").is_visible()
    assert page.get_by_role("link", name=shown).is_visible()
    # The sign-in page leads on whoever is signed in, to a page that exists.
    person.go("/auth/sign-in")
    assert person.heading() != "Sign in"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(person.node.at("/auth/sign-in"))
    person.go("/auth/account")
    assert person.heading() == "Sign in"


def test_wrong_used_and_expired_codes_are_refused_alike_and_stay_typed(visitor):
    person = visitor("agency")
    person.expect_status(403)
    page = person.page
    person.enrol(person.node.codes["ortiz"])
    said = set()
    for code in ("WRONG-CODE", person.node.codes["expired"], person.node.codes["ortiz"]):
        person.go("/auth/enrol")
        page.get_by_label("One-time code").fill(code)
        page.keyboard.press("Enter")
        said.add(page.get_by_role("alert").inner_text())
        assert page.get_by_label("One-time code").input_value() == code
        assert page.get_by_label("One-time code").evaluate("field => field === document.activeElement")
    assert said == {"This code is unknown, used or expired. Ask an administrator for a new one."}
    person.look("enrol-wrong")


def test_a_cancelled_ceremony_says_so_and_can_be_tried_again(visitor):
    person = visitor("agency")
    page = person.page
    button = page.get_by_role("button", name="Sign in with a passkey")
    person.go("/auth/sign-in")
    button.click()
    page.get_by_text("Nothing was confirmed").wait_for()
    assert button.get_attribute("aria-disabled") is None
    person.go("/auth/enrol")
    page.get_by_label("One-time code").fill(person.node.codes["keller"])
    page.get_by_role("button", name="Go on").click()
    person.confirm(False)
    page.get_by_label("A name for it").fill("Spare phone")
    page.get_by_role("button", name="Add the passkey").click()
    page.get_by_text("Nothing was confirmed").wait_for()
    assert page.get_by_label("A name for it").input_value() == "Spare phone"
    person.confirm(True)
    page.get_by_role("button", name="Add the passkey").click()
    page.get_by_text("Your passkey is stored").wait_for()
    person.confirm(False)
    button.click()
    page.get_by_text("Nothing was confirmed").wait_for()
    person.look("cancelled")
    # The node is out of reach: the sentence says that instead.
    person.confirm(True)
    person.allowed.append("ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    button.click()
    page.get_by_text("This node did not answer").wait_for()
    page.context.set_offline(False)
    button.click()
    page.get_by_role("button", name="Sign out").wait_for()
    # A second passkey asks for a fresh assertion, and is not made on a device that holds one already.
    person.go("/auth/passkey/add")
    assert person.heading() == "Confirm with your passkey"
    person.look("again")
    page.get_by_role("button", name="Use the passkey").click()
    page.get_by_label("A name for it").fill("Same device")
    page.get_by_role("button", name="Add the passkey").click()
    page.get_by_text("This device holds a passkey for your account already").wait_for()
    person.session.send("WebAuthn.clearCredentials", {"authenticatorId": person.authenticator})
    page.get_by_label("A name for it").fill("")
    page.get_by_role("button", name="Add the passkey").click()
    page.wait_for_url(person.node.at("/auth/account"))
    assert page.get_by_text("Passkey 2", exact=True).is_visible(), "a passkey without a name gets one"
    page.get_by_role("button", name="Remove Spare phone").click()
    assert page.get_by_text("Spare phone").count() == 0
    assert page.get_by_role("button", name=re.compile("^Remove")).count() == 0, "the last passkey stays"


def test_a_node_without_passkey_support_in_the_browser_says_so(visitor):
    person = visitor("agency")
    person.page.add_init_script("delete window.PublicKeyCredential")
    person.go("/auth/sign-in")
    assert "cannot use passkeys here" in person.page.get_by_role("alert").inner_text()


def test_sessions_are_listed_and_ended_from_another_device(visitor):
    desk, phone = visitor("agency"), visitor("agency")
    desk.expect_status(403)
    desk.enrol(desk.node.codes["lindqvist"])
    phone.borrow(desk)
    desk.sign_in()
    # The shared passkey's counter stands where the first device left it.
    phone.session.send("WebAuthn.clearCredentials", {"authenticatorId": phone.authenticator})
    phone.borrow(desk)
    phone.sign_in()
    desk.go("/auth/account")
    ends = desk.page.get_by_role("button", name=re.compile("^End the session"))
    assert ends.count() == 2
    assert desk.page.get_by_text("this session").count() == 1
    row = desk.page.get_by_role("listitem").filter(has=ends).filter(has_not_text="this session")
    row.get_by_role("button").click()
    assert ends.count() == 1
    assert desk.page.get_by_text("this session").count() == 1
    phone.go("/auth/account")
    assert phone.heading() == "Sign in"
    # Only administrators look after people; the refusal says which rule it is.
    desk.go("/auth/people")
    assert desk.heading() == "Your role may not do this."
    assert desk.page.get_by_text("auth.role").is_visible()
    desk.look("refused")
    # Ending the session at hand signs out.
    desk.go("/auth/account")
    ends.click()
    assert desk.heading() == "Sign in"
