"""The public page of a hub with 10,000 requests: drawing all of it, and what one more tick with news costs."""

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from fairwitness_core.model.request import RequestRefused

from core.tests.rules.feed_world import _IDENTITIES, World
from fairwitness.kit.public import commands
from fairwitness.kit.public.books import Books, place_of
from fairwitness.kit.public.site import Site
from tests.unit.kit.hub.public_world import DAY, act, write

REQUESTS = int(os.environ.get("FAIRWITNESS_BENCHMARK_REQUESTS", "10000"))
TICKS = 10


def _request(world: World, number: int) -> None:
    if number % 7 == 0:
        refused = RequestRefused(
            request_id=f"{number:032x}", agency=world.authorized().agency, offense="nibrs:220", rule="text.vague", at=world.now
        )
        world.publish(refused)
        return
    _IDENTITIES[number] = _IDENTITIES[0]
    world.publish(world.request(number, at=world.now, expires=world.now + 5 * DAY))
    act(world, number, "approved")


def main(_arguments: list[str]) -> None:
    """Print what it took."""
    commands.ready()
    folder = Path(tempfile.mkdtemp(prefix="fairwitness-public-"))
    world = World()
    world.recipient(0)
    world.publish(world.authorized())
    world.tick()
    for tick in range(TICKS):
        for number in range(tick * REQUESTS // TICKS, (tick + 1) * REQUESTS // TICKS):
            _request(world, number + 1)
        world.next_tick += 30 * DAY // world.tick_seconds
        # A made-up log computes each head from scratch: few ticks, far apart.
        world.tick()
    write(world, folder / "copy")
    site = Site(Books(place_of(folder / "copy")), folder / "pages")
    began = time.perf_counter()
    count = site.draw()
    print(f"{REQUESTS} requests: {count} files drawn in {time.perf_counter() - began:.1f} s")
    paths = [path for path in (folder / "pages").rglob("*") if path.is_file()]
    print(f"{sum(path.stat().st_size for path in paths) / 1e6:.0f} MB; requests.json "
          f"{(folder / 'pages/requests.json').stat().st_size / 1e6:.1f} MB; index.html "
          f"{(folder / 'pages/index.html').stat().st_size / 1e3:.0f} kB")  # fmt: skip
    for what, news in (("a tick without news", 0), ("a tick with one new request", 1), ("a tick with ten", 10)):
        for number in range(news):
            _request(world, int(hashlib.sha256(f"{what}{number}".encode()).hexdigest()[:8], 16) * 7 + 1)
        world.tick()
        write(world, folder / "copy")
        began = time.perf_counter()
        count = site.draw()
        print(f"{what}: {count} files in {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    again = Site(Books(place_of(folder / "copy")), folder / "pages")
    count = again.draw()
    print(f"a process that begins again: {count} files in {time.perf_counter() - began:.1f} s")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
