"""What people of a home set: how to be told, what not to hear of; and what this home is."""

import importlib.metadata
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import available_timezones

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe
from fairwitness_core.rules.offenses import GROUP_A

from fairwitness.home.config import Config
from fairwitness.home.errors import invalid
from fairwitness.home.models import Channel, Request
from fairwitness.home.operate import OPERATIONS
from fairwitness.home.services import follower, join, notifier, optouts, overview
from fairwitness.kit import config
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused
from fairwitness.kit.offenses import spoken
from fairwitness.kit.operate import doctor
from fairwitness.kit.operate.checks import Check

ZONES: Final = tuple(sorted(available_timezones()))


@gate.require("owner", "member", "viewer")
@never_cache
@require_safe
def settings(request: HttpRequest) -> HttpResponseBase:
    """Lead to what this person may set."""
    return render(request, "home/settings.html", {"owner": gate.actor(request).role == "owner"})


# ---------------------------------------------------------------- how to be told


@gate.require("owner")
@sensitive_post_parameters("url")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def notify(request: HttpRequest) -> HttpResponseBase:
    """Show and change how this home tells its people."""
    problem: Refused | None = None
    if request.method == "POST":
        try:
            messages.success(request, _tell(request))
        except Refused as refused:
            problem = refused
        else:
            return HttpResponseRedirect(reverse("home_notify"))
    stored = optouts.row()
    shown = {
        "channels": notifier.channels(),
        "minute": _clock(stored.digest_minute),
        "zone": stored.zone,
        "zones": ZONES,
        "digest": notifier.DIGEST_BODY,
        "test": notifier.TEST_BODY,
        "instant": notifier.INSTANT_BODY,
        "problem": problem,
        "typed": {key: request.POST.get(key, "") for key in ("name", "url", "instant", "understood", "what")},
    }
    return render(request, "home/notify.html", shown, status=problem.status if problem else 200)


def _tell(request: HttpRequest) -> str:
    what = request.POST.get("what", "")
    given = request.POST
    match what:
        case "add":
            found = notifier.add_channel(
                given.get("name", ""), given.get("url", "").strip(), instant="instant" in given, understood="understood" in given
            )
            if found.third_party and not found.instant:
                return _("%(name)s was added. It gets the same message once a day. Send a test to see that it arrives.") % {
                    "name": found.name
                }
            return _("%(name)s was added. Send a test to see that it arrives.") % {"name": found.name}
        case "test":
            name = notifier.try_out(_number(given.get("channel", ""))).name
            return _("The test message for “%(name)s” was taken. See that it has arrived.") % {"name": name}
        case "remove":
            number = _number(given.get("channel", ""))
            name = next((row.name for row in Channel.objects.filter(pk=number)), "")
            notifier.remove_channel(number)
            return _("%(name)s was removed. Nothing is sent there any more.") % {"name": name}
        case "digest":
            chosen = optouts.get()
            begin, end = chosen.quiet or (None, None)
            optouts.set_quiet(begin, end, given.get("zone", ""))
            notifier.set_digest_minute(_minute(given.get("minute", "")))
            return _("Saved. The daily message goes out at that minute, every day.")
        case _:
            raise invalid("settings.what", _("There is no such action."))


# ---------------------------------------------------------------- what not to hear of


@dataclass(frozen=True, slots=True)
class Choice:
    """One agency, offence or group that can be opted out of; `asked`: requests of it that this home knows."""

    value: str
    label: str
    off: bool
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Offences that harm the same; `off`: how many of them are opted out of."""

    name: str
    label: str
    rows: list[Choice]
    off: int


GROUPS: Final = (
    ("persons", ("09", "10", "11", "13", "36", "64")),
    ("property", ("12", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29")),
    ("society", ()),
)
"""Offences by what they harm, by the first two digits of their code, as NIBRS groups them; what is left harms society."""


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def choices(request: HttpRequest) -> HttpResponseBase:
    """Show and change what this home's people do not want to hear of."""
    problem: Refused | None = None
    if request.method == "POST":
        try:
            messages.success(request, _choose(request))
        except Refused as refused:
            problem = refused
        else:
            return HttpResponseRedirect(reverse("home_choices"))
    chosen = optouts.get()
    shown = {
        "chosen": chosen,
        "agencies": _agencies(chosen),
        "groups": _offenses(chosen),
        "quiet": [_clock(minute) for minute in chosen.quiet] if chosen.quiet else ["", ""],
        "zones": ZONES,
        "problem": problem,
        "typed": request.POST if problem else {},
    }
    return render(request, "home/choices.html", shown, status=problem.status if problem else 200)


def _choose(request: HttpRequest) -> str:
    given = request.POST
    match given.get("what", ""):
        case "all":
            off = given.get("off") == "1"
            optouts.set_all(off)
            return _("You hear of no request any more.") if off else _("You hear of requests again.")
        case "agencies":
            wanted = set(given.getlist("hear"))
            for one in _agencies(optouts.get()):
                if one.off == (one.value in wanted):
                    optouts.set_agency(one.value, not one.off)
            return _("Saved. Only this home knows.")
        case "offenses":
            wanted = set(given.getlist("hear"))
            for group in _offenses(optouts.get()):
                for one in group.rows:
                    if one.off == (one.value in wanted):
                        optouts.set_offense(one.value, not one.off)
            return _("Saved. Only this home knows.")
        case "group":
            found = next((row for row in _offenses(optouts.get()) if row.name == given.get("group")), None)
            if found is None:
                raise invalid("settings.group", _("There is no such group."))
            for one in found.rows:
                optouts.set_offense(one.value, given.get("off") == "1")
            return _("Saved. Only this home knows.")
        case "quiet":
            if given.get("on") != "1":
                optouts.set_quiet(None, None, optouts.get().zone)
                return _("There are no quiet hours any more.")
            optouts.set_quiet(_minute(given.get("begin", "")), _minute(given.get("end", "")), given.get("zone", ""))
            return _("Saved. What comes in the quiet hours is told when they are over.")
        case _:
            raise invalid("settings.what", _("There is no such action."))


def _agencies(chosen: optouts.Chosen) -> list[Choice]:
    """Return the agencies of the directory, and those that are opted out of or asked before."""
    names: dict[str, str] = dict(Request.objects.order_by("log_index").values_list("agency", "agency_name"))
    if join.pinned() is not None:
        known = follower.directory()
        names |= {key: row.authorized.name for key in known.agencies() if (row := known.agency(key)) is not None}
    names |= {agency: agency for agency in chosen.agencies if agency not in names}
    rows = [Choice(key, name, key in chosen.agencies, _asked(agency=key)) for key, name in names.items()]
    return sorted(rows, key=lambda one: one.label.casefold())


def _asked(**what: str) -> int:
    return Request.objects.filter(near=True, **what).count()


def _offenses(chosen: optouts.Chosen) -> list[Group]:
    """Return the groups with their offences."""
    names = {"persons": _("Against persons"), "property": _("Against property"), "society": _("Against society")}
    found: dict[str, list[Choice]] = {name: [] for name, _prefixes in GROUPS}
    for code in GROUP_A:
        group = next((name for name, prefixes in GROUPS if code.split(":")[1][:2] in prefixes), "society")
        found[group].append(Choice(code, spoken(code), code in chosen.offenses))
    return [Group(name, names[name], rows, sum(one.off for one in rows)) for name, rows in found.items()]


def _minute(text: str) -> int:
    hours, _colon, minutes = text.partition(":")
    if not (hours.isdecimal() and minutes[:2].isdecimal() and len(text) <= 8):
        raise invalid("settings.time", _("This is not a time of day."), "18:00")
    return int(hours) * 60 + int(minutes[:2])


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 18 else 0


# ---------------------------------------------------------------- about this home


@gate.require("owner", "member", "viewer")
@never_cache
@require_safe
def about(request: HttpRequest) -> HttpResponseBase:
    """Show what this home is, whom it follows, and how far it is."""
    cfg = config.current(Config)
    shown: dict[str, Any] = {
        "version": importlib.metadata.version("fairwitness"),
        "address": cfg.url,
        "disk": overview.disk(),
        "news": overview.news(),
        "owner": gate.actor(request).role == "owner",
    }
    if join.pinned() is not None:
        document = join.current().join
        prints = join.fingerprints(document, ask_witnesses=False)
        shown |= {
            "hub": document,
            "prints": [(one.kind, one.name, join.short(one.pinned)) for one in prints],
            "status": follower.status(),
            "invited": bool(join.current().invite),
        }
    return render(request, "home/about.html", shown)


@gate.require("owner")
@never_cache
@require_http_methods(["POST"])
def examine(request: HttpRequest) -> HttpResponseBase:
    """Look this home over, as `fairwitness doctor` does; it asks the witnesses for the time, which anybody may."""
    order = {"failed": 0, "warning": 1, "ok": 2}
    found: list[Check] = doctor.examine(OPERATIONS, config.current(Config).folder())
    shown = sorted(found, key=lambda one: order[one.state])
    return render(request, "home/examined.html", {"checks": shown, "bad": sum(one.state != "ok" for one in found)})
