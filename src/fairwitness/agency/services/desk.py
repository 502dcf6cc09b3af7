"""What an officer's first page shows: what waits for them, what is live, what came in lately. Reads rows, opens nothing."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count, QuerySet

from fairwitness.agency.models import Notice, Officer, Request, Response
from fairwitness.agency.services import cases, collect, node, requests

_DAY = 86400
_CHART_DAYS = 30
_SHOWN = 50
_ON_MAP = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that somebody has to do: `kind` approve, returned, triage or notice."""

    kind: str
    at: int
    request: Request | None = None
    response: Response | None = None
    notice: Notice | None = None
    level: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """The first page. `per_day`: responses that came in on each of the last 30 UTC days, the oldest first."""

    waiting: list[Waiting]
    live: list[Request]
    recent: list[Response]
    per_day: list[tuple[int, int]]
    open_cases: int
    next_collection: int


def look(officer: Officer, now: int) -> Desk:
    """Return what this officer sees at `now` (Unix seconds, UTC): of their own cases, or of all where their role sees all."""
    mine = cases.listing(officer)
    own = Request.objects.filter(case__in=mine).select_related("case", "drafted_by__user", "approved_by__user")
    live = list(own.filter(state__in=requests.LIVE)[:_ON_MAP])
    responses = Response.objects.filter(request__case__in=mine).select_related("request__case")
    since = now - now % _DAY - (_CHART_DAYS - 1) * _DAY
    counted = Counter(at // _DAY for at in responses.filter(collected_at__gte=since).values_list("collected_at", flat=True))
    return Desk(
        waiting=_waiting(officer, own),
        live=live,
        recent=list(responses.annotate(clip_count=Count("clips")).order_by("-collected_at")[:6]),
        per_day=[(day * _DAY, counted[day]) for day in range(since // _DAY, since // _DAY + _CHART_DAYS)],
        open_cases=mine.count(),
        next_collection=next_collection(now),
    )


def next_collection(now: int) -> int:
    """Return when this agency next collects: on a fixed beat, responses or none (design.md 7)."""
    settings = node.settings()
    emergency = Request.objects.filter(state="published", emergency=True).exists()
    every = settings.emergency_collect_seconds if emergency else settings.collect_seconds
    last = collect.last_round()
    return max(now, last + every) if last is not None else now


def _waiting(officer: Officer, own: QuerySet[Request]) -> list[Waiting]:
    found: list[Waiting] = []
    if officer.user.role == "supervisor":
        drafts = own.filter(state="draft").exclude(drafted_by=officer)
        found += [Waiting("approve", one.created_at, request=one) for one in drafts[:_SHOWN]]
    returned = own.filter(state="returned", drafted_by=officer)
    found += [Waiting("returned", one.created_at, request=one) for one in returned[:_SHOWN]]
    untriaged = Response.objects.filter(state="collected", request__in=own).select_related("request__case")
    found += [Waiting("triage", one.collected_at, response=one, level=one.triage_level) for one in untriaged[:_SHOWN]]
    notices = Notice.objects.filter(seen_at=None, request__in=own).exclude(kind="untriaged")
    notices = notices.select_related("request__case", "response")
    found += [Waiting("notice", one.at, notice=one, request=one.request, response=one.response) for one in notices[:_SHOWN]]
    # What has waited longest, and what was asked for twice already, comes first.
    return sorted(found, key=lambda item: (-item.level, item.at))[:_SHOWN]
