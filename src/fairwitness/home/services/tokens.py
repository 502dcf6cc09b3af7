"""Tokens that say "an enrolled household": eight a fortnight, on a slot drawn at install, needed or not (design.md 9.7).

A token's nonce binds it to a response key, so the key is made here, before anybody asks for anything, and stored before
the request leaves: whatever is lost afterwards, the same keys end in the same tokens.
"""

import base64
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import QuerySet
from fairwitness_core.crypto import tokens
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home import slots
from fairwitness.home.models import Pin, Token
from fairwitness.home.services import follower, join
from fairwitness.kit import clock, foreign, http, secrets_store
from fairwitness.kit.journal import Event, log

MARGIN_S = 86_400  # a token must outlive the longest upload delay and the hub's day for resuming
_MAX_ANSWER = 1 << 16
_NO_INVITE = "The hub does not accept this invite; ask for a new one."


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a token slot did: `asked` an epoch or None, and how many tokens are ready from it."""

    asked: int | None
    ready: int
    code: str = ""


def fetch_due(now: int) -> Fetched:
    """Ask for this epoch's tokens if their moment has come and they are not here yet; at most one POST."""
    row = join.pinned()
    if row is None or not row.invite:
        return Fetched(None, 0)
    epoch = tokens.epoch_of(now)
    if now < _moment(row, epoch):
        return Fetched(None, 0)
    waiting = list(Token.objects.filter(epoch=epoch).order_by("position"))
    if not waiting:
        waiting = _prepare(epoch, now)
    if not waiting or any(item.state != "asked" for item in waiting):
        return Fetched(None, 0)
    return _ask(row, epoch, waiting, now)


def _moment(row: Pin, epoch: int) -> int:
    """Return when this home asks in `epoch`: at its own place in the fortnight, or at once in the one it joined in."""
    begin = epoch * tokens.EPOCH_SECONDS
    if tokens.epoch_of(row.accepted_at) == epoch:
        return row.accepted_at
    return begin + int(slots.fraction("tokens", 0) * tokens.EPOCH_SECONDS)


def digest() -> bytes:
    """Return the challenge digest of this home's hub: its name and origin are its host."""
    place = urlsplit(join.current().join.url).netloc
    return tokens.challenge_digest(place, place)


def _prepare(epoch: int, now: int) -> list[Token]:
    """Make the epoch's response keys, durably, before anything is sent; nothing without a logged issuer key."""
    try:
        issuer = follower.directory().issuer_key(epoch)
    except ProtocolError as error:
        follower.raise_alarm(error.code, "The log names two token keys for one fortnight: households could be told apart.", now)
        return []
    if issuer is None:
        return []
    made = [
        Token(
            epoch=epoch,
            position=position,
            secret=secrets_store.wrap(token_bytes(32)),
            issuer=issuer.pk,
            usable_until=issuer.not_after,
        )
        for position in range(tokens.TOKENS_PER_EPOCH)
    ]
    with transaction.atomic():
        Token.objects.bulk_create(made)
    return list(Token.objects.filter(epoch=epoch).order_by("position"))


_asked: dict[tuple[str, int], tuple[tokens.Pending, tuple[bytes, ...]]] = {}


def _batch(epoch: int, waiting: list[Token]) -> tuple[tokens.Pending, tuple[bytes, ...]]:
    """Return the batch asked for, blinded once in a process: a lost answer is asked for again with the same bytes.

    After a restart the same keys are blinded anew and end in the same tokens; the hub takes that for the second and last of
    the fetches that it allows an invite in a fortnight.
    """
    nonces = tuple(tokens.token_nonce(key_of(item).public.raw) for item in waiting)
    name = (join.current().pin.genesis, epoch)
    known = _asked.get(name)
    if known is None or known[0].nonces != nonces:
        _asked.clear()
        known = _asked[name] = tokens.blind_batch(nonces, digest(), bytes(waiting[0].issuer))
    return known


def _ask(row: Pin, epoch: int, waiting: list[Token], now: int) -> Fetched:
    pending, requests = _batch(epoch, waiting)
    body = json.dumps(
        {"invite": row.invite, "epoch": epoch, "blinded": [dsse.b64(item) for item in requests]}, separators=(",", ":")
    ).encode()
    try:
        answer = http.Http().post(f"{join.current().join.url}/issuer/v1/tokens", body, max_bytes=_MAX_ANSWER)
    except (http.Unreachable, http.TooLarge):
        return Fetched(epoch, 0, "unreachable")
    if answer.status != 200:
        return Fetched(epoch, 0, _refused(answer, waiting, now))
    try:
        done = pending.finalize(_evaluated(answer.body, len(waiting)))
    except ProtocolError as error:
        # A hub that answers with another key than the logged one marks this household: none of it is used.
        follower.raise_alarm(error.code, f"Tokens were refused: {error.message}.", now)
        log(Event.MESSAGE_REFUSED, kind="tokens", code=error.code)
        return Fetched(epoch, 0, error.code)
    with transaction.atomic():
        for item, token in zip(waiting, done, strict=True):
            item.token, item.state = token.encode(), "ready"
            item.save()
    _asked.clear()
    follower.clear_alarms("token.proof", "invite.invalid", "invite.used_up", now=now)
    return Fetched(epoch, len(done))


def _evaluated(body: bytes, count: int) -> list[bytes]:
    try:
        found = foreign.json_value(body)["evaluated"]
        answers = [base64.b64decode(item, validate=True) for item in found]
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError("token.response", "the issuer's answer cannot be read") from error
    if len(answers) != count:
        raise ProtocolError("token.response", "the issuer answered with another number of tokens", evidence=str(len(answers)))
    return answers


def _refused(answer: http.Response, waiting: list[Token], now: int) -> str:
    code = error_code(answer)
    if answer.status == 403 and code.startswith("invite."):
        # Asking again with this invite would change nothing this fortnight; a new invite starts anew (`join.accept`).
        Token.objects.filter(pk__in=[item.pk for item in waiting]).update(state="dead")
        spent = "This invite has given out its tokens for this fortnight; the next come with the next fortnight."
        follower.raise_alarm(code, spent if code == "invite.used_up" else _NO_INVITE, now)
    return code


def error_code(answer: http.Response) -> str:
    """Return the code in a hub's error body, or `http`."""
    try:
        code = foreign.json_value(answer.body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return "http"
    return code[:64] if isinstance(code, str) else "http"


def available(now: int | None = None) -> int:
    """Return how many tokens can be used now."""
    return _usable(clock.now() if now is None else now).count()


def take(now: int) -> Token | None:
    """Take the token that expires first, inside the caller's transaction; None when there is none."""
    found = _usable(now).select_for_update().order_by("usable_until", "epoch", "position").first()
    if found is not None:
        found.state = "used"
        found.save()
    return found


def give_back(token: Token) -> None:
    """Make a token usable again that was never shown to the hub."""
    Token.objects.filter(pk=token.pk, state="used").update(state="ready")


def key_of(token: Token) -> SigningKey:
    """Return the response key that a token is bound to."""
    return SigningKey(secrets_store.unwrap(bytes(token.secret)))


def _usable(now: int) -> QuerySet[Token]:
    return Token.objects.filter(state="ready", usable_until__gt=now + MARGIN_S)
