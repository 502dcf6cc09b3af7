"""A home beside a hub in memory, with its clock in the test's hand."""
# ruff: noqa: PLC0415, PLR0917 - Django's modules are loaded once its settings are; the rest is layout

import shutil

import pytest

from core.tests.rules.feed_world import CENTRE, TICK, World
from tests.unit.home.fake_hub import INVITE, FakeHub


class Home:
    """Drives one home: time, beats, footage."""

    def __init__(self, world, hub, moment):
        self.world, self.hub, self._moment = world, hub, moment

    @property
    def now(self):
        return int(self._moment[0])

    def at(self, moment):
        self._moment[0] = float(moment)

    def join(self, invite=INVITE):
        from fairwitness.home.services import join

        return join.accept(self.world.join.encode(), invite=invite)

    def tick(self, **bent):
        """Let the hub publish the next tick and the home poll for it."""
        from fairwitness.home.services import follower, matching

        container = self.world.tick(**bent)
        self.at(self.world.now)
        done = follower.poll(self.now)
        matching.rematch(self.now)
        return container, done

    def tokens(self):
        from fairwitness.home.services import tokens

        return tokens.fetch_due(self.now)

    def camera(self, name="Porch", place=CENTRE, **more):
        from fairwitness.home.services import cameras

        return cameras.add(name, *place, **more)

    def recording(self, camera, start, seconds=600, path="a.mp4"):
        """A recording as a scan would leave it, without a file."""
        from fairwitness.home.models import Recording, Source

        source, _ = Source.objects.get_or_create(camera=camera, folder=f"/nowhere/{camera.pk}")
        return Recording.objects.create(
            source=source, path=path, identity={"size": 1, "mtime_ns": 1, "inode": 1}, start=start, end=start + seconds,
            seconds=float(seconds), time_source="name", codec="h264", size=1,
        )  # fmt: skip


@pytest.fixture
def moment():
    from fairwitness.kit import clock

    value = [0.0]
    clock.set_clock(lambda: value[0])
    yield value
    clock.set_clock(None)


@pytest.fixture
def world():
    world = World()
    world.publish(world.authorized())
    return world


@pytest.fixture
def hub(world, moment):
    from fairwitness_core.crypto import tokens as voprf

    from fairwitness.home.services import follower, tokens
    from fairwitness.kit import http

    hub = FakeHub(world, lambda: moment[0])
    hub.log_issuer(voprf.epoch_of(world.start))
    world.ticks(2)
    http.set_transport(hub)
    follower._cache = None
    tokens._asked.clear()
    yield hub
    http.set_transport(None)
    follower._cache = None


@pytest.fixture
def folders():
    from fairwitness.home.config import Config
    from fairwitness.kit import config

    cfg = config.current(Config)

    def clear():
        for name in ("spool", "originals", "evidence"):
            shutil.rmtree(cfg.data_dir / name, ignore_errors=True)
        (cfg.data_dir / "keys" / "slots.seed").unlink(missing_ok=True)

    clear()
    yield cfg
    clear()


@pytest.fixture
def sent():
    """What was handed to notification services: (url, title, body)."""
    from fairwitness.kit import notify

    found = []

    def take(url, title, body):
        found.append((url, title, body))
        return True

    notify.set_sender(take)
    yield found
    notify.set_sender(None)


@pytest.fixture
def lone(db, world, hub, moment, folders, sent):
    """A home that has not joined yet."""
    home = Home(world, hub, moment)
    home.at(world.now)
    return home


@pytest.fixture
def home(lone):
    """A home that joined, with a camera in the area and tokens."""
    lone.join()
    lone.porch = lone.camera()
    assert lone.tokens().ready == 8
    lone.hub.calls.clear()
    return lone


__all__ = ["TICK"]
