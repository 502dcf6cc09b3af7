"""The sealed ledger: commitments of acts that only their holders can open, flushed so that nobody can count them.

Every beat appends a multiple of eight leaves, random ones filling up, also when there is nothing (design.md 9.4). Leaves
are sorted: commitments look random, so their place says nothing of who sent them or when.
"""

from collections.abc import Sequence

from django.db import IntegrityError, transaction
from fairwitness_core.crypto import random

from fairwitness.hub.models import SealedPending
from fairwitness.hub.services import identity, ledger
from fairwitness.kit.errors import Refused
from fairwitness.kit.logstore import LogStore

GROUP = 8
MAX_CALL = 256
_MAX_FLUSH = 8192


def submit(commitments: Sequence[bytes]) -> int:
    """Take commitments (32 bytes each) for the next flush; durable on return. Known ones are taken again without effect.

    Raises Refused for more than MAX_CALL or a wrong length.
    """
    if not 1 <= len(commitments) <= MAX_CALL or any(len(item) != 32 for item in commitments):
        raise Refused(400, "sealed.commitments", f"Send 1 to {MAX_CALL} commitments of 32 bytes.")
    with transaction.atomic():
        for item in commitments:
            try:
                with transaction.atomic():
                    SealedPending.objects.create(commitment=item)
            except IntegrityError:
                continue
    return len(commitments)


def proof(commitment: bytes) -> tuple[int, str]:
    """Return (index, tlog-proof) of a commitment; raises Refused `sealed.not_yet` until witnesses have cosigned it."""
    row = SealedPending.objects.filter(commitment=commitment).exclude(index=None).first()
    not_yet = Refused(404, "sealed.not_yet", "This commitment has no proof yet.", "Ask again after the next beat.")
    if row is None or row.index is None:
        raise not_yet
    try:
        return row.index, ledger.reader("s").proof(row.index).decode()
    except LookupError as error:
        raise not_yet from error


def flush(store: LogStore, now: int) -> int:
    """Append this beat's batch if its slot has come; returns the number of leaves.

    The slot is noted first: a crash in between loses a beat, never a commitment, and never doubles one.
    """
    slot = now // identity.load().document.sealed_seconds
    if slot <= ledger.mark("sealed_slot"):
        return 0
    ledger.set_mark("sealed_slot", slot)
    leaves = [
        bytes(c)
        for c in SealedPending.objects.filter(index=None).order_by("id").values_list("commitment", flat=True)[:_MAX_FLUSH]
    ]
    total = max(GROUP, -(-len(leaves) // GROUP) * GROUP)
    leaves += [random.token_bytes(32) for _ in range(total - len(leaves))]
    store.append(sorted(leaves))
    ledger.catch_up_sealed(store)
    return total
