"""Areas of a picture that nobody else may see: filled with opaque black before the picture is encoded.

A polygon is 3 to 64 points (x, y), each 0..1 of the picture as it is displayed, from its upper left corner. What it encloses is
covered, holes of a line that crosses itself included. The fill is rounded outward to whole 2x2 blocks beyond a rim of two pixels,
so that neither a chroma sample nor a scaler's kernel carries anything of the inside out.
"""

import math
from collections.abc import Sequence
from struct import unpack
from typing import TYPE_CHECKING, Any, Final

import av
from fairwitness_core.wire.errors import ProtocolError

if TYPE_CHECKING:
    import numpy as np  # at run time only where areas are covered: most clips have none, and it doubles a sealer's memory

type Point = tuple[float, float]
type Polygon = tuple[Point, ...]
type Plane = np.ndarray[Any, np.dtype[np.uint8]]  # lazy: a name for readers and checkers

MAX_POLYGONS: Final = 64  # of one cut: a camera's own and those of the time at which a clip was chosen
MIN_POINTS: Final = 3
MAX_POINTS: Final = 64
RIM: Final = 2  # pixels
_FINE: Final = 6  # binary digits of a pixel that a corner's place keeps
BLACK: Final = (16, 128, 128)  # of yuv420p in its limited range; a player that takes it for full range shows 16 of 255
_WHOLE: Final = 1 << 16  # 1.0 in a display matrix
_LEAST: Final = 1e-6  # of the picture: a polygon without an area covers nothing, which no owner means


def check(polygons: Sequence[Sequence[Sequence[float]]]) -> tuple[Polygon, ...]:
    """Return polygons that can be covered; raises ProtocolError `mask.count`, `mask.points`, `mask.place`, `mask.empty`."""
    if len(polygons) > MAX_POLYGONS:
        raise ProtocolError("mask.count", f"at most {MAX_POLYGONS} areas of a picture are covered", evidence=str(len(polygons)))
    return tuple(_polygon(points) for points in polygons)


def _polygon(points: Sequence[Sequence[float]]) -> Polygon:
    if not MIN_POINTS <= len(points) <= MAX_POINTS:
        raise ProtocolError("mask.points", f"an area has {MIN_POINTS} to {MAX_POINTS} corners", evidence=str(len(points)))
    found: list[Point] = []
    for point in points:
        if len(point) != 2 or not all(type(v) in (int, float) and math.isfinite(v) and 0 <= v <= 1 for v in point):
            raise ProtocolError("mask.place", "a corner is two numbers between 0 and 1", evidence=repr(point)[:80])
        found.append((float(point[0]), float(point[1])))
    if _spread(found) < _LEAST:
        raise ProtocolError("mask.empty", "this area covers nothing: its corners lie on one line")
    return tuple(found)


def _spread(points: Sequence[Point]) -> float:
    """Return the largest triangle over the first corner: 0 only where all lie on one line, whatever way they are joined."""
    ax, ay = points[0]
    bx, by = max(points, key=lambda p: math.dist(p, (ax, ay)))
    return max(abs((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / 2 for x, y in points)


def turn_of(frame: av.VideoFrame) -> int:
    """Return by how many degrees clockwise a picture is turned for display: 0, 90, 180 or 270.

    Raises ProtocolError `mask.turn` for a mirrored or slanted display, which a clip does not keep: the areas would lie elsewhere.
    """
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return 0
    a, b, _u, c, d = unpack("=5i", bytes(side)[:20])
    turn = -frame.rotation % 360
    plain = {abs(a), abs(b), abs(c), abs(d)} == {0, _WHOLE} and a * d - b * c == _WHOLE * _WHOLE
    if not plain or turn % 90:
        raise ProtocolError(
            "mask.turn", "a mirrored or slanted picture cannot be covered", hint="share it without this recording"
        )
    return turn


def stored_place(point: Point, turn: int) -> Point:
    """Return where a place of the displayed picture lies in the stored one."""
    x, y = point
    return {0: (x, y), 90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[turn]


def blocks(polygons: Sequence[Polygon], width: int, height: int, turn: int = 0) -> Plane:
    """Return one byte for each 2x2 block of a stored picture, 255 where it is covered. `width` and `height` are even."""
    import cv2  # noqa: PLC0415 - see above
    import numpy as np  # noqa: PLC0415

    canvas: Plane = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        coded = [stored_place(point, turn) for point in polygon]
        corners = np.array([[(x * width - 0.5) * (1 << _FINE), (y * height - 0.5) * (1 << _FINE)] for x, y in coded])
        shape: Plane = np.zeros((height, width), np.uint8)
        places = [np.rint(corners).astype(np.int32)]
        cv2.fillPoly(shape, places, (255,), cv2.LINE_8, _FINE)
        # Its edge as well: of a sliver along the picture's border the filling leaves out pixels that it encloses.
        cv2.polylines(shape, places, isClosed=True, color=(255,), thickness=3, lineType=cv2.LINE_8, shift=_FINE)
        outlines, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, (255,), cv2.FILLED)
    grown = cv2.dilate(canvas, np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    return np.ascontiguousarray(grown.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3)), np.uint8)


class Painter:
    """Covers the same areas in every picture of one size (yuv420p, even sides). `count`: pictures covered so far."""

    def __init__(self, polygons: Sequence[Polygon], width: int, height: int, turn: int) -> None:
        small = blocks(polygons, width, height, turn)
        if not small.any():
            raise ProtocolError("mask.empty", "an area covers no pixel of this picture")
        self._size = (width, height)
        self._turn = turn
        self._where = [small.repeat(2, axis=0).repeat(2, axis=1) > 0, small > 0, small > 0]
        self.count = 0

    def paint(self, frame: av.VideoFrame, turn: int) -> None:
        """Fill the areas, in place; `turn` is the source picture's. Raises ProtocolError `mask.format`, `mask.turn`."""
        if frame.format.name != "yuv420p" or (frame.width, frame.height) != self._size:
            raise ProtocolError("mask.format", "a picture is not of the form that is covered", evidence=frame.format.name)
        if turn != self._turn:
            raise ProtocolError("mask.turn", "the recording turns its picture half-way", hint="cut it there")
        import numpy as np  # noqa: PLC0415

        frame.make_writable()  # a decoder may still refer to it for the next picture
        for plane, where, value in zip(frame.planes, self._where, BLACK, strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            np.copyto(rows[: where.shape[0], : where.shape[1]], np.uint8(value), where=where)
        self.count += 1
