"""Sealed responses on their way to an agency: ciphertext only, in parts that can be resumed (design.md 9.5, 9.7).

An upload is open, sealed, collected, withdrawn or expired. A token is checked before a byte is taken. Whatever is wrong, an
unknown and a withdrawn response get the same answer.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from django.db import IntegrityError, transaction
from fairwitness_core.model.response import (
    MAX_RESPONSE,
    PART_SIZE,
    Finalize,
    Promise,
    UploadOpen,
    UploadPart,
    parts_of,
    verify_responder,
)
from fairwitness_core.rules.inbox import inbox_leaf
from fairwitness_core.wire import dsse

from fairwitness.hub.errors import Detail, RulesRefused, storage_full, unknown_upload
from fairwitness.hub.models import InboxLeaf, SpentToken, Upload
from fairwitness.hub.services import directory as directories
from fairwitness.hub.services import identity, inbox, tokens, vault
from fairwitness.kit import clock
from fairwitness.kit.blobs import BlobExists, BlobMissing, FileBlobs, Stored, chunks_of
from fairwitness.kit.errors import Refused
from fairwitness.kit.files import DiskFull
from fairwitness.kit.journal import Event, log, size_class

OPEN_SECONDS = 86_400
MAX_SKEW = 3600
SPARE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Progress:
    """Which parts (from 0) of an upload are stored."""

    response_id: str
    parts_have: tuple[int, ...]


def begin(data: bytes) -> Progress:
    """Open an upload, or take up one's own again; durable on return.

    1. the response's key signed; 2. the agency is authorised here; 3. the token is good, for this response; 4. there is
    room; 5. the token is spent on this response and no other, exactly once however many ask at a time.
    Raises ProtocolError; Refused: token.* 403, token.spent 409, agency.unknown 404, upload.exists_other 409,
    storage.full 507.
    """
    # 1.
    message = verify_responder(UploadOpen, data)
    now = clock.now()
    if abs(message.at - now) > MAX_SKEW:
        raise Refused(400, "upload.time", "The upload's time is too far from ours.", "Check the clock.")
    # 2.
    record = directories.current().agency(message.agency)
    if record is None or record.suspended:
        raise Refused(404, "agency.unknown", "No such agency may receive responses here.")
    # 3.
    token, epoch = tokens.check(message.token, message.pk, now)
    # 4.
    known = Upload.objects.filter(response_id=message.response_id).first()
    if known is None:
        _room(message.size)
    # 5.
    nonce = token.nonce.hex()
    try:
        with transaction.atomic():
            if known is None:
                SpentToken.objects.create(nonce=nonce, epoch=epoch, response_id=message.response_id)
                known = Upload.objects.create(
                    response_id=message.response_id,
                    agency=message.agency,
                    size=message.size,
                    parts=message.parts,
                    nonce=nonce,
                    state="open",
                    opened_at=now,
                )
    except IntegrityError:
        known = Upload.objects.filter(response_id=message.response_id).first()
    if known is None or known.state not in ("open", "sealed") or now > known.opened_at + OPEN_SECONDS:
        log(Event.UPLOAD_REFUSED, code="token.spent")
        raise Refused(409, "token.spent", "This token was spent.", "Use another token, with a new response key.")
    if (known.agency, known.size, known.nonce) != (message.agency, message.size, nonce):
        raise Refused(409, "upload.exists_other", "This response was opened otherwise.", "Resume it as it was opened.")
    return _progress(known)


def _room(size: int) -> None:
    free = vault.store().free()
    if free is None:
        return
    pending = sum(Upload.objects.filter(state="open").values_list("size", flat=True))
    # Joining parts needs the size once more for a moment.
    if free - pending - 2 * size < identity.settings().min_free_bytes:
        log(Event.DISK_FULL, store="inbox")
        raise storage_full()


def _reserve(size: int) -> None:
    """Refuse to take `size` bytes more out of what is kept free for the logs and the database."""
    free = vault.store().free()
    if free is not None and free - size < identity.settings().min_free_bytes:
        log(Event.DISK_FULL, store="inbox")
        raise storage_full()


def _open(response_id: str) -> Upload:
    row = Upload.objects.filter(response_id=response_id).first()
    if row is None or row.state in ("withdrawn", "collected"):
        raise unknown_upload()
    if row.state == "expired" or (row.state == "open" and clock.now() > row.opened_at + OPEN_SECONDS):
        raise Refused(410, "upload.expired", "This upload was open for 24 hours and is over.", "Begin anew.")
    return row


def _progress(row: Upload) -> Progress:
    if row.state == "sealed":
        return Progress(row.response_id, tuple(range(row.parts)))
    return Progress(row.response_id, tuple(sorted(number - 1 for number in vault.store().parts(row.response_id))))


def progress(response_id: str) -> Progress:
    """Return which parts are here; raises Refused 404 (unknown and withdrawn alike), 410."""
    return _progress(_open(response_id))


def put_part(response_id: str, number: int, statement: bytes, chunks: Iterable[bytes]) -> Progress:
    """Store part `number` (from 0) if its bytes are those that the response's key stated; durable on return.

    The same part again changes nothing. Raises Refused: upload.foreign 403, upload.part 400 (hash, size or number),
    upload.part_exists 409, storage.full 507, and what `progress` raises. On any refusal nothing of the part is kept.
    """
    row = _open(response_id)
    stated = verify_responder(UploadPart, statement)
    if stated.response_id != response_id:
        raise Refused(403, "upload.foreign", "This part is signed for another response.")
    if stated.part != number or not 0 <= number < row.parts:
        raise Refused(400, "upload.part", "There is no part of this number.", f"Parts count from 0 to {row.parts - 1}.")
    if row.state == "sealed":
        return _progress(row)
    expected = PART_SIZE if number < row.parts - 1 else row.size - PART_SIZE * (row.parts - 1)
    if number + 1 not in vault.store().parts(response_id):
        _reserve(expected)
    try:
        vault.store().put_part(response_id, number + 1, _checked(chunks, expected, stated.sha256), max_bytes=expected)
    except BlobExists as error:
        raise Refused(409, "upload.part_exists", "Other bytes are stored as this part.", "Begin anew.") from error
    except DiskFull as error:
        log(Event.DISK_FULL, store="inbox")
        raise storage_full() from error
    return _progress(row)


def _checked(chunks: Iterable[bytes], size: int, sha256: str) -> Iterator[bytes]:
    """Pass chunks on and fail at the end, before the store has named them, if they are not what was stated."""
    digest = hashlib.sha256()
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            break
        digest.update(chunk)
        yield chunk
    if seen != size or digest.hexdigest() != sha256:
        raise Refused(400, "upload.part", "The part's bytes are not the ones stated.", "Send the part again.")


def finish(response_id: str, data: bytes) -> bytes:
    """Close an upload and return the hub's signed promise (envelope bytes); durable on return, and again the same bytes.

    1. the response's key signed, and says what it said when it opened; 2. all parts are here; 3. together they are the
    ciphertext that was stated; 4. its leaf stands in a day's accounting whose file is not yet made.
    Raises ProtocolError; Refused: upload.foreign 403, upload.differs 409, upload.incomplete 409, upload.hash 400,
    storage.full 507 (the parts stay).
    """
    # 1.
    message = verify_responder(Finalize, data)
    if message.response_id != response_id:
        raise Refused(403, "upload.foreign", "This is signed for another response.")
    row = Upload.objects.filter(response_id=response_id).first()
    if row is not None and row.state in ("sealed", "collected", "expired") and row.promise:
        if row.sealed != message.sealed:
            raise Refused(409, "upload.differs", "This response was finished with another ciphertext.")
        return bytes(row.promise)
    row = _open(response_id)
    token = message.token[2:34].hex()
    if (row.agency, row.size, row.parts, row.nonce) != (message.agency, message.size, message.parts, token):
        raise Refused(409, "upload.differs", "This is not how the response was opened.")
    # 2. and 3.
    stored = _join(row)
    if (stored.sha256.hex(), stored.size) != (message.sealed, message.size):
        vault.store().delete(response_id)
        raise Refused(400, "upload.hash", "The parts together are not the ciphertext stated.", "Send all parts again.")
    # 4.
    with transaction.atomic():
        row = Upload.objects.get(response_id=response_id)
        if row.state == "sealed":
            return bytes(row.promise)
        if row.state != "open":
            raise unknown_upload()
        # Read inside the transaction: the day's accounting is made in another, and they exclude each other.
        now = clock.now()
        tick = now // identity.load().tick_seconds
        day = inbox.open_day(now)
        promise = Promise(response_id=response_id, sealed=message.sealed, tick=tick, inbox_day=day)
        envelope = identity.load().sign(promise, dsse.RECEIPT)
        InboxLeaf.objects.create(day=day, leaf=inbox_leaf(response_id, message.sealed, tick))
        Upload.objects.filter(response_id=response_id).update(
            state="sealed", sealed=message.sealed, tick=tick, inbox_day=day, promise=envelope, ended_at=now
        )
    log(Event.UPLOAD_STORED, size_class=size_class(message.size))
    return envelope


def _join(row: Upload) -> Stored:
    store = vault.store()
    try:
        if store.exists(row.response_id):
            with store.open(row.response_id) as stream:
                digest = hashlib.sha256()
                size = 0
                for chunk in chunks_of(stream):
                    digest.update(chunk)
                    size += len(chunk)
            return Stored(size, digest.digest())
        if len(store.parts(row.response_id)) >= row.parts:
            _reserve(row.size)
        return store.join(row.response_id, parts_of(row.size), max_bytes=MAX_RESPONSE)
    except BlobMissing as error:
        have = store.parts(row.response_id)
        missing = [number for number in range(row.parts) if number + 1 not in have]
        details = [Detail("upload.incomplete", "Parts are missing.", ",".join(map(str, missing[:64])))]
        raise RulesRefused(409, details) from error
    except DiskFull as error:
        log(Event.DISK_FULL, store="inbox")
        raise storage_full() from error


def ciphertext(agency: str, response_id: str) -> tuple[BinaryIO, int]:
    """Return (stream, size) of a response to this agency; raises Refused `inbox.gone` for any other id."""
    row = Upload.objects.filter(response_id=response_id, agency=agency, state="sealed").first()
    gone = Refused(404, "inbox.gone", "There is no such response here any more.")
    if row is None:
        raise gone
    try:
        return vault.store().open(response_id), row.size
    except BlobMissing as error:
        raise gone from error


def expire(now: int) -> int:
    """End what is over: uploads left open for 24 h, ciphertext that nobody collected; returns how many."""
    keep = identity.settings().keep_days * 86_400
    stale = Upload.objects.filter(state="open", opened_at__lt=now - OPEN_SECONDS)
    waited = Upload.objects.filter(state="sealed", ended_at__lt=now - keep)
    ids = [*stale.values_list("response_id", flat=True), *waited.values_list("response_id", flat=True)]
    for response_id in ids:
        # The row first: whoever asks from now on is told; the sweep takes the file if we stop in between.
        Upload.objects.filter(response_id=response_id, state__in=("open", "sealed")).update(state="expired", ended_at=now)
        vault.store().delete(response_id)
    if ids:
        log(Event.UPLOAD_EXPIRED, count=len(ids))
    return len(ids)


def sweep(now: int) -> int:
    """Unlink ciphertext that no live row stands for, and forget rows past reconciliation; returns how many files went."""
    store = vault.store()
    live = set(Upload.objects.filter(state__in=("open", "sealed")).values_list("response_id", flat=True))
    unfinished = set(store.unfinished())
    names = {*store.names(), *unfinished} - live
    # Nobody joins a sealed one again: parts beside it are what a kill within the join left.
    gone = sum(store.drop_parts(row.response_id) for row in Upload.objects.filter(state="sealed", response_id__in=unfinished))
    for name in names:
        # Looked at again: an upload may have begun since.
        if not Upload.objects.filter(response_id=name, state__in=("open", "sealed")).exists():
            gone += store.delete(name)
    if isinstance(store, FileBlobs):
        # What a kill in mid-write left: a writer that lives has written in the last hour.
        gone += store.clear_spares(SPARE_SECONDS)
    over = now - identity.settings().accounting_days * 86_400
    Upload.objects.filter(ended_at__lt=over).exclude(state__in=("open", "sealed")).delete()
    return gone
