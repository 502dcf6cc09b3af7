"""What the hub itself states in the public log, and its join file (protocol.md 6.4, 16; design.md 9.1-9.4, 9.14)."""

from dataclasses import dataclass
from typing import ClassVar

from fairwitness_core.model.document import Document, Part, part, wire
from fairwitness_core.wire import canonical
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError

ORIGIN = f.text(120, min_bytes=3, pattern=r"[a-z0-9][a-z0-9./_-]*")
VKEY = f.text(300, min_bytes=20)
LEGAL_KINDS = ("court_order", "emergency", "other", "preservation", "subpoena", "warrant")
"""The kinds of demand that are counted apart, in order."""
_AGENCIES = f.array(f.AGENCY_ID, high=256, ordered_set=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor(Part):
    """The head of the log that a recovered hub continues (design.md 9.14)."""

    origin: str = wire(ORIGIN)
    size: int = wire(f.integer(0))
    root: bytes = wire(f.base64_bytes(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGenesis(Document):
    """Entry 0 of the public log: who keeps it and by which numbers. Signed by `hub_key`.

    `public_log`, `sealed_log`: note verifier keys of the two ledgers. `policy_sha256`: of the first witness policy.
    `tick_seconds`: length of a feed tick; `sealed_seconds`: beat of the sealed ledger; `embargo_seconds` and
    `notice_seconds`: delays of the search log and of policy changes. `at`: Unix seconds UTC, also the first tick's time.
    """

    TYPE: ClassVar[str] = "log_genesis"

    name: str = wire(f.text(120, min_bytes=2))
    state: str = wire(f.text(2, min_bytes=2, pattern=r"[A-Z]{2}"))
    public_log: str = wire(VKEY)
    sealed_log: str = wire(VKEY)
    hub_key: bytes = wire(f.base64_bytes(32))
    policy_sha256: str = wire(f.HASH)
    tick_seconds: int = wire(f.integer(1, 86400))
    sealed_seconds: int = wire(f.integer(1, 3600))
    embargo_seconds: int = wire(f.integer(0, 31536000))
    notice_seconds: int = wire(f.integer(0, 31536000))
    retention: str = wire(f.text(600, min_bytes=2, newline=True))
    at: int = wire(f.TIME)
    predecessor: Predecessor | None = wire(part(Predecessor), optional=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChanged(Document):
    """A rule of the hub changes, at least `notice_seconds` ahead. Signed by the hub; `text` hashes to `sha256`.

    kind `witness`: a tlog-policy; `standing`: canonical JSON list, sorted and without repeats, of the ids of agencies that
    may ask though federal or of another state.
    """

    TYPE: ClassVar[str] = "policy_changed"

    kind: str = wire(f.one_of("moderation", "retention", "standing", "witness"))
    sha256: str = wire(f.HASH)
    text: str = wire(f.text(8192, newline=True))
    supersedes: str = wire(f.HASH)
    effective_at: int = wire(f.TIME)
    at: int = wire(f.TIME)

    def check(self) -> None:
        """A standing policy is the list that it claims to be, before anybody relies on it."""
        if self.kind == "standing":
            try:
                _AGENCIES.decode(canonical.decode(self.text.encode()), "text")
            except ProtocolError as error:
                text = "a standing policy is a canonical JSON list of agency ids, sorted and without repeats"
                raise ProtocolError("policy.standing", text, evidence=self.text, hint=error.message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedTick(Document):
    """One per tick, also when nothing happened. Signed by the hub.

    `root`: Merkle root over the scopes' leaves (one scope, `all`, in v1). `agencies`: SHA-256 of the directory lines
    below this entry. `prev_tick_index`: log index of the tick before, or the genesis (0) for the first.
    """

    TYPE: ClassVar[str] = "feed_tick"

    tick: int = wire(f.integer(0))
    root: bytes = wire(f.base64_bytes(32))
    scopes: int = wire(f.integer(1, 1))
    agencies: str = wire(f.HASH)
    prev_tick_index: int = wire(f.integer(0))
    at: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKey(Document):
    """The one token key of an epoch, for every household alike (protocol.md 5.2). `pk`: compressed P-384 point."""

    TYPE: ClassVar[str] = "issuer_key"

    epoch: int = wire(f.integer(0))
    alg: str = wire(f.one_of("voprf-p384"))
    pk: bytes = wire(f.base64_bytes(49))
    not_before: int = wire(f.TIME)
    not_after: int = wire(f.TIME)
    at: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEpoch(Document):
    """The padded root over a day's received responses (protocol.md 5.4). `leaves`: a power of two >= 64."""

    TYPE: ClassVar[str] = "inbox_epoch"

    day: str = wire(f.text(8, min_bytes=8, pattern=r"[0-9]{8}"))
    root: bytes = wire(f.base64_bytes(32))
    leaves: int = wire(f.integer(64))
    at: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalCount(Part):
    """How many demands of one kind came in a month, and to how many sealed bytes were handed over."""

    kind: str = wire(f.one_of(*LEGAL_KINDS))
    asked: int = wire(f.integer(0, 1_000_000))
    sealed_bytes_given: int = wire(f.integer(0, 1_000_000))

    def check(self) -> None:
        """Nothing is given that was not asked for."""
        if self.sealed_bytes_given > self.asked:
            raise ProtocolError("legal.counts", "more was handed over than was asked for")


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalProcess(Document):
    """What courts, agencies and others demanded of the hub's keepers in a UTC month (SG21); also a month without any.

    There is nothing readable to hand over: no owner, place or key is here. A kind that nobody used is left out. A demand that
    an order of silence covers is counted in the month in which the order ends.
    """

    TYPE: ClassVar[str] = "legal_process"

    month: str = wire(f.text(6, min_bytes=6, pattern=r"[0-9]{4}(0[1-9]|1[0-2])"))
    counts: tuple[LegalCount, ...] = wire(f.array(part(LegalCount), high=len(LEGAL_KINDS)))
    at: int = wire(f.TIME)

    def check(self) -> None:
        """Each kind stands once, in order."""
        kinds = [count.kind for count in self.counts]
        if kinds != sorted(set(kinds)):
            raise ProtocolError("legal.order", "each kind stands once, in order")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFile(Document):
    """What a home pins: the same bytes for everyone, apart from any invite (design.md 9.1).

    `policy`: the witness policy text that homes, agencies and verifiers pin. `genesis`: SHA-256 of the genesis envelope.
    `witnesses`: name and address where each publishes its own key, for comparing fingerprints.
    """

    TYPE: ClassVar[str] = "join"

    name: str = wire(f.text(120, min_bytes=2))
    url: str = wire(f.text(300, min_bytes=8, pattern=r"https?://[A-Za-z0-9.:\[\]/_-]+"))
    public_log: str = wire(VKEY)
    sealed_log: str = wire(VKEY)
    hub_key: bytes = wire(f.base64_bytes(32))
    policy: str = wire(f.text(8192, min_bytes=8, newline=True))
    tick_seconds: int = wire(f.integer(1, 86400))
    genesis: str = wire(f.HASH)
    genesis_at: int = wire(f.TIME)
    witnesses: tuple[tuple[str, str], ...] = wire(f.array(f.array(f.text(300, min_bytes=1), low=2, high=2), high=32))
