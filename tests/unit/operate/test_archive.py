"""What an archive may hold, and what is refused before a byte is written."""

import dataclasses
import io
import json
import os
import sqlite3
import tarfile
import threading

import pytest
from fairwitness_core.crypto import seal

from fairwitness.kit.config import RoleConfig
from fairwitness.kit.operate import backup, checks, doctor, metrics
from fairwitness.kit.operate.archive import Archive, BackupError, Writer
from fairwitness.kit.operate.role import BackupPlan, Operations


def operations(**plan):
    return Operations(
        role="hub",
        config=None,
        meanings={},
        plan=BackupPlan(**plan),
        keys=("keys/a.key",),
        check=lambda _folder: (),
        is_node=lambda folder: folder.exists(),
        metrics=(),
        sample=tuple,
        ready=lambda: True,
    )


@pytest.fixture
def node(tmp_path):
    folder = tmp_path / "node"
    (folder / "keys").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    (folder / "keys" / "a.key").write_bytes(b"very secret seed")
    (folder / "keys" / "a.key").chmod(0o600)
    (folder / "log").mkdir()
    (folder / "log" / "leaves").write_bytes(b"entries")
    (folder / "log" / "lock").touch()
    with sqlite3.connect(folder / "db.sqlite3") as rows:
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT)")
        rows.execute("CREATE TABLE django_session (session_key TEXT)")
        rows.execute("INSERT INTO django_session VALUES ('signs-in-whoever-knows-it')")
        rows.execute("INSERT INTO t VALUES (1, 'an-invite')")
    return folder


def tar_of(path, members):
    with tarfile.open(path, "w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def member(name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


@pytest.mark.parametrize(
    "bad",
    [
        member("../out", b"x"),
        member("/etc/x", b"x"),
        member("a/../b", b"x"),
        member("a//b", b"x"),
        member("a", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("a", kind=tarfile.LNKTYPE, link="b"),
        member("a", kind=tarfile.DIRTYPE),
        member("a", kind=tarfile.FIFOTYPE),
    ],
    ids=lambda pair: f"{pair[0].name}-{pair[0].type.decode()}",
)
def test_no_member_leads_out_of_the_folder(tmp_path, bad):
    manifest = json.dumps({"v": 1, "type": "backup", "role": "hub", "files": []}).encode()
    path = tar_of(tmp_path / "x.tar", [bad, member("manifest.json", manifest)])
    with pytest.raises(BackupError):
        Archive.open(path)


@pytest.mark.parametrize("data", [b"", b"not a tar", b"\x00" * 10240, b"x" * 5000])
def test_what_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(BackupError):
        Archive.open(tmp_path / "x.tar")


@pytest.mark.parametrize(
    "manifest",
    [b"{}", b"[]", b'{"v":2,"type":"backup","files":[]}', b'{"v":1,"type":"backup","files":[{"path":"a"}]}', b"\xff"],
)
def test_a_manifest_of_another_kind_is_refused(tmp_path, manifest):
    with pytest.raises(BackupError):
        Archive.open(tar_of(tmp_path / "x.tar", [member("manifest.json", manifest)]))


def test_files_and_manifest_must_agree(tmp_path):
    listed = [{"path": "a", "size": 1, "sha256": "00" * 32}]
    manifest = json.dumps({"v": 1, "type": "backup", "role": "hub", "files": listed}).encode()
    for members in ([member("a", b"x")], [], [member("a", b"x"), member("a", b"x")], [member("b", b"x")]):
        with pytest.raises(BackupError):
            Archive.open(tar_of(tmp_path / "x.tar", [*members, member("manifest.json", manifest)]))
    with pytest.raises(BackupError, match="after the manifest"):
        Archive.open(tar_of(tmp_path / "x.tar", [member("manifest.json", manifest), member("a", b"x")]))


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path, node):
    out = tmp_path / "x.tar"
    made = backup.backup(operations(), node, out)
    whole = out.read_bytes()
    good = Archive.open(out, expect=made.sha256)
    for at in range(0, len(whole), 251):
        bent = bytearray(whole)
        bent[at] ^= 0x40
        (tmp_path / "bent.tar").write_bytes(bent)
        try:
            found = Archive.open(tmp_path / "bent.tar", expect=made.sha256)
        except BackupError:
            continue
        assert found.entries == good.entries  # a byte of padding, or of a header that means nothing


def test_nothing_secret_and_nothing_derived_is_in_it(tmp_path, node):
    secret, recipient = seal.new_identity()
    plan = operations(blank=(("t", "word"),), skip=("log/hashes",), last=("log/leaves",))
    (node / "log" / "hashes").write_bytes(b"derived")
    made = backup.backup(plan, node, tmp_path / "x.tar", keys=tmp_path / "keys", recipient=recipient)
    whole = (tmp_path / "x.tar").read_bytes()
    for word in (b"very secret seed", b"signs-in-whoever", b"an-invite", b"derived"):
        assert word not in whole
        assert word not in (tmp_path / "keys").read_bytes()
    assert sorted(Archive.open(tmp_path / "x.tar").entries) == ["db.sqlite3", "log/leaves"]
    assert set(made.left_out) == {"keys/"}
    new = tmp_path / "new"
    assert not backup.restore(plan, tmp_path / "x.tar", new, keys=tmp_path / "keys", identity=secret)
    assert (new / "keys" / "a.key").read_bytes() == b"very secret seed"
    with sqlite3.connect(new / "db.sqlite3") as rows:
        assert rows.execute("SELECT word FROM t").fetchall() == [("an-invite",)]
        assert rows.execute("SELECT count(*) FROM django_session").fetchone() == (0,)
    assert not [path for path in (new, *new.rglob("*")) if path.stat().st_mode & 0o077]
    other, _ = seal.new_identity()
    with pytest.raises(BackupError, match="does not open"):
        backup.restore(plan, tmp_path / "x.tar", tmp_path / "n2", keys=tmp_path / "keys", identity=other)
    assert not (tmp_path / "n2").exists()
    assert "keys/a.key" in backup.restore(plan, tmp_path / "x.tar", tmp_path / "n3")[0]


def test_rows_written_meanwhile_leave_a_whole_copy(tmp_path, node):
    stop = threading.Event()

    def write():
        with sqlite3.connect(node / "db.sqlite3", timeout=30) as rows:
            while not stop.is_set():
                with rows:
                    rows.executemany("INSERT INTO t (word) VALUES (?)", [("x" * 500,)] * 20)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backup.backup(operations(), node, tmp_path / "x.tar")
    finally:
        stop.set()
        writer.join()
    backup.restore(operations(), tmp_path / "x.tar", tmp_path / "new")
    with sqlite3.connect(tmp_path / "new" / "db.sqlite3") as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert (rows.execute("SELECT count(*) FROM t").fetchone()[0] - 1) % 20 == 0


def test_a_failed_backup_leaves_nothing(tmp_path, node, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="space"):
        backup.backup(operations(), node, tmp_path / "x.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node"]
    (tmp_path / "y").touch()
    with pytest.raises(BackupError, match="there already"):
        Writer(tmp_path / "y")
    with pytest.raises(BackupError, match="lies in the folder"):
        backup.backup(operations(), node, node / "x.tar")


def test_rows_in_postgresql_need_their_owner_and_are_not_half_copied(tmp_path, node):
    (node / "config.toml").write_text('[database]\nurl = "postgresql://n@localhost/hub"\n')
    with pytest.raises(BackupError, match="--owner"):
        backup.backup(dataclasses.replace(operations(), config=RoleConfig), node, tmp_path / "x.tar")
    assert not list(tmp_path.glob("*.t*"))


def test_the_secret_of_a_sign_in_provider_stays_out(tmp_path, node):
    secret, recipient = seal.new_identity()
    text = '[[oidc]]\nid = "c"\nname = "City"\nserver_url = "https://i.test"\nclient_id = "f"\nclient_secret = "hunter2222"\n'
    (node / "config.toml").write_text(text)
    backup.backup(operations(), node, tmp_path / "x.tar", keys=tmp_path / "keys", recipient=recipient)
    assert b"hunter2222" not in (tmp_path / "x.tar").read_bytes()
    backup.restore(operations(), tmp_path / "x.tar", tmp_path / "new", keys=tmp_path / "keys", identity=secret)
    assert (tmp_path / "new" / "config.toml").read_text() == text


def test_doctor_says_what_to_do_about_modes(node):
    assert doctor.modes(node).state == checks.OK
    assert doctor.keys(operations(), node)[0].state == checks.OK
    (node / "keys" / "a.key").chmod(0o644)
    found = doctor.keys(operations(), node)[0]
    assert found.state == checks.FAILED
    assert "chmod 0600" in found.todo
    assert doctor.modes(node).state == checks.FAILED
    (node / "keys" / "a.key").unlink()
    assert "missing" in doctor.keys(operations(), node)[0].text
    node.chmod(0o755)
    assert doctor.modes(node).state == checks.FAILED


def test_metrics_come_from_the_closed_list_alone():
    listed = (metrics.Metric("a", "gauge", "help", {"state": ("x", "y")}),)
    page = metrics.render(listed, metrics.one_hot("a", "state", ("x", "y"), "y"))
    assert page == b'# HELP a help\n# TYPE a gauge\na{state="x"} 0\na{state="y"} 1\n'
    for bad in (metrics.Sample("b", 1), metrics.Sample("a", 1), metrics.Sample("a", 1, {"state": "z"})):
        with pytest.raises(metrics.MetricsError):
            metrics.render(listed, [bad])


@pytest.mark.parametrize(
    ("headers", "local"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, True),
        ({"REMOTE_ADDR": "::1"}, True),
        ({"REMOTE_ADDR": "192.0.2.1"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.1"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=192.0.2.1"}, False),
        ({"REMOTE_ADDR": ""}, False),
        ({}, False),
    ],
)
def test_only_this_machine_itself_is_local(headers, local):
    assert metrics.is_local(headers) is local
