"""A witness's folder: its key, and the logs whose growth it watches.

key     name and seed, mode 0600. Trust: whoever reads it can cosign anything in this witness's name
logs    one vkey a line: who may sign for an origin. Trust: whoever adds a line makes this witness follow a log
heads/  what was cosigned last (see store.py)
"""

from dataclasses import dataclass
from pathlib import Path

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import cosignature, note
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import files
from fairwitness.witness.errors import WitnessError


@dataclass(frozen=True, slots=True)
class Config:
    """The witness's name and key, and the log keys that it trusts, by origin."""

    directory: Path
    name: str
    key: SigningKey
    logs: dict[str, tuple[note.VerifierKey, ...]]

    @property
    def vkey(self) -> note.VerifierKey:
        """The key that others put into their policy."""
        return cosignature.vkey(self.name, self.key.public)


def init(directory: Path, name: str, seed: bytes | None = None) -> str:
    """Make a witness in `directory`; returns its vkey.

    A witness that is there already under the same name (and seed, if given) is kept as it is. Raises WitnessError for
    another one, ProtocolError for a name that no signature line can carry.
    """
    note.check_name(name)
    files.private_dir(directory)
    place = directory / "key"
    with files.FileLock(directory / "lock"):
        if place.exists():
            held = load(directory)
            if held.name != name or (seed is not None and held.key.seed != seed):
                raise WitnessError(f"{directory} is already the witness {held.name}; its key is never replaced")
            return held.vkey.encode()
        key = SigningKey.generate() if seed is None else SigningKey(seed)
        files.private_dir(directory / "heads")
        files.write_atomic(directory / "logs", b"")
        files.write_atomic(place, f"{name} {key.seed.hex()}\n".encode())
    return cosignature.vkey(name, key.public).encode()


def trust(directory: Path, origin: str, vkey: str) -> None:
    """Follow the log `origin` from now on, if it signs with `vkey`; saying so twice changes nothing.

    Raises ProtocolError for a key that is not a log's or is named otherwise than the log (tlog-checkpoint).
    """
    key = note.VerifierKey.parse(vkey)
    if key.algorithm != note.ED25519 or key.name != origin:
        raise ProtocolError("witness.log_key", "the key is not one with which this log signs", evidence=vkey)
    with files.FileLock(directory / "lock"):
        held = load(directory)
        if key in held.logs.get(origin, ()):
            return
        lines = [item.encode() for keys in held.logs.values() for item in keys]
        files.write_atomic(directory / "logs", "".join(f"{line}\n" for line in (*lines, key.encode())).encode())


def load(directory: Path) -> Config:
    """Read the witness in `directory`; raises WitnessError, or UnsafeMode where others could read its key."""
    try:
        name, space, seed = files.read_secret(directory / "key").decode().strip().partition(" ")
        lines = (directory / "logs").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise WitnessError(f"{directory} holds no witness: {error.filename} is missing; make one with init") from error
    logs: dict[str, tuple[note.VerifierKey, ...]] = {}
    try:
        key = SigningKey(bytes.fromhex(seed))
        for line in lines:
            item = note.VerifierKey.parse(line)
            logs[item.name] = (*logs.get(item.name, ()), item)
    except (ProtocolError, ValueError) as error:
        raise WitnessError(f"the files in {directory} are not as init and trust write them: {error}") from error
    if not space:
        raise WitnessError(f"{directory / 'key'} is not a witness's key")
    return Config(directory, name, key, logs)
