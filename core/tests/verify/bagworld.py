"""A small world, wholly made from a seed: a hub with two logs, three witnesses, an agency, two owners, and the bag of it all."""

import dataclasses
import hashlib
import io

import h3
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model.agency import AgencyAuthorized, AgencyKey, KeyRotated
from fairwitness_core.model.custody import CustodyEvent, Subject, commitment
from fairwitness_core.model.directory import Directory
from fairwitness_core.model.feed import Line
from fairwitness_core.model.hub import FeedTick, JoinFile, LogGenesis
from fairwitness_core.model.request import Request
from fairwitness_core.model.response import Clip, Consent, Identity, Manifest, Promise, Span, response_id
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, policy, proof
from fairwitness_core.verify import layout
from fairwitness_core.verify.layout import Digest, LoggedEvent, Seal, SealedFile
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire import dsse

T0 = 1_790_000_000  # genesis, Unix seconds UTC
REQUEST_AT = T0 + 90_000
CENTRE = h3.latlng_to_cell(37.8044, -122.2712, 9)
AREA = tuple(sorted(h3.grid_disk(CENTRE, 1)))
JURISDICTION = tuple(sorted(h3.grid_disk(h3.cell_to_parent(CENTRE, 5), 1)))
AGENCY = "us-ca-oaklandpd"
CASE = "26-048113"
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


class MemoryFiles:
    """Files in a dictionary."""

    def __init__(self, files):
        self.files = files

    def list(self):
        return list(self.files)

    def open(self, name):
        try:
            return io.BytesIO(self.files[name])
        except KeyError as error:
            raise FileNotFoundError(name) from error


class Log:
    """A log in memory: leaves, and the C2SP files that its hub would serve."""

    def __init__(self, origin, key, witnesses):
        self.origin, self.key, self.witnesses = origin, key, witnesses
        self.leaves = []

    @property
    def vkey(self):
        return note.VerifierKey(self.origin, note.ED25519, self.key.public)

    def append(self, leaf):
        self.leaves.append(leaf)
        return len(self.leaves) - 1

    def _root(self, a, b):
        if b - a == 1:
            return merkle.leaf_hash(self.leaves[a])
        k = 1 << (b - a - 1).bit_length() - 1
        return merkle.node_hash(self._root(a, a + k), self._root(a + k, b))

    def _path(self, m, a, b):
        if b - a == 1:
            return []
        k = 1 << (b - a - 1).bit_length() - 1
        if m < a + k:
            return [*self._path(m, a, a + k), self._root(a + k, b)]
        return [*self._path(m, a + k, b), self._root(a, a + k)]

    def head(self, at):
        signed = checkpoint.sign(checkpoint.Checkpoint(self.origin, len(self.leaves), self._root(0, len(self.leaves))), self.key)
        lines = [cosignature.cosign(signed.text, name, key, at + 1 + i) for i, (name, key) in enumerate(self.witnesses.items())]
        return signed.with_signatures(*lines)

    def prove(self, index, at):
        return proof.TlogProof(index, tuple(self._path(index, 0, len(self.leaves))), self.head(at)).encode()


def same(value):
    return value


class World:
    """Everything of one seed. `on` maps a stage to a function that spoils what is made there; `files` is the bag."""

    def __init__(self, seed="fairwitness", on=None, clip_bytes=600):
        self.seed, self.on = seed, on or {}
        self.hub = self.key("hub")
        self.witnesses = {f"witness-{n}.example": self.key(f"witness {n}") for n in (1, 2, 3)}
        self.public = Log("hub.example/log/p", self.key("public log"), self.witnesses)
        self.sealed = Log("hub.example/log/s", self.key("sealed log"), self.witnesses)
        self.officers = [self.key("officer one"), self.key("officer two"), self.key("officer three")]
        self.console = self.key("console")
        self.new_console = self.key("console, new")
        self.policy = policy.k_of(
            [policy.PolicyLog(self.public.vkey), policy.PolicyLog(self.sealed.vkey)],
            [policy.Witness(name.split(".")[0], cosignature.vkey(name, key.public)) for name, key in self.witnesses.items()],
            2,
        )
        self.clip_bytes = clip_bytes
        self.request_id = self.secret("request id")[:16].hex()
        self._log()
        self._bag()

    def secret(self, label):
        return hashlib.sha256(f"{self.seed}/{label}".encode()).digest()

    def key(self, label):
        return SigningKey(self.secret(label))

    def do(self, stage, value):
        return self.on.get(stage, same)(value)

    @staticmethod
    def registered(key, use, not_after=T0 + 10**8):
        return AgencyKey(kid=key.public.kid, alg="ed25519", pk=key.public.raw, use=use, not_after=not_after)

    def _log(self):
        text = self.policy.encode().decode()
        self.genesis = LogGenesis(
            name="Example Hub", state="CA", public_log=self.public.vkey.encode(), sealed_log=self.sealed.vkey.encode(),
            hub_key=self.hub.public.raw, policy_sha256=hashlib.sha256(text.encode()).hexdigest(), tick_seconds=300,
            sealed_seconds=10, embargo_seconds=86400, notice_seconds=86400, retention="Requests are permanent.", at=T0,
        )  # fmt: skip
        self.genesis_entry = self.by_hub(self.genesis)
        self.public.append(self.genesis_entry)
        self.join = JoinFile(
            name="Example Hub", url="https://hub.example", public_log=self.public.vkey.encode(),
            sealed_log=self.sealed.vkey.encode(), hub_key=self.hub.public.raw, policy=text, tick_seconds=300,
            genesis=hashlib.sha256(self.genesis_entry).hexdigest(), genesis_at=T0,
            witnesses=tuple((name, f"https://{name}/") for name in self.witnesses),
        )  # fmt: skip
        self.directory = Directory(self.hub.public)
        self.authorized = AgencyAuthorized(
            agency=AGENCY, ori="CA0010900", name="Oakland Police", state="CA", level="municipal", federal=False,
            jurisdiction=JURISDICTION, jurisdiction_sha256=self.secret("polygon").hex(),
            keys=(*(self.registered(k, "officer") for k in self.officers[:2]), self.registered(self.console, "agency")),
            vouched=("City of Oakland",), expires=T0 + 10**8, at=T0 + 100,
        )  # fmt: skip
        self.enter(self.do("authorized", self.authorized))
        # An officer joins and the console's key changes long after the request: neither may count back or be missed.
        request = self.do("request", self.make_request())
        signed = dsse.sign(dsse.ENTRY, request.encode(), *self.do("signers", self.officers[:2]))
        self.request_entry = self.do("request_entry", signed.encode())
        self.request, self.request_index = request, self.public.append(self.request_entry)
        self.enter(
            KeyRotated(
                agency=AGENCY,
                add=(self.registered(self.officers[2], "officer"), self.registered(self.new_console, "agency")),
                remove=tuple(sorted((self.officers[0].public.kid, self.console.public.kid))),
                at=REQUEST_AT + 20_000,
            )
        )
        tick = FeedTick(
            tick=(REQUEST_AT + 40_000) // 300, root=self.secret("tick"), scopes=1, agencies=self.directory.digest(),
            prev_tick_index=0, at=REQUEST_AT + 40_000,
        )  # fmt: skip
        self.tick_entry = self.by_hub(self.do("tick", tick))
        self.tick_index = self.public.append(self.tick_entry)
        self.public.append(self.by_hub(dataclasses.replace(tick, tick=tick.tick + 1, prev_tick_index=self.tick_index)))

    def make_request(self):
        return Request(
            id=self.request_id, agency=AGENCY, case=CASE, offense="nibrs:220", area=AREA, from_=REQUEST_AT - 50_000,
            to=REQUEST_AT - 46_000, expires=REQUEST_AT + 5 * 86400, key=RECIPIENT, modes=("anonymous", "identified"),
            msg="Burglary of a bicycle shop. We look for a white van with a roof rack that waited there.",
            contact="Burglary desk, Oakland Police", emergency=False, at=REQUEST_AT,
        )  # fmt: skip

    def by_hub(self, document):
        return dsse.sign(dsse.ENTRY, document.encode(), self.hub).encode()

    def enter(self, document):
        entry = self.by_hub(document)
        index = self.public.append(entry)
        self.directory.apply(Line(index, dsse.Envelope.parse(entry)))

    def make_clip(self, label):
        seed, blocks = self.secret(label), -(-self.clip_bytes // 32)
        body = b"".join(hashlib.sha256(seed + bytes([n & 255, n >> 8])).digest() for n in range(blocks))
        return (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso6" + body)[: self.clip_bytes]

    def make_manifest(self, key, mode, clips, statement):
        names = [f"clip-{n:02}.mp4" for n in range(1, len(clips) + 1)]
        described = tuple(
            Clip(
                name=name, sha256=hashlib.sha256(clip).hexdigest(), bytes=len(clip), start=REQUEST_AT - 49_000 + 600 * n,
                end=REQUEST_AT - 48_940 + 600 * n, mime="video/mp4", time_source="camera", muted=True, transcoded=False,
                orig_commit=self.secret(f"orig {name}").hex(),
            )
            for n, (name, clip) in enumerate(zip(names, clips, strict=True))
        )  # fmt: skip
        return Manifest(
            response_id=response_id(key.public.raw), pk=key.public.raw, request_id=self.request_id, mode=mode,
            statement=statement, consent=Consent(terms_sha256="7e" * 32, scope="this_case", until=REQUEST_AT + 10**7),
            clips=described, gaps=(Span(start=REQUEST_AT - 50_000, end=REQUEST_AT - 49_000),), redactions=(),
            at=REQUEST_AT + 3000,
            identity=Identity(name="R. Ortiz", contact="r@example.org") if mode == "identified" else None,
        )  # fmt: skip

    def event(self, rid, number, action, subjects, *, prev, at, key, recipient=None):
        event = CustodyEvent(
            agency=AGENCY, actor=f"officer-{number}", action=action, request_id=self.request_id, response_id=rid, case=CASE,
            purpose="Inquiry into the burglary", subjects=subjects, prev=prev, at=at, recipient=recipient,
        )  # fmt: skip
        event = self.do(f"event {number}", event)
        envelope = dsse.sign(dsse.STATEMENT, event.to_statement(), *self.do(f"keys {number}", [key])).encode()
        nonce = self.secret(f"nonce {rid} {number}")
        leaf = self.do(f"leaf {number}", commitment(nonce, envelope))
        index = self.sealed.append(leaf)
        while len(self.sealed.leaves) % 8:
            self.sealed.append(self.secret(f"filler {len(self.sealed.leaves)}"))
        log = self.do(f"log {number}", self.sealed)
        return LoggedEvent(envelope, nonce, log.prove(index, event.at + 5)), hashlib.sha256(envelope).hexdigest()

    def _bag(self):
        self.payload = {}
        tags = {
            layout.REQUEST_ENTRY: self.request_entry,
            layout.REQUEST_PROOF: self.public.prove(self.request_index, REQUEST_AT + 300),
            layout.GENESIS: self.genesis_entry,
            layout.DIRECTORY: self.directory.encode(),
            layout.TICK_ENTRY: self.tick_entry,
            layout.TICK_PROOF: self.public.prove(self.tick_index, REQUEST_AT + 40_002),
            layout.POLICY: self.policy.encode(),
        }
        ends = {}
        for label, mode, count, statement in (
            ("Ortiz", "identified", 2, ""),
            ("silent", "anonymous", 0, "A white van, at 2 am."),
        ):
            key = self.key(f"response {label}")
            rid = response_id(key.public.raw)
            clips = [self.make_clip(f"{label} {n}") for n in range(count)]
            manifest = self.do("manifest", self.make_manifest(key, mode, clips, statement))
            envelope = dsse.sign(dsse.RESPONSE, manifest.encode(), self.do("responder", key)).encode()
            sealed = self.secret(f"sealed {label}").hex()
            self.payload[layout.manifest_path(rid)] = envelope
            self.payload[layout.sealed_path(rid)] = SealedFile(sealed=sealed, size=4096).encode()
            for n, clip in enumerate(clips, 1):
                self.payload[layout.clip_path(rid, f"clip-{n:02}.mp4")] = clip
            if mode == "anonymous":
                promise = Promise(response_id=rid, sealed=sealed, tick=5_966_970, inbox_day="20260922")
                promise = self.do("promise", promise)
                self.payload[layout.promise_path(rid)] = dsse.sign(dsse.RECEIPT, promise.encode(), self.hub).encode()
            subjects = [Subject(name=layout.SUBJECT_SEALED, sha256=sealed)]
            subjects += [Subject(name=layout.SUBJECT_MANIFEST, sha256=hashlib.sha256(envelope).hexdigest())]
            subjects += [Subject(name=clip.name, sha256=clip.sha256) for clip in manifest.clips]
            events, prev = [], "0" * 64
            for number, (action, at, console) in enumerate(
                (
                    ("collected", 7_200, self.console),
                    ("viewed", 9_000, self.console),
                    ("accepted", 30_000, self.new_console),
                ),
                1,
            ):
                about = tuple(subjects) if action == "collected" else tuple(subjects[-1:])
                logged, prev = self.event(rid, number, action, about, prev=prev, at=REQUEST_AT + at, key=console)
                events.append(logged)
            tags |= layout.custody_files(rid, self.do("chain", events))
            ends[rid] = prev
        self.ends = ends
        self.files = self.close(self.payload, tags, ends)

    def close(self, payload, tags, ends):
        """Seal payload and tags, log the exports, and return the whole folder."""
        digests = {name: Digest.of(data) for name, data in payload.items()}
        bag = layout.bag_files(
            digests, tags, agency_name="Oakland Police", request_id=self.request_id, case=CASE, at=REQUEST_AT + 50_000
        )
        seal = Seal(
            agency=AGENCY, case=CASE, request_id=self.request_id, responses=tuple(sorted(ends)),
            tagmanifest=Digest.of(bag[layout.TAGMANIFEST]).sha256, at=REQUEST_AT + 50_000,
        )  # fmt: skip
        seal = self.do("seal", seal)
        envelope = dsse.sign(dsse.STATEMENT, seal.to_statement(), *self.do("seal keys", [self.new_console])).encode()
        exports = {}
        for rid, prev in ends.items():
            subjects = layout.export_subjects(bag[layout.TAGMANIFEST], envelope)
            exports[rid], _ = self.event(
                rid,
                9,
                "exported",
                subjects,
                prev=prev,
                at=REQUEST_AT + 50_001,
                key=self.new_console,
                recipient="Alameda County Public Defender",
            )
        return {**payload, **bag, **layout.seal_files(envelope, exports)}

    @property
    def trust(self):
        return TrustPolicy.from_join(self.join)


def relist(files):
    """Bring the unsigned lists up to date with changed files, as a forger would."""
    bag = {name.removeprefix("bag/"): data for name, data in files.items() if name.startswith("bag/")}
    payload = {name: data for name, data in bag.items() if name.startswith("data/")}
    result = dict(files)
    result[layout.MANIFEST] = layout.sums({name: Digest.of(data).sha256 for name, data in payload.items()})
    size = sum(map(len, payload.values()))
    lines = result[layout.BAG_INFO].decode("utf-8", "replace").splitlines()
    lines = [f"Payload-Oxum: {size}.{len(payload)}" if line.startswith("Payload-Oxum") else line for line in lines]
    result[layout.BAG_INFO] = ("\n".join(lines) + "\n").encode()
    tags = {
        name.removeprefix("bag/"): Digest.of(data).sha256
        for name, data in result.items()
        if name.startswith("bag/") and not name.startswith("bag/data/") and name != layout.TAGMANIFEST
    }
    result[layout.TAGMANIFEST] = layout.sums(tags)
    beside = {n.removeprefix("seal/"): Digest.of(d).sha256 for n, d in result.items() if n.startswith("seal/")}
    beside.pop("sha256.txt")
    result[layout.SEAL_SUMS] = layout.sums(beside)
    return result
