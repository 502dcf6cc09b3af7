"""The client's half of VOPRF(P-384, SHA-384), RFC 9497 section 3.3.2.

The `voprf` package keeps a client's blinding factor in an object that cannot be stored. A home must be able to lose power
between asking for a token and getting it, so this module keeps the factor as a number. Every multiplication of a point
by a secret runs inside OpenSSL (as a Diffie-Hellman exchange, which is constant in time); only hashing to the curve,
on a value that the hub will see anyway when the token is spent, is plain Python. The issuer's half is not here.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fairwitness_core.crypto import random
from fairwitness_core.wire.errors import ProtocolError

ELEMENT_SIZE = 49  # a compressed point (SEC 1 section 2.3.3)
SCALAR_SIZE = 48
PROOF_SIZE = 2 * SCALAR_SIZE
OUTPUT_SIZE = 48

_CURVE = ec.SECP384R1()
_P = 2**384 - 2**128 - 2**96 + 2**32 - 1
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
_A = -3
_B = 0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF
_Z = -12  # RFC 9380 section 8.3
_FIELD_BYTES = 72  # L of RFC 9380 section 8.3
_CONTEXT = b"OPRFV1-\x01-P384-SHA384"  # RFC 9497 section 3.1, mode VOPRF

type Point = tuple[int, int]


def decode_element(data: bytes) -> Point:
    """Read a compressed point that lies on the curve and is not the identity; raises ProtocolError."""
    if len(data) != ELEMENT_SIZE or data[0] not in (2, 3):
        raise ProtocolError("token.element", "a group element is a compressed P-384 point of 49 bytes")
    try:
        numbers = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, data).public_numbers()
    except ValueError as error:
        raise ProtocolError("token.element", "the bytes are no point of P-384", evidence=data.hex()) from error
    return numbers.x, numbers.y


def encode_element(point: Point) -> bytes:
    """Write a point in compressed form."""
    return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(SCALAR_SIZE, "big")


def decode_scalar(data: bytes) -> int:
    """Read a scalar in [1, order - 1]; raises ProtocolError (RFC 9497 section 4.4, zero being of no use here)."""
    value = int.from_bytes(data, "big")
    if len(data) != SCALAR_SIZE or not 0 < value < ORDER:
        raise ProtocolError("token.scalar", "a scalar has 48 bytes and lies between 1 and the group order")
    return value


def random_scalar() -> bytes:
    """Draw a uniform non-zero scalar (16 surplus bytes make the bias negligible)."""
    return (int.from_bytes(random.token_bytes(64), "big") % (ORDER - 1) + 1).to_bytes(SCALAR_SIZE, "big")


def _root(square: int) -> int:
    """Square root modulo P, which is 3 modulo 4; meaningless for a non-residue."""
    return pow(square, (_P + 1) // 4, _P)


def _curve_square(x: int) -> int:
    return (x * x * x + _A * x + _B) % _P


def _add(one: Point, two: Point) -> Point:
    if one[0] == two[0]:
        if (one[1] + two[1]) % _P == 0:
            raise ProtocolError("token.element", "the sum is the identity, which no honest party produces")
        slope = (3 * one[0] * one[0] + _A) * pow(2 * one[1], -1, _P) % _P
    else:
        slope = (two[1] - one[1]) * pow(two[0] - one[0], -1, _P) % _P
    x = (slope * slope - one[0] - two[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P


def multiply(scalar: int, point: Point) -> Point:
    """Return scalar times point, for scalar in [1, order - 1].

    OpenSSL's exchange gives only the x of a product, so the next multiple decides between the two signs of y.
    """
    if scalar == 1:
        return point
    if scalar == ORDER - 1:
        return point[0], _P - point[1]
    peer = ec.EllipticCurvePublicNumbers(point[0], point[1], _CURVE).public_key()
    x = int.from_bytes(ec.derive_private_key(scalar, _CURVE).exchange(ec.ECDH(), peer), "big")
    following = int.from_bytes(ec.derive_private_key(scalar + 1, _CURVE).exchange(ec.ECDH(), peer), "big")
    y = _root(_curve_square(x))
    return (x, y) if _add((x, y), point)[0] == following else (x, _P - y)


def multiply_base(scalar: int) -> Point:
    """Return scalar times the base point, for scalar in [1, order - 1]."""
    numbers = ec.derive_private_key(scalar, _CURVE).public_key().public_numbers()
    return numbers.x, numbers.y


def public_of(scalar: bytes) -> bytes:
    """Return the public element of a secret scalar."""
    key = ec.derive_private_key(decode_scalar(scalar), _CURVE).public_key()
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)


def _expand(message: bytes, tag: bytes, size: int) -> bytes:
    """expand_message_xmd with SHA-384 (RFC 9380 section 5.3.1)."""
    suffix = tag + bytes([len(tag)])
    first = hashlib.sha384(bytes(128) + message + size.to_bytes(2, "big") + b"\0" + suffix).digest()
    block = hashlib.sha384(first + b"\x01" + suffix).digest()
    out = block
    for index in range(2, -(-size // 48) + 1):
        mixed = bytes(a ^ b for a, b in zip(first, block, strict=True))
        block = hashlib.sha384(mixed + bytes([index]) + suffix).digest()
        out += block
    return out[:size]


def _map_to_curve(u: int) -> Point:
    """Simplified SWU (RFC 9380 section 6.6.2)."""
    zu = _Z * u * u % _P
    denominator = (zu * zu + zu) % _P
    fraction = 1 + pow(denominator, -1, _P) if denominator else -pow(_Z, -1, _P)
    x = -_B * pow(_A, -1, _P) * fraction % _P
    square = _curve_square(x)
    y = _root(square)
    if y * y % _P != square:
        x = zu * x % _P
        y = _root(_curve_square(x))
    return (x, y) if y & 1 == u & 1 else (x, _P - y)


def hash_to_group(message: bytes) -> Point:
    """P384_XMD:SHA-384_SSWU_RO_ under the VOPRF tag (RFC 9497 section 4.4)."""
    uniform = _expand(message, b"HashToGroup-" + _CONTEXT, 2 * _FIELD_BYTES)
    halves = (uniform[:_FIELD_BYTES], uniform[_FIELD_BYTES:])
    one, two = (_map_to_curve(int.from_bytes(half, "big") % _P) for half in halves)
    return _add(one, two)


def _hash_to_scalar(message: bytes) -> int:
    return int.from_bytes(_expand(message, b"HashToScalar-" + _CONTEXT, _FIELD_BYTES), "big") % ORDER


def _prefixed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


@dataclass(frozen=True, slots=True)
class Blinded:
    """An input hidden under a secret scalar; `element` is what the issuer sees."""

    scalar: bytes
    element: bytes


def blind(message: bytes, scalar: bytes) -> Blinded:
    """Hide `message` under `scalar` (48 bytes, secret, used once)."""
    return Blinded(scalar, encode_element(multiply(decode_scalar(scalar), hash_to_group(message))))


def proof_holds(public: bytes, blinded: bytes, evaluated: bytes, proof: bytes) -> bool:
    """Check that `evaluated` was made with the key of `public` (RFC 9497 section 2.2.2, one element).

    Raises ProtocolError when a part is malformed.
    """
    challenge, response = decode_scalar(proof[:SCALAR_SIZE]), decode_scalar(proof[SCALAR_SIZE:])
    key, before, after = decode_element(public), decode_element(blinded), decode_element(evaluated)
    seed = hashlib.sha384(_prefixed(public, b"Seed-" + _CONTEXT)).digest()
    weight = _hash_to_scalar(_prefixed(seed) + b"\0\0" + _prefixed(blinded, evaluated) + b"Composite")
    if weight == 0:
        return False
    m, z = multiply(weight, before), multiply(weight, after)
    t2 = _add(multiply_base(response), multiply(challenge, key))
    t3 = _add(multiply(response, m), multiply(challenge, z))
    transcript = _prefixed(public, *(encode_element(point) for point in (m, z, t2, t3))) + b"Challenge"
    expected = _hash_to_scalar(transcript).to_bytes(SCALAR_SIZE, "big")
    return hmac.compare_digest(expected, proof[:SCALAR_SIZE])


def unblind(message: bytes, scalar: bytes, evaluated: bytes) -> bytes:
    """Take the blinding off an evaluation whose proof holds and return the 48-byte output (RFC 9497 section 3.3.1)."""
    inverse = pow(decode_scalar(scalar), -1, ORDER)
    element = encode_element(multiply(inverse, decode_element(evaluated)))
    return hashlib.sha384(_prefixed(message, element) + b"Finalize").digest()
