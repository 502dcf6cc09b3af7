"""What agencies register with a hub, by the functions that read it."""

import json
from typing import Any

from fairwitness_core.model.agency import AgencyKey
from fairwitness_core.rules.jurisdiction import cover
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.services import agencies
from fairwitness.kit import foreign
from fairwitness.kit.errors import Refused
from tests.fuzz.harness import Target
from tests.fuzz.targets import bag_world

SQUARE = [[[-122.30, 37.80], [-122.29, 37.80], [-122.29, 37.81], [-122.30, 37.80]]]


def registration(data: bytes) -> Any:
    try:
        value = foreign.json_value(data)
    except ValueError as error:
        raise ProtocolError("json", "not read") from error
    found = agencies.read_registration(value)
    for item in found["keys"]:
        AgencyKey.from_json(item, "key")
    cover(found["jurisdiction"])
    return agencies._shape.__wrapped__(json.dumps(found["jurisdiction"]).encode())


def seeds() -> list[bytes]:
    world = bag_world()
    value = {
        "v": 1, "type": "agency_registration", "agency": "us-ca-oakland", "ori": "CA0010900", "name": "Oakland", "state": "CA",
        "level": "municipal", "federal": False, "jurisdiction": {"type": "Polygon", "coordinates": SQUARE},
        "keys": [world.registered(key, "officer").to_json() for key in world.officers[:2]], "vouched": ["City"],
    }  # fmt: skip
    return [
        json.dumps(value).encode(),
        json.dumps(value | {"jurisdiction": {"type": "MultiPolygon", "coordinates": [SQUARE]}}).encode(),
    ]


TARGETS = (
    Target("hub-registration", (), registration, seeds, (ProtocolError, Refused), shape="json", role="hub", examples=120),
)  # fmt: skip
