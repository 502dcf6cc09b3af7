"""What may enter the public log: the last look before the sequencer appends, as of that very place in the log."""

import json
from dataclasses import dataclass

from fairwitness_core.model.agency import AgencyAuthorized, AgencySuspended, KeyRotated
from fairwitness_core.model.directory import Directory
from fairwitness_core.model.document import Document, kind_of
from fairwitness_core.model.hub import FeedTick, InboxEpoch, IssuerKey, LegalProcess, PolicyChanged
from fairwitness_core.model.request import (
    ModerationAction,
    Request,
    RequestExtended,
    RequestRefused,
    RequestResolved,
    RequestWithdrawn,
)
from fairwitness_core.rules import wording
from fairwitness_core.rules.caps import POLICY_NOTICE_S, LiveRequest
from fairwitness_core.rules.changes import CHANGE_RULES, check_extension
from fairwitness_core.rules.violation import Violation
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import Request as Row
from fairwitness.hub.services import identity

HUB_REASONS = frozenset({"emergency_unreviewed", "moderation"})
OWN_KINDS: dict[str, type[Document]] = {
    kind.TYPE: kind
    for kind in (
        AgencyAuthorized, AgencySuspended, KeyRotated, IssuerKey, PolicyChanged, InboxEpoch, ModerationAction, RequestRefused,
        LegalProcess,
    )
}  # fmt: skip

RESOLVABLE = ("published", "expired")
CHANGES: dict[str, type[RequestExtended | RequestResolved]] = {
    RequestExtended.TYPE: RequestExtended,
    RequestResolved.TYPE: RequestResolved,
}


@dataclass(frozen=True, slots=True)
class Admitted:
    """An envelope that may be appended now, read."""

    envelope: dsse.Envelope
    document: Document


def admit(data: bytes, directory: Directory, now: int) -> Admitted:
    """Return the entry if it may be appended at Unix second `now` behind what `directory` holds; raises ProtocolError.

    1. A request carries only signatures of its agency's current officers, and two of them; 2. a withdrawal that of one
    officer, or of the hub for the hub's own reasons, an extension those of two and an outcome that of one, and both keep
    their rules beside the request as it is now; 3. everything else the hub's; 4. a policy changes with its notice,
    a witness policy keeps both ledgers; 5. an epoch has one token key. A tick is made by the sequencer alone.
    """
    envelope = dsse.Envelope.parse(data)
    if envelope.payload_type != dsse.ENTRY:
        raise ProtocolError("dsse.type", "this is no log entry", evidence=envelope.payload_type)
    value = canonical.decode(envelope.payload)
    kind = kind_of(value)[0]
    document: Document
    # 1.
    if kind == Request.TYPE:
        document = Request.from_document(value)
        officers(envelope, directory, document.agency, now, least=2)
        return Admitted(envelope, document)
    # 2.
    if kind == RequestWithdrawn.TYPE:
        document = RequestWithdrawn.from_document(value)
        if document.reason in HUB_REASONS:
            envelope.verify(dsse.ENTRY, identity.load().hub_key.public)
        else:
            officers(envelope, directory, document.agency, now, least=1)
        return Admitted(envelope, document)
    if kind in CHANGES:
        document = CHANGES[kind].from_document(value)
        officers(envelope, directory, document.agency, now, least=2 if kind == RequestExtended.TYPE else 1)
        for violation in change_violations(document, now):
            raise violation.error()
        return Admitted(envelope, document)
    # 3.
    if kind not in OWN_KINDS or kind == FeedTick.TYPE:
        raise ProtocolError("entry.kind", "entries of this kind are not appended so", evidence=kind)
    envelope.verify(dsse.ENTRY, identity.load().hub_key.public)
    document = OWN_KINDS[kind].from_document(value)
    # 4.
    if isinstance(document, PolicyChanged):
        check_policy(document, now)
    # 5.
    if isinstance(document, IssuerKey):
        known = directory.issuer_key(document.epoch)
        if known is not None:
            raise ProtocolError("issuer.second_key", "this epoch has its token key", evidence=str(document.epoch))
    return Admitted(envelope, document)


def change_violations(document: RequestExtended | RequestResolved, now: int) -> list[Violation]:
    """Return what speaks against an extension or an outcome at Unix second `now`; raises ProtocolError for an unknown request."""
    row = Row.objects.filter(id=document.request_id, agency=document.agency).first()
    if row is None or not bytes(row.envelope):
        raise ProtocolError("request.unknown", "this agency has no such request in the log", evidence=document.request_id)
    if isinstance(document, RequestResolved):
        found = wording.check_words(document.words, case=row.case)
        if row.state not in RESOLVABLE:
            message = f"a request that is {row.state} gets no outcome"
            found.insert(0, Violation("resolution.state", message, "only one that was published does, and once"))
        return found
    request = Request.parse(dsse.Envelope.parse(bytes(row.envelope)).payload)
    known = LiveRequest(
        id=row.id,
        agency=row.agency,
        case=row.case,
        area=request.area,
        at=request.at,
        expires=row.expires,
        withdrawn=row.state not in ("approved", "published"),
        extended=row.extended_index is not None,
    )
    found = check_extension(document, known, now=now)
    if row.review_due is not None:
        found.append(Violation("extension.unreviewed", CHANGE_RULES["extension.unreviewed"], "wait for the moderators"))
    return found


def officers(envelope: dsse.Envelope, directory: Directory, agency: str, now: int, *, least: int) -> tuple[str, ...]:
    """Return the key ids of the current officers who signed; raises ProtocolError if others did or too few."""
    record = directory.agency(agency)
    keys = record.officers(now) if record else ()
    signers = tuple(key.kid for key in envelope.signers(keys))
    if len(signers) != len(envelope.signatures):
        raise ProtocolError(
            "signers.unknown", "a signature is not of a current officer of this agency", hint="sign with keys the log lists"
        )
    if len(signers) < least:
        raise ProtocolError("signers.two", "two different officers of the agency sign", hint="let a second officer approve")
    return signers


def check_policy(document: PolicyChanged, now: int) -> None:
    """Check a change of policy that would be logged at `now`; raises ProtocolError."""
    me = identity.load()
    notice = me.document.notice_seconds
    if document.kind == "standing":
        # Homes hold a hub to a day for this one, whatever its genesis says of the others.
        notice = max(notice, POLICY_NOTICE_S)
    if document.effective_at < now + notice:
        raise ProtocolError(
            "policy.notice",
            f"a policy of this kind is logged {notice} s before it counts",
            hint="choose a later time",
        )
    if document.kind == "standing":
        try:
            value = json.loads(document.text)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("policy.standing", "a standing policy is a JSON list of agency ids") from error
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ProtocolError("policy.standing", "a standing policy is a JSON list of agency ids")
    if document.kind == "witness":
        policy = Policy.parse(document.text.encode())
        for log in identity.LOGS:
            key = me.vkey(log)
            if key not in policy.log_keys(key.name):
                raise ProtocolError("policy.logs", "a witness policy lists both ledgers of this hub", evidence=key.name)
