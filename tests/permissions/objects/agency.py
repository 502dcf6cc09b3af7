"""What may belong to somebody else at an agency: the touch that another officer logged."""

from django.contrib.auth import get_user_model

from fairwitness.agency.models import Case, CustodyRecord, Notice, Officer, Request, Response, Touch
from fairwitness.agency.services import cases


def _touch(user):
    """Return a touch of another officer, while the one who asks is an officer too."""
    Officer.objects.create(
        user=user,
        actor=f"o-{user.pk}",
        public_key=user.username.encode().ljust(32),
        created_at=0,
        trained_until=2**40,
        renewed_at=0,
    )
    other = get_user_model().objects.create(username=f"not-{user.username}", display_name="X", role=user.role, created_at=0)
    officer = Officer.objects.create(
        user=other,
        actor=f"o-{other.pk}",
        public_key=other.username.encode().ljust(32),
        created_at=0,
        trained_until=2**40,
        renewed_at=0,
    )
    response = Response.objects.create(
        id=f"{other.pk:064x}", state="collected", sealed="0" * 64, size=1, tick=0, inbox_day="20260101", collected_at=0
    )
    record = CustodyRecord.objects.create(
        response=response, number=1, action="viewed", actor=officer.actor, at=0, envelope=b"", sha256="0" * 64,
        nonce=bytes(32), commitment=f"{other.pk:032}".encode(), state="proven",
    )  # fmt: skip
    touch = Touch.objects.create(
        id=f"{other.pk:032x}", record=record, officer=officer, target="clip-01.mp4", key="0" * 64, expires_at=2**40
    )
    return {"touch_id": touch.pk}


def _case(user):
    """Return a case that an officer is no member of; whoever sees every case gets one that does not exist."""
    _touch(user)
    if user.role in cases.SEE_ALL:
        return {"case_id": 0}
    other = Officer.objects.exclude(user=user).get()
    return {"case_id": Case.objects.create(number="26-1", offense="nibrs:240", opened_by=other, opened_at=0).pk}


def _noted(user):
    return {**_case(user), "note_id": 1}


def _request(user):
    """Return a request of a case that an officer is no member of; whoever sees every case gets one that does not exist."""
    case = _case(user)["case_id"]
    if not case:
        return {"request_id": "0" * 32}
    other = Officer.objects.exclude(user=user).get()
    made = Request.objects.create(
        id="1" * 32, case_id=case, state="published", payload=b"", drafted_by=other, draft_signature=b"", emergency=False,
        created_at=0, expires_at=2**40,
    )  # fmt: skip
    return {"request_id": made.pk}


def _changed(user):
    return {**_request(user), "change_id": 1}


def _response(user):
    """Return a response, its request and a hold on it, of a case that is none of theirs; where all are, names of nothing."""
    ids = _touch(user)
    if user.role in cases.SEE_ALL:
        return {**ids, "response_id": "0" * 64, "request_id": "0" * 32, "hold_id": 0, "annotation_id": 0, "notice_id": 0,
                "export_id": "0" * 32}  # fmt: skip
    other = Officer.objects.exclude(user=user).get()
    case = Case.objects.create(number="26-2", offense="nibrs:240", opened_by=other, opened_at=0)
    request = Request.objects.create(
        id="1" * 32, case=case, state="published", payload=b"", drafted_by=other, draft_signature=b"", emergency=False,
        created_at=0, expires_at=0,
    )  # fmt: skip
    response = Response.objects.create(
        id=f"{other.pk + 1:064x}", request=request, state="accepted", sealed="0" * 64, size=1, tick=0, inbox_day="20260101",
        collected_at=0,
    )  # fmt: skip
    notice = Notice.objects.create(kind="withdrawn", request=request, response=response, at=0)
    return {**ids, "response_id": response.pk, "request_id": request.pk, "annotation_id": 1, "notice_id": notice.pk}


OBJECTS = {
    **dict.fromkeys(
        (
            "agency_responses",
            "agency_response",
            "agency_response_open",
            "agency_response_accept",
            "agency_response_decline",
            "agency_look",
            "agency_picture",
            "agency_part",
            "agency_notice_seen",
            "agency_evidence_item",
            "agency_annotate",
            "agency_annotation_strike",
            "agency_download",
            "agency_report",
            "agency_hold",
            "agency_use",
            "agency_hold_lift",
            "agency_export_download",
            "agency_export_new",
        ),
        _response,
    ),
    "agency_case_report": _case,
    "agency_request_new": _case,
    "agency_request_check": _case,
    "agency_request": _request,
    "agency_request_edit": _request,
    "agency_request_approve": _request,
    "agency_request_return": _request,
    "agency_request_withdraw": _request,
    "agency_request_extend": _request,
    "agency_request_change": _changed,
    "agency_request_resolve": _request,
    "agency_case": _case,
    "agency_case_note": _case,
    "agency_case_note_strike": _noted,
    "agency_case_member_add": _case,
    "agency_case_member_remove": _case,
    "get_case": _case,
    "get_request": _request,
    "approve_request": _request,
    "list_responses": _response,
    "export_request": _response,
    "get_response": _response,
    "get_custody": _response,
    "get_status": _response,
    "make_touch": _response,
    "accept_response": _response,
    "decline_response": _response,
    "hold_response": _response,
    "use_response": _response,
    "see_notice": _response,
    "withdraw_request": _request,
    "get_touch": _touch,
    "touched_manifest": _touch,
    "touched_content": _touch,
}

_PURPOSE = "Compare the car in the clip with the report"
BODIES = {
    "export_request": {"responses": ["0" * 64], "purpose": _PURPOSE, "recipient": "Court: Harbor County"},
    "make_touch": {"action": "viewed", "target": "clip-01.mp4", "purpose": _PURPOSE},
    "accept_response": {"purpose": _PURPOSE},
    "decline_response": {"purpose": _PURPOSE},
    "hold_response": {"kind": "legal_hold", "reference": "Order 7", "purpose": _PURPOSE},
    "use_response": {"case": "26-9", "purpose": _PURPOSE, "recipient": "Theft desk"},
}
"""A whole body for each operation that reads one before it looks for its object."""
