"""What a drill leaves behind when it is ended in the middle: nothing, or what the next one removes."""

import os
import signal

import pytest

from fairwitness.kit import files
from fairwitness.kit.operate import backup, drill
from fairwitness.kit.operate.role import BackupPlan, Operations


def role():
    return Operations(
        role="hub", config=None, meanings={}, plan=BackupPlan(), keys=("keys/a.key",), check=lambda _folder: (),
        is_node=lambda folder: folder.exists(), metrics=(), sample=tuple, ready=bool, prove=lambda _node, _items: {},
    )  # fmt: skip


def run(folder, tmp_path):
    drill.drill(role(), folder, archive=tmp_path / "a.tar", keys=tmp_path / "keys.age", identity="x")


def restored(_role, _archive, node, **_more):
    (node / "keys").mkdir(parents=True)
    (node / "keys" / "a.key").write_text("opened secret")


@pytest.fixture
def node(tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    return folder


def test_a_request_to_end_in_the_middle_leaves_no_opened_key(node, tmp_path, monkeypatch):
    def ended(*words, **more):
        restored(*words, **more)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(backup, "restore", ended)
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what a drill does not see to must not end these tests
    try:
        with pytest.raises(SystemExit):
            run(node, tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not list(tmp_path.glob(".hub-drill-*"))


def test_what_a_killed_drill_left_is_told_and_removed_by_the_next(node, tmp_path, monkeypatch):
    left = tmp_path / ".hub-drill-old"
    restored(None, None, left / "node")
    linked = tmp_path / ".hub-drill-link"
    (tmp_path / "elsewhere" / "keys").mkdir(parents=True)
    (tmp_path / "elsewhere" / "keys" / "b").write_text("not a drill's")
    linked.symlink_to(tmp_path / "elsewhere")
    busy = tmp_path / ".hub-drill-busy"
    restored(None, None, busy / "node")
    lock = files.FileLock(busy / ".lock").acquire()
    (told,) = drill.check(role(), node, 90)
    assert told.state == "failed"
    assert str(left) in told.text

    class Stop(Exception):
        pass

    def refuse(*_words, **_more):
        raise Stop

    monkeypatch.setattr(backup, "restore", refuse)
    with pytest.raises(Stop):
        run(node, tmp_path)
    lock.release()
    assert sorted(path.name for path in tmp_path.glob(".hub-drill-*")) == [".hub-drill-busy", ".hub-drill-link"]
    assert (tmp_path / "elsewhere" / "keys" / "b").read_text() == "not a drill's"
    assert drill.left_behind(node, tmp_path) == [busy]
