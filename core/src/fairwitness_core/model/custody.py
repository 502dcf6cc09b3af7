"""Custody of evidence: in-toto Statements (v1) that an agency signs, and their commitment in the sealed ledger.

Leaf data of the sealed ledger = `commitment(nonce, envelope)`, 32 bytes; the hub never sees the envelope
(protocol.md 6.2, design.md 9.4). Whoever holds nonce and envelope can show that the event was logged.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from fairwitness_core.model.document import Document, Part, part, wire
from fairwitness_core.wire import canonical
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://fairwitness.invalid/custody/v1"
ACTIONS = (
    "accepted", "collected", "declined", "destroyed", "downloaded", "exported", "held", "opened", "quarantined",
    "released", "viewed", "withdrawal_noted",
)  # fmt: skip


def commitment(nonce: bytes, envelope: bytes) -> bytes:
    """Return the 32-byte leaf data that stands for an envelope in the sealed ledger; `nonce` has 32 random bytes."""
    if len(nonce) != 32:
        raise ProtocolError("custody.nonce", "a nonce has 32 bytes", evidence=str(len(nonce)))
    return hashlib.sha256(b"fairwitness/s1" + nonce + envelope).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject(Part):
    """An object by name and SHA-256."""

    name: str = wire(f.text(120, min_bytes=1))
    sha256: str = wire(f.HASH)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyEvent(Document):
    """One touch of evidence.

    `actor`: the officer's pseudonymous id within the agency. `prev`: SHA-256 of the previous event's envelope for this
    response, 64 zeros for the first: the chain cannot lose a link. `purpose`: why; `recipient`: to whom an export goes.
    """

    TYPE: ClassVar[str] = "custody_event"

    agency: str = wire(f.AGENCY_ID)
    actor: str = wire(f.text(64, min_bytes=1, pattern=r"[A-Za-z0-9_.:-]+"))
    action: str = wire(f.one_of(*ACTIONS))
    request_id: str = wire(f.ID16)
    response_id: str = wire(f.HASH)
    case: str = wire(f.text(40, min_bytes=1))
    purpose: str = wire(f.text(300))
    subjects: tuple[Subject, ...] = wire(f.array(part(Subject), low=1, high=40))
    prev: str = wire(f.HASH)
    at: int = wire(f.TIME)
    recipient: str | None = wire(f.text(120, min_bytes=1), optional=True)

    def to_statement(self) -> bytes:
        """Return the canonical in-toto Statement whose predicate is this event."""
        predicate = self.to_json()
        del predicate["subjects"]
        return canonical.encode(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": s.name, "digest": {"sha256": s.sha256}} for s in self.subjects],
                "predicateType": PREDICATE_TYPE,
                "predicate": predicate,
            }
        )

    @classmethod
    def from_statement(cls, payload: bytes) -> Self:
        """Read the Statement strictly; raises ProtocolError."""
        value = canonical.decode(payload)
        if not isinstance(value, dict) or set(value) != {"_type", "subject", "predicateType", "predicate"}:
            raise ProtocolError("custody.shape", "not an in-toto Statement v1")
        if value["_type"] != STATEMENT_TYPE or value["predicateType"] != PREDICATE_TYPE:
            raise ProtocolError("custody.type", "not a custody statement", evidence=str(value["predicateType"]))
        subjects, predicate = value["subject"], value["predicate"]
        if not isinstance(subjects, list) or not isinstance(predicate, dict) or "subjects" in predicate:
            raise ProtocolError("custody.shape", "subject is a list, predicate an object")
        return cls.from_document({**predicate, "subjects": [_subject(item) for item in subjects]})


def _subject(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict) or set(item) != {"name", "digest"} or not isinstance(item["digest"], dict):
        raise ProtocolError("custody.subject", "a subject has a name and a digest")
    if set(item["digest"]) != {"sha256"}:
        raise ProtocolError("custody.subject", "the digest is sha256")
    return {"name": item["name"], "sha256": item["digest"]["sha256"]}
