"""An officer comes by the department's own sign-in provider; only their passkey opens the agency."""

from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Node
from tests.harness import oidc
from tests.harness.oidc_provider import BENDS

NOTHING_OPENS = ("/", "/cases", "/requests", "/evidence", "/exports", "/auth/account")


@pytest.fixture(scope="module")
def department(tmp_path_factory):
    """Ana and Sam are officers with a login at the provider; Kim is an officer without one; Eve works elsewhere in the city."""
    officers = {"ana": "ana@city", "sam": "sam@city", "kim": ""}
    folder = tmp_path_factory.mktemp("department")
    with oidc.department(folder, officers, ("ana@city", "sam@city", "eve@city")) as made:
        yield made


@pytest.fixture
def at_agency(department, visitor):
    """Sit somebody down before the agency's pages; their browser may go to the provider too."""

    def arrive(**how):
        found = visitor(Node("agency", department.url, department.codes), **how)
        found.allowed.append(f"request to another host: {department.provider.url}/")
        return found

    return arrive


def to_provider(who, then="/cases"):
    who.go(f"/auth/sign-in?next={then}")
    who.page.get_by_role("button", name="Continue with City sign-in").click()


def sign_in_at_provider(who, department, login, then="/cases"):
    """Go to the provider and sign in there by a name and a password, as its own page asks."""
    to_provider(who, then)
    who.page.wait_for_url(f"{department.provider.url}/accounts/login/**")
    who.page.get_by_label("Username").fill(login)
    who.page.get_by_label("Password").fill(department.provider.password)
    who.page.get_by_role("button", name="Sign In").click()
    who.page.wait_for_url(f"{department.url}/**")


def nothing_opens(who):
    for path in NOTHING_OPENS:
        who.go(path)
        assert urlsplit(who.page.url).path == "/auth/sign-in", path
    assert who.page.request.get(who.node.at("/api/cases")).status == 401


def test_the_provider_names_an_officer_and_the_passkey_opens(department, at_agency):
    ana = at_agency()
    page = ana.page
    ana.enrol(department.codes["ana"])
    ana.go("/auth/sign-in")
    ana.look("oidc-sign-in", spanish=True)

    sign_in_at_provider(ana, department, "ana@city")
    assert urlsplit(page.url).path == "/auth/passkey/follow"
    assert ana.heading() == "Confirm with your passkey"
    ana.look("oidc-step-up", spanish=True)
    came_back = page.url
    nothing_opens(ana)

    # A person who does not confirm gets no further; who does lands where they wanted to go.
    ana.confirm(False)
    page.goto(came_back)
    page.get_by_role("button", name="Use the passkey").click()
    page.get_by_role("alert").wait_for()
    nothing_opens(ana)
    ana.confirm(True)
    page.goto(came_back)
    page.get_by_role("button", name="Use the passkey").click()
    page.wait_for_url(department.url + "/cases")
    ana.go("/auth/account")
    row = page.get_by_role("listitem").filter(has_text="this session")
    row.get_by_text("Sign-in provider and passkey").wait_for()
    ana.look("oidc-account", spanish=True)

    # Signed out here, the provider still knows them: the passkey is asked for again all the same.
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/auth/sign-in**")
    to_provider(ana)
    page.wait_for_url("**/auth/passkey/follow**")
    nothing_opens(ana)

    # Ana's name at the provider is no way in for a passkey of another officer.
    kim = at_agency()
    kim.enrol(department.codes["kim"])
    sign_in_at_provider(kim, department, "ana@city")
    page = kim.page
    page.wait_for_url("**/auth/passkey/follow**")
    page.get_by_role("button", name="Use the passkey").click()
    page.get_by_role("alert").wait_for()
    nothing_opens(kim)


def test_whom_nobody_here_knows_is_refused_in_clear_words(department, at_agency):
    eve = at_agency()
    eve.expect_status(403)
    sign_in_at_provider(eve, department, "eve@city")
    assert eve.heading() == "Nobody here signs in by that account."
    assert eve.page.get_by_text("Ask an administrator of this node.").is_visible()
    eve.look("oidc-nobody")
    again = eve.page.url
    eve.allowed.append("status of 401")
    nothing_opens(eve)
    # The address that the provider led to works once.
    eve.page.goto(again)
    assert eve.heading() == "The sign-in provider did not confirm who you are."

    # An officer who never added a passkey has no way in by the provider alone.
    sam = at_agency()
    sam.expect_status(403)
    sign_in_at_provider(sam, department, "sam@city")
    assert sam.heading() == "This account has no passkey yet."
    sam.look("oidc-no-passkey")
    nothing_opens(sam)


def test_a_token_that_is_another_issuers_or_altered_is_refused(department, at_agency):
    sam = at_agency()
    sam.expect_status(403)
    sam.enrol(department.codes["sam"])
    refused = []
    for how in BENDS:
        department.provider.bend(how)
        if refused:
            to_provider(sam)
        else:
            sign_in_at_provider(sam, department, "sam@city")
        sam.page.wait_for_url(f"{department.url}/auth/**")
        if sam.heading() == "The sign-in provider did not confirm who you are.":
            refused.append(how)
        nothing_opens(sam)
    assert refused == list(BENDS)
    sam.go("/auth/sign-in")

    # The same browser, the provider honest again: nothing stuck, and the token is taken.
    department.provider.bend()
    to_provider(sam)
    sam.page.wait_for_url("**/auth/passkey/follow**")
    sam.page.get_by_role("button", name="Use the passkey").click()
    sam.page.wait_for_url(department.url + "/cases")


def test_zz_a_provider_that_is_down_leaves_the_passkey(department, at_agency):
    department.stop_provider.close()
    who = at_agency()
    who.expect_status(502)
    to_provider(who)
    assert who.heading() == "The sign-in provider does not answer."
    assert who.page.get_by_text("Sign in with your passkey alone, or try again later.").is_visible()
    who.look("oidc-silent")
