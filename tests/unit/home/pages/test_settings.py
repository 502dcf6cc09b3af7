"""How to be told, what not to hear of, and what this home is."""

import pytest

from fairwitness.home.models import Channel
from fairwitness.home.services import household, notifier, optouts
from fairwitness.kit import notify
from tests.unit.home.pages.test_household import paired
from tests.unit.home.pages.test_start import text

LOCAL, COMPANY = "ntfy://192.168.1.77/mine", "ntfys://ntfy.sh/town"


def test_everybody_has_settings_and_each_only_theirs(home):
    assert "Household" in text(paired().get("/settings"))
    member = paired(household.add("Maya", "member"))
    page = text(member.get("/settings"))
    assert "Phones and browsers" in page
    assert "Household" not in page
    for path in ("notify", "choices", "household", "export"):
        assert member.get(f"/settings/{path}").status_code == 403, path


def test_a_channel_is_added_tested_and_removed_and_a_company_learns_only_what_was_ticked(home, sent):
    client = paired()
    url = "/settings/notify"
    assert "Nothing yet" in text(client.get(url))
    assert client.post(url, {"what": "add", "name": "Tablet", "url": LOCAL}).status_code == 302
    assert client.post(url, {"what": "add", "name": "Shop", "url": COMPANY}).status_code == 302
    page = text(client.get(url))
    assert "Your own network" in page
    assert "A company, once a day" in page
    assert LOCAL not in page, "an address is not shown again"
    refused = client.post(url, {"what": "add", "name": "Now", "url": COMPANY, "instant": "on"})
    assert refused.status_code == 409
    page = text(refused)
    assert 'role="alert"' in page
    assert f'value="{COMPANY}"' in page, "what was typed stays"
    client.post(url, {"what": "add", "name": "Now", "url": COMPANY, "instant": "on", "understood": "on"})
    assert "A company, at once" in text(client.get(url))
    assert sent == []
    for row in Channel.objects.all():
        assert client.post(url, {"what": "test", "channel": row.pk}).status_code == 302
    assert {(title, body) for _url, title, body in sent} == {(notifier.DIGEST_TITLE, notifier.TEST_BODY)}
    client.post(url, {"what": "remove", "channel": Channel.objects.get(name="Shop").pk})
    assert set(Channel.objects.values_list("name", flat=True)) == {"Tablet", "Now"}
    assert client.post(url, {"what": "test", "channel": 99}).status_code == 404
    assert client.post(url, {"what": "add", "name": "x", "url": "nonsense"}).status_code == 422
    assert client.post(url, {"what": "eat"}).status_code == 422


def test_a_test_that_nobody_took_is_said_in_words(home):
    client = paired()
    row = notifier.add_channel("Tablet", LOCAL)
    notify.set_sender(lambda *_given: False)
    answer = client.post("/settings/notify", {"what": "test", "channel": row.pk})
    assert answer.status_code == 502
    page = text(answer)
    assert "Nobody took the test message for “Tablet”" in page
    assert "Failed" in page


def test_the_minute_of_the_daily_message(home):
    client = paired()
    optouts.set_quiet(60, 120)
    told = {"what": "digest", "minute": "07:30", "zone": "America/Chicago"}
    assert client.post("/settings/notify", told).status_code == 302
    assert (optouts.row().digest_minute, optouts.get().zone, optouts.get().quiet) == (450, "America/Chicago", (60, 120))
    for bad in ({"minute": "25:00"}, {"minute": "x"}, {"zone": "Mars"}):
        assert client.post("/settings/notify", told | bad).status_code == 422, bad


@pytest.mark.claim("P3")
def test_choices_are_kept_here_and_say_so(home):
    home.world.publish(home.world.request(1))
    home.tick()
    home.hub.calls.clear()
    client, url = paired(), "/settings/choices"
    page = text(client.get(url))
    assert "None of these choices is visible to anyone." in page
    agency = home.world.request(1).agency if hasattr(home.world.request(1), "agency") else ""
    client.post(url, {"what": "all", "off": "1"})
    assert optouts.get().alerts_off
    assert "Hear of requests again" in text(client.get(url))
    client.post(url, {"what": "all", "off": "0"})
    client.post(url, {"what": "agencies"})
    assert optouts.get().agencies
    client.post(url, {"what": "agencies", "hear": list(optouts.get().agencies)})
    assert not optouts.get().agencies, agency
    client.post(url, {"what": "group", "group": "property", "off": "1"})
    assert "nibrs:220" in optouts.get().offenses
    assert "nibrs:09A" not in optouts.get().offenses
    assert "nibrs:720" not in optouts.get().offenses
    assert "none of these" in text(client.get(url))
    client.post(url, {"what": "offenses", "hear": ["nibrs:220"]})
    assert "nibrs:220" not in optouts.get().offenses
    assert len(optouts.get().offenses) > 60
    client.post(url, {"what": "quiet", "on": "1", "begin": "22:00", "end": "06:30", "zone": "America/Chicago"})
    assert optouts.get().quiet == (1320, 390)
    bad = client.post(url, {"what": "quiet", "on": "1", "begin": "22:00", "end": "22:00", "zone": "America/Chicago"})
    assert bad.status_code == 422
    assert 'role="alert"' in text(bad)
    client.post(url, {"what": "quiet"})
    assert optouts.get().quiet is None
    assert client.post(url, {"what": "group", "group": "x"}).status_code == 422
    assert home.hub.calls == [], "nothing of it was sent"


def test_about_says_whom_it_follows_and_how_far_it_is(home):
    home.tick()
    page = text(paired().get("/settings/about"))
    for word in ("Fairwitness 0", "Fingerprints", "tick ", "Given: this home can answer", "Witness"):
        assert word in page, word
    assert home.hub.calls[-1][2].startswith("http://hub.example/feed/"), "looking at it asks nobody"
    viewer = paired(household.add("Nina", "viewer"))
    assert "Is all well?" not in text(viewer.get("/settings/about"))
    assert viewer.post("/settings/about/examined").status_code == 403


def test_what_doctor_finds_stands_on_a_page(home, monkeypatch):
    from fairwitness.kit.operate import doctor  # noqa: PLC0415 - Django's modules are loaded once its settings are

    monkeypatch.setattr(doctor, "skew", lambda _peers, **_how: [])
    answer = paired().post("/settings/about/examined")
    assert answer.status_code == 200
    assert "disk" in text(answer)
