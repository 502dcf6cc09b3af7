"""What stands between the hub's sockets and its web application, so that a slow client costs a socket and nothing else.

Threads answer; they never wait for a network. A request's body is gathered first, by the event loop, within limits of size
and time, and a large one on disk; only when it is whole does a thread of the application get it. An answer is made whole
before its first byte leaves, and a large one goes out from its file. Known protocol files are answered without a thread.

Limits: heads by the server's own timeout (kit.supervise), bodies by `largest`, and by `grace` seconds plus one second for each
`rate` bytes, of which no more than 30 can be saved up; what came of bodies together by `room`, and by the disk's `reserve`.
Bodies are sent with a Content-Length; chunked ones are refused.
"""

import asyncio
import errno
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fairwitness.kit import files
from fairwitness.kit.http_static import Remembered
from fairwitness.kit.journal import Event, error_code, log, place_of

_IN_MEMORY = 1 << 18  # bytes of a body that are held in memory
_AT_ONCE = 1 << 20  # bytes of an answer that are held in memory
_SILENCE = 30.0
"""Seconds after which a body that stays away is given up, however quickly it came before."""
_SPARE_SECONDS = 60
"""How long an answer's file waits for the server to open it."""

type _Headers = list[tuple[str, str]]


class _Refusal(Exception):
    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.body = json.dumps({"error": {"code": code, "message": message, "hint": hint}}).encode()


def _no_space() -> _Refusal:
    log(Event.DISK_FULL, store="bodies")
    return _Refusal(507, "storage.full", "This node has no space left.", "Try the same again later.")


def _busy() -> _Refusal:
    return _Refusal(503, "busy", "Too much is on its way here.", "Try the same again soon.")


@dataclass(frozen=True, slots=True)
class _Made:
    """A whole answer: its bytes, or the file that holds them; `spare`: the file is ours and goes afterwards."""

    status: int
    headers: _Headers
    body: bytes = b""
    file: str = ""
    spare: bool = False


class Front:
    """The RSGI application that granian calls; `inner` is the WSGI application in `threads` threads.

    `folder` is emptied of what an earlier process left and holds large bodies and answers for a moment. `largest`: bytes of
    a body; `room`: bytes of all bodies that are waited for in this process; `rate`: bytes per second that a body must keep;
    `reserve`: free bytes of the disk that bodies leave alone.
    """

    def __init__(
        self,
        inner: Remembered,
        folder: Path,
        *,
        threads: int,
        largest: int,
        room: int = 1 << 30,
        rate: int = 4096,
        grace: float = 10.0,
        reserve: int = 0,
    ) -> None:
        self._inner = inner
        self._folder = files.private_dir(folder)
        self._largest, self._room, self._rate, self._grace = largest, room, rate, grace
        self._reserve = reserve
        self._waiting = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="answer")

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Answer one request."""
        environ = environ_of(scope)
        known = self._inner.known(environ)
        if known is not None:
            proto.response_bytes(known.code, known.headers, known.body)
            return
        body: IO[bytes] | None = None
        try:
            body = await self._gather(environ, proto)
            environ["wsgi.input"] = body
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._threads, self._answer, environ)
        except _Refusal as refusal:
            # The rest of the body is not read: the connection cannot be used again.
            headers = [("content-type", "application/json"), ("cache-control", "no-store"), ("connection", "close")]
            proto.response_bytes(refusal.status, headers, refusal.body)
            return
        except Exception as error:  # noqa: BLE001 - its text could quote what somebody sent
            log(Event.DEFECT, where=place_of(error), error=error_code(error))
            proto.response_bytes(500, [("cache-control", "no-store"), ("connection", "close")], b"")
            return
        finally:
            if body is not None:
                body.close()
        if not made.file:
            proto.response_bytes(made.status, made.headers, made.body)
            return
        proto.response_file(made.status, made.headers, made.file)
        if made.spare:
            loop.call_later(_SPARE_SECONDS, _unlink, made.file)

    async def _gather(self, environ: dict[str, Any], proto: Any) -> IO[bytes]:
        """Return the body, whole; the head is judged first."""
        if "HTTP_HOST" not in environ and environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            raise _Refusal(400, "host.missing", "The request names no host.", "Send Host (RFC 9112, 3.2).")
        if "HTTP_TRANSFER_ENCODING" in environ:
            raise _Refusal(411, "body.length", "State the body's length.", "Send Content-Length.")
        stated = environ.get("CONTENT_LENGTH", "")
        if not (stated.isascii() and stated.isdigit()):
            if stated:
                raise _Refusal(400, "body.length", "The stated length is no number.")
            return io.BytesIO()
        size = int(stated)
        if size > self._largest:
            raise _Refusal(413, "body.too_large", "The body is too large.", f"Send at most {self._largest} bytes.")
        if self._waiting + size > self._room:
            raise _busy()
        lost = None
        if size > _IN_MEMORY and shutil.disk_usage(self._folder).free - size < self._reserve:
            lost = OSError(errno.ENOSPC, "the reserve of the disk is left alone")
        try:
            return await self._read(size, proto, lost)
        except OSError as error:
            raise _no_space() from error

    async def _read(self, size: int, proto: Any, lost: OSError | None) -> IO[bytes]:
        """Return the body. With `lost`, or once the disk is full, read it all the same: only then will the client read why."""
        body: IO[bytes] | None = None
        clock = asyncio.get_running_loop().time
        seen, chunks, until = 0, aiter(proto), clock() + self._grace
        held: list[bytes] = []
        kept = 0
        try:
            while seen < size:
                try:
                    async with asyncio.timeout(max(until - clock(), 0.0)):
                        chunk = bytes(await anext(chunks))
                except TimeoutError:
                    raise _Refusal(408, "body.slow", "The body came too slowly.", "Try the same again.") from None
                except StopAsyncIteration:
                    raise _Refusal(400, "body.short", "The body ended before its stated length.") from None
                # What came counts, not what was announced: else announcing alone would keep everybody else out.
                seen += len(chunk)
                self._came(len(chunk))
                # And what came quickly buys no long silence.
                until = min(until + len(chunk) / self._rate, clock() + max(self._grace, _SILENCE))
                kept += len(chunk)
                held.append(chunk)
                if kept > _IN_MEMORY:
                    # Beside the loop: a busy disk must not keep other clients waiting.
                    if lost is None:
                        try:
                            body = await asyncio.to_thread(self._append, body, held)
                        except OSError as error:
                            lost = error
                    held, kept = [], 0
            if lost is None and body is not None:
                await asyncio.to_thread(self._append, body, held)
        except BaseException:
            if body is not None:
                body.close()
            raise
        finally:
            self._waiting -= seen
        if lost is not None:
            raise lost
        if body is None:
            return io.BytesIO(b"".join(held))
        body.seek(0)
        return body

    def _came(self, size: int) -> None:
        self._waiting += size
        if self._waiting > self._room:
            raise _busy()

    def _append(self, body: IO[bytes] | None, chunks: list[bytes]) -> IO[bytes]:
        if shutil.disk_usage(self._folder).free - sum(map(len, chunks)) < self._reserve:
            raise OSError(errno.ENOSPC, "the reserve of the disk is left alone")
        found = body if body is not None else tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - lives with the request
        try:
            found.writelines(chunks)
            found.flush()
        except BaseException:
            found.close()
            raise
        return found

    # ---------------------------------------------------------------- in a thread

    def _answer(self, environ: dict[str, Any]) -> _Made:
        seen: list[tuple[str, _Headers]] = []
        answer = self._inner(environ, lambda status, headers, *_rest: seen.append((status, headers)))
        try:
            if not seen:
                raise RuntimeError("the application did not begin its answer")
            status, headers = int(seen[0][0][:3]), seen[0][1]
            whole = _file_of(answer, headers)
            if whole and environ["REQUEST_METHOD"] != "HEAD":
                return _Made(status, headers, file=whole)
            return self._collect(status, headers, answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()

    def _collect(self, status: int, headers: _Headers, answer: Iterable[bytes]) -> _Made:
        parts: list[bytes] = []
        held = 0
        stream = iter(answer)
        for chunk in stream:
            parts.append(chunk)
            held += len(chunk)
            if held > _AT_ONCE:
                break
        else:
            return _Made(status, headers, b"".join(parts))
        handle, name = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as spare:
                spare.writelines(parts)
                parts.clear()
                spare.writelines(stream)
        except BaseException:
            _unlink(name)
            raise
        return _Made(status, headers, file=name, spare=True)


def _file_of(answer: Any, headers: _Headers) -> str:
    """Return the path of the file that an answer is made of, whole; empty for any other, and for small ones."""
    stream = getattr(answer, "file_to_stream", None)
    name = getattr(stream, "name", None)
    if not isinstance(stream, io.BufferedReader) or not isinstance(name, str) or stream.tell():
        return ""
    size = os.fstat(stream.fileno()).st_size
    return name if size > _AT_ONCE and ("Content-Length", str(size)) in headers else ""


def _unlink(name: str) -> None:
    Path(name).unlink(missing_ok=True)


def environ_of(scope: Any) -> dict[str, Any]:
    """Return a request's head as WSGI has it. A header whose name has an underscore could pass for another: left out."""
    server, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        if key in environ:
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"  # noqa: PLW2901
        environ[key] = value
    return environ


def make(inner: Remembered, folder: Path, *, threads: int, largest: int, reserve: int = 0) -> Front:
    """Return the application for granian, its folder empty."""
    if folder.exists():
        shutil.rmtree(folder)
    return Front(inner, folder, threads=threads, largest=largest, reserve=reserve)
