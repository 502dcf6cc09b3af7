"""Where the head of a hub's pages leads."""

from django.utils.translation import gettext_lazy as _

from fairwitness.kit.navigation import Place

STAFF = ("moderator", "admin")

PLACES = (
    Place("hub_desk", _("Queue"), "inbox", STAFF, under="/desk/requests"),
    Place("hub_rota", _("Rota"), "clock", STAFF),
    Place("hub_agencies", _("Agencies"), "landmark", STAFF),
    Place("hub_health", _("Health"), "activity", STAFF),
    Place("hub_legal", _("Demands by law"), "scale", STAFF),
)
