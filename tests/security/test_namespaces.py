"""Each role in a network of its own, with a road to everywhere that leads nowhere: what does it try to reach?

    home - agency - hub - witnesses, joined by a bridge in a fifth namespace on which every frame is taken.

Their default route goes to an address that nobody has, so an attempt to reach anything else is a frame that is seen.
"""

import contextlib
import json
import os
import subprocess
import time

import pytest

from tests.security import seen
from tests.security.town import World

WITHOUT_SPACES = seen.can_make_namespaces()
pytestmark = [pytest.mark.proof, pytest.mark.network]
LIFE_SECONDS = 20
ROLES = {"witness": "10.77.0.1", "hub": "10.77.0.2", "agency": "10.77.0.3", "home": "10.77.0.4"}
SWITCH = "10.77.0.254"


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)


@contextlib.contextmanager
def network():
    tag = f"fw{os.getpid()}"
    spaces = {role: f"{tag}{role}" for role in ROLES}
    middle = f"{tag}switch"
    try:
        ip("netns", "add", middle)
        ip("-n", middle, "link", "add", "bridge0", "type", "bridge")
        ip("-n", middle, "link", "set", "bridge0", "up")
        for role, address in ROLES.items():
            ip("netns", "add", spaces[role])
            ip("-n", spaces[role], "link", "set", "lo", "up")
            ip("-n", spaces[role], "link", "add", "out", "type", "veth", "peer", "name", f"to-{role}", "netns", middle)
            ip("-n", middle, "link", "set", f"to-{role}", "master", "bridge0")
            ip("-n", middle, "link", "set", f"to-{role}", "up")
            ip("-n", spaces[role], "addr", "add", f"{address}/24", "dev", "out")
            ip("-n", spaces[role], "link", "set", "out", "up")
            # The way out exists and swallows everything, so that whoever tries it is seen.
            ip("-n", spaces[role], "neigh", "add", SWITCH, "lladdr", "02:00:00:00:00:fe", "dev", "out", "nud", "permanent")
            ip("-n", spaces[role], "route", "add", "default", "via", SWITCH)
        yield spaces, middle
    finally:
        for name in (*spaces.values(), middle):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """What each role opened while it was set up, and in a while of life after that."""
    with network() as (spaces, middle):
        world = World(tmp_path_factory.mktemp("spaces"), space=spaces, address={r: ROLES[r] for r in ("witness", "hub")})
        sniffer = seen.Sniffer(middle, "bridge0")
        ports = [seen.Sniffer(middle, f"to-{role}") for role in ROLES]
        try:
            world.public_side()
            world.department()
            world.household()
            setup = set().union(sniffer.frames, *(one.frames for one in ports))
            # From here on the home's firewall lets it reach the hub and nothing else.
            for one in (sniffer, *ports):
                one.frames.clear()
            before = int(world.get("hub", "/feed/v1/latest").body)
            time.sleep(LIFE_SECONDS)
            home = json.loads(world.cli("home", "status", world.folder("home")))
            agency = json.loads(world.cli("agency", "status", world.folder("agency")))
            after = int(world.get("hub", "/feed/v1/latest").body)
            life = set().union(sniffer.frames, *(one.frames for one in ports))
            yield {"setup": setup, "life": life, "home": home, "agency": agency, "ticks": after - before, "world": world}
        finally:
            world.stop()
            for one in (sniffer, *ports):
                one.close()


def opened(frames, role):
    return {(f.protocol, f.target, f.port) for f in frames if f.source == ROLES[role]}


needs_spaces = pytest.mark.skipif(bool(WITHOUT_SPACES), reason=WITHOUT_SPACES or "-")
HUB = ("tcp", ROLES["hub"], 18940)
WITNESSES = {("tcp", ROLES["witness"], port) for port in (18951, 18952, 18953)}


@needs_spaces
def test_a_home_opens_connections_to_its_hub_alone(lived):
    assert opened(lived["life"], "home") == {HUB}
    # Joining also asks each witness for its key: what a home's firewall must let through once (docs/operate/home.md).
    assert opened(lived["setup"], "home") <= {HUB} | WITNESSES


@needs_spaces
def test_an_agency_opens_connections_to_its_hub_alone(lived):
    assert opened(lived["life"], "agency") <= {HUB}
    assert HUB in opened(lived["setup"] | lived["life"], "agency")
    assert opened(lived["setup"], "agency") <= {HUB} | WITNESSES


@needs_spaces
def test_a_hub_opens_connections_to_its_witnesses_alone(lived):
    assert opened(lived["life"], "hub") <= WITNESSES
    assert opened(lived["life"], "hub")
    assert opened(lived["setup"], "hub") <= WITNESSES


@needs_spaces
def test_a_witness_opens_none(lived):
    assert opened(lived["setup"] | lived["life"], "witness") == set()


@needs_spaces
def test_nobody_reaches_a_home_or_an_agency(lived):
    assert {f for f in lived["setup"] | lived["life"] if f.target in (ROLES["home"], ROLES["agency"])} == set()


@needs_spaces
def test_all_of_it_works_so(lived):
    assert lived["ticks"] > LIFE_SECONDS // 3
    assert lived["home"]
    assert lived["agency"]["hub"] == "http://10.77.0.2:18940"


@pytest.mark.skipif(not WITHOUT_SPACES, reason="namespaces say it better, and were there")
def test_the_fallback_on_loopback_addresses(tmp_path):
    """Without namespaces: hub and witnesses on loopback addresses of their own, and what is connected is looked up by process."""
    world = World(tmp_path, address={"witness": "127.0.0.3", "hub": "127.0.0.2"})
    try:
        world.public_side()
        world.household()
        reached = set()
        end = time.monotonic() + LIFE_SECONDS
        while time.monotonic() < end:
            reached |= seen.connected(seen.descendants([world.processes.running["home"].pid]))
            time.sleep(0.005)
        assert reached <= {("127.0.0.2", 18940)}
    finally:
        world.stop()
