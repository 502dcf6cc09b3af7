"""A node whose rows lie in a PostgreSQL server and whose sealed bytes lie in a bucket, laid out again and again as it once was.

It is set up as docs/operate/state.md says: an owner who migrates and grants, a user of the node's own who works. Laying out
costs a tenth of a second: the database is made from a template, the bucket gets back what it had.
"""

import contextlib
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import sql

from tests.harness import postgres, s3

PREFIX = "node"


class Place:
    """One node's database and bucket. `user` is the node's, `owner` the one who migrates; each one's password is its name."""

    def __init__(self, cluster: postgres.Cluster, server: s3.Server, name: str) -> None:
        self.cluster, self.server, self.name = cluster, server, name
        self.user, self.owner = f"{name}_node", f"{name}_owner"
        cluster.make(name, users=(self.user,))
        self.bucket = server.bucket()
        self.client = server.client()
        self._kept: dict[str, dict[str, bytes]] = {}

    def settings(self) -> dict[str, Any]:
        """The tables of config.toml that lead here."""
        return {
            "database": {"url": self.cluster.url(self.name, self.user)},
            "blobs": {"url": f"s3://{self.bucket}/{PREFIX}", "endpoint": self.server.endpoint, "timeout_seconds": 20},
        }

    def secrets(self, folder: Path) -> None:
        """Put the passwords where the node `folder` looks for them, and the owner's beside the folder."""
        keys = folder / "keys"
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private(keys / "database.password", self.user)
        s3.credentials(keys)
        _private(self.owner_file(folder), f'user = "{self.owner}"\npassword = "{self.owner}"\n')
        about = {"settings": self.settings(), "owner": str(self.owner_file(folder)), "user": self.user}
        _private(folder.with_name(f"{folder.name}.state"), json.dumps(about))

    @staticmethod
    def owner_file(folder: Path) -> Path:
        return folder.with_name(f"{folder.name}.owner")

    # -- laying out

    def keep(self, label: str = "template") -> None:
        """Remember the place as it is; every connection to its database is ended."""
        with self.cluster.admin() as session:
            _end(session, self.name)
            session.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(f"{self.name}_{label}")))
            _copy(session, self.name, f"{self.name}_{label}", self.owner)
        self._kept[label] = self.objects()

    def lay_out(self, label: str = "template") -> None:
        """Make the place what it was when it was kept."""
        with self.cluster.admin() as session:
            session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name)))
            _copy(session, f"{self.name}_{label}", self.name, self.owner)
            # The rights in a database come with the copy; those on it do not.
            place, user = sql.Identifier(self.name), sql.Identifier(self.user)
            session.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(place))
            session.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(place, user))
        wanted = self._kept[label]
        here = set(self.server.paths(self.bucket))
        for path in here - wanted.keys():
            self.client.delete_object(Bucket=self.bucket, Key=path)
        for path in wanted.keys() - here:
            self.client.put_object(Bucket=self.bucket, Key=path, Body=wanted[path])

    # -- looking

    def objects(self) -> dict[str, bytes]:
        """Every object of the bucket."""
        return {
            path: self.client.get_object(Bucket=self.bucket, Key=path)["Body"].read() for path in self.server.paths(self.bucket)
        }

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table, in the order of the first column: what the server's administrator reads."""
        found = {}
        with self.cluster.admin(self.name) as session:
            names = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
            for (name,) in names:
                cursor = session.execute(sql.SQL("SELECT * FROM {} ORDER BY 1").format(sql.Identifier(name)))
                columns = [column.name for column in cursor.description or ()]
                found[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        return found

    def heap(self) -> dict[str, bytes]:
        """The files of the tables and indexes, with rows that are deleted and not yet overwritten."""
        with self.cluster.admin(self.name) as session:
            session.execute("CHECKPOINT")
            rows = session.execute(
                "SELECT c.relname, pg_relation_filepath(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind IN ('r', 'i', 't') AND (n.nspname = 'public' OR (n.nspname = 'pg_toast' AND c.oid >= 16384))"
            ).fetchall()
        return {name: (self.cluster.folder / "data" / path).read_bytes() for name, path in rows}

    @contextlib.contextmanager
    def as_administrator(self) -> Iterator[Any]:
        """A session of the server's superuser, who is bound by no grant and no foreign key."""
        with self.cluster.admin(self.name) as session:
            session.execute("SET session_replication_role = replica")
            yield session


def about(folder: Path) -> dict[str, Any] | None:
    """Return what `Place.secrets` left for the node in `folder`: its settings, the owner's file, its user."""
    path = folder.with_name(f"{folder.name}.state")
    return json.loads(path.read_text()) if path.exists() else None


def grant_and_step_down(user: str) -> None:
    """As the owner, give `user` its rights and be nobody else from now on; Django is set up."""
    from django.db import connection  # noqa: PLC0415 - after the environment is set

    from fairwitness.kit import database  # noqa: PLC0415
    from fairwitness.kit.postgresql import grants  # noqa: PLC0415

    database.run_script(grants.sql(user, connection.settings_dict["NAME"]))
    assert grants.differences(user) == []
    _be_whom_the_environment_names()
    assert connection.settings_dict["USER"] == user


@contextlib.contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """Be the owner of the node's tables in the block, as an operator's command with FAIRWITNESS_DATABASE_OWNER is."""
    there = about(folder)
    if there is None:
        yield
        return
    os.environ["FAIRWITNESS_DATABASE_OWNER"] = there["owner"]
    try:
        _be_whom_the_environment_names()
        yield
    finally:
        del os.environ["FAIRWITNESS_DATABASE_OWNER"]
        _be_whom_the_environment_names()


def _be_whom_the_environment_names() -> None:
    from django.db import connection, connections  # noqa: PLC0415 - after the environment is set

    from fairwitness.kit import config  # noqa: PLC0415
    from fairwitness.kit.postgresql import connecting  # noqa: PLC0415

    connections.close_all()
    connection.close_pool()
    fresh = connecting.settings_of(config.current(config.RoleConfig))
    connection.settings_dict.update(USER=fresh["USER"], PASSWORD=fresh["PASSWORD"])


def _end(session: Any, name: str) -> None:
    session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def _copy(session: Any, source: str, target: str, owner: str) -> None:
    words = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
    session.execute(words.format(sql.Identifier(target), sql.Identifier(source), sql.Identifier(owner)))


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def take_up(folder: str) -> None:
    """Be the node in `folder` as its config.toml says now: another database, another bucket, another user."""
    from django.db import connection  # noqa: PLC0415 - after the environment is set

    from fairwitness.kit import config  # noqa: PLC0415
    from fairwitness.kit.postgresql import connecting  # noqa: PLC0415

    config.load(type(config.current(config.RoleConfig)), Path(folder))
    fresh = connecting.settings_of(config.current(config.RoleConfig))
    connection.settings_dict.update(HOST=fresh["HOST"], PORT=fresh["PORT"], NAME=fresh["NAME"])
    _be_whom_the_environment_names()


def change_settings(folder: str, changes: dict[str, Any]) -> None:
    """Let an operator change config.toml of the node in `folder`, and the node take it up as a start does."""
    from fairwitness.kit import config  # noqa: PLC0415 - after the environment is set

    path = Path(folder) / config.FILE_NAME
    values = tomllib.loads(path.read_text()) if path.exists() else {}
    config.write(Path(folder), values | changes)
    config.load(type(config.current(config.RoleConfig)), Path(folder))
