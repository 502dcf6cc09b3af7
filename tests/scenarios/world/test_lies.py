"""T7 and T8: a hub that lies to one household, and requests that no household may be shown, met by three parties each alone."""

import h3
import pytest
from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.directory import Directory
from fairwitness_core.model.hub import JoinFile
from fairwitness_core.model.request import Request
from fairwitness_core.rules.caps import AgencyFacts, HubPolicy, check_published
from fairwitness_core.tlog import cosignature
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.witness import services
from tests.harness import lies
from tests.harness.lies import Forger, bait
from tests.harness.scene import START, WINDOW, area
from tests.harness.stage import Stage
from tests.harness.world import World

VICTIM, OTHER = "home-a", "home-b"
TICK = 60


@pytest.fixture
def world(stage: Stage) -> World:
    made = stage.world((VICTIM, OTHER), seed="lies")
    made.wait(130)
    return made


def _poll(world: World, forge) -> dict:
    """Let the next poll of one household meet a forged container; returns what that poll made of it."""
    following = world.home(VICTIM).act("feed")["next_tick"]
    while not (world.hub.folder / "feed/v1/all" / str(following)).exists():
        world.wait(10)
    lies.serve(world, f"/feed/v1/all/{following}", forge(following), only=VICTIM)
    return world.home(VICTIM).act("poll")


LIES = {
    "a line more in the bundle": (lambda f, n, extra: f.appended(n, extra).encode(), "feed.root"),
    "a forked log": (lambda f, n, extra: f.forked(n, extra).encode(), "policy.quorum"),
    "the tick before, again": (lambda f, n, extra: f.container(n - 1).encode(), "feed.tick feed.replay"),
    "two ticks in one": (lambda f, n, extra: f.container(n).encode() * 2, "feed.tick feed.replay feed.count"),
    "bytes behind the tick": (lambda f, n, extra: f.container(n).encode() + b"\x00", "container. feed. wire."),
    "half a tick": (lambda f, n, extra: f.container(n).encode()[:-3], "container. feed. wire."),
}


@pytest.mark.slow
@pytest.mark.claim("P6")
def test_a_lie_to_one_household_is_not_believed(world):
    forger = Forger(world)
    for name, (forge, codes) in LIES.items():
        extra = bait(world, case=f"24-8{len(name)}")
        found = _poll(world, lambda tick, forge=forge, extra=extra: forge(forger, tick, extra))
        feed = world.home(VICTIM).act("feed")
        assert found["code"].startswith(tuple(codes.split())), f"LIE BELIEVED: {name}: {found}"
        assert world.home(VICTIM).act("requests") == [], f"LIE BELIEVED: {name}"
        assert feed["evidence"], f"nothing was kept of {name} to show to others"
        world.net.tamper = lambda message: False
        world.wait(70)
    world.wait(130)
    assert world.home(VICTIM).act("feed")["next_tick"] >= world.home(OTHER).act("feed")["next_tick"] - 1


@pytest.mark.slow
@pytest.mark.claim("P6", "P12")
def test_a_fork_with_one_witness_of_three_is_not_believed_and_convicts_the_hub(world):
    forger = Forger(world, witnesses=("press",))
    extra = bait(world)
    found = _poll(world, lambda tick: forger.forked(tick, extra).encode())
    assert found["code"] == "policy.quorum", f"LIE BELIEVED: {found}"
    # The same head, shown to an honest witness, is refused; both heads of one size are kept there as proof.
    tick = world.home(VICTIM).act("feed")["next_tick"]
    head = Forger(world).fork_head(tick, extra)
    folder = world.stage.witness_folders["clinic"]
    config = services.load(folder)
    held = next(h for h in map(services.open_store(config).head, config.logs) if h is not None and h.origin in head.decode())
    answer = services.add_checkpoint(
        services.open_store(config), config, cosignature.add_checkpoint_body(held.size, [], head), int(world.net.now)
    )
    assert answer.status != 200, "FORK COSIGNED"


@pytest.mark.slow
@pytest.mark.claim("P6")
def test_a_household_that_is_shown_nothing_new_says_so(world):
    world.net.tamper = lambda m: m.target == "hub.test" and m.source == VICTIM and m.path.startswith("/feed/")
    world.net.now += 7200
    world.wait(180)
    assert "feed.stale" in world.home(VICTIM).act("feed")["alarms"]
    assert world.home(OTHER).act("feed")["alarms"] == []


BAITS = {
    "one cell": ({"area": area()[:1]}, "area.small"),
    "an address on the web": (
        {"msg": "See http://example.org/van for a photo of the silver van, and tell us who it is."},
        "text.",
    ),
    "an image": ({"msg": "The van <img src=//e.example/x.png> with a ladder on its roof drove north on Main."}, "text."),
    "a window of thirteen hours": ({"from": WINDOW[1] - 13 * 3600}, "window."),
    "an offence of group B": ({"offense": "nibrs:90Z"}, "offense."),
    "a life of two months": ({"expires": START + 60 * 86_400}, "expiry. time. expires."),
    "cells that do not touch": ({"area": sorted([*area()[:6], h3.grid_ring(area()[0], 6)[0]])}, "area."),
    "a single signer": ({"signers": ("diaz",)}, "signers. request.signers"),
    "the same signer twice": ({"signers": ("diaz", "diaz")}, "dsse.duplicate_signer"),
}
UNREADABLE = {"the same signer twice"}  # no entry of any log: no program of ours can even read it


def _monitor(world: World, envelope: bytes, index: int) -> str:
    """What a stranger with nothing but public files makes of an entry: the rule it breaks."""
    join = JoinFile.parse((world.hub.folder / "feed/join.json").read_bytes())
    snapshot = max((world.hub.folder / "feed/v1/agencies").iterdir(), key=lambda p: p.stat().st_size).read_bytes()
    record = Directory.read(PublicKey(join.hub_key), snapshot).agency("us-ca-oakland", below=index)
    parsed = dsse.Envelope.parse(envelope)
    request = Request.from_document(canonical.decode(parsed.payload))
    now = int(world.net.now)
    keys = record.officers(now)
    facts = AgencyFacts(
        agency=request.agency,
        state=record.authorized.state,
        federal=record.authorized.federal,
        active=not record.suspended,
        jurisdiction=record.authorized.jurisdiction,
        officer_keys=[key.kid for key in keys],
    )
    signers = [key.kid for key in parsed.signers(keys)]
    verdict = check_published(request, signers=signers, agency=facts, now=now, policy=HubPolicy("CA"))
    return verdict.violations[0].rule if verdict.violations else ""


@pytest.mark.slow
@pytest.mark.claim("P6")
def test_baits_are_refused_by_the_hub_by_homes_and_by_a_monitor(world):
    baits = {name: bait(world, **changes) for name, (changes, _) in BAITS.items()}
    # 1. An honest hub refuses each.
    for name, envelope in baits.items():
        answer = world.agency.act("submit", envelope)
        assert "refused" in answer, f"BAIT TAKEN by the hub: {name}"
        rules = [answer["refused"], *answer["rules"]]
        assert any(rule.startswith(tuple(BAITS[name][1].split())) for rule in rules), (name, rules)
    world.wait(70)
    # 2. A malicious one logs them all; witnesses cosign, for it is one log for everybody. Homes refuse each.
    world = world.stage.world((VICTIM, OTHER), seed="lies")
    world.wait(130)
    baits = {name: bait(world, **changes) for name, (changes, _) in BAITS.items() if name not in UNREADABLE}
    good = bait(world, case="24-901")
    indexes = world.hub.act("inject", [*baits.values(), good])
    world.wait(200)
    for home in (VICTIM, OTHER):
        refused = dict(world.home(home).act("feed")["refused"])
        for name, envelope in baits.items():
            number = canonical.decode(dsse.Envelope.parse(envelope).payload)["id"]
            assert number in refused, f"BAIT SHOWN by {home}: {name}"
            assert refused[number].startswith(tuple(BAITS[name][1].split())), (name, refused[number])
        assert world.home(home).act("requests") == [canonical.decode(dsse.Envelope.parse(good).payload)["id"]]
    # 3. Anybody who reads the log finds each.
    for (name, envelope), index in zip(baits.items(), indexes, strict=False):
        try:
            rule = _monitor(world, envelope, index)
        except ProtocolError as error:
            rule = error.code
        assert rule, f"BAIT UNSEEN by the monitor: {name}"
        assert rule.startswith(tuple(BAITS[name][1].split())), (name, rule)
    assert _monitor(world, good, indexes[-1]) == ""


@pytest.mark.slow
@pytest.mark.claim("P6", "P12")
def test_a_removed_officer_counts_no_more_from_the_rotation_on(world):
    before = world.request()
    world.wait(130)
    late = bait(world, case="24-902")
    world.agency.act("remove_officer", "diaz")
    world.hub.act("register", world.agency.act("registration"))
    world.wait(70)
    assert "refused" in world.agency.act("submit", late), "BAIT TAKEN by the hub: a removed officer's"
    again = bait(world, case="24-903", signers=("lee", "okafor"))
    world.hub.act("inject", [late, again])
    world.wait(200)
    home = world.home(VICTIM)
    number = canonical.decode(dsse.Envelope.parse(late).payload)["id"]
    assert number in dict(home.act("feed")["refused"]), "BAIT SHOWN: a removed officer's"
    assert home.act("requests") == [before, canonical.decode(dsse.Envelope.parse(again).payload)["id"]]


@pytest.mark.slow
@pytest.mark.claim("P12")
def test_a_kind_of_the_next_version_is_kept_opaque_and_counted(world):
    forger = Forger(world)
    unknown = canonical.encode({"v": 1, "type": "hotlist_changed", "agency": "us-ca-oakland", "bucket": "10-99"})
    world.hub.act("newer", ["hotlist_changed"])
    world.hub.act("inject", [dsse.sign(dsse.ENTRY, unknown, forger.hub_key).encode()])
    request = world.request()
    world.wait(200)
    feed = world.home(VICTIM).act("feed")
    assert feed["opaque"] == 1
    assert feed["alarms"] == []
    assert world.home(VICTIM).act("requests") == [request]
