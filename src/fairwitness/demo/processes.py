"""Starting, watching and stopping the demo's processes: each is the program that an operator would run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = (sys.executable, "-m", "fairwitness")
_START_SECONDS = 120
_STOP_SECONDS = 30


class DemoError(Exception):
    """A step of the demo did not come out; says which, and where its log is."""


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody listens on now."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def command(*words: str | Path, secret_input: str = "") -> str:
    """Run one `fairwitness` command to its end and return what it printed. Raises DemoError with its message."""
    done = subprocess.run(  # noqa: S603 - our own program
        [*COMMAND, *map(str, words)], input=secret_input, capture_output=True, text=True, check=False, env=_environment()
    )
    if done.returncode:
        raise DemoError(
            f"fairwitness {' '.join(map(str, words[:2]))} ended with {done.returncode}: {done.stderr.strip()[-2000:]}"
        )
    return done.stdout


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "FAIRWITNESS_"))}
    return kept | {"PYTHONUNBUFFERED": "1"}


@dataclass(slots=True)
class Processes:
    """The running programs by name; their standard error goes to `logs`."""

    logs: Path
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, name: str, *words: str | Path) -> None:
        """Start `fairwitness WORDS...` in a process group of its own."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("a") as log:
            self.running[name] = subprocess.Popen(  # noqa: S603 - our own program
                [*COMMAND, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=(self.logs / f"{name}.out").open("w"),
                stderr=log,
                text=True,
                env=_environment(),
                start_new_session=True,
            )

    def wait_ready(self, name: str) -> str:
        """Wait for the program's ready line and return its address. Raises DemoError if it ends or takes too long."""
        out = self.logs / f"{name}.out"
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            for line in out.read_text().splitlines():
                if line.startswith("{"):
                    ready = json.loads(line)
                    if ready.get("ready"):
                        return str(ready["url"])
                elif " at http" in line:
                    return line.rpartition(" at ")[2]
            if self.running[name].poll() is not None:
                raise DemoError(f"{name} ended with {self.running[name].returncode}; see {self.logs / name}.log")
            time.sleep(0.05)
        raise DemoError(f"{name} did not start within {_START_SECONDS} s; see {self.logs / name}.log")

    def check(self) -> None:
        """Raise DemoError if a program has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise DemoError(f"{name} ended with {process.returncode}; see {self.logs / name}.log")

    def stop(self) -> None:
        """Ask every program to stop, newest first, and wait; those that do not are killed."""
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + _STOP_SECONDS
        for process in self.running.values():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.running.clear()
