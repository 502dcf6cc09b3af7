"""What an officer's first page shows: what waits for them, what is live, what came in lately. Reads rows, opens nothing."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import QuerySet

from fairwitness.agency.models import Clip, Notice, Officer, Request, Response
from fairwitness.agency.services import cases, collect, requests

_DAY = 86400
_CHART_DAYS = 30
_SHOWN = 50
_RECENT = 6
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
class Recent:
    """A response that came in lately, and how many clips it holds."""

    response: Response
    clips: int


@dataclass(frozen=True, slots=True)
class Desk:
    """The first page. `per_day`: responses that came in on each of the last 30 UTC days, the oldest first."""

    waiting: list[Waiting]
    live: list[Request]
    recent: list[Recent]
    per_day: list[tuple[int, int]]
    open_cases: int
    next_collection: int


def look(officer: Officer, now: int) -> Desk:
    """Return what this officer sees at `now` (Unix seconds, UTC): of their own cases, or of all where their role sees all."""
    mine = cases.listing(officer)
    own, responses = Request.objects.all(), Response.objects.exclude(request=None)
    if officer.user.role not in cases.SEE_ALL:
        own, responses = own.filter(case__in=mine), responses.filter(request__case__in=mine)
    own = own.select_related("case", "drafted_by__user", "approved_by__user")
    live = list(own.filter(state__in=requests.LIVE)[:_ON_MAP])
    since = now - now % _DAY - (_CHART_DAYS - 1) * _DAY
    counted = Counter(at // _DAY for at in responses.filter(collected_at__gte=since).values_list("collected_at", flat=True))
    return Desk(
        waiting=_waiting(officer, own, responses),
        live=live,
        recent=_recent(responses),
        per_day=[(day * _DAY, counted[day]) for day in range(since // _DAY, since // _DAY + _CHART_DAYS)],
        open_cases=mine.count(),
        next_collection=collect.next_round(now),
    )


def _recent(responses: QuerySet[Response]) -> list[Recent]:
    found = list(responses.select_related("request__case").order_by("-collected_at")[:_RECENT])
    clips = Counter(Clip.objects.filter(response__in=[one.pk for one in found]).values_list("response_id", flat=True))
    return [Recent(one, clips[one.pk]) for one in found]


def _waiting(officer: Officer, own: QuerySet[Request], responses: QuerySet[Response]) -> list[Waiting]:
    found: list[Waiting] = []
    if officer.user.role == "supervisor":
        drafts = own.filter(state="draft").exclude(drafted_by=officer)
        found += [Waiting("approve", one.created_at, request=one) for one in drafts[:_SHOWN]]
    returned = own.filter(state="returned", drafted_by=officer)
    found += [Waiting("returned", one.created_at, request=one) for one in returned[:_SHOWN]]
    untriaged = responses.filter(state="collected").select_related("request__case")
    found += [Waiting("triage", one.collected_at, response=one, level=one.triage_level) for one in untriaged[:_SHOWN]]
    notices = Notice.objects.filter(seen_at=None).exclude(kind="untriaged")
    if officer.user.role not in cases.SEE_ALL:
        notices = notices.filter(request__in=own)
    notices = notices.select_related("request__case", "response")
    found += [Waiting("notice", one.at, notice=one, request=one.request, response=one.response) for one in notices[:_SHOWN]]
    # What has waited longest, and what was asked for twice already, comes first.
    return sorted(found, key=lambda item: (-item.level, item.at))[:_SHOWN]
