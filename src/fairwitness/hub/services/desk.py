"""What the hub's staff see of the queue and of the hub's health, drawn from rows and public files."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from fairwitness_core.model.request import ModerationAction
from fairwitness_core.model.request import Request as Document
from fairwitness_core.rules.caps import Assembly, overlaps
from fairwitness_core.tlog import cosignature
from fairwitness_core.tlog.note import Note, VerifierKey
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import PendingEntry, Request, Tick, Upload
from fairwitness.hub.services import directory, feed, identity, local
from fairwitness.kit import clock

_SPAN_S = 90 * 86_400
_TICKS = 60
_OFTEN = 5000


@dataclass(frozen=True, slots=True)
class Times:
    """How long decisions took in the last 90 days, seconds from submission: `median` None where there were none."""

    decided: int
    median: float | None
    slowest: float | None


def times(now: int) -> Times:
    """Return how long moderators took, emergencies apart: they are looked at after publication."""
    rows = PendingEntry.objects.filter(kind=ModerationAction.TYPE, at__gt=now - _SPAN_S).order_by("-at")[:_OFTEN]
    acts = [ModerationAction.parse(dsse.Envelope.parse(bytes(row.envelope)).payload) for row in rows]
    decided = {act.request_id: act.at for act in acts if act.action in ("approved", "refused")}
    submitted = dict(Request.objects.filter(id__in=decided, emergency=False).values_list("id", "submitted_at"))
    took = [decided[pk] - at for pk, at in submitted.items()]
    return Times(len(took), statistics.median(took) if took else None, max(took) if took else None)


def document(row: Request) -> Document:
    """Return what the agency signed."""
    return Document.parse(dsse.Envelope.parse(bytes(row.envelope)).payload)


def overlapping(asked: Document) -> Sequence[Assembly]:
    """Return the listed assemblies that a request touches in place and time."""
    return [one for one in local.assemblies() if overlaps(asked, one)]


def dwellings(asked: Document) -> int | None:
    """Return how many dwellings the area holds, None where no census file is set."""
    count = local.dwellings()
    return count(asked.area) if count else None


def earlier(row: Request) -> Sequence[Request]:
    """Return the agency's other requests, the newest first."""
    return list(Request.objects.filter(agency=row.agency).exclude(id=row.id).order_by("-submitted_at")[:10])


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A witness, and when it last cosigned the public log's head; `at` None: not this head."""

    name: str
    url: str
    at: int | None


def witnesses() -> Sequence[Witnessed]:
    """Return each witness of the policy in force with its newest cosignature."""
    policy = Policy.parse(directory.policy_text(clock.now()).encode())
    path = identity.log_folder("p") / "public" / "checkpoint"
    head = Note.parse(path.read_bytes()) if path.exists() else None
    return [Witnessed(one.name, one.url, _cosigned(head, one.key) if head else None) for one in policy.witnesses]


def _cosigned(head: Note, witness: VerifierKey) -> int | None:
    try:
        return cosignature.verify(head, witness)
    except ProtocolError:
        return None


@dataclass(frozen=True, slots=True)
class OnTime:
    """One tick: how many seconds after its moment its file was there."""

    number: int
    late: float


def ticks() -> Sequence[OnTime]:
    """Return the newest served ticks, the oldest first."""
    seconds = identity.load().tick_seconds
    numbers = Tick.objects.filter(state="served").order_by("-number").values_list("number", flat=True)[:_TICKS]
    found = []
    for number in numbers:
        path = feed.root() / "v1" / "all" / str(number)
        if path.exists():
            found.append(OnTime(number, max(0.0, path.stat().st_mtime - number * seconds)))
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: entries for the log, requests for a moderator, sealed uploads for their agencies."""

    entries: int
    requests: int
    uploads: int
    oldest_upload: int | None


def backlog() -> Backlog:
    """Return what waits now."""
    uploads = Upload.objects.filter(state="sealed", collected=False)
    oldest = uploads.order_by("ended_at").values_list("ended_at", flat=True).first()
    entries = PendingEntry.objects.filter(state="queued").count()
    return Backlog(entries, Request.objects.filter(state="submitted").count(), uploads.count(), oldest)


def of_agency(agency: str) -> Sequence[Request]:
    """Return an agency's newest requests, of any state."""
    return list(Request.objects.filter(agency=agency).order_by("-submitted_at")[:50])
