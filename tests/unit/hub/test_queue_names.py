"""Whose change waits is asked of a column, not of bytes that another agency's id may begin."""

import pytest

from fairwitness.hub.models import PendingEntry
from fairwitness.hub.services import agencies, entries
from fairwitness.kit.errors import Refused

pytestmark = pytest.mark.django_db(transaction=True)


def queued(agency):
    return PendingEntry.objects.create(sha256=agency.ljust(64, "0"), kind="key_rotated", envelope=b"{}", agency=agency, at=1)


def test_another_agency_with_a_longer_name_waits_for_nobody():
    queued("us-ca-oakland")
    agencies._settle_queue("us-ca-oak")
    with pytest.raises(Refused, match="not in the log yet"):
        agencies._settle_queue("us-ca-oakland")


def test_what_cannot_be_read_names_nobody():
    assert entries.agency_of(b"no envelope") == ""
