"""The agency's addresses."""

from django.urls import path

from fairwitness.agency.api import api
from fairwitness.agency.operate import OPERATIONS
from fairwitness.agency.views import cases, evidence, exports, holds, requests, start, triage
from fairwitness.kit.operate.views import operated
from fairwitness.kit.urls import common

urlpatterns = [
    *common(),
    *operated(OPERATIONS),
    path("api/", api.urls),
    path("", start.start, name="agency_start"),
    path("cases", cases.listing, name="agency_cases"),
    path("cases/new", cases.new, name="agency_case_new"),
    path("cases/<int:case_id>", cases.case, name="agency_case"),
    path("cases/<int:case_id>/requests/new", requests.new, name="agency_request_new"),
    path("cases/<int:case_id>/requests/check", requests.check, name="agency_request_check"),
    path("requests", requests.listing, name="agency_requests"),
    path("requests/<str:request_id>", requests.one, name="agency_request"),
    path("requests/<str:request_id>/edit", requests.edit, name="agency_request_edit"),
    path("requests/<str:request_id>/approve", requests.approve, name="agency_request_approve"),
    path("requests/<str:request_id>/return", requests.give_back, name="agency_request_return"),
    path("requests/<str:request_id>/withdraw", requests.withdraw, name="agency_request_withdraw"),
    path("requests/<str:request_id>/extend", requests.extend, name="agency_request_extend"),
    path("requests/<str:request_id>/changes/<int:change_id>", requests.decide, name="agency_request_change"),
    path("requests/<str:request_id>/resolve", requests.resolve, name="agency_request_resolve"),
    path("cases/<int:case_id>/notes", cases.write, name="agency_case_note"),
    path("cases/<int:case_id>/notes/<int:note_id>/strike", cases.strike, name="agency_case_note_strike"),
    path("cases/<int:case_id>/members/add", cases.add_member, name="agency_case_member_add"),
    path("cases/<int:case_id>/members/remove", cases.remove_member, name="agency_case_member_remove"),
    path("requests/<str:request_id>/responses", triage.queue, name="agency_responses"),
    path("responses/<str:response_id>", triage.response, name="agency_response"),
    path("responses/<str:response_id>/open", triage.open_response, name="agency_response_open"),
    path("responses/<str:response_id>/accept", triage.accept, name="agency_response_accept"),
    path("responses/<str:response_id>/decline", triage.decline, name="agency_response_decline"),
    path("looks/<str:touch_id>", triage.look, name="agency_look"),
    path("looks/<str:touch_id>/picture", triage.picture, name="agency_picture"),
    path("looks/<str:touch_id>/part/<int:annotation_id>", evidence.part, name="agency_part"),
    path("notices/<int:notice_id>/seen", triage.seen, name="agency_notice_seen"),
    path("quarantine", triage.quarantine, name="agency_quarantine"),
    path("evidence", evidence.grid, name="agency_evidence"),
    path("evidence/<str:response_id>", evidence.item, name="agency_evidence_item"),
    path("evidence/<str:response_id>/notes", evidence.annotate, name="agency_annotate"),
    path("evidence/<str:response_id>/notes/<int:annotation_id>/strike", evidence.strike, name="agency_annotation_strike"),
    path("evidence/<str:response_id>/download", evidence.download, name="agency_download"),
    path("evidence/<str:response_id>/report", evidence.report_item, name="agency_report"),
    path("cases/<int:case_id>/report", evidence.report_case, name="agency_case_report"),
    path("evidence/<str:response_id>/hold", holds.place, name="agency_hold"),
    path("evidence/<str:response_id>/use", holds.use, name="agency_use"),
    path("holds", holds.listing, name="agency_holds"),
    path("holds/<int:hold_id>/lift", holds.lift, name="agency_hold_lift"),
    path("exports", exports.listing, name="agency_exports"),
    path("exports/trust.json", exports.trust, name="agency_trust"),
    path("exports/<str:export_id>/download", exports.download, name="agency_export_download"),
    path("requests/<str:request_id>/export", exports.new, name="agency_export_new"),
]
