"""A hub and an agency that bend time, joining and the size of a tick: what each home refuses (P6; design.md 7, 9.1)."""

import hashlib
import tracemalloc
import zlib

import pytest
from fairwitness_core.model.agency import KeyRotated
from fairwitness_core.model.hub import PolicyChanged
from fairwitness_core.rules import caps, feed
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from core.tests.rules.feed_world import AGENCY, START, TICK, World, key

pytestmark = pytest.mark.claim("P6")
DAY = 86_400


@pytest.fixture
def world():
    world = World()
    world.publish(world.authorized())
    world.ticks(2)
    return world


def code(call, *args, **kwargs):
    with pytest.raises(ProtocolError) as caught:
        call(*args, **kwargs)
    return caught.value.code


def change(kind, text, at, effective_at):
    digest = hashlib.sha256(text.encode()).hexdigest()
    return PolicyChanged(kind=kind, sha256=digest, text=text, supersedes="0" * 64, effective_at=effective_at, at=at)


# ---------------------------------------------------------------- a policy that was never announced


def test_a_standing_policy_dated_back_past_its_notice_is_refused(world):
    state = world.joined()
    begin = world.next_tick * TICK
    world.publish(change("standing", f'["{AGENCY}"]', begin - 2 * DAY, begin - DAY))
    assert code(world.check, state, world.tick()) == "feed.policy_notice"


def test_a_standing_policy_with_its_notice_is_taken(world):
    state = world.joined()
    begin = world.next_tick * TICK
    world.publish(change("standing", f'["{AGENCY}"]', begin, begin + DAY))
    assert world.check(state, world.tick()).state.directory.standing(begin + DAY) == {AGENCY}


def own_witnesses(world):
    """A policy of witnesses that the hub keeps itself."""
    for name in ("x1.example", "x2.example", "x3.example"):
        world.witness_keys[name] = key(name)
    return world.make_policy(("x1.example", "x2.example", "x3.example"), 2).encode().decode()


def test_a_home_follows_the_witnesses_whose_fingerprints_its_owner_compared(world):
    # Dated long ago, logged just now: homes that follow refuse it, so the hub tries it on one that joins behind it.
    world.publish(change("witness", own_witnesses(world), START - 3 * DAY, START - 2 * DAY))
    world.tick()
    assert code(world.joined) == "feed.policy_pinned"


def test_a_home_does_not_join_while_it_cannot_know_of_a_change_that_its_notice_was_kept(world):
    soon = (world.next_tick + 2) * TICK
    world.publish(change("witness", own_witnesses(world), START - 3 * DAY, soon))
    world.tick()
    assert code(world.joined) == "feed.policy_pending"


def test_a_home_joins_with_the_policy_that_was_changed_properly(world):
    text = world.make_policy(("w2.example", "w3.example", "w1.example"), 3).encode().decode()
    world.publish(change("witness", text, START + TICK, START + TICK + DAY))
    world.ticks(DAY // TICK + 4)
    new = feed.replace(world.pin, policy=feed.Policy.parse(text.encode()))
    latest = world.next_tick
    container = world.tick(names=world.witnesses)
    state, outcome = feed.start(new, container, world.snapshot(latest), now=world.now)
    assert outcome is feed.Outcome.OK
    assert state.policy_at(world.now) == new.policy


def test_history_without_notice_is_refused_as_well(world):
    begin = world.next_tick * TICK
    world.publish(change("standing", f'["{AGENCY}"]', begin - 2 * DAY, begin - DAY))
    bad = world.tick()
    world.ticks(2)
    state = world.joined(history=True)
    for number in range(START // TICK, world.next_tick - 3):
        state = world.check(state, world.containers[number], newest=False).state
    assert code(world.check, state, bad, newest=False) == "feed.policy_notice"


# ---------------------------------------------------------------- joining


def test_nothing_between_history_and_the_tick_of_joining_can_be_left_out(world):
    state = world.joined(history=True)
    world.publish(world.request())
    world.ticks(3)
    assert code(world.check, state, world.containers[world.next_tick - 1]) == "feed.tick"


def test_a_home_does_not_begin_at_a_tick_that_is_still_to_come(world):
    # Its number would send the home years ahead, where no tick of the true feed ever follows.
    now = world.now
    container = world.tick(number=world.next_tick + 10**6, time=now, keep=False)
    assert code(feed.start, world.pin, container, world.directory().encode(), now=now) == "feed.before_tick"


# ---------------------------------------------------------------- requests dated back


def test_a_request_dated_back_does_not_escape_the_count_of_its_place():
    world = World(start=START - 20 * DAY)
    world.publish(world.authorized(at=world.start))
    world.next_tick = START // TICK
    world.ticks(2)
    state = world.joined()
    now = world.next_tick * TICK
    for number, age in enumerate((0, 0, 7 * DAY, 7 * DAY, 13 * DAY, 13 * DAY), 1):
        at = now - age
        world.publish(world.request(number, at=at, expires=at + 14 * DAY))
    seen = world.check(state, world.tick())
    assert len(seen.published) == caps.CELL8_MAX
    assert {line.rule for line in seen.refused} == {"time.stale"}


# ---------------------------------------------------------------- size


def test_a_tick_of_very_many_lines_is_refused_before_they_are_all_held(world, monkeypatch):
    state = world.joined()
    for number in range(4):
        world.publish(world.request(number + 1))
    monkeypatch.setattr(feed, "MAX_LINES", 3)
    assert code(world.check, state, world.tick()) == "feed.too_many_lines"


def test_a_small_container_of_empty_lines_does_not_fill_a_homes_memory(world):
    state = world.joined()
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = squeezer.compress(b"\n" * (8 << 20)) + squeezer.flush()
    container = world.tick(gzip=bomb)
    tracemalloc.start()
    try:
        assert code(world.check, state, container) == "feed.line"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20  # the content and some copies of it; a list of its lines takes 16 times as much


def test_a_character_that_is_newer_than_a_homes_unicode_costs_it_that_request_and_not_the_feed(world):
    # U+0378 stands for any code point that the hub's program knows and this one does not.
    state = world.joined()
    world.publish(world.request(1, msg="A burglar broke a rear window and left in a silver van \u0378 with a ladder."))
    world.publish(world.request(2, area=world.area((37.83, -122.25))))
    seen = world.check(state, world.tick())
    assert [line.rule for line in seen.refused] == ["text.hidden"]
    assert len(seen.published) == 1


def test_keys_of_an_agency_that_a_newer_version_authorised_do_not_stop_the_feed(world):
    state = world.joined()
    newer = {**world.authorized(agency="us-ca-berkeley").to_json(), "v": 2, "new": 1}
    world.log.append(dsse.sign(dsse.ENTRY, canonical.encode(newer), world.hub).encode())
    world.publish(KeyRotated(agency="us-ca-berkeley", add=(world.agency_key(key("x")),), remove=(), at=world.start))
    seen = world.check(state, world.tick())
    assert seen.opaque == 1
    assert seen.state.directory.agency("us-ca-berkeley") is None
