import hashlib

import pytest
from fairwitness_core.wire import frames
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st


class Sink:
    def __init__(self):
        self.data = bytearray()
        self.digest = None

    def write(self, data):
        self.data += data

    def close(self, digest):
        self.digest = digest


def build(clips, manifest=b"{}"):
    source = frames.FrameSource(
        [(frames.clip_name(i), [c[:3], c[3:]] if len(c) > 3 else [c]) for i, c in enumerate(clips)], lambda _d: manifest
    )
    out = bytearray()
    while piece := source.read(7919):
        out += piece
    assert source.length == len(out)
    return bytes(out)


def read(data, step=4096):
    sinks = {}

    def open_clip(name):
        sinks[name] = Sink()
        return sinks[name]

    reader = frames.FrameReader(open_clip)
    for at in range(0, len(data), step):
        reader.write(data[at : at + step])
    opened = reader.finish()
    return opened, {name: bytes(s.data) for name, s in sinks.items()}


def record(tag, body):
    return bytes((tag,)) + len(body).to_bytes(4, "big") + body


def padded(data):
    total = len(data) + 5
    return data + record(5, bytes(frames.padme(total) - total))


CLIP = record(1, b'{"name":"clip-01.mp4"}') + record(2, b"abc") + record(3, hashlib.sha256(b"abc").digest())
GOOD = padded(b"FWR1" + CLIP + record(4, b"{}"))


def code(data, step=4096):
    with pytest.raises(ProtocolError) as caught:
        read(data, step)
    return caught.value.code


@pytest.mark.parametrize(
    ("length", "expected"), [(0, 0), (1, 1), (2, 2), (9, 10), (100, 104), (1000, 1024), (65537, 67584), (10**6, 1015808)]
)
def test_padme(length, expected):
    assert frames.padme(length) == expected


@given(st.integers(0, 1 << 33))
def test_padme_is_at_most_twelve_percent_and_stable(length):
    out = frames.padme(length)
    assert length <= out <= length * 1.12 + 1
    assert frames.padme(out) == out


def test_layout_is_what_the_page_says():
    assert build([b"abc"]) == GOOD.replace(record(2, b"abc"), record(2, b"abc"))
    opened, clips = read(GOOD, 1)
    assert opened.manifest == b"{}"
    assert opened.length == len(GOOD)
    assert clips == {"clip-01.mp4": b"abc"}
    assert opened.clips == (frames.ClipDigest("clip-01.mp4", hashlib.sha256(b"abc").digest(), 3),)


@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=4), st.binary(min_size=1, max_size=200), st.integers(1, 900))
@settings(max_examples=60, deadline=None)
def test_round_trip(clips, manifest, step):
    opened, out = read(build(clips, manifest), step)
    assert list(out.values()) == clips
    assert opened.manifest == manifest
    assert all(d.sha256 == hashlib.sha256(c).digest() for d, c in zip(opened.clips, clips, strict=True))


SAMPLE = build([b"first clip" * 20, b"second"], b'{"m":1}')
CONTENT = read(SAMPLE)


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255), st.integers(1, 64))
@settings(max_examples=300, deadline=None)
def test_any_flip_is_refused_or_changes_nothing_but_the_manifest(at, flip, step):
    data = bytearray(SAMPLE)
    data[at] ^= flip
    try:
        opened, clips = read(bytes(data), step)
    except ProtocolError:
        return
    # The manifest is signed; this layer does not know its content.
    assert clips == CONTENT[1]
    assert opened.manifest != CONTENT[0].manifest


@given(st.integers(0, len(SAMPLE) - 1))
def test_any_truncation_is_refused(at):
    with pytest.raises(ProtocolError):
        read(SAMPLE[:at])


@given(st.binary(max_size=200))
def test_fuzz(data):
    for start in (b"", b"FWR1", b"FWR1" + CLIP):
        with pytest.raises(ProtocolError):
            read(start + data)


START = record(1, b'{"name":"clip-01.mp4"}')
END = record(3, hashlib.sha256(b"abc").digest())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"FWR2" + GOOD[4:], "frames.magic"),
        (b"FWR1" + record(6, b""), "frames.tag"),
        (b"FWR1" + record(2, b"x"), "frames.order"),
        (b"FWR1" + START + START, "frames.order"),
        (b"FWR1" + START + record(4, b"{}"), "frames.order"),
        (b"FWR1" + record(5, b""), "frames.order"),
        (b"FWR1" + record(4, b"{}") + record(4, b"{}"), "frames.order"),
        (b"FWR1" + record(4, b"{}") + CLIP, "frames.order"),
        (b"FWR1" + record(1, b'{"name":"clip-02.mp4"}'), "frames.name"),
        (b"FWR1" + CLIP + START, "frames.name"),
        (b"FWR1" + record(1, b'{"name":"../../a.mp4"}'), "frames.name"),
        (b"FWR1" + record(1, b'{"name": "clip-01.mp4"}'), "frames.length"),
        (b"FWR1" + START + record(3, hashlib.sha256(b"").digest()), "frames.empty_clip"),
        (b"FWR1" + START + record(2, b"abd") + END, "frames.hash"),
        (b"FWR1" + START + record(2, b""), "frames.length"),
        (b"FWR1" + START + b"\x02\x00\x10\x00\x01", "frames.length"),
        (b"FWR1" + b"\x04\x00\x10\x00\x01", "frames.length"),
        (b"FWR1" + record(4, b""), "frames.length"),
        (GOOD + b"\0", "frames.trailing"),
        (padded(b"FWR1" + record(4, bytes(119)))[:-1] + b"\1", "frames.padding"),
        (b"FWR1" + CLIP + record(4, b"{}") + record(5, b"\0"), "frames.length"),
        (GOOD[:-1], "frames.truncated"),
        (b"", "frames.truncated"),
    ],
)
@pytest.mark.parametrize("step", [1, 4096])
def test_each_rule_has_its_code(data, expected, step):
    assert code(data, step) == expected


def test_a_refused_reader_stays_refused():
    reader = frames.FrameReader(lambda _n: Sink())
    with pytest.raises(ProtocolError):
        reader.write(b"nope")
    with pytest.raises(ProtocolError, match="already"):
        reader.write(b"FWR1")
    with pytest.raises(ProtocolError, match="already"):
        reader.finish()


def test_too_many_clips():
    assert code(build([b"x"] * 16)[:-600]) == "frames.truncated"
    with pytest.raises(ProtocolError) as caught:
        frames.clip_name(16)
    assert caught.value.code == "frames.too_many_clips"
    many = b"".join(record(1, b'{"name":"clip-%02d.mp4"}' % (i + 1)) + record(2, b"abc") + END for i in range(17))
    assert code(b"FWR1" + many) == "frames.too_many_clips"


def test_the_writer_refuses_what_the_reader_would():
    def drain(clips, manifest=b"{}"):
        source = frames.FrameSource(clips, lambda _d: manifest)
        while source.read(65536):
            pass

    for clips, manifest, expected in [
        ([("clip-02.mp4", [b"x"])], b"{}", "frames.name"),
        ([("clip-01.mp4", [])], b"{}", "frames.empty_clip"),
        ([], b"", "frames.manifest_size"),
        ([], bytes(frames.MAX_MANIFEST + 1), "frames.manifest_size"),
    ]:
        with pytest.raises(ProtocolError) as caught:
            drain(clips, manifest)
        assert caught.value.code == expected


def test_a_clip_over_the_limit_is_refused_while_it_is_read(monkeypatch):
    monkeypatch.setattr(frames, "MAX_CLIP", 100)
    source = frames.FrameSource([("clip-01.mp4", (bytes(60) for _ in range(3)))], lambda _d: b"{}")
    with pytest.raises(ProtocolError, match="2 GiB"):
        list(iter(lambda: source.read(50), b""))
    assert code(b"FWR1" + START + record(2, bytes(60)) + record(2, bytes(60))) == "frames.length"


def test_a_response_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(frames, "MAX_RESPONSE", 200)
    assert code(SAMPLE) == "frames.response_size"
    with pytest.raises(ProtocolError, match="4 GiB"):
        build([bytes(300)])


def test_the_manifest_is_asked_for_after_the_last_byte():
    seen = []

    def manifest(digests):
        seen.append(digests)
        return b"m"

    def pieces():
        yield b"abc"
        assert not seen
        yield b"def"

    source = frames.FrameSource([("clip-01.mp4", pieces())], manifest)
    while source.read(5):
        pass
    assert seen == [(frames.ClipDigest("clip-01.mp4", hashlib.sha256(b"abcdef").digest(), 6),)]
