"""Who this hub is: its keys, genesis, join file and witness policy, read from its data folder."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.crypto.tokens import challenge_digest
from fairwitness_core.model.document import Document
from fairwitness_core.model.hub import JoinFile, LogGenesis
from fairwitness_core.tlog import note
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire import dsse

from fairwitness.hub.config import Config
from fairwitness.hub.errors import HubState
from fairwitness.kit import config, files

LOGS = ("p", "s")


@dataclass(frozen=True, slots=True)
class Identity:
    """The hub as its genesis states it. `policy_text` is the first witness policy, `genesis` the envelope's bytes."""

    hub_key: SigningKey
    genesis: bytes
    document: LogGenesis
    policy_text: str

    @property
    def genesis_sha256(self) -> str:
        """Hex SHA-256 of the genesis envelope: the hub's name in agencies' calls."""
        return hashlib.sha256(self.genesis).hexdigest()

    @property
    def tick_seconds(self) -> int:
        """Length of a tick."""
        return self.document.tick_seconds

    @property
    def first_tick(self) -> int:
        """Number of the first tick."""
        return self.document.at // self.document.tick_seconds

    def vkey(self, log: str) -> note.VerifierKey:
        """Verifier key of the ledger `p` or `s`."""
        return note.VerifierKey.parse(self.document.public_log if log == "p" else self.document.sealed_log)

    def sign(self, document: Document, payload_type: str = dsse.ENTRY) -> bytes:
        """Return the envelope's bytes of a document of the hub's own."""
        return dsse.sign(payload_type, document.encode(), self.hub_key).encode()


def settings() -> Config:
    """Return the hub's configuration."""
    return config.current(Config)


def log_folder(log: str) -> Path:
    """Return the folder of a ledger (not created: the store does that)."""
    return settings().folder("log") / log


def read_log_key(log: str) -> SigningKey:
    """Return a ledger's signing key; raises UnsafeMode, OSError. Only the sequencer asks."""
    return SigningKey(files.read_secret(settings().file("keys", "log-public.key" if log == "p" else "log-sealed.key")))


def load() -> Identity:
    """Return this hub's identity; raises HubState where the folder was not initialised."""
    folder = settings().folder()
    path = folder / "genesis.json"
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise HubState(f"{folder} holds no hub yet; run: fairwitness hub init {folder}") from error
    return _load(folder, found.st_mtime_ns, found.st_ino)


@functools.lru_cache(maxsize=8)
def _load(folder: Path, _changed: int, _inode: int) -> Identity:
    genesis = (folder / "genesis.json").read_bytes()
    hub_key = SigningKey(files.read_secret(folder / "keys" / "hub.key"))
    document = LogGenesis.parse(dsse.Envelope.parse(genesis).verify(dsse.ENTRY, hub_key.public))
    return Identity(hub_key, genesis, document, (folder / "policy.txt").read_text("utf-8"))


def join_file(policy_text: str) -> JoinFile:
    """Return the join file under the witness policy in force."""
    me = load()
    policy = Policy.parse(policy_text.encode())
    return JoinFile(
        name=me.document.name,
        url=settings().url,
        public_log=me.document.public_log,
        sealed_log=me.document.sealed_log,
        hub_key=me.hub_key.public.raw,
        policy=policy_text,
        tick_seconds=me.tick_seconds,
        genesis=me.genesis_sha256,
        genesis_at=me.document.at,
        witnesses=tuple((witness.name, witness.url) for witness in policy.witnesses if witness.url),
    )


def token_digest() -> bytes:
    """Return the challenge digest that this hub's tokens carry."""
    netloc = urlsplit(settings().url).netloc
    return challenge_digest(netloc, netloc)
