"""Lives of a hub: what its peers ask of it, and how its whole world is looked over afterwards."""

import dataclasses
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection
from django.test import Client
from fairwitness_core.crypto import tokens
from fairwitness_core.model import response as documents
from fairwitness_core.rules.inbox import inbox_leaf, inbox_root
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.verify.log import check_log
from fairwitness_core.wire import dsse

from fairwitness.hub.config import Config
from fairwitness.hub.models import InboxDay, Invite, Issuance, LogEntry, PendingEntry, SpentToken, Tick, Upload
from fairwitness.hub.services import agencies, directory, identity, inbox, ledger, moderation, vault
from fairwitness.hub.services import tokens as issuing
from fairwitness.kit import clock, config, http
from fairwitness.kit.logstore import LogError, LogReader
from tests.harness.kill import Life, Line, disk_is_full, resting
from tests.harness.lives import State
from tests.unit.hub import world as worlds

_EVENING = worlds.START - worlds.START % 86_400 + 86_400 - 240  # tomorrow is a few ticks away


class Answered(Exception):
    """The hub answered with an error."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body[:300])
        self.status, self.body = status, body

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


class OtherMachines(worlds.Net):
    """Calls to witnesses: what they write is theirs."""

    def send(self, *arguments: Any) -> Any:
        with resting():
            return super().send(*arguments)


def expected(error: BaseException) -> bool:
    """A failing disk is told to a caller as 503 or 507 in the error form, to the sequencer's loop as an error it waits out."""
    if isinstance(error, Answered):
        told = (error.status, error.code)
        if told == (503, "storage.unavailable"):  # a bucket has no end that it tells
            return True
        return told == (507, "storage.full") if disk_is_full() else told in ((503, "storage.failed"), (507, "storage.full"))
    return isinstance(error, (LogError, OSError, DatabaseError))


class Prepared:
    """A hub folder prepared once and laid out anew for every play, always at the same place."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "w"
        self.before = config._current
        (self.place / "hub").mkdir(parents=True, exist_ok=True, mode=0o700)
        self.state = State(self.place, folder / "template", self.place / "hub" / "db.sqlite3")
        with self.state.story():
            self.world = worlds.World(self.place, _EVENING)
            config.use(dataclasses.replace(config.current(Config), blobs=self.state.blobs))
            net = OtherMachines()
            net.apps = self.world.net.apps
            self.world.net = net
            self.use()
            self._story()
            self.world.stop()
        self.state.keep()

    def use(self) -> None:
        clock.set_clock(lambda: self.world.now)
        http.set_transport(self.world.net)
        self.world.client = Client(SERVER_NAME="localhost", raise_request_exception=False)

    def close(self) -> None:
        self.world.close()
        self.state.close()
        if self.before is not None:
            config.use(self.before)

    def restore(self) -> None:
        self.state.restore()

    def begin(self, line: Line, told: dict[str, Any]) -> None:
        """A fresh process of this hub (after a fork): no cache of another time, and time does not go back."""
        self.line = line
        self.world.now = max(self.world.now, told.get("now", 0))
        connection.close()
        self.world.writer = None
        ledger.forget_readers()
        directory.forget()
        self.use()

    def _story(self) -> None:
        """An agency, a request in each state, three answers (finished, finished, begun), commitments, invites."""
        w = self.world
        assert w.step() == "ok"
        agencies.register(w.agency.registration())
        assert w.step(1) == "ok"
        self.home, _ = w.follow()
        self.published, self.queued, self.waiting, self.unsent = (
            w.agency.request(case=f"26-{n:06}", centre=min(worlds.h3.grid_ring(worlds.CENTRE, 8 * n))) for n in range(4)
        )
        w.agency.submit(self.published)
        moderation.approve(self.published.id, 1)
        assert w.step(2) == "ok"
        (code,) = issuing.create_invites(1, 20, w.now)
        (self.invite,) = issuing.create_invites(1, 1, w.now)
        self.answers = [worlds.Responder(w, code, b"sealed %d " % n * 40) for n in range(3)]
        for answer in self.answers:
            answer.respond()
        self.fresh = worlds.Responder(w, code, b"two parts " * (documents.PART_SIZE // 10 + 50))
        self.fresh.fetch()
        w.agency.call("inbox_ack", {"response_ids": [self.answers[2].rid]})
        assert w.step(60) == "ok"
        w.agency.submit(self.queued)
        moderation.approve(self.queued.id, 1)
        w.agency.submit(self.waiting)
        self.commitments = [hashlib.sha256(b"touch %d" % n).digest() for n in range(3)]
        w.agency.call("sealed_append", {"commitments": [dsse.b64(self.commitments[0])]})
        keys = [worlds.SigningKey(hashlib.sha256(b"token %d" % n).digest()) for n in range(8)]
        digest = tokens.challenge_digest("hub.test", "hub.test")
        self.pending, self.asked = tokens.blind_batch(
            [tokens.token_nonce(k.public.raw) for k in keys], digest, self.fresh.issuer()
        )
        self.genesis = w.join.genesis

    # ------------------------------------------------ what peers do

    def pass_time(self, seconds: int) -> None:
        self.world.now += seconds
        self.line.tell("now", self.world.now)

    def call(self, op: str, body: dict[str, Any]) -> dict[str, Any]:
        """An agency's signed call, each try a new one."""
        self.pass_time(1)
        self.world.agency.count = secrets.randbits(60)  # a nonce of its own, also after a restart
        return json.loads(self._ask("post", "/v1/agency", self.world.agency.envelope(op, body)))

    def _ask(self, method: str, path: str, body: bytes, kind: str = "application/octet-stream") -> bytes:
        answer = getattr(self.world.client, method)(path, body, content_type=kind)
        data = b"".join(answer.streaming_content) if answer.streaming else answer.content
        if answer.status_code != 200:
            raise Answered(answer.status_code, data)
        return data

    def step(self, seconds: int = 1) -> int:
        """The sequencer's turn; the newest tick that is served."""
        self.pass_time(seconds)
        state = self.world.step()
        assert state == "ok", state
        return self.world.latest()

    def submit(self, request: Any) -> str:
        envelope = dsse.b64(self.world.agency.sign(request))
        return str(self.call("request_submit", {"envelope": envelope})["state"])

    def withdraw_request(self, request: Any) -> str:
        document = worlds.RequestWithdrawn(
            request_id=request.id, agency=self.world.agency.id, reason="resolved", at=self.world.now
        )
        envelope = dsse.sign(dsse.ENTRY, document.encode(), self.world.agency.ana).encode()
        return str(self.call("request_withdraw", {"envelope": dsse.b64(envelope)})["state"])

    def open_upload(self) -> list[int]:
        data = self._ask("post", "/v1/uploads", self.fresh.sign(self.fresh.opening()))
        return list(json.loads(data)["parts_have"])

    def part(self, number: int) -> list[int]:
        chunk = self.fresh.data[number * documents.PART_SIZE : (number + 1) * documents.PART_SIZE]
        message = documents.UploadPart(
            response_id=self.fresh.rid, pk=self.fresh.key.public.raw, part=number, sha256=hashlib.sha256(chunk).hexdigest()
        )
        statement = self.fresh.sign(message)
        body = b"FWP1" + len(statement).to_bytes(4, "big") + statement + chunk
        return list(json.loads(self._ask("put", f"/v1/uploads/{self.fresh.rid}/{number}", body))["parts_have"])

    def finalize(self) -> str:
        f = self.fresh
        message = documents.Finalize(
            response_id=f.rid, pk=f.key.public.raw, agency=self.world.agency.id, sealed=hashlib.sha256(f.data).hexdigest(),
            size=len(f.data), parts=documents.parts_of(len(f.data)), token=f.token,
        )  # fmt: skip
        return str(json.loads(self._ask("post", f"/v1/uploads/{f.rid}/finalize", f.sign(message)))["promise"])

    def take_back(self, answer: Any) -> bool:
        message = documents.Withdraw(response_id=answer.rid, pk=answer.key.public.raw, at=self.world.now)
        return bool(json.loads(self._ask("post", "/v1/withdrawals", answer.sign(message)))["ok"])

    def commit(self) -> int:
        return int(self.call("sealed_append", {"commitments": [dsse.b64(c) for c in self.commitments]})["accepted"])

    def tokens(self, invite: str) -> list[str]:
        body = {
            "invite": invite, "epoch": tokens.epoch_of(self.world.now),
            "blinded": [dsse.b64(request) for request in self.asked],
        }  # fmt: skip
        return list(
            json.loads(self._ask("post", "/issuer/v1/tokens", json.dumps(body).encode(), "application/json"))["evaluated"]
        )

    # ------------------------------------------------ what must hold

    def crashed(self, told: dict[str, Any]) -> None:
        """Before anything is repaired, what the web server serves is whole: the newest tick and the served logs."""
        if (self.place / "hub/feed/v1/latest").exists():
            assert self.world.latest() >= max((told[k] for k in told if k.startswith("step")), default=0)
            self.world.get(f"/feed/v1/all/{self.world.latest()}")
        for log in identity.LOGS:
            public = identity.log_folder(log) / "public"
            if (public / "checkpoint").exists():
                report = check_log(lambda path, at=public: (at / path).read_bytes(), None, identity.load().vkey(log))
                assert report.ok, report.first_failure

    def look(self, told: dict[str, Any]) -> None:
        """The whole world, once the hub has come to rest."""
        w = self.world
        assert w.step(70) == "ok"  # asks every witness first: their heads are heads of these logs
        policy = Policy.parse(w.join.policy.encode())
        sizes = {}
        for log in identity.LOGS:
            public = identity.log_folder(log) / "public"
            report = check_log(lambda path, at=public: (at / path).read_bytes(), None, identity.load().vkey(log))
            assert report.ok, report.first_failure
            sizes[log] = report.size
        with LogReader.open(identity.log_folder("p"), identity.load().vkey("p").name, identity.load().vkey("p")) as public_log:
            entries = public_log.entries(0, sizes["p"])
        hashes = Counter(hashlib.sha256(entry).hexdigest() for entry in entries)
        assert max(hashes.values()) == 1, "an entry stands twice"
        assert {row.sha256: row.index for row in LogEntry.objects.all()} == {
            hashlib.sha256(entry).hexdigest(): index for index, entry in enumerate(entries)
        }
        assert not PendingEntry.objects.exclude(state="appended").exists(), list(
            PendingEntry.objects.exclude(state="appended").values("kind", "state", "rule")
        )
        for row in PendingEntry.objects.all():
            assert hashes[row.sha256] == 1
        first = min(Tick.objects.values_list("number", flat=True))
        assert [t.number for t in Tick.objects.order_by("number")] == list(range(first, w.latest() + 1))
        assert set(Tick.objects.values_list("state", flat=True)) == {"served"}
        _, verified = w.follow(self.home)
        served = [p.request.id for v in verified for p in v.published]
        assert len(served) == len(set(served))
        assert not [r for v in verified for r in v.refused]
        for request in (self.queued, *([self.unsent] if "submit" in told and "approve" in told else [])):
            assert served.count(request.id) == 1
            found = self.call("request_state", {"request_id": request.id})
            TlogProof.parse(found["proof"].encode()).verify(policy, w.agency.sign(request))
        self._responses(told)
        with LogReader.open(identity.log_folder("s"), identity.load().vkey("s").name, identity.load().vkey("s")) as sealed_log:
            leaves = Counter(sealed_log.entries(0, sizes["s"]))
        for item in [self.commitments[0], *(self.commitments[1:] if "commit" in told else [])]:
            assert leaves[item] == 1, "a commitment is missing or doubled"
            proof = self.call("sealed_proof", {"commitment": dsse.b64(item)})["proof"]
            TlogProof.parse(proof.encode()).verify(policy, item)

    def _responses(self, told: dict[str, Any]) -> None:
        for row in Upload.objects.filter(state="sealed"):
            with vault.store().open(row.response_id) as stream:
                data = stream.read()
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (row.sealed, row.size)
        if "finalize" in told:
            w, f = self.world, self.fresh
            promise = documents.Promise.parse(
                dsse.Envelope.parse(dsse.unb64(told["finalize"], "p")).verify(dsse.RECEIPT, identity.load().hub_key.public)
            )
            assert promise.sealed == hashlib.sha256(f.data).hexdigest()
            assert self.finalize() == told["finalize"]
            listed = {r["response_id"]: r for r in self.call("inbox_list", {})["responses"]}
            assert listed[f.rid]["sealed"] == promise.sealed
            fetched = w.agency.call("inbox_list", {}, 200) and self._ask(
                "post", "/v1/agency/blob", w.agency.envelope("inbox_fetch", {"response_id": f.rid})
            )
            assert fetched == f.data
            assert SpentToken.objects.filter(response_id=f.rid).count() == 1
        for n, step in ((0, "ack"), (1, "take back")):
            if step in told:
                assert not vault.store().exists(self.answers[n].rid)
                assert self.answers[n].rid not in {r["response_id"] for r in self.call("inbox_list", {})["responses"]}
        if "take back late" in told:
            envelopes = [item["envelope"] for item in self.call("withdrawals_list", {"after": 0})["withdrawals"]]
            assert len(envelopes) == 1
        if "tokens" in told:
            left = Invite.objects.get(code_sha256=issuing._code_hash(self.invite)).fetches_left
            assert left == issuing.FETCHES_PER_EPOCH - 1, "a retry used the invite up"
            again = self.tokens(self.invite)
            for answers in (told["tokens"], again):
                assert len(self.pending.finalize([dsse.unb64(answer, "evaluated") for answer in answers])) == 8
        assert Issuance.objects.count() <= 6
        for row in InboxDay.objects.all():
            data = self.world.get(f"/feed/v1/inbox/{row.day}")
            leaves = [data[i : i + 32] for i in range(0, len(data), 32)]
            assert inbox_root(leaves) == bytes(row.root) or inbox_root(leaves) == row.root
            for answer in Upload.objects.filter(inbox_day=row.day).exclude(sealed=""):
                assert leaves.count(inbox_leaf(answer.response_id, answer.sealed, answer.tick)) == 1, (
                    "a promise is not accounted for"
                )

    # ------------------------------------------------ the lives

    def life(self, name: str) -> Life:
        w = self.world

        def tomorrow() -> int:
            if w.now < _EVENING + 240:
                self.pass_time(300)
            return inbox.close_days(w.now)

        steps: dict[str, list[tuple[str, Callable[[], Any]]]] = {
            "publish": [
                ("submit", lambda: self.submit(self.unsent)),
                ("approve", lambda: moderation.approve(self.unsent.id, 1).state),
                ("step 1", self.step),
                ("step 2", lambda: self.step(60)),
                ("withdraw", lambda: self.withdraw_request(self.published)),
                ("step 3", lambda: self.step(60)),
            ],
            "answers": [
                ("open", self.open_upload),
                ("part 0", lambda: self.part(0)),
                ("part 1", lambda: self.part(1)),
                ("finalize", self.finalize),
            ],
            "inbox": [
                ("ack", lambda: self.call("inbox_ack", {"response_ids": [self.answers[0].rid]})["acknowledged"]),
                ("take back", lambda: self.take_back(self.answers[1])),
                ("take back late", lambda: self.take_back(self.answers[2])),
                ("commit", self.commit),
            ],
            "tokens": [("tokens", lambda: self.tokens(self.invite))],
            "day": [("close", tomorrow)],
        }  # fmt: skip
        return Life(self.restore, self.begin, steps[name], self.look, expected, self.crashed)
