"""A sequencer stopped at any write goes on where it was: nothing acknowledged is lost, nothing appears twice."""

import os

import pytest

from fairwitness.hub.models import LogEntry, PendingEntry, Tick
from fairwitness.hub.services import agencies, directory, moderation
from fairwitness.kit import durable, files
from fairwitness.kit.logstore import LogStore
from tests.unit.hub.test_requests import logged
from tests.unit.hub.world import TICK


class Stop(BaseException):
    """The process ends here, as far as anything in it can tell."""


POINTS = [
    (LogStore, "append"),
    (LogStore, "publish"),
    (files, "write_atomic"),
    (files, "append_durable"),
    (files, "sync_folder"),
    (durable, "replace"),
    (Tick.objects.__class__, "bulk_create"),
]


def schedule(world):
    """What has been acknowledged when the stops begin: two requests, a rotation, a commitment."""
    sent = []
    for n in range(2):
        request = world.agency.request(case=f"26-{n}", emergency=True)
        world.agency.submit(request)
        sent.append(request)
    world.agency.officers.append(world.agency.eve)
    agencies.register(world.agency.registration())
    return sent


def check(world, sent):
    state, verified = world.follow()
    assert sorted(p.request.id for v in verified for p in v.published) == sorted(r.id for r in sent)
    assert not [r for v in verified for r in v.refused]
    numbers = [t["tick"] for t in logged(world, "feed_tick")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len({row.sha256 for row in LogEntry.objects.all()}) == LogEntry.objects.count()
    assert not PendingEntry.objects.filter(state="queued").exists()
    assert set(Tick.objects.values_list("state", flat=True)) == {"served"}
    assert len(state.directory.agency(world.agency.id).keys) == 4


@pytest.mark.claim("P12")
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("point", range(len(POINTS)))
def test_stopped_at_any_write(world, monkeypatch, point, place):
    owner, name = POINTS[point]
    real = getattr(owner, name)
    sent = schedule(world)
    world.now += 2 * TICK + 1
    for stop_at in range(1, 40):
        count = 0

        def stopping(*args, _stop_at=stop_at, **kwargs):
            nonlocal count
            count += 1
            if count == _stop_at and place == "before":
                raise Stop
            found = real(*args, **kwargs)
            if count == _stop_at:
                raise Stop
            return found

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stopping)
            try:
                world.step()
            except Stop:
                stopped = True
            else:
                stopped = False
        # A new process: nothing in memory survives.
        world.stop()
        directory.forget()
        if not stopped:
            break
        world.now += 1
        if stop_at % 3 == 0:
            world.now += TICK
    assert world.step(TICK) == "ok"
    check(world, sent)


def test_a_failed_sync_of_the_log_is_not_believed(world, monkeypatch):
    sent = schedule(world)
    name = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
    with monkeypatch.context() as patch:
        patch.setattr(os, name, lambda handle: (_ for _ in ()).throw(OSError("the disk did not answer")))
        with pytest.raises(Exception, match="did not"):
            world.step(TICK)
    assert world.step(TICK) == "ok"
    check(world, sent)


def test_moderation_twice_is_once(world):
    request = world.agency.request()
    world.agency.submit(request)
    for _ in range(3):
        moderation.approve(request.id, 7)
    world.step(1)
    moderation.approve(request.id, 7)
    world.step(1)
    assert len(logged(world, "request_published")) == len(logged(world, "moderation_action")) == 1
