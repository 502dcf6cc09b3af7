"""The inbox: what concerns this home first, in words; what is done there stays there."""
# ruff: noqa: F811 - fixtures are imported by name

import re

import pytest
from django.test import Client

from fairwitness.home.lan import pairing
from fairwitness.home.models import Request
from fairwitness.home.services import household, optouts, requests
from tests.unit.home.test_sharing import asked, folder, footage  # noqa: F401


def browser(user=None):
    client = Client(headers={"host": "localhost", "accept": "text/html"})
    assert client.post("/pair", {"code": pairing.issue(user)}).status_code == 302
    return client


def words(answer):
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text).replace("&#x27;", "'")


@pytest.fixture
def page(asked):
    asked.request = Request.objects.get()
    asked.client = browser()
    asked.path = f"/requests/{asked.request.pk}"
    asked.hub.calls.clear()
    yield asked
    assert not asked.hub.calls, "looking at requests and putting them away sends nothing"


def test_nothing_reassures(home):
    told = words(browser().get("/requests"))
    assert "Nothing for you" in told
    assert "you are told when one does" in told


def test_before_joining_and_without_a_camera_it_says_what_is_missing(lone):
    assert "Not connected to a hub yet" in words(browser().get("/requests"))


def test_what_concerns_this_home_stands_first(page):
    found = page.client.get("/requests")
    told = words(found)
    assert "You have video for 1 request" in told
    assert "New" in told
    assert "Your Porch camera recorded 1 clip then." in told
    assert "Only you know that." in told
    assert f'href="{page.path}"' in found.content.decode()


def test_a_request_says_who_asks_and_why_to_believe_it(page):
    found = page.client.get(page.path)
    told, html = words(found), found.content.decode()
    assert "Seen by 2 independent witnesses by" in told or "Seen by 3 independent witnesses by" in told
    assert "Vouched for by" in told
    assert "officers, each with a key that counted then" in told
    assert "This is the first that your home read of them." in told
    assert page.request.agency_name in told
    assert "fw-map" in html
    assert '"cells"' in html
    assert '"label": "Porch"' in html
    assert "None of these three sends anything." in told
    assert "New" not in words(page.client.get("/requests")), "what was opened is not new any more"


def test_what_the_agency_asked_before_is_counted(page):
    page.world.publish(page.world.request(2))
    page.tick()
    newest = Request.objects.order_by("-log_index").first()
    told = words(page.client.get(f"/requests/{newest.pk}"))
    assert "1 earlier request anywhere, 1 near you: 1 open" in told
    page.hub.calls.clear()


def test_put_away_and_taken_out_again(page):
    answer = page.client.post(page.path + "/act", {"act": "ignore"}, follow=True)
    assert "Nothing was sent, and nobody learns of it." in words(answer)
    told = words(page.client.get("/requests"))
    assert "1 put away or muted" in told
    assert "You have video" not in told
    page.client.post(page.path + "/act", {"act": "bring-back"})
    assert "You have video for 1 request" in words(page.client.get("/requests"))
    assert page.client.post(page.path + "/act", {"act": "nonsense"}).status_code == 302


def test_an_agency_is_muted_and_heard_again(page):
    page.client.post(page.path + "/act", {"act": "mute"})
    assert page.request.agency in optouts.get().agencies
    assert "1 put away or muted" in words(page.client.get("/requests"))
    assert "Hear this agency again" in words(page.client.get(page.path))
    page.client.post(page.path + "/act", {"act": "unmute"})
    assert not optouts.get().agencies


def test_a_request_that_is_over_is_folded_and_takes_no_answer(page):
    page.at(page.request.expires + 10)
    page.client = browser()
    told = words(page.client.get("/requests"))
    assert "1 that is over" in told
    found = words(page.client.get(page.path))
    assert "Nothing can be sent to it any more." in found
    assert "Look and answer" not in found
    assert page.client.post(page.path + "/answer").status_code == 409


def test_what_was_refused_names_its_rule(page):
    from fairwitness.home.models import RefusedLine  # noqa: PLC0415

    RefusedLine.objects.create(
        log_index=99,
        tick=1,
        kind="request_published",
        rule="area.size",
        message="too large",
        request_id="x",
        agency="y",
        at=page.now,
    )
    assert "refused 1 entry that broke a rule" in words(page.client.get("/requests"))
    told = words(page.client.get("/requests/refused"))
    assert "Refused by this home:" in told
    assert "area.size" in told


def test_a_member_sees_and_prepares_but_does_not_decide(page):
    client = browser(household.add("Kim", "member"))
    told = words(client.get(page.path))
    assert "Look and answer" in told
    assert "Mute this agency" not in told
    assert "New" in words(page.client.get("/requests")), "a member's look does not use up what an owner is told"
    assert client.post(page.path + "/act", {"act": "ignore"}).status_code == 403
    assert requests.listing()[0].ignored is False
    assert client.post(page.path + "/answer").status_code == 302
    viewer = browser(household.add("Lee", "viewer"))
    assert viewer.get("/requests").status_code == 403
    assert viewer.get(page.path).status_code == 403


def test_a_stranger_is_led_to_sign_in_and_an_unknown_request_is_not_there(page):
    assert Client(headers={"host": "localhost", "accept": "text/html"}).get("/requests").status_code == 302
    assert page.client.get("/requests/" + "0" * 32).status_code == 404
