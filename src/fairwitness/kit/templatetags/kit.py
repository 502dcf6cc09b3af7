"""Template tags and filters that every role uses."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.template.defaultfilters import filesizeformat
from django.templatetags.static import static
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from fairwitness.kit import config
from fairwitness.kit.accounts.start import start_url as _start_url
from fairwitness.kit.moments import duration, moment_tag
from fairwitness.kit.static_view import basemap_file

register = template.Library()
register.simple_tag(moment_tag, name="at")
register.filter("duration", duration)


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
        "member": _("Member"),
        "viewer": _("Viewer"),
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


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Return one icon of the sprite that web/icons.mjs lists; without `label` it is decoration that readers skip."""
    link = f"{static('web/icons.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, link)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"></use></svg>', link)


@register.simple_tag
def icons_url() -> str:
    """Return the sprite's address, for elements whose scripts draw icons."""
    return static("web/icons.svg")


@register.filter
def size(count: int | None) -> str:
    """Show a number of bytes."""
    return "" if count is None else filesizeformat(count)


@register.inclusion_tag("kit/parts/map.html")
def map(  # noqa: A001 - the tag's name in templates
    drawn: dict[str, Any], label: str, *, mode: str = "", field: str = "", pin_label: str = "", tall: bool = False
) -> dict[str, Any]:
    """Show a map. `drawn`: {areas, points, view} as web/src/map.ts describes; `mode`: pin or draw, inside a form."""
    cfg = config.current(config.RoleConfig)
    return {
        "drawn": json_script(drawn),
        "label": label,
        "mode": mode,
        "field": field,
        "pin_label": pin_label,
        "tall": tall,
        "base": reverse("basemap") if basemap_file() else "",
        "attribution": cfg.basemap_attribution,
        "units": cfg.units,
    }


@register.inclusion_tag("kit/parts/player.html")
def player(
    source: str, *, begin: float | None = None, strip: str = "", poster: str = "", fps: float = 0, trim: bool = False,
    start: float | None = None, end: float | None = None, prefix: str = "", sound: bool = True, label: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Show a video with frame steps, speed and keys; with `trim`, two handles that fill the form's `<prefix>start` and `end`.

    `source`, `strip`, `poster`: addresses of the video, its filmstrip and its first picture. `begin`: when it was recorded,
    Unix seconds; `start`, `end`: seconds into the video.
    """
    labels = {
        "play": _("Play"),
        "pause": _("Pause"),
        "back": _("One picture back"),
        "forward": _("One picture on"),
        "speed": _("Speed"),
        "sound": _("Sound"),
        "full": _("Full screen"),
        "from": _("Begin"),
        "to": _("End"),
        "position": _("Position"),
        "keys": _("Video. Space plays, comma and full stop step by one picture, arrows by five seconds"),
    }
    return {
        "source": source, "begin": begin, "strip": strip, "poster": poster, "fps": fps, "trim": trim,
        "start": start, "end": end, "prefix": prefix, "sound": sound, "label": label,
        "labels": json_script(labels), "language": get_language(),
    }  # fmt: skip
