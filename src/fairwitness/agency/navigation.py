"""Where the head of an agency's pages leads."""

from django.utils.translation import gettext_lazy as _

from fairwitness.kit.navigation import Place

STAFF = ("officer", "supervisor", "technician")

PLACES = (
    Place("agency_start", _("Start"), "house", (*STAFF, "admin"), under="/"),
    Place("agency_cases", _("Cases"), "folder-open", STAFF),
    Place("agency_requests", _("Requests"), "send", STAFF),
    Place("agency_evidence", _("Evidence"), "file-video", STAFF),
    Place("agency_review", _("Review"), "scale", ("supervisor",)),
    Place("agency_admin", _("Administration"), "users", ("admin",), under="/admin"),
)
