"""Who may ask here: each authorisation, change of keys and suspension is an entry of the public log."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import h3
import shapely
from fairwitness_core.model.agency import AgencyAuthorized, AgencyKey, AgencySuspended, KeyRotated
from fairwitness_core.model.hub import PolicyChanged
from fairwitness_core.rules.jurisdiction import cover
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import PendingEntry, Polygon
from fairwitness.hub.services import directory as directories
from fairwitness.hub.services import entries
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

DAY = 86_400
_FIELDS = {"v", "type", "agency", "ori", "name", "state", "level", "federal", "jurisdiction", "keys", "vouched"}


def read_registration(value: Any) -> dict[str, Any]:
    """Return an agency's registration if it has exactly the fields of version 1; raises ProtocolError."""
    if not isinstance(value, dict) or (value.get("type"), value.get("v")) != ("agency_registration", 1):
        raise ProtocolError("registration.type", "this is no agency registration of version 1")
    if set(value) != _FIELDS:
        raise ProtocolError(
            "registration.fields", "a field is missing or unknown", evidence=", ".join(sorted(set(value) ^ _FIELDS))
        )
    if not isinstance(value["keys"], list) or not isinstance(value["vouched"], list):
        raise ProtocolError("registration.shape", "keys and vouched are lists")
    return value


def register(registration: Mapping[str, Any], *, days: int = 365) -> tuple[PendingEntry, ...]:
    """Log what an agency's registration says beyond the directory: its authorisation, or the keys that came and went.

    Returns the queued entries, none where nothing changed. Raises ProtocolError or Refused for what cannot be logged.
    """
    value = read_registration(dict(registration))
    now = clock.now()
    keys = tuple(AgencyKey.from_json(item, "key") for item in value["keys"])
    geojson = json.dumps(value["jurisdiction"], sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(geojson).hexdigest()
    document = AgencyAuthorized(
        agency=value["agency"],
        ori=value["ori"],
        name=value["name"],
        state=value["state"],
        level=value["level"],
        federal=value["federal"],
        jurisdiction=cover(value["jurisdiction"]),
        jurisdiction_sha256=digest,
        keys=keys,
        vouched=tuple(value["vouched"]) or ("the operator of this hub",),
        expires=now + days * DAY,
        at=now,
    )
    _shape(geojson)
    _settle_queue(document.agency)
    record = directories.current().agency(document.agency)
    Polygon.objects.get_or_create(sha256=digest, defaults={"geojson": geojson})
    if record is None or record.suspended or now >= record.authorized.expires - 30 * DAY or _differs(record.authorized, document):
        return (entries.state(document),)
    return rotate(document.agency, keys)


def _differs(old: AgencyAuthorized, new: AgencyAuthorized) -> bool:
    names = ("ori", "name", "state", "level", "federal", "jurisdiction", "jurisdiction_sha256", "vouched")
    return any(getattr(old, name) != getattr(new, name) for name in names)


def _settle_queue(agency: str) -> None:
    """Refuse to judge a registration against a directory that is about to change."""
    kinds = (AgencyAuthorized.TYPE, KeyRotated.TYPE)
    if PendingEntry.objects.filter(state="queued", kind__in=kinds, agency=agency).exists():
        raise Refused(409, "agency.pending", "An earlier change of this agency is not in the log yet.", "Try again in a moment.")


def rotate(agency: str, keys: Sequence[AgencyKey]) -> tuple[PendingEntry, ...]:
    """Log the difference between an agency's live keys and `keys`; removed ones count no more from that entry on."""
    record = directories.current().agency(agency)
    if record is None:
        raise Refused(404, "agency.unknown", "There is no such agency.")
    held = {key.kid: key for key in record.keys}
    wanted = {key.kid: key for key in keys}
    add = tuple(key for kid, key in wanted.items() if held.get(kid) != key)
    remove = tuple(sorted(kid for kid, key in held.items() if wanted.get(kid) != key))
    if not add and not remove:
        return ()
    return (entries.state(KeyRotated(agency=agency, add=add, remove=remove, at=clock.now())),)


def suspend(agency: str, reason: str) -> PendingEntry:
    """Log that from now on nothing this agency signs counts. Raises Refused, ProtocolError."""
    if directories.current().agency(agency) is None:
        raise Refused(404, "agency.unknown", "There is no such agency.")
    return entries.state(AgencySuspended(agency=agency, reason=reason, at=clock.now()))


def change_policy(kind: str, text: str, effective_at: int) -> PendingEntry:
    """Log a change of policy, its notice kept. Raises ProtocolError (`policy.notice`, ...)."""
    from fairwitness.hub.services import admission, identity  # noqa: PLC0415 - avoids a cycle

    now = clock.now()
    before = directories.current().policies(kind)
    first = hashlib.sha256(identity.load().policy_text.encode()).hexdigest() if kind == "witness" else "0" * 64
    document = PolicyChanged(
        kind=kind,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
        supersedes=before[-1].sha256 if before else first,
        effective_at=effective_at,
        at=now,
    )
    admission.check_policy(document, now)
    return entries.state(document)


def strays(cells: Sequence[str], polygon_sha256: str) -> list[str]:
    """Return the cells whose centre is outside the exact polygon; raises Refused where its file is gone."""
    row = Polygon.objects.filter(sha256=polygon_sha256).first()
    if row is None:
        raise Refused(503, "agency.polygon", "The hub lost this agency's polygon.", "An admin registers the agency again.")
    shape = _shape(bytes(row.geojson))
    outside = []
    for cell in cells:
        lat, lon = h3.cell_to_latlng(cell)
        if not shapely.intersects_xy(shape, lon, lat):
            outside.append(cell)
    return outside


@functools.lru_cache(maxsize=64)
def _shape(geojson: bytes) -> Any:
    try:
        shape = shapely.from_geojson(geojson.decode())
    except (shapely.errors.ShapelyError, UnicodeDecodeError) as error:
        raise ProtocolError("jurisdiction.geometry", "the polygon cannot be read", evidence=str(error)) from error
    if shape is None or shape.is_empty or not shape.is_valid:
        raise ProtocolError("jurisdiction.geometry", "the polygon crosses itself or is empty", hint="repair it and try again")
    shapely.prepare(shape)
    return shape
