"""A small world of real processes as `init` and `run` make it, each role perhaps in a network namespace of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from fairwitness.demo.processes import Processes
from fairwitness.kit import http
from tests.security.seen import inside

FAIRWITNESS = [sys.executable, "-m", "fairwitness"]
POLYGON = {"type": "Polygon", "coordinates": [[[-122.36, 37.70], [-122.10, 37.70], [-122.10, 37.90], [-122.36, 37.70]]]}


def kept_environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_", "PYTEST_"))}
    return kept | {"PYTHONUNBUFFERED": "1"}


class World:
    """`space` maps a role to its namespace ('' = none), `address` to where it listens for others."""

    def __init__(self, data: Path, space=None, address=None):
        self.data, self.space, self.address = data, space or {}, address or {}
        self.processes = Processes(data / "logs")
        self.secrets: dict[str, bytes] = {}
        self.ports = {"w1": 18951, "w2": 18952, "w3": 18953, "hub": 18940}
        self.made: dict[str, str] = {}

    def folder(self, name):
        return self.data / name

    def role(self, name):
        return "witness" if name.startswith("w") else name

    def prefix(self, name):
        space = self.space.get(self.role(name), "")
        return ["ip", "netns", "exec", space] if space else []

    def host(self, name):
        return self.address.get(self.role(name), "127.0.0.1")

    def url(self, name):
        host = self.host(name)
        shown = "localhost" if host == "127.0.0.1" and name == "hub" else host
        return f"http://{shown}:{self.ports[name]}"

    def cli(self, name, *words, given="", code=0):
        done = subprocess.run(
            [*self.prefix(name), *FAIRWITNESS, self.role(name), *map(str, words)],
            input=given, capture_output=True, text=True, check=False, env=kept_environment(),
        )  # fmt: skip
        assert done.returncode == code, (words[:1], done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def start(self, name, *words):
        logs = self.processes.logs
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{name}.log").open("a") as log:
            self.processes.running[name] = subprocess.Popen(
                [*self.prefix(name), *FAIRWITNESS, self.role(name), "run", str(self.folder(name)), *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=(logs / f"{name}.out").open("w"), stderr=log, text=True,
                env=kept_environment(), start_new_session=True,
            )  # fmt: skip
        self.made[name] = self.processes.wait_ready(name)

    def public_side(self):
        """Three witnesses and the hub."""
        words = []
        for name in ("w1", "w2", "w3"):
            vkey = self.cli(name, "init", self.folder(name), "--name", f"{name}.example").strip()
            words += ["--witness", f"{name}={self.url(name)}={vkey}"]
        listen = [] if self.host("hub") == "127.0.0.1" else ["--host", self.host("hub")]
        made = self.cli(
            "hub", "init", self.folder("hub"), "--name", "Test Commons", "--state", "CA", "--public-url", self.url("hub"),
            "--port", self.ports["hub"], *listen, "--tick-seconds", 1, "--sealed-seconds", 1, "--notice-seconds", 5,
            "--embargo-seconds", 5, "--min-free-bytes", 1 << 20, "--admin", "rosa", *words,
        )  # fmt: skip
        self.secrets["an administrator's enrolment code"] = json.loads(made)["admin"]["code"].encode()
        for line in self.cli("hub", "witness-trust", self.folder("hub")).splitlines():
            for name in ("w1", "w2", "w3"):
                self.cli(name, "trust", self.folder(name), *line.split())
        for name in ("w1", "w2", "w3"):
            listen = [] if self.host(name) == "127.0.0.1" else ["--host", self.host(name)]
            self.start(name, "--port", self.ports[name], *listen)
        self.start("hub")
        self.until("a tick", lambda: self.get("hub", "/feed/v1/latest").status == 200)

    def department(self):
        """An agency, as its operator makes it."""
        area = self.data / "area.geojson"
        area.write_text(json.dumps(POLYGON))
        made = json.loads(self.cli(
            "agency", "init", self.folder("agency"), "--id", "us-ca-oakland", "--ori", "CA0010900", "--name", "Oakland Police",
            "--state", "CA", "--jurisdiction", area, "--collect-seconds", 15,
        ))  # fmt: skip
        self.secrets["the recovery identity"] = made["recovery_secret"].encode()
        officer = self.cli("agency", "officer", "add", self.folder("agency"), "ana", "--name", "Ana Diaz", "--role", "officer")
        self.secrets["an officer's enrolment code"] = json.loads(officer)["code"].encode()
        self.cli("hub", "add-agency", self.folder("hub"), self.folder("agency") / "registration.json")
        self.cli("agency", "trust", self.folder("agency"), f"{self.url('hub')}/join.json", "--accept")
        self.start("agency")

    def household(self):
        """A home with an invite and a camera."""
        code = self.cli("hub", "invite", self.folder("hub")).strip()
        self.secrets["an invite code"] = code.encode()
        self.cli("home", "init", self.folder("home"), "--name", "Elm Street")
        self.cli("home", "join", self.folder("home"), self.url("hub"), "--accept", "--invite", "-", given=code + "\n")
        self.cli("home", "camera", "add", self.folder("home"), "--name", "Porch", "--lat", "37.8", "--lon", "-122.2")
        self.start("home")

    def get(self, name, path):
        space = self.space.get(self.role(name), "")
        client = http.Http(timeout=5)
        if not space:
            return client.get(self.url(name) + path)
        with inside(space):
            return client.get(self.url(name) + path)

    def until(self, what, ready, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.processes.check()
            try:
                found = ready()
            except http.Unreachable:
                found = None
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"never: {what}")

    @property
    def roots(self):
        return [process.pid for process in self.processes.running.values()]

    def stop(self):
        self.processes.stop()
