"""A hub that turned malicious: it has its own keys and answers, and what it can make of them (protocol.md 4.7)."""

import hashlib
from dataclasses import dataclass, replace

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model.feed import Container, Line, compress, decompress, parse_lines, read_containers, scope_root
from fairwitness_core.model.hub import FeedTick
from fairwitness_core.rules.feed import make_container
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note
from fairwitness_core.tlog.checkpoint import Checkpoint
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.wire import canonical, dsse

from tests.harness.net import Message
from tests.harness.scene import MESSAGE, WINDOW, area
from tests.harness.world import World


@dataclass
class Forger:
    """The hub's keys in the wrong hands. `witnesses`: names of those that collude, too few for the quorum."""

    world: World
    witnesses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        keys = self.world.hub.act("secret_keys")
        self.hub_key, self.log_key = SigningKey(keys["hub"]), SigningKey(keys["p"])

    def container(self, tick: int) -> Container:
        """The honest container of a tick."""
        (found,) = read_containers((self.world.hub.folder / "feed/v1/all" / str(tick)).read_bytes())
        return found

    def entries(self) -> list[bytes]:
        return self.world.hub.act("log_entries")

    def forked(self, tick: int, extra: bytes) -> Container:
        """A container with one more line, bound into a log of the same size that says so, signed by the log's key.

        `extra`: the envelope of a request that only one household is to see. The log is rewritten from the entry before
        the tick's own on, where the request is put.
        """
        honest = self.container(tick)
        proof = TlogProof.parse(honest.proof.encode())
        entry = FeedTick.parse(dsse.Envelope.parse(proof.extra or b"").payload)
        place = proof.index
        lines = [*parse_lines(decompress(honest.gzip)), Line(place, dsse.Envelope.parse(extra))]
        gzip = compress(lines)
        forged = replace(entry, root=scope_root(tick, gzip))
        envelope = dsse.sign(dsse.ENTRY, forged.encode(), self.hub_key).encode()
        leaves = [*self.entries()[:place], extra, envelope]
        return make_container(self._proof(leaves, place + 1), envelope, gzip)

    def _proof(self, leaves: list[bytes], index: int) -> bytes:
        def node(level: int, number: int) -> bytes:
            if level == 0:
                return merkle.leaf_hash(leaves[number])
            return merkle.node_hash(node(level - 1, 2 * number), node(level - 1, 2 * number + 1))

        origin = Checkpoint.parse(note.Note.parse((self.world.hub.folder / "log/p/public/checkpoint").read_bytes()).text).origin
        head = checkpoint.sign(Checkpoint(origin, len(leaves), merkle.tree_root(len(leaves), node)), self.log_key)
        for name in self.witnesses:
            key = SigningKey((name.encode() * 32)[:32])
            line = cosignature.cosign(head.text, f"{name}.example", key, int(self.world.net.now))
            head = head.with_signatures(line)
        return TlogProof(index, tuple(merkle.inclusion(index, len(leaves), node)), head).encode()

    def fork_head(self, tick: int, extra: bytes) -> bytes:
        """The signed head of the forked log, to show to a witness."""
        return TlogProof.parse(self.forked(tick, extra).proof.encode()).checkpoint.encode()

    def appended(self, tick: int, extra: bytes) -> Container:
        """The honest proof with one more line in the bundle."""
        honest = self.container(tick)
        index = TlogProof.parse(honest.proof.encode()).index
        return replace(
            honest, gzip=compress([*parse_lines(decompress(honest.gzip)), Line(index - 1, dsse.Envelope.parse(extra))])
        )


def bait(world: World, *, signers: tuple[str, ...] = ("diaz", "okafor"), **changes: object) -> bytes:
    """A request that real officers' keys signed, with fields as no honest console would make them."""
    number = hashlib.sha256(repr((sorted(changes.items()), signers)).encode()).hexdigest()[:32]
    at = int(world.net.now)
    body = {
        "v": 1, "type": "request_published", "id": number, "agency": "us-ca-oakland", "case": "24-900", "offense": "nibrs:220",
        "area": area(), "from": WINDOW[0], "to": WINDOW[1], "msg": MESSAGE, "contact": "Det. Diaz 510-555-0100",
        "expires": at + 3 * 86_400, "key": world.agency.act("recipient"), "modes": ["anonymous"], "emergency": False, "at": at,
    } | changes  # fmt: skip
    payload = canonical.encode(body)
    keys = [SigningKey(seed) for seed in world.agency.act("officer_seeds", list(signers))]
    pae = dsse.pae(dsse.ENTRY, payload)
    return dsse.Envelope(dsse.ENTRY, payload, tuple(dsse.Signature(k.public.kid, k.sign(pae)) for k in keys)).encode()


def serve(world: World, path: str, data: bytes, *, only: str = "") -> None:
    """Have the hub answer `path` with other bytes, to all or to one household only."""

    def tamper(message: Message) -> bool:
        if message.target != "hub.test" or message.path != path or (only and message.source != only):
            return False
        message.status, message.answer = 200, data
        message.answer_headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(data)))]
        return True

    world.net.tamper = tamper
