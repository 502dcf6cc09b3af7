"""`fairwitness ROLE upgrade`: a backup, then every change of the schema or none, then a look whether all is well.

`DIR/versions.json` says which versions used this folder, since when, and which backup was made before each.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from fairwitness.kit import clock, config, files, supervise
from fairwitness.kit.files import FileLock, Locked
from fairwitness.kit.journal import Event, error_code, log
from fairwitness.kit.operate import backup as backups
from fairwitness.kit.operate import doctor
from fairwitness.kit.operate.archive import Archive
from fairwitness.kit.operate.checks import FAILED, Check
from fairwitness.kit.operate.role import Operations

HISTORY = "versions.json"
FIRST = "0.1.0"
"""The last version that wrote no history."""
_MARGIN = 1 << 26
_STATES = ("expand", "fill", "contract")
_NEWS = frozenset({"collection", "feed"})  # old in every node that was stopped, and not looked at before an upgrade


class UpgradeError(Exception):
    """An upgrade that was not begun, or that changed nothing but says how to go back all the same."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upgrade would do. `waiting`: migrations as `app.name`; `steps`: changes in three states and how far each is."""

    before: str
    after: str
    waiting: tuple[str, ...]
    steps: Mapping[str, str] = field(default_factory=dict)

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.waiting) or self.before != self.after


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What was done. `found`: what doctor says since, that it did not say before."""

    plan: Plan
    applied: int
    backup: str
    found: tuple[Check, ...]


def version() -> str:
    """Return this program's version."""
    return metadata.version("fairwitness")


def history(folder: Path) -> list[dict[str, Any]]:
    """Return which versions used the folder, the oldest first. Raises UpgradeError for a file that is not ours."""
    try:
        value = json.loads((folder / HISTORY).read_bytes())
        return [{"version": item["version"], **item} for item in value["versions"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise UpgradeError(f"{folder / HISTORY} cannot be read: move it away, the folder is then taken for {FIRST}") from error


def note(folder: Path, *, backup: str = "", applied: Sequence[str] = ()) -> None:
    """Write down that this version uses the folder from now on; does nothing where that is the last thing written."""
    known = history(folder)
    if known and known[-1]["version"] == version() and not applied:
        return
    entry = {"version": version(), "at": clock.now(), "backup": backup, "applied": list(applied)}
    text = json.dumps({"v": 1, "versions": [*known, entry]}, indent=1)
    files.write_atomic(folder / HISTORY, f"{text}\n".encode())


def look(role: Operations, folder: Path) -> Plan:
    """Say from which version and schema to which. Raises UpgradeError, NewerSchema, ConfigError; changes nothing."""
    if not role.is_node(folder):
        raise UpgradeError(f"{folder} holds no {role.role}")
    known = history(folder)
    before = known[-1]["version"] if known else FIRST
    if _parts(before) > _parts(version()):
        raise UpgradeError(f"version {before} used this folder last, and this is {version()}: install that one again")
    if role.config is None:
        return Plan(before, version(), ())
    supervise.setup(role.role, folder)
    from fairwitness.kit import database, schema  # noqa: PLC0415 - needs the settings

    newer = database.unknown_migrations()
    if newer:
        raise database.NewerSchema(f"a newer version changed this folder's schema ({', '.join(newer[:3])}): install that one")
    waiting = tuple(database.pending_migrations())
    return Plan(before, version(), waiting, {change.name: schema.state_of(change) for change in schema.changes()})


def upgrade(
    role: Operations,
    folder: Path,
    *,
    backup: Path | None = None,
    owner: Path | None = None,
    told: Callable[[str], object] = lambda _line: None,
) -> Upgraded:
    """Bring the node in `folder` up to this version.

    1. it does not run, and cannot be started meanwhile; 2. there is room for a backup and for the change; 3. the backup is
    written and read back; 4. all migrations are made, or none; 5. it is written down; 6. doctor looks again.
    Raises UpgradeError (which says how to go back), BackupError, ConfigError, DiskFull, OSError; up to 4 nothing was changed.
    """
    folder = folder.absolute()
    _act_as(owner)
    with stopped(role, folder):
        plan = look(role, folder)
        told(f"{role.role}: version {plan.before} to {plan.after}, {len(plan.waiting)} changes of the schema")
        if not plan.needed:
            return Upgraded(plan, 0, "", ())
        known = {check.name for check in doctor.examine(role, folder) if check.state == FAILED}
        # 2.
        out = (backup or _free_name(folder, plan.after)).absolute()
        _need_room(folder, out)
        # 3.
        made = backups.backup(role, folder, out)
        Archive.open(out, expect=made.sha256)
        told(f"backup: {out} ({made.bytes >> 10} KiB, SHA-256 of its manifest {made.sha256}); it holds no keys")
        # 4.
        try:
            applied = _migrate(role)
        except Exception as error:
            raise UpgradeError(
                f"the upgrade failed ({error_code(error)}: {error}); its changes were taken back, and the folder is as it was. "
                f"Start the old version again. If it will not: {_way_back(role, folder, out)}"
            ) from error
        # 5.
        note(folder, backup=str(out), applied=plan.waiting)
        log(Event.UPGRADED, before=plan.before, after=plan.after, applied=applied)
    # 6.
    found = tuple(check for check in doctor.examine(role, folder) if check.state == FAILED and check.name not in known | _NEWS)
    if found:
        told(f"doctor found something that was not there before. To go back: {_way_back(role, folder, out)}")
    return Upgraded(plan, applied, str(out), found)


def step(role: Operations, folder: Path, state: str, *, owner: Path | None = None) -> dict[str, int]:
    """Take the role's changes in three states to one of them: expand and fill beside a running older process, contract alone.

    Returns rows filled, or changes made, by name. Raises UpgradeError, Unfilled, ConfigError.
    """
    folder = folder.absolute()
    _act_as(owner)
    if state == "contract":
        with stopped(role, folder):
            return _step(role, folder, state)
    return _step(role, folder, state)


def _step(role: Operations, folder: Path, state: str) -> dict[str, int]:
    look(role, folder)
    if role.config is None:
        raise UpgradeError(f"a {role.role} has no database")
    from fairwitness.kit import database, schema  # noqa: PLC0415 - needs the settings

    done: dict[str, int] = {}
    with database.migrating():
        for change in schema.changes():
            before = schema.state_of(change)
            if state == "fill":
                if before == "none":
                    raise UpgradeError(f"{change.name} was not expanded yet: run the same with --only expand first")
                done[change.name] = schema.fill(change)
            else:
                (schema.expand if state == "expand" else schema.contract)(change)
                done[change.name] = int(schema.state_of(change) != before)
    return done


class stopped:  # noqa: N801 - reads as a statement
    """The node does not run in the block, and cannot be started. Raises UpgradeError."""

    def __init__(self, role: Operations, folder: Path) -> None:
        name = "run.lock" if role.config is None else "run/supervisor.lock"
        self._lock = FileLock(folder / name)
        self._role, self._folder = role, folder

    def __enter__(self) -> None:
        """Take the lock that a running node holds."""
        if not self._role.is_node(self._folder):
            raise UpgradeError(f"{self._folder} holds no {self._role.role}")
        files.private_dir(self._folder / "run") if self._role.config else None
        try:
            self._lock.acquire(wait=False)
        except Locked:
            raise UpgradeError(f"the {self._role.role} in {self._folder} runs: stop it first") from None

    def __exit__(self, *_error: object) -> None:
        """Let it be started again."""
        self._lock.release()


def _migrate(role: Operations) -> int:
    if role.config is None:
        return 0
    from django.db import connections  # noqa: PLC0415 - needs the settings

    from fairwitness.kit import database  # noqa: PLC0415

    try:
        with database.migrating():
            return database.apply(database.pending_migrations())
    finally:
        connections.close_all()


def _free_name(folder: Path, after: str) -> Path:
    """Name a backup beside the folder; one of an earlier try stays."""
    names = (folder.with_name(f"{folder.name}-before-{after}{extra}.tar") for extra in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(path for path in names if not path.exists())


def _need_room(folder: Path, out: Path) -> None:
    """Refuse where the backup, or the database's second copy while it is changed, would fill the disk."""
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
    rows = sum(size for path, size in sizes.items() if path.name.startswith("db.sqlite3"))
    parent = out.parent
    if not parent.is_dir():
        raise UpgradeError(f"{parent} is not there: name another place with --backup FILE")
    same = parent.stat().st_dev == folder.stat().st_dev
    # The database is copied into the folder, then into the archive; a migration may write all of it again.
    here = 2 * rows + _MARGIN
    there = sum(sizes.values()) + _MARGIN
    for place, need in ((folder, here + there if same else here), (parent, there)):
        free = shutil.disk_usage(place).free
        if free < need:
            raise UpgradeError(
                f"an upgrade needs {need >> 20} MiB free in {place}, there are {free >> 20}: make room, or name another disk "
                "with --backup FILE; nothing was changed"
            )


def _way_back(role: Operations, folder: Path, out: Path) -> str:
    again = folder.with_name(f"{folder.name}-again")
    return (
        f"install the old version, then: fairwitness {role.role} restore {out} {again} && cp -a {folder / 'keys'} {again}/"
        if role.config
        else f"install the old version, then: fairwitness witness restore {out} {again} && cp -a {folder / 'key'} {again}/"
    )


def _act_as(owner: Path | None) -> None:
    if owner is not None:
        files.require_mode(owner)
        os.environ[config.OWNER_VARIABLE] = str(owner.absolute())


def _parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in text.split("."))
