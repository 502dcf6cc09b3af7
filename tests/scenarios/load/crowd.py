"""Homes that upload to a running hub over real sockets, and what can be seen of the hub's processes meanwhile."""

import hashlib
import json
import os
import signal
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from fairwitness_core.crypto import tokens
from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.model import response as documents
from fairwitness_core.model.agency import AgencyKey
from fairwitness_core.model.feed import read_containers
from fairwitness_core.model.hub import JoinFile
from fairwitness_core.rules import feed as rules
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.tlog import merkle, tiles
from fairwitness_core.wire import dsse

from fairwitness.kit import http
from tests.scenarios.operate.town import Town, cli, until

AGENCY = "us-ca-oakland"
POLYGON = {
    "type": "Polygon",
    "coordinates": [[[-122.36, 37.70], [-122.10, 37.70], [-122.10, 37.90], [-122.36, 37.90], [-122.36, 37.70]]],
}
GONE = (OSError, HTTPException)


def registration(now):
    keys = [SigningKey(hashlib.sha256(b"crowd %d" % n).digest()) for n in range(3)]
    rows = [
        AgencyKey(kid=k.public.kid, alg="ed25519", pk=k.public.raw, use=use, not_after=now + 400 * 86_400).to_json()
        for k, use in zip(keys, ("agency", "officer", "officer"), strict=True)
    ]
    return {
        "v": 1, "type": "agency_registration", "agency": AGENCY, "ori": "CA0010900", "name": "Oakland Police", "state": "CA",
        "level": "municipal", "federal": False, "jurisdiction": POLYGON, "keys": rows, "vouched": ["City of Oakland"],
    }  # fmt: skip


def open_town(folder):
    """A hub with three witnesses and one agency, running."""
    town = Town(folder)
    town.start()
    file = folder / "registration.json"
    file.write_text(json.dumps(registration(int(time.time()))))
    cli("hub", "add-agency", town.hub, file)
    until("the agency in the log", lambda: any(d["type"] == "agency_authorized" for d in logged(town)))
    return town


def processes(parent):
    """Ids of a process and of all below it."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text()
                children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, left = [], [parent]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def memory(parent):
    """Private memory (bytes) of a process and of all below it, without what lies in files."""
    total = 0
    for number in processes(parent):
        with suppress(OSError):
            lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))
    return total


def descriptors(parent):
    """The most file descriptors that one of these processes has open."""
    counts = [0]
    for number in processes(parent):
        with suppress(OSError):
            counts.append(len(list(Path(f"/proc/{number}/fd").iterdir())))
    return max(counts)


def kill(parent):
    """End a process group of ours as a power cut would: nobody gets to say goodbye."""
    for number in processes(parent):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


@dataclass
class Home:
    """One household with one sealed answer. `cut(number, sent)` says whether the line breaks now."""

    town: Town
    data: bytes
    token: bytes
    key: SigningKey
    hub_key: bytes
    cut: object = lambda _home, _sent: False
    cuts: int = 0
    retries: int = 0
    promises: list = field(default_factory=list)

    @property
    def rid(self):
        return documents.response_id(self.key.public.raw)

    def sign(self, document):
        return dsse.sign(dsse.RESPONSE, document.encode(), self.key).encode()

    def call(self, method, path, body):
        """One call on a connection of its own, cut where `cut` says; (status, JSON)."""
        port = self.town.ports[3]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            line.sendall(head.encode())
            for start in range(0, len(body), 1 << 16):
                if self.cut(self, start):
                    self.cuts += 1
                    # At once and for good: unsent bytes are thrown away.
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    raise ConnectionAbortedError("cut")
                line.sendall(body[start : start + (1 << 16)])
            answer = HTTPResponse(line, method=method)
            answer.begin()
            found = answer.read()
        return answer.status, json.loads(found) if found else {}

    def insist(self, method, path, body, seconds=240):
        """Call until the hub answers for good."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(*GONE):
                status, value = self.call(method, path, body)
                if status < 500:
                    return status, value
            self.retries += 1
            time.sleep(0.2)
        raise AssertionError(f"no answer to {method} {path}")

    def upload(self):
        size = len(self.data)
        fields = {"response_id": self.rid, "pk": self.key.public.raw}
        stated = {"agency": AGENCY, "size": size, "parts": documents.parts_of(size), "token": self.token}
        opening = self.sign(documents.UploadOpen(**fields, **stated, at=int(time.time())))
        status, value = self.insist("POST", "/v1/uploads", opening)
        assert status == 200, value
        while left := set(range(documents.parts_of(size))) - set(value["parts_have"]):
            number = min(left)
            part = self.data[number * documents.PART_SIZE :][: documents.PART_SIZE]
            statement = self.sign(documents.UploadPart(**fields, part=number, sha256=hashlib.sha256(part).hexdigest()))
            body = b"FWP1" + len(statement).to_bytes(4, "big") + statement + part
            status, value = self.insist("PUT", f"/v1/uploads/{self.rid}/{number}", body)
            assert status == 200, value
        return self.finalize()

    def finalize(self):
        size = len(self.data)
        message = documents.Finalize(
            response_id=self.rid, pk=self.key.public.raw, agency=AGENCY, sealed=hashlib.sha256(self.data).hexdigest(),
            size=size, parts=documents.parts_of(size), token=self.token,
        )  # fmt: skip
        status, value = self.insist("POST", f"/v1/uploads/{self.rid}/finalize", self.sign(message))
        assert status == 200, value
        envelope = dsse.unb64(value["promise"], "promise")
        self.promises.append(envelope)
        promise = documents.Promise.parse(dsse.Envelope.parse(envelope).verify(dsse.RECEIPT, PublicKey(self.hub_key)))
        assert (promise.response_id, promise.sealed) == (self.rid, hashlib.sha256(self.data).hexdigest())
        return promise


def gather(town, count):
    """Response keys with a token each, from as many invites as that takes: [(key, token)]."""
    join = JoinFile.parse(town.get("/join.json").body)
    place = f"localhost:{town.ports[3]}"
    digest = tokens.challenge_digest(place, place)
    epoch = tokens.epoch_of(int(time.time()))
    issuer = until("the issuer's key in the feed", lambda: issuer_key(town, epoch))
    codes = cli("hub", "invite", town.hub, "--count", -(-count // 8)).split()
    found = []
    for code in codes:
        keys = [SigningKey.generate() for _ in range(8)]
        pending, blinded = tokens.blind_batch([tokens.token_nonce(k.public.raw) for k in keys], digest, issuer)
        body = json.dumps({"invite": code, "epoch": epoch, "blinded": [dsse.b64(item) for item in blinded]}).encode()
        home = Home(town, b"", b"", keys[0], join.hub_key)
        status, value = home.insist("POST", "/issuer/v1/tokens", body)
        assert status == 200, value
        made = pending.finalize([dsse.unb64(item, "x") for item in value["evaluated"]])
        found += [(key, token.encode(), join.hub_key) for key, token in zip(keys, made, strict=True)]
    return found[:count]


def follow(town, state=None):
    """Follow the feed as a home does: (state, numbers of the ticks accepted), raising at the first false byte."""
    now = int(time.time())
    join = JoinFile.parse(town.get("/join.json").body)
    if state is None:
        pin = Pinned.of(join, (town.hub / "genesis.json").read_bytes())
        (newest,) = read_containers(town.get(f"/feed/v1/all/{town.latest()}").body)
        agencies = rules._logged_tick(newest, pin.policy, pin)[0].agencies
        state, _ = rules.start(pin, newest, town.get(f"/feed/v1/agencies/{agencies}").body, now=now)
        return state, []
    numbers = []
    last = town.latest()
    while state.next_tick <= last:
        (container,) = read_containers(town.get(f"/feed/v1/all/{state.next_tick}").body)
        verified = rules.verify_container(state, container, now=int(time.time()), newest=False)
        numbers.append(verified.tick)
        state = verified.state
    return state, numbers


def logged(town):
    """Every document of the public log, as far as its checkpoint goes."""
    size = int(town.get("/log/p/checkpoint").body.split(b"\n")[1])
    found = []
    for number in range(-(-size // 256)):
        width = min(256, size - 256 * number)
        entries = tiles.parse_bundle(town.get("/log/p/" + tiles.entries_path(number, width)).body, width)
        found += [json.loads(dsse.Envelope.parse(entry).payload) for entry in entries]
    return found


def issuer_key(town, epoch):
    """The epoch's key, where the log has it."""
    found = [d["pk"] for d in logged(town) if d["type"] == "issuer_key" and d["epoch"] == epoch]
    return dsse.unb64(found[0], "pk") if found else None


def is_sequencer(number):
    """Tell whether a process is the hub's writer."""
    try:
        return b"\0sequencer\0" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


def witnessed(town, name):
    """What a witness holds of the public log: (size, root), or None."""
    port = town.ports[town.names.index(name)]
    origin = json.loads(town.get("/join.json").body)["public_log"].partition("+")[0]
    for line in http.Http().get(f"http://127.0.0.1:{port}/logs").body.decode().splitlines():
        words = line.split()
        if words and words[0] == origin:
            return int(words[1]), dsse.unb64(words[2], "root")
    return None


def root_at(town, size):
    """The root of the public log at a size, worked out from its tiles."""
    return merkle.tree_root(size, tiles.node_reader(lambda path: town.get(f"/log/p/{path}").body, size))
