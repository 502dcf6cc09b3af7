import math

import h3
import pytest
from fairwitness_core.rules.matching import RANGE_MAX_M, Hit, Match, View, Watcher, camera_cell, clipped, match, view_cells
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tests.rules.places import AREA, CENTRE, LAT, LON, disk

EARTH_M = 6_371_008.8

views = st.builds(
    View,
    st.floats(-70, 70),
    st.floats(-180, 180),
    st.floats(0, 360),
    st.floats(1, 360),
    st.floats(0, RANGE_MAX_M),
)


def walk(view: View, bearing_deg: float, distance_m: float) -> str:
    """The cell that lies so far from the camera, along a great circle (independent of the module's flat projection)."""
    bearing, angle = math.radians(bearing_deg), distance_m / EARTH_M
    lat, lon = math.radians(view.lat), math.radians(view.lon)
    there = math.asin(math.sin(lat) * math.cos(angle) + math.cos(lat) * math.sin(angle) * math.cos(bearing))
    east = math.atan2(math.sin(bearing) * math.sin(angle) * math.cos(lat), math.cos(angle) - math.sin(lat) * math.sin(there))
    return h3.latlng_to_cell(math.degrees(there), (math.degrees(lon + east) + 540) % 360 - 180, 9)


def sampled(view: View, *, slack: float = 1.0, turns: int = 40, steps: int = 25) -> set[str]:
    half = view.fov_deg / 2 * slack
    return {
        walk(view, view.heading_deg - half + 2 * half * turn / turns, view.range_m * slack * step / steps)
        for turn in range(turns + 1)
        for step in range(steps + 1)
    }


@settings(deadline=None, max_examples=150)
@given(views)
def test_the_cone_covers_every_sampled_point(view):
    cells = view_cells(view)
    assert camera_cell(view.lat, view.lon) in cells
    # A point on the very rim may fall either way by a millimetre.
    assert sampled(view, slack=0.9999) <= cells


@settings(deadline=None, max_examples=80)
@given(views.filter(lambda view: view.range_m > 5 and view.fov_deg > 5))
def test_the_cone_holds_no_cell_that_lies_beyond(view):
    wider = View(view.lat, view.lon, view.heading_deg, min(360.0, view.fov_deg + 4), min(RANGE_MAX_M, view.range_m + 15))
    reach = sampled(wider, turns=150, steps=60)
    for cell in view_cells(view) - reach:
        # What dense sampling of a slightly larger cone misses can only be a corner's tip.
        corners = h3.cell_to_boundary(cell)
        assert min(h3.great_circle_distance(c, (view.lat, view.lon), unit="m") for c in corners) <= view.range_m + 15


@settings(deadline=None)
@given(views, st.floats(0, 1))
def test_the_cone_grows_with_range(view, share):
    nearer = View(view.lat, view.lon, view.heading_deg, view.fov_deg, view.range_m * share)
    assert view_cells(nearer) <= view_cells(view)


@settings(deadline=None)
@given(views)
def test_a_full_circle_holds_every_cone(view):
    round_about = View(view.lat, view.lon, 0.0, 360.0, view.range_m)
    assert view_cells(view) <= view_cells(round_about)
    assert len(view_cells(round_about)) <= 60


def test_a_camera_looks_where_it_points():
    north = view_cells(View(LAT, LON, 0, 60, 400))
    south = view_cells(View(LAT, LON, 180, 60, 400))
    assert north & south == {CENTRE}
    assert walk(View(LAT, LON, 0, 1, 1), 0, 399) in north
    assert walk(View(LAT, LON, 0, 1, 1), 180, 399) in south


@pytest.mark.parametrize(
    "numbers",
    [
        (91, 0, 0, 90, 10),
        (0, 181, 0, 90, 10),
        (0, 0, 0, 0, 10),
        (0, 0, 0, 361, 10),
        (0, 0, 0, 90, -1),
        (0, 0, 0, 90, 501),
        (math.nan, 0, 0, 90, 10),
        (0, 0, math.inf, 90, 10),
    ],
)
def test_impossible_cameras_are_refused(numbers):
    with pytest.raises(ProtocolError, match=r"^camera\.view:"):
        View(*numbers)


CAMERAS = {"porch": frozenset({CENTRE}), "drive": frozenset(disk(7)), "far": frozenset({h3.latlng_to_cell(10, 10, 9)})}


def test_matching():
    recordings = {"porch": [(50, 90), (95, 120), (200, 300)], "drive": [(0, 100)], "far": [(0, 1000)]}
    found = match(AREA, (100, 210), CAMERAS, recordings)
    assert found == Match((Hit("porch", (CENTRE,), ((100, 120), (200, 210))),))
    assert found.cameras == ("porch",)
    both = match(AREA, (0, 1000), CAMERAS, recordings)
    assert both is not None
    assert both.cameras == ("drive", "porch")
    assert match(AREA, (300, 400), CAMERAS, recordings) is None
    assert match((h3.latlng_to_cell(20, 20, 9),), (0, 1000), CAMERAS, recordings) is None
    assert match((), (0, 1000), CAMERAS, recordings) is None
    assert match(AREA, (0, 1000), {}, recordings) is None
    assert match(AREA, (0, 1000), CAMERAS, {}) is None


@given(
    st.lists(st.sampled_from(sorted(h3.grid_disk(CENTRE, 2))), min_size=1, max_size=12, unique=True),
    st.tuples(st.integers(0, 50), st.integers(1, 50)),
    st.dictionaries(
        st.sampled_from(["porch", "drive", "far"]), st.lists(st.tuples(st.integers(0, 90), st.integers(0, 20)), max_size=4)
    ),
)
def test_matching_agrees_with_brute_force(area, window, recorded):
    low, high = window[0], window[0] + window[1]
    recordings = {name: [(a, a + length) for a, length in spans] for name, spans in recorded.items()}
    expected = sorted(
        name
        for name, cells in CAMERAS.items()
        if cells & set(area) and any(low <= second < high for a, b in recordings.get(name, []) for second in range(a, b))
    )
    found = Watcher(CAMERAS).match(area, (low, high), recordings)
    assert (list(found.cameras) if found else []) == expected
    assert Watcher(CAMERAS).near(area) == any(cells & set(area) for cells in CAMERAS.values())


def test_touching_ends_do_not_overlap():
    assert clipped([(0, 10), (20, 30)], (10, 20)) == ()
    assert clipped([(25, 30), (5, 15)], (10, 27)) == ((10, 15), (25, 27))
