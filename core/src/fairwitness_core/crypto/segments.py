"""Sealed files that can be read at any place: a row of small age files in one container (format FWS1).

An age file opens from its first byte to its last; a player asks for the middle of a clip. So a file at rest is cut into
segments, each sealed whole by pyrage (`crypto.seal`), and only the segments that are asked for are opened. There is no
cryptography in this module. Numbers are big-endian:

    container = "FWS1" segment...        segment = u32 length | length bytes: one binary age v1 file
    what each age file holds = head | data        head = 16-byte file id | u64 number from 0 | u8 last (0 or 1)

Every segment but the last holds exactly DATA bytes of data; the last holds 1 to DATA, or none where the file is empty. The
head is inside the seal, so a segment that was moved, dropped, repeated, or taken from another file is noticed. The file id
is random and known only to who can open the file: knowing the recipient is enough to replace a whole file, never a part of
one. Lengths are bounded before anything is read, and nothing holds more than a few segments in memory.
"""

import io
import struct
from array import array
from collections.abc import Sequence
from typing import BinaryIO, Final

from fairwitness_core.crypto import random, seal
from fairwitness_core.wire.errors import ProtocolError

MAGIC: Final = b"FWS1"
SUFFIX: Final = ".fws"
"""Ends the name of a file in this format."""

_HEAD: Final = struct.Struct(">16sQB")
_LENGTH: Final = struct.Struct(">I")
DATA: Final = seal.MAX_SMALL - _HEAD.size
"""Bytes of the file in every segment but the last: with its head, 1 MiB."""
_LONGEST: Final = seal.MAX_SMALL + 65536
_AGE_HEADER: Final = 8192
_AGE_CHUNK: Final = 65536


def _bad(message: str) -> ProtocolError:
    return ProtocolError("seal.segment", message)


class SegmentWriter:
    """Seals what it is given to `recipients`, segment by segment, into `sink`. Nothing can be read back before `close`.

    Whatever `sink` raises passes through, and then the writer is spent: what it wrote is no whole file and never reads as one.
    Raises ProtocolError `seal.recipient`. Not thread-safe. `sink` stays open and unflushed; it belongs to the caller.
    """

    def __init__(self, sink: seal.Writable, recipients: Sequence[str]) -> None:
        if not recipients:
            raise ProtocolError("seal.recipient", "there is no recipient to seal to")
        self._recipients = tuple(seal.check_recipient(text) for text in recipients)
        self._sink = sink
        self._id = random.token_bytes(16)
        self._number = 0
        self._held = bytearray()
        self._spent = False

    def write(self, data: bytes, /) -> int:
        """Take all of `data`; seals whenever more than one segment is held. Raises ValueError after `close` or a failure."""
        if self._spent:
            raise ValueError("this writer is closed or failed")
        view = memoryview(data)
        for at in range(0, len(view), DATA):
            self._held += view[at : at + DATA]
            if len(self._held) > DATA:  # not at exactly DATA: that may yet be the last
                self._seal(DATA, last=False)
        return len(view)

    def close(self) -> None:
        """Seal the last segment; harmless to repeat. Raises ValueError if a write failed before."""
        if self._number < 0:
            return
        if self._spent:
            raise ValueError("this writer failed; what it wrote is no whole file")
        self._seal(len(self._held), last=True)
        self._spent, self._number = True, -1

    def _seal(self, size: int, *, last: bool) -> None:
        self._spent = True
        plain = _HEAD.pack(self._id, self._number, last) + self._held[:size]
        sealed = seal.seal_bytes(plain, self._recipients)
        if len(sealed) > _LONGEST:
            raise ProtocolError("seal.recipient", "there are too many recipients")
        self._sink.write((b"" if self._number else MAGIC) + _LENGTH.pack(len(sealed)))
        self._sink.write(sealed)
        del self._held[:size]
        self._number += 1
        self._spent = False


class SegmentReader(io.RawIOBase):
    """A seekable, read-only view of what `SegmentWriter` sealed; `size` is its length in bytes.

    On construction: 1. the lengths add up to the file's end; 2. the last segment opens and says that it is the last of as
    many as there are, so nothing was cut off. Each later read opens the segment that it falls into (one is kept) and hands
    out nothing of it before 3. all of it is authentic and 4. it is this file's, at its own place. Raises ProtocolError
    `seal.segment` for 1., 2. and 4., and `seal.open` for a foreign key or changed bytes. What `source` raises passes through.
    The reader owns `source`: closing it, or refusing it, closes `source` too.
    """

    def __init__(self, source: BinaryIO, identities: Sequence[str]) -> None:
        self._source = source
        self._identities = tuple(identities)
        self._plain = memoryview(b"")
        self._at = 0
        self._kept = -1
        try:
            # 1.
            self._places = self._walk()
            # 2.
            self._id, self.size = self._end()
        except BaseException:
            self.close()
            raise

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
        """Fill `buffer` from one segment; raises ProtocolError when that segment is not the right one."""
        if self._at >= self.size or not len(buffer):
            return 0
        self._keep(self._at // DATA)
        start = self._at % DATA
        part = self._plain[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        """Forget what was opened and close the sealed file."""
        if not self.closed:
            self._plain = memoryview(b"")
            self._source.close()
        super().close()

    def _walk(self) -> "array[int]":
        """Return where each segment's age file begins, and where one after the last would.

        Lengths are not authenticated: a wrong one leads to nothing that opens.
        """
        end = self._source.seek(0, io.SEEK_END)
        self._source.seek(0)
        if self._exactly(len(MAGIC)) != MAGIC:
            raise _bad("this is not a file of sealed segments")
        places, at = array("Q"), len(MAGIC)
        while at < end:
            self._source.seek(at)
            (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
            at += _LENGTH.size
            places.append(at)
            at += length
            if length > _LONGEST or at > end or (at < end and length <= seal.MAX_SMALL):
                raise _bad("a segment's length cannot be")
        if not places:
            raise _bad("there is no segment")
        places.append(end + _LENGTH.size)
        return places

    def _end(self) -> tuple[bytes, int]:
        """Open the last segment; return the file's id and size."""
        last = len(self._places) - 2
        file_id, number, flag = self._open(last)
        if (number, flag) != (last, 1):
            raise _bad("segments were cut off, or stand in another order")
        if not self._plain and last:
            raise _bad("the last segment holds nothing")
        self._kept = last
        return file_id, last * DATA + len(self._plain)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._source.read(size - len(data))
            if not part:
                raise _bad("the file is cut short")
            data += part
        return data

    def _open(self, number: int) -> tuple[bytes, int, int]:
        """Open segment `number` into `_plain` and return what its head says: file id, number, last."""
        self._kept = -1
        start, after = self._places[number], self._places[number + 1] - _LENGTH.size
        self._source.seek(start - _LENGTH.size)
        framed = self._exactly(after - start + _LENGTH.size)
        if framed[: _LENGTH.size] != _LENGTH.pack(after - start):
            raise _bad("the file changed while it was read")
        plain = memoryview(seal.open_bytes(framed[_LENGTH.size :], self._identities))
        if len(plain) < _HEAD.size:
            raise _bad("a segment has no head")
        self._plain = plain[_HEAD.size :]
        found: tuple[bytes, int, int] = _HEAD.unpack(plain[: _HEAD.size])
        return found

    def _keep(self, number: int) -> None:
        if number == self._kept:
            return
        last = number == len(self._places) - 2
        # 3., 4.
        if self._open(number) != (self._id, number, last) or (not last and len(self._plain) != DATA):
            raise _bad("a segment is of another place or of another file")
        self._kept = number


class _EnoughError(Exception):
    """The first bytes came out: the key fits."""


class _FirstBytes:
    def write(self, _data: bytes, /) -> None:
        raise _EnoughError


class _Start:
    """The start of an age file and a little more, so that a try costs the same however long the file is."""

    def __init__(self, source: seal.Readable, start: bytes) -> None:
        self._source = source
        self._start = start
        self._left = 2 * _AGE_CHUNK

    def read(self, size: int, /) -> bytes:
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
            return data
        data = self._source.read(min(size, self._left))
        self._left -= len(data)
        return data


def which_opens(identities: Sequence[str], source: BinaryIO) -> str | None:
    """Return the first of `identities` that opens the age file which begins at the present place of `source`, or None.

    pyrage tries each, up to the first authentic bytes: None says that no key fits **or** that those bytes were changed. That
    the file is whole is not known. Raises ProtocolError `seal.format` for what is no binary age file or has a header of more
    than 8 KiB (pyrage's time grows with its square), `seal.identity`; what `source` raises passes through.
    """
    place = source.tell()
    for identity in identities:
        source.seek(place)
        start = _header(source)
        try:
            seal.open_stream(_Start(source, start), _FirstBytes(), [identity])
        except _EnoughError:
            return identity
        except ProtocolError as error:
            if error.code != "seal.open":
                raise
        else:
            return identity  # a whole file that holds nothing
    return None


def _header(source: BinaryIO) -> bytes:
    """Return the first bytes, in which the line that ends an age header must begin (age-encryption.org/v1, "Header")."""
    start = b""
    while len(start) < _AGE_HEADER and (part := source.read(_AGE_HEADER - len(start))):
        start += part
    if b"\n---" not in start:
        raise ProtocolError("seal.format", "this is not a binary age v1 file", evidence=repr(start[:22]))
    return start
