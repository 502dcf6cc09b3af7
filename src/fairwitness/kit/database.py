"""Start-up migration, and what the databases promise.

Every commit is durable when it returns (SQLite in WAL mode with synchronous=FULL), every transaction takes the write lock
at its start (IMMEDIATE, so there is no upgrade deadlock), and deleted rows are overwritten (secure_delete); `scrub`
empties the free pages and the write-ahead log for the moments that promise destruction.
"""

from typing import cast

from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader

from fairwitness.kit import config
from fairwitness.kit.files import FileLock
from fairwitness.kit.journal import Event, log


class NewerSchema(Exception):
    """The database was written by a newer version of this program; nothing was changed."""


def unknown_migrations() -> list[str]:
    """Return the applied migrations that this code does not have, as `app.name`, sorted."""
    loader = MigrationLoader(connection)
    known = set(loader.disk_migrations or {})
    replaced = {key for migration in (loader.disk_migrations or {}).values() for key in migration.replaces}
    applied = cast("dict[tuple[str, str], object]", loader.applied_migrations)
    return sorted(f"{app}.{name}" for app, name in set(applied) - known - replaced)


def migrate_at_start() -> int:
    """Bring the schema up to date under a lock and return how many migrations were applied. Raises NewerSchema."""
    folder = config.current(config.RoleConfig).folder("run")
    with FileLock(folder / "migrate.lock"):
        newer = unknown_migrations()
        if newer:
            raise NewerSchema(
                f"this data folder was last used by a newer version (its schema has {', '.join(newer)}); "
                "install that version again, or restore the backup made before the upgrade"
            )
        before = len(MigrationLoader(connection).applied_migrations)
        call_command("migrate", interactive=False, verbosity=0)
        count = len(MigrationLoader(connection).applied_migrations) - before
    log(Event.MIGRATED, applied=count)
    return count


def scrub() -> None:
    """Leave no deleted row on the disk: rewrite the database without free pages and empty the write-ahead log."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        raise RuntimeError("scrub needs SQLite and no open transaction")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


durable = transaction.atomic(durable=True)
"""A decorator: the function is one transaction, outermost, and what it did is on disk when it returns.

Inside another transaction it raises RuntimeError, so that "stored" is never said before it is true. In tests use
`transactional_db`, whose tests run in no outer transaction.
"""
