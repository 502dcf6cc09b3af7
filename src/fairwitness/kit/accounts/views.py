"""The pages of signing in, and of looking after accounts. Allauth's own views run the passkey ceremonies."""

import functools
from collections.abc import Callable
from typing import Any

from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.webauthn.internal import auth
from allauth.mfa.webauthn.views import AddWebAuthnView, LoginWebAuthnView, ReauthenticateWebAuthnView
from django.contrib import messages
from django.contrib.auth import logout
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from fairwitness.kit import clock, config
from fairwitness.kit.accounts import gate, services
from fairwitness.kit.accounts.models import ROLES, STAGE_ENROLLING, SignIn, TotpGrant, User
from fairwitness.kit.accounts.start import start_url
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

_EVERY_ROLE = ROLES[config.role_name()]
_KEEPERS = ("owner",) if config.role_name() == "home" else ("admin",)


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def _posted(page: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Decorate a view that only changes things: an address reloaded or kept by a browser leads to `page`, not to an error."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method == "GET" and not _wants_json(request):
                return HttpResponseRedirect(reverse(page))
            return require_POST(view)(request, *args, **kwargs)

        return guarded

    return decorate


@gate.anyone("whoever is not signed in must reach it")
@never_cache
@ensure_csrf_cookie
@require_GET
def sign_in(request: HttpRequest) -> HttpResponseBase:
    """Show the ways to sign in; whoever is signed in goes on."""
    found = gate.sign_in_of(request)
    if found is not None:
        enrolling = found.stage == STAGE_ENROLLING
        return HttpResponseRedirect(reverse("enrol_passkey") if enrolling else start_url())
    if request.user.is_authenticated:
        # Revoked, idle or over: the gate refuses this session, so nothing of it may stand in the way of a new one.
        logout(request)
    if _wants_json(request):
        return JsonResponse({"refused": request.GET.get("refused") == "1"})
    return render(
        request,
        "kit/sign_in.html",
        {
            "providers": config.current(config.RoleConfig).oidc if config.role_name() != "home" else (),
            "refused": request.GET.get("refused") == "1",
            "enrolled": request.GET.get("enrolled") == "1",
            "next": request.GET.get("next", ""),
        },
    )


class SignInWithPasskey(LoginWebAuthnView):  # type: ignore[misc]  # allauth publishes no types
    """Allauth's passkey sign-in; a failed assertion leads back to the page with one sentence."""

    def form_invalid(self, form: Form) -> HttpResponseBase:  # noqa: ARG002 - allauth's signature
        """Answer alike for every reason, so that nobody learns which accounts exist."""
        log(Event.SIGN_IN_REFUSED, code="auth.passkey")
        if _wants_json(self.request):
            raise Refused(403, "passkey.refused", _("This passkey was not accepted."), _("Try again, or ask an administrator."))
        return HttpResponseRedirect(f"{reverse('account_login')}?refused=1")


class AddPasskey(AddWebAuthnView):  # type: ignore[misc]  # allauth publishes no types
    """Allauth's passkey registration, always for a passkey that signs in alone; then the enrolling session ends."""

    template_name = "kit/add_passkey.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Offer creation options for a discoverable passkey with user verification."""
        found: dict[str, Any] = super(AddWebAuthnView, self).get_context_data(**kwargs)
        found["js_data"] = {"creation_options": auth.begin_registration(self.request.user, True)}
        session = gate.sign_in_of(self.request)
        found["enrolling"] = session is not None and session.stage == STAGE_ENROLLING
        return found

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show the page, or give a program the options alone."""
        if _wants_json(request):
            return JsonResponse(self.get_context_data()["js_data"])
        answer: HttpResponseBase = super().get(request, *args, **kwargs)
        return answer

    def form_invalid(self, form: Form) -> HttpResponseBase:
        """Say that it did not work, with fresh options."""
        if _wants_json(self.request):
            raise Refused(403, "passkey.refused", _("This passkey was not accepted."), _("Try again."))
        answer: HttpResponseBase = super().form_invalid(form)
        return answer

    def form_valid(self, form: Form) -> HttpResponseBase:
        """Store the passkey; after an enrolment, end the session that could only do this."""
        user = gate.actor(self.request)
        super().form_valid(form)
        log(Event.PASSKEY_ADDED, role=user.role)
        found = gate.sign_in_of(self.request)
        if found is not None and found.stage == STAGE_ENROLLING:
            services.revoke(found)
            logout(self.request)
            return HttpResponseRedirect(f"{reverse('account_login')}?enrolled=1")
        return HttpResponseRedirect(reverse("mfa_index"))

    def get_success_url(self) -> str:
        """Return the account page."""
        return reverse("mfa_index")


@method_decorator(never_cache, name="dispatch")
class StepUp(ReauthenticateWebAuthnView):  # type: ignore[misc]  # allauth publishes no types
    """Allauth's fresh passkey assertion in a running session."""

    template_name = "kit/passkey_again.html"

    def form_invalid(self, form: Form) -> HttpResponseBase:  # noqa: ARG002 - allauth's signature
        """Show the page again, with one sentence and the way on."""
        again = {"refused": "1"}
        if following := self.get_next_url():
            again["next"] = following
        return HttpResponseRedirect(f"{reverse('mfa_reauthenticate_webauthn')}?{urlencode(again)}")

    def get_success_url(self) -> str:
        """Go on to where the assertion was asked for, else to the account page."""
        return self.get_next_url() or reverse("mfa_index")


class Follow(AuthenticateView):  # type: ignore[misc]  # allauth publishes no types
    """The passkey assertion that follows an OIDC sign-in."""

    template_name = "kit/passkey_again.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show the page, or give a program the options alone."""
        if _wants_json(request):
            return JsonResponse(self.get_context_data()["js_data"])
        answer: HttpResponseBase = super().get(request, *args, **kwargs)
        return answer


sign_in_with_passkey = gate.anyone("this is where a passkey is checked")(never_cache(SignInWithPasskey.as_view()))
follow_with_passkey = gate.anyone("this is where a passkey is checked after an OIDC sign-in")(never_cache(Follow.as_view()))
enrol_passkey = gate.require_enrolling()(never_cache(AddPasskey.as_view()))
add_passkey = gate.require(*_EVERY_ROLE)(never_cache(AddPasskey.as_view()))
step_up = gate.require(*_EVERY_ROLE)(StepUp.as_view())


@gate.anyone("whoever has a one-time code must reach it")
@never_cache
@ensure_csrf_cookie
@require_http_methods(["GET", "POST"])
def enrol(request: HttpRequest) -> HttpResponseBase:
    """Take a one-time code and open the session that can only add a passkey."""
    if request.method == "GET":
        return render(request, "kit/enrol.html")
    try:
        services.open_enrolment(request, request.POST.get("code", ""))
    except Refused as refusal:
        if _wants_json(request):
            raise
        typed = request.POST.get("code", "")[:60]
        return render(request, "kit/enrol.html", {"error": refusal, "typed": typed}, status=refusal.status)
    return HttpResponseRedirect(reverse("enrol_passkey"))


@gate.anyone("a granted one-time-password fallback is checked here")
@never_cache
@ensure_csrf_cookie
@require_http_methods(["GET", "POST"])
def totp(request: HttpRequest) -> HttpResponseBase:
    """Sign in by a one-time-password app, where an administrator granted it and the grant still runs."""
    if request.method == "GET":
        return render(request, "kit/totp.html")
    try:
        services.sign_in_with_totp(request, request.POST.get("username", ""), request.POST.get("code", ""))
    except Refused as refusal:
        if _wants_json(request):
            raise
        typed = request.POST.get("username", "")[:40]
        return render(request, "kit/totp.html", {"error": refusal, "typed": typed}, status=refusal.status)
    return HttpResponseRedirect(start_url())


@gate.anyone("ends whatever session the browser has")
@require_POST
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """End this session."""
    found = gate.sign_in_of(request)
    if found is not None:
        services.revoke(found)
    logout(request)
    return HttpResponseRedirect(reverse("account_login"))


@gate.require(*_EVERY_ROLE)
@never_cache
@require_GET
def account(request: HttpRequest) -> HttpResponse:
    """Show one's own passkeys and sessions."""
    user = gate.actor(request)
    return render(
        request,
        "kit/account.html",
        {
            "person": user,
            "passkeys": services.passkeys_of(user),
            "sessions": services.sessions_of(user),
            "this": gate.sign_in_of(request),
            # At home, people are kept on the household's page.
            "keeper": user.role in _KEEPERS and config.role_name() != "home",
        },
    )


@gate.require(*_EVERY_ROLE, per_object=True)
@_posted("mfa_index")
def revoke_session(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of one's own sessions."""
    found = SignIn.objects.filter(pk=pk, user=gate.actor(request)).first()
    if found is None:
        raise Refused(404, "session.unknown", _("There is no such session."))
    services.revoke(found)
    return HttpResponseRedirect(reverse("mfa_index"))


@gate.require(*_EVERY_ROLE, per_object=True)
@_posted("mfa_index")
def remove_passkey(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove one of one's own passkeys, though never the last one."""
    mine = services.passkeys_of(gate.actor(request))
    found = mine.filter(pk=pk).first()
    if found is None:
        raise Refused(404, "passkey.unknown", _("There is no such passkey."))
    if mine.count() == 1:
        raise Refused(409, "passkey.last", _("This is your last passkey."), _("Add another one first."))
    found.delete()
    return HttpResponseRedirect(reverse("mfa_index"))


@gate.require(*_KEEPERS)
@never_cache
@require_GET
def people(request: HttpRequest) -> HttpResponse:
    """Show all accounts."""
    return _people(request, {})


@gate.require(*_KEEPERS)
@never_cache
@_posted("people")
def add_person(request: HttpRequest) -> HttpResponse:
    """Create an account and show its one-time code, once; a refusal is shown beside what was typed."""
    keeper = gate.actor(request)
    typed = {key: request.POST.get(key, "") for key in ("username", "display_name", "role")}
    try:
        user = services.create_user(typed["username"], typed["display_name"], typed["role"], by=keeper)
    except Refused as refusal:
        if not _is_page(request):
            raise
        wrong = {"user.name": "username", "user.exists": "username"}.get(refusal.code, refusal.code.removeprefix("user."))
        return _people(request, {"error": refusal, "wrong": wrong, "typed": typed}, refusal.status)
    return _people(request, {"code": services.issue_code(user, keeper), "person": user})


@gate.require(*_KEEPERS)
@never_cache
@_posted("people")
def change_person(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Issue a code, freeze, unfreeze, end all sessions, or grant the one-time-password fallback."""
    keeper = gate.actor(request)
    user = User.objects.filter(pk=pk).first()
    if user is None:
        raise Refused(404, "user.unknown", _("There is no such account."))
    shown: dict[str, Any] = {"person": user}
    match action:
        case "code":
            shown["code"] = services.issue_code(user, keeper)
        case "freeze" if user.pk == keeper.pk:
            raise Refused(409, "user.self", _("You cannot freeze your own account."), _("Ask another administrator."))
        case "freeze":
            services.freeze(user, keeper)
            return _done(request, _("%(name)s is frozen and signed out everywhere.") % {"name": user.display_name})
        case "unfreeze":
            services.unfreeze(user, keeper)
            return _done(request, _("%(name)s may sign in again.") % {"name": user.display_name})
        case "sign-out":
            services.revoke_all(user, keeper)
            return _done(request, _("%(name)s is signed out everywhere.") % {"name": user.display_name})
        case "totp":
            hours = request.POST.get("hours", "24")
            grant, shown["secret"] = services.grant_totp(user, int(hours) if hours.isdecimal() else 0, keeper)
            shown["until"] = grant.expires_at
        case _:
            raise Refused(404, "user.action", _("There is no such action."))
    return _people(request, shown)


def _is_page(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _done(request: HttpRequest, words: str) -> HttpResponse:
    """Show a browser the people again at their own address, with `words`, so that a reload repeats nothing."""
    if not _is_page(request):
        return _people(request, {})
    messages.success(request, words)
    return HttpResponseRedirect(reverse("people"))


def _people(request: HttpRequest, shown: dict[str, Any], status: int = 200) -> HttpResponse:
    now = clock.now()
    granted = set(TotpGrant.objects.filter(revoked_at=None, expires_at__gt=now).values_list("user_id", flat=True))
    users = [{"user": user, "totp": user.pk in granted} for user in User.objects.all()]
    cfg = config.current(config.RoleConfig)
    found = {
        "people": users,
        "roles": _EVERY_ROLE,
        "keeper": True,
        "hours": cfg.enrolment_code_hours,
        "enrol_address": cfg.url + reverse("enrol"),
        **shown,
    }
    return render(request, "kit/people.html", found, status=status)
