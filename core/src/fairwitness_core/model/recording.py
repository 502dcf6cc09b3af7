"""How a clip is tied to what a camera's recorder wrote, and the proof that an owner may hand out (docs/spec/recording.md)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from fairwitness_core.model.document import Document, Part, part, wire
from fairwitness_core.tlog import merkle
from fairwitness_core.wire import canonical
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError

MAX_PROOF = 64 << 20  # bytes of an encoded proof
MAX_LINKS = 100_000
MAX_SEGMENTS = 1024
MAX_PICTURES = 1 << 17  # in one segment
MAX_MS = 2**47
DIGEST = 32


def sample_digest(record_sha256: bytes, sample: bytes | memoryview) -> bytes:
    """Return a picture's digest: its cleaned bytes, bound to the SHA-256 of the decoder configuration that they need."""
    state = hashlib.sha256(b"fairwitness/sample" + record_sha256)
    state.update(sample)
    return state.digest()


def pictures_root(digests: Iterable[bytes]) -> bytes:
    """Return the root of the RFC 6962 tree whose entries are pictures' 32-byte digests, in decode order."""
    edge = merkle.Frontier()
    for digest in digests:
        edge.append(merkle.leaf_hash(digest))
    return edge.root()


def split(blob: bytes) -> list[bytes]:
    """Return the digests that stand one behind the other in `blob`."""
    return [blob[at : at + DIGEST] for at in range(0, len(blob), DIGEST)]


def link_record(before: bytes, sha256: bytes, pictures: bytes, start: int, end: int) -> bytes:
    """Return a link's 32-byte record: SHA-256 of 112 bytes, or of 80 where `pictures` is empty. Times in ms since 1970 UTC."""
    return hashlib.sha256(before + sha256 + pictures + start.to_bytes(8, "big") + end.to_bytes(8, "big")).digest()


def chain_commitment(salt: bytes, record: bytes) -> str:
    """Return what a manifest says of a chain whose newest record is `record`, in hex; `salt` has 32 bytes."""
    return hashlib.sha256(b"fairwitness/chain" + salt + record).hexdigest()


def originals_digest(sha256s: Sequence[str]) -> str:
    """Return what a commitment to untouched originals is made over: one's SHA-256, or that of all of theirs in order, in hex."""
    if len(sha256s) == 1:
        return sha256s[0]
    return hashlib.sha256(b"".join(map(bytes.fromhex, sha256s))).hexdigest()


def original_commitment(salt: bytes, sha256s: Sequence[str]) -> str:
    """Return what a manifest says of a clip's untouched originals (protocol.md 5.7), in hex."""
    return hashlib.sha256(b"fairwitness/orig" + salt + bytes.fromhex(originals_digest(sha256s))).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofLink(Part):
    """A finished segment in a chain. `start`, `end`: ms since 1970 UTC. `after` is stated, and no part of the record.

    `pictures`: hex root of its pictures' digests; absent where the codec is not copied.
    """

    sha256: str = wire(f.HASH)
    pictures: str = wire(f.HASH, optional=True, default="")
    start: int = wire(f.integer(0, MAX_MS))
    end: int = wire(f.integer(0, MAX_MS))
    after: str = wire(f.text(16, pattern="[a-z]*"))

    def check(self) -> None:
        """A segment ends after it starts."""
        if self.start >= self.end:
            raise ProtocolError("recording.link_times", "a segment ends after it starts")

    def record(self, before: bytes) -> bytes:
        """Return this link's record behind `before`."""
        return link_record(before, bytes.fromhex(self.sha256), bytes.fromhex(self.pictures), self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingProof(Document):
    """What ties a clip to its camera's chain of recordings, handed out by its owner; it holds no picture. Hashes in hex.

    `salt`, `head`: what the manifest's `chain_commit` was made over. `links`: from the first segment that the clip was cut from
    to the one whose record is `head`; `before` is the record before them. `pictures`: for each of the clip's segments, which are
    the first links, the digests of its pictures one behind the other. `orig_salt` opens `orig_commit`.
    """

    TYPE: ClassVar[str] = "recording_proof"

    response_id: str = wire(f.HASH)
    clip: str = wire(f.text(11, min_bytes=11, pattern=r"clip-[0-9]{2}\.mp4"))
    salt: str = wire(f.HASH)
    head: str = wire(f.HASH)
    before: str = wire(f.HASH)
    orig_salt: str = wire(f.HASH)
    links: tuple[ProofLink, ...] = wire(f.array(part(ProofLink), low=1, high=MAX_LINKS))
    pictures: tuple[bytes, ...] = wire(
        f.array(f.base64_bytes(max_size=MAX_PICTURES * DIGEST), low=1, high=MAX_SEGMENTS),
    )

    def check(self) -> None:
        """Each list is of a link, and of whole digests."""
        if len(self.pictures) > len(self.links) or any(len(blob) % DIGEST for blob in self.pictures):
            raise ProtocolError("recording.lists", "each list of pictures is of a link, and holds whole digests")

    @property
    def used(self) -> tuple[ProofLink, ...]:
        """The segments that the clip was cut from."""
        return self.links[: len(self.pictures)]

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read a proof's bytes, with one newline behind them or not; raises ProtocolError."""
        return cls.parse(data.removesuffix(b"\n"), limit=MAX_PROOF)

    def write(self) -> bytes:
        """Return the file's bytes; raises ProtocolError `recording.too_large`."""
        data = canonical.encode(self.to_json())
        if len(data) > MAX_PROOF:
            raise ProtocolError("recording.too_large", f"this proof would have more than {MAX_PROOF} bytes")
        return data + b"\n"
