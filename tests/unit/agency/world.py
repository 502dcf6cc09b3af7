"""A small hub made of the core and the log store, and owners who answer, for the agency's own tests.

It keeps the wire contract of a hub and nothing else. Faults are switched on by attributes.
"""

import hashlib
import io
import json
import random as plain_random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fairwitness_core.crypto import seal
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model import call as calls
from fairwitness_core.model import feed, hub
from fairwitness_core.model.agency import AgencyAuthorized, AgencyKey, KeyRotated
from fairwitness_core.model.directory import Directory
from fairwitness_core.model.feed import Line
from fairwitness_core.model.request import Request
from fairwitness_core.model.response import (
    Clip,
    Consent,
    Identity,
    Manifest,
    Promise,
    StepForward,
    Withdraw,
    response_id,
)
from fairwitness_core.rules import feed as feed_rules
from fairwitness_core.rules.inbox import inbox_leaf, inbox_root
from fairwitness_core.rules.jurisdiction import cover
from fairwitness_core.tlog import cosignature, policy
from fairwitness_core.tlog.note import Note
from fairwitness_core.wire import dsse
from fairwitness_core.wire.frames import FrameSource, clip_name

from fairwitness.demo.footage import make_clip
from fairwitness.kit import clock
from fairwitness.kit.http import Answer, Unreachable
from fairwitness.kit.logstore import LogStore
from fairwitness.kit.video.clip import ClipPass, Cut

HUB_URL = "http://hub.test"
START = 1_800_000_000
POLYGON = {
    "type": "Polygon",
    "coordinates": [[[-122.35, 37.70], [-122.10, 37.70], [-122.10, 37.90], [-122.35, 37.90], [-122.35, 37.70]]],
}


def key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


@dataclass
class Waiting:
    data: bytes
    sealed: str
    tick: int
    day: str
    acked: bool = False


@dataclass
class SmallHub:
    folder: Path
    tick_seconds: int = 60
    down: bool = False
    slow: bool = False  # the sealed ledger does not flush
    cosigners: int = 3
    policy_cosigners: int = 2
    refuse: Callable[[str], bool] = lambda op: False
    calls: list = field(default_factory=list)

    def __post_init__(self):
        self.key = key(1)
        self.witnesses = [(f"witness.test/w{n}", key(10 + n)) for n in range(3)]
        self.public = LogStore.open(self.folder / "p", "hub.test/p", key(2))
        self.sealed = LogStore.open(self.folder / "s", "hub.test/s", key(3))
        logs = [policy.PolicyLog(self.public.vkey), policy.PolicyLog(self.sealed.vkey)]
        witnesses = [policy.Witness(f"w{n}", cosignature.vkey(name, k.public)) for n, (name, k) in enumerate(self.witnesses)]
        self.policy = policy.k_of(logs, witnesses, self.policy_cosigners)
        genesis = hub.LogGenesis(
            name="Test hub",
            state="CA",
            public_log=self.public.vkey.encode(),
            sealed_log=self.sealed.vkey.encode(),
            hub_key=self.key.public.raw,
            policy_sha256=hashlib.sha256(self.policy.encode()).hexdigest(),
            tick_seconds=self.tick_seconds,
            sealed_seconds=10,
            embargo_seconds=0,
            notice_seconds=0,
            retention="Entries are kept for good.",
            at=clock.now(),
        )
        self.entries: list[bytes] = []
        self.genesis = self.log(genesis)
        self.join = hub.JoinFile(
            name="Test hub",
            url=HUB_URL,
            public_log=genesis.public_log,
            sealed_log=genesis.sealed_log,
            hub_key=self.key.public.raw,
            policy=self.policy.encode().decode(),
            tick_seconds=self.tick_seconds,
            genesis=hashlib.sha256(self.genesis).hexdigest(),
            genesis_at=genesis.at,
            witnesses=(),
        )
        self.directory = Directory(self.key.public)
        self.ticks: dict[int, bytes] = {}
        self.last_tick_index = 0
        self.cut = 0
        self.tick_now = clock.now() // self.tick_seconds
        self.lines: list[Line] = []
        self.requests: dict[str, dict] = {}
        self.commitments: dict[bytes, int] = {}
        self.pending: list[bytes] = []
        self.inbox: dict[str, Waiting] = {}
        self.withdrawals: list[bytes] = []
        self.statuses: list = []
        self.days: dict[str, list[bytes]] = {}
        self.nonces: set[str] = set()

    # ------------------------------------------------------------ logs

    def cosign(self, store: LogStore) -> None:
        note = Note.parse(store.signed_checkpoint())
        lines = [cosignature.cosign(note.text, name, k, clock.now()) for name, k in self.witnesses[: self.cosigners]]
        store.publish(note.with_signatures(*lines).encode())

    def log(self, document) -> bytes:
        return self.log_envelope(dsse.sign(dsse.ENTRY, document.encode(), self.key).encode())

    def log_envelope(self, envelope: bytes) -> bytes:
        self.public.append([envelope])
        self.cosign(self.public)
        self.entries.append(envelope)
        return envelope

    def flush(self) -> None:
        if self.slow or not self.pending:
            return
        for index, leaf in zip(self.sealed.append(self.pending), self.pending, strict=True):
            self.commitments[leaf] = index
        self.pending.clear()
        self.cosign(self.sealed)

    def authorise(self, registration: dict) -> None:
        keys = tuple(AgencyKey.from_json(item) for item in registration["keys"])
        record = self.directory.agency(registration["agency"])
        if record is None:
            self.enter(
                AgencyAuthorized(
                    agency=registration["agency"],
                    ori=registration["ori"],
                    name=registration["name"],
                    state=registration["state"],
                    level=registration["level"],
                    federal=registration["federal"],
                    jurisdiction=cover(registration["jurisdiction"]),
                    jurisdiction_sha256="0" * 64,
                    keys=keys,
                    vouched=("City council",),
                    expires=clock.now() + 10**8,
                    at=clock.now(),
                )
            )
        else:
            old = {k.kid for k in record.keys}
            new = {k.kid for k in keys}
            self.enter(
                KeyRotated(
                    agency=registration["agency"],
                    add=tuple(k for k in keys if k.kid not in old),
                    remove=tuple(sorted(old - new)),
                    at=clock.now(),
                )
            )
        self.tick()

    def enter(self, document) -> None:
        envelope = self.log(document)
        line = Line(len(self.entries) - 1, dsse.Envelope.parse(envelope))
        self.directory.apply(line)
        self.lines.append(line)

    def tick(self) -> None:
        self.tick_now += 1
        gzip = feed.compress(self.lines)
        self.lines = []
        entry = self.log(
            hub.FeedTick(
                tick=self.tick_now,
                root=feed.scope_root(self.tick_now, gzip),
                scopes=1,
                agencies=self.directory.digest(),
                prev_tick_index=self.last_tick_index,
                at=clock.now(),
            )
        )
        self.last_tick_index = len(self.entries) - 1
        proof = self.public.proof(self.last_tick_index)
        self.ticks[self.tick_now] = feed_rules.make_container(proof, entry, gzip).encode()

    def publish(self, request_id: str) -> None:
        found = self.requests[request_id]
        self.log_envelope(found["envelope"])
        found |= {"state": "published", "log_index": len(self.entries) - 1}
        self.lines.append(Line(found["log_index"], dsse.Envelope.parse(found["envelope"])))
        self.tick()

    def close_day(self, day: str, later: str) -> list[bytes]:
        leaves = [inbox_leaf(rid, w.sealed, w.tick) for rid, w in self.inbox.items() if w.day == day]
        rng = plain_random.Random(day)
        leaves = sorted(leaves + [rng.randbytes(32) for _ in range(64 - len(leaves))])
        self.days[day] = leaves
        self.log(hub.InboxEpoch(day=day, root=inbox_root(leaves), leaves=64, at=clock.now()))
        self.lines.append(Line(len(self.entries) - 1, dsse.Envelope.parse(self.entries[-1])))
        self.tick()
        self.rollup = {later: self.ticks[self.tick_now]}
        return leaves

    def promise(self, rid: str) -> bytes:
        w = self.inbox[rid]
        document = Promise(response_id=rid, sealed=w.sealed, tick=w.tick, inbox_day=w.day)
        return dsse.sign(dsse.RECEIPT, document.encode(), self.key).encode()

    # ------------------------------------------------------------ the wire

    def send(self, method, url, headers, body, timeout):
        if self.down:
            raise Unreachable("no route")
        data = body if isinstance(body, bytes) else b"".join(body)
        path = urlsplit(url).path
        status, answer = self.route(method, path, data)
        if not isinstance(answer, bytes):
            answer = json.dumps(answer).encode()
        pieces = [answer[at : at + 65536] for at in range(0, len(answer), 65536)] or [b""]
        return Answer(status, {"content-length": str(len(answer))}, iter(pieces))

    def route(self, method, path, data):
        if method == "GET":
            if path == "/feed/v1/latest":
                return 200, f"{max(self.ticks)}\n".encode()
            if path.startswith("/feed/v1/all/"):
                return 200, self.ticks[int(path.rsplit("/", 1)[1])]
            if path.startswith("/feed/v1/agencies/"):
                return 200, self.directory.encode()
            if path.startswith("/feed/v1/inbox/"):
                return 200, b"".join(self.days[path.rsplit("/", 1)[1]])
            if path.startswith("/feed/v1/day/all/"):
                found = getattr(self, "rollup", {}).get(path.rsplit("/", 1)[1])
                return (200, found) if found else self.no(404, "not_found")
        if path in ("/v1/agency", "/v1/agency/blob"):
            call = calls.verify_call(data, key_of=self.keys_of, hub=self.join.genesis, now=clock.now())
            if call.nonce in self.nonces:
                return self.no(409, "call.replay")
            self.nonces.add(call.nonce)
            self.calls.append(call.op)
            if self.refuse(call.op):
                return self.no(500, "hub.broken")
            return getattr(self, f"op_{call.op}")(call.body)
        raise AssertionError(f"unexpected traffic: {method} {path}")

    def keys_of(self, agency):
        record = self.directory.agency(agency)
        return record.consoles(clock.now()) if record else ()

    @staticmethod
    def no(status, code, details=()):
        return status, {"error": {"code": code, "message": f"The hub says {code}.", "hint": "", "details": list(details)}}

    def op_request_submit(self, body):
        envelope = dsse.unb64(body["envelope"], "envelope")
        request = Request.parse(dsse.Envelope.parse(envelope).payload)
        if "bait" in request.msg:
            return self.no(409, "text.vague", [{"rule": "text.vague", "message": "Say more.", "hint": "what happened"}])
        self.requests.setdefault(request.id, {"envelope": envelope, "state": "submitted"})
        return 200, {"ok": True, "request_id": request.id, "state": "submitted", "flags": []}

    def op_request_state(self, body):
        found = self.requests[body["request_id"]]
        answer = {"ok": True, "request_id": body["request_id"], "state": found["state"]}
        if "log_index" in found:
            answer |= {"log_index": found["log_index"], "proof": self.public.proof(found["log_index"]).decode()}
        return 200, answer | {name: found[name] for name in ("extended_index", "resolved_index") if name in found}

    def op_request_extend(self, body):
        return self.change(body, "extended")

    def op_request_resolve(self, body):
        return self.change(body, "resolved")

    def change(self, body, word):
        envelope = dsse.unb64(body["envelope"], "envelope")
        rid = json.loads(dsse.Envelope.parse(envelope).payload)["request_id"]
        self.requests[rid][word] = envelope
        return 200, {"ok": True, "request_id": rid, "state": self.requests[rid]["state"]}

    def log_change(self, rid, word, envelope=None):
        """Let witnesses see what was sent as an extension or an outcome, or `envelope` in its place."""
        self.log_envelope(envelope or self.requests[rid][word])
        self.requests[rid][f"{word}_index"] = len(self.entries) - 1
        self.tick()

    def op_request_withdraw(self, body):
        envelope = dsse.unb64(body["envelope"], "envelope")
        rid = json.loads(dsse.Envelope.parse(envelope).payload)["request_id"]
        self.requests[rid]["state"] = "withdrawn"
        return 200, {"ok": True, "state": "withdrawn"}

    def op_sealed_append(self, body):
        for text in body["commitments"]:
            leaf = dsse.unb64(text, "commitment")
            assert len(leaf) == 32
            if leaf not in self.commitments and leaf not in self.pending:
                self.pending.append(leaf)
        self.flush()
        return 200, {"ok": True, "accepted": len(body["commitments"])}

    def op_sealed_proof(self, body):
        self.flush()
        leaf = dsse.unb64(body["commitment"], "commitment")
        if leaf not in self.commitments:
            return self.no(404, "sealed.not_yet")
        index = self.commitments[leaf]
        return 200, {"ok": True, "index": index, "proof": self.sealed.proof(index).decode()}

    def op_public_proof(self, body):
        index = body["index"]
        return 200, {
            "ok": True,
            "entry": dsse.b64(self.entries[index]),
            "proof": self.public.proof(index).decode(),
        }

    def op_inbox_list(self, body):
        rows = [
            {"response_id": rid, "sealed": w.sealed, "size": len(w.data), "tick": w.tick, "inbox_day": w.day}
            for rid, w in self.inbox.items()
            if not w.acked
        ]
        return 200, {"ok": True, "responses": rows}

    def op_inbox_fetch(self, body):
        found = self.inbox.get(body["response_id"])
        return (200, found.data) if found and not found.acked else self.no(404, "inbox.gone")

    def op_inbox_ack(self, body):
        for rid in body["response_ids"]:
            self.inbox[rid].acked = True
        return 200, {"ok": True}

    def op_inbox_accounting(self, body):
        rows = [
            {"response_id": rid, "sealed": w.sealed, "tick": w.tick}
            for rid, w in sorted(self.inbox.items())
            if w.day == body["day"]
        ]
        return 200, {"ok": True, "responses": rows}

    def op_withdrawals_list(self, body):
        rows = [{"seq": n, "envelope": dsse.b64(e)} for n, e in enumerate(self.withdrawals, 1) if n > body["after"]]
        return 200, {"ok": True, "withdrawals": rows}

    def op_status_put(self, body):
        for text in body["envelopes"]:
            envelope = dsse.Envelope.parse(dsse.unb64(text, "envelope"))
            self.statuses.append(json.loads(envelope.verify(dsse.RECEIPT, *self.keys_of("us-ca-oakland"))))
        return 200, {"ok": True}

    # ------------------------------------------------------------ owners

    def answer(self, request: Request, owner: "Owner", **changes) -> str:
        """Seal an owner's response and put it into the inbox; returns its id."""
        data = owner.seal(request, **changes)
        rid = owner.response_id
        return self.put(rid, data)

    def put(self, rid: str, data: bytes) -> str:
        now = clock.now()
        day = __import__("datetime").datetime.fromtimestamp(now, __import__("datetime").UTC).strftime("%Y%m%d")
        self.inbox[rid] = Waiting(data, hashlib.sha256(data).hexdigest(), now // self.tick_seconds, day)
        return rid

    def withdraw(self, owner: "Owner") -> None:
        rid = owner.response_id
        document = Withdraw(response_id=rid, pk=owner.key.public.raw, at=clock.now())
        self.withdrawals.append(dsse.sign(dsse.RESPONSE, document.encode(), owner.key).encode())
        if rid in self.inbox and not self.inbox[rid].acked:
            del self.inbox[rid]


@dataclass
class Owner:
    """Somebody who answers; `clips` are the bytes of clean clips."""

    number: int
    clips: list[bytes] = field(default_factory=list)
    statement: str = "A red car stopped at the corner."
    name: str = ""

    def __post_init__(self):
        self.key = key(100 + self.number)
        self.response_id = response_id(self.key.public.raw)

    def manifest(self, request: Request, digests, **changes) -> bytes:
        clips = tuple(
            Clip(
                name=d.name,
                sha256=d.sha256.hex(),
                bytes=d.size,
                start=request.from_,
                end=request.to,
                mime="video/mp4",
                time_source="owner",
                muted=True,
                transcoded=False,
                orig_commit="0" * 64,
            )
            for d in digests
        )
        fields = {
            "response_id": self.response_id,
            "pk": self.key.public.raw,
            "request_id": request.id,
            "mode": "identified" if self.name else "anonymous",
            "statement": self.statement,
            "consent": Consent(terms_sha256="0" * 64, scope="this_case", until=clock.now() + 400 * 86400),
            "clips": clips,
            "gaps": (),
            "redactions": (),
            "at": clock.now(),
            "identity": Identity(name=self.name, contact="555") if self.name else None,
        } | changes
        return dsse.sign(dsse.RESPONSE, Manifest(**fields).encode(), self.key).encode()

    def seal(self, request: Request, *, recipient: str = "", envelope: bytes | None = None, **changes) -> bytes:
        def manifest(digests):
            return envelope if envelope is not None else self.manifest(request, digests, **changes)

        source = FrameSource([(clip_name(n), [data]) for n, data in enumerate(self.clips)], manifest)
        sink = io.BytesIO()
        seal.seal_stream(source, sink, [recipient or request.key])
        return sink.getvalue()

    def step_forward(self, request: Request, spoken_of: "Owner") -> bytes:
        document = StepForward(
            response_id=spoken_of.response_id,
            pk=spoken_of.key.public.raw,
            request_id=request.id,
            name="Dana Owner",
            contact="555 0100",
            at=clock.now(),
        )
        envelope = dsse.sign(dsse.RESPONSE, document.encode(), spoken_of.key).encode()
        return Owner(self.number, []).seal(request, envelope=envelope)


def clean_clip(folder: Path, seconds: float = 1.5, seed: int = 5) -> bytes:
    """Return a clip as a home sends it."""
    raw = make_clip(folder / f"raw-{seed}.mp4", seed=seed, seconds=seconds, start=START, width=320, height=180, fps=10)
    return b"".join(ClipPass(Cut(raw)))
