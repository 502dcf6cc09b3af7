"""How a home judges the feed: one container against what it pinned and what it saw before (protocol.md 4.5; design.md 9.3).

Everything here is pure: bytes, a state and the time go in, a new state and what may be shown come out. The hub is the
adversary: whatever it serves, a request is shown only if a quorum of pinned witnesses saw the one log that holds it.

A container's proof is a tlog-proof of the tick's `feed_tick` entry; the entry's own envelope, which is the log's leaf,
travels in the proof's `extra` line.
"""

import copy
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from fairwitness_core.model.directory import DIRECTORY_TYPES, Directory
from fairwitness_core.model.document import kind_of
from fairwitness_core.model.feed import Container, Line, decompress, parse_lines, scope_root
from fairwitness_core.model.hub import FeedTick, InboxEpoch
from fairwitness_core.rules.caps import LiveRequest
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.rules.reading import Extended, Published, Reading, RefusedLine, Resolved, Withdrawn
from fairwitness_core.tlog.policy import CosignedCheckpoint, Policy
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

STALE_S = 7200
BLOCKED_S = 86_400
CLOCK_AHEAD_S = 300
WITNESS_SKEW_S = 5
DAY_S = 86_400
HISTORY_DAYS = 14
LAG_S = 5
KEPT_HEADS = 8
MAX_LINES = 65_536  # of one tick; a hub puts some thousands into one and the rest into the next
CELL_RULE_SPAN_S = 7 * DAY_S


class Outcome(Enum):
    """What a verified container says about how current the home is."""

    OK = "ok"
    STALE = "stale"
    BLOCKED = "blocked"
    CHECK_CLOCK = "check_clock"


@dataclass(frozen=True, slots=True)
class Head:
    """A cosigned tree head seen in a proof; `note` is kept as evidence against a hub that shows two of one size."""

    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class FeedState:
    """What a home knows of the feed. Treat `directory` as frozen: a new state gets a new one.

    `next_tick`: the tick needed next. `prev_tick_index`: log index of the tick before it, None where history begins.
    `anchor_tick`, `anchor_index`: the tick at which the home joined; the directory snapshot covers all below.
    `live`: accepted requests that still count for the caps between requests. `last_fresh_at`: newest quorum time seen.
    """

    pin: Pinned
    directory: Directory
    next_tick: int
    prev_tick_index: int | None
    anchor_tick: int
    anchor_index: int
    heads: tuple[Head, ...] = ()
    live: tuple[LiveRequest, ...] = ()
    last_fresh_at: int = 0

    def policy_at(self, moment: int) -> Policy:
        """Return the witness policy in force at Unix second `moment`: the pinned one, or the newest logged change of it.

        A change was itself accepted under the policy before it, for its line came in a container verified so.
        """
        changed = self.directory.policy("witness", moment)
        return self.pin.policy if changed is None else Policy.parse(changed.text.encode())

    def encode(self) -> bytes:
        """Return everything but the pin and the directory as canonical JSON, for storage by the home."""
        value = {
            "v": 1,
            "next_tick": self.next_tick,
            "prev": self.prev_tick_index,
            "anchor": [self.anchor_tick, self.anchor_index],
            "heads": [[head.size, head.root.hex(), head.note.decode()] for head in self.heads],
            "live": [_stored(one) for one in self.live],
            "fresh": self.last_fresh_at,
        }
        return canonical.encode(value)

    @classmethod
    def decode(cls, pin: Pinned, directory: Directory, data: bytes) -> "FeedState":
        """Read what `encode` wrote; raises ProtocolError for a stored state of another version."""
        value = canonical.decode(data, limit=64 << 20)
        if value.get("v") != 1:
            raise ProtocolError("feed.state", "the stored feed state is of another version", evidence=str(value.get("v")))
        return cls(
            pin,
            directory,
            value["next_tick"],
            value["prev"],
            value["anchor"][0],
            value["anchor"][1],
            tuple(Head(size, bytes.fromhex(root), text.encode()) for size, root, text in value["heads"]),
            tuple(_live(item) for item in value["live"]),
            value["fresh"],
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """One container, verified. With outcome CHECK_CLOCK nothing is believed and `state` is the old one."""

    outcome: Outcome
    state: FeedState
    tick: int
    index: int
    at: int
    published: tuple[Published, ...] = ()
    refused: tuple[RefusedLine, ...] = ()
    withdrawn: tuple[Withdrawn, ...] = ()
    epochs: tuple[InboxEpoch, ...] = ()
    opaque: int = 0
    times: tuple[tuple[str, int], ...] = ()
    extended: tuple[Extended, ...] = ()
    resolved: tuple[Resolved, ...] = ()


# ---------------------------------------------------------------- what the hub builds and both sides compute


def make_container(proof: bytes, tick_envelope: bytes, gzip: bytes) -> Container:
    """Return the container of a tick: the tlog-proof of its entry with the entry's envelope in `extra`, and the content."""
    return Container(replace(TlogProof.parse(proof), extra=tick_envelope).encode().decode(), gzip)


# ---------------------------------------------------------------- what a poll slot asks for


def wanted_tick(now: float, tick_seconds: int) -> int:
    """Return the newest tick that a hub should have served by `now`, allowing it a grace to publish."""
    grace = min(10, -(-tick_seconds // 5))
    return int((now - grace) // tick_seconds)


def day_of(tick: int, tick_seconds: int) -> str:
    """Return the UTC day, yyyymmdd, in which `tick` starts."""
    return datetime.fromtimestamp(tick * tick_seconds, UTC).strftime("%Y%m%d")


def first_tick_after(day: str, tick_seconds: int) -> int:
    """Return the first tick that starts on a later UTC day than `day`."""
    start = int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp()) + DAY_S
    return -(-start // tick_seconds)


@dataclass(frozen=True, slots=True)
class Poll:
    """The one GET of a poll slot: a path below the hub's address, and whether it is a day's roll-up."""

    path: str
    day: str | None


def next_poll(next_tick: int, now: float, tick_seconds: int) -> Poll:
    """Return what this slot asks for; it depends on the time and on earlier answers of the hub, on nothing of the owner's.

    One container while the home keeps up (or lags no more than 5 s, which only ticks of a few seconds can), else the
    roll-up of the day of the tick needed next.
    """
    behind = wanted_tick(now, tick_seconds) - next_tick
    if behind <= LAG_S // tick_seconds:
        return Poll(f"/feed/v1/all/{next_tick}", None)
    day = day_of(next_tick, tick_seconds)
    return Poll(f"/feed/v1/day/all/{day}", day)


def without_history(state: FeedState, day: str) -> FeedState | None:
    """Return the state after the hub answered 404 for `day`: on to the next day, or None when the day cannot be missing.

    Only days before the home joined may be missing (a hub keeps its roll-ups for a while); after that every tick counts.
    """
    following = first_tick_after(day, state.pin.tick_seconds)
    if state.next_tick > state.anchor_tick:
        return None
    if following > state.anchor_tick:
        return replace(state, next_tick=state.anchor_tick + 1, prev_tick_index=state.anchor_index)
    return replace(state, next_tick=following, prev_tick_index=None)


# ---------------------------------------------------------------- joining


def start(pin: Pinned, latest: Container, snapshot: bytes, *, now: int) -> tuple[FeedState, Outcome]:
    """Begin to follow: the newest container fixes the directory, and history begins up to 14 days before it.

    On return: 1. the container's tick is logged under the pinned policy and is this hub's; 2. its content is under its
    root; 3. the snapshot is the directory that the tick's entry names, each line signed by the hub; 4. the witnesses that
    it puts in force are the pinned ones, and none follow them sooner than their notice. Raises ProtocolError.
    The outcome CHECK_CLOCK means that no verdict on freshness is possible.
    """
    tick, cosigned, index = _logged_tick(latest, pin.policy, pin)
    _check_root(tick, latest)
    directory = Directory.read(pin.hub_key, snapshot)
    if (directory.lines and directory.lines[-1].index >= index) or directory.digest() != tick.agencies:
        raise ProtocolError("feed.directory", "the directory is not the one that the log entry names")
    _check_standing(directory)
    _check_pinned(pin, directory, tick.tick * pin.tick_seconds, now)
    first = max(pin.genesis_at, tick.tick * pin.tick_seconds - HISTORY_DAYS * DAY_S) // pin.tick_seconds
    fresh = _fresh_at(cosigned, tick)
    if fresh < tick.tick * pin.tick_seconds - WITNESS_SKEW_S:
        raise ProtocolError("feed.before_tick", "the witnesses saw this tick before it began", evidence=str(tick.tick))
    state = FeedState(pin, directory, min(first, tick.tick), None, tick.tick, index, (_head(cosigned),), last_fresh_at=fresh)
    return state, _outcome(cosigned, fresh, now)


# ---------------------------------------------------------------- one container


def verify_container(state: FeedState, container: Container, *, now: int, newest: bool) -> Verified:
    """Verify one container against `state` at Unix second `now`; `newest` says that it claims to be the current one.

    On return with any outcome but CHECK_CLOCK:
    1. the tick's entry stands in the pinned log: log signature, quorum of the witness policy in force when the tick
       began, inclusion; the hub signed it; no other head of that size was ever shown here;
    2. a quorum saw it no earlier than the tick began; for the newest one the outcome says whether that is within 2 hours
       (else STALE), 24 hours (else BLOCKED), or over 5 minutes ahead of our clock (CHECK_CLOCK, nothing believed);
    3. the content is the one under the entry's root, of the one scope;
    4. its number is the next one; 5. its entry follows the tick's before without a gap;
    6. each line's index lies between those two entries;
    7. the directory after this content is the one that the entry names, and a witness policy in it keeps its notice;
    8. each request in `published` was signed by two officers of its agency, with keys good as of its log index, and
       keeps every cap that needs no private file, alone and beside the requests before it; the others are in `refused`;
    9. unknown types and versions were counted, not read; an unknown field in a known one refused its line.
    Raises ProtocolError with a code of its own for each failure; the state then stays what it was.
    """
    pin = state.pin
    # 1. The policy is that of the tick we need, so that a change cannot vouch for itself.
    tick, cosigned, index = _logged_tick(container, state.policy_at(state.next_tick * pin.tick_seconds), pin)
    head = _head(cosigned)
    for seen in state.heads:
        if seen.size == head.size and seen.root != head.root:
            raise ProtocolError("feed.fork", "two logs of one size were shown: keep both as evidence", evidence=str(head.size))
    # 2.
    fresh = _fresh_at(cosigned, tick)
    outcome = _outcome(cosigned, fresh, now) if newest else Outcome.OK
    if outcome is Outcome.CHECK_CLOCK:
        return Verified(outcome, state, tick.tick, index, fresh, times=cosigned.times)
    if fresh < tick.tick * pin.tick_seconds - WITNESS_SKEW_S:
        raise ProtocolError("feed.before_tick", "the witnesses saw this tick before it began", evidence=str(tick.tick))
    # 3.
    _check_root(tick, container)
    # 4. and 5.
    _check_chain(state, tick, index)
    # 6.
    lines = _lines_of(tick, index, container)
    # 7.
    directory = _directory_after(state, tick, index, lines)
    # 8. and 9.
    found = Reading(pin, directory, state.live, at=fresh, begun=tick.tick * pin.tick_seconds)
    for line in lines:
        found.read(line)
    after = replace(
        state,
        directory=directory,
        next_tick=tick.tick + 1,
        prev_tick_index=index,
        heads=(*(h for h in state.heads if h.size != head.size), head)[-KEPT_HEADS:],
        live=tuple(r for r in found.live if r.expires > fresh or r.at > fresh - CELL_RULE_SPAN_S),
        last_fresh_at=max(state.last_fresh_at, fresh),
    )
    return Verified(
        outcome,
        after,
        tick.tick,
        index,
        fresh,
        tuple(found.published),
        tuple(found.refused),
        tuple(found.withdrawn),
        tuple(found.epochs),
        found.opaque,
        cosigned.times,
        tuple(found.extended),
        tuple(found.resolved),
    )


def freshness(last_fresh_at: int, now: int) -> Outcome:
    """Tell how current a home is that last saw a quorum's time `last_fresh_at`."""
    age = now - last_fresh_at
    if age > BLOCKED_S:
        return Outcome.BLOCKED
    return Outcome.STALE if age > STALE_S else Outcome.OK


def tick_number(container: Container) -> int:
    """Return the tick that a container claims to be, unproven: for skipping what a roll-up repeats. Raises ProtocolError."""
    return FeedTick.parse(_tick_envelope(TlogProof.parse(container.proof.encode())).payload).tick


def _tick_envelope(proof: TlogProof) -> dsse.Envelope:
    if proof.extra is None:
        raise ProtocolError("feed.extra", "the proof does not carry the tick's log entry")
    return dsse.Envelope.parse(proof.extra)


def _logged_tick(container: Container, policy: Policy, pin: Pinned) -> tuple[FeedTick, CosignedCheckpoint, int]:
    proof = TlogProof.parse(container.proof.encode())
    envelope = _tick_envelope(proof)
    included = proof.verify(policy, proof.extra or b"")
    origin = included.checkpoint.checkpoint.origin
    if origin != pin.origin:
        raise ProtocolError("feed.origin", "the proof is from another log of the policy", evidence=origin)
    payload = envelope.verify(dsse.ENTRY, pin.hub_key)
    value = canonical.decode(payload)
    if kind_of(value) != (FeedTick.TYPE, FeedTick.VERSION):
        raise ProtocolError("feed.tick_type", "the proven entry is not a feed tick", evidence=str(value.get("type")))
    if value.get("scopes") != 1:
        raise ProtocolError("feed.scopes", "a tick has the one scope `all`, neither more nor fewer")
    return FeedTick.from_document(value), included.checkpoint, included.index


def _head(cosigned: CosignedCheckpoint) -> Head:
    return Head(cosigned.checkpoint.size, cosigned.checkpoint.root, cosigned.note.encode())


def _fresh_at(cosigned: CosignedCheckpoint, tick: FeedTick) -> int:
    """Return the time that the witnesses vouch for; a policy without a quorum leaves only the hub's own word."""
    return tick.at if cosigned.fresh_at is None else cosigned.fresh_at


def _outcome(cosigned: CosignedCheckpoint, fresh: int, now: int) -> Outcome:
    if max(fresh, cosigned.newest or 0) > now + CLOCK_AHEAD_S:
        return Outcome.CHECK_CLOCK
    return freshness(fresh, now)


def _check_root(tick: FeedTick, container: Container) -> None:
    if tick.root != scope_root(tick.tick, container.gzip):
        raise ProtocolError("feed.root", "the content is not the one that the log entry names", evidence=str(tick.tick))


def _check_chain(state: FeedState, tick: FeedTick, index: int) -> None:
    beginning = state.prev_tick_index is None
    if tick.tick < state.next_tick:
        raise ProtocolError("feed.replay", "an old tick was served again", evidence=str(tick.tick))
    # Where history begins is the hub's to say, but not behind the tick of joining: from there on none may be missing.
    if tick.tick > state.next_tick and (not beginning or tick.tick > state.anchor_tick):
        raise ProtocolError("feed.tick", "ticks were left out", evidence=f"{tick.tick}, needed {state.next_tick}")
    if not beginning and tick.prev_tick_index != state.prev_tick_index:
        raise ProtocolError("feed.chain", "the tick does not follow the one before it", evidence=str(tick.prev_tick_index))
    if not tick.prev_tick_index < index:
        raise ProtocolError("feed.chain", "a tick follows an entry after itself", evidence=str(tick.prev_tick_index))
    on_anchor = tick.tick == state.anchor_tick
    if on_anchor != (index == state.anchor_index) or (tick.tick < state.anchor_tick) != (index < state.anchor_index):
        raise ProtocolError("feed.fork", "the feed does not pass through the tick seen when joining", evidence=str(index))


def _lines_of(tick: FeedTick, index: int, container: Container) -> tuple[Line, ...]:
    """Read the content, holding no more of a hostile one than a tick may have."""
    lines: list[Line] = []
    for line in parse_lines(decompress(container.gzip)):
        if not tick.prev_tick_index < line.index < index:
            raise ProtocolError("feed.line_range", "a line is from outside the tick's part of the log", evidence=str(line.index))
        if len(lines) == MAX_LINES:
            raise ProtocolError("feed.too_many_lines", f"a tick has at most {MAX_LINES} lines")
        lines.append(line)
    return tuple(lines)


def _directory_after(state: FeedState, tick: FeedTick, index: int, lines: tuple[Line, ...]) -> Directory:
    changes = [line for line in lines if _kind(line) in DIRECTORY_TYPES]
    directory = state.directory
    if index > state.anchor_index and changes:
        directory = copy.deepcopy(directory)
        for line in changes:
            directory.apply(line)
        _check_standing(directory)
    if changes:
        _check_notice(state, directory, tick, changes)
    known = {line.index: line for line in directory.lines} if changes else {}
    if any(known.get(line.index) != line for line in changes) or directory.digest(below=index) != tick.agencies:
        raise ProtocolError("feed.directory", "the directory is not the one that the log entry names", evidence=str(tick.tick))
    return directory


def _check_notice(state: FeedState, directory: Directory, tick: FeedTick, changes: list[Line]) -> None:
    """Refuse a policy of witnesses or standing without its notice: by its own date, and by when this home could first see it.

    The date is the hub's own word, so it alone would let a hub log today what it says it announced long ago.
    """
    fresh = {line.index for line in changes}
    notice = state.pin.notice_seconds
    earliest = (tick.tick - 1) * state.pin.tick_seconds
    for line in directory.lines:
        if line.index not in fresh or _kind(line) != "policy_changed":
            continue
        value = canonical.decode(line.envelope.payload)
        if value.get("v") != 1 or value["kind"] not in {"witness", "standing"}:
            continue
        if value["effective_at"] < max(value["at"], earliest) + notice:
            raise ProtocolError("feed.policy_notice", f"a {value['kind']} policy changes without its notice")
        if value["kind"] == "standing":
            continue
        if hashlib.sha256(value["text"].encode()).hexdigest() != value["sha256"]:
            raise ProtocolError("feed.policy_text", "a policy's text is not the one that its hash names")
        if not Policy.parse(value["text"].encode()).log_keys(state.pin.origin):
            raise ProtocolError("feed.policy_log", "a witness policy drops the log that this home follows")


def _check_pinned(pin: Pinned, directory: Directory, begun: int, now: int) -> None:
    """Refuse to join where the log would put other witnesses in the place of those that the owner compared (design.md 9.1).

    When a change was logged is not to be seen in a snapshot, so one that comes sooner than its notice is waited for.
    """
    in_force = [directory.policy("witness", moment) for moment in (begun, now)]
    changed = [Policy.parse(policy.text.encode()) for policy in in_force if policy is not None]
    if changed and pin.policy not in changed:
        raise ProtocolError(
            "feed.policy_pinned",
            "the log puts other witnesses in force than the join file",
            hint="fetch the hub's join file again and compare its fingerprints",
        )
    for policy in directory.policies("witness"):
        if max(begun, now) < policy.effective_at < begun + pin.notice_seconds:
            raise ProtocolError(
                "feed.policy_pending",
                "the hub changes its witnesses soon, and a new home cannot know whether that was announced in time",
                evidence=str(policy.effective_at),
                hint="join when the change is in force, with the join file of then",
            )


def _check_standing(directory: Directory) -> None:
    """Refuse a standing policy that is not a JSON list of agency ids, before anything relies on it."""
    for policy in directory.policies("standing"):
        try:
            value = json.loads(policy.text)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("feed.standing", "a standing policy is a JSON list of agency ids") from error
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ProtocolError("feed.standing", "a standing policy is a JSON list of agency ids")


def _kind(line: Line) -> str:
    return kind_of(canonical.decode(line.envelope.payload))[0]


def _stored(one: LiveRequest) -> list[Any]:
    """Return a live request as it is stored; what came with a later version stands at the end, and only where it is set."""
    return [one.id, one.agency, one.case, list(one.area), one.at, one.expires, one.withdrawn, *([True] if one.extended else [])]


def _live(item: list[Any]) -> LiveRequest:
    name, agency, case, area, at, expires, withdrawn, *later = item
    return LiveRequest(
        id=name,
        agency=agency,
        case=case,
        area=tuple(area),
        at=at,
        expires=expires,
        withdrawn=withdrawn,
        extended=bool(later),
    )
