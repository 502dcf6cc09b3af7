"""Where the demo happens: a made-up town with made-up residents, drawn afresh each time so that nobody's home is meant.

The town lies on a stretch of open prairie; its streets exist only in the footage that the demo draws.
"""

import random
from dataclasses import dataclass

import h3

TOWN = "Prairie Junction"
AGENCY_ID = "us-ne-prairiejunction"
AGENCY_NAME = "Prairie Junction Police (demo)"
ORI = "NE0000000"
STATE = "NE"
CENTRE = (41.6032, -99.8641)
ZONE = "America/Chicago"
AREA_CELLS = 9

_FIRST = (
    "Amaranth",
    "Bellwether",
    "Cinnabar",
    "Dovecote",
    "Elderflower",
    "Foxglove",
    "Gossamer",
    "Hollyhock",
    "Juniper",
    "Larkspur",
)
_THING = (
    "Lantern",
    "Weathervane",
    "Trellis",
    "Sundial",
    "Birdbath",
    "Hammock",
    "Rainbarrel",
    "Windchime",
    "Porchswing",
    "Pergola",
)


@dataclass(frozen=True, slots=True)
class Resident:
    """One household: `part` says what it does in the story, `lat`/`lon` where its camera stands (degrees)."""

    name: str
    part: str
    camera: str
    place: str
    lat: float
    lon: float
    heading: int

    @property
    def private(self) -> list[str]:
        """Strings that may stand in this household's folder only."""
        cell = h3.latlng_to_cell(self.lat, self.lon, 12)
        return [f"{self.lat:.7f}", f"{self.lon:.7f}", cell, self.camera, self.place]


PARTS = ("shares", "withdraws", "ignores", "muted", "outside")


@dataclass(frozen=True, slots=True)
class Town:
    """The jurisdiction (GeoJSON geometry), the request's area (sorted res-9 cells) and the residents."""

    jurisdiction: dict[str, object]
    area: tuple[str, ...]
    residents: tuple[Resident, ...]


def draw(seed: int) -> Town:
    """Draw the town: four households with a camera inside the area, one outside it."""
    rng = random.Random(seed)  # noqa: S311 - scenery, not a secret
    lat, lon = CENTRE[0] + rng.uniform(-0.01, 0.01), CENTRE[1] + rng.uniform(-0.01, 0.01)
    centre = h3.latlng_to_cell(lat, lon, 9)
    ring = sorted(set(h3.grid_disk(centre, 2)) - set(h3.grid_disk(centre, 1)))
    first = rng.randrange(len(ring))
    beside = [cell for cell in ring if h3.are_neighbor_cells(cell, ring[first])]
    area = tuple(sorted({*h3.grid_disk(centre, 1), ring[first], *beside[: AREA_CELLS - 8]}))
    outside = sorted(set(h3.grid_ring(centre, 12)))
    residents = []
    words = list(zip(rng.sample(_FIRST, 5), rng.sample(_THING, 5), strict=True))
    for number, (part, (first_word, thing)) in enumerate(zip(PARTS, words, strict=True), 1):
        cell = rng.choice(outside if part == "outside" else area)
        cell_lat, cell_lon = h3.cell_to_latlng(cell)
        tag = rng.randrange(1000, 9999)
        residents.append(
            Resident(
                name=f"home-{number}",
                part=part,
                camera=f"{first_word} {thing} {tag}",
                place=f"{first_word} Cottage {rng.randrange(10000, 99999)}",
                lat=round(cell_lat + rng.uniform(-0.0004, 0.0004), 7),
                lon=round(cell_lon + rng.uniform(-0.0004, 0.0004), 7),
                heading=rng.randrange(360),
            )
        )
    half = 0.06
    south, north, west, east = lat - half, lat + half, lon - half, lon + half
    square = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    rounded = [[round(x, 3), round(y, 3)] for x, y in square]
    return Town({"type": "Polygon", "coordinates": [rounded]}, area, tuple(residents))
