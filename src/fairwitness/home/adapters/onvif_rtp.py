"""What a recorder's replay consists of, as pure functions: RTP packets, the times in them, and the pictures that they carry.

RTP and RTCP: RFC 3550; H.264 in RTP: RFC 6184; H.265 in RTP: RFC 7798; the replay's header extension: ONVIF Streaming
Specification section 6.3. No library of those at hand both sends a replay's headers and hands out this extension, hence ours:
it reads what a recorder sends whole and in order over TCP, and refuses the rest. Whatever is malformed raises ProtocolError
`replay.*`; nothing is decoded.
"""

import base64
import binascii
import heapq
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit

from fairwitness_core.wire.errors import ProtocolError

MAX_UNIT: Final = 8 << 20
MAX_NALS: Final = 1024
_EXTENSION: Final = 0xABAC
_NTP_1970: Final = 2_208_988_800
_START: Final = b"\0\0\0\1"
_DEPTH: Final = 16  # pictures that H.264 and H.265 may reorder at most
_RTPMAP: Final = re.compile(r"(\d{1,3}) +([A-Za-z0-9-]{1,20})/(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Track:
    """The pictures of a replay: codec (`h264`, `hevc`), where to set them up, payload type, ticks a second, parameter sets."""

    codec: str
    control: str
    payload: int
    rate: int
    sets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet. `ntp`: the time of recording by the recorder's clock (Unix seconds), None = it does not say."""

    payload: int
    number: int
    stamp: int
    marker: bool
    data: bytes
    ntp: float | None
    broken: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """One picture as H.264 or H.265 writes it in a file (Annex B). `stamp`: ticks; `broken`: nothing joins what came before."""

    data: bytes
    key: bool
    stamp: int
    ntp: float | None
    broken: bool
    last: bool


def read_sdp(body: bytes, base: str) -> Track:
    """Return the first picture track of a description (RFC 8866). `base`: the address that relative controls belong to.

    Raises ProtocolError `replay.sdp`, `replay.codec`.
    """
    try:
        lines = body.decode("utf-8").replace("\r\n", "\n").split("\n")
    except ValueError as error:
        raise ProtocolError("replay.sdp", "a description is text") from error
    payload, control, rate, codec = -1, "", 0, ""
    inside = False
    formats: dict[str, str] = {}
    for line in lines[:500]:
        if line.startswith("m="):
            if inside:
                break
            words = line[2:].split()
            inside = len(words) >= 4 and words[0] == "video" and words[3].isdecimal()
            payload = int(words[3][:3]) if inside else -1
        elif inside and line.startswith("a=rtpmap:"):
            match = _RTPMAP.match(line[9:])
            if match and int(match[1]) == payload:
                codec, rate = match[2].upper(), int(match[3])
        elif inside and line.startswith("a=fmtp:"):
            for item in line.partition(" ")[2].split(";"):
                name, _, value = item.strip().partition("=")
                formats[name.lower()] = value
        elif inside and line.startswith("a=control:"):
            control = line[10:].strip()
    if not 0 <= payload < 128:
        raise ProtocolError("replay.sdp", "the recorder describes no pictures")
    kind = {"H264": "h264", "H265": "hevc"}.get(codec, "")
    if not kind or not 0 < rate <= 10**7:
        raise ProtocolError("replay.codec", "the recorder replays pictures that are neither H.264 nor H.265")
    names = ("sprop-parameter-sets",) if kind == "h264" else ("sprop-vps", "sprop-sps", "sprop-pps")
    sets = [_unbase(one) for name in names for one in formats.get(name, "").split(",") if one]
    return Track(kind, _join(base, control), payload, rate, tuple(one for one in sets if one)[:16])


def _join(base: str, control: str) -> str:
    if not control or control == "*":
        return base
    if urlsplit(control).scheme:
        return control
    # RFC 2326 appendix C.1.1 says relative as in a page; recorders mean "below", whatever the base ends with.
    if urlsplit(base).query:
        return f"{base.rstrip('/')}/{control}"
    return urljoin(base if base.endswith("/") else base + "/", control)


def _unbase(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip() + "=" * (-len(text.strip()) % 4), validate=True)[:4096]
    except (binascii.Error, ValueError):
        return b""


def read_packet(data: bytes) -> Packet:
    """Read one RTP packet with the replay's extension if it has one. Raises ProtocolError `replay.rtp`."""
    if len(data) < 12 or data[0] >> 6 != 2:
        raise ProtocolError("replay.rtp", "this is no RTP packet")
    number, stamp = struct.unpack_from(">HI", data, 2)
    at = 12 + 4 * (data[0] & 15)
    ntp, broken, last = None, False, False
    if data[0] & 0x10:
        if len(data) < at + 4:
            raise ProtocolError("replay.rtp", "a packet's extension is cut short")
        kind, words = struct.unpack_from(">HH", data, at)
        if len(data) < at + 4 + 4 * words:
            raise ProtocolError("replay.rtp", "a packet's extension is cut short")
        if kind == _EXTENSION and words >= 3:
            whole, part, flags = struct.unpack_from(">IIB", data, at + 4)
            ntp = _unix(whole, part)
            broken, last = bool(flags & 0x20), bool(flags & 0x10)
        at += 4 + 4 * words
    end = len(data)
    if data[0] & 0x20:
        end -= data[-1]
    if end < at:
        raise ProtocolError("replay.rtp", "a packet's padding is longer than the packet")
    return Packet(data[1] & 127, number, stamp, bool(data[1] & 128), data[at:end], ntp, broken, last)


def _unix(whole: int, part: int) -> float | None:
    """Return NTP as Unix seconds; the era that began in 2036 is meant when the first bit is not set (RFC 4330 section 3)."""
    if not whole and not part:
        return None
    return whole + (0 if whole & 0x80000000 else 1 << 32) - _NTP_1970 + part / 2**32


def read_report(data: bytes) -> tuple[float | None, int, bool]:
    """Read RTCP: the sender's time (Unix seconds) and the stamp it belongs to, and whether the sender says good-bye."""
    at, time, stamp, bye = 0, None, 0, False
    while at + 4 <= len(data):
        kind, words = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if kind == 200 and len(data) >= at + 20 and words >= 6:
            whole, part, stamp = struct.unpack_from(">III", data, at + 8)
            time = _unix(whole, part)
        bye = bye or kind == 203
        at += 4 + 4 * words
    return time, stamp, bye


@dataclass(slots=True)
class Depacketizer:
    """Puts pictures together again. A lost packet loses pictures up to the next key frame, and that one says `broken`."""

    codec: str
    sets: tuple[bytes, ...] = ()
    _nals: list[bytes] = field(default_factory=list)
    _size: int = 0
    _part: bytearray | None = None
    _stamp: int | None = None
    _number: int | None = None
    _skip: int | None = None
    _ntp: float | None = None
    _broken: bool = False
    _last: bool = False
    _lost: bool = False
    _held: dict[int, bytes] = field(default_factory=dict)

    def push(self, packet: Packet) -> Iterator[Unit]:
        """Take a packet; yield the pictures that it completes. Raises ProtocolError `replay.picture`."""
        if self._number is not None and packet.number != (self._number + 1) & 0xFFFF:
            self._drop()
            self._skip = packet.stamp  # whether the rest of this picture is whole nobody can tell
        self._number = packet.number
        if packet.stamp == self._skip:
            return
        self._skip = None
        if self._stamp is not None and packet.stamp != self._stamp:
            yield from self._unit()
        self._stamp = packet.stamp
        self._ntp = packet.ntp if self._ntp is None else self._ntp
        self._broken, self._last = self._broken or packet.broken, self._last or packet.last
        if packet.data:
            self._take(packet.data)
        if packet.marker:
            yield from self._unit()

    def end(self) -> Iterator[Unit]:
        """Yield what is whole at the end."""
        yield from self._unit()

    def _drop(self) -> None:
        self._nals, self._size, self._part, self._lost, self._stamp = [], 0, None, True, None

    def _take(self, data: bytes) -> None:
        kind = self._kind(data[0])
        fragment, head, several = (28, 1, 24) if self.codec == "h264" else (49, 2, 48)
        if kind == several:
            self._several(data, head)
        elif kind == fragment:
            self._fragment(data, head)
        elif (self.codec == "h264" and 0 < kind < 24) or (self.codec == "hevc" and kind < 48):
            self._add(data)
        else:
            raise ProtocolError("replay.picture", "pictures are packed in a way that no camera needs")

    def _several(self, data: bytes, at: int) -> None:
        while at + 2 <= len(data):
            (size,) = struct.unpack_from(">H", data, at)
            if not size or at + 2 + size > len(data):
                raise ProtocolError("replay.picture", "a picture's part is cut short")
            self._add(data[at + 2 : at + 2 + size])
            at += 2 + size

    def _fragment(self, data: bytes, head: int) -> None:
        if len(data) <= head + 1:
            raise ProtocolError("replay.picture", "a picture's part is cut short")
        mark = data[head]
        if mark & 0x80:
            if self.codec == "h264":
                self._part = bytearray([data[0] & 0xE0 | mark & 0x1F])
            else:
                self._part = bytearray([data[0] & 0x81 | (mark & 0x3F) << 1, data[1]])
        if self._part is None:
            self._lost = True  # its beginning is missing
            return
        self._part += data[head + 1 :]
        if len(self._part) > MAX_UNIT:
            raise ProtocolError("replay.picture", "a picture is too large")
        if mark & 0x40:
            whole, self._part = bytes(self._part), None
            self._add(whole)

    def _add(self, nal: bytes) -> None:
        self._size += len(nal) + 4
        if self._size > MAX_UNIT or len(self._nals) >= MAX_NALS:
            raise ProtocolError("replay.picture", "a picture is too large")
        self._nals.append(nal)

    def _kind(self, first: int) -> int:
        return first & 0x1F if self.codec == "h264" else first >> 1 & 0x3F

    def _unit(self) -> Iterator[Unit]:
        nals, stamp, ntp = self._nals, self._stamp, self._ntp
        broken, last = self._broken, self._last
        self._nals, self._size, self._part, self._stamp, self._ntp, self._last = [], 0, None, None, None, False
        if stamp is None or not nals:
            return
        kinds = [self._kind(nal[0]) for nal in nals]
        h264 = self.codec == "h264"
        for kind, nal in zip(kinds, nals, strict=True):
            if kind in ((7, 8) if h264 else (32, 33, 34)):
                self._held[kind] = nal
        pictures = [kind for kind in kinds if (0 < kind <= 5 if h264 else kind < 32)]
        if not pictures:
            return  # parameter sets alone: the next key frame takes them along
        key = 5 in pictures if h264 else any(16 <= kind <= 21 for kind in pictures)
        if self._lost and not key:
            return
        broken, self._broken, self._lost = broken or self._lost, False, False
        if key and (7 if h264 else 33) not in kinds:
            nals = [*(self._held[kind] for kind in sorted(self._held)), *([] if self._held else self.sets), *nals]
        yield Unit(b"".join(_START + nal for nal in nals), key, stamp, ntp, broken, last)


@dataclass(slots=True)
class Unwrap:
    """Turns RTP's 32-bit stamps, which wrap, into numbers that do not. A stamp may go back a little: pictures are reordered."""

    last: int | None = None

    def see(self, stamp: int) -> int:
        """Return the stamp as a number near the one before."""
        if self.last is None:
            self.last = stamp
        else:
            step = (stamp - self.last) & 0xFFFFFFFF
            self.last += step - (1 << 32 if step >= 1 << 31 else 0)
        return self.last


@dataclass(slots=True)
class Order:
    """Finds decode times for pictures that come in order of decoding with the time at which they are shown.

    The n-th picture to be decoded gets the n-th of all times in order, moved back by as much as the reordering needs; that much
    is learnt from the first pictures, which are held until then.
    """

    _waiting: list[tuple[int, object]] = field(default_factory=list)
    _times: list[int] = field(default_factory=list)
    _back: int | None = None
    _last: int | None = None

    def push(self, shown: int, what: object) -> Iterator[tuple[int, int, object]]:
        """Take a picture; yield (shown, decode time, what) of those that are ready."""
        self._waiting.append((shown, what))
        heapq.heappush(self._times, shown)
        if len(self._waiting) > _DEPTH:
            yield self._next()

    def end(self) -> Iterator[tuple[int, int, object]]:
        """Yield the rest."""
        while self._waiting:
            yield self._next()

    def _next(self) -> tuple[int, int, object]:
        if self._back is None:
            pairs = zip(sorted(self._times), self._waiting, strict=True)
            self._back = max(0, *(time - shown for time, (shown, _what) in pairs))
        decode = heapq.heappop(self._times) - self._back
        decode = decode if self._last is None else max(decode, self._last + 1)
        self._last = decode
        shown, what = self._waiting.pop(0)
        return max(shown, decode), decode, what
