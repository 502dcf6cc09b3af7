"""Run something in a child process whose disk turns against it at the n-th write: it dies there, or the write fails.

Two things are offered. `child_killed_at` kills at a call of `os` and is for code without a database. `sweep` plays a *life*
(steps, each with an acknowledgement that a peer relies on) once for every point that changes the disk, `os` calls and SQLite's
commits alike, in four ways: dead before or after the effect, and an error before it (not stored) or after it (stored).
"""

import contextlib
import ctypes
import errno
import io
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS = ("pwrite", "write", "fsync", "fdatasync", "ftruncate", "replace", "rename", "mkdir", "unlink", "rmdir")
WRITES = (*CALLS, "truncate", "link")
KILLED_BEFORE, KILLED_AFTER, NOT_STORED, STORED = "killed before", "killed after", "failed, not stored", "failed, stored"
KILLS = (KILLED_BEFORE, KILLED_AFTER)
FAULTS = (NOT_STORED, STORED)
_KILLED = 77
_FAILED = 78
_SECONDS = 60

type Tell = Callable[[str, int], None]


def child_killed_at(nth: int, when: str, life: Callable[[Tell], object]) -> tuple[bool, list[tuple[str, int]]]:
    """Fork, run `life(tell)` and kill it at disk call number `nth` (from 0), `when` "before" or "after" its effect.

    Returns whether it came to its end without reaching that call, and all that it told before it died. An exception in
    the child is raised here as AssertionError.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        tell_fd, plain_write = writing, os.write
        code = _FAILED
        try:
            signal.alarm(_SECONDS)  # a fork of a threaded runner may stall: then it fails instead
            _arm(nth, when)
            life(lambda word, number: plain_write(tell_fd, f"{word} {number}\n".encode()) and None)
            code = 0
        except BaseException as error:  # noqa: BLE001 - the child must never return into the test runner
            plain_write(tell_fd, f"error {error!r}\n".replace("\n", " ").encode() + b"\n")
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        lines = stream.read().decode().splitlines()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, _KILLED}, f"the child ended with {code}: {lines}"
    told = [(line.rpartition(" ")[0], int(line.rpartition(" ")[2])) for line in lines]
    return code == 0, told


def _arm(nth: int, when: str) -> None:
    left = [nth]

    def wrapped(plain: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] == -1 and when == "before":
                os._exit(_KILLED)
            try:
                return plain(*arguments, **named)
            finally:
                if left[0] == -1:
                    os._exit(_KILLED)

        return call

    for name in CALLS:
        if hasattr(os, name):
            setattr(os, name, wrapped(getattr(os, name)))
    sys.stdout = sys.stderr = io.StringIO()


# ---------------------------------------------------------------- lives with a database


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens at point number `nth` (from 0; -1: nothing ever does). `full`: the error is a full disk, not a broken one."""

    nth: int = -1
    how: str = KILLED_BEFORE
    full: bool = False

    def __str__(self) -> str:
        return f"{self.how} at point {self.nth}" + (" (disk full)" if self.full else "")


@dataclass(slots=True)
class Points:
    """Counts the points of one child and strikes at one of them. `deep`: SQLite's own writes are points too."""

    blow: Blow
    deep: bool = False
    count: int = 0
    struck: str = ""
    resting: int = 0
    names: list[str] = field(default_factory=list)

    def through(self, name: str, plain: Callable[[], Any], fail: Callable[[int], BaseException]) -> Any:
        """Do `plain` as the point `name`, with what the blow makes of it."""
        if self.resting:
            return plain()
        number, self.count = self.count, self.count + 1
        self.names.append(name)
        if number != self.blow.nth:
            return plain()
        self.struck = name
        code = errno.ENOSPC if self.blow.full else errno.EIO
        match self.blow.how:
            case "killed before":
                os._exit(_KILLED)
            case "failed, not stored":
                raise fail(code)
            case "killed after":
                try:
                    plain()
                finally:
                    os._exit(_KILLED)
            case _:
                plain()
                raise fail(code)

    def arm(self) -> None:
        """Put this in the way of `os`, of Django's commits and of statements that commit themselves."""
        for name in WRITES:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        on_postgresql = False
        if "django.db" in sys.modules:
            on_postgresql = self._arm_django()
        if "fairwitness.kit.blobs_s3" in sys.modules:
            self._arm_bucket()
        if self.deep and not on_postgresql:
            _arm_sqlite(self)

    def _wrapped(self, name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            return self.through(name, lambda: plain(*arguments, **named), lambda code: OSError(code, os.strerror(code)))

        return call

    def _arm_bucket(self) -> None:
        """Put this in the way of calls that change the bucket: an answer may be lost, or the call before it got there."""
        import obstore  # noqa: PLC0415 - only where a bucket is used
        from obstore import exceptions  # noqa: PLC0415

        for name in ("put", "delete"):
            plain = getattr(obstore, name)

            def call(*arguments: Any, name: str = name, plain: Callable[..., Any] = plain, **named: Any) -> Any:
                return self.through(
                    f"object {name}", lambda: plain(*arguments, **named), lambda _: exceptions.GenericError("no answer")
                )

            setattr(obstore, name, call)

    def _arm_django(self) -> bool:
        """Arm commits and statements that commit themselves; `deep` on PostgreSQL: every writing statement. Tells if it is that.

        A failure on SQLite is the disk's. On PostgreSQL it is the connection, which is gone afterwards: before the server had
        the commit, or before its answer came; or the server's disk is full, which leaves the connection as it is.
        """
        from django.db import connection as current  # noqa: PLC0415 - only where a role runs
        from django.db.backends.base.base import BaseDatabaseWrapper  # noqa: PLC0415
        from django.db.backends.utils import CursorWrapper  # noqa: PLC0415
        from django.db.utils import OperationalError  # noqa: PLC0415

        on_postgresql = current.vendor == "postgresql"

        def fail(wrapper: Any) -> Callable[[int], BaseException]:
            def make(code: int) -> BaseException:
                if not on_postgresql:
                    return OperationalError("database or disk is full" if code == errno.ENOSPC else "disk I/O error")
                import psycopg  # noqa: PLC0415

                full = code == errno.ENOSPC
                wrapper.errors_occurred = True  # as Django notes by itself where a driver raises
                if not full or self.blow.how == STORED:
                    wrapper.connection.close()
                else:
                    wrapper.connection.rollback()
                error = OperationalError("could not extend file: No space left on device" if full else "the connection is lost")
                error.__cause__ = psycopg.errors.DiskFull("no space") if full else psycopg.OperationalError("lost")
                return error

            return make

        commit, execute = BaseDatabaseWrapper._commit, CursorWrapper.execute  # type: ignore[attr-defined]

        def committing(wrapper: Any) -> Any:
            if wrapper.connection is None:
                return commit(wrapper)
            return self.through("commit", lambda: commit(wrapper), fail(wrapper))

        def executing(cursor: Any, sql: Any, params: Any = None) -> Any:
            verb = str(sql).lstrip()[:6].upper()
            inside = cursor.db.in_atomic_block and not (self.deep and on_postgresql)
            if inside or verb not in ("INSERT", "UPDATE", "DELETE"):
                return execute(cursor, sql, params)
            return self.through("statement", lambda: execute(cursor, sql, params), fail(cursor.db))

        BaseDatabaseWrapper._commit = committing  # type: ignore[attr-defined]
        CursorWrapper.execute = executing  # type: ignore[method-assign, assignment]
        return on_postgresql


_points: Points | None = None


@contextlib.contextmanager
def resting() -> Iterator[None]:
    """What happens inside belongs to another machine: its writes are no points."""
    if _points is None:
        yield
        return
    _points.resting += 1
    try:
        yield
    finally:
        _points.resting -= 1


def disk_is_full() -> bool:
    """Tell whether this child's blow is a full disk as such (SQLite calls some of its own system calls' errors otherwise)."""
    return _points is not None and _points.blow.full and not _points.deep


def _arm_sqlite(points: Points) -> None:
    """Put the points in the way of SQLite's writes, by its own means for tests (sqlite.org, sqlite3_vfs.xSetSystemCall).

    Its syncs cannot be reached so; to a process that dies, one before and one after a sync are the same.
    """
    import _sqlite3  # noqa: PLC0415, F401 - loads the very library that is meant

    library = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libsqlite3" in line)
    lib, libc = ctypes.CDLL(library), ctypes.CDLL(None, use_errno=True)

    class Vfs(ctypes.Structure):
        _fields_ = [
            ("version", ctypes.c_int), ("size", ctypes.c_int), ("path", ctypes.c_int), ("next", ctypes.c_void_p),
            ("name", ctypes.c_char_p), ("data", ctypes.c_void_p), *((f"x{n}", ctypes.c_void_p) for n in range(13)),
            ("set_system_call", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)),
        ]  # fmt: skip

    lib.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
    vfs = lib.sqlite3_vfs_find(None)
    size, place = ctypes.c_size_t, ctypes.c_longlong
    kinds = {
        "pwrite64": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, size, place),
        "pwrite": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, size, place),
        "ftruncate": (ctypes.c_int, ctypes.c_int, place),
    }

    def wrap(name: str, kind: tuple[Any, ...]) -> Any:
        plain = getattr(libc, name)
        plain.restype, plain.argtypes = kind[0], kind[1:]

        def call(*arguments: Any) -> int:
            def do() -> int:
                found = plain(*arguments)
                return int(found)

            try:
                return int(points.through(f"sqlite {name}", do, lambda code: OSError(code, "")))
            except OSError as error:
                ctypes.set_errno(error.errno or errno.EIO)
                return -1

        return ctypes.CFUNCTYPE(*kind, use_errno=True)(call)

    for name, kind in kinds.items():
        hook = wrap(name, kind)
        _kept.append(hook)
        vfs.contents.set_system_call(ctypes.cast(vfs, ctypes.c_void_p), name.encode(), ctypes.cast(hook, ctypes.c_void_p))


_kept: list[Any] = []


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: a kill leaves what the kernel was given, so no disk need be waited for."""
    shared = Path("/dev/shm")  # noqa: S108 - a fresh folder of a random name is made in it
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > 1 << 28
    folder = Path(tempfile.mkdtemp(prefix="fairwitness-kills-", dir=shared if roomy else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


type Serve = Callable[..., Any]


def _receive(stream: Any) -> Any:
    return pickle.load(stream)  # noqa: S301 - from our own fork


class Line:
    """A child's line to the test: `tell` what a peer was told, `ask` what only the test's process can answer."""

    def __init__(self, end: socket.socket) -> None:
        self._stream = end.makefile("rwb")

    def tell(self, word: str, value: Any = None) -> None:
        """Say that a peer has this now; it is with the test when this returns."""
        self._send(("tell", word, value))

    def ask(self, *question: Any) -> Any:
        """Have the test's process answer."""
        self._send(("ask", *question))
        return _receive(self._stream)

    def _send(self, message: tuple[Any, ...]) -> None:
        pickle.dump(message, self._stream)
        self._stream.flush()


class Server:
    """The other side in a process of its own, forked from the test's: it lives on when the child dies.

    `handle(*question)` answers; an error of its is the test's.
    """

    def __init__(self, handle: Callable[..., Any]) -> None:
        ours, theirs = socket.socketpair()
        self._process = os.fork()
        if self._process == 0:
            ours.close()
            _serve(handle, theirs)
        theirs.close()
        self._stream = ours.makefile("rwb")
        ours.close()

    def ask(self, *question: Any) -> Any:
        """Return the answer."""
        pickle.dump(question, self._stream)
        self._stream.flush()
        kind, answer = _receive(self._stream)
        assert kind == "answer", answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._stream.close()
        os.waitpid(self._process, 0)


def _serve(handle: Callable[..., Any], end: socket.socket) -> None:
    try:
        sys.stdout = sys.stderr = io.StringIO()
        stream = end.makefile("rwb")
        while True:
            question = _receive(stream)
            try:
                answer = ("answer", handle(*question))
            except Exception:  # noqa: BLE001 - told to the test
                answer = ("defect", traceback.format_exc())
            pickle.dump(answer, stream)
            stream.flush()
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)


@dataclass(slots=True)
class Outcome:
    """How a child ended: alive or killed, at which point it was struck, what it told, and the points that it passed."""

    alive: bool
    struck: str = ""
    told: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def child(life: Callable[[Line], object], blow: Blow | None, serve: Serve | None = None, *, deep: bool = False) -> Outcome:
    """Fork and run `life(line)` under a blow; `serve` answers what it asks. A defect in the child is raised here."""
    ours, theirs = socket.socketpair()
    process = os.fork()
    if process == 0:
        ours.close()
        _child(life, blow, Line(theirs), deep=deep)
    theirs.close()
    found, defect = Outcome(alive=False), ""
    stream = ours.makefile("rwb")
    try:
        while True:
            try:
                message = _receive(stream)
            except EOFError:
                break
            match message:
                case ("tell", "error", value):
                    found.errors.append(value)
                case ("tell", word, value):
                    found.told[word] = value
                case ("ask", *question):
                    assert serve is not None
                    pickle.dump(serve(*question), stream)
                    stream.flush()
                case ("end", struck, names):
                    found.alive, found.struck, found.names = True, struck, names
                case ("defect", text):
                    defect = text
    finally:
        stream.close()
        ours.close()
        _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    assert not defect, f"the child ended with {code} after {found.told.keys()}:\n{defect}"
    assert code in {0, _KILLED}, f"the child ended with {code} after {found.told.keys()}"
    return found


def _child(life: Callable[[Line], object], blow: Blow | None, line: Line, *, deep: bool) -> None:
    global _points  # noqa: PLW0603 - one life per process
    code = _FAILED
    try:
        signal.alarm(_SECONDS)
        sys.stdout = sys.stderr = io.StringIO()
        if blow is not None:
            _points = Points(blow, deep)
            _points.arm()
        life(line)
        line._send(("end", _points.struck if _points else "", _points.names if _points else []))
        code = 0
    except BaseException:  # noqa: BLE001 - the child must never return into the test runner
        line._send(("defect", traceback.format_exc()))
    finally:
        os._exit(code)


@dataclass(frozen=True, slots=True)
class Life:
    """What to play. `restore` lays out the prepared folder; `steps` are named acts whose return value the peer is told.

    A step may be taken again with the same arguments until it answers. `expected` tells whether an error is one that a role
    may answer with. `check(told)` looks at the whole world when the life is over. `begin` sets a
    fresh process up as the role, knowing what was told before; `crashed(told)` looks at what
    stands on the disk right after a kill. `instead`: what people do after it, having changed their minds; `check` is told `mind`.
    """

    restore: Callable[[], object]
    begin: Callable[[Line, dict[str, Any]], object]
    steps: Sequence[tuple[str, Callable[[], Any]]]
    check: Callable[[dict[str, Any]], object]
    expected: Callable[[BaseException], bool]
    crashed: Callable[[dict[str, Any]], object] = lambda told: None
    serve: Serve | None = None
    tries: int = 4
    instead: Sequence[tuple[str, Callable[[], Any]]] | None = None


def sweep(life: Life, hows: Sequence[str], *, most: int = 10_000, deep: bool = False) -> list[str]:
    """Play `life` once for each point and each way in `hows`, at most `most` points spread evenly; return all points' names.

    Every play ends well: what was told holds, what was not told is done by the next try, and the world is whole.
    """
    life.restore()
    plain = child(lambda line: _whole(life, line, {}), Blow(), life.serve, deep=deep)
    total = len(plain.names)
    chosen = range(total) if total <= most else sorted({round(n * (total - 1) / (most - 1)) for n in range(most)})
    for turn, nth in enumerate(chosen):
        for how in hows:
            _strike(life, Blow(nth, how, full=bool(turn % 2)), deep=deep)
    return plain.names


def _strike(life: Life, blow: Blow, *, deep: bool) -> None:
    life.restore()
    found = None
    try:
        found = child(lambda line: _whole(life, line, {}), blow, life.serve, deep=deep)
        if not found.alive:
            told = dict(found.told)
            child(lambda line: _whole(life, line, told, after_crash=True), None, life.serve)
    except AssertionError as error:
        where = f" [{found.struck}] after {found.errors}" if found else ""
        raise AssertionError(f"{blow}{where}: {error}") from error


def _tidy() -> None:
    """Give up a connection that failed, as every request, job and turn of the sequencer does around itself."""
    if "django.db" in sys.modules:
        from django.db import close_old_connections  # noqa: PLC0415 - only where a role runs

        close_old_connections()


def _whole(life: Life, line: Line, told: dict[str, Any], *, after_crash: bool = False) -> None:
    """Play what peers have not been told yet, then look at everything, in the same process with all that it remembers."""
    life.begin(line, told)
    if after_crash:
        life.crashed(told)
    steps = life.steps
    if after_crash and life.instead is not None and not any(name in told for name, _ in steps):
        steps = life.instead
        told["mind"] = "changed"
    for name, step in steps:
        if name in told:
            continue
        for left in reversed(range(life.tries)):
            try:
                answer = step()
                break
            except Exception as error:
                if not life.expected(error) or not left:
                    raise
                line.tell("error", f"{name}: {error!r}")
                _tidy()
        line.tell(name, answer)
        told[name] = answer
    with resting():
        life.check(told)
