"""A hub and an agency on PostgreSQL and S3 are backed up, destroyed and restored onto other servers, and life goes on."""

import json
import shutil
import stat
import tarfile

import psycopg
import pytest
from fairwitness_core.crypto import seal

from fairwitness.kit import blobs_s3, config, objects
from tests.harness import elsewhere, postgres, s3
from tests.harness.stage import Stage
from tests.scenarios.operate.town import cli

pytestmark = [pytest.mark.proof, pytest.mark.skipif(postgres.programs() is None, reason=postgres.ABSENT)]
ROLES = ("hub", "agency")


@pytest.fixture(scope="module")
def stage():
    built = Stage(("home-a", "home-b"), postgresql=True)
    yield built
    built.close()


@pytest.fixture(scope="module")
def other():
    with postgres.cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def recovery(tmp_path_factory):
    secret, recipient = seal.new_identity()
    path = tmp_path_factory.mktemp("paper") / "identity"
    path.touch(mode=0o600)
    path.write_text(secret)
    return path, recipient


@pytest.fixture(scope="module")
def saved(stage, recovery, tmp_path_factory):
    """A world in mid-life (an answer collected, an upload not finished) and the archives of both nodes."""
    folder = tmp_path_factory.mktemp("saved")
    world = stage.world(("home-a", "home-b"), seed="restore")
    world.place("home-a", 37.8044, -122.2712)
    world.place("home-b", 37.8044, -122.2712)
    request = world.request()
    world.wait(150)
    world.home("home-a").act("answer", request, "A red car, collected before.", at_once=True)
    world.until(lambda: [rid for rid, _, state in world.agency.act("responses") if state == "collected"])
    world.net.tamper = lambda m: m.source == "home-b" and m.path.endswith("/finalize")
    world.home("home-b").act("answer", request, "A red car, on its way.", at_once=True)
    world.until(lambda: [m for m in world.net.messages if m.source == "home-b" and m.path.endswith("/finalize")])
    _, recipient = recovery
    made = {}
    for role in ROLES:
        node = world.net.nodes[role]
        node.ask("close")
        words = (role, "backup", node.folder, folder / f"{role}.tar", "--owner", elsewhere.Place.owner_file(node.folder))
        made[role] = json.loads(cli(*words, "--with-keys", folder / f"{role}.keys", "--recipient", recipient))
    place = world.agency.folder
    cli("agency", "backup", place, folder / "stay.tar", "--owner", elsewhere.Place.owner_file(place), "--blobs-stay")
    return world, folder, made


class Target:
    """Where to restore to: a database and users of other names on another server, another bucket, and the words for it."""

    def __init__(self, cluster, server, folder, name):
        cluster.make(name, users=(f"{name}_worker",))
        self.cluster, self.name, self.user = cluster, name, f"{name}_worker"
        self.server, self.bucket, self.folder = server, server.bucket(), folder
        folder.mkdir(exist_ok=True)
        self.owner = _secret(folder / "owner", f'user = "{name}_owner"\npassword = "{name}_owner"\n')
        self.password = _secret(folder / "password", self.user)
        self.credentials = s3.credentials(folder)

    def words(self):
        return (
            "--owner", self.owner, "--database-url", self.cluster.url(self.name, self.user), "--database-password", self.password,
            "--blobs-url", f"s3://{self.bucket}/back", "--blobs-endpoint", self.server.endpoint,
            "--blobs-credentials", self.credentials,
        )  # fmt: skip

    def empty(self):
        with self.cluster.admin(self.name) as session:
            tables = session.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()[0]
        return not tables and not self.server.paths(self.bucket)


def _secret(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@pytest.fixture
def target(stage, other, tmp_path, request):
    return Target(other, stage.places["hub"].server, tmp_path / "target", f"back_{abs(hash(request.node.name)):x}")


def test_what_an_archive_holds_and_what_not(saved):
    _, folder, made = saved
    for role in ROLES:
        archive = folder / f"{role}.tar"
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        with tarfile.open(archive) as tar:
            held = {member.name: tar.extractfile(member).read() for member in tar}
        assert held["database.pgdump"].startswith(b"PGDMP")
        assert any(name.startswith("bucket/") for name in held)
        whole = archive.read_bytes()
        assert s3.SECRET.encode() not in whole
        assert not [name for name in held if name.startswith("keys/") and name.endswith(("s3.toml", "database.password"))]
        manifest = json.loads(held["manifest.json"])
        assert manifest["database"]["server"] >= 14
        assert manifest["bucket"] == {"stays": False}
        assert made[role]["files"] == len(held) - 1
    with tarfile.open(folder / "stay.tar") as tar:
        names = tar.getnames()
        listed = json.loads(tar.extractfile("manifest.json").read())["bucket"]
    assert not [name for name in names if name.startswith("bucket/")]
    assert listed["stays"]
    assert len(listed["blobs"]) >= 2  # a manifest and a clip
    for area, _name, size, sha256 in listed["blobs"]:
        assert (area, size > 0, len(sha256)) == ("evidence", True, 64)


def test_a_database_or_bucket_that_is_not_empty_is_refused(saved, target, tmp_path):
    _, folder, _ = saved
    words = ("hub", "restore", folder / "hub.tar", tmp_path / "new", *target.words())
    with target.cluster.admin(target.name) as session:
        session.execute("CREATE TABLE mine (a int)")
        assert "database is not empty (public.mine" in cli(*words, code=1)
        assert session.execute("SELECT count(*) FROM mine").fetchone() == (0,)
        session.execute("DROP TABLE mine")
    target.server.client().put_object(Bucket=target.bucket, Key="back/mine", Body=b"x")
    assert "the bucket holds mine" in cli(*words, code=1)
    assert target.server.paths(target.bucket) == ["back/mine"]
    target.server.client().delete_object(Bucket=target.bucket, Key="back/mine")
    assert target.empty()
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))
    # An archive of servers does not become one of files, and the owner is needed.
    assert "PostgreSQL" in cli("hub", "restore", folder / "hub.tar", tmp_path / "new", code=1)


def test_a_restore_that_fails_on_the_way_leaves_servers_empty(saved, target, tmp_path):
    _, folder, _ = saved
    with target.cluster.admin(target.name) as session:
        session.execute(f'ALTER ROLE "{target.user}" CREATEROLE')  # found when its rights are compared, at the very end
    said = cli("hub", "restore", folder / "hub.tar", tmp_path / "new", *target.words(), code=1)
    assert "rights cannot be given" in said
    assert target.empty()
    assert not (tmp_path / "new").exists()


def test_the_programs_must_be_there_and_fit_and_are_told_no_secret(saved, tmp_path, monkeypatch):
    world, _, _ = saved
    owner = elsewhere.Place.owner_file(world.hub.folder)
    tools = tmp_path / "bin"
    tools.mkdir()
    words = ("hub", "backup", world.hub.folder, tmp_path / "x.tar", "--owner", owner)
    real = shutil.which("pg_dump")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tools))
        assert "postgresql-client" in cli(*words, code=1)
        (tools / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
        (tools / "pg_dump").chmod(0o700)
        assert "is of PostgreSQL 9, the server is" in cli(*words, code=1)
    spy = f'#!/bin/sh\n{{ echo "$@"; env; }} >> {tmp_path}/seen\n[ "$1" = --version ] && exec {real} --version\n'
    spy += f'stat -c %a "$PGPASSFILE" >> {tmp_path}/mode; cp "$PGPASSFILE" {tmp_path}/passwords\nexec {real} "$@"\n'
    (tools / "pg_dump").write_text(spy)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("PGHOST", "elsewhere.example.org")
    cli(*words)
    seen = (tmp_path / "seen").read_text()
    assert "PGPASSWORD" not in seen
    assert "elsewhere.example.org" not in seen
    password = f"{world.stage.places['hub'].name}_owner"
    assert password in (tmp_path / "passwords").read_text()
    # The user is named the same as its password here: it may stand as the user alone.
    assert seen.count(password) == seen.count(f"user={password}")
    assert (tmp_path / "mode").read_text().split() == ["600"]
    assert not list((world.hub.folder / "run").glob("backup-*"))


def test_blobs_that_stay_are_looked_at(saved, stage, target, tmp_path):
    world, folder, _ = saved
    place = stage.places["agency"]
    words = (
        "agency", "restore", folder / "stay.tar", tmp_path / "new", "--owner", target.owner,
        "--database-url", target.cluster.url(target.name, target.user), "--database-password", target.password,
        "--blobs-credentials", target.credentials,
    )  # fmt: skip
    world.agency.ask("close")
    client = blobs_s3.client_of(config.BlobsConfig(**place.settings()["blobs"]), target.credentials)
    held = sorted(path for path, _ in objects.Bucket(client).paths("evidence/index"))
    (path, _), *_ = objects.Bucket(client).paths("evidence/piece")
    whole = objects.Bucket(client).get(path, 1 << 26)
    objects.Bucket(client).replace(path, bytes([whole[0] ^ 1]) + whole[1:])
    assert "is not what the backup saw" in cli(*words, code=1)
    objects.Bucket(client).replace(path, whole)
    notes = json.loads(cli(*words))["next"]
    assert any(f"{len(held)} blobs in the bucket are those that the backup saw" in note for note in notes), notes


def test_life_goes_on_in_both(saved, stage, other, recovery, tmp_path):
    world, folder, made = saved
    identity, _ = recovery
    for role in ROLES:
        node, place = world.net.nodes[role], stage.places[role]
        node.ask("close")
        # Gone: database, bucket, folder.
        with place.cluster.admin() as session:
            session.execute(f'DROP DATABASE "{place.name}" WITH (FORCE)')
        for path in place.server.paths(place.bucket):
            place.client.delete_object(Bucket=place.bucket, Key=path)
        shutil.rmtree(node.folder)
        target = Target(other, place.server, tmp_path / role, f"second_{role}")
        words = (role, "restore", folder / f"{role}.tar", tmp_path / "new" / role, "--expect", made[role]["sha256"])
        cli(*words, "--keys", folder / f"{role}.keys", "--identity", identity, *target.words())
        assert json.loads(cli(role, "database", "check", tmp_path / "new" / role))["differences"] == []
        with other.connect(target.name, target.user, target.user) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("CREATE TABLE mine (a int)")
        shutil.move(tmp_path / "new" / role, node.folder)
        node.call("tests.harness.elsewhere.take_up", str(node.folder))
        node.ask("restart")
    world.net.tamper = lambda m: False
    assert world.hub.act("step") == "ok"
    (before,) = [rid for rid, _, state in world.agency.act("responses") if state == "collected"]
    manifest, clips = world.until(lambda: world.agency.act("opened", before))
    assert b"collected before" in manifest
    assert clips
    world.until(lambda: len(world.agency.act("responses")) == 2, limit=3600)
    (after,) = [rid for rid, _, _ in world.agency.act("responses") if rid != before]
    manifest, _ = world.until(lambda: world.agency.act("opened", after))
    assert b"on its way" in manifest
    opened = [m for m in world.net.messages if m.source == "home-b" and m.path == "/v1/uploads"]
    parts = [m for m in world.net.messages if m.source == "home-b" and m.method == "PUT"]
    assert len(parts) == 1, f"the part was sent again: {len(opened)} openings"
    world.check()
