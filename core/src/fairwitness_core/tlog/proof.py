"""C2SP tlog-proof: one file that shows, offline, that an entry stands in a log which witnesses saw."""

from dataclasses import dataclass

from fairwitness_core.tlog import merkle, note
from fairwitness_core.tlog.checkpoint import parse_number
from fairwitness_core.tlog.policy import CosignedCheckpoint, Policy
from fairwitness_core.wire.errors import ProtocolError

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63


@dataclass(frozen=True, slots=True)
class VerifiedInclusion:
    """An entry that a policy accepts as logged: only `TlogProof.verify` makes one.

    Cosignature times (Unix seconds, UTC) are in `checkpoint`; whether they are fresh enough is the caller's rule.
    """

    index: int
    leaf_hash: bytes
    checkpoint: CosignedCheckpoint


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as read, nothing verified. `extra` is not covered by any signature."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: note.Note
    extra: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse what would be read back as another proof; raises ProtocolError."""
        if not 0 <= self.index <= merkle.MAX_SIZE:
            raise ProtocolError("proof.index", "the index is not a 63-bit number", evidence=str(self.index))
        if len(self.path) > MAX_PATH or any(len(item) != merkle.HASH_SIZE for item in self.path):
            raise ProtocolError("proof.path", f"a path has at most {MAX_PATH} hashes of 32 bytes")

    @classmethod
    def parse(cls, data: bytes) -> "TlogProof":
        """Read a proof; raises ProtocolError unless it is spelled in the one way that `encode` spells it."""
        head, blank, rest = data.partition(b"\n\n")
        if not blank:
            raise ProtocolError("proof.separator", "no empty line before the checkpoint")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise ProtocolError("proof.ascii", "the lines before the checkpoint are ASCII") from error
        if lines.pop(0) != HEADER:
            raise ProtocolError("proof.header", f"a proof begins with {HEADER}", evidence=head[:60].decode("ascii"))
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = note.decode_base64(lines.pop(0)[6:], "proof.extra")
        if not lines or not lines[0].startswith("index "):
            raise ProtocolError("proof.index", "the index line is missing")
        index = parse_number(lines.pop(0)[6:])
        if len(lines) > MAX_PATH:
            raise ProtocolError("proof.path", f"a path has at most {MAX_PATH} hashes", evidence=str(len(lines)))
        path = tuple(note.decode_base64(line, "proof.base64") for line in lines)
        return cls(index, path, note.Note.parse(rest), extra)

    def encode(self) -> bytes:
        """Return the file."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {note.encode_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += [note.encode_base64(item) for item in self.path]
        return "".join(f"{line}\n" for line in (*lines, "")).encode() + self.checkpoint.encode()

    def verify(self, policy: Policy, leaf: bytes) -> VerifiedInclusion:
        """Return the entry with data `leaf` as logged; see `verify_hash`."""
        return self.verify_hash(policy, merkle.leaf_hash(leaf))

    def verify_hash(self, policy: Policy, leaf_hash: bytes) -> VerifiedInclusion:
        """Return the entry with the leaf hash `leaf_hash` as logged.

        On return:
        1. the checkpoint is signed by a listed log and cosigned by a quorum of `policy`;
        2. the entry stands at `index` in the tree of that checkpoint (RFC 6962 section 2.1.1).
        Raises ProtocolError otherwise.
        """
        # 1.
        cosigned = policy.verify(self.checkpoint)
        # 2.
        head = cosigned.checkpoint
        merkle.verify_inclusion(leaf_hash, self.index, head.size, self.path, head.root)
        return VerifiedInclusion(self.index, leaf_hash, cosigned)
