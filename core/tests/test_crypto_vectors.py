"""Wycheproof for Ed25519 and X25519, and the public keys that registration must refuse."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.wire.errors import ProtocolError

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("FAIRWITNESS_TEST_DATA", ROOT.parent / "shared" / "data"))
P = 2**255 - 19


def wycheproof(kind: str) -> list[dict]:
    folder = DATA / "vectors" / "wycheproof"
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}")
    files = sorted(folder.glob(f"{kind}*.json"))
    assert files, f"{folder} holds no {kind} vectors"
    return [group for file in files for group in json.loads(file.read_text())["testGroups"]]


@pytest.mark.testdata
def test_wycheproof_ed25519():
    seen = 0
    for group in wycheproof("ed25519"):
        key = PublicKey(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            holds = key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            assert holds == (case["result"] == "valid"), (case["tcId"], case["comment"], case["flags"])
            seen += 1
    assert seen


@pytest.mark.testdata
def test_wycheproof_x25519():
    """The library that age sealing shares its curve with: right on every valid case, an all-zero secret refused."""
    seen = 0
    for group in wycheproof("x25519"):
        for case in group["tests"]:
            private = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["private"]))
            public = X25519PublicKey.from_public_bytes(bytes.fromhex(case["public"]))
            seen += 1
            if "ZeroSharedSecret" in case["flags"]:
                with pytest.raises(ValueError):
                    private.exchange(public)
            else:
                assert private.exchange(public).hex() == case["shared"], case["tcId"]
    assert seen


def small_order_points() -> list[int]:
    """The eight encodings, from the curve's own equation: y of points whose eightfold is the identity."""
    d = -121665 * pow(121666, -1, P) % P
    root = pow(2, (P - 1) // 4, P)

    def x_of(y: int) -> int | None:
        square = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        if x * x % P != square:
            x = x * root % P
        return x if x * x % P == square else None

    def double(point: tuple[int, int]) -> tuple[int, int]:
        x, y = point
        product = d * x * x * y * y % P
        return 2 * x * y * pow(1 + product, -1, P) % P, (y * y + x * x) * pow(1 - product, -1, P) % P

    # An order-8 point doubles to one with y = 0, so its coordinates satisfy y^2 = -x^2 and with the curve d*y^4 + 2*y^2 - 1 = 0.
    ys = {0, 1, P - 1}
    discriminant = pow(1 + d, (P + 3) // 8, P)
    if discriminant * discriminant % P != (1 + d) % P:
        discriminant = discriminant * root % P
    for sign in (1, -1):
        square = (-1 + sign * discriminant) * pow(d, -1, P) % P
        y = pow(square, (P + 3) // 8, P)
        if y * y % P != square:
            y = y * root % P
        if y * y % P == square:
            ys |= {y, P - y}
    for y in ys:
        x = x_of(y)
        assert x is not None
        point = (x, y)
        for _ in range(3):
            point = double(point)
        assert point == (0, 1)
    return sorted(ys)


def encodings() -> list[tuple[str, bytes]]:
    """Every byte string that decodes, leniently, to a point of small order: both signs, and y + P where it still fits."""
    out = []
    for y in small_order_points():
        for sign in (0, 1):
            out.append((f"small y={y % 1000} sign={sign}", (y | sign << 255).to_bytes(32, "little")))
            if y + P < 1 << 255:
                out.append((f"small lifted y={y} sign={sign}", (y + P | sign << 255).to_bytes(32, "little")))
    return out


@pytest.mark.parametrize(("name", "raw"), encodings(), ids=lambda v: v if isinstance(v, str) else "")
def test_small_order_keys_are_refused_at_registration(name, raw):
    with pytest.raises(ProtocolError, match=r"^key\.(small_order|non_canonical):"):
        PublicKey(raw)


def test_there_are_eight_points_of_small_order():
    points = {(y, sign) for y in small_order_points() for sign in (0, 1)}
    # y = 1 and y = -1 have x = 0, so both signs mean one point.
    assert len(points) - 2 == 8


@pytest.mark.parametrize("low", range(19))
@pytest.mark.parametrize("sign", [0, 1])
def test_every_non_canonical_y_is_refused(low, sign):
    raw = (P + low | sign << 255).to_bytes(32, "little")
    with pytest.raises(ProtocolError, match=r"^key\.non_canonical:"):
        PublicKey(raw)


def test_a_small_order_key_would_sign_anything():
    """Why registration refuses them: under the identity, one signature holds for every message with this library."""
    identity = (1).to_bytes(32, "little")
    forged = identity + bytes(32)
    Ed25519PublicKey.from_public_bytes(identity).verify(forged, b"anything")
    Ed25519PublicKey.from_public_bytes(identity).verify(forged, b"at all")


def test_ordinary_keys_pass_and_bad_signatures_do_not_raise():
    key = SigningKey(bytes(32))
    signature = key.sign(b"m")
    assert key.public.verify(signature, b"m")
    for broken in (b"", signature[:-1], signature + b"\0", bytes(64), b"\xff" * 64):
        assert not key.public.verify(broken, b"m")
    # s + L encodes the same scalar (malleability, RFC 8032 section 5.1.7)
    order = 2**252 + 27742317777372353535851937790883648493
    lifted = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not key.public.verify(signature[:32] + lifted, b"m")
