"""Lives of an agency: what its people and its beat do, beside a small hub that lives on when the agency's process dies."""

import dataclasses
import errno
import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection
from fairwitness_core.model.custody import CustodyEvent
from fairwitness_core.verify.bag import verify_bag
from fairwitness_core.verify.cli import FolderFiles
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire import dsse

from fairwitness.agency import worker
from fairwitness.agency.config import Config
from fairwitness.agency.models import CustodyRecord, Export, Request, Response, Status
from fairwitness.agency.services import (
    collect,
    custody,
    evidence,
    export,
    hold,
    intake,
    node,
    requests,
    status,
    triage,
    vault,
    withdrawals,
)  # fmt: skip
from fairwitness.kit import clock, config, files, http
from fairwitness.kit.errors import Refused
from tests.harness.kill import Life, Line, Server
from tests.harness.lives import Distant, State
from tests.unit.agency.agency_steps import PURPOSE, Agency
from tests.unit.agency.world import START, Owner, SmallHub, clean_clip

_DAY = 86_400
_ORDER = {"purpose": "trial of the driver of the silver hatchback", "recipient": "District attorney of Alameda"}


def expected(error: BaseException) -> bool:
    """What the services may raise when a disk fails; their API answers 503 and 507 to it."""
    return isinstance(error, (OSError, DatabaseError)) or (isinstance(error, Refused) and error.status >= 500)


class Prepared:
    """An agency's folder and its hub, prepared once and laid out anew for every play, always at the same places."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "w"
        self.before = config.current(Config)
        self.moment = {"now": float(START)}
        self.server: Server | None = None
        clock.set_clock(lambda: self.moment["now"])
        self.data = self.place / "agency"
        files.private_dir(self.data)
        self.state = State(self.place, folder / "template", self.data / "db.sqlite3")
        config.use(
            dataclasses.replace(
                self.before,
                data_dir=self.data,
                agency="us-ca-oakland",
                ori="CA0010900",
                name="Oakland Police",
                state="CA",
                level="municipal",
                vouched=("City council",),
                blobs=self.state.blobs,
            )
        )
        self.work, intake._work = intake._work, _inline  # a child process a clip would cost half a second each
        with self.state.story():
            self.hub = SmallHub(self.place / "hub")
            http.set_transport(self.hub)
            self.clip = clean_clip(folder, seconds=0.6)
            self.people = Agency(self.hub, self.clip, self.moment, self.data).begin()
            self._story()
        self.hub.public.close()
        self.hub.sealed.close()
        self.state.keep()

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        intake._work = self.work
        http.set_transport(None)
        clock.set_clock(None)
        self.state.close()
        config.use(self.before)

    def _story(self) -> None:
        """Four answers (new, accepted, declined, undecided), two waiting (one of them spoilt), a draft to approve."""
        a = self.people
        self.request = a.published()
        self.owners = [Owner(n, [self.clip] if n != 1 else [self.clip, self.clip]) for n in range(4)]
        self.new, self.accepted, self.declined, self.undecided = a.collected(self.request, *self.owners)
        triage.accept(a.sam, self.accepted, PURPOSE)
        triage.decline(a.ana, self.declined, "it shows another street")
        status.send(clock.now())
        custody.settle()
        self.hub.tick()
        self.good, self.bad = Owner(5, [self.clip]), Owner(6, [self.clip])
        document = a.document(self.request)
        self.hub.answer(document, self.good)
        self.hub.answer(document, self.bad, request_id="f" * 32)
        self.draft = requests.draft(a.ana, a.case(), a.draft(from_=clock.now() - 9000))

    # ------------------------------------------------ laying out

    def restore(self) -> None:
        if self.server is not None:
            self.server.close()
        self.state.restore()
        self.server = Server(self._handle)

    def serve(self, *question: Any) -> Any:
        assert self.server is not None
        return self.server.ask(*question)

    def _handle(self, what: str, *arguments: Any) -> Any:
        """In the hub's process, where the hub is as the story left it."""
        hub = self.hub
        if hub.public._fds == {}:
            for name, short in (("public", "p"), ("sealed", "s")):
                store = getattr(hub, name)
                setattr(hub, name, type(store).open(self.place / "hub" / short, store.origin, store._key))
        match what:
            case "send":
                self.moment["now"], method, url, body = arguments
                answer = hub.send(method, url, {}, body, 1.0)
                return answer.status, dict(answer.headers), b"".join(answer.chunks)
            case "publish":
                if hub.requests[arguments[0]]["state"] == "submitted":
                    hub.publish(arguments[0])
                return None
            case "withdraw":
                if not hub.withdrawals:
                    hub.withdraw(self.owners[arguments[0]])
                return None
            case _:
                return {
                    "leaves": hub.sealed.entries(0, hub.sealed.size), "acked": [r for r, w in hub.inbox.items() if w.acked],
                    "inbox": {r: w.data for r, w in hub.inbox.items()}, "statuses": hub.statuses,
                }  # fmt: skip

    def begin(self, line: Line, told: dict[str, Any]) -> None:
        """A fresh process of this agency (after a fork): no connection of another, and time does not go back."""
        connection.close()
        self.line = line
        self.moment["now"] = max(self.moment["now"], told.get("now", 0))
        http.set_transport(Distant(line))
        opened = evidence._decrypt

        def watched(response: Response, name: str) -> Any:
            allowed = CustodyRecord.objects.filter(response=response, state="proven", action__in=(*evidence.OPENING, "exported"))
            leaves = set(self.line.ask("look")["leaves"])
            assert any(bytes(link.commitment) in leaves for link in allowed), "opened without a record in the ledger"
            return opened(response, name)

        evidence._decrypt = watched

    def pass_time(self, seconds: int) -> None:
        self.moment["now"] += seconds
        self.line.tell("now", self.moment["now"])

    # ------------------------------------------------ what people and the beat do

    def approve(self) -> str:
        request = requests.get(self.draft.id)
        if request.state == "draft":
            requests.approve(self.people.sam, request)
        state = requests.poll(request)
        assert state in ("submitted", "published"), state
        return state

    def poll(self) -> str:
        self.line.ask("publish", self.draft.id)
        self.pass_time(60)
        return requests.poll(requests.get(self.draft.id))

    def collect(self) -> list[str]:
        """Beats until nothing waits any more; a response that the beat says it kept for later is not done."""
        self.pass_time(60)
        done = collect.run(clock.now())
        if done.kept or not all(
            Response.objects.filter(pk=o.response_id, acknowledged=True).exists() for o in (self.good, self.bad)
        ):
            raise OSError(errno.EAGAIN, "the beat comes again")
        return sorted(Response.objects.values_list("id", flat=True))

    def view(self, response: Response | None = None) -> str:
        with evidence.open_clip(
            self.people.ana, evidence.seen_by(self.people.sam, (response or self.new).id), "clip-01.mp4", "viewed", PURPOSE
        ) as stream:
            return hashlib.sha256(stream.read()).hexdigest()

    def accept(self, response: Response) -> str:
        return str(triage.accept(self.people.sam, evidence.seen_by(self.people.sam, response.id), PURPOSE).state)

    def decline(self) -> str:
        return str(triage.decline(self.people.ana, evidence.seen_by(self.people.sam, self.undecided.id), "another street").state)

    def another_mind(self) -> str:
        """The officer finds the decline not done and accepts: then it can be seen. A decline that was done stays."""
        response = evidence.seen_by(self.people.sam, self.undecided.id)
        if response.state == "declined":
            return "declined"
        self.accept(response)
        return self.view(response)

    def destroy(self) -> bool:
        self.moment["now"] = max(self.moment["now"], START + 31 * _DAY)
        self.line.tell("now", self.moment["now"])
        triage.destroy_due(clock.now())
        return Response.objects.get(pk=self.declined.id).state == "destroyed"

    def place_hold(self) -> str:
        found = evidence.seen_by(self.people.sam, self.declined.id)
        held = hold.place(self.people.sam, found, "legal_hold", "Order 7", "a court orders it")
        return str(Response.objects.get(pk=held.response_id).state)

    def lift_hold(self) -> str:
        held = hold.Hold.objects.get(response_id=self.declined.id)
        hold.lift(self.people.sam, held, "the order ended")
        return str(Response.objects.get(pk=self.declined.id).state)

    def export(self) -> str:
        done = export.export(self.people.tom, requests.get(self.request.id), [self.accepted.id], out=self.place / "bag", **_ORDER)
        return str(done.path)

    def take_back(self) -> int:
        self.line.ask("withdraw", 0)
        withdrawals.beat(clock.now())
        return Response.objects.filter(pk=self.new.id).exclude(withdrawn_at=None).count()

    def send(self) -> int:
        status.send(clock.now())
        custody.settle()
        return Status.objects.filter(sent_at=None).count()

    # ------------------------------------------------ what must hold

    def crashed(self, told: dict[str, Any]) -> None:
        """Whatever the moment: what the rows call declined cannot be opened, what they call destroyed is gone."""
        for response in Response.objects.filter(state="declined"):
            assert not node.key_file("responses", response.id).exists(), "declined, and its key lies open"
        for response in Response.objects.filter(state="destroyed"):
            assert not [p for p in self.data.rglob("*") if response.id in p.name]
            assert response.id not in set(vault.held())
        acked = set(self.line.ask("look")["acked"])
        assert acked <= set(Response.objects.values_list("id", flat=True)), "acknowledged, and not kept"
        for response in Response.objects.filter(pk__in=acked):
            self._opens(response)

    def look(self, told: dict[str, Any]) -> None:
        """The whole world, once the beat has come round."""
        if "collect" in told:
            collect.run(clock.now())
        custody.settle()
        status.send(clock.now())
        world = self.line.ask("look")
        leaves = Counter(world["leaves"])
        assert max(leaves.values()) == 1, "a commitment stands twice"
        for response in Response.objects.all():
            self._chain(response, leaves)
            self._opens(response)
            words = [item["status"] for item in world["statuses"] if item["response_id"] == response.id]
            assert words[-1] == Status.objects.filter(response_id=response.id).order_by("-id")[0].status
        assert not Status.objects.filter(sent_at=None).exists()
        assert not CustodyRecord.objects.exclude(state="proven").exists()
        self.crashed(told)
        actions = Counter(CustodyRecord.objects.values_list("response_id", "action"))
        assert max(actions.values()) == 1, f"an act is on record twice: {actions.most_common(1)}"
        if told.get("mind") == "changed":
            return
        for word, response, action in (
            ("view", self.new, "viewed"), ("accept", self.new, "accepted"), ("decline", self.undecided, "declined"),
            ("destroy", self.declined, "destroyed"), ("hold", self.declined, "held"), ("lift", self.declined, "released"),
            ("export", self.accepted, "exported"), ("take back", self.new, "withdrawal_noted"),
        ):  # fmt: skip
            assert actions[response.id, action] == (word in told), (word, action)
        if "collect" in told:
            assert set(world["acked"]) == set(world["inbox"]) == set(told["collect"])
            assert Response.objects.get(pk=self.bad.response_id).state == "quarantined"
            assert not list((self.data / "spool").iterdir())
        for word, response, state in (
            ("accept", self.new, "accepted"), ("decline", self.undecided, "declined"), ("destroy", self.declined, "destroyed"),
            ("lift", self.declined, "declined"), ("export", self.accepted, "exported"),
        ):  # fmt: skip
            if word in told:
                assert Response.objects.get(pk=response.id).state == state
        if "export" in told:
            report = verify_bag(FolderFiles(Path(told["export"])), TrustPolicy.from_join(self.hub.join))
            assert report.exit_code == 0, [(c.number, c.title, c.detail) for c in report.checks if not c.ok]
            assert Export.objects.count() == 1
            assert not [p for p in self.place.iterdir() if p.name.startswith(".")]
        if "poll" in told:
            assert Request.objects.get(pk=self.draft.id).state == told["poll"] == "published"
        known = {r.id for r in Response.objects.all()}
        for entry in (self.data / "keys" / "responses").iterdir():
            # A cut-off write may leave a spare, which goes when the key of its name is destroyed.
            assert entry.name.lstrip(".").split(".")[0] in known, f"a key that no row names: {entry.name}"
            assert not entry.name.endswith(node.DOOMED) or "collect" not in told
        assert not [p for p in (self.data / "evidence").iterdir() if p.name not in known]

    def _chain(self, response: Response, leaves: Counter[bytes]) -> None:
        links = custody.chain(response)
        assert [link.number for link in links] == list(range(1, len(links) + 1))
        before = "0" * 64
        for link in links:
            envelope = dsse.Envelope.parse(bytes(link.envelope))
            event = CustodyEvent.from_statement(envelope.verify(dsse.STATEMENT, node.agency_key().public))
            assert (event.prev, event.response_id, event.action) == (before, response.id, link.action)
            before = hashlib.sha256(bytes(link.envelope)).hexdigest()
            assert leaves[bytes(link.commitment)] == 1
            custody.verify(link, bytes(link.proof or b""))

    def _opens(self, response: Response) -> None:
        """Evidence that is kept opens with its key; a spoilt one is kept as it came."""
        if response.custody.filter(action="destroyed").exists():
            return
        match response.state:
            case "quarantined":
                with vault.open_quarantined(response.id) as stream:
                    data = stream.read()
                assert hashlib.sha256(data).hexdigest() == response.sealed
                return
            case _:
                path = node.key_file("responses", response.id)
                if path.exists():
                    identity = node.get_secret(path).decode()
                else:
                    wrapped = files.read_secret(node.hold_file(response.id))
                    identity = hold.seal.open_bytes(wrapped, [node.hold_identity()]).decode()
                for clip in response.clips.all():
                    raw = vault.open_file(response.id, f"{clip.name}{evidence.SUFFIX}")
                    with evidence.SegmentReader(raw, [identity]) as stream:
                        assert hashlib.sha256(stream.read()).hexdigest() == clip.sha256

    def life(self, name: str) -> Life:
        steps: dict[str, list[tuple[str, Callable[[], Any]]]] = {
            "request": [("approve", self.approve), ("poll", self.poll)],
            "collect": [("collect", self.collect), ("send", self.send)],
            "decline": [("decline", self.decline)],
            "decide": [("view", self.view), ("accept", lambda: self.accept(self.new)), ("decline", self.decline)],
            "hold": [("hold", self.place_hold), ("lift", self.lift_hold)],
            "end": [("destroy", self.destroy), ("take back", self.take_back)],
            "export": [("export", self.export)],
        }
        instead = [("another mind", self.another_mind)] if name == "decline" else None
        return Life(self.restore, self.begin, steps[name], self.look, expected, self.crashed, self.serve, instead=instead)


def _inline(job: dict[str, str], spool: Path) -> dict[str, Any]:
    try:
        return worker.work(job)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise files.DiskFull(error.errno, "no space left to store evidence") from error
        raise intake.IntakeFailed(type(error).__name__) from error
