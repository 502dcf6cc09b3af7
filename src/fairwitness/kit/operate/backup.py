"""Backup of a running node, and its restore into an empty folder, on this machine or another.

The order makes the copy whole: first the databases (SQLite's online backup; one snapshot of PostgreSQL), then the blobs of a
bucket, then the heads of logs, then every file, then the logs' entries. So whatever a row or a head speaks of is there; a log
may be longer than the rows, which are made from it at start.
"""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from fairwitness_core.crypto import seal
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import clock, config, files, foreign
from fairwitness.kit.operate import servers as others
from fairwitness.kit.operate.archive import UNREADABLE, Archive, BackupError, Writer, check_name
from fairwitness.kit.operate.role import BackupPlan, Operations
from fairwitness.kit.operate.servers import BUCKET, DUMP, Servers

RECOVERY = "keys/recovery.recipient"
_ALWAYS_SKIP = ("run/**", "**/.*", "**/.*/**", "lock", "**/lock", "**/*.lock", "**/*.tmp", "**/*-wal", "**/*-shm", "**/*-journal")
_DATABASE = "*.sqlite3"
_WITHHELD = "withheld.json"
_AGE = b"age-encryption.org/v1\n"
_MAX_KEYS = 1 << 28


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup made. `sha256`: of the manifest; `left_out`: path patterns that were there and are not in it, and why."""

    files: int
    bytes: int
    sha256: str
    left_out: dict[str, str]
    keys: str | None


def backup(
    role: Operations,
    folder: Path,
    out: Path,
    *,
    keys: Path | None = None,
    recipient: str = "",
    servers: Servers | None = None,
) -> Made:
    """Write the archive `out` of the node in `folder`, which may be running; `servers`: see there.

    With `keys` that file gets every key and withheld secret, sealed to `recipient` (default: the node's recovery recipient); the
    archive never holds one. Raises BackupError, UnsafeMode, DiskFull, OSError; then neither file is there.
    """
    folder, out = folder.absolute(), out.absolute()
    if not role.is_node(folder):
        raise BackupError(f"{folder} holds no {role.role}")
    for target in (out, keys.absolute() if keys else out):
        if target.is_relative_to(folder):
            raise BackupError(f"{target} lies in the folder that is backed up; write it elsewhere, best to another disk")
        if target.exists():
            raise BackupError(f"{target} is there already; name another file, or move it away")
    cfg = _settings(role, folder)
    sealed_to = _recipient(folder, recipient) if keys else ""
    withheld: dict[str, Any] = {}
    writer = Writer(out)
    try:
        about = _fill(role.plan, folder, writer, withheld, (cfg, servers or Servers()))
        left_out: dict[str, str] = about["left_out"]
        if keys is not None:
            _write_keys(role.plan, folder, keys.absolute(), sealed_to, withheld)
        digest = writer.finish(
            {
                "role": role.role,
                "made_at": clock.now(),
                "version": metadata.version("fairwitness"),
                **about,
            }
        )
    except BaseException:
        writer.abandon()
        if keys is not None:
            keys.unlink(missing_ok=True)
        raise
    total = sum(entry.size for entry in writer.entries.values())
    return Made(len(writer.entries), total, digest, left_out, str(keys) if keys else None)


def restore(
    role: Operations,
    archive: Path,
    folder: Path,
    *,
    keys: Path | None = None,
    identity: str = "",
    expect: str = "",
    servers: Servers | None = None,
) -> list[str]:
    """Make `folder`, which must be empty or absent, the node that `archive` was made of; returns what to do next.

    1. the archive is verified whole; 2. the sealed keys are opened; 3. all is written beside `folder`, files 0600 and folders
    0700; what lay in servers goes into empty ones, which may be others (`servers`); 4. it takes the folder's name. Raises
    BackupError, ProtocolError, DiskFull, OSError; the folder, and servers that can be reached, are then as before.
    """
    folder = folder.absolute()
    # 1.
    found = Archive.open(archive, expect=expect)
    if found.about.get("role") != role.role:
        raise BackupError(f"{archive} is of a {found.about.get('role')}, not of a {role.role}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} is not empty; restore into a new folder, and look at both before one goes")
    # 2.
    secrets = _open_keys(keys, identity) if keys else {}
    # 3.
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.with_name(f".{folder.name}.restoring")
    shutil.rmtree(work, ignore_errors=True)
    files.private_dir(work)
    placing: others.Restoring | None = None
    try:
        for entry, source in found.members(lambda path: not path.startswith(BUCKET)):
            _put(work, entry.path, source)
        withheld = _read_withheld(secrets.pop(_WITHHELD, b"{}"), role.plan)
        for path, data in secrets.items():
            _put(work, path, io.BytesIO(data))
        _put_back(work, withheld)
        told: list[str] = []
        servers = servers or Servers()
        elsewhere = {"database", "bucket"} & set(found.about) or servers.database_url or servers.blobs_url
        if role.config is not None and elsewhere:
            placing = others.Restoring(role.role, role.config, work, servers)
            told = _place(placing, found, work)
        notes = list(role.restored(work))
        for name, _, _ in os.walk(work, topdown=False):
            files.sync_folder(Path(name))
        # 4.
        if folder.exists():
            folder.rmdir()
        work.rename(folder)
        files.sync_folder(folder.parent)
    except BaseException:
        if placing is not None:
            placing.undo()
        shutil.rmtree(work, ignore_errors=True)
        raise
    notes = [*told, *notes]
    if not secrets:
        missing = [path for path in role.keys if not (folder / path).exists()]
        if missing:
            notes.insert(0, f"these keys are not in the archive, put them back before you start it: {', '.join(missing)}")
    return notes


# ---------------------------------------------------------------- what goes into an archive


def _place(placing: others.Restoring, found: Archive, work: Path) -> list[str]:
    """Put into servers what lay in servers; returns what to tell."""
    placing.settle()
    placing.begin(found.about)
    bucket = found.about.get("bucket")
    if bucket and bucket.get("stays"):
        told = placing.check_bucket(found.about)
    else:
        told = []
        for entry, source in found.members(lambda path: path.startswith(BUCKET)):
            placing.put_object(entry.path, source.read(entry.size))
    if found.about.get("database"):
        if DUMP not in found.entries:
            raise BackupError(f"{found.path} has no {DUMP}")
        placing.put_rows(work / DUMP)
        (work / DUMP).unlink()
    return told


def _fill(
    plan: BackupPlan, folder: Path, writer: Writer, withheld: dict[str, Any], there: tuple[config.RoleConfig | None, Servers]
) -> dict[str, Any]:
    cfg, servers = there
    left_out: dict[str, str] = {}
    about: dict[str, Any] = {"left_out": left_out}
    if cfg is not None and cfg.database.url:
        with tempfile.TemporaryDirectory(prefix="backup-", dir=files.private_dir(folder / "run")) as name:
            about |= others.copy_rows(cfg, servers, writer, Path(name))
    else:
        _databases(plan, folder, writer, withheld)
    if cfg is not None and cfg.blobs.url:
        about |= others.copy_blobs(cfg, servers, writer)
    for pattern in plan.first:
        _copy(folder, sorted(folder.glob(pattern)), writer)
    # Twice: a log drops a partial tile when the whole one is there, and the first walk may have missed both.
    for _ in range(2):
        _copy(folder, _plain_files(plan, folder, writer, left_out, withheld), writer)
    for pattern in plan.last:
        _copy(folder, sorted(folder.glob(pattern)), writer)
    return about


def _settings(role: Operations, folder: Path) -> config.RoleConfig | None:
    """Return the node's settings where they say that rows or blobs lie in servers. Raises ConfigError."""
    path = folder / config.FILE_NAME
    values = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    if role.config is None or not (values.get("database", {}).get("url") or values.get("blobs", {}).get("url")):
        return None
    return config.parse(role.config, values, where=str(path), extra={"data_dir": folder})


def _databases(plan: BackupPlan, folder: Path, writer: Writer, withheld: dict[str, Any]) -> None:
    found = [path for path in sorted(folder.rglob(_DATABASE)) if not _any(_ALWAYS_SKIP, path.relative_to(folder))]
    if plan.database and folder / "db.sqlite3" not in found:
        raise BackupError(f"{folder} has no db.sqlite3")
    with tempfile.TemporaryDirectory(prefix="backup-", dir=files.private_dir(folder / "run")) as name:
        for number, path in enumerate(found):
            copy = Path(name) / str(number)
            _snapshot(path, copy, plan.blank if path.name == "db.sqlite3" else (), withheld)
            with copy.open("rb") as stream:
                writer.add(path.relative_to(folder).as_posix(), stream, copy.stat().st_size)
            copy.unlink()


def _snapshot(source: Path, target: Path, blank: Sequence[tuple[str, str]], withheld: dict[str, Any]) -> None:
    """Copy a database while others write it; without its sessions, whose keys sign in whoever knows them."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, files.PRIVATE_FILE))
    with files.disk_errors("the copy of the database"):
        try:
            with (
                contextlib.closing(sqlite3.connect(source, timeout=60)) as live,
                contextlib.closing(sqlite3.connect(target)) as copy,
            ):
                live.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
                copy.execute("PRAGMA secure_delete=ON")
                tables = {row[0] for row in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                with copy:
                    if "django_session" in tables:
                        copy.execute("DELETE FROM django_session")
                    for table, column in blank:
                        if table in tables:
                            rows = copy.execute(f'SELECT id, "{column}" FROM "{table}"').fetchall()  # noqa: S608 - our own names
                            withheld[f"{table}.{column}"] = dict(rows)
                            copy.execute(f'UPDATE "{table}" SET "{column}" = \'\'')  # noqa: S608 - our own names
                copy.execute("VACUUM")
                (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
        except sqlite3.Error as error:
            raise BackupError(f"{source.name} cannot be copied: {error}") from error
    if verdict != "ok":
        raise BackupError(f"{source.name} is damaged ({verdict}); restore an older backup, this one would be worth nothing")


def _plain_files(
    plan: BackupPlan, folder: Path, writer: Writer, left_out: dict[str, str], withheld: dict[str, Any]
) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(base) / name
            relative = path.relative_to(folder)
            text = relative.as_posix()
            if text in writer.entries or _any((*_ALWAYS_SKIP, *plan.skip, *plan.last, f"**/{_DATABASE}"), relative):
                continue
            reason = next((why for pattern, why in plan.withhold.items() if _any([pattern], relative)), "")
            if path.is_symlink() or not path.is_file():
                left_out[text] = "it is a link or no plain file"
            elif reason:
                left_out[relative.parts[0] + ("/" if len(relative.parts) > 1 else "")] = reason
            elif text == config.FILE_NAME:
                writer.add_bytes(text, _without_secrets(path, left_out, withheld))
            elif text == RECOVERY or not _any(plan.secrets, relative) or (_any(plan.sealed_keys, relative) and _is_sealed(path)):
                yield path
            else:
                left_out[relative.parts[0] + ("/" if len(relative.parts) > 1 else "")] = (
                    "keys are only in the sealed file of --with-keys"
                )


def _copy(folder: Path, paths: Iterator[Path] | Sequence[Path], writer: Writer) -> None:
    for path in paths:
        # What went away since it was listed was destroyed or expired: it must not come back by a restore.
        with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:
            writer.add(path.relative_to(folder).as_posix(), stream, os.fstat(stream.fileno()).st_size)


def _without_secrets(path: Path, left_out: dict[str, str], withheld: dict[str, Any]) -> bytes:
    """Return config.toml; where it holds the secret of a sign-in provider, written anew without."""
    data = path.read_bytes()
    values = tomllib.loads(data.decode())
    if not any(provider.get("client_secret") for provider in values.get("oidc", [])):
        return data
    withheld[config.FILE_NAME] = data.decode()
    left_out[f"{config.FILE_NAME}: client_secret"] = "secrets are only in the sealed file of --with-keys"
    return config.dump(values | {"oidc": [{k: v for k, v in p.items() if k != "client_secret"} for p in values["oidc"]]}).encode()


def _any(patterns: Sequence[str], relative: Path) -> bool:
    pure = PurePosixPath(relative.as_posix())
    return any(_matches(pure, pattern) for pattern in patterns)


def _matches(path: PurePosixPath, pattern: str) -> bool:
    """Match like pathlib's full_match, which Python 3.12 has not: `*` within a step, `**` any steps."""
    return _steps(path.parts, PurePosixPath(pattern).parts)


def _steps(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_steps(parts[i:], pattern[1:]) for i in range(len(parts) + 1)) if len(pattern) > 1 else bool(parts)
    return bool(parts) and PurePosixPath(parts[0]).match(pattern[0]) and _steps(parts[1:], pattern[1:])


def _is_sealed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_AGE)) == _AGE


# ---------------------------------------------------------------- the sealed keys


def _recipient(folder: Path, given: str) -> str:
    place = folder / RECOVERY
    chosen = given or (place.read_text().strip() if place.exists() else "")
    if not chosen:
        raise BackupError(
            "this node has no recovery recipient: name one with --recipient age1..., whose identity is kept offline"
        )
    return seal.check_recipient(chosen)


def _write_keys(plan: BackupPlan, folder: Path, out: Path, recipient: str, withheld: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if path.is_symlink() or not path.is_file() or _any(_ALWAYS_SKIP, relative) or not _any(plan.secrets, relative):
                continue
            data = files.read_secret(path)
            info = tarfile.TarInfo(relative.as_posix())
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        text = json.dumps(withheld).encode()
        info = tarfile.TarInfo(_WITHHELD)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    buffer.seek(0)
    sealed = io.BytesIO()
    seal.seal_stream(buffer, sealed, [recipient])
    files.write_atomic(out, sealed.getvalue())


def _open_keys(path: Path, identity: str) -> dict[str, bytes]:
    if not identity:
        raise BackupError("the sealed keys need the recovery identity: give a file with --identity, or - for standard input")
    if path.stat().st_size > _MAX_KEYS:
        raise BackupError(f"{path} is too large to be a file of keys")
    opened = io.BytesIO()
    try:
        with path.open("rb") as stream:
            seal.open_stream(stream, opened, [identity])
        opened.seek(0)
        found = {}
        with tarfile.open(fileobj=opened, mode="r:") as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isreg() else None
                if source is None:
                    raise BackupError(f"{path}: {member.name!r} is no plain file")
                found[check_name(member.name)] = source.read()
    except ProtocolError as error:
        raise BackupError(f"{path} does not open with this identity") from error
    except UNREADABLE as error:
        raise BackupError(f"{path} holds no keys") from error
    return found


# ---------------------------------------------------------------- what a restore writes


def _put(work: Path, name: str, source: Any) -> None:
    target = work.joinpath(*PurePosixPath(name).parts)
    files.private_dir(target.parent)
    target.unlink(missing_ok=True)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE)
    with files.disk_errors(name), os.fdopen(handle, "wb") as stream:
        shutil.copyfileobj(source, stream, 1 << 20)
        stream.flush()
        os.fsync(stream.fileno())


def _read_withheld(data: bytes, plan: BackupPlan) -> dict[str, Any]:
    """Read what the sealed keys say stood in config.toml and in rows; anyone who knows the recipient can seal such a file."""
    known = {config.FILE_NAME, *(f"{table}.{column}" for table, column in plan.blank)}
    try:
        value = foreign.json_value(data)
    except ValueError as error:
        raise BackupError("the sealed keys hold a list that cannot be read") from error
    if not isinstance(value, dict) or not set(value) <= known:
        raise BackupError("the sealed keys hold more than this role keeps there")
    if not all(isinstance(rows, str if name == config.FILE_NAME else dict) for name, rows in value.items()):
        raise BackupError("the sealed keys hold a list that cannot be read")
    return value


def _put_back(work: Path, withheld: dict[str, Any]) -> None:
    text = withheld.pop(config.FILE_NAME, None)
    if text is not None:
        files.write_atomic(work / config.FILE_NAME, text.encode())
    if not withheld:
        return
    with contextlib.closing(sqlite3.connect(work / "db.sqlite3")) as database, database:
        for place, rows in withheld.items():
            table, column = place.split(".")
            for key, value in rows.items():
                database.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE id = ?', (value, key))  # noqa: S608 - our own names
