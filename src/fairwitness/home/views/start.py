"""The first page: what waits, how the cameras do, what is under way."""

from typing import Any

from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from fairwitness.home.services import follower, household, join, overview, states
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate

SHOWN = 3


@gate.require("owner", "member", "viewer")
@never_cache
@require_safe
def start(request: HttpRequest) -> HttpResponseBase:
    """Show what this person may see of what goes on; an owner of a home that has not joined is led to its set-up."""
    who = gate.actor(request)
    if join.pinned() is None and who.role == "owner":
        return HttpResponseRedirect(reverse("home_setup"))
    now = clock.now()
    shown = {"cameras": [states.of(camera, now) for camera in household.cameras_of(who)], "role": who.role}
    if who.role != "viewer":
        shown |= _matters(now) | {"going": overview.going(now), "disk": overview.disk(), "may_send": household.may_send(who)}
    return render(request, "home/start.html", shown)


@gate.require("owner", "member")
@never_cache
@require_safe
def waiting(request: HttpRequest) -> HttpResponseBase:
    """Send the part of the page that says what waits, for a page that stays open."""
    return render(request, "home/start_waiting.html", _matters(clock.now()))


def _matters(now: int) -> dict[str, Any]:
    found = overview.waiting()
    return {
        "news": overview.news(now),
        "alarms": [row for row in follower.alarms() if row.code not in ("feed.stale", "feed.blocked", "feed.clock")],
        "waiting": found[:SHOWN],
        "count": len(found),
        "more": max(0, len(found) - SHOWN),
        "now": now,
    }
