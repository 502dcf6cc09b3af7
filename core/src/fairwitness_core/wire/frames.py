"""FWR1: what lies inside a sealed response (design.md section 9.5).

    response = "FWR1" record*
    record   = tag u8 | length u32 big endian | body
    0x01 clip start   canonical JSON {"name":"clip-NN.mp4"}, NN counts from 01
    0x02 clip data    1 byte to 1 MiB
    0x03 clip end     SHA-256 of the clip's bytes, 32 bytes
    0x04 manifest     1 byte to 1 MiB, opaque here (a DSSE envelope)
    0x05 padding      zeros, so that the whole is as long as Padme of what went before plus this record's 5-byte head

Order: clips, the manifest exactly once, padding exactly once and last. The manifest follows the clips because it names their
hashes, and one streaming pass knows those only afterwards. Padme (PURBs, Nikitin et al. 2019) hides the length to
O(log log L) bits for at most 12 % more bytes. There is exactly one padding for each content, so it can carry nothing.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from fairwitness_core.wire.errors import ProtocolError

MAGIC: Final = b"FWR1"
MAX_DATA: Final = 1 << 20
MAX_CLIP: Final = 2 << 30
MAX_RESPONSE: Final = 4 << 30
MAX_MANIFEST: Final = 1 << 20
MAX_CLIPS: Final = 16
_HEAD: Final = 5
_START = re.compile(rb'\{"name":"(clip-[0-9]{2}\.mp4)"\}')
_ZEROS = bytes(65536)


class Tag(IntEnum):
    """The kinds of record."""

    START = 1
    DATA = 2
    END = 3
    MANIFEST = 4
    PADDING = 5


@dataclass(frozen=True, slots=True)
class ClipDigest:
    """What one clip's bytes came to: its neutral name, SHA-256 (32 bytes) and length in bytes."""

    name: str
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A whole, well-formed response: the manifest's bytes, the clips in order, and the length of all of it with padding."""

    manifest: bytes
    clips: tuple[ClipDigest, ...]
    length: int


class ClipSink(Protocol):
    """Takes one clip. It MUST treat the bytes as unproven until `FrameReader.finish` has returned."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes of the clip."""
        ...

    def close(self, digest: ClipDigest, /) -> object:
        """Know that the clip is complete and that its own hash matched."""
        ...


def clip_name(index: int) -> str:
    """Return the neutral name of the clip at `index` (from 0): the camera's own file name stays at home."""
    if not 0 <= index < MAX_CLIPS:
        raise ProtocolError("frames.too_many_clips", f"a response has at most {MAX_CLIPS} clips", evidence=str(index + 1))
    return f"clip-{index + 1:02d}.mp4"


def padme(length: int) -> int:
    """Return the padded length of `length` bytes: the smallest with a short enough mantissa (PURBs, section 4)."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << max(low_bits, 0)) - 1
    return (length + mask) & ~mask


def _head(tag: Tag, length: int) -> bytes:
    return bytes((tag,)) + length.to_bytes(4, "big")


class FrameSource:
    """A response as a stream to read from, for `crypto.seal.seal_stream`, which pulls.

    `clips` are (name, pieces of bytes) pairs, drawn one after another and never held whole; `manifest` is called once, with
    every clip's digest, after the last clip's last byte. Raises ProtocolError where a limit is passed.
    """

    def __init__(
        self,
        clips: Iterable[tuple[str, Iterable[bytes]]],
        manifest: Callable[[tuple[ClipDigest, ...]], bytes],
    ) -> None:
        self._parts = self._run(clips, manifest)
        self._now = memoryview(b"")
        self.length = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes (a whole part when negative), empty at the end."""
        while not self._now:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._now = memoryview(part)
        out = self._now if size < 0 else self._now[:size]
        self._now = self._now[len(out) :]
        return bytes(out)

    def _run(
        self, clips: Iterable[tuple[str, Iterable[bytes]]], manifest: Callable[[tuple[ClipDigest, ...]], bytes]
    ) -> Iterator[bytes]:
        total = len(MAGIC)
        yield MAGIC
        digests: list[ClipDigest] = []
        for name, pieces in clips:
            if name != clip_name(len(digests)):
                raise ProtocolError("frames.name", f"this clip is called {clip_name(len(digests))}", evidence=name)
            start = b'{"name":"' + name.encode() + b'"}'
            yield _head(Tag.START, len(start)) + start
            total += _HEAD + len(start)
            digest, size = hashlib.sha256(), 0
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                if size > MAX_CLIP:
                    raise ProtocolError("frames.clip_size", "a clip has at most 2 GiB", hint="share a shorter cut")
                for at in range(0, len(piece), MAX_DATA):
                    body = piece[at : at + MAX_DATA]
                    total += _HEAD + len(body)
                    _check_total(total)
                    yield _head(Tag.DATA, len(body))
                    yield body
            if not size:
                raise ProtocolError("frames.empty_clip", "a clip has at least one byte", evidence=name)
            yield _head(Tag.END, 32) + digest.digest()
            total += _HEAD + 32
            digests.append(ClipDigest(name, digest.digest(), size))
        envelope = manifest(tuple(digests))
        if not 0 < len(envelope) <= MAX_MANIFEST:
            raise ProtocolError("frames.manifest_size", "a manifest has 1 byte to 1 MiB", evidence=str(len(envelope)))
        yield _head(Tag.MANIFEST, len(envelope)) + envelope
        total += _HEAD + len(envelope) + _HEAD
        self.length = _check_total(padme(total))
        yield _head(Tag.PADDING, self.length - total)
        for at in range(total, self.length, len(_ZEROS)):
            yield _ZEROS[: self.length - at]


def _check_total(total: int) -> int:
    if total > MAX_RESPONSE:
        raise ProtocolError("frames.response_size", "a response has at most 4 GiB", hint="share fewer or shorter clips")
    return total


class FrameReader:
    """Reads a response that is pushed in pieces of any size, with bounded memory.

    `open_clip(name)` returns the sink of each clip. After the last byte `finish()` says that all of this holds:
    1. the magic, the order of the records and every length are right; 2. names count from clip-01.mp4; 3. each clip's bytes
    match the hash behind it; 4. there is one manifest; 5. the padding is zeros, of the one right length, and nothing follows.
    Raises ProtocolError `frames.*` at the first byte that breaks a rule; the reader is useless from then on.
    """

    def __init__(self, open_clip: Callable[[str], ClipSink]) -> None:
        self._open_clip = open_clip
        self._small = bytearray()  # a magic, a head, or a body that is not streamed
        self._want = len(MAGIC)
        self._tag: Tag | None = None
        self._magic = False
        self._streaming = 0
        self._stream_tag = Tag.DATA
        self._total = 0
        self._sink: ClipSink | None = None
        self._name = ""
        self._size = 0
        self._hash = hashlib.sha256()
        self._clips: list[ClipDigest] = []
        self._manifest: bytes | None = None
        self._padded = False
        self._broken = False

    def write(self, data: bytes, /) -> int:
        """Take the next bytes; raises ProtocolError."""
        if self._broken:
            raise ProtocolError("frames.broken", "this response was already refused")
        self._broken = True  # until this call ends well
        view = memoryview(data)
        while view:
            if self._padded and not self._streaming:
                raise ProtocolError("frames.trailing", "nothing follows the padding")
            part = view[: self._streaming or self._want - len(self._small)]
            view = view[len(part) :]
            self._total += len(part)
            if self._streaming:
                self._stream(bytes(part))
                continue
            self._small += part
            if len(self._small) == self._want:
                body = bytes(self._small)
                self._small.clear()
                self._step(body)
        self._broken = False
        return len(data)

    def _step(self, body: bytes) -> None:
        if not self._magic:
            if body != MAGIC:
                raise ProtocolError("frames.magic", "a response begins with FWR1", evidence=repr(body))
            self._magic = True
            self._want = _HEAD
        elif self._tag is None:
            self._begin(body)
        else:
            self._whole(self._tag, body)
            self._tag = None
            self._want = _HEAD

    def _begin(self, head: bytes) -> None:
        """Check a record's head against what may stand here."""
        length = int.from_bytes(head[1:], "big")
        so_far = self._total  # counts this head, as Padme does
        try:
            tag = Tag(head[0])
        except ValueError:
            raise ProtocolError("frames.tag", "there is no such record", evidence=f"{head[0]:#04x}") from None
        if self._padded or (self._sink is not None) != (tag in (Tag.DATA, Tag.END)):
            raise ProtocolError("frames.order", "this record may not stand here", evidence=tag.name)
        if (self._manifest is not None) != (tag is Tag.PADDING):
            raise ProtocolError("frames.order", "clips, then one manifest, then one padding", evidence=tag.name)
        if tag is Tag.START:
            clip_name(len(self._clips))
            low, high = 22, 22
        elif tag is Tag.DATA:
            low, high = 1, min(MAX_DATA, MAX_CLIP - self._size)
        elif tag is Tag.END:
            low, high = 32, 32
        elif tag is Tag.MANIFEST:
            low, high = 1, MAX_MANIFEST
        else:
            low = high = padme(so_far) - so_far
        if not low <= length <= high:
            raise ProtocolError("frames.length", f"a {tag.name} has {low} to {high} bytes here", evidence=str(length))
        _check_total(so_far + length)
        if tag is Tag.PADDING:
            self._padded = True
        if tag in (Tag.DATA, Tag.PADDING):
            self._streaming, self._stream_tag = length, tag
            self._want = _HEAD
        else:
            self._tag = tag
            self._want = length

    def _stream(self, part: bytes) -> None:
        self._streaming -= len(part)
        if self._stream_tag is Tag.PADDING:
            if part.count(0) != len(part):
                raise ProtocolError("frames.padding", "padding is zeros")
        elif self._sink is not None:
            self._hash.update(part)
            self._size += len(part)
            self._sink.write(part)

    def _whole(self, tag: Tag, body: bytes) -> None:
        if tag is Tag.START:
            match = _START.fullmatch(body)
            expected = clip_name(len(self._clips))
            if match is None or match[1].decode() != expected:
                raise ProtocolError("frames.name", f"this clip is called {expected}", evidence=repr(body))
            self._name, self._size, self._hash = expected, 0, hashlib.sha256()
            self._sink = self._open_clip(expected)
        elif tag is Tag.END:
            digest = ClipDigest(self._name, self._hash.digest(), self._size)
            if not digest.size:
                raise ProtocolError("frames.empty_clip", "a clip has at least one byte", evidence=self._name)
            if digest.sha256 != body:
                raise ProtocolError("frames.hash", "the clip does not match its hash", evidence=self._name)
            sink, self._sink = self._sink, None
            self._clips.append(digest)
            if sink is not None:
                sink.close(digest)
        else:
            self._manifest = body

    def finish(self) -> Opened:
        """Return the whole response; raises ProtocolError `frames.truncated` when something is missing."""
        if self._broken:
            raise ProtocolError("frames.broken", "this response was already refused")
        if not self._padded or self._streaming or self._small or self._manifest is None:
            raise ProtocolError("frames.truncated", "the response ends too early", evidence=str(self._total))
        return Opened(self._manifest, tuple(self._clips), self._total)
