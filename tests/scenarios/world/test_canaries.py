"""T4: nothing of a home but what its owner sent is in any byte of hub or agency, nor in any message of theirs."""

import base64
import gzip

import pytest
from fairwitness_core.rules.jurisdiction import cover

from tests.harness import canary
from tests.harness.acts.agency import POLYGON
from tests.harness.scene import CANARY_CAMERA, CANARY_PLACE, area
from tests.harness.stage import Stage
from tests.harness.world import World

NEAR = (37.804418273, -122.271163949)
FAR = (37.761930417, -122.198277653)
NAMES = ("Canary Birdhouse 4417", "Vogelhäuschen Ost 9120", "Aunt Rosalind's attic window")


def _live(world: World) -> None:
    world.place("home-a", *NEAR, camera=NAMES[0])
    world.place("home-b", *FAR, camera=NAMES[1])
    world.place("home-c", NEAR[0] + 0.000731, NEAR[1], camera=NAMES[2], footage=False)
    request = world.request()
    world.wait(150)
    for name in world.homes:
        world.home(name).act("look", request)
    world.home("home-b").act("ignore", request)
    world.home("home-a").act("answer", request, "A red car passed at about half past seven.", at_once=True)
    world.until(lambda: [r for r in world.agency.act("responses") if r[2] == "collected"])
    world.wait(90)


def _public_cells(world: World) -> set[str]:
    return {*area(), *cover(POLYGON)}


def _needles(world: World) -> dict[str, bytes]:
    public = _public_cells(world)
    needles: dict[str, bytes] = {}
    for who, place in (("home-a", NEAR), ("home-b", FAR), ("the footage", CANARY_PLACE)):
        for name, value in (canary.spellings(*place) | canary.cells(*place, public)).items():
            needles[f"{who}'s {name}"] = value
    for name in (*NAMES, CANARY_CAMERA, "20270115_071500", str(world.stage.footage)):
        needles[f"the name {name}"] = name.encode()
    for home in world.homes:
        for number, secret in enumerate(world.home(home).act("secrets")):
            needles[f"{home}'s secret {number}"] = secret
        needles[f"the name {home}"] = home.encode()
    return needles


def _haystacks(world: World) -> list[tuple[str, bytes]]:
    found = []
    for role in ("hub", "agency"):
        for name, data in world.raw(role).items():
            found.append((f"{role}'s {name}", data))
    for number, m in enumerate(world.net.messages):
        words = f"message {number}: {m.method} {m.path}"
        sent = [m.path.encode(), *(f"{k}: {v}".encode() for k, v in m.headers), m.body]
        found.append((f"{words} (sent)", b"\n".join(sent)))
        found.append((f"{words} (answered)", b"\n".join([*(f"{k}: {v}".encode() for k, v in m.answer_headers), m.answer])))
    return found


@pytest.fixture(scope="module")
def lived(stage: Stage) -> World:
    world = stage.world(seed="canary")
    _live(world)
    world.check()
    return world


@pytest.mark.slow
@pytest.mark.claim("P4", "P18")
def test_no_string_of_a_home_is_in_any_byte_of_hub_or_agency(lived):
    found = canary.sweep(_needles(lived), _haystacks(lived))
    assert not found, f"CANARY FOUND: {found}"


@pytest.mark.slow
@pytest.mark.claim("P4", "P10")
def test_what_the_agency_opens_holds_what_the_owner_sent_and_no_more(lived):
    (rid, _, _), *_ = lived.agency.act("responses")
    manifest, clips = lived.until(lambda: lived.agency.act("opened", rid))
    found = canary.sweep(_needles(lived), [("the manifest", manifest), *(("a clip", clip) for clip in clips)])
    assert not found, f"CANARY FOUND: {found}"
    assert b"half past seven" in manifest
    assert clips


@pytest.mark.parametrize("dress", ["raw", "hex", "base64", "gzip", "utf-16", "bytes", "wal"])
def test_the_sweep_finds_what_is_planted(dress):
    plain = canary.spellings(*NEAR)["lat as written"]
    planted = {
        "raw": b"xx" + plain,
        "hex": plain.hex().encode(),
        "base64": base64.b64encode(b'{"v":' + plain + b"}"),
        "gzip": b"head" + gzip.compress(b"a row: " + plain),
        "utf-16": plain.decode().encode("utf-16-le"),
        "bytes": canary.spellings(*NEAR)["lat as a double, little endian"],
        "wal": b"\x00" * 4096 + plain + b"\x00" * 100,
    }[dress]
    assert canary.sweep(canary.spellings(*NEAR), [("planted", planted)])
    assert not canary.sweep(canary.spellings(*FAR), [("planted", planted)])
