"""Household tokens: one key an epoch, in the log an epoch ahead; issued blind against invites; spent once (design.md 9.7)."""

import base64
import hashlib
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F
from fairwitness_core.crypto import random, tokens
from fairwitness_core.crypto.tokens import EPOCH_SECONDS, FETCHES_PER_EPOCH, TOKENS_PER_EPOCH, Token, epoch_of
from fairwitness_core.model import hub as documents
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import Invite, Issuance, IssuerKey, SpentToken
from fairwitness.hub.services import entries, identity
from fairwitness.kit import secrets_store
from fairwitness.kit.errors import Refused


def ensure_keys(now: int) -> None:
    """See to it that the keys of this epoch and the next exist and are on their way into the log."""
    for epoch in (epoch_of(now), epoch_of(now) + 1):
        if IssuerKey.objects.filter(epoch=epoch).exists():
            continue
        key = tokens.new_issuer_key()
        document = documents.IssuerKey(
            epoch=epoch,
            alg="voprf-p384",
            pk=key.public,
            not_before=epoch * EPOCH_SECONDS,
            not_after=(epoch + 2) * EPOCH_SECONDS,
            at=now,
        )
        with transaction.atomic():
            wrapped = secrets_store.wrap(key.seed)
            IssuerKey.objects.create(epoch=epoch, key_id=key.key_id.hex(), public=key.public, wrapped=wrapped)
            entries.state(document)


def forget_old(now: int) -> int:
    """Destroy keys, spent tokens and issuance marks of epochs whose tokens count no more; returns how many keys."""
    oldest = epoch_of(now) - 1
    with transaction.atomic():
        SpentToken.objects.filter(epoch__lt=oldest).delete()
        Issuance.objects.filter(epoch__lt=epoch_of(now)).delete()
        count, _ = IssuerKey.objects.filter(epoch__lt=oldest).delete()
    return count


def create_invites(count: int, uses: int, now: int) -> list[str]:
    """Return new invite codes (80 bits), each good for `uses` households in every epoch; only their hashes are kept."""
    if not (1 <= count <= 10_000 and 1 <= uses <= 100_000):
        raise Refused(400, "invite.count", "1 to 10,000 codes, each for 1 to 100,000 households.")
    codes = []
    with transaction.atomic():
        for _ in range(count):
            text = base64.b32encode(random.token_bytes(10)).decode()
            codes.append("-".join(text[i : i + 4] for i in range(0, 16, 4)))
            fetches = uses * FETCHES_PER_EPOCH
            Invite.objects.create(code_sha256=_code_hash(text), epoch=epoch_of(now), uses=uses, fetches_left=fetches)
    return codes


def revoke_invite(code: str) -> bool:
    """Make an invite code worthless; tells whether there was one."""
    return Invite.objects.filter(code_sha256=_code_hash(code)).delete()[0] > 0


def issue(code: str, epoch: int, blinded: Sequence[bytes], now: int) -> list[bytes]:
    """Evaluate an epoch's worth of blinded elements against an invite, learning nothing of the tokens.

    Asking again with the same elements gives an answer for the same elements and uses the invite up no further. A home that
    lost power before the answer came has lost its blinding and asks with other elements: each use has FETCHES_PER_EPOCH.
    They are counted by invite, since telling whose fetch is whose would take a mark on each household. Raises
    Refused: `invite.invalid`, `invite.used_up`, `token.epoch`, `token.count`; ProtocolError for malformed elements.
    """
    if epoch != epoch_of(now):
        raise Refused(403, "token.epoch", "Tokens are given out for the present epoch only.", f"Ask for {epoch_of(now)}.")
    if len(blinded) != TOKENS_PER_EPOCH or len(set(blinded)) != len(blinded):
        raise Refused(400, "token.count", f"Send {TOKENS_PER_EPOCH} different blinded elements.")
    # Before the mathematics, which a stranger would otherwise have us do for nothing; it counts below, where it is taken.
    if not Invite.objects.filter(code_sha256=_code_hash(code)).exists():
        raise _invalid()
    key = _key(epoch)
    answers = [tokens.evaluate(key, item) for item in blinded]
    code_hash = _code_hash(code)
    digest = hashlib.sha256(b"\n".join([code_hash.encode(), str(epoch).encode(), *sorted(blinded)])).hexdigest()
    with transaction.atomic():
        invite = Invite.objects.filter(code_sha256=code_hash).first()
        if invite is None:
            raise _invalid()
        if Issuance.objects.filter(digest=digest).exists():
            return answers
        if invite.epoch < epoch:
            Invite.objects.filter(pk=invite.pk).update(epoch=epoch, fetches_left=F("uses") * FETCHES_PER_EPOCH)
        left = Invite.objects.filter(pk=invite.pk, epoch=epoch, fetches_left__gt=0)
        if not left.update(fetches_left=F("fetches_left") - 1):
            raise Refused(403, "invite.used_up", "This invite has given out its tokens for now.", "Ask again next epoch.")
        Issuance.objects.create(digest=digest, epoch=epoch)
    return answers


def _invalid() -> Refused:
    return Refused(403, "invite.invalid", "This invite code is not valid.", "Check it for typing errors.")


def check(data: bytes, response_pk: bytes, now: int) -> tuple[Token, int]:
    """Return (token, epoch) if it is good for this response; whether it was spent is the spender's to know.

    Raises Refused 403: `token.invalid`, `token.epoch`.
    """
    invalid = Refused(403, "token.invalid", "This token does not vouch for this response.", "Use a fresh token.")
    try:
        token = Token.decode(data)
    except ProtocolError as error:
        raise invalid from error
    row = IssuerKey.objects.filter(key_id=token.token_key_id.hex()).first()
    if row is None or row.epoch not in (epoch_of(now), epoch_of(now) - 1):
        raise Refused(403, "token.epoch", "This token is of another time or another hub.", "Use one of this epoch.")
    try:
        tokens.verify(_key(row.epoch), token, digest=identity.token_digest(), response_pk=response_pk)
    except ProtocolError as error:
        raise invalid from error
    return token, row.epoch


_keys: dict[tuple[str, int], tokens.IssuerKey] = {}


def _key(epoch: int) -> tokens.IssuerKey:
    row = IssuerKey.objects.filter(epoch=epoch).first()
    if row is None:
        raise Refused(403, "token.epoch", "This hub has no token key for that epoch.")
    name = (row.key_id, epoch)
    if name not in _keys:
        _keys.clear()
        _keys[name] = tokens.IssuerKey(secrets_store.unwrap(bytes(row.wrapped)))
    return _keys[name]


def _code_hash(code: str) -> str:
    text = "".join(character for character in code.upper() if character.isalnum())
    return hashlib.sha256(b"fairwitness/invite" + text.encode()).hexdigest()
