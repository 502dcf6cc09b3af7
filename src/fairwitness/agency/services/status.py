"""What an owner who answered is told: a status signed by the agency, fetched by the responder (design.md 9.9).

It speaks of responses that were sent, to their senders, and of nothing else.
"""

from fairwitness_core.model.response import ResponseStatus
from fairwitness_core.wire import dsse

from fairwitness.agency.models import Response, Status
from fairwitness.agency.services import hubcalls, node
from fairwitness.kit import clock
from fairwitness.kit.journal import Event, log

_BATCH = 64
_NOTE_MAX = 290


def push(response: Response, status: str, note: str = "") -> None:
    """Queue a status, in the transaction of the act that it tells of."""
    shown = note.replace("\n", " ").encode()[:_NOTE_MAX].decode(errors="ignore")
    document = ResponseStatus(response_id=response.id, agency=node.agency_id(), status=status, note=shown, at=clock.now())
    envelope = dsse.sign(dsse.RECEIPT, document.encode(), node.agency_key()).encode()
    Status.objects.create(response_id=response.id, status=status, envelope=envelope, at=document.at)


def send(now: int) -> int:
    """Hand queued statuses to the hub and return how many went. Raises HubUnreachable: the rest stays queued.

    One that the hub refuses (it has forgotten an upload that its owner withdrew) must not hold up the others: then each
    goes alone, and the refused one is given up.
    """
    sent = 0
    while waiting := list(Status.objects.filter(sent_at=None)[:_BATCH]):
        try:
            _put(waiting, now)
            sent += len(waiting)
        except hubcalls.HubRefused:
            sent += sum(_alone(item, now) for item in waiting)
    return sent


def _put(items: list[Status], now: int) -> None:
    hubcalls.call("status_put", {"envelopes": [hubcalls.b64(bytes(item.envelope)) for item in items]})
    Status.objects.filter(pk__in=[item.pk for item in items]).update(sent_at=now)


def _alone(item: Status, now: int) -> bool:
    try:
        _put([item], now)
    except hubcalls.HubRefused as error:
        log(Event.MESSAGE_REFUSED, kind="status", code=error.code)
        Status.objects.filter(pk=item.pk).update(sent_at=now)
        return False
    return True


def history(response_id: str) -> list[Status]:
    """Return every status that this response's owner was, or will be, told."""
    return list(Status.objects.filter(response_id=response_id))
