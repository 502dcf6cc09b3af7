"""`fairwitness <role> run`: one supervisor, and under it web, beat and (on the hub) the sequencer, each its own process.

A child that dies is started again, with a growing pause. SIGTERM and SIGINT stop everything gracefully: nothing new is
begun, idle connections are closed, each child finishes what it is doing, and what takes longer than `stop_seconds` is killed.
A second signal kills at once. Whatever a killed child had acknowledged is on disk.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairwitness.kit import config, files, process
from fairwitness.kit.files import FileLock, Locked
from fairwitness.kit.journal import Event, error_code, log, place_of
from fairwitness.kit.settings import config_of

_LONGEST_PAUSE = 30
_STABLE = 30
_READY_SECONDS = 60
_HEAD_MS = 10_000  # for a request's head, and for the next one on a kept connection
_HEAD_BYTES = 1 << 16
_BACKLOG = 4096
_CONNECTIONS = 8192  # of one worker; each needs a file descriptor
ROLES = ("hub", "home", "agency")
CONFIGURATION = 78
"""Exit status of a node that somebody has to do something for first (sysexits' EX_CONFIG); the units do not try again."""

_KILL_MARGIN = 2  # seconds in which the web process kills its own workers

_stop = threading.Event()
_at_once = threading.Event()


def stopping() -> threading.Event:
    """Return the event that is set when this process should finish what it does and end."""
    return _stop


def setup(role: str, data_dir: Path | None = None) -> None:
    """Make this process one of `role`: environment, settings, Django. Raises ConfigError."""
    if role not in ROLES:
        raise config.ConfigError(f"no such role: {role}")
    if data_dir is not None:
        os.environ[config.DATA_VARIABLE] = str(data_dir.absolute())
    os.environ["DJANGO_SETTINGS_MODULE"] = f"fairwitness.{role}.settings"
    process.harden()
    import django  # noqa: PLC0415 - reads the environment set above

    django.setup()


def wsgi(role: str) -> Any:
    """Return the role's WSGI application."""
    return _application(role)


def rsgi(role: str, largest_body: int) -> Any:
    """Return the role's application behind kit.front, for a node that strangers reach: no client can hold its threads."""
    application = _application(role)
    from fairwitness.kit import front  # noqa: PLC0415 - settings must be ready first

    cfg = config.current(config.RoleConfig)
    folder = cfg.folder("run", "bodies") / str(os.getpid())
    reserve = int(getattr(cfg, "min_free_bytes", 0))
    return front.make(application, folder, threads=cfg.threads, largest=max(largest_body, cfg.max_body_bytes), reserve=reserve)


def _application(role: str) -> Any:
    process.harden()  # granian makes its workers itself, each a new process
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"fairwitness.{role}.settings")
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415 - reads the environment set above

    if config.PORT_VARIABLE in os.environ:
        _watch_parent(_leave)
    application = get_wsgi_application()
    from fairwitness.kit.http_static import Remembered  # noqa: PLC0415 - settings must be ready first

    return Remembered(application)


@dataclass(slots=True)
class _Child:
    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    again_at: float = field(default=0.0)

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
        self.started = time.monotonic()

    def check(self) -> None:
        """Note a death, and start again when the pause is over."""
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return
            self.failures = 1 if time.monotonic() - self.started > _STABLE else self.failures + 1
            pause = min(2 ** (self.failures - 1), _LONGEST_PAUSE)
            log(Event.CHILD_DIED, process=self.name, status=status, restart_in=pause)
            self.process = None
            self.again_at = time.monotonic() + pause
        elif time.monotonic() >= self.again_at:
            self.start()


def run(role: str, data_dir: Path, *, out: Any = None) -> int:
    """Run a node until it is told to stop, and return the exit status.

    Prints `{"ready": true, "url": ...}` on standard output once the web process answers. `<data>/run/address` then holds
    the url and `<data>/run/supervisor.pid` this process's id. What somebody must mend first (settings, an older or newer schema,
    a key half replaced) is told on standard error, and the status is CONFIGURATION. Raises Locked if the data folder is in use.
    """
    _stop.clear()
    _at_once.clear()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    files.private_dir(data_dir)
    run_folder = files.private_dir(data_dir / "run")
    try:
        lock = FileLock(run_folder / "supervisor.lock").acquire(wait=False)
    except Locked:
        raise Locked(f"{data_dir} is in use by another process of this program") from None
    try:
        return _run(role, data_dir, run_folder, sys.stdout if out is None else out)
    except config.ConfigError as error:
        sys.stderr.write(f"fairwitness {role}: {error}\n")
        return CONFIGURATION
    finally:
        lock.release()


def _run(role: str, data_dir: Path, run_folder: Path, out: Any) -> int:
    os.environ[config.DATA_VARIABLE] = str(data_dir.absolute())
    cfg = config.load(config_of(role), data_dir.absolute())
    port = cfg.port or _remembered_port(run_folder, cfg.host)
    os.environ[config.PORT_VARIABLE] = str(port)
    setup(role, data_dir)
    from fairwitness.kit.operate import rotate  # noqa: PLC0415 - it needs this module

    rotate.refuse_unfinished(data_dir)
    from django.db import connections  # noqa: PLC0415 - settings must be ready first

    from fairwitness.kit import database  # noqa: PLC0415 - settings must be ready first

    database.migrate_at_start()
    connections.close_all()
    from fairwitness.kit.operate import upgrade  # noqa: PLC0415 - it needs this module

    upgrade.note(data_dir.absolute())
    cfg = config.current(config_of(role))
    files.write_atomic(run_folder / "supervisor.pid", str(os.getpid()).encode())
    log(Event.STARTED, process="supervisor", version=importlib.metadata.version("fairwitness"))
    names = ["web", "beat", *(["sequencer"] if role == "hub" else [])]
    children = [
        _Child(name, [sys.executable, "-m", "fairwitness.kit.supervise", name, role, str(data_dir.absolute())]) for name in names
    ]
    try:
        for child in children:
            child.start()
        status = _wait_ready(cfg.host, port, children)
        if status is None:
            files.write_atomic(run_folder / "address", cfg.url.encode())
            print(json.dumps({"ready": True, "url": cfg.url}), file=out, flush=True)
            while not _stop.wait(0.2):
                for child in children:
                    child.check()
        return status or 0
    finally:
        _end(children, cfg.stop_seconds)
        for name in ("address", "supervisor.pid"):
            (run_folder / name).unlink(missing_ok=True)
        log(Event.STOPPED, process="supervisor")


def _wait_ready(host: str, port: int, children: list[_Child]) -> int | None:
    """Return None when the web process answers, 0 when told to stop first, 1 when it does not come up."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if _stop.is_set():
            return 0
        for child in children:
            child.check()
            if child.name == "web" and child.failures >= 3:
                return 1
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return None
        _stop.wait(0.05)
    return 1


def _end(children: list[_Child], seconds: int) -> None:
    """Ask every child to finish, and kill what has not after `seconds`, or when this process is told a second time."""
    processes = [child.process for child in children if child.process is not None]
    for process_ in processes:
        process_.terminate()
    if _all_gone(processes, seconds, unless=_at_once):
        return
    for child in children:
        if child.process is not None:
            # The web process has workers of its own: it kills them and then ends by itself.
            child.process.send_signal(signal.SIGUSR1 if child.name == "web" else signal.SIGKILL)
    _all_gone(processes, _KILL_MARGIN)
    for process_ in processes:
        process_.kill()
        process_.wait()


def _all_gone(processes: list[subprocess.Popen[bytes]], seconds: float, unless: threading.Event | None = None) -> bool:
    deadline = time.monotonic() + seconds
    while any(process_.poll() is None for process_ in processes):
        if time.monotonic() > deadline or (unless is not None and unless.is_set()):
            return False
        time.sleep(0.05)
    return True


def _remembered_port(run_folder: Path, host: str) -> int:
    """Return the free port chosen at an earlier start if it is still free, else another one, and remember it."""
    path = run_folder / "port"
    wanted = [int(path.read_text())] if path.exists() and path.read_text().isdecimal() else []
    for candidate in [*wanted, 0]:
        with contextlib.suppress(OSError), _listening(host, candidate) as port:
            files.write_atomic(path, str(port).encode())
            return port
    raise config.ConfigError(f"no port is free on {host}")


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        yield int(probe.getsockname()[1])


def _on_signal(_number: int, _frame: types.FrameType | None) -> None:
    if _stop.is_set():
        _at_once.set()
    _stop.set()


def _kill_workers(_number: int, _frame: types.FrameType | None) -> None:
    """Kill the web process's workers: only it can. Not on a second SIGTERM, which systemd sends to every process at once."""
    for worker in multiprocessing.active_children():
        worker.kill()


def _fork_without_handlers() -> None:
    """Let a worker that is told to stop before it set up its own handlers end: one it inherits would swallow the signal."""
    told = (signal.SIGTERM, signal.SIGINT)

    def before() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, told)

    def in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, told)

    def in_child() -> None:
        for number in told:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, told)

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def _web(role: str, data_dir: Path) -> None:
    """Serve the role's pages and API by granian until told to stop; the access log is off."""
    from granian import Granian  # noqa: PLC0415 - only this process needs it
    from granian.constants import HTTPModes, Interfaces, Loops  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415

    cfg = config.load(config_of(role), data_dir)
    os.environ["DJANGO_SETTINGS_MODULE"] = f"fairwitness.{role}.settings"
    _raise_files()
    signal.signal(signal.SIGUSR1, _kill_workers)
    _fork_without_handlers()
    bare = importlib.util.find_spec(f"fairwitness.{role}.rsgi") is not None
    shutil.rmtree(data_dir / "run" / "bodies", ignore_errors=True)
    Granian(
        f"fairwitness.{role}.{'rsgi' if bare else 'wsgi'}:application",
        address=cfg.host,
        port=cfg.port or int(os.environ[config.PORT_VARIABLE]),
        interface=Interfaces.RSGI if bare else Interfaces.WSGI,
        loop=Loops.asyncio,
        workers=cfg.workers,
        blocking_threads=1 if bare else cfg.threads,
        # HTTP/1 alone: where the server must first find out which it is, a connection that says nothing is never closed.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEAD_MS, max_buffer_size=_HEAD_BYTES),
        websockets=False,
        # Connections, not requests: with fewer, some idle ones would keep everybody else out.
        backlog=_BACKLOG,
        backpressure=_CONNECTIONS,
        respawn_failed_workers=True,
        workers_kill_timeout=cfg.stop_seconds,
        log_enabled=False,
        log_access=False,
        ssl_cert=Path(cfg.tls_certificate) if cfg.tls_certificate else None,
        ssl_key=Path(cfg.tls_key) if cfg.tls_key else None,
    ).serve()


def _raise_files() -> None:
    """Allow this process and its workers the file descriptors that so many connections need, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _CONNECTIONS if hard == resource.RLIM_INFINITY else min(2 * _CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _beat(role: str, data_dir: Path) -> None:
    """Run the role's jobs until told to stop."""
    from fairwitness.kit.accounts import services  # noqa: PLC0415 - settings must be ready first
    from fairwitness.kit.beat import Beat, Job  # noqa: PLC0415
    from fairwitness.kit.database import SessionLock  # noqa: PLC0415

    name = f"fairwitness.{role}.tasks"
    own: list[Job] = importlib.import_module(name).beat_jobs() if importlib.util.find_spec(name) else []
    place = files.private_dir(data_dir / "run") / "beat.at"
    # In the lane of the role's own work, so that a job that hangs shows in `doctor` and in the metrics.
    heartbeat = Job("operate.heartbeat", 30, lambda now: files.write_atomic(place, str(now).encode()), at_start=True)
    jobs = [*own, heartbeat, Job("accounts.clear_expired", 86400, services.clear_expired)]
    Beat(jobs, lock=files.private_dir(data_dir / "run") / "beat.lock", shared=SessionLock("beat")).run(_stop)


def child(name: str, role: str, data_dir: Path) -> None:
    """Be one of the children: web, beat or sequencer. An exception ends it with a place and a kind, never with its text."""
    process.harden()
    threading.excepthook = lambda seen: _defect(seen.exc_value)
    try:
        _child(name, role, data_dir)
    except Exception as error:  # noqa: BLE001 - a trace on standard error could quote what somebody sent
        _defect(error)
        raise SystemExit(1) from None


def _defect(error: BaseException | None) -> None:
    if error is not None:
        log(Event.DEFECT, where=place_of(error), error=error_code(error))


def _child(name: str, role: str, data_dir: Path) -> None:
    if name == "web":
        _watch_parent(_leave)
        _web(role, data_dir)
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    _watch_parent(_stop.set)
    setup(role, data_dir)
    if name == "beat":
        _beat(role, data_dir)
    elif name == "sequencer":
        importlib.import_module(f"fairwitness.{role}.sequencer").main()
    else:
        raise SystemExit(f"no such process: {name}")


def _watch_parent(act: Callable[[], None]) -> None:
    """Call `act` in a thread when this process's parent is gone, so that no orphan goes on writing or listening."""
    parent = os.getppid()

    def follow() -> None:
        while not _stop.wait(0.5):
            if os.getppid() != parent:
                act()
                return

    threading.Thread(target=follow, daemon=True, name="parent").start()


def _leave() -> None:
    """End a web process whose parent died: nothing that it acknowledged is lost, its commits are on disk."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2)
    os._exit(1)


if __name__ == "__main__":
    # Of the module as everybody else imports it: under `-m` this one is a second copy, and its stop event is nobody's.
    importlib.import_module("fairwitness.kit.supervise").child(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
