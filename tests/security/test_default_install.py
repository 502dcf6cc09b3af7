"""A default install, seen from outside: what listens, what it calls, what its processes show, what lies where with which mode."""

import contextlib
import json
import os
import re
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.security import seen
from tests.security.town import World

pytestmark = [pytest.mark.proof, pytest.mark.network]
ROOT = Path(__file__).parents[2]
LIFE_SECONDS = 20
RTSP_PASSWORD = "p4ss-of-the-porch-camera"
WITHOUT_SPACES = seen.can_make_namespaces()


@pytest.fixture(scope="module")
def space():
    """A namespace that holds the loopback and a link on which whatever wants to leave the machine is seen to try."""
    if WITHOUT_SPACES:
        yield ""
        return
    name = f"fwall{os.getpid()}"

    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    ip("netns", "add", name)
    try:
        for words in (
            ("link", "set", "lo", "up"), ("link", "add", "out", "type", "veth", "peer", "name", "sink"),
            ("addr", "add", "10.99.0.1/24", "dev", "out"), ("link", "set", "out", "up"), ("link", "set", "sink", "up"),
            ("neigh", "add", "10.99.0.254", "lladdr", "02:00:00:00:00:fe", "dev", "out"),
            ("route", "add", "default", "via", "10.99.0.254"),
        ):  # fmt: skip
            ip("-n", name, *words)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory, space):
    made = World(tmp_path_factory.mktemp("install"), space=dict.fromkeys(("witness", "hub", "agency", "home"), space))
    made.secrets["the camera's password"] = RTSP_PASSWORD.encode()
    made.watch = seen.Watch([], made.secrets)
    made.sniffed = [seen.Sniffer(space, name) for name in ("out", "lo")] if space else []
    made.watch.start()
    try:
        made.public_side()
        made.department()
        made.household()
        password = made.data / "password"
        password.write_text(RTSP_PASSWORD + "\n")
        password.chmod(0o600)
        made.cli(
            "home", "camera", "rtsp", made.folder("home"), "--camera", 1, "--address", "rtsp://127.0.0.1:18554/x", "--user", "me",
            "--password-file", password,
        )  # fmt: skip
        password.unlink()
        made.secrets |= key_material(made)
        time.sleep(LIFE_SECONDS)
        made.watch.look()
        yield made
    finally:
        made.watch.stop()
        made.stop()
        for one in made.sniffed:
            one.close()


def key_material(world):
    """Every key file's content, and its raw bytes where it is text."""
    found = {}
    for role in ("hub", "agency", "home", "w1"):
        for path in world.folder(role).rglob("*"):
            private = path.is_file() and ("keys" in path.relative_to(world.folder(role)).parts or path.name == "key")
            if private and path.suffix not in (".recipient", ".lock", ".json", ".pub") and path.stat().st_size >= 16:
                data = path.read_bytes().strip()
                found[f"{role}'s {path.name}"] = data.split()[-1] if role == "w1" else data
                with contextlib.suppress(ValueError, UnicodeDecodeError):
                    found[f"{role}'s {path.name}, raw"] = bytes.fromhex(data.decode().split()[-1])
                if len(data) == 32:
                    found[f"{role}'s {path.name}, in hex"] = data.hex().encode()
    return found


def expected_ports(world):
    """What README's table of listeners says: one loopback port for each role."""
    home_and_agency = [int(world.made[name].rpartition(":")[2]) for name in ("home", "agency")]
    return {*world.ports.values(), *home_and_agency}


def test_readme_says_what_listens_where():
    text = (ROOT / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+) run` \| ([^|]+) \|", text, re.MULTILINE))
    assert set(rows) == {"hub", "home", "agency", "witness"}
    assert all("127.0.0.1" in row for row in rows.values())


def test_nothing_listens_but_one_loopback_port_a_role(world):
    bound = seen.listening(seen.descendants(world.roots))
    assert {b for b in bound if b.kind != "tcp"} == set()
    assert {b.address for b in bound} == {"127.0.0.1"}
    assert {b.port for b in bound} == expected_ports(world)


def test_each_process_is_where_its_role_listens(world):
    for name, process in world.processes.running.items():
        ports = {b.port for b in seen.listening(seen.descendants([process.pid]))}
        assert ports == {int(world.made[name].rpartition(":")[2])}, name


@pytest.mark.skipif(bool(WITHOUT_SPACES), reason=WITHOUT_SPACES or "-")
def test_nobody_is_called_but_configured_peers(world):
    out, loop = world.sniffed
    assert out.frames == set(), "something tried to leave the machine"
    allowed = expected_ports(world) | {18554}  # the camera that was configured
    assert {f.protocol for f in loop.frames if f.protocol != "tcp"} <= {"icmp"}
    assert {f.port for f in loop.frames if f.protocol == "tcp"} <= allowed
    assert {f.target for f in loop.frames} == {"127.0.0.1"}
    assert {world.ports["hub"], world.ports["w1"], 18554} <= {f.port for f in loop.frames}


def test_no_secret_is_an_argument_or_in_an_environment(world):
    assert world.watch.told == set()
    assert len(world.watch.seen) > 15, "the watch saw hardly anything"
    assert len(world.secrets) > 15


def test_no_secret_is_in_a_log_or_a_temporary_file(world):
    looked = 0
    places = [*world.processes.logs.iterdir()]
    places += [
        p for p in Path(tempfile.gettempdir()).glob("fairwitness*/**/*") if p.is_file() and p.stat().st_mtime > time.time() - 600
    ]
    for path in places:
        with contextlib.suppress(OSError):
            data = path.read_bytes()
            looked += 1
            if path.name.endswith(".out"):
                continue
            assert [label for label, secret in world.secrets.items() if secret in data] == [], path
    assert looked >= 6


def test_secrets_lie_only_in_their_own_files(world):
    """In the data folders each secret stands in its key file alone, or sealed; the invite and the code's hash are rows."""
    for role in ("hub", "agency", "home"):
        folder = world.folder(role)
        for path in folder.rglob("*"):
            if not path.is_file() or "keys" in path.relative_to(folder).parts:
                continue
            data = path.read_bytes()
            told = [label for label, secret in world.secrets.items() if secret in data]
            own = {"an invite code"} if role == "home" and path.name.startswith("db.sqlite3") else set()
            assert set(told) <= own, (path, told)


def test_processes_that_hold_keys_write_no_core_and_hide_their_memory(world):
    for name, process in world.processes.running.items():
        for pid in seen.descendants([process.pid]):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"ip\0netns" in command or b"resource_tracker" in command or b"python" not in command:
                continue
            assert seen.core_limit(pid) == "0", (name, command)
            if b"multiprocessing" not in command or b"spawn_main" in command:
                assert seen.hidden(pid), (name, command)


PUBLIC = {
    "hub": re.compile(r"feed/.*|log/[ps]/public/.*|public/.*"),
    "agency": re.compile(r"$^"),
    "home": re.compile(r"$^"),
    "w1": re.compile(r"$^"),
}
"""Files that are the same public bytes for all: anybody may read them, should a proxy of another user serve them."""


@pytest.mark.parametrize("role", ["hub", "agency", "home", "w1"])
def test_modes(world, role):
    folder = world.folder(role)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    wrong = []
    for path in folder.rglob("*"):
        bits = stat.S_IMODE(path.lstat().st_mode)
        name = path.relative_to(folder).as_posix()
        public = PUBLIC[role].fullmatch(name)
        if path.is_symlink() or (public and bits & 0o022 == 0):
            continue
        if bits != (0o700 if path.is_dir() else 0o600):
            wrong.append(f"{name} {bits:o}")
    assert wrong == []


def test_it_lived(world):
    first = int(world.get("hub", "/feed/v1/latest").body)
    assert first > LIFE_SECONDS // 2
    state = json.loads(world.cli("home", "status", world.folder("home")))
    assert state, state
