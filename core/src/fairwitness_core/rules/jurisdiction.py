"""An agency's polygon as a bounded set of H3 cells, so that anybody can check a request's area against it (design.md 7)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import h3

from fairwitness_core.wire.errors import ProtocolError

CELLS_MAX = 600
FINEST = 9
VERTICES_MAX = 200_000
WORK_MAX = 150_000  # cells laid out before compaction, to bound the time

type Ring = list[tuple[float, float]]


def _fail(message: str, evidence: object = "") -> ProtocolError:
    return ProtocolError("jurisdiction.geometry", message, evidence=str(evidence), hint="give a GeoJSON Polygon or MultiPolygon")


def _ring(raw: Any) -> Ring:
    if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) < 4:
        raise _fail("a ring has at least four positions", raw)
    ring = []
    for position in raw:
        if not isinstance(position, Sequence) or isinstance(position, str) or len(position) not in (2, 3):
            raise _fail("a position is longitude and latitude", position)
        lon, lat = position[0], position[1]
        for value, most in ((lon, 180), (lat, 90)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > most:
                raise _fail("a position is longitude and latitude in degrees", position)
        ring.append((float(lat), float(lon)))
    if ring[0] != ring[-1]:
        raise _fail("a ring ends where it begins", ring[-1])
    if len(set(ring)) < 3:
        raise _fail("a ring encloses an area")
    return ring


def _polygons(geometry: Mapping[str, Any]) -> list[list[Ring]]:
    if not isinstance(geometry, Mapping):
        raise _fail("a jurisdiction is a GeoJSON geometry", type(geometry).__name__)
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon") or not isinstance(coordinates, Sequence) or not coordinates:
        raise _fail("the geometry is neither a Polygon nor a MultiPolygon, or is empty", kind)
    raw = [coordinates] if kind == "Polygon" else coordinates
    polygons = []
    for rings in raw:
        if not isinstance(rings, Sequence) or isinstance(rings, str) or not rings:
            raise _fail("a polygon is a list of rings", rings)
        polygons.append([_ring(ring) for ring in rings])
    if sum(len(ring) for rings in polygons for ring in rings) > VERTICES_MAX:
        raise _fail(f"the geometry has more than {VERTICES_MAX} positions")
    return polygons


def _filled(shapes: Sequence[h3.LatLngPoly]) -> tuple[set[str], int]:
    """Return the cells that overlap the shapes, at the finest resolution that the bound on work allows."""
    cells: set[str] = set()
    finest = 0
    for resolution in range(FINEST + 1):
        if len(cells) * 7 > WORK_MAX:
            break
        finest, cells = resolution, set()
        for shape in shapes:
            cells.update(h3.polygon_to_cells_experimental(shape, resolution, contain="overlap"))
    return cells, finest


def cover(geometry: Mapping[str, Any], *, limit: int = CELLS_MAX) -> tuple[str, ...]:
    """Return sorted, compacted H3 cells (resolution 9 or coarser) that cover a GeoJSON Polygon or MultiPolygon.

    A cell that only touches the polygon is in. The finest resolution whose compacted cover has at most `limit` cells is
    taken, so the border is as true as the count allows. H3 parents do not hold their children exactly, therefore a coarse
    cover consists of the parents of a fine one: for up to about 15,000 square kilometres every resolution 9 cell that
    touches the polygon is inside, beyond that a border cell may be missed. The same geometry gives the same cells
    everywhere. Raises ProtocolError `jurisdiction.geometry` or, when even 122 cells are too many, `jurisdiction.large`.
    """
    shapes = [h3.LatLngPoly(rings[0], *rings[1:]) for rings in _polygons(geometry)]
    try:
        cells, resolution = _filled(shapes)
    except h3.H3BaseException as error:
        raise _fail("the polygon cannot be laid on the grid", error) from error
    while True:
        compacted = tuple(sorted(h3.compact_cells(cells)))
        if 0 < len(compacted) <= limit:
            return compacted
        if resolution == 0 or not cells:
            raise ProtocolError("jurisdiction.large", f"no cover of at most {limit} cells exists", hint="check the polygon")
        resolution -= 1
        cells = {h3.cell_to_parent(cell, resolution) for cell in cells}
