"""An old copy forks nothing; a mirror's tiles bring it back; a lost log has a successor that names it."""

import shutil

import pytest
from fairwitness_core.model.feed import read_containers
from fairwitness_core.rules import feed as rules
from fairwitness_core.rules.pinned import Pinned

from fairwitness.hub.errors import HubState
from fairwitness.hub.models import LogEntry
from fairwitness.hub.services import agencies, directory, identity, ledger, recover
from fairwitness.kit import http
from tests.unit.hub.test_requests import logged, publish
from tests.unit.hub.world import TICK


def backup(world, name):
    world.stop()
    shutil.copytree(world.hub / "log", world.folder / name)


def restore(world, name):
    world.stop()
    ledger.forget_readers()
    shutil.rmtree(world.hub / "log")
    shutil.copytree(world.folder / name, world.hub / "log")
    ledger.forget_rows()
    directory.forget()


def serve_mirror(world, name):
    """A mirror: the public files of a copy, under another name."""

    def app(environ, start):
        _, _, log, rest = environ["PATH_INFO"].split("/", 3)
        path = world.folder / name / log / "public" / rest
        if not path.is_file():
            start("404 Not Found", [])
            return [b""]
        start("200 OK", [])
        return [path.read_bytes()]

    world.net.apps["mirror.test"] = app


@pytest.mark.claim("P12")
def test_yesterdays_copy_refuses_to_append_and_is_refilled(world):
    backup(world, "yesterday")
    request = world.agency.request()
    publish(world, request)
    world.step(TICK)
    head = world.get("/log/p/checkpoint")
    before, _ = world.follow()
    backup(world, "mirror")
    restore(world, "yesterday")
    agencies.suspend(world.agency.id, "security") if directory.current().agency(world.agency.id) else None
    assert world.step(TICK) == "behind"
    assert world.step(TICK) == "behind"
    assert world.client.get("/healthz").json()["state"] == "behind"
    world.stop()
    serve_mirror(world, "mirror")
    sizes = recover.from_mirror("http://mirror.test")
    assert world.get("/log/p/checkpoint") == head
    assert sizes["p"] == LogEntry.objects.count()
    assert world.step(TICK) == "ok"
    state, verified = world.follow(before)
    assert verified
    assert state.next_tick == world.latest() + 1
    assert len(logged(world, "request_published")) == 1


def test_a_mirror_that_is_older_or_another_is_refused(world):
    backup(world, "old")
    publish(world, world.agency.request())
    world.stop()
    serve_mirror(world, "old")
    entries = LogEntry.objects.count()
    with pytest.raises(HubState, match="find a newer mirror"):
        recover.from_mirror("http://mirror.test")
    with pytest.raises(http.Unreachable):
        recover.from_mirror("http://nowhere.test")
    assert LogEntry.objects.count() == entries
    assert world.step(TICK) == "ok"


@pytest.mark.claim("P12")
def test_a_witness_that_saw_another_head_stops_the_hub(world):
    """The same folder run twice: each side alone looks fine, the witnesses see two heads of one size."""
    backup(world, "twin")
    publish(world, world.agency.request())
    world.stop()
    after = world.folder / "ours"
    shutil.copytree(world.hub / "log", after)
    restore(world, "twin")
    assert world.step() == "behind"
    world.stop()
    world.net.down = {"w1.test", "w2.test", "w3.test"}
    assert world.step() == "starting"


@pytest.mark.claim("P12")
def test_a_lost_log_has_a_successor(world):
    request = world.agency.request()
    publish(world, request)
    world.step(TICK)
    old_join, old_latest = world.join, world.latest()
    old = identity.load()
    head = ledger.reader("p").cosigned
    world.stop()
    (world.hub / "keys" / "log-public.key").unlink()
    document = recover.successor()
    assert (document.predecessor.origin, document.predecessor.size) == (old.vkey("p").name, head.size)
    assert document.predecessor.root == head.root
    new = identity.load()
    assert new.genesis_sha256 != old.genesis_sha256
    assert new.hub_key.public == old.hub_key.public
    world.trust([(new.vkey(log).name, new.vkey(log).encode()) for log in identity.LOGS])
    world.now = max(world.now, document.at)
    assert world.step(TICK) == "ok"
    assert world.join.genesis != old_join.genesis
    assert world.latest() > old_latest
    # A home that pinned the old log believes nothing of the new one until its owner accepts the new join file.
    pin = Pinned.of(old_join, old.genesis)
    (newest,) = read_containers(world.get(f"/feed/v1/all/{world.latest()}"))
    with pytest.raises(Exception, match=r"policy\.|feed\.|checkpoint\."):
        rules._logged_tick(newest, pin.policy, pin)
    _, verified = world.follow()
    assert [p.request.id for v in verified for p in v.published] == [request.id]
    assert world.agency.call("request_state", {"request_id": request.id})["state"] == "published"


def test_a_successor_can_be_taken_up_after_a_stop(world, monkeypatch):
    publish(world, world.agency.request())
    world.step(TICK)
    world.stop()
    real = recover._log_again
    monkeypatch.setattr(recover, "_log_again", lambda plan, now: (_ for _ in ()).throw(OSError("stopped")))
    with pytest.raises(OSError, match="stopped"):
        recover.successor()
    monkeypatch.setattr(recover, "_log_again", real)
    document = recover.successor()
    new = identity.load()
    assert document == new.document
    world.trust([(new.vkey(log).name, new.vkey(log).encode()) for log in identity.LOGS])
    world.now = max(world.now, document.at)
    assert world.step(TICK) == "ok"
    world.follow()
