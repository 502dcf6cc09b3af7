"""What surrounds every request: no log lines about it, no traces of it, and errors in one shape."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.functional import lazy
from django.utils.translation import gettext as _

from fairwitness.kit import config
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, error_code, log, place_of

STATIC_MARK = "fairwitness_static"
"""A view function with this attribute set is served without session, cookie or Vary."""


def silence(_config: dict[str, Any]) -> None:
    """Give Python's own loggers nowhere to write: their lines carry paths and addresses. See kit.journal."""
    root = logging.getLogger()
    root.handlers[:] = [logging.NullHandler()]
    for name in ("django", "allauth", "granian", "_granian", "urllib3", "httpx", "httpcore", "apprise", "ninja"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]
        logger.propagate = False


def connect() -> None:
    """Have unhandled exceptions written to the journal as a place and a kind, never as text."""
    got_request_exception.connect(_defect, dispatch_uid="fairwitness.defect")


def _defect(**_ignored: Any) -> None:
    error = sys.exc_info()[1]
    if error is not None:
        log(Event.DEFECT, where=place_of(error), error=error_code(error))


class Quiet:
    """Keeps answers free of what Django adds unasked: static protocol files carry their fixed headers only."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve; drop Vary and cookies from answers that a static protocol view made; no error page for a program."""
        response = _in_kind(request, self._get_response(request))
        if getattr(response, STATIC_MARK, False):
            for header in ("Vary", "Content-Language"):
                if header in response.headers:
                    del response.headers[header]
            response.cookies.clear()
        elif "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        return response


class Errors:
    """Turns Refused and ProtocolError from any view into the one error shape: a page for a browser, else JSON."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer the errors that speak to the caller."""
        return None if isinstance(error, Http404) else refusal(request, error)


def refusal(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """Answer an error that speaks to the caller, as a page or as JSON; None for a defect of ours."""
    from fairwitness.kit import api  # noqa: PLC0415 - ninja needs the settings, which name this module

    answer = api.response_to(error)
    if answer is None or not wants_page(request):
        return answer
    return render(request, "kit/refused.html", {"error": error}, status=answer.status_code)


def _in_kind(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Give an error that Django answered by itself (no such address, wrong method, a defect) the one error shape.

    Its codes never begin with `auth.`: those are the gate's own.

    This stands outside every layer that may fail, so that it sees them all; the answer's headers (Allow, cookies) stay.
    """
    kind = response.headers.get("Content-Type", "")
    if response.status_code < 400 or getattr(response, STATIC_MARK, False) or not isinstance(response, HttpResponse):
        return response
    if kind.startswith("application/json") or (wants_page(request) and response.content):
        return response
    from fairwitness.kit import api  # noqa: PLC0415 - ninja needs the settings, which name this module

    made = refusal(request, _plain_error(response.status_code)) if wants_page(request) else None
    made = made or api.response_to(_plain_error(response.status_code)) or response
    response.content = made.content
    response.headers["Content-Type"] = made.headers["Content-Type"]
    response.headers["Content-Length"] = str(len(made.content))
    return response


def _plain_error(status: int) -> Refused:
    match status:
        case 404:
            return Refused(status, "not_found", "There is nothing here.")
        case 405:
            return Refused(status, "method.not_allowed", "This address does not take that method.", "See the header Allow.")
        case 403:
            return Refused(status, "refused", "You may not do this.")
        case 429:
            return Refused(status, "rate.limited", "Too many tries.", "Wait a minute.")
        case _ if status < 500:
            return Refused(status, "input.unreadable", "The request could not be read.")
        case _:
            return Refused(status, "defect", "This node failed at this.", "Its journal names the place; try again later.")


def wants_page(request: HttpRequest) -> bool:
    """Tell whether a browser asks, which reads a page, and not a program, which reads the error body."""
    return "text/html" in request.headers.get("Accept", "")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Answer a form that did not come from a page of ours."""
    error = Refused(403, "auth.csrf", _("This did not come from a page of this node."), _("Reload the page, try again."))
    return refusal(request, error) or HttpResponse(status=403)


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Give every template the node's role and name, and where this person may go."""
    from fairwitness.kit import navigation  # noqa: PLC0415 - ninja needs the settings, which name this module

    return {
        "node_role": config.role_name(),
        "node_name": config.current(config.RoleConfig).name,
        "navigation": lazy(lambda: navigation.items(request), list)(),
    }
