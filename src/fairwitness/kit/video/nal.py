"""H.264 byte streams (ITU-T H.264): taking NAL units apart and keeping only what a picture needs.

Kept: slices (types 1 to 5) and parameter sets (7, 8). Everything else goes: SEI (6) carries serial numbers, positions, clocks
and encoder settings, delimiters (9) and filler (12) carry nothing, extensions (13 to 31) belong to layers that we do not send.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fairwitness_core.wire.errors import ProtocolError

SLICES: Final = frozenset({1, 2, 3, 4, 5})
SPS: Final = 7
PPS: Final = 8
# Profiles whose configuration record names the chroma format (ISO/IEC 14496-15, 5.3.3.1.2).
_HIGH: Final = frozenset({100, 110, 122, 144})


def annexb_units(data: bytes) -> Iterator[memoryview]:
    """Yield the NAL units of an Annex B stream, start codes and trailing zeros removed."""
    view = memoryview(data)
    at = data.find(b"\0\0\1")
    while at >= 0:
        begin = at + 3
        at = data.find(b"\0\0\1", begin)
        end = len(data) if at < 0 else at
        while end > begin and data[end - 1] == 0:
            end -= 1
        if end > begin:
            yield view[begin:end]


def length_units(data: bytes, width: int) -> Iterator[memoryview]:
    """Yield the NAL units of a sample with `width`-byte lengths; raises ProtocolError when a length runs out of the sample."""
    view, at, end = memoryview(data), 0, len(data)
    while at < end:
        begin = at + width
        at = begin + int.from_bytes(view[at:begin], "big")
        if begin > end or at > end:
            raise ProtocolError("clip.nal", "a picture's length runs out of its sample")
        if at > begin:
            yield view[begin:at]


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """Sequence and picture parameter sets of one stream, and how its samples write lengths (0: Annex B)."""

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    width: int

    def record(self) -> bytes:
        """Return a fresh AVCDecoderConfigurationRecord with 4-byte lengths; nothing of the source's record survives in it."""
        first = self.sps[0]
        too_long = any(len(unit) > 0xFFFF for unit in (*self.sps, *self.pps))
        if len(first) < 4 or len(self.sps) > 31 or len(self.pps) > 255 or too_long:
            raise ProtocolError("clip.parameter_sets", "the stream's parameter sets are malformed")
        out = bytearray((1, first[1], first[2], first[3], 0xFF, 0xE0 | len(self.sps)))
        for unit in self.sps:
            out += len(unit).to_bytes(2, "big") + unit
        out.append(len(self.pps))
        for unit in self.pps:
            out += len(unit).to_bytes(2, "big") + unit
        if first[1] in _HIGH:
            chroma, luma_depth, chroma_depth = _formats(first)
            out += bytes((0xFC | chroma, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0))
        return bytes(out)


def parameter_sets(extradata: bytes | None, first_sample: bytes = b"") -> ParameterSets | None:
    """Read the parameter sets out of a codec's extradata, or from its first sample; None when they are not there."""
    sps: list[bytes] = []
    pps: list[bytes] = []
    data, width = extradata or b"", 0
    if data[:1] == b"\x01":
        width = _read_record(data, sps, pps)
        if not width:
            return None
        found: Iterator[memoryview] = length_units(first_sample, width) if first_sample else iter(())
    else:
        found = annexb_units(data + first_sample)
    if not (sps and pps):
        for unit in found:
            kind = unit[0] & 31
            if kind in (SPS, PPS):
                into = sps if kind == SPS else pps
                # No stream has more (H.264, 7.4.2.1.1 and 7.4.2.2); a hostile one would make this list slow to search.
                if len(into) < 256 and bytes(unit) not in into:
                    into.append(bytes(unit))
    return ParameterSets(tuple(sps), tuple(pps), width) if sps and pps else None


def _read_record(data: bytes, sps: list[bytes], pps: list[bytes]) -> int:
    """Fill in the sets of an AVCDecoderConfigurationRecord; return the width of lengths, 0 when it is malformed."""
    if len(data) < 7:
        return 0
    at = 5
    for into, mask in ((sps, 31), (pps, 255)):
        if at >= len(data):
            return 0
        count, at = data[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            unit = data[at + 2 : at + 2 + size]
            if len(unit) != size or not size:
                return 0
            into.append(unit)
            at += 2 + size
    return (data[4] & 3) + 1


class Cleaner:
    """Turns the samples of one stream into samples with 4-byte lengths and nothing but pictures."""

    def __init__(self, sets: ParameterSets) -> None:
        self._sets = sets
        self._known = frozenset(sets.sps) | frozenset(sets.pps)

    def clean(self, sample: bytes) -> bytes:
        """Return the cleaned sample, empty when no picture is left; raises ProtocolError when its lengths are wrong."""
        width = self._sets.width
        units = length_units(sample, width) if width else annexb_units(sample)
        parts: list[bytes | memoryview] = []
        kept = picture = 0
        for unit in units:
            kind = unit[0] & 31
            if kind in SLICES:
                picture += 1
            elif kind not in (SPS, PPS) or bytes(unit) in self._known:
                continue
            # A parameter set that differs from the record is needed by the pictures behind it, so it stays in the sample.
            parts += (len(unit).to_bytes(4, "big"), unit)
            kept += 4 + len(unit)
        if not picture:
            return b""
        return sample if width == 4 and kept == len(sample) else b"".join(parts)


class _Bits:
    """Exp-Golomb reader over an RBSP."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ProtocolError("clip.parameter_sets", "a parameter set ends too early")
        return (self._value >> self._left) & ((1 << count) - 1)

    def golomb(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _formats(sps: bytes) -> tuple[int, int, int]:
    """Return (chroma_format_idc, luma depth - 8, chroma depth - 8) of a High-profile SPS (H.264 7.3.2.1.1)."""
    bits = _Bits(sps[4:64].replace(b"\0\0\3", b"\0\0"))
    bits.golomb()  # seq_parameter_set_id
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    luma_depth, chroma_depth = bits.golomb(), bits.golomb()
    if chroma > 3 or luma_depth > 6 or chroma_depth > 6:
        raise ProtocolError("clip.parameter_sets", "a parameter set names impossible formats")
    return chroma, luma_depth, chroma_depth
