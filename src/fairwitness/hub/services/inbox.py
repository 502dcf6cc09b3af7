"""Inbox accounting: no counts for anybody, no lost response (protocol.md 5.4).

Every UTC day gets one file of leaves, sorted, filled up with random ones to a power of two of at least 64, and its root in
the log. An owner with a promise finds the leaf in the file, or has proof that it was suppressed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import transaction
from fairwitness_core.crypto import random
from fairwitness_core.model.hub import InboxEpoch
from fairwitness_core.model.response import ResponseStatus, Withdraw, verify_responder
from fairwitness_core.rules.inbox import inbox_root
from fairwitness_core.wire import dsse

from fairwitness.hub.errors import unknown_upload
from fairwitness.hub.models import InboxDay, InboxLeaf, Status, Upload, WithdrawalNotice
from fairwitness.hub.services import directory as directories
from fairwitness.hub.services import entries, feed, identity, vault
from fairwitness.kit import clock, files
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

MIN_LEAVES = 64
_FORMAT = "%Y%m%d"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A response that its agency has not yet acknowledged."""

    response_id: str
    sealed: str
    size: int
    tick: int
    inbox_day: str


def day_text(unix: int) -> str:
    """UTC day as yyyymmdd."""
    return datetime.fromtimestamp(unix, UTC).strftime(_FORMAT)


def next_day(day: str) -> str:
    """The day after."""
    return (datetime.strptime(day, _FORMAT).replace(tzinfo=UTC) + timedelta(days=1)).strftime(_FORMAT)


def open_day(now: int) -> str:
    """Return the day whose accounting a response finished now enters: today, or the first day not yet closed."""
    day = day_text(now)
    while InboxDay.objects.filter(day=day).exists():
        day = next_day(day)
    return day


def close_days(now: int) -> int:
    """Account for every day that is over, in order, also those without a response; returns how many were closed."""
    last = InboxDay.objects.order_by("-day").first()
    first = InboxLeaf.objects.order_by("day").first()
    begun = day_text(identity.load().document.at)
    day = next_day(last.day) if last else min(begun, first.day if first else begun)
    count = 0
    while day < day_text(now):
        _close(day)
        day = next_day(day)
        count += 1
    return count


def _close(day: str) -> None:
    with transaction.atomic():
        if InboxDay.objects.filter(day=day).exists():
            return
        real = {bytes(leaf) for leaf in InboxLeaf.objects.filter(day=day).values_list("leaf", flat=True)}
        leaves = _file(day, real)
        root = inbox_root(leaves)
        InboxDay.objects.create(day=day, root=root, leaves=len(leaves))
        entries.state(InboxEpoch(day=day, root=root, leaves=len(leaves), at=clock.now()))
        InboxLeaf.objects.filter(day=day).delete()


def _path(day: str) -> Path:
    return feed.root() / "v1" / "inbox" / day


def _file(day: str, real: set[bytes]) -> Sequence[bytes]:
    """Return the day's leaves, its file being on disk. One that an interrupted try left behind is kept if it holds them."""
    path = _path(day)
    if path.exists():
        data = path.read_bytes()
        found = [data[i : i + 32] for i in range(0, len(data), 32)]
        if real.issubset(found):
            return found
    size = MIN_LEAVES
    while size < len(real):
        size *= 2
    leaves = sorted([*real, *(random.token_bytes(32) for _ in range(size - len(real)))])
    files.private_dir(path.parent)
    files.write_atomic(path, b"".join(leaves))
    return leaves


def waiting(agency: str) -> list[Waiting]:
    """Return the agency's own responses that it has not acknowledged, in the order of their ids (not of arrival)."""
    rows = Upload.objects.filter(agency=agency, state="sealed").order_by("response_id")
    return [Waiting(r.response_id, r.sealed, r.size, r.tick or 0, r.inbox_day) for r in rows]


def acknowledge(agency: str, response_ids: Sequence[str]) -> int:
    """The agency has these durably: unlink the ciphertext. Unknown ids are passed over; returns how many were the agency's.

    One that was withdrawn while the agency fetched it becomes a notice: the agency holds a copy now.
    """
    count = 0
    for response_id in response_ids:
        with transaction.atomic():
            row = Upload.objects.filter(response_id=response_id, agency=agency).first()
            if row is None:
                continue
            if row.state == "sealed":
                Upload.objects.filter(response_id=response_id).update(state="collected", collected=True, ended_at=clock.now())
            elif row.state == "withdrawn" and row.sealed and not row.collected:
                Upload.objects.filter(response_id=response_id).update(collected=True)
                _notice(row, bytes(row.withdrawal))
            count += 1
        vault.store().delete(response_id)
    if count:
        log(Event.RESPONSES_COLLECTED, count=count)
    return count


def accounting(agency: str, day: str) -> list[Waiting]:
    """Return the agency's own promises of a UTC day, for reconciliation with the day's root.

    One that was withdrawn before the agency had it is left out: that there was one is not the agency's to know. A court
    that opens all lists finds it among the hub's.
    """
    rows = Upload.objects.filter(agency=agency, inbox_day=day).order_by("response_id")
    return [
        Waiting(r.response_id, r.sealed, r.size, r.tick or 0, r.inbox_day)
        for r in rows
        if r.state in ("sealed", "collected", "expired") or r.collected
    ]


def withdraw(data: bytes) -> None:
    """Take a response back, signed by its key; durable on return. An unknown one gets the same answer.

    Before collection the ciphertext is unlinked; afterwards the agency finds a notice (design.md 9.9). Raises ProtocolError.
    """
    message = verify_responder(Withdraw, data)
    with transaction.atomic():
        row = Upload.objects.filter(response_id=message.response_id).first()
        if row is None:
            return
        if not row.withdrawal:
            Upload.objects.filter(response_id=row.response_id).update(withdrawal=data)
            if row.state in ("open", "sealed"):
                Upload.objects.filter(response_id=row.response_id).update(state="withdrawn", ended_at=clock.now())
            elif row.collected:
                _notice(row, data)
    if row.state in ("open", "sealed", "withdrawn"):
        # Also when it is asked again: the try that wrote the row may have ended before it got here.
        vault.store().delete(row.response_id)


def _notice(row: Upload, envelope: bytes) -> None:
    WithdrawalNotice.objects.get_or_create(response_id=row.response_id, defaults={"agency": row.agency, "envelope": envelope})


def notices(agency: str, after: int, limit: int = 256) -> list[WithdrawalNotice]:
    """Return the agency's withdrawal notices numbered over `after`, in order."""
    return list(WithdrawalNotice.objects.filter(agency=agency, id__gt=after).order_by("id")[:limit])


def put_statuses(agency: str, envelopes: Sequence[bytes]) -> int:
    """Keep the agency's newest signed word about each response; returns how many were newer than what is held.

    Raises ProtocolError for a false signature; Refused for a response that is not the agency's. Nothing is kept then.
    """
    keys = directories.consoles(agency, clock.now())
    count = 0
    with transaction.atomic():
        for data in envelopes:
            envelope = dsse.Envelope.parse(data)
            document = ResponseStatus.parse(envelope.payload)
            signers = envelope.signers(keys)
            if envelope.payload_type != dsse.RECEIPT or not signers or len(signers) != len(envelope.signatures):
                raise Refused(403, "status.signature", "A status is signed by a current key of its agency.")
            if document.agency != agency:
                raise Refused(403, "status.agency", "An agency speaks of its own responses only.")
            if not Upload.objects.filter(response_id=document.response_id, agency=agency).exists():
                raise unknown_upload()
            held = Status.objects.filter(response_id=document.response_id).first()
            if held is not None and (held.at > document.at or bytes(held.envelope) == data):
                continue
            Status.objects.update_or_create(
                response_id=document.response_id, defaults={"agency": agency, "envelope": data, "at": document.at}
            )
            count += 1
    return count


def statuses(response_id: str) -> list[bytes]:
    """Return the newest status envelope of a response, or an empty list, also for one that never was."""
    row = Status.objects.filter(response_id=response_id).first()
    return [bytes(row.envelope)] if row else []
