"""The one place that answers "may this session act?". The answer is no unless everything here says yes.

Every endpoint declares its access, a ninja operation with `auth=Session(...)`, a Django view with `@require(...)`; the
permission tests fail for one that declares none.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from ninja.security import APIKeyCookie

from fairwitness.kit import clock, config
from fairwitness.kit.accounts.models import ROLES, STAGE_ENROLLING, STAGE_FULL, SignIn, User
from fairwitness.kit.errors import Refused

MARK = "fairwitness_access"
_SEEN_STEP = 60

type View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Access:
    """What an endpoint declared. `kind` is session, enrolling, anyone or signed; `why` explains the last two."""

    kind: str
    roles: frozenset[str] = frozenset()
    why: str = ""
    per_object: bool = False


def key_hash(session_key: str) -> bytes:
    """Return the SHA-256 by which a session is known in the database."""
    return hashlib.sha256(session_key.encode()).digest()


def sign_in_of(request: HttpRequest) -> SignIn | None:
    """Return the live sign-in of the request's session, of whatever stage, or None.

    Live means: the row exists, belongs to the session's user, is not revoked, not over, not idle for too long; and the
    account is neither frozen nor past its last moment, judged now and not at sign-in.
    """
    session = getattr(request, "session", None)
    if session is None or not session.session_key:
        return None
    user = request.user
    if not isinstance(user, User) and not getattr(user, "is_authenticated", False):
        return None
    found = SignIn.objects.select_related("user").filter(key_hash=key_hash(session.session_key)).first()
    if found is None or found.user_id != user.pk or found.revoked_at is not None:
        return None
    now = clock.now()
    idle = config.current(config.RoleConfig).session_idle_minutes * 60
    if now >= found.ends_at or now - found.seen_at > idle or not found.user.is_active:
        return None
    return found


def decide(request: HttpRequest, roles: Iterable[str], *, stage: str = STAGE_FULL) -> User:
    """Return the person who may act in one of `roles`. Raises Refused: 401 for no session, 403 for the wrong one."""
    found = sign_in_of(request)
    if found is None:
        raise Refused(401, "auth.sign_in", _("You are not signed in."), _("Sign in with your passkey."))
    if found.stage != stage:
        if found.stage == STAGE_ENROLLING:
            raise Refused(403, "auth.enrolling", _("This session can only add a passkey."), _("Add it, then sign in."))
        raise Refused(403, "auth.stage", _("You are signed in already."))
    if found.user.role not in roles or found.user.role not in ROLES[config.role_name()]:
        raise Refused(403, "auth.role", _("Your role may not do this."), _("Ask an administrator who may."))
    now = clock.now()
    if now - found.seen_at >= _SEEN_STEP:
        SignIn.objects.filter(pk=found.pk).update(seen_at=now)
    return found.user


def actor(request: HttpRequest) -> User:
    """Return the person acting, in a handler that the gate has already let pass."""
    if not isinstance(request.user._wrapped if hasattr(request.user, "_wrapped") else request.user, User):  # noqa: SLF001 - a lazy object hides its class
        raise Refused(401, "auth.sign_in", _("You are not signed in."))
    return cast("User", request.user)


class Session(APIKeyCookie):
    """ninja `auth=`: a full session of a person in one of `roles`; unsafe methods also need the CSRF token.

    `per_object` says that the path names an object that may belong to somebody else: the operation checks that, and the
    permission tests try it.
    """

    def __init__(self, *roles: str, per_object: bool = False) -> None:
        self.access = Access("session", _known(roles), per_object=per_object)
        self.param_name = settings.SESSION_COOKIE_NAME
        super().__init__(csrf=True)

    def authenticate(self, request: HttpRequest, key: str | None) -> User:  # noqa: ARG002 - the session was read already
        """Ask `decide`."""
        return decide(request, self.access.roles)


class Anyone:
    """ninja `auth=`: public; `why` says what makes that right."""

    def __init__(self, why: str) -> None:
        self.access = Access("anyone", why=why)

    def __call__(self, _request: HttpRequest) -> bool:
        """Let pass."""
        return True


class SignedBody:
    """ninja `auth=`: the operation verifies a signature in the body before anything else; `who` names the signer."""

    def __init__(self, who: str) -> None:
        self.access = Access("signed", why=who)

    def __call__(self, _request: HttpRequest) -> bool:
        """Let pass to the operation, which verifies."""
        return True


def require(*roles: str, per_object: bool = False) -> Callable[[View], View]:
    """Decorate a Django view: a full session in one of `roles`; a browser without one is led to the sign-in page."""
    return _guard(Access("session", _known(roles), per_object=per_object), STAGE_FULL)


def require_enrolling() -> Callable[[View], View]:
    """Decorate a Django view: a session that an enrolment code opened, and nothing else."""
    return _guard(Access("enrolling", frozenset(ROLES[config.role_name()])), STAGE_ENROLLING)


def anyone(why: str) -> Callable[[View], View]:
    """Declare a Django view public; `why` says what makes that right."""
    return _mark(Access("anyone", why=why))


def signed_body(who: str) -> Callable[[View], View]:
    """Declare that a Django view verifies a signature in the body before anything else; `who` names the signer."""
    return _mark(Access("signed", why=who))


def access_of(target: Any) -> Access | None:
    """Return what a view or a ninja auth object declares, or None."""
    found = getattr(target, MARK, None) or getattr(target, "access", None)
    return found if isinstance(found, Access) else None


def _known(roles: Iterable[str]) -> frozenset[str]:
    found = frozenset(roles)
    unknown = found - {role for names in ROLES.values() for role in names}
    if unknown or not found:
        raise ValueError(f"no such roles: {', '.join(sorted(unknown)) or 'none were given'}")
    return found


def _mark(access: Access) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        setattr(view, MARK, access)
        return view

    return decorate


def _guard(access: Access, stage: str) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                decide(request, access.roles, stage=stage)
            except Refused as refusal:
                if refusal.status == 401 and request.method == "GET" and _is_page(request):
                    return to_sign_in(request)
                raise
            return view(request, *args, **kwargs)

        setattr(guarded, MARK, access)
        return guarded

    return decorate


def _is_page(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Lead a browser to the sign-in page and back here afterwards."""
    return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode({'next': request.get_full_path()})}")
