"""A camera as it is now: a stream where this home records it itself, else its newest picture and how old that is."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from fairwitness.home.services import cameras, days, household, live
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def live_page(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Show a camera as it is now."""
    household.check_may_see(gate.actor(request), camera_id)
    camera = cameras.get(camera_id)
    kind = live.kind(camera.pk)
    newest = days.newest(camera.pk)
    ended = None if newest is None else newest.end
    settings = {
        "stream": reverse("home_live_next", args=[camera.pk]) if kind == "stream" else "",
        "still": reverse("home_still", args=[camera.pk]),
        "viewer": live.viewer(),
        "words": {
            "starting": _("Waiting for the first pictures…"),
            "live": _("Live, about {seconds} s behind"),
            "stopped": _("Stopped, because nobody watched"),
            "still": _("A picture every 5 seconds: live video cannot be shown just now."),
            "at": _("Picture of {time}"),
            "lost": _("Your home node does not answer. It is tried again."),
        },
    }
    context = {
        "camera": camera,
        "kind": kind,
        "settings": settings,
        "ended": ended,
        "age": None if ended is None else max(clock.now() - ended, 0),
        "at": None if newest is None or ended is None else max(ended - 10, newest.start or 0),
    }
    return render(request, "home/live.html", context)


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def live_next(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Hand out the pictures behind the cursor `after`; 204 while there are none, which is no fault of whoever asks."""
    household.check_may_see(gate.actor(request), camera_id)
    try:
        found = live.follow(camera_id, request.GET.get("viewer", ""), request.GET.get("after", ""))
    except Refused as refusal:
        if refusal.code != "live.silent":
            raise
        found = None
    if found is None:
        return HttpResponse(status=204)
    headers = {"X-Live-Cursor": found.cursor}
    if found.fresh:
        headers |= {"X-Live-Codec": found.codec, "X-Live-Began": f"{found.began:.3f}"}
    return HttpResponse(found.data, content_type="video/mp4", headers=headers)


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def still(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Hand out the newest picture of a camera; 204 before there is one, which is no fault of whoever asks."""
    household.check_may_see(gate.actor(request), camera_id)
    try:
        found = live.still(camera_id)
    except Refused as refusal:
        if refusal.code != "live.nothing":
            raise
        return HttpResponse(status=204)
    return HttpResponse(found.jpeg, content_type="image/jpeg", headers={"X-Picture-At": str(found.at)})
