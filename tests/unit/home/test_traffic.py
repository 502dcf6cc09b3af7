"""What leaves a home, and when: exactly the list in docs/spec/home-traffic.md, the same whatever its owner does (P2, P3, P7)."""

import itertools
import re
from pathlib import Path

import pytest
from fairwitness_core.rules import feed

from core.tests.rules.feed_world import CENTRE, TICK
from fairwitness.home import slots
from fairwitness.home.services import cameras, join, notifier, optouts, requests
from fairwitness.home.tasks import beat_jobs
from fairwitness.kit import files
from fairwitness.kit.beat import Beat

SPEC = Path(__file__).parents[3] / "docs" / "spec" / "home-traffic.md"
STEP = 20
DEEDS = ("nothing", "cameras", "far", "muted", "ignores", "opened", "quiet", "channels")


def documented():
    """Calls that the specification lists: (method, pattern of the path)."""
    rows = re.findall(r"^\| `(GET|POST|PUT) ([^`]+)` ", SPEC.read_text(), re.MULTILINE)
    escaped = [(method, re.escape(path)) for method, path in rows]
    return [(method, re.compile(re.sub(r"<[a-z_]+>", "[A-Za-z0-9_.-]+", path))) for method, path in escaped]


def live(home, deed, ticks=40):
    """Drive a joined home over `ticks` ticks by its beat alone, its owner doing `deed`; returns all that left it."""
    files.write_atomic(home.folders.file("keys", "slots.seed"), b"\7" * 32)
    home.join(invite="")
    if deed != "nothing":
        camera = cameras.add("Porch", *((34.05, -118.24) if deed == "far" else CENTRE))
        home.recording(camera, home.world.start - 7000, 7000)
    if deed == "muted":
        optouts.set_all(True)
    if deed == "quiet":
        optouts.set_quiet(0, 1439, "America/Los_Angeles")
    if deed == "channels":
        notifier.add_channel("mine", "ntfy://192.168.1.5/fair")
    home.hub.calls.clear()
    home.at(home.world.next_tick * TICK)
    jobs = [job for job in beat_jobs() if job.name != "scan"]
    beat = Beat(jobs)
    stop = home.world.next_tick + ticks
    home.world.publish(home.world.request(1))
    while home.world.next_tick < stop:
        home.world.tick()
        begin = (home.world.next_tick - 1) * TICK
        for second in range(0, TICK, STEP):
            home.at(begin + second)
            beat.run_due(home.now)
        if deed in ("ignores", "opened") and requests.listing():
            requests.detail(f"{1:032x}")
            if deed == "ignores":
                requests.ignore(f"{1:032x}")
    return list(home.hub.calls)


@pytest.fixture
def stage(lone, folders):
    lone.folders = folders
    return lone


VIEWS = {}


@pytest.mark.claim("P2")
@pytest.mark.claim("P3")
@pytest.mark.claim("P7")
@pytest.mark.parametrize("deed", DEEDS)
def test_worlds_that_differ_in_owners_send_the_same_bytes_at_the_same_times(stage, deed, sent):
    view = live(stage, deed, ticks=7)
    assert len(view) == 7
    assert all(method == "GET" and body == b"" for _now, method, _url, _headers, body in view)
    assert len({headers for _now, _method, _url, headers, _body in view}) == 1
    VIEWS[deed] = view
    assert VIEWS.setdefault("nothing", view) == view
    assert bool(sent) == (deed == "channels")


def test_each_slot_has_one_get_and_a_restart_repeats_none(stage):
    live(stage, "nothing", ticks=6)
    ticks = {}
    for now, _method, _url, _headers, _body in stage.hub.calls:
        ticks[now // TICK] = ticks.get(now // TICK, 0) + 1
    assert set(ticks.values()) == {1}
    count = len(stage.hub.calls)
    for _restart in range(3):
        Beat(beat_jobs()).run_due(stage.now)
    assert len(stage.hub.calls) == count


def test_an_outage_is_caught_up_without_a_burst(stage):
    live(stage, "cameras", ticks=3)
    stage.world.ticks(60)
    beat = Beat(beat_jobs())
    stage.hub.calls.clear()
    for _slot in range(4):
        stage.world.tick()
        for second in range(0, TICK, STEP):
            stage.at((stage.world.next_tick - 1) * TICK + second)
            beat.run_due(stage.now)
    assert len(stage.hub.calls) == 4
    assert "/feed/v1/day/all/" in stage.hub.calls[0][2]


def test_a_failing_poll_waits_for_its_next_slot(stage, monkeypatch):
    live(stage, "cameras", ticks=2)
    stage.hub.bent[feed.next_poll(stage.world.next_tick, 0, TICK).path] = (200, b"garbage")
    calls = len(stage.hub.calls)
    beat = Beat(beat_jobs())
    stage.world.tick()
    for second in range(0, TICK, STEP):
        stage.at((stage.world.next_tick - 1) * TICK + second)
        beat.run_due(stage.now)
    assert len(stage.hub.calls) == calls + 1


def test_the_phase_is_uniform_drawn_anew_each_week_and_survives_a_restart(folders):
    week = slots.WEEK_S // TICK
    first = [slots.phase("feed", slot, TICK) for slot in range(1, 50)]
    assert len(set(first)) == 1
    weeks = [slots.phase("feed", number * week + 1, TICK) for number in range(400)]
    assert all(0 <= value < TICK and value == int(value) for value in weeks)
    quarters = [sum(quarter * TICK / 4 <= value < (quarter + 1) * TICK / 4 for value in weeks) for quarter in range(4)]
    assert all(60 < count < 140 for count in quarters)  # 100 expected, standard deviation below 9
    assert sum(one == two for one, two in itertools.pairwise(weeks)) < 20
    assert [slots.phase("feed", number * week + 1, TICK) for number in range(400)] == weeks
    (folders.data_dir / "keys" / "slots.seed").unlink()
    assert [slots.phase("feed", number * week + 1, TICK) for number in range(400)] != weeks


def test_slots_shorten_when_joining_and_never_run_backwards(stage):
    job = next(job for job in beat_jobs() if job.name == "feed")
    before = job.slot(stage.now)
    stage.join()
    assert job.slot(stage.now) > before
    assert 0 <= job.starts(job.slot(stage.now) + 1) - stage.now <= 2 * TICK


def test_an_unjoined_home_is_silent(stage):
    beat = Beat(beat_jobs())
    for hour in range(30):
        stage.at(stage.world.now + hour * 3600)
        beat.run_due(stage.now)
    assert stage.hub.calls == []


def test_every_call_of_a_whole_life_is_on_the_list(stage):
    listed = documented()
    assert len(listed) >= 14
    live(stage, "cameras", ticks=4)
    for _now, method, url, _headers, _body in stage.hub.calls:
        path = "/" + url.split("/", 3)[3]
        assert any(m == method and pattern.fullmatch(path) for m, pattern in listed), (method, path)
    assert join.pinned() is not None
