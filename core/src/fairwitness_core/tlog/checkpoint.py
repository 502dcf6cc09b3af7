"""C2SP tlog-checkpoint: what a log signs about itself."""

from dataclasses import dataclass

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import merkle, note
from fairwitness_core.wire.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's name, its number of entries and its root. `extensions` are kept word for word and mean nothing here."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would be read back as another checkpoint."""
        for line in (self.origin, *self.extensions):
            if not line or any(ord(char) < 0x20 for char in line):
                raise ProtocolError("checkpoint.line", "a line is empty or holds a control character", evidence=line)
        if not 0 <= self.size <= merkle.MAX_SIZE:
            raise ProtocolError("checkpoint.size", "the size is not a 63-bit number", evidence=str(self.size))
        if len(self.root) != merkle.HASH_SIZE:
            raise ProtocolError("checkpoint.root", "a root has 32 bytes", evidence=self.root.hex())
        if self.size == 0 and self.root != merkle.EMPTY_ROOT:
            raise ProtocolError("checkpoint.root", "an empty log has the root of nothing", evidence=self.root.hex())

    def encode(self) -> str:
        """Return the note's text."""
        lines = (self.origin, str(self.size), note.encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read a note's text; raises ProtocolError."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() != "":
            raise ProtocolError("checkpoint.lines", "a checkpoint has three lines or more, each with its newline")
        origin, size, root, *extensions = lines
        return cls(origin, parse_number(size), note.decode_base64(root, "checkpoint.base64"), tuple(extensions))


def parse_number(text: str) -> int:
    """Read an ASCII decimal without leading zeroes, at most 2**63 - 1; raises ProtocolError."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0") or len(text) > 19:
        raise ProtocolError("number.format", "not a plain decimal number", evidence=text)
    number = int(text)
    if number > merkle.MAX_SIZE:
        raise ProtocolError("number.range", "the number is over 63 bits", evidence=text)
    return number


def sign(checkpoint: Checkpoint, key: SigningKey) -> note.Note:
    """Return the note of `checkpoint`, signed by its log's key under the origin's name."""
    text = checkpoint.encode()
    return note.Note(text, (note.sign(text, checkpoint.origin, key),))


def verify(signed: note.Note, log: note.VerifierKey) -> Checkpoint:
    """Return the checkpoint that the log signed.

    On return:
    1. the log's key signed the text, once;
    2. the text is a checkpoint;
    3. its origin is the key's name (tlog-checkpoint, "Signatures"), so that one key cannot speak for two logs.
    Raises ProtocolError otherwise.
    """
    # 1.
    if not signed.verified_by(log):
        raise ProtocolError("checkpoint.unsigned", "the log did not sign this checkpoint", evidence=log.name)
    # 2.
    found = Checkpoint.parse(signed.text)
    # 3.
    if found.origin != log.name:
        raise ProtocolError("checkpoint.origin", "the checkpoint is of another log", evidence=found.origin)
    return found
