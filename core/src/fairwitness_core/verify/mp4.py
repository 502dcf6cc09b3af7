"""Reading the pictures of a clip: a strict, bounded parser of the one form of fragmented MP4 that answers are written in.

ISO/IEC 14496-12 and -15, and of these only what the home's writer makes: `ftyp`, `moov`, then pairs of `moof` and `mdat`. Foreign
bytes raise ProtocolError `mp4.*`, nothing else. Memory is bounded by one fragment's table, one sample, and 40 bytes a picture.
"""

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import unpack_from
from typing import BinaryIO, Final

from fairwitness_core.model.recording import sample_digest
from fairwitness_core.wire.errors import ProtocolError

SCALE: Final = 90_000  # ticks a second of every picture track that the writer makes
MAX_HEAD: Final = 1 << 20  # ftyp, moov, each moof
MAX_SAMPLE: Final = 32 << 20
MAX_SAMPLES: Final = 1 << 21
_VIDEO: Final = 1
_MOVIE: Final = {b"mvhd": 1, b"trak": 2, b"mvex": 1}
_TRACK: Final = {b"tkhd": 1, b"edts": 1, b"mdia": 1}
_MEDIA: Final = {b"mdhd": 1, b"hdlr": 1, b"minf": 1}
_PICTURES: Final = {b"vmhd": 1, b"dinf": 1, b"stbl": 1}
_SOUND: Final = {b"smhd": 1, b"dinf": 1, b"stbl": 1}
_TABLES: Final = {b"stsd": 1, b"stts": 1, b"stsc": 1, b"stsz": 1, b"stco": 1}
_ENTRY: Final = {b"avcC": 1, b"pasp": 1}
_TRUN: Final = (1 << 24) | 0xF01  # version 1; offset, lengths, sizes, flags, composition times
_TFHD: Final = 0x020000  # offsets count from the moof
_AVC1: Final = 78  # bytes of a visual sample entry before its boxes
_ONE: Final = 1 << 16
_TURNS: Final = frozenset({(_ONE, 0, 0, _ONE), (0, _ONE, -_ONE, 0), (-_ONE, 0, 0, -_ONE), (0, -_ONE, _ONE, 0)})
_HERE: Final = b"\0\0\0\0\0\0\0\1\0\0\0\x0curl \0\0\0\1"  # dref: the samples are in this very file
MAX_REORDER: Final = 16  # pictures that H.264 can hold back for their place in the order of showing (H.264 A.3.1)
MAX_OFFSET: Final = 10 * SCALE


@dataclass(frozen=True, slots=True)
class ClipPictures:
    """A clip's pictures in decode order. `digests`: 32 bytes each (model.recording.sample_digest); `times`: ticks of 1/90000 s.

    `record`: the AVCDecoderConfigurationRecord. `seconds`: from the first picture's time to the last one's end.
    `sha256` (hex), `size`: of the whole file.
    """

    record: bytes
    digests: bytes
    times: tuple[int, ...]
    seconds: float
    sha256: str
    size: int


def _fail(code: str, text: str) -> ProtocolError:
    return ProtocolError(f"mp4.{code}", text)


def _boxes(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, begin, end) of the boxes that fill `data[begin:end]` exactly."""
    stop = len(data) if end is None else end
    while begin < stop:
        if stop - begin < 8:
            raise _fail("box", "a box is cut short")
        size, kind = unpack_from(">I4s", data, begin)
        if size < 8 or begin + size > stop:
            raise _fail("box", "a box does not end where it should")
        yield kind, begin + 8, begin + size
        begin += size


def _children(data: bytes, begin: int, end: int, allowed: Mapping[bytes, int]) -> dict[bytes, list[tuple[int, int]]]:
    """Return where each kind of child lies; each at most as often as `allowed` says, and no other kind."""
    found: dict[bytes, list[tuple[int, int]]] = {}
    for kind, first, last in _boxes(data, begin, end):
        places = found.setdefault(kind, [])
        places.append((first, last))
        if len(places) > allowed.get(kind, 0):
            raise _fail("unknown", "a box that no answer has")
    return found


def _one(found: dict[bytes, list[tuple[int, int]]], kind: bytes) -> tuple[int, int]:
    if len(found.get(kind, ())) != 1:
        raise _fail("missing", f"there is not one {kind.decode('ascii')}")
    return found[kind][0]


def _numbers(data: bytes, form: str, begin: int, end: int) -> tuple[int, ...]:
    """Read a box of fixed form that is filled exactly."""
    size = {"I": 4, "Q": 8, "i": 4}
    if end - begin != sum(size[letter] for letter in form):
        raise _fail("form", "a box has another length than its form")
    return unpack_from(">" + form, data, begin)


def _record(moov: bytes) -> tuple[bytes, int, int]:
    """Return the picture track's decoder configuration, how long its edit list waits, and the number of tracks.

    Whatever could show other pictures than the samples in their order is refused: a further track of pictures, samples in
    tables outside of the fragments, media in another file, an edit list that leaves out or repeats, a matrix that does not turn.
    """
    found = _children(moov, 0, len(moov), _MOVIE)
    _one(found, b"mvhd")
    _one(found, b"mvex")
    tracks = found.get(b"trak", [])
    if not tracks:
        raise _fail("missing", "there is no track")
    track, media, tables = _track(moov, tracks[0], b"vide", _PICTURES)
    begin, end = _one(track, b"tkhd")
    if end - begin != 84 or unpack_from(">I", moov, begin + 12)[0] != _VIDEO:
        raise _fail("track", "the first track is that of the pictures, with number 1")
    a, b, u, c, d, v, x, y, w = unpack_from(">9i", moov, begin + 40)
    if moov[begin + 3] & 3 != 3 or (a, b, c, d) not in _TURNS or (u, v, x, y, w) != (0, 0, 0, 0, 1 << 30):
        raise _fail("shown", "the pictures are shown whole, and turned by quarters at most")
    begin, end = _one(media, b"mdhd")
    if end - begin < 16 or unpack_from(">I", moov, begin + 12)[0] != SCALE:
        raise _fail("scale", "pictures are timed in 1/90000 s")
    begin, end = _entry(moov, tables, b"avc1", _AVC1)
    record = _one(_children(moov, begin, end, _ENTRY), b"avcC")
    wait = _edit(moov, *track[b"edts"][0]) if b"edts" in track else 0
    for place in tracks[1:]:
        other, _media, tables = _track(moov, place, b"soun", _SOUND)
        _entry(moov, tables, b"mp4a", 28)
        if b"edts" in other:
            raise _fail("edit", "sound has no edit list")
    return moov[slice(*record)], wait, len(tracks)


type _Found = dict[bytes, list[tuple[int, int]]]


def _track(moov: bytes, place: tuple[int, int], kind: bytes, form: Mapping[bytes, int]) -> tuple[_Found, _Found, _Found]:
    """Return the boxes of a track of `kind`, those of its media, and its tables, which hold no samples."""
    track = _children(moov, *place, _TRACK)
    media = _children(moov, *_one(track, b"mdia"), _MEDIA)
    begin, end = _one(media, b"hdlr")
    if moov[begin:end][8:12] != kind:
        raise _fail("track", "a clip has one track of pictures, and one of sound at most")
    information = _children(moov, *_one(media, b"minf"), form)
    tables = _children(moov, *_one(information, b"stbl"), _TABLES)
    for name in (b"stts", b"stsc", b"stsz", b"stco"):
        if any(moov[slice(*_one(tables, name))]):
            raise _fail("outside", "there are samples outside of the fragments")
    for begin, end in information.get(b"dinf", ()):
        if moov[slice(*_one(_children(moov, begin, end, {b"dref": 1}), b"dref"))] != _HERE:
            raise _fail("elsewhere", "the samples are said to be in another file")
    return track, media, tables


def _entry(moov: bytes, tables: _Found, wanted: bytes, size: int) -> tuple[int, int]:
    """Return where the boxes of a track's one sample description lie."""
    begin, end = _one(tables, b"stsd")
    if end - begin < 8 or unpack_from(">II", moov, begin) != (0, 1):
        raise _fail("entry", "there is one description of the samples")
    ((kind, begin, end), *more) = list(_boxes(moov, begin + 8, end)) or [(b"", 0, 0)]
    if kind != wanted or more or end - begin < size:
        raise _fail("entry", "the pictures are H.264, the sound is AAC, and there is nothing else")
    return begin + size, end


def _edit(moov: bytes, begin: int, end: int) -> int:
    """Return how long the only edit lets the first picture wait (ticks); it leaves out and repeats nothing."""
    begin, end = _one(_children(moov, begin, end, {b"elst": 1}), b"elst")
    if end - begin == 20:
        head, count, length, time, rate = unpack_from(">IIIiI", moov, begin)
        if (head, count, length, rate) == (0, 1, 0, _ONE) and 0 <= time <= MAX_OFFSET:
            return int(time)
    raise _fail("edit", "an edit list that leaves out or repeats pictures")


@dataclass(slots=True)
class _Run:
    """One track's samples in a fragment: when the first is decoded, (length, size) of each, and how long it waits to be shown."""

    track: int
    time: int
    rows: list[tuple[int, int]]
    offsets: list[int]


def _fragment(moof: bytes, number: int, tracks: int) -> list[_Run]:
    """Return a fragment's runs, whose bytes lie one behind the other at the beginning of the mdat."""
    found = _children(moof, 0, len(moof), {b"mfhd": 1, b"traf": tracks})
    if _numbers(moof, "II", *_one(found, b"mfhd")) != (0, number):
        raise _fail("sequence", "the fragments are not numbered from 1")
    runs: list[_Run] = []
    base = len(moof) + 16  # from the moof's first byte to the mdat's first sample
    for place in found.get(b"traf", []):
        boxes = _children(moof, *place, {b"tfhd": 1, b"tfdt": 1, b"trun": 1})
        flags, track = _numbers(moof, "II", *_one(boxes, b"tfhd"))
        form, time = _numbers(moof, "IQ", *_one(boxes, b"tfdt"))
        if flags != _TFHD or form != 1 << 24 or not 1 <= track <= tracks or (runs and track <= runs[-1].track):
            raise _fail("fragment", "a fragment of another form")
        begin, end = _one(boxes, b"trun")
        if end - begin < 12 or (end - begin - 12) % 16:
            raise _fail("form", "a table has no whole rows")
        form, count, offset = unpack_from(">IIi", moof, begin)
        if form != _TRUN or not count or count != (end - begin - 12) // 16 or offset != base:
            raise _fail("table", "a table that does not fit its samples")
        rows = [unpack_from(">II", moof, at) for at in range(begin + 12, end, 16)]
        offsets = [unpack_from(">i", moof, at)[0] for at in range(begin + 24, end, 16)]
        base += sum(size for _length, size in rows)
        runs.append(_Run(track, time, [(length, size) for length, size in rows], offsets))
    if not runs:
        raise _fail("fragment", "a fragment without samples")
    return runs


class _Shown:
    """Watches the order in which pictures are shown: it may differ from that of the samples by what H.264 can reorder only."""

    def __init__(self, wait: int) -> None:
        self._wait = wait
        self._latest: list[int] = []  # the latest times so far, the earliest of them first

    def see(self, time: int, offset: int) -> None:
        """Take the next sample's decode time and offset. Raises ProtocolError."""
        shown = time + offset
        if not -MAX_OFFSET <= offset <= MAX_OFFSET or shown < self._wait:
            raise _fail("shown", "a picture that is never shown, or long after its place")
        if len(self._latest) <= MAX_REORDER:
            heapq.heappush(self._latest, shown)
        elif shown < self._latest[0]:
            raise _fail("shown", "pictures are shown in another order than theirs")
        else:
            heapq.heapreplace(self._latest, shown)


class _Reader:
    """Reads a stream exactly, hashing all of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._state = hashlib.sha256()
        self.size = 0

    def take(self, count: int) -> bytes:
        parts: list[bytes] = []
        left = count
        while left and (piece := self._stream.read(left)):
            parts.append(piece)
            left -= len(piece)
        data = b"".join(parts)
        self._state.update(data)
        self.size += len(data)
        return data

    def exactly(self, count: int) -> bytes:
        data = self.take(count)
        if len(data) != count:
            raise _fail("short", "the file is cut short")
        return data

    def box(self, kind: bytes, limit: int) -> bytes | None:
        """Return the whole content of the next box, which is of `kind`; None at the file's end."""
        head = self.take(8)
        if not head:
            return None
        size = self.opened(head, kind)
        if size > limit:
            raise _fail("too_large", "a box is larger than any answer's")
        return self.exactly(size)

    @staticmethod
    def opened(head: bytes, kind: bytes) -> int:
        if len(head) != 8 or head[4:] != kind:
            raise _fail("order", f"here stands {kind.decode('ascii')} in every answer")
        size = int.from_bytes(head[:4], "big") - 8
        if size < 0:
            raise _fail("box", "a box is smaller than its head")
        return size

    def sha256(self) -> str:
        return self._state.hexdigest()


def read_clip(stream: BinaryIO) -> ClipPictures:
    """Read a clip to its end and return its pictures; raises ProtocolError, and what `stream.read` raises."""
    reader = _Reader(stream)
    if reader.box(b"ftyp", 64) is None:
        raise _fail("empty", "the file is empty")
    moov = reader.box(b"moov", MAX_HEAD)
    if moov is None:
        raise _fail("short", "the file is cut short")
    record, wait, tracks = _record(moov)
    shown = _Shown(wait)
    known = hashlib.sha256(record).digest()
    digests = bytearray()
    times: list[int] = []
    end = number = 0
    while (moof := reader.box(b"moof", MAX_HEAD)) is not None:
        number += 1
        runs = _fragment(moof, number, tracks)
        size = reader.opened(reader.take(8), b"mdat")
        if size != sum(one for run in runs for _length, one in run.rows):
            raise _fail("data", "a fragment's bytes are not those of its samples")
        for run in runs:
            at = run.time
            if run.track == _VIDEO and at < end:
                raise _fail("time", "pictures go back in time")
            for (length, one), offset in zip(run.rows, run.offsets, strict=True):
                if one > MAX_SAMPLE or len(times) >= MAX_SAMPLES:
                    raise _fail("too_large", "more or larger samples than any answer's")
                sample = reader.exactly(one)
                if run.track == _VIDEO:
                    digests += sample_digest(known, sample)
                    times.append(at)
                    shown.see(at, offset)
                at += length
            if run.track == _VIDEO:
                end = at
    if not times:
        raise _fail("empty", "there is no picture")
    return ClipPictures(record, bytes(digests), tuple(times), (end - times[0]) / SCALE, reader.sha256(), reader.size)
