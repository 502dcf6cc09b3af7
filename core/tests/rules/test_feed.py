"""What a home believes of the feed, and what of a lying hub it refuses (protocol.md 11: T7, T8)."""

import hashlib
from types import SimpleNamespace

import pytest
from fairwitness_core.crypto.tokens import new_issuer_key
from fairwitness_core.model.agency import AgencySuspended, KeyRotated
from fairwitness_core.model.feed import Container, Line, compress, scope_root
from fairwitness_core.model.hub import FeedTick, InboxEpoch, IssuerKey, PolicyChanged
from fairwitness_core.model.request import RequestExtended, RequestResolved, RequestWithdrawn
from fairwitness_core.rules import feed
from fairwitness_core.rules.feed import Outcome
from fairwitness_core.rules.inbox import inbox_leaf, inbox_root
from fairwitness_core.tlog import merkle
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from core.tests.rules.feed_world import AGENCY, CENTRE, START, TICK, World, key

pytestmark = pytest.mark.claim("P6")


@pytest.fixture
def world():
    world = World()
    world.publish(world.authorized())
    world.ticks(2)
    return world


def code(call, *args, **kwargs):
    with pytest.raises(ProtocolError) as caught:
        call(*args, **kwargs)
    return caught.value.code


# ---------------------------------------------------------------- the honest hub


def test_an_honest_request_is_published_and_the_state_moves_on(world):
    state = world.joined()
    index = world.publish(world.request())
    seen = world.check(state, world.tick())
    assert seen.outcome is Outcome.OK
    (found,) = seen.published
    assert found.index == index
    assert found.request.agency == AGENCY
    assert set(found.signers) == {o.public.kid for o in world.officers}
    assert seen.state.next_tick == state.next_tick + 1
    assert seen.state.prev_tick_index == seen.index
    assert [name for name, _ in seen.times] == ["w1.example", "w2.example"]
    assert not seen.refused


def test_one_witness_less_stops_nothing(world):
    state = world.joined()
    for names in (("w1.example", "w3.example"), ("w2.example", "w3.example"), world.witnesses):
        seen = world.check(state, world.tick(names=names))
        assert seen.outcome is Outcome.OK
        state = seen.state


def test_history_is_read_from_before_the_join(world):
    world.publish(world.request())
    world.ticks(3)
    state = world.joined(history=True)
    assert state.next_tick == START // TICK
    published = 0
    for number in range(START // TICK, world.next_tick):
        seen = world.check(state, world.containers[number], newest=False)
        published += len(seen.published)
        state = seen.state
    assert published == 1
    assert state.next_tick == world.next_tick
    seen = world.check(state, world.tick())
    assert seen.outcome is Outcome.OK


def test_the_state_survives_being_stored(world):
    state = world.joined()
    world.publish(world.request())
    state = world.check(state, world.tick()).state
    again = feed.FeedState.decode(state.pin, state.directory, state.encode())
    assert again == state
    assert code(feed.FeedState.decode, state.pin, state.directory, canonical.encode({"v": 2})) == "feed.state"


def test_a_missing_day_before_the_join_is_left_out_and_one_after_it_never():
    world = World(tick_seconds=7200)
    world.publish(world.authorized())
    world.ticks(2 * 12 + 5)
    state = world.joined(history=True)
    day = feed.day_of(state.next_tick, 7200)
    state = feed.without_history(state, day)
    assert state.next_tick == START // 7200 + 12
    state = world.check(state, world.containers[state.next_tick], newest=False).state
    assert state.next_tick == START // 7200 + 13
    state = feed.without_history(state, feed.day_of(state.next_tick, 7200))
    state = feed.without_history(state, feed.day_of(state.next_tick, 7200))
    assert (state.next_tick, state.prev_tick_index) == (state.anchor_tick + 1, state.anchor_index)
    assert feed.without_history(state, feed.day_of(state.next_tick, 7200)) is None
    assert world.check(state, world.tick()).outcome is Outcome.OK


def test_a_poll_slot_asks_for_one_thing_that_time_and_the_hub_decide():
    tick = START // TICK
    now = tick * TICK
    assert feed.next_poll(tick, now + 20, TICK) == feed.Poll(f"/feed/v1/all/{tick}", None)
    assert feed.next_poll(tick, now + 5, TICK).path == f"/feed/v1/all/{tick}"
    assert feed.next_poll(tick - 1, now + 20, TICK) == feed.Poll("/feed/v1/day/all/20260531", "20260531")
    # Ticks of a second may lag a little without fetching the whole day again.
    assert feed.next_poll(START - 5, START + 1, 1).day is None
    assert feed.next_poll(START - 6, START + 1, 1).day == "20260531"
    assert feed.first_tick_after("20260531", TICK) == tick


# ---------------------------------------------------------------- T7: the equivocating hub


def test_a_fork_that_no_quorum_saw_is_refused(world):
    state = world.joined()
    fork = world.log.fork(len(world.log.entries) - 1)
    fork.append(world.signed(world.request(9), *world.officers))
    assert code(world.check, state, world.tick(log=fork, names=("w1.example",), keep=False)) == "policy.quorum"


def test_two_logs_of_one_size_are_noticed_even_when_a_quorum_colludes(world):
    state = world.joined()
    world.publish(world.request(1))
    state = world.check(state, world.tick()).state
    world.tick(keep=False)  # appended; never served
    size = len(world.log.entries)
    fork = world.log.fork(size - 2)
    fork.append(world.signed(world.request(9), *world.officers))
    world.prev_index, world.cut = state.prev_tick_index, state.prev_tick_index + 1
    fork.entries[:] = world.log.entries[: size - 2]
    bent = fork.fork(size - 2)
    bent.entries[-1] = world.signed(world.request(9), *world.officers)  # another past of the same length
    bent.append(world.signed(world.request(8), *world.officers))
    container = world.tick(log=bent, keep=False)
    assert state.heads[-1].size == size - 1
    head = feed.Head(len(bent.entries), b"\1" * 32, b"x")
    state = feed.replace(state, heads=(head,))
    assert code(world.check, state, container) == "feed.fork"


def test_a_feed_that_goes_round_the_tick_seen_when_joining_is_refused(world):
    state = world.joined(history=True)
    other = World()
    other.publish(other.authorized())
    other.publish(other.request(5))
    other.ticks(2)
    for known in (state, feed.replace(state, heads=())):
        assert code(other.check, known, other.containers[state.next_tick], newest=False) == "feed.fork"


def test_a_bundle_for_one_household_is_not_under_the_root(world):
    state = world.joined()
    world.publish(world.request(1))
    honest = world.tick()
    bait = world.request(2, area=world.area(k=1))
    lines = [*honest.lines(), Line(honest.lines()[-1].index + 1, dsse.Envelope.parse(world.signed(bait, *world.officers)))]
    assert code(world.check, state, Container(honest.proof, compress(lines))) == "feed.root"


def test_a_stale_checkpoint_is_told_apart_from_a_blocked_feed_and_a_wrong_clock(world):
    state = world.joined()
    container = world.tick()
    began = (world.next_tick - 1) * TICK + 2
    assert world.check(state, container, now=began + 7200).outcome is Outcome.OK
    assert world.check(state, container, now=began + 7201).outcome is Outcome.STALE
    assert world.check(state, container, now=began + 86_401).outcome is Outcome.BLOCKED
    assert world.check(state, container, now=began + 86_401, newest=False).outcome is Outcome.OK
    seen = world.check(state, container, now=began - 301)
    assert seen.outcome is Outcome.CHECK_CLOCK
    assert seen.state == state
    assert seen.published == ()
    assert world.check(state, container, now=began - 300).outcome is Outcome.OK


def test_a_tick_that_the_witnesses_saw_before_it_began_is_refused(world):
    state = world.joined()
    early = world.next_tick * TICK - 6
    assert code(world.check, state, world.tick(time=early)) == "feed.before_tick"


def test_a_wrong_scope_leaf_is_refused(world):
    state = world.joined()
    gzip = compress([])
    leaf = canonical.encode(["z/1", world.next_tick, hashlib.sha256(gzip).hexdigest()])
    root = hashlib.sha256(b"\x00" + leaf).digest()
    assert code(world.check, state, world.tick(gzip=gzip, root=root)) == "feed.root"


@pytest.mark.parametrize("scopes", [0, 2])
def test_an_extra_or_a_missing_scope_is_refused(world, scopes):
    state = world.joined()
    gzip = compress([])
    mine = hashlib.sha256(b"\x00" + canonical.encode(["all", world.next_tick, hashlib.sha256(gzip).hexdigest()])).digest()
    root = merkle.EMPTY_ROOT if scopes == 0 else merkle.node_hash(mine, merkle.leaf_hash(b"for one household"))
    assert code(world.check, state, world.tick(gzip=gzip, root=root, scopes=scopes)) == "feed.scopes"


def test_a_quorum_that_is_not_met_is_refused(world):
    state = world.joined()
    assert code(world.check, state, world.tick(names=("w2.example",))) == "policy.quorum"


def test_a_checkpoint_that_another_key_signed_is_refused(world):
    state = world.joined()
    assert code(world.check, state, world.tick(signer=key("another log"))) in {"checkpoint.unsigned", "note.false_signature"}


def test_a_log_that_the_policy_does_not_list_is_refused(world):
    from core.tests.rules.feed_world import Log  # noqa: PLC0415

    state = world.joined()
    other = Log("other.example/public", world.log_key)
    other.entries = list(world.log.entries)
    assert code(world.check, state, world.tick(log=other, keep=False)) == "policy.unknown_log"


def test_a_forged_directory_is_refused(world):
    state = world.joined()
    fake = world.authorized(agency="us-ca-faketown", name="Fake Town Police")
    # The tick's entry names a directory that the content does not lead to, and the other way round.
    assert code(world.check, state, world.tick(agencies="1" * 64, keep=False)) == "feed.directory"
    world.log.entries.pop()
    index = world.publish(fake)
    line = Line(index, dsse.Envelope.parse(world.log.entries[index]))
    assert code(world.check, state, world.tick(lines=[line], agencies=state.directory.digest(), keep=False)) == "feed.directory"
    stolen = Line(index, dsse.Envelope.parse(world.signed(fake, key("not the hub"))))
    assert code(world.check, state, world.tick(lines=[stolen], keep=False)) == "dsse.signers"


def test_a_snapshot_that_the_log_does_not_name_starts_nothing(world):
    latest = world.next_tick - 1
    fake = world.authorized(agency="us-ca-faketown", name="Fake Town Police")
    line = Line(1, dsse.Envelope.parse(world.signed(fake)))
    for snapshot in (line.encode(), b"", world.snapshot(latest) + Line(9, line.envelope).encode()):
        assert code(feed.start, world.pin, world.containers[latest], snapshot, now=world.now) == "feed.directory"


def test_an_old_tick_replayed_is_refused(world):
    state = world.joined()
    old = world.containers[world.next_tick - 1]
    assert code(world.check, state, old) in {"feed.replay", "policy.quorum"}
    assert code(world.check, state, old, newest=False) == "feed.replay"


def test_a_tick_left_out_is_noticed(world):
    state = world.joined()
    world.tick()
    assert code(world.check, state, world.tick()) == "feed.tick"


def test_a_broken_chain_of_ticks_is_noticed(world):
    state = world.joined()
    assert code(world.check, state, world.tick(prev_tick_index=world.prev_index - 1)) == "feed.chain"


def test_lines_from_elsewhere_in_the_log_are_refused(world):
    state = world.joined()
    early = Line(1, dsse.Envelope.parse(world.log.entries[1]))
    assert code(world.check, state, world.tick(lines=[early], keep=False)) == "feed.line_range"
    world.log.entries.pop()
    late = Line(10**6, dsse.Envelope.parse(world.signed(world.request(), *world.officers)))
    assert code(world.check, state, world.tick(lines=[late])) == "feed.line_range"


def test_a_proof_of_another_entry_is_refused(world):
    state = world.joined()
    container = world.tick()
    proof = TlogProof.parse(container.proof.encode())
    bare = Container(feed.replace(proof, extra=None).encode().decode(), container.gzip)
    assert code(world.check, state, bare) == "feed.extra"
    wrong = Container(feed.replace(proof, extra=world.genesis).encode().decode(), container.gzip)
    assert code(world.check, state, wrong).startswith("merkle.")
    log = world.log
    genesis = world.container(log, 0, world.genesis, container.gzip, world.now)
    assert code(world.check, state, genesis) == "feed.tick_type"


def test_a_tick_that_the_hub_did_not_sign_is_refused(world):
    state = world.joined()
    gzip = compress([])
    index = len(world.log.entries)
    tick = FeedTick(
        tick=world.next_tick, root=scope_root(world.next_tick, gzip), scopes=1, agencies=state.directory.digest(),
        prev_tick_index=world.prev_index, at=world.now,
    )  # fmt: skip
    envelope = world.signed(tick, key("not the hub"))
    world.log.append(envelope)
    container = world.container(world.log, index, envelope, gzip, world.now + TICK)
    assert code(world.check, state, container) == "dsse.signers"


def test_a_removed_officer_counts_no_more_from_that_index_on(world):
    state = world.joined()
    gone = world.officers[1]
    before = world.publish(world.request(1))
    rotation = KeyRotated(agency=AGENCY, add=(world.agency_key(key("officer 3")),), remove=(gone.public.kid,), at=world.now)
    world.publish(rotation)
    after = world.publish(world.request(2, area=world.area((37.78, -122.24))))
    fresh = world.publish(world.request(3, area=world.area((37.83, -122.25))), world.officers[0], key("officer 3"))
    seen = world.check(state, world.tick())
    assert [p.index for p in seen.published] == [before, fresh]
    assert [(r.index, r.rule) for r in seen.refused] == [(after, "request.signers")]


def test_a_suspended_agency_is_heard_no_more(world):
    state = world.joined()
    world.publish(AgencySuspended(agency=AGENCY, reason="court_order", at=world.now))
    world.publish(world.request(1))
    seen = world.check(state, world.tick())
    assert not seen.published
    assert seen.refused[0].rule in {"request.signers", "standing.active"}


# ---------------------------------------------------------------- witness policy


def change(world, names, k, *, effective_at, at=None):
    text = world.make_policy(names, k).encode().decode()
    return PolicyChanged(
        kind="witness", sha256=hashlib.sha256(text.encode()).hexdigest(), text=text, supersedes="0" * 64,
        effective_at=effective_at, at=world.now if at is None else at,
    )  # fmt: skip


def test_a_witness_policy_takes_effect_at_its_time_under_the_old_one():
    world = World(notice_seconds=600)
    world.publish(world.authorized())
    world.tick()
    state = world.joined()
    world.witness_keys["w4.example"] = key("w4.example")
    effective = world.now + 2 * TICK
    world.publish(change(world, ("w3.example", "w4.example"), 2, effective_at=effective))
    # The new witnesses cannot vouch for the tick that brings them.
    assert code(world.check, state, world.tick(names=("w3.example", "w4.example"), keep=False)) == "policy.quorum"
    world.log.entries.pop()
    state = world.check(state, world.tick()).state
    while world.next_tick * TICK < effective:
        assert code(world.check, state, world.tick(names=("w3.example", "w4.example"), keep=False)) == "policy.quorum"
        world.log.entries.pop()
        state = world.check(state, world.tick()).state
    assert code(world.check, state, world.tick(keep=False)) == "policy.quorum"
    world.log.entries.pop()
    assert world.check(state, world.tick(names=("w3.example", "w4.example"))).outcome is Outcome.OK


def test_a_witness_policy_without_notice_or_back_dated_is_refused(world):
    state = world.joined()
    for at in (world.now, world.now - 40_000):
        world.publish(change(world, ("w3.example",), 1, at=at, effective_at=at + 86_399 if at == world.now else at + 86_400))
        assert code(world.check, state, world.tick(keep=False)) == "feed.policy_notice"
        del world.log.entries[-2:]


def test_a_witness_policy_that_lies_about_its_text_or_drops_the_log_is_refused(world):
    state = world.joined()
    good = change(world, world.witnesses, 2, effective_at=world.now + 90_000)
    world.publish(feed.replace(good, sha256="2" * 64))
    assert code(world.check, state, world.tick(keep=False)) == "feed.policy_text"
    del world.log.entries[-2:]
    text = good.text.replace("hub.example/public", "old.example/public")
    text = "\n".join(line for line in good.text.splitlines() if not line.startswith("log ")) + "\n"
    world.publish(feed.replace(good, text=text, sha256=hashlib.sha256(text.encode()).hexdigest()))
    assert code(world.check, state, world.tick(keep=False)) == "feed.policy_log"


def test_a_standing_policy_must_be_a_list(world):
    state = world.joined()
    good = PolicyChanged(
        kind="standing", sha256="0" * 64, text="[]", supersedes="0" * 64, effective_at=world.now + 90_000, at=world.now
    )
    # A document cannot be made so in Python, therefore the hub's own bytes lie.
    world.publish(SimpleNamespace(encode=lambda: good.encode().replace(b'"text":"[]"', b'"text":"everyone"')))
    assert code(lambda: world.check(state, world.tick())) == "policy.standing"


# ---------------------------------------------------------------- T8: bait inside a tick that everyone gets


def baits(world):
    one = world.area()[:1]
    far = world.area((34.05, -118.24))
    yield "one cell", world.request(10, area=one), None, "area.small"
    yield (
        "a link",
        world.request(11, msg="See https://example.org/who-reads-this for a photo of the silver van."),
        None,
        "text.link",
    )
    yield "an image", world.request(12, msg="The van: <img src=//e.example/x.png> with a ladder."), None, None
    yield "a long window", world.request(13, from_=world.start - 43_201, to=world.start), None, "window.long"
    yield "all other offences", world.request(14, offense="nibrs:90Z"), None, "offense.catch_all"
    yield "one signer", world.request(15), world.officers[:1], "signers.two"
    yield "another agency's id", world.request(16, agency="us-ca-berkeley"), None, "request.agency"
    yield "out of jurisdiction", world.request(17, area=far), None, "area.jurisdiction"
    yield "a stranger's key", world.request(18), [world.officers[0], key("stranger")], "request.signers"
    yield "the console's key", world.request(19), [world.officers[0], world.console], "request.signers"
    yield "a watch to come", world.request(20, to=world.start + 7200), None, "window.future"
    yield "two weeks and more", world.request(21, expires=world.start + 100 + 14 * 86_400 + 1), None, "expiry.long"
    yield "thirteen cells", world.request(22, area=world.area(k=2)[:13]), None, None


def test_bait_in_a_common_tick_is_refused_by_the_home_and_named(world):
    for name, request, signers, rule in baits(world):
        state = world.joined()
        index = world.publish(request, *(signers or world.officers))
        seen = world.check(state, world.tick())
        assert seen.outcome is Outcome.OK, name
        assert not seen.published, name
        (refused,) = seen.refused
        assert (refused.index, refused.kind, refused.request_id) == (index, "request_published", request.id), name
        assert rule is None or refused.rule == rule, (name, refused.rule)


def test_a_third_request_for_a_case_or_a_place_is_refused(world):
    state = world.joined()
    for number in (1, 2, 3):
        world.publish(world.request(number))
    seen = world.check(state, world.tick())
    assert len(seen.published) == 2
    assert seen.refused[0].rule == "live.cell"
    far = [(37.80, -122.27), (37.77, -122.22), (37.83, -122.25)]
    other = World()
    other.publish(other.authorized())
    other.ticks(2)
    state = other.joined()
    for number, centre in enumerate(far, 1):
        other.publish(other.request(number, case="26-000777", area=other.area(centre)))
        seen = other.check(state, other.tick())
        state = seen.state
    assert [r.rule for r in seen.refused] == ["live.case"]


def test_the_same_id_twice_is_refused(world):
    state = world.joined()
    world.publish(world.request(1))
    world.publish(world.request(1, case="26-000999"))
    seen = world.check(state, world.tick())
    assert len(seen.published) == 1
    assert [r.rule for r in seen.refused] == ["live.duplicate"]


def test_an_agency_of_another_state_may_ask_only_by_a_logged_policy():
    world = World(notice_seconds=600)
    world.publish(world.authorized(state="NV"))
    world.ticks(2)
    state = world.joined()
    world.publish(world.request(1))
    seen = world.check(state, world.tick())
    assert [r.rule for r in seen.refused] == ["standing.state"]
    text = f'["{AGENCY}"]'
    world.publish(
        PolicyChanged(
            kind="standing",
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            text=text,
            supersedes="0" * 64,
            effective_at=world.now + 600,
            at=world.now,
        )
    )
    state = world.check(seen.state, world.tick()).state
    while world.now < world.start + 4800:
        state = world.check(state, world.tick()).state
    world.publish(world.request(2, at=world.start + 4700))
    assert [p.request.id for p in world.check(state, world.tick()).published] == [f"{2:032x}"]


# ---------------------------------------------------------------- the rest of a tick


def test_withdrawals_need_the_agency_or_the_hub(world):
    state = world.joined()
    world.publish(world.request(1))
    state = world.check(state, world.tick()).state
    withdrawn = RequestWithdrawn(request_id=f"{1:032x}", agency=AGENCY, reason="resolved", at=world.now)
    world.publish(withdrawn, key("stranger"))
    world.publish(withdrawn)  # the hub may not say that the agency resolved it
    world.publish(withdrawn, world.officers[0])
    world.publish(feed.replace(withdrawn, reason="moderation"))
    seen = world.check(state, world.tick())
    assert len(seen.withdrawn) == 2
    assert [r.rule for r in seen.refused] == ["withdrawal.signer", "withdrawal.signer"]
    assert seen.state.live[0].withdrawn


def extension(world, days=10, number=1, **changes):
    values = {"request_id": f"{number:032x}", "agency": AGENCY, "expires": world.start + 100 + days * 86_400, "at": world.now}
    return RequestExtended(**values | {"reason": "Two neighbours were away and asked for more time."} | changes)


def outcome(world, number=1, **changes):
    values = {"request_id": f"{number:032x}", "agency": AGENCY, "outcome": "solved_otherwise", "at": world.now}
    return RequestResolved(**values | changes)


def test_an_extension_needs_two_officers_comes_once_and_keeps_to_the_fourteen_days(world):
    state = world.joined()
    world.publish(world.request(1))
    state = world.check(state, world.tick()).state
    one, two = world.officers
    world.publish(extension(world), one)
    world.publish(extension(world), one, key("stranger"))
    world.publish(extension(world), one, two, key("stranger"))
    world.publish(extension(world))  # the hub cannot
    world.publish(extension(world, days=15), one, two)
    world.publish(extension(world, days=7), one, two)
    world.publish(extension(world, reason="Neighbours asked about the silver van, so call 510 555 0199 instead."), one, two)
    world.publish(extension(world, reason="More time."), one, two)
    world.publish(extension(world, at=world.now + 86_400), one, two)
    world.publish(extension(world, number=9), one, two)  # of a request that this home does not hold
    world.publish(extension(world), one, two)
    world.publish(extension(world, days=12), one, two)
    seen = world.check(state, world.tick())
    assert [e.document.expires for e in seen.extended] == [world.start + 100 + 10 * 86_400]
    signers, rules = ["extension.signers"] * 4, [r.rule for r in seen.refused]
    assert rules[:4] == signers
    assert rules[4:] == [
        "extension.long", "extension.shorter", "text.phone", "text.vague", "extension.future", "extension.once",
    ]  # fmt: skip
    (live,) = seen.state.live
    assert (live.expires, live.extended) == (world.start + 100 + 10 * 86_400, True)
    assert feed.FeedState.decode(state.pin, state.directory, seen.state.encode()).live == seen.state.live
    assert feed.FeedState.decode(state.pin, state.directory, state.encode()).live == state.live


def test_what_is_over_is_not_extended(world):
    state = world.joined()
    for number in (1, 2):
        world.publish(world.request(number, expires=world.start + 2 * TICK))
    state = world.check(state, world.tick()).state
    world.publish(RequestWithdrawn(request_id=f"{1:032x}", agency=AGENCY, reason="withdrawn", at=world.now), world.officers[0])
    world.publish(extension(world), *world.officers)
    seen = world.check(state, world.tick())
    assert [r.rule for r in seen.refused] == ["extension.ended"]
    state = seen.state
    while world.now < world.start + 2 * TICK + 3600 + TICK:
        state = world.check(state, world.tick()).state
    world.publish(extension(world, number=2), *world.officers)
    assert [r.rule for r in world.check(state, world.tick()).refused] == ["extension.ended"]


def test_an_outcome_ends_a_request_by_the_word_of_its_agency(world):
    state = world.joined()
    world.publish(world.request(1))
    state = world.check(state, world.tick()).state
    world.publish(outcome(world), key("stranger"))
    world.publish(outcome(world))
    world.publish(outcome(world, words="The van was found. Thank you."), world.officers[0])
    world.publish(extension(world), *world.officers)
    seen = world.check(state, world.tick())
    assert [r.rule for r in seen.refused] == ["resolution.signer", "resolution.signer", "extension.ended"]
    assert [(r.document.outcome, r.words) for r in seen.resolved] == [("solved_otherwise", "The van was found. Thank you.")]
    assert seen.state.live[0].withdrawn


def test_words_that_break_the_rules_end_a_request_without_being_shown(world):
    state = world.joined()
    world.publish(world.request(1))
    state = world.check(state, world.tick()).state
    world.publish(outcome(world, words="See https://example.org/who-helped"), world.officers[0])
    seen = world.check(state, world.tick())
    assert [r.words for r in seen.resolved] == [""]
    assert seen.state.live[0].withdrawn


def test_newer_kinds_are_kept_opaque_and_unknown_fields_refused(world):
    state = world.joined()
    newer = {**world.request(1).to_json(), "v": 2, "extra": "field"}
    unknown = {"type": "something_new", "v": 1}
    spoiled = {**world.request(2).to_json(), "tracking": "pixel"}
    lines = []
    for value in (newer, unknown, spoiled):
        envelope = dsse.sign(dsse.ENTRY, canonical.encode(value), *world.officers)
        lines.append(Line(world.log.append(envelope.encode()), envelope))
    seen = world.check(state, world.tick(lines=lines))
    assert seen.opaque == 2
    assert [(r.rule, r.request_id) for r in seen.refused] == [("document.unknown_field", f"{2:032x}")]


def test_a_newer_directory_entry_is_proved_and_counted(world):
    state = world.joined()
    value = {**world.authorized(agency="us-ca-newtown").to_json(), "v": 2, "more": 1}
    world.log.append(dsse.sign(dsse.ENTRY, canonical.encode(value), world.hub).encode())
    seen = world.check(state, world.tick())
    assert seen.opaque == 1
    assert world.check(seen.state, world.tick()).outcome is Outcome.OK


def test_issuer_keys_and_inbox_epochs_arrive(world):
    state = world.joined()
    issuer = new_issuer_key()
    world.publish(IssuerKey(epoch=7, alg="voprf-p384", pk=issuer.public, not_before=START, not_after=START + 1, at=START))
    leaves = [inbox_leaf("ab" * 32, "cd" * 32, 5), *(bytes([n]) * 32 for n in range(63))]
    world.publish(InboxEpoch(day="20260601", root=inbox_root(leaves), leaves=64, at=world.now))
    seen = world.check(state, world.tick())
    assert seen.state.directory.issuer_key(7).pk == issuer.public
    assert seen.epochs[0].root == inbox_root(leaves)


def test_a_join_file_must_agree_with_entry_0(world):
    assert code(feed.Pinned.of, feed.replace(world.join, genesis="0" * 64), world.genesis) == "join.genesis"
    assert code(feed.Pinned.of, feed.replace(world.join, tick_seconds=60), world.genesis) == "join.differs"
    policy = World(url="http://other.example").policy.encode().decode().replace("hub.example/public", "elsewhere")
    assert code(feed.Pinned.of, feed.replace(world.join, policy=policy), world.genesis) in {"join.policy", "vkey.id"}


def test_every_flipped_byte_of_a_container_is_noticed(world):
    state = world.joined()
    world.publish(world.request())
    raw = world.tick().encode()
    from fairwitness_core.model.feed import read_containers  # noqa: PLC0415

    (honest,) = read_containers(raw)
    believed = world.check(state, honest)
    step = max(1, len(raw) // 400)
    for place in range(0, len(raw), step):
        spoiled = bytearray(raw)
        spoiled[place] ^= 0x01
        try:
            (container,) = read_containers(bytes(spoiled))
            seen = world.check(state, container)
        except (ProtocolError, ValueError):
            continue
        # Bytes that nothing signs: a witness's line that the quorum does not need. What is believed is the same.
        assert seen.published == believed.published
    assert CENTRE
