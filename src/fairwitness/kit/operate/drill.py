"""`fairwitness ROLE drill`: does the newest backup bring this node back? Tried in a folder of its own, which then goes.

Nobody is called: every way out is closed in this process first. What is opened is compared by hash and dropped; nothing is shown.
`DIR/drills.json` says when it last held, and doctor asks again after `drill_days`.
"""

import contextlib
import json
import os
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import clock, files, http, supervise
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log
from fairwitness.kit.operate import backup as backups
from fairwitness.kit.operate import rotate
from fairwitness.kit.operate.archive import Archive
from fairwitness.kit.operate.checks import Check, failed, ok, warn
from fairwitness.kit.operate.role import Operations

RECORD = "drills.json"
DAY = 86_400
_KEPT = 100
_LOCK = ".lock"


class DrillError(Exception):
    """The backup does not bring the node back; says what did not hold."""


@dataclass(frozen=True, slots=True)
class Drilled:
    """What held. `secrets`: how many opened with the recovery identity alone; `proved`: what else was verified, and how many."""

    archive: str
    made_at: int
    secrets: int
    proved: Mapping[str, int]


class _Nobody:
    """The transport of a drill: there is no way out."""

    def send(
        self, _method: str, url: str, _headers: Mapping[str, str], _body: bytes | Iterable[bytes], _timeout: float
    ) -> http.Answer:
        raise http.Unreachable(f"a drill calls nobody, not {url}")


def drill(
    role: Operations,
    folder: Path,
    *,
    archive: Path,
    keys: Path,
    identity: str,
    items: int = 5,
    expect: str = "",
    work: Path | None = None,
) -> Drilled:
    """Restore `archive` and the sealed `keys` beside `folder` (or in `work`) and prove that they are a node.

    1. the archive is whole and the keys open with `identity`; 2. every secret that the node sealed opens with `identity` alone;
    3. ledgers' heads verify, and up to `items` random pieces of evidence open and have their hashes (see the role); 4. all of it
    is overwritten and removed, whatever came before; 5. it is written down.
    Raises DrillError, BackupError, ProtocolError, DiskFull, OSError.
    """
    if role.prove is None:
        raise DrillError(f"there is no drill for a {role.role}")
    if not role.is_node(folder):
        raise DrillError(f"{folder} holds no {role.role}")
    http.set_transport(_Nobody())
    base = work or folder.absolute().parent
    sweep(folder, base)
    place = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=base))
    lock = files.FileLock(place / _LOCK).acquire()
    before = _stop_as_an_error()
    try:
        node = place / "node"
        # 1.
        backups.restore(role, archive, node, keys=keys, identity=identity, expect=expect)
        found = Archive.open(archive, expect=expect)
        supervise.setup(role.role, node)
        from django.db import connections  # noqa: PLC0415 - needs the settings

        from fairwitness.kit import database  # noqa: PLC0415

        with database.migrating():
            database.apply(database.pending_migrations())
        # 2.
        secrets = _secrets(node, identity)
        # 3.
        try:
            proved = role.prove(node, items)
        except (ProtocolError, Refused, http.Unreachable, OSError, LookupError) as error:
            raise DrillError(f"{type(error).__name__}: {error}") from error
        finally:
            connections.close_all()
    finally:
        # 4.
        _remove(place)
        lock.release()
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    # 5.
    done = Drilled(found.sha256, int(found.about.get("made_at", 0)), secrets, dict(proved))
    _write_down(folder, done)
    log(Event.DRILLED, role=role.role, items=sum(done.proved.values()))
    return done


def sweep(folder: Path, base: Path) -> int:
    """Overwrite and remove what drills of `folder` left in `base` that were killed: opened keys lie in it. Returns how many."""
    count = 0
    for place in left_behind(folder, base):
        lock = files.FileLock(place / _LOCK)
        with contextlib.suppress(files.Locked):
            lock.acquire(wait=False)
            try:
                _remove(place)
            finally:
                lock.release()
            count += 1
    return count


def left_behind(folder: Path, base: Path) -> list[Path]:
    """Return the folders of drills of `folder` in `base`, this user's own; one that runs now has its lock."""
    found = []
    try:
        places = list(base.iterdir())
    except PermissionError:
        return []  # then no drill could make its folder there either
    for place in places:
        if place.name.startswith(_prefix(folder)):
            info = place.lstat()
            if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid():
                found.append(place)
    return found


def _prefix(folder: Path) -> str:
    return f".{folder.absolute().name}-drill-"


def _stop_as_an_error() -> Any:
    """Have a request to end (SIGTERM) run the clean-up as well; returns what was there before, None outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def stop(_number: int, _frame: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    return signal.signal(signal.SIGTERM, stop)


def last(folder: Path) -> int | None:
    """Return when a drill last held, Unix seconds UTC, or None."""
    held = _record(folder)
    return int(held[-1]["at"]) if held else None


def check(role: Operations, folder: Path, days: int) -> list[Check]:
    """Say whether a drill is due."""
    if not days or role.prove is None:
        return []
    if left := [place for place in left_behind(folder, folder.absolute().parent) if _nobody_holds(place)]:
        again = "run another drill, which removes it, or remove it yourself"
        return [failed("restore drill", f"one was killed and left opened keys in {left[0]}", again)]
    todo = f"fairwitness {role.role} drill {folder} --archive A --keys K --identity I, with the newest backup"
    at = last(folder)
    if at is None:
        return [warn("restore drill", "no backup of this node was ever tried", todo)]
    age = (clock.now() - at) // DAY
    if age > days:
        return [warn("restore drill", f"the last one was {age} days ago", todo)]
    return [ok("restore drill", f"held {age} days ago")]


def _nobody_holds(place: Path) -> bool:
    lock = files.FileLock(place / _LOCK)
    try:
        lock.acquire(wait=False)
    except files.Locked:
        return False
    lock.release()
    return True


def _secrets(node: Path, identity: str) -> int:
    """Open every secret with the recovery identity alone; one that only the node key opens would be lost with that key."""
    key = node / rotate.NODE
    own = [files.read_secret(key).decode().strip()] if key.exists() else []
    count = 0
    for place, data in rotate.secrets(node):
        if rotate.opened(data, [identity]) is not None:
            count += 1
        elif rotate.opened(data, own) is not None:
            raise DrillError(
                f"{place} opens with the node key only, not with this recovery identity: if the identity is the right one, run "
                "fairwitness ROLE rotate recovery with its recipient; then make a new backup"
            )
    return count


def _remove(place: Path) -> None:
    for path in place.rglob("*"):
        if path.is_file() and not path.is_symlink() and "keys" in path.relative_to(place).parts:
            with path.open("r+b", buffering=0) as stream:
                stream.write(bytes(path.stat().st_size))
                os.fsync(stream.fileno())
    shutil.rmtree(place)


def _record(folder: Path) -> list[dict[str, Any]]:
    try:
        held = json.loads((folder / RECORD).read_bytes())["drills"]
        return [item for item in held if isinstance(item["at"], int)]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _write_down(folder: Path, done: Drilled) -> None:
    entry = {"at": clock.now(), "archive": done.archive, "made_at": done.made_at, "secrets": done.secrets, **done.proved}
    text = json.dumps({"v": 1, "drills": [*_record(folder)[-_KEPT:], entry]}, indent=1)
    files.write_atomic(folder / RECORD, f"{text}\n".encode())
