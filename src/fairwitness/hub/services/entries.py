"""The queue before the public log: web workers and beat jobs put envelopes in, only the sequencer takes them out."""

from django.db import transaction
from fairwitness_core.model.document import Document
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import PendingEntry
from fairwitness.hub.services import identity
from fairwitness.hub.services.directory import sha256_hex
from fairwitness.kit import clock

MAX_ENTRY = 65_535  # bytes that a tlog-tiles bundle can carry per entry
MAX_NAME = 64  # characters of an agency's id that are kept


def enqueue(kind: str, envelope: bytes) -> PendingEntry:
    """Queue an envelope for the log; durable with the caller's transaction. The same bytes twice are one entry.

    Raises ProtocolError `entry.size`.
    """
    if len(envelope) > MAX_ENTRY:
        raise ProtocolError("entry.size", f"a log entry has at most {MAX_ENTRY} bytes", evidence=str(len(envelope)))
    digest = sha256_hex(envelope)
    with transaction.atomic():
        row, _ = PendingEntry.objects.get_or_create(
            sha256=digest,
            defaults={"kind": kind, "envelope": envelope, "agency": agency_of(envelope), "at": clock.now()},
        )
    return row


def agency_of(envelope: bytes) -> str:
    """Return the id of the agency that an envelope's payload names, '' where it names none or cannot be read."""
    try:
        value = canonical.decode(dsse.Envelope.parse(envelope).payload)
    except ProtocolError:
        return ""
    found = value.get("agency") if isinstance(value, dict) else None
    return found if isinstance(found, str) and len(found) <= MAX_NAME else ""


def state(document: Document) -> PendingEntry:
    """Sign a statement of the hub's own and queue it."""
    return enqueue(document.TYPE, identity.load().sign(document))
