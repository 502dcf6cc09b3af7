"""Shared places and builders: a request in the middle of Oakland that satisfies every rule."""

from dataclasses import replace

import h3
from fairwitness_core.rules import caps

NOW = 1_790_000_000
LAT, LON = 37.8044, -122.2712
CENTRE = h3.latlng_to_cell(LAT, LON, 9)
CITY = frozenset(h3.grid_disk(h3.cell_to_parent(CENTRE, 6), 1))
AREA = tuple(sorted(h3.grid_disk(CENTRE, 1)))
MESSAGE = (
    "Two people broke the rear window of a bakery near 5th and Main and carried off a cash drawer. "
    "Look for a red hatchback with a roof rack heading north."
)
OFFICERS = ("kid-officer-one1", "kid-officer-two2")

AGENCY = caps.AgencyFacts(
    agency="us-ca-0001", state="CA", jurisdiction=CITY, officer_keys=frozenset({*OFFICERS, "kid-officer-thr3"})
)
POLICY = caps.HubPolicy("CA")
REQUEST = caps.RequestFacts(
    id="00" * 16,
    agency="us-ca-0001",
    case="26-001873",
    offense="nibrs:220",
    area=AREA,
    from_=NOW - 7200,
    to=NOW - 4800,
    msg=MESSAGE,
    contact="Burglary unit, 510-555-0100",
    expires=NOW + 7 * caps.DAY,
    at=NOW,
)


def request(**changes: object) -> caps.RequestFacts:
    return replace(REQUEST, **changes)


def disk(count: int) -> tuple[str, ...]:
    """A connected area of `count` cells around the centre."""
    cells: list[str] = []
    for radius in range(9):
        cells.extend(sorted(h3.grid_ring(CENTRE, radius)))
        if len(cells) >= count:
            break
    return tuple(sorted(cells[:count]))


def judged(asked: caps.RequestFacts = REQUEST, **changes: object) -> caps.Verdict:
    given = {"now": NOW, "signers": OFFICERS, "agency": AGENCY, "policy": POLICY, "dwellings": lambda cells: 10 * len(cells)}
    return caps.check_request(asked, **{**given, **changes})


def believed(asked: caps.RequestFacts = REQUEST, **changes: object) -> caps.Verdict:
    given = {"now": NOW, "signers": OFFICERS, "agency": AGENCY, "policy": POLICY}
    return caps.check_published(asked, **{**given, **changes})
