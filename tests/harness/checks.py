"""What must hold of a whole world at any moment, whatever happened before."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model import custody
from fairwitness_core.model.feed import read_containers, scope_root
from fairwitness_core.model.hub import FeedTick, JoinFile
from fairwitness_core.model.response import Promise
from fairwitness_core.tlog import merkle, tiles
from fairwitness_core.tlog.checkpoint import Checkpoint
from fairwitness_core.tlog.note import Note, VerifierKey, decode_base64
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.verify.log import check_log
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.journal import Event
from fairwitness.witness import services

if TYPE_CHECKING:
    from tests.harness.world import World

FORBIDDEN_COLUMN = re.compile(
    r"(^|_)(lat|lon|lng|latitude|longitude|location|coordinates?|owner|home|household|resident|camera|matched|match|"
    r"seen|read_at|ignored|declined_by|delivered|impressions?|ip|ip_address|remote_addr|user_agent|fingerprint)(_|$)"
)
"""Names that no column of a hub or an agency has. `ip_address` and the like would be a trace of a resident."""

ALLOWED_COLUMNS = {
    ("agency", "agency_notice", "seen_at"),  # an officer saw a notice of the agency's own
}
FORBIDDEN_TABLE = re.compile(r"(owner|household|resident|camera|match|receipt_of|location|device|subscription)")
ALLOWED_TABLES: set[str] = set()
EXPECTED_FAILURES = {"hubunreachable", "refused", "hubrefused", "unreachable"}


@dataclass(slots=True)
class Records:
    """What was seen before, to compare with: heads, ticks by number, promises."""

    heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    ticks: dict[int, bytes] = field(default_factory=dict)
    promises: dict[str, Promise] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


def check_world(world: "World") -> None:
    """Raise AssertionError for the first thing that does not hold."""
    join = JoinFile.parse((world.hub.folder / "feed" / "join.json").read_bytes())
    policy = Policy.parse(join.policy.encode())
    _logs(world, join, policy)
    _ticks(world, join, policy)
    _promises(world, join)
    _custody(world, policy)
    for role in ("hub", "agency"):
        _schema(world, role)
    for name in sorted(world.net.active):
        _journal(world, name)


def _logs(world: "World", join: JoinFile, policy: Policy) -> None:
    """Each ledger as served is whole, grew only, and every witness's head lies in it."""
    for name, vkey in (("p", join.public_log), ("s", join.sealed_log)):
        public = world.hub.folder / "log" / name / "public"
        if not (public / "checkpoint").exists():
            continue
        try:
            head = policy.verify((public / "checkpoint").read_bytes()).checkpoint
        except ProtocolError as error:
            raise AssertionError(f"SERVED WITHOUT A QUORUM: the log {name}: {error}") from error

        def fetch(path: str, public: Any = public) -> bytes:
            return (public / path).read_bytes()

        report = check_log(fetch, policy, VerifierKey.parse(vkey))
        assert report.ok, f"the log {name} does not hold: {report.first_failure}"
        before = world.records.heads.get(head.origin)
        assert before is None or before[0] <= head.size, f"the log {name} shrank"
        assert before is None or before[0] != head.size or before[1] == head.root, f"the log {name} was rewritten"
        world.records.heads[head.origin] = (head.size, head.root)
        for witness in world.stage.witness_folders.values():
            for line in _heads(witness):
                origin, size, root = line
                if origin == head.origin and size <= head.size:
                    assert _root_at(fetch, size) == root, f"{witness.name} cosigned another log than is served"


def _heads(folder: Any) -> list[tuple[str, int, bytes]]:
    config = services.load(folder)
    page = services.logs_page(services.open_store(config), config).decode()
    found = []
    for line in page.splitlines():
        origin, size, root = line.split(" ")
        if int(size):
            found.append((origin, int(size), decode_base64(root, "root")))
    return found


def _root_at(fetch: Any, size: int) -> bytes:
    head = Checkpoint.parse(Note.parse(fetch("checkpoint")).text)
    return merkle.tree_root(size, tiles.node_reader(fetch, head.size))


def _ticks(world: "World", join: JoinFile, policy: Policy) -> None:
    """Every served tick is cosigned, holds what its entry says, follows the one before, and never changes."""
    folder = world.hub.folder / "feed" / "v1" / "all"
    numbers = sorted(int(p.name) for p in folder.glob("*")) if folder.exists() else []
    assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True, "a tick is missing"
    hub_key = PublicKey(join.hub_key)
    fresh = [number for number in numbers if number not in world.records.ticks]
    for number in fresh:
        data = (folder / str(number)).read_bytes()
        (container,) = list(read_containers(data))
        proof = TlogProof.parse(container.proof.encode())
        assert proof.extra is not None
        found = TlogProof(proof.index, proof.path, proof.checkpoint).verify(policy, proof.extra)
        tick = FeedTick.parse(dsse.Envelope.parse(proof.extra).verify(dsse.ENTRY, hub_key))
        assert tick.tick == number, f"tick {number} is signed as {tick.tick}"
        assert tick.root == scope_root(number, container.gzip), f"tick {number} holds something else than its entry says"
        assert found.checkpoint.newest is None or found.checkpoint.newest >= number * join.tick_seconds - 5
        world.records.ticks[number] = data
    for number, data in list(world.records.ticks.items())[-3:]:
        if number in numbers:
            assert (folder / str(number)).read_bytes() == data, f"tick {number} was changed after it was served"
    logged = world.hub.act("tick_rows")
    assert len({number for number, _ in logged}) == len(logged), "one tick number stands twice in the log"


def _promises(world: "World", join: JoinFile) -> None:
    """Whatever the hub promised is there, or was collected, or was taken back by its owner."""
    for message in world.net.messages:
        if message.target == "hub.test" and message.path.endswith("/finalize") and message.status == 200:
            envelope = dsse.unb64(json.loads(message.answer)["promise"], "promise")
            promise = Promise.parse(dsse.Envelope.parse(envelope).verify(dsse.RECEIPT, PublicKey(join.hub_key)))
            world.records.promises[promise.response_id] = promise
        if message.target == "hub.test" and message.path == "/v1/withdrawals" and message.status == 200:
            world.records.withdrawn.add(json.loads(dsse.Envelope.parse(message.body).payload)["response_id"])
    held = {row["response_id"]: row for row in world.hub.act("uploads")}
    here = {rid for rid, _, _ in world.agency.act("responses")}
    for rid in world.records.promises.keys() - world.records.withdrawn - world.records.lost:
        row = held.get(rid)
        assert rid in here or (row is not None and row["state"] == "sealed" and world.held(rid)), (
            f"the hub promised response {rid} and it is nowhere ({row and row['state']})"
        )
        if row is not None and row["state"] == "collected":
            assert rid in here, f"the hub says that response {rid} was collected; the agency does not have it"


def _custody(world: "World", policy: Policy) -> None:
    """Each chain is unbroken, and what opened, changed or handed out anything is proven in the sealed ledger."""
    for rid, _, _ in world.agency.act("responses"):
        before = "0" * 64
        for action, state, envelope, nonce, proof in world.agency.act("custody", rid):
            prev = canonical.decode(dsse.Envelope.parse(envelope).payload)["predicate"]["prev"]
            assert prev == before, f"the chain of {rid} is broken at {action}"
            before = _sha256(envelope)
            if state == "proven":
                assert proof is not None
                TlogProof.parse(proof).verify(policy, custody.commitment(nonce, envelope))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _schema(world: "World", role: str) -> None:
    for table, columns in world.net.nodes[role].call("tests.harness.acts.schema").items():
        assert table in ALLOWED_TABLES or not FORBIDDEN_TABLE.search(table), f"{role} has a table {table}"
        for column in columns:
            allowed = (role, table, column) in ALLOWED_COLUMNS or table.startswith(
                ("accounts_", "account_", "django_", "mfa_", "auth")
            )
            assert allowed or not FORBIDDEN_COLUMN.search(column), f"{role} has a column {table}.{column}"


def _journal(world: "World", name: str) -> None:
    """Only declared events with declared fields, no dropped one, no defect."""
    declared = {event.label: event.fields for event in Event}
    for line in world.net.nodes[name].call("tests.harness.acts.journal"):
        fields = declared[line["event"]]
        extra = set(line) - set(fields) - {"at", "event"}
        assert not extra, f"{name} logged {sorted(extra)} with {line['event']}"
        if line["event"] in ("defect", "job_failed"):
            assert line["error"] in EXPECTED_FAILURES, f"{name}: {line}"
