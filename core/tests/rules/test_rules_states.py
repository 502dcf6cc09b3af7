import pytest
from fairwitness_core.rules import retention, states
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

TABLES = sorted(states.TABLES.values(), key=lambda table: table.name)
EVENTS = sorted({event for table in TABLES for state in table.states for event in table.events(state)})


@given(st.sampled_from(TABLES), st.lists(st.sampled_from(EVENTS), max_size=40))
def test_any_walk_stays_on_the_table(table, walk):
    state = table.start
    for event in walk:
        if event in table.events(state):
            state = states.advance(table, state, event)
            assert state in table.states
        else:
            with pytest.raises(ProtocolError, match=r"^state\.illegal:") as caught:
                states.advance(table, state, event)
            assert caught.value.hint


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_can_end_or_go_on_serving(table):
    assert any(table.is_final(state) for state in table.states)
    with pytest.raises(ProtocolError, match=r"^state\.unknown:"):
        states.advance(table, "nonsense", "publish")


def test_a_table_that_does_not_hang_together_is_no_table():
    with pytest.raises(ValueError, match="island"):
        states.make_table("broken", "a", {"a": {}, "island": {}})


def go(table: states.Table, *events: str) -> str:
    state = table.start
    for event in events:
        state = states.advance(table, state, event)
    return state


def test_requests():
    assert go(states.REQUEST, "approve", "publish", "withdraw") == "withdrawn"
    assert go(states.REQUEST, "publish_emergency", "review") == "published"
    assert go(states.REQUEST, "publish_emergency", "withdraw") == "withdrawn"
    with pytest.raises(ProtocolError):
        go(states.REQUEST, "publish")  # nothing unmoderated is published on the ordinary lane
    with pytest.raises(ProtocolError):
        go(states.REQUEST, "refuse", "publish")


def test_responses():
    assert go(states.RESPONSE, "upload", "collect", "accept", "export", "export") == "exported"
    assert go(states.RESPONSE, "upload", "collect", "decline") == "declined"
    assert go(states.RESPONSE, "withdraw") == "withdrawn"
    # After collection the owner's withdrawal is on record, and the owner still sees what becomes of the clip.
    assert go(states.RESPONSE, "upload", "collect", "notice", "accept", "notice", "export") == "exported"
    with pytest.raises(ProtocolError):
        go(states.RESPONSE, "upload", "collect", "withdraw")
    with pytest.raises(ProtocolError):
        go(states.RESPONSE, "upload", "export")
    with pytest.raises(ProtocolError):
        go(states.RESPONSE, "withdraw", "upload")


def test_ticks_never_skip_the_witnesses():
    assert go(states.TICK, "append", "cosign", "serve") == "served"
    with pytest.raises(ProtocolError):
        go(states.TICK, "append", "serve")


def test_untriaged_evidence_is_never_destroyed():
    for state in ("fetched", "quarantined", "collected", "accepted", "exported", "held"):
        assert "destroy" not in states.EVIDENCE.events(state)
    assert go(states.EVIDENCE, "open", "decline", "destroy") == "destroyed"
    assert go(states.EVIDENCE, "open", "decline", "hold", "release", "destroy") == "destroyed"


def test_retention_numbers():
    assert retention.declined_due(1000) == 1000 + 30 * 86_400
    day = 86_400
    assert [retention.triage_level(0, now) for now in (0, 2 * day - 1, 2 * day, 5 * day - 1, 5 * day, 99 * day)] == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
