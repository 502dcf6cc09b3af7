"""Tags and filters of the public page's templates: like those of kit.templatetags, with relative addresses and no settings."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join, json_script
from django.utils.safestring import SafeString, mark_safe
from fairwitness_core.rules.offenses import GROUP_A

from fairwitness.kit.moments import duration, moment_tag
from fairwitness.kit.offenses import spoken
from fairwitness.kit.public import words

register = template.Library()
register.filter("duration", duration)
register.simple_tag(moment_tag, name="at")
register.filter("state_name", words.state)
register.filter("rule_words", words.rule)
register.filter("outcome_name", words.outcome)
register.filter("kind_name", words.kind)
register.filter("action_name", words.action)
register.filter("flag_name", words.flag)
register.filter("standing_name", words.standing)
register.filter("level_name", words.level)
register.filter("reason_name", words.reason)
register.filter("policy_name", words.policy)
register.filter("legal_name", words.legal)

_TONES = {
    "open": "here", "resolved": "good", "refused": "bad", "removed": "bad", "withdrawn": "", "expired": "",
    "active": "good", "suspended": "bad", "lapsed": "warn",
}  # fmt: skip


@register.filter
def tone(state: str) -> str:
    """Return the class of a state's badge."""
    return _TONES.get(state, "")


@register.filter
def offense(code: str) -> str:
    """Return an offence's name in the reader's language."""
    return spoken(code).capitalize() if code in GROUP_A else code


@register.filter
def month_name(month: str) -> str:
    """Show `2026-11` as the reader writes it."""
    found = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    return date_format(found, "F Y", use_l10n=False)


@register.filter
def rfc3339(at: int) -> str:
    """Write Unix seconds as Atom wants them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@register.filter
def percent(part: int, whole: int) -> str:
    """Show a part as a whole per cent."""
    return f"{round(100 * part / whole)} %" if whole else "0 %"


@register.simple_tag(takes_context=True)
def icon(context: template.Context, name: str) -> SafeString:
    """Return one icon of the sprite; it is decoration that readers skip."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}static/web/icons.svg#{}"></use></svg>', context["root"], name
    )


@register.simple_tag
def utc(at: int) -> SafeString:
    """Return a `<time>` for the reader's zone with the same moment in UTC beneath, which needs no script."""
    found = datetime.fromtimestamp(at, UTC)
    plain = found.strftime("%Y-%m-%d %H:%M:%S UTC")
    return format_html('{}<br><span class="small">{}</span>', moment_tag(at), plain)


@register.simple_tag(takes_context=True)
def map(context: template.Context, drawn: dict[str, Any], label: str) -> SafeString:  # noqa: A001 - the tag's name
    """Show a map; see web/src/map.ts. Addresses in `drawn` are relative to the page."""
    look = context["look"]
    base = (
        format_html(' base="{}basemap.pmtiles" attribution="{}"', context["root"], look["attribution"])
        if look["basemap"]
        else mark_safe("")
    )
    return format_html(
        '<fw-map class="map" label="{}" worker="{}static/web/map-worker.js"{} unit="{}" cooperative>{}</fw-map>',
        label, context["root"], base, look["units"], json_script(drawn),
    )  # fmt: skip


@register.simple_tag
def bars(months: list[dict[str, Any]], label: str) -> SafeString:
    """Draw counts by month as stacked bars: published below, refused above. The table beside it has the numbers."""
    most = max([1, *(one["published"] + one["refused"] for one in months)])
    width, height = 28, 96
    parts = []
    for place, one in enumerate(months):
        x = place * width + 4
        solid, light = (round(height * one[name] / most, 2) for name in ("published", "refused"))
        parts.append(
            format_html(
                '<rect x="{}" y="{}" width="20" height="{}" fill="currentColor"></rect>'
                '<rect x="{}" y="{}" width="20" height="{}" fill="currentColor" fill-opacity="0.35"></rect>'
                '<text x="{}" y="{}" text-anchor="middle">{}</text>',
                x, _n(height - solid + 14), _n(solid), x, _n(height - solid - light + 14), _n(light), x + 10, height + 28,
                one["month"][5:],
            )
        )  # fmt: skip
    total = len(months) * width
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        max(total, 12 * width), height + 34, label, format_html_join("", "{}", ((part,) for part in parts)),
    )  # fmt: skip


def _n(value: float) -> str:
    """Write a number as SVG wants it, whatever language is active."""
    return f"{round(value, 2):g}"
