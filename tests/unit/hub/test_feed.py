"""Ticks: every one, once, in order, cosigned before it is served, whatever fails."""

import pytest
from fairwitness_core.model.feed import read_containers
from fairwitness_core.rules import feed as rules

from fairwitness.hub.models import LogEntry, Tick
from fairwitness.hub.services import agencies, feed, health, ledger, moderation, recover
from tests.harness.rows import as_owner
from tests.unit.hub.test_requests import logged, publish
from tests.unit.hub.world import START, TICK


def ticks(world):
    return [value["tick"] for value in logged(world, "feed_tick")]


def test_every_tick_is_published_also_the_empty_ones(world):
    for _ in range(5):
        assert world.step(TICK) == "ok"
    first = START // TICK
    assert ticks(world) == list(range(first, first + 6))
    assert world.latest() == first + 5
    state, verified = world.follow()
    assert [v.tick for v in verified] == list(range(first, first + 6))
    assert all(v.outcome is rules.Outcome.OK for v in verified)
    assert state.directory.agencies() == (world.agency.id,)


def test_a_hub_that_was_down_publishes_each_missed_tick_with_what_belongs(world):
    early = world.agency.request()
    publish(world, early)
    world.stop()
    world.now += 3 * TICK
    late = world.agency.request()
    world.agency.submit(late)
    moderation.approve(late.id, 1)
    world.now += 4 * TICK
    assert world.step() == "ok"
    _, verified = world.follow()
    by_tick = {v.tick: [p.request.id for p in v.published] for v in verified if v.published}
    first = START // TICK
    assert by_tick == {first + 1: [early.id], first + 4: [late.id]}
    assert len(ticks(world)) == len(set(ticks(world))) == 8


@pytest.mark.claim("P12")
def test_nothing_is_served_before_a_quorum_saw_it(world):
    request = world.agency.request()
    world.agency.submit(request)
    moderation.approve(request.id, 1)
    world.net.down = {"w1.test", "w2.test"}
    before = (world.latest(), world.get("/log/p/checkpoint"))
    assert world.step(TICK) == "no_quorum"
    assert world.step(TICK) == "no_quorum"
    assert (world.latest(), world.get("/log/p/checkpoint")) == before
    assert world.agency.call("request_state", {"request_id": request.id})["state"] == "approved"
    assert health.look().state == "no_quorum"
    assert world.client.get("/healthz").json()["ok"] is False
    assert Tick.objects.filter(state="appended").count() == 2
    world.net.down = {"w3.test"}
    assert world.step(TICK) == "ok"
    assert world.client.get("/healthz").json()["ok"] is True
    _, verified = world.follow()
    assert [p.request.id for v in verified for p in v.published] == [request.id]


@pytest.mark.claim("P12")
def test_one_lost_witness_stops_nothing_and_catches_up(world):
    world.net.down = {"w2.test"}
    for _ in range(4):
        assert world.step(TICK) == "ok"
    world.net.down = set()
    assert world.step(TICK) == "ok"
    _, verified = world.follow()
    assert len(verified) == 6
    # After its rest it cosigns again: its size had moved on, and it was told from where.
    for _ in range(3):
        world.step(TICK)
    (newest,) = read_containers(world.get(f"/feed/v1/all/{world.latest()}"))
    assert newest.proof.count("— ") == 4


def test_too_few_witnesses_at_start_append_nothing(world):
    world.stop()
    size = LogEntry.objects.count()
    world.net.down = {"w1.test", "w2.test"}
    assert world.step(5 * TICK) == "starting"
    assert LogEntry.objects.count() == size
    world.net.down = {"w1.test"}
    assert world.step() == "ok"


def test_a_roll_up_is_its_containers(world):
    for _ in range(3):
        world.step(TICK)
    day = rules.day_of(world.latest(), TICK)
    expected = b"".join(world.get(f"/feed/v1/all/{n}") for n in range(START // TICK, world.latest() + 1))
    path = feed.root() / "v1" / "day" / "all" / day
    assert world.get(f"/feed/v1/day/all/{day}") == expected
    # Half of an append that a crash left is cut off again; a lost file is made anew.
    path.write_bytes(expected + b"FWF1 half")
    world.stop()
    world.step(TICK)
    whole = expected + world.get(f"/feed/v1/all/{world.latest()}")
    assert path.read_bytes() == whole
    path.unlink()
    world.stop()
    world.step(TICK)
    assert path.read_bytes() == whole + world.get(f"/feed/v1/all/{world.latest()}")


def test_a_day_ends(world):
    world.step(660)
    assert world.step(TICK) == "ok"
    days = {rules.day_of(n, TICK) for n in ticks(world)}
    assert len(days) == 2
    _, verified = world.follow()
    assert len(verified) == len(ticks(world))


@pytest.mark.claim("P6")
def test_static_files_say_the_same_to_all(world):
    world.step(TICK)
    day = rules.day_of(world.latest(), TICK)
    for path, cache in (
        (f"/feed/v1/all/{world.latest()}", "public, max-age=31536000, immutable"),
        (f"/feed/v1/day/all/{day}", "max-age=5"),
        ("/feed/v1/latest", "max-age=5"),
        ("/join.json", "max-age=5"),
        ("/log/p/checkpoint", "max-age=5"),
        ("/log/s/checkpoint", "max-age=5"),
        ("/log/p/tile/0/000.p/" + str(ledger.reader("p").size), "public, max-age=31536000, immutable"),
    ):
        answer = world.client.get(path, headers={"Cookie": "a=b", "If-None-Match": "x"})
        assert answer.status_code == 200, path
        assert answer.headers["Cache-Control"] == cache
        assert not {"Set-Cookie", "Vary", "ETag", "Last-Modified"} & set(answer.headers), answer.headers
        assert world.client.get(path + "?who=me").status_code == 404
    for path in ("/feed/v1/all/x", "/feed/v1/other", "/feed/v1/all/../latest", "/log/p/leaves", "/log/p/log"):
        assert world.client.get(path).status_code == 404, path


def test_the_witness_policy_changes_with_notice(world):
    text = world.join.policy.replace("quorum-group 2", "quorum-group 3")
    with pytest.raises(Exception, match="600 s before"):
        agencies.change_policy("witness", text, world.now + 10)
    with pytest.raises(Exception, match="lists both ledgers"):
        agencies.change_policy("witness", "\n".join(text.split("\n")[1:]), world.now + 700)
    agencies.change_policy("witness", text, world.now + 700)
    world.step(1)
    assert world.join.policy != text
    world.step(720)
    assert world.join.policy == text
    world.net.down = {"w3.test"}
    assert world.step(TICK) == "no_quorum"
    world.net.down = set()
    assert world.step(TICK) == "ok"


def test_a_notice_that_ran_out_in_the_queue_is_refused(world):
    text = world.join.policy.replace("quorum-group 2", "quorum-group 3")
    row = agencies.change_policy("witness", text, world.now + 601)
    world.step(10)
    row.refresh_from_db()
    assert (row.state, row.rule) == ("refused", "policy.notice")


def test_rows_can_be_made_anew_from_the_files(world):
    request = world.agency.request()
    publish(world, request)
    world.step(TICK)
    before = [list(t.objects.order_by("pk").values()) for t in (LogEntry, Tick)]
    world.stop()
    with as_owner():
        recover.rebuild()
    assert [list(t.objects.order_by("pk").values()) for t in (LogEntry, Tick)] == before
    assert world.step(TICK) == "ok"
    world.follow()
    assert world.agency.call("request_state", {"request_id": request.id})["state"] == "published"
