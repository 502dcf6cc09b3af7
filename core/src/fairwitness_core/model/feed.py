"""Feed containers: what every home fetches alike (protocol.md 4.4; design.md 9.3).

    container = "FWF1" | u32 proof length | proof text | u32 gzip length | gzip bytes
    content   = lines: log index TAB payload TAB keyid:sig,keyid:sig LF
    leaf      = SHA-256(0x00 || canonical JSON of ["all", tick, hex SHA-256 of the gzip bytes])

With the one scope of version 1 the tree over the leaves is that leaf, and the proof text is a tlog-proof of the tick's
`feed_tick` entry. A day roll-up is its containers one after the other.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

MAGIC = b"FWF1"
SCOPE = "all"
MAX_PROOF = 64 << 10
MAX_CONTENT = 64 << 20  # decompressed bytes of one tick
MAX_GZIP = 16 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One log entry as the feed carries it: its index and its envelope (of type dsse.ENTRY)."""

    index: int
    envelope: dsse.Envelope

    def encode(self) -> bytes:
        """Return the line with its final newline."""
        signatures = ",".join(f"{s.kid}:{dsse.b64(s.sig)}" for s in self.envelope.signatures)
        return b"%d\t%s\t%s\n" % (self.index, self.envelope.payload, signatures.encode())


def parse_lines(data: bytes) -> Iterator[Line]:
    """Read lines strictly and in ascending order of index; raises ProtocolError."""
    if data and not data.endswith(b"\n"):
        raise ProtocolError("feed.line", "the last line is cut short")
    last = -1
    position = 0
    # One at a time: a list of all lines of a hostile tick would be many times as large as the tick.
    while position < len(data):
        end = data.index(b"\n", position)
        raw, position = data[position:end], end + 1
        columns = raw.split(b"\t", 3)
        if len(columns) != 3:
            raise ProtocolError("feed.line", "a line has three columns", evidence=repr(raw[:60]))
        number, payload, signatures = columns
        if not number.isdigit() or len(number) > 16 or str(int(number)).encode() != number:
            raise ProtocolError("feed.index", "the index is a plain number", evidence=repr(number[:20]))
        if int(number) <= last:
            raise ProtocolError("feed.order", "lines come in log order, each once", evidence=number.decode())
        last = int(number)
        canonical.decode(payload)
        parsed = []
        try:
            text = signatures.decode("ascii")
        except UnicodeDecodeError as error:
            raise ProtocolError("feed.signature", "signatures are ASCII") from error
        for item in text.split(","):
            kid, colon, sig = item.partition(":")
            if not colon or len(kid) != 16:
                raise ProtocolError("feed.signature", "a signature is keyid:base64", evidence=item)
            raw_sig = dsse.unb64(sig, "sig")
            if len(raw_sig) != 64:
                raise ProtocolError("feed.signature", "a signature has 64 bytes", evidence=item)
            parsed.append(dsse.Signature(kid, raw_sig))
        if len(parsed) > dsse.MAX_SIGNATURES or len({s.kid for s in parsed}) != len(parsed):
            raise ProtocolError("feed.signature", "a key signs once", evidence=text)
        yield Line(last, dsse.Envelope(dsse.ENTRY, payload, tuple(parsed)))


def compress(lines: Iterable[Line]) -> bytes:
    """Return the gzip bytes of lines: no name, no time, the same for the same lines with the same zlib."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(compressor.compress(line.encode()) for line in lines), compressor.flush()])


def decompress(data: bytes) -> bytes:
    """Return the content of one gzip member, at most MAX_CONTENT bytes; raises ProtocolError."""
    machine = zlib.decompressobj(31)
    try:
        content = machine.decompress(data, MAX_CONTENT + 1)
    except zlib.error as error:
        raise ProtocolError("feed.gzip", "the content is not gzip", evidence=str(error)) from error
    if len(content) > MAX_CONTENT or not machine.eof or machine.unused_data:
        raise ProtocolError("feed.gzip", "the content is cut short, too large, or something follows it")
    return content


def scope_root(tick: int, gzip: bytes) -> bytes:
    """Return the root that the tick's entry carries: the leaf of the one scope."""
    leaf = canonical.encode([SCOPE, tick, hashlib.sha256(gzip).hexdigest()])
    return hashlib.sha256(b"\x00" + leaf).digest()


@dataclass(frozen=True, slots=True)
class Container:
    """One tick as served; unverified until `rules.feed` or a home has checked its proof."""

    proof: str
    gzip: bytes

    def encode(self) -> bytes:
        """Return the container's bytes."""
        proof = self.proof.encode()
        return b"".join([MAGIC, struct.pack(">I", len(proof)), proof, struct.pack(">I", len(self.gzip)), self.gzip])

    def lines(self) -> tuple[Line, ...]:
        """Read the content; raises ProtocolError."""
        return tuple(parse_lines(decompress(self.gzip)))


def read_containers(data: bytes) -> Iterator[Container]:
    """Read one container or a roll-up of several, with nothing before, between or behind; raises ProtocolError."""
    position = 0
    while position < len(data):
        if data[position : position + 4] != MAGIC:
            raise ProtocolError("feed.magic", "not a feed container", evidence=repr(data[position : position + 4]))
        proof, position = _block(data, position + 4, MAX_PROOF)
        gzip, position = _block(data, position, MAX_GZIP)
        try:
            text = proof.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError("feed.proof", "the proof is not text") from error
        yield Container(text, gzip)


def _block(data: bytes, position: int, limit: int) -> tuple[bytes, int]:
    if position + 4 > len(data):
        raise ProtocolError("feed.cut", "the container is cut short")
    (length,) = struct.unpack_from(">I", data, position)
    start = position + 4
    if length > limit or start + length > len(data):
        raise ProtocolError("feed.cut", "a part is too large or cut short", evidence=str(length))
    return data[start : start + length], start + length
