"""The agency's addresses."""

from django.urls import path

from fairwitness.agency.api import api
from fairwitness.agency.operate import OPERATIONS
from fairwitness.agency.views import cases, requests, start
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
]
