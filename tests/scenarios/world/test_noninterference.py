"""T1 and T3: two worlds that differ only in what owners are and do look the same to everybody else (protocol.md 11).

A view is every byte and virtual moment that an actor can see, with its rows, files and journal. Both worlds share their
requests and their voluntary answers, nothing else.
"""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.harness import owners, views
from tests.harness.owners import Base, Owner, Plan
from tests.harness.scene import HOMES, JOINED
from tests.harness.stage import Stage

BUSY = {
    "home-a": Owner(near=True, footage=True, mute="none", act="look", local_channel=True),
    "home-b": Owner(near=True, jitter=3, footage=True, mute="none", act="look_ignore", local_channel=True),
    "home-c": Owner(near=True, jitter=5, footage=True, mute="none", act="draft_drop"),
}
ASLEEP = {
    "home-a": Owner(near=False, footage=False, mute="all"),
    "home-b": Owner(near=False, jitter=1, footage=True, mute="quiet"),
    "home-c": Owner(near=True, jitter=5, footage=True, mute="agency"),
}
QUIET = Base(company=("home-a", "home-b"))
_DRAWN = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],  # a world takes seconds: the first difference says enough
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


def _all_views(stage: Stage, plan: Plan) -> dict[str, views.View]:
    world = stage.world(plan.owners)
    owners.play(world, plan)
    world.check()
    return {
        "agency": world.agency_view(),
        "hub": world.hub_view(),
        "mirror": world.mirror_view(),
        "provider": world.provider_view(),
        "network": world.network_view(),
    }


def _compare(stage: Stage, base: Base, left: dict[str, Owner], right: dict[str, Owner]) -> None:
    first, second = _all_views(stage, Plan(base, left)), _all_views(stage, Plan(base, right))
    for actor in ("provider", "network", "mirror", "hub", "agency"):
        views.same(first[actor], second[actor], actor)


@pytest.mark.slow
@pytest.mark.claim("P1", "P2", "P3", "P7")
def test_a_street_that_matches_and_ignores_looks_like_one_asleep(stage):
    _compare(stage, QUIET, BUSY, ASLEEP)


@pytest.mark.slow
@pytest.mark.claim("P1", "P2", "P3", "P7", "P10")
def test_what_the_others_do_around_an_answer_is_not_seen(stage):
    base = Base(answers=("home-b",), company=("home-a", "home-b"))
    _compare(stage, base, BUSY, ASLEEP)


@pytest.mark.slow
@pytest.mark.claim("P3", "P7")
@settings(max_examples=2, **_DRAWN)
@given(base=owners.bases(), left=st.tuples(*[owners.owners()] * 3), right=st.tuples(*[owners.owners()] * 3))
def test_hub_mirror_and_provider_see_nothing_of_owners(stage, base, left, right):
    _compare(stage, base, dict(zip(JOINED, left, strict=True)), dict(zip(JOINED, right, strict=True)))


@pytest.mark.proof
@pytest.mark.claim("P3", "P7")
@settings(max_examples=12, **_DRAWN)
@given(base=owners.bases(), left=st.tuples(*[owners.owners()] * 3), right=st.tuples(*[owners.owners()] * 3))
def test_hub_mirror_and_provider_see_nothing_of_owners_at_length(stage, base, left, right):
    _compare(stage, base, dict(zip(JOINED, left, strict=True)), dict(zip(JOINED, right, strict=True)))


def _existing() -> st.SearchStrategy[dict[str, Owner]]:
    others = st.sets(st.sampled_from([name for name in HOMES if name != "home-b"]))
    return others.flatmap(lambda names: st.fixed_dictionaries({name: owners.owners() for name in sorted(names | {"home-b"})}))


def _agency_sees(stage: Stage, base: Base, left: dict[str, Owner], right: dict[str, Owner]) -> None:
    seen = []
    for variation in (left, right):
        world = stage.world(variation)
        for name in set(variation) - set(JOINED):
            world.home(name).act("join", stage.facts["join"], stage.facts["invites"][name])
            world.restart(name)
        owners.play(world, Plan(base, variation))
        world.check()
        seen.append(world.agency_view())
    views.same(*seen, "agency")


@pytest.mark.slow
@pytest.mark.claim("P1", "P2")
def test_to_the_agency_a_lonely_home_looks_like_a_full_street(stage):
    _agency_sees(stage, Base(answers=("home-b",)), {"home-b": BUSY["home-b"]}, BUSY | {"home-d": Owner()})


@pytest.mark.slow
@pytest.mark.claim("P1", "P2")
@settings(max_examples=1, **_DRAWN)
@given(answers=st.booleans(), left=_existing(), right=_existing())
def test_the_agency_cannot_tell_who_exists(stage, answers, left, right):
    _agency_sees(stage, Base(answers=("home-b",) if answers else ()), left, right)


@pytest.mark.proof
@pytest.mark.claim("P1", "P2")
@settings(max_examples=12, **_DRAWN)
@given(answers=st.booleans(), left=_existing(), right=_existing())
def test_the_agency_cannot_tell_who_exists_at_length(stage, answers, left, right):
    _agency_sees(stage, Base(answers=("home-b",) if answers else ()), left, right)
