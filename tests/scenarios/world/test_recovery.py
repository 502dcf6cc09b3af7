"""Losses: a witness, all witnesses, yesterday's backup, the log's key (design.md 9.2, 9.3, 9.14)."""

import shutil
from pathlib import Path

import pytest
from fairwitness_core.model.hub import JoinFile
from fairwitness_core.tlog.note import VerifierKey

from fairwitness.witness import services
from tests.harness.net import Message, NodeError
from tests.harness.scene import WITNESSES
from tests.harness.stage import Stage
from tests.harness.world import World

TICK = 60


@pytest.fixture
def world(stage: Stage) -> World:
    made = stage.world(("home-a", "home-b"), seed="losses")
    made.wait(70)
    return made


def _served(world: World) -> list[int]:
    return sorted(int(p.name) for p in (world.hub.folder / "feed/v1/all").iterdir())


def _head(world: World) -> int:
    return int((world.hub.folder / "log/p/public/checkpoint").read_text().splitlines()[1])


@pytest.mark.slow
@pytest.mark.claim("P12")
@pytest.mark.parametrize("lost", WITNESSES)
def test_losing_one_witness_stops_nothing(world, lost):
    world.stage.witnesses_down = {lost}
    request = world.request()
    world.wait(190)
    world.check()
    assert world.net.now // TICK in _served(world)
    for home in world.homes:
        assert world.home(home).act("requests") == [request]
        assert world.home(home).act("feed")["alarms"] == []


@pytest.mark.slow
@pytest.mark.claim("P6", "P12")
def test_without_a_quorum_nothing_is_served_and_all_comes_later_in_order(world):
    world.stage.witnesses_down = set(WITNESSES[:2])
    before, head = _served(world), _head(world)
    request = world.request()
    world.wait(250)
    world.check()
    assert _served(world) == before, "SERVED WITHOUT A QUORUM"
    assert _head(world) == head, "SERVED WITHOUT A QUORUM"
    assert world.home("home-a").act("requests") == []
    world.stage.witnesses_down = set()
    world.wait(300)
    world.check()
    after = _served(world)
    assert after == list(range(after[0], int(world.net.now // TICK) + 1))
    for home in world.homes:
        feed = world.home(home).act("feed")
        assert world.home(home).act("requests") == [request]
        assert (feed["outcome"], feed["alarms"]) == ("ok", [])


def _mirror(world: World, folder: Path) -> None:
    """Serve a copy of the hub's public files under another name, as anybody may."""

    def answer(message: Message) -> None:
        name = message.path.lstrip("/")
        for log in ("p", "s"):
            name = name.replace(f"log/{log}/", f"log/{log}/public/", 1) if name.startswith(f"log/{log}/") else name
        path = folder / name
        data = path.read_bytes() if path.is_file() else b""
        message.status, message.answer = (200, data) if path.is_file() else (404, b"")
        message.answer_headers = [("Content-Length", str(len(data)))]

    world.net.hosts["mirror.test"] = answer


@pytest.mark.slow
@pytest.mark.claim("P12")
def test_yesterdays_backup_cannot_fork_the_log(world):
    folder = world.stage.folder / "backup"
    shutil.rmtree(folder, ignore_errors=True)
    world.back_up("hub", folder)
    world.restart("hub")
    request = world.request()
    world.wait(190)
    newest = world.stage.folder / "newest"
    shutil.rmtree(newest, ignore_errors=True)
    shutil.copytree(world.hub.folder, newest)
    # The operator puts yesterday's folder back.
    world.put_back("hub", folder)
    world.restart("hub")
    size = (world.hub.folder / "log/p/leaves").stat().st_size
    assert world.hub.act("step") == "behind"
    world.wait(200)
    assert (world.hub.folder / "log/p/leaves").stat().st_size == size, "APPENDED TO AN OLD COPY"
    assert world.hub.act("step") == "behind"
    for home in world.homes:
        assert not world.home(home).act("feed")["evidence"], "a fork was shown to a home"
    # A mirror brings it back to where witnesses saw it.
    _mirror(world, newest)
    world.hub.act("recover", "http://mirror.test")
    world.restart("hub")
    assert world.hub.act("step") == "ok"
    world.wait(300)
    world.check()
    later = world.request(shift=1, case="24-777")
    world.wait(190)
    for home in world.homes:
        feed = world.home(home).act("feed")
        assert world.home(home).act("requests") == [request, later]
        assert (feed["outcome"], feed["alarms"], feed["evidence"]) == ("ok", [], [])


@pytest.mark.slow
@pytest.mark.claim("P6", "P12")
def test_a_successor_log_is_followed_only_by_who_accepts_it(world):
    request = world.request()
    world.wait(130)
    world.hub.act("successor")
    world.restart("hub")
    data = (world.hub.folder / "feed/join.json").read_bytes()
    join = JoinFile.parse(data)
    for folder in world.stage.witness_folders.values():
        for vkey in (join.public_log, join.sealed_log):
            services.trust(folder, VerifierKey.parse(vkey).name, vkey)
    world.wait(200)
    assert world.hub.act("step") == "ok"
    # Nobody is moved over: both homes refuse what the new log serves.
    for home in world.homes:
        feed = world.home(home).act("feed")
        assert feed["alarms"], "MOVED TO ANOTHER LOG in silence"
    with pytest.raises(NodeError) as caught:
        world.home("home-a").act("join", data)
    assert caught.value.code == "join.successor"
    world.home("home-a").act("join", data, successor=True)
    world.restart("home-a")
    world.wait(400)
    feed = world.home("home-a").act("feed")
    assert feed["outcome"] == "ok"
    assert request in world.home("home-a").act("requests")
    assert world.home("home-b").act("feed")["alarms"]
