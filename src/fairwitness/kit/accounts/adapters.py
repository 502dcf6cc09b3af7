"""How allauth is bound to the gate: it runs the passkey and OIDC ceremonies, and decides nothing else."""

import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from fairwitness.kit import api, config
from fairwitness.kit.accounts import gate, services
from fairwitness.kit.accounts.models import STAGE_ENROLLING, User
from fairwitness.kit.accounts.start import start_url
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

_FRESH = 120
"""How old, in seconds, a passkey assertion of this session may be when the session is opened."""


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth publishes no types
    """No sign-up, no mail, and no session without a passkey assertion made just now."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 - the answer is the same for every one
        """Return False: administrators create accounts."""
        return False

    def get_login_redirect_url(self, request: HttpRequest) -> str:  # noqa: ARG002 - the answer is the same for every one
        """Return where a person begins on this node."""
        return start_url()

    def get_login_stages(self) -> list[str]:
        """Return the one stage there is: whoever came by another way than a passkey adds a passkey assertion."""
        return ["allauth.mfa.stages.AuthenticateStage"]

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        """Open the session if allauth recorded a verified passkey assertion in this very session. Raises Refused."""
        records = get_authentication_records(request, user)
        fresh = [r for r in records if 0 <= time.time() - r.get("at", 0) < _FRESH]
        if not any(r.get("method") == "mfa" and r.get("type") == Authenticator.Type.WEBAUTHN for r in fresh):
            log(Event.SIGN_IN_REFUSED, code="auth.passkey_needed")
            raise Refused(403, "auth.passkey_needed", "Only a passkey opens a session here.")
        method = "oidc-passkey" if any(r.get("method") == "socialaccount" for r in fresh) else "passkey"
        if not isinstance(user, User):
            raise TypeError("the session's user is of another model")
        services.open_session(request, user, method)

    def pre_login(self, request: HttpRequest, user: AbstractBaseUser, **_ignored: Any) -> HttpResponse | None:  # noqa: ARG002 - allauth's signature
        """Refuse frozen and ended accounts before anything else."""
        if user.is_active:
            return None
        log(Event.SIGN_IN_REFUSED, code="auth.inactive")
        return api.error_response(403, "auth.inactive", "This account is frozen or has ended.")

    def is_reauthentication_required(self, *, app: str, **_ignored: Any) -> bool:  # noqa: ARG002 - the answer is the same for every one
        """Ask for a fresh assertion before a passkey is added, except in a session that a code opened for just that."""
        found = gate.sign_in_of(self.request)
        return found is None or found.stage != STAGE_ENROLLING

    def send_notification_mail(self, *_args: Any, **_kwargs: Any) -> None:
        """Send nothing: accounts have no addresses."""

    def add_message(self, *_args: Any, **_kwargs: Any) -> None:
        """Show nothing: our pages say what happened themselves."""


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth publishes no types
    """Names the node in the passkey dialogue."""

    def _get_site_name(self) -> str:
        return config.current(config.RoleConfig).name

    def generate_authenticator_name(self, user: User, type: str) -> str:  # noqa: A002, ARG002 - allauth's signature
        """Return the name of a passkey that its owner gave none."""
        return _("Passkey %(number)d") % {"number": services.passkeys_of(user).count() + 1}

    def send_notification_mail(self, *_args: Any, **_kwargs: Any) -> None:
        """Send nothing: accounts have no addresses."""
