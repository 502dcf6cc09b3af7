"""Owners who take a response back. Before collection the hub unlinks it; afterwards it is a notice on record (design.md 9.9)."""

from typing import Any

from django.db import transaction
from fairwitness_core.model.response import Withdraw, verify_responder
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import Mark, Notice, Response
from fairwitness.agency.models import Withdrawal as Row
from fairwitness.agency.services import custody, hubcalls, status
from fairwitness.kit.journal import Event, log

_MARK = "withdrawals"


def beat(now: int) -> int:
    """Read the hub's list of withdrawals from where we stopped and act on each; return how many were new."""
    mark = Mark.objects.filter(name=_MARK).first()
    answer = hubcalls.call("withdrawals_list", {"after": mark.value if mark else 0})
    count = sum(_take(value, now) for value in hubcalls.list_of(answer, "withdrawals"))
    note(now)
    return count


def _take(value: Any, now: int) -> bool:
    if not isinstance(value, dict):
        raise hubcalls.HubUnreachable("its withdrawals are no list of withdrawals")
    seq = hubcalls.number_of(value, "seq")
    envelope = dsse.unb64(value.get("envelope"), "envelope")
    fresh = False
    with transaction.atomic():
        try:
            # Only the response key itself can withdraw a response: a hub that invents one is passed over and told on.
            document = verify_responder(Withdraw, envelope)
        except ProtocolError as error:
            log(Event.MESSAGE_REFUSED, kind="withdrawal", code=error.code)
        else:
            _, fresh = Row.objects.get_or_create(
                seq=seq, defaults={"response_id": document.response_id, "envelope": envelope, "at": now}
            )
        Mark.objects.update_or_create(name=_MARK, defaults={"value": seq})
    return fresh


def note(now: int) -> None:
    """Put every withdrawal of a response that we hold on its record, once."""
    for row in Row.objects.filter(noted=False):
        response = Response.objects.filter(pk=row.response_id).first()
        if response is not None:
            _note(row, response, now)


def _note(row: Row, response: Response, now: int) -> None:
    with transaction.atomic(durable=True):
        Row.objects.filter(pk=row.pk).update(noted=True)
        if response.withdrawn_at is not None:
            return
        response.withdrawn_at = now
        response.save()
        if response.state != "destroyed":
            custody.record(
                response,
                "withdrawal_noted",
                purpose="the owner took it back after it was collected",
                subjects=custody.subjects_of(response),
            )
        Notice.objects.get_or_create(kind="withdrawn", request=response.request, response=response, level=0, defaults={"at": now})
        status.push(response, "withdrawn", _sentence(response))


def _sentence(response: Response) -> str:
    if response.state == "destroyed":
        return "The agency's copy had been destroyed before."
    if response.exported:
        return "It was exported before you took it back and cannot be recalled; your withdrawal is on its record."
    return "The agency had collected it before; your withdrawal is on its record and everyone who opens it sees it."
