"""The resident's inbox: who asks, what they ask, why to believe it. Nothing that is done here is sent anywhere."""

import hashlib
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from fairwitness.home.errors import unknown
from fairwitness.home.models import Answer, Camera, Request
from fairwitness.home.services import answers, cameras, follower, household, matching, notifier, optouts, previews, requests
from fairwitness.home.services.matching import OwnClips
from fairwitness.home.services.requests import RequestView
from fairwitness.kit.accounts import gate

MOST_PICTURES = 6


@gate.require("owner", "member")
@never_cache
@require_safe
def inbox(request: HttpRequest) -> HttpResponseBase:
    """Requests near this home: those that it has video for first, the rest folded."""
    found = requests.listing(include_muted=True, include_past=True)
    everything = [*found, *_long_past(found)]
    open_now = [one for one in found if one.state == "live" and not one.muted and not one.ignored]
    context = {
        "matching": [one for one in open_now if one.matched],
        "others": [one for one in open_now if not one.matched],
        "aside": [one for one in found if one.state == "live" and (one.muted or one.ignored)],
        "past": [one for one in everything if one.state != "live"],
        "refused": len(requests.refused()),
        "news": notifier.badge(),
        "feed": follower.status(),
        "answers": Answer.objects.exclude(state="cancelled").count(),
        "cameras": Camera.objects.count(),
    }
    return render(request, "home/requests.html", context)


def _long_past(known: list[RequestView]) -> list[RequestView]:
    """Return near requests that are over and were not answered, which the list of services leaves out."""
    return requests.over(exclude=[one.id for one in known])


@gate.require("owner", "member")
@never_cache
@require_safe
def refused(request: HttpRequest) -> HttpResponseBase:
    """What this home refused to show as a request, and by which rule."""
    return render(request, "home/requests_refused.html", {"refused": requests.refused()})


@gate.require("owner", "member")
@never_cache
@require_safe
def detail(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """One request with all that a resident may ask about it. Raises Refused."""
    found = requests.detail(request_id, note=household.may_send(gate.actor(request)))
    row = requests.get(request_id)
    answer = Answer.objects.filter(request=row, kind="clips").exclude(state="cancelled").order_by("-pk").first()
    context = {
        "found": found,
        "view": found.view,
        "row": row,
        "drawn": drawn(row, found.own),
        "own": _own(found.own),
        "standing": requests.standing(row),
        "earlier": requests.earlier(row),
        "answer": answer,
        "owner": gate.actor(request).role == "owner",
        "envelope_sha256": hashlib.sha256(bytes(row.envelope)).hexdigest(),
        "muted_agency": row.agency in optouts.get().agencies,
    }
    return render(request, "home/request.html", context)


def drawn(row: Request, own: tuple[OwnClips, ...] | list[OwnClips]) -> dict[str, Any]:
    """Return what the map of a request shows: its area, and this home's cameras that look into it."""
    seeing = {one.camera for one in own}
    points = [
        {
            "lat": camera.lat,
            "lon": camera.lon,
            "label": camera.name,
            "kind": "camera",
            "heading": camera.heading,
            "fov": camera.fov,
            "range_m": camera.range_m,
        }
        for camera in cameras.listing()
        if camera.pk in seeing and camera.lat is not None
    ]
    return {"areas": [{"cells": list(matching.document(row).area), "kind": "request"}], "points": points}


def _own(own: tuple[OwnClips, ...]) -> list[dict[str, Any]]:
    """Return each camera with pictures of its first stretches, and how many more there are."""
    return [
        {
            "name": one.name,
            "camera": one.camera,
            "pictures": [
                {"recording": piece.recording, "at": piece.cut_start + 0.5, "start": piece.start, "end": piece.end}
                for piece in one.pieces[:MOST_PICTURES]
            ],
            "count": len(one.pieces),
            "more": max(len(one.pieces) - MOST_PICTURES, 0),
        }
        for one in own
    ]


@gate.require("owner", "member")
@never_cache
@require_safe
def clip(request: HttpRequest, request_id: str, recording_id: int) -> HttpResponseBase:
    """One own recording of a request's time, to look at. Raises Refused for one that is not of it."""
    row = requests.get(request_id)
    for camera in matching.own_clips(row):
        for piece in camera.pieces:
            if piece.recording == recording_id:
                end = min(piece.cut_end, piece.cut_start + previews.MAX_SECONDS)
                asked = urlencode({"from": piece.cut_start, "to": end, "sound": "true"})
                source = f"{reverse('home:recording_preview', args=[recording_id])}?{asked}"
                context = {"view_id": row.pk, "agency": row.agency_name, "name": camera.name, "piece": piece, "source": source}
                return render(request, "home/request_clip.html", context)
    raise unknown("recording")


@gate.require("owner")
@never_cache
@require_POST
def act(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Put a request away, take it out again, or opt out of its agency: in this home alone. Raises Refused."""
    row = requests.get(request_id)
    match request.POST.get("act"):
        case "ignore":
            requests.ignore(request_id)
            messages.success(request, _("Put away. Nothing was sent, and nobody learns of it."))
        case "bring-back":
            requests.bring_back(request_id)
            messages.success(request, _("It is among your requests again."))
            return HttpResponseRedirect(reverse("home_request", args=[request_id]))
        case "mute":
            optouts.set_agency(row.agency, off=True)
            messages.success(
                request,
                _("You will not be told of requests of %(agency)s any more. They do not learn of it.")
                % {"agency": row.agency_name},
            )
        case "unmute":
            optouts.set_agency(row.agency, off=False)
            messages.success(request, _("You will be told of requests of %(agency)s again.") % {"agency": row.agency_name})
            return HttpResponseRedirect(reverse("home_request", args=[request_id]))
        case _other:
            return HttpResponseRedirect(reverse("home_request", args=[request_id]))
    return HttpResponseRedirect(reverse("home_requests"))


@gate.require("owner", "member")
@never_cache
@require_POST
def answer(request: HttpRequest, request_id: str) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    """Begin an answer, or go on with the open one. Raises Refused."""
    return HttpResponseRedirect(reverse("home_answer", args=[answers.draft(request_id).pk]))
