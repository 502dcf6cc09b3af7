"""The node's own scripts, styles and pictures, served from the installed packages."""

import functools
import mimetypes
from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import FileResponse, Http404, HttpRequest, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils._os import safe_join

from fairwitness.kit import config
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


def basemap_file() -> Path | None:
    """Return the operator's base map (`basemap` in config.toml, a PMTiles file), or None: pages then show a plain grid."""
    cfg = config.current(config.RoleConfig)
    if not cfg.basemap or cfg.data_dir is None:
        return None
    path = cfg.data_dir / cfg.basemap
    return path if path.is_file() else None


@gate.anyone("a base map is public; it is fetched whole, so that no request says which place is looked at")
def basemap(request: HttpRequest) -> HttpResponseBase:
    """Serve the base map, always whole: a range would say where somebody looks. Raises Http404."""
    path = basemap_file()
    if path is None or request.method not in ("GET", "HEAD"):
        raise Http404
    stat = path.stat()
    tag = f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'
    answer: HttpResponseBase
    if request.headers.get("If-None-Match") == tag:
        answer = HttpResponseNotModified()
    else:
        answer = FileResponse(path.open("rb"), content_type="application/octet-stream")
    answer.headers["ETag"] = tag
    answer.headers["Cache-Control"] = "public, max-age=86400"
    setattr(answer, STATIC_MARK, True)
    return answer
