"""Fetching by a plug-in: another program, which the owner installed and named, that speaks docs/spec/plugin.md.

It is started for one look and ended after it, under limits and a deadline. What it says is taken for hostile: what counts is the
file that lies in the one place that it was told, looked into by the isolated worker, at a time inside of what was asked.
"""

import contextlib
import hashlib
import json
import os
import re
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters.base import Known, Look, SourceProblem, Span
from fairwitness.home.adapters.chain import Chain, file_sha256
from fairwitness.home.adapters.rtsp import look_at_chain
from fairwitness.kit import files, foreign
from fairwitness.kit.video.worker import pictures_each, probe_each

PROTOCOL: Final = 1
MAX_LINE: Final = 1 << 20
MAX_SECRET: Final = 16_384
MAX_DEVICES: Final = 200
MAX_RECORDINGS: Final = 500
MAX_FILE: Final = 512 << 20
MAX_LOOK: Final = 2 << 30
"""Bytes that one look fetches at most; the next look goes on."""
ANSWER_S: Final = 60.0
FETCH_S: Final = 300.0
LOOK_S: Final = 900.0
SETTLE_S: Final = 120
"""A recording that ended so lately may not be at the vendor yet."""
PADDING_S: Final = 600
"""Asked for before and after a request's window, so that the vendor does not learn the window itself."""
AGAIN_S: Final = 900
TRIES: Final = 8
"""So often a window that fails is asked for, then no more: each time tells the vendor something."""
LATE_S: Final = 3600
"""For so long after a window has ended, the vendor may still add to it."""
RESERVE: Final = 512 << 20
CODES: Final = frozenset({"sign_in", "code_needed", "unreachable", "missing", "too_large", "rate", "vendor"})
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,32}")


@dataclass(frozen=True, slots=True)
class Hello:
    """What a plug-in says of itself. `vendor`: who learns that something was fetched, for the owner to read."""

    name: str
    version: str
    vendor: str


@dataclass(frozen=True, slots=True)
class Device:
    """A camera that the vendor's account has."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A recording at the vendor: begin (Unix seconds UTC), and length in seconds where the vendor says it."""

    id: str
    start: float
    seconds: float | None


def explain(code: str) -> str:
    """Say what a SourceProblem of this module means, for the owner."""
    return {
        "start": _("The plug-in's program cannot be started."),
        "version": _("The plug-in speaks another version than this home."),
        "slow": _("The plug-in did not answer in time and was ended."),
        "ended": _("The plug-in ended in the middle of its work."),
        "sign_in": _("The vendor does not accept this user and password, or the sign-in has run out."),
        "code_needed": _("The vendor has sent you a code. Give it with --code."),
        "unreachable": _("The vendor cannot be reached."),
        "rate": _("The vendor asks to wait. It is tried again later."),
        "disk": _("There is too little room on this node's disk."),
    }.get(code, _("The plug-in gave an answer that cannot be used."))


class Program:
    """A running plug-in. `keep` is called with each new secret that it hands back, at once: old ones may be void then."""

    def __init__(self, program: Path, keep: Callable[[str], None], scratch: Path, seconds: float = LOOK_S) -> None:
        self._keep, self._until, self._number, self._buffer = keep, time.monotonic() + seconds, 0, b""
        command = [sys.executable, "-m", "fairwitness.home.adapters.confined", str(MAX_FILE), str(program)]
        kept = {name: os.environ[name] for name in ("PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the owner named the program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=scratch,
                env=kept,
                start_new_session=True,
            )
        except OSError as error:
            raise SourceProblem("start") from error

    def ask(self, do: str, seconds: float = ANSWER_S, **values: object) -> dict[str, Any]:
        """Send one question and return its answer. Raises SourceProblem."""
        self._number += 1
        line = json.dumps({"id": self._number, "do": do, **values}).encode() + b"\n"
        stdin = self._process.stdin
        until = min(time.monotonic() + seconds, self._until)
        if stdin is None:
            raise SourceProblem("ended")
        try:
            self._write(stdin.fileno(), line, until)
        except BrokenPipeError as error:
            raise SourceProblem("ended") from error
        return self._read(until)

    def _write(self, handle: int, line: bytes, until: float) -> None:
        os.set_blocking(handle, False)
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_WRITE)
            while line:
                if not selector.select(max(until - time.monotonic(), 0)):
                    raise SourceProblem("slow")
                line = line[os.write(handle, line) :]

    def _read(self, until: float) -> dict[str, Any]:
        line = self._line(until)
        try:
            found = foreign.json_value(line)
        except ValueError as error:
            raise SourceProblem("answer") from error
        if not isinstance(found, dict) or found.get("id") != self._number or type(found["id"]) is not int:
            raise SourceProblem("answer")
        secret = found.get("secret")
        if secret is not None:
            if not isinstance(secret, str) or not 0 < len(secret) <= MAX_SECRET:
                raise SourceProblem("answer")
            self._keep(secret)
        if "error" in found:
            code = found["error"]
            raise SourceProblem(code if isinstance(code, str) and code in CODES else "answer")
        return found

    def _line(self, until: float) -> bytes:
        stdout = self._process.stdout
        if stdout is None:
            raise SourceProblem("ended")
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if len(self._buffer) > MAX_LINE:
                    raise SourceProblem("answer")
                left = until - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise SourceProblem("slow")
                data = os.read(stdout.fileno(), 65536)
                if not data:
                    raise SourceProblem("start" if self._number == 1 else "ended")
                self._buffer += data
        line, _newline, self._buffer = self._buffer.partition(b"\n")
        if self._buffer or len(line) > MAX_LINE:
            raise SourceProblem("answer")  # it says more than it was asked
        return line

    def end(self) -> None:
        """Close its input, and end it and all that it started if it does not go by itself."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    # -- the questions, with their answers checked

    def hello(self) -> Hello:
        """Agree on the version. Raises SourceProblem `version`."""
        found = self.ask("hello", protocol=PROTOCOL)
        if found.get("protocol") != PROTOCOL:
            raise SourceProblem("version")
        said = (found.get("name"), found.get("version"), found.get("vendor"))
        name, version, vendor = said
        if not isinstance(name, str) or not isinstance(version, str) or not isinstance(vendor, str):
            raise SourceProblem("answer")
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version) or not _plain(vendor, 80):
            raise SourceProblem("answer")
        return Hello(name, version, vendor)

    def devices(self) -> list[Device]:
        """Return the cameras of the account. Raises SourceProblem."""
        rows = _rows(self.ask("devices"), "devices", MAX_DEVICES)
        found = [Device(row.get("id", ""), row.get("name", "")) for row in rows]
        if not all(_plain(one.id, 200) and _plain(one.name, 200) for one in found):
            raise SourceProblem("answer")
        return found

    def recordings(self, device: str, start: int, end: int) -> list[Stored]:
        """Return what lies in a time, in order of start; anything outside is left out unseen. Raises SourceProblem."""
        rows = _rows(self.ask("recordings", device=device, start=start, end=end), "recordings", MAX_RECORDINGS)
        found: dict[str, Stored] = {}
        for row in rows:
            name, begin, seconds = row.get("id"), row.get("start"), row.get("seconds")
            if not _plain(name, 200) or not _number(begin, 2**40) or not (seconds is None or _number(seconds, 86_400)):
                raise SourceProblem("answer")
            one = Stored(str(name), float(str(begin)), None if seconds is None else float(str(seconds)))
            if start <= one.start < end:
                found[one.id] = one
        return sorted(found.values(), key=lambda one: (one.start, one.id))

    def fetch(self, device: str, stored: Stored, target: Path, most: int) -> int:
        """Have one written to `target` and return its size as it lies there. Raises SourceProblem, OSError."""
        target.unlink(missing_ok=True)
        said = self.ask("fetch", FETCH_S, device=device, recording=stored.id, path=str(target), max_bytes=most)
        handle = -1
        try:
            handle = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            info = os.fstat(handle)
            # A link, a device or a second name for some other file of this user would be handed to the police.
            if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1 or info.st_uid != os.geteuid():
                raise SourceProblem("answer")
            if type(said.get("size")) is not int or said["size"] != info.st_size or not 0 < info.st_size <= most:
                raise SourceProblem("answer")
            os.fsync(handle)
        except OSError as error:
            raise SourceProblem("answer") from error
        finally:
            if handle >= 0:
                os.close(handle)
        return info.st_size


def _rows(answer: dict[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    rows = answer.get(name)
    if not isinstance(rows, list) or len(rows) > most or not all(isinstance(row, dict) for row in rows):
        raise SourceProblem("answer")
    return rows


def _plain(value: object, most: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and value.isprintable()


def _number(value: object, most: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < most


@contextlib.contextmanager
def running(program: Path, keep: Callable[[str], None], root: Path, seconds: float = LOOK_S) -> Iterator[tuple[Program, Path]]:
    """Run a plug-in in a folder of its own below `root`, which goes with it. Raises SourceProblem, OSError."""
    if not program.is_absolute() or not program.is_file() or not os.access(program, os.X_OK):
        raise SourceProblem("start")
    with tempfile.TemporaryDirectory(prefix=".plugin-", dir=files.private_dir(root), ignore_cleanup_errors=True) as name:
        child = Program(program, keep, Path(name), seconds)
        try:
            yield child, Path(name)
        finally:
            child.end()


@dataclass(frozen=True, slots=True)
class PluginAdapter:
    """Fetches into `folder` what live requests ask about, with padding, and chains it. Times are the vendor's.

    `secret`: what the plug-in handed back at sign-in. What was asked is noted beside the chain, so that a vendor hears of each
    window a few times and not at every look.
    """

    folder: Path
    chain: Chain
    program: Path
    device: str
    secret: str = field(repr=False)
    keep: Callable[[str], None] = field(repr=False)
    kind: str = "plugin"

    def look(self, known: Known, *, now: int, cursor: str, windows: Sequence[Span]) -> Look:  # noqa: ARG002 - the chain says it
        """Fetch what the windows ask about and is not here yet, then read the chain. Raises SourceProblem, OSError."""
        asked = self._asked()
        due = [span for span in _padded(windows, now) if _is_due(asked.get(_key(span)), span, now)]
        if due:
            if shutil.disk_usage(files.private_dir(self.folder)).free < RESERVE:
                raise SourceProblem("disk")
            # Noted before: one that fails is not tried at every look either.
            tries = {_key(span): asked.get(_key(span), [0, 0, 0])[2] + 1 for span in due}
            self._note(asked | {key: [now, 0, count] for key, count in tries.items()}, now)
            self.chain.mend()
            with running(self.program, self.keep, self.chain.root) as (child, scratch):
                child.hello()
                child.ask("resume", secret=self.secret)
                left = MAX_LOOK
                for span in due:
                    left, whole = self._fetch(child, scratch / "recording", span, now, left)
                    if whole:
                        self._note(self._asked() | {_key(span): [now, now, 0]}, now)
        return look_at_chain(self.folder, self.chain, cursor)

    def _fetch(self, child: Program, target: Path, span: Span, now: int, left: int) -> tuple[int, bool]:
        whole = True
        for stored in child.recordings(self.device, *span):
            place = _place(stored)
            if (self.folder / place).exists():
                continue
            if left < MAX_FILE:
                return left, False
            try:
                left -= child.fetch(self.device, stored, target, MAX_FILE)
            except SourceProblem as problem:
                if problem.code in ("missing", "too_large"):
                    continue
                raise
            whole = self._take(stored, target, place, now) and whole
        return left, whole

    def _take(self, stored: Stored, spare: Path, place: str, now: int) -> bool:
        """Chain what was fetched and put it into its place; False if it is not what was said."""
        ((_path, facts),) = probe_each([spare])
        if isinstance(facts, ProtocolError) or not facts.seconds:
            return False
        # The length is what the file holds; one that differs much from what was said is not the one that was said.
        if stored.seconds is not None and abs(facts.seconds - stored.seconds) > 5.0:
            return False
        start, end = round(stored.start * 1000), round((stored.start + facts.seconds) * 1000)
        if end > (now + 1) * 1000:
            return False
        ((_path, pictures),) = pictures_each([spare])
        last = self.chain.last()
        joins = last is None or abs(start - last.end) <= 500
        target = self.folder / place
        files.private_dir(target.parent)
        self.chain.append(
            sha256=file_sha256(spare),
            start=start,
            end=end,
            size=spare.stat().st_size,
            path=place,
            codec=facts.codec or "unknown",
            after="" if joins else "source",
            pictures="" if pictures is None else pictures.root,
        )
        spare.chmod(files.PRIVATE_FILE)
        shutil.move(spare, target.with_name(f".{target.name}.part"))
        target.with_name(f".{target.name}.part").replace(target)
        files.sync_folder(target.parent)
        return True

    def _asked(self) -> dict[str, list[int]]:
        try:
            found = json.loads((self.chain.root / "asked.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _note(self, asked: dict[str, list[int]], now: int) -> None:
        recent = {key: value for key, value in asked.items() if now - value[0] < 90 * 86_400}
        files.write_atomic(files.private_dir(self.chain.root) / "asked.json", json.dumps(recent).encode())


def _padded(windows: Sequence[Span], now: int) -> list[Span]:
    """Return the windows with padding, joined where they touch, and without what is not over yet."""
    joined: list[list[int]] = []
    for start, end in sorted((start - PADDING_S, min(end + PADDING_S, now - SETTLE_S)) for start, end in windows):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return [(start, end) for start, end in joined]


def _key(span: Span) -> str:
    return f"{span[0]}-{span[1]}"


def _is_due(before: list[int] | None, span: Span, now: int) -> bool:
    """Tell whether a window is to be asked about: never yet, or its last try failed or came before the vendor had all of it."""
    if before is None:
        return True
    tried, done, tries = before
    return now - tried >= AGAIN_S and (done < span[1] + LATE_S if done else tries < TRIES)


def _place(stored: Stored) -> str:
    at = datetime.fromtimestamp(int(stored.start), UTC)
    return f"{at:%Y-%m-%d}/{at:%H.%M.%S}-{hashlib.sha256(stored.id.encode()).hexdigest()[:16]}.mp4"
