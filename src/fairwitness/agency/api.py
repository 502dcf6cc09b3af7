"""The agency's session API. Each operation declares the roles that may call it; services check them again.

Nothing here can speak of an owner who did not answer: there is no row to read (P1, P2).
"""

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from fairwitness_core.model.response import Manifest
from fairwitness_core.wire import dsse
from ninja import Field

from fairwitness.agency.errors import NotYetLogged, RefusedWhole
from fairwitness.agency.models import Case, Export, Hold, Notice, Officer, Request, Response, Touch
from fairwitness.agency.services import (
    cases,
    collect,
    custody,
    evidence,
    export,
    hold,
    hubcalls,
    node,
    officers,
    requests,
    status,
    triage,
)
from fairwitness.kit.accounts import gate
from fairwitness.kit.api import StrictSchema, make_api
from fairwitness.kit.errors import Refused

api = make_api("agency")

SIGNERS = gate.Session("officer", "supervisor")
SUPERVISOR = gate.Session("supervisor")
HANDLERS = gate.Session("officer", "supervisor", "technician")
KEEPERS = gate.Session("supervisor", "technician")
ADMIN = gate.Session("admin")
EVERYONE = gate.Session("officer", "supervisor", "technician", "admin")
OWN_CASE = gate.Session("officer", "supervisor", "technician", per_object=True)
OWN_DECISION = gate.Session("supervisor", per_object=True)
OWN_KEEPING = gate.Session("supervisor", "technician", per_object=True)
OWN_TOUCH = gate.Session("officer", "supervisor", "technician", per_object=True)

_CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_TYPES = {"mp4": "video/mp4", "json": "application/json"}


class CaseIn(StrictSchema):
    """A case to open."""

    number: str
    offense: str
    title: str = ""


class DraftIn(StrictSchema):
    """A request as it is written: times in Unix seconds UTC, `area` as H3 res-9 cells."""

    area: list[str] = Field(max_length=64)
    from_: int = Field(alias="from")
    to: int
    msg: str
    expires: int
    contact: str = ""
    modes: list[str] = Field(default=["anonymous", "identified"], max_length=2)
    emergency: bool = False
    wide_reason: str = ""

    def draft(self) -> requests.Draft:
        """Return it as the service takes it."""
        return requests.Draft(
            area=tuple(self.area),
            from_=self.from_,
            to=self.to,
            msg=self.msg,
            expires=self.expires,
            contact=self.contact,
            modes=tuple(self.modes),
            emergency=self.emergency,
            wide_reason=self.wide_reason,
        )


class ReasonIn(StrictSchema):
    """Why a request ends: `resolved` or `withdrawn`."""

    reason: str = "withdrawn"


class PurposeIn(StrictSchema):
    """Why something is done, in one line."""

    purpose: str


class TouchIn(StrictSchema):
    """What to open: `action` viewed, opened or downloaded; `target` a clip's name or manifest.dsse.json."""

    action: str
    target: str
    purpose: str


class HoldIn(StrictSchema):
    """A hold: `kind` legal_hold or defence_preservation, and the order's own reference."""

    kind: str
    reference: str
    purpose: str


class UseIn(StrictSchema):
    """Use of a response in another case; `sealed_by` names a court's order that the owner is not told."""

    case: str
    purpose: str
    recipient: str
    sealed_by: str = ""


class ExportIn(StrictSchema):
    """A bag to make: which responses, why, for whom."""

    responses: list[str] = Field(max_length=256)
    purpose: str
    recipient: str
    sealed_by: str = ""


class OfficerIn(StrictSchema):
    """A person to add."""

    username: str
    display_name: str
    role: str


def _whole(request: HttpRequest, error: Exception) -> HttpResponse:  # noqa: ARG001 - ninja's form of a handler
    if not isinstance(error, RefusedWhole):
        raise error
    body = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "details": [{"code": d.code, "message": d.message, "hint": d.hint} for d in error.details],
    }
    return HttpResponse(json.dumps({"error": body}, ensure_ascii=False), status=error.status, content_type="application/json")


def _logging(request: HttpRequest, error: Exception) -> HttpResponse:  # noqa: ARG001 - ninja's form of a handler
    if not isinstance(error, NotYetLogged):
        raise error
    touch = Touch.objects.filter(record_id=error.record).values_list("id", flat=True).first()
    body = {"state": "logging", "retry_after": error.retry_after, **({"touch": touch} if touch else {})}
    return HttpResponse(
        json.dumps(body), status=202, content_type="application/json", headers={"Retry-After": str(error.retry_after)}
    )


for _kind in (RefusedWhole, hubcalls.HubRefused):
    api.add_exception_handler(_kind, _whole)  # type: ignore[arg-type]  # ninja types the handler by its one class
api.add_exception_handler(NotYetLogged, _logging)  # type: ignore[arg-type]  # as above


def _me(request: HttpRequest) -> Officer:
    return officers.of_user(gate.actor(request))


def _case(item: Case) -> dict[str, Any]:
    return {"id": item.pk, "number": item.number, "offense": item.offense, "title": item.title, "opened_at": item.opened_at}


def _request(item: Request) -> dict[str, Any]:
    document = requests.document_of(item).to_json()
    return {
        "id": item.id,
        "case_id": item.case_id,
        "state": item.state,
        "refusal": item.refusal,
        "log_index": item.log_index,
        "drafted_by": item.drafted_by.actor,
        "approved_by": item.approved_by.actor if item.approved_by else None,
        "request": document,
    }


def _response(item: Response) -> dict[str, Any]:
    return {
        "id": item.id,
        "request": item.request_id,
        "state": item.state,
        "reason": item.reason,
        "collected_at": item.collected_at,
        "withdrawn_at": item.withdrawn_at,
        "until": item.until,
        "late": item.late,
        "about": item.about,
        "destroy_at": item.destroy_at,
        "exported": item.exported,
        "clips": [{"name": c.name, "sha256": c.sha256, "size": c.size} for c in item.clips.all()],
        "holds": [_hold(one) for one in item.holds.filter(lifted_at=None)],
    }


def _hold(item: Hold) -> dict[str, Any]:
    return {"id": item.pk, "kind": item.kind, "reference": item.reference, "placed_at": item.placed_at}


def _notice(item: Notice) -> dict[str, Any]:
    return {
        "id": item.pk, "kind": item.kind, "request": item.request_id, "response": item.response_id,
        "level": item.level, "at": item.at,
    }  # fmt: skip


def _officer(item: Officer) -> dict[str, Any]:
    return {
        "id": item.pk,
        "username": item.user.username,
        "display_name": item.user.display_name,
        "role": item.user.role,
        "actor": item.actor,
        "kid": officers.public_key(item).kid,
        "removed": item.removed_at is not None,
    }


@api.get("/me", auth=EVERYONE)
def me(request: HttpRequest) -> dict[str, Any]:
    """Say who is signed in."""
    return _officer(_me(request))


@api.get("/cases", auth=HANDLERS)
def list_cases(request: HttpRequest) -> dict[str, Any]:
    """List one's cases, the newest first."""
    return {"cases": [_case(item) for item in cases.listing(_me(request))]}


@api.post("/cases", auth=SIGNERS)
def open_case(request: HttpRequest, body: CaseIn) -> dict[str, Any]:
    """Open a case."""
    return _case(cases.open_case(_me(request), body.number, body.offense, body.title))


@api.get("/cases/{case_id}", auth=OWN_CASE)
def get_case(request: HttpRequest, case_id: int) -> dict[str, Any]:
    """Show a case and its requests."""
    item = cases.seen_by(_me(request), case_id)
    return {**_case(item), "requests": [_request(one) for one in item.requests.all()]}


@api.post("/cases/{case_id}/check", auth=SIGNERS)
def check_request(request: HttpRequest, case_id: int, body: DraftIn) -> dict[str, Any]:
    """Say which rules a draft breaks; nothing is stored."""
    me = _me(request)
    verdict = requests.check(me, cases.seen_by(me, case_id), body.draft())
    return {
        "ok": verdict.ok,
        "violations": [{"code": v.rule, "message": v.message, "hint": v.hint} for v in verdict.violations],
        "flags": [{"code": flag.rule, "message": flag.message} for flag in verdict.flags],
    }


@api.post("/cases/{case_id}/requests", auth=SIGNERS)
def draft_request(request: HttpRequest, case_id: int, body: DraftIn) -> dict[str, Any]:
    """Draft and sign a request."""
    me = _me(request)
    return _request(requests.draft(me, cases.seen_by(me, case_id), body.draft()))


@api.get("/requests", auth=HANDLERS)
def list_requests(request: HttpRequest) -> dict[str, Any]:
    """List the requests of one's cases, the newest first."""
    return {"requests": [_request(item) for item in requests.listing(_me(request))]}


@api.get("/requests/{request_id}", auth=OWN_CASE)
def get_request(request: HttpRequest, request_id: str) -> dict[str, Any]:
    """Show a request."""
    return _request(requests.seen_by(_me(request), request_id))


@api.post("/requests/{request_id}/approve", auth=OWN_DECISION)
def approve_request(request: HttpRequest, request_id: str) -> dict[str, Any]:
    """Sign a draft as its second officer and submit it."""
    me = _me(request)
    return _request(requests.approve(me, requests.seen_by(me, request_id)))


@api.post("/requests/{request_id}/withdraw", auth=gate.Session("officer", "supervisor", per_object=True))
def withdraw_request(request: HttpRequest, request_id: str, body: ReasonIn) -> dict[str, Any]:
    """End a request early."""
    me = _me(request)
    return _request(requests.withdraw(me, requests.seen_by(me, request_id), body.reason))


@api.get("/requests/{request_id}/responses", auth=OWN_CASE)
def list_responses(request: HttpRequest, request_id: str) -> dict[str, Any]:
    """List the responses that were sent to a request and collected."""
    item = requests.seen_by(_me(request), request_id)
    return {"responses": [_response(one) for one in item.responses.prefetch_related("clips")]}


@api.post("/requests/{request_id}/export", auth=OWN_KEEPING)
def export_request(request: HttpRequest, request_id: str, body: ExportIn) -> dict[str, Any]:
    """Make an evidence bag under this node's exports folder; 202 while it is being logged."""
    me = _me(request)
    done = export.export(
        me,
        requests.seen_by(me, request_id),
        body.responses,
        purpose=body.purpose,
        recipient=body.recipient,
        sealed_by=body.sealed_by,
    )
    return {"export": done.path.name, "tagmanifest_sha256": done.tagmanifest}


@api.get("/exports", auth=KEEPERS)
def list_exports(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the gate has read it
    """List bags, the newest first."""
    rows = Export.objects.all()
    return {
        "exports": [
            {"id": e.id, "request": e.request_id, "at": e.at, "written_at": e.written_at, "tagmanifest_sha256": e.tagmanifest}
            for e in rows
        ]
    }


@api.get("/responses/{response_id}", auth=OWN_CASE)
def get_response(request: HttpRequest, response_id: str) -> dict[str, Any]:
    """Show what the rows say of a response; what its owner wrote is opened by a touch."""
    return _response(evidence.seen_by(_me(request), response_id))


@api.get("/responses/{response_id}/custody", auth=OWN_CASE)
def get_custody(request: HttpRequest, response_id: str) -> dict[str, Any]:
    """Show a response's chain of custody."""
    links = custody.chain(evidence.seen_by(_me(request), response_id))
    return {
        "custody": [
            {
                "number": link.number, "action": link.action, "actor": link.actor, "at": link.at, "state": link.state,
                "index": link.index, "event": json.loads(dsse.Envelope.parse(bytes(link.envelope)).payload),
            }
            for link in links
        ]
    }  # fmt: skip


@api.get("/responses/{response_id}/status", auth=OWN_CASE)
def get_status(request: HttpRequest, response_id: str) -> dict[str, Any]:
    """Show what this response's owner was told."""
    rows = status.history(evidence.seen_by(_me(request), response_id).id)
    return {"status": [{"status": row.status, "at": row.at, "sent_at": row.sent_at} for row in rows]}


@api.post("/responses/{response_id}/touch", auth=OWN_CASE)
def make_touch(request: HttpRequest, response_id: str, body: TouchIn) -> dict[str, Any]:
    """Log the opening of a clip or of the manifest; 202 until it is proven."""
    if body.action not in evidence.OPENING:
        raise Refused(400, "touch.action", "The action is viewed, opened or downloaded.")
    me = _me(request)
    found = evidence.touch(me, evidence.seen_by(me, response_id), body.action, body.purpose, target=body.target)
    return {"touch": found.id, "state": "logged"}


@api.get("/touches/{touch_id}", auth=OWN_TOUCH)
def get_touch(request: HttpRequest, touch_id: str) -> dict[str, Any]:
    """Say whether one's own touch is logged; 202 until it is."""
    found = evidence.get_touch(touch_id, _me(request))
    custody.prove(found.record)
    return {"touch": found.id, "state": "logged"}


@api.get("/touches/{touch_id}/manifest", auth=OWN_TOUCH)
def touched_manifest(request: HttpRequest, touch_id: str) -> dict[str, Any]:
    """Show what the owner signed, once one's own touch of the manifest is logged."""
    officer = _me(request)
    found = evidence.get_touch(touch_id, officer)
    if found.target != evidence.MANIFEST:
        raise Refused(409, "touch.target", "This touch is of a clip.")
    document = evidence.signed_words(officer, found)
    return {"kind": "answer" if isinstance(document, Manifest) else "step_forward", "manifest": document.to_json()}


@api.get("/touches/{touch_id}/content", auth=OWN_TOUCH)
def touched_content(request: HttpRequest, touch_id: str) -> HttpResponse:
    """Stream what one's own logged touch names; a byte range is honoured, so that a player can jump."""
    officer = _me(request)
    found = evidence.get_touch(touch_id, officer)
    stream = evidence.use(officer, found)
    size = stream.seek(0, 2)
    first, last, code = _range(request.headers.get("Range", ""), size)
    stream.seek(first)
    answer = StreamingHttpResponse(_pieces(stream, last - first + 1), status=code)
    answer["Content-Type"] = _TYPES[found.target.rpartition(".")[2]]
    answer["Content-Length"] = str(last - first + 1)
    answer["Accept-Ranges"] = "bytes"
    answer["Cache-Control"] = "no-store"
    if code == 206:
        answer["Content-Range"] = f"bytes {first}-{last}/{size}"
    if found.record.action == "downloaded":
        answer["Content-Disposition"] = f'attachment; filename="{found.record.response_id[:16]}-{found.target}"'
    return answer  # type: ignore[return-value]  # Django's streaming answer is no HttpResponse by class


def _range(header: str, size: int) -> tuple[int, int, int]:
    """Return (first byte, last byte, status) of a single range; anything else means the whole (RFC 9110, 14.2)."""
    match = _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return 0, size - 1, 200
    first = int(match[1]) if match[1] else max(0, size - int(match[2]))
    last = min(int(match[2]), size - 1) if match[1] and match[2] else size - 1
    if first > last:
        raise Refused(416, "range.unsatisfiable", "The file is shorter than that.")
    return first, last, 206


def _pieces(stream: BinaryIO, left: int) -> Iterator[bytes]:
    with stream:
        while left > 0 and (piece := stream.read(min(_CHUNK, left))):
            left -= len(piece)
            yield piece


@api.post("/responses/{response_id}/accept", auth=OWN_CASE)
def accept_response(request: HttpRequest, response_id: str, body: PurposeIn) -> dict[str, Any]:
    """Take a response into the case; 202 until it is logged."""
    me = _me(request)
    return _response(triage.accept(me, evidence.seen_by(me, response_id), body.purpose))


@api.post("/responses/{response_id}/decline", auth=OWN_CASE)
def decline_response(request: HttpRequest, response_id: str, body: PurposeIn) -> dict[str, Any]:
    """Refuse a response; 202 until it is logged."""
    me = _me(request)
    return _response(triage.decline(me, evidence.seen_by(me, response_id), body.purpose))


@api.post("/responses/{response_id}/hold", auth=OWN_DECISION)
def hold_response(request: HttpRequest, response_id: str, body: HoldIn) -> dict[str, Any]:
    """Keep a response from destruction by a named order or demand; 202 until it is logged."""
    me = _me(request)
    return _hold(hold.place(me, evidence.seen_by(me, response_id), body.kind, body.reference, body.purpose))


@api.post("/holds/{hold_id}/lift", auth=SUPERVISOR)
def lift_hold(request: HttpRequest, hold_id: int, body: PurposeIn) -> dict[str, Any]:
    """End a hold; 202 until it is logged."""
    me = _me(request)
    return _hold(hold.lift(me, hold.get(hold_id), body.purpose))


@api.post("/responses/{response_id}/use", auth=OWN_DECISION)
def use_response(request: HttpRequest, response_id: str, body: UseIn) -> dict[str, Any]:
    """Let a response serve another case; 202 until it is logged."""
    me = _me(request)
    found = evidence.use_in_case(
        me,
        evidence.seen_by(me, response_id),
        case=body.case,
        purpose=body.purpose,
        recipient=body.recipient,
        sealed_by=body.sealed_by,
    )
    return {"touch": found.id, "state": "logged"}


@api.get("/quarantine", auth=KEEPERS)
def list_quarantine(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the gate has read it
    """List responses that failed a check, with the reason; their contents are never shown."""
    return {"responses": [_response(item) for item in Response.objects.filter(state="quarantined")]}


@api.get("/notices", auth=HANDLERS)
def list_notices(request: HttpRequest) -> dict[str, Any]:
    """List what of one's cases nobody has seen yet."""
    return {"notices": [_notice(item) for item in triage.notices(_me(request))]}


@api.post("/notices/{notice_id}/seen", auth=OWN_CASE)
def see_notice(request: HttpRequest, notice_id: int) -> dict[str, Any]:
    """Mark a notice as seen."""
    triage.seen(_me(request), notice_id)
    return {"ok": True}


@api.get("/officers", auth=ADMIN)
def list_officers(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the gate has read it
    """List the agency's people."""
    return {"officers": [_officer(item) for item in Officer.objects.select_related("user")]}


@api.post("/officers", auth=ADMIN)
def add_officer(request: HttpRequest, body: OfficerIn) -> dict[str, Any]:
    """Add a person; the code is shown once, and the hub must be handed the new registration."""
    done = officers.enrol(body.username, body.display_name, body.role, _me(request))
    return {**_officer(done.officer), "code": done.code, "registration": officers.registration()}


@api.post("/officers/{officer_id}/remove", auth=ADMIN)
def remove_officer(request: HttpRequest, officer_id: int) -> dict[str, Any]:
    """End a person's access and key."""
    officers.remove(officers.get(officer_id), _me(request))
    return {"registration": officers.registration()}


@api.get("/registration", auth=ADMIN)
def registration(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the gate has read it
    """Show what a hub's administrator adds this agency by."""
    return officers.registration()


@api.get("/status", auth=ADMIN)
def node_status(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - the gate has read it
    """Say how this node stands with its hub."""
    return {"agency": node.agency_id(), "joined": node.joined(), "last_collected": collect.last_round()}
