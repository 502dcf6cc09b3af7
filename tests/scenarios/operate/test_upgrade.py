"""From the folders that 0.1.0 left to this version: nothing lost, nothing half done, whatever goes wrong on the way."""

import contextlib
import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest
from fairwitness_core.model.hub import JoinFile
from fairwitness_core.tlog.note import VerifierKey
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.verify.log import check_log

from fairwitness.demo.processes import command
from fairwitness.kit.files import FileLock
from fairwitness.kit.operate import upgrade
from tests.scenarios.operate import state
from tests.scenarios.operate.town import COMMAND, cli

pytestmark = [pytest.mark.proof, pytest.mark.network]
COLUMN = "SELECT count(*) FROM pragma_table_info('hub_pendingentry') WHERE name = 'agency'"
OLD_INSERT = (
    "INSERT INTO hub_pendingentry (sha256, kind, envelope, state, rule, at) VALUES (?, 'key_rotated', ?, 'appended', '', 1)"
)


def rows(folder):
    return contextlib.closing(sqlite3.connect(folder / "db.sqlite3", timeout=30))


def dump(folder):
    with rows(folder) as database:
        return "\n".join(database.iterdump())


def query(folder, sql, *values):
    with rows(folder) as database, database:
        return database.execute(sql, values).fetchone()


def without(text):
    """A dump's lines without what a backup leaves out: sessions, and the invite that a home holds."""
    return sorted(line for line in text.splitlines() if not re.search("django_session|sqlite_sequence|home_pin", line))


@pytest.fixture
def hub(tmp_path):
    return state.unpack(tmp_path / "state", "hub") / "hub"


def test_the_whole_job_goes_on_after_an_upgrade(tmp_path, monkeypatch):
    folder = state.unpack(tmp_path / "state")
    town = state.Revived(folder, monkeypatch)
    state.set_clock(monkeypatch, town.facts["stopped_at"] + 10)
    hub, agency = folder / "hub", folder / "agency"
    # An older schema is neither used nor changed without being asked.
    assert "upgrade" in cli("hub", "status", hub, code=1)
    assert "upgrade" in cli("hub", "run", hub, code=78)
    assert query(hub, COLUMN) == (0,)
    plan = json.loads(cli("hub", "upgrade", hub, "--check"))
    assert (plan["before"], plan["needed"]) == ("0.1.0", True)
    assert "hub.0002_pendingentry_agency" in plan["waiting"]
    nodes = [("hub", hub), ("agency", agency), ("home", folder / "homes" / "home-1")]
    nodes += [("witness", folder / "witnesses" / name) for name in town.facts["witnesses"]]
    for role, node in nodes:
        before = dump(node) if role != "witness" else ""
        done = json.loads(cli(role, "upgrade", node))
        assert (done["before"], done["after"]) == ("0.1.0", upgrade.version())
        written = json.loads((node / "versions.json").read_text())["versions"]
        assert [item["version"] for item in written] == [upgrade.version()]
        assert json.loads(cli(role, "upgrade", node))["backup"] == ""
        # What the backup brings back is what was there.
        again = tmp_path / "again" / node.name
        cli(role, "restore", done["backup"], again)
        if role != "witness":
            assert without(dump(again)) == without(before)
    try:
        town.start()
        ana, names = town.town.people, ("ana", "sam")
        for name in names:
            town.town.codes[name] = json.loads(cli("agency", "officer", "code", agency, name))["code"]
            town.town.enrol(name, town.town.agency_url)
        made = json.loads(cli("hub", "user", hub, "mina2", "--role", "moderator"))
        town.town.codes["mina2"] = made["code"]
        town.town.enrol("mina2", town.town.hub_url)
        town.town.people["mina"] = town.town.people["mina2"]
        # The evidence of before opens.
        for name, sha256 in town.facts["clips"].items():
            assert hashlib.sha256(town.story._open(ana["ana"], town.facts["response"], name)).hexdigest() == sha256
        chain = ana["ana"].get(f"/api/responses/{town.facts['response']}/custody")
        assert len(next(iter(chain.values()))) >= town.facts["custody"]
        # The next request is answered.
        town.film()
        town.answer_next_request()
        status = json.loads(command("hub", "status", hub))
        assert status["state"] == "ok"
    finally:
        town.town.processes.stop()
    join = JoinFile.parse((hub / "feed" / "join.json").read_bytes())
    policy = Policy.parse(join.policy.encode())
    for name, vkey in (("p", join.public_log), ("s", join.sealed_log)):
        root, key = hub / "log" / name / "public", VerifierKey.parse(vkey)
        report = check_log(lambda path, root=root: (root / path).read_bytes(), policy, key)
        assert report.ok, report
        assert report.size > town.facts["logs"][key.name]


def test_an_upgrade_that_fails_changes_nothing(hub):
    with rows(hub) as database, database:
        # The name under which the table is made anew: the last of the changes fails, after all others were made.
        database.execute('CREATE TABLE "new__hub_pendingentry" (id integer)')
    before = dump(hub)
    said = cli("hub", "upgrade", hub, code=1)
    assert "taken back" in said
    assert "restore" in said
    assert dump(hub) == before
    assert not (hub / "versions.json").exists()
    backup = hub.with_name(f"hub-before-{upgrade.version()}.tar")
    assert f"{backup}" in said
    assert backup.stat().st_mode & 0o777 == 0o600
    with rows(hub) as database, database:
        database.execute('DROP TABLE "new__hub_pendingentry"')
    assert json.loads(cli("hub", "upgrade", hub))["backup"].endswith("-2.tar")


def test_an_upgrade_needs_a_stopped_node_room_and_its_own_version(hub, monkeypatch, tmp_path):
    (hub / "run").mkdir(mode=0o700, exist_ok=True)
    with FileLock(hub / "run" / "supervisor.lock"):
        assert "stop it first" in cli("hub", "upgrade", hub, code=1)
    assert "holds no agency" in cli("agency", "upgrade", hub, code=1)
    usage = type("Usage", (), {"free": 1 << 20, "total": 1 << 30})()
    monkeypatch.setattr(upgrade.shutil, "disk_usage", lambda _place: usage)
    with pytest.raises(upgrade.UpgradeError, match="make room"):
        upgrade._need_room(hub, tmp_path / "backup.tar")
    assert query(hub, COLUMN) == (0,)
    (hub / "versions.json").write_text(json.dumps({"v": 1, "versions": [{"version": "99.0.0", "at": 1}]}))
    assert "99.0.0" in cli("hub", "upgrade", hub, code=1)
    (hub / "versions.json").write_text("{")
    assert "cannot be read" in cli("hub", "upgrade", hub, code=1)


def fill_up(hub, count):
    """Give the queue's table many rows, as years would."""
    with rows(hub) as database, database:
        (envelope,) = database.execute("SELECT envelope FROM hub_pendingentry WHERE kind = 'agency_authorized'").fetchone()
        made = ((hashlib.sha256(b"%d" % number).hexdigest(), envelope) for number in range(count))
        database.executemany(OLD_INSERT, made)
    return envelope


def test_the_three_states_with_an_older_process_beside_them(hub):
    envelope = fill_up(hub, 2300)
    (hub / "run").mkdir(mode=0o700, exist_ok=True)
    with FileLock(hub / "run" / "supervisor.lock"):  # an older version runs
        assert "--only expand" in cli("hub", "upgrade", hub, "--only", "fill", code=1)
        cli("hub", "upgrade", hub, "--only", "expand")
        # State 1: what it reads and writes is as it was.
        assert query(hub, "SELECT sha256, kind, envelope, state, rule, log_index, at FROM hub_pendingentry LIMIT 1")
        with rows(hub) as database, database:
            database.execute(OLD_INSERT, ("a" * 64, envelope))
        assert query(hub, "SELECT count(*) FROM hub_pendingentry WHERE agency IS NULL")[0] > 2300
        assert "stop it first" in cli("hub", "upgrade", hub, "--only", "contract", code=1)
        # State 2: rows are filled; it goes on to add some that are not.
        assert json.loads(cli("hub", "upgrade", hub, "--only", "fill"))["done"]["hub.0002_pendingentry_agency"] > 2300
        assert query(hub, "SELECT count(*) FROM hub_pendingentry WHERE agency = 'us-ne-prairiejunction'")[0] > 2300
        assert query(hub, "SELECT count(*) FROM hub_pendingentry WHERE agency = '' AND kind = 'issuer_key'")[0] > 0
        with rows(hub) as database, database:
            database.execute(OLD_INSERT, ("b" * 64, envelope))
    # State 3 waits for them.
    assert "1 rows are not filled" in cli("hub", "upgrade", hub, "--only", "contract", code=1)
    assert json.loads(cli("hub", "upgrade", hub, "--only", "fill"))["done"] == {"hub.0002_pendingentry_agency": 1}
    cli("hub", "upgrade", hub, "--only", "contract")
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"), rows(hub) as database, database:
        database.execute(OLD_INSERT, ("c" * 64, envelope))
    cli("hub", "upgrade", hub)
    assert query(hub, "SELECT count(*) FROM hub_pendingentry WHERE agency IS NULL") == (0,)


def kill_when(words, ready):
    """Start a command and kill it as soon as `ready()`; False where it was faster."""
    with subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if ready():
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return True
            time.sleep(0.002)
    return False


def filled(hub):
    with contextlib.suppress(sqlite3.OperationalError):
        return query(hub, "SELECT count(*) FROM hub_pendingentry WHERE agency IS NOT NULL")[0]
    return 0


def test_filling_goes_on_after_kill_9(hub):
    fill_up(hub, 12_000)
    cli("hub", "upgrade", hub, "--only", "expand")
    assert kill_when(("hub", "upgrade", hub, "--only", "fill"), lambda: filled(hub) >= 1000)
    some = filled(hub)
    assert 1000 <= some < 12_000
    assert some % 500 == 0
    rest = json.loads(cli("hub", "upgrade", hub, "--only", "fill"))["done"]["hub.0002_pendingentry_agency"]
    assert rest + some == query(hub, "SELECT count(*) FROM hub_pendingentry")[0]
    assert query(hub, "SELECT count(*) FROM hub_pendingentry WHERE agency IS NULL") == (0,)


def test_an_upgrade_that_is_killed_has_changed_nothing_or_everything(hub):
    fill_up(hub, 12_000)
    backup = hub.with_name(f"hub-before-{upgrade.version()}.tar")
    assert kill_when(("hub", "upgrade", hub), lambda: backup.exists() and (time.sleep(0.3) or True))
    whole = query(hub, COLUMN) == (1,)
    if whole:
        assert query(hub, "SELECT count(*) FROM hub_pendingentry WHERE agency IS NULL") == (0,)
    else:
        assert query(hub, "SELECT count(*) FROM django_migrations WHERE app = 'hub'") == (1,)
    cli("hub", "upgrade", hub)
    assert query(hub, "SELECT count(*) FROM hub_pendingentry WHERE agency IS NULL") == (0,)
