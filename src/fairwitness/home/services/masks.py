"""Areas of a camera's picture that are black in everything that is shared. The recordings at home stay whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.models import Answer, AnswerClip, Camera, Look, Mark, Mask
from fairwitness.home.services import cameras
from fairwitness.kit import clock
from fairwitness.kit.video import masks as areas
from fairwitness.kit.video.masks import Polygon

MAX_MASKS = 16
REDACTION = "areas covered"
"""What a manifest says of an answer in which areas were covered; a word of the format, not of a language."""

type Points = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class MaskView:
    """An area: (x, y) of 0..1 of the picture as it is displayed, from its upper left corner."""

    id: int
    camera: int
    name: str
    points: list[list[float]]


def listing(camera_id: int) -> list[MaskView]:
    """Return a camera's areas in the order they were drawn. Raises Refused."""
    return [view(row) for row in cameras.get(camera_id).masks.order_by("pk")]


def view(row: Mask) -> MaskView:
    """Return an area for its owner."""
    return MaskView(row.pk, row.camera_id, row.name, row.points)


def add(camera_id: int, name: str, points: Points) -> Mask:
    """Cover an area of a camera's picture from now on, in everything that has not begun to leave.

    An answer that is sealed and waits is sealed anew. Raises Refused, ProtocolError `mask.*`.
    """
    camera = cameras.get(camera_id)
    if camera.masks.count() >= MAX_MASKS:
        raise conflict("mask.many", _("A camera has at most %(count)d covered areas.") % {"count": MAX_MASKS})
    return _save(Mask(camera=camera, added_at=clock.now()), name, points)


def edit(mask_id: int, name: str, points: Points) -> Mask:
    """Draw an area anew. Raises Refused, ProtocolError `mask.*`."""
    return _save(get(mask_id), name, points)


def remove(mask_id: int) -> None:
    """Cover an area no more. Clips that were chosen while it stood stay covered until they are chosen again. Raises Refused."""
    row = get(mask_id)
    with transaction.atomic():
        _look_again(row.camera)
        row.delete()


def get(mask_id: int) -> Mask:
    """Return one area. Raises Refused."""
    found = Mask.objects.select_related("camera").filter(pk=mask_id).first()
    if found is None:
        raise unknown("mask")
    return found


def _save(row: Mask, name: str, points: Points) -> Mask:
    row.name = name.strip()
    if not row.name or len(row.name) > 80:
        raise invalid("mask.name", _("Give the area a name of at most 80 characters."))
    (polygon,) = areas.check([points])
    row.points = [list(point) for point in polygon]
    try:
        with transaction.atomic():
            row.save()
            _look_again(row.camera)
            waiting = Answer.objects.filter(state="sealed", clips__camera=row.camera).values_list("pk", flat=True)
            Answer.objects.filter(pk__in=list(waiting), state="sealed").update(state="queued", spool="", sealed="", size=0)
    except IntegrityError as error:
        raise conflict("mask.name_taken", _("Another area of this camera has this name.")) from error
    return row


def _look_again(camera: Camera) -> None:
    """Forget marks that were made with other areas covered; the recordings are looked through again where marks are on."""
    Mark.objects.filter(recording__source__camera=camera).delete()
    Look.objects.filter(recording__source__camera=camera).delete()


def polygons(camera: Camera) -> tuple[Polygon, ...]:
    """Return a camera's areas as video code takes them. Raises ProtocolError for a row that is none."""
    return areas.check(list(camera.masks.order_by("pk").values_list("points", flat=True)))


def of_clip(clip: AnswerClip) -> tuple[Polygon, ...]:
    """Return what must be black in a clip: areas of the time at which it was chosen, and those that stand now.

    Raises ProtocolError for rows that are no areas; nothing is left out.
    """
    camera = clip.camera
    if camera is None and clip.recording is not None:
        camera = clip.recording.source.camera
    now = () if camera is None else polygons(camera)
    return tuple(dict.fromkeys((*areas.check(clip.masks), *now)))
