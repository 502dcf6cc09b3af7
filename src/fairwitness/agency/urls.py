"""The agency's addresses."""

from django.urls import path

from fairwitness.agency.api import api
from fairwitness.agency.operate import OPERATIONS
from fairwitness.agency.views import cases, start
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
    path("cases/<int:case_id>/notes", cases.write, name="agency_case_note"),
    path("cases/<int:case_id>/notes/<int:note_id>/strike", cases.strike, name="agency_case_note_strike"),
    path("cases/<int:case_id>/members/add", cases.add_member, name="agency_case_member_add"),
    path("cases/<int:case_id>/members/remove", cases.remove_member, name="agency_case_member_remove"),
]
