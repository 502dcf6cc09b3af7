"""Sign-in through an agency's own OIDC provider: it names the person, a passkey assertion still follows."""

from typing import Any, cast

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView, OAuth2View
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.db import transaction
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from fairwitness.kit import config, middleware
from fairwitness.kit.accounts import services
from fairwitness.kit.accounts.acts import tell
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


class VerifiedOpenId(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth publishes no types
    """Believes an ID token by its signature, never by the connection it came over: a provider inside may have no TLS."""

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """Return the login of a token whose signature, issuer, audience and time hold. Raises OAuth2Error.

        There must be an ID token (OpenID Connect Core 3.1.3.3), and the user info must be of the same subject (5.3.2).
        """
        if not isinstance(kwargs["response"].get("id_token"), str):
            raise OAuth2Error("the provider sent no ID token")
        try:
            login = super().complete_login(request, app, token, **kwargs)
            said = login.account.extra_data
            same = said["userinfo"]["sub"] == said["id_token"]["sub"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OAuth2Error("the provider's answer cannot be read") from error
        if not same:
            raise OAuth2Error("the user info is of another subject than the ID token")
        return login

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        # Allauth leaves the signature out where it fetched the token itself (Core 3.1.3.7, 6), as is always so here.
        self.did_fetch_access_token = False
        return cast("dict[str, Any]", super()._decode_id_token(app, id_token))


def login(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Send the browser to the provider."""
    return _travel(OAuth2LoginView, request, provider_id)


def callback(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Take the browser back from the provider; a passkey assertion follows."""
    return _travel(OAuth2CallbackView, request, provider_id)


def _travel(view: type[OAuth2View], request: HttpRequest, provider_id: str) -> HttpResponseBase:
    try:
        return cast("HttpResponseBase", view.adapter_view(VerifiedOpenId(request, provider_id))(request))
    except SocialApp.DoesNotExist as error:
        raise Http404 from error
    except (OSError, KeyError) as error:
        # No connection, an answer that is no success, or a description that lacks an address.
        log(Event.SIGN_IN_REFUSED, code="auth.oidc_silent")
        hint = _("Sign in with your passkey alone, or try again later.")
        raise Refused(502, "auth.oidc_silent", _("The sign-in provider does not answer."), hint) from error


def name_login(user: User, provider: str, login: str, by: User | None = None) -> None:
    """Say by which `login` (subject, verified e-mail or preferred username) at `provider` a person may begin to sign in.

    It takes the place of the one before, whose subject is forgotten; an empty `login` ends the person's way in by providers.
    Raises Refused.
    """
    if login and provider not in {one.id for one in config.current(config.RoleConfig).oidc}:
        raise Refused(
            400, "user.oidc_provider", "This node knows no such sign-in provider.", "Name it under [[oidc]] in config.toml."
        )
    if len(login) > 255 or not login.isprintable() or login != login.strip():
        raise Refused(400, "user.oidc_login", "This login cannot be used.", "Use at most 255 characters.")
    with transaction.atomic():
        if login and User.objects.filter(oidc_provider=provider, oidc_login=login).exclude(pk=user.pk).exists():
            raise Refused(409, "user.oidc_taken", "Another person signs in by this login.")
        SocialAccount.objects.filter(user=user).delete()
        User.objects.filter(pk=user.pk).update(oidc_provider=provider if login else "", oidc_login=login)
        tell("account.login_named", user, by=by, words=provider if login else "none")
