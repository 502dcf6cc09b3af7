"""Makes a new hub: keys, genesis, witness policy, database, join file."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.model.hub import LogGenesis, Predecessor
from fairwitness_core.tlog import note
from fairwitness_core.tlog.policy import Policy, PolicyLog, Witness, k_of
from fairwitness_core.wire import dsse

from fairwitness.hub.errors import HubState
from fairwitness.kit import clock, config, files, supervise

RETENTION = "Log entries are permanent. Ciphertext waits {days} days to be collected. No record of residents is kept."


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What an operator decides once. Times in seconds; `witnesses`: (name, address, verifier key) each."""

    name: str
    state: str
    public_url: str
    witnesses: Sequence[tuple[str, str, str]]
    quorum: int = 2
    port: int = 0
    host: str = "127.0.0.1"
    tick_seconds: int = 300
    sealed_seconds: int = 10
    notice_seconds: int = 86_400
    embargo_seconds: int = 86_400
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Initialised:
    """The new hub's ledgers as (origin, verifier key), its own key (base64), and where its join file is served."""

    logs: tuple[tuple[str, str], ...]
    hub_key: str
    join: str


def initialise(folder: Path, spec: Spec) -> Initialised:
    """Make `folder` a hub and this process one of it (Django is set up). Raises HubState if it is one already.

    The genesis is written last: a folder without it can be initialised again.
    """
    folder = folder.absolute()
    made = prepare(folder, spec)
    supervise.setup("hub", folder)
    from fairwitness.kit import database  # noqa: PLC0415 - Django's settings name the folder only now

    database.migrate_at_start()
    return complete(folder, made)


def prepare(folder: Path, spec: Spec) -> "Genesis":
    """Write a new hub's configuration, keys, policy and genesis. Raises HubState, ProtocolError."""
    if (folder / "genesis.json").exists():
        raise HubState(f"{folder} is a hub already; nothing was changed")
    files.private_dir(folder)
    values: dict[str, Any] = {"name": spec.name, "host": spec.host, "port": spec.port, "public_url": spec.public_url}
    config.write(folder, {**values, **spec.settings})
    files.private_dir(folder / "keys")
    return make_genesis(folder, spec, at=clock.now(), predecessor=None)


def complete(folder: Path, made: "Genesis") -> Initialised:
    """Queue the first token keys and write the join file; the database is there. Can be done again."""
    from fairwitness.hub.config import Config  # noqa: PLC0415 - Django's settings name the folder only now
    from fairwitness.hub.services import feed, tokens  # noqa: PLC0415

    config.load(Config, folder)
    tokens.ensure_keys(clock.now())
    feed.write_join(made.policy)
    return Initialised(made.logs, made.hub_key, f"{config.current(Config).url}/join.json")


@dataclass(frozen=True, slots=True)
class Genesis:
    """What make_genesis made."""

    logs: tuple[tuple[str, str], ...]
    hub_key: str
    policy: str


def make_genesis(folder: Path, spec: Spec, *, at: int, predecessor: Predecessor | None) -> Genesis:
    """Write fresh log keys, the policy and the genesis envelope into `folder`; a hub key that is there stays.

    Raises ProtocolError for witnesses or numbers that cannot be.
    """
    keys = folder / "keys"
    hub_path = keys / "hub.key"
    hub_key = SigningKey(files.read_secret(hub_path)) if hub_path.exists() else SigningKey.generate()
    host = (urlsplit(spec.public_url).hostname or "localhost").lower().replace(":", ".").strip("[]")
    ledgers = {}
    for name in ("public", "sealed"):
        key = SigningKey.generate()
        tag = hashlib.sha256(key.public.raw).hexdigest()[:8]
        ledgers[name] = (key, note.VerifierKey(f"{host}/{tag}/{name[0]}", note.ED25519, key.public))
    witnesses = [Witness(name, note.VerifierKey.parse(vkey), url) for name, url, vkey in spec.witnesses]
    policy = policy_of([vkey for _, vkey in ledgers.values()], witnesses, spec.quorum)
    text = policy.encode().decode()
    document = LogGenesis(
        name=spec.name,
        state=spec.state,
        public_log=ledgers["public"][1].encode(),
        sealed_log=ledgers["sealed"][1].encode(),
        hub_key=hub_key.public.raw,
        policy_sha256=hashlib.sha256(text.encode()).hexdigest(),
        tick_seconds=spec.tick_seconds,
        sealed_seconds=spec.sealed_seconds,
        embargo_seconds=spec.embargo_seconds,
        notice_seconds=spec.notice_seconds,
        retention=RETENTION.format(days=spec.settings.get("keep_days", 30)),
        at=at,
        predecessor=predecessor,
    )
    files.write_atomic(hub_path, hub_key.seed)
    for name, (key, _) in ledgers.items():
        files.write_atomic(keys / f"log-{name}.key", key.seed)
    files.write_atomic(folder / "policy.txt", text.encode())
    files.write_atomic(folder / "genesis.json", dsse.sign(dsse.ENTRY, document.encode(), hub_key).encode())
    return Genesis(tuple((v.name, v.encode()) for _, v in ledgers.values()), hub_key.public.b64, text)


def policy_of(logs: Sequence[note.VerifierKey], witnesses: Sequence[Witness], quorum: int) -> Policy:
    """Return the policy "any `quorum` of these"; without witnesses (a hub that nobody watches) it says `none`."""
    listed = [PolicyLog(vkey) for vkey in logs]
    if not witnesses:
        return Policy(tuple(listed), (), (), "none")
    return k_of(listed, witnesses, quorum)
