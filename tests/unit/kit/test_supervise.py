"""A whole node as an operator starts it: web and beat under the supervisor, on a free port, over sockets."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairwitness.demo.authenticator import SoftClient
from fairwitness.kit import config
from fairwitness.kit.http import Http

pytestmark = [pytest.mark.network, pytest.mark.slow]

HEAD = "import sys; from pathlib import Path; from fairwitness.kit import supervise; folder = Path(sys.argv[1]);"
RUN = HEAD + "sys.exit(supervise.run('agency', folder))"
CODE = HEAD + (
    "supervise.setup('agency', folder); from fairwitness.kit.accounts import services;"
    "print(services.issue_code(services.create_user('rivera', 'A', 'officer')))"
)


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("FAIRWITNESS_", "DJANGO_", "PYTEST"))}


@contextlib.contextmanager
def running(folder: Path):
    """Start a node and yield (process, url)."""
    with (folder.parent / "stderr").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(folder)], stdout=subprocess.PIPE, stderr=errors, env=environment()
        )
        try:
            line = process.stdout.readline()
            assert line, (folder.parent / "stderr").read_text()
            ready = json.loads(line)
            assert ready["ready"] is True
            yield process, ready["url"]
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.stdout.close()
            process.wait(30)


def children(pid: int) -> dict[str, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == pid and b"fairwitness.kit.supervise" in words:
                    found[words[words.index(b"fairwitness.kit.supervise") + 1].decode()] = int(entry.name)
    return found


def listens(url: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", int(url.rsplit(":", 1)[1])), timeout=5):
        return True
    return False


def until(check, seconds=20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_a_node_starts_serves_heals_and_stops(tmp_path):
    folder = tmp_path / "data"
    config.write(folder, {"workers": 1, "name": "Test"})
    with running(folder) as (process, url):
        assert (folder / "run/address").read_text() == url
        assert int((folder / "run/supervisor.pid").read_text()) == process.pid
        made = subprocess.run(
            [sys.executable, "-c", CODE, str(folder)], env=environment(), capture_output=True, text=True, check=True
        )
        client = SoftClient.over_http(url)
        client.enrol(made.stdout.strip())
        client.sign_in()
        assert client.get("/auth/account", accept="text/html").status == 200
        assert set(until(lambda: len(found := children(process.pid)) == 2 and found)) == {"web", "beat"}
        second = subprocess.run(
            [sys.executable, "-c", RUN, str(folder)], env=environment(), capture_output=True, text=True, check=False
        )
        assert second.returncode != 0
        assert "in use by another process" in second.stderr
        # A killed child comes back, at the same address, with what was stored.
        before = children(process.pid)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        until(
            lambda: (
                set(children(process.pid)) == {"web", "beat"} and not set(children(process.pid).values()) & set(before.values())
            )
        )

        def answers():
            with contextlib.suppress(Exception):
                return client.get("/auth/account", accept="text/html").status == 200
            return False

        until(answers)
        assert Http().get(url + "/auth/sign-in").status == 200
    assert process.returncode == 0
    until(lambda: not listens(url))
    assert not (folder / "run/address").exists()
    for path in folder.rglob("*"):
        mode = path.stat().st_mode & 0o777
        assert mode in (0o600, 0o700), f"{path} has mode {mode:04o}"
    log = (tmp_path / "stderr").read_text()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert {"migrated", "started", "child_died", "signed_in", "stopped"} <= set(events)
    for private in ("127.0.0.1", "localhost", "rivera", "/auth/"):
        assert private not in log
    with running(folder) as (process, again):
        assert again == url, "a free port, once chosen, stays"
        assert listens(again)
        # The supervisor itself dies: nobody goes on in its place.
        process.kill()
        process.wait(30)
    until(lambda: not listens(again))
