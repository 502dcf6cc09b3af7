"""T13: whatever a log and the network do, witnesses do not let two histories of it both be accepted.

A log that forks, rolls back, races and lies talks to several witnesses, which are killed between any two of their disk
calls. After each step every cosignature ever given is held against every other: no witness cosigned two heads that
contradict each other, and no two quorums accepted such heads. (Two witnesses that never hear of each other can each
follow another fork; that is why a policy asks for more than half of them.)
"""

import itertools
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, policy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fairwitness.witness import services
from tests.harness.kill import child_killed_at

ORIGIN = "log.example/p"
LOG = SigningKey(b"\1" * 32)
VKEY = note.VerifierKey(ORIGIN, note.ED25519, LOG.public)
WITNESSES = 3


def reader(leaves):
    def read(level, index):
        edge = merkle.Frontier()
        edge.extend(leaves[index << level : (index + 1) << level])
        return edge.root()

    return read


def signed_head(leaves, size):
    return checkpoint.sign(checkpoint.Checkpoint(ORIGIN, size, merkle.tree_root(size, reader(leaves))), LOG)


def request(old, leaves, size):
    path = merkle.consistency(old, size, reader(leaves)) if 0 < old <= size else []
    return cosignature.add_checkpoint_body(old, path, signed_head(leaves, size).encode())


def make_witnesses(folder):
    found = []
    for n in range(WITNESSES):
        services.init(folder / str(n), f"w{n}.example", seed=bytes([50 + n]) * 32)
        services.trust(folder / str(n), ORIGIN, VKEY.encode())
        found.append(folder / str(n))
    return found


def ask(folder, body, now):
    config = services.load(folder)
    return services.add_checkpoint(services.open_store(config), config, body, now)


RULE = policy.k_of(
    [policy.PolicyLog(VKEY)],
    [
        policy.Witness(f"w{n}", cosignature.vkey(f"w{n}.example", SigningKey(bytes([50 + n]) * 32).public))
        for n in range(WITNESSES)
    ],
    2,
)


class Fork(RuleBasedStateMachine):
    """Branches of one log, all signed by its key; `given` holds every cosignature that ever left a witness."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="witness-"))
        self.witnesses = make_witnesses(self.folder)
        self.branches = [[]]
        self.given = [[] for _ in range(WITNESSES)]  # of each: (leaves, line), in the order in which they were given
        self.now = 1000

    @initialize(count=st.integers(1, 5))
    def begin(self, count):
        self.branches[0] = [b"genesis", *(b"%d" % n for n in range(count))]

    @rule(branch=st.integers(0, 3), count=st.integers(1, 6))
    def append(self, branch, count):
        leaves = self.branches[branch % len(self.branches)]
        leaves += [b"%d-%d" % (branch % len(self.branches), len(leaves) + n) for n in range(count)]

    @rule(branch=st.integers(0, 3), back=st.integers(0, 8))
    def fork(self, branch, back):
        if len(self.branches) < 4:
            leaves = self.branches[branch % len(self.branches)]
            self.branches.append([*leaves[: max(1, len(leaves) - back)], b"fork %d" % len(self.branches)])

    @rule(
        who=st.integers(0, WITNESSES - 1),
        branch=st.integers(0, 3),
        size=st.floats(0, 1),
        honest=st.booleans(),
        old=st.integers(0, 20),
        proof_of=st.integers(0, 3),
    )
    def submit(self, who, branch, size, honest, old, proof_of):  # noqa: PLR0917 - one for each thing that can lie
        """Ask for a head of any branch and size, from the true old size or a made-up one, with any branch's proof."""
        leaves = self.branches[branch % len(self.branches)]
        size = max(1, round(size * len(leaves)))
        self.now += 1
        old = self.held(who) if honest else min(old, size)
        if old > size:
            return
        other = self.branches[proof_of % len(self.branches)]
        path = merkle.consistency(old, size, reader(other)) if 0 < old <= size <= len(other) else []
        body = cosignature.add_checkpoint_body(old, path, signed_head(leaves, size).encode())
        self.record(who, leaves[:size], ask(self.witnesses[who], body, self.now))

    @rule(who=st.integers(0, WITNESSES - 1), branch=st.integers(0, 3), nth=st.integers(0, 8), after=st.booleans())
    def die_while_answering(self, who, branch, nth, after):
        """The witness is killed at one of its disk calls; the log asks again, as it would after a broken connection."""
        leaves = self.branches[branch % len(self.branches)]
        old = self.held(who)
        if old > len(leaves):
            return
        self.now += 1
        body = request(old, leaves, len(leaves))
        child_killed_at(nth, "after" if after else "before", lambda tell: ask(self.witnesses[who], body, self.now))
        held = self.held(who)
        assert held in {old, len(leaves)}
        self.record(who, list(leaves), ask(self.witnesses[who], request(held, leaves, len(leaves)), self.now))

    @rule(who=st.integers(0, WITNESSES - 1))
    def roll_back(self, who):
        """The log claims that it never grew."""
        held = self.held(who)
        if held > 1:
            leaves = self.branches[0]
            size = min(held - 1, len(leaves))
            for old in (held, size, 0):
                data = cosignature.add_checkpoint_body(old, [], signed_head(leaves, size).encode())
                assert ask(self.witnesses[who], data, self.now).status in {400, 409}

    @rule(who=st.integers(0, WITNESSES - 1), count=st.integers(2, 4))
    def race(self, who, count):
        """The same growth, in different sizes and branches, from several connections at once."""
        old = self.held(who)
        jobs = [leaves for leaves in self.branches if len(leaves) >= max(1, old)][:count]
        bodies = [(leaves[:size], request(old, leaves, size)) for leaves in jobs for size in {max(1, old), len(leaves)}]
        answers = [None] * len(bodies)

        def one(n):
            answers[n] = ask(self.witnesses[who], bodies[n][1], self.now)

        threads = [threading.Thread(target=one, args=(n,)) for n in range(len(bodies))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pairs = sorted(zip(bodies, answers, strict=True), key=lambda pair: len(pair[0][0]))
        for (leaves, _), got in pairs:
            self.record(who, leaves, got)
        # Of all that wanted to grow from one size, one did.
        assert sum(got.status == 200 and len(leaves) > old for (leaves, _), got in pairs) <= 1

    def held(self, who):
        config = services.load(self.witnesses[who])
        found = services.open_store(config).head(ORIGIN)
        return found.size if found else 0

    def record(self, who, leaves, answer):
        assert answer.status in {200, 400, 409, 422}
        if answer.status == 200:
            (line,) = note.parse_signature_lines(answer.body)
            signed = signed_head(leaves, len(leaves)).with_signatures(line)
            assert cosignature.verify(signed, RULE.witnesses[who].key) is not None
            # 1. On disk before it was given.
            assert self.held(who) >= len(leaves)
            self.given[who].append((leaves, line))

    @invariant()
    def no_witness_contradicts_itself(self):
        for given in self.given:
            for (one, _), (other, _) in itertools.pairwise(given):
                # 2. Each head that a witness cosigns begins with the one before.
                assert other[: len(one)] == one

    @invariant()
    def no_two_quorums_contradict_each_other(self):
        """With two of three needed, two accepted heads share a witness: what is accepted is one history."""
        heads = {}
        for given in self.given:
            for leaves, line in given:
                heads.setdefault(tuple(leaves), []).append(line)
        accepted = []
        for leaves, lines in heads.items():
            names = {line.name.removesuffix(".example") for line in lines}
            if RULE.met(names):
                latest = {line.name: line for line in lines}
                signed = signed_head(list(leaves), len(leaves)).with_signatures(*latest.values())
                assert RULE.verify(signed).checkpoint.size == len(leaves)
                accepted.append(leaves)
        accepted.sort(key=len)
        for one, other in itertools.pairwise(accepted):
            assert other[: len(one)] == one

    def teardown(self):
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.claim("P12")
@pytest.mark.slow
def test_no_sequence_makes_witnesses_cosign_contradicting_heads():
    run_state_machine_as_test(
        Fork,
        settings=settings(max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)),
    )


@pytest.mark.claim("P12")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_witness_killed_at_any_call_has_persisted_what_it_answered(tmp_path, when):
    leaves = [b"%d" % n for n in range(12)]
    fork = [*leaves[:6], b"fork", *leaves[7:]]
    for nth in range(100):
        folder = tmp_path / str(nth)
        (witness, *_) = make_witnesses(folder)
        assert ask(witness, request(0, leaves, 5), 1).status == 200

        def life(tell, witness=witness):
            answer = ask(witness, request(5, leaves, 12), 2)
            tell("answered", answer.status)

        finished, told = child_killed_at(nth, when, life)
        config = services.load(witness)
        held = services.open_store(config).head(ORIGIN).size
        assert held in {5, 12}
        if told:
            assert (told, held) == ([("answered", 200)], 12)
        if held == 12:
            # Nothing that contradicts the head that may have been answered is ever cosigned.
            assert ask(witness, request(5, fork, 12), 3).status == 409
            assert ask(witness, request(12, fork, 12), 3).status == 409
        assert ask(witness, request(held, leaves, 12), 4).status == 200
        if finished:
            assert nth >= 4
            return
    pytest.fail("the witness never answered")
