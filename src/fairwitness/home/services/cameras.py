"""The owner's cameras. Where they are and where they look is used here, on this machine, and told to nobody."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from fairwitness_core.rules.matching import View, Watcher, view_cells

from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.models import Camera

_EDITABLE = frozenset({"name", "lat", "lon", "heading", "fov", "range_m", "pre_roll"})
MAX_PRE_ROLL = 600


def add(
    name: str,
    lat: float | None = None,
    lon: float | None = None,
    *,
    heading: float = 0.0,
    fov: float = 360.0,
    range_m: float = 30.0,
    pre_roll: int = 30,
) -> Camera:
    """Add a camera: place in degrees, heading clockwise from north, field of view in degrees, range in metres, pre-roll in s.

    Without a place no request can concern it until `edit` gives one. Raises Refused, and ProtocolError for a view that no camera
    has.
    """
    camera = Camera(name=name.strip(), lat=lat, lon=lon, heading=heading, fov=fov, range_m=range_m, pre_roll=pre_roll)
    return _save(camera)


def edit(camera_id: int, **changes: Any) -> Camera:
    """Change what is named; raises Refused, ProtocolError."""
    camera = get(camera_id)
    strangers = set(changes) - _EDITABLE
    if strangers:
        raise invalid("camera.field", _("A camera has no such field."), ", ".join(sorted(strangers)))
    for name, value in changes.items():
        setattr(camera, name, value)
    return _save(camera)


def remove(camera_id: int) -> None:
    """Forget a camera, its folders and what is known of its recordings. The recordings themselves stay where they are."""
    get(camera_id).delete()


def get(camera_id: int) -> Camera:
    """Return one camera; raises Refused."""
    found = Camera.objects.filter(pk=camera_id).first()
    if found is None:
        raise unknown("camera")
    return found


def listing() -> list[Camera]:
    """Return the cameras by name."""
    return list(Camera.objects.order_by("name"))


def watcher() -> Watcher:
    """Return all cameras, ready to look at requests; each is named by its id."""
    return Watcher({str(camera.pk): cells(camera) for camera in Camera.objects.all()})


def cells(camera: Camera) -> frozenset[str]:
    """Return the resolution 9 cells that a camera stands in and looks into; none while its place is not known."""
    return frozenset() if camera.lat is None else view_cells(view(camera))


def view(camera: Camera) -> View:
    """Return where a camera stands and looks; raises ProtocolError, and Refused where nobody said."""
    if camera.lat is None or camera.lon is None:
        raise invalid("camera.place", _("Say where the camera stands: its latitude and its longitude."))
    return View(camera.lat, camera.lon, camera.heading, camera.fov, camera.range_m)


def _save(camera: Camera) -> Camera:
    if not camera.name.strip() or len(camera.name) > 80:
        raise invalid("camera.name", _("Give the camera a name of at most 80 characters."))
    if not 0 <= camera.pre_roll <= MAX_PRE_ROLL:
        raise invalid("camera.pre_roll", _("The time before a request's window is 0 to 600 seconds."))
    if camera.lat is not None or camera.lon is not None:
        view(camera)
    try:
        with transaction.atomic():
            camera.save()
    except IntegrityError as error:
        raise conflict("camera.name_taken", _("Another camera has this name.")) from error
    return camera
