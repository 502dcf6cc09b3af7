"""Joining a hub: read its join file, compare fingerprints with what each witness says itself, then pin (design.md 9.1)."""

import functools
import hashlib
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _
from fairwitness_core.model.feed import read_containers
from fairwitness_core.model.hub import FeedTick, JoinFile, LogGenesis
from fairwitness_core.rules import feed
from fairwitness_core.rules.feed import FeedState, Outcome
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.tlog import checkpoint, note, tiles
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home import slots
from fairwitness.home.errors import conflict, invalid, unreachable
from fairwitness.home.models import Feed, Pin, Token
from fairwitness.kit import clock, http
from fairwitness.kit.errors import Refused

_SMALL = 1 << 16
_CONTAINER = 17 << 20
_SNAPSHOT = 256 << 20


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One key to compare. `pinned`: as the join file has it; `published`: as its owner states it, None if unreachable."""

    kind: str
    name: str
    pinned: str
    published: str | None = None

    @property
    def agrees(self) -> bool | None:
        """Tell whether both are the same; None when there is nothing to compare with."""
        return None if self.published is None else self.pinned == self.published


def read_join(data: bytes) -> JoinFile:
    """Read a join file; raises ProtocolError."""
    return JoinFile.parse(data.rstrip(b"\n"))


def fetch_join(url: str) -> bytes:
    """Fetch a join file from a hub's address or from its own. Raises Refused."""
    address = url if url.endswith("/join.json") else f"{url.rstrip('/')}/join.json"
    return _get(address, _SMALL)


def short(text: str) -> str:
    """Return the fingerprint of a key's text for comparing by eye: eight groups of four hex digits."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return " ".join(digest[i : i + 4] for i in range(0, 32, 4))


def fingerprints(join: JoinFile, *, ask_witnesses: bool = True) -> list[Fingerprint]:
    """Return what an owner compares: the logs' keys, the hub's, and each witness's own statement of its key.

    Raises ProtocolError when the policy in the join file is not one.
    """
    policy = Policy.parse(join.policy.encode())
    found = [
        Fingerprint("log", join.public_log.split("+", 1)[0], join.public_log),
        Fingerprint("log", join.sealed_log.split("+", 1)[0], join.sealed_log),
        Fingerprint("hub", join.name, dsse.b64(join.hub_key)),
    ]
    addresses = dict(join.witnesses)
    for witness in policy.witnesses:
        url = addresses.get(witness.name) or witness.url
        published = _vkey(url) if ask_witnesses and url else None
        found.append(Fingerprint("witness", witness.name, witness.key.encode(), published))
    return found


def _vkey(url: str) -> str | None:
    try:
        answer = http.Http(timeout=10.0).get(f"{url.rstrip('/')}/vkey", max_bytes=4096)
        return answer.body.decode("ascii").strip() if answer.status == 200 else None
    except (http.Unreachable, http.TooLarge, UnicodeDecodeError, ValueError):
        return None


def accept(data: bytes, *, invite: str = "", ask_witnesses: bool = True, successor: bool = False) -> Pin:
    """Pin a join file and begin to follow its feed.

    On return: 1. no witness stated another key than the file has; 2. entry 0 of the log is the one that the file names;
    3. the newest tick and the directory were verified under the file's policy; 4. file, entry and state are stored.
    A home keeps one hub: another one is refused unless `successor` is set and its log names ours as predecessor.
    Raises Refused, ProtocolError.
    """
    join = read_join(data)
    known = pinned()
    if known is not None and bytes(known.join) == join.encode():
        if invite and invite != known.invite:
            Pin.objects.filter(pk=1).update(invite=invite)
            Token.objects.filter(state="dead", token=None, answer=None).delete()
            known.invite = invite
        return known
    # 1.
    for item in fingerprints(join, ask_witnesses=ask_witnesses):
        if item.agrees is False:
            raise conflict(
                "join.witness_key",
                _("The witness %(name)s states another key than the join file: do not join.") % {"name": item.name},
            )
    # 2.
    genesis = _genesis(join)
    pin = Pinned.of(join, genesis)
    if known is not None:
        _check_successor(known, genesis, allowed=successor)
    # 3.
    state, outcome = _begin(join, pin)
    if outcome is Outcome.CHECK_CLOCK:
        raise conflict("join.clock", _("The witnesses' clocks are over 5 minutes ahead of this one."), _("Set the clock."))
    if outcome is Outcome.BLOCKED:
        raise conflict("join.blocked", _("The newest tick that this hub serves is over a day old."), _("Try again later."))
    # 4.
    slots.seed()
    with transaction.atomic():
        Feed.objects.all().delete()
        Feed(
            state=state.encode(),
            directory=state.directory.encode(),
            directory_sha256=state.directory.digest(),
            outcome=outcome.value,
        ).save()
        row = Pin(join=join.encode(), genesis=genesis, invite=invite, accepted_at=clock.now())
        row.save()
    return row


def _check_successor(known: Pin, genesis: bytes, *, allowed: bool) -> None:
    before = LogGenesis.parse(dsse.Envelope.parse(genesis).payload).predecessor
    old = JoinFile.parse(bytes(known.join))
    if before is None or before.origin != old.public_log.split("+", 1)[0]:
        raise conflict("join.other_hub", _("This home follows another hub."), _("Make a second data folder for a second hub."))
    if not allowed:
        raise conflict(
            "join.successor",
            _("This log says that it continues the one that this home follows."),
            _("Ask the hub's keepers why, compare the fingerprints, then accept it as the successor."),
        )


def _begin(join: JoinFile, pin: Pinned) -> tuple[FeedState, Outcome]:
    tick = _get(f"{join.url}/feed/v1/latest", 64).strip()
    if not tick.isdigit() or len(tick) > 16:
        raise invalid("join.latest", _("The hub names no newest tick."))
    containers = list(read_containers(_get(f"{join.url}/feed/v1/all/{int(tick)}", _CONTAINER)))
    if len(containers) != 1:
        raise invalid("join.latest", _("The hub served no single container."))
    proof = TlogProof.parse(containers[0].proof.encode())
    if proof.extra is None:
        raise ProtocolError("feed.extra", "the proof does not carry the tick's log entry")
    # Only a name to fetch by: `feed.start` proves the entry and compares the hash.
    named = FeedTick.parse(dsse.Envelope.parse(proof.extra).payload).agencies
    snapshot = _get(f"{join.url}/feed/v1/agencies/{named}", _SNAPSHOT)
    return feed.start(pin, containers[0], snapshot, now=clock.now())


def _genesis(join: JoinFile) -> bytes:
    """Fetch entry 0; its hash is checked by `Pinned.of`. A log may drop a partial bundle as it grows, so look twice."""
    for attempt in (1, 2):
        head = checkpoint.Checkpoint.parse(note.Note.parse(_get(f"{join.url}/log/p/checkpoint", _SMALL)).text)
        width = min(head.size, tiles.WIDTH)
        if not width:
            raise invalid("join.empty_log", _("The hub's log is empty."))
        try:
            bundle = _get(f"{join.url}/log/p/{tiles.entries_path(0, width)}", 16 << 20)
        except Refused:
            if attempt == 2:
                raise
            continue
        return tiles.parse_bundle(bundle, width)[0]
    raise AssertionError  # the loop returns or raises


def _get(url: str, max_bytes: int) -> bytes:
    try:
        answer = http.Http().get(url, max_bytes=max_bytes)
    except (http.Unreachable, http.TooLarge, ValueError) as error:
        raise unreachable("join.unreachable", _("The hub could not be reached."), str(error)) from error
    if answer.status != 200:
        raise unreachable("join.refused", _("The hub did not serve what joining needs."), f"{answer.status} {url}")
    return answer.body


def pinned() -> Pin | None:
    """Return the pin, or None before joining."""
    return Pin.objects.filter(pk=1).first()


@dataclass(frozen=True, slots=True)
class Joined:
    """The pin, read."""

    join: JoinFile
    pin: Pinned
    invite: str


@functools.lru_cache(maxsize=4)
def _parse(join: bytes, genesis: bytes, invite: str) -> Joined:
    document = JoinFile.parse(join)
    return Joined(document, Pinned.of(document, genesis), invite)


def current() -> Joined:
    """Return what this home joined; raises Refused before that."""
    row = pinned()
    if row is None:
        raise conflict("join.none", _("This home has not joined a hub yet."), _("Run: fairwitness home join DIR ADDRESS"))
    return _parse(bytes(row.join), bytes(row.genesis), row.invite)


def trust_policy() -> bytes:
    """Return the trust file for `fairwitness verify --trust`, made from what is pinned here. Raises Refused."""
    return TrustPolicy.from_join(current().join).encode()
