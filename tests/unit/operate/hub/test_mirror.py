"""A mirror believes nothing that the hub says: what is bent is refused, kept as evidence, and never served."""

import io

import pytest
from django.test import Client
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.services import agencies
from fairwitness.kit import http
from fairwitness.kit.operate.mirror import Mirror, MirrorError
from tests.unit.hub.conftest import bare, world  # noqa: F401 - fixtures
from tests.unit.hub.world import TICK, URL

pytestmark = pytest.mark.django_db


@pytest.fixture
def served(world):  # noqa: F811
    """Serve the hub's own pages to kit.http; `bend(path, bytes)` may change them."""
    client = Client(SERVER_NAME="localhost")
    bends = {}
    real = world.net.send

    def send(method, url, headers, body, timeout):
        if not url.startswith(URL):
            return real(method, url, headers, body, timeout)
        path = url.removeprefix(URL)
        answer = client.get(path)
        data = b"".join(answer.streaming_content) if answer.streaming else answer.content
        bend = bends.get(path) or bends.get("*")
        return http.Answer(answer.status_code, {}, io.BytesIO(bend(path, data) if bend else data).__iter__())

    world.net.send = send
    world.step(TICK)
    world.step(15)  # past the grace in which a tick is not yet asked for
    return bends


@pytest.fixture
def mirror(world, served, tmp_path):  # noqa: F811
    copy = Mirror(URL, tmp_path / "copy")
    copy.pin(copy.fetch_join())
    return copy


def test_round_after_round_it_has_what_the_hub_has(world, mirror):  # noqa: F811
    first = mirror.run()
    assert first.tick == world.latest()
    agencies.suspend(world.agency.id, "security")
    for _ in range(3):
        world.step(TICK)
    done = Mirror(URL, mirror.site.parent).run()
    assert (done.tick, done.ticks) == (world.latest(), 3)
    for path in [p.relative_to(mirror.site) for p in mirror.site.rglob("*") if p.is_file()]:
        if "tile" not in path.parts:
            assert (mirror.site / path).read_bytes() == world.get(f"/{path.as_posix()}"), path
    assert mirror.run().ticks == 0


@pytest.mark.parametrize("what", ["/log/p/tile/entries", "/log/p/checkpoint", "/feed/v1/"])
def test_a_bent_file_is_refused(world, mirror, served, what):  # noqa: F811
    before = mirror.run()
    files = {p: p.read_bytes() for p in mirror.site.rglob("*") if p.is_file()}
    for _ in range(2):
        world.step(TICK)

    def bend(path, data):
        if not path.startswith(what):
            return data
        middle = len(data) // 2 if what != "/feed/v1/" else len(data) - 5  # the newest tick's content
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    served["*"] = bend
    with pytest.raises((ProtocolError, MirrorError)):
        mirror.run()
    if what != "/feed/v1/":
        assert {p: p.read_bytes() for p in mirror.site.rglob("*") if p.is_file() and "log" in p.parts} == {
            p: data for p, data in files.items() if "log" in p.parts
        }
    # A good tick before the bent one in the same roll-up may be kept; the bent one is not.
    assert before.tick <= int((mirror.site / "feed/v1/latest").read_bytes()) < world.latest()
    served.clear()
    assert mirror.run().tick == world.latest()


def test_an_older_copy_is_told_from_a_fork(world, mirror, served):  # noqa: F811
    old = world.get("/log/p/checkpoint")
    mirror.run()
    world.step(TICK)
    mirror.run()
    served["/log/p/checkpoint"] = lambda _path, _data: old
    with pytest.raises(MirrorError, match="old copy"):
        mirror.run()


def test_another_hub_does_not_slip_in(mirror, world):  # noqa: F811
    join = mirror.pinned()
    import dataclasses  # noqa: PLC0415 - for this one change

    with pytest.raises(MirrorError, match="another hub"):
        mirror.pin(dataclasses.replace(join, name="Other").encode())
