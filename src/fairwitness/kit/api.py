"""What every role's API shares: the error body, body limits, strict schemas.

An error is `{"error": {"code", "message", "hint"}}`: a stable code for programs, a sentence, and what would satisfy the
rule.
"""

import errno
import json
from collections.abc import Iterator
from http import HTTPStatus

from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from fairwitness_core.wire.errors import ProtocolError
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError
from pydantic import ConfigDict

from fairwitness.kit.errors import Refused
from fairwitness.kit.files import DiskFull
from fairwitness.kit.journal import Event, error_code, log, place_of

__all__ = [
    "Refused",
    "StrictSchema",
    "body_chunks",
    "error_response",
    "make_api",
    "read_body",
    "response_to",
    "stated_length",
]

_CHUNK = 1 << 16
_SERVER_FULL = "53100"  # PostgreSQL's SQLSTATE disk_full


class StrictSchema(Schema):
    """The base of every input schema: an unknown field is refused, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, from_attributes=True)


def error_response(status: int, code: str, message: str, hint: str = "") -> HttpResponse:
    """Return the error body of this API."""
    body = json.dumps({"error": {"code": code, "message": message, "hint": hint}}, ensure_ascii=False)
    return HttpResponse(body, status=status, content_type="application/json")


def response_to(error: Exception) -> HttpResponse | None:
    """Return the answer to an exception that speaks to the caller, or None for a defect of ours."""
    match error:
        case Refused():
            return error_response(error.status, error.code, error.message, error.hint)
        case ProtocolError():
            return error_response(400, error.code, error.message, error.hint)
        case ValidationError():
            wrong = sorted({".".join(str(step) for step in item.get("loc", ())) for item in error.errors})
            return error_response(422, "input.invalid", f"These fields are wrong, unknown or missing: {', '.join(wrong)}")
        case RequestDataTooBig():
            return error_response(413, "body.too_large", "The request's body is too large.")
        case HttpError() if error.status_code == 403:
            return error_response(403, "auth.csrf", "This did not come from a page of this node.", "Send X-CSRFToken.")
        case HttpError():
            return error_response(error.status_code, "input.unreadable", "The request could not be read.")
        case Http404():
            return error_response(404, "not_found", "There is nothing here.")
        case OSError() | OperationalError():
            return _storage(error)
    return None


def _storage(error: Exception) -> HttpResponse:
    """Answer a failing disk: the caller may not know what was kept, so every act can be asked for again."""
    log(Event.DEFECT, where=place_of(error), error=error_code(error))
    full = isinstance(error, DiskFull) or getattr(error, "errno", 0) == errno.ENOSPC or "disk is full" in str(error)
    if full or getattr(error.__cause__, "sqlstate", "") == _SERVER_FULL:
        return error_response(507, "storage.full", "This node has no space left.", "Try the same again later.")
    return error_response(503, "storage.failed", "This node's storage did not answer.", "Try the same again later.")


def make_api(role: str, *, version: str = "1") -> NinjaAPI:
    """Return the role's API object. Every operation MUST pass `auth=` one of fairwitness.kit.accounts.gate's classes."""
    api = NinjaAPI(title=f"Fairwitness {role}", version=version, urls_namespace=role, docs_url=None, openapi_url=None)

    def answer(_request: HttpRequest, error: Exception) -> HttpResponse:
        found = response_to(error)
        if found is None:
            raise error
        return found

    for kind in (Refused, ProtocolError, ValidationError, RequestDataTooBig, HttpError, Http404, OSError, OperationalError):
        api.add_exception_handler(kind, answer)  # type: ignore[arg-type]  # ninja types the handler by its one class
    return api


def stated_length(request: HttpRequest) -> int:
    """Return the body's stated length in bytes; raises Refused (411, 400) where there is none or it is no number."""
    text = str(request.META.get("CONTENT_LENGTH") or "")
    if not text:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "body.length", "State the body's length.", "Send Content-Length.")
    if not (text.isascii() and text.isdigit()):
        raise Refused(HTTPStatus.BAD_REQUEST, "body.length", "The stated length is no number.")
    return int(text)


def read_body(request: HttpRequest, max_bytes: int) -> bytes:
    """Return the raw body, refusing more than `max_bytes` before reading it. Raises Refused (400, 411, 413)."""
    return b"".join(body_chunks(request, max_bytes))


def body_chunks(request: HttpRequest, max_bytes: int) -> Iterator[bytes]:
    """Yield the raw body in chunks without holding it. Raises Refused (400, 411, 413) like read_body."""
    length = stated_length(request)
    if length > max_bytes:
        raise Refused(413, "body.too_large", "The body is too large.", f"Send at most {max_bytes} bytes.")
    left = length
    while left:
        chunk = request.read(min(_CHUNK, left))
        if not chunk:
            raise Refused(HTTPStatus.BAD_REQUEST, "body.short", "The body ended before its stated length.")
        left -= len(chunk)
        yield chunk
