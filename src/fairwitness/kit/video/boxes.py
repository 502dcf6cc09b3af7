"""Is this MP4 free of everything but pictures and sound? A walker that knows only an allow-list (protocol.md 5.7, T20).

It shares no code with the writer of clips, so that a mistake there is found here. An agency runs it on what it receives, and the
tests run it on what we send. It reports; it never repairs. Reading is bounded: no box but `mdat` may exceed 4 MiB.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Final

MAX_BOX: Final = 4 << 20
MAX_FINDINGS: Final = 200

# Every box that may occur, by its parent. `mdat` and the leaves below are looked into by name.
_CHILDREN: Final[dict[str, frozenset[str]]] = {
    "": frozenset({"ftyp", "moov", "moof", "mdat"}),
    "moov": frozenset({"mvhd", "trak", "mvex"}),
    "trak": frozenset({"tkhd", "edts", "mdia"}),
    "edts": frozenset({"elst"}),
    "mdia": frozenset({"mdhd", "hdlr", "minf"}),
    "minf": frozenset({"vmhd", "smhd", "dinf", "stbl"}),
    "dinf": frozenset({"dref"}),
    "dref": frozenset({"url "}),
    "stbl": frozenset({"stsd", "stts", "stsc", "stsz", "stco"}),
    "stsd": frozenset({"avc1", "mp4a"}),
    "avc1": frozenset({"avcC", "pasp"}),
    "mp4a": frozenset({"esds"}),
    "mvex": frozenset({"mehd", "trex"}),
    "moof": frozenset({"mfhd", "traf"}),
    "traf": frozenset({"tfhd", "tfdt", "trun"}),
}
# Bytes of fields before a container's first child.
_SKIP: Final = {"dref": 8, "stsd": 8, "avc1": 78, "mp4a": 28}
_PICTURES: Final = frozenset({1, 2, 3, 4, 5, 7, 8})
_NAL_NAMES: Final = {6: "SEI", 9: "access unit delimiter", 12: "filler"}
_BRANDS: Final = frozenset({b"iso5", b"iso6", b"isom", b"mp41", b"mp42", b"avc1"})
_ENCODERS: Final = (b"Lavc", b"Lavf", b"x264", b"libfaac", b"FAAC")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that the allow-list does not allow: the path of boxes, the byte offset in the file, and what it is."""

    path: str
    offset: int
    what: str


@dataclass(slots=True)
class _Run:
    """Where the samples of one trun lie."""

    track: int
    begin: int
    sizes: list[int]


@dataclass(slots=True)
class _Walk:
    stream: BinaryIO
    found: list[Violation] = field(default_factory=list)
    handlers: dict[int, str] = field(default_factory=dict)
    runs: list[_Run] = field(default_factory=list)
    track: int = 0
    moof: int = 0

    def say(self, path: str, offset: int, what: str) -> None:
        if len(self.found) < MAX_FINDINGS:
            self.found.append(Violation(path, offset, what))


def check_clean(stream: BinaryIO) -> list[Violation]:
    """Return what stands in a seekable MP4 besides the allow-list; an empty list means clean.

    Looked at: every box and its place, times, names and languages in headers, unknown fields and trailing bytes, the codec
    records, bytes of `mdat` that no sample owns, and the NAL units of every picture (SEI, delimiters and filler are found).
    Not looked at: what the pictures and sounds themselves show.
    """
    walk = _Walk(stream)
    end = stream.seek(0, 2)
    at = 0
    kinds: list[str] = []
    while at < end and len(walk.found) < MAX_FINDINGS:
        stream.seek(at)
        head = stream.read(16)
        size, kind, begin = _head(head)
        if kind is None or at + size > end or size < begin:
            walk.say("", at, "a box runs out of the file")
            break
        kinds.append(kind)
        if kind not in _CHILDREN[""]:
            walk.say(kind, at, "not on the allow-list")
        elif kind == "mdat":
            _media(walk, at + begin, at + size)
        elif size > MAX_BOX:
            walk.say(kind, at, "a box of more than 4 MiB")
        else:
            stream.seek(at)
            body = stream.read(size)
            if kind == "moof":
                walk.moof, walk.runs = at, []
            _box(walk, kind, kind, body[begin:], at + begin)
        at += size
    if kinds[:2] != ["ftyp", "moov"] or kinds[2:] != ["moof", "mdat"] * ((len(kinds) - 2) // 2):
        walk.say("", 0, "not ftyp, moov and pairs of moof and mdat")
    return walk.found


def _head(data: bytes) -> tuple[int, str | None, int]:
    """Return (size, kind, length of the head) of a box; kind None when there is no whole head."""
    if len(data) < 8:
        return 0, None, 8
    size, kind = int.from_bytes(data[:4], "big"), data[4:8].decode("latin-1")
    if size == 1 and len(data) >= 16:
        return int.from_bytes(data[8:16], "big"), kind, 16
    return size, kind, 8


def _box(walk: _Walk, kind: str, path: str, body: bytes, offset: int) -> None:
    check = _LEAVES.get(kind)
    if check is not None:
        try:
            problem = check(walk, body)
        except (IndexError, struct.error):
            problem = "too short"
        if problem:
            walk.say(path, offset, problem)
    if kind not in _CHILDREN:
        return
    at = _SKIP.get(kind, 0)
    while at < len(body):
        size, child, begin = _head(body[at : at + 16])
        if child is None or size < begin or at + size > len(body):
            walk.say(path, offset + at, "bytes that are no box")
            return
        below = f"{path}/{child}"
        if child in _CHILDREN[kind]:
            _box(walk, child, below, body[at + begin : at + size], offset + at + begin)
        else:
            walk.say(below, offset + at, "not on the allow-list")
        at += size


def _zero(body: bytes, *spans: tuple[int, int]) -> bool:
    return not any(any(body[a:b]) for a, b in spans)


def _ftyp(_walk: _Walk, body: bytes) -> str:
    brands = [body[:4], *(body[i : i + 4] for i in range(8, len(body), 4))]
    return "" if set(brands) <= _BRANDS and _zero(body, (4, 8)) else "unknown brands"


def _mvhd(_walk: _Walk, body: bytes) -> str:
    if body[0] != 0 or len(body) != 100:
        return "an unknown form of header"
    return "" if _zero(body, (4, 12), (26, 36), (72, 96)) else "a time of making, or bytes in reserved fields"


def _tkhd(walk: _Walk, body: bytes) -> str:
    if body[0] != 0 or len(body) != 84:
        return "an unknown form of header"
    walk.track = int.from_bytes(body[12:16], "big")
    return "" if _zero(body, (4, 12), (16, 20), (24, 32), (38, 40)) else "a time of making, or bytes in reserved fields"


def _mdhd(_walk: _Walk, body: bytes) -> str:
    if body[0] != 0 or len(body) != 24:
        return "an unknown form of header"
    return "" if _zero(body, (4, 12)) and body[20:24] == b"\x55\xc4\0\0" else "a time of making, or a language"


def _hdlr(walk: _Walk, body: bytes) -> str:
    kind = body[8:12].decode("latin-1")
    walk.handlers[walk.track] = kind
    if kind not in ("vide", "soun"):
        return f"a track of kind {kind!r}"
    return "" if _zero(body, (4, 8), (12, len(body))) and len(body) <= 25 else "a handler's name"


def _url(_walk: _Walk, body: bytes) -> str:
    return "" if body == b"\0\0\0\1" else "a reference to another place"


def _stsd(_walk: _Walk, body: bytes) -> str:
    return "" if body[:8] == bytes(7) + b"\1" else "not one sample description"


def _avc1(_walk: _Walk, body: bytes) -> str:
    return "" if _zero(body, (0, 6), (8, 24), (36, 40), (42, 74)) else "an encoder's name or bytes in reserved fields"


def _mp4a(_walk: _Walk, body: bytes) -> str:
    return "" if _zero(body, (0, 6), (8, 16), (20, 24)) else "bytes in reserved fields"


def _avcc(_walk: _Walk, body: bytes) -> str:
    at = 5
    for mask, wanted in ((31, 7), (255, 8)):
        count, at = body[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(body[at : at + 2], "big")
            if not size or at + 2 + size > len(body) or body[at + 2] & 31 != wanted:
                return "not a parameter set"
            at += 2 + size
    rest = body[at:]
    # High profiles add three bytes of formats and a count of extensions, which must be none.
    return "" if not rest or (len(rest) == 4 and rest[3] == 0) else "bytes behind the parameter sets"


def _esds(_walk: _Walk, body: bytes) -> str:
    """Allow ES(DecoderConfig(DecoderSpecificInfo), SLConfig) with short lengths and nothing else."""
    if body[4] != 3 or body[5] != len(body) - 6 or body[9] != 4 or body[24] != 5:
        return "not a plain AAC description"
    config = body[25]
    plain = config <= 5 and body[10] == 15 + config and body[26 + config :] == b"\6\1\2"
    return "" if plain and _zero(body, (6, 9), (13, 24)) else "extra descriptors or fields"


def _empty(_walk: _Walk, body: bytes) -> str:
    return "" if not any(body) and len(body) <= 12 else "samples outside fragments"


def _fixed(size: int) -> "Callable[[_Walk, bytes], str]":
    def check(_walk: _Walk, body: bytes) -> str:
        return "" if len(body) == size else "an unknown form of box"

    return check


def _elst(_walk: _Walk, body: bytes) -> str:
    """Allow the one edit that puts the first picture at time zero."""
    plain = len(body) == 20 and body[:8] == bytes(7) + b"\1" and body[16:] == b"\0\1\0\0"
    return "" if plain and 0 <= int.from_bytes(body[12:16], "big", signed=True) <= 900_000 else "an edit that hides pictures"


def _tfhd(walk: _Walk, body: bytes) -> str:
    walk.track = int.from_bytes(body[4:8], "big")
    return "" if body[:4] == b"\0\2\0\0" and len(body) == 8 else "an unknown form of box"


def _trun(walk: _Walk, body: bytes) -> str:
    flags, count, begin = struct.unpack(">IIi", body[:12])
    if flags != 0x01000F01 or len(body) != 12 + 16 * count:
        return "an unknown form of box"
    walk.runs.append(_Run(walk.track, walk.moof + begin, [row[0] for row in struct.iter_unpack(">4xI8x", body[12:])]))
    return ""


_LEAVES: Final[dict[str, Callable[[_Walk, bytes], str]]] = {
    "ftyp": _ftyp,
    "mvhd": _mvhd,
    "tkhd": _tkhd,
    "mdhd": _mdhd,
    "hdlr": _hdlr,
    "vmhd": _fixed(12),
    "smhd": _fixed(8),
    "url ": _url,
    "stsd": _stsd,
    "avc1": _avc1,
    "mp4a": _mp4a,
    "avcC": _avcc,
    "pasp": _fixed(8),
    "esds": _esds,
    "stts": _empty,
    "stsc": _empty,
    "stsz": _empty,
    "stco": _empty,
    "elst": _elst,
    "mehd": _fixed(12),
    "trex": _fixed(24),
    "mfhd": _fixed(8),
    "tfhd": _tfhd,
    "tfdt": _fixed(12),
    "trun": _trun,
}


def _media(walk: _Walk, begin: int, end: int) -> None:
    at = begin
    runs, walk.runs = walk.runs, []
    for run in runs:
        if run.begin != at:
            # Not read any further: runs that overlap would have the same bytes read again for each of them.
            walk.say("mdat", at, "bytes that belong to no sample")
            return
        for size in run.sizes:
            if at < begin or at + size > end:
                walk.say("mdat", at, "a sample outside its fragment")
                return
            if size > 16 * MAX_BOX:
                walk.say("mdat", at, "a sample of more than 64 MiB")
                return
            walk.stream.seek(at)
            _sample(walk, walk.handlers.get(run.track, ""), walk.stream.read(size), at)
            at += size
    if at != end:
        walk.say("mdat", at, "bytes that belong to no sample")


def _sample(walk: _Walk, handler: str, data: bytes, offset: int) -> None:
    if handler == "soun":
        if any(mark in data for mark in _ENCODERS):
            walk.say("mdat/sound", offset, "an encoder's name")
        return
    if handler != "vide":
        walk.say("mdat", offset, "a sample of no known track")
        return
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if not size or at + 4 + size > len(data):
            walk.say("mdat/picture", offset + at, "a picture's length runs out of its sample")
            return
        kind = data[at + 4] & 31
        if kind not in _PICTURES:
            walk.say("mdat/picture", offset + at, f"NAL unit of type {kind} ({_NAL_NAMES.get(kind, 'unknown')})")
        at += 4 + size
