"""The hub on a real PostgreSQL: its user's exact rights, one writer, one beat, and what survives the server's death."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from fairwitness.home.config import Config as HomeConfig
from fairwitness.kit import config
from fairwitness.kit.postgresql import connecting
from fairwitness.witness import services as witness_services
from tests.harness import postgres, s3

pytestmark = [pytest.mark.slow, pytest.mark.skipif(postgres.programs() is None, reason=postgres.ABSENT)]


@pytest.fixture(scope="module")
def cluster():
    with postgres.cluster() as found:
        yield found


def run(role, *words, ok=True, folder=None, script=""):
    """Run the command line, or a script with the role set up, as an operator's shell would."""
    command = [sys.executable, "-c", script] if script else [sys.executable, "-m", "fairwitness", role, *map(str, words)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_"))}
    if folder:
        environment |= {"FAIRWITNESS_DATA": str(folder), "DJANGO_SETTINGS_MODULE": f"fairwitness.{role}.settings"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


def secret(path, text):
    path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@pytest.fixture(params=["hub", "agency"])
def node(request, cluster, tmp_path):
    """An empty node whose database was made and migrated as the documentation says."""
    role = request.param
    name = f"{role}_{os.urandom(4).hex()}"
    user = f"{name}_node"
    cluster.make(name, users=(user,))
    folder = tmp_path / role
    config.write(folder, {"public_url": "http://localhost", "database": {"url": cluster.url(name, user)}})
    secret(folder / "keys" / "database.password", user)
    owner = secret(tmp_path / "owner.toml", f'user = "{name}_owner"\npassword = "{name}_owner"\n')
    return role, folder, name, user, owner


SETUP = "import django; django.setup(); from fairwitness.kit import config, database; from fairwitness.kit.files import Locked\n"


def test_these_rights_and_no_more(node, cluster):
    role, folder, name, user, owner = node
    assert "database migrate" in run(role, script=SETUP + "database.migrate_at_start()", folder=folder, ok=False)
    answer = json.loads(run(role, "database", "migrate", folder, "--owner", owner))
    assert answer["applied"] > 10
    assert answer["differences"] == []
    assert json.loads(run(role, "database", "check", folder))["differences"] == []
    run(role, script=SETUP + "assert database.migrate_at_start() == 0", folder=folder)
    # Each right too many or too few is found, by whatever road it comes.
    table = {"hub": "hub_logentry", "agency": "agency_custodyrecord"}[role]
    changes = (
        (f'GRANT DELETE ON {table} TO "{user}"', f'REVOKE DELETE ON {table} FROM "{user}"', f"DELETE on {table} is given"),
        (f"GRANT UPDATE (sha256) ON {table} TO PUBLIC", f"REVOKE UPDATE (sha256) ON {table} FROM PUBLIC", "UPDATE on"),
        (f'REVOKE INSERT ON {table} FROM "{user}"', f'GRANT INSERT ON {table} TO "{user}"', "is missing"),
        (f'GRANT TRUNCATE ON {table} TO "{user}"', f'REVOKE TRUNCATE ON {table} FROM "{user}"', "TRUNCATE on"),
        (f'GRANT CREATE ON SCHEMA public TO "{user}"', f'REVOKE CREATE ON SCHEMA public FROM "{user}"', "CREATE on the schema"),
        (f'ALTER ROLE "{user}" CREATEROLE', f'ALTER ROLE "{user}" NOCREATEROLE', "one who makes roles"),
        (f'GRANT "{name}_owner" TO "{user}"', f'REVOKE "{name}_owner" FROM "{user}"', "is a member of"),
        (f'GRANT TEMPORARY ON DATABASE "{name}" TO PUBLIC', f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC', "TEMPORARY"),
        ("CREATE TABLE extra (a int); GRANT SELECT ON extra TO PUBLIC", "DROP TABLE extra", "SELECT on extra.a is given"),
        ("CREATE SCHEMA x; GRANT USAGE ON SCHEMA x TO PUBLIC", "DROP SCHEMA x", "USAGE on the schema x"),
    )
    for change, undo, said in changes if role == "agency" else changes[:2]:
        with cluster.admin(name) as session:
            session.execute(change)
            said_so = subprocess.run(
                [sys.executable, "-m", "fairwitness", role, "database", "check", str(folder)],
                capture_output=True,
                text=True,
                check=False,
                env={k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_"))},
            )
            assert said_so.returncode == 1, change
            assert any(said in line for line in json.loads(said_so.stdout)["differences"]), (change, said_so.stdout)
            session.execute(undo)
    assert json.loads(run(role, "database", "check", folder))["differences"] == []
    # The printed SQL is what was run: again, it changes nothing, and repairs what was added.
    with cluster.admin(name) as session:
        session.execute(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{user}"')
    with cluster.connect(name, f"{name}_owner", f"{name}_owner") as session:
        session.execute(run(role, "database", "grants", folder))
    assert json.loads(run(role, "database", "check", folder))["differences"] == []


@pytest.mark.parametrize("node", ["agency"], indirect=True)
def test_what_was_recorded_cannot_be_changed_by_the_node(node, cluster):
    role, folder, name, user, owner = node
    run(role, "database", "migrate", folder, "--owner", owner)
    with cluster.connect(name, user, user) as session:
        for statement in (
            "DELETE FROM agency_custodyrecord",
            "UPDATE agency_custodyrecord SET envelope = ''",
            "UPDATE agency_custodyrecord SET at = 0",
            "TRUNCATE agency_custodyrecord",
            "ALTER TABLE agency_custodyrecord DISABLE TRIGGER ALL",
            "DROP TABLE agency_custodyrecord",
            "DELETE FROM accounts_totpgrant",
            "UPDATE accounts_totpgrant SET granted_by_id = 1",
            "DELETE FROM django_migrations",
            "CREATE TABLE mine (a int)",
            "CREATE TEMPORARY TABLE mine (a int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
    run(role, "database", "scrub", folder, ok=False)
    assert json.loads(run(role, "database", "scrub", folder, "--owner", owner))["scrubbed"]


def files_of(cluster, name):
    """The bytes of every table and index of a database, as they lie on the server's disk."""
    with cluster.admin(name) as session:
        session.execute("CHECKPOINT")
        rows = session.execute("SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't') AND oid >= 16384")
        return b"".join((cluster.folder / "data" / path).read_bytes() for (path,) in rows.fetchall())


@pytest.mark.claim("P8")
@pytest.mark.parametrize("node", ["agency"], indirect=True)
def test_a_scrub_leaves_nothing_of_deleted_rows_in_the_tables_files(node, cluster):
    """What PostgreSQL can promise of T10: the log, replicas and backups keep rows for as long as they are kept."""
    role, folder, name, user, owner = node
    run(role, "database", "migrate", folder, "--owner", owner)
    with cluster.connect(name, user, user) as session:
        session.execute("INSERT INTO django_session VALUES ('CANARY-KEY-7731', 'CANARY-ROW-7731', now())")
        session.execute("DELETE FROM django_session")
    assert b"CANARY-ROW-7731" in files_of(cluster, name), "the test sees nothing"
    run(role, "database", "scrub", folder, "--owner", owner)
    left = files_of(cluster, name)
    assert b"CANARY-ROW-7731" not in left
    assert b"CANARY-KEY-7731" not in left
    assert len(left) > 100_000


@pytest.mark.parametrize("node", ["hub"], indirect=True)
def test_one_writer_one_migration_one_beat(node, cluster):
    role, folder, name, _user, owner = node
    run(role, "database", "migrate", folder, "--owner", owner)
    # 1. A read and the write that rests on it are one: of many that count up, none is lost, inside a transaction or not.
    counting = SETUP + (
        "from django.db import transaction\nfrom fairwitness.hub.services import ledger\n"
        "for n in range(40):\n    with transaction.atomic():\n        ledger.set_mark('x', ledger.mark('x') + 1)\n"
    )
    threads = [threading.Thread(target=run, args=(role,), kwargs={"script": counting, "folder": folder}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = SETUP + "from fairwitness.hub.services import ledger; print(ledger.mark('x'))"
    assert run(role, script=read, folder=folder).split() == ["120"]
    # 2. A writing statement outside of a transaction waits as well, and gives up after wait_seconds.
    config_text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(config_text + "wait_seconds = 1\n")
    with cluster.admin(name) as session, session.transaction():
        session.execute("SELECT pg_advisory_xact_lock(%s, 1)", [0x46574954])
        late = SETUP + "from fairwitness.hub.services import ledger; ledger.Mark.objects.filter(name='x').update(number=0)"
        assert "LockNotAvailable" in run(role, script=late, folder=folder, ok=False)
        assert run(role, script=read, folder=folder).split() == ["120"]  # readers wait for nobody
    # 3. Who holds the beat's lock holds it against every machine, and loses it with the connection.
    with cluster.admin(name) as session:
        held = SETUP + (
            "import sys\nlock = database.SessionLock('beat').acquire(wait=False)\nprint('held', flush=True)\n"
            "import time\n"
            "while lock.alive():\n    time.sleep(0.1)\n"
            "print('lost', flush=True)\n"
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_"))}
        environment |= {"FAIRWITNESS_DATA": str(folder), "DJANGO_SETTINGS_MODULE": "fairwitness.hub.settings"}
        holder = subprocess.Popen([sys.executable, "-c", held], env=environment, stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline() == "held\n"
        other = SETUP + "database.SessionLock('beat').acquire(wait=False)"
        assert "Locked" in run(role, script=other, folder=folder, ok=False)
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 3")
        assert holder.stdout.readline() == "lost\n"
        assert holder.wait(20) == 0
        run(role, script=other, folder=folder)


@pytest.mark.parametrize("node", ["hub"], indirect=True)
def test_what_was_acknowledged_survives_the_servers_death(node, cluster):
    role, folder, _name, _user, owner = node
    run(role, "database", "migrate", folder, "--owner", owner)
    writing = SETUP + (
        "from fairwitness.hub.services import ledger\nfrom django.db import DatabaseError, connection\n"
        "connection.ensure_connection()\nn = 0\n"
        "try:\n    while True:\n        ledger.set_mark('n', n + 1)\n        n += 1\n        print(n, flush=True)\n"
        "except DatabaseError:\n    pass\n"
        "connection.close()\nimport time\n"
        "for _ in range(100):\n    try:\n        assert ledger.mark('n') in (n, n + 1)\n        print('kept', flush=True)\n"
        "        break\n    except DatabaseError:\n        connection.close()\n        time.sleep(0.2)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_"))}
    environment |= {"FAIRWITNESS_DATA": str(folder), "DJANGO_SETTINGS_MODULE": "fairwitness.hub.settings"}
    writer = subprocess.Popen([sys.executable, "-c", writing], env=environment, stdout=subprocess.PIPE, text=True)
    while writer.stdout.readline() != "30\n":
        pass
    cluster.stop(kill=True)
    time.sleep(0.2)
    cluster.start()
    assert writer.communicate(timeout=60)[0].split()[-1] == "kept"


def test_addresses_that_are_refused(tmp_path):
    for url, word in (
        ("postgresql://u:secret@localhost/x", "password"),
        ("postgresql://u@db.example.org/x", "verify-full"),
        ("postgresql://u@db.example.org/x?sslmode=require", "verify-full"),
        ("postgresql://localhost/x", "user"),
        ("postgresql://u@localhost", "dbname"),
        ("postgresql://u@localhost/x?options=-csynchronous_commit%3Doff", "options"),
        ("mysql://u@localhost/x", "must look like"),
        ("postgresql://u@[/x", "must look like"),
    ):
        with pytest.raises(config.ConfigError, match=word) as caught:
            connecting.address_of(url)
        assert "secret" not in str(caught.value)
    assert connecting.address_of("postgresql://u@db.example.org/x?sslmode=verify-full")["host"] == "db.example.org"


def test_the_password_is_read_from_a_private_file_alone(tmp_path):
    folder = tmp_path / "n"
    config.write(folder, {"database": {"url": "postgresql://u@localhost/x"}})
    found = config.load(config.RoleConfig, folder)
    path = secret(folder / "keys" / "database.password", "s3cret\n")
    assert connecting.settings_of(found)["PASSWORD"] == "s3cret"
    path.chmod(0o644)
    with pytest.raises(connecting.files.UnsafeMode):
        connecting.settings_of(found)


def test_a_home_keeps_its_rows_at_home(tmp_path):
    with pytest.raises(config.ConfigError, match="home"):
        HomeConfig(database=config.DatabaseConfig(url="postgresql://u@localhost/x"))


def test_a_hub_runs_on_both_and_its_secrets_stay_in_their_files(cluster, tmp_path):
    """As docs/operate/state.md says: init by the owner, migrate, run; with blobs on a server that checks signatures."""
    cluster.make("life", users=("life_node",))
    folder = tmp_path / "hub"
    secret(folder / "keys" / "database.password", "life_node")
    s3.credentials(folder / "keys")
    owner = secret(tmp_path / "owner.toml", 'user = "life_owner"\npassword = "life_owner"\n')
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_"))}
    words = [sys.executable, "-m", "fairwitness", "hub"]
    key = generate_witness(tmp_path)
    with s3.nanio(tmp_path / "nanio") as server:
        bucket = server.bucket()
        init = [*words, "init", str(folder), "--name", "Town", "--state", "CA", "--public-url", "http://localhost"]
        init += ["--database-url", cluster.url("life", "life_node"), "--blobs-url", f"s3://{bucket}/town"]
        init += ["--blobs-endpoint", server.endpoint, "--quorum", "1", "--witness", f"w=http://127.0.0.1:9={key}"]
        subprocess.run(init, env=environment | {config.OWNER_VARIABLE: str(owner)}, check=True, capture_output=True, timeout=120)
        text = (folder / "config.toml").read_text()
        (folder / "config.toml").write_text(text.rstrip() + '\nwrite_once = "client"\n')
        run("hub", "database", "migrate", folder, "--owner", owner)
        node = subprocess.Popen(
            [*words, "run", str(folder)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert json.loads(node.stdout.readline())["ready"]
            deadline = time.monotonic() + 30
            while True:  # the beat and the sequencer hold their locks in the database
                with cluster.admin("life") as session:
                    rows = session.execute(
                        "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s", [0x46574954]
                    )
                    if {3, 4} <= {row[0] for row in rows}:
                        break
                assert time.monotonic() < deadline
                time.sleep(0.2)
            for process in processes_of(node.pid):
                for part in ("cmdline", "environ"):
                    shown = (process / part).read_bytes()
                    assert s3.SECRET.encode() not in shown
                    assert b"life_node\0" not in shown.replace(b"=", b"\0")
        finally:
            node.terminate()
            _, errors = node.communicate(timeout=60)
        assert s3.SECRET not in errors
        assert "password" not in errors
    assert not (folder / "db.sqlite3").exists()
    assert json.loads(run("hub", "database", "check", folder))["differences"] == []


def processes_of(pid):
    """The processes of a supervisor, as folders of /proc."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{pid}"), *(found for child in children for found in processes_of(int(child)))]


def generate_witness(folder):
    return witness_services.init(folder / "w", "w.test/w", seed=bytes(32))
