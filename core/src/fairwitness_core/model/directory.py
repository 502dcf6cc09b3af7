"""The directory: agencies' keys, token keys and policies, folded from log entries in their order (design.md 9.1).

Its bytes are the feed lines (see `feed`) of every directory entry so far; each tick carries their SHA-256, so a home that
follows the feed and a home that took a snapshot hold the same keys or notice. Keys are judged as of a log index.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.agency import AgencyAuthorized, AgencyKey, AgencySuspended, KeyRotated
from fairwitness_core.model.document import Document, UnknownKind, kind_of
from fairwitness_core.model.feed import Line, parse_lines
from fairwitness_core.model.hub import IssuerKey, PolicyChanged
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

DIRECTORY_TYPES: dict[str, type[Document]] = {
    kind.TYPE: kind for kind in (AgencyAuthorized, AgencySuspended, KeyRotated, IssuerKey, PolicyChanged)
}


@dataclass(frozen=True, slots=True)
class AgencyRecord:
    """An agency as of some log index: its latest authorisation (and that entry's index) and its live keys."""

    authorized: AgencyAuthorized
    index: int
    keys: tuple[AgencyKey, ...]
    suspended: bool

    def officers(self, at: int) -> tuple[PublicKey, ...]:
        """Officer keys good at Unix second `at`."""
        return self._keys("officer", at)

    def consoles(self, at: int) -> tuple[PublicKey, ...]:
        """Agency keys (calls, custody, status) good at Unix second `at`."""
        return self._keys("agency", at)

    def _keys(self, use: str, at: int) -> tuple[PublicKey, ...]:
        if self.suspended or at >= self.authorized.expires:
            return ()
        return tuple(key.public for key in self.keys if key.use == use and at < key.not_after)


@dataclass(slots=True)
class Directory:
    """Folds directory lines, all signed by `hub_key`. Mutable: `apply` appends one line."""

    hub_key: PublicKey
    lines: list[Line] = field(default_factory=list)
    _entries: list[tuple[int, Document]] = field(default_factory=list)
    _bytes: bytearray = field(default_factory=bytearray)
    _known: set[str] = field(default_factory=set)
    opaque: int = 0

    @classmethod
    def read(cls, hub_key: PublicKey, data: bytes) -> "Directory":
        """Fold a whole snapshot; raises ProtocolError."""
        directory = cls(hub_key)
        for line in parse_lines(data):
            directory.apply(line)
        return directory

    def apply(self, line: Line) -> None:
        """Add one entry; raises ProtocolError if the hub did not sign it or it is out of order."""
        if self.lines and line.index <= self.lines[-1].index:
            raise ProtocolError("directory.order", "directory entries come in log order", evidence=str(line.index))
        payload = line.envelope.verify(dsse.ENTRY, self.hub_key)
        value = canonical.decode(payload)
        kind = DIRECTORY_TYPES.get(kind_of(value)[0])
        if kind is None:
            raise ProtocolError("directory.type", "not a directory entry", evidence=kind_of(value)[0])
        try:
            document = kind.from_document(value)
        except UnknownKind:
            self.opaque += 1
        else:
            if isinstance(document, AgencyAuthorized):
                self._known.add(document.agency)
            # Where an entry could not be read, it may have been the one that authorised the agency (design.md 9.13).
            if isinstance(document, AgencySuspended | KeyRotated) and document.agency not in self._known and not self.opaque:
                raise ProtocolError("directory.agency", "no such agency", evidence=document.agency)
            self._entries.append((line.index, document))
        self.lines.append(line)
        self._bytes += line.encode()

    def encode(self) -> bytes:
        """Return the snapshot bytes."""
        return bytes(self._bytes)

    def digest(self, below: int | None = None) -> str:
        """Hex SHA-256 of the lines whose log index is smaller than `below` (all by default)."""
        if below is None or not self.lines or self.lines[-1].index < below:
            return hashlib.sha256(self._bytes).hexdigest()
        return hashlib.sha256(b"".join(line.encode() for line in self.lines if line.index < below)).hexdigest()

    def agencies(self, below: int | None = None) -> tuple[str, ...]:
        """Ids of all agencies ever authorised below a log index, sorted."""
        return tuple(sorted({d.agency for i, d in self._below(below) if isinstance(d, AgencyAuthorized)}))

    def agency(self, agency: str, below: int | None = None) -> AgencyRecord | None:
        """Return the agency as entries below the log index `below` left it; None if never authorised."""
        record: AgencyRecord | None = None
        for index, document in self._below(below):
            if getattr(document, "agency", None) != agency:
                continue
            if isinstance(document, AgencyAuthorized):
                record = AgencyRecord(document, index, document.keys, suspended=False)
            elif record is not None and isinstance(document, AgencySuspended):
                record = AgencyRecord(record.authorized, record.index, record.keys, suspended=True)
            elif record is not None and isinstance(document, KeyRotated):
                kept = tuple(key for key in record.keys if key.kid not in document.remove)
                added = tuple(key for key in document.add if key.kid not in {k.kid for k in kept})
                record = AgencyRecord(record.authorized, record.index, kept + added, record.suspended)
        return record

    def issuer_key(self, epoch: int, below: int | None = None) -> IssuerKey | None:
        """Return the epoch's one token key; raises ProtocolError if the log names two (a hub that tags households)."""
        found = [d for _, d in self._below(below) if isinstance(d, IssuerKey) and d.epoch == epoch]
        if len({key.pk for key in found}) > 1:
            raise ProtocolError("directory.issuer_key", "two token keys for one epoch", evidence=str(epoch))
        return found[0] if found else None

    def policy(self, kind: str, at: int, below: int | None = None) -> PolicyChanged | None:
        """Return the newest policy of a kind that is in force at Unix second `at`."""
        found = [d for _, d in self._below(below) if isinstance(d, PolicyChanged) and d.kind == kind and d.effective_at <= at]
        return found[-1] if found else None

    def policies(self, kind: str) -> tuple[PolicyChanged, ...]:
        """All logged changes of a kind, in log order."""
        return tuple(d for _, d in self._entries if isinstance(d, PolicyChanged) and d.kind == kind)

    def standing(self, at: int, below: int | None = None) -> frozenset[str]:
        """Agency ids that a logged policy lets ask though they are federal or of another state."""
        policy = self.policy("standing", at, below)
        return frozenset(json.loads(policy.text)) if policy else frozenset()

    def _below(self, below: int | None) -> Iterable[tuple[int, Document]]:
        return ((i, d) for i, d in self._entries if below is None or i < below)
