"""Community Requests: drafted by one officer, approved by another, both signing the same bytes.

States: draft, returned (to its drafter, with a note), replaced (by a new draft), approved (both signed, on the way), submitted
(the hub has it), published (its place in the pinned log is proven to us), refused, withdrawn, expired, resolved (its outcome
is proven in the log; see `changes`).
"""

import json
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction
from django.db.models import Q, QuerySet
from fairwitness_core.crypto import random, seal
from fairwitness_core.model.directory import Directory
from fairwitness_core.model.request import Request as Document
from fairwitness_core.model.request import RequestWithdrawn
from fairwitness_core.rules import caps
from fairwitness_core.rules.jurisdiction import cover
from fairwitness_core.rules.violation import Verdict, Violation
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.errors import Detail, RefusedWhole, by_rules, missing
from fairwitness.agency.models import Case, Officer, Request, RequestChange
from fairwitness.agency.services import audit, cases, hubcalls, node, officers
from fairwitness.kit import census, clock, database
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

LIVE = ("approved", "submitted", "published")
ENDED = ("refused", "withdrawn", "expired", "resolved", "replaced")
UNSIGNED = ("draft", "returned")
"""What no second officer has signed: it never left this node."""
RECENT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an officer writes. Times are Unix seconds, UTC; `area` are H3 res-9 cells in any order."""

    area: tuple[str, ...]
    from_: int
    to: int
    msg: str
    expires: int
    contact: str = ""
    modes: tuple[str, ...] = ("anonymous", "identified")
    emergency: bool = False
    wide_reason: str = ""


def check(officer: Officer, case: Case, draft: Draft) -> Verdict:
    """Say what the hub's rules will say of a draft, as far as this node can know. Stores nothing. Raises ProtocolError."""
    officers.need(officer, *officers.SIGNERS)
    cases.need_member(officer, case)
    return _judge(_document(case, draft, "0" * 32, seal.new_identity()[1]), [officer])


def judge_draft(officer: Officer, case: Case, draft: Draft) -> Verdict:
    """Say the same as `check` of what is being written, with the hub's directory as it was a minute ago at most."""
    return _judge(_document(case, draft, "0" * 32, seal.new_identity()[1]), [officer], recent=True)


def draft(officer: Officer, case: Case, wanted: Draft) -> Request:
    """Write and sign a request with a fresh key of its own. Raises RefusedWhole naming every broken rule, ProtocolError."""
    officers.need(officer, *officers.SIGNERS)
    cases.need_member(officer, case)
    identity, recipient = seal.new_identity()
    document = _document(case, wanted, random.token_bytes(16).hex(), recipient)
    verdict = _judge(document, [officer])
    if not verdict.ok:
        raise by_rules(verdict.violations)
    payload = document.encode()
    signature = officers.signing_key(officer).sign(dsse.pae(dsse.ENTRY, payload))
    node.put_secret(node.key_file("requests", document.id), identity.encode())
    with transaction.atomic():
        made = Request.objects.create(
            id=document.id,
            case=case,
            state="draft",
            payload=payload,
            drafted_by=officer,
            draft_signature=signature,
            emergency=document.emergency,
            created_at=document.at,
            expires_at=document.expires,
        )
        audit.note(officer, "request.drafted", f"request {made.id}", case=case)
    return made


def approve(officer: Officer, request: Request) -> Request:
    """Sign a draft as its second officer and submit it.

    On return: 1. the approver is a supervisor and another person than the drafter; 2. the rules hold now, for both signers;
    3. both keys signed exactly the stored bytes; 4. the envelope is stored before it leaves. Raises Refused; a refusal by
    the hub comes whole and is kept with the request. If the hub cannot be reached the beat submits it later.
    """
    # 1.
    officers.need(officer, "supervisor")
    request.refresh_from_db()
    if request.drafted_by_id == officer.pk:
        raise Refused(403, "request.same_person", "Who drafted a request does not approve it.", "Ask another supervisor.")
    if request.state != "draft":
        raise Refused(409, "request.state", f"This request is {request.state}.", "Only a draft can be approved.")
    # 2.
    document = document_of(request)
    verdict = _judge(document, [request.drafted_by, officer])
    if not verdict.ok:
        raise by_rules(verdict.violations)
    # 3.
    envelope = officers.countersign(bytes(request.payload), request.drafted_by, bytes(request.draft_signature), officer)
    # 4.
    with transaction.atomic():
        changed = Request.objects.filter(pk=request.pk, state="draft").update(
            state="approved", approved_by=officer, envelope=envelope
        )
        if changed:
            audit.note(officer, "request.approved", f"request {request.id}", case=request.case)
    if not changed:
        raise Refused(409, "request.state", "Somebody else acted on this request just now.")
    request.refresh_from_db()
    try:
        submit(request)
    except hubcalls.HubUnreachable:
        log(Event.PEER_UNREACHABLE, peer="hub")
    return request


def submit(request: Request) -> Request:
    """Hand an approved request to the hub. Again is harmless. Raises HubRefused (kept with the request), HubUnreachable."""
    if request.state == "approved" and request.envelope is not None:
        try:
            hubcalls.call("request_submit", {"envelope": hubcalls.b64(bytes(request.envelope))})
        except hubcalls.HubRefused as error:
            if error.status == 409:
                _end(request, "refused", "; ".join(f"{d.code}: {d.message}" for d in error.details) or error.code)
                log(Event.REQUEST_REFUSED, request=request.id, rule=error.code)
            raise
        Request.objects.filter(pk=request.pk, state="approved").update(state="submitted")
        request.refresh_from_db()
        _follow(request)
    return request


def poll(request: Request) -> str:
    """Ask the hub how a submitted or published request stands and return its state here.

    It becomes `published` only when: 1. the proof holds for exactly the envelope that our officers signed, in the pinned
    public log, under the pinned quorum; 2. it is of the index that the hub names. Raises ProtocolError, HubUnreachable.
    """
    request.refresh_from_db()
    if request.state == "approved":
        submit(request)
    elif request.state in ("submitted", "published"):
        _follow(request)
    return request.state


def _follow(request: Request) -> None:
    answer = hubcalls.call("request_state", {"request_id": request.id})
    state = hubcalls.text_of(answer, "state")
    if state in ("published", "emergency_published", "withdrawn", "expired") and "proof" in answer and request.proof is None:
        # 1.
        proof = hubcalls.text_of(answer, "proof").encode()
        found = hubcalls.verify_public(proof, bytes(request.envelope or b""))
        # 2.
        if found.index != hubcalls.number_of(answer, "log_index"):
            raise ProtocolError("proof.index", "the proof is of another entry", evidence=str(found.index))
        Request.objects.filter(pk=request.pk).update(proof=proof, log_index=found.index, state="published")
        request.refresh_from_db()
        log(Event.REQUEST_PUBLISHED, request=request.id)
    if state == "refused" and request.state == "submitted":
        _end(request, "refused", str(answer.get("rule", "moderation")))
        log(Event.REQUEST_REFUSED, request=request.id, rule="moderation")
    elif state in ("withdrawn", "dropped"):
        _end(request, "withdrawn")
    elif state in ("expired", "lapsed"):
        _end(request, "expired")


def withdraw(officer: Officer, request: Request, reason: str = "withdrawn") -> Request:
    """End a request early. `reason` is `resolved` or `withdrawn`. Raises Refused; a hub out of reach changes nothing."""
    officers.need(officer, *officers.SIGNERS)
    cases.need_member(officer, request.case)
    request.refresh_from_db()
    if request.state in ENDED:
        raise Refused(409, "request.state", f"This request is {request.state} already.")
    if reason not in ("resolved", "withdrawn"):
        raise Refused(400, "request.reason", "A request is withdrawn as `resolved` or as `withdrawn`.")
    if request.state not in UNSIGNED:
        document = RequestWithdrawn(request_id=request.id, agency=node.agency_id(), reason=reason, at=clock.now())
        envelope = dsse.sign(dsse.ENTRY, document.encode(), officers.signing_key(officer))
        hubcalls.call("request_withdraw", {"envelope": hubcalls.b64(envelope.encode())})
    _end(request, "withdrawn")
    audit.note(officer, "request.withdrawn", f"request {request.id}", case=request.case, words=reason)
    log(Event.REQUEST_WITHDRAWN, request=request.id)
    return request


def prolong(request: Request, expires: int) -> None:
    """Let a request end at `expires`, by an extension that is proven; one that ended meanwhile lives again."""
    Request.objects.filter(pk=request.pk).update(expires_at=expires)
    if expires > clock.now():
        Request.objects.filter(pk=request.pk, state="expired").update(state="published", ended_at=None)
    request.refresh_from_db()


def close(request: Request) -> None:
    """End a request by its outcome, which is proven."""
    Request.objects.filter(pk=request.pk, ended_at=None).update(ended_at=clock.now())
    Request.objects.filter(pk=request.pk, state__in=("published", "expired")).update(state="resolved")
    request.refresh_from_db()


def beat(now: int) -> None:
    """Submit what waits, follow what is submitted, end what has expired, destroy keys whose time is over."""
    silent: hubcalls.HubUnreachable | None = None
    for request in Request.objects.filter(state__in=LIVE):
        try:
            if silent is None:
                poll(request)
        except (hubcalls.HubRefused, ProtocolError) as error:
            log(Event.REQUEST_REFUSED, request=request.id, rule=error.code)
        except hubcalls.HubUnreachable as error:
            silent = error
        if request.state != "refused" and request.expires_at <= now:
            _end(request, "expired", at=request.expires_at)
    for request in Request.objects.filter(state__in=UNSIGNED, expires_at__lte=now):
        _end(request, "expired", at=request.expires_at)
    destroy_keys(now)
    if silent is not None:
        raise silent


def destroy_keys(now: int) -> int:
    """Destroy the keys of requests that ended long enough ago; what comes later cannot be opened. Returns how many."""
    due = Request.objects.filter(ended_at__lte=now - node.settings().request_key_days * 86400, key_destroyed_at=None)
    count = 0
    for request in due:
        node.shred(node.key_file("requests", request.id))
        Request.objects.filter(pk=request.pk).update(key_destroyed_at=now)
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class Witnessed:
    """Where in the public log an entry of ours stands, which witnesses saw it there, and when the quorum had (Unix seconds)."""

    index: int
    witnesses: tuple[tuple[str, int], ...]
    at: int | None


def witnessed(proof: bytes | memoryview | None, envelope: bytes | memoryview | None) -> Witnessed | None:
    """Verify a kept proof again and return what it says; None where there is none or it does not hold any more."""
    if not proof or not envelope:
        return None
    try:
        found = hubcalls.verify_public(bytes(proof), bytes(envelope))
    except ProtocolError:
        return None
    return Witnessed(found.index, found.checkpoint.times, found.checkpoint.fresh_at)


def keys() -> list[tuple[Request, str]]:
    """Return every request whose key exists, with its age identity, the newest first: for the collector alone."""
    found = []
    for request in Request.objects.filter(key_destroyed_at=None).exclude(envelope=None):
        path = node.key_file("requests", request.id)
        if path.exists():
            found.append((request, node.get_secret(path).decode()))
    return found


def document_of(request: Request) -> Document:
    """Return the request as it was drafted."""
    return Document.parse(bytes(request.payload))


def get(pk: str) -> Request:
    """Return a request. Raises Refused."""
    found = Request.objects.select_related("case", "drafted_by__user", "approved_by__user").filter(pk=pk).first()
    if found is None:
        raise missing("request")
    return found


def seen_by(officer: Officer, pk: str) -> Request:
    """Return a request of a case that this officer may see; another's looks like none. Raises Refused."""
    found = get(pk)
    if not cases.may_see(officer, found.case):
        raise missing("request")
    return found


def listing(officer: Officer) -> QuerySet[Request]:
    """Return the requests of the cases that this officer may see, the newest first, without drafts that were written anew."""
    found = Request.objects.filter(case__in=cases.listing(officer)).exclude(state="replaced")
    return found.select_related("case", "drafted_by__user", "approved_by__user")


def waiting_for(officer: Officer) -> QuerySet[Request]:
    """Return the requests on which this officer has to act: others' drafts and extensions to sign, own ones that came back."""
    own = Q(state="returned", drafted_by=officer)
    if officer.user.role == "supervisor":
        own |= Q(state="draft") & ~Q(drafted_by=officer)
        proposed = RequestChange.objects.filter(state="draft").exclude(drafted_by=officer)
        own |= Q(pk__in=proposed.values("request_id"))
    return listing(officer).filter(own)


@database.durable
def _end(request: Request, state: str, refusal: str = "", at: int | None = None) -> None:
    moment = clock.now() if at is None else at
    Request.objects.filter(pk=request.pk).exclude(state__in=ENDED).update(state=state, refusal=refusal, ended_at=moment)
    request.refresh_from_db()


def _document(case: Case, wanted: Draft, request_id: str, recipient: str) -> Document:
    return Document(
        id=request_id,
        agency=node.agency_id(),
        case=case.number,
        offense=case.offense,
        area=tuple(sorted(set(wanted.area))),
        from_=wanted.from_,
        to=wanted.to,
        msg=wanted.msg,
        contact=wanted.contact,
        expires=wanted.expires,
        key=recipient,
        modes=tuple(sorted(set(wanted.modes))),
        emergency=wanted.emergency,
        at=clock.now(),
        wide_reason=wanted.wide_reason,
    )


def _judge(document: Document, signers: list[Officer], *, recent: bool = False) -> Verdict:
    """Apply the hub's rules here, with the directory as the log has it, or our own registration while no hub answers."""
    kids = [officers.public_key(signer).kid for signer in signers]
    agency, policy = _standing(kids, recent=recent)
    verdict = caps.check_request(document, now=clock.now(), signers=kids, agency=agency, policy=policy, dwellings=dwellings())
    live = [
        caps.LiveRequest(
            id=other.id,
            agency=other_document.agency,
            case=other_document.case,
            area=other_document.area,
            at=other_document.at,
            expires=other.expires_at,
            withdrawn=other.state in ("withdrawn", "resolved"),
        )
        for other in Request.objects.exclude(pk=document.id).filter(Q(state__in=LIVE) | ~Q(log_index=None))
        for other_document in (document_of(other),)
    ]
    found = [*verdict.violations, *caps.check_live(document, live, now=clock.now())]
    return Verdict(tuple(v for v in found if _ours(v, document, len(signers))), verdict.flags)


def _ours(violation: Violation, document: Document, signers: int) -> bool:
    """Tell whether this node can judge the rule: a draft has one signature, and the file of dwellings may be the hub's alone."""
    if violation.rule.startswith("signers.") and signers < caps.SIGNERS_MIN:
        return violation.rule == "signers.unknown"
    unknown = violation.rule == "area.sparse" and document.wide_reason == caps.SPARSE_REASON
    return not (unknown and dwellings() is None)


def dwellings() -> census.Dwellings | None:
    """Return how many dwellings stand in cells, by this node's own census file; None where it has none. Raises Refused."""
    name = node.settings().census_file
    if not name:
        return None
    try:
        return census.dwellings(Path(name))
    except (OSError, ValueError) as error:
        raise Refused(500, "census.unreadable", f"The census file cannot be read: {error}.", "Tell the administrator.") from None


_recent: tuple[int, str, Directory] | None = None


def _directory(*, recent: bool) -> Directory:
    """Return the directory of the pinned hub as its newest tick binds it, or with `recent` as one of the last minute did."""
    global _recent  # noqa: PLW0603 - one hub per process
    now, hub = clock.now(), f"{node.settings().folder()} {node.hub().genesis}"
    if recent and _recent is not None and _recent[1] == hub and 0 <= now - _recent[0] < RECENT_S:
        return _recent[2]
    found = hubcalls.snapshot().directory
    _recent = (now, hub, found)
    return found


def _standing(kids: list[str], *, recent: bool = False) -> tuple[caps.AgencyFacts, caps.HubPolicy]:
    settings, now = node.settings(), clock.now()
    try:
        directory = _directory(recent=recent)
        record = directory.agency(node.agency_id())
        _, genesis = hubcalls.genesis()
    except Refused:
        own = officers.registration()
        facts = caps.AgencyFacts(
            agency=node.agency_id(),
            state=settings.state,
            federal=settings.federal,
            jurisdiction=cover(own["jurisdiction"]),
            officer_keys=kids,
        )
        return facts, caps.HubPolicy(settings.state)
    if record is None:
        raise RefusedWhole(
            409,
            "agency.unknown",
            "The hub has not admitted this agency yet.",
            "Hand registration.json to the hub's administrator.",
            [Detail("agency.unknown", "The hub's log does not name this agency.")],
        )
    facts = caps.AgencyFacts(
        agency=node.agency_id(),
        state=record.authorized.state,
        federal=record.authorized.federal,
        active=not record.suspended and now < record.authorized.expires,
        jurisdiction=record.authorized.jurisdiction,
        officer_keys=[key.kid for key in record.officers(now)],
    )
    change = directory.policy("standing", now)
    listed = json.loads(change.text) if change else []
    allow = tuple(caps.Allowance(agency, change.at, change.effective_at) for agency in listed) if change else ()
    return facts, caps.HubPolicy(genesis.state, allow)
