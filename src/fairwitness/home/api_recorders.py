"""The owner's API for cameras that this home records itself, and recorders that it fetches from."""

# ruff: noqa: ARG001 - an operation is handed the request whether it reads it or not

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from ninja import Router

from fairwitness.home.access import Owner
from fairwitness.home.services import onvif, recorders
from fairwitness.kit.api import StrictSchema

router = Router()
owner = Owner()

type Json = dict[str, Any]


class RtspIn(StrictSchema):
    """A camera's stream. The address has no credentials; `folder` "" = below the home's data; `keep_bytes` 0 = no limit."""

    camera: int
    address: str
    user: str = ""
    password: str = ""
    folder: str = ""
    keep_days: int = 14
    keep_bytes: int = 0
    sound: bool = False


class FrigateIn(StrictSchema):
    """A Frigate's camera `name`, and the SHA-256 of its certificate where it signed its own."""

    camera: int
    address: str
    user: str
    password: str
    name: str
    fingerprint: str = ""
    folder: str = ""
    keep_days: int = 14
    keep_bytes: int = 0


class OnvifLookIn(StrictSchema):
    """An ONVIF device, and the SHA-256 of its certificate where it signed its own."""

    address: str
    user: str = ""
    password: str = ""
    fingerprint: str = ""
    profile: str = ""


class OnvifIn(OnvifLookIn):
    """An ONVIF camera's stream (`profile` "" = the best), or with `recordings` what the device recorded itself."""

    camera: int
    recordings: bool = False
    recording: str = ""
    folder: str = ""
    keep_days: int = 14
    keep_bytes: int = 0
    sound: bool = False


class DiscoverIn(StrictSchema):
    """How many seconds to listen."""

    seconds: float


class KeepIn(StrictSchema):
    """How long to keep."""

    keep_days: int
    keep_bytes: int = 0


@router.get("", auth=owner)
def recorder_list(request: HttpRequest) -> list[Json]:
    """All recorders and how they do."""
    return [asdict(view) for view in recorders.listing()]


@router.post("/rtsp", auth=owner)
def recorder_rtsp(request: HttpRequest, body: RtspIn) -> Json:
    """Record a camera's stream from now on."""
    values = body.dict()
    return asdict(recorders.view(recorders.add_rtsp(values.pop("camera"), values.pop("address"), **values)))


@router.post("/frigate", auth=owner)
def recorder_frigate(request: HttpRequest, body: FrigateIn) -> Json:
    """Fetch from a Frigate what requests ask about."""
    values = body.dict()
    return asdict(recorders.view(recorders.add_frigate(values.pop("camera"), values.pop("address"), **values)))


@router.post("/onvif", auth=owner)
def recorder_onvif(request: HttpRequest, body: OnvifIn) -> Json:
    """Record an ONVIF camera from now on, or fetch from a device what requests ask about."""
    values = body.dict()
    return asdict(recorders.view(onvif.add(values.pop("camera"), values.pop("address"), **values)))


@router.post("/onvif/look", auth=owner)
def recorder_onvif_look(request: HttpRequest, body: OnvifLookIn) -> Json:
    """What an ONVIF device has; nothing is stored."""
    values = body.dict()
    return asdict(onvif.look(values.pop("address"), **values))


@router.post("/onvif/discover", auth=owner)
def recorder_onvif_discover(request: HttpRequest, body: DiscoverIn) -> list[Json]:
    """Ask the devices of this machine's networks who they are."""
    return [asdict(one) for one in onvif.discover(body.seconds)]


@router.put("/{int:recorder_id}", auth=owner)
def recorder_edit(request: HttpRequest, recorder_id: int, body: KeepIn) -> Json:
    """Change how long recordings are kept."""
    return asdict(recorders.view(recorders.edit(recorder_id, keep_days=body.keep_days, keep_bytes=body.keep_bytes)))


@router.delete("/{int:recorder_id}", auth=owner)
def recorder_remove(request: HttpRequest, recorder_id: int, *, erase: bool = False) -> Json:
    """Stop recording; with `erase` the recordings go too."""
    recorders.remove(recorder_id, erase=erase)
    return {"ok": True}


@router.get("/{int:recorder_id}/gaps", auth=owner)
def recorder_gaps(request: HttpRequest, recorder_id: int, start: int, end: int) -> list[Json]:
    """When and why nothing was recorded."""
    return [asdict(hole) for hole in recorders.holes(recorder_id, start, end)]


@router.get("/{int:recorder_id}/marks", auth=owner)
def recorder_marks(request: HttpRequest, recorder_id: int, start: int, end: int) -> list[Json]:
    """What a Frigate saw."""
    return [asdict(mark) for mark in recorders.marks(recorder_id, start, end)]


@router.get("/{int:recorder_id}/chain", auth=owner)
def recorder_chain(request: HttpRequest, recorder_id: int) -> Json:
    """Whether the recordings are what was recorded."""
    faults = recorders.verify(recorder_id)
    return {"ok": not faults, "faults": faults}
