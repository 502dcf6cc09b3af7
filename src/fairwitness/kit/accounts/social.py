"""Sign-in through an agency's own OIDC provider: it names the person, a passkey assertion still follows."""

from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount
from django.http import HttpRequest
from django.utils.translation import gettext as _

from fairwitness.kit import middleware
from fairwitness.kit.accounts import services
from fairwitness.kit.accounts.models import User
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth publishes no types
    """Binds a provider's subject to the account that an administrator named for it; creates none."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:  # noqa: ARG002 - the answer is the same for every one
        """Return False: administrators create accounts."""
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Find the account, at the first sign-in by the login an administrator entered, later by the bound subject.

        The account must own a passkey: the next step asks for it. Otherwise the flow ends with a refusal.
        """
        user = sociallogin.user if sociallogin.is_existing else self._first_time(request, sociallogin)
        if user is None or not user.is_active:
            self._refuse(request, "auth.oidc_unknown", _("Nobody here signs in by that account."))
        elif not services.passkeys_of(user).exists():
            self._refuse(request, "auth.oidc_no_passkey", _("This account has no passkey yet."))

    def on_authentication_error(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> None:
        """End a ceremony that the provider broke off."""
        self._refuse(request, "auth.oidc_failed", _("The sign-in provider did not confirm who you are."))

    def _first_time(self, request: HttpRequest, sociallogin: Any) -> User | None:
        account = sociallogin.account
        data = account.extra_data or {}
        claims = {**data.get("userinfo", {}), **data.get("id_token", {})}
        names = [str(account.uid), str(claims.get("preferred_username", ""))]
        if claims.get("email_verified") is True:
            names.append(str(claims.get("email", "")))
        user = User.objects.filter(oidc_provider=account.provider, oidc_login__in=[name for name in names if name]).first()
        if user is None or SocialAccount.objects.filter(user=user, provider=account.provider).exists():
            return None
        sociallogin.connect(request, user)
        return user

    def _refuse(self, request: HttpRequest, code: str, message: str) -> None:
        log(Event.SIGN_IN_REFUSED, code=code)
        refusal = Refused(403, code, message, _("Ask an administrator of this node."))
        raise ImmediateHttpResponse(middleware.refusal(request, refusal))
