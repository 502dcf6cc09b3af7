"""What each page is told, as plain data: counts and lists that follow from the log's history and nothing else."""

import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import h3
from fairwitness_core.model.agency import AgencyAuthorized, AgencySuspended, KeyRotated
from fairwitness_core.model.hub import PolicyChanged
from fairwitness_core.rules.history import STATES, AgencyHistory, History, RequestHistory
from fairwitness_core.wire import canonical

from fairwitness.kit.public.books import Books

PAGE = 100
"""Requests of an older page of a list; the newest page has up to twice as many."""
_MAP_PAST = 60
_MAP_CELLS = 1500
_MONTHS = 12
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Row:
    """One request as lists show it. `data`: its canonical JSON; `key` changes with anything that is shown of it."""

    id: str
    agency: str
    state: str
    month: str
    data: bytes
    key: str
    brief: dict[str, Any]
    order: tuple[int, str]


def month_of(at: int) -> str:
    """Return the UTC month of Unix seconds, as 2026-11."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def row_of(found: RequestHistory, history: History) -> Row:
    """Return a request as it stands at the log's own time."""
    value = found.row(history.at)
    data = canonical.encode(value)
    agency = history.agencies.get(found.agency)
    name = agency.record.authorized.name if agency else found.agency
    text = " ".join(value.get("msg", "").split())
    brief = {
        "id": found.id, "agency": found.agency, "agency_name": name, "offense": found.offense, "state": value["state"],
        "logged_at": found.logged_at, "text": text if len(text) <= 160 else f"{text[:157]}...", "rule": found.refused,
        "fault": found.fault, "emergency": found.emergency, "cells": len(value.get("area", ())),
    }  # fmt: skip
    key = hashlib.sha256(data + name.encode()).hexdigest()[:24]
    month = month_of(found.logged_at)
    return Row(found.id, found.agency, value["state"], month, data, key, brief, (found.first.index, found.id))


def is_shown(found: RequestHistory) -> bool:
    """Tell whether it is a request at all: notes about one that was neither published nor refused are counted, not listed."""
    return found.request is not None or bool(found.refused)


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many requests there are of each state, all of them, and published ones."""
    found = Counter(row.state for row in rows)
    total = sum(found.values())
    return {**{state: found[state] for state in STATES}, "all": total, "published": total - found["refused"]}


def months(rows: Iterable[Row], until: str) -> list[dict[str, Any]]:
    """Return published and refused by month, for the last months up to `until`, those without any too."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row.month]["refused" if row.state == "refused" else "published"] += 1
    year, month = int(until[:4]), int(until[5:])
    names = []
    for back in reversed(range(_MONTHS)):
        y, m = divmod(year * 12 + month - 1 - back, 12)
        names.append(f"{y:04}-{m + 1:02}")
    return [{"month": name, "published": found[name]["published"], "refused": found[name]["refused"]} for name in names]


def chunks(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Cut a list, oldest first, into pages whose older ones never change their members when something new comes."""
    full = max(0, len(rows) // PAGE - 1)
    return [*(rows[i * PAGE : (i + 1) * PAGE] for i in range(full)), rows[full * PAGE :]]


def drawn(rows: Sequence[Row], history: History) -> dict[str, Any]:
    """Return the map of all areas: open and recent ones each with its link, all older ones together, coarser where many."""
    areas: list[dict[str, Any]] = []
    older: set[str] = set()
    recent = 0
    for row in reversed(rows):
        request = history.requests[row.id].request
        if request is None:
            continue
        kind = "request" if row.state == "open" else "past"
        if kind == "past" and recent >= _MAP_PAST:
            older |= set(request.area)
            continue
        recent += kind == "past"
        label = f"{row.brief['agency_name']}, {row.month}"
        areas.append({"cells": list(request.area), "kind": kind, "label": label, "href": f"requests/{row.id}.html"})
    resolution = 9
    while len(older) > _MAP_CELLS and resolution > 4:
        resolution -= 1
        older = {h3.cell_to_parent(cell, resolution) for cell in older}
    if older:
        areas.append({"cells": sorted(older), "kind": "past", "label": "", "href": ""})
    return {"areas": areas[::-1]}


def cover(cells: Iterable[str]) -> dict[str, Any]:
    """Return the map of a compacted cover: cells of one size make one area."""
    sizes: dict[int, list[str]] = defaultdict(list)
    for cell in cells:
        sizes[h3.get_resolution(cell)].append(cell)
    return {"areas": [{"cells": sorted(found), "kind": "past"} for _, found in sorted(sizes.items())]}


def moderation(history: History) -> dict[str, Any]:
    """Return how moderators worked: the median time from the officers' date to their decision, how many decide together."""
    since = history.at - 90 * _DAY
    times, most, least = [], 0, 0
    for one in history.requests.values():
        if one.request is None or not one.approved_at:
            continue
        most = max(most, one.moderators)
        least = min(least or one.moderators, one.moderators)
        if one.approved_at >= since:
            times.append(max(0, one.approved_at - one.request.at))
    emergencies = [one for one in history.requests.values() if one.emergency and one.request is not None]
    return {
        "decisions": len(times), "median": int(statistics.median(times)) if times else None, "least": least, "most": most,
        "emergencies": len(emergencies), "reviewed": sum(one.reviewed for one in emergencies),
        "unreviewed": sum(one.outcome == "emergency_unreviewed" for one in emergencies),
    }  # fmt: skip


def agency_brief(one: AgencyHistory, rows: Sequence[Row], at: int) -> dict[str, Any]:
    """Return what lists and JSON say of an agency."""
    said = one.record.authorized
    officers = [key for key in one.record.keys if key.use == "officer"]
    return {
        "id": one.id, "name": said.name, "ori": said.ori, "state": said.state, "level": said.level, "federal": said.federal,
        "standing": one.standing(at), "since": one.since, "expires": said.expires, "vouched": list(said.vouched),
        "suspended_at": one.suspended_at if one.record.suspended else 0,
        "suspended_for": one.suspended_for if one.record.suspended else "",
        "jurisdiction_sha256": said.jurisdiction_sha256, "officers": sum(key.not_after > at for key in officers),
        "keys": [{"kid": key.kid, "use": key.use, "not_after": key.not_after} for key in one.record.keys],
        "counts": counts(rows),
        "entries": [{"index": e.index, "kind": e.document.TYPE, "at": e.at, "leaf": e.leaf.hex()} for e in one.entries],
    }  # fmt: skip


def agency_history(one: AgencyHistory) -> list[dict[str, Any]]:
    """Return what the log said of an agency, in order."""
    found: list[dict[str, Any]] = []
    for entry in one.entries:
        said: dict[str, Any] = {"index": entry.index, "at": entry.at, "kind": entry.document.TYPE}
        match entry.document:
            case AgencyAuthorized() as document:
                said |= {"vouched": list(document.vouched), "expires": document.expires}
            case AgencySuspended() as document:
                said |= {"reason": document.reason}
            case KeyRotated() as document:
                said |= {"added": len(document.add), "removed": len(document.remove)}
        found.append(said)
    return found


def policies(history: History) -> list[dict[str, Any]]:
    """Return the changes of the hub's own rules, newest first."""
    found = []
    for entry in reversed(history.policies):
        one = entry.document
        if isinstance(one, PolicyChanged):
            found.append(
                {"index": entry.index, "kind": one.kind, "text": one.text, "at": one.at, "effective_at": one.effective_at}
            )
    return found


def legal(history: History) -> list[dict[str, Any]]:
    """Return what was demanded of the hub's keepers, newest month first."""
    return [
        {
            "month": f"{one.month[:4]}-{one.month[4:]}", "asked": sum(count.asked for count in one.counts),
            "given": sum(count.sealed_bytes_given for count in one.counts),
            "counts": [{"kind": count.kind, "asked": count.asked, "given": count.sealed_bytes_given} for count in one.counts],
        }
        for one in reversed(history.legal)
    ]  # fmt: skip


def same_hands(history: History) -> list[dict[str, str]]:
    """Return the agencies whose own name, or a voucher's, is that of the hub's operator: one organisation in several roles."""
    operator = _plain(history.genesis.name) if history.genesis else ""
    found = []
    for one in history.agencies.values():
        said = one.record.authorized
        if _plain(said.name) == operator:
            found.append({"agency": one.id, "name": said.name, "how": "asks"})
        elif operator in map(_plain, said.vouched):
            found.append({"agency": one.id, "name": said.name, "how": "vouches"})
    return sorted(found, key=lambda item: item["agency"])


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def summary(books: Books, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the numbers of the whole log and where they stand."""
    history, head = books.history, books.head
    if head is None or history.genesis is None:
        raise ValueError("nothing was read yet")
    ticks = history.ticks
    return {
        "hub": {
            "name": history.genesis.name, "state": history.genesis.state, "url": books.join.url, "genesis": books.join.genesis,
        },
        "as_of": {
            "tick": head.tick, "at": history.at, "entries": history.size, "log": head.checkpoint.origin,
            "size": head.checkpoint.size, "root": head.checkpoint.root.hex(),
            "witnesses": [{"name": name, "at": at} for name, at in head.times],
        },
        "requests": counts(rows),
        "agencies": dict(sorted(Counter(one.standing(history.at) for one in history.agencies.values()).items())),
        "ticks": {"count": ticks.count, "late": ticks.late, "missing": ticks.missing, "seconds": history.pin.tick_seconds},
        "inbox": {
            "days": len(history.epochs), "leaves": sum(epoch.leaves for epoch in history.epochs),
            "newest": history.epochs[-1].day if history.epochs else "",
        },
        "moderation": moderation(history),
        "legal": legal(history),
        "kinds": dict(sorted(history.kinds.items())),
        "unknown": dict(sorted(history.unknown.items())),
        "faulty": history.faulty,
        "faults": [{"index": index, "kind": kind, "rule": rule} for index, kind, rule in history.faults],
    }  # fmt: skip
