"""The node's own scripts, styles and pictures, served from the installed packages."""

import functools
import mimetypes
from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils._os import safe_join

from fairwitness.kit.accounts import gate
from fairwitness.kit.middleware import STATIC_MARK

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".pmtiles": "application/octet-stream",
    ".wasm": "application/wasm",
}


@functools.lru_cache(maxsize=1024)
def _find(path: str) -> Path | None:
    safe_join("/", path)
    found = finders.find(path)
    return Path(found) if isinstance(found, str) else None


@gate.anyone("scripts and styles are part of the program")
def static(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve one static file of an installed app; raises Http404."""
    if request.method not in ("GET", "HEAD") or path.startswith("/") or ".." in path.split("/"):
        raise Http404
    found = _find(path)
    if found is None or not found.is_file():
        raise Http404
    kind = _TYPES.get(found.suffix) or mimetypes.guess_type(found.name)[0] or "application/octet-stream"
    answer = FileResponse(found.open("rb"), content_type=kind)
    answer.headers["Cache-Control"] = "public, max-age=300"
    setattr(answer, STATIC_MARK, True)
    return answer
