import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairwitness.kit.beat import Beat, Job
from fairwitness.kit.files import Locked


def job(log, name="a", **options):
    return Job(name, options.pop("every", 10), lambda now: log.append((name, now)), **options)


def test_runs_once_in_each_slot(clock_at):
    clock_at(1000)
    log = []
    beat = Beat([job(log)])
    assert beat.run_due(1005) == []
    assert beat.run_due(1010) == ["a"]
    assert beat.run_due(1019) == []
    assert beat.run_due(1045) == ["a"], "missed slots run once"
    assert log == [("a", 1010), ("a", 1045)]
    assert beat.next_due() == 1050


def test_phase_and_start(clock_at):
    clock_at(1000)
    log = []
    beat = Beat([job(log, "p", phase=3), job(log, "s", at_start=True)])
    assert beat.run_due(1000) == ["s"]
    assert beat.run_due(1002) == []
    assert beat.run_due(1003) == ["p"]
    assert beat.run_due(1013) == ["p", "s"]


def test_failure_is_logged_retried_and_stops_nothing(clock_at, journal_lines):
    clock_at(1000)
    log, fail = [], [True]

    def breaks(now):
        if fail[0]:
            raise ValueError("Jane at 5th & Main")
        log.append(now)

    beat = Beat([Job("x", 60, breaks), job(log, "y", every=60)])
    assert beat.run_due(1020) == ["x", "y"]
    assert beat.run_due(1021) == []
    assert beat.run_due(1022) == ["x"]
    assert [(line["failures"], line["retry_in"]) for line in journal_lines] == [(1, 2), (2, 4)]
    assert "Jane" not in str(journal_lines)
    fail[0] = False
    assert beat.run_due(1026) == ["x"]
    assert beat.next_due() == 1080
    assert log == [("y", 1020), 1026]


def test_names_are_unique(clock_at):
    with pytest.raises(ValueError, match="one name"):
        Beat([job([]), job([])])


def test_one_process_holds_the_beat(tmp_path, clock_at):
    ran, stop = threading.Event(), threading.Event()
    first = Beat([Job("a", 0.01, lambda _now: ran.set())], lock=tmp_path / "lock")
    thread = threading.Thread(target=first.run, args=(stop,))
    thread.start()
    try:
        assert ran.wait(10)
        with pytest.raises(Locked):
            Beat([], lock=tmp_path / "lock").run(stop)
    finally:
        stop.set()
        thread.join(10)
    Beat([], lock=tmp_path / "lock").run(stop)


def test_a_slow_lane_does_not_hold_up_another(tmp_path):
    release, polled, stop = threading.Event(), threading.Event(), threading.Event()
    jobs = [
        Job("upload", 0.01, lambda _now: release.wait(10), lane="upload"),
        Job("poll", 0.01, lambda _now: polled.set()),
    ]
    thread = threading.Thread(target=Beat(jobs).run, args=(stop,))
    thread.start()
    assert polled.wait(10)
    stop.set()
    release.set()
    thread.join(10)
    assert not thread.is_alive()


@given(st.floats(0.5, 1e5), st.floats(0, 1e5), st.floats(0, 2e9))
def test_slot_starts_where_it_says(every, phase, now):
    found = Job("a", every, lambda _now: None, phase=phase)
    slot = found.slot(now)
    assert found.starts(slot) <= now + 1e-3
    assert now < found.starts(slot + 1) + 1e-3
