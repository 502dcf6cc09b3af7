# ruff: noqa: PLC0415 - a role can be imported only in a process that is set up as it
"""One role in one long-lived process, driven over a pipe with an injected clock, randomness and network.

Run as `python -m tests.harness.node ROLE FOLDER FD [ROLE FOLDER FD ...]`. Requests come as pickled tuples on the connection FD:

    ("build", dotted name, args, kwargs, now, seed)   make FOLDER a node of the role with a function of `tests.harness.acts`
    ("reset", template, now, seed)      replace FOLDER by a copy of the template folder and start over
    ("restart",)                        forget what a new process would not know
    ("http", method, path, headers, body, remote address, now)   one call to the node's web application
    ("due",) / ("run", now)             when the next job of the beat is due / run what is due
    ("call", dotted name, args, kwargs, now)     one public function of the role, or of `tests.harness.acts`
    ("dump",)                           every table in order, every file, every log line
    ("raw",)                            every file byte for byte, and the journal

While it works on one, the node may ask the driver: ("out", method, url, headers, body) for a call to another node, ("push",
title, body) for a message to a notification provider. Answers come back on the same pipe.
"""

import gc
import hashlib
import importlib
import io
import json
import os
import pickle
import random
import shutil
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from tests.harness import acts, elsewhere, unseeded


class Stream:
    """Bytes that look random and depend on the world's seed and on what is being done; stands in for the system's.

    Each act (a job in its slot, a call, an exchange) draws from a stream of its own, so that what an owner does in
    between shifts no later draw: two worlds that do the same thing at the same time draw the same bytes for it.
    """

    def __init__(self) -> None:
        self._seed, self._label, self._counter = "", "", 0
        self._used: dict[str, int] = {}
        self._lock = threading.Lock()

    def reset(self, seed: str) -> None:
        with self._lock:
            self._seed, self._label, self._counter, self._used = seed, "", 0, {}

    def act(self, label: str) -> None:
        """Begin an act; the same one again gets another stream."""
        with self._lock:
            self._used[label] = times = self._used.get(label, -1) + 1
            self._label, self._counter = f"{label}#{times}", 0

    def __call__(self, size: int) -> bytes:
        out = bytearray()
        with self._lock:
            while len(out) < size:
                self._counter += 1
                out += hashlib.sha256(f"{self._seed}|{self._label}|{self._counter}".encode()).digest()
        return bytes(out[:size])


RANDOM = Stream()
os.urandom = RANDOM
random._urandom = RANDOM


class Clock:
    """Time as the driver says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


class Pipe:
    """The transport of kit.http: hands each call to the driver and waits for the answer."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def ask(self, *question: Any) -> Any:
        self.connection.send_bytes(pickle.dumps(question))
        return pickle.loads(self.connection.recv_bytes())  # noqa: S301 - our own parent

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes], timeout: float) -> Any:
        from fairwitness.kit import http

        data = body if isinstance(body, bytes) else b"".join(body)
        answer = self.ask("out", method, url, list(headers.items()), data)
        if answer is None:
            raise http.Unreachable("no answer: the harness has no route")
        status, answer_headers, content = answer

        def chunks() -> Iterator[bytes]:
            for start in range(0, len(content), 1 << 16):
                yield content[start : start + (1 << 16)]

        return http.Answer(status, {k.lower(): v for k, v in answer_headers}, chunks())


class Node:
    """The role's Django, its beat and its data folder."""

    def __init__(self, role: str, folder: Path, connection: Connection) -> None:
        self.role, self.folder, self.connection = role, folder, connection
        self.pipe = Pipe(connection)
        self.journal: list[dict[str, Any]] = acts.JOURNAL
        self.beat: Any = None
        self.ready = False
        self.installed = False

    # -- life

    def install(self) -> None:
        """Inject clock, randomness and network; once, before the role is imported."""
        if self.installed:
            return
        self.installed = True
        unseeded.Replay(self.folder.parent.parent / "replay").install()
        from fairwitness.kit import clock, http, notify

        clock.set_clock(CLOCK)
        http.set_transport(self.pipe)
        notify.set_sender(lambda url, title, body: bool(self.pipe.ask("push", url, title, body)))

    def start(self) -> None:
        """Import the role against FOLDER; only possible once, so the folder's path stays and its content changes."""
        from fairwitness.kit import journal, supervise

        supervise.setup(self.role, self.folder)
        journal.configure(strict=True)
        from django.core.wsgi import get_wsgi_application

        if self.role == "agency":
            from fairwitness.agency.services import intake

            intake.subprocess = unseeded.ForkedWorker()
        self.application = get_wsgi_application()
        self.ready = True

    def build(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], now: float, seed: str) -> Any:
        """Make FOLDER a node."""
        self.install()
        CLOCK.now = now
        RANDOM.reset(seed)
        if there := elsewhere.about(self.folder):
            acts.STATE.update(there["settings"])
            os.environ["FAIRWITNESS_DATABASE_OWNER"] = there["owner"]
        result = self.call(name, (self.folder, *args), kwargs)
        if there:
            del os.environ["FAIRWITNESS_DATABASE_OWNER"]
            elsewhere.grant_and_step_down(there["user"])
        self.start()
        self.restart()
        return result

    def reset(self, template: Path, now: float, seed: str) -> None:
        """Begin a new world from a template folder."""
        self.install()
        self.forget()
        for item in list(self.folder.iterdir()) if self.folder.exists() else []:
            shutil.rmtree(item) if item.is_dir() else item.unlink()
        shutil.copytree(template, self.folder, dirs_exist_ok=True)
        CLOCK.now = now
        RANDOM.reset(seed)
        random.seed(seed)
        if not self.ready:
            self.start()
        self.restart()

    def forget(self) -> None:
        """Drop connections and caches, as a process that ends does."""
        if not self.ready:
            return
        from django.core.cache import cache
        from django.db import connection, connections

        acts.forget(self.role)
        connections.close_all()
        if connection.vendor == "postgresql":
            connection.close_pool()
        cache.clear()

    def restart(self) -> None:
        """Begin as a new process would: nothing remembered but the folder."""
        self.forget()
        from fairwitness.kit import journal

        self.journal.clear()
        journal.record_to(self.journal)
        self.beat = acts.make_beat(self.role, RANDOM.act)

    def close_files(self) -> None:
        """Let go of the database, so that its files can be copied."""
        from django.db import connections

        connections.close_all()

    # -- acts

    def http(
        self, method: str, path: str, headers: list[tuple[str, str]], body: bytes, remote: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        RANDOM.act(f"http {method} {path} {hashlib.sha256(body).hexdigest()} {CLOCK.now}")
        url, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(url).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "node",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": remote,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
        }
        for name, value in headers:
            key = name.upper().replace("-", "_")
            environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
        started: list[Any] = []

        def start_response(status: str, answer_headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started[:] = [int(status.split(maxsplit=1)[0]), list(answer_headers)]
            return lambda data: None

        answer = self.application(environ, start_response)
        try:
            content = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return started[0], started[1], content

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        RANDOM.act(f"call {name} {args} {kwargs} {CLOCK.now}")
        module, _, function = name.rpartition(".")
        return getattr(importlib.import_module(module), function)(*args, **kwargs)

    def dump(self) -> dict[str, Any]:
        """Everything that whoever holds this node can read: rows in key order, files, log lines.

        Rows in a PostgreSQL server are left to the driver, who reads them as its administrator: this node may not read all.
        """
        from django.db import connection

        tables = {}
        with connection.cursor() as cursor:
            names = sorted(connection.introspection.table_names(cursor)) if connection.vendor == "sqlite" else []
            for table in names:
                cursor.execute(f'SELECT * FROM "{table}" ORDER BY 1')  # noqa: S608 - its own tables
                columns = [column[0] for column in cursor.description]
                tables[table] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        connection.close()
        files = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and not name.startswith(("db.sqlite3", "run/")):
                files[name] = path.read_bytes()
        return {"tables": tables, "files": files, "journal": [dict(line) for line in self.journal]}

    def raw(self) -> dict[str, bytes]:
        """Every file of the folder byte for byte, the database and its write-ahead log too, and the journal."""
        found = {p.relative_to(self.folder).as_posix(): p.read_bytes() for p in sorted(self.folder.rglob("*")) if p.is_file()}
        return found | {"(journal)": json.dumps(self.journal).encode()}

    def handle(self, message: tuple[Any, ...]) -> Any:
        kind, *rest = message
        match kind:
            case "build":
                name, args, kwargs, now, seed = rest
                return self.build(name, args, kwargs, now, seed)
            case "reset":
                template, now, seed = rest
                return self.reset(Path(template), now, seed)
            case "restart":
                return self.restart()
            case "close":
                return self.forget()
            case "http":
                method, path, headers, body, remote, CLOCK.now = rest
                return self.http(method, path, headers, body, remote)
            case "due":
                return self.beat.next_due()
            case "run":
                (CLOCK.now,) = rest
                return self.beat.run_due(CLOCK.now)
            case "call":
                name, args, kwargs, CLOCK.now = rest
                return self.call(name, args, kwargs)
            case "dump":
                return self.dump()
            case "raw":
                return self.raw()
        raise ValueError(kind)

    def serve(self) -> None:
        while True:
            try:
                message = pickle.loads(self.connection.recv_bytes())  # noqa: S301 - our own parent
            except EOFError:
                return
            try:
                result = ("result", self.handle(message))
            except BaseException as error:  # noqa: BLE001 - the driver decides
                result = ("error", type(error).__name__, getattr(error, "code", ""), str(error), traceback.format_exc())
            self.connection.send_bytes(pickle.dumps(result))


def main(words: list[str]) -> None:
    """Fork one process for each ROLE FOLDER FD, and wait for all of them."""
    for name in SHARED:
        importlib.import_module(name)
    specs = [(words[i], Path(words[i + 1]), int(words[i + 2])) for i in range(0, len(words), 3)]
    gc.freeze()
    children = []
    for role, folder, handle in specs:
        child = os.fork()
        if child == 0:
            for _, _, other in specs:
                if other != handle:
                    os.close(other)
            Node(role, folder, Connection(handle)).serve()
            os._exit(0)
        children.append(child)
    for _, _, handle in specs:
        os.close(handle)
    for child in children:
        os.waitpid(child, 0)


SHARED = (
    "allauth", "apprise", "cryptography.hazmat.primitives.asymmetric.ed25519", "django.contrib.auth",
    "django.db.backends.sqlite3.base", "django.core.handlers.wsgi", "django.forms", "django.template", "django.test.client",
    "fairwitness.kit.http", "fairwitness.kit.supervise", "fairwitness_core.rules.feed", "fairwitness_core.verify.bag", "h3",
    "httpx", "numpy", "pydantic", "pyrage", "shapely", "voprf", "fido2.server", "fairwitness.kit.video.worker",
)  # fmt: skip
"""What every role imports; none of it may read settings, draw randomness that matters, or start a thread."""


if __name__ == "__main__":
    os.environ.setdefault("PYTEST_VERSION", "harness")
    from tests.harness import acts, elsewhere, unseeded

    main(sys.argv[1:])
