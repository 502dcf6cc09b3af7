"""Allauth's passkey forms with what it leaves open: exact origin, one use, a counter that never falls, verified users."""

import json
from typing import Any, cast

from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from allauth.mfa.webauthn.internal import auth
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from fido2.utils import websafe_decode

from fairwitness.kit.journal import Event, log

_COUNT = "sign_count"


def _refuse(code: str) -> ValidationError:
    log(Event.PASSKEY_REFUSED, code=code)
    auth.clear_state()
    return cast("ValidationError", get_adapter().validation_error("incorrect_code"))


def check_origin(request: HttpRequest, credential: Any) -> None:
    """Raise ValidationError unless the ceremony ran on a page of this very origin (WebAuthn level 3, 7.1 and 7.2).

    Allauth's library accepts every port and every subdomain; sibling services on one host are not us.
    """
    try:
        client = json.loads(websafe_decode(credential["response"]["clientDataJSON"]))
        origin, crossed = client["origin"], client.get("crossOrigin", False)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refuse("passkey.unreadable") from error
    if origin != f"{request.scheme}://{request.get_host()}" or crossed is not False:
        raise _refuse("passkey.origin")


def _advance(authenticator: Authenticator, credential: Any) -> Authenticator:
    """Store the assertion's signature counter; raise ValidationError if it did not grow (WebAuthn 6.1.1)."""
    count = auth.parse_authentication_response(credential).response.authenticator_data.counter
    with transaction.atomic():
        fresh = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        before = fresh.data.get(_COUNT, fresh.wrap().authenticator_data.counter)
        if (before or count) and count <= before:
            grew = False
        else:
            grew = True
            fresh.data[_COUNT] = count
            fresh.save(update_fields=["data"])
    if not grew:
        raise _refuse("passkey.counter")
    return cast("Authenticator", fresh)


class _Checked:
    """The checks around every assertion; comes before allauth's form among the bases."""

    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Authenticator:
        credential = self.cleaned_data["credential"]
        check_origin(context.request, credential)
        try:
            found: Authenticator = super().clean_credential()  # type: ignore[misc]  # allauth's form comes after this class
        except ValidationError:
            log(Event.PASSKEY_REFUSED, code="passkey.assertion")
            auth.clear_state()
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _refuse("passkey.unreadable") from error
        return _advance(found, credential)


class AddPasskey(AddWebAuthnForm):  # type: ignore[misc]  # allauth publishes no types
    """Adds a passkey that verifies its user and signs in alone."""

    def clean(self) -> dict[str, Any]:
        """Check origin and user verification; raises ValidationError."""
        credential = self.cleaned_data.get("credential")
        if credential:
            check_origin(context.request, credential)
            extensions = credential.get("clientExtensionResults")
            if isinstance(extensions, dict) and extensions.get("credProps", {}).get("rk") is False:
                raise _refuse("passkey.not_discoverable")
        self.cleaned_data["passwordless"] = True
        try:
            found: dict[str, Any] = super().clean()
        except (AttributeError, KeyError, TypeError) as error:
            raise _refuse("passkey.unreadable") from error
        return found


class SignInWithPasskey(_Checked, LoginWebAuthnForm):  # type: ignore[misc]  # allauth publishes no types
    """Signs in."""


class StepUpWithPasskey(_Checked, ReauthenticateWebAuthnForm):  # type: ignore[misc]  # allauth publishes no types
    """Proves once more, in a running session, who is there."""


class FollowWithPasskey(_Checked, AuthenticateWebAuthnForm):  # type: ignore[misc]  # allauth publishes no types
    """Follows a sign-in through an OIDC provider."""


class NoCodes(AuthenticateForm):  # type: ignore[misc]  # allauth publishes no types
    """Takes the place of allauth's code form after an OIDC sign-in: no code stands in for a passkey there."""

    def clean_code(self) -> str:
        """Refuse every code."""
        raise _refuse("passkey.needed")
