"""Areas that move with a face or a number plate: followed through a clip and filled before a picture is encoded.

A track is where one thing is: keys (at, x, y, width, height), `at` in seconds from the first recording's first picture and the
rest 0..1 of the picture as it is displayed, from its upper left corner. Between two keys the box goes in a straight line; it
stays for HOLD seconds before the first key and after the last.

What is covered is filled with one colour. A mosaic or a blur would look softer, but each picture of a moving mosaic is another
set of sums over the same letters, and many of them together give the letters back; of a fill nothing can be undone. Like a fixed
area (kit.video.masks) it reaches outward to whole 2x2 blocks beyond a rim, so that no chroma sample, scaler or loop filter
carries anything of the inside out.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import av
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.masks import BLACK, stored_place

type Key = tuple[float, float, float, float, float]
type Track = tuple[Key, ...]

MAX_TRACKS: Final = 2000  # of one clip
MAX_KEYS: Final = 100_000  # of one clip, all tracks together
HOLD: Final = 0.5
"""Seconds before a track's first key and after its last in which its box stays where it was."""
LEAST: Final = 0.002  # of the picture: a smaller box is a slip of the hand
_RIM: Final = 6  # pixels: a scaler of halved colour reaches four beyond a sample that is half inside
_LATEST: Final = 10**7  # seconds


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, 0..1 of the displayed picture."""

    x: float
    y: float
    width: float
    height: float


def check(tracks: Sequence[Sequence[Sequence[float]]]) -> tuple[Track, ...]:
    """Return tracks that can be covered; raises ProtocolError `region.count`, `region.key`, `region.order`."""
    if len(tracks) > MAX_TRACKS or sum(len(track) for track in tracks) > MAX_KEYS:
        words = f"at most {MAX_TRACKS} moving areas with {MAX_KEYS} places are covered in a clip"
        raise ProtocolError("region.count", words, evidence=str(len(tracks)))
    return tuple(_track(keys) for keys in tracks)


def _track(keys: Sequence[Sequence[float]]) -> Track:
    if not keys:
        raise ProtocolError("region.key", "a moving area is somewhere at least once")
    found = tuple(_key(key) for key in keys)
    if any(a[0] >= b[0] for a, b in pairwise(found)):
        raise ProtocolError("region.order", "the places of a moving area follow each other in time")
    return found


def _key(key: Sequence[float]) -> Key:
    if len(key) != 5 or not all(type(v) in (int, float) and math.isfinite(v) for v in key):
        raise ProtocolError("region.key", "a place is a time and four numbers between 0 and 1", evidence=repr(key)[:80])
    at, x, y, width, height = (float(v) for v in key)
    inside = 0 <= x < 1 and 0 <= y < 1 and width >= LEAST and height >= LEAST and x + width <= 1 + 1e-9 and y + height <= 1 + 1e-9
    if not 0 <= at < _LATEST or not inside:
        raise ProtocolError("region.key", "a place lies inside the picture and is larger than nothing", evidence=repr(key)[:80])
    return (at, x, y, min(width, 1 - x), min(height, 1 - y))


def where(track: Track, at: float) -> Box | None:
    """Return where a track's box is at a time, None where it is not covered then."""
    if not track[0][0] - HOLD <= at <= track[-1][0] + HOLD:
        return None
    index = bisect_right(track, at, key=lambda key: key[0])
    if index in (0, len(track)):
        return Box(*track[min(index, len(track) - 1)][1:])
    before, after = track[index - 1], track[index]
    share = (at - before[0]) / (after[0] - before[0])
    x, y, width, height = (a + (b - a) * share for a, b in zip(before[1:], after[1:], strict=True))
    return Box(x, y, width, height)


class Painter:
    """Covers what moves in the pictures of one size (yuv420p, even sides). `count`: pictures gone through so far."""

    def __init__(self, tracks: Sequence[Track], width: int, height: int, turn: int) -> None:
        self._tracks = tuple(tracks)
        self._size = (width, height)
        self._turn = turn
        self.count = 0

    def paint(self, frame: av.VideoFrame, at: float, turn: int) -> None:
        """Fill what is covered `at` this time, in place. Raises ProtocolError `mask.format`, `mask.turn`."""
        if frame.format.name != "yuv420p" or (frame.width, frame.height) != self._size:
            raise ProtocolError("mask.format", "a picture is not of the form that is covered", evidence=frame.format.name)
        if turn != self._turn:
            raise ProtocolError("mask.turn", "the recording turns its picture half-way", hint="cut it there")
        boxes = [box for box in (where(track, at) for track in self._tracks) if box is not None]
        if boxes:
            self._fill(frame, boxes)
        self.count += 1

    def _fill(self, frame: av.VideoFrame, boxes: list[Box]) -> None:
        import numpy as np  # noqa: PLC0415 - most clips cover nothing, and it doubles a sealer's memory

        frame.make_writable()  # a decoder may still refer to it for the next picture
        rows = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
        for box in boxes:
            left, top, right, bottom = self._pixels(box)
            rows[0][top:bottom, left:right] = BLACK[0]
            for plane, value in zip(rows[1:], BLACK[1:], strict=True):
                plane[top // 2 : bottom // 2, left // 2 : right // 2] = value

    def _pixels(self, box: Box) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom in the stored picture: whole 2x2 blocks, beyond a rim."""
        corners = [stored_place(point, self._turn) for point in ((box.x, box.y), (box.x + box.width, box.y + box.height))]
        found = []
        for axis, side in enumerate(self._size):
            low, high = sorted(corner[axis] * side for corner in corners)
            found.append((max(math.floor(low - _RIM), 0) & ~1, min((math.ceil(high + _RIM) + 1) & ~1, side)))
        (left, right), (top, bottom) = found
        return left, top, right, bottom
