"""The only place in the core that asks the operating system for randomness."""

import secrets
from collections.abc import Callable

_source: Callable[[int], bytes] = secrets.token_bytes


def token_bytes(size: int) -> bytes:
    """Return `size` unpredictable bytes."""
    return _source(size)
