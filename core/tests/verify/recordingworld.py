"""A camera's chain of recordings, clips cut from it, and the bag and proof of one of them; all of it without a codec."""

import dataclasses
import hashlib
from struct import pack

from fairwitness_core.model import recording as core
from fairwitness_core.model.recording import ProofLink, RecordingProof
from fairwitness_core.model.response import response_id

from core.tests.verify.bagworld import REQUEST_AT, World

AVCC = bytes.fromhex("0142c01effe1000467420000010004681234ab")
RATE = 10  # pictures a second
STEP = 90_000 // RATE


def box(kind, *parts):
    body = b"".join(parts)
    return pack(">I4s", 8 + len(body), kind) + body


def full(kind, flags, *parts, version=0):
    return box(kind, pack(">I", version << 24 | flags), *parts)


MATRIX = pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def trak(number, scale, entry, avcc=b"", *, edit=b"", matrix=MATRIX, flags=3):
    tables = [full(kind, 0, bytes(size)) for kind, size in ((b"stts", 4), (b"stsc", 4), (b"stsz", 8), (b"stco", 4))]
    stsd = full(b"stsd", 0, pack(">I", 1), box(entry, bytes(78 if avcc else 28), avcc))
    media = box(
        b"mdia",
        full(b"mdhd", 0, pack(">IIII", 0, 0, scale, 0)),
        full(b"hdlr", 0, bytes(4), b"vide" if avcc else b"soun"),
        box(b"minf", box(b"stbl", stsd, *tables)),
    )
    return box(b"trak", full(b"tkhd", flags, pack(">III", 0, 0, number), bytes(24), matrix, bytes(8)), edit, media)


def movie(samples, *, avcc=AVCC, sound=(), per=4, steps=None, offsets=None, more=(), **head):
    """Write samples as an answer's clip would hold them, `per` in a fragment; `steps`: lengths in ticks.

    `offsets`: how long each waits to be shown; `more`: further tracks; `head`: of the pictures' track.
    """
    offsets = offsets or [0] * len(samples)
    steps = steps or [STEP] * len(samples)
    tracks = [trak(1, 90_000, b"avc1", box(b"avcC", avcc), **head)] + ([trak(2, 48_000, b"mp4a")] if sound else [])
    parts = [
        box(b"ftyp", b"iso6", bytes(4), b"iso6", b"mp41"),
        box(b"moov", full(b"mvhd", 0, bytes(96)), *tracks, *more, box(b"mvex")),
    ]
    time = 0
    for number, at in enumerate(range(0, len(samples), per), 1):
        runs = [(1, time, list(zip(steps[at : at + per], samples[at : at + per], offsets[at : at + per], strict=True)))]
        if sound:
            runs.append((2, 1024 * number, [(1024, one, 0) for one in sound]))
        parts.append(fragment(number, runs))
        time += sum(steps[at : at + per])
    return b"".join(parts)


def fragment(number, runs):
    def moof(base):
        made = [full(b"mfhd", 0, pack(">I", number))]
        for track, time, rows in runs:
            table = b"".join(pack(">IIIi", length, len(data), 0, wait) for length, data, wait in rows)
            made.append(
                box(
                    b"traf",
                    full(b"tfhd", 0x020000, pack(">I", track)),
                    full(b"tfdt", 0, pack(">Q", time), version=1),
                    full(b"trun", 0xF01, pack(">Ii", len(rows), base), table, version=1),
                )
            )
            base += sum(len(data) for _length, data, _wait in rows)
        return box(b"moof", *made)

    head = moof(len(moof(0)) + 8)
    return head + box(b"mdat", b"".join(data for _t, _time, rows in runs for _l, data, _w in rows))


class Recorded:
    """Segments of one camera: pictures, files, links."""

    def __init__(self, label="camera", segments=6, pictures=40, start=None):
        self.label, self.count = label, pictures
        self.start = (REQUEST_AT - 49_000) * 1000 if start is None else start
        self.genesis = hashlib.sha256(b"fairwitness/segments" + self.bytes("id")[:16]).digest()
        self.pictures = [[self.bytes(f"{n} {i}") * (1 + i % 3) for i in range(pictures)] for n in range(segments)]
        self.files = [self.bytes(f"file {n}") for n in range(segments)]
        self.lists = [[core.sample_digest(hashlib.sha256(AVCC).digest(), one) for one in rows] for rows in self.pictures]
        length = pictures * 1000 // RATE
        self.links = [
            ProofLink(
                sha256=hashlib.sha256(self.files[n]).hexdigest(),
                pictures=core.pictures_root(self.lists[n]).hex(),
                start=self.start + n * length,
                end=self.start + (n + 1) * length,
                after="",
            )
            for n in range(segments)
        ]

    def bytes(self, label):
        return hashlib.sha256(f"{self.label}/{label}".encode()).digest()

    def record(self, count):
        """Return the record of the first `count` links."""
        record = self.genesis
        for link in self.links[:count]:
            record = link.record(record)
        return record

    def samples(self, first, count):
        """Return pictures of the whole recording, from number `first` on."""
        return [one for rows in self.pictures for one in rows][first : first + count]


class Cut(World):
    """A bag whose first clip was cut from a camera's recordings: 60 pictures from the middle of segment 2 to segment 3."""

    FIRST, LENGTH, USED = 60, 60, (1, 3)

    def __init__(self, *, recorded=None, samples=None, clip=None, changed=None, sealed_at=5, **more):
        self.recorded = recorded or Recorded()
        self.samples = self.recorded.samples(self.FIRST, self.LENGTH) if samples is None else samples
        self.data = movie(self.samples) if clip is None else clip
        self.changed = changed or {}
        self.head = self.recorded.record(sealed_at)
        self.sealed_at = sealed_at
        super().__init__(**more)

    @property
    def rid(self):
        return response_id(self.key("response Ortiz").public.raw)

    def make_clip(self, label):
        return self.data if label == "Ortiz 0" else super().make_clip(label)

    def make_manifest(self, key, mode, clips, statement):
        made = super().make_manifest(key, mode, clips, statement)
        if not made.clips:
            return made
        first, *rest = made.clips
        begin, end = self.USED
        start = self.recorded.start // 1000 + self.FIRST // RATE
        changes = {
            "start": start,
            "end": start + self.LENGTH // RATE,
            "chain_commit": core.chain_commitment(self.secret("chain salt"), self.head),
            "orig_commit": core.original_commitment(
                self.secret("orig salt"), [link.sha256 for link in self.recorded.links[begin:end]]
            ),
        }
        return dataclasses.replace(made, clips=(dataclasses.replace(first, **(changes | self.changed)), *rest))

    def proof(self, **changes):
        begin, end = self.USED
        values = {
            "response_id": self.rid,
            "clip": "clip-01.mp4",
            "salt": self.secret("chain salt").hex(),
            "head": self.head.hex(),
            "before": self.recorded.record(begin).hex(),
            "orig_salt": self.secret("orig salt").hex(),
            "links": tuple(self.recorded.links[begin : self.sealed_at]),
            "pictures": tuple(b"".join(rows) for rows in self.recorded.lists[begin:end]),
        }
        return RecordingProof(**(values | changes))
