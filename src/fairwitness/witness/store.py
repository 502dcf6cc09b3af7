"""The last checkpoint that this witness cosigned, for each log: all that it remembers.

One file an origin in `heads/`, the whole cosigned note. Trust: whoever sets one back can make this witness cosign a fork.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairwitness_core.tlog import checkpoint, cosignature, note
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import files
from fairwitness.witness.errors import WitnessError

MAX_CONFLICTS = 64


class HeadStore:
    """Heads on disk. Between `locked` and the end of its block no other thread or process changes any of them."""

    def __init__(self, directory: Path, vkey: note.VerifierKey) -> None:
        self._heads = directory / "heads"
        self._conflicts = directory / "conflicts"
        self._lock = directory / "lock"
        self._vkey = vkey

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold all heads still; waits for whoever holds them."""
        # A lock object each time: flock excludes open files, so threads of one process exclude each other too.
        with files.FileLock(self._lock):
            yield

    def head(self, origin: str) -> checkpoint.Checkpoint | None:
        """Return what was cosigned last, or None.

        Raises WitnessError where the file is not a note that this witness cosigned: to go on then could fork the log.
        """
        try:
            raw = self._place(origin).read_bytes()
        except FileNotFoundError:
            return None
        try:
            signed = note.Note.parse(raw)
            found = checkpoint.Checkpoint.parse(signed.text)
            time = cosignature.verify(signed, self._vkey)
        except ProtocolError as error:
            raise WitnessError(f"the head of {origin} is damaged: {error}") from error
        if time is None or found.origin != origin:
            raise WitnessError(f"the file of {origin} is not a head that this witness cosigned")
        return found

    def signed(self, origin: str) -> note.Note | None:
        """Return the whole note of the head, checked as `head` checks it, or None. Raises WitnessError."""
        return note.Note.parse(self._place(origin).read_bytes()) if self.head(origin) is not None else None

    def keep(self, origin: str, cosigned: note.Note) -> None:
        """Make `cosigned` the head; durable on return. Raises OSError, and the old head then stands or the new one."""
        files.write_atomic(self._place(origin), cosigned.encode())

    def keep_conflict(self, held: checkpoint.Checkpoint, other: note.Note) -> None:
        """Keep a second signed head of one size beside the first: proof of a fork that anyone can check."""
        files.private_dir(self._conflicts)
        if sum(1 for _ in self._conflicts.iterdir()) >= MAX_CONFLICTS:
            return
        name = hashlib.sha256(other.text.encode()).hexdigest()[:32]
        first = self._place(held.origin).read_bytes()
        files.write_atomic(self._conflicts / name, first + b"\n" + other.encode())

    def _place(self, origin: str) -> Path:
        return self._heads / hashlib.sha256(origin.encode()).hexdigest()
