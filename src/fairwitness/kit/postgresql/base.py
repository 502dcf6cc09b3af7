"""Django's PostgreSQL backend with SQLite's rule of one writer at a time.

Every role was written for transactions that take the write lock at their start (SQLite's BEGIN IMMEDIATE): what one reads
inside, no other changes before it ends. PostgreSQL's own levels either permit lost updates between a read and a write
(READ COMMITTED) or fail transactions that must then be tried again at every caller (SERIALIZABLE). So each transaction, and
each writing statement outside one, first takes one advisory lock of the database, which its commit gives back. Reading
outside of transactions waits for nobody. Writes are no faster than SQLite's by this; what is gained is the rest.
"""

import re
from collections.abc import Callable
from typing import Any

import psycopg
from django.db.backends.postgresql import base

CLASS = 0x46574954
"""The first number of every advisory lock that is taken here; the second says which."""
WRITER = 1
TAKE_WRITER = f"SELECT pg_advisory_xact_lock({CLASS}, {WRITER})"
_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE|TRUNCATE)\b", re.IGNORECASE)


class DatabaseWrapper(base.DatabaseWrapper):
    """See the module."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.execute_wrappers.append(self._execute)

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """Begin a transaction with the lock held, or end one."""
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        if autocommit or not force_begin_transaction_with_broken_autocommit:
            return
        try:
            with self.wrap_database_errors:
                self.connection.execute(TAKE_WRITER)
        except BaseException:
            # Not begun: nothing may run as if it had.
            if not self.connection.closed:
                self.connection.rollback()
                super().set_autocommit(True)
            else:
                self.close()
            raise

    def _execute(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Run one statement; a writing one outside of a transaction in a transaction of its own, with the lock held."""
        if self.in_atomic_block or not self.autocommit or not _WRITES.match(str(sql)):
            return execute(sql, params, many, context)
        with self.wrap_database_errors, self.connection.transaction():
            self.connection.execute(TAKE_WRITER)
            return execute(sql, params, many, context)


def session(connection: Any) -> "psycopg.Connection[Any]":
    """Return a connection of its own to the database of `connection`, outside of the pool, in autocommit.

    A dead network is noticed within half a minute on both ends, so that what the session holds is not held for ever.
    """
    parameters = connection.get_connection_params()
    parameters |= {
        "autocommit": True,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "options": parameters.get("options", "") + " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 "
        "-c tcp_keepalives_count=3 -c tcp_user_timeout=20000",
    }
    with connection.wrap_database_errors:
        return psycopg.connect(**parameters)
