"""Start-up migration, and what the databases promise.

Every commit is durable when it returns (SQLite in WAL mode with synchronous=FULL; PostgreSQL with synchronous_commit and
fsync on) and every transaction takes the write lock at its start (IMMEDIATE; an advisory lock), so that what it reads stays
true until it ends. On SQLite deleted rows are overwritten (secure_delete); `scrub` empties the free pages and the write-ahead
log for the moments that promise destruction, on PostgreSQL as far as its owner lets us.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Self, cast

from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from fairwitness.kit import config, schema
from fairwitness.kit.files import FileLock, Locked
from fairwitness.kit.journal import Event, log

_OWNER = config.OWNER_VARIABLE
LOCKS = {"migrate": 2, "beat": 3, "sequencer": 4}
"""Names and second numbers of the advisory locks that a process holds; the writer's is 1."""


class NewerSchema(config.ConfigError):
    """The database was written by a newer version of this program; nothing was changed."""


class OlderSchema(config.ConfigError):
    """The database waits for migrations that this user may not make; nothing was changed."""


class LockLost(Exception):
    """The connection that held a lock of the database is gone: another process may hold it now."""


def on_postgresql() -> bool:
    """Tell whether this process keeps its rows in PostgreSQL."""
    return connection.vendor == "postgresql"


class SessionLock:
    """An advisory lock of the database, held by a connection of its own: it goes when process, machine or network do.

    Where the database is SQLite it is nobody else's, and this does nothing: the file locks of the data folder do it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._session: Any = None

    def acquire(self, *, wait: bool = True) -> Self:
        """Take the lock; raises Locked where another holds it and `wait` is False, DatabaseError."""
        if not on_postgresql():
            return self
        from fairwitness.kit.postgresql import base  # noqa: PLC0415 - SQLite's nodes load no client

        self._session = base.session(connection)
        call = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
        with connection.wrap_database_errors:
            if wait:
                self._session.execute("SET lock_timeout = 0")
            found = self._session.execute(f"SELECT {call}({base.CLASS}, {LOCKS[self.name]})").fetchone()
        if found[0] is False:
            self.release()
            raise Locked(f"another process, perhaps on another machine, holds the database's {self.name} lock")
        return self

    def alive(self) -> bool:
        """Tell whether the lock is still held; it is lost with its connection."""
        if self._session is None:
            return not on_postgresql()
        try:
            with connection.wrap_database_errors:
                self._session.execute("SELECT 1")
        except DatabaseError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Let the lock go; does nothing when it is not held."""
        if self._session is not None:
            with contextlib.suppress(Exception):
                self._session.close()
            self._session = None

    def __enter__(self) -> Self:
        """Take the lock, waiting for it."""
        return self.acquire()

    def __exit__(self, *_error: object) -> None:
        """Let the lock go."""
        self.release()


def unknown_migrations() -> list[str]:
    """Return the applied migrations that this code does not have, as `app.name`, sorted."""
    loader = MigrationLoader(connection)
    known = set(loader.disk_migrations or {})
    replaced = {key for migration in (loader.disk_migrations or {}).values() for key in migration.replaces}
    applied = cast("dict[tuple[str, str], object]", loader.applied_migrations)
    return sorted(f"{app}.{name}" for app, name in set(applied) - known - replaced)


def migrate_at_start() -> int:
    """Bring the schema up to date under a lock and return how many migrations were applied.

    A new database is made. One of an older version is left as it is, unless `migrate_at_start` is set or the owner acts: an
    upgrade begins with a backup. Raises NewerSchema, OlderSchema; ConfigError where the server does not keep what it
    acknowledges.
    """
    role = config.role_name()
    with migrating():
        waiting = pending_migrations()
        if waiting and not _is_new() and not (config.current(config.RoleConfig).migrate_at_start or os.environ.get(_OWNER)):
            raise OlderSchema(
                f"this data folder is of an older version, its database waits for {_some(waiting)}; make a backup and bring it "
                f"up to date with: fairwitness {role} upgrade DIR"
            )
        return apply(waiting)


@contextlib.contextmanager
def migrating() -> Iterator[None]:
    """Hold the locks under which a schema is changed. Raises NewerSchema, ConfigError; nothing was changed then."""
    folder = config.current(config.RoleConfig).folder("run")
    with FileLock(folder / "migrate.lock"), SessionLock("migrate"):
        if on_postgresql():
            _check_server()
        newer = unknown_migrations()
        if newer:
            raise NewerSchema(
                f"this data folder was last used by a newer version (its schema has {', '.join(newer)}); "
                "install that version again, or restore the backup made before the upgrade"
            )
        yield


def apply(waiting: Sequence[str]) -> int:
    """Make all changes that the database waits for, as one transaction: all of them or none. Returns how many.

    Raises OlderSchema where this user may not, and whatever a migration raises.
    """
    before = len(MigrationLoader(connection).applied_migrations)
    if waiting and on_postgresql() and not _may_migrate():
        raise OlderSchema(
            f"the database waits for {_some(waiting)}, and this user may not change its schema; "
            f"run: fairwitness {config.role_name()} database migrate DIR --owner FILE"
        )
    if waiting:
        # SQLite's editor wants its foreign keys off, which they can be switched only outside a transaction.
        connection.disable_constraint_checking()
        try:
            with transaction.atomic():
                schema.bring_up()
                connection.check_constraints()
        finally:
            connection.enable_constraint_checking()
    count = len(MigrationLoader(connection).applied_migrations) - before
    log(Event.MIGRATED, applied=count)
    return count


def _is_new() -> bool:
    """Tell whether no version has used this database yet."""
    return not MigrationLoader(connection).applied_migrations


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def pending_migrations() -> list[str]:
    """Return the migrations that the database waits for, as `app.name`, in their order."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def _may_migrate() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_schema_privilege(current_user, 'public', 'CREATE')")
        return bool(cursor.fetchone()[0])


def _check_server() -> None:
    """Refuse a server that says "stored" before it is true, or that cannot hold every text."""
    wanted = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "server_encoding": "UTF8"}
    with connection.cursor() as cursor:
        for name, value in wanted.items():
            cursor.execute("SELECT current_setting(%s)", [name])
            found = cursor.fetchone()[0]
            if found != value:
                raise config.ConfigError(f"the PostgreSQL server has {name}={found}; it must be {value}")


def scrub() -> bool:
    """Leave no deleted row behind: rewrite the tables without free pages and empty the write-ahead log. Tells whether it did.

    On PostgreSQL the owner of the tables alone can do this (`fairwitness ROLE database scrub`): any other user gets False.
    There old segments of the server's log, its replicas and its backups keep deleted rows for as long as they are kept.
    """
    if connection.in_atomic_block:
        raise RuntimeError("scrub needs no open transaction")
    if on_postgresql():
        return _scrub_postgresql()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True


def owned() -> bool:
    """Tell whether this process may do everything with its tables: on SQLite always, on PostgreSQL as their owner."""
    if not on_postgresql():
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
            "AND NOT pg_has_role(current_user, relowner, 'USAGE')"
        )
        return not cursor.fetchone()[0]


def run_script(text: str) -> None:
    """Run several statements as they stand (PostgreSQL, one round trip)."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        connection.connection.execute(text)


def _scrub_postgresql() -> bool:
    if not owned():
        return False
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"VACUUM (FULL) {connection.ops.quote_name(table)}")
    return True


@contextlib.contextmanager
def holding(name: str) -> Iterator[SessionLock]:
    """Hold the database's lock `name` in the block; raises Locked if another process does."""
    lock = SessionLock(name).acquire(wait=False)
    try:
        yield lock
    finally:
        lock.release()


durable = transaction.atomic(durable=True)
"""A decorator: the function is one transaction, outermost, and what it did is on disk when it returns.

Inside another transaction it raises RuntimeError, so that "stored" is never said before it is true. In tests use
`transactional_db`, whose tests run in no outer transaction.
"""
