"""What a camera's covered areas look like: its newest picture, painted by what paints everything that is shared."""

from collections.abc import Sequence
from io import BytesIO

import av
import numpy as np
from fairwitness_core.wire.errors import ProtocolError
from PIL import Image

from fairwitness.home.models import Camera
from fairwitness.home.services import live, masks
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import masks as areas
from fairwitness.kit.video.masks import Painter

_QUALITY = 80


def has_picture(camera_id: int) -> bool:
    """Tell whether there is a picture to draw on."""
    try:
        live.still(camera_id)
    except (Refused, ProtocolError, OSError):
        return False
    return True


def painted(camera: Camera, drawn: Sequence[Sequence[Sequence[float]]], *, without: int = 0) -> bytes:
    """Return a camera's newest picture, a JPEG, with its saved areas and those of `drawn` black, as in a shared clip.

    `without`: the id of a saved area that `drawn` is to replace.

    Raises Refused, ProtocolError `mask.*`.
    """
    saved = [one.points for one in masks.listing(camera.pk) if one.id != without]
    covered = areas.check([*saved, *drawn])
    still = live.still(camera.pk).jpeg
    if not covered:
        return still
    with Image.open(BytesIO(still)) as opened:  # a picture of our own making
        picture = opened.convert("RGB")
    # Even sides, as what is shared has.
    width, height = picture.width & ~1, picture.height & ~1
    pixels = np.asarray(picture.crop((0, 0, width, height)))
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
    Painter(covered, width, height, 0).paint(frame, 0)
    out = BytesIO()
    Image.fromarray(frame.to_ndarray(format="rgb24")).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
