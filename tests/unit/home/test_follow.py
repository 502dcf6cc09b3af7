"""Joining and following: what is pinned, what is asked for, what is believed, what is kept as evidence."""
# ruff: noqa: PLC0415, RUF043 - Django's modules are loaded once its settings are; the rest is layout

import pytest
from fairwitness_core.rules import feed
from fairwitness_core.tlog import cosignature
from fairwitness_core.wire.errors import ProtocolError

from core.tests.rules.feed_world import TICK, key
from fairwitness.home.models import Alarm, Feed, RefusedLine, Request
from fairwitness.home.services import follower, join, matching, requests
from fairwitness.kit.errors import Refused


def test_fingerprints_are_compared_with_what_each_witness_states_itself(lone):
    found = {item.name: item for item in join.fingerprints(lone.world.join)}
    assert [found[name].agrees for name in lone.world.witnesses] == [True, True, True]
    assert found["hub.example/public"].agrees is None
    lone.hub.bent["/vkey"] = (200, cosignature.vkey("w1.example", key("impostor").public).encode().encode())
    with pytest.raises(Refused) as caught:
        lone.join()
    assert caught.value.code == "join.witness_key"
    lone.hub.bent["/vkey"] = (404, b"")
    assert lone.join().pk == 1


def test_joining_asks_for_public_files_only_and_once(lone):
    lone.join()
    paths = [url.split("example", 1)[1] for _now, _method, url, _headers, _body in lone.hub.calls]
    latest = lone.world.next_tick - 1
    digest = lone.world.directory().digest()
    assert paths == [
        "/vkey", "/vkey", "/vkey", "/log/p/checkpoint", "/log/p/tile/entries/000.p/5", "/feed/v1/latest",
        f"/feed/v1/all/{latest}", f"/feed/v1/agencies/{digest}",
    ]  # fmt: skip
    lone.hub.calls.clear()
    lone.join()
    assert lone.hub.calls == []


@pytest.mark.claim("P6")
def test_a_hub_that_lies_at_the_door_is_not_joined(lone):
    world = lone.world
    latest = f"/feed/v1/all/{world.next_tick - 1}"
    honest = world.containers[world.next_tick - 1]
    sub = world.container(
        world.log, world.index_of(world.next_tick - 1), _envelope(honest), honest.gzip, world.now, ["w1.example"]
    )
    for path, body, code in (
        (latest, sub.encode(), "policy.quorum"),
        (f"/feed/v1/agencies/{world.directory().digest()}", b"", "feed.directory"),
        ("/log/p/tile/entries/000.p/5", b"\0\1x" * 5, "join.genesis"),
    ):
        lone.hub.bent = {path: (200, body)}
        with pytest.raises(ProtocolError) as caught:
            lone.join()
        assert caught.value.code == code
        assert join.pinned() is None
    lone.hub.bent = {}
    lone.at(world.now - 400)
    with pytest.raises(Refused, match="join.clock"):
        lone.join()
    lone.at(world.now + 90_000)
    with pytest.raises(Refused, match="join.blocked"):
        lone.join()


def _envelope(container):
    from fairwitness_core.tlog.proof import TlogProof

    return TlogProof.parse(container.proof.encode()).extra


def test_another_hub_is_refused(home):
    from core.tests.rules.feed_world import World

    other = World(url="http://other.example", start=home.world.start + TICK)
    other.publish(other.authorized())
    other.ticks(2)
    from fairwitness.kit import http
    from tests.unit.home.fake_hub import FakeHub

    http.set_transport(FakeHub(other, lambda: home.now))
    with pytest.raises(Refused, match="join.other_hub"):
        join.accept(other.join.encode())


def test_a_request_is_followed_matched_and_explained(home):
    home.tick()
    request = home.world.request(1)
    home.recording(home.porch, request.from_ + 60)
    index = home.world.publish(request)
    home.tick()
    row = Request.objects.get()
    assert (row.id, row.log_index, row.near) == (request.id, index, True)
    (view,) = requests.listing()
    assert view.matched
    assert view.clips == 1
    found = requests.detail(request.id)
    assert f"entry {index} of the public log" in found.proof[0]
    assert "w1.example, w2.example" in found.proof[1]
    assert "2 officers of Oakland Police" in found.proof[2]
    assert "request number 1 covering you in 30 days" in found.context
    assert found.own[0].pieces[0].start == request.from_ + 60
    assert found.own[0].gaps[0] == (request.from_ - 30, request.from_ + 60)


def test_catching_up_takes_one_roll_up_a_slot_and_then_one_container(home):
    home.tick()
    home.world.publish(home.world.request(1))
    home.world.ticks(40)
    home.hub.calls.clear()
    home.at(home.world.now)
    asked = []
    for _slot in range(3):
        follower.poll(home.now)
        asked.append(home.hub.calls[-1][2].removeprefix("http://hub.example"))
        home.world.tick()
        home.at(home.world.now)
    newest = home.world.next_tick - 1
    assert asked == ["/feed/v1/day/all/20260601", f"/feed/v1/all/{newest - 2}", f"/feed/v1/all/{newest - 1}"]
    assert Request.objects.count() == 1
    assert follower.status().outcome == "ok"


def test_a_tick_that_is_not_there_yet_is_asked_for_in_the_next_slot(home):
    home.tick()
    home.at((home.world.next_tick) * TICK + 20)
    assert follower.poll(home.now).code == "not_yet"
    home.world.tick()
    assert follower.poll(home.now).ticks == 1


@pytest.mark.claim("P6")
def test_a_lie_changes_nothing_and_is_kept_as_evidence(home, folders):
    home.tick()
    before = bytes(Feed.objects.get().state)
    home.world.publish(home.world.request(1))
    _container, done = home.tick(names=["w1.example"], keep=True)
    assert done.code == "policy.quorum"
    assert bytes(Feed.objects.get().state) == before
    assert not Request.objects.exists()
    (alarm,) = follower.alarms()
    assert alarm.code == "policy.quorum"
    evidence = (folders.data_dir / alarm.evidence).read_bytes()
    assert b"hub.example/public" in evidence
    assert b"seen before" in evidence


@pytest.mark.claim("P6")
def test_bait_inside_a_common_tick_is_never_shown_and_never_matched(home):
    home.tick()
    world = home.world
    home.recording(home.porch, world.start - 7000, seconds=7000)
    baits = [
        (world.request(1, area=world.area()[:1]), None),
        (world.request(2, msg="Look here http://tracker.example/van for the silver van."), None),
        (world.request(3, msg="A van: <img src='x.png'> with a ladder on its roof."), None),
        (world.request(4, from_=world.start - 50_000, to=world.start), None),
        (world.request(5, offense="nibrs:90Z"), None),
        (world.request(6), [world.officers[0]]),
        (world.request(7, agency="us-ca-berkeley"), None),
        (world.request(8, area=world.area((34.05, -118.24))), None),
        (world.request(9), [world.officers[0], key("removed officer")]),
    ]
    for request, signers in baits:
        world.publish(request, *(signers or world.officers))
    _container, done = home.tick()
    assert done.code == ""
    assert not Request.objects.exists()
    assert requests.listing(include_muted=True, include_past=True) == []
    assert matching.rematch(home.now) == []
    assert RefusedLine.objects.count() == len(baits)
    assert all(item.sentence.startswith("Refused by this home:") for item in requests.refused())


def test_stale_blocked_and_a_wrong_clock_are_told_apart(home):
    home.tick()
    began = (home.world.next_tick - 1) * TICK + 2
    home.hub.down = True
    for later, outcome, code in ((7201, "stale", "feed.stale"), (86_401, "blocked", "feed.blocked")):
        home.at(began + later)
        assert follower.poll(home.now).code == "unreachable"
        assert follower.status().outcome == outcome
        assert [row.code for row in follower.alarms()] == [code]
    home.hub.down = False
    home.at(began)
    home.world.tick()
    home.at(home.world.now)
    follower.poll(home.now)
    assert follower.alarms() == []
    home.world.tick(time=home.world.next_tick * TICK + 400)
    home.at(home.world.now)
    before = bytes(Feed.objects.get().state)
    assert follower.poll(home.now).code == "feed.clock"
    assert bytes(Feed.objects.get().state) == before
    assert follower.status().outcome == "check_clock"


def test_withdrawals_reach_the_home(home):
    from fairwitness_core.model.request import RequestWithdrawn

    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    home.world.publish(
        RequestWithdrawn(request_id=f"{1:032x}", agency="us-ca-oakland", reason="resolved", at=home.now), home.world.officers[0]
    )
    home.tick()
    assert requests.detail(f"{1:032x}").view.state == "withdrawn"
    assert requests.listing() == []


def test_extensions_and_outcomes_reach_the_home(home):
    from fairwitness_core.model.request import RequestExtended, RequestResolved

    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    rid, agency = f"{1:032x}", "us-ca-oakland"
    before = Request.objects.get().expires
    longer = RequestExtended(
        request_id=rid, agency=agency, expires=before + 86_400, reason="Two neighbours were away for a week.", at=home.now
    )
    home.world.publish(longer, home.world.officers[0])
    home.tick()
    assert Request.objects.get().expires == before
    home.world.publish(longer, *home.world.officers)
    home.tick()
    found = requests.detail(rid)
    assert (found.view.expires, found.view.extended, found.extension) == (before + 86_400, True, longer.reason)
    assert requests.state_of(Request.objects.get(), before + 60) == "live"
    done = RequestResolved(
        request_id=rid, agency=agency, outcome="solved_with_footage", words="The van was found. Thank you.", at=home.now
    )
    home.world.publish(done, home.world.officers[0])
    home.tick()
    found = requests.detail(rid)
    assert (found.view.state, found.view.outcome) == ("resolved", "solved_with_footage")
    assert found.outcome_sentence.startswith("Solved")
    assert found.outcome_words == done.words
    assert requests.listing() == []
    with pytest.raises(Refused, match=r"request\.resolved"):
        requests.check_live(Request.objects.get(), home.now)


def test_a_restart_goes_on_from_what_was_stored(home):
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    follower._cache = None
    home.world.publish(home.world.request(2))
    home.tick()
    assert Request.objects.count() == 2
    assert follower.alarms() == []


@pytest.mark.parametrize("days", [1])
def test_history_before_the_join_is_read_one_day_a_slot(lone, days):
    lone.world.publish(lone.world.request(1))
    lone.world.ticks(288 * days)
    lone.at(lone.world.now)
    lone.join()
    lone.hub.calls.clear()
    polls = 0
    while follower.status().catching_up or not polls:
        follower.poll(lone.now)
        polls += 1
        assert len(lone.hub.calls) == polls
        assert polls < 6
    assert Request.objects.count() == 1
    assert not Alarm.objects.exists()
    assert feed.next_poll(follower.status().next_tick, lone.now, TICK).day is None


def test_the_trust_file_is_what_verify_takes(home):
    from fairwitness_core.verify.trust import TrustPolicy

    found = TrustPolicy.read(join.trust_policy() + b"\n")
    assert found.genesis == home.world.join.genesis
