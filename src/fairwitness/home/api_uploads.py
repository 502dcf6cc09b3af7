"""Files that a browser, or any tus client with the owner's token, brings in.

Sending follows the tus resumable upload protocol 1.0.0, core with the extensions creation, expiration and termination; the
rest is this home's own. `Upload-Metadata` of a new upload: `filename`, `camera` (its id), and `mark`, the client's own word for
the file.
"""

# ruff: noqa: ARG001 - an operation is handed the request whether it reads it or not

import base64
import binascii
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.urls import reverse
from django.utils.http import http_date
from django.utils.translation import gettext as _
from ninja import Router

from fairwitness.home.access import Owner
from fairwitness.home.config import Config
from fairwitness.home.errors import invalid
from fairwitness.home.services import uploads
from fairwitness.kit import config
from fairwitness.kit.api import StrictSchema, body_chunks, stated_length
from fairwitness.kit.errors import Refused

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
BODY_TYPE = "application/offset+octet-stream"
_KNOWN = frozenset({"filename", "filetype", "camera", "mark"})

router = Router()
owner = Owner()

type Json = dict[str, Any]


class TimeIn(StrictSchema):
    """When a file was recorded, Unix seconds UTC."""

    start: int


def _answer(status: int, **headers: str) -> HttpResponse:
    answer = HttpResponse(status=status)
    for name, value in {"Tus_Resumable": VERSION, "Cache_Control": "no-store", **headers}.items():
        answer.headers[name.replace("_", "-")] = value
    return answer


def _tus(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to a client of another version, None for one of ours (tus 1.0.0, Tus-Resumable)."""
    return None if request.headers.get("Tus-Resumable") == VERSION else _answer(412, Tus_Version=VERSION)


def _number(request: HttpRequest, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise Refused(400, "upload.header", _("A header is missing or wrong."), name)
    return int(text)


def _metadata(text: str) -> dict[str, str]:
    """Read Upload-Metadata: `key base64,key base64`. Raises Refused."""
    found: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        key, _gap, value = pair.strip().partition(" ")
        try:
            plain = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise Refused(400, "upload.metadata", _("A header is missing or wrong."), "Upload-Metadata") from error
        if key in found or key not in _KNOWN or len(plain) > 1000:
            raise Refused(400, "upload.metadata", _("A header is missing or wrong."), "Upload-Metadata")
        found[key] = plain
    return found


def _expires(touched_at: int) -> str:
    return http_date(touched_at + uploads.EXPIRES_S)


@router.api_operation(["OPTIONS"], "", auth=owner)
def upload_options(request: HttpRequest) -> HttpResponse:
    """Say what this server can do."""
    largest = config.current(Config).clip_max_mib << 20
    return _answer(204, Tus_Version=VERSION, Tus_Extension=EXTENSIONS, Tus_Max_Size=str(largest))


@router.post("", auth=owner)
def upload_create(request: HttpRequest) -> HttpResponse:
    """Begin an upload (tus, creation)."""
    other = _tus(request)
    if other is not None:
        return other
    if "Upload-Defer-Length" in request.headers:
        raise Refused(400, "upload.length", _("State the file's length at the start."), "Upload-Length")
    if int(request.META.get("CONTENT_LENGTH") or 0):
        raise Refused(400, "upload.body", _("An upload begins without content."), EXTENSIONS)
    words = _metadata(request.headers.get("Upload-Metadata", ""))
    camera = words.get("camera", "")
    if not (camera.isascii() and camera.isdigit() and len(camera) <= 18):
        raise invalid("upload.camera", _("Say which camera recorded this."), "Upload-Metadata: camera")
    size = _number(request, "Upload-Length")
    row = uploads.create(int(camera), words.get("filename", ""), size, words.get("mark", ""))
    place = reverse("home:upload_one", args=[row.pk])
    return _answer(201, Location=request.build_absolute_uri(place), Upload_Expires=_expires(row.touched_at))


@router.get("", auth=owner)
def upload_list(request: HttpRequest) -> list[Json]:
    """All files that were brought in, and how they do."""
    return [asdict(view) for view in uploads.listing()]


@router.get("/moments", auth=owner)
def upload_moments(request: HttpRequest, local: str, zone: str) -> Json:
    """When a clock in `zone` shows `local`: one moment, two where clocks go back, none where they go forward."""
    return {"moments": uploads.moments(local, zone)}


@router.api_operation(["HEAD"], "/{upload_id}", auth=owner, url_name="upload_one")
def upload_head(request: HttpRequest, upload_id: str) -> HttpResponse:
    """Say how far a file got (tus)."""
    other = _tus(request)
    if other is not None:
        return other
    row = uploads.settled(uploads.get(upload_id))
    done = row.size if row.state in ("checking", "kept") else row.offset
    expires = {"Upload_Expires": _expires(row.touched_at)} if row.state == "receiving" else {}
    if row.state in ("refused", "duplicate"):
        return _answer(410)
    return _answer(200, Upload_Offset=str(done), Upload_Length=str(row.size), **expires)


@router.patch("/{upload_id}", auth=owner)
def upload_append(request: HttpRequest, upload_id: str) -> HttpResponse:
    """Go on sending (tus). What reached this home before a break is kept."""
    other = _tus(request)
    if other is not None:
        return other
    if request.headers.get("Content-Type", "") != BODY_TYPE:
        raise Refused(415, "upload.type", _("A header is missing or wrong."), f"Content-Type: {BODY_TYPE}")
    offset, length = _number(request, "Upload-Offset"), stated_length(request)
    row = uploads.append(upload_id, offset, length, uploads.chunks_into(_body(request, length)))
    expires = {"Upload_Expires": _expires(row.touched_at)} if row.state == "receiving" else {}
    return _answer(204, Upload_Offset=str(row.offset), **expires)


def _body(request: HttpRequest, length: int) -> Iterator[bytes]:
    try:
        yield from body_chunks(request, length)
    except UnreadablePostError as error:
        raise Refused(400, "body.short", _("The connection broke."), _("Go on where the file got to.")) from error


@router.delete("/{upload_id}", auth=owner)
def upload_remove(request: HttpRequest, upload_id: str) -> HttpResponse:
    """Delete a file, finished or not (tus, termination)."""
    other = _tus(request)
    if other is not None:
        return other
    uploads.remove(upload_id)
    return _answer(204)


@router.post("/{upload_id}/time", auth=owner)
def upload_time(request: HttpRequest, upload_id: str, body: TimeIn) -> Json:
    """Take the owner's word for when a file was recorded."""
    return asdict(uploads.confirm(upload_id, body.start))
