"""Ed25519 signatures (RFC 8032) with the strictness of protocol.md section 3.

Keys are 32 raw bytes on the wire. `PublicKey` refuses the small-order and non-canonical encodings that RFC 8032
implementations disagree about, so that a registered key verifies alike everywhere.
"""

import base64
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fairwitness_core.crypto import random
from fairwitness_core.wire.errors import ProtocolError

_P = 2**255 - 19
# y coordinates of the eight points of small order, sign bit cleared (each stands for both signs).
_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        _P - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A 32-byte Ed25519 public key that passed registration checks; raises ProtocolError otherwise."""

    raw: bytes

    def __post_init__(self) -> None:
        """Refuse what two implementations could read differently."""
        if len(self.raw) != 32:
            raise ProtocolError("key.length", "an Ed25519 public key has 32 bytes", evidence=str(len(self.raw)))
        y = int.from_bytes(self.raw, "little") & ((1 << 255) - 1)
        if y >= _P:
            raise ProtocolError("key.non_canonical", "the key is not in canonical form", evidence=self.raw.hex())
        if y in _SMALL_ORDER_Y:
            raise ProtocolError("key.small_order", "the key is a point of small order", evidence=self.raw.hex())

    @property
    def kid(self) -> str:
        """First 16 base64 characters of SHA-256(key): a hint, never a proof (protocol.md section 3)."""
        return base64.b64encode(hashlib.sha256(self.raw).digest())[:16].decode()

    @property
    def b64(self) -> str:
        """Standard base64 of the raw key, as it stands on the wire."""
        return base64.b64encode(self.raw).decode()

    @classmethod
    def from_b64(cls, text: str) -> "PublicKey":
        """Read the wire form; raises ProtocolError."""
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise ProtocolError("key.base64", "the key is not standard base64", evidence=text) from error
        if base64.b64encode(raw).decode() != text:
            raise ProtocolError("key.base64", "the key's base64 is not canonical", evidence=text)
        return cls(raw)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Tell whether `signature` (64 bytes) over `message` was made by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """An Ed25519 private key. `seed` is 32 bytes; its repr never shows it."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ProtocolError("key.seed", "an Ed25519 seed has 32 bytes", evidence=str(len(seed)))
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))

    @classmethod
    def generate(cls) -> "SigningKey":
        """Make a fresh key from OS randomness."""
        return cls(random.token_bytes(32))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for storage under a node key only."""
        return self._key.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.kid})"
