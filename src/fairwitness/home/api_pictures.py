"""The household's API for what pictures show: covered areas, previews, marks; to a viewer only of cameras shared with them."""

# ruff: noqa: ARG001 - an operation is handed the request whether it reads it or not

import re
from dataclasses import asdict
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Router
from ninja.params.functions import Query

from fairwitness.home.access import Owner, person
from fairwitness.home.services import household, marks, masks, previews
from fairwitness.home.services.previews import Opened
from fairwitness.kit.api import StrictSchema

router = Router()
owner = Owner()
together = Owner("member")
shared = Owner("member", "viewer", per_object=True)

type Json = dict[str, Any]

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_KEPT: Final = "private, max-age=300"
_ASKED: Final = "private, no-cache"


class MaskIn(StrictSchema):
    """An area's name and its corners, each [x, y] of 0..1 of the displayed picture."""

    name: str
    points: list[list[float]]


class SwitchIn(StrictSchema):
    """On (true) or off."""

    on: bool


@router.post("/cameras/{int:camera_id}/marks", auth=owner)
def camera_marks(request: HttpRequest, camera_id: int, body: SwitchIn) -> Json:
    """Find motion and persons in a camera's recordings, or no more: then its marks go."""
    return {"camera": camera_id, "marks_on": marks.switch(camera_id, on=body.on).marks_on}


@router.get("/cameras/{int:camera_id}/timeline", auth=shared)
def camera_timeline(request: HttpRequest, camera_id: int, begin: int = Query(alias="from"), end: int = Query(alias="to")) -> Json:
    """What a camera recorded between two times, what not and why, and the marks."""
    household.check_may_see(person(request), camera_id)
    return asdict(marks.timeline(camera_id, begin, end))


@router.get("/cameras/{int:camera_id}/masks", auth=together)
def mask_list(request: HttpRequest, camera_id: int) -> list[Json]:
    """A camera's covered areas."""
    return [asdict(found) for found in masks.listing(camera_id)]


@router.post("/cameras/{int:camera_id}/masks", auth=owner)
def mask_add(request: HttpRequest, camera_id: int, body: MaskIn) -> Json:
    """Cover an area in everything that is shared from now on."""
    return asdict(masks.view(masks.add(camera_id, body.name, body.points)))


@router.put("/masks/{int:mask_id}", auth=owner)
def mask_edit(request: HttpRequest, mask_id: int, body: MaskIn) -> Json:
    """Draw an area anew."""
    return asdict(masks.view(masks.edit(mask_id, body.name, body.points)))


@router.delete("/masks/{int:mask_id}", auth=owner)
def mask_remove(request: HttpRequest, mask_id: int) -> Json:
    """Cover an area no more."""
    masks.remove(mask_id)
    return {"ok": True}


@router.get("/recordings/{int:recording_id}/media", auth=shared)
def recording_media(request: HttpRequest, recording_id: int) -> HttpResponseBase:
    """A recording's own bytes, all or one range of them."""
    household.check_recording(person(request), recording_id)
    return sent(request, previews.original(recording_id))


@router.get("/recordings/{int:recording_id}/preview", auth=shared)
def recording_preview(
    request: HttpRequest,
    recording_id: int,
    *,
    begin: float = Query(0.0, alias="from"),
    end: float | None = Query(None, alias="to"),
    masked: bool = False,
    sound: bool = False,
) -> HttpResponseBase:
    """A stretch of a recording that a browser can play; with `masked` what a share would show of it."""
    household.check_recording(person(request), recording_id)
    found = previews.preview(recording_id, begin, end, masked=masked, sound=sound)
    if isinstance(found, Opened):
        return sent(request, found)
    return StreamingHttpResponse(found, content_type="video/mp4", headers={"Cache-Control": _ASKED})


@router.get("/recordings/{int:recording_id}/thumb", auth=shared)
def recording_thumb(request: HttpRequest, recording_id: int, at: float = 0.0) -> HttpResponse:
    """One picture of a recording."""
    household.check_recording(person(request), recording_id)
    data = previews.thumb(recording_id, at)
    return HttpResponse(data, content_type="image/jpeg", headers={"Cache-Control": _KEPT})


@router.get("/recordings/{int:recording_id}/strip", auth=shared)
def recording_strip(request: HttpRequest, recording_id: int, count: int = 10) -> HttpResponse:
    """Key frames from all over a recording, beside each other; the headers say how wide each is and when it is from."""
    household.check_recording(person(request), recording_id)
    found = previews.strip(recording_id, count)
    headers = {
        "Cache-Control": _KEPT,
        "X-Strip-Tile": f"{found.width}x{found.height}",
        "X-Strip-Times": ",".join(f"{time:.3f}" for time in found.times),
    }
    return HttpResponse(found.jpeg, content_type="image/jpeg", headers=headers)


def sent(request: HttpRequest, found: Opened) -> HttpResponseBase:
    """Send a file, or the one range of it that was asked for (RFC 9110, 14)."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": _ASKED, "ETag": f'"{found.tag}"', "Content-Disposition": "inline"}
    begin, end, status = 0, found.size, 200
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    if asked is not None and any(asked.groups()) and request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
        first, last = asked.groups()
        if first:
            begin = int(first)
            end = min(int(last) + 1, found.size) if last else found.size
        else:
            begin = max(found.size - int(last), 0)
        if begin >= found.size or (first and last and int(last) < int(first)):
            found.blocks(0, 0).close()
            return HttpResponse(status=416, headers=headers | {"Content-Range": f"bytes */{found.size}"})
        status = 206
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{found.size}"
    headers["Content-Length"] = str(end - begin)
    return StreamingHttpResponse(found.blocks(begin, end), status=status, content_type=found.mime, headers=headers)
