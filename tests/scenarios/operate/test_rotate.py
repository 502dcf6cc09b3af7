"""Keys are replaced by commands, killed at each step; backups are tried and proved, with keys and papers lost."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from fairwitness_core.crypto import seal

from fairwitness.demo.processes import free_ports
from fairwitness.kit import clock
from fairwitness.kit.operate import rotate
from tests.scenarios.operate import state
from tests.scenarios.operate.test_whole_life import POLYGON
from tests.scenarios.operate.town import Town, cli, until

pytestmark = [pytest.mark.proof, pytest.mark.network]
DYING = """
import os, sys
from pathlib import Path
from fairwitness import cli
from fairwitness.kit import files
left = int(sys.argv[1])
def dying(real):
    def call(*words, **more):
        global left
        if not left:
            os._exit(9)
        left -= 1
        return real(*words, **more)
    return call
files.write_atomic = dying(files.write_atomic)
Path.replace = dying(Path.replace)
sys.exit(cli.main(sys.argv[2:]))
"""


def die_at(step, *words):
    """Run a command that is killed before its `step`-th write; returns the exit status, 9 where it was."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(step), *map(str, words)], capture_output=True, text=True, check=False, env=kept
    )
    assert done.returncode in (0, 9), done.stderr
    return done.returncode


def paper(tmp_path, name="paper"):
    secret, recipient = seal.new_identity()
    path = tmp_path / name
    path.write_text(secret)
    path.chmod(0o600)
    return path, recipient


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory):
    """An agency with evidence, a home with an answer and a hub, of this version."""
    folder = state.unpack(tmp_path_factory.mktemp("state"))
    for role, node in (("agency", "agency"), ("home", "homes/home-1"), ("hub", "hub")):
        cli(role, "upgrade", folder / node)
    return folder


@pytest.fixture
def nodes(upgraded, tmp_path):
    shutil.copytree(upgraded, tmp_path / "nodes", symlinks=True)
    return tmp_path / "nodes"


def opens(folder, identity):
    """Every sealed file below keys/ opens with `identity`; returns the names of those that do not."""
    wrong = []
    for path in sorted((folder / "keys").rglob("*.key")):
        data = path.read_bytes()
        if data.startswith(rotate._AGE) and rotate.opened(data, [identity]) is None:
            wrong.append(path.name)
    return wrong


@pytest.mark.parametrize("what", ["node-key", "recovery"])
def test_a_replacement_killed_at_each_step_goes_on(nodes, tmp_path, what):
    agency = nodes / "agency"
    registered = cli("agency", "registration", agency)
    identity, recipient = paper(tmp_path)
    words = ("agency", "rotate", what, agency, *(("--recipient", recipient) if what == "recovery" else ()))
    before = (agency / "keys/node.key").read_text()
    planned = json.loads(cli(*words, "--dry-run"))
    assert planned["would_seal_anew"] >= 5
    assert (agency / "keys/node.key").read_text() == before
    assert rotate.unfinished(agency) == []
    step, killed = 0, 0
    while die_at(step, *words):
        killed += 1
        if rotate.unfinished(agency):
            assert rotate.unfinished(agency) == [what]
            assert "cut off" in cli("agency", "run", agency, code=78)
            other = ("agency", "rotate", "recovery" if what == "node-key" else "node-key", agency)
            assert "finish that first" in cli(*other, *(("--recipient", recipient) if what == "node-key" else ()), code=1)
        step += 3  # each write_atomic has two places at which it can be cut off: every third reaches both kinds
    assert killed > 3
    assert rotate.unfinished(agency) == []
    node = (agency / "keys/node.key").read_text().strip()
    assert (node != before.strip()) == (what == "node-key")
    assert opens(agency, node) == []
    if what == "recovery":
        assert opens(agency, identity.read_text()) == []
        assert "already" in cli(*words, code=1)
    else:
        assert set(opens(agency, before.strip())) >= {"agency.key", "hold.key"}
    assert cli("agency", "registration", agency) == registered


def test_a_lost_node_key_and_a_lost_paper_are_survived_but_not_both(nodes, tmp_path):
    for role, folder in (("agency", nodes / "agency"), ("home", nodes / "homes" / "home-1"), ("hub", nodes / "hub")):
        identity, recipient = paper(tmp_path, f"{role}-paper")
        cli(role, "rotate", "recovery", folder, "--recipient", recipient)  # the old paper was lost
        (folder / "keys/node.key").unlink()
        assert "nothing opens" in cli(role, "rotate", "node-key", folder, code=1)
        assert not (folder / "keys/node.key").exists()
        stranger, _ = paper(tmp_path, f"{role}-stranger")
        done = json.loads(cli(role, "rotate", "node-key", folder, "--identity", stranger, "--dry-run"))
        assert done["would_seal_anew"] == 0
        done = json.loads(cli(role, "rotate", "node-key", folder, "--identity", identity))
        assert done["sealed_anew"] > 0
        assert done["old_key"] == "lost"
        assert (folder / "keys/node.key").stat().st_mode & 0o777 == 0o600
    assert cli("agency", "registration", nodes / "agency")


def test_a_drill_proves_the_backup_and_leaves_nothing(nodes, tmp_path):
    expected = {"agency": ("clips", 2), "home": ("originals", 2), "hub": ("entries", 800)}
    for role, folder in (("agency", nodes / "agency"), ("home", nodes / "homes" / "home-1"), ("hub", nodes / "hub")):
        identity, recipient = paper(tmp_path, f"{role}-paper")
        cli(role, "rotate", "recovery", folder, "--recipient", recipient)
        out, keys = tmp_path / f"{role}.tar", tmp_path / f"{role}.keys"
        cli(role, "backup", folder, out, "--with-keys", keys)
        words = (role, "drill", folder, "--archive", out, "--keys", keys, "--identity")
        assert "tried" in cli(role, "doctor", folder, code=None)
        around = sorted(folder.parent.iterdir())
        done = json.loads(cli(*words, identity))
        assert done["held"]
        assert done["secrets"] > 0
        name, least = expected[role]
        assert done["proved"][name] >= least
        assert sorted(folder.parent.iterdir()) == around
        said = cli(role, "doctor", folder, code=None)
        assert "held 0 days ago" in said
        held = json.loads((folder / "drills.json").read_bytes())
        held["drills"][-1]["at"] = clock.now() - 91 * 86_400
        (folder / "drills.json").write_text(json.dumps(held))
        assert "91 days ago" in cli(role, "doctor", folder, code=None)
        # The wrong paper, and a node that seals to nobody's.
        stranger, _ = paper(tmp_path, f"{role}-stranger")
        assert "does not open" in cli(*words, stranger, code=1)
        other, other_recipient = paper(tmp_path, f"{role}-other")
        keys.unlink()
        out.unlink()
        cli(role, "backup", folder, out, "--with-keys", keys, "--recipient", other_recipient)
        assert "opens with the node key only" in cli(*words, other, code=1)
        assert sorted(folder.parent.iterdir()) == around


def test_a_drill_finds_evidence_that_was_touched(nodes, tmp_path):
    agency = nodes / "agency"
    identity, recipient = paper(tmp_path)
    cli("agency", "rotate", "recovery", agency, "--recipient", recipient)
    for clip in agency.glob("evidence/*/clip-*.fws"):
        data = bytearray(clip.read_bytes())
        data[-20] ^= 1
        clip.write_bytes(data)
    cli("agency", "backup", agency, tmp_path / "a.tar", "--with-keys", tmp_path / "a.keys")
    words = ("--archive", tmp_path / "a.tar", "--keys", tmp_path / "a.keys", "--identity", identity)
    said = cli("agency", "drill", agency, *words, code=1)
    assert "Traceback" not in said
    assert not (agency / "drills.json").exists()
    assert not list(nodes.glob(".agency-drill-*"))


def test_an_officer_gets_another_key(nodes):
    agency = nodes / "agency"
    old = {key["kid"] for key in json.loads(cli("agency", "registration", agency))["keys"]}
    words = ("agency", "rotate", "officer", agency, "ana")
    assert json.loads(cli(*words, "--dry-run"))["officer"].startswith("o-")
    step, refused = 0, 0
    while die_at(step, *words):
        if rotate.unfinished(agency):
            refused += 1
            assert "cut off" in cli("agency", "run", agency, code=78)
        step += 1
        if not rotate.unfinished(agency) and step > 4:
            break  # what is left is the registration, which is written anew by the next command
    assert refused
    found = [key["kid"] for key in json.loads(cli("agency", "registration", agency))["keys"]]
    assert len(found) == len(old)
    assert len(old & set(found)) == len(old) - 1
    assert not list(agency.glob("keys/**/*.next"))
    assert "withdraw the request" in cli("agency", "rotate", "request-key", agency, code=1)


def test_an_owner_gets_another_token(nodes):
    home = nodes / "homes" / "home-1"
    before = (home / "keys/owner.token").read_text()
    assert json.loads(cli("home", "rotate", "owner-token", home, "--dry-run"))["dry_run"]
    assert (home / "keys/owner.token").read_text() == before
    cli("home", "rotate", "owner-token", home)
    assert (home / "keys/owner.token").read_text() != before
    assert (home / "keys/owner.token").stat().st_mode & 0o777 == 0o600


CALL = """
import sys
from pathlib import Path
from fairwitness.kit import supervise
supervise.setup("agency", Path(sys.argv[1]))
from fairwitness.agency.services import hubcalls, node
(node.join_path().with_name("genesis.json")).unlink(missing_ok=True)
hubcalls.genesis()
"""


def called(agency):
    """A call to the hub, signed with the agency's key, is taken."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_", "PYTEST_"))}
    words = [sys.executable, "-c", CALL, str(agency)]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=kept).returncode == 0


def test_a_witness_and_an_agency_key_are_replaced_while_the_town_goes_on(tmp_path):
    town = Town(tmp_path / "town")
    try:
        town.start()
        hub, agency = town.hub, tmp_path / "agency"
        # The agency's key, in two steps.
        (tmp_path / "area.geojson").write_text(json.dumps(POLYGON))
        cli(
            "agency", "init", agency, "--id", "us-ca-oakland", "--ori", "CA0010900", "--name", "Oakland", "--state", "CA",
            "--jurisdiction", tmp_path / "area.geojson",
        )  # fmt: skip
        cli("agency", "trust", agency, f"{town.url}/join.json", "--accept")
        cli("hub", "add-agency", hub, agency / "registration.json")
        until("the agency is known", lambda: called(agency))
        assert "without --finish" in cli("agency", "rotate", "agency-key", agency, "--finish", code=1)
        first = json.loads(cli("agency", "rotate", "agency-key", agency))
        assert json.loads(cli("agency", "rotate", "agency-key", agency))["new"] == first["new"]
        assert called(agency)
        assert "does not list the new key" in cli("agency", "rotate", "agency-key", agency, "--finish", code=1)
        cli("hub", "add-agency", hub, agency / "registration.json")
        until(
            "the hub lists it", lambda: "new" in cli("agency", "rotate", "agency-key", agency, "--finish", "--dry-run", code=None)
        )
        until("and it is done", lambda: "rotated" in cli("agency", "rotate", "agency-key", agency, "--finish", code=None))
        assert called(agency)
        keys = [key["kid"] for key in json.loads((agency / "registration.json").read_text())["keys"] if key["use"] == "agency"]
        assert keys == [first["new"]]
        cli("hub", "add-agency", hub, agency / "registration.json")
        cli("agency", "rotate", "agency-key", agency, "--finish")
        now = town.latest()
        until("the old one is gone", lambda: town.latest() > now + 2)
        assert called(agency)
        # The witness: first its keeper, then the hub's.
        new = tmp_path / "next"
        made = json.loads(cli("witness", "rotate", "key", town.witness("library"), new))
        (port,) = free_ports(1)
        by = f"library2=http://127.0.0.1:{port}={made['vkey']}"
        words = ("hub", "rotate", "witness", hub, "--replace", "library", "--seconds", "0", "--by")
        assert "does not answer" in cli(*words, by, code=1)
        town.processes.start("next", "witness", "run", new, "--port", str(port))
        town.processes.wait_ready("next")
        other = json.loads(cli("witness", "rotate", "key", town.witness("library"), tmp_path / "other"))["vkey"]
        assert "another key" in cli(*words, f"library2=http://127.0.0.1:{port}={other}", code=1)
        assert "no witness is called" in cli("hub", "rotate", "witness", hub, "--replace", "nobody", "--by", by, code=1)
        assert json.loads(cli(*words, by, "--dry-run"))["comes"].startswith("library2 ")
        done = json.loads(cli(*words, by))
        assert "under way" in cli(*words, by, code=1)
        until("it is logged", lambda: "and counts from" in cli(*words, by, code=None))
        until("it counts", lambda: time.time() > done["effective_at"] + 2)
        until("the join file says so", lambda: made["vkey"] in town.get("/join.json").body.decode())
        # Now the quorum is the new one and one of the others.
        town.stop_one("library")
        town.stop_one("college")
        now = town.latest()
        until("it goes on", lambda: town.latest() > now + 3)
        for name in ("log-keys", "hub-key", "issuer-key"):
            assert "Traceback" not in cli("hub", "rotate", name, hub, code=1)
    finally:
        town.stop()
