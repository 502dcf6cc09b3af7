import pytest
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

from fairwitness.kit.video.nal import Cleaner, ParameterSets, annexb_units, length_units, parameter_sets

SPS = bytes.fromhex("67640014acd94180cfde7c0440000003004000000c83c50a6580")
PPS = bytes.fromhex("68ebe3cb22c0")
SLICE = b"\x65picture"


def lengths(*units, width=4):
    return b"".join(len(unit).to_bytes(width, "big") + unit for unit in units)


def codes(*units):
    return b"".join(b"\0\0\0\1" + unit for unit in units)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_record_is_made_afresh(width):
    record = ParameterSets((SPS,), (PPS,), 4).record()
    read = parameter_sets(record[:4] + bytes((0xFC | width - 1,)) + record[5:] + b"trailing metadata")
    assert read == ParameterSets((SPS,), (PPS,), width)
    assert read.record() == record
    assert b"trailing" not in read.record()


def test_parameter_sets_come_from_wherever_they_are():
    assert parameter_sets(codes(SPS, PPS)) == ParameterSets((SPS,), (PPS,), 0)
    assert parameter_sets(None, codes(b"\x09\xf0", SPS, PPS, SLICE)) == ParameterSets((SPS,), (PPS,), 0)
    assert parameter_sets(None, codes(SLICE)) is None
    assert parameter_sets(b"") is None
    assert parameter_sets(b"\1\2\3") is None


@pytest.mark.parametrize("width", [0, 1, 2, 4])
def test_only_pictures_stay(width):
    units = (b"\x09\xf0", SPS, PPS, b"\x06\x05serial", SLICE, b"\x0cfiller", b"\x41more", b"\x1fvendor")
    sample = codes(*units) if width == 0 else lengths(*units, width=width)
    cleaner = Cleaner(ParameterSets((SPS,), (PPS,), width))
    assert cleaner.clean(sample) == lengths(SLICE, b"\x41more")
    changed = PPS + b"\x01"
    again = codes(changed, SLICE) if width == 0 else lengths(changed, SLICE, width=width)
    assert cleaner.clean(again) == lengths(changed, SLICE)
    alone = codes(b"\x06\x05x") if width == 0 else lengths(b"\x06\x05x", width=width)
    assert cleaner.clean(alone) == b""


def test_a_wrong_length_is_refused():
    with pytest.raises(ProtocolError):
        Cleaner(ParameterSets((SPS,), (PPS,), 4)).clean(b"\0\0\0\xffab")


@given(st.binary(max_size=300), st.sampled_from([0, 1, 2, 4]))
def test_no_sample_breaks_it(data, width):
    sets = ParameterSets((SPS,), (PPS,), width)
    try:
        out = Cleaner(sets).clean(data)
    except ProtocolError:
        return
    assert all(unit[0] & 31 in {1, 2, 3, 4, 5, 7, 8} for unit in length_units(out, 4))


@given(st.binary(max_size=200))
def test_no_extradata_breaks_it(data):
    for start in (b"", b"\1", b"\0\0\0\1"):
        try:
            sets = parameter_sets(start + data)
            if sets is not None:
                sets.record()
        except ProtocolError:
            continue


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda u: b"\0\0" not in u and u[-1] and u[0])))
def test_start_codes_split(units):
    assert [bytes(u) for u in annexb_units(codes(*units))] == units
