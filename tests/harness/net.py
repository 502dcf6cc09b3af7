"""The driver's side: starts nodes, routes their calls to each other, and records what each actor can see."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]


class NodeError(AssertionError):
    """A node raised; carries its kind and code so that tests can expect a refusal."""

    def __init__(self, kind: str, code: str, message: str, trace: str) -> None:
        super().__init__(f"{kind} {code}: {message}\n{trace}")
        self.kind, self.code, self.message = kind, code, message


@dataclass(slots=True)
class Message:
    """One exchange as its two ends see it; `at` is virtual time."""

    at: float
    source: str
    target: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    status: int = 0
    answer_headers: list[tuple[str, str]] = field(default_factory=list)
    answer: bytes = b""
    address: str = ""


class Remote:
    """A node process and the pipe to it."""

    def __init__(self, name: str, role: str, folder: Path, net: "Net", connection: Connection) -> None:
        self.name, self.role, self.folder, self.net, self.connection = name, role, folder, net, connection

    def ask(self, *message: Any) -> Any:
        """Send one command; serve the node's own calls while waiting for the result."""
        self.connection.send_bytes(pickle.dumps(message))
        while True:
            answer = pickle.loads(self.connection.recv_bytes())  # noqa: S301 - our own child
            if answer[0] == "result":
                return answer[1]
            if answer[0] == "error":
                raise NodeError(*answer[1:])
            if answer[0] == "out":
                _, method, url, headers, body = answer
                reply: Any = self.net.route(self.name, method, url, headers, body)
            else:
                reply = self.net.push(self.name, answer[1:])
            self.connection.send_bytes(pickle.dumps(reply))

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a public function of the node at the present virtual time."""
        return self.ask("call", name, args, kwargs, self.net.now)

    def act(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the role's acts in the node."""
        return self.call(f"tests.harness.acts.{self.role}.{name}", *args, **kwargs)

    def build(self, *args: Any, seed: str, **kwargs: Any) -> Any:
        """Make the node's folder with its role's `build`."""
        return self.ask("build", f"tests.harness.acts.{self.role}.build", args, kwargs, self.net.now, seed)


class Net:
    """Virtual network and virtual time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.process: subprocess.Popen[bytes]
        self.nodes: dict[str, Remote] = {}
        self.hosts: dict[str, Callable[[Message], None]] = {}
        self.messages: list[Message] = []
        self.pushes: list[tuple[float, str, tuple[Any, ...]]] = []
        self.tamper: Callable[[Message], bool] = lambda message: False
        self.twist: Callable[[Message], None] = lambda message: None
        self.active: set[str] = set()

    def start(self, roles: dict[str, str]) -> None:
        """Start a process for each name with its role: forks of one, which imports what all of them need."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_"))}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment["PYTHONHASHSEED"] = "0"
        words, handles = [], []
        for name, role in roles.items():
            folder = self.folder / "nodes" / name
            folder.mkdir(parents=True, mode=0o700)
            ours, theirs = Pipe()
            words += [role, str(folder), str(theirs.fileno())]
            handles.append(theirs)
            self.nodes[name] = remote = Remote(name, role, folder, self, ours)
            self.hosts[f"{name}.test"] = self._deliver_to(remote)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.node", *words],
            pass_fds=[handle.fileno() for handle in handles],
            env=environment,
            cwd=ROOT,
        )
        for handle in handles:
            handle.close()

    def wsgi(self, host: str, application: Any, up: Callable[[], bool] = lambda: True) -> None:
        """Serve a WSGI application (a witness) in this process under a host name, while it is `up`."""
        self.hosts[host] = lambda message: _run_wsgi(application, message) if up() else None

    def _deliver_to(self, remote: Remote) -> Callable[[Message], None]:
        def deliver(message: Message) -> None:
            if remote.name not in self.active:
                return
            message.status, message.answer_headers, message.answer = remote.ask(
                "http", message.method, message.path, message.headers, message.body, message.address, self.now
            )

        return deliver

    def address(self, name: str) -> str:
        """The network address that others see a node at: its own, the same in every world."""
        return f"10.0.{hashlib.sha256(name.encode()).digest()[0]}.{hashlib.sha256(name.encode()).digest()[1]}"

    def route(self, source: str, method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> Any:
        """Carry one call; None stands for a host that does not answer."""
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        message = Message(self.now, source, parts.netloc, method, path, headers, body, address=self.address(source))
        deliver = self.hosts.get(parts.netloc)
        if deliver is not None and not self.tamper(message):
            deliver(message)
            self.twist(message)
        self.messages.append(message)
        if message.status == 0:
            return None
        return message.status, message.answer_headers, message.answer

    def push(self, source: str, what: tuple[Any, ...]) -> bool:
        """A message to a notification provider: who, when, to which account, what."""
        self.pushes.append((self.now, source, what))
        return True

    def reset(self, templates: dict[str, Path], *, now: float, seed: str) -> None:
        """Start a world: each named node from its template."""
        self.now = now
        self.messages, self.pushes = [], []
        self.tamper = lambda message: False
        self.twist = lambda message: None
        self.active = set(templates)
        for name, template in templates.items():
            self.nodes[name].ask("reset", str(template), now, f"{seed}/{name}")

    def until(self, end: float, *, after_step: Callable[[], None] = lambda: None) -> None:
        """Let time pass: run each node's beat when it is due, in a fixed order (the hub first), up to `end`."""
        order = sorted(self.active, key=lambda name: (name != "hub", name))
        known: dict[str, float | None] = {}
        while True:
            due = []
            for name in order:
                if name not in known:
                    known[name] = self.nodes[name].ask("due")
                moment = known[name]
                if moment is not None and moment <= end:
                    due.append((max(moment, self.now), name))
            if not due:
                self.now = max(self.now, end)
                return
            moment = min(due)[0]
            self.now = moment
            for at, name in due:
                if at == moment:
                    self.nodes[name].ask("run", moment)
                    del known[name]
            after_step()

    def close(self) -> None:
        for remote in self.nodes.values():
            remote.connection.close()
        self.process.wait(timeout=20)


def _run_wsgi(application: Any, message: Message) -> None:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        message.status, message.answer_headers = int(status.split(maxsplit=1)[0]), list(headers)
        return lambda data: None

    environ = {
        "REQUEST_METHOD": message.method,
        "PATH_INFO": message.path,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(message.body)),
        "wsgi.input": io.BytesIO(message.body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "SERVER_NAME": message.target,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    for name, value in message.headers:
        key = name.upper().replace("-", "_")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
    message.answer = b"".join(application(environ, start))


def group(messages: list[Message], end: str) -> dict[str, list[Message]]:
    """Split messages by one end's name."""
    found: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        found[getattr(message, end)].append(message)
    return found


def scratch() -> Path:
    """A fresh folder for one run of the harness, in memory where the system has such a place."""
    memory = Path("/dev/shm")  # noqa: S108
    return Path(tempfile.mkdtemp(prefix="fairwitness-world-", dir=memory if os.access(memory, os.W_OK) else None))
