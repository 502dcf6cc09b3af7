"""Covered areas of a camera's picture: drawn on its newest picture, or typed; seen as a share would show them."""

import base64
import json
import math
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.errors import invalid
from fairwitness.home.models import Camera
from fairwitness.home.services import cameras, covering, masks
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused
from fairwitness.kit.video.masks import MAX_POINTS, MIN_POINTS


@gate.require("owner", per_object=True)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def masks_page(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Show and change the covered areas of a camera."""
    camera = cameras.get(camera_id)
    problem: Refused | None = None
    typed: dict[str, Any] | None = None
    if request.method == "POST":
        try:
            said = _change(request, camera)
        except (Refused, ProtocolError) as error:
            problem = _refused(error)
            points, _fault = _typed(request)
            typed = {"id": request.POST.get("mask", ""), "name": request.POST.get("name", "")[:200], "points": points}
        else:
            messages.success(request, said)
            return HttpResponseRedirect(reverse("home_masks", args=[camera.pk]))
    areas = masks.listing(camera.pk)
    editing = typed or _editing(request, camera, areas)
    context = {
        "camera": camera,
        "problem": problem,
        "areas": areas,
        "full": len(areas) >= masks.MAX_MASKS,
        "most": masks.MAX_MASKS,
        "editing": editing,
        "rows": [*editing["points"], *([["", ""]] * max(MIN_POINTS + 1 - len(editing["points"]), 1))] if editing else [],
        "others": [{"name": one.name, "points": one.points} for one in areas if not editing or str(one.id) != editing["id"]],
        "picture": covering.has_picture(camera.pk),
        "settings": {
            "preview": reverse("home_masks_preview", args=[camera.pk]),
            "most": MAX_POINTS,
            "least": MIN_POINTS,
            "words": {
                "corner": _("Corner {n}"),
                "across": _("Corner {n}: from the left, in per cent"),
                "down": _("Corner {n}: from the top, in per cent"),
                "remove": _("Remove corner {n}"),
                "draw": _("Tap the corners one after the other."),
                "more": _("{n} corners so far. Three or more make an area."),
                "ready": _("{n} corners. Drag a corner to move it; tap an edge to add one; Delete removes the chosen one."),
                "full": _("An area has at most {n} corners."),
                "failed": _("The preview could not be made just now."),
            },
        },
    }
    return render(request, "home/masks.html", context, status=problem.status if problem else 200)


def _editing(request: HttpRequest, camera: Camera, areas: list[masks.MaskView]) -> dict[str, Any] | None:
    """Return the area that is being drawn: a new one where there is none yet or one was asked for."""
    chosen = request.GET.get("area", "")
    if chosen == "new" or (not areas and not chosen):
        return {"id": "", "name": _free_name(areas), "points": []}
    if chosen.isdecimal() and len(chosen) < 16:
        row = masks.get(int(chosen))
        if row.camera_id == camera.pk:
            return {"id": str(row.pk), "name": row.name, "points": _percent(row.points)}
    return None


def _free_name(areas: list[masks.MaskView]) -> str:
    taken = {one.name for one in areas}
    return next(name for n in range(1, masks.MAX_MASKS + 2) if (name := _("Area %(n)d") % {"n": n}) not in taken)


def _percent(points: list[list[float]]) -> list[list[float]]:
    return [[round(100 * x, 2), round(100 * y, 2)] for x, y in points]


def _change(request: HttpRequest, camera: Camera) -> str:
    """Do what a form says and return the sentence for it. Raises Refused, ProtocolError."""
    number = request.POST.get("mask", "")
    if number and not (number.isdecimal() and len(number) < 16 and masks.get(int(number)).camera_id == camera.pk):
        raise invalid("mask.camera", _("This area is not one of this camera's."))
    name = request.POST.get("name", "")
    if request.POST.get("act") == "remove":
        row = masks.get(int(number or 0))
        masks.remove(row.pk)
        return _("“%(name)s” is covered no more.") % {"name": row.name}
    points, fault = _typed(request)
    if fault:
        raise invalid("mask.place", fault)
    if len(points) < MIN_POINTS:
        raise invalid("mask.points", _("An area needs at least three corners."), _("Tap them on the picture, or type them."))
    given = [[x / 100, y / 100] for x, y in points]
    if number:
        masks.edit(int(number), name, given)
    else:
        masks.add(camera.pk, name, given)
    return _("“%(name)s” is saved. It is black in everything you share from this camera.") % {"name": name.strip()}


def _typed(request: HttpRequest) -> tuple[list[list[float]], str]:
    """Return the corners that were typed, in per cent, and what is wrong with them; rows that are empty are left out."""
    points: list[list[float]] = []
    across, down = request.POST.getlist("x")[: MAX_POINTS + 8], request.POST.getlist("y")[: MAX_POINTS + 8]
    for x, y in zip(across, down, strict=False):
        if not x.strip() and not y.strip():
            continue
        try:
            point = [float(x.replace(",", ".")), float(y.replace(",", "."))]
        except ValueError:
            return points, _("A corner is two numbers from 0 to 100.")
        if not all(math.isfinite(one) and 0 <= one <= 100 for one in point):
            return points, _("A corner is two numbers from 0 to 100.")
        points.append(point)
    return points, ""


def _refused(error: Refused | ProtocolError) -> Refused:
    if isinstance(error, Refused):
        return error
    words = {
        "mask.empty": _("This area covers nothing: its corners lie on one line."),
        "mask.points": _("An area has 3 to 64 corners."),
        "mask.place": _("A corner is two numbers from 0 to 100."),
    }
    return Refused(422, error.code, words.get(error.code, error.message))


@gate.require("owner", per_object=True)
@never_cache
@require_POST
def preview(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Paint areas, saved or not yet, over the newest picture, by the code that paints what is shared."""
    camera = cameras.get(camera_id)
    edited = request.POST.get("mask", "")
    try:
        drawn = _areas(request.POST.get("areas", "[]"))
        jpeg = covering.painted(camera, drawn, without=int(edited) if edited.isdecimal() and len(edited) < 16 else 0)
    except (ValueError, TypeError, RecursionError) as error:
        raise invalid("mask.areas", _("These are no areas.")) from error
    except ProtocolError as error:
        raise _refused(error) from error
    if request.headers.get("Accept", "").startswith("application/json"):
        return HttpResponse(json.dumps({"jpeg": base64.b64encode(jpeg).decode()}), content_type="application/json")
    return HttpResponse(jpeg, content_type="image/jpeg")


def _areas(text: str) -> list[Any]:
    found = json.loads(text[:60_000])
    if not isinstance(found, list):
        raise TypeError("areas are a list")
    return found


@gate.require("owner", per_object=True)
@never_cache
@require_http_methods(["GET", "HEAD"])
def picture(request: HttpRequest, camera_id: int) -> HttpResponseBase:
    """Show the newest picture with the saved areas painted: what a share shows."""
    del request
    return HttpResponse(covering.painted(cameras.get(camera_id), []), content_type="image/jpeg")
