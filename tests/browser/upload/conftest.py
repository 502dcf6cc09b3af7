"""A real home that follows a small hub in memory: it has a camera, and a request that asks about its street."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.conftest import RUN, Node, _environment

ROOT = Path(__file__).parent.parent.parent.parent
SET_UP = """
import json, sys, time
from pathlib import Path
from fairwitness.kit import clock, supervise
folder = Path(sys.argv[1])
supervise.setup("home", folder)
from fairwitness.kit import database, http
database.migrate_at_start()
from core.tests.rules.feed_world import CENTRE, TICK, World, key
from fairwitness.home.services import cameras, follower, join, matching
from tests.unit.home.fake_hub import FakeHub
now = int(time.time())
world = World(start=(now - 8 * TICK) // TICK * TICK)
keys = tuple(world.agency_key(o, not_after=now + 10**8) for o in world.officers)
console = world.agency_key(world.console, "agency", not_after=now + 10**8)
world.publish(world.authorized(keys=(*keys, console), expires=now + 10**8))
moment = [float(world.start)]
clock.set_clock(lambda: moment[0])
http.set_transport(FakeHub(world, lambda: moment[0]))
world.ticks(2)
moment[0] = float(world.now)
join.accept(world.join.encode())
world.publish(world.request(1))
world.tick()
moment[0] = float(world.now)
while follower.poll(world.now).ticks:  # a poll brings one day's ticks: two where midnight lies between
    pass
cameras.add("Front door", *CENTRE)
(row,) = matching.Request.objects.all()
print(json.dumps({"start": row.start, "end": row.end}))
"""


@pytest.fixture(scope="session")
def nodes(tmp_path_factory, chromium):
    """A running home. `codes` holds the begin and end of the request's window, and the data folder."""
    from fairwitness.kit import config  # noqa: PLC0415 - only where a node runs

    folder = tmp_path_factory.mktemp("home") / "data"
    config.write(folder, {"workers": 1, "name": "Home in Maple Street", "stop_seconds": 2})
    environment = _environment() | {"PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        [sys.executable, "-c", SET_UP, str(folder)], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    asked = json.loads(made.stdout.splitlines()[-1])
    with (folder.parent / "home.stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "home", str(folder)], stdout=subprocess.PIPE, stderr=errors, env=_environment()
        )
    try:
        line = process.stdout.readline()
        assert line, (folder.parent / "home.stderr").read_text()
        yield {"home": Node("home", json.loads(line)["url"], asked | {"folder": folder, "pid": process.pid})}
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait(30)


def pair(folder):
    """Run `fairwitness home pair` and return the address that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "fairwitness", "home", "pair", str(folder)],
        env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return next(word for word in done.stdout.split() if "/pair#" in word)


def web_process(node):
    """Return the process id of the home's web server."""
    children = Path(f"/proc/{node.codes['pid']}/task/{node.codes['pid']}/children").read_text().split()
    return next(int(pid) for pid in children if b"\0web\0" in Path(f"/proc/{pid}/cmdline").read_bytes())


def kill_web(node):
    """Kill the web server and what it started, as a power cut would."""
    pid = web_process(node)
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
