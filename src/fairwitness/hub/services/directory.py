"""The directory as the log's entries left it, folded once per process and extended as lines come."""

import functools
import hashlib
import threading

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.directory import Directory
from fairwitness_core.model.feed import Line
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire import dsse

from fairwitness.hub.models import DirectoryLine
from fairwitness.hub.services import identity

_guard = threading.Lock()
_known: tuple[str, Directory] | None = None


def fold() -> Directory:
    """Return a fresh fold of all lines, for a caller that will change it."""
    directory = Directory(identity.load().hub_key.public)
    for row in DirectoryLine.objects.order_by("index"):
        directory.apply(Line(row.index, dsse.Envelope.parse(bytes(row.envelope))))
    return directory


def current() -> Directory:
    """Return the directory of every entry appended so far. Shared: do not change it."""
    global _known  # noqa: PLW0603 - a cache of an append-only fold
    name = f"{identity.settings().data_dir}:{identity.load().genesis_sha256}"
    with _guard:
        if _known is None or _known[0] != name:
            _known = (name, Directory(identity.load().hub_key.public))
        directory = _known[1]
        last = directory.lines[-1].index if directory.lines else -1
        for row in DirectoryLine.objects.filter(index__gt=last).order_by("index"):
            directory.apply(Line(row.index, dsse.Envelope.parse(bytes(row.envelope))))
        return directory


def forget() -> None:
    """Drop the cache, after the projection was made anew."""
    global _known  # noqa: PLW0603 - see current
    with _guard:
        _known = None


def policy_text(now: int) -> str:
    """Return the witness policy in force at Unix second `now`."""
    changed = current().policy("witness", now)
    return changed.text if changed else identity.load().policy_text


def policy(now: int) -> Policy:
    """Return the witness policy in force, parsed."""
    return _parsed(policy_text(now))


@functools.lru_cache(maxsize=4)
def _parsed(text: str) -> Policy:
    return Policy.parse(text.encode())


def consoles(agency: str, now: int) -> tuple[PublicKey, ...]:
    """Return the keys that may sign this agency's calls now; none for an unknown or suspended one."""
    record = current().agency(agency)
    return record.consoles(now) if record else ()


def sha256_hex(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()
