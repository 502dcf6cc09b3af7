"""Acts that are logged before they are done: how a page waits for the log, and goes on by itself."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.errors import NotYetLogged
from fairwitness.agency.models import CustodyRecord, Response
from fairwitness.agency.views.cases import as_refused
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

_SLOW = 60
_PURPOSES = "purposes"
_KEPT = 20


class Waiting(Exception):
    """Raised by an act that is logged in parts: how many of how many are, and for how many seconds the rest has waited."""

    def __init__(self, logged: int, total: int, waited: int) -> None:
        super().__init__("not logged yet")
        self.logged = logged
        self.total = total
        self.waited = waited


def act(
    request: HttpRequest,
    do: Callable[[], tuple[str, str]],
    *,
    title: str,
    back: str,
    refused: Callable[[Refused], HttpResponseBase],
) -> HttpResponseBase:
    """Do what a POST asks for. `do` returns (where to go, what to say); while the log is written a page asks again by itself.

    `title`: what is being done, in words; `back`: where to go without it; `refused`: makes the page with the form again.
    """
    repeated = request.headers.get("HX-Request") == "true"
    try:
        where, said = do()
    except NotYetLogged as waiting:
        record = CustodyRecord.objects.filter(pk=waiting.record).first()
        return _waiting(request, title, back, Waiting(0, 1, clock.now() - record.at if record else 0))
    except Waiting as waiting:
        return _waiting(request, title, back, waiting)
    except (Refused, ProtocolError) as error:
        problem = as_refused(error)
        if repeated:
            context = {"title": title, "back": back, "problem": problem, "fields": _fields(request)}
            return render(request, "agency/response_logging.html", context)
        return refused(problem)
    if said:
        messages.success(request, said)
    if repeated:
        return HttpResponse(headers={"HX-Redirect": where})
    return HttpResponseRedirect(where)


def _waiting(request: HttpRequest, title: str, back: str, waiting: Waiting) -> HttpResponseBase:
    context = {
        "title": title, "back": back, "fields": _fields(request), "logged": waiting.logged, "total": waiting.total,
        "slow": waiting.waited > _SLOW,
    }  # fmt: skip
    return render(request, "agency/response_logging.html", context, status=202)


def _fields(request: HttpRequest) -> list[tuple[str, str]]:
    return [(name, value) for name, values in request.POST.lists() for value in values if name != "csrfmiddlewaretoken"]


def stated(request: HttpRequest, response: Response) -> str:
    """Return the purpose that this person stated in this sitting for the response's case, or an empty text."""
    found = request.session.get(_PURPOSES, {}).get(_case_of(response), "")
    return found if isinstance(found, str) else ""


def state(request: HttpRequest, response: Response, purpose: str) -> None:
    """Remember a purpose for this sitting, so that it is asked for once and still stands in every link."""
    kept = dict(request.session.get(_PURPOSES, {}))
    kept.pop(_case_of(response), None)
    kept[_case_of(response)] = purpose
    request.session[_PURPOSES] = dict(list(kept.items())[-_KEPT:])


def _case_of(response: Response) -> str:
    return str(response.request.case_id) if response.request else ""
