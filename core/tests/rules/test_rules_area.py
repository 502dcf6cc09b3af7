import h3
import pytest
from fairwitness_core.rules import area as areas
from fairwitness_core.rules.area import expand_area, is_connected, outside, suggest_area
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tests.rules.places import CENTRE, CITY, LAT, LON, believed, disk, request

PLACES = st.tuples(st.floats(-60, 70), st.floats(-180, 180))


def test_connection_is_by_edges():
    assert not is_connected(())
    assert is_connected((CENTRE,))
    assert is_connected(disk(19))
    assert not is_connected((CENTRE, h3.grid_ring(CENTRE, 2)[0]))


@given(st.sets(st.sampled_from(sorted(h3.grid_disk(CENTRE, 3))), min_size=1, max_size=20))
def test_connection_agrees_with_union_find(cells):
    parent = {cell: cell for cell in cells}

    def root(cell):
        while parent[cell] != cell:
            cell = parent[cell]
        return cell

    for one in cells:
        for two in cells:
            if one < two and h3.are_neighbor_cells(one, two):
                parent[root(one)] = root(two)
    assert is_connected(cells) == (len({root(cell) for cell in cells}) == 1)


def test_outside_knows_ancestors():
    assert outside([CENTRE], {h3.cell_to_parent(CENTRE, 4)}) == []
    assert outside([CENTRE], [CENTRE]) == []
    assert outside([CENTRE], h3.cell_to_children(CENTRE, 10)) == [CENTRE]
    assert outside([CENTRE], []) == [CENTRE]
    assert outside(disk(7), {CENTRE}) == [cell for cell in disk(7) if cell != CENTRE]


@settings(max_examples=150, deadline=None)
@given(PLACES, st.binary(min_size=16, max_size=16))
def test_suggestions_are_legal_and_off_centre(place, seed):
    incident = h3.latlng_to_cell(*place, 9)
    area = suggest_area(*place, seed=seed)
    assert incident in area
    assert areas.central_cell(area) != incident
    assert len(area) == areas.AREA_MIN
    assert list(area) == sorted(set(area))
    assert is_connected(area)
    assert area == suggest_area(*place, seed=seed)


def test_the_offset_depends_on_the_seed():
    areas_seen = {suggest_area(LAT, LON, seed=bytes([n])) for n in range(60)}
    assert len(areas_seen) == 6  # each neighbour of the incident has been the centre


def test_suggestions_grow_for_dwellings_and_stay_inside():
    area = suggest_area(LAT, LON, seed=b"s", dwellings=lambda cells: 4 * len(cells), jurisdiction=CITY)
    assert len(area) == 10
    assert believed(request(area=area)).ok
    wide = suggest_area(LAT, LON, seed=b"s", dwellings=len)
    assert len(wide) == 40
    with pytest.raises(ProtocolError, match=r"^area\.dwellings:"):
        suggest_area(LAT, LON, seed=b"s", dwellings=lambda _cells: 0)


def test_suggestions_at_a_border():
    cells = frozenset(expand_area((CENTRE,), seed=b"border", size=9))
    incident = sorted(cells)[0]
    area = suggest_area(*h3.cell_to_latlng(incident), seed=b"s", jurisdiction=cells)
    assert set(area) <= cells
    assert incident in area
    assert is_connected(area)
    with pytest.raises(ProtocolError, match=r"^area\.jurisdiction:"):
        suggest_area(0.0, 0.0, seed=b"s", jurisdiction=cells)
    with pytest.raises(ProtocolError, match=r"^area\.jurisdiction:"):
        suggest_area(LAT, LON, seed=b"s", jurisdiction={CENTRE})


@given(st.integers(1, 30), st.binary(max_size=8))
def test_expansion_stays_connected(size, seed):
    grown = expand_area((CENTRE,), seed=seed, size=size)
    assert len(grown) == size
    assert CENTRE in grown
    assert is_connected(grown)
    assert set(grown) <= set(expand_area(grown, seed=seed, size=size + 3))


def test_around_a_pentagon():
    pentagon = h3.get_pentagons(9)[0]
    area = suggest_area(*h3.cell_to_latlng(pentagon), seed=b"p")
    assert pentagon in area
    assert len(area) == 7
    assert is_connected(area)
