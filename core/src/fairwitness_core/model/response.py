"""What an owner sends and is given back (protocol.md 5.3-5.6, 16; design.md 9.5-9.9). Signed by the response key.

`response_id` is SHA-256 of the response's Ed25519 public key, which stands in each document as `pk`.
"""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.document import Document, Part, part, wire
from fairwitness_core.wire import dsse
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError

PART_SIZE = 4 << 20  # bytes of an upload part (design.md 7)
MAX_RESPONSE = 4 << 30
MAX_CLIP = 2 << 30
MAX_CLIPS = 16
TOKEN_SIZE = 146  # RFC 9578 type 0x0001 with a 48-byte authenticator


def response_id(pk: bytes) -> str:
    """Name a response: lower-case hex SHA-256 of its public key."""
    return hashlib.sha256(pk).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ByResponder(Document):
    """Base of documents signed by the response key: carries the key and the id that follows from it."""

    response_id: str = wire(f.HASH)
    pk: bytes = wire(f.base64_bytes(32))

    def check(self) -> None:
        """The id is that of the key."""
        if response_id(self.pk) != self.response_id:
            raise ProtocolError("response.id", "the response id is not that of its key", evidence=self.response_id)


def verify_responder[T: ByResponder](kind: type[T], data: bytes) -> T:
    """Read an envelope signed by the very response key that it names; raises ProtocolError."""
    envelope = dsse.Envelope.parse(data)
    if envelope.payload_type != dsse.RESPONSE:
        raise ProtocolError("dsse.type", "another kind of document was expected", evidence=envelope.payload_type)
    document = kind.parse(envelope.payload)
    envelope.verify(dsse.RESPONSE, PublicKey(document.pk))
    return document


def parts_of(size: int) -> int:
    """Number of upload parts of a ciphertext of `size` bytes."""
    return max(1, -(-size // PART_SIZE))


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOpen(ByResponder):
    """Begins an upload: the token and the size come first, so that a spent token costs nobody bandwidth."""

    TYPE: ClassVar[str] = "upload_open"

    agency: str = wire(f.AGENCY_ID)
    size: int = wire(f.integer(1, MAX_RESPONSE))
    parts: int = wire(f.integer(1, MAX_RESPONSE // PART_SIZE))
    token: bytes = wire(f.base64_bytes(TOKEN_SIZE))
    at: int = wire(f.TIME)

    def check(self) -> None:
        """Parts follow from size."""
        ByResponder.check(self)
        if self.parts != parts_of(self.size):
            raise ProtocolError("upload.parts", "the number of parts does not fit the size")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPart(ByResponder):
    """States one part's number (from 0) and hash; travels base64url in a header beside the part's bytes."""

    TYPE: ClassVar[str] = "upload_part"

    part: int = wire(f.integer(0, MAX_RESPONSE // PART_SIZE))
    sha256: str = wire(f.HASH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalize(ByResponder):
    """Ends an upload (design.md 9.5). `sealed`: SHA-256 of the whole ciphertext."""

    TYPE: ClassVar[str] = "finalize"

    agency: str = wire(f.AGENCY_ID)
    sealed: str = wire(f.HASH)
    size: int = wire(f.integer(1, MAX_RESPONSE))
    parts: int = wire(f.integer(1, MAX_RESPONSE // PART_SIZE))
    token: bytes = wire(f.base64_bytes(TOKEN_SIZE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw(ByResponder):
    """The owner takes the response back (design.md 9.9)."""

    TYPE: ClassVar[str] = "withdraw"

    at: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepForward(ByResponder):
    """An anonymous owner makes themselves known later (design.md 9.6); sealed to the request's key like any answer."""

    TYPE: ClassVar[str] = "step_forward"

    request_id: str = wire(f.ID16)
    name: str = wire(f.text(200, min_bytes=1))
    contact: str = wire(f.text(200, min_bytes=1))
    at: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(Part):
    """One clip as it was sent. `start`, `end`: Unix seconds UTC of what it shows, rounded outward.

    `sha256`, `bytes`: of the clip itself. `time_source`: how its owner's home knew the time. `orig_commit`:
    SHA-256("fairwitness/orig" || salt || SHA-256 of the untouched original), which the owner can open later; of several originals
    that were joined, in place of one's SHA-256 that of all of theirs, one behind the other. `chain_commit`: SHA-256(
    "fairwitness/chain" || salt || newest record of the camera's chain of recordings), where it has one (docs/spec/recording.md).
    """

    name: str = wire(f.text(11, min_bytes=11, pattern=r"clip-[0-9]{2}\.mp4"))
    sha256: str = wire(f.HASH)
    bytes: int = wire(f.integer(1, MAX_CLIP))
    start: int = wire(f.TIME, name="from")
    end: int = wire(f.TIME, name="to")
    mime: str = wire(f.one_of("video/mp4"))
    time_source: str = wire(f.one_of("camera", "container", "file_name", "owner"))
    muted: bool = wire(f.boolean())
    transcoded: bool = wire(f.boolean())
    orig_commit: str = wire(f.HASH)
    chain_commit: str = wire(f.HASH, optional=True, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span(Part):
    """A stretch of time, Unix seconds UTC."""

    start: int = wire(f.TIME, name="from")
    end: int = wire(f.TIME, name="to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Part):
    """Who answers, given in identified mode only; exists inside the ciphertext alone."""

    name: str = wire(f.text(200, min_bytes=1))
    contact: str = wire(f.text(200, min_bytes=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent(Part):
    """What the owner agreed to: hash of the terms shown, and until when the agency may keep it (Unix seconds UTC)."""

    terms_sha256: str = wire(f.HASH)
    scope: str = wire(f.one_of("this_case"))
    until: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(ByResponder):
    """The signed cover sheet inside the ciphertext. `gaps`: stretches of the window without recording."""

    TYPE: ClassVar[str] = "response"

    request_id: str = wire(f.ID16)
    mode: str = wire(f.one_of("anonymous", "identified"))
    statement: str = wire(f.text(4000, newline=True))
    consent: Consent = wire(part(Consent))
    clips: tuple[Clip, ...] = wire(f.array(part(Clip), high=MAX_CLIPS))
    gaps: tuple[Span, ...] = wire(f.array(part(Span), high=64))
    redactions: tuple[str, ...] = wire(f.array(f.text(120, min_bytes=1), high=64))
    at: int = wire(f.TIME)
    identity: Identity | None = wire(part(Identity), optional=True)

    def check(self) -> None:
        """Identity belongs to identified mode; there is a clip or a statement; names count up."""
        ByResponder.check(self)
        if (self.mode == "identified") != (self.identity is not None):
            raise ProtocolError("response.identity", "identity is given in identified mode, and only then")
        if not self.clips and not self.statement.strip():
            raise ProtocolError("response.empty", "a response holds a clip or a statement")
        if [clip.name for clip in self.clips] != [f"clip-{n:02}.mp4" for n in range(1, len(self.clips) + 1)]:
            raise ProtocolError("response.clips", "clips are named clip-01.mp4, clip-02.mp4, ... in order")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise(Document):
    """The hub's signed receipt for a response (protocol.md 5.4): it will stand in that day's inbox root."""

    TYPE: ClassVar[str] = "promise"

    response_id: str = wire(f.HASH)
    sealed: str = wire(f.HASH)
    tick: int = wire(f.integer(0))
    inbox_day: str = wire(f.text(8, min_bytes=8, pattern=r"[0-9]{8}"))


STATUSES = ("accepted", "collected", "declined", "expired", "exported", "withdrawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStatus(Document):
    """What became of a response, signed by the agency's key, fetched by its responder (design.md 9.9)."""

    TYPE: ClassVar[str] = "response_status"

    response_id: str = wire(f.HASH)
    agency: str = wire(f.AGENCY_ID)
    status: str = wire(f.one_of(*STATUSES))
    note: str = wire(f.text(300))
    at: int = wire(f.TIME)
