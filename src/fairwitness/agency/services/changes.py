"""What becomes of a public request by its agency's word: it lives longer once, or it gets its outcome.

An extension is proposed by one officer and approved by another, both signing the same bytes, as the request was; an outcome is
one officer's, as a withdrawal is. States of a change: draft (a second officer is awaited), approved (signed, on its way), sent
(the hub has it), logged (its place in the pinned log is proven to us), refused, dropped.
"""

from django.db import transaction
from fairwitness_core.model.request import OUTCOMES, RequestExtended, RequestResolved
from fairwitness_core.rules import wording
from fairwitness_core.rules.caps import EXPIRY_MAX_S, LiveRequest
from fairwitness_core.rules.changes import check_extension
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.errors import by_rules, missing
from fairwitness.agency.models import Officer, Request, RequestChange
from fairwitness.agency.services import audit, cases, hubcalls, officers, requests
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

EXTENDED, RESOLVED = RequestExtended.TYPE, RequestResolved.TYPE
OPEN = ("draft", "approved", "sent")
_CALLS = {EXTENDED: ("request_extend", "extended_index"), RESOLVED: ("request_resolve", "resolved_index")}
RESOLVABLE = ("published", "expired")


def latest_end(request: Request) -> int:
    """Return the latest end that an extension may give, Unix seconds UTC."""
    return requests.document_of(request).at + EXPIRY_MAX_S


def extension_of(request: Request) -> RequestChange | None:
    """Return the extension that waits or counts."""
    return request.changes.filter(kind=EXTENDED, state__in=(*OPEN, "logged")).order_by("-id").first()


def outcome_of(request: Request) -> RequestChange | None:
    """Return the outcome that waits or counts."""
    return request.changes.filter(kind=RESOLVED, state__in=(*OPEN, "logged")).order_by("-id").first()


def extension(change: RequestChange) -> RequestExtended:
    """Return an extension's document."""
    return RequestExtended.parse(bytes(change.payload))


def outcome(change: RequestChange) -> RequestResolved:
    """Return an outcome's document."""
    return RequestResolved.parse(bytes(change.payload))


def extend(officer: Officer, request: Request, expires: int, reason: str) -> RequestChange:
    """Propose a later end for a live request and sign it first. Raises Refused, RefusedWhole with every broken rule."""
    officers.need(officer, *officers.SIGNERS)
    cases.need_member(officer, request.case)
    request.refresh_from_db()
    document = RequestExtended(
        request_id=request.id, agency=requests.document_of(request).agency, expires=expires, reason=reason, at=clock.now()
    )
    _judge(request, document)
    if extension_of(request) is not None:
        raise Refused(409, "extension.once", "A request is extended once, and an extension was proposed.", "Approve or drop it.")
    return _made(officer, request, document, state="draft", action="request.extension_proposed", words=reason)


def approve(officer: Officer, change: RequestChange) -> RequestChange:
    """Sign a proposed extension as its second officer and send it. Raises Refused; see `requests.approve`."""
    officers.need(officer, "supervisor")
    change.refresh_from_db()
    if change.drafted_by_id == officer.pk:
        raise Refused(403, "request.same_person", "Who proposed an extension does not approve it.", "Ask another supervisor.")
    if change.state != "draft":
        raise Refused(409, "request.state", "This extension is not waiting for a second officer any more.")
    _judge(change.request, extension(change))
    envelope = officers.countersign(bytes(change.payload), change.drafted_by, bytes(change.draft_signature), officer)
    with transaction.atomic():
        changed = RequestChange.objects.filter(pk=change.pk, state="draft").update(
            state="approved", approved_by=officer, envelope=envelope
        )
        if not changed:
            raise Refused(409, "request.state", "Somebody else acted on this extension just now.")
        audit.note(officer, "request.extension_approved", f"request {change.request_id}", case=change.request.case)
    change.refresh_from_db()
    return _send_soon(change)


def drop(officer: Officer, change: RequestChange) -> RequestChange:
    """Take a proposed extension back, or turn it down. Raises Refused."""
    officers.need(officer, *officers.SIGNERS)
    cases.need_member(officer, change.request.case)
    with transaction.atomic():
        if not RequestChange.objects.filter(pk=change.pk, state="draft").update(state="dropped"):
            raise Refused(409, "request.state", "This extension is not waiting for a second officer any more.")
        audit.note(officer, "request.extension_dropped", f"request {change.request_id}", case=change.request.case)
    change.refresh_from_db()
    return change


def resolve(officer: Officer, request: Request, outcome: str, words: str = "") -> RequestChange:
    """Say what came of a request, which ends a live one. Raises Refused, RefusedWhole, ProtocolError."""
    officers.need(officer, *officers.SIGNERS)
    cases.need_member(officer, request.case)
    request.refresh_from_db()
    if outcome not in OUTCOMES:
        raise Refused(400, "request.outcome", "Choose what came of it.")
    if request.state not in RESOLVABLE or request.log_index is None:
        raise Refused(409, "request.state", "Only a request that was public gets an outcome.", "Withdraw this one instead.")
    if outcome_of(request) is not None:
        raise Refused(409, "request.state", "This request has its outcome already.")
    violations = wording.check_words(words, case=request.case.number)
    if violations:
        raise by_rules(violations)
    document = RequestResolved(
        request_id=request.id, agency=requests.document_of(request).agency, outcome=outcome, words=words, at=clock.now()
    )
    return _send_soon(_made(officer, request, document, state="approved", action="request.resolved", words=outcome))


def get(request: Request, pk: int) -> RequestChange:
    """Return a change of this request. Raises Refused."""
    found = request.changes.filter(pk=pk).select_related("request__case", "drafted_by__user", "approved_by__user").first()
    if found is None:
        raise missing("change")
    return found


def beat(_now: int) -> None:
    """Send what waits and follow what was sent. Raises HubUnreachable once all had their turn."""
    silent: hubcalls.HubUnreachable | None = None
    for change in RequestChange.objects.filter(state__in=("approved", "sent")).select_related("request"):
        try:
            if silent is None:
                follow(change)
        except (hubcalls.HubRefused, ProtocolError) as error:
            log(Event.REQUEST_REFUSED, request=change.request_id, rule=error.code)
        except hubcalls.HubUnreachable as error:
            silent = error
    if silent is not None:
        raise silent


def follow(change: RequestChange) -> str:
    """Send a signed change, or ask for its place in the log, and return its state here.

    It becomes `logged` only when the proof holds for exactly the envelope that our officers signed, in the pinned public log,
    under the pinned quorum. Raises ProtocolError, HubRefused, HubUnreachable.
    """
    change.refresh_from_db()
    if change.state == "approved":
        _send(change)
    if change.state == "sent":
        answer = hubcalls.call("request_state", {"request_id": change.request_id})
        index = answer.get(_CALLS[change.kind][1])
        if isinstance(index, int) and not isinstance(index, bool):
            _prove(change, index)
        elif hubcalls.text_of(answer, "state") in ("withdrawn", "expired" if change.kind == EXTENDED else "lapsed"):
            _refuse(change, "The request had ended before this reached the log.")
    change.refresh_from_db()
    return change.state


def _judge(request: Request, document: RequestExtended) -> None:
    first = requests.document_of(request)
    others = request.changes.filter(kind=EXTENDED, state__in=("approved", "sent", "logged"))
    known = LiveRequest(
        id=request.id,
        agency=first.agency,
        case=first.case,
        area=first.area,
        at=first.at,
        expires=request.expires_at,
        withdrawn=request.state != "published",
        extended=others.exists(),
    )
    violations = check_extension(document, known, now=clock.now())
    if violations:
        raise by_rules(violations)


def _made(
    officer: Officer, request: Request, document: RequestExtended | RequestResolved, *, state: str, action: str, words: str
) -> RequestChange:
    payload = document.encode()
    signed = dsse.sign(dsse.ENTRY, payload, officers.signing_key(officer))
    with transaction.atomic():
        made = RequestChange.objects.create(
            request=request,
            kind=document.TYPE,
            state=state,
            payload=payload,
            drafted_by=officer,
            draft_signature=signed.signatures[0].sig,
            envelope=signed.encode() if state == "approved" else None,
            at=document.at,
        )
        audit.note(officer, action, f"request {request.id}", case=request.case, words=words)
    return made


def _send_soon(change: RequestChange) -> RequestChange:
    """Send it now; a hub out of reach gets it from the beat. Raises HubRefused."""
    try:
        follow(change)
    except hubcalls.HubUnreachable:
        log(Event.PEER_UNREACHABLE, peer="hub")
    change.refresh_from_db()
    return change


def _send(change: RequestChange) -> None:
    try:
        hubcalls.call(_CALLS[change.kind][0], {"envelope": hubcalls.b64(bytes(change.envelope or b""))})
    except hubcalls.HubRefused as error:
        if error.code != "request.pending":
            _refuse(change, "; ".join(detail.message for detail in error.details) or error.message)
        raise
    RequestChange.objects.filter(pk=change.pk, state="approved").update(state="sent")
    change.refresh_from_db()


def _refuse(change: RequestChange, why: str) -> None:
    RequestChange.objects.filter(pk=change.pk).update(state="refused", refusal=why)
    log(Event.REQUEST_REFUSED, request=change.request_id, rule=change.kind)
    change.refresh_from_db()


def _prove(change: RequestChange, index: int) -> None:
    try:
        entry, proof = hubcalls.public_entry(index)
    except hubcalls.HubRefused as error:
        if error.status == 404:
            return  # in the log, but witnesses have not seen it yet
        raise
    if entry != bytes(change.envelope or b""):
        _refuse(change, "Another change of this kind came first.")
        return
    with transaction.atomic():
        RequestChange.objects.filter(pk=change.pk).update(state="logged", proof=proof, log_index=index)
        if change.kind == EXTENDED:
            requests.prolong(change.request, extension(change).expires)
            log(Event.REQUEST_EXTENDED, request=change.request_id)
        else:
            requests.close(change.request)
            log(Event.REQUEST_RESOLVED, request=change.request_id)
