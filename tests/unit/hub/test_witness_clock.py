"""One witness whose clock runs ahead must not make every home distrust its own (design.md 9.2, 9.3)."""

import pytest
from fairwitness_core.rules.feed import Outcome
from fairwitness_core.tlog import cosignature
from fairwitness_core.tlog.checkpoint import Checkpoint
from fairwitness_core.tlog.note import Note

from core.tests.rules.feed_world import World
from fairwitness.hub.services.witnesses import Witnesses
from fairwitness.kit import clock

pytestmark = pytest.mark.claim("P6")


class Store:
    """As much of a log store as a cosigning asks of."""

    def __init__(self, log):
        self.log, self.origin, self.published = log, log.origin, None

    def signed_checkpoint(self):
        return self.log.signed().encode()

    def publish(self, data):
        self.published = Note.parse(data)


def cosigned(monkeypatch, skews):
    """Return the witnesses whose lines are published when each is `skews[name]` seconds ahead; None is silent."""
    world = World()
    store = Store(world.log)

    def ask(_self, group, _store, signed, _size, now):
        return {
            witness.name: cosignature.cosign(
                signed.text, witness.name, world.witness_keys[witness.name], now + skews[witness.name]
            )
            for witness in group
            if skews[witness.name] is not None
        }

    monkeypatch.setattr(Witnesses, "_ask", ask)
    monkeypatch.setattr(clock, "now", lambda: world.start + 30)
    assert Witnesses().cosign(world.policy, store)
    assert Checkpoint.parse(store.published.text).size == 1
    return {line.name for line in store.published.signatures} - {world.log.origin}


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_a_witness_far_ahead_is_left_out_where_the_others_are_enough(monkeypatch, liar):
    names = World().witnesses
    assert cosigned(monkeypatch, {n: 10**9 if i == liar else 1 for i, n in enumerate(names)}) == set(names) - {names[liar]}


def test_the_quorum_goes_before_the_clock(monkeypatch):
    names = World().witnesses
    assert cosigned(monkeypatch, dict.fromkeys(names, 900)) == set(names)
    assert cosigned(monkeypatch, {names[0]: 900, names[1]: 1, names[2]: None}) == set(names[:2])


def test_such_a_line_would_have_stopped_every_home():
    world = World()
    world.publish(world.authorized())
    world.ticks(2)
    state = world.joined()
    container = world.tick()
    assert world.check(state, container).outcome is Outcome.OK
    head = Note.parse(container.proof.encode().split(b"\n\n", 1)[1])
    ahead = cosignature.cosign(head.text, "w3.example", world.witness_keys["w3.example"], world.now + 10**9)
    proof = container.proof.encode().split(b"\n\n", 1)[0] + b"\n\n" + head.with_signatures(ahead).encode()
    stopped = world.check(state, type(container)(proof.decode(), container.gzip))
    assert stopped.outcome is Outcome.CHECK_CLOCK
