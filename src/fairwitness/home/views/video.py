"""Where a camera's video comes from: forms over the services, a live look before anything is stored, and what it showed.

A password goes from the form to the service. It stands in no page and no address; between two presses of a button it waits in the
session, wrapped by the node's key, and is gone with the step or after ten minutes.
"""

import base64
import json
from typing import Any, Final
from zoneinfo import available_timezones

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.errors import conflict, invalid
from fairwitness.home.models import Camera, Recorder, Source
from fairwitness.home.services import cameras, onvif, recorders, sources, trials
from fairwitness.home.views import typed
from fairwitness.home.views.setup import after_camera, skip, steps
from fairwitness.kit import clock, secrets_store
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

KINDS: Final = ("rtsp", "onvif", "folder", "frigate")
DAYS: Final = (3, 7, 14, 30, 90)
GIB: Final = 1 << 30
_DRAFT: Final = "video"
_DRAFT_S: Final = 600


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def video(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Choose by which way a camera's video comes. Raises Refused."""
    camera = cameras.get(camera_id)
    if request.method == "POST":
        skip(request, "video")
        return HttpResponseRedirect(after_camera(request))
    return render(request, "home/setup_video.html", {"camera": camera, "steps": steps(request, "video")})


@gate.require("owner")
@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def video_kind(request: HttpRequest, camera_id: int, kind: str) -> HttpResponseBase:
    """Fill in one way, look at what it gives, and use it. Raises Refused, Http404."""
    if kind not in KINDS:
        raise Http404
    camera = cameras.get(camera_id)
    names = ("address", "user", "name", "fingerprint", "folder", "zone", "offset", "profile", "recording")
    values: dict[str, Any] = {name: typed.text(request, name) for name in names}
    values |= {name: name in request.POST for name in ("sound", "container_trusted")}
    context: dict[str, Any] = {"camera": camera, "kind": kind, "values": values, "steps": steps(request, "video")}
    problem: Refused | None = None
    if request.method == "POST":
        try:
            source = _ACTS[kind](request, camera, values, context)
            if source is not None:
                request.session.pop(_DRAFT, None)
                return HttpResponseRedirect(reverse("home_video_found", args=[camera.pk, source.pk]))
        except (Refused, ProtocolError) as error:
            problem = typed.as_refused(error)
            context["anyway"] = kind == "rtsp" and problem.code.startswith("stream.")
    elif kind == "onvif":
        values["address"] = request.GET.get("address", "")[:300]
    if kind == "folder":
        context["zones"] = sorted(available_timezones())
        context["taken"] = camera.sources.filter(kind="folder", recorder=None)
    context |= {"problem": problem, "waits": bool(_draft(request, camera, values))}
    return render(request, f"home/setup_video_{kind}.html", context, status=problem.status if problem else 200)


def _folder(request: HttpRequest, camera: Camera, values: dict[str, Any], _context: dict[str, Any]) -> Source:
    zone = values["zone"] or None
    offset = typed.whole(request, "offset", _("The clock's error"))
    rules: dict[str, Any] = {"zone": zone, "offset": offset, "container_trusted": values["container_trusted"]}
    found, picture = trials.look_folder(values["folder"], **rules)
    source = sources.add(camera.pk, values["folder"], **rules)
    trials.keep(source, found, picture)
    return source


def _rtsp(request: HttpRequest, camera: Camera, values: dict[str, Any], _context: dict[str, Any]) -> Source:
    user, password = _login(request, camera, values)
    found, picture = None, b""
    if Recorder.objects.filter(kind="rtsp", address=values["address"], source__camera=camera).exists():
        raise conflict("recorder.taken", _("This camera is recorded from there already."))
    if request.POST.get("act") != "anyway":
        found, picture = trials.look_rtsp(values["address"], user=user, password=password)
    row = recorders.add_rtsp(camera.pk, values["address"], user=user, password=password, sound=values["sound"])
    if found is not None:
        trials.keep(row.source, found, picture)
    return row.source


def _onvif(request: HttpRequest, camera: Camera, values: dict[str, Any], context: dict[str, Any]) -> Source | None:
    act = request.POST.get("act")
    if act == "discover":
        context["devices"] = onvif.discover()
        return None
    user, password = _login(request, camera, values)
    if act != "add":
        device = onvif.look(values["address"], user=user, password=password, fingerprint=values["fingerprint"])
        context |= {"device": device, "clock": typed.clock_words(device.ahead_ms)}
        return None
    row = onvif.add(
        camera.pk,
        values["address"],
        user=user,
        password=password,
        profile=values["profile"],
        recording=values["recording"],
        fingerprint=values["fingerprint"],
        sound=values["sound"],
    )
    try:
        trials.look(row.source_id)
    except (Refused, ProtocolError) as error:
        # It is stored: the device took the password and named its stream. The next page offers to look again.
        told = typed.as_refused(error)
        messages.warning(request, f"{told.message} {told.hint}")
    return row.source


def _frigate(request: HttpRequest, camera: Camera, values: dict[str, Any], _context: dict[str, Any]) -> Source:
    user, password = _login(request, camera, values)
    row = recorders.add_frigate(
        camera.pk, values["address"], user=user, password=password, name=values["name"], fingerprint=values["fingerprint"]
    )
    try:
        trials.look(row.source_id)
    except (Refused, ProtocolError) as error:
        messages.warning(request, typed.as_refused(error).message)
    return row.source


_ACTS: Final = {"folder": _folder, "rtsp": _rtsp, "onvif": _onvif, "frigate": _frigate}


# ---------------------------------------------------------------- a password between two presses


def _login(request: HttpRequest, camera: Camera, values: dict[str, Any]) -> tuple[str, str]:
    """Return user and password: as typed, or, with the field left empty, what was typed just before for the same place."""
    password = typed.text(request, "password", strip=False)
    if not password:
        password = _draft(request, camera, values)
    elif values["address"]:
        recorders.check_secret(values["user"], password)
        request.session[_DRAFT] = {
            "for": _whose(camera, values),
            "secret": base64.b64encode(secrets_store.wrap(json.dumps(password).encode())).decode(),
            "until": clock.now() + _DRAFT_S,
        }
        request.session.save()  # an answer of 500 and more would not: that is how a camera that fails is told
    return values["user"], password


def _draft(request: HttpRequest, camera: Camera, values: dict[str, Any]) -> str:
    kept = request.session.get(_DRAFT)
    if not kept or kept["until"] < clock.now() or kept["for"] != _whose(camera, values):
        return ""
    return str(json.loads(secrets_store.unwrap(base64.b64decode(kept["secret"]))))


def _whose(camera: Camera, values: dict[str, Any]) -> list[Any]:
    """Return what a password was typed for: never is it sent to another address or under another name."""
    return [camera.pk, values["address"], values["user"], values["fingerprint"]]


# ---------------------------------------------------------------- what was found


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def video_found(request: HttpRequest, camera_id: int, source_id: int) -> HttpResponseBase:
    """Show what a look found; look again. Raises Refused."""
    camera, source = of(camera_id, source_id)
    problem: Refused | None = None
    if request.method == "POST":
        try:
            trials.look(source.pk)
        except (Refused, ProtocolError) as error:
            problem = typed.as_refused(error)
        else:
            return HttpResponseRedirect(reverse("home_video_found", args=[camera.pk, source.pk]))
    recorder = Recorder.objects.filter(source=source).first()
    found = trials.kept(source)
    context = {
        "camera": camera,
        "source": source,
        "recorder": None if recorder is None else recorders.view(recorder),
        "found": found,
        "clock": "" if found is None else typed.clock_words(found.ahead_ms),
        "picture": trials.picture(source) is not None,
        "problem": problem,
        "steps": steps(request, "video"),
        "next": after_camera(request) if recorder is None else reverse("home_keep", args=[camera.pk]),
    }
    return render(request, "home/setup_found.html", context, status=problem.status if problem else 200)


def of(camera_id: int, source_id: int) -> tuple[Camera, Source]:
    """Return a camera and its source. Raises Refused."""
    source = sources.get(source_id)
    if source.camera_id != camera_id:
        raise Refused(404, "source.unknown", _("There is nothing of this id."))
    return source.camera, source


# ---------------------------------------------------------------- how long it is kept


def keeping(row: Recorder) -> dict[str, Any]:
    """Return what a form about keeping shows of a recorder."""
    room = trials.room(row)
    days = sorted({*DAYS, row.keep_days})
    tight = not row.keep_bytes and not room.fits(row.keep_days)
    limit = room.suggested if tight else row.keep_bytes
    return {
        "recorder": recorders.view(row),
        "room": room,
        "choices": [{"days": n, "bytes": room.needed(n), "fits": room.fits(n)} for n in days],
        "tight": tight,
        "gib": f"{limit / GIB:g}" if limit else "",
    }


def take_keeping(request: HttpRequest, camera: Camera) -> None:
    """Store how long a recorder of a camera keeps. Raises Refused."""
    row = recorders.get(typed.whole(request, "recorder", "id"))
    if row.source.camera_id != camera.pk:
        raise Refused(404, "recorder.unknown", _("There is nothing of this id."))
    gib = typed.number(request, "gib", _("The limit in GB")) or 0.0
    if gib < 0 or gib > 1 << 20:
        raise invalid("recorder.bytes", _("A limit in bytes is at least 64 MiB, or none."))
    recorders.edit(row.pk, keep_days=typed.whole(request, "days", _("Days")), keep_bytes=int(gib * GIB))


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def keep(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Say for how long a camera's recordings are kept, as a step. Raises Refused."""
    camera = cameras.get(camera_id)
    problem: Refused | None = None
    if request.method == "POST":
        try:
            take_keeping(request, camera)
        except Refused as error:
            problem = error
        else:
            return HttpResponseRedirect(after_camera(request))
    rows = Recorder.objects.filter(source__camera=camera).select_related("source__camera").order_by("-pk")[:1]
    context = {
        "camera": camera,
        "keeping": [keeping(row) for row in rows],
        "problem": problem,
        "steps": steps(request, "keep"),
        "next": after_camera(request),
    }
    return render(request, "home/setup_keep.html", context, status=problem.status if problem else 200)


@gate.require("owner")
@never_cache
@require_safe
def video_picture(request: HttpRequest, camera_id: int, source_id: int) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    """Send the first picture of a source. Raises Http404, Refused."""
    _camera, source = of(camera_id, source_id)
    found = trials.picture(source)
    if found is None:
        raise Http404
    return jpeg(found)


def jpeg(data: bytes) -> HttpResponseBase:
    """Return a picture that a browser keeps to itself and does not take for anything else."""
    headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "inline"}
    return HttpResponse(data, content_type="image/jpeg", headers=headers)
