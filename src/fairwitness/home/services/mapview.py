"""Where a map begins before anybody said where they live: worked out from what is pinned here, never by asking a network."""

import math
from typing import Final

import h3

from fairwitness.home.models import Camera, Request
from fairwitness.home.services import follower, join, matching
from fairwitness.kit import clock

WORLD: Final = {"lat": 25.0, "lon": 0.0, "zoom": 1.0}


def start() -> dict[str, float]:
    """Return latitude, longitude and zoom: near the cameras; else of the agencies' jurisdictions, of live requests, the world."""
    rows = Camera.objects.values_list("lat", "lon")
    placed = [(lat, lon) for lat, lon in rows if lat is not None and lon is not None]
    if placed:
        return _around(placed, closest=17.0)
    cells = _jurisdictions() or _requested()
    return _around([h3.cell_to_latlng(cell) for cell in cells], closest=13.0) if cells else dict(WORLD)


def _jurisdictions() -> list[str]:
    if join.pinned() is None:
        return []
    directory = follower.directory()
    found = [directory.agency(name) for name in directory.agencies()]
    return [cell for record in found if record is not None for cell in record.authorized.jurisdiction]


def _requested() -> list[str]:
    live = Request.objects.filter(expires__gt=clock.now(), withdrawn="")[:50]
    return [cell for row in live for cell in matching.document(row).area]


def _around(places: list[tuple[float, float]], *, closest: float) -> dict[str, float]:
    lats, lons = [lat for lat, _ in places], [lon for _, lon in places]
    lat, lon = (min(lats) + max(lats)) / 2, (min(lons) + max(lons)) / 2
    # A page is some 700 points wide, on which zoom 0 shows the world one and a half times.
    span = max((max(lats) - min(lats)) * 1.6, (max(lons) - min(lons)) * math.cos(math.radians(lat)), 0.0005)
    return {"lat": round(lat, 6), "lon": round(lon, 6), "zoom": round(min(max(math.log2(360 / span), 1.0), closest), 1)}
