# ruff: noqa: PLC0415 - a role can be imported only in a process that is set up as it
"""What a driver lets a node do: a thin layer over the role's public services, run inside the node's process.

Arguments and results are plain values, so that they can cross the pipe. Nothing here is imported by the program.
"""

import dataclasses
import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

_BEATS = {"hub": "fairwitness.hub.tasks", "home": "fairwitness.home.tasks", "agency": "fairwitness.agency.tasks"}
SEQUENCER_SECONDS = 10
HOME_SECONDS = 30  # how often a home looks at its own queue; it speaks to nobody then
JOURNAL: list[dict[str, Any]] = []
STATE: dict[str, Any] = {}
"""Tables of config.toml that say where this node's rows and sealed bytes lie; empty for its own folder."""


def _slot_length() -> int:
    from fairwitness.home import slots
    from fairwitness.home.services import join

    return join.current().pin.tick_seconds if join.pinned() else slots.UNJOINED_S


def make_beat(role: str, act: Callable[[str], None]) -> Any:
    """Return the role's own beat, on the hub with its sequencer as the first job; each job draws from its own stream."""
    from fairwitness.kit.beat import Beat, Job

    if role == "home":
        from fairwitness.home import tasks

        tasks.LOCAL_S = HOME_SECONDS
        length = _slot_length()
        tasks._tick = lambda: length  # it changes at joining alone, and then the driver restarts the node
    jobs = list(importlib.import_module(_BEATS[role]).beat_jobs())
    if role == "hub":
        from fairwitness.hub import sequencer

        jobs.insert(0, Job("sequencer", SEQUENCER_SECONDS, sequencer.step, at_start=True))
    return Beat([dataclasses.replace(job, run=_drawing(job, act)) for job in jobs])


def _drawing(job: Any, act: Callable[[str], None]) -> Callable[[int], object]:
    def run(now: int) -> object:
        act(f"job {job.name} {now}")
        return job.run(now)

    return run


def forget(role: str) -> None:
    """Empty every cache of the program's modules: the next world has other files under the same names."""
    if role == "hub" and "fairwitness.hub.sequencer" in sys.modules:
        from fairwitness.hub import sequencer
        from fairwitness.hub.services import directory, ledger, public, tokens

        sequencer.reset()
        ledger.forget_readers()
        directory.forget()
        tokens._keys.clear()
        public._held.clear()
    if role == "home" and "fairwitness.home.services.follower" in sys.modules:
        from fairwitness.home.services import follower

        follower._cache = None
    for name, module in list(sys.modules.items()):
        if name.startswith("fairwitness"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def journal() -> list[dict[str, Any]]:
    """Return what the node has logged since it started."""
    return [dict(line) for line in JOURNAL]


def schema() -> dict[str, list[str]]:
    """Return the columns of every table."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # its own user may not look into every table
            cursor.execute(
                "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
                "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped "
                "GROUP BY c.relname"
            )
            return dict(cursor.fetchall())
        names = connection.introspection.table_names(cursor)
        return {name: [c.name for c in connection.introspection.get_table_description(cursor, name)] for name in names}
