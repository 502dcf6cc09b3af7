"""What stands in the log is permanent: the rows made from it must survive an entry that nobody can read."""

import pytest

from fairwitness.hub.services import ledger


@pytest.mark.django_db
@pytest.mark.parametrize("data", [b"", b"not an envelope", b"{}", b"\xff" * 40])
def test_an_unreadable_entry_is_kept_as_such(data):
    row = ledger.project(7, data)
    assert (row.index, row.kind) == (7, "unreadable")
