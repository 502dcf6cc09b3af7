"""Lives of the roles, to be played with kills and faults at each write; each module needs its own role's settings."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection

from fairwitness.kit import blobs_s3, clock, config, http
from tests.harness import elsewhere, postgres, s3
from tests.harness.kill import Line


class Distant:
    """kit.http's transport: the hub is in another process."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def send(self, method: str, url: str, headers: Any, body: Any, timeout: float) -> http.Answer:
        data = body if isinstance(body, bytes) else b"".join(body)
        code, names, answer = self.line.ask("send", clock.now_float(), method, url, data)
        return http.Answer(code, names, iter([answer]))


class State:
    """Where a life's rows and sealed bytes lie, laid out anew for every play: a folder, or PostgreSQL and a bucket.

    `blobs` is the node's `[blobs]`. Nothing that a fork would not survive is left in the process that makes it.
    """

    def __init__(self, place: Path, template: Path, database: Path) -> None:
        self.place, self.template = place, template
        self.before = dict(connection.settings_dict)
        # Django never closes a database in memory: other tests' connection would go on being used here, so it is put aside.
        self.others, connection.connection = connection.connection, None
        self.elsewhere: elsewhere.Place | None = None
        self.blobs = config.BlobsConfig()
        if connection.vendor == "postgresql":
            self._elsewhere(template.parent)
        else:
            connection.settings_dict["NAME"] = str(database)
            call_command("migrate", verbosity=0, interactive=False)
        connection.close()

    def _elsewhere(self, folder: Path) -> None:
        from fairwitness.kit import database  # noqa: PLC0415 - needs the settings
        from fairwitness.kit.postgresql import grants  # noqa: PLC0415

        assert postgres.RUNNING is not None
        assert s3.RUNNING is not None
        there = self.elsewhere = elsewhere.Place(postgres.RUNNING, s3.RUNNING, f"life_{secrets.token_hex(4)}")
        options = {key: value for key, value in self.before["OPTIONS"].items() if key != "pool"}  # a pool has threads
        connection.settings_dict.update(NAME=there.name, USER=there.owner, PASSWORD=there.owner, OPTIONS=options)
        call_command("migrate", verbosity=0, interactive=False)
        database.run_script(grants.sql(there.user, there.name))
        assert grants.differences(there.user) == []
        connection.close()
        connection.settings_dict.update(USER=there.user, PASSWORD=there.user)
        given: dict[str, Any] = there.settings()["blobs"]
        self.blobs = config.BlobsConfig(**given, credentials=str(s3.credentials(folder)))

    @contextlib.contextmanager
    def story(self) -> Iterator[None]:
        """Let the block prepare what every play begins with, and keep it."""
        if self.elsewhere is None:
            yield
        else:
            with s3.unthreaded(self.elsewhere.server, self.elsewhere.bucket, elsewhere.PREFIX):
                yield
        blobs_s3._open.cache_clear()
        connection.close()

    def keep(self) -> None:
        """Make what is there now what every play begins with."""
        shutil.move(self.place, self.template)
        if self.elsewhere is not None:
            self.elsewhere.keep()

    def restore(self) -> None:
        """Lay it out."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.template, self.place)
        if self.elsewhere is not None:
            self.elsewhere.lay_out()

    def close(self) -> None:
        """Give the connection back to the other tests."""
        connection.close()
        connection.settings_dict.update(self.before)
        connection.connection = self.others
