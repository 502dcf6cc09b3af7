"""A PostgreSQL server of our own for tests: Debian's programs, run as an ordinary user in a folder that is thrown away."""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

OWNER_PASSWORD = "owner-of-the-test-server"


def programs() -> Path | None:
    """Return the folder with initdb and postgres, the newest version first; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    if named := shutil.which("postgres"):
        found.append(Path(named).resolve().parent)
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


ABSENT = "there is no PostgreSQL server on this machine (Debian: apt-get install postgresql)"


class Cluster:
    """`host` is the folder of its socket; the superuser is `admin`. Passwords are asked of everybody but the superuser."""

    def __init__(self) -> None:
        found = programs()
        if found is None:
            raise RuntimeError(ABSENT)
        self._programs = found
        room = Path("/dev/shm")  # noqa: S108 - memory: what is synced need not wait for a disk
        self.folder = Path(tempfile.mkdtemp(prefix="fw-pg-", dir=room if os.access(room, os.W_OK) else None))
        self._user = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        if self._user:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.host = str(self.folder)
        self._process: subprocess.Popen | None = None
        self._call(
            ["initdb", "-D", "data", "-U", "admin", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "-N"], password=True
        )
        # The superuser comes in over the socket without a password, as Debian's does; everybody else shows one.
        (self.folder / "data/pg_hba.conf").write_text("local all admin trust\nlocal all all scram-sha-256\n")
        self.start()

    def _as_user(self):
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _call(self, command, *, password=False):
        extra = []
        if password:
            secret = self.folder / "first"
            secret.write_text(secrets.token_hex(16))
            secret.chmod(0o644)
            extra = [f"--pwfile={secret}"]
        subprocess.run(
            [str(self._programs / command[0]), *command[1:], *extra],
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            **self._as_user(),
        )

    def start(self) -> None:
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}", "-c", "max_connections=100"]
        options += ["-c", "shared_buffers=32MB", "-c", "fsync=on", "-c", "log_min_messages=fatal"]
        self._process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", "data", *options],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as_user(),
        )
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(psycopg.OperationalError), self.admin():
                return
            assert self._process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)

    def stop(self, *, kill: bool = False) -> None:
        """End the server; `kill` at once, as a power cut of its processes would."""
        if self._process is None:
            return
        if kill:
            self._call(["pg_ctl", "-D", "data", "stop", "-m", "immediate", "-s"])
        else:
            self._call(["pg_ctl", "-D", "data", "stop", "-m", "fast", "-s"])
        self._process.wait(60)
        self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def admin(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(host=self.host, user="admin", dbname=database, autocommit=True)

    def connect(self, database: str, user: str, password: str) -> psycopg.Connection:
        return psycopg.connect(host=self.host, user=user, password=password, dbname=database, autocommit=True)

    def make(self, name: str, *, owner: str = "", users: tuple[str, ...] = (), creates: bool = False) -> None:
        """Make a database, its owner and its users, each with its name as password, as an administrator would."""
        owner = owner or f"{name}_owner"
        with self.admin() as session:
            known = {row[0] for row in session.execute("SELECT rolname FROM pg_roles")}
            for user in (owner, *users):
                if user not in known:
                    extra = sql.SQL("CREATEDB" if creates and user == owner else "NOCREATEDB")
                    session.execute(
                        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} {}").format(sql.Identifier(user), sql.Literal(user), extra)
                    )
            session.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
        with self.admin(name) as session:
            session.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(owner)))

    def url(self, database: str, user: str) -> str:
        return f"postgresql://{user}@/{database}?host={self.host}"


RUNNING: Cluster | None = None
"""The server of this whole test process, where it has one."""


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    try:
        yield found
    finally:
        found.close()
