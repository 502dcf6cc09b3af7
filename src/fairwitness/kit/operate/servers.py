"""In an archive: rows that lie in a PostgreSQL server, and sealed bytes that lie in a bucket.

The archive has the rows as `database.pgdump` (pg_dump's custom format, one snapshot, without sessions) and, below `bucket/`,
every blob's objects and the parts of unfinished uploads. With `blobs_stay` the bucket keeps them, and the manifest names each
blob with its size and SHA-256. Rows are copied first: whatever they speak of is there when its turn comes, or was removed
meanwhile, and then it must not come back.

Passwords reach PostgreSQL's programs by a file of mode 0600 in a private folder, never by arguments or the environment.
"""

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairwitness.kit import config, files
from fairwitness.kit.blobs import BlobMissing, chunks_of
from fairwitness.kit.operate.archive import BackupError, Writer

DUMP = "database.pgdump"
BUCKET = "bucket/"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_SESSIONS = "django_session"
_LOCK_WAIT = 60_000  # milliseconds that pg_dump waits for a table that is being rewritten
_MOST_SECONDS = 24 * 3600
_MOST_OBJECT = 64 << 20  # bytes of one object of blobs_s3


@dataclass(frozen=True, slots=True)
class Servers:
    """What an operator says about servers. `owner`: the file of the database's owner, who alone may read every table.

    `blobs_stay`: the bucket keeps the sealed bytes. The rest is for a restore onto other servers: addresses that take the place
    of the archive's, and files whose content takes the place of its passwords.
    """

    owner: Path | None = None
    blobs_stay: bool = False
    database_url: str = ""
    database_password: Path | None = None
    blobs_url: str = ""
    blobs_endpoint: str | None = None
    blobs_credentials: Path | None = None


def add_backup_options(parser: argparse.ArgumentParser) -> None:
    """Let `backup` be told what it needs where state lies in servers."""
    parser.add_argument("--owner", type=Path, metavar="FILE", help="PostgreSQL: a file (0600) with the owner's user and password")
    parser.add_argument("--blobs-stay", action="store_true", help="S3: leave sealed bytes in the bucket, list and hash them")


def add_restore_options(parser: argparse.ArgumentParser) -> None:
    """Let `restore` be told where state shall lie from now on."""
    parser.add_argument("--owner", type=Path, metavar="FILE", help="PostgreSQL: a file (0600) with the owner's user and password")
    parser.add_argument("--database-url", default="", metavar="URL", help="an empty database in place of the one that was")
    parser.add_argument("--database-password", type=Path, metavar="FILE", help="its node user's password (0600), copied")
    parser.add_argument("--blobs-url", default="", metavar="URL", help="an empty place in a bucket instead of the one that was")
    parser.add_argument("--blobs-endpoint", metavar="URL", help="the S3 server's address; empty for Amazon's")
    parser.add_argument("--blobs-credentials", type=Path, metavar="FILE", help="the bucket's credentials (0600), copied")


def from_options(options: argparse.Namespace) -> Servers:
    """Return what either set of options was given."""
    known = {name: value for name, value in vars(options).items() if name in Servers.__slots__}
    return Servers(**known)


# ---------------------------------------------------------------- backup


def copy_rows(cfg: config.RoleConfig, servers: Servers, writer: Writer, work: Path) -> dict[str, Any]:
    """Add the rows of the node's database as one snapshot; returns what the manifest says about them. Raises BackupError."""
    address = _address(cfg, servers)
    server = _server_version(address)
    program = _program("pg_dump", server)
    target = work / "dump"
    words = ["--format=custom", "--no-owner", "--no-privileges", f"--exclude-table-data=public.{_SESSIONS}"]
    words += [f"--lock-wait-timeout={_LOCK_WAIT}", f"--file={target}"]
    target.touch(mode=files.PRIVATE_FILE)
    _run(program, words, address, work)
    with target.open("rb") as stream:
        writer.add(DUMP, stream, target.stat().st_size)
    target.unlink()
    return {"database": {"server": server}}


def copy_blobs(cfg: config.RoleConfig, servers: Servers, writer: Writer) -> dict[str, Any]:
    """Add every blob, or list them; returns what the manifest says about them. Raises BackupError, BlobsUnavailable.

    A blob's index comes behind its pieces, so a blob that is removed meanwhile is in the archive whole or not at all.
    """
    from fairwitness.kit import blobs_s3, objects  # noqa: PLC0415 - only nodes that use a bucket load its client

    client = _client(cfg)
    bucket = objects.Bucket(client)
    listed: list[list[Any]] = []
    for area in blobs_s3.areas(client):
        store = blobs_s3.S3Blobs(client, area)
        for name in store.names():
            found = store.anatomy(name)
            if found is None:
                continue
            if servers.blobs_stay:
                listed.append([area, name, found[0].size, found[0].sha256.hex()])
                continue
            with contextlib.suppress(BlobMissing):
                _add_objects(bucket, [path for path, _ in found[2]], writer)
                _add_objects(bucket, [found[1]], writer)
        if not servers.blobs_stay:
            for path in store.part_paths():
                with contextlib.suppress(BlobMissing):
                    _add_objects(bucket, [path], writer)
    if servers.blobs_stay:
        return {"bucket": {"stays": True, "blobs": listed}}
    return {"bucket": {"stays": False}}


def _add_objects(bucket: Any, paths: Sequence[str], writer: Writer) -> None:
    for path in paths:
        if BUCKET + path not in writer.entries:
            writer.add_bytes(BUCKET + path, bucket.get(path, _MOST_OBJECT))


# ---------------------------------------------------------------- restore


class Restoring:
    """Puts an archive's rows and blobs into servers; on an error `undo` leaves them as empty as they were.

    `folder` is the data folder in the making, whose config.toml and keys say which servers.
    """

    def __init__(self, role: str, kind: type[config.RoleConfig], folder: Path, servers: Servers) -> None:
        self._role, self._kind, self._folder, self._servers = role, kind, folder, servers
        self._made: list[str] = []
        self._bucket: Any = None
        self._rows = False
        self._address: dict[str, Any] = {}

    def settle(self) -> None:
        """Write the operator's addresses and passwords in the place of the archive's."""
        given, path = self._servers, self._folder / config.FILE_NAME
        values = tomllib.loads(path.read_text("utf-8"))
        if given.database_url:
            values["database"] = values.get("database", {}) | {"url": given.database_url}
        if given.blobs_url:
            values["blobs"] = values.get("blobs", {}) | {"url": given.blobs_url}
        if given.blobs_endpoint is not None:
            values["blobs"] = values.get("blobs", {}) | {"endpoint": given.blobs_endpoint}
        if given.database_url or given.blobs_url or given.blobs_endpoint is not None:
            files.write_atomic(path, config.dump(values).encode())
        cfg = config.parse(self._kind, values, where=str(path), extra={"data_dir": self._folder})
        for source, target in (
            (given.database_password, cfg.database.credentials),
            (given.blobs_credentials, cfg.blobs.credentials),
        ):
            if source is not None:
                files.write_atomic(cfg.file(*Path(target).parts), files.read_secret(source))
        self._cfg = cfg

    def begin(self, about: Mapping[str, Any]) -> None:
        """Refuse servers that are not empty, too old or not named. Raises BackupError; nothing was changed."""
        rows, blobs = _table(about, "database"), _table(about, "bucket")
        if bool(rows) != bool(self._cfg.database.url):
            raise BackupError(f"the archive's rows {'lie in PostgreSQL' if rows else 'are SQLite'}, and stay so in a restore")
        if bool(blobs) != bool(self._cfg.blobs.url):
            raise BackupError(f"the archive's blobs {'lie in a bucket' if blobs else 'are files'}, and stay so in a restore")
        if rows:
            self._address = _address(self._cfg, self._servers)
            here, there = _server_version(self._address), rows.get("server")
            if type(there) is not int:
                raise BackupError("the manifest does not say which server the rows are of")
            if here < there:
                raise BackupError(f"the rows are of PostgreSQL {there}, the server here is {here}; take one as new")
            _program("pg_restore", there)
            if tables := _tables(self._address):
                raise BackupError(f"the database is not empty ({tables[0]} and {len(tables) - 1} more); restore into a new one")
        if blobs:
            self._bucket = _open_bucket(self._cfg)
            if not blobs.get("stays") and (first := next(iter(self._bucket.paths()), None)):
                raise BackupError(f"the bucket holds {first[0]} at that prefix; restore into an empty one, or another prefix")

    def put_object(self, path: str, data: bytes) -> None:
        """Store one of the archive's objects, once."""
        path = path.removeprefix(BUCKET)
        self._made.append(path)
        self._bucket.create(path, data)

    def put_rows(self, dump: Path) -> None:
        """Load the rows, all or none, and give the node's user exactly its rights."""
        with tempfile.TemporaryDirectory(prefix="restore-", dir=self._folder) as name:
            words = ["--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
            _run(_program("pg_restore", 0), words, self._address, Path(name), str(dump))
        self._rows = True
        owner = self._servers.owner or Path(os.environ[config.OWNER_VARIABLE])
        command = [sys.executable, "-m", "fairwitness", self._role, "database", "migrate", str(self._folder)]
        done = subprocess.run(  # noqa: S603 - this program
            [*command, "--owner", str(owner.absolute())], capture_output=True, text=True, check=False, timeout=_MOST_SECONDS
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise BackupError(f"the rows are there, and their rights cannot be given: {said[-1] if said else 'no word'}")

    def check_bucket(self, about: Mapping[str, Any]) -> list[str]:
        """Read every blob that stayed in the bucket; returns what to tell. Raises BackupError where one is another."""
        from fairwitness.kit import blobs_s3  # noqa: PLC0415 - see copy_blobs

        client, gone = _client(self._cfg), 0
        blobs = _table(about, "bucket").get("blobs")
        if not isinstance(blobs, list) or not all(isinstance(row, list) and len(row) == 4 for row in blobs):
            raise BackupError("the manifest's list of blobs cannot be read")
        for area, name, size, sha256 in blobs:
            store = blobs_s3.S3Blobs(client, area)
            try:
                digest, found = hashlib.sha256(), 0
                with store.open(name) as stream:
                    for chunk in chunks_of(stream):
                        digest.update(chunk)
                        found += len(chunk)
                if (found, digest.hexdigest()) != (size, sha256):
                    raise BackupError(f"{area}/{name} in the bucket is not what the backup saw; find out who wrote it")
            except BlobMissing:
                gone += 1
        told = [f"{len(blobs) - gone} blobs in the bucket are those that the backup saw"]
        if gone:
            told.append(f"{gone} are gone: collected, taken back or expired since then, or lost; the accounts say which")
        return told

    def undo(self) -> None:
        """Leave the servers empty again, as far as they can be reached."""
        if self._rows:
            with contextlib.suppress(Exception):
                _drop_tables(self._address)
        for path in self._made:
            with contextlib.suppress(Exception):
                self._bucket.delete(path)


def _table(about: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = about.get(name, {})
    if not isinstance(found, Mapping):
        raise BackupError(f"the manifest says nothing readable about the {name}")
    return found


# ---------------------------------------------------------------- PostgreSQL's own programs


def _address(cfg: config.RoleConfig, servers: Servers) -> dict[str, Any]:
    """Return how the owner gets to the database, with the password. Raises BackupError, ConfigError, UnsafeMode."""
    from fairwitness.kit.postgresql import connecting  # noqa: PLC0415 - SQLite's nodes load no client

    owner = servers.owner or (Path(os.environ[config.OWNER_VARIABLE]) if os.environ.get(config.OWNER_VARIABLE) else None)
    if owner is None:
        raise BackupError(
            "this node keeps its rows in PostgreSQL, and only their owner may read or make them all: name a file with --owner"
        )
    return connecting.owner_address(cfg.database.url, owner)


def _connect(address: Mapping[str, Any]) -> Any:
    import psycopg  # noqa: PLC0415 - SQLite's nodes load no client

    try:
        return psycopg.connect(**address)
    except psycopg.Error as error:
        raise BackupError(f"the database does not let the owner in: {str(error).splitlines()[0]}") from None


def _server_version(address: Mapping[str, Any]) -> int:
    with _connect(address) as session:
        return int(session.info.server_version) // 10_000


def _tables(address: Mapping[str, Any]) -> list[str]:
    with _connect(address) as session:
        rows = session.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1"
        )
        return [name for (name,) in rows.fetchall()]


def _drop_tables(address: Mapping[str, Any]) -> None:
    from psycopg import sql  # noqa: PLC0415 - SQLite's nodes load no client

    with _connect(address) as session:
        rows = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in rows:
            session.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier("public", name)))


def _program(name: str, server: int) -> str:
    """Return where PostgreSQL's program `name` is, at least as new as the server; raises BackupError saying what to install."""
    wanted = f"Debian: apt-get install postgresql-client-{server}" if server else "Debian: apt-get install postgresql-client"
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"{name} is not on the PATH; install PostgreSQL's client programs ({wanted})")
    try:
        said = subprocess.run(  # noqa: S603 - the operator's own PATH
            [found, "--version"], capture_output=True, text=True, check=False, timeout=60, env=_plain_environment()
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BackupError(f"{found} does not run: {type(error).__name__}") from error
    match = _VERSION.search(said)
    if match is None:
        raise BackupError(f"{found} does not say its version")
    if int(match[1]) < server:
        raise BackupError(f"{found} is of PostgreSQL {match[1]}, the server is {server}: install its programs ({wanted})")
    return found


def _plain_environment() -> dict[str, str]:
    """Return the environment without anything that would lead libpq elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "FAIRWITNESS_"))}


def _run(program: str, words: Sequence[str], address: Mapping[str, Any], work: Path, *more: str) -> None:
    """Run pg_dump or pg_restore. The password is in a file of `work`, which is private, and nowhere else."""
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - SQLite's nodes load no client

    secret = str(address.get("password", ""))
    if "\n" in secret or "\0" in secret:
        raise BackupError("the owner's password has a line break: PostgreSQL's programs cannot be given it")
    known = make_conninfo(**{name: value for name, value in address.items() if name != "password"})
    passwords = work / "passwords"
    files.write_atomic(passwords, f"*:*:*:*:{secret.replace(chr(92), chr(92) * 2).replace(':', chr(92) + ':')}\n".encode())
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own PATH
            [program, "--no-password", f"--dbname={known}", *words, *more],
            env=_plain_environment() | {"PGPASSFILE": str(passwords), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            timeout=_MOST_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BackupError(f"{Path(program).name} did not end: {type(error).__name__}") from error
    finally:
        passwords.unlink(missing_ok=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise BackupError(f"{Path(program).name} failed: {said[0] if said else 'it said nothing'}")


# ---------------------------------------------------------------- the bucket


def _client(cfg: config.RoleConfig) -> Any:
    from fairwitness.kit import blobs_s3  # noqa: PLC0415 - only nodes that use a bucket load its client

    return blobs_s3.client_of(cfg.blobs, cfg.file(*Path(cfg.blobs.credentials).parts))


def _open_bucket(cfg: config.RoleConfig) -> Any:
    from fairwitness.kit import objects  # noqa: PLC0415 - only nodes that use a bucket load its client

    return objects.Bucket(_client(cfg), conditional=cfg.blobs.write_once == "server")
