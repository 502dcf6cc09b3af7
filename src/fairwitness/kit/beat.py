"""The one process of a role that does things on a fixed beat.

Jobs run in lanes: jobs of one lane run one after another, lanes run side by side, so that a long upload cannot delay a
fixed poll. A driver steps the same jobs by hand with `run_due`.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections

from fairwitness.kit import clock
from fairwitness.kit.database import LockLost, SessionLock
from fairwitness.kit.files import FileLock
from fairwitness.kit.journal import Event, error_code, log

_LONGEST_RETRY = 300
_LOOK = 5.0
"""Seconds between looks at whether the database's lock is still ours."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do in every slot `floor((now - phase) / every)`.

    `run(now)` takes Unix seconds, UTC, and MUST be safe to call again after a failure or a restart. `at_start` runs it in
    the slot in which the process starts too; a fixed poll leaves that off, so that a restart shows nowhere.
    """

    name: str
    every: float
    run: Callable[[int], object]
    phase: float = 0.0
    at_start: bool = False
    lane: str = "main"

    def slot(self, now: float) -> int:
        """Return the number of the slot that `now` lies in."""
        return int((now - self.phase) // self.every)

    def starts(self, slot: int) -> float:
        """Return when `slot` starts, Unix seconds."""
        return slot * self.every + self.phase


@dataclass(slots=True)
class _State:
    job: Job
    slot: int
    failures: int = 0
    retry_at: float | None = None

    def due(self, now: float) -> bool:
        if self.retry_at is not None:
            return now >= self.retry_at
        return self.job.slot(now) > self.slot

    def next_at(self) -> float:
        return self.retry_at if self.retry_at is not None else self.job.starts(self.slot + 1)


@dataclass(slots=True)
class Beat:
    """Runs `jobs` on their slots; holds `lock` and `shared` while it loops, so that exactly one process does.

    `lock` is a file of the data folder; `shared` is a lock of the database, where several machines may share one.
    """

    jobs: Iterable[Job]
    lock: Path | None = None
    shared: SessionLock | None = None
    _states: list[_State] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Note the slot in which each job starts; raises ValueError for two jobs of one name."""
        now = clock.now_float()
        self._states = [_State(job, job.slot(now) - (1 if job.at_start else 0)) for job in self.jobs]
        names = [state.job.name for state in self._states]
        if len(set(names)) != len(names):
            raise ValueError("two jobs have one name")

    def run_due(self, now: float | None = None, *, lane: str | None = None) -> list[str]:
        """Run every job that is due at `now`, in their order, and return their names. A job's failure is logged.

        A slot that was missed is not made up for: a job that must catch up does so itself from what it has stored.
        """
        moment = clock.now_float() if now is None else now
        ran = []
        for state in self._states:
            if (lane is None or state.job.lane == lane) and state.due(moment):
                self._run(state, moment)
                ran.append(state.job.name)
        return ran

    def next_due(self, *, lane: str | None = None) -> float | None:
        """Return when the next job is due, Unix seconds; None when there is none."""
        times = [state.next_at() for state in self._states if lane is None or state.job.lane == lane]
        return min(times, default=None)

    def run(self, stop: threading.Event) -> None:
        """Loop until `stop` is set; the job that runs then is finished first.

        Raises Locked if another process loops; LockLost, `stop` being set, if the shared lock was lost on the way.
        """
        lock = FileLock(self.lock).acquire(wait=False) if self.lock is not None else None
        try:
            if self.shared is not None:
                self.shared.acquire(wait=False)
            lanes = sorted({state.job.lane for state in self._states})
            threads = [threading.Thread(target=self._loop, args=(lane, stop), name=lane) for lane in lanes]
            for thread in threads:
                thread.start()
            lost = not self._watch(stop)
            for thread in threads:
                thread.join()
            if lost:
                raise LockLost("the database's beat lock was lost")
        finally:
            if self.shared is not None:
                self.shared.release()
            if lock is not None:
                lock.release()

    def _watch(self, stop: threading.Event) -> bool:
        """Wait for `stop`; tell whether the shared lock was held till then, and set `stop` if it is lost."""
        if self.shared is None:
            return stop.wait()
        while not stop.wait(_LOOK):
            if not self.shared.alive():
                stop.set()
                return False
        return True

    def _loop(self, lane: str, stop: threading.Event) -> None:
        while not stop.is_set():
            self.run_due(lane=lane)
            due = self.next_due(lane=lane)
            if due is None:
                return
            stop.wait(min(max(due - clock.now_float(), 0.01), 60.0))

    def _run(self, state: _State, now: float) -> None:
        _tidy()
        try:
            state.job.run(int(now))
        except Exception as error:  # noqa: BLE001 - one job's failure must not stop the others
            state.failures += 1
            delay = min(2**state.failures, _LONGEST_RETRY, max(int(state.job.every), 1))
            state.retry_at = now + delay
            log(
                Event.JOB_FAILED,
                job=state.job.name,
                error=error_code(error),
                failures=state.failures,
                retry_in=delay,
            )
        else:
            state.failures = 0
            state.retry_at = None
        finally:
            state.slot = max(state.slot, state.job.slot(now))
            _tidy()


def _tidy() -> None:
    """Give back database connections that went stale, as a web request does around itself."""
    if settings.configured:
        close_old_connections()
