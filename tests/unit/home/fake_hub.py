"""A hub behind kit.http's seam: honest log and feed from the core's test world, and the upload and token services in memory."""
# ruff: noqa: RUF028 - Django's modules are loaded once its settings are; the rest is layout

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fairwitness_core.crypto import tokens
from fairwitness_core.model.hub import InboxEpoch, IssuerKey
from fairwitness_core.model.response import (
    Finalize,
    Promise,
    ResponseStatus,
    UploadOpen,
    UploadPart,
    Withdraw,
    parts_of,
    verify_responder,
)
from fairwitness_core.rules import feed
from fairwitness_core.rules.inbox import inbox_leaf, inbox_root
from fairwitness_core.tlog import cosignature, tiles
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from core.tests.rules.feed_world import World
from fairwitness.kit.http import Answer, Unreachable

INVITE = "invite-for-one-household"


@dataclass
class Upload:
    """What a hub has of one upload."""

    open: UploadOpen
    parts: dict[int, bytes] = field(default_factory=dict)
    promise: bytes = b""
    sealed: str = ""
    withdrawn: bool = False


class FakeHub:
    """Implements kit.http.Transport. `calls`: all that a home sent: (now, method, url, headers, body)."""

    def __init__(self, world: World, now) -> None:
        self.world, self.now = world, now
        self.calls: list[tuple[int, str, str, tuple, bytes]] = []
        self.bent: dict[str, tuple[int, bytes]] = {}
        self.down = False
        self.lose_answer: list[str] = []
        self.lose_call: list[str] = []
        self.uploads: dict[str, Upload] = {}
        self.spent: dict[bytes, str] = {}
        self.statuses: dict[str, list[bytes]] = {}
        self.issuers: dict[int, tokens.IssuerKey] = {}
        self.issued: dict[tuple[str, int, bytes], bytes] = {}
        self.uses = {INVITE}
        self.fetches: dict[tuple[str, int], int] = {}
        self.inbox: dict[str, bytes] = {}

    # ------------------------------------------------------------ kit.http.Transport

    def send(self, method, url, headers, body, timeout):
        data = body if isinstance(body, bytes) else b"".join(body)
        path = urlsplit(url).path
        self.calls.append((int(self.now()), method, url, tuple(headers.items()), data))
        if self.down or any(path.startswith(p) or path.endswith(p) for p in self.lose_call):
            raise Unreachable("down")
        status, answer = self._answer(method, url, path, data)
        for p in self.lose_answer:
            if path.startswith(p) or path.endswith(p):
                raise Unreachable("the answer was lost")
        return Answer(status, {"content-length": str(len(answer))}, iter([answer]))

    def _answer(self, method, url, path, data):
        host = urlsplit(url).netloc
        if path in self.bent:
            return self.bent[path]
        if host in self.world.witnesses:
            key = self.world.witness_keys[host].public
            return (200, cosignature.vkey(host, key).encode().encode() + b"\n") if path == "/vkey" else (404, b"")
        try:
            found = self._get(path) if method == "GET" else self._post(method, path, data)
        except ProtocolError as error:
            return self._error(403, error.code)
        return found

    @staticmethod
    def _error(status, code):
        return status, json.dumps({"error": {"code": code, "message": "", "hint": ""}}).encode()

    @staticmethod
    def _json(value):
        return 200, json.dumps(value).encode()

    # ------------------------------------------------------------ static files

    def _get(self, path):
        world = self.world
        parts = path.strip("/").split("/")
        match parts:
            case ["join.json"]:
                return 200, world.join.encode()
            case ["feed", "v1", "latest"]:
                return 200, b"%d\n" % (world.next_tick - 1)
            case ["feed", "v1", "all", tick] if int(tick) in world.containers:
                return 200, world.containers[int(tick)].encode()
            case ["feed", "v1", "day", "all", day]:
                found = [c for t, c in sorted(world.containers.items()) if feed.day_of(t, world.tick_seconds) == day]
                return (200, b"".join(c.encode() for c in found)) if found else (404, b"")
            case ["feed", "v1", "agencies", digest]:
                data = world.directory().encode()
                return (200, data) if hashlib.sha256(data).hexdigest() == digest else (404, b"")
            case ["feed", "v1", "inbox", day] if day in self.inbox:
                return 200, self.inbox[day]
            case ["log", "p", "checkpoint"]:
                return 200, world.cosigned(world.log, None, world.now).encode()
            case ["log", "p", "tile", "entries", *_rest]:
                width = min(256, len(world.log.entries))
                wanted = "/".join(parts[2:]) == tiles.entries_path(0, width)
                return (200, tiles.encode_bundle(world.log.entries[:width])) if wanted else (404, b"")
            case ["v1", "responses", rid, "status"]:
                return self._json({"envelopes": [dsse.b64(e) for e in self.statuses.get(rid, [])]})
        return 404, b""

    # ------------------------------------------------------------ services

    def _post(self, method, path, data):
        parts = path.strip("/").split("/")
        match [method, *parts]:
            case ["POST", "issuer", "v1", "tokens"]:
                return self._tokens(data)
            case ["POST", "v1", "uploads"]:
                return self._open(data)
            case ["PUT", "v1", "uploads", rid, number]:
                return self._part(rid, int(number), data)
            case ["POST", "v1", "uploads", rid, "finalize"]:
                return self._finalize(rid, data)
            case ["POST", "v1", "withdrawals"]:
                found = verify_responder(Withdraw, data)
                if found.response_id in self.uploads:
                    self.uploads[found.response_id].withdrawn = True
                return self._json({"ok": True})
        return 404, b""

    def issuer(self, epoch):
        if epoch not in self.issuers:
            self.issuers[epoch] = tokens.IssuerKey(hashlib.sha256(b"issuer %d" % epoch).digest())
        return self.issuers[epoch]

    def log_issuer(self, epoch):
        begin = epoch * tokens.EPOCH_SECONDS
        self.world.publish(
            IssuerKey(
                epoch=epoch,
                alg="voprf-p384",
                pk=self.issuer(epoch).public,
                not_before=begin,
                not_after=begin + 2 * tokens.EPOCH_SECONDS,
                at=self.world.start,
            )  # fmt: skip
        )

    def _tokens(self, data):
        value = json.loads(data)
        known = (value["invite"], value["epoch"], hashlib.sha256(data).digest())
        if known not in self.issued:
            if value["invite"] not in self.uses:
                return self._error(403, "invite.invalid")
            used = self.fetches.get((value["invite"], value["epoch"]), 0)
            if used >= tokens.FETCHES_PER_EPOCH:
                return self._error(403, "invite.used_up")
            self.fetches[value["invite"], value["epoch"]] = used + 1
            key = self.issuer(value["epoch"])
            answers = [tokens.evaluate(key, base64.b64decode(item)) for item in value["blinded"]]
            self.issued[known] = json.dumps({"evaluated": [dsse.b64(a) for a in answers]}).encode()
        return 200, self.issued[known]

    def _open(self, data):
        found = verify_responder(UploadOpen, data)
        token = tokens.Token.decode(found.token)
        place = urlsplit(self.world.url).netloc
        key = next((k for k in self.issuers.values() if k.key_id == token.token_key_id), None)
        if key is None:
            return self._error(403, "token.epoch")
        tokens.verify(key, token, digest=tokens.challenge_digest(place, place), response_pk=found.pk)
        if self.spent.setdefault(token.nonce, found.response_id) != found.response_id:
            return self._error(409, "token.spent")
        upload = self.uploads.setdefault(found.response_id, Upload(found))
        if upload.promise:
            return self._error(409, "token.spent")
        return self._json({"response_id": found.response_id, "parts_have": sorted(upload.parts)})

    def _part(self, rid, number, data):
        upload = self.uploads.get(rid)
        if upload is None:
            return self._error(404, "upload.unknown")
        assert data[:4] == b"FWP1"
        (length,) = struct.unpack_from(">I", data, 4)
        found = verify_responder(UploadPart, data[8 : 8 + length])
        body = data[8 + length :]
        assert (found.response_id, found.part, found.sha256) == (rid, number, hashlib.sha256(body).hexdigest())
        upload.parts[number] = body
        return self._json({"parts_have": sorted(upload.parts)})

    def _finalize(self, rid, data):
        upload = self.uploads.get(rid)
        if upload is None or upload.withdrawn:
            return self._error(404, "upload.unknown")
        found = verify_responder(Finalize, data)
        body = b"".join(upload.parts[n] for n in sorted(upload.parts))
        if sorted(upload.parts) != list(range(parts_of(found.size))):
            return self._error(409, "upload.incomplete")
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (found.sealed, found.size)
        if not upload.promise:
            now = int(self.now())
            tick = now // self.world.tick_seconds
            promise = Promise(
                response_id=rid, sealed=found.sealed, tick=tick, inbox_day=feed.day_of(tick, self.world.tick_seconds)
            )
            upload.promise = dsse.sign(dsse.RECEIPT, promise.encode(), self.world.hub).encode()
            upload.sealed = found.sealed
        return self._json({"promise": dsse.b64(upload.promise)})

    # ------------------------------------------------------------ what else a hub and an agency do

    def finalized(self):
        return {rid: u for rid, u in self.uploads.items() if u.promise}

    def body_of(self, rid):
        upload = self.uploads[rid]
        return b"".join(upload.parts[n] for n in sorted(upload.parts))

    def put_status(self, rid, status, at, *, signer=None, note="", agency="us-ca-oakland"):
        document = ResponseStatus(response_id=rid, agency=agency, status=status, note=note, at=at)
        envelope = dsse.sign(dsse.RECEIPT, document.encode(), signer or self.world.console).encode()
        self.statuses.setdefault(rid, []).append(envelope)

    def close_inbox(self, day, *, leave_out=()):
        leaves = []
        for rid, upload in self.finalized().items():
            promise = Promise.parse(dsse.Envelope.parse(upload.promise).payload)
            if promise.inbox_day == day and rid not in leave_out:
                leaves.append(inbox_leaf(rid, upload.sealed, promise.tick))
        leaves = sorted([*leaves, *(hashlib.sha256(b"pad %d" % n).digest() for n in range(64 - len(leaves)))])
        self.inbox[day] = b"".join(leaves)
        self.world.publish(InboxEpoch(day=day, root=inbox_root(leaves), leaves=64, at=self.world.now))
