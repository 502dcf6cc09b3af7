"""Collecting responses on a fixed beat, whether or not there are any.

A response moves: on the hub -> on the spool (hash checked) -> opened, checked, re-sealed, placed -> in the database with its
first custody link and its status, one transaction -> acknowledged, whereupon the hub unlinks it. A crash at any point is
resumed by the next beat; nothing is acknowledged before it is durable here.
"""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairwitness_core.model.response import MAX_RESPONSE
from fairwitness_core.rules import states
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import Clip, Mark, Notice, Request, Response, Withdrawal
from fairwitness.agency.services import custody, hubcalls, intake, node, status, vault
from fairwitness.kit import database, files
from fairwitness.kit.journal import Event, log

_HASH = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"[0-9]{8}")
_LAST = "collect"
_TRIES = 3


@dataclass(slots=True)
class Collected:
    """What one round did, as response ids: `kept` stay with the hub because they could not be taken now."""

    collected: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Item:
    """One response waiting at the hub, as it lists it."""

    response_id: str
    sealed: str
    size: int
    tick: int
    inbox_day: str

    @classmethod
    def read(cls, value: Any) -> "Item":
        """Read one row of the hub's list; raises HubUnreachable for another shape."""
        if not isinstance(value, dict):
            raise hubcalls.HubUnreachable("its inbox holds something else than responses")
        found = cls(
            hubcalls.text_of(value, "response_id"),
            hubcalls.text_of(value, "sealed"),
            hubcalls.number_of(value, "size"),
            hubcalls.number_of(value, "tick"),
            hubcalls.text_of(value, "inbox_day"),
        )
        plain = _HASH.fullmatch(found.response_id) and _HASH.fullmatch(found.sealed) and _DAY.fullmatch(found.inbox_day)
        if not plain or not 0 < found.size <= MAX_RESPONSE:
            raise hubcalls.HubUnreachable("its inbox holds something else than responses")
        return found


def beat(now: int) -> Collected | None:
    """Collect if a slot has come: the ordinary beat, or the faster one while an emergency request of ours is live.

    Both are public facts; whether anybody answered changes neither (P1, P2).
    """
    every = every_seconds(now)
    last = Mark.objects.filter(name=_LAST).first()
    if last is not None and now // every <= last.value // every:
        return None
    Mark.objects.update_or_create(name=_LAST, defaults={"value": now})
    return run(now)


def run(now: int) -> Collected:
    """Fetch, open, check, keep and acknowledge everything that waits. Raises HubRefused, HubUnreachable, DiskFull.

    One response that fails does not stop the others.
    """
    done = Collected()
    _clear_leftovers()
    listed = [Item.read(value) for value in hubcalls.list_of(hubcalls.call("inbox_list", {}), "responses")]
    waiting = {item.response_id for item in listed}
    _forget_spool(waiting)
    # What the hub lists no more it has unlinked, also where its answer to our word for it was lost.
    Response.objects.filter(acknowledged=False).exclude(pk__in=waiting).update(acknowledged=True)
    for item in sorted(listed, key=lambda one: one.response_id):
        _one(item, now, done)
    if done.collected or done.quarantined:
        log(Event.RESPONSES_COLLECTED, count=len(done.collected) + len(done.quarantined))
        custody.try_settle()
    return done


def _one(item: Item, now: int, done: Collected) -> None:
    existing = Response.objects.filter(pk=item.response_id).first()
    if existing is not None:
        if existing.sealed == item.sealed:
            _acknowledge(existing)
        else:
            log(Event.MESSAGE_REFUSED, kind="inbox", code="inbox.changed")
            done.kept.append(item.response_id)
        return
    if Withdrawal.objects.filter(response_id=item.response_id).exists():
        done.gone.append(item.response_id)  # taken back before we had it: never fetched
        return
    spool = _spool(item.response_id)
    if not _fetch(item, spool, done):
        return
    request: Request | None = None
    try:
        request, identity = intake.owner_of(spool)
        taken = intake.take(spool, item.response_id, request, identity)
    except ProtocolError as error:
        _quarantine(item, spool, request, error.code, now)
        done.quarantined.append(item.response_id)
        return
    except intake.IntakeFailed:
        if _tries(spool) >= _TRIES:
            _quarantine(item, spool, request, "intake.failed", now)
            done.quarantined.append(item.response_id)
        else:
            done.kept.append(item.response_id)
        return
    intake.place(taken, item.response_id)
    if _keep(item, taken, now):
        done.collected.append(item.response_id)
    else:
        _drop(item.response_id)
        done.gone.append(item.response_id)
    spool.unlink(missing_ok=True)
    _tries_file(spool).unlink(missing_ok=True)


def _fetch(item: Item, spool: Path, done: Collected) -> bool:
    """Bring one ciphertext to the spool; tell whether it is there with the promised size and hash."""
    if spool.exists() and _digest(spool) == item.sealed:
        return True
    part = spool.with_suffix(".part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.PRIVATE_FILE)
    digest = hashlib.sha256()

    def sink(chunk: bytes) -> None:
        with files.disk_errors("a response"):
            files.write_all(handle, chunk)
        digest.update(chunk)

    try:
        hubcalls.fetch_sealed(item.response_id, sink, size=item.size)
        with files.disk_errors("a response"):
            os.fsync(handle)
    except hubcalls.HubRefused as error:
        part.unlink(missing_ok=True)
        (done.gone if error.status == 404 else done.kept).append(item.response_id)
        return False
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    if digest.hexdigest() != item.sealed:
        # Not what the hub promised the owner: not ours to judge as a response, and not acknowledged.
        part.unlink(missing_ok=True)
        log(Event.MESSAGE_REFUSED, kind="inbox", code="inbox.hash")
        done.kept.append(item.response_id)
        return False
    part.rename(spool)
    files.sync_folder(spool.parent)
    return True


@database.durable
def _store(item: Item, taken: intake.Intake, now: int) -> Response | None:
    """Write the response, its first custody link and its status as one; None if its owner took it back meanwhile."""
    if Withdrawal.objects.filter(response_id=item.response_id).exists():
        return None
    ended = taken.request.ended_at if taken.request.ended_at is not None else taken.request.expires_at
    response = Response.objects.create(
        id=item.response_id,
        request=taken.request,
        state=states.advance(states.EVIDENCE, "fetched", "open"),
        sealed=item.sealed,
        size=item.size,
        tick=item.tick,
        inbox_day=item.inbox_day,
        collected_at=now,
        manifest_sha256=hashlib.sha256(taken.manifest).hexdigest(),
        manifest_size=len(taken.manifest),
        until=taken.until,
        late=item.tick * node.hub().tick_seconds > ended,
        about=taken.about,
        mode=taken.mode,
    )
    for clip in taken.clips:
        Clip.objects.create(
            response=response, name=clip.name, sha256=clip.sha256, size=clip.bytes, seconds=max(0, clip.end - clip.start)
        )
    custody.record(response, "collected", purpose=custody.NO_PURPOSE, subjects=custody.subjects_of(response, sealed=True))
    status.push(response, "collected")
    return response


def _keep(item: Item, taken: intake.Intake, now: int) -> bool:
    response = _store(item, taken, now)
    if response is None:
        return False
    _acknowledge(response)
    return True


def _quarantine(item: Item, spool: Path, request: Request | None, code: str, now: int) -> None:
    """Keep what failed as it came, sealed, never shown; say so to whoever sent it."""
    node.shred(node.key_file("responses", item.response_id))
    vault.quarantine(spool, item.response_id)
    response = _store_quarantined(item, request, code, now)
    log(Event.MESSAGE_REFUSED, kind="response", code=code)
    _acknowledge(response)


@database.durable
def _store_quarantined(item: Item, request: Request | None, code: str, now: int) -> Response:
    response = Response.objects.create(
        id=item.response_id,
        request=request,
        state=states.advance(states.EVIDENCE, "fetched", "fail"),
        sealed=item.sealed,
        size=item.size,
        tick=item.tick,
        inbox_day=item.inbox_day,
        collected_at=now,
        reason=code,
    )
    custody.record(
        response, "quarantined", purpose=f"failed a check: {code}", subjects=custody.subjects_of(response, sealed=True)
    )
    status.push(response, "collected", f"It arrived but failed a check ({code}). It is kept sealed and nobody has seen it.")
    Notice.objects.create(kind="quarantined", request=request, response=response, at=now)
    return response


def _acknowledge(response: Response) -> None:
    """Let the hub unlink what is durable here. If it cannot be told now, the next beat tells it."""
    try:
        hubcalls.call("inbox_ack", {"response_ids": [response.id]})
    except (hubcalls.HubRefused, hubcalls.HubUnreachable):
        log(Event.PEER_UNREACHABLE, peer="hub")
        return
    Response.objects.filter(pk=response.pk).update(acknowledged=True)


def _drop(response_id: str) -> None:
    node.shred(node.key_file("responses", response_id))
    vault.drop(response_id)


def _spool(response_id: str) -> Path:
    return node.settings().folder("spool") / f"{response_id}.age"


def _tries_file(spool: Path) -> Path:
    return spool.with_suffix(".tries")


def _tries(spool: Path) -> int:
    path = _tries_file(spool)
    count = (int(path.read_text("ascii")) if path.exists() else 0) + 1
    files.write_atomic(path, str(count).encode())
    return count


def _clear_leftovers() -> None:
    """Remove what an interrupted round left: unfinished folders, and evidence and keys that no row names."""
    intake.clear_leftovers()
    for response_id in vault.held():
        if not Response.objects.filter(pk=response_id).exists():
            _drop(response_id)
    for entry in node.settings().folder("keys", "responses").glob("*.key"):
        if not Response.objects.filter(pk=entry.stem).exists():
            node.shred(entry)
    for folder in node.settings().folder("keys").iterdir():
        for entry in folder.glob(f".*{node.DOOMED}") if folder.is_dir() else ():
            node.shred(entry)


def _forget_spool(listed: set[str]) -> None:
    """Remove from the spool what no longer waits: withdrawn in between, or kept already."""
    for entry in node.settings().folder("spool").iterdir():
        if entry.name.split(".")[0] not in listed:
            entry.unlink()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def every_seconds(now: int) -> int:
    """Return how far apart collections are now, in seconds."""
    settings = node.settings()
    emergency = Request.objects.filter(emergency=True, state="published", expires_at__gt=now).exists()
    return min(settings.collect_seconds, settings.emergency_collect_seconds) if emergency else settings.collect_seconds


def next_round(now: int) -> int:
    """Return when responses are collected next, Unix seconds: at the next whole multiple of the beat, responses or none."""
    every = every_seconds(now)
    last = last_round()
    due = last is None or now // every > last // every
    return now if due else (now // every + 1) * every


def last_round() -> int | None:
    """Return when responses were last collected, Unix seconds, or None."""
    found = Mark.objects.filter(name=_LAST).first()
    return found.value if found else None
