"""The evidence of an officer's cases: what was accepted, found by case, request, the agency's own words and time."""

from django.db.models import Q, QuerySet

from fairwitness.agency.models import Annotation, Export, Officer, Response
from fairwitness.agency.services import cases

STATES = ("accepted", "exported", "held")
_WORDS = 8


def search(officer: Officer, words: str = "", *, since: int | None = None, until: int | None = None) -> QuerySet[Response]:
    """Return accepted evidence of cases that this officer may see, what was decided last first; every word must be found.

    A word is looked for in the case's number and title, at the start of the request's or answer's id, and in what the agency
    wrote about it. `since`, `until`: Unix seconds between which it was collected.
    """
    found = Response.objects.filter(state__in=STATES, about="", request__case__in=cases.listing(officer))
    for word in words.split()[:_WORDS]:
        written = Annotation.objects.filter(struck_at=None, text__icontains=word).values("response_id")
        found = found.filter(
            Q(request__case__number__icontains=word)
            | Q(request__case__title__icontains=word)
            | Q(request__id__startswith=word.lower())
            | Q(id__startswith=word.lower())
            | Q(pk__in=written)
        )
    if since is not None:
        found = found.filter(collected_at__gte=since)
    if until is not None:
        found = found.filter(collected_at__lt=until)
    return found.select_related("request__case").prefetch_related("clips", "annotations").order_by("-decided_at", "id")


def exports(officer: Officer) -> QuerySet[Export]:
    """Return the bags made of cases that this officer may see, the newest first."""
    mine = Export.objects.filter(request__case__in=cases.listing(officer))
    return mine.select_related("request__case", "officer__user")


def exports_of(response: Response) -> list[Export]:
    """Return the bags that hold a response, the newest first."""
    return [
        one
        for one in Export.objects.filter(request=response.request).select_related("officer__user")
        if response.id in one.records
    ]
