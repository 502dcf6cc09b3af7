"""What can be done with accounts. Every function is one durable step and writes its event to the journal."""

import base64
import hashlib
import re

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.auth import login as django_login
from django.contrib.sessions.models import Session as DjangoSession
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from fairwitness_core.crypto import random

from fairwitness.kit import clock, config, secrets_store
from fairwitness.kit.accounts import gate
from fairwitness.kit.accounts.acts import tell
from fairwitness.kit.accounts.models import (
    ROLES,
    STAGE_ENROLLING,
    STAGE_FULL,
    EnrolmentCode,
    SignIn,
    TotpGrant,
    User,
)
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

BACKEND = "fairwitness.kit.accounts.backend.Backend"
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._\-]{1,39}")
_ENROLLING_SECONDS = 15 * 60
_TOTP_PERIOD = 30
_TOTP_MAX_HOURS = 168
_TOTP_MAX_FAILURES = 10


def create_user(
    username: str,
    display_name: str,
    role: str,
    *,
    active_until: int | None = None,
    oidc_provider: str = "",
    oidc_login: str = "",
    by: User | None = None,
) -> User:
    """Create an account without any means to sign in; `active_until` is Unix seconds, `by` who adds it. Raises Refused."""
    if not _USERNAME.fullmatch(username):
        raise Refused(
            400,
            "user.name",
            _("This username cannot be used."),
            _("Use 2 to 40 small letters, digits, dots, dashes; start with a letter or digit."),
        )
    if role not in ROLES[config.role_name()]:
        known = ", ".join(ROLES[config.role_name()])
        raise Refused(400, "user.role", _("There is no such role here."), known)
    if not display_name.strip() or len(display_name) > 80:
        raise Refused(400, "user.display_name", _("A name to show is needed, of at most 80 characters."))
    with transaction.atomic():
        if User.objects.filter(username=username).exists():
            raise Refused(409, "user.exists", _("This username is taken."))
        user = User.objects.create(
            username=username,
            display_name=display_name.strip(),
            role=role,
            created_at=clock.now(),
            active_until=active_until,
            oidc_provider=oidc_provider,
            oidc_login=oidc_login,
        )
    log(Event.USER_CREATED, role=role)
    tell("account.created", user, by=by, words=role)
    return user


def issue_code(user: User, by: User | None = None) -> str:
    """Return a new one-time enrolment code for `user` (128 bits, shown once) and void the unused ones before it."""
    code = base64.b32encode(random.token_bytes(16)).decode().rstrip("=")
    now = clock.now()
    hours = config.current(config.RoleConfig).enrolment_code_hours
    with transaction.atomic():
        EnrolmentCode.objects.filter(user=user, used_at=None).delete()
        EnrolmentCode.objects.create(user=user, code_hash=_code_hash(code), created_at=now, expires_at=now + hours * 3600)
        tell("account.code_issued", user, by=by)
    return "-".join(code[i : i + 5] for i in range(0, len(code), 5))


def open_enrolment(request: HttpRequest, code: str) -> User:
    """Use up `code` and open a session that can only add a passkey, for 15 minutes. Raises Refused."""
    now = clock.now()
    with transaction.atomic():
        found = EnrolmentCode.objects.select_related("user").filter(code_hash=_code_hash(code)).first()
        if found is None or found.used_at is not None or now >= found.expires_at or not found.user.is_active:
            log(Event.ENROLMENT_REFUSED, code="auth.code")
            raise Refused(
                403,
                "auth.code",
                _("This code is unknown, used or expired."),
                _("Ask an administrator for a new one."),
            )
        found.used_at = now
        found.save(update_fields=["used_at"])
        _open(request, found.user, STAGE_ENROLLING, "code", now + _ENROLLING_SECONDS)
    log(Event.ENROLMENT_OPENED, role=found.user.role)
    return found.user


def open_session(request: HttpRequest, user: User, method: str) -> SignIn:
    """Open a full session for `user`, who has just proved who they are by `method`. Raises Refused.

    Called by the allauth adapter after a passkey, by the one-time-password fallback, and by `open_local_session`.
    """
    if not user.is_active:
        log(Event.SIGN_IN_REFUSED, code="auth.inactive")
        raise Refused(403, "auth.inactive", _("This account is frozen or has ended."), _("Ask an administrator."))
    hours = config.current(config.RoleConfig).session_hours
    found = _open(request, user, STAGE_FULL, method, clock.now() + hours * 3600)
    log(Event.SIGNED_IN, role=user.role, method=method)
    tell("account.signed_in", user, words=method)
    return found


def open_local_session(request: HttpRequest, user: User, method: str = "pairing") -> SignIn:
    """Open a full session at home after a pairing on the owner's own network. Raises Refused on any other role."""
    if config.role_name() != "home":
        raise Refused(403, "auth.passkey_needed", _("Only a passkey opens a session here."))
    return open_session(request, user, method)


def _open(request: HttpRequest, user: User, stage: str, method: str, ends_at: int) -> SignIn:
    django_login(request, user, backend=BACKEND)
    key = request.session.session_key
    if not key:
        request.session.save()
        key = str(request.session.session_key)
    now = clock.now()
    SignIn.objects.filter(ends_at__lt=now - 30 * 86400).delete()
    return SignIn.objects.create(
        user=user,
        key_hash=gate.key_hash(key),
        stage=stage,
        method=method,
        created_at=now,
        seen_at=now,
        ends_at=ends_at,
    )


def sessions_of(user: User) -> QuerySet[SignIn]:
    """Return the person's sessions that are neither revoked nor over, newest first."""
    return SignIn.objects.filter(user=user, revoked_at=None, ends_at__gt=clock.now())


def revoke(sign_in: SignIn) -> None:
    """End one session at once."""
    if SignIn.objects.filter(pk=sign_in.pk, revoked_at=None).update(revoked_at=clock.now()):
        log(Event.SESSION_REVOKED, count=1)


def revoke_all(user: User, by: User | None = None) -> int:
    """End every session of `user` at once and return how many there were."""
    count = sessions_of(user).update(revoked_at=clock.now())
    if count:
        log(Event.SESSION_REVOKED, count=count)
        tell("account.sessions_ended", user, by=by, words=str(count))
    return count


def freeze(user: User, by: User | None = None) -> None:
    """Stop an account from acting, at once and in every session, and void its codes and fallbacks."""
    now = clock.now()
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(frozen=True)
        EnrolmentCode.objects.filter(user=user, used_at=None).delete()
        TotpGrant.objects.filter(user=user, revoked_at=None).update(revoked_at=now)
        sessions_of(user).update(revoked_at=now)
    user.frozen = True
    log(Event.USER_FROZEN, role=user.role)
    tell("account.frozen", user, by=by)


def unfreeze(user: User, by: User | None = None) -> None:
    """Let a frozen account act again; its old sessions stay ended."""
    User.objects.filter(pk=user.pk).update(frozen=False)
    user.frozen = False
    tell("account.unfrozen", user, by=by)


def passkeys_of(user: User) -> QuerySet[Authenticator]:
    """Return the person's passkeys."""
    found: QuerySet[Authenticator] = Authenticator.objects.filter(user=user, type=Authenticator.Type.WEBAUTHN)
    return found.order_by("pk")


def grant_totp(user: User, hours: int, by: User) -> tuple[TotpGrant, str]:
    """Let `user` sign in with a one-time-password app for `hours` (at most a week); return the row and the secret.

    `by` is the administrator, another person than `user`. The secret (base32) is shown once and kept under the node's
    key. An earlier grant ends. Raises Refused.
    """
    if not 1 <= hours <= _TOTP_MAX_HOURS:
        raise Refused(400, "totp.hours", _("A fallback lasts between 1 hour and 7 days."))
    if by.role != "admin" or not by.is_active or by.pk == user.pk:
        raise Refused(403, "totp.by", _("Only another person who is an administrator can grant this."))
    secret = base64.b32encode(random.token_bytes(20)).decode()
    now = clock.now()
    with transaction.atomic():
        TotpGrant.objects.filter(user=user, revoked_at=None).update(revoked_at=now)
        grant = TotpGrant.objects.create(
            user=user,
            granted_by=by,
            granted_at=now,
            expires_at=now + hours * 3600,
            secret_wrapped=secrets_store.wrap(secret.encode()),
        )
    log(Event.TOTP_GRANTED, role=user.role, hours=hours)
    tell("account.totp_granted", user, by=by, words=f"{hours} h")
    return grant, secret


def sign_in_with_totp(request: HttpRequest, username: str, code: str) -> User:
    """Open a session by a granted, unexpired one-time-password fallback. Raises Refused, alike for every reason.

    A code works once (its counter must grow); ten wrong codes end the grant.
    """
    refusal = Refused(403, "auth.totp", _("This did not work."), _("Check the code, or ask an administrator."))
    now = clock.now()
    with transaction.atomic():
        grant = (
            TotpGrant.objects.select_related("user")
            .filter(user__username=username, revoked_at=None, expires_at__gt=now, failures__lt=_TOTP_MAX_FAILURES)
            .first()
        )
        if grant is None or not grant.user.is_active or grant.secret_wrapped is None:
            log(Event.SIGN_IN_REFUSED, code="auth.totp")
            raise refusal
        secret = secrets_store.unwrap(bytes(grant.secret_wrapped)).decode()
        step = now // _TOTP_PERIOD
        used = next(
            (
                counter
                for counter in (step, step - 1)
                if counter > grant.last_counter
                and constant_time_compare(format_hotp_value(hotp_value(secret, counter)), code.strip().replace(" ", ""))
            ),
            None,
        )
        if used is None:
            grant.failures += 1
        else:
            grant.last_counter = used
            grant.failures = 0
        grant.save(update_fields=["failures", "last_counter"])
    if used is None:
        log(Event.SIGN_IN_REFUSED, code="auth.totp")
        raise refusal
    log(Event.TOTP_USED, role=grant.user.role)
    sign_in = open_session(request, grant.user, "totp")
    if sign_in.ends_at > grant.expires_at:
        SignIn.objects.filter(pk=sign_in.pk).update(ends_at=grant.expires_at)
    return grant.user


def clear_expired(now: int) -> None:
    """Forget expired Django sessions and codes; run daily by the beat."""
    from datetime import UTC, datetime  # noqa: PLC0415 - only here are Unix seconds not enough

    DjangoSession.objects.filter(expire_date__lt=datetime.fromtimestamp(now, UTC)).delete()
    EnrolmentCode.objects.filter(expires_at__lt=now).delete()


def _code_hash(code: str) -> bytes:
    plain = code.upper().replace("-", "").replace(" ", "").strip()
    return hashlib.sha256(plain.encode()).digest()
