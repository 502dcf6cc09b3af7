"""The household's cameras: how each does, and what its owner sets."""

from typing import Any
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
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.models import Camera, Recorder
from fairwitness.home.services import cameras, household, marks, recorders, sources, states, trials
from fairwitness.home.views import typed, video
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused


@gate.require("owner", "member", "viewer")
@never_cache
@require_safe
def camera_list(request: HttpRequest) -> HttpResponseBase:
    """Show the cameras that this person sees."""
    who = gate.actor(request)
    now = clock.now()
    found = [states.of(camera, now) for camera in household.cameras_of(who)]
    return render(request, "home/cameras.html", {"cameras": found, "owner": household.role_of(who) == "owner"})


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def camera_picture(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Send what a camera showed last. Raises Refused."""
    household.check_may_see(gate.actor(request), camera_id)
    return video.jpeg(trials.camera_picture(cameras.get(camera_id)))


@gate.require("owner")
@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def camera_settings(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Show and change what is set for one camera. Raises Refused."""
    camera = cameras.get(camera_id)
    problem: Refused | None = None
    if request.method == "POST":
        try:
            told, where = _change(request, camera)
        except (Refused, ProtocolError) as error:
            problem = typed.as_refused(error)
            camera = cameras.get(camera_id)
        else:
            messages.success(request, told)
            return HttpResponseRedirect(where or reverse("home_camera_settings", args=[camera_id]))
    rows = Recorder.objects.filter(source__camera=camera).select_related("source__camera").order_by("pk")
    keeping = {row.source_id: video.keeping(row) for row in rows}
    state = states.of(camera)
    folders = any(one.kind == "folder" for one in state.sources)
    context: dict[str, Any] = {
        "camera": camera,
        "state": state,
        "parts": [(one, keeping.get(one.id)) for one in state.sources],
        "recorded": bool(keeping),
        "zones": sorted(available_timezones()) if folders else [],
        "masks": camera.masks.count(),
        "drawn": _drawn(camera),
        "problem": problem,
    }
    return render(request, "home/camera_settings.html", context, status=problem.status if problem else 200)


def _drawn(camera: Camera) -> dict[str, Any] | None:
    if camera.lat is None:
        return None
    names = ("lat", "lon", "heading", "fov", "range_m")
    point = {name: getattr(camera, name) for name in names} | {"label": camera.name, "kind": "own"}
    return {"areas": [], "points": [point], "view": {"lat": camera.lat, "lon": camera.lon, "zoom": 17.0}}


def _change(request: HttpRequest, camera: Camera) -> tuple[str, str]:
    """Do what a form asks; return what to say and where to go on ("" = the same page). Raises Refused, ProtocolError."""
    match request.POST.get("act", ""):
        case "keep":
            video.take_keeping(request, camera)
            return _("Saved: how long recordings are kept."), ""
        case "marks":
            on = request.POST.get("on") == "yes"
            marks.switch(camera.pk, on=on)
            return (_("Marks are on for this camera."), "") if on else (_("Marks are off; those there were are deleted."), "")
        case "clock":
            source = video.of(camera.pk, typed.whole(request, "source", "id"))[1]
            sources.edit(
                source.pk,
                zone=typed.text(request, "zone") or None,
                offset=typed.whole(request, "offset", _("The clock's error")),
                container_trusted="container_trusted" in request.POST,
            )
            return _("Saved. The times of these recordings are worked out anew within a minute."), ""
        case "login":
            row = recorders.get(typed.whole(request, "recorder", "id"))
            video.of(camera.pk, row.source_id)
            trials.set_login(row.pk, typed.text(request, "user"), typed.text(request, "password", strip=False))
            return _("The camera takes the new password. Recording goes on with it."), ""
        case "pre_roll":
            cameras.edit(camera.pk, pre_roll=typed.whole(request, "pre_roll", _("Seconds")))
            return _("Saved."), ""
        case "remove_source":
            return _remove_source(request, camera), ""
        case "remove":
            return _remove(camera, erase=request.POST.get("erase") == "yes"), reverse("home_cameras")
    raise Refused(400, "act.unknown", _("This page does not know what to do."), _("Load it again."))


def _remove_source(request: HttpRequest, camera: Camera) -> str:
    source = video.of(camera.pk, typed.whole(request, "source", "id"))[1]
    row = Recorder.objects.filter(source=source).first()
    erase = request.POST.get("erase") == "yes"
    if row is None:
        sources.remove(source.pk)
        return _("Removed. The files in the folder stay where they are.")
    recorders.remove(row.pk, erase=erase)
    if erase:
        return _("Removed, and its recordings are deleted.")
    return _("Removed. Its recordings stay on this machine's disk; nothing here deletes them any more.")


def _remove(camera: Camera, *, erase: bool) -> str:
    name = camera.name
    if erase:
        for row in Recorder.objects.filter(source__camera=camera):
            recorders.remove(row.pk, erase=True)
    cameras.remove(camera.pk)
    return _("%(name)s was removed.") % {"name": name}
