"""A small honest hub in memory, whose every part a test can bend: real log, real witnesses' keys, real signatures."""

import hashlib
from dataclasses import dataclass, field

import h3
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model.agency import AgencyAuthorized, AgencyKey
from fairwitness_core.model.directory import DIRECTORY_TYPES, Directory
from fairwitness_core.model.document import Document
from fairwitness_core.model.feed import Container, Line, compress, scope_root
from fairwitness_core.model.hub import FeedTick, JoinFile, LogGenesis
from fairwitness_core.model.request import Request
from fairwitness_core.rules import feed
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, policy, proof
from fairwitness_core.wire import canonical, dsse

START = 1_780_272_000  # 1 June 2026, 00:00 UTC
TICK = 300
CENTRE = (37.8044, -122.2712)
AGENCY = "us-ca-oakland"
FEED_TYPES = {
    "request_published", "request_withdrawn", "request_extended", "request_resolved", "inbox_epoch", *DIRECTORY_TYPES,
}  # fmt: skip


def key(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(b"fairwitness test key " + name.encode()).digest())


class Log:
    """An RFC 6962 log in a list."""

    def __init__(self, origin, signer):
        self.origin, self.key = origin, signer
        self.vkey = note.VerifierKey(origin, note.ED25519, signer.public)
        self.entries: list[bytes] = []

    def fork(self, size):
        other = Log(self.origin, self.key)
        other.entries = self.entries[:size]
        return other

    def append(self, data: bytes) -> int:
        self.entries.append(data)
        return len(self.entries) - 1

    def _node(self, level, index):
        if level == 0:
            return merkle.leaf_hash(self.entries[index])
        return merkle.node_hash(self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1))

    def head(self, size=None):
        size = len(self.entries) if size is None else size
        return checkpoint.Checkpoint(self.origin, size, merkle.tree_root(size, self._node))

    def signed(self, size=None, signer=None):
        return checkpoint.sign(self.head(size), signer or self.key)

    def path(self, index, size):
        return tuple(merkle.inclusion(index, size, self._node))


@dataclass
class World:
    tick_seconds: int = TICK
    start: int = START
    notice_seconds: int = 86_400
    witnesses: tuple[str, ...] = ("w1.example", "w2.example", "w3.example")
    url: str = "http://hub.example"
    state: str = "CA"
    containers: dict[int, Container] = field(default_factory=dict)

    def __post_init__(self):
        self.hub, self.log_key = key("hub"), key("log")
        self.log = Log("hub.example/public", self.log_key)
        sealed = self.sealed_vkey = note.VerifierKey("hub.example/sealed", note.ED25519, key("sealed").public)
        self.witness_keys = {name: key(name) for name in self.witnesses}
        self.policy = self.make_policy(self.witnesses, 2)
        genesis = LogGenesis(
            name="Hub", state=self.state, public_log=self.log.vkey.encode(), sealed_log=sealed.encode(),
            hub_key=self.hub.public.raw, policy_sha256=hashlib.sha256(self.policy.encode()).hexdigest(),
            tick_seconds=self.tick_seconds, sealed_seconds=10, embargo_seconds=86_400,
            notice_seconds=self.notice_seconds, retention="as the law says", at=self.start,
        )  # fmt: skip
        self.genesis = dsse.sign(dsse.ENTRY, genesis.encode(), self.hub).encode()
        self.log.append(self.genesis)
        self.join = JoinFile(
            name="Hub", url=self.url, public_log=self.log.vkey.encode(), sealed_log=sealed.encode(),
            hub_key=self.hub.public.raw, policy=self.policy.encode().decode(), tick_seconds=self.tick_seconds,
            genesis=hashlib.sha256(self.genesis).hexdigest(), genesis_at=self.start,
            witnesses=tuple((name, f"http://{name}") for name in self.witnesses),
        )  # fmt: skip
        self.pin = feed.Pinned.of(self.join, self.genesis)
        self.officers = [key("officer 1"), key("officer 2")]
        self.console = key("console")
        self.next_tick = self.start // self.tick_seconds
        self.prev_index = 0
        self.cut = 1

    def make_policy(self, names, k):
        listed = [
            policy.Witness(name, cosignature.vkey(name, self.witness_keys[name].public), f"http://{name}") for name in names
        ]
        return policy.k_of([policy.PolicyLog(self.log.vkey), policy.PolicyLog(self.sealed_vkey)], listed, k)

    # ------------------------------------------------------------ documents

    def area(self, centre=CENTRE, k=1):
        return tuple(sorted(h3.grid_disk(h3.latlng_to_cell(*centre, 9), k)))

    def jurisdiction(self):
        return tuple(sorted(h3.compact_cells(h3.grid_disk(h3.latlng_to_cell(*CENTRE, 9), 36))))

    def agency_key(self, signer, use="officer", not_after=START + 10**8):
        return AgencyKey(kid=signer.public.kid, alg="ed25519", pk=signer.public.raw, use=use, not_after=not_after)

    def authorized(self, **changes):
        values = {
            "agency": AGENCY, "ori": "CA0010900", "name": "Oakland Police", "state": "CA", "level": "municipal",
            "federal": False, "jurisdiction": self.jurisdiction(), "jurisdiction_sha256": "0" * 64,
            "keys": (*(self.agency_key(o) for o in self.officers), self.agency_key(self.console, "agency")),
            "vouched": ("City of Oakland",), "expires": START + 10**8, "at": self.start,
        } | changes  # fmt: skip
        return AgencyAuthorized(**values)

    def request(self, number=1, **changes):
        at = changes.get("at", self.start + 100)
        values = {
            "id": f"{number:032x}", "agency": AGENCY, "case": f"26-{number:06}", "offense": "nibrs:220", "area": self.area(),
            "from_": at - 7200, "to": at - 3600, "at": at, "expires": at + 7 * 86_400,
            "msg": "A burglar broke a rear window and left in a silver van with a ladder on its roof.",
            "contact": "Det. Ana Diaz, Oakland Police", "key": self.recipient(number), "modes": ("anonymous", "identified"),
            "emergency": False,
        } | changes  # fmt: skip
        return Request(**values)

    @staticmethod
    def recipient(number=1):
        from fairwitness_core.crypto import seal  # noqa: PLC0415 - only some tests need age

        if number not in _IDENTITIES:
            _IDENTITIES[number] = seal.new_identity()
        return _IDENTITIES[number][1]

    @staticmethod
    def identity(number=1):
        World.recipient(number)
        return _IDENTITIES[number][0]

    def signed(self, document: Document, *signers) -> bytes:
        return dsse.sign(dsse.ENTRY, document.encode(), *(signers or (self.hub,))).encode()

    def publish(self, document: Document, *signers) -> int:
        """Append a document to the log: signed by the hub, or by `signers`."""
        if isinstance(document, Request) and not signers:
            signers = tuple(self.officers)
        return self.log.append(self.signed(document, *signers))

    # ------------------------------------------------------------ ticks

    def lines(self, begin, end, log=None):
        found = []
        for index in range(begin, end):
            envelope = dsse.Envelope.parse((log or self.log).entries[index])
            if envelope.payload_type == dsse.ENTRY and canonical.decode(envelope.payload).get("type") in FEED_TYPES:
                found.append(Line(index, envelope))
        return found

    def directory(self, below=None, log=None):
        directory = Directory(self.hub.public)
        for line in self.lines(0, len((log or self.log).entries) if below is None else below, log):
            if canonical.decode(line.envelope.payload)["type"] in DIRECTORY_TYPES:
                directory.apply(line)
        return directory

    def cosigned(self, log, size, time, names=None, signer=None):
        signed = log.signed(size, signer)
        for name in self.witnesses[:2] if names is None else names:
            signed = signed.with_signatures(cosignature.cosign(signed.text, name, self.witness_keys[name], time))
        return signed

    def tick(self, *, log=None, time=None, names=None, lines=None, signer=None, gzip=None, number=None, keep=True,
             extra_lines=(), **changes):  # fmt: skip
        """Publish the next tick. Everything about it can be bent."""
        log = log or self.log
        number = self.next_tick if number is None else number
        index = len(log.entries)
        content = self.lines(self.cut, index, log) if lines is None else lines
        packed = compress(content) if gzip is None else gzip
        begin = number * self.tick_seconds
        values = {
            "tick": number, "root": scope_root(number, packed), "scopes": 1, "agencies": self.directory(index, log).digest(),
            "prev_tick_index": self.prev_index, "at": begin + 1,
        } | changes  # fmt: skip
        payload = canonical.encode({**FeedTick(**{**values, "scopes": 1}).to_json(), "scopes": values["scopes"]})
        envelope = dsse.sign(dsse.ENTRY, payload, self.hub).encode()
        log.append(envelope)
        container = self.container(log, index, envelope, packed, begin + 2 if time is None else time, names, signer)
        if keep:
            self.containers[number] = container
            self.next_tick, self.prev_index, self.cut = number + 1, index, index + 1
        return container

    def container(self, log, index, envelope, packed, time, names=None, signer=None, size=None):  # noqa: PLR0917
        size = len(log.entries) if size is None else size
        head = self.cosigned(log, size, time, names, signer)
        raw = proof.TlogProof(index, log.path(index, size), head).encode()
        return feed.make_container(raw, envelope, packed)

    def ticks(self, count):
        return [self.tick() for _ in range(count)]

    @property
    def now(self):
        """A moment just after the newest tick began."""
        return (self.next_tick - 1) * self.tick_seconds + 20

    def joined(self, *, history=False):
        """A home's state after joining at the newest tick; with `history` it has still to read what came before."""
        latest = self.next_tick - 1
        state, outcome = feed.start(self.pin, self.containers[latest], self.snapshot(latest), now=self.now)
        assert outcome is feed.Outcome.OK
        if history:
            return state
        return feed.replace(state, next_tick=latest + 1, prev_tick_index=state.anchor_index)

    def snapshot(self, tick):
        return self.directory(below=self.index_of(tick)).encode()

    def index_of(self, tick):
        return proof.TlogProof.parse(self.containers[tick].proof.encode()).index

    def check(self, state, container, *, newest=True, now=None):
        return feed.verify_container(state, container, now=self.now if now is None else now, newest=newest)


_IDENTITIES: dict[int, tuple[str, str]] = {}
