"""C2SP signed-note: text with signature lines, and the verifier keys (vkeys) that name who may sign."""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.wire.errors import ProtocolError

ED25519 = 0x01
COSIGNATURE = 0x04
ALGORITHMS = (ED25519, COSIGNATURE)
MAX_SIGNATURES = 64
MAX_BYTES = 1 << 20
_DASH = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def check_name(name: str) -> str:
    """Return a key name that may stand on a signature line; raises ProtocolError (signed-note, "Format")."""
    if not name or "+" in name or any(char.isspace() or ord(char) < 0x20 for char in name):
        raise ProtocolError("note.key_name", "a key name has no spaces, plus signs or controls", evidence=name)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError("note.key_name", "a key name is UTF-8") from error
    return name


def decode_base64(text: str, code: str) -> bytes:
    """Decode canonical standard base64; raises ProtocolError with `code` for any other spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ProtocolError(code, "not standard base64", evidence=text) from error
    if base64.b64encode(raw).decode() != text:
        raise ProtocolError(code, "base64 that is not canonical", evidence=text)
    return raw


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode()


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named Ed25519 key for one use: `ED25519` signs a log's notes, `COSIGNATURE` is a witness's (a vkey)."""

    name: str
    algorithm: int
    key: PublicKey

    def __post_init__(self) -> None:
        """Refuse a name or algorithm that no signature line can carry."""
        check_name(self.name)
        if self.algorithm not in ALGORITHMS:
            raise ProtocolError("vkey.algorithm", "only Ed25519 and cosignature/v1 are known", evidence=str(self.algorithm))

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before a signature of this key."""
        return key_id(self.name, self.algorithm, self.key.raw)

    def encode(self) -> str:
        """Return `name+hex id+base64(algorithm, key)` (signed-note, "Verifier keys")."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.algorithm]) + self.key.raw)}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read a vkey; raises ProtocolError, also where its id does not belong to its key."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise ProtocolError("vkey.format", "a verifier key is name+id+key", evidence=text)
        name, identifier, encoded = parts
        raw = decode_base64(encoded, "vkey.base64")
        if len(raw) != 33:
            raise ProtocolError("vkey.length", "a verifier key holds 33 bytes", evidence=str(len(raw)))
        found = cls(name, raw[0], PublicKey(raw[1:]))
        if found.key_id.hex() != identifier:
            raise ProtocolError("vkey.id", "the key's id does not belong to it", evidence=text)
        return found


def key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """Return the first four bytes of SHA-256(name, newline, algorithm, key)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:4]


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature of a note: who (a name and a four-byte id) and the bytes, of a meaning that the key gives."""

    name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse what no line can carry."""
        check_name(self.name)
        if len(self.key_id) != 4:
            raise ProtocolError("note.key_id", "a key id has four bytes", evidence=self.key_id.hex())
        if not self.signature:
            raise ProtocolError("note.signature", "a signature is not empty")

    def encode(self) -> str:
        """Return the line without its newline."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}"

    @classmethod
    def parse(cls, line: str) -> "SignatureLine":
        """Read one line without its newline; raises ProtocolError."""
        if not line.startswith(_DASH):
            raise ProtocolError("note.line", "a signature line begins with an em dash and a space", evidence=line)
        name, space, encoded = line[len(_DASH) :].partition(" ")
        if not space:
            raise ProtocolError("note.line", "a signature line is name, space, base64", evidence=line)
        raw = decode_base64(encoded, "note.base64")
        if len(raw) < 5:
            raise ProtocolError("note.signature", "a signature is longer than its key id", evidence=line)
        return cls(name, raw[:4], raw[4:])


@dataclass(frozen=True, slots=True)
class Note:
    """A note as read: nothing in it counts before a signature of a known key is verified."""

    text: str
    signatures: tuple[SignatureLine, ...]

    def __post_init__(self) -> None:
        """Refuse a text that would be read back as another one."""
        _check_text(self.text)
        if not self.text.endswith("\n"):
            raise ProtocolError("note.text", "a note's text ends in a newline")
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise ProtocolError("note.signatures", f"a note has 1 to {MAX_SIGNATURES} signatures")

    @classmethod
    def parse(cls, data: bytes) -> "Note":
        """Split text from signatures at the last blank line; raises ProtocolError."""
        if len(data) > MAX_BYTES:
            raise ProtocolError("note.size", f"a note is over {MAX_BYTES} bytes", evidence=str(len(data)))
        whole = _decode(data)
        # The text keeps the newline that ends it; the blank line belongs to neither part.
        at = whole.rfind("\n\n")
        if at < 0:
            raise ProtocolError("note.separator", "no blank line between text and signatures")
        return cls(whole[: at + 1], _lines(whole[at + 2 :]))

    def encode(self) -> bytes:
        """Return the bytes of the note."""
        return "".join([self.text, "\n", *(line.encode() + "\n" for line in self.signatures)]).encode()

    def with_signatures(self, *lines: SignatureLine) -> "Note":
        """Return the note with `lines` added; a line of the same name and id is replaced."""
        fresh = {(line.name, line.key_id) for line in lines}
        kept = tuple(line for line in self.signatures if (line.name, line.key_id) not in fresh)
        return Note(self.text, kept + lines)

    def signature_of(self, key: VerifierKey) -> bytes | None:
        """Return the one signature that claims to be of `key`, unverified, or None; raises ProtocolError for two."""
        identifier = key.key_id
        found = [line.signature for line in self.signatures if line.name == key.name and line.key_id == identifier]
        if len(found) > 1:
            raise ProtocolError("note.duplicate", "two signatures of one key", evidence=key.name)
        return found[0] if found else None

    def verified_by(self, key: VerifierKey) -> bool:
        """Tell whether `key` (of algorithm `ED25519`) signed the text; raises ProtocolError if its signature is false."""
        if key.algorithm != ED25519:
            raise ProtocolError("note.algorithm", "this key makes cosignatures, not signatures", evidence=key.name)
        signature = self.signature_of(key)
        if signature is None:
            return False
        if not key.key.verify(signature, self.text.encode()):
            raise ProtocolError("note.false_signature", "a signature of a known key is false", evidence=key.name)
        return True


def sign(text: str, name: str, key: SigningKey) -> SignatureLine:
    """Sign `text`, which includes its final newline, as `name`."""
    return SignatureLine(name, key_id(name, ED25519, key.public.raw), key.sign(text.encode()))


def parse_signature_lines(data: bytes) -> tuple[SignatureLine, ...]:
    """Read signature lines alone, as a witness answers with them; raises ProtocolError."""
    if len(data) > MAX_BYTES:
        raise ProtocolError("note.size", f"signature lines are over {MAX_BYTES} bytes", evidence=str(len(data)))
    return _lines(_decode(data))


def encode_signature_lines(lines: Iterable[SignatureLine]) -> bytes:
    """Return signature lines alone, each with its newline."""
    return "".join(line.encode() + "\n" for line in lines).encode()


def _decode(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("note.utf8", "a note is UTF-8") from error
    _check_text(text)
    return text


def _check_text(text: str) -> None:
    if _CONTROL.search(text):
        raise ProtocolError("note.control", "a note has no control character but newline")


def _lines(text: str) -> tuple[SignatureLine, ...]:
    if not text.endswith("\n"):
        raise ProtocolError("note.newline", "a signature line ends in a newline")
    lines = text[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise ProtocolError("note.signatures", f"more than {MAX_SIGNATURES} signatures", evidence=str(len(lines)))
    return tuple(SignatureLine.parse(line) for line in lines)
