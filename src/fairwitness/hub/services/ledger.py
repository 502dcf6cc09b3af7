"""The projection of the public log into rows, and readers of both ledgers. The files are the truth; this can be redone."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import transaction
from fairwitness_core.model import agency as agencies
from fairwitness_core.model import request as requests
from fairwitness_core.model.directory import DIRECTORY_TYPES
from fairwitness_core.model.document import kind_of
from fairwitness_core.model.hub import FeedTick, InboxEpoch
from fairwitness_core.tlog.note import VerifierKey
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import (
    Agency,
    DirectoryLine,
    InboxDay,
    LogEntry,
    Mark,
    PendingEntry,
    Request,
    SealedPending,
    Tick,
)
from fairwitness.hub.services import identity
from fairwitness.hub.services.directory import sha256_hex
from fairwitness.kit.logstore import LogReader, LogStore

FEED_KINDS = frozenset(
    {
        requests.Request.TYPE, requests.RequestWithdrawn.TYPE, requests.RequestExtended.TYPE, requests.RequestResolved.TYPE,
        InboxEpoch.TYPE, *DIRECTORY_TYPES,
    }
)  # fmt: skip
_CHUNK = 512


def mark(name: str) -> int:
    """Return the counter `name`, 0 where it was never set."""
    row = Mark.objects.filter(name=name).first()
    return row.number if row else 0


def set_mark(name: str, number: int, text: str = "") -> None:
    """Set the counter `name`."""
    Mark.objects.update_or_create(name=name, defaults={"number": number, "text": text})


def reader(log: str) -> LogReader:
    """Return a reader of the ledger `p` or `s`; raises LogError before the sequencer first opened it."""
    return _reader(identity.log_folder(log), identity.load().vkey(log).encode())


@functools.lru_cache(maxsize=8)
def _reader(folder: Path, vkey: str) -> LogReader:
    key = VerifierKey.parse(vkey)
    return LogReader.open(folder, key.name, key)


def forget_readers() -> None:
    """Close cached readers, after a log's folder was replaced."""
    _reader.cache_clear()


def catch_up(store: LogStore) -> None:
    """Project every public entry that has no row yet; each chunk is one transaction."""
    done = mark("projected_p")
    while done < store.size:
        upto = min(store.size, done + _CHUNK)
        with transaction.atomic():
            rows = [project(index, data) for index, data in enumerate(store.entries(done, upto), done)]
            LogEntry.objects.bulk_create(rows, ignore_conflicts=True)  # a row is written once: an entry never changes
            _settle_queue({row.sha256: row.index for row in rows})
            set_mark("projected_p", upto)
        done = upto


def catch_up_sealed(store: LogStore) -> None:
    """Note where each commitment of the sealed ledger stands."""
    done = mark("projected_s")
    while done < store.size:
        upto = min(store.size, done + _CHUNK)
        with transaction.atomic():
            for index, data in enumerate(store.entries(done, upto), done):
                SealedPending.objects.filter(commitment=data, index=None).update(index=index)
            set_mark("projected_s", upto)
        done = upto


def project(index: int, data: bytes) -> LogEntry:
    """Write the rows that follow from public entry `index` and return its own, not saved. Again changes nothing."""
    digest = sha256_hex(data)
    try:
        value = canonical.decode(dsse.Envelope.parse(data).payload)
        kind, _ = kind_of(value)
    except ProtocolError:
        # Nothing admits such an entry; should one be there all the same, it is permanent, and the log must go on behind it.
        return LogEntry(index=index, sha256=digest, kind="unreadable")
    if kind == FeedTick.TYPE:
        if not Tick.objects.filter(number=value["tick"]).update(sha256=digest, index=index, state="appended"):
            Tick.objects.create(number=value["tick"], sha256=digest, index=index, state="appended")
        return LogEntry(index=index, sha256=digest, kind=kind)
    if kind in DIRECTORY_TYPES:
        DirectoryLine.objects.get_or_create(index=index, defaults={"envelope": data})
    match kind:
        case requests.Request.TYPE:
            _project_request(index, data, requests.Request.from_document(value))
        case requests.RequestWithdrawn.TYPE:
            Request.objects.filter(id=value["request_id"]).update(state="withdrawn", withdrawn_index=index, review_due=None)
        case requests.RequestExtended.TYPE | requests.RequestResolved.TYPE:
            _project_change(index, kind, value)
        case requests.RequestRefused.TYPE:
            refused = requests.RequestRefused.from_document(value)
            Request.objects.get_or_create(
                id=refused.request_id,
                defaults={
                    "agency": refused.agency, "case": "", "offense": refused.offense, "envelope": b"", "envelope_sha256": "",
                    "state": "refused", "emergency": False, "rule": refused.rule, "submitted_at": refused.at,
                    "expires": refused.at,
                },
            )  # fmt: skip
        case requests.ModerationAction.TYPE:
            if value["action"] == "reviewed":
                Request.objects.filter(id=value["request_id"]).update(review_due=None)
        case agencies.AgencyAuthorized.TYPE:
            _project_agency(agencies.AgencyAuthorized.from_document(value))
        case agencies.AgencySuspended.TYPE:
            Agency.objects.filter(agency=value["agency"]).update(suspended=True)
        case InboxEpoch.TYPE:
            epoch = InboxEpoch.from_document(value)
            InboxDay.objects.get_or_create(day=epoch.day, defaults={"root": epoch.root, "leaves": epoch.leaves})
        case _:
            pass
    return LogEntry(index=index, sha256=digest, kind=kind)


def _settle_queue(indexes: dict[str, int]) -> None:
    """Say of queued envelopes where they stand now."""
    found = list(PendingEntry.objects.filter(sha256__in=indexes).only("id", "sha256"))
    for row in found:
        row.state, row.log_index = "appended", indexes[row.sha256]
    PendingEntry.objects.bulk_update(found, ["state", "log_index"], batch_size=100)


def _project_request(index: int, data: bytes, document: requests.Request) -> None:
    if Request.objects.filter(id=document.id, log_index=None).update(log_index=index):
        return
    Request.objects.get_or_create(
        id=document.id,
        defaults={
            "agency": document.agency, "case": document.case, "offense": document.offense, "envelope": data,
            "envelope_sha256": sha256_hex(data), "state": "approved", "emergency": document.emergency,
            "submitted_at": document.at, "expires": document.expires, "log_index": index,
        },
    )  # fmt: skip


def _project_change(index: int, kind: str, value: Mapping[str, Any]) -> None:
    """Note a request's extension or outcome; the first of each in the log is the one that counts, here as in homes."""
    row = Request.objects.filter(id=value["request_id"], agency=value["agency"])
    if kind == requests.RequestExtended.TYPE:
        row.filter(extended_index=None).update(expires=value["expires"], extended_index=index)
    else:
        row.filter(resolved_index=None).update(state="resolved", resolved_index=index, review_due=None)


def _project_agency(document: agencies.AgencyAuthorized) -> None:
    Agency.objects.update_or_create(
        agency=document.agency,
        defaults={
            "name": document.name, "state": document.state, "level": document.level, "federal": document.federal,
            "polygon_sha256": document.jurisdiction_sha256, "expires": document.expires, "suspended": False,
        },
    )  # fmt: skip


def settle(cosigned: int) -> None:
    """Say of requests and ticks below the served size `cosigned` that witnesses saw them."""
    Request.objects.filter(state="approved", log_index__lt=cosigned).update(state="published")
    Tick.objects.filter(state="appended", index__lt=cosigned).update(state="cosigned")


def forget_rows() -> None:
    """Empty the projection; `catch_up` makes it again from the files."""
    with transaction.atomic():
        for table in (LogEntry, DirectoryLine, Tick, InboxDay, Agency):
            table.objects.all().delete()
        Request.objects.exclude(state__in=("submitted", "approved", "refused")).update(state="approved")
        PendingEntry.objects.filter(state="appended").update(state="queued", log_index=None)
        SealedPending.objects.update(index=None)
        Mark.objects.filter(name__in=("projected_p", "projected_s")).delete()
