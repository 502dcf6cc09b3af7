"""A whole town, running, with people before browsers: what the pages are tried on."""

import re
from pathlib import Path

import pytest

from fairwitness.demo import places
from fairwitness.demo.play import Story
from fairwitness.demo.processes import command
from fairwitness.demo.town import Neighbourhood
from tests.browser.conftest import Node, Visitor

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """A town takes a minute to come up, and every page is held to axe in eight variants: all of it is a long proof."""
    for item in items:
        if HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.proof)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A hub with three witnesses, an agency with its officers, five homes with cameras and footage; tokens are fetched.

    Each module has its own: an agency asks about one place twice in a week at most.
    """
    made = Neighbourhood(Path(tmp_path_factory.mktemp("town")), places.draw(11), lambda _words: None)
    try:
        made.start_hub()
        made.start_agency()
        made.film()
        made.start_homes()
        for resident in made.town.residents:
            made.furnish(resident)
        made.until("every home holds tokens", lambda: all(o.get("/api/status")["tokens"] for o in made.owners.values()))
        yield made
    finally:
        made.processes.stop()


@pytest.fixture(scope="module")
def story(town):
    """A request that the town's officers made, that passed the moderator and that the homes have matched."""
    told = Story(town)
    told._ask()
    told._match()
    return told


@pytest.fixture
def staff(town, visitor):
    """Sit an officer (ana, sam, tess, alex) or one of the hub's people (rosa, mina) down before a browser, signed in."""

    def arrive(username: str, then: str = "/auth/account", **how) -> Visitor:
        person = town.people[username]
        at_hub = username in ("rosa", "mina")
        node = Node("hub" if at_hub else "agency", town.hub_url if at_hub else town.agency_url, {})
        found = visitor(node, **how)
        found.hold(person.client.authenticator)
        found.sign_in(then)
        return found

    return arrive


@pytest.fixture
def resident(town, visitor):
    """Put a resident (0 to 4, as fairwitness.demo.places.PARTS) before a browser that is paired with their home."""

    def arrive(number: int = 0, **how) -> Visitor:
        one = town.town.residents[number]
        found = visitor(Node("home", town.home_urls[one.name], {}), passkeys=False, **how)
        address = re.search(r"http\S+/pair#\S+", command("home", "pair", town.home(one)))[0]
        found.page.goto(address)
        found.page.get_by_role("button", name="Pair", exact=True).click()
        found.page.wait_for_url(lambda url: "/pair" not in url)
        return found

    return arrive
