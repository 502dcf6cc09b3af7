"""Requests on their way into public: submitted by an agency, checked by every rule at once; extended, withdrawn, resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from fairwitness_core.model import request as documents
from fairwitness_core.model.directory import AgencyRecord
from fairwitness_core.rules import caps
from fairwitness_core.rules.violation import Verdict
from fairwitness_core.rules.violation import Violation as RuleViolation
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.errors import Detail, RulesRefused, unknown_request
from fairwitness.hub.models import LogEntry, PendingEntry, Request, Violation
from fairwitness.hub.services import admission, agencies, entries, identity, ledger, local
from fairwitness.hub.services import directory as directories
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

HOUR = 3600
_COUNTED = ("approved", "published", "withdrawn", "expired", "lapsed", "resolved")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request is: its state, public flags, the rule that refused it, its place in the log and proof of that.

    `changes` names by kind where in the log its extension and its outcome stand.
    """

    request_id: str
    state: str
    flags: tuple[str, ...]
    rule: str = ""
    log_index: int | None = None
    proof: str = ""
    changes: Mapping[str, int] = field(default_factory=dict)


def submit(agency: str, data: bytes) -> Standing:
    """Take a request that two officers signed; durable on return.

    1. it is the calling agency's own; 2. the same bytes again get the same answer, other bytes under its id are refused;
    3. the agency is not over its hourly number; 4. every rule is checked and every violation named: signatures, caps,
    jurisdiction as cells and as polygon, standing, live requests; 5. a refusal is logged as id, agency, offence and rule;
    6. in the emergency lane it goes to the log at once and must be reviewed within 2 hours, else it awaits moderators.
    Raises ProtocolError for malformed bytes, Refused or RulesRefused (409) with all violations.
    """
    now = clock.now()
    # 1.
    envelope = dsse.Envelope.parse(data)
    if envelope.payload_type != dsse.ENTRY:
        raise ProtocolError("dsse.type", "a request is a log entry", evidence=envelope.payload_type)
    document = documents.Request.parse(envelope.payload)
    if document.agency != agency:
        raise Refused(403, "request.agency", "An agency submits its own requests only.")
    digest = directories.sha256_hex(data)
    with transaction.atomic():
        # 2.
        row = Request.objects.filter(id=document.id).first()
        if row is not None:
            if row.envelope_sha256 != digest:
                raise Refused(409, "request.conflict", "Another request bears this id.", "Draw a new id.")
            return _again(row)
        # 3.
        recent = Request.objects.filter(agency=agency, submitted_at__gt=now - HOUR).count()
        if recent >= identity.settings().submissions_per_hour:
            raise Refused(429, "request.rate", "This agency has submitted too many requests in an hour.", "Wait an hour.")
        # 4.
        verdict = judge(document, envelope, now)
        row = Request(
            id=document.id,
            agency=agency,
            case=document.case,
            offense=document.offense,
            envelope=data,
            envelope_sha256=digest,
            state="submitted",
            emergency=document.emergency,
            flags=" ".join(verdict.flag_rules),
            required=identity.settings().moderators_required + ("assembly_overlap" in verdict.flag_rules),
            submitted_at=now,
            expires=document.expires,
        )
        if verdict.violations:
            # 5. The row is kept, so that this transaction commits before the refusal is raised.
            row.save(force_insert=True)
            refuse(row, verdict.violations, now)
        else:
            # 6.
            if document.emergency:
                row.state = "approved"
                row.review_due = caps.emergency_review_due(now)
            row.save(force_insert=True)
            if document.emergency:
                entries.enqueue(documents.Request.TYPE, data)
                note_action(row, "emergency_published", "emergency_lane", 0, now)
    if verdict.violations:
        raise RulesRefused(409, _details(verdict.violations))
    if document.emergency:
        log(Event.REQUEST_PUBLISHED, request=document.id)
    return standing(row)


def judge(document: documents.Request, envelope: dsse.Envelope, now: int) -> Verdict:
    """Return all that the rules say of a request at Unix second `now`, violations and public flags."""
    directory = directories.current()
    record = directory.agency(document.agency)
    if record is None:
        return Verdict((RuleViolation("standing.active", caps.CAP_RULES["standing.active"], "turn to the hub's keepers"),))
    keys = record.officers(now)
    found: list[RuleViolation] = []
    try:
        signers: Sequence[str] = admission.officers(envelope, directory, document.agency, now, least=2)
    except ProtocolError as error:
        signers = ()
        found.append(RuleViolation(error.code, error.message, error.hint))
    verdict = caps.check_request(
        document,
        now=now,
        signers=signers or tuple(key.kid for key in keys),
        agency=_facts(record, tuple(key.kid for key in keys), now),
        policy=policy(now),
        dwellings=local.dwellings(),
        assemblies=local.assemblies(),
    )
    found += verdict.violations
    if not any(one.rule == "area.jurisdiction" for one in found):
        outside = agencies.strays(document.area, record.authorized.jurisdiction_sha256)
        if outside:
            hint = "draw the area so that the centre of each cell is inside the polygon"
            found.append(RuleViolation("area.jurisdiction", caps.CAP_RULES["area.jurisdiction"], hint, outside[0]))
    found += caps.check_live(document, _others(document, now), now=now)
    unique = {one.rule: one for one in reversed(found)}
    return Verdict(tuple(one for one in found if unique.get(one.rule) is one), verdict.flags)


def _facts(record: AgencyRecord, keys: Sequence[str], now: int) -> caps.AgencyFacts:
    authorized = record.authorized
    return caps.AgencyFacts(
        agency=authorized.agency,
        state=authorized.state,
        federal=authorized.federal,
        active=not record.suspended and now < authorized.expires,
        jurisdiction=authorized.jurisdiction,
        officer_keys=keys,
    )


def policy(now: int) -> caps.HubPolicy:
    """Return whom this hub serves at Unix second `now`, by its logged policies."""
    directory = directories.current()
    found = directory.policy("standing", now)
    allow = () if found is None else tuple(caps.Allowance(a, found.at, found.effective_at) for a in directory.standing(now))
    return caps.HubPolicy(identity.load().document.state, allow)


def _others(document: documents.Request, now: int) -> list[caps.LiveRequest]:
    span = caps.CELL8_SPAN_S
    rows = Request.objects.filter(agency=document.agency, state__in=_COUNTED).exclude(id=document.id)
    others = []
    for row in rows.filter(submitted_at__gt=min(now, document.at) - span - caps.EXPIRY_MAX_S):
        # One that was taken back before anybody saw it, or lapsed so, counts no more.
        if row.state == "lapsed" or not bytes(row.envelope):
            continue
        other = documents.Request.parse(dsse.Envelope.parse(bytes(row.envelope)).payload)
        others.append(
            caps.LiveRequest(
                id=other.id,
                agency=other.agency,
                case=other.case,
                area=other.area,
                at=other.at,
                expires=row.expires,
                withdrawn=row.state in ("withdrawn", "resolved"),
            )
        )
    return others


def refuse(row: Request, violations: Sequence[RuleViolation], now: int) -> None:
    """Note a refusal and queue its public trace: id, agency, offence and the first rule, never the text."""
    rule = violations[0].rule
    Request.objects.filter(id=row.id).update(state="refused", rule=rule, review_due=None)
    for one in violations:
        Violation.objects.create(request=row, rule=one.rule, message=one.message[:400], hint=one.hint[:400])
    entries.state(documents.RequestRefused(request_id=row.id, agency=row.agency, offense=row.offense, rule=rule, at=now))
    log(Event.REQUEST_REFUSED, request=row.id, rule=rule)


def note_action(row: Request, action: str, rule: str, moderators: int, now: int) -> None:
    """Queue the public note of what moderators (a number, no names) did, with the flags that they were shown."""
    entries.state(
        documents.ModerationAction(
            request_id=row.id, action=action, rule=rule, flags=tuple(row.flags.split()), moderators=moderators, at=now
        )
    )


def _details(violations: Sequence[RuleViolation]) -> list[Detail]:
    return [Detail(one.rule, one.message, one.hint) for one in violations]


def _again(row: Request) -> Standing:
    violations = list(row.violations.order_by("id"))
    if row.state == "refused" and violations:
        raise RulesRefused(409, [Detail(one.rule, one.message, one.hint) for one in violations])
    return standing(row)


def standing(row: Request) -> Standing:
    """Return where a request is; `published` means that witnesses saw it, and then the proof is there."""
    row.refresh_from_db()
    proof = ""
    index = row.log_index
    if index is not None:
        try:
            proof = ledger.reader("p").proof(index).decode()
        except LookupError:
            index = None
    places = {"extended_index": row.extended_index, "resolved_index": row.resolved_index}
    changes = {name: place for name, place in places.items() if place is not None}
    return Standing(row.id, row.state, tuple(row.flags.split()), row.rule, index, proof, changes)


def state(agency: str, request_id: str) -> Standing:
    """Return where an agency's own request is; raises Refused."""
    row = Request.objects.filter(id=request_id, agency=agency).first()
    if row is None:
        raise unknown_request()
    return standing(row)


def withdraw(agency: str, data: bytes) -> Standing:
    """End a request early, signed by one officer of its agency; durable on return, and the same bytes again change nothing.

    One that nobody has seen yet is dropped without a trace; a published one is withdrawn in the log.
    """
    now = clock.now()
    envelope = dsse.Envelope.parse(data)
    document = documents.RequestWithdrawn.parse(envelope.payload)
    if document.agency != agency or document.reason in admission.HUB_REASONS:
        raise Refused(403, "request.agency", "An agency withdraws its own requests, for its own reasons.")
    admission.admit(data, directories.current(), now)
    with transaction.atomic():
        row = Request.objects.filter(id=document.request_id, agency=agency).first()
        if row is None:
            raise unknown_request()
        queued = PendingEntry.objects.filter(sha256=row.envelope_sha256).exclude(state="refused").exists()
        if row.state == "submitted" and not queued:
            Request.objects.filter(id=row.id).update(state="lapsed")
        elif row.state in ("approved", "published"):
            entries.enqueue(documents.RequestWithdrawn.TYPE, data)
            Request.objects.filter(id=row.id).update(review_due=None)
            log(Event.REQUEST_WITHDRAWN, request=row.id)
        elif row.state not in ("withdrawn", "lapsed"):
            raise Refused(409, "request.ended", f"This request is {row.state}; there is nothing to withdraw.")
    return standing(row)


def extend(agency: str, data: bytes) -> Standing:
    """Let a published request live longer, signed by two officers of its agency; see `_change`."""
    return _change(agency, data, documents.RequestExtended.TYPE)


def resolve(agency: str, data: bytes) -> Standing:
    """Note what came of a request, signed by one officer of its agency; see `_change`."""
    return _change(agency, data, documents.RequestResolved.TYPE)


def _change(agency: str, data: bytes, kind: str) -> Standing:
    """Queue a change of a public request for the log; durable on return, and the same bytes again change nothing.

    1. it is the calling agency's own, of one of its requests, signed as its kind demands; 2. every rule that it breaks is
    named; 3. no other of its kind waits. Raises ProtocolError for malformed bytes, Refused or RulesRefused (409).
    """
    now = clock.now()
    # 1.
    envelope = dsse.Envelope.parse(data)
    document = admission.CHANGES[kind].parse(envelope.payload)
    if document.agency != agency:
        raise Refused(403, "request.agency", "An agency changes its own requests only.")
    row = Request.objects.filter(id=document.request_id, agency=agency).first()
    if row is None:
        raise unknown_request()
    digest = directories.sha256_hex(data)
    with transaction.atomic():
        if PendingEntry.objects.filter(sha256=digest).exclude(state="refused").exists():
            return standing(row)
        admission.officers(envelope, directories.current(), agency, now, least=2 if kind == documents.RequestExtended.TYPE else 1)
        # 2.
        violations = admission.change_violations(document, now)
        if violations:
            raise RulesRefused(409, _details(violations))
        # 3.
        if any(_about(one) == row.id for one in PendingEntry.objects.filter(kind=kind, agency=agency, state="queued")):
            raise Refused(409, "request.pending", "Another change of this kind is on its way into the log.", "Wait a moment.")
        PendingEntry.objects.filter(sha256=digest, state="refused").update(state="queued", rule="")
        entries.enqueue(kind, data)
        log(Event.REQUEST_EXTENDED if kind == documents.RequestExtended.TYPE else Event.REQUEST_RESOLVED, request=row.id)
    return standing(row)


def _about(row: PendingEntry) -> str:
    found: str = canonical.decode(dsse.Envelope.parse(bytes(row.envelope)).payload)["request_id"]
    return found


def expire(now: int) -> int:
    """Say of requests past their time that they are over; returns how many changed."""
    with transaction.atomic():
        ended = Request.objects.filter(state="published", expires__lte=now).update(state="expired")
        return ended + Request.objects.filter(state="submitted", expires__lte=now).update(state="lapsed")


def public_entry(index: int) -> tuple[bytes, str]:
    """Return (envelope, proof) of public entry `index`; raises Refused `entry.not_yet` until it is cosigned."""
    try:
        reader = ledger.reader("p")
        return reader.entry(index), reader.proof(index).decode()
    except LookupError as error:
        raise Refused(404, "entry.not_yet", "Witnesses have not seen an entry of this number yet.") from error


def is_logged(sha256: str) -> bool:
    """Tell whether an envelope stands in the public log."""
    return LogEntry.objects.filter(sha256=sha256).exists()
