"""The audit sees what it is to see, and passes on this tree."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("audit", ROOT / "scripts" / "audit.py")
audit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(audit)


class Dist:
    def __init__(self, name, files=(), **fields):
        self.version, self.files = "1", [Path(name) for name in files]
        self._fields = {"Name": name, **{key.replace("_", "-"): value for key, value in fields.items()}}

    @property
    def metadata(self):
        fields = self._fields

        class Data:
            def __getitem__(self, key):
                return fields[key]

            def get(self, key):
                return fields.get(key)

            def get_all(self, key):
                return fields.get(key)

        return Data()


def test_every_requirement_is_pinned_with_hashes_and_every_direct_one_is_explained():
    assert audit.pins() == []
    assert audit.table() == []


@pytest.mark.parametrize(
    "line", ["django>=6.1 --hash=sha256:" + "0" * 64, "django==6.1", "django==6.* --hash=sha256:" + "0" * 64,
             "django @ https://x.test/d.whl --hash=sha256:" + "0" * 64, "--extra-index-url https://x.test"],
)  # fmt: skip
def test_a_loose_requirement_is_named(line, tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "REQUIREMENTS", tmp_path)
    (tmp_path / "run.txt").write_text(line + "\n")
    assert audit.pins()


@pytest.mark.parametrize(
    ("dist", "told"),
    [
        (Dist("a", License_Expression="MIT OR Apache-2.0"), False),
        (Dist("a", License_Expression="MIT AND GPL-3.0-only"), True),
        (Dist("a", License_Expression="AGPL-3.0-or-later"), True),
        (Dist("a", License="GPLv3"), True),
        (Dist("a"), True),
        (Dist("a", License_Expression="MIT", files=["a.libs/libx264-1a2b.so.165"]), True),
        (Dist("av", License_Expression="BSD-3-Clause", files=["av.libs/libx264-1a2b.so.165"]), False),
        (Dist("psycopg", License_Expression="LGPL-3.0-only"), False),
        (Dist("other", License_Expression="LGPL-3.0-only"), True),
    ],
)
def test_licences(dist, told, monkeypatch):
    monkeypatch.setattr(audit, "present", lambda: {dist.metadata["Name"]: dist})
    assert bool(audit.licences()) == told


def test_extra_missing_and_other_versions_are_named(monkeypatch):
    monkeypatch.setattr(audit, "locked", lambda _name: {"one": "1", "two": "2", "three": "3"})
    monkeypatch.setattr(audit, "present", lambda: {"one": Dist("one"), "two": Dist("two"), "four": Dist("four")})
    told = "\n".join(audit.installed())
    assert "four 1 is installed and not locked" in told
    assert "three 3 is locked and not installed" in told
    assert "two is installed as 1, locked as 2" in told
    assert "one" not in told


def test_a_service_that_answers_nothing_is_told_in_capitals(monkeypatch, capsys):
    class Done:
        returncode, stderr = 0, ""
        stdout = '{"dependencies":[{"name":"django","skip_reason":"not found"}]}'

    monkeypatch.setattr(audit.subprocess, "run", lambda *_a, **_k: Done)
    monkeypatch.setattr(audit, "TOOLS", ROOT / "scripts")
    monkeypatch.setattr(audit.venv, "create", lambda *_a, **_k: None)
    assert audit.online(must_reach=False) == 0
    assert "NO ADVISORIES WERE READ" in capsys.readouterr().out
    assert audit.online(must_reach=True) == 1
    Done.stdout = '{"dependencies":[{"name":"django","version":"6.1","vulns":[{"id":"CVE-1"}]}]}'
    assert audit.online(must_reach=False) == 1
    assert "CVE-1" in capsys.readouterr().out
