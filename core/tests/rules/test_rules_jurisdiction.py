import json
import os
from pathlib import Path

import h3
import pytest
from fairwitness_core.rules.area import outside
from fairwitness_core.rules.jurisdiction import CELLS_MAX, cover
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent.parent.parent
DATA = Path(os.environ.get("FAIRWITNESS_TEST_DATA", ROOT.parent / "shared" / "data"))


def box(west: float, south: float, east: float, north: float) -> dict:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


TOWN = box(-122.30, 37.77, -122.20, 37.83)


def test_a_town():
    cells = cover(TOWN)
    assert list(cells) == sorted(set(cells))
    assert len(cells) <= CELLS_MAX
    assert max(map(h3.get_resolution, cells)) == 9
    assert sorted(h3.compact_cells(h3.uncompact_cells(cells, 9))) == list(cells)
    assert cells == cover(json.loads(json.dumps(TOWN)))
    assert outside([h3.latlng_to_cell(37.8, -122.25, 9)], cells) == []
    assert outside([h3.latlng_to_cell(37.8, -122.10, 9)], cells) != []


@settings(deadline=None, max_examples=25)
@given(st.floats(-60, 60), st.floats(-170, 170), st.floats(0.001, 0.5), st.floats(0.001, 0.5), st.data())
def test_every_point_inside_is_covered(south, west, height, width, data):
    shape = box(west, south, west + width, south + height)
    cells = cover(shape, limit=200)
    assert 0 < len(cells) <= 200
    lat = south + height * data.draw(st.floats(0.01, 0.99))
    lon = west + width * data.draw(st.floats(0.01, 0.99))
    assert outside([h3.latlng_to_cell(lat, lon, 9)], cells) == []


def test_holes_and_parts():
    outer = box(-122.30, 37.77, -122.20, 37.83)["coordinates"][0]
    hole = box(-122.27, 37.785, -122.23, 37.815)["coordinates"][0]
    ringed = cover({"type": "Polygon", "coordinates": [outer, hole]})
    assert outside([h3.latlng_to_cell(37.8, -122.25, 9)], ringed) != []
    parts = cover({"type": "MultiPolygon", "coordinates": [[outer], box(-121.3, 37.7, -121.2, 37.8)["coordinates"]]})
    for lat, lon in ((37.8, -122.25), (37.75, -121.25)):
        assert outside([h3.latlng_to_cell(lat, lon, 9)], parts) == []


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"type": "Point", "coordinates": [0, 0]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": "x"},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [0, 0], [0, 0], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [181, 0], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, float("nan")], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [True, 0], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], ["1", 0], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[0, 1, 2, 3]]},
        {"type": "MultiPolygon", "coordinates": [[]]},
    ],
)
def test_what_is_no_polygon_is_refused(geometry):
    with pytest.raises(ProtocolError, match=r"^jurisdiction\.geometry:"):
        cover(geometry)


def geometries(topology: dict) -> list[dict]:
    """Unpack a TopoJSON file: quantised, delta-coded arcs, shared between shapes."""
    (sx, sy), (dx, dy) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for step in arc:
            x, y = x + step[0], y + step[1]
            line.append([x * sx + dx, y * sy + dy])
        arcs.append(line)

    def ring(numbers: list[int]) -> list[list[float]]:
        line: list[list[float]] = []
        for number in numbers:
            part = arcs[number] if number >= 0 else arcs[~number][::-1]
            line += part[1:] if line else part
        return line

    found = []
    for shape in (shape for kind in topology["objects"].values() for shape in kind["geometries"]):
        if shape["type"] not in ("Polygon", "MultiPolygon"):
            continue
        parts = [shape["arcs"]] if shape["type"] == "Polygon" else shape["arcs"]
        # Coarse quantisation shrinks islets to a point or a line; those are no rings.
        polygons = [[line for line in map(ring, rings) if len({tuple(p) for p in line}) > 2] for rings in parts]
        found.append({"type": "MultiPolygon", "coordinates": [rings for rings in polygons if rings]})
    return found


@pytest.mark.slow
@pytest.mark.testdata
def test_real_counties_and_states_fit():
    folder = DATA / "boundaries"
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}")
    files = sorted(folder.rglob("*.json")) + sorted(folder.rglob("*.geojson"))
    assert files, f"{folder} holds no boundaries"
    seen = 0
    for file in files:
        shapes = geometries(json.loads(file.read_text()))
        for shape in shapes[:: max(1, len(shapes) // 8)]:
            cells = cover(shape)
            assert 0 < len(cells) <= CELLS_MAX
            ring = shape["coordinates"][0][0]
            # The border itself is covered, so everything inside is; to within two kilometres for something like a state.
            reach = 0 if sum(h3.cell_area(cell) for cell in cells) < 12_000 else 6
            for lon, lat in ring[:: max(1, len(ring) // 20)]:
                near = h3.grid_disk(h3.latlng_to_cell(lat, lon, 9), reach)
                assert len(outside(near, cells)) < len(near)
            seen += 1
    assert seen


@pytest.mark.parametrize("geometry", ["us-ca-oakland", 1, None, [], [{}]])
def test_what_is_no_geometry_is_refused(geometry):
    with pytest.raises(ProtocolError) as caught:
        cover(geometry)
    assert caught.value.code == "jurisdiction.geometry"
