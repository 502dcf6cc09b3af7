"""Small secrets at rest: sealed to this node's key and to an offline recovery recipient (design 9.15).

The node key is an age identity in `<data>/keys/node.key` (0600, checked at every use), outside database and backup; a
systemd credential of the name `node.key` takes its place where there is one. Only the recovery identity, printed once at
set-up and kept on paper, opens the same secrets without it.
"""

import functools
import os
from pathlib import Path

from fairwitness_core.crypto import seal

from fairwitness.kit import config, files

_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_KEY = "node.key"
_RECOVERY = "recovery.recipient"


def node_key() -> str:
    """Return this node's age identity, made at the first call. Raises UnsafeMode, OSError, ConfigError."""
    return _read(_key_path())


def node_recipient() -> str:
    """Return the age recipient that belongs to the node key."""
    return seal.recipient_of(node_key())


def new_recovery_identity() -> tuple[str, str]:
    """Return (identity, recipient): print the first once, for paper; give the second to set_recovery_recipient."""
    return seal.new_identity()


def set_recovery_recipient(recipient: str) -> None:
    """Have every secret wrapped from now on open with the offline identity of `recipient` too. Raises ProtocolError."""
    seal.check_recipient(recipient)
    files.write_atomic(_keys() / _RECOVERY, recipient.encode())


def recovery_recipient() -> str | None:
    """Return the recovery recipient, or None where none was set."""
    path = _keys() / _RECOVERY
    return path.read_text().strip() if path.exists() else None


def wrap(secret: bytes) -> bytes:
    """Return `secret` sealed to the node key and the recovery recipient."""
    recovery = recovery_recipient()
    return seal.seal_bytes(secret, [node_recipient(), *([recovery] if recovery else [])])


def unwrap(wrapped: bytes) -> bytes:
    """Return the secret; raises ProtocolError if it was wrapped for another node or changed."""
    return seal.open_bytes(wrapped, [node_key()])


def _keys() -> Path:
    return config.current(config.RoleConfig).folder("keys")


def _key_path() -> Path:
    given = os.environ.get(_CREDENTIALS)
    if given and (Path(given) / _KEY).exists():
        return Path(given) / _KEY
    path = _keys() / _KEY
    if not path.exists():
        with files.FileLock(_keys() / ".lock"):
            if not path.exists():
                files.write_atomic(path, seal.new_identity()[0].encode())
                _parse.cache_clear()
    return path


def _read(path: Path) -> str:
    files.require_mode(path)
    found = path.stat()
    return _parse(path, found.st_mtime_ns, found.st_ino)


@functools.lru_cache(maxsize=4)
def _parse(path: Path, _changed: int, _inode: int) -> str:
    return files.read_secret(path).decode().strip()
