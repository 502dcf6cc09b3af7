"""The one place in the roles that reads the clock. Everything is Unix seconds, UTC."""

import time
from collections.abc import Callable

_source: Callable[[], float] = time.time


def now() -> int:
    """Return the current time in whole Unix seconds, UTC, rounded down."""
    return int(_source())


def now_float() -> float:
    """Return the current time in Unix seconds, UTC, with its fraction."""
    return _source()


def set_clock(source: Callable[[], float] | None) -> None:
    """Replace the clock of this process by `source` (Unix seconds, UTC); None brings the system's clock back.

    Meant for drivers that run a role with an injected time; nothing in a role calls it.
    """
    global _source  # noqa: PLW0603 - one clock per process is the point
    _source = time.time if source is None else source
