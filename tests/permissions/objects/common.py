"""Accounts are alike on every node."""

from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user_model

from fairwitness.kit import clock
from fairwitness.kit.accounts.models import SignIn


def _somebody_else(user):
    return get_user_model().objects.create(username=f"not-{user.username}", display_name="X", role=user.role, created_at=0)


def _session(user):
    other, now = _somebody_else(user), clock.now()
    found = SignIn.objects.create(
        user=other, key_hash=user.username.encode(), stage="full", method="passkey", created_at=now, seen_at=now, ends_at=now + 99
    )
    return {"pk": found.pk}


def _passkey(user):
    found = Authenticator.objects.create(user=_somebody_else(user), type="webauthn", data={"name": "x"})
    return {"pk": found.pk}


OBJECTS = {"revoke_session": _session, "remove_passkey": _passkey}
