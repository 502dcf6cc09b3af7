"""Where a home's page leads."""

from django.utils.translation import gettext_lazy as _

from fairwitness.kit.navigation import Place

PLACES = (
    Place("home_start", _("Start"), "house", ("owner", "member", "viewer")),
    Place("home_cameras", _("Cameras"), "camera", ("owner", "member", "viewer"), under="/cameras"),
    Place("home_settings", _("Settings"), "settings", ("owner", "member", "viewer"), under="/settings"),
)
