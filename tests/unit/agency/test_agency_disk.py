"""An agency whose disk is really full: nothing is half-visible, nothing is acknowledged, and it goes on by itself."""

import os

import pytest

from fairwitness.agency.models import CustodyRecord, Export, Response
from fairwitness.agency.services import collect, custody, export, triage
from fairwitness.kit import clock
from fairwitness.kit.files import DiskFull
from tests.harness.disk import Disk
from tests.unit.agency.agency_steps import PURPOSE
from tests.unit.agency.test_agency_export import ORDER, check
from tests.unit.agency.world import Owner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(os.environ.get("FAIRWITNESS_TEST_DATABASE")), reason="evidence lies in the bucket, not on this disk"),
]


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "agency", 8, "an agency's collecting, intake and export on a full disk")
    try:
        yield disk
    finally:
        disk.close()


@pytest.fixture
def agency(disk, world):
    """The order matters: first the disk, then the agency's folder on it."""
    return world


def waiting(agency):
    request = agency.published()
    owner = Owner(1, [agency.clip, agency.clip])
    agency.hub.answer(agency.document(request), owner)
    return request, owner


def in_evidence(agency):
    """What a reader could find: folders under their names, keys, and files that are no one's."""
    return sorted(path.name for path in (agency.folder / "evidence").iterdir() if not path.name.startswith("."))


@pytest.mark.claim("P16")
def test_collecting_and_intake_stop_at_every_depth_of_a_full_disk_and_go_on(disk, agency):
    _request, owner = waiting(agency)
    size = len(agency.hub.inbox[owner.response_id].data)
    failed = 0
    # No room for the ciphertext; for half of it; for it but not for what it becomes.
    for leave in (0, size // 2, size + (16 << 10)):
        disk.fill(leave)
        with pytest.raises(DiskFull):
            collect.run(clock.now())
        failed += 1
        assert not agency.hub.inbox[owner.response_id].acked
        assert not Response.objects.exists()
        assert not CustodyRecord.objects.exists()
        assert in_evidence(agency) == []
    assert failed == 3
    disk.give_back()
    assert collect.run(clock.now()).collected == [owner.response_id]
    assert agency.hub.inbox[owner.response_id].acked
    response = Response.objects.get()
    assert response.state == "collected"
    assert in_evidence(agency) == [response.id]
    assert not list((agency.folder / "spool").iterdir())
    assert [path.name for path in (agency.folder / "evidence").iterdir()] == [response.id], "no half-made folder is left"
    triage.accept(agency.sam, response, PURPOSE)
    assert [link.action for link in custody.chain(response)] == ["collected", "accepted"]


@pytest.mark.claim("P16")
def test_an_export_appears_whole_or_not_at_all(disk, agency):
    request = agency.published()
    [response] = agency.collected(request, Owner(1, [agency.clip, agency.clip]))
    triage.accept(agency.sam, response, PURPOSE)
    agency.hub.tick()
    exports = agency.folder / "exports"
    for leave in (0, 60 << 10, 2 * len(agency.clip) - 4096):
        disk.fill(leave)
        with pytest.raises(DiskFull):
            export.export(agency.tom, request, [response.id], **ORDER)
        assert not [path for path in exports.iterdir() if not path.name.startswith(".")] if exports.exists() else True
        assert Response.objects.get().state == "accepted"
    disk.give_back()
    done = export.export(agency.tom, request, [response.id], **ORDER)
    report = check(agency, done.path)
    assert report.exit_code == 0, [(c.number, c.title, c.detail) for c in report.checks if not c.ok]
    assert [link.action for link in custody.chain(response)] == ["collected", "accepted", "exported"]
    assert Export.objects.count() == 1
    assert [path.name for path in exports.iterdir()] == [done.path.name]
