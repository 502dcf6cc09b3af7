"""An agency's authenticated call to its hub: a DSSE body with time and nonce (design.md 9.15)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.document import Document, wire
from fairwitness_core.wire import dsse
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError

MAX_SKEW = 300  # seconds that an agency's clock may be off


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError("call.body", f"{where} is an object")
    return value


_BODY = f.Kind(_object, lambda value: value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Document):
    """One operation `op` with its arguments `body`; `nonce` may be used once; `hub` names the addressee's genesis hash."""

    TYPE: ClassVar[str] = "call"

    agency: str = wire(f.AGENCY_ID)
    hub: str = wire(f.HASH)
    op: str = wire(f.text(40, min_bytes=2, pattern=r"[a-z_]+"))
    nonce: str = wire(f.ID16)
    at: int = wire(f.TIME)
    body: dict[str, Any] = wire(_BODY)


def verify_call(data: bytes, *, key_of: Callable[[str], Iterable[PublicKey]], hub: str, now: int) -> Call:
    """Read and authenticate a call.

    On return: 1. the envelope is a call to this hub; 2. one of the keys that `key_of(agency)` returned signed it, and
    nobody else; 3. its time is within MAX_SKEW of `now`. That its nonce is new is the caller's to record. Raises
    ProtocolError.
    """
    envelope = dsse.Envelope.parse(data)
    if envelope.payload_type != dsse.CALL:
        raise ProtocolError("dsse.type", "an agency call was expected", evidence=envelope.payload_type)
    call = Call.parse(envelope.payload)
    if call.hub != hub:
        raise ProtocolError("call.hub", "the call is addressed to another hub", evidence=call.hub)
    keys = list(key_of(call.agency))
    if len(envelope.signatures) != 1 or not envelope.signers(keys):
        raise ProtocolError("call.signature", "no current key of this agency signed the call", evidence=call.agency)
    if abs(call.at - now) > MAX_SKEW:
        raise ProtocolError(
            "call.time", "the call's time is too far from ours", evidence=str(call.at - now), hint="check the clock"
        )
    return call
