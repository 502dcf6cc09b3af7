"""Files of sealed segments: any place reads as written, and every change of the container is refused."""

import io
import os
import random
import struct
import tracemalloc

import pytest
from fairwitness_core.crypto import seal, segments
from fairwitness_core.crypto.segments import DATA, MAGIC, SegmentReader, SegmentWriter, which_opens
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

SECRET, RECIPIENT = seal.new_identity()
OTHER, OTHER_RECIPIENT = seal.new_identity()
HEAD = struct.Struct(">16sQB")


def sealed(data, recipients=(RECIPIENT,), piece=200_000):
    sink = io.BytesIO()
    writer = SegmentWriter(sink, recipients)
    for at in range(0, len(data), piece):
        writer.write(data[at : at + piece])
    writer.close()
    writer.close()
    return sink.getvalue()


def split(container):
    """The framed segments of a container."""
    found, at = [], 4
    while at < len(container):
        size = 4 + int.from_bytes(container[at : at + 4], "big")
        found.append(container[at : at + size])
        at += size
    return found


def joined(parts):
    return MAGIC + b"".join(parts)


def forged(*plains, recipient=RECIPIENT):
    """A container of one's own: what somebody who knows the recipient can make."""
    ages = [seal.seal_bytes(plain, [recipient]) for plain in plains]
    return joined([struct.pack(">I", len(age)) + age for age in ages])


def code(container, secret=SECRET):
    """What reading all of it is refused with."""
    source = io.BytesIO(container)
    with pytest.raises(ProtocolError) as caught, SegmentReader(source, [secret]) as reader:
        reader.read()
    assert source.closed
    return caught.value.code


PLAIN = random.Random(1).randbytes(3 * DATA + 12_345)
WHOLE = sealed(PLAIN)
PARTS = split(WHOLE)
TWIN = split(sealed(PLAIN))
SMALL = sealed(b"frame" * 20)


@pytest.mark.parametrize("size", [0, 1, DATA - 1, DATA, DATA + 1, 2 * DATA - 1, 2 * DATA, 2 * DATA + 1])
@pytest.mark.parametrize("piece", [65_521, 5 << 20])
def test_reads_what_was_written(size, piece):
    container = sealed(PLAIN[:size], (OTHER_RECIPIENT, RECIPIENT), piece)
    assert len(split(container)) == max(1, -(-size // DATA))
    with SegmentReader(io.BytesIO(container), [SECRET]) as reader:
        assert reader.size == size
        assert reader.seek(0, io.SEEK_END) == size
        assert reader.read(1) == b""
        reader.seek(0)
        assert reader.read() == PLAIN[:size]


def test_every_segment_is_an_age_file_that_pyrage_alone_opens():
    plain = b"".join(seal.open_bytes(part[4:], [SECRET])[HEAD.size :] for part in PARTS)
    assert plain == PLAIN


def test_reads_a_file_on_a_disk(tmp_path):
    path = tmp_path / "clip.fws"
    with path.open("wb") as sink:
        writer = SegmentWriter(sink, [RECIPIENT])
        assert writer.write(PLAIN) == len(PLAIN)
        writer.close()
    for buffering in (-1, 0):
        with SegmentReader(path.open("rb", buffering=buffering), [OTHER, SECRET]) as reader:
            reader.seek(-20, io.SEEK_END)
            assert reader.read() == PLAIN[-20:]
            with pytest.raises(ValueError, match="before the start"):
                reader.seek(-1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(PLAIN) + 9), st.integers(0, 2 * DATA)), max_size=6))
def test_reads_any_place(places):
    with io.BufferedReader(SegmentReader(io.BytesIO(WHOLE), [SECRET])) as reader:
        for at, size in places:
            reader.seek(at)
            assert reader.read(size) == PLAIN[at : at + size]


def test_opens_only_the_segments_that_are_asked_for(monkeypatch):
    opened = []
    real = seal.open_bytes
    monkeypatch.setattr(segments.seal, "open_bytes", lambda data, keys: opened.append(len(data)) or real(data, keys))
    reader = SegmentReader(io.BytesIO(WHOLE), [SECRET])
    assert len(opened) == 1
    for _ in range(3):
        reader.seek(DATA + 5)
        assert reader.read(1000) == PLAIN[DATA + 5 : DATA + 1005]
    assert len(opened) == 2


def test_every_flipped_byte_and_every_cut_of_a_small_file_is_refused():
    for at in range(len(SMALL)):
        assert code(SMALL[:at] + bytes([SMALL[at] ^ 1]) + SMALL[at + 1 :]).startswith("seal.")
        assert code(SMALL[:at]).startswith("seal.")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_every_flip_is_refused(at, flip):
    changed = bytearray(WHOLE)
    changed[at] ^= flip
    assert code(bytes(changed)) in {"seal.segment", "seal.open", "seal.format", "seal.size"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.integers(-40, 40))
def test_every_cut_is_refused(segment, off):
    end = len(joined(PARTS[:segment])) + off
    if 0 <= end < len(WHOLE):
        assert code(WHOLE[:end]) in {"seal.segment", "seal.open"}
    assert code(WHOLE + bytes(1 + abs(off))) == "seal.segment"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(range(8)), max_size=6))
def test_every_other_row_of_two_files_segments_is_refused(row):
    both = [*PARTS, *TWIN]
    if row not in ([0, 1, 2, 3], [4, 5, 6, 7]):
        assert code(joined(both[n] for n in row)) == "seal.segment"


def test_two_segments_exchanged_are_seen_when_they_are_read():
    reader = SegmentReader(io.BytesIO(joined([PARTS[0], PARTS[2], PARTS[1], PARTS[3]])), [SECRET])
    assert reader.read(10) == PLAIN[:10]
    reader.seek(DATA)
    for _ in range(2):  # and again: nothing of a refused segment is kept
        with pytest.raises(ProtocolError, match=r"seal\.segment"):
            reader.read(1)
    reader.seek(0)
    assert reader.read(10) == PLAIN[:10]


def test_a_file_of_ones_own_must_have_the_one_form():
    mine, full = bytes(16), bytes(DATA)
    assert SegmentReader(io.BytesIO(forged(HEAD.pack(mine, 0, 1) + b"x")), [SECRET]).read() == b"x"
    for plains in (
        [b""],
        [HEAD.pack(mine, 0, 1)[:-1]],
        [HEAD.pack(mine, 0, 0) + b"x"],
        [HEAD.pack(mine, 0, 2) + b"x"],
        [HEAD.pack(mine, 1, 1) + b"x"],
        [HEAD.pack(mine, 0, 0) + full, HEAD.pack(mine, 1, 1)],
        [HEAD.pack(mine, 0, 1) + full, HEAD.pack(mine, 1, 1) + b"x"],
        [HEAD.pack(mine, 0, 0) + full[1:], HEAD.pack(mine, 1, 1) + b"x"],
        [HEAD.pack(mine, 0, 0) + b"x", HEAD.pack(mine, 1, 1) + b"x"],
    ):
        assert code(forged(*plains)) == "seal.segment"
    assert code(SMALL, OTHER) == "seal.open"
    assert code(b"") == code(MAGIC) == "seal.segment"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_foreign_bytes_are_refused_cleanly(data):
    assert code(MAGIC + data) in {"seal.segment", "seal.open", "seal.format"}


def test_a_writer_that_failed_or_was_left_makes_no_whole_file():
    class Full(io.BytesIO):
        room = 2_500_000

        def write(self, data):
            if self.tell() + len(data) > self.room:
                raise OSError(28, "full")
            return super().write(data)

    sink = Full()
    writer = SegmentWriter(sink, [RECIPIENT])
    with pytest.raises(OSError, match="full"):
        writer.write(PLAIN)
    for call in (writer.close, lambda: writer.write(b"x")):
        with pytest.raises(ValueError, match="fail"):
            call()
    assert code(sink.getvalue()).startswith("seal.")
    left = io.BytesIO()
    SegmentWriter(left, [RECIPIENT]).write(PLAIN)
    assert code(left.getvalue()) == "seal.segment"
    with pytest.raises(ProtocolError, match=r"seal\.recipient"):
        SegmentWriter(left, [])
    with pytest.raises(ProtocolError, match=r"seal\.recipient"):
        SegmentWriter(left, ["age1nobody"])


def test_memory_is_bounded(tmp_path):
    path = tmp_path / "clip.fws"
    tracemalloc.start()
    try:
        with path.open("wb") as sink:
            writer = SegmentWriter(sink, [RECIPIENT])
            for _ in range(16):
                writer.write(PLAIN[: 1 << 20])
            writer.close()
        with SegmentReader(path.open("rb"), [SECRET]) as reader:
            while reader.read(65536):
                pass
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


class TestWhichOpens:
    @pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 900_000])
    def test_names_the_key_that_opens(self, size):
        stream = io.BytesIO(b"before" + seal.seal_bytes(PLAIN[:size], [RECIPIENT]))
        third = seal.new_identity()[0]
        for keys, found in (([OTHER, SECRET, third], SECRET), ([SECRET], SECRET), ([OTHER, third], None), ([], None)):
            stream.seek(6)
            assert which_opens(keys, stream) == found

    def test_reads_the_start_alone(self):
        age = seal.seal_bytes(PLAIN[:900_000], [RECIPIENT])
        stream = io.BytesIO(age)
        reads = []
        real = stream.read
        stream.read = lambda size: reads.append(size) or real(size)
        assert which_opens([OTHER, SECRET], stream) == SECRET
        assert sum(reads) < 200_000
        assert which_opens([SECRET], io.BytesIO(age[:150_000])) == SECRET

    def test_changed_first_bytes_open_for_nobody(self):
        age = bytearray(seal.seal_bytes(b"x" * 100, [RECIPIENT]))
        age[-1] ^= 1
        assert which_opens([SECRET], io.BytesIO(bytes(age))) is None

    def test_what_is_no_age_file_or_has_an_endless_header_is_refused(self):
        intro = b"age-encryption.org/v1\n"
        for data in (b"", b"no", b"x\n--- y", intro, intro + (b"-> a b\n" + b"A" * 40 + b"\n") * 5000):
            with pytest.raises(ProtocolError, match=r"seal\.format"):
                which_opens([SECRET], io.BytesIO(data))
        with pytest.raises(ProtocolError, match=r"seal\.identity"):
            which_opens([SECRET[:-1]], io.BytesIO(seal.seal_bytes(b"x", [RECIPIENT])))

    def test_an_unreadable_disk_is_not_taken_for_a_foreign_key(self):
        class Broken(io.BytesIO):
            def read(self, size=-1):
                if self.tell() > 8000:
                    raise OSError(5, os.strerror(5))
                return super().read(size)

        with pytest.raises(OSError, match="Errno 5"):
            which_opens([SECRET], Broken(seal.seal_bytes(PLAIN[:200_000], [RECIPIENT])))
