"""When a home speaks: slots drawn at install, the same whatever its owner chose and whatever matched (protocol.md 4.5).

All draws come from one 32-byte seed in `keys/slots.seed`. A slot's place is a hash of seed, purpose and number, so a restart
finds the same slots again and nothing has to be remembered; a missed slot is left out, never made up for in a burst.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from fairwitness_core.crypto.random import token_bytes

from fairwitness.home.config import Config
from fairwitness.kit import config, files
from fairwitness.kit.beat import Job

WEEK_S = 7 * 86_400
UNJOINED_S = 86_400  # the longest a tick can be, so that slot numbers only grow when joining shortens them
_SEED = ("keys", "slots.seed")


def seed() -> bytes:
    """Return this home's seed, drawn at the first call. Raises UnsafeMode, OSError."""
    path = config.current(Config).file(*_SEED)
    if not path.exists():
        with files.FileLock(path.with_name(".slots.lock")):
            if not path.exists():
                files.write_atomic(path, token_bytes(32))
    return files.read_secret(path)


def fraction(purpose: str, number: int) -> float:
    """Return a uniform draw in [0, 1) for a purpose's slot `number`."""
    digest = hmac.new(seed(), f"{purpose}/{number}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def phase(purpose: str, slot: int, every: float) -> float:
    """Return by how many whole seconds slot `slot` of `every` seconds is late: uniform in the slot, drawn anew each week.

    Whole, because a job is told whole seconds: with a fraction its moment would look like the end of the slot before.
    """
    return float(int(fraction(purpose, int(slot * every // WEEK_S)) * every))


def long_slot(tick_seconds: int) -> int:
    """Return the length in seconds of the slots for tokens and receipts: twelve ticks, an hour at most."""
    return min(12 * tick_seconds, 3600)


@dataclass(frozen=True, slots=True)
class SlotJob(Job):
    """A Job whose slots have a length that joining decides, `length()` in seconds, and a phase drawn for each week."""

    length: Callable[[], int] = lambda: UNJOINED_S

    def slot(self, now: float) -> int:
        """Return the newest slot whose moment has come by `now`."""
        number = int(now // self.length())
        return number if now >= self.starts(number) else number - 1

    def starts(self, slot: int) -> float:
        """Return the moment of `slot`, Unix seconds."""
        every = self.length()
        return slot * every + phase(self.name, slot, every)
