"""Sealing to X25519 recipients in the age v1 format (age-encryption.org/v1, protocol.md section 3 and 5.3).

pyrage does the cryptography. It **holds the GIL for the whole call**, so nothing else in the process runs while a stream is
sealed or opened, except inside the caller's own `read` and `write`. A server therefore does this in a worker process.
Streams are never whole in memory: `seal_bytes` and `open_bytes` exist for keys and other small things and say so by a limit.
"""

import re
from collections.abc import Sequence
from typing import Final, Protocol

import pyrage

from fairwitness_core.wire.errors import ProtocolError

MAX_SMALL: Final = 1 << 20
"""Most bytes that `seal_bytes` and `open_bytes` take; anything larger is a stream."""

_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_IDENTITY = re.compile(r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}")
_INTRO = b"age-encryption.org/v1\n"


class Readable(Protocol):
    """A source of bytes. `read` returns at most `size` bytes and MUST return none only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, empty at the end."""
        ...


class Writable(Protocol):
    """A sink of bytes. `write` MUST take all of `data` or raise."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
        ...


class _Source:
    """Hands a caller's source to pyrage and remembers what it raised, which pyrage would reduce to a sentence."""

    def __init__(self, inner: Readable, *, want_intro: bool = False) -> None:
        self._inner = inner
        self._intro = _INTRO if want_intro else b""
        self._seen = b""
        self.failure: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._inner.read(size)
            self._check(data)
        except BaseException as error:
            self.failure = error
            raise
        return data

    def _check(self, data: bytes) -> None:
        """Refuse armour: a second encoding of one message would give it a second hash."""
        if len(self._seen) < len(self._intro):
            self._seen += data[: len(self._intro) - len(self._seen)]
            if not self._intro.startswith(self._seen):
                raise ProtocolError("seal.format", "this is not a binary age v1 file", evidence=repr(self._seen))


class _Sink:
    """Hands a caller's sink to pyrage and remembers what it raised."""

    def __init__(self, inner: Writable) -> None:
        self._inner = inner
        self.failure: BaseException | None = None

    def write(self, data: bytes) -> int:
        if self.failure is not None:
            raise self.failure  # pyrage may write again after a failure: the first one says what went wrong
        try:
            self._inner.write(data)
        except BaseException as error:
            self.failure = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back here; the owner of the inner sink flushes it."""


def new_identity() -> tuple[str, str]:
    """Make a key from OS randomness; return (secret identity, public recipient) in age's Bech32 forms."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def recipient_of(identity: str) -> str:
    """Return the public recipient of a secret `identity`; raises ProtocolError without quoting the secret."""
    return str(_identity(identity).to_public())


def check_recipient(text: str) -> str:
    """Return `text` when it is one lower-case X25519 recipient of 62 characters with a good checksum, else ProtocolError."""
    _recipient(text)
    return text


def _recipient(text: str) -> pyrage.x25519.Recipient:
    if not isinstance(text, str) or not _RECIPIENT.fullmatch(text):
        raise ProtocolError("seal.recipient", "a recipient is age1 and 58 Bech32 characters", evidence=str(text)[:80])
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise ProtocolError("seal.recipient", "the recipient's checksum is wrong", evidence=text) from error


def _identity(text: str) -> pyrage.x25519.Identity:
    if not isinstance(text, str) or not _IDENTITY.fullmatch(text):
        raise ProtocolError("seal.identity", "an identity is AGE-SECRET-KEY-1 and 58 Bech32 characters")
    try:
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError as error:
        raise ProtocolError("seal.identity", "the identity's checksum is wrong") from error


def seal_stream(source: Readable, sink: Writable, recipients: Sequence[str]) -> None:
    """Encrypt all of `source` to every one of `recipients` into `sink`, 64 KiB at a time.

    Raises ProtocolError for a bad or missing recipient; whatever `source` or `sink` raises passes through unchanged, and
    then the sink holds an unfinished file that no one can open as if it were whole (age STREAM, final chunk missing).
    """
    if not recipients:
        raise ProtocolError("seal.recipient", "there is no recipient to seal to")
    to = [_recipient(text) for text in recipients]
    reader, writer = _Source(source), _Sink(sink)
    try:
        pyrage.encrypt_io(reader, writer, to)
    except (pyrage.EncryptError, OSError) as error:
        _pass_on(reader, writer)
        raise ProtocolError("seal.encrypt", "the stream could not be sealed", evidence=str(error)) from error


def open_stream(source: Readable, sink: Writable, identities: Sequence[str]) -> None:
    """Decrypt all of `source` with one of `identities` into `sink`.

    Bytes reach the sink chunk by chunk, each authenticated; that the file is *whole* is known only when this returns, so a
    caller keeps what it received in quarantine until then. Raises ProtocolError `seal.open` for a foreign key, tampering,
    truncation or trailing bytes; whatever `source` or `sink` raises passes through unchanged.
    """
    if not identities:
        raise ProtocolError("seal.identity", "there is no identity to open with")
    keys = [_identity(text) for text in identities]
    reader, writer = _Source(source, want_intro=True), _Sink(sink)
    try:
        pyrage.decrypt_io(reader, writer, keys)
    except (pyrage.DecryptError, OSError) as error:
        _pass_on(reader, writer)
        raise ProtocolError("seal.open", "not sealed to this key, or changed on the way", evidence=str(error)) from error


def _pass_on(reader: _Source, writer: _Sink) -> None:
    failure = reader.failure or writer.failure
    if failure is not None:
        raise failure


class _Bytes:
    """Bytes as a source and a sink."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self._at = 0
        self.parts: list[bytes] = []

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else self._at + size
        out = self._data[self._at : end]
        self._at += len(out)
        return out

    def write(self, data: bytes) -> int:
        self.parts.append(data)
        return len(data)


def seal_bytes(data: bytes, recipients: Sequence[str]) -> bytes:
    """Seal a key or another small thing (at most 1 MiB; `seal_stream` is for clips). Raises ProtocolError."""
    if len(data) > MAX_SMALL:
        raise ProtocolError("seal.size", "only small things are sealed in memory", hint="use seal_stream")
    sink = _Bytes()
    seal_stream(_Bytes(data), sink, recipients)
    return b"".join(sink.parts)


def open_bytes(data: bytes, identities: Sequence[str]) -> bytes:
    """Open what `seal_bytes` made. Raises ProtocolError `seal.open` when the key is foreign or a byte was changed."""
    if len(data) > MAX_SMALL + 65536:
        raise ProtocolError("seal.size", "only small things are opened in memory", hint="use open_stream")
    sink = _Bytes()
    open_stream(_Bytes(data), sink, identities)
    return b"".join(sink.parts)
