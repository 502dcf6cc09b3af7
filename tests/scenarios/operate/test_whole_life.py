"""Backed up while running, destroyed, restored elsewhere; mirrored, and refilled from the mirror. Real processes."""

import functools
import json
import shutil
import sqlite3
import stat
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.model.hub import JoinFile
from fairwitness_core.tlog.note import VerifierKey
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.verify.log import check_log

from fairwitness.demo.processes import free_ports
from fairwitness.kit import http
from tests.scenarios.operate.town import Town, cli, until

pytestmark = [pytest.mark.proof, pytest.mark.network]
POLYGON = {"type": "Polygon", "coordinates": [[[-122.36, 37.70], [-122.10, 37.70], [-122.10, 37.90], [-122.36, 37.70]]]}


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    town = Town(tmp_path_factory.mktemp("town"))
    try:
        town.start()
        yield town
    finally:
        town.stop()


@pytest.fixture(scope="module")
def recovery(tmp_path_factory):
    secret, recipient = seal.new_identity()
    path = tmp_path_factory.mktemp("paper") / "identity"
    path.write_text(secret)
    path.chmod(0o600)
    return path, recipient


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    """Serve folders with a plain static server; returns their addresses."""
    servers = []

    def serve(folder):
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def assert_private(folder):
    for path in (folder, *folder.rglob("*")):
        bits = stat.S_IMODE(path.lstat().st_mode)
        assert not bits & 0o077 or not path.is_file() or "public" in path.parts, (path, oct(bits))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.rglob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def http_get(url):
    return http.Http(timeout=5).get(url).body.decode()


def content(archive):
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_a_hub_is_destroyed_and_restored_elsewhere_and_forks_nothing(town, recovery, tmp_path, web):
    identity, recipient = recovery
    code = cli("hub", "invite", town.hub).strip()
    doctor = json.loads(cli("hub", "doctor", town.hub, "--json"))
    assert doctor["ok"], doctor
    page = town.get("/metrics").body.decode()
    assert "fairwitness_ready 1\n" in page
    assert 'fairwitness_log_entries{log="public"}' in page
    signed = http_get(f"http://127.0.0.1:{town.ports[0]}/metrics")
    assert signed.count("fairwitness_witness_entries{") == 2
    archive, keys = tmp_path / "hub.tar", tmp_path / "hub.keys"
    made = json.loads(cli("hub", "backup", town.hub, archive, "--with-keys", keys, "--recipient", recipient))
    assert stat.S_IMODE(archive.stat().st_mode) == stat.S_IMODE(keys.stat().st_mode) == 0o600
    held = content(archive)
    whole = archive.read_bytes()
    for path in (town.hub / "keys").rglob("*.key"):
        secret = path.read_bytes()
        assert secret not in whole, path
        assert secret.hex().encode() not in whole, path
        assert f"keys/{path.name}" not in held
    assert code.encode() not in whole
    # The node went on meanwhile, and a mirror follows it.
    copy = tmp_path / "mirror"
    assert "Compare" in cli("mirror", town.url, copy, code=1)
    first = json.loads(cli("mirror", town.url, copy, "--accept"))
    until("more ticks", lambda: town.latest() >= first["tick"] + 5)  # a reader keeps a moment behind
    second = json.loads(cli("mirror", town.url, copy))
    assert second["tick"] > first["tick"]
    assert second["public"] > first["public"]
    served = town.latest()
    site = copy / "site"
    for tick in range(first["tick"], second["tick"] + 1):
        assert (site / f"feed/v1/all/{tick}").read_bytes() == town.get(f"/feed/v1/all/{tick}").body
    join = JoinFile.parse((site / "join.json").read_bytes())
    for name, vkey in (("p", join.public_log), ("s", join.sealed_log)):
        report = check_log(
            lambda p, n=name: (site / "log" / n / p).read_bytes(), Policy.parse(join.policy.encode()), VerifierKey.parse(vkey)
        )
        assert report.ok, report.first_failure
    # Gone.
    town.stop_one("hub")
    last = tmp_path / "last"
    (last / "log").mkdir(parents=True)
    for name, place in (("join.json", "feed/join.json"), ("feed", "feed"), ("log/p", "log/p/public"), ("log/s", "log/s/public")):
        (last / name).symlink_to(town.hub / place)
    third = json.loads(cli("mirror", web(last), copy))
    assert third["public"] >= second["public"]
    mirrored = json.loads(cli("witness", "status", town.witness("press")))["logs"]
    shutil.rmtree(town.hub)
    # Elsewhere.
    new = tmp_path / "elsewhere" / "hub"
    assert "another archive" in cli("hub", "restore", archive, new, "--expect", "00" * 32, code=1)
    cli("hub", "restore", archive, new, "--keys", keys, "--identity", identity, "--expect", made["sha256"])
    assert_private(new)
    assert "not empty" in cli("hub", "restore", archive, new, code=1)
    town.start_hub(new)
    until("behind", lambda: town.state() == "behind")
    assert town.get("/readyz").status == 503
    report = json.loads(cli("hub", "doctor", new, "--json", code=1))
    assert "sequencer" in [c["name"] for c in report["checks"] if c["state"] == "failed"]
    for name in town.names:
        told = json.loads(cli("witness", "status", town.witness(name)))
        assert told["conflicts"] == 0
    assert json.loads(cli("witness", "status", town.witness("press")))["logs"] == mirrored
    town.stop_one("hub")
    cli("hub", "recover", new, "--mirror", web(site))
    town.start_hub(new)
    town.hub = new
    until("it goes on", lambda: town.state() == "ok" and town.latest() > served)
    assert json.loads(cli("mirror", town.url, copy))["tick"] > third["tick"]
    for name in town.names:
        assert json.loads(cli("witness", "status", town.witness(name)))["conflicts"] == 0
    with sqlite3.connect(new / "db.sqlite3") as rows:
        assert rows.execute("SELECT count(*) FROM hub_invite").fetchone() == (1,)


def test_an_archive_that_was_touched_is_refused(town, tmp_path):
    archive = tmp_path / "hub.tar"
    cli("hub", "backup", town.hub, archive)
    data = bytearray(archive.read_bytes())
    at = data.find(b"SQLite format 3\x00") + 5000
    data[at] ^= 1
    (tmp_path / "bent.tar").write_bytes(data)
    (tmp_path / "cut.tar").write_bytes(archive.read_bytes()[: len(data) // 2])
    for name in ("bent", "cut"):
        said = cli("hub", "restore", tmp_path / f"{name}.tar", tmp_path / "new", code=1)
        assert "Traceback" not in said
        assert not (tmp_path / "new").exists()
    assert "of a hub" in cli("agency", "restore", archive, tmp_path / "new", code=1)


def test_a_witness_that_was_restored_signs_nothing_until_it_knows_what_it_signed(town, recovery, tmp_path):
    identity, recipient = recovery
    folder = town.witness("library")
    cli("witness", "backup", folder, tmp_path / "w.tar", "--with-keys", tmp_path / "w.keys", "--recipient", recipient)
    assert (folder / "key").read_bytes() not in (tmp_path / "w.tar").read_bytes()
    until("it signs on", lambda: town.state() == "ok")
    town.stop_one("library")
    shutil.rmtree(folder)
    cli("witness", "restore", tmp_path / "w.tar", folder, "--keys", tmp_path / "w.keys", "--identity", identity)
    assert_private(folder)
    told = json.loads(cli("witness", "status", folder))
    assert not told["ready"]
    assert "restored" in cli("witness", "doctor", folder, code=1)
    town.start_witness("library")
    now = town.latest()
    until("two witnesses are enough", lambda: town.latest() > now + 2)
    assert json.loads(cli("witness", "status", folder))["logs"] == told["logs"]
    (tmp_path / "join.json").write_bytes(town.get("/join.json").body)
    taken = json.loads(cli("witness", "resume", folder, tmp_path / "join.json", town.url))
    assert all(size > told["logs"][origin] for origin, size in taken.items())
    until("it signs again", lambda: json.loads(cli("witness", "status", folder))["logs"] != taken)
    assert json.loads(cli("witness", "status", folder))["conflicts"] == 0


def test_a_home_and_an_agency_come_back_on_another_machine(town, recovery, tmp_path):
    identity, recipient = recovery
    (port,) = free_ports(1)
    home = tmp_path / "home"
    cli("home", "init", home, "--name", "Elm Street", "--port", port)
    code = cli("hub", "invite", town.hub).strip()
    cli("home", "join", home, town.url, "--accept", "--invite", code)
    cli("home", "camera", "add", home, "--name", "Porch", "--lat", "37.8", "--lon", "-122.2")
    cli("home", "backup", home, tmp_path / "home.tar", "--with-keys", tmp_path / "home.keys", "--recipient", recipient)
    whole = (tmp_path / "home.tar").read_bytes()
    assert code.encode() not in whole
    assert (home / "keys" / "owner.token").read_bytes() not in whole
    cameras = cli("home", "camera", "list", home)
    slots = (home / "keys" / "slots.seed").read_bytes()
    shutil.rmtree(home)
    cli(
        "home", "restore", tmp_path / "home.tar", tmp_path / "new" / "home", "--keys", tmp_path / "home.keys", "--identity", "-",
        given=identity.read_text() + "\n",
    )  # fmt: skip
    assert cli("home", "camera", "list", tmp_path / "new" / "home") == cameras
    assert (tmp_path / "new" / "home" / "keys" / "slots.seed").read_bytes() == slots
    with sqlite3.connect(tmp_path / "new" / "home" / "db.sqlite3") as rows:
        assert rows.execute("SELECT invite FROM home_pin").fetchone() == (code,)
    assert_private(tmp_path / "new" / "home")

    agency = tmp_path / "agency"
    (tmp_path / "area.geojson").write_text(json.dumps(POLYGON))
    made = json.loads(
        cli(
            "agency",
            "init",
            agency,
            "--id",
            "us-ca-oakland",
            "--ori",
            "CA0010900",
            "--name",
            "Oakland Police",
            "--state",
            "CA",
            "--jurisdiction",
            tmp_path / "area.geojson",
        )
    )
    cli("agency", "officer", "add", agency, "ana", "--name", "Ana Diaz", "--role", "officer")
    registered = cli("agency", "registration", agency)
    cli("agency", "trust", agency, f"{town.url}/join.json", "--accept")
    (agency / "exports" / "x").mkdir(parents=True)
    (agency / "exports" / "x" / "clip-01.mp4").write_bytes(b"plain pictures")
    saved = json.loads(cli("agency", "backup", agency, tmp_path / "a.tar", "--with-keys", tmp_path / "a.keys"))
    assert "exports/" in saved["left_out"]
    whole = (tmp_path / "a.tar").read_bytes()
    assert b"plain pictures" not in whole
    assert (agency / "keys" / "node.key").read_bytes().strip() not in whole
    assert all(
        data.startswith(b"age-encryption.org/v1") for name, data in content(tmp_path / "a.tar").items() if name.endswith(".key")
    )
    shutil.rmtree(agency)
    paper = tmp_path / "paper"
    paper.write_text(made["recovery_secret"])
    assert (
        "others could read"
        in cli("agency", "restore", tmp_path / "a.tar", agency, "--keys", tmp_path / "a.keys", "--identity", paper, code=1)
        or paper.stat().st_mode & 0o077 == 0
    )
    paper.chmod(0o600)
    if not agency.exists():
        cli("agency", "restore", tmp_path / "a.tar", agency, "--keys", tmp_path / "a.keys", "--identity", paper)
    assert cli("agency", "registration", agency) == registered
    assert json.loads(cli("agency", "status", agency))["hub"] == town.url
    assert_private(agency)


def test_every_setting_has_a_meaning(town, tmp_path):
    found = json.loads(cli("hub", "config", "--check", town.hub, "--json"))
    assert not [item["name"] for item in found if not item["meaning"]]
    (town.data / "bad").mkdir()
    (town.data / "bad" / "config.toml").write_text("keep_days = 4000\n")
    assert "between 1 and 366" in cli("hub", "config", "--check", town.data / "bad", code=1)
