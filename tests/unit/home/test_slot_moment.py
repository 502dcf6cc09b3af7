"""A slot's moment must be one that the beat can hit: jobs are told whole seconds."""

import itertools

import pytest

from fairwitness.home import slots, tasks
from fairwitness.kit import clock
from fairwitness.kit.beat import Beat

pytestmark = pytest.mark.django_db  # a beat tidies the database's connections around each job


@pytest.mark.parametrize("length", [1, 7, 60, 300, 720, 3600])
@pytest.mark.parametrize("draw", [0.0, 0.1234567, 0.5004, 0.987654])
def test_every_slot_is_kept_when_the_beat_wakes_a_moment_after_it(monkeypatch, length, draw):
    now = [1_800_000_000.0]
    ran: list[int] = []
    monkeypatch.setattr(slots, "fraction", lambda _purpose, _number: draw)
    monkeypatch.setattr(clock, "now_float", lambda: now[0])
    beat = Beat([tasks._slot_job("feed", lambda: length, ran.append)])
    for _ in range(5):
        due = beat.next_due()
        now[0] = due + 0.003
        beat.run_due(now[0])
    assert len(ran) == 5
    assert all(later - earlier == length for earlier, later in itertools.pairwise(ran))
