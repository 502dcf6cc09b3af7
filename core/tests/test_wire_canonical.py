"""Canonical JSON: the RFC 8785 vectors, the subset's own limits, and that every accepted spelling is the only one."""

import json
import os
from pathlib import Path

import pytest
import rfc8785
from fairwitness_core.wire import canonical
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("FAIRWITNESS_TEST_DATA", ROOT.parent / "shared" / "data"))

CHARACTERS = st.characters(exclude_categories=("Cs",), max_codepoint=0x2FFF)


def is_plain(text):
    try:
        canonical.check_text(text)
    except ProtocolError:
        return False
    return True


TEXTS = st.text(CHARACTERS, max_size=20).filter(is_plain)
INTEGERS = st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def code(function, *arguments, **named):
    with pytest.raises(ProtocolError) as caught:
        function(*arguments, **named)
    return caught.value.code


def within(value):
    try:
        canonical.encode(value)
    except ProtocolError:
        return False
    return True


@pytest.mark.testdata
def test_rfc_8785_vectors():
    folder = DATA / "vectors" / "rfc8785-jcs"
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}")
    inputs = sorted((folder / "input").glob("*.json"))
    assert inputs, f"{folder} holds no input"
    for path in inputs:
        expected = (folder / "output" / path.name).read_bytes()
        hexed = folder / "outhex" / f"{path.stem}.txt"
        if hexed.is_file():
            assert bytes.fromhex(hexed.read_text()) == expected, path.name
        value = json.loads(path.read_bytes())
        assert rfc8785.dumps(value) == expected, path.name
        whole = json.loads(path.read_bytes(), parse_float=lambda t: int(float(t)) if float(t).is_integer() else float(t))
        if within(whole):
            assert canonical.encode(whole) == expected, path.name
            assert canonical.decode(expected) == whole, path.name
        else:
            # Outside the subset: then the vector's own canonical form is refused too, for the same kind of reason.
            assert code(canonical.encode, whole) in {"json.type", "json.integer", "text.control", "text.not_nfc"}, path.name
            assert code(canonical.decode, expected) in {"json.float", "json.integer", "text.control", "text.not_nfc"}, path.name


@given(VALUES)
def test_what_is_encoded_decodes_to_the_same_value(value):
    assert canonical.decode(canonical.encode(value)) == value


@given(st.binary(max_size=60) | VALUES.map(lambda v: json.dumps(v).encode()) | VALUES.map(canonical.encode))
def test_bytes_are_refused_or_are_the_one_spelling(data):
    try:
        value = canonical.decode(data)
    except ProtocolError:
        return
    assert canonical.encode(value) == data


@given(VALUES.map(canonical.encode), st.data())
def test_a_changed_byte_is_refused_or_another_value(data, draw):
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:at] + bytes([data[at] ^ draw.draw(st.integers(1, 255))]) + data[at + 1 :]
    try:
        value = canonical.decode(changed)
    except ProtocolError:
        return
    assert canonical.encode(value) == changed != data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1,"a":2}', "json.duplicate_key"),
        (b'{"a":{"b":1,"b":1}}', "json.duplicate_key"),
        (b'{"b":1,"a":1}', "json.not_canonical"),
        (b'{"a": 1}', "json.not_canonical"),
        (b'{"a":1}\n', "json.not_canonical"),
        (b'\xef\xbb\xbf{"a":1}', "json.malformed"),
        (b'"\\u0041"', "json.not_canonical"),
        (b'"\\/"', "json.not_canonical"),
        (b"1.0", "json.float"),
        (b"1e3", "json.float"),
        (b"-0", "json.not_canonical"),
        (b"01", "json.malformed"),
        (b"NaN", "json.float"),
        (b"Infinity", "json.float"),
        (b"-Infinity", "json.float"),
        (b"9007199254740992", "json.integer"),
        (b"-9007199254740992", "json.integer"),
        (b"9" * 5000, "json.integer"),
        (b'"\\ud800"', "text.control"),
        (b'"\\u0000"', "text.control"),
        (b'"\\t"', "text.control"),
        (b'"\x7f"', "text.control"),
        ('"\u202e"'.encode(), "text.control"),
        ('"\u200b"'.encode(), "text.control"),
        ('"e\u0301"'.encode(), "text.not_nfc"),
        ('{"e\u0301":1}'.encode(), "text.not_nfc"),
        (b'"\xff"', "json.malformed"),
        (b"", "json.malformed"),
        (b"{}{}", "json.malformed"),
        (b"[" * 100_000, "json.malformed"),
        (b"[" * 20 + b"]" * 20, "json.depth"),
        (b'{"a":1', "json.malformed"),
        (b"'a'", "json.malformed"),
    ],
)
def test_every_other_spelling_is_refused_with_its_code(data, expected):
    assert code(canonical.decode, data) == expected


def test_limits_and_types():
    assert canonical.decode(b"9007199254740991") == canonical.MAX_INTEGER
    assert code(canonical.decode, b'"' + b"a" * 40 + b'"', limit=41) == "json.too_large"
    for value, expected in ((1.0, "json.type"), (b"x", "json.type"), ({1: 2}, "json.key"), ({"a": {1}}, "json.type"),
                            (2**53, "json.integer"), ("\ud800", "text.control")):  # fmt: skip
        assert code(canonical.encode, value) == expected


def test_keys_sort_by_utf_16():
    assert canonical.encode({"\U0001f600": 1, "\ufb01x": 2, "a": 3}) == '{"a":3,"\U0001f600":1,"\ufb01x":2}'.encode()
