"""The random-access reader of sealed files agrees with pyrage and refuses every change."""

import io
import random

import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.crypto.sealfile import CHUNK, SealedFile, which_opens
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

SECRET, RECIPIENT = seal.new_identity()
OTHER, OTHER_RECIPIENT = seal.new_identity()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17])
def test_reads_what_pyrage_sealed(size):
    data = random.Random(size).randbytes(size)
    sealed = seal.seal_bytes(data, [OTHER_RECIPIENT, RECIPIENT])
    with SealedFile(io.BytesIO(sealed), SECRET) as opened:
        assert opened.size == size
        assert opened.read() == data


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 70_000)), max_size=8))
def test_reads_any_place(places):
    data = random.Random(7).randbytes(150_000)
    opened = io.BufferedReader(SealedFile(io.BytesIO(seal.seal_bytes(data, [RECIPIENT])), SECRET))
    for at, size in places:
        opened.seek(at)
        assert opened.read(size) == data[at : at + size]


def test_names_the_key_that_opens():
    sealed = seal.seal_bytes(b"x", [RECIPIENT])
    assert which_opens(io.BytesIO(sealed), [OTHER, SECRET]) == 1
    assert which_opens(io.BytesIO(sealed), [OTHER]) is None
    with pytest.raises(ProtocolError, match=r"seal\.open"):
        SealedFile(io.BytesIO(sealed), OTHER)
    with pytest.raises(ProtocolError, match=r"seal\.identity"):
        which_opens(io.BytesIO(sealed), [SECRET[:-1] + ("Q" if SECRET[-1] != "Q" else "P")])


def test_every_flipped_byte_and_every_cut_is_refused():
    sealed = seal.seal_bytes(b"frame" * 20, [RECIPIENT])
    for at in range(len(sealed)):
        broken = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(ProtocolError):
            SealedFile(io.BytesIO(broken), SECRET).read()
    for end in range(len(sealed)):
        with pytest.raises(ProtocolError):
            SealedFile(io.BytesIO(sealed[:end]), SECRET).read()


def test_a_file_cut_between_chunks_is_refused():
    sealed = seal.seal_bytes(bytes(2 * CHUNK), [RECIPIENT])
    with pytest.raises(ProtocolError, match=r"seal\.open"):
        SealedFile(io.BytesIO(sealed[: -(CHUNK + 16)]), SECRET)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_foreign_bytes_are_refused_cleanly(data):
    with pytest.raises(ProtocolError):
        SealedFile(io.BytesIO(b"age-encryption.org/v1\n" + data), SECRET)
