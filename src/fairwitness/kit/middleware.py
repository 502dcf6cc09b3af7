"""What surrounds every request: no log lines about it, no traces of it, and errors in one shape."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
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
        """Serve; drop Vary and cookies from answers that a static protocol view made."""
        response = self._get_response(request)
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
    if answer is None or "text/html" not in request.headers.get("Accept", ""):
        return answer
    return render(request, "kit/refused.html", {"error": error}, status=answer.status_code)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Answer a form that did not come from a page of ours."""
    error = Refused(403, "auth.csrf", _("This did not come from a page of this node."), _("Reload the page, try again."))
    return refusal(request, error) or HttpResponse(status=403)


def page_context(_request: HttpRequest) -> dict[str, Any]:
    """Give every template the node's role and name."""
    return {"node_role": config.role_name(), "node_name": config.current(config.RoleConfig).name}
