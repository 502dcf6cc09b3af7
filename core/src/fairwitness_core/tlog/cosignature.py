"""C2SP tlog-cosignature (Ed25519, v1) and the request body of tlog-witness. Times are Unix seconds, UTC."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.tlog import checkpoint, merkle, note
from fairwitness_core.wire.errors import ProtocolError

MAX_PATH = 63


def vkey(name: str, key: PublicKey) -> note.VerifierKey:
    """Return the verifier key of the witness `name`."""
    return note.VerifierKey(name, note.COSIGNATURE, key)


def message(text: str, time: int) -> bytes:
    """Return the bytes that a witness signs: header, time, checkpoint text (tlog-cosignature, "Ed25519 signed message")."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def cosign(text: str, name: str, key: SigningKey, time: int) -> note.SignatureLine:
    """Cosign the checkpoint `text`, which includes its final newline, as `name` at `time`."""
    if not 0 < time <= merkle.MAX_SIZE:
        raise ValueError("a cosignature's time is a positive 63-bit number")
    signature = time.to_bytes(8, "big") + key.sign(message(text, time))
    return note.SignatureLine(name, note.key_id(name, note.COSIGNATURE, key.public.raw), signature)


def verify(signed: note.Note, witness: note.VerifierKey) -> int | None:
    """Return when `witness` cosigned the note, or None if it did not.

    On return of a time:
    1. the witness's key is one for cosignatures, and the note has exactly one line of it;
    2. the line holds a time above 0 and below 2**63, and 64 bytes;
    3. the signature is true.
    Raises ProtocolError where a line claims to be the witness's and is not.
    """
    # 1.
    if witness.algorithm != note.COSIGNATURE:
        raise ProtocolError("cosignature.algorithm", "this key signs notes, it does not cosign", evidence=witness.name)
    raw = signed.signature_of(witness)
    if raw is None:
        return None
    # 2. Time 0 would say "no statement about when"; v1 has no such form.
    if len(raw) != 72:
        raise ProtocolError("cosignature.length", "a cosignature is 8 bytes of time and 64 more", evidence=witness.name)
    time = int.from_bytes(raw[:8], "big")
    if not 0 < time <= merkle.MAX_SIZE:
        raise ProtocolError("cosignature.time", "a cosignature's time is out of range", evidence=str(time))
    # 3.
    if not witness.key.verify(raw[8:], message(signed.text, time)):
        raise ProtocolError("cosignature.false", "a cosignature of a known witness is false", evidence=witness.name)
    return time


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """The body of `POST add-checkpoint`: the size last cosigned, the proof from there, and the new signed checkpoint."""

    old_size: int
    path: tuple[bytes, ...]
    signed: note.Note

    def encode(self) -> bytes:
        """Return the body."""
        return add_checkpoint_body(self.old_size, self.path, self.signed.encode())


def add_checkpoint_body(old_size: int, path: Sequence[bytes], signed: bytes) -> bytes:
    """Return the body that asks a witness to cosign the note `signed`."""
    lines = (f"old {old_size}", *(note.encode_base64(item) for item in path), "")
    return "".join(f"{line}\n" for line in lines).encode() + signed


def parse_add_checkpoint(data: bytes) -> AddCheckpoint:
    """Read the body of an add-checkpoint request, nothing verified; raises ProtocolError."""
    head, blank, rest = data.partition(b"\n\n")
    if not blank:
        raise ProtocolError("witness.body", "no empty line after the proof")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise ProtocolError("witness.body", "the lines before the checkpoint are ASCII") from error
    if not first.startswith("old "):
        raise ProtocolError("witness.body", "the first line is `old` and a size", evidence=first)
    if len(lines) > MAX_PATH:
        raise ProtocolError("witness.path", f"a proof has at most {MAX_PATH} lines", evidence=str(len(lines)))
    path = tuple(note.decode_base64(line, "witness.base64") for line in lines)
    if any(len(item) != merkle.HASH_SIZE for item in path):
        raise ProtocolError("witness.hash_length", "each hash of the proof has 32 bytes")
    return AddCheckpoint(checkpoint.parse_number(first[4:]), path, note.Note.parse(rest))
