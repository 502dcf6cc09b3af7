"""Three witnesses and a hub as processes of their own, made as docs/operate says, for tests that break and mend them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from fairwitness.demo.processes import Processes, free_ports
from fairwitness.kit import http

COMMAND = [sys.executable, "-m", "fairwitness"]


def cli(*words, code=0, given=""):
    """Run one command; returns its output. `code` is the exit status that it must have, None for any."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_", "PYTEST_"))}
    done = subprocess.run([*COMMAND, *map(str, words)], input=given, capture_output=True, text=True, check=False, env=kept)
    assert code is None or done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stdout + done.stderr


def until(what, ready, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = ready()
        except http.Unreachable:
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


class Town:
    """`start()` brings all up; `hub` and `url` are the hub's folder and address."""

    def __init__(self, data: Path):
        self.data = data
        self.processes = Processes(data / "logs")
        self.hub = data / "hub"
        self.names = ("press", "college", "library")
        self.ports = free_ports(4)
        self.url = f"http://localhost:{self.ports[3]}"

    def witness(self, name):
        return self.data / name

    def start(self):
        words = []
        for name, port in zip(self.names, self.ports, strict=False):
            vkey = cli("witness", "init", self.witness(name), "--name", name).strip()
            words += ["--witness", f"{name}=http://127.0.0.1:{port}={vkey}"]
        cli(
            "hub", "init", self.hub, "--name", "Test Commons", "--state", "CA", "--public-url", self.url, "--port", self.ports[3],
            "--tick-seconds", 1, "--sealed-seconds", 1, "--notice-seconds", 5, "--embargo-seconds", 5,
            "--min-free-bytes", 1 << 20, *words,
        )  # fmt: skip
        for line in cli("hub", "witness-trust", self.hub).splitlines():
            for name in self.names:
                cli("witness", "trust", self.witness(name), *line.split())
        for name in self.names:
            self.start_witness(name)
        self.start_hub(self.hub)
        until("a tick", lambda: self.get("/feed/v1/latest").status == 200)

    def start_witness(self, name, folder=None):
        port = self.ports[self.names.index(name)]
        self.processes.start(name, "witness", "run", folder or self.witness(name), "--port", str(port))
        self.processes.wait_ready(name)

    def start_hub(self, folder):
        self.processes.start("hub", "hub", "run", folder)
        self.processes.wait_ready("hub")

    def stop_one(self, name):
        process = self.processes.running.pop(name)
        process.terminate()
        process.wait(30)

    def get(self, path):
        return http.Http(timeout=5).get(self.url + path)

    def latest(self):
        return int(self.get("/feed/v1/latest").body)

    def state(self):
        return json.loads(self.get("/healthz").body)["state"]

    def stop(self):
        self.processes.stop()
