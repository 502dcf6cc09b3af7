"""Template tags and filters that every role uses."""

from datetime import UTC, datetime

from django import template
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from fairwitness.kit.accounts.start import start_url as _start_url

register = template.Library()


@register.filter
def moment(seconds: int) -> str:
    """Show Unix seconds as a date and time, UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


@register.filter
def when(at: int | datetime) -> str:
    """Show Unix seconds, or a moment that knows its zone, in the reader's language, UTC, to the minute."""
    found = at.astimezone(UTC) if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return f"{date_format(found, 'j M Y, H:i', use_l10n=False)} UTC"


@register.filter
def role_name(role: str) -> str:
    """Return the word for a person's role."""
    words = {
        "moderator": _("Moderator"),
        "admin": _("Administrator"),
        "officer": _("Officer"),
        "supervisor": _("Supervisor"),
        "technician": _("Technician"),
        "owner": _("Owner"),
    }
    return words.get(role, role)


@register.filter
def method_name(method: str) -> str:
    """Return the words for the way in which a session was opened."""
    words = {
        "passkey": _("Passkey"),
        "oidc-passkey": _("Sign-in provider and passkey"),
        "totp": _("Authenticator app"),
        "pairing": _("Paired at home"),
        "code": _("One-time code"),
    }
    return words.get(method, method)


@register.simple_tag
def start_url() -> str:
    """Return where a person begins on this node."""
    return _start_url()
