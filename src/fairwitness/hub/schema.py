"""The hub's changes of the schema in three states (see fairwitness.kit.schema)."""

from fairwitness.hub.models import PendingEntry
from fairwitness.hub.services.entries import agency_of
from fairwitness.kit.schema import Change


def _fill(most: int) -> int:
    rows = list(PendingEntry.objects.filter(agency=None).order_by("id").only("id", "envelope")[:most])
    for row in rows:
        row.agency = agency_of(bytes(row.envelope))
    PendingEntry.objects.bulk_update(rows, ["agency"], batch_size=100)
    return len(rows)


CHANGES = (
    Change(
        app="hub",
        expand="0002_pendingentry_agency",
        contract="0003_pendingentry_agency_known",
        batch=_fill,
        left=lambda: PendingEntry.objects.filter(agency=None).count(),
    ),
)
