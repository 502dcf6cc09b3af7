"""An agency's signed call: who asks, that it is asked once, and nothing older than five minutes (design.md 9.15)."""

from django.db import IntegrityError, transaction
from fairwitness_core.model.call import MAX_SKEW, Call, verify_call
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import CallNonce
from fairwitness.hub.services import directory as directories
from fairwitness.hub.services import identity
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused


def authenticate(data: bytes) -> Call:
    """Return the call if a current key of its agency signed it just now, and for the first time.

    Raises Refused 401 (whatever is wrong with the signature, time or address) or 409 `call.replay`.
    """
    now = clock.now()
    try:
        call = verify_call(
            data,
            key_of=lambda agency: directories.consoles(agency, now),
            hub=identity.load().genesis_sha256,
            now=now,
        )
    except ProtocolError as error:
        raise Refused(401, error.code, error.message, error.hint) from error
    try:
        with transaction.atomic():
            CallNonce.objects.create(agency=call.agency, nonce=call.nonce, at=call.at)
    except IntegrityError as error:
        raise Refused(409, "call.replay", "This call was made before.", "Make a new one with a new nonce.") from error
    return call


def forget_old(now: int) -> int:
    """Drop nonces of calls whose time would be refused anyway; returns how many."""
    return CallNonce.objects.filter(at__lt=now - 2 * MAX_SKEW).delete()[0]
