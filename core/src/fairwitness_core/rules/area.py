"""Areas of requests: connected sets of H3 resolution 9 cells, about 0.1 square kilometres each (protocol.md 4.4)."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence

import h3

from fairwitness_core.wire.errors import ProtocolError

RESOLUTION = 9
AREA_MIN = 7
AREA_MAX = 12
AREA_MAX_WIDE = 19  # with a supervisor's reason
AREA_MAX_SPARSE = 61  # a disk of radius 4: where houses are sparse
DWELLINGS_MIN = 40

type Dwellings = Callable[[tuple[str, ...]], int]


def is_connected(cells: Collection[str]) -> bool:
    """Tell whether one can walk between any two of the cells over shared edges."""
    left = set(cells)
    if not left:
        return False
    walk = [left.pop()]
    while walk:
        beside = left.intersection(h3.grid_disk(walk.pop(), 1))
        left -= beside
        walk.extend(beside)
    return not left


def outside(cells: Iterable[str], cover: Collection[str]) -> list[str]:
    """Return the cells that lie in no cell of `cover`, a compacted set of H3 cells of any resolution up to theirs."""
    lookup = cover if isinstance(cover, set | frozenset) else frozenset(cover)
    resolutions = sorted({h3.get_resolution(cell) for cell in lookup})
    missing = []
    for cell in cells:
        own = h3.get_resolution(cell)
        if not any(res <= own and h3.cell_to_parent(cell, res) in lookup for res in resolutions):
            missing.append(cell)
    return missing


def central_cell(cells: Sequence[str]) -> str:
    """Return the cell with the least total distance to the others (the first in order where several have)."""
    centres = {cell: h3.cell_to_latlng(cell) for cell in sorted(cells)}
    return min(centres, key=lambda cell: round(sum(h3.great_circle_distance(centres[cell], c) for c in centres.values()), 9))


def _rank(seed: bytes, cell: str) -> bytes:
    return hashlib.sha256(b"fairwitness/area" + seed + cell.encode()).digest()


def _grown(start: str, size: int, seed: bytes, allowed: Collection[str] | None) -> list[str]:
    """Return up to `size` cells around `start`, near ones first, each touching one before it."""
    order, ring = [start], [start]
    seen = {start}
    while ring and len(order) < size:
        beside = {cell for one in ring for cell in h3.grid_disk(one, 1)} - seen
        if allowed is not None:
            beside -= set(outside(beside, allowed))
        seen |= beside
        ring = sorted(beside, key=lambda cell: _rank(seed, cell))
        order.extend(ring)
    return order[:size]


def expand_area(cells: Collection[str], *, seed: bytes, size: int) -> tuple[str, ...]:
    """Grow a connected area to `size` cells, ring by ring, in an order that `seed` decides; returns them sorted."""
    area = set(cells)
    while len(area) < size:
        beside = {cell for one in area for cell in h3.grid_disk(one, 1)} - area
        area.update(sorted(beside, key=lambda cell: _rank(seed, cell))[: size - len(area)])
    return tuple(sorted(area))


def suggest_area(
    lat: float,
    lon: float,
    *,
    seed: bytes,
    dwellings: Dwellings | None = None,
    jurisdiction: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Propose a legal area that holds the incident but is not centred on it.

    `lat`, `lon`: degrees, WGS 84; they do not leave the agency. `seed`: fresh random bytes, so that the centre, one of the
    incident's neighbours, cannot be reckoned back. Grows past 7 cells, and past 12, only until 40 dwellings are inside;
    past 12 the request must carry `wide_reason` "sparse". Raises ProtocolError `area.jurisdiction` or `area.dwellings`.
    """
    incident = h3.latlng_to_cell(lat, lon, RESOLUTION)
    allowed = None if jurisdiction is None else frozenset(jurisdiction)
    if allowed is not None and outside([incident], allowed):
        raise ProtocolError("area.jurisdiction", "the incident lies outside the agency's jurisdiction")
    centres = [cell for cell in h3.grid_disk(incident, 1) if cell != incident]
    if allowed is not None:
        beyond = set(outside(centres, allowed))
        centres = [cell for cell in centres if cell not in beyond]
    too_few = False
    for centre in sorted(centres, key=lambda cell: _rank(seed, cell)):
        order = _grown(centre, AREA_MAX_SPARSE, seed, allowed)
        sizes = range(AREA_MIN, len(order) + 1) if dwellings else range(AREA_MIN, min(AREA_MIN, len(order)) + 1)
        for size in sizes:
            area = tuple(sorted(order[:size]))
            if incident not in area or central_cell(area) == incident:
                continue
            if dwellings is None or dwellings(area) >= DWELLINGS_MIN:
                return area
            too_few = True
    if too_few:
        raise ProtocolError("area.dwellings", f"even {AREA_MAX_SPARSE} cells hold fewer than {DWELLINGS_MIN} dwellings here")
    raise ProtocolError("area.jurisdiction", "no legal area fits between the incident and the border")
