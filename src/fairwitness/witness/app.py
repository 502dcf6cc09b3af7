"""The witness over HTTP: add-checkpoint for logs, and two plain pages for people who compare."""

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from fairwitness.kit import clock, files
from fairwitness.kit.operate import metrics
from fairwitness.witness import config as settings
from fairwitness.witness import operate, services
from fairwitness.witness.errors import WitnessError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_TIMEOUT = 15.0  # seconds that a silent connection is kept
_AT_ONCE = 32


def make_app(directory: Path, now: Callable[[], int]) -> "WSGIApplication":
    """Return the WSGI application of the witness in `directory`; `now` gives Unix seconds, UTC.

    POST /add-checkpoint answers as C2SP tlog-witness says; GET /vkey gives this witness's own verifier key, GET /logs one
    line a log (origin, size, base64 root). Logs trusted later are followed without a restart. Raises WitnessError.
    """
    store = services.open_store(settings.load(directory))

    def answer(environ: "WSGIEnvironment") -> services.Answer:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        match path:
            case "/add-checkpoint":
                if method != "POST":
                    return _plain(405, "POST a checkpoint here")
                length = environ.get("CONTENT_LENGTH", "")
                if not (length.isascii() and length.isdigit()):
                    return _plain(411, "say how long the body is")
                if len(length) > 9 or int(length) > services.MAX_BODY:
                    return _plain(413, f"a request has at most {services.MAX_BODY} bytes")
                body = environ["wsgi.input"].read(int(length))
                if len(body) != int(length):
                    return _plain(400, "the body ended early")
                if (directory / operate.RESTORED).exists():
                    return _plain(503, "this witness was restored; it signs nothing until its keeper resumes it")
                return services.add_checkpoint(store, settings.load(directory), body, now())
            case "/vkey" | "/logs":
                if method not in {"GET", "HEAD"}:
                    return _plain(405, "this page can only be read")
                held = settings.load(directory)
                page = services.logs_page(store, held) if path == "/logs" else f"{held.vkey.encode()}\n".encode()
                return services.Answer(200, services.PLAIN, page)
            case "/healthz" | "/readyz" | "/metrics":
                if method not in {"GET", "HEAD"}:
                    return _plain(405, "this page can only be read")
                return _monitor(directory, path, environ)
            case _:
                return _plain(404, "a witness has /add-checkpoint, /vkey and /logs")

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            result = answer(environ)
        except (OSError, WitnessError) as error:
            # Nothing was cosigned. The words go to the operator; a stranger learns only that it failed.
            environ["wsgi.errors"].write(f"witness: {error}\n")
            result = _plain(500, "the witness cannot keep its record just now; nothing was cosigned")
        status = f"{result.status} {HTTPStatus(result.status).phrase}"
        start_response(
            status,
            [
                ("Content-Type", result.content_type),
                ("Content-Length", str(len(result.body))),
                ("X-Content-Type-Options", "nosniff"),
                ("Cache-Control", "no-store"),
            ],
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [result.body]

    return app


def run(directory: Path, host: str, port: int) -> None:
    """Serve the witness until SIGTERM or SIGINT, then finish what was begun; port 0 takes a free one.

    Prints one line with the address. Raises WitnessError or OSError where it cannot start.
    """
    server = make_server(directory, host, port, clock.now)
    lock = files.FileLock(directory / "run.lock")
    try:
        lock.acquire(wait=False)
    except files.Locked:
        server.server_close()
        raise WitnessError(f"{directory} is in use by another process of this program") from None
    try:
        _serve(server, directory)
    finally:
        lock.release()


def _serve(server: WSGIServer, directory: Path) -> None:
    stopping = threading.Event()

    def stop(*_: object) -> None:
        if not stopping.is_set():
            stopping.set()
            # shutdown() waits for the loop below, so it cannot run in this same thread.
            threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    bound_host, bound_port = server.server_address[:2]
    shown = f"[{bound_host!s}]" if ":" in str(bound_host) else str(bound_host)
    sys.stdout.write(f"witness {settings.load(directory).name} at http://{shown}:{bound_port}\n")
    sys.stdout.flush()
    with server:
        server.serve_forever(poll_interval=0.2)


def make_server(directory: Path, host: str, port: int, now: Callable[[], int]) -> WSGIServer:
    """Return a bound server; the caller runs and closes it."""
    server = _Server6 if ":" in host else _Server
    made = server((host, port), _Handler)
    made.set_app(make_app(directory, now))
    return made


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a connection, at most `_AT_ONCE`; closing waits for those that run."""

    request_queue_size = 64
    allow_reuse_address = True
    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # The inherited one asks the name service for this host's name, which may hang without a network.
        socket_address = self.server_address
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(socket_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object) -> None:
        self._room.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    """Drops silent connections and writes no access log: who asks is nobody's business."""

    timeout = _TIMEOUT

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        """Write nothing."""


def _monitor(directory: Path, path: str, environ: "WSGIEnvironment") -> services.Answer:
    """Answer a monitor: /healthz that the process answers, /readyz whether it signs, /metrics to this machine alone."""
    if path == "/healthz":
        return _plain(200, "ok")
    if path == "/readyz":
        return _plain(200, "ready") if operate.is_ready(directory) else _plain(503, "not ready")
    if not metrics.is_local(environ):
        return _plain(404, "a witness has /add-checkpoint, /vkey and /logs")
    return services.Answer(200, metrics.TYPE, operate.metrics_page(directory))


def _plain(status: int, text: str) -> services.Answer:
    return services.Answer(status, services.PLAIN, f"{text}\n".encode())
