"""Where faces are in a picture, by CenterFace: boxes and nothing else. Whose they are is neither asked nor known."""

from dataclasses import dataclass
from typing import Final

from fairwitness.kit.video.networks import SIDE, Network, Picture, fitted

SURE: Final = 0.3
"""How sure the network must be: low, because the owner throws out a box too many, and nobody sees a face too few."""
_OVERLAP: Final = 0.3
_MOST: Final = 2000  # candidates of one picture
_SHA256: Final = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
_STRIDE: Final = 4


@dataclass(frozen=True, slots=True)
class Found:
    """A box, 0..1 of the picture and possibly beyond its border, and how sure the network is of it, 0..1."""

    x: float
    y: float
    width: float
    height: float
    score: float


class Faces:
    """Finds faces in one picture after the other."""

    kind: Final = "face"
    grow: Final = (0.25, 0.25)
    """How much wider and higher a box is made on each side: the network's end at the chin and the brows."""

    def __init__(self, side: int = SIDE) -> None:
        self._net = Network("centerface.onnx", _SHA256)
        self._side = side

    def find(self, picture: Picture) -> list[Found]:
        """Return the faces in a picture."""
        import cv2  # noqa: PLC0415 - the child's alone
        import numpy as np  # noqa: PLC0415

        width, height = fitted(picture, self._side)
        blob = cv2.dnn.blobFromImage(picture, 1.0, (width, height), (0, 0, 0), swapRB=True, crop=False)
        heat, scale, offset = self._net.run(blob, ["537", "538", "539"])
        rows, columns = np.nonzero(heat[0, 0] > SURE)
        scores = heat[0, 0, rows, columns]
        best = np.argsort(-scores)[:_MOST]
        rows, columns, scores = rows[best], columns[best], scores[best]
        high, wide = (np.exp(scale[0, axis, rows, columns]) * _STRIDE for axis in (0, 1))
        middle_y = (rows + offset[0, 0, rows, columns] + 0.5) * _STRIDE
        middle_x = (columns + offset[0, 1, rows, columns] + 0.5) * _STRIDE
        boxes = [
            (float(x - w / 2), float(y - h / 2), float(w), float(h))
            for x, y, w, h in zip(middle_x, middle_y, wide, high, strict=True)
        ]
        kept = cv2.dnn.NMSBoxes(boxes, [float(score) for score in scores], SURE, _OVERLAP) if boxes else ()
        return [
            Found(x / width, y / height, w / width, h / height, float(scores[index]))
            for index in map(int, kept)
            for x, y, w, h in (boxes[index],)
        ]
