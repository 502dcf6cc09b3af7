"""The parser of clips: it reads what answers hold, and refuses everything else in one way."""
# ruff: noqa: PT017 - either a value or an error is right

import hashlib
import io
from struct import pack

import pytest
from fairwitness_core.model.recording import sample_digest
from fairwitness_core.verify.mp4 import read_clip
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tests.verify.recordingworld import AVCC, STEP, box, fragment, full, movie, trak

SAMPLES = [bytes([n]) * (n + 1) for n in range(10)]
CLIP = movie(SAMPLES)
HEARD = movie(SAMPLES, sound=(b"one", b"two"))


def read(data):
    return read_clip(io.BytesIO(data))


@pytest.mark.parametrize("data", [CLIP, HEARD])
def test_a_clip_is_read(data):
    found = read(data)
    known = hashlib.sha256(AVCC).digest()
    assert found.record == AVCC
    assert found.digests == b"".join(sample_digest(known, one) for one in SAMPLES)
    assert found.times == tuple(STEP * n for n in range(10))
    assert found.seconds == pytest.approx(1.0)
    assert (found.sha256, found.size) == (hashlib.sha256(data).hexdigest(), len(data))


MIRROR = pack(">9i", -(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
GONE = pack(">9i", 0, 0, 0, 0, 0, 0, 0, 0, 1 << 30)
HELD = [STEP * n for n in (1, 3, 0, 0, 1)] + [STEP] * 5


def elst(*values):
    return box(b"edts", full(b"elst", 0, pack(">IIiI", *values)))


def test_pictures_may_wait_for_their_place():
    """As cameras with B pictures have it; and turned."""
    turned = pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    found = read(movie(SAMPLES, offsets=HELD, edit=elst(1, 0, STEP, 1 << 16), matrix=turned))
    assert found.digests == read(CLIP).digests
    assert read(movie(SAMPLES * 4, offsets=[*[STEP * 30] * 16, *[0] * 24])).digests


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (movie(SAMPLES, more=[trak(2, 90_000, b"avc1", box(b"avcC", AVCC))]), "mp4.track"),
        (movie(SAMPLES, more=[trak(2, 90_000, b"avc1")]), "mp4.entry"),
        (movie(SAMPLES, matrix=MIRROR), "mp4.shown"),
        (movie(SAMPLES, matrix=GONE), "mp4.shown"),
        (movie(SAMPLES, flags=2), "mp4.shown"),
        (movie(SAMPLES * 4, offsets=[*[STEP * 30] * 17, *[0] * 23]), "mp4.shown"),
        (movie(SAMPLES, offsets=[0] * 9 + [900_001]), "mp4.shown"),
        (movie(SAMPLES, edit=elst(1, 0, 1, 1 << 16)), "mp4.shown"),
        (movie(SAMPLES, edit=elst(1, 900, 0, 1 << 16)), "mp4.edit"),
        (movie(SAMPLES, edit=elst(1, 0, -1, 1 << 16)), "mp4.edit"),
        (movie(SAMPLES, edit=elst(1, 0, 0, 0)), "mp4.edit"),
        (CLIP.replace(box(b"stco", bytes(8)), box(b"stco", bytes(7) + b"\1")), "mp4.outside"),
        (CLIP.replace(box(b"stsz", bytes(12)), box(b"stsz", bytes(11) + b"\1")), "mp4.outside"),
    ],
)
def test_what_would_show_other_than_the_samples_in_order_is_refused(data, code):
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert caught.value.code == code


def test_short_reads_make_no_difference():
    class Slow(io.BytesIO):
        def read(self, count=-1):
            return super().read(min(count, 7))

    assert read_clip(Slow(HEARD)) == read(HEARD)


HEAD = CLIP[: CLIP.index(b"moof") - 4]
ONE = [(STEP, b"a", 0)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "mp4.empty"),
        (HEAD, "mp4.empty"),
        (HEAD[:40], "mp4.short"),
        (CLIP[:-1], "mp4.short"),
        (CLIP + b"x", "mp4.order"),
        (CLIP + box(b"free"), "mp4.order"),
        (CLIP[8:], "mp4.order"),
        (HEAD + fragment(2, [(1, 0, ONE)]), "mp4.sequence"),
        (HEAD + fragment(1, [(2, 0, ONE)]), "mp4.fragment"),
        (HEAD + fragment(1, [(1, 0, ONE), (1, 0, ONE)]), "mp4.unknown"),
        (HEAD + fragment(1, [(1, 0, [])]), "mp4.table"),
        (HEAD + fragment(1, [(1, 9, ONE)]) + fragment(2, [(1, 5, ONE)]), "mp4.time"),
        (HEAD + fragment(1, [(1, 0, ONE)]).replace(b"mdat", b"mdax"), "mp4.order"),
        (HEAD + fragment(1, [(1, 0, ONE)])[:-1] + b"ab", "mp4.order"),
        (CLIP.replace(b"avc1", b"hvc1"), "mp4.entry"),
        (CLIP.replace(b"avcC", b"avcX"), "mp4.unknown"),
        (CLIP.replace(b"mvex", b"udta"), "mp4.unknown"),
        (CLIP.replace(pack(">I", 90_000), pack(">I", 1000), 1), "mp4.scale"),
        (box(b"ftyp", bytes(100)), "mp4.too_large"),
        (pack(">I4s", 4, b"ftyp"), "mp4.box"),
        (box(b"ftyp") + box(b"moov", full(b"mvhd", 0), box(b"mvex")), "mp4.missing"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_its_own_code(data, code):
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert caught.value.code == code


@settings(max_examples=400)
@given(
    st.sampled_from([CLIP, HEARD]),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=5)), max_size=4),
    st.none() | st.integers(0, 2000),
)
def test_no_bytes_make_it_fall_over(data, spoils, end):
    changed = bytearray(data)
    for at, piece in spoils:
        begin = at % len(changed)
        changed[begin : begin + len(piece)] = piece
    if end is not None:
        del changed[end % len(changed) :]
    try:
        found = read(bytes(changed))
    except ProtocolError as error:
        assert error.code.startswith("mp4.")
        return
    assert len(found.digests) == 32 * len(found.times)
    assert found.size == len(changed)


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_other_bytes_do(data):
    with pytest.raises(ProtocolError):
        read(data)
