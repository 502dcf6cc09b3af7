"""A camera's finished segments, each chained to the one before it by its hash.

A link's record is SHA-256(record before || SHA-256 of the file || root of its pictures || start || end), start and end in
milliseconds since 1970 UTC as 64-bit big-endian numbers; the root is left out where there is none (docs/spec/recording.md): not
H.264, or a link of an earlier version. The first link's "record before" is SHA-256("fairwitness/segments" || the chain's own
16 random bytes), so no two cameras share a chain. Links stand as JSON lines in one file a UTC day, appended and synced one by
one; they stay when retention deletes a segment, so what a deleted segment was remains provable. Who can write this folder can
write a whole new chain: it shows that nothing was changed since somebody else saw a record of it, no more.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.model.recording import link_record
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import files

REASONS: Final = frozenset({"", "start", "camera", "stream", "clock", "disk", "crash", "source"})
"""Why there may be nothing between a link and the one before it: "" = they join without a gap."""

_NAME = re.compile(r"[0-9A-Za-z._/-]{1,200}")
_HASH = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d\.jsonl")
_ID = "chain.id"
_MAX_MS: Final = 2**47
_MAX_LINE: Final = 2048
_LONGEST_MS: Final = 3_600_000  # no segment is longer


@dataclass(frozen=True, slots=True)
class Link:
    """One finished segment. `start`, `end`: ms since 1970 UTC by this machine's clock. `path`: inside the camera's folder.

    `camera_ahead_ms`: how far the camera's own clock was ahead of this machine's (None: it did not say); `drift_ppm`: how much
    faster it ran, in millionths (None: not watched for long enough). `derived`: cut by a recorder, not its original file.
    `pictures`: hex root of its pictures' digests, "" = none; it then stands in no line, as in those of earlier versions.
    """

    number: int
    start: int
    end: int
    size: int
    sha256: str
    record: str
    path: str
    codec: str
    after: str
    camera_ahead_ms: int | None = None
    drift_ppm: int | None = None
    derived: bool = False
    pictures: str = ""

    def __post_init__(self) -> None:
        """Refuse what no recorder writes."""
        numbers = (self.number, self.start, self.end, self.size)
        if any(type(n) is not int or not 0 <= n < _MAX_MS for n in numbers) or self.start >= self.end:
            raise ProtocolError("chain.number", "a segment has a number, a size, and ends after it starts")
        for value in (self.camera_ahead_ms, self.drift_ppm):
            if value is not None and (type(value) is not int or abs(value) >= _MAX_MS):
                raise ProtocolError("chain.number", "a clock's error is a whole number")
        texts = (self.sha256, self.record, self.path, self.codec, self.after, self.pictures)
        if any(type(t) is not str for t in texts) or type(self.derived) is not bool:
            raise ProtocolError("chain.type", "a link's hashes and names are text")
        hashes = (self.sha256, self.record, self.pictures or self.sha256)
        if not all(_HASH.fullmatch(text) for text in hashes) or self.after not in REASONS:
            raise ProtocolError("chain.value", "a hash or a reason that no recorder writes")
        if not _NAME.fullmatch(self.path) or ".." in self.path or self.path.startswith("/") or not _NAME.fullmatch(self.codec):
            raise ProtocolError("chain.path", "a segment lies inside its camera's folder")

    def encode(self) -> bytes:
        """Return the line, with its end."""
        values = asdict(self)
        if not self.pictures:
            del values["pictures"]
        return json.dumps(values, separators=(",", ":"), sort_keys=True).encode() + b"\n"

    def follows(self, before: bytes) -> bool:
        """Tell whether this link's record is the one behind the record `before`."""
        return record_of(before, bytes.fromhex(self.sha256), self.start, self.end, self.pictures).hex() == self.record

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read a line (without its end); only what `encode` writes passes. Raises ProtocolError `chain.*`."""
        if len(line) > _MAX_LINE:
            raise ProtocolError("chain.line", "a link is too long")
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("chain.line", "a link is one JSON object") from error
        if not isinstance(found, dict) or set(found) | {"pictures"} != {field.name for field in fields(cls)}:
            raise ProtocolError("chain.fields", "a link has exactly its fields")
        link = cls(**found)
        if link.encode() != line + b"\n":
            raise ProtocolError("chain.form", "a link is written in one way")
        return link


@dataclass(frozen=True, slots=True)
class Hole:
    """Nothing was recorded from `start` to `end` (ms UTC), because of `reason`."""

    start: int
    end: int
    reason: str


def record_of(before: bytes, sha256: bytes, start: int, end: int, pictures: str = "") -> bytes:
    """Return a link's 32-byte record."""
    return link_record(before, sha256, bytes.fromhex(pictures), start, end)


def genesis(chain_id: bytes) -> bytes:
    """Return what stands before the first link of the chain `chain_id` (16 bytes)."""
    return hashlib.sha256(b"fairwitness/segments" + chain_id).digest()


class Chain:
    """The chain in the folder `root`. One writer at a time (the recorder holds a lock); anybody may read."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it is made at the first append."""
        self.root = root

    def identity(self) -> bytes:
        """Return the chain's 16 random bytes, drawn at the first call."""
        path = files.private_dir(self.root) / _ID
        if not path.exists():
            files.write_atomic(path, token_bytes(16).hex().encode())
        text = path.read_bytes()
        if not re.fullmatch(rb"[0-9a-f]{32}", text):
            raise ProtocolError("chain.id", "the chain's id is damaged")
        return bytes.fromhex(text.decode())

    def days(self) -> list[Path]:
        """Return the day files, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(path for path in self.root.iterdir() if _DAY.fullmatch(path.name))

    def last(self) -> Link | None:
        """Return the newest link. Raises ProtocolError."""
        for day in reversed(self.days()):
            lines = day.read_bytes().split(b"\n")[:-1]
            if lines:
                return Link.parse(lines[-1])
        return None

    def mend(self) -> None:
        """Cut off a line that a power cut left unfinished; its segment is linked again by the recorder."""
        for day in self.days()[-1:]:
            data = day.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole != len(data):
                files.write_atomic(day, data[:whole])

    def append(
        self,
        *,
        sha256: str,
        start: int,
        end: int,
        size: int,
        path: str,
        codec: str,
        after: str,
        pictures: str = "",
        **more: Any,
    ) -> Link:
        """Chain one finished segment behind the last; on disk when this returns. Raises ProtocolError, DiskFull, OSError."""
        before = self.last()
        head = genesis(self.identity()) if before is None else bytes.fromhex(before.record)
        record = record_of(head, bytes.fromhex(sha256), start, end, pictures).hex()
        number = 0 if before is None else before.number + 1
        link = Link(number, start, end, size, sha256, record, path, codec, after, pictures=pictures, **more)
        # A clock that was set back must not put a link before its predecessor: the order of the files is the order of the chain.
        day = f"{datetime.fromtimestamp(start / 1000, UTC):%Y-%m-%d}.jsonl"
        newest = self.days()[-1:]
        target = self.root / max(day, newest[0].name if newest else day)
        files.append_durable(target, link.encode())
        return link

    def read(self, cursor: str = "") -> tuple[list[Link], str]:
        """Return the links behind `cursor` (what the last call returned; "" = from the start) and the new cursor.

        Raises ProtocolError for a line that no recorder wrote, and `chain.cursor` for a cursor that fits nothing.
        """
        name, offset = _cursor(cursor)
        found: list[Link] = []
        for day in self.days():
            if day.name < name:
                continue
            data = day.read_bytes()
            skip = offset if day.name == name else 0
            whole = data.rfind(b"\n") + 1
            if skip > whole:
                raise ProtocolError("chain.cursor", "the chain is shorter than it was")
            found += [Link.parse(line) for line in data[skip:whole].split(b"\n")[:-1]]
            cursor = f"{day.name}:{whole}"
        return found, cursor

    def near(self, start: int, end: int | None = None) -> list[Link]:
        """Return the links of the days that could hold a segment between `start` and `end` (ms; None = all later ones).

        In the order of the chain. Raises ProtocolError for a line that no recorder wrote.
        """
        first = _day(start - _LONGEST_MS)
        last = "9" if end is None else _day(end + _LONGEST_MS)
        # The file before `first` as well: a clock that was set back puts later segments into it.
        days = [day for day in self.days() if day.name <= last]
        old = [day for day in days if day.name < first][-1:]
        found: list[Link] = []
        for day in (*old, *(day for day in days if day.name >= first)):
            found += [Link.parse(line) for line in day.read_bytes().split(b"\n")[:-1]]
        return found

    def holes(self, start: int, end: int) -> list[Hole]:
        """Return when nothing was recorded between `start` and `end` (ms) although recording went on before and after it."""
        # A day earlier as well: the link before the first of a day stands in another file.
        first = f"{datetime.fromtimestamp(max(start / 1000 - 86_400, 0), UTC):%Y-%m-%d}.jsonl"
        older = [day for day in self.days() if day.name < first][-1:]
        found: list[Hole] = []
        before: Link | None = None
        for link in self.read(f"{older[0].name}:0" if older else "")[0]:
            if before is not None and link.after and link.start > before.end and link.start > start and before.end < end:
                found.append(Hole(before.end, link.start, link.after))
            before = link
        return found

    def verify(self, folder: Path | None = None) -> Iterator[str]:
        """Yield a sentence for each thing that does not fit: broken links, and with `folder` files that differ from theirs.

        A file that is gone is no fault (retention deletes); a file that differs is. Raises ProtocolError for unreadable lines.
        """
        head = genesis(self.identity())
        for number, link in enumerate(self.read()[0]):
            if link.number != number or not link.follows(head):
                yield f"link {number}: it does not follow from the one before it"
                return
            head = bytes.fromhex(link.record)
            if folder is not None and (folder / link.path).is_file() and file_sha256(folder / link.path) != link.sha256:
                yield f"link {number}: {link.path} is not the file that was recorded"


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(max(moment, 0) / 1000, UTC):%Y-%m-%d}.jsonl"


def _cursor(text: str) -> tuple[str, int]:
    if not text:
        return "", 0
    name, _, offset = text.partition(":")
    if not _DAY.fullmatch(name) or not offset.isdecimal() or len(offset) > 12:
        raise ProtocolError("chain.cursor", "no such place in a chain")
    return name, int(offset)


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
