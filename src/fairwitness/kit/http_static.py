"""Protocol files (feed containers, log tiles, checkpoints) with exactly the headers of protocol.md 4.4.

Everybody gets the same bytes with the same headers: no cookie, no Vary, no ETag, no session, and a query string is refused
so that no address can carry a name.
"""

import enum
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from fairwitness.kit.accounts import gate
from fairwitness.kit.middleware import STATIC_MARK

_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._\-]*")


class Cache(enum.Enum):
    """How long a file may be kept by whoever fetched it."""

    IMMUTABLE = "public, max-age=31536000, immutable"
    SHORT = "max-age=5"


def static_files(root: Path | Callable[[], Path], policy: Callable[[str], Cache | None]) -> Callable[..., HttpResponseBase]:
    """Return a view that serves the plain files under `root`.

    It takes the request and `path`; `policy(path)` names the caching, or None to serve nothing there. It answers 404 to a
    query string, to any step that begins with a dot or holds other than [A-Za-z0-9_.-], and to links.
    """

    @gate.anyone("protocol files are the same public bytes for all (protocol.md 4.4)")
    def view(request: HttpRequest, path: str) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD"):
            return _mark(HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"}))
        cache = policy(path)
        if request.META.get("QUERY_STRING") or cache is None or not all(map(_STEP.fullmatch, path.split("/"))):
            return _missing()
        base = root() if callable(root) else root
        target = base.joinpath(*path.split("/"))
        if not target.is_file() or not target.resolve().is_relative_to(base.resolve()):
            return _missing()
        answer = FileResponse(target.open("rb"), content_type="application/octet-stream")
        del answer.headers["Content-Disposition"]
        answer.headers["Cache-Control"] = cache.value
        return _mark(answer)

    return view


def _missing() -> HttpResponseBase:
    return _mark(HttpResponse(status=HTTPStatus.NOT_FOUND, headers={"Cache-Control": "no-store"}))


def _mark(answer: HttpResponseBase) -> HttpResponseBase:
    setattr(answer, STATIC_MARK, True)
    return answer
