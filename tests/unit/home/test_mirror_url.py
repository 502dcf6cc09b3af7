"""A home that reads a mirror sends the very same polls, to another host."""

import dataclasses

import pytest

from fairwitness.home.config import Config
from fairwitness.home.services import follower
from fairwitness.kit import config

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reads(hub, monkeypatch):
    """The addresses that are asked for."""
    asked = []
    real = hub.send

    def send(method, url, headers, body, timeout):
        asked.append((method, url))
        return real(method, url.replace("https://mirror.test", hub.world.join.url), headers, body, timeout)

    monkeypatch.setattr(hub, "send", send)
    return asked


def test_only_the_host_of_feed_gets_changes(reads, home, world):
    home.join()
    for _ in range(4):
        home.tick()  # history comes by the day
    reads.clear()
    home.tick()
    direct = [url.removeprefix(world.join.url) for _, url in reads]
    before = config.current(Config)
    config.use(dataclasses.replace(before, mirror_url="https://mirror.test/"))
    try:
        reads.clear()
        _, done = home.tick()
    finally:
        config.use(before)
    assert done.ticks == 1
    assert [url.rpartition("/")[0] for _, url in reads] == ["https://mirror.test" + path.rpartition("/")[0] for path in direct]
    assert follower.status(home.now).outcome == "ok"


@pytest.mark.parametrize("bad", ["mirror.test", "ftp://mirror.test", "https://", "https://m.test/?who=me", "https://m.test/#x"])
def test_a_mirrors_address_is_an_address(bad):
    with pytest.raises(config.ConfigError, match="mirror_url"):
        Config(mirror_url=bad)
