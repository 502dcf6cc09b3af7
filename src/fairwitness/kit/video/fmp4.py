"""Writing fragmented MP4 (ISO/IEC 14496-12, -14, -15) from nothing but what a player needs.

The writer makes every box itself, so a source's metadata has no way in: no times of making, no handler names, no encoder's
name, no user data. All clips use the same time scale, whatever the camera used.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import pack
from typing import Final

VIDEO_SCALE: Final = 90_000
AUDIO_SCALE: Final = 48_000
_SYNC: Final = 0x02000000
_NON_SYNC: Final = 0x01010000
# Row-major display matrices (16.16, 16.16, 2.30) for a clockwise turn by the key's degrees.
_ONE: Final = 0x10000
_TURNS: Final = {0: (_ONE, 0, 0, _ONE), 90: (0, _ONE, -_ONE, 0), 180: (-_ONE, 0, 0, -_ONE), 270: (0, -_ONE, _ONE, 0)}


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, pack(">I", version << 24 | flags), *parts)


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """A picture track: size in pixels, display turn in degrees clockwise, pixel aspect, AVCDecoderConfigurationRecord.

    `delay` is how long (1/90000 s) the first picture waits for its place in display order; an edit list takes it out again.
    """

    width: int
    height: int
    turn: int
    aspect: tuple[int, int]
    record: bytes
    delay: int = 0


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """A sound track: AAC at 48 kHz with `channels`, and its AudioSpecificConfig."""

    channels: int
    config: bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture or sound frame: decode time and length in its track's scale, composition offset, key frame or not."""

    time: int
    length: int
    offset: int
    sync: bool
    data: bytes


@dataclass(slots=True)
class Writer:
    """Makes the initial segment and the fragments of one clip. `seconds` is the clip's expected length, shown by players."""

    video: VideoTrack
    audio: AudioTrack | None
    seconds: float
    _sequence: int = field(default=0, init=False)

    def head(self) -> bytes:
        """Return ftyp and moov."""
        tracks = [self._video_trak()]
        extends = [_full(b"trex", 0, 0, pack(">IIIII", 1, 1, 0, 0, 0))]
        if self.audio is not None:
            tracks.append(self._audio_trak(self.audio))
            extends.append(_full(b"trex", 0, 0, pack(">IIIII", 2, 1, 0, 0, 0)))
        length = _full(b"mehd", 1, 0, pack(">Q", max(int(self.seconds * 1000), 1)))
        header = _full(
            b"mvhd", 0, 0, pack(">IIIIIH10x", 0, 0, 1000, 0, _ONE, 0x100), _matrix(0), bytes(24), pack(">I", len(tracks) + 1)
        )
        moov = _box(b"moov", header, *tracks, _box(b"mvex", length, *extends))
        return _box(b"ftyp", b"iso6", pack(">I", 0), b"iso6", b"mp41") + moov

    def fragment(self, video: list[Sample], audio: list[Sample]) -> bytes:
        """Return one moof and its mdat; the samples of each track are in decode order."""
        self._sequence += 1
        runs = [(1, video)] if video else []
        if audio:
            runs.append((2, audio))
        # The offsets point past the moof, whose length does not depend on their values: measure, then write.
        size = len(self._moof(runs, 0))
        payload = b"".join(sample.data for _, samples in runs for sample in samples)
        return b"".join((self._moof(runs, size + 8), pack(">I4s", 8 + len(payload), b"mdat"), payload))

    def _moof(self, runs: list[tuple[int, list[Sample]]], base: int) -> bytes:
        parts = [_full(b"mfhd", 0, 0, pack(">I", self._sequence))]
        for number, samples in runs:
            parts.append(
                _box(
                    b"traf",
                    _full(b"tfhd", 0, 0x020000, pack(">I", number)),
                    _full(b"tfdt", 1, 0, pack(">Q", samples[0].time)),
                    _full(b"trun", 1, 0xF01, pack(">Ii", len(samples), base), _rows(samples)),
                )
            )
            if base:
                base += sum(len(sample.data) for sample in samples)
        return _box(b"moof", *parts)

    def _video_trak(self) -> bytes:
        track = self.video
        shown = track.width * track.aspect[0] // track.aspect[1]
        pasp = b"" if track.aspect == (1, 1) else _box(b"pasp", pack(">II", *track.aspect))
        entry = _box(
            b"avc1",
            pack(">6xH16xHHIIIH32xHh", 1, track.width, track.height, 0x480000, 0x480000, 0, 1, 24, -1),
            _box(b"avcC", track.record),
            pasp,
        )
        wide = _full(b"vmhd", 0, 1, bytes(8))
        edit = _box(b"edts", _full(b"elst", 0, 0, pack(">IIiI", 1, 0, track.delay, _ONE))) if track.delay else b""
        return _trak(_track_head(1, track.turn, width=shown, height=track.height) + edit, VIDEO_SCALE, b"vide", wide, entry)

    def _audio_trak(self, track: AudioTrack) -> bytes:
        config = _descriptor(5, track.config)
        decoder = _descriptor(4, pack(">BB3xII", 0x40, 0x15, 0, 0), config)
        stream = _descriptor(3, pack(">HB", 0, 0), decoder, _descriptor(6, b"\x02"))
        entry = _box(
            b"mp4a",
            pack(">6xH8xHHIHH", 1, track.channels, 16, 0, AUDIO_SCALE, 0),
            _full(b"esds", 0, 0, stream),
        )
        return _trak(_track_head(2, 0, volume=0x100), AUDIO_SCALE, b"soun", _full(b"smhd", 0, 0, bytes(4)), entry)


def _rows(samples: Iterable[Sample]) -> bytes:
    return b"".join(
        pack(">IIIi", sample.length, len(sample.data), _SYNC if sample.sync else _NON_SYNC, sample.offset) for sample in samples
    )


def _matrix(turn: int) -> bytes:
    a, b, c, d = _TURNS[turn]
    return pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((tag, len(body))) + body  # all of ours are shorter than 128 bytes


def _track_head(number: int, turn: int, *, volume: int = 0, width: int = 0, height: int = 0) -> bytes:
    size = pack(">II", min(width, 65535) << 16, height << 16)
    return _full(b"tkhd", 0, 3, pack(">IIIII8xHHHH", 0, 0, number, 0, 0, 0, 0, volume, 0), _matrix(turn), size)


def _trak(head: bytes, scale: int, handler: bytes, media: bytes, entry: bytes) -> bytes:
    tables = (
        _full(b"stsd", 0, 0, pack(">I", 1), entry),
        _full(b"stts", 0, 0, bytes(4)),
        _full(b"stsc", 0, 0, bytes(4)),
        _full(b"stsz", 0, 0, bytes(8)),
        _full(b"stco", 0, 0, bytes(4)),
    )
    data = _box(b"dinf", _full(b"dref", 0, 0, pack(">I", 1), _full(b"url ", 0, 1)))
    return _box(
        b"trak",
        head,
        _box(
            b"mdia",
            _full(b"mdhd", 0, 0, pack(">IIIIHH", 0, 0, scale, 0, 0x55C4, 0)),  # language "und"
            _full(b"hdlr", 0, 0, pack(">I4s12x", 0, handler), b"\0"),
            _box(b"minf", media, data, _box(b"stbl", *tables)),
        ),
    )
