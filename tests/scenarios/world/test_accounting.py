"""T19: an answer that the hub promised can be lost or denied by nobody in silence."""

import pytest

from tests.harness.scene import START
from tests.harness.stage import Stage
from tests.harness.world import World

NIGHT = START - START % 86_400 + 86_400


def _day_after(stage: Stage) -> tuple[World, str, int]:
    """An answer was sent late in the day; now it is the next one."""
    world = stage.world(("home-a",), seed="accounts")
    world.net.now = NIGHT - 1500
    world.wait(300)
    world.place("home-a", 37.8044, -122.2712)
    request = world.request()
    world.wait(150)
    answer = world.home("home-a").act("answer", request, "A red car.", at_once=True)
    world.until(lambda: world.agency.act("responses"))
    world.net.now = max(world.net.now, NIGHT + 3700)
    world.wait(900)
    return world, world.agency.act("responses")[0][0], answer


@pytest.fixture(scope="module")
def settled(stage: Stage) -> tuple[World, str, int]:
    return _day_after(stage)


@pytest.mark.slow
@pytest.mark.claim("P17")
def test_the_owner_finds_the_promise_in_the_days_accounts(settled):
    world, rid, _ = settled
    home = world.home("home-a")
    world.until(lambda: home.act("answers")[0]["inbox_state"], every=120, limit=3600)
    world.check()
    (answer,) = home.act("answers")
    assert answer["response_id"] == rid
    assert answer["inbox_state"] in ("listed", "logged"), f"NOT IN THE DAY'S ACCOUNTS: {answer['inbox_state']}"
    assert "inbox.missing" not in home.act("feed")["alarms"], "NOT IN THE DAY'S ACCOUNTS"


@pytest.mark.slow
@pytest.mark.claim("P17")
def test_an_agency_that_loses_a_response_is_flagged(settled):
    world, rid, _ = settled
    day = world.agency.act("day_of", rid)
    assert world.agency.act("findings", day) == []
    world.lose(rid)
    found = world.agency.act("findings", day)
    assert any(rid in line for line in found), f"LOST IN SILENCE: {found}"
