"""Lives of a home: what its beat and its owner do, beside a hub that lives on when the home's process dies."""

import dataclasses
import hashlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import DatabaseError, connection
from fairwitness_core.crypto import seal, tokens
from fairwitness_core.model import response as documents
from fairwitness_core.model.response import Manifest, Promise, verify_responder
from fairwitness_core.wire import dsse
from fairwitness_core.wire.frames import FrameReader

from core.tests.rules.feed_world import CENTRE, START, World
from fairwitness.demo.footage import make_clip
from fairwitness.home.config import Config
from fairwitness.home.models import Answer, Request, Token
from fairwitness.home.services import answers, delivery, follower, matching, sharing, sources
from fairwitness.home.services import tokens as wallet
from fairwitness.kit import clock, config, files, http
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import spool
from tests.harness.kill import Life, Line, Server
from tests.harness.lives import Distant
from tests.unit.home.conftest import Home
from tests.unit.home.fake_hub import FakeHub

PART = 8192  # bytes of an upload part here, so that a short clip has several
WORDS = "The van came back twice."


class NotYet(Exception):
    """The beat noted a failure and tries again at a later slot."""


def expected(error: BaseException) -> bool:
    """What the services may raise when a disk fails; their API answers 503 and 507 to it, the beat tries again."""
    return isinstance(error, (OSError, DatabaseError, NotYet)) or (isinstance(error, Refused) and error.status >= 500)


class Prepared:
    """A home's folder, prepared once and laid out anew for every play; its hub is in memory, forked as the story left it."""

    def __init__(self, folder: Path) -> None:
        self.place, self.template = folder / "w", folder / "template"
        self.before = config.current(Config)
        self.name = connection.settings_dict["NAME"]
        self.moment = [float(START)]
        self.server: Server | None = None
        self.kept = (documents.PART_SIZE, delivery.pass_to_spool)
        documents.PART_SIZE = delivery.PART_SIZE = PART
        # A child process a clip would cost half a second each, and only a child has a time to end by.
        delivery.pass_to_spool = lambda job, manifest, *, seconds, **more: spool.seal_response(job, manifest, **more)
        clock.set_clock(lambda: self.moment[0])
        self.data = self.place / "home"
        files.private_dir(self.data)
        # Django never closes a database in memory: other tests' connection would go on being used here, so it is put aside.
        self.others, connection.connection = connection.connection, None
        connection.settings_dict["NAME"] = str(self.data / "db.sqlite3")
        call_command("migrate", verbosity=0, interactive=False)
        config.use(dataclasses.replace(self.before, data_dir=self.data))
        follower._cache = None
        self.footage = folder / "clip.mp4"
        make_clip(
            self.footage, seed=7, seconds=3, start=START - 5000, camera="Porch", place=CENTRE, width=160, height=120, fps=5
        )  # fmt: skip
        self._story()
        connection.close()
        shutil.move(self.place, self.template)

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        documents.PART_SIZE = delivery.PART_SIZE = self.kept[0]
        delivery.pass_to_spool = self.kept[1]
        http.set_transport(None)
        clock.set_clock(None)
        connection.close()
        connection.settings_dict["NAME"], connection.connection = self.name, self.others
        follower._cache = None
        config.use(self.before)

    def _story(self) -> None:
        """Joined, with a camera, its recording, tokens, and a live request that the recording answers."""
        world = World()
        world.publish(world.authorized())
        self.hub = FakeHub(world, lambda: self.moment[0])
        epoch = tokens.epoch_of(world.start)
        self.hub.log_issuer(epoch)
        self.hub.log_issuer(epoch + 1)
        self.later = (epoch + 2) * tokens.EPOCH_SECONDS - 3600
        world.ticks(2)
        http.set_transport(self.hub)
        self.home = Home(world, self.hub, self.moment)
        self.home.at(world.now)
        self.home.join()
        camera = self.home.camera()
        footage = self.place / "cam"
        footage.mkdir()
        shutil.copyfile(self.footage, footage / "porch.mp4")
        os.utime(footage / "porch.mp4", (1_700_000_000, 1_700_000_000))
        sources.add(camera.pk, str(footage))
        sources.scan(self.home.now)
        for row in sources.unknown_times():
            sources.answer_time(row.pk, world.start - 5000)
        assert self.home.tokens().ready == 8
        self.home.tick()
        world.publish(world.request(1))
        self.home.tick()
        self.first = f"{1:032x}"
        self.answer = answers.draft(self.first)
        answers.set_statement(self.answer.pk, WORDS)

    # ------------------------------------------------ laying out

    def restore(self) -> None:
        if self.server is not None:
            self.server.close()
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.template, self.place)
        # The copy is another file to the system, and the home would rightly refuse it as changed since it was chosen.
        self.server = Server(self._handle)

    def serve(self, *question: Any) -> Any:
        assert self.server is not None
        return self.server.ask(*question)

    def _handle(self, what: str, *arguments: Any) -> Any:
        """In the hub's process."""
        world = self.hub.world
        match what:
            case "send":
                self.moment[0], method, url, body = arguments
                answer = self.hub.send(method, url, {}, body, 1.0)
                return answer.status, dict(answer.headers), b"".join(answer.chunks)
            case "publish":
                if not self.hub.bent:
                    self.hub.bent["done"] = (200, b"")
                    world.publish(world.request(2))
                    world.tick()
                return world.now
            case _:
                return {
                    "finalized": {rid: self.hub.body_of(rid) for rid in self.hub.finalized()},
                    "promises": {rid: u.promise for rid, u in self.hub.uploads.items()},
                    "withdrawn": [rid for rid, u in self.hub.uploads.items() if u.withdrawn],
                    "spent": dict(self.hub.spent), "issued": len(self.hub.issued),
                    "opened": [call[2] for call in self.hub.calls if call[2].endswith("/v1/uploads")],
                }  # fmt: skip

    def begin(self, line: Line, told: dict[str, Any]) -> None:
        """A fresh process of this home (after a fork): nothing remembered, and time does not go back."""
        connection.close()
        self.line = line
        self.moment[0] = max(self.moment[0], told.get("now", 0))
        follower._cache = None
        wallet._asked.clear()
        http.set_transport(Distant(line))
        info = (self.place / "cam" / "porch.mp4").stat()
        fresh = {"size": info.st_size, "mtime_ns": info.st_mtime_ns, "inode": info.st_ino}
        from fairwitness.home.models import AnswerClip, Recording  # noqa: PLC0415
        from tests.harness.kill import resting  # noqa: PLC0415

        with resting():  # the copied footage is another file to the system; this home is told that it is the one it knew
            AnswerClip.objects.all().update(identity=fresh)
            Recording.objects.all().update(identity=fresh)

    @property
    def now(self) -> int:
        return int(self.moment[0])

    def at(self, moment: float) -> None:
        self.moment[0] = max(self.moment[0], float(moment))
        self.line.tell("now", self.moment[0])

    # ------------------------------------------------ what the beat and the owner do

    def follow(self) -> list[str]:
        self.at(self.line.ask("publish"))
        follower.poll(self.now)
        matching.rematch(self.now)
        found = sorted(Request.objects.values_list("id", flat=True))
        if len(found) != 2:
            raise NotYet(found)
        return found

    def tokens(self) -> int:
        self.at(self.later)
        wallet.fetch_due(self.now)
        ready = Token.objects.filter(state="ready", epoch=tokens.epoch_of(self.now)).count()
        if ready != 8:
            raise NotYet(ready)
        return ready

    def confirm(self) -> str:
        answer = Answer.objects.get(pk=self.answer.pk)
        if answer.state == "draft":
            answer = answers.confirm(answer.pk, at_once=True, now=self.now)
        return str(answer.state)

    def seal(self) -> str:
        self.at(self.now + 600)
        delivery.seal_due(self.now)
        return self._state("sealed")

    def upload(self) -> str:
        self.at(self.now + 7200)
        delivery.seal_due(self.now)
        delivery.upload_due(self.now)
        return self._state("uploaded")

    def _state(self, wanted: str) -> str:
        answer = Answer.objects.get(pk=self.answer.pk)
        if answer.state != wanted:
            raise NotYet(answer.state, answer.problem)
        return str(answer.response_id)

    def withdraw(self) -> str:
        self.at(self.now + 600)
        answer = Answer.objects.get(pk=self.answer.pk)
        if answer.state not in ("withdrawn", "cancelled"):
            sharing.withdraw(answer.pk, now=self.now)
        sharing.withdrawals_due(self.now)
        if answer.response_id not in self.line.ask("look")["withdrawn"]:
            raise NotYet("the hub does not know")
        return str(Answer.objects.get(pk=self.answer.pk).state)

    # ------------------------------------------------ what must hold

    def crashed(self, told: dict[str, Any]) -> None:
        """A consent that was acknowledged stands, and so do the token and the response's key that go with it."""
        answer = Answer.objects.get(pk=self.answer.pk)
        if "confirm" in told:
            assert answer.state != "draft"
            assert answer.token is not None
        if answer.state in ("sealed", "uploading"):
            data = (sharing.spool_folder() / answer.spool).read_bytes()
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (answer.sealed, answer.size), "a torn spool"
        if "upload" in told:
            sharing.receipts(answer.pk)

    def look(self, told: dict[str, Any]) -> None:
        """The whole world, once the beat has come round."""
        delivery.sweep()
        world = self.line.ask("look")
        answer = Answer.objects.get(pk=self.answer.pk)
        assert len(world["finalized"]) <= 1, "an answer arrived twice"
        assert len(world["spent"]) <= 1, "two tokens were spent on one answer"
        assert len(world["promises"]) <= 1, "an answer was opened twice"
        events = list(answer.events.values_list("kind", flat=True))
        for kind in ("confirmed", "sealed", "uploaded"):
            assert events.count(kind) <= 1, events
        if "upload" in told:
            ((rid, body),) = world["finalized"].items()
            assert rid == told["upload"] == told["seal"] == answer.response_id
            assert bytes(answer.promise) == world["promises"][rid]
            promise = Promise.parse(dsse.Envelope.parse(bytes(answer.promise)).payload)
            assert promise.sealed == hashlib.sha256(body).hexdigest()
            self._opens(rid, body)
            assert sharing.receipts(answer.pk).promise == bytes(answer.promise)
            assert Token.objects.filter(state="used").count() == 1
            assert list(sharing.spool_folder().iterdir()) == []
        else:
            assert world["spent"] == {}
        if "withdraw" in told:
            assert world["withdrawn"] == [answer.response_id]
        if "tokens" in told:
            ready = Token.objects.filter(epoch=tokens.epoch_of(self.now))
            assert ready.count() == 8
            issuer = self.hub.issuer(tokens.epoch_of(self.now))
            for row in ready:
                token = tokens.Token.decode(bytes(row.token))
                tokens.verify(issuer, token, digest=wallet.digest(), response_pk=wallet.key_of(row).public.raw)
            assert world["issued"] <= 3, "more fetches than a hub allows"
        if "follow" in told:
            assert sorted(Request.objects.values_list("id", flat=True)) == told["follow"]
            assert follower.status(self.now).opaque == 0
            assert not follower.alarms()

    def _opens(self, rid: str, body: bytes) -> None:
        found: dict[str, bytes] = {}

        class Sink:
            def __init__(self, name: str) -> None:
                self.name = name
                found[name] = b""

            def write(self, data: bytes) -> None:
                found[self.name] += bytes(data)

            def close(self, digest: Any = None) -> None:
                pass

        reader = FrameReader(Sink)
        seal.open_stream(io.BytesIO(body), reader, [self.hub.world.identity(1)])
        manifest = verify_responder(Manifest, reader.finish().manifest)
        assert isinstance(manifest, Manifest)
        assert (manifest.response_id, manifest.statement) == (rid, WORDS)
        assert [hashlib.sha256(data).hexdigest() for data in found.values()] == [clip.sha256 for clip in manifest.clips]
        assert len(manifest.clips) == 1

    def life(self, name: str) -> Life:
        steps: dict[str, list[tuple[str, Callable[[], Any]]]] = {
            "follow": [("follow", self.follow)],
            "tokens": [("tokens", self.tokens)],
            "answer": [("confirm", self.confirm), ("seal", self.seal), ("upload", self.upload)],
            "withdraw": [("confirm", self.confirm), ("seal", self.seal), ("upload", self.upload), ("withdraw", self.withdraw)],
        }
        return Life(self.restore, self.begin, steps[name], self.look, expected, self.crashed, self.serve)
