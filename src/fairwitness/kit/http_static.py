"""Protocol files (feed containers, log tiles, checkpoints) with exactly the headers of protocol.md 4.4.

Everybody gets the same bytes with the same headers: no cookie, no Vary, no ETag, no session, and a query string is refused
so that no address can carry a name.

`static_files` is the view that decides. `Remembered` stands before the web framework and gives the very answer that the view
gave before, as long as the file behind it is the same file; it decides nothing.
"""

import contextlib
import enum
import math
import os
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase

from fairwitness.kit.middleware import STATIC_MARK

_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._\-]*")
_KEEP = "fairwitness_keep"
_BLOCK = 1 << 18  # bytes of a large file handed to the server at once
_HOSTS = 64
_GROWING_SECONDS = 1.0


class Cache(enum.Enum):
    """How long a file may be kept by whoever fetched it.

    GROWING says the same as SHORT, of a file whose caching will change while its bytes stay: `Remembered` asks again each second.
    """

    IMMUTABLE = "immutable"
    SHORT = "short"
    GROWING = "growing"

    @property
    def header(self) -> str:
        """Return the value of Cache-Control."""
        return "public, max-age=31536000, immutable" if self is Cache.IMMUTABLE else "max-age=5"


type _Signature = tuple[int, int, int, int, int]


def _signature(found: os.stat_result) -> _Signature:
    """Return what changes when a file is replaced, appended to or written over."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def static_files(
    root: Path | Callable[[], Path], policy: Callable[[str], Cache | None], kind: Callable[[str], str] | None = None
) -> Callable[..., HttpResponseBase]:
    """Return a view that serves the plain files under `root`.

    `kind(path)` names the media type; then the answer has an ETag too, for files that browsers read and that are no protocol
    files. It takes the request and `path`; `policy(path)` names the caching, or None to serve nothing there. It answers 404 to a
    query string, to any step that begins with a dot or holds other than [A-Za-z0-9_.-], and to links.
    """
    from fairwitness.kit.accounts import gate  # noqa: PLC0415 - needs the settings; `Cache` alone does not

    @gate.anyone("protocol files are the same public bytes for all (protocol.md 4.4)")
    def view(request: HttpRequest, path: str) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD"):
            return _mark(HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"}))
        cache = policy(path)
        if request.META.get("QUERY_STRING") or cache is None or not all(map(_STEP.fullmatch, path.split("/"))):
            return _missing()
        base = root() if callable(root) else root
        target = base.joinpath(*path.split("/"))
        try:
            if not target.is_file() or not target.resolve().is_relative_to(base.resolve()):
                return _missing()
            stream = target.open("rb")
        except OSError:
            # Too long a name, or gone since it was seen.
            return _missing()
        found = os.fstat(stream.fileno())
        tag = f'"{found.st_size:x}-{found.st_mtime_ns:x}"'
        if kind is not None and request.headers.get("If-None-Match") == tag:
            stream.close()
            return _mark(HttpResponseNotModified(headers={"ETag": tag, "Cache-Control": cache.header}))
        answer = FileResponse(stream, content_type=kind(path) if kind is not None else "application/octet-stream")
        if kind is not None:
            answer.headers["ETag"] = tag
        answer.block_size = _BLOCK
        del answer.headers["Content-Disposition"]
        answer.headers["Cache-Control"] = cache.header
        lasts = _GROWING_SECONDS if cache is Cache.GROWING else math.inf
        setattr(answer, _KEEP, (str(target), _signature(found), lasts))
        return _mark(answer)

    return view


def _missing() -> HttpResponseBase:
    return _mark(HttpResponse(status=HTTPStatus.NOT_FOUND, headers={"Cache-Control": "no-store"}))


def _mark(answer: HttpResponseBase) -> HttpResponseBase:
    setattr(answer, STATIC_MARK, True)
    return answer


type _Headers = list[tuple[str, str]]
type _Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Known:
    """What the view answered to GET, and the file that it came from."""

    file: str
    signature: _Signature
    status: str
    headers: _Headers
    body: bytes
    until: float

    @property
    def code(self) -> int:
        """Return the status as a number."""
        return int(self.status[:3])

    def holds(self) -> bool:
        """Tell whether the file is still the one that was read."""
        if time.monotonic() > self.until:
            return False
        try:
            found = os.lstat(self.file)
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and _signature(found) == self.signature


class Remembered:
    """A WSGI application before `inner` that repeats its answers to plain GETs of protocol files.

    An answer is given again only to a request that asks for the same path by GET, without query or body, over the same
    scheme, under a name of this node that `inner` accepted before, and only while the file is the one that was read then
    (device, inode, size, times), of a GROWING file only for a second. All else goes to `inner`, which alone decides. Nothing
    about who asks is kept: what is kept are public files, at most `room` bytes of those of at most `largest` bytes; the least
    asked for go first.
    """

    def __init__(self, inner: _Wsgi, *, room: int = 1 << 26, largest: int = 1 << 20) -> None:
        self._inner = inner
        self._room, self._largest = room, largest
        self._answers: OrderedDict[tuple[str, str, bool], Known] = OrderedDict()
        self._held = 0
        self._hosts: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        found = self.known(environ)
        if found is None:
            return self._learn(environ, start_response)
        start_response(found.status, found.headers)
        return [found.body]

    def known(self, environ: dict[str, Any]) -> "Known | None":
        """Return the answer to this request if it was given before and holds; needs no thread and no database."""
        key = self._key(environ)
        found = self._answers.get(key) if key is not None else None
        if key is None or found is None or environ["HTTP_HOST"] not in self._hosts or not found.holds():
            return None
        # Two threads may do this at once; an answer that was dropped in between is merely not moved.
        with contextlib.suppress(KeyError):
            self._answers.move_to_end(key)
        return found

    @staticmethod
    def _key(environ: dict[str, Any]) -> tuple[str, str, bool] | None:
        get = environ.get
        if environ["REQUEST_METHOD"] != "GET" or get("QUERY_STRING") or "HTTP_HOST" not in environ:
            return None
        if get("CONTENT_LENGTH") or get("HTTP_TRANSFER_ENCODING") or get("HTTP_IF_NONE_MATCH"):
            return None
        # What the settings read as "the proxy spoke TLS"; any other spelling is theirs to judge.
        forwarded = get("HTTP_X_FORWARDED_PROTO")
        if forwarded not in (None, "http", "https"):
            return None
        return environ["PATH_INFO"], environ["wsgi.url_scheme"], forwarded == "https"

    def _learn(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        key = self._key(environ)
        if key is None:
            return self._inner(environ, start_response)
        seen: list[tuple[str, _Headers]] = []

        def start(status: str, headers: _Headers, *rest: Any) -> Any:
            seen.append((status, headers))
            return start_response(status, headers, *rest)

        answer = self._inner(environ, start)
        keep = getattr(answer, _KEEP, None)
        if keep is None or not seen or not seen[0][0].startswith("200 ") or keep[1][2] > self._largest:
            return answer
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        status, headers = seen[0]
        if len(body) == keep[1][2] and ("Content-Length", str(len(body))) in headers:
            self._put(key, environ["HTTP_HOST"], Known(keep[0], keep[1], status, headers, body, time.monotonic() + keep[2]))
        return [body]

    def _put(self, key: tuple[str, str, bool], host: str, answer: Known) -> None:
        with self._lock:
            if host not in self._hosts and len(self._hosts) < _HOSTS:
                self._hosts |= {host}
            old = self._answers.pop(key, None)
            self._held += len(answer.body) - (len(old.body) if old else 0)
            self._answers[key] = answer
            while self._held > self._room:
                self._held -= len(self._answers.popitem(last=False)[1].body)
