"""Setting a home up: joining a hub, a camera's name and place. A step stands by itself, can be left out and come back to."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.errors import invalid
from fairwitness.home.models import Camera, Recorder
from fairwitness.home.services import cameras, join, mapview
from fairwitness.home.services.join import Fingerprint
from fairwitness.home.views import typed
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

MODE = "setup"
"""The session's note that this browser is in the set-up, with the steps that were left out."""
_MAX_JOIN = 1 << 16


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the steps at a page's head."""

    label: str
    current: bool
    done: bool


@dataclass(frozen=True, slots=True)
class Print:
    """A key as its owner compares it: by eye. `agrees` None: nobody but the file states it, or the witness did not answer."""

    kind: str
    name: str
    pinned: str
    published: str
    agrees: bool | None


def steps(request: HttpRequest, current: str, *, whole: bool = False) -> list[Step]:
    """Return the steps of what this browser is doing: the `whole` set-up, or one more camera."""
    names = {"camera": _("Camera"), "video": _("Video"), "keep": _("Keeping")}
    if whole or MODE in request.session:
        names = {"join": _("Join"), **names} | ({"told": _("Being told")} if notify_url() else {})
    at = list(names).index(current) if current in names else len(names)
    return [Step(label, number == at, number < at) for number, label in enumerate(names.values())]


def notify_url() -> str:
    """Return where the owner says how to be told, "" where this home has no such page."""
    try:
        return reverse("home_notify")
    except NoReverseMatch:
        return ""


def skip(request: HttpRequest, step: str) -> None:
    """Note that a step was left out."""
    if MODE in request.session:
        request.session[MODE] = [*request.session[MODE], step]


def after_camera(request: HttpRequest) -> str:
    """Return where a camera that is set up leads to."""
    return reverse("home_setup_done") if MODE in request.session else reverse("home_cameras")


@gate.require("owner")
@never_cache
@require_safe
def setup(request: HttpRequest) -> HttpResponseBase:
    """Go on where the set-up stands."""
    left_out = request.session.setdefault(MODE, [])
    camera = Camera.objects.order_by("pk").first()
    if join.pinned() is None and "join" not in left_out:
        return HttpResponseRedirect(reverse("home_setup_join"))
    if camera is None and "camera" not in left_out:
        return HttpResponseRedirect(reverse("home_setup_camera"))
    if camera is not None and not camera.sources.exists() and "video" not in left_out:
        return HttpResponseRedirect(reverse("home_video", args=[camera.pk]))
    return HttpResponseRedirect(reverse("home_setup_done"))


# ---------------------------------------------------------------- joining


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def setup_join(request: HttpRequest) -> HttpResponseBase:
    """Read a join file, show what is to be compared, and pin it."""
    if join.pinned() is None:
        request.session.setdefault(MODE, [])
    context: dict[str, Any] = {"steps": steps(request, "join"), "typed": {"address": typed.text(request, "address")}}
    problem: Refused | None = None
    act = request.POST.get("act", "")
    if request.method == "POST":
        try:
            if act == "skip":
                skip(request, "join")
                return HttpResponseRedirect(reverse("home_setup"))
            data = _given(request)
            if act == "accept":
                row = join.accept(data, invite=typed.text(request, "invite"))
                name = join.read_join(bytes(row.join)).name
                messages.success(request, _("This home follows %(hub)s from now on.") % {"hub": name})
                return HttpResponseRedirect(reverse("home_setup"))
            context |= _compared(data)
        except (Refused, ProtocolError) as error:
            problem = typed.as_refused(error)
            if act == "accept":
                context |= _compared_again(request)
    elif join.pinned() is not None:
        document = join.current().join
        context |= {"steps": [], "joined": document, "prints": _prints(join.fingerprints(document, ask_witnesses=False))}
        context["has_invite"] = bool(join.current().invite)
    return render(request, "home/setup_join.html", context | {"problem": problem}, status=problem.status if problem else 200)


def _given(request: HttpRequest) -> bytes:
    """Return the join file: what was shown before, a chosen file, or what the hub has at its address."""
    shown = request.POST.get("join", "")
    if shown:
        try:
            return base64.b64decode(shown[: 2 * _MAX_JOIN], validate=True)
        except binascii.Error as error:
            raise invalid("join.file", _("This is no join file.")) from error
    file = request.FILES.get("file")
    if file is not None:
        if (file.size or 0) > _MAX_JOIN:
            raise invalid("join.file", _("This is no join file."), _("It is a small file, usually named join.json."))
        return bytes(file.read())
    address = typed.text(request, "address")
    if not address:
        raise invalid("join.address", _("Give the hub's address, or choose its join file."))
    address = address if "://" in address else f"https://{address}"
    try:
        parts = urlsplit(address)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named or parts.scheme not in ("https", "http") or "@" in parts.netloc:
        raise invalid("join.address", _("This is no hub's address."), _("It looks like https://hub.example.org"))
    return join.fetch_join(address)


def _compared(data: bytes) -> dict[str, Any]:
    document = join.read_join(data)
    prints = _prints(join.fingerprints(document))
    witnesses = [one for one in prints if one.kind == "witness"]
    return {
        "document": document,
        "join": base64.b64encode(data).decode(),
        "prints": prints,
        "differs": [one for one in witnesses if one.agrees is False],
        "silent": [one for one in witnesses if one.agrees is None],
        "agree": [one for one in witnesses if one.agrees],
        "witnesses": witnesses,
        "own": [one for one in prints if one.kind != "witness"],
    }


def _compared_again(request: HttpRequest) -> dict[str, Any]:
    try:
        return _compared(_given(request)) | {"invite": typed.text(request, "invite")}
    except (Refused, ProtocolError):
        return {}


def _prints(found: list[Fingerprint]) -> list[Print]:
    return [
        Print(one.kind, one.name, join.short(one.pinned), join.short(one.published) if one.published else "", one.agrees)
        for one in found
    ]


# ---------------------------------------------------------------- a camera's name and place


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def setup_camera(request: HttpRequest) -> HttpResponseBase:
    """Name a new camera and put it on the map."""
    problem: Refused | None = None
    if request.method == "POST":
        if request.POST.get("act") == "skip":
            skip(request, "camera")
            return HttpResponseRedirect(after_camera(request))
        try:
            place = _place(request)
            if request.POST.get("act") != "unplaced" and place["lat"] is None:
                raise _unplaced()
            camera = cameras.add(typed.text(request, "name"), **place)
        except (Refused, ProtocolError) as error:
            problem = typed.as_refused(error)
        else:
            return HttpResponseRedirect(reverse("home_video", args=[camera.pk]))
    context = {"steps": steps(request, "camera"), "first": not Camera.objects.exists()}
    return _place_page(request, Camera(heading=0.0, fov=110.0, range_m=25.0), problem, context)


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def camera_place(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Change a camera's name, place and view. Raises Refused."""
    camera = cameras.get(camera_id)
    problem: Refused | None = None
    if request.method == "POST":
        try:
            place = _place(request)
            if place["lat"] is None:
                raise _unplaced()
            cameras.edit(camera_id, name=typed.text(request, "name"), **place)
        except (Refused, ProtocolError) as error:
            problem = typed.as_refused(error)
            camera = cameras.get(camera_id)
        else:
            messages.success(request, _("Saved: where the camera stands and looks."))
            return HttpResponseRedirect(reverse("home_camera_settings", args=[camera_id]))
    return _place_page(request, camera, problem, {"editing": cameras.get(camera_id)})


def _unplaced() -> Refused:
    return invalid(
        "camera.place", _("Say where the camera stands."), _("Tap the map, or type its latitude and longitude below the map.")
    )


def _place(request: HttpRequest) -> dict[str, Any]:
    named = {"lat": _("Latitude"), "lon": _("Longitude"), "heading": _("Direction"), "fov": _("Width"), "range_m": _("Reach")}
    found = {name: typed.number(request, name, label) for name, label in named.items()}
    if (found["lat"] is None) != (found["lon"] is None):
        raise invalid("camera.place", _("A place has a latitude and a longitude."))
    heading = found["heading"]
    found["heading"] = None if heading is None else heading % 360
    return {name: value for name, value in found.items() if value is not None or name in ("lat", "lon")}


def _place_page(request: HttpRequest, camera: Camera, problem: Refused | None, context: dict[str, Any]) -> HttpResponseBase:
    names = ("name", "lat", "lon", "heading", "fov", "range_m")
    values = {name: typed.text(request, name) if problem else _shown(getattr(camera, name)) for name in names}
    view = mapview.start()
    point: dict[str, Any] = {}
    try:
        point = {"lat": float(values["lat"]), "lon": float(values["lon"])}
        view = {**point, "zoom": 17.5}
    except ValueError:
        point = {}  # not placed, or what was typed is no number: the map begins where it would
    drawn: dict[str, Any] = {"areas": [], "points": [], "view": view}
    if point:
        drawn["points"] = [{**point, "kind": "own", **{n: getattr(camera, n) for n in ("heading", "fov", "range_m")}}]
    told = {
        "values": values, "drawn": drawn, "problem": problem, "placed": bool(point),
        "directions": [_("north"), _("north-east"), _("east"), _("south-east"), _("south"), _("south-west"), _("west"),
                       _("north-west")],
    }  # fmt: skip
    return render(request, "home/setup_camera.html", context | told, status=problem.status if problem else 200)


def _shown(value: str | float | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.6f}".rstrip("0").rstrip(".")


# ---------------------------------------------------------------- done


@gate.require("owner")
@never_cache
@require_safe
def setup_done(request: HttpRequest) -> HttpResponseBase:
    """Say what happens from now on, and what was left out."""
    row = join.pinned()
    listed = cameras.listing()
    context = {
        "joined": None if row is None else join.read_join(bytes(row.join)),
        "has_invite": row is not None and bool(row.invite),
        "cameras": listed,
        "bare": [one for one in listed if not one.sources.exists()],
        "unplaced": [one for one in listed if one.lat is None],
        "recording": Recorder.objects.filter(kind="rtsp").exists(),
        "notify": notify_url(),
        "steps": steps(request, "told", whole=True),
    }
    request.session.pop(MODE, None)
    return render(request, "home/setup_done.html", context)
