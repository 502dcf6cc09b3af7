"""Reading one's own sealed file at any place, without opening the rest (age-encryption.org/v1).

`crypto.seal` streams from the first byte to the last, which is what an intake needs. A player asks for the middle of a
clip, and a checker jumps between boxes: `SealedFile` decrypts only the 64 KiB chunks that are asked for, each
authenticated, and never holds more than one. It reads the X25519 recipient stanza and no other. Sections named below
are those of the age specification.
"""

import base64
import binascii
import hashlib
import hmac
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fairwitness_core.wire.errors import ProtocolError

INTRO: Final = b"age-encryption.org/v1\n"
CHUNK: Final = 65536
_TAG: Final = 16
_MAX_HEADER: Final = 16384
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PREFIX = "age-secret-key-"


def _bad(message: str) -> ProtocolError:
    return ProtocolError("seal.open", message)


def _secret(identity: str) -> X25519PrivateKey:
    """Read `AGE-SECRET-KEY-1...` (Bech32, BIP 173); raises ProtocolError without quoting the secret."""
    wrong = ProtocolError("seal.identity", "not an age X25519 identity")
    lower = identity.lower()
    prefix, _, rest = lower.rpartition("1")
    if prefix != _PREFIX or identity != identity.upper() or any(c not in _BECH32 for c in rest):
        raise wrong
    values = [_BECH32.index(c) for c in rest]
    state = 1
    for value in [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values]:
        top, state = state >> 25, (state & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            state ^= term if top >> bit & 1 else 0
    number = 0
    for value in values[:-6]:
        number = number << 5 | value
    spare = 5 * len(values[:-6]) - 256
    if state != 1 or not 0 <= spare < 5 or number & ((1 << spare) - 1):
        raise wrong
    return X25519PrivateKey.from_private_bytes((number >> spare).to_bytes(32, "big"))


def _derive(secret: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(secret)


def _unpadded(text: bytes) -> bytes:
    """Section "Base64": standard alphabet, no padding, canonical."""
    try:
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise _bad("the header's base64 is wrong") from error
    if base64.b64encode(raw).rstrip(b"=") != text:
        raise _bad("the header's base64 is not canonical")
    return raw


@dataclass(frozen=True, slots=True)
class _Header:
    """What stands before the payload: X25519 stanzas as (ephemeral share, wrapped key), the MAC and what it covers."""

    stanzas: tuple[tuple[bytes, bytes], ...]
    mac: bytes
    covered: bytes
    length: int

    @classmethod
    def read(cls, data: bytes) -> "_Header":
        if not data.startswith(INTRO):
            raise _bad("this is not a binary age v1 file")
        end = data.find(b"\n--- ")
        newline = data.find(b"\n", end + 5)
        if end < 0 or newline < 0:
            raise _bad("the header does not end")
        lines = data[len(INTRO) : end].split(b"\n")
        stanzas: list[tuple[bytes, bytes]] = []
        while lines:
            words = lines.pop(0).split(b" ")
            if words[0] != b"->" or len(words) < 2:
                raise _bad("a recipient stanza does not begin with an arrow")
            body = b""
            while True:
                if not lines:
                    if len(body) % 64:
                        break
                    raise _bad("a recipient stanza does not end")
                line = lines.pop(0)
                body += line
                if len(line) < 64:
                    break
            if words[1] == b"X25519":
                share, wrapped = _unpadded(words[2]) if len(words) == 3 else b"", _unpadded(body)
                if len(share) != 32 or len(wrapped) != 32:
                    raise _bad("an X25519 stanza has the wrong form")
                stanzas.append((share, wrapped))
        return cls(tuple(stanzas), _unpadded(data[end + 5 : newline]), data[: end + 4], newline + 1)

    def file_key(self, identity: str) -> bytes | None:
        """Return the file key that `identity` unwraps, or None; raises ProtocolError if the header was changed."""
        secret = _secret(identity)
        own = secret.public_key().public_bytes_raw()
        for share, wrapped in self.stanzas:
            try:
                shared = secret.exchange(X25519PublicKey.from_public_bytes(share))
                key = _derive(shared, share + own, b"age-encryption.org/v1/X25519")
                found = ChaCha20Poly1305(key).decrypt(bytes(12), wrapped, None)
            except (InvalidTag, ValueError):
                continue
            expected = hmac.digest(_derive(found, None, b"header"), self.covered, hashlib.sha256)
            if not hmac.compare_digest(expected, self.mac):
                raise _bad("the header was changed")
            return found
        return None


def which_opens(stream: BinaryIO, identities: Sequence[str]) -> int | None:
    """Return the position of the first of `identities` to which the sealed `stream` is addressed, or None.

    Reads the header alone, from the stream's present place. Raises ProtocolError `seal.open` for what is no age file.
    """
    header = _Header.read(stream.read(_MAX_HEADER))
    for position, identity in enumerate(identities):
        if header.file_key(identity) is not None:
            return position
    return None


class SealedFile(io.RawIOBase):
    """A seekable, read-only view of what a sealed file holds.

    On construction: 1. the header is whole and addressed to `identity`; 2. the last chunk is the last one and authentic, so
    the file was not cut short. Each later read authenticates its own chunk. Raises ProtocolError `seal.open`.
    Closing it, or refusing it, closes `stream` too.
    """

    def __init__(self, stream: BinaryIO, identity: str) -> None:
        self._stream = stream  # first, so that `close` knows it whatever is refused below
        self._plain = b""
        stream.seek(0)
        header = _Header.read(stream.read(_MAX_HEADER))
        key = header.file_key(identity)
        if key is None:
            raise _bad("not sealed to this key")
        stream.seek(header.length)
        nonce = stream.read(16)
        if len(nonce) != 16:
            raise _bad("the file is cut short")
        self._cipher = ChaCha20Poly1305(_derive(key, nonce, b"payload"))
        self._start = header.length + 16
        sealed = stream.seek(0, io.SEEK_END) - self._start
        self._chunks = max(1, -(-sealed // (CHUNK + _TAG)))
        self.size = sealed - self._chunks * _TAG
        if sealed - (self._chunks - 1) * (CHUNK + _TAG) < (_TAG if self._chunks == 1 else _TAG + 1):
            raise _bad("the file is cut short")
        self._at = 0
        self._held = -1
        self._load(self._chunks - 1)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that any place can be read."""
        return True

    def tell(self) -> int:
        """Return the present place in the plaintext."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place in the plaintext, as any file does."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("before the start of the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "memoryview[int] | bytearray", /) -> int:  # type: ignore[override]  # io types any buffer
        """Fill `buffer` from one chunk; raises ProtocolError when that chunk is not authentic."""
        if self._at >= self.size or not len(buffer):
            return 0
        self._load(self._at // CHUNK)
        part = self._plain[self._at % CHUNK : self._at % CHUNK + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        """Forget what was decrypted and close the sealed file."""
        if not self.closed:
            self._plain = b""
            self._stream.close()
        super().close()

    def _load(self, number: int) -> None:
        if number == self._held:
            return
        self._stream.seek(self._start + number * (CHUNK + _TAG))
        nonce = number.to_bytes(11, "big") + (b"\x01" if number == self._chunks - 1 else b"\x00")
        try:
            self._plain = self._cipher.decrypt(nonce, self._stream.read(CHUNK + _TAG), None)
        except InvalidTag as error:
            raise _bad("a chunk was changed or cut off") from error
        self._held = number
