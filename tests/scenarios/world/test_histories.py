"""Whatever people and machines do, in any order: the whole world holds after every step."""

import pytest
from fairwitness_core.verify.cli import main
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.harness.acting import OPERATIONS, Story

_DRAWN = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
WHOLE = [
    ("request", 1), ("restart_home", 0), ("answer", 0), ("witness_down", 1), ("answer", 1), ("restart_hub", 0), ("collect", 0),
    ("view", 0), ("accept", 0), ("decline", 1), ("export", 0), ("withdraw_answer", 0), ("withdraw_request", 0),
]  # fmt: skip
BROKEN = [
    ("request", 0), ("approve", 0), ("witness_down", 0), ("witness_down", 1), ("answer", 2), ("restart_hub", 0),
    ("clock_jump", 2), ("witness_up", 0), ("restart_agency", 0), ("withdraw_answer", 0),
]  # fmt: skip


def _steps(least: int, most: int) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 5)), min_size=least, max_size=most)


def _hold(stage, steps):
    story = Story(stage.world(seed="history"))
    story.run([("request", 1), *steps])
    story.settle()
    known = {name: story.world.home(name).act("feed") for name in story.world.homes}
    for name, feed in known.items():
        assert feed["outcome"] == "ok", f"{name} does not follow: {feed}"
        assert feed["next_tick"] >= feed["wanted_tick"] - 1, f"{name} fell behind: {feed}"
        assert not feed["evidence"], f"{name} saw a fork: {feed}"
    assert len({tuple(story.world.home(name).act("requests")) for name in known}) == 1
    return story


@pytest.mark.slow
@pytest.mark.claim("P8", "P12", "P17")
def test_an_answer_from_request_to_bag(stage):
    story = _hold(stage, WHOLE)
    (bag,) = story.exports
    trust = stage.folder / "trust.json"
    trust.write_bytes(story.world.home("home-b").act("trust"))
    assert main([str(bag), "--trust", str(trust)]) == 0
    assert main([str(bag)]) == 3


@pytest.mark.slow
@pytest.mark.claim("P12", "P17")
def test_outages_and_restarts(stage):
    _hold(stage, BROKEN)


@pytest.mark.slow
@pytest.mark.claim("P12", "P17")
@settings(max_examples=2, **_DRAWN)
@given(steps=_steps(5, 9))
def test_the_world_holds_after_every_step(stage, steps):
    _hold(stage, steps)


@pytest.mark.proof
@pytest.mark.claim("P12", "P17")
@settings(max_examples=12, **_DRAWN)
@example(steps=WHOLE)
@given(steps=_steps(6, 20))
def test_the_world_holds_after_every_step_at_length(stage, steps):
    _hold(stage, steps)
