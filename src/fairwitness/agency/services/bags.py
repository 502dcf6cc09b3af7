"""Finished bags as their receivers get them: what is in one, one ZIP stream in bounded memory, and the file to trust by."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from fairwitness_core.verify.trust import TrustPolicy

from fairwitness.agency.errors import missing
from fairwitness.agency.models import CustodyRecord, Export, Officer
from fairwitness.agency.services import audit, library, node, officers, story
from fairwitness.kit.errors import Refused

_KEEPERS = ("supervisor", "technician")
_CHUNK = 1 << 18
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bag:
    """A bag: its row, how many answers, bytes and files it has, for whom and why. `there`: its folder is on this node."""

    row: Export
    answers: int
    size: int
    files: int
    recipient: str
    purpose: str
    there: bool


def describe(row: Export) -> Bag:
    """Return what is known of a bag."""
    found = [path for path in Path(row.folder).rglob("*") if path.is_file()] if row.written_at else []
    link = CustodyRecord.objects.filter(pk__in=list(row.records.values())).order_by("pk").first()
    step = story.step_of(link) if link is not None else None
    return Bag(
        row=row,
        answers=len(row.records),
        size=sum(path.stat().st_size for path in found),
        files=len(found),
        recipient=step.recipient if step else "",
        purpose=step.purpose if step else "",
        there=bool(found),
    )


def fetch(officer: Officer, export_id: str) -> Export:
    """Return a finished bag that this officer may hand out, having noted that they did. Raises Refused."""
    officers.need(officer, *_KEEPERS)
    found = library.exports(officer).filter(pk=export_id).first()
    if found is None:
        raise missing("export")
    if found.written_at is None or not Path(found.folder).is_dir():
        raise Refused(409, "export.unfinished", "This bag is not there.", "Order the same again; it goes on where it stopped.")
    with transaction.atomic():
        audit.note(officer, "export.downloaded", f"export {found.pk}", case=found.request.case)
    return found


def name_of(row: Export) -> str:
    """Return the name of a bag's ZIP file and of the folder in it."""
    return f"fairwitness-{row.request_id[:8]}-{row.pk[:8]}"


def zipped(row: Export) -> Iterator[bytes]:
    """Yield a bag as a ZIP file, stored and not compressed, holding one piece of one file in memory."""
    root, sink = Path(row.folder), _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(f"{name_of(row)}/{path.relative_to(root).as_posix()}", _TIME)
            entry.external_attr = 0o600 << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while piece := source.read(_CHUNK):
                    target.write(piece)
                    yield from sink.taken()
            yield from sink.taken()
    yield from sink.taken()


def trust_file() -> bytes:
    """Return the trust policy that this agency verifies by, for receivers to compare with one from elsewhere. Raises Refused."""
    return TrustPolicy.from_join(node.hub()).encode()


class _Sink(io.RawIOBase):
    """What a ZIP file is written to: it cannot seek, and gives up what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[bytes] = []

    def writable(self) -> bool:
        """It takes bytes."""
        return True

    def write(self, data: Any) -> int:
        """Take bytes."""
        self._held.append(bytes(data))
        return len(data)

    def taken(self) -> Iterator[bytes]:
        """Yield what was written since the last time."""
        held, self._held = self._held, []
        yield from held
