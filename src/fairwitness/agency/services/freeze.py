"""Standing still: one step stops everybody of the agency but its administrators."""

from fairwitness.agency.models import Freeze


def now() -> Freeze | None:
    """Return the freeze in force, or None."""
    return Freeze.objects.filter(lifted_at=None).first()
