"""Who is before the page."""

from django.http import HttpRequest

from fairwitness.agency.models import Officer
from fairwitness.agency.services import officers
from fairwitness.kit.accounts import gate


def me(request: HttpRequest) -> Officer:
    """Return the officer who acts, in a view that the gate let pass. Raises Refused."""
    return officers.of_user(gate.actor(request))
