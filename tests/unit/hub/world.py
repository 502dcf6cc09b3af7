"""A hub with three real witnesses in one process: virtual clock, no sockets; and the people who deal with it."""

import base64
import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import h3
from django.test import Client
from fairwitness_core.crypto import seal, tokens
from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.model import response as documents
from fairwitness_core.model.agency import AgencyKey
from fairwitness_core.model.call import Call
from fairwitness_core.model.feed import read_containers
from fairwitness_core.model.hub import JoinFile
from fairwitness_core.model.request import Request, RequestExtended, RequestResolved, RequestWithdrawn
from fairwitness_core.rules import feed as rules
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.wire import dsse

from fairwitness.hub import sequencer
from fairwitness.hub.services import directory, ledger, setup
from fairwitness.kit import clock, config, http
from fairwitness.witness import app as witness_app
from fairwitness.witness import services as witness_services

START = 1_800_000_000 - 1_800_000_000 % 86_400 + 85_800  # ten minutes before a UTC day ends
TICK = 60
URL = "http://hub.test"
CENTRE = h3.latlng_to_cell(37.805, -122.27, 9)
POLYGON = {
    "type": "Polygon",
    "coordinates": [[[-122.36, 37.70], [-122.10, 37.70], [-122.10, 37.90], [-122.36, 37.90], [-122.36, 37.70]]],
}


class Net:
    """Carries kit.http's calls to WSGI applications by host name; a host in `down` does not answer."""

    def __init__(self):
        self.apps = {}
        self.down = set()
        self.calls = []

    def send(self, method, url, headers, body, timeout):
        parts = urlsplit(url)
        host = parts.netloc
        self.calls.append((method, url))
        if host in self.down or host not in self.apps:
            raise http.Unreachable("down")
        data = body if isinstance(body, bytes) else b"".join(body)
        environ = {"REQUEST_METHOD": method, "PATH_INFO": parts.path, "wsgi.input": io.BytesIO(data)}
        setup_testing_defaults(environ)
        environ |= {"wsgi.errors": io.StringIO(), "CONTENT_LENGTH": str(len(data)), "HTTP_HOST": host}
        found = {}

        def start(status, answer_headers):
            found.update(status=int(status[:3]), headers={k.lower(): v for k, v in answer_headers})

        content = b"".join(self.apps[host](environ, start))
        return http.Answer(found["status"], found["headers"], iter([content]))


@dataclass
class World:
    folder: Path
    now: int = START
    net: Net = field(default_factory=Net)
    invites: list = field(default_factory=list)

    def __post_init__(self):
        clock.set_clock(lambda: self.now)
        http.set_transport(self.net)
        witnesses = []
        for name in ("w1", "w2", "w3"):
            vkey = witness_services.init(self.folder / name, f"{name}.test/w", seed=hashlib.sha256(name.encode()).digest())
            witnesses.append((name, f"http://{name}.test", vkey))
            self.net.apps[f"{name}.test"] = witness_app.make_app(self.folder / name, lambda: self.now)
        self.hub = self.folder / "hub"
        spec = setup.Spec(
            name="Test hub", state="CA", public_url=URL, witnesses=witnesses, tick_seconds=TICK, sealed_seconds=10,
            notice_seconds=600, embargo_seconds=600, settings={"min_free_bytes": 0},
        )  # fmt: skip
        made = setup.prepare(self.hub, spec)
        self.made = setup.complete(self.hub, made)
        self.trust(made.logs)
        self.writer = None
        self.client = Client(SERVER_NAME="localhost", enforce_csrf_checks=True)
        self.agency = Agency(self)

    def trust(self, logs):
        for name in ("w1", "w2", "w3"):
            for origin, vkey in logs:
                witness_services.trust(self.folder / name, origin, vkey)

    def close(self):
        self.stop()
        http.set_transport(None)
        clock.set_clock(None)
        ledger.forget_readers()
        directory.forget()

    def stop(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def step(self, seconds=0):
        """Let time pass and the sequencer work; returns its state."""
        self.now += seconds
        if self.writer is None:
            self.writer = sequencer.Sequencer()
        return self.writer.step(self.now)

    def get(self, path, status=200):
        answer = self.client.get(path)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert answer.status_code == status, body
        return body

    @property
    def join(self):
        return JoinFile.parse(self.get("/join.json"))

    def latest(self):
        return int(self.get("/feed/v1/latest"))

    def follow(self, state=None):
        """Follow the feed as a home does, from the join or from `state`; returns (state, verified containers)."""
        if state is None:
            genesis = (self.hub / "genesis.json").read_bytes()
            pin = Pinned.of(self.join, genesis)
            (newest,) = read_containers(self.get(f"/feed/v1/all/{self.latest()}"))
            agencies = rules._logged_tick(newest, pin.policy, pin)[0].agencies
            state, _ = rules.start(pin, newest, self.get(f"/feed/v1/agencies/{agencies}"), now=self.now)
        found = []
        last = self.latest()
        while state.next_tick <= last:
            for container in read_containers(self.get(f"/feed/v1/day/all/{rules.day_of(state.next_tick, TICK)}")):
                number = rules.tick_number(container)
                if number < state.next_tick:
                    continue
                verified = rules.verify_container(state, container, now=self.now, newest=number == last)
                found.append(verified)
                state = verified.state
        return state, found


@dataclass
class Agency:
    world: World
    id: str = "us-ca-oakland"
    state: str = "CA"
    federal: bool = False
    seed: str = "agency"

    def __post_init__(self):
        self.key, self.ana, self.ben, self.eve = (
            SigningKey(hashlib.sha256(f"{self.seed}{n}".encode()).digest()) for n in range(4)
        )
        self.officers = [self.ana, self.ben]
        self.count = 0

    def registration(self):
        until = self.world.now + 365 * 86_400
        keys = [
            AgencyKey(kid=k.public.kid, alg="ed25519", pk=k.public.raw, use=use, not_after=START + 400 * 86_400).to_json()
            for k, use in [(self.key, "agency"), *((k, "officer") for k in self.officers)]
        ]
        assert until
        return {
            "v": 1, "type": "agency_registration", "agency": self.id, "ori": "CA0010900", "name": "Oakland Police",
            "state": self.state, "level": "federal" if self.federal else "municipal", "federal": self.federal,
            "jurisdiction": POLYGON, "keys": keys, "vouched": ["City of Oakland"],
        }  # fmt: skip

    def request(self, **changes):
        self.count += 1
        now = self.world.now
        centre = changes.pop("centre", CENTRE)
        fields = {
            "id": hashlib.sha256(f"{self.seed}{self.count}".encode()).hexdigest()[:32], "agency": self.id,
            "case": f"26-{self.count:06}", "offense": "nibrs:220", "area": tuple(sorted(h3.grid_disk(centre, 1))),
            "from_": now - 7200, "to": now - 3600,
            "msg": "Burglary at a shop on the 400 block. Look for a grey van with a roof rack and two people in dark jackets.",
            "contact": "Det. Diaz, Oakland Police", "expires": now + 5 * 86_400,
            "key": seal.recipient_of(_identity(self.count)), "modes": ("anonymous", "identified"), "emergency": False,
            "at": now,
        }  # fmt: skip
        return Request(**(fields | changes))

    def sign(self, request, *keys):
        return dsse.sign(dsse.ENTRY, request.encode(), *(keys or (self.ana, self.ben))).encode()

    def envelope(self, op, body, **changes):
        self.count += 1
        fields = {
            "agency": self.id, "hub": self.world.join.genesis, "op": op, "at": self.world.now, "body": body,
            "nonce": hashlib.sha256(f"nonce{self.seed}{self.count}".encode()).hexdigest()[:32],
        }  # fmt: skip
        key = changes.pop("key", self.key)
        return dsse.sign(dsse.CALL, Call(**(fields | changes)).encode(), key).encode()

    def call(self, op, body=None, status=200, **changes):
        return self.post(self.envelope(op, body or {}, **changes), status)

    def post(self, data, status=200, path="/v1/agency"):
        answer = self.world.client.post(path, data, content_type="application/octet-stream")
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert answer.status_code == status, body
        return body if answer.streaming else json.loads(body)

    def submit(self, request, *keys, status=200):
        return self.call("request_submit", {"envelope": dsse.b64(self.sign(request, *keys))}, status)

    def withdraw(self, request, status=200, reason="resolved"):
        document = RequestWithdrawn(request_id=request.id, agency=self.id, reason=reason, at=self.world.now)
        envelope = dsse.sign(dsse.ENTRY, document.encode(), self.ana).encode()
        return self.call("request_withdraw", {"envelope": dsse.b64(envelope)}, status)

    def extend(self, request, *keys, status=200, **changes):
        values = {"request_id": request.id, "agency": self.id, "expires": request.at + 9 * 86_400, "at": self.world.now}
        values |= {"reason": "Two neighbours were away and asked for more time."} | changes
        envelope = dsse.sign(dsse.ENTRY, RequestExtended(**values).encode(), *(keys or (self.ana, self.ben))).encode()
        return self.call("request_extend", {"envelope": dsse.b64(envelope)}, status)

    def resolve(self, request, *keys, status=200, **changes):
        values = {"request_id": request.id, "agency": self.id, "outcome": "solved_with_footage", "at": self.world.now}
        values |= {"words": "The van was found. Thank you."} | changes
        envelope = dsse.sign(dsse.ENTRY, RequestResolved(**values).encode(), *(keys or (self.ana,))).encode()
        return self.call("request_resolve", {"envelope": dsse.b64(envelope)}, status)


_identities = {}


def _identity(n):
    return _identities.setdefault(n, seal.new_identity()[0])


@dataclass
class Responder:
    """A household with tokens, and one response at a time."""

    world: World
    code: str
    data: bytes = b"ciphertext " * 20

    def __post_init__(self):
        self.fresh()

    def fresh(self):
        self.key = SigningKey.generate()
        self.rid = documents.response_id(self.key.public.raw)
        self.token = None

    def issuer(self):
        record = directory.current().issuer_key(tokens.epoch_of(self.world.now))
        return record.pk

    def fetch(self, status=200, blinded=None):
        digest = tokens.challenge_digest("hub.test", "hub.test")
        keys = [self.key, *(SigningKey.generate() for _ in range(7))]
        pending, requests = tokens.blind_batch([tokens.token_nonce(k.public.raw) for k in keys], digest, self.issuer())
        wire = blinded or [dsse.b64(request) for request in requests]
        body = {"invite": self.code, "epoch": tokens.epoch_of(self.world.now), "blinded": wire}
        answer = self.world.client.post("/issuer/v1/tokens", json.dumps(body), content_type="application/json")
        assert answer.status_code == status, answer.content
        if status == 200 and blinded is None:
            evaluated = [dsse.unb64(item, "x") for item in answer.json()["evaluated"]]
            self.token = pending.finalize(evaluated)[0].encode()
        return wire, answer.json()

    def sign(self, document, key=None):
        return dsse.sign(dsse.RESPONSE, document.encode(), key or self.key).encode()

    def send(self, method, path, body, status=200):
        call = getattr(self.world.client, method)
        answer = call(path, body, content_type="application/octet-stream") if body is not None else call(path)
        assert answer.status_code == status, answer.content
        return answer.json()

    def opening(self, **changes):
        size = len(self.data)
        fields = {
            "response_id": self.rid, "pk": self.key.public.raw, "agency": self.world.agency.id, "size": size,
            "parts": documents.parts_of(size), "token": self.token, "at": self.world.now,
        }  # fmt: skip
        return documents.UploadOpen(**(fields | changes))

    def open(self, status=200, **changes):
        return self.send("post", "/v1/uploads", self.sign(self.opening(**changes)), status)

    def part(self, number=0, data=None, status=200, key=None, header=False):
        chunk = self.data[number * documents.PART_SIZE : (number + 1) * documents.PART_SIZE] if data is None else data
        stated = hashlib.sha256(self.data[number * documents.PART_SIZE : (number + 1) * documents.PART_SIZE]).hexdigest()
        statement = self.sign(documents.UploadPart(response_id=self.rid, pk=self.key.public.raw, part=number, sha256=stated), key)
        path = f"/v1/uploads/{self.rid}/{number}"
        if header:
            value = base64.urlsafe_b64encode(statement).decode().rstrip("=")
            answer = self.world.client.put(
                path, chunk, content_type="application/octet-stream", headers={"Fairwitness-Part": value}
            )
            assert answer.status_code == status, answer.content
            return answer.json()
        body = b"FWP1" + len(statement).to_bytes(4, "big") + statement + chunk
        return self.send("put", path, body, status)

    def finalize(self, status=200, **changes):
        fields = {
            "response_id": self.rid, "pk": self.key.public.raw, "agency": self.world.agency.id,
            "sealed": hashlib.sha256(self.data).hexdigest(), "size": len(self.data),
            "parts": documents.parts_of(len(self.data)), "token": self.token,
        }  # fmt: skip
        message = documents.Finalize(**(fields | changes))
        return self.send("post", f"/v1/uploads/{self.rid}/finalize", self.sign(message), status)

    def promise(self, answer):
        envelope = dsse.Envelope.parse(dsse.unb64(answer["promise"], "promise"))
        return documents.Promise.parse(envelope.verify(dsse.RECEIPT, PublicKey(self.world.join.hub_key)))

    def respond(self):
        self.fetch() if self.token is None else None
        self.open()
        for number in range(documents.parts_of(len(self.data))):
            self.part(number)
        return self.promise(self.finalize())

    def withdraw(self, status=200, key=None):
        message = documents.Withdraw(response_id=self.rid, pk=self.key.public.raw, at=self.world.now)
        return self.send("post", "/v1/withdrawals", self.sign(message, key), status)


def make_world(folder):
    before = config._current
    world = World(folder)
    return world, before


def end_world(world, before):
    world.close()
    if before is not None:
        config.use(before)
