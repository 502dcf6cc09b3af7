"""Where number plates may be in a picture: short pieces of writing, found by PP-OCR's detector. What they say is never read.

There is no detector for plates alone whose licence and origin would let it be shipped. This one finds plates of any country, and
also house numbers, stickers and signs, which tell about a place as well; lines longer than a plate, as a camera's own clock, it
leaves alone.
"""

from typing import Final

from fairwitness.kit.video.faces import Found
from fairwitness.kit.video.networks import SIDE, Network, Picture, fitted

SURE: Final = 0.5
_PIXEL: Final = 0.3  # of the map, for a pixel to be writing
_UNSHRINK: Final = 1.8  # the network marks the core of a word; this gives its outline back (area over girth)
_SLIM, _LONG = 1.2, 8.0  # a plate's width over its height, turned a little or foreshortened
_LEAST: Final = (10, 5)  # pixels across and down, as looked at: smaller writing nobody reads
_SHA256: Final = "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"
_MEAN: Final = (0.485, 0.456, 0.406)
_SPREAD: Final = (0.229, 0.224, 0.225)


class Plates:
    """Finds plates in one picture after the other."""

    kind: Final = "plate"
    grow: Final = (0.2, 0.4)
    """The writing is found, not the plate around it: with less, one in four plates showed a part of its border letters."""

    def __init__(self, side: int = SIDE) -> None:
        self._net = Network("text_regions.onnx", _SHA256)
        self._side = side

    def find(self, picture: Picture) -> list[Found]:
        """Return what may be plates in a picture."""
        import cv2  # noqa: PLC0415 - the child's alone
        import numpy as np  # noqa: PLC0415

        width, height = fitted(picture, self._side)
        small = cv2.resize(picture, (width, height)).astype(np.float32) / 255
        even = (small - np.array(_MEAN, np.float32)) / np.array(_SPREAD, np.float32)
        chance = self._net.run(np.ascontiguousarray(even.transpose(2, 0, 1)[None]))[0, 0]
        outlines, _ = cv2.findContours((chance > _PIXEL).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        found = []
        for outline in outlines:
            x, y, across, down = cv2.boundingRect(outline)
            inside = np.zeros((down, across), np.uint8)
            cv2.drawContours(inside, [outline], -1, (1,), cv2.FILLED, offset=(-x, -y))
            score = float(chance[y : y + down, x : x + across][inside > 0].mean())
            rim = cv2.contourArea(outline) * _UNSHRINK / max(cv2.arcLength(outline, closed=True), 1.0)
            wide, high = across + 2 * rim, down + 2 * rim
            if score >= SURE and wide >= _LEAST[0] and high >= _LEAST[1] and _SLIM <= wide / high <= _LONG:
                found.append(Found((x - rim) / width, (y - rim) / height, wide / width, high / height, score))
        return found
