"""Times as pages show them; needs templates and translations, and no node."""

from datetime import UTC, datetime

from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

_SHAPES = {
    "datetime": "j M Y, H:i",
    "seconds": "j M Y, H:i:s",
    "date": "j M Y",
    "time": "H:i",
    "day": "l, j M",
}


def moment_tag(at: int | datetime | None, shape: str = "datetime") -> str:
    """Return a `<time>`: UTC as it leaves here, turned into the reader's zone by page.js, with UTC in its title.

    `at`: Unix seconds, or a moment that knows its zone; None gives nothing. `shape`: datetime, seconds, date, time or day.
    """
    if at is None:
        return ""
    found = at.astimezone(UTC) if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    text = date_format(found, _SHAPES[shape], use_l10n=False)
    return format_html('<time datetime="{}" data-as="{}">{} UTC</time>', found.strftime("%Y-%m-%dT%H:%M:%SZ"), shape, text)


def duration(seconds: float | None) -> str:
    """Show a length of time in words a person would use: "45 s", "12 min", "2 h 5 min", "3 days"."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return _("%(n)s s") % {"n": whole}
    minutes, rest = divmod(whole, 60)
    if minutes < 10 and rest:
        return _("%(m)s min %(s)s s") % {"m": minutes, "s": rest}
    if minutes < 60:
        return _("%(n)s min") % {"n": minutes}
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return _("%(h)s h %(m)s min") % {"h": hours, "m": minutes} if minutes else _("%(n)s h") % {"n": hours}
    days = hours // 24
    return ngettext("%(n)s day", "%(n)s days", days) % {"n": days}
