"""The operations of an agency's signed call, by name. Each reads its arguments strictly and acts through services."""

from collections.abc import Callable, Mapping
from typing import Any

from fairwitness_core.model.call import Call
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.services import inbox, requests, sealed
from fairwitness.kit.errors import Refused

type Operation = Callable[[str, Mapping[str, Any]], dict[str, Any]]


def perform(call: Call) -> dict[str, Any]:
    """Return the answer to an authenticated call. Raises Refused 404 `call.op` for an unknown operation."""
    operation = OPERATIONS.get(call.op)
    if operation is None:
        raise Refused(404, "call.op", "This hub has no such operation.")
    return {"ok": True, **operation(call.agency, call.body)}


def argument(body: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return the one argument that an operation takes; raises ProtocolError if it is of another type or not alone."""
    value = body.get(name)
    if set(body) != {name} or not isinstance(value, kind) or isinstance(value, bool):
        raise ProtocolError("call.body", f"this operation takes {name!r} and nothing else")
    return value


def _envelope(body: Mapping[str, Any]) -> bytes:
    return dsse.unb64(argument(body, "envelope", str), "envelope")


def _list(body: Mapping[str, Any], name: str, most: int) -> list[str]:
    found: list[str] = argument(body, name, list)
    if len(found) > most or not all(isinstance(item, str) for item in found):
        raise ProtocolError("call.body", f"{name} is a list of at most {most} texts")
    return found


def _standing(found: requests.Standing) -> dict[str, Any]:
    answer: dict[str, Any] = {"request_id": found.request_id, "state": found.state, "flags": list(found.flags)}
    if found.log_index is not None:
        answer |= {"log_index": found.log_index, "proof": found.proof}
    if found.rule:
        answer["rule"] = found.rule
    return answer | dict(found.changes)


def _waiting(rows: list[inbox.Waiting], *, full: bool) -> dict[str, Any]:
    found = []
    for row in rows:
        item: dict[str, Any] = {"response_id": row.response_id, "sealed": row.sealed, "tick": row.tick}
        found.append(item | {"size": row.size, "inbox_day": row.inbox_day} if full else item)
    return {"responses": found}


def _request_submit(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return _standing(requests.submit(agency, _envelope(body)))


def _request_state(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return _standing(requests.state(agency, argument(body, "request_id", str)))


def _request_withdraw(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return _standing(requests.withdraw(agency, _envelope(body)))


def _request_extend(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return _standing(requests.extend(agency, _envelope(body)))


def _request_resolve(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return _standing(requests.resolve(agency, _envelope(body)))


def _sealed_append(_agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    items = _list(body, "commitments", sealed.MAX_CALL)
    return {"accepted": sealed.submit([dsse.unb64(item, "commitment") for item in items])}


def _sealed_proof(_agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    index, proof = sealed.proof(dsse.unb64(argument(body, "commitment", str), "commitment"))
    return {"index": index, "proof": proof}


def _public_proof(_agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    entry, proof = requests.public_entry(argument(body, "index", int))
    return {"entry": dsse.b64(entry), "proof": proof}


def _inbox_list(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    if body:
        raise ProtocolError("call.body", "this operation takes no argument")
    return _waiting(inbox.waiting(agency), full=True)


def _inbox_ack(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"acknowledged": inbox.acknowledge(agency, _list(body, "response_ids", 1024))}


def _inbox_accounting(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return _waiting(inbox.accounting(agency, argument(body, "day", str)), full=False)


def _withdrawals_list(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    rows = inbox.notices(agency, argument(body, "after", int))
    return {"withdrawals": [{"envelope": dsse.b64(bytes(row.envelope)), "seq": row.pk} for row in rows]}


def _status_put(agency: str, body: Mapping[str, Any]) -> dict[str, Any]:
    items = _list(body, "envelopes", 256)
    return {"stored": inbox.put_statuses(agency, [dsse.unb64(item, "envelope") for item in items])}


OPERATIONS: Mapping[str, Operation] = {
    "request_submit": _request_submit,
    "request_state": _request_state,
    "request_withdraw": _request_withdraw,
    "request_extend": _request_extend,
    "request_resolve": _request_resolve,
    "sealed_append": _sealed_append,
    "sealed_proof": _sealed_proof,
    "public_proof": _public_proof,
    "inbox_list": _inbox_list,
    "inbox_ack": _inbox_ack,
    "inbox_accounting": _inbox_accounting,
    "withdrawals_list": _withdrawals_list,
    "status_put": _status_put,
}
