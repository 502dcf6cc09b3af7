"""Rows that a test changes as no part of the program may: as the owner of the tables."""

import contextlib
from collections.abc import Iterator

from django.db import connection


@contextlib.contextmanager
def as_owner() -> Iterator[None]:
    """On PostgreSQL, be the owner of the tables for the block; SQLite has no users."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        user = cursor.fetchone()[0]
        cursor.execute("RESET ROLE")
        try:
            yield
        finally:
            cursor.execute(f'SET ROLE "{user}"')
