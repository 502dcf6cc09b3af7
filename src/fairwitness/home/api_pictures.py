"""The owner's API for what pictures show: covered areas, previews, marks. Nothing of it is for anybody else."""

# ruff: noqa: ARG001 - an operation is handed the request whether it reads it or not

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from ninja import Router

from fairwitness.home.access import Owner
from fairwitness.home.services import masks
from fairwitness.kit.api import StrictSchema

router = Router()
owner = Owner()

type Json = dict[str, Any]


class MaskIn(StrictSchema):
    """An area's name and its corners, each [x, y] of 0..1 of the displayed picture."""

    name: str
    points: list[list[float]]


@router.get("/cameras/{int:camera_id}/masks", auth=owner)
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
