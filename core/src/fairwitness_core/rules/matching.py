"""Does a request concern this home? Area and time against cameras and recordings, on the owner's own machine only.

Coordinates are floats here because they never leave the home (design.md section 2, "deliver nothing"). A camera counts where it
stands and where it looks: its resolution 9 cell and every such cell that its view cone touches.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import h3

from fairwitness_core.wire.errors import ProtocolError

RESOLUTION = 9
RANGE_MAX_M = 500.0
_EARTH_M = 6_371_008.8
_ARC_STEP_DEG = 5.0

type Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class View:
    """A camera: place in degrees (WGS 84), heading in degrees clockwise from north, field of view in degrees, range in metres."""

    lat: float
    lon: float
    heading_deg: float
    fov_deg: float
    range_m: float

    def __post_init__(self) -> None:
        """Refuse what no camera has; raises ProtocolError `camera.view`."""
        numbers = (self.lat, self.lon, self.heading_deg, self.fov_deg, self.range_m)
        if not all(math.isfinite(number) for number in numbers):
            raise ProtocolError("camera.view", "a camera's place and view are finite numbers")
        if abs(self.lat) > 90 or abs(self.lon) > 180:
            raise ProtocolError("camera.view", "latitude lies within 90 degrees, longitude within 180")
        if not 0 < self.fov_deg <= 360 or not 0 <= self.range_m <= RANGE_MAX_M:
            raise ProtocolError("camera.view", f"a view is up to 360 degrees wide and {RANGE_MAX_M:.0f} m deep")


def camera_cell(lat: float, lon: float) -> str:
    """Return the resolution 9 cell that a place lies in."""
    return str(h3.latlng_to_cell(lat, lon, RESOLUTION))


def _flat(view: View, lat: float, lon: float) -> tuple[float, float]:
    """Project onto a plane at the camera, in metres east and north: true to millimetres at this range, poles apart."""
    east = (lon - view.lon + 540) % 360 - 180
    scale = math.radians(1) * _EARTH_M
    return east * scale * math.cos(math.radians(view.lat)), (lat - view.lat) * scale


def _in_sector(view: View, x: float, y: float) -> bool:
    if math.hypot(x, y) > view.range_m:
        return False
    if view.fov_deg >= 360 or (x == 0 and y == 0):
        return True
    turn = (math.degrees(math.atan2(x, y)) - view.heading_deg + 540) % 360 - 180
    return abs(turn) <= view.fov_deg / 2


def _crosses(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], d: tuple[float, float]) -> bool:
    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) <= 0 and side(c, d, a) * side(c, d, b) <= 0


def _outline(view: View) -> list[tuple[float, float]]:
    """Return the cone's border as a closed line in metres; chords bulge out so that none of the arc is lost."""
    steps = max(1, math.ceil(view.fov_deg / _ARC_STEP_DEG))
    reach = view.range_m / math.cos(math.radians(view.fov_deg / steps / 2))
    line = [] if view.fov_deg >= 360 else [(0.0, 0.0)]
    for step in range(steps + 1):
        bearing = math.radians(view.heading_deg - view.fov_deg / 2 + view.fov_deg * step / steps)
        line.append((reach * math.sin(bearing), reach * math.cos(bearing)))
    line.append(line[0])
    return line


def view_cells(view: View) -> frozenset[str]:
    """Return the camera's own cell and every resolution 9 cell that its view cone touches."""
    home = camera_cell(view.lat, view.lon)
    found = {home}
    if view.range_m == 0:
        return frozenset(found)
    outline = _outline(view)
    # A resolution 9 cell is about 300 m across, so cells farther than this many rings are out of reach.
    rings = 1 + math.ceil(view.range_m / 200)
    for cell in h3.grid_disk(home, rings):
        if cell in found:
            continue
        corners = [_flat(view, lat, lon) for lat, lon in h3.cell_to_boundary(cell)]
        edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
        if any(_in_sector(view, x, y) for x, y in corners) or any(
            _crosses(a, b, c, d) for a, b in edges for c, d in itertools.pairwise(outline)
        ):
            found.add(cell)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Hit:
    """One camera that a request concerns: the cells it shares with the area and its footage within the window."""

    camera: str
    cells: tuple[str, ...]
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A request that concerns this home. It exists in the home's memory and database, and nowhere else."""

    hits: tuple[Hit, ...]

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, sorted."""
        return tuple(hit.camera for hit in self.hits)


def clipped(intervals: Iterable[Interval], window: Interval) -> tuple[Interval, ...]:
    """Return the parts of `intervals` that lie inside `window`, sorted; half-open, so touching ends do not count."""
    low, high = window
    return tuple(sorted((max(a, low), min(b, high)) for a, b in intervals if max(a, low) < min(b, high)))


class Watcher:
    """A home's cameras, made ready to look at thousands of requests: `cameras` maps a name to its cells."""

    __slots__ = ("_by_cell", "_cells")

    def __init__(self, cameras: Mapping[str, frozenset[str]]) -> None:
        by_cell: dict[str, list[str]] = {}
        for name in sorted(cameras):
            for cell in cameras[name]:
                by_cell.setdefault(cell, []).append(name)
        self._by_cell = by_cell
        self._cells = frozenset(by_cell)

    def near(self, area: Sequence[str]) -> bool:
        """Tell whether any camera stands in or looks into `area`."""
        return not self._cells.isdisjoint(area)

    def match(self, area: Sequence[str], window: Interval, recordings: Mapping[str, Sequence[Interval]]) -> Match | None:
        """Return the cameras with footage of `area` in `window` (Unix seconds, half-open), or None.

        `recordings` maps a camera's name to the intervals that it recorded.
        """
        if not self.near(area):
            return None
        cells: dict[str, list[str]] = {}
        for cell in area:
            for name in self._by_cell.get(cell, ()):
                cells.setdefault(name, []).append(cell)
        hits = []
        for name in sorted(cells):
            intervals = clipped(recordings.get(name, ()), window)
            if intervals:
                hits.append(Hit(name, tuple(sorted(cells[name])), intervals))
        return Match(tuple(hits)) if hits else None


def match(
    area: Sequence[str],
    window: Interval,
    cameras: Mapping[str, frozenset[str]],
    recordings: Mapping[str, Sequence[Interval]],
) -> Match | None:
    """Match one request; `Watcher` is the same for many."""
    return Watcher(cameras).match(area, window, recordings)
