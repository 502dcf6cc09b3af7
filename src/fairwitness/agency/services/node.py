"""What this node is and whom it trusts: its keys, its folders, the join file that it pinned.

Every secret is a file of mode 0600, wrapped to the node key and to the offline recovery recipient (design.md 9.15); none
stands in the database, so destroying one is removing a file.
"""

import os
from collections.abc import Callable
from pathlib import Path

from fairwitness_core.crypto import seal
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model.hub import JoinFile
from fairwitness_core.tlog.note import VerifierKey
from fairwitness_core.tlog.policy import Policy

from fairwitness.agency.config import Config
from fairwitness.kit import config, files, secrets_store
from fairwitness.kit.errors import Refused

JOIN = "join.json"
DOOMED = ".doomed"
"""Ends the name of a file whose shredding was cut off; the next round of the collector goes on with it."""
_SHRED = 1 << 20


def settings() -> Config:
    """Return this node's configuration."""
    return config.current(Config)


def agency_id() -> str:
    """Return this agency's id; raises Refused before set-up."""
    found = settings().agency
    if not found:
        raise Refused(409, "agency.not_set_up", "This node has no agency yet.", "Run `fairwitness agency init`.")
    return found


def key_file(kind: str, name: str) -> Path:
    """Return where the secret `name` of a `kind` (requests, officers, responses) lies."""
    return settings().folder("keys", kind) / f"{name}.key"


def hold_file(response_id: str) -> Path:
    """Return where a declined response's key lies while it waits for its destruction."""
    return settings().folder("keys", "responses") / f"{response_id}.hold"


def evidence_folder(response_id: str) -> Path:
    """Return the folder of one response's sealed files; it may not exist."""
    return settings().folder("evidence") / response_id


def put_secret(path: Path, secret: bytes) -> None:
    """Keep `secret` in `path`, wrapped; durable on return."""
    files.write_atomic(path, secrets_store.wrap(secret))


def get_secret(path: Path) -> bytes:
    """Return a secret that `put_secret` kept. Raises Refused where it is gone, UnsafeMode, ProtocolError."""
    try:
        return secrets_store.unwrap(files.read_secret(path))
    except FileNotFoundError:
        raise Refused(410, "key.gone", "The key of this is destroyed or kept under a hold.") from None


def make_agency_key() -> SigningKey:
    """Make the key that signs this agency's calls, custody and status, unless there is one already."""
    path = key_file("agency", "agency")
    if not path.exists():
        put_secret(path, SigningKey.generate().seed)
    return agency_key()


def agency_key() -> SigningKey:
    """Return the key that signs this agency's calls, custody and status."""
    return SigningKey(get_secret(key_file("agency", "agency")))


def hold_identity() -> str:
    """Return the age identity to which keys of declined responses are wrapped; made at the first use."""
    path = key_file("agency", "hold")
    if not path.exists():
        put_secret(path, seal.new_identity()[0].encode())
    return get_secret(path).decode()


def shred(path: Path) -> None:
    """Overwrite and remove a file, durably; nothing happens where there is none. Harmless to repeat after a crash.

    The name goes first, so that no crash leaves spoilt bytes under it; what interrupted writes of it left goes too. A disk that
    keeps old blocks (an SSD, a snapshot) may still hold them: that is why only small wrapped keys rely on this and the evidence
    itself is useless without them.
    """
    doomed = path.with_name(f".{path.name}{DOOMED}")
    if path.is_file():
        path.replace(doomed)
        files.sync_folder(path.parent)
    for found in (doomed, *files.spares_of(path)):
        if found.is_file():
            _overwrite(found)


def _overwrite(path: Path) -> None:
    with path.open("r+b", buffering=0) as stream:
        left = path.stat().st_size
        while left > 0:
            left -= stream.write(bytes(min(_SHRED, left))) or 0
        os.fsync(stream.fileno())
    path.unlink()
    files.sync_folder(path.parent)


def remove_folder(path: Path, how: Callable[[Path], None] | None = None) -> None:
    """Remove a folder of plain files, durably; nothing happens where there is none."""
    if not path.is_dir():
        return
    for entry in sorted(path.iterdir()):
        (how or Path.unlink)(entry)
    path.rmdir()
    files.sync_folder(path.parent)


def join_path() -> Path:
    """Return where the pinned join file lies."""
    data = settings().data_dir
    if data is None:
        raise config.ConfigError("no data folder")
    return data / JOIN


def joined() -> bool:
    """Tell whether a hub is pinned."""
    return join_path().exists()


def hub() -> JoinFile:
    """Return the pinned join file. Raises Refused where there is none."""
    try:
        return JoinFile.parse(join_path().read_bytes())
    except FileNotFoundError:
        raise Refused(
            409, "hub.not_joined", "No hub is pinned yet.", "Run `fairwitness agency trust DIR JOIN_FILE --accept`."
        ) from None


def policy() -> Policy:
    """Return the pinned policy: logs, witnesses and quorum."""
    return Policy.parse(hub().policy.encode())


def sealed_origin() -> str:
    """Return the name of the pinned hub's sealed ledger."""
    return VerifierKey.parse(hub().sealed_log).name


def public_origin() -> str:
    """Return the name of the pinned hub's public log."""
    return VerifierKey.parse(hub().public_log).name
