"""The evidence bag: everything that a court needs to check a response offline, and nothing that it must take on trust.

The bag's every hash is known before any clip is decrypted, so the order is: fix the bag's list of hashes, seal it, write
the `exported` links, have them proven, and only then open the clips and write them out (design.md 9.10, 9.11).
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairwitness_core.crypto import random
from fairwitness_core.rules import states
from fairwitness_core.verify import layout
from fairwitness_core.verify.layout import Digest, LoggedEvent, Seal, SealedFile
from fairwitness_core.wire import canonical, dsse

from fairwitness.agency.errors import NotYetLogged, missing
from fairwitness.agency.models import CustodyRecord, Export, Officer, Request, Response
from fairwitness.agency.services import custody, evidence, hubcalls, node, officers, status
from fairwitness.kit import clock, database, files
from fairwitness.kit.errors import Refused

_EXPORTERS = ("supervisor", "technician")
_CHUNK = 1 << 20
_MOST = 256
_PURPOSE_MAX = 300  # bytes of a custody event's purpose


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished bag: the folder that holds `bag/` and `seal/`, and the hash that the seal is over."""

    path: Path
    tagmanifest: str


@dataclass(frozen=True, slots=True)
class _Order:
    """Who wants a bag of which request, why, for whom, and where; and which court keeps it from the owner, if one does."""

    officer: Officer
    request: Request
    purpose: str
    recipient: str
    out: Path | None
    sealed_by: str

    @property
    def words(self) -> str:
        """What stands in custody: who kept it from the owner is on record as much as why it was done."""
        return f"{self.purpose} (sealed by {self.sealed_by})" if self.sealed_by else self.purpose


def export(
    officer: Officer,
    request: Request,
    response_ids: Sequence[str],
    *,
    purpose: str,
    recipient: str,
    out: Path | None = None,
    sealed_by: str = "",
) -> Exported:
    """Write the bag of some accepted responses to the new folder `out` (`exports/<id>` where None is given).

    Asking again with the same words goes on where the last try stopped. On return: 1. each response was accepted, belongs
    to the request and has a chain that is proven link by link; 2. an `exported` link naming the bag's hash, purpose and
    recipient is proven for each; 3. every file was hashed while it was written and is what the bag lists; 4. the folder
    appeared under its name in one step; 5. each owner's status says so, unless `sealed_by` names a court's order, which the
    link then names too.
    Raises NotYetLogged (ask again), Refused, ProtocolError, DiskFull.
    """
    officers.need(officer, *_EXPORTERS)
    evidence.check_purpose(purpose, other=True, case=request.case.number)
    evidence.check_recipient(recipient)
    responses = _responses(request, response_ids)
    order = _Order(officer, request, purpose, recipient, out, sealed_by)
    if sealed_by:
        canonical.check_text(sealed_by, "sealed_by")
        if "\n" in sealed_by or not sealed_by.strip() or len(order.words.encode()) > _PURPOSE_MAX:
            raise Refused(
                400, "purpose.missing", "Name the court's order in one line.", f"With the purpose, at most {_PURPOSE_MAX} bytes."
            )
    key = _key(order, responses)
    row = Export.objects.filter(key=key).first()
    if row is not None and row.written_at is not None:
        return Exported(Path(row.folder), row.tagmanifest)
    if row is None or not (_partial(Path(row.folder)).is_dir() or Path(row.folder).is_dir()):
        if row is not None:
            row.delete()  # its half-written folder was removed: its links stay on record, a new bag gets new ones
        row = _prepare(order, responses, key)
    # 2.
    links = {rid: CustodyRecord.objects.get(pk=pk) for rid, pk in row.records.items()}
    for rid, link in links.items():
        links[rid] = custody.prove(link)
    # 3., 4.
    _write(row, responses, links)
    # 5.
    _finish(row, responses, "" if sealed_by else f"Exported to {recipient}: {purpose}")
    return Exported(Path(row.folder), row.tagmanifest)


def _responses(request: Request, response_ids: Sequence[str]) -> list[Response]:
    wanted = sorted(set(response_ids))
    if not 0 < len(wanted) <= _MOST:
        raise Refused(400, "export.responses", f"A bag holds 1 to {_MOST} responses.")
    found = list(Response.objects.filter(request=request, pk__in=wanted, about="").order_by("id"))
    if len(found) != len(wanted):
        raise missing("response")
    for response in found:
        if response.state not in ("accepted", "exported"):
            raise Refused(
                409, "export.state", f"A response is {response.state}; only accepted ones are exported.", "Accept it first."
            )
    return found


def _key(order: _Order, responses: Sequence[Response]) -> str:
    # With the order's name, so that what was begun openly is not finished as a sealed one.
    parts = [order.officer.actor, [r.id for r in responses], str(order.out or ""), order.words, order.recipient]
    return hashlib.sha256(canonical.encode(parts)).hexdigest()


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _prepare(order: _Order, responses: Sequence[Response], key: str) -> Export:
    """Fix what the bag will be, without opening anything, and write the `exported` links."""
    for response in responses:
        for link in custody.chain(response):
            custody.prove(link)
    found = hubcalls.snapshot()
    genesis, _ = hubcalls.genesis()
    request, out = order.request, order.out
    if request.log_index is None or request.envelope is None or request.proof is None:
        raise Refused(409, "export.request", "This request is not proven to be in the public log.")
    if found.index <= request.log_index:
        raise NotYetLogged(0, node.hub().tick_seconds)  # the tick that binds the directory is still to come
    proofs = {
        layout.REQUEST_ENTRY: bytes(request.envelope),
        layout.REQUEST_PROOF: bytes(request.proof),
        layout.GENESIS: genesis,
        layout.DIRECTORY: found.lines,
        layout.TICK_ENTRY: found.tick,
        layout.TICK_PROOF: found.proof,
        layout.POLICY: node.hub().policy.encode(),
    }
    identity = random.token_bytes(16).hex()
    folder = out if out is not None else node.settings().folder("exports") / identity
    if folder.exists():
        raise Refused(409, "export.exists", "There is something at that place already.", "Name a new folder.")
    try:
        return _commit(order, responses, proofs, Export(id=identity, folder=str(folder), key=key))
    except BaseException:
        # Of a commit that failed the row may be stored all the same; then a later try goes on with this folder.
        if not Export.objects.filter(pk=identity).exists():
            shutil.rmtree(_partial(folder), ignore_errors=True)  # no row names it, and on a full disk its space counts
        raise


@database.durable
def _commit(order: _Order, responses: Sequence[Response], proofs: Mapping[str, bytes], row: Export) -> Export:
    request = order.request
    now = max([clock.now(), *(link.at for response in responses for link in custody.chain(response))])
    tags = dict(proofs)
    payload: dict[str, Digest] = {}
    for response in responses:
        chain = custody.chain(response)
        if any(link.proof is None for link in chain):
            raise NotYetLogged(chain[-1].pk, 1)  # somebody touched it between the proofs and here
        tags |= layout.custody_files(response.id, [_logged(link) for link in chain])
        payload |= _payload(response)
    built = layout.bag_files(
        payload, tags, agency_name=node.settings().name, request_id=request.id, case=request.case.number, at=now
    )
    tagmanifest = built[layout.TAGMANIFEST]
    seal = dsse.sign(
        dsse.STATEMENT,
        Seal(
            agency=node.agency_id(),
            case=request.case.number,
            request_id=request.id,
            responses=tuple(response.id for response in responses),
            tagmanifest=Digest.of(tagmanifest).sha256,
            at=now,
        ).to_statement(),
        node.agency_key(),
    ).encode()
    root = _partial(Path(row.folder))
    if root.exists():
        shutil.rmtree(root)
    files.private_dir(root)
    for name, data in built.items():
        files.private_dir((root / name).parent)
        files.write_atomic(root / name, data)
    subjects = layout.export_subjects(tagmanifest, seal)
    row.request, row.officer, row.at = request, order.officer, now
    row.tagmanifest, row.seal = Digest.of(tagmanifest).sha256, seal
    row.records = {
        response.id: custody.record(
            response,
            "exported",
            purpose=order.words,
            subjects=subjects,
            officer=order.officer,
            recipient=order.recipient,
        ).pk
        for response in responses
    }
    row.save(force_insert=True)
    return row


def _logged(link: CustodyRecord) -> LoggedEvent:
    return LoggedEvent(bytes(link.envelope), bytes(link.nonce), bytes(link.proof or b""))


def _sealed_json(response: Response) -> bytes:
    return SealedFile(sealed=response.sealed, size=response.size).encode()


def _payload(response: Response) -> dict[str, Digest]:
    return {
        layout.manifest_path(response.id): Digest(response.manifest_sha256, response.manifest_size),
        layout.sealed_path(response.id): Digest.of(_sealed_json(response)),
        **{layout.clip_path(response.id, clip.name): Digest(clip.sha256, clip.size) for clip in response.clips.all()},
    }


def _write(row: Export, responses: Sequence[Response], links: Mapping[str, CustodyRecord]) -> None:
    """Open what is proven and write it beside the lists made before; then give the folder its name."""
    target = Path(row.folder)
    root = _partial(target)
    if target.exists() and not root.exists():
        return  # it was written, and the process died before it could say so
    for spare in root.rglob(".*.tmp"):
        spare.unlink()  # of a write that was cut off: the bag holds what it lists and nothing else
    for response in responses:
        files.private_dir(root / layout.BAG / "data" / response.id)
        files.write_atomic(root / layout.sealed_path(response.id), _sealed_json(response))
        for path, digest in _payload(response).items():
            if path != layout.sealed_path(response.id):
                _copy(response, links[response.id], root / path, digest)
    beside = layout.seal_files(bytes(row.seal), {rid: _logged(link) for rid, link in links.items()})
    for name, data in beside.items():
        files.private_dir((root / name).parent)
        files.write_atomic(root / name, data)
    for folder in (path for path in root.rglob("*") if path.is_dir()):
        files.sync_folder(folder)
    root.rename(target)
    files.sync_folder(target.parent)


def _copy(response: Response, link: CustodyRecord, path: Path, digest: Digest) -> None:
    found = hashlib.sha256()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, files.PRIVATE_FILE)
    try:
        with evidence.opened_for_export(response, path.name, link) as stream, files.disk_errors("the bag"):
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
                files.write_all(handle, chunk)
            os.fsync(handle)
    finally:
        os.close(handle)
    if found.hexdigest() != digest.sha256:
        path.unlink()
        raise Refused(
            500, "evidence.damaged", f"{path.name} is not what was collected; the disk may be failing.", "Restore a backup."
        )


@database.durable
def _finish(row: Export, responses: Sequence[Response], note: str) -> None:
    if not Export.objects.filter(pk=row.pk, written_at=None).update(written_at=clock.now()):
        return
    for response in responses:
        fresh = Response.objects.select_for_update().get(pk=response.pk)
        fresh.state = states.advance(states.EVIDENCE, fresh.state, "export")
        fresh.exported = True
        fresh.save()
        if note:
            status.push(fresh, "exported", note)
