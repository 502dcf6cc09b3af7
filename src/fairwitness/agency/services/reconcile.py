"""Does what we hold agree with what the hub received? A day's accounts, from files that a court can check without us.

protocol.md 5.4: the hub's daily root binds one leaf for every response it promised to keep; hub and agency each open
their list; what one has and the other has not is named. `judge` needs nothing but the files (P17, T19).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.feed import read_containers
from fairwitness_core.model.hub import InboxEpoch, JoinFile
from fairwitness_core.model.response import Promise
from fairwitness_core.rules.inbox import inbox_leaf, inbox_root
from fairwitness_core.tlog.note import VerifierKey
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import Response
from fairwitness.agency.services import hubcalls, node
from fairwitness.kit import files
from fairwitness.kit.errors import Refused

_SEARCH_DAYS = 3
_HASH = re.compile(r"[0-9a-f]{64}")
NAMES = ("agency.json", "hub.json", "leaves", "epoch.entry.json", "epoch.tlog-proof", "join.json")


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement: a code, a sentence, and the response that it is about (empty for the whole day)."""

    code: str
    message: str
    response_id: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A day's accounts: the files by name (see NAMES) and what disagrees; nothing does when `findings` is empty."""

    day: str
    files: dict[str, bytes]
    findings: tuple[Finding, ...]


def own_list(day: str) -> bytes:
    """Return what this agency received of a day's inbox, as canonical JSON: quarantined and destroyed ones too."""
    rows = [
        {"response_id": row.id, "sealed": row.sealed, "state": row.state, "tick": row.tick}
        for row in Response.objects.filter(inbox_day=day).order_by("id")
    ]
    return canonical.encode({"agency": node.agency_id(), "day": day, "responses": rows})


def day_report(day: str, promises: Iterable[bytes] = ()) -> Report:
    """Gather a day's files and judge them; `day` is yyyymmdd, UTC. Raises Refused while the hub has not closed the day."""
    listed = hubcalls.list_of(hubcalls.call("inbox_accounting", {"day": day}), "responses")
    _rows({"responses": listed})
    waiting = [
        hubcalls.text_of(row, "response_id")
        for row in hubcalls.list_of(hubcalls.call("inbox_list", {}), "responses")
        if isinstance(row, dict) and row.get("inbox_day") == day
    ]
    entry, proof = _epoch(day)
    found = {
        "agency.json": own_list(day),
        "hub.json": canonical.encode({"day": day, "responses": listed, "waiting": sorted(waiting)}),
        "leaves": hubcalls.get(f"/feed/v1/inbox/{day}"),
        "epoch.entry.json": entry,
        "epoch.tlog-proof": proof,
        "join.json": node.join_path().read_bytes(),
    }
    return Report(day, found, judge(found, promises))


def write(report: Report, out: Path) -> None:
    """Write a report's files and its findings to the new folder `out`."""
    files.private_dir(out)
    for name, data in report.files.items():
        files.write_atomic(out / name, data)
    found = [{"code": f.code, "message": f.message, "response_id": f.response_id} for f in report.findings]
    files.write_atomic(out / "findings.json", canonical.encode({"day": report.day, "findings": found}))


def read(folder: Path) -> dict[str, bytes]:
    """Read back what `write` wrote, for a judge who has only the folder."""
    return {name: (folder / name).read_bytes() for name in NAMES}


def judge(found: dict[str, bytes], promises: Iterable[bytes] = ()) -> tuple[Finding, ...]:
    """Compare the two lists with the day's cosigned root, and owners' promises with all three. Pure.

    1. the day's entry is the hub's and stands in the log of the join file under its quorum; 2. the leaves make its root;
    3. each response that either side lists is among the leaves, as listed; 4. the hub's list and the agency's are the same,
    but for what still waits at the hub; 5. each promise that an owner shows is kept by hub and agency. Whatever fails is a
    finding. The join file is trusted: a judge takes it from elsewhere. Raises ProtocolError for files that cannot be read.
    """
    join = JoinFile.parse(found["join.json"])
    own, hub = canonical.decode(found["agency.json"]), canonical.decode(found["hub.json"])
    findings: list[Finding] = []
    # 1.
    entry = found["epoch.entry.json"]
    epoch = InboxEpoch.parse(dsse.Envelope.parse(entry).verify(dsse.ENTRY, PublicKey(join.hub_key)))
    logged = TlogProof.parse(found["epoch.tlog-proof"]).verify(Policy.parse(join.policy.encode()), entry)
    ours, theirs, waiting = _rows(own), _rows(hub), _waiting(hub)
    if logged.checkpoint.checkpoint.origin != VerifierKey.parse(join.public_log).name or epoch.day != own.get("day"):
        raise ProtocolError("reconcile.epoch", "the entry is of another log or another day")
    # 2.
    data = found["leaves"]
    leaves = [data[at : at + 32] for at in range(0, len(data), 32)]
    if len(leaves) != epoch.leaves or inbox_root(leaves) != epoch.root:
        findings.append(Finding("root", "The hub's published leaves are not those of its logged root."))
    known = set(leaves)
    # 3.
    for side, rows in (("agency", ours), ("hub", theirs)):
        findings += [
            Finding(f"{side}_unlisted", f"The {side} lists a response that is not in the day's root.", rid)
            for rid, row in sorted(rows.items())
            if inbox_leaf(rid, row["sealed"], row["tick"]) not in known
        ]
    # 4.
    findings += _differences(ours, theirs, waiting)
    # 5.
    for promise in promises:
        findings += _promise(promise, join, known, ours, waiting)
    return tuple(findings)


def _rows(listed: Any) -> dict[str, dict[str, Any]]:
    """Return a list's responses by id; whoever wrote it may have written anything. Raises ProtocolError."""
    rows = listed.get("responses") if isinstance(listed, dict) else None
    if not isinstance(rows, list):
        raise ProtocolError("reconcile.list", "a list of responses was expected")
    for row in rows:
        plain = isinstance(row, dict) and all(isinstance(row.get(name), str) for name in ("response_id", "sealed"))
        if not plain or not all(_HASH.fullmatch(row[name]) for name in ("response_id", "sealed")):
            raise ProtocolError("reconcile.list", "a response is listed by two hashes")
        if type(row.get("tick")) is not int or not 0 <= row["tick"] < 1 << 53:
            raise ProtocolError("reconcile.list", "a response is listed with its tick")
    return {row["response_id"]: row for row in rows}


def _waiting(listed: dict[str, Any]) -> set[str]:
    found = listed.get("waiting")
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ProtocolError("reconcile.list", "what waits is a list of ids")
    return set(found)


def _differences(ours: dict[str, Any], theirs: dict[str, Any], waiting: set[str]) -> list[Finding]:
    found = [
        Finding("missing_at_agency", "The hub handed over a response that the agency does not list.", rid)
        for rid in sorted(set(theirs) - set(ours) - waiting)
    ]
    found += [
        Finding("missing_at_hub", "The agency lists a response that the hub does not.", rid)
        for rid in sorted(set(ours) - set(theirs))
    ]
    found += [
        Finding("changed", "Hub and agency list different bytes for one response.", rid)
        for rid in sorted(set(ours) & set(theirs))
        if (ours[rid]["sealed"], ours[rid]["tick"]) != (theirs[rid]["sealed"], theirs[rid]["tick"])
    ]
    return found


def _promise(envelope: bytes, join: JoinFile, known: set[bytes], ours: dict[str, Any], waiting: set[str]) -> list[Finding]:
    promise = Promise.parse(dsse.Envelope.parse(envelope).verify(dsse.RECEIPT, PublicKey(join.hub_key)))
    found = []
    rid = promise.response_id
    if inbox_leaf(rid, promise.sealed, promise.tick) not in known:
        found.append(Finding("promise_broken", "The hub promised to keep a response that its root does not hold.", rid))
    if rid not in ours and rid not in waiting:
        found.append(Finding("promise_missing_at_agency", "An owner holds a promise for a response nobody lists.", rid))
    return found


def _epoch(day: str) -> tuple[bytes, bytes]:
    """Find the day's `inbox_epoch` entry in the feed of the days after it, and its proof."""
    start = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    for later in range(1, _SEARCH_DAYS + 1):
        name = (start + timedelta(days=later)).strftime("%Y%m%d")
        try:
            data = hubcalls.get(f"/feed/v1/day/all/{name}")
        except hubcalls.HubRefused:
            continue
        index = _index_of(day, data)
        if index is not None:
            return hubcalls.public_entry(index)
    raise Refused(409, "reconcile.open", "The hub has not logged this day's root yet.", "Ask again after the day has ended.")


def _index_of(day: str, rollup: bytes) -> int | None:
    for container in read_containers(rollup):
        for line in container.lines():
            value = canonical.decode(line.envelope.payload)
            if value.get("type") == InboxEpoch.TYPE and value.get("day") == day:
                return line.index
    return None
