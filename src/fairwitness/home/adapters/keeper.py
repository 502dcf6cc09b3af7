"""Keeps one recorder process for each camera: starts it, starts it again when it dies, stops it when it is not wanted."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from fairwitness.home.adapters.task import Task

_LONGEST = 30.0
_STABLE = 60.0
STOP_S = 6.0
type Tasks = Mapping[int, tuple[str, Callable[[], Task]]]
"""Recorder -> (a word that changes when the task does, the task: made, with its password, only when a process is started)."""


@dataclass(slots=True)
class _Worker:
    mark: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    again_at: float = 0.0


@dataclass(slots=True)
class Keeper:
    """`command` replaces the recorder's own in tests. Times are a steady clock's seconds."""

    command: tuple[str, ...] = (sys.executable, "-m", "fairwitness.home.adapters.recorder")
    died: Callable[[int, int], None] = lambda _number, _status: None
    _workers: dict[int, _Worker] = field(default_factory=dict)

    def step(self, wanted: Tasks, now: float) -> None:
        """Bring what runs in line with what is wanted."""
        for number in [n for n, w in self._workers.items() if n not in wanted or wanted[n][0] != w.mark]:
            self._end(self._workers.pop(number))
        for number, (mark, task) in wanted.items():
            worker = self._workers.setdefault(number, _Worker(mark))
            if worker.process is not None:
                status = worker.process.poll()
                if status is None:
                    continue
                worker.failures = 1 if now - worker.started > _STABLE else worker.failures + 1
                worker.again_at = now + min(2.0 ** (worker.failures - 1), _LONGEST)
                worker.process = None
                self.died(number, status)
            if now >= worker.again_at:
                self._start(worker, task(), now)

    def running(self) -> dict[int, int]:
        """Return the process id of each recorder that runs."""
        return {n: w.process.pid for n, w in self._workers.items() if w.process is not None and w.process.poll() is None}

    def stop(self) -> None:
        """End all, each with the segment in hand finished."""
        workers = [w for w in self._workers.values() if w.process is not None]
        for worker in workers:
            _close(worker.process)
        for worker in workers:
            self._end(worker)
        self._workers.clear()

    def _start(self, worker: _Worker, task: Task, now: float) -> None:
        # Through a pipe: a command line or an environment can be read by other users of the machine.
        process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
        worker.process, worker.started = process, now
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
                process.stdin.flush()

    def _end(self, worker: _Worker) -> None:
        process = worker.process
        if process is None:
            return
        _close(process)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _close(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
