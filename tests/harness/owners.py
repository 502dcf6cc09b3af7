"""Owners as hypothesis draws them: what a base world fixes for both variations, and what each varies freely."""

from dataclasses import dataclass, field

import h3
from hypothesis import strategies as st

from tests.harness.scene import START, area
from tests.harness.world import World

ELSEWHERE = (37.7601, -122.2004)
COMPANY = "pover://user@token"  # a push service: whoever runs it learns when it is used
LOCAL = "ntfy://192.168.1.5/alerts"
MUTES = ("none", "all", "agency", "offense", "quiet")
ACTS = ("none", "look", "ignore", "look_ignore", "draft_drop", "confirm_cancel")


@dataclass(frozen=True)
class Owner:
    """What may differ between two worlds without anybody else noticing."""

    near: bool = True
    jitter: int = 0
    footage: bool = True
    mute: str = "none"
    act: str = "none"
    local_channel: bool = False
    camera: str = "Porch"


@dataclass(frozen=True)
class Base:
    """What both worlds share: requests, who answers what, whose alerts a company carries."""

    requests: int = 1
    answers: tuple[str, ...] = ()
    clips: bool = True
    company: tuple[str, ...] = ("home-a",)
    withdraw_request: bool = False
    take_back: bool = False


@dataclass(frozen=True)
class Plan:
    """One world: the base and an owner for each home that exists."""

    base: Base
    owners: dict[str, Owner] = field(default_factory=dict)


def owners() -> st.SearchStrategy[Owner]:
    """Any owner."""
    return st.builds(
        Owner,
        near=st.booleans(),
        jitter=st.integers(0, 6),
        footage=st.booleans(),
        mute=st.sampled_from(MUTES),
        act=st.sampled_from(ACTS),
        local_channel=st.booleans(),
        camera=st.sampled_from(("Porch", "Garage", "Küche 7")),
    )


def bases() -> st.SearchStrategy[Base]:
    """Any base."""
    return st.builds(
        Base,
        requests=st.integers(1, 2),
        answers=st.sampled_from(((), ("home-a",), ("home-b",), ("home-a", "home-b"))),
        clips=st.booleans(),
        company=st.sampled_from(((), ("home-a",), ("home-b", "home-c"))),
        withdraw_request=st.booleans(),
        take_back=st.booleans(),
    )


def spot(owner: Owner) -> tuple[float, float]:
    """Where the owner's camera stands: in the area, or far from it; `jitter` picks the cell and the metre."""
    if not owner.near:
        return ELSEWHERE[0] + owner.jitter * 0.0013, ELSEWHERE[1]
    lat, lon = h3.cell_to_latlng(area()[owner.jitter % 7])
    return lat + owner.jitter * 1e-5, lon


def answering(owner: Owner) -> Owner:
    """The same owner, as far as its free choices go, with what an answer needs."""
    return Owner(True, 0, True, owner.mute, "look", owner.local_channel, owner.camera)


def play(world: World, plan: Plan) -> None:
    """Let a plan happen. Every act of the base comes at the same moment in every variation."""
    base = plan.base
    for name, drawn in sorted(plan.owners.items()):
        owner = answering(drawn) if name in base.answers else drawn
        _settle(world, name, owner, base)
    ids = [world.request(shift=number, case=f"24-00{number}") for number in range(base.requests)]
    world.wait(150)
    for name, drawn in sorted(plan.owners.items()):
        _act(world, name, answering(drawn) if name in base.answers else drawn, ids[0])
    sent = {name: world.home(name).act("answer", ids[0], f"I saw it. {name}", clips=base.clips) for name in base.answers}
    if base.take_back and sent:
        world.wait(270)
        name = next(iter(sent))
        world.home(name).act("withdraw", sent[name])
    # Long enough for the daily message, and where somebody answers for upload, collection and the agency's acts.
    world.wait(390 if sent else 170)
    for rid, _, state in world.agency.act("responses"):
        if state == "collected":
            world.agency.act("view", rid) if base.clips else None
            world.agency.act("accept", rid)
    world.wait(60 if sent else 0)
    for rid, _, state in world.agency.act("responses"):
        if state == "collected":
            world.agency.act("accept", rid)
    if base.withdraw_request:
        world.agency.act("withdraw", ids[0])
    world.wait(70)


def _settle(world: World, name: str, owner: Owner, base: Base) -> None:
    home = world.home(name)
    world.place(name, *spot(owner), camera=owner.camera, footage=owner.footage)
    home.act(
        "choose",
        everything=owner.mute == "all",
        agency="us-ca-oakland" if owner.mute == "agency" else "",
        offense="nibrs:220" if owner.mute == "offense" else "",
        quiet=(0, 1439) if owner.mute == "quiet" else None,
    )
    home.act("digest_at", START // 60 % 1440 + 5)
    if name in base.company:
        home.act("channel", "company", COMPANY)
    if owner.local_channel:
        home.act("channel", "mine", LOCAL, instant=True)


def _act(world: World, name: str, owner: Owner, request_id: str) -> None:
    home = world.home(name)
    if request_id not in home.act("requests"):
        if owner.mute == "none":
            raise AssertionError(f"{name} does not know the request: these worlds would show nothing")
        return  # whatever made a muted home miss it shows in the views
    if owner.near and owner.footage and request_id not in home.act("matched"):
        raise AssertionError(f"{name} does not match the request: these worlds would show nothing")
    for word in owner.act.split("_") if owner.act == "look_ignore" else [owner.act]:
        match word:
            case "look":
                home.act("look", request_id)
            case "ignore":
                home.act("ignore", request_id)
            case "draft_drop":
                home.act("draft_and_drop", request_id)
            case "confirm_cancel" if home.act("tokens"):  # who joined just now has none yet
                home.act("confirm_and_cancel", request_id)
