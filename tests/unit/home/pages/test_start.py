"""The first page: what waits, whether news is fresh, how cameras do; and what each role sees of it."""

import pytest

from core.tests.rules.feed_world import TICK
from fairwitness.home.services import cameras, household
from tests.unit.home.pages.test_household import paired


@pytest.fixture
def asked(home):
    """A home whose porch camera recorded what a live request asks about."""
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    from fairwitness.home.models import Request  # noqa: PLC0415 - Django's modules are loaded once its settings are
    from fairwitness.home.services import matching  # noqa: PLC0415

    home.recording(home.porch, Request.objects.get().start)
    matching.rematch(home.now)
    return home


def text(answer):
    return " ".join(answer.content.decode().split())


def test_a_home_that_has_not_joined_leads_its_owner_to_the_set_up(lone):
    answer = paired().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/setup")
    assert paired(household.add("Maya", "member")).get("/").status_code == 200


def test_what_waits_stands_first_and_news_is_fresh(asked):
    page = text(paired().get("/"))
    assert "1 request matches your cameras" in page
    assert "You have 1 recording of then. Only you know that." in page
    assert "Up to date: heard from the hub and 3 witnesses" in page
    assert "Porch" in page
    assert "are free." in page
    part = text(paired().get("/waiting"))
    assert 'data-waiting="1"' in part
    assert "<html" not in part


def test_stale_blocked_and_a_wrong_clock_are_said_plainly(asked):
    client = paired()
    asked.at(asked.now + 3 * 3600)
    assert "over two hours old" in text(client.get("/"))
    asked.at(asked.now + 30 * 3600)
    page = text(client.get("/"))
    assert "blocked for over a day" in page
    assert 'role="alert"' in page
    from fairwitness.home.services import follower  # noqa: PLC0415

    follower.raise_alarm("feed.clock", follower.SENTENCES["feed.clock"], asked.now)
    assert "Check this machine&#x27;s clock" in text(client.get("/"))
    follower.raise_alarm("feed.fork", follower.SENTENCES["feed.fork"], asked.now)
    assert "two different logs" in text(client.get("/"))


def test_what_was_put_away_answered_or_opted_out_of_does_not_wait(asked):
    from fairwitness.home.models import Request  # noqa: PLC0415
    from fairwitness.home.services import answers, optouts, requests  # noqa: PLC0415

    client, request = paired(), Request.objects.get()
    optouts.set_agency(request.agency, off=True)
    assert "Nothing waits for you" in text(client.get("/"))
    optouts.set_agency(request.agency, off=False)
    draft = answers.draft(request.pk)
    page = text(client.get("/"))
    assert "1 request matches" in page
    assert "Being prepared" in page
    answers.confirm(draft.pk)
    page = text(client.get("/"))
    assert "Nothing waits for you" in page
    assert "Waiting here" in page
    assert "<progress" in page
    requests.ignore(request.pk)
    assert "Nothing waits for you" in text(client.get("/"))


def test_a_viewer_sees_shared_cameras_and_no_request(asked):
    cameras.add("Garden")
    nina = household.add("Nina", "viewer", cameras=[asked.porch.pk])
    client = paired(nina)
    page = text(client.get("/"))
    assert "Porch" in page
    assert "Garden" not in page
    for word in ("request", "Up to date", "are free"):
        assert word not in page, word
    assert client.get("/waiting").status_code == 403
    household.edit(nina.pk, name="Nina", role="viewer", may_answer=False, cameras=[])
    assert "No camera is shared with you" in text(client.get("/"))


__all__ = ["TICK"]
