"""One-time codes by which a browser on the owner's network becomes a household member's: 128 bits, two minutes, once."""

import base64
import hashlib
from typing import Final

from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from fairwitness_core.crypto.random import token_bytes

from fairwitness.home.models import Pairing
from fairwitness.kit import clock
from fairwitness.kit.accounts import services
from fairwitness.kit.accounts.models import User
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

LASTS_S: Final = 120
OWNER: Final = "owner"


def issue(user: User | None = None) -> str:
    """Return a new code for a browser of `user`, or of the owner, and void every older one that was not used."""
    code = base64.b32encode(token_bytes(16)).decode().rstrip("=")
    now = clock.now()
    with transaction.atomic():
        Pairing.objects.all().delete()
        Pairing.objects.create(code_hash=_hash(code), created_at=now, expires_at=now + LASTS_S, user=user)
    return "-".join(code[i : i + 5] for i in range(0, len(code), 5))


def use(request: HttpRequest, code: str) -> User:
    """Use up `code` and sign the browser in as whom it was made for. Raises Refused, alike for unknown, used and old codes."""
    now = clock.now()
    with transaction.atomic():
        taken = Pairing.objects.filter(code_hash=_hash(code), used_at=None, expires_at__gt=now).update(used_at=now)
        if not taken:
            log(Event.SIGN_IN_REFUSED, code="auth.pairing")
            raise Refused(
                403,
                "auth.pairing",
                _("This code is unknown, used or older than two minutes."),
                _("Ask for a new one: Settings, Phones and browsers; or on the machine itself: fairwitness home pair"),
            )
        made_for = Pairing.objects.select_related("user").get(code_hash=_hash(code)).user
        person = made_for if isinstance(made_for, User) else first_owner()
        services.open_local_session(request, person)
    return person


def first_owner() -> User:
    """Return the owner whom this machine's own commands act for, made at the first call."""
    return User.objects.filter(username=OWNER).first() or services.create_user(OWNER, _("Owner"), "owner")


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.upper().replace("-", "").replace(" ", "").strip().encode()).digest()
