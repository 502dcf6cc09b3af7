"""The hub over HTTP: agencies' signed calls, responders' uploads, blind token issuance, and the staff's session API."""

import base64
from dataclasses import asdict
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from fairwitness_core.crypto.tokens import TOKENS_PER_EPOCH
from fairwitness_core.model import request as documents
from fairwitness_core.model.response import PART_SIZE
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError
from ninja import Path as InPath

from fairwitness.hub import operations
from fairwitness.hub.errors import HubState, RulesRefused, unknown_upload
from fairwitness.hub.models import Agency, Request
from fairwitness.hub.services import agencies, calls, health, inbox, moderation, tokens, uploads
from fairwitness.hub.services import requests as own
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.accounts import services as accounts
from fairwitness.kit.api import StrictSchema, body_chunks, error_response, make_api, read_body
from fairwitness.kit.errors import Refused
from fairwitness.kit.logstore import LogError

MAX_CALL = 1 << 20
MAX_STATEMENT = 1 << 14
PART_MAGIC = b"FWP1"
_RESPONSE_ID_LENGTH = 64

api = make_api("hub")


@api.exception_handler(RulesRefused)
def _rules_refused(_request: HttpRequest, error: Exception) -> HttpResponse:
    if not isinstance(error, RulesRefused):
        raise error
    details = [{"rule": d.rule, "code": d.rule, "message": d.message, "hint": d.hint} for d in error.details]
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint, "details": details}}
    return JsonResponse(body, status=error.status)


@api.exception_handler(HubState)
@api.exception_handler(LogError)
def _not_ready(_request: HttpRequest, _error: Exception) -> HttpResponse:
    return error_response(503, "hub.not_ready", "The hub is starting or being repaired.", "Try again in a moment.")


# ---------------------------------------------------------------- agencies


@api.post("/v1/agency", auth=gate.SignedBody("a current key of the agency"))
def agency_call(request: HttpRequest) -> dict[str, Any]:
    """Perform one operation for an agency."""
    return operations.perform(calls.authenticate(read_body(request, MAX_CALL)))


@api.post("/v1/agency/blob", auth=gate.SignedBody("a current key of the agency"))
def agency_blob(request: HttpRequest) -> FileResponse:
    """Hand an agency one of its own ciphertexts."""
    call = calls.authenticate(read_body(request, MAX_CALL))
    if call.op != "inbox_fetch":
        raise Refused(404, "call.op", "Only inbox_fetch is answered here.")
    stream, size = uploads.ciphertext(call.agency, operations.argument(call.body, "response_id", str))
    answer = FileResponse(stream, content_type="application/octet-stream")
    answer.headers["Content-Length"] = str(size)
    answer.headers["Cache-Control"] = "no-store"
    return answer


# ---------------------------------------------------------------- responders


def _rid(text: str) -> str:
    if len(text) != _RESPONSE_ID_LENGTH or not all(c in "0123456789abcdef" for c in text):
        raise unknown_upload()
    return text


def _have(found: uploads.Progress) -> dict[str, Any]:
    return {"response_id": found.response_id, "parts_have": list(found.parts_have)}


@api.post("/v1/uploads", auth=gate.SignedBody("the response's own key"))
def upload_open(request: HttpRequest) -> dict[str, Any]:
    """Open an upload, or take it up again."""
    return _have(uploads.begin(read_body(request, MAX_STATEMENT)))


@api.get("/v1/uploads/{rid}", auth=gate.Anyone("a response id is a secret of its owner until it is finished"))
def upload_state(request: HttpRequest, rid: str) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Say which parts are here."""
    return _have(uploads.progress(_rid(rid)))


@api.put("/v1/uploads/{rid}/{int:number}", auth=gate.SignedBody("the response's own key"))
def upload_part(request: HttpRequest, rid: str, number: InPath[int]) -> dict[str, Any]:
    """Take one part: its signed statement, then its bytes."""
    chunks = body_chunks(request, PART_SIZE + MAX_STATEMENT + len(PART_MAGIC) + 4)
    header = request.headers.get("Fairwitness-Part")
    if header is not None:
        try:
            statement = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
        except ValueError as error:
            raise ProtocolError("upload.header", "Fairwitness-Part is base64url") from error
        return _have(uploads.put_part(_rid(rid), number, statement, chunks))
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        if len(buffer) >= len(PART_MAGIC) + 4 + MAX_STATEMENT:
            break
    start = len(PART_MAGIC) + 4
    length = int.from_bytes(buffer[len(PART_MAGIC) : start], "big")
    if buffer[: len(PART_MAGIC)] != PART_MAGIC or not 0 < length <= MAX_STATEMENT or len(buffer) < start + length:
        raise ProtocolError("upload.framing", "a part begins with FWP1 and its signed statement")
    statement, rest = bytes(buffer[start : start + length]), bytes(buffer[start + length :])

    def body() -> Any:
        if rest:
            yield rest
        yield from chunks

    return _have(uploads.put_part(_rid(rid), number, statement, body()))


@api.post("/v1/uploads/{rid}/finalize", auth=gate.SignedBody("the response's own key"))
def upload_finish(request: HttpRequest, rid: str) -> dict[str, Any]:
    """Close an upload and hand out the signed promise."""
    return {"promise": dsse.b64(uploads.finish(_rid(rid), read_body(request, MAX_STATEMENT)))}


@api.post("/v1/withdrawals", auth=gate.SignedBody("the response's own key"))
def withdrawal(request: HttpRequest) -> dict[str, Any]:
    """Take a response back."""
    inbox.withdraw(read_body(request, MAX_STATEMENT))
    return {"ok": True}


@api.get("/v1/responses/{rid}/status", auth=gate.Anyone("what the agency signed; an unknown response looks like a new one"))
def response_status(request: HttpRequest, rid: str) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Return the agency's newest signed word about a response."""
    return {"envelopes": [dsse.b64(item) for item in inbox.statuses(rid)]}


class TokenRequest(StrictSchema):
    """An invite, an epoch and the blinded elements."""

    invite: str
    epoch: int
    blinded: list[str]


@api.post("/issuer/v1/tokens", auth=gate.Anyone("an invite code is the credential"))
def issue_tokens(request: HttpRequest, payload: TokenRequest) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Evaluate blinded elements for an invited household."""
    if len(payload.blinded) > TOKENS_PER_EPOCH or len(payload.invite) > 100:
        raise Refused(400, "token.count", f"Send {TOKENS_PER_EPOCH} different blinded elements.")
    blinded = [dsse.unb64(item, "blinded") for item in payload.blinded]
    answers = tokens.issue(payload.invite, payload.epoch, blinded, clock.now())
    return {"evaluated": [dsse.b64(item) for item in answers]}


@api.get("/healthz", auth=gate.Anyone("sizes of public logs"))
def healthz(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Say how the hub is; `ok` is what a monitor reads."""
    found = health.look()
    return {"ok": found.ok, "state": found.state, "public": found.public, "sealed": found.sealed, "tick": found.tick}


# ---------------------------------------------------------------- moderators and administrators


class Nothing(StrictSchema):
    """No argument."""


class Rule(StrictSchema):
    """The rule by which a request is refused."""

    rule: str


class Registration(StrictSchema):
    """An agency's registration, and for how many days it is authorised."""

    registration: dict[str, Any]
    days: int = 365


class Reason(StrictSchema):
    """Why an agency is suspended."""

    reason: str


class Invites(StrictSchema):
    """How many codes, each for how many households in every epoch."""

    count: int = 1
    uses: int = 1


class Code(StrictSchema):
    """An invite code."""

    code: str


class Policy(StrictSchema):
    """A change of policy."""

    kind: str
    text: str
    effective_at: int


class NewUser(StrictSchema):
    """An account to make."""

    username: str
    display_name: str
    role: str


def _shown(row: Request) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.id, "agency": row.agency, "case": row.case, "offense": row.offense, "emergency": row.emergency,
        "flags": row.flags.split(), "state": row.state, "rule": row.rule, "review_due": row.review_due,
        "required": row.required, "approvals": row.approvals.count(), "log_index": row.log_index,
        "submitted_at": row.submitted_at,
    }  # fmt: skip
    if row.envelope:
        document = documents.Request.parse(dsse.Envelope.parse(bytes(row.envelope)).payload)
        shown |= {
            "area": list(document.area), "from": document.from_, "to": document.to, "msg": document.msg,
            "contact": document.contact, "expires": document.expires, "modes": list(document.modes), "at": document.at,
            "wide_reason": document.wide_reason,
        }  # fmt: skip
    return shown


def _acted(found: own.Standing) -> dict[str, Any]:
    return {"id": found.request_id, "state": found.state, "flags": list(found.flags), "log_index": found.log_index}


@api.get("/api/requests", auth=gate.Session("moderator", "admin"))
def request_queue(request: HttpRequest, state: str = "submitted") -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """List requests of a state; `review` lists published emergency requests that await review."""
    return {"requests": [_shown(row) for row in moderation.queue(state)]}


@api.get("/api/requests/{request_id}", auth=gate.Session("moderator", "admin"))
def request_detail(request: HttpRequest, request_id: str) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Show one request."""
    return _shown(moderation.get(request_id))


@api.post("/api/requests/{request_id}/approve", auth=gate.Session("moderator"))
def request_approve(request: HttpRequest, request_id: str, payload: Nothing) -> dict[str, Any]:  # noqa: ARG001
    """Agree to a request."""
    return _acted(moderation.approve(request_id, gate.actor(request).pk))


@api.post("/api/requests/{request_id}/refuse", auth=gate.Session("moderator"))
def request_refuse(request: HttpRequest, request_id: str, payload: Rule) -> dict[str, Any]:  # noqa: ARG001
    """Refuse a request by a rule."""
    return _acted(moderation.refuse(request_id, payload.rule))


@api.post("/api/requests/{request_id}/review", auth=gate.Session("moderator"))
def request_review(request: HttpRequest, request_id: str, payload: Nothing) -> dict[str, Any]:  # noqa: ARG001
    """Let a published emergency request stand."""
    return _acted(moderation.review(request_id, gate.actor(request).pk))


@api.post("/api/requests/{request_id}/withdraw", auth=gate.Session("moderator"))
def request_withdraw(request: HttpRequest, request_id: str, payload: Nothing) -> dict[str, Any]:  # noqa: ARG001
    """Take a published request back."""
    return _acted(moderation.withdraw(request_id))


@api.get("/api/rules", auth=gate.Session("moderator", "admin"))
def rule_list(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """List the rules by which a request can be refused."""
    return {"rules": dict(moderation.REASONS)}


@api.get("/api/agencies", auth=gate.Session("moderator", "admin"))
def agency_list(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """List agencies as the log has them."""
    names = ("agency", "name", "state", "level", "federal", "expires", "suspended")
    return {"agencies": list(Agency.objects.order_by("agency").values(*names))}


def _register(payload: Registration) -> dict[str, Any]:
    if not 1 <= payload.days <= 1096:
        raise Refused(400, "agency.days", "An authorisation lasts 1 day to 3 years.")
    rows = agencies.register(payload.registration, days=payload.days)
    return {"queued": [row.kind for row in rows]}


@api.post("/api/agencies", auth=gate.Session("admin"))
def agency_add(request: HttpRequest, payload: Registration) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Authorise an agency, or log what changed in its registration."""
    return _register(payload)


@api.post("/api/agencies/{agency}/keys", auth=gate.Session("admin"))
def agency_keys(request: HttpRequest, agency: str, payload: Registration) -> dict[str, Any]:  # noqa: ARG001
    """Log which keys of an agency came and went."""
    if payload.registration.get("agency") != agency:
        raise Refused(400, "agency.other", "The registration is another agency's.")
    return _register(payload)


@api.post("/api/agencies/{agency}/suspend", auth=gate.Session("admin"))
def agency_suspend(request: HttpRequest, agency: str, payload: Reason) -> dict[str, Any]:  # noqa: ARG001
    """Suspend an agency."""
    return {"queued": [agencies.suspend(agency, payload.reason).kind]}


@api.post("/api/invites", auth=gate.Session("admin"))
def invites_create(request: HttpRequest, payload: Invites) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Make invite codes; they are shown once."""
    return {"codes": tokens.create_invites(payload.count, payload.uses, clock.now())}


@api.post("/api/invites/revoke", auth=gate.Session("admin"))
def invites_revoke(request: HttpRequest, payload: Code) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Make an invite code worthless."""
    return {"revoked": tokens.revoke_invite(payload.code)}


@api.post("/api/policies", auth=gate.Session("admin"))
def policy_change(request: HttpRequest, payload: Policy) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Log a change of policy, with its notice."""
    return {"queued": [agencies.change_policy(payload.kind, payload.text, payload.effective_at).kind]}


@api.get("/api/status", auth=gate.Session("moderator", "admin"))
def status(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Say how the hub is."""
    return asdict(health.look())


@api.post("/api/users", auth=gate.Session("admin"))
def user_add(request: HttpRequest, payload: NewUser) -> dict[str, Any]:  # noqa: ARG001 - ninja passes it
    """Make an account and its one-time enrolment code."""
    user = accounts.create_user(payload.username, payload.display_name, payload.role)
    return {"username": user.username, "code": accounts.issue_code(user)}
