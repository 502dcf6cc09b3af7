"""Where a home's page leads."""

from django.utils.translation import gettext_lazy as _

from fairwitness.kit.navigation import Place


def _new() -> int:
    from fairwitness.home.services import notifier  # noqa: PLC0415 - models exist once Django is set up

    return notifier.badge()


PLACES = (
    Place("home_start", _("Start"), "house", ("owner", "member", "viewer")),
    Place("home_requests", _("Requests"), "inbox", ("owner", "member"), under="/requests", count=_new),
    Place("home_cameras", _("Cameras"), "camera", ("owner", "member", "viewer"), under="/cameras"),
    Place("home_settings", _("Settings"), "settings", ("owner", "member", "viewer"), under="/settings"),
)
