"""DSSE envelopes: the specification's vector, strictness, and who may be said to have signed."""

import pytest
from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

ONE, TWO, THREE = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
GOOD = dsse.sign(dsse.ENTRY, b'{"type":"x","v":1}', ONE, TWO)


def code(function, *arguments):
    with pytest.raises(ProtocolError) as caught:
        function(*arguments)
    return caught.value.code


def test_pre_authentication_encoding_of_the_specification():
    """The DSSE v1 specification's own example, and its lengths in bytes rather than characters."""
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.pae("", b"") == b"DSSEv1 0  0 "
    assert dsse.pae("\u00e9", b"\x00\xff") == b"DSSEv1 2 \xc3\xa9 2 \x00\xff"


@given(st.tuples(st.text(max_size=8), st.binary(max_size=12)), st.tuples(st.text(max_size=8), st.binary(max_size=12)))
def test_no_two_payloads_have_one_encoding(one, other):
    try:
        assert (dsse.pae(*one) == dsse.pae(*other)) == (one == other)
    except UnicodeEncodeError:
        pytest.fail("surrogates were not drawn")


def test_a_known_signature():
    """Ed25519 of RFC 8032 is deterministic: the envelope is one string of bytes."""
    assert GOOD.encode() == dsse.sign(dsse.ENTRY, GOOD.payload, ONE, TWO).encode()
    assert dsse.Envelope.parse(GOOD.encode()) == GOOD
    message = dsse.pae(dsse.ENTRY, GOOD.payload)
    assert ONE.public.verify(GOOD.signatures[0].sig, message)
    assert not ONE.public.verify(GOOD.signatures[1].sig, message)


def test_verify_wants_exactly_the_expected_signers():
    assert GOOD.verify(dsse.ENTRY, ONE.public, TWO.public) == GOOD.payload
    assert GOOD.verify(dsse.ENTRY, TWO.public, ONE.public) == GOOD.payload
    assert code(GOOD.verify, dsse.RESPONSE, ONE.public, TWO.public) == "dsse.type"
    for keys in ((ONE.public,), (ONE.public, THREE.public), (ONE.public, TWO.public, THREE.public), ()):
        assert code(GOOD.verify, dsse.ENTRY, *keys) == "dsse.signers"
    assert code(GOOD.verify, dsse.ENTRY, ONE.public, ONE.public) == "dsse.signers"
    assert GOOD.signers([THREE.public]) == ()
    assert GOOD.signers([TWO.public, ONE.public]) == (ONE.public, TWO.public)


def test_a_false_signature_of_a_known_key_is_never_passed_over():
    kid, sig = GOOD.signatures[0].kid, GOOD.signatures[1].sig
    forged = dsse.Envelope(dsse.ENTRY, GOOD.payload, (dsse.Signature(kid, sig), GOOD.signatures[1]))
    assert code(forged.signers, [ONE.public, TWO.public]) == "dsse.bad_signature"
    assert code(dsse.Envelope(dsse.ENTRY, GOOD.payload + b" ", GOOD.signatures).signers, [ONE.public]) == "dsse.bad_signature"
    # A hint of another key hides nobody: that signature simply is not theirs.
    hinted = dsse.Envelope(dsse.ENTRY, GOOD.payload, (dsse.Signature(THREE.public.kid, GOOD.signatures[0].sig),))
    assert code(hinted.verify, dsse.ENTRY, ONE.public) == "dsse.signers"


def broken(**changes):
    document = canonical.decode(GOOD.encode()) | changes
    return canonical.encode(document)


SIG = {"keyid": ONE.public.kid, "sig": dsse.b64(bytes(64))}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (broken(extra=1), "dsse.shape"),
        (b"[]", "dsse.shape"),
        (b'{"payload":"","payloadType":""}', "dsse.shape"),
        (broken(payloadType=1), "dsse.shape"),
        (broken(signatures={}), "dsse.shape"),
        (broken(signatures=[]), "dsse.signatures"),
        (broken(signatures=[SIG | {"keyid": f"{n:016}"} for n in range(9)]), "dsse.signatures"),
        (broken(signatures=[SIG, SIG]), "dsse.duplicate_signer"),
        (broken(signatures=[SIG | {"x": 1}]), "dsse.shape"),
        (broken(signatures=[{"sig": SIG["sig"]}]), "dsse.shape"),
        (broken(signatures=["x"]), "dsse.shape"),
        (broken(signatures=[SIG | {"keyid": 1}]), "dsse.shape"),
        (broken(signatures=[SIG | {"keyid": "short"}]), "dsse.signature_length"),
        (broken(signatures=[SIG | {"sig": dsse.b64(bytes(63))}]), "dsse.signature_length"),
        (broken(signatures=[SIG | {"sig": 1}]), "dsse.base64"),
        (broken(payload="_-8="), "dsse.base64"),
        (broken(payload="QQ"), "dsse.base64"),
        (broken(payload="QR=="), "dsse.base64"),
        (broken(payload="Q Q="), "dsse.base64"),
        (broken(payload=None), "dsse.base64"),
        (GOOD.encode() + b"\n", "json.not_canonical"),
        (b'{"payload":"","payload":"","payloadType":"","signatures":[]}', "json.duplicate_key"),
    ],
)
def test_other_shapes_are_refused(data, expected):
    assert code(dsse.Envelope.parse, data) == expected


@given(st.integers(0, len(GOOD.encode()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_no_longer_signed(at, bit):
    data = GOOD.encode()
    changed = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
    try:
        envelope = dsse.Envelope.parse(changed)
        assert envelope.encode() == changed
        envelope.verify(dsse.ENTRY, ONE.public, TWO.public)
    except ProtocolError:
        return
    pytest.fail("a changed envelope was believed")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_envelope_or_refused(data):
    try:
        assert dsse.Envelope.parse(data).encode() == data
    except ProtocolError:
        return


def test_public_keys_are_read_strictly():
    assert PublicKey.from_b64(ONE.public.b64) == ONE.public
    for text in ("", "AA==", ONE.public.b64 + "\n", ONE.public.b64.rstrip("="), "*" * 44):
        with pytest.raises(ProtocolError):
            PublicKey.from_b64(text)
