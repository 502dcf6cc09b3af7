"""Making an agency node, and pinning the hub that it works with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairwitness_core.model.hub import JoinFile
from fairwitness_core.rules.jurisdiction import cover
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire import dsse

from fairwitness.agency.services import node
from fairwitness.kit import config, database, files, secrets_store, supervise
from fairwitness.kit.errors import Refused
from fairwitness.kit.http import Http, TooLarge, Unreachable

_MAX_JOIN = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencySpec:
    """Who an agency is.

    `jurisdiction`: GeoJSON (a geometry, a feature, or a collection of one). `settings`: further keys of config.toml.
    `recovery`: the offline recipient; a fresh one is made, and its secret returned once, where it is empty.
    """

    agency: str
    ori: str
    name: str
    state: str
    level: str
    jurisdiction: Mapping[str, Any]
    federal: bool = False
    vouched: tuple[str, ...] = ()
    recovery: str = ""
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Initialised:
    """A new node: its registration file, the recovery secret if one was made here, and the agency key's id."""

    registration: Path
    recovery_secret: str | None
    kid: str


def initialise(folder: Path, spec: AgencySpec) -> Initialised:
    """Make a node in `folder` and set this process up as it. Raises Refused where there is one, ProtocolError, ConfigError."""
    if (folder / config.FILE_NAME).exists():
        raise Refused(409, "setup.exists", f"{folder} holds a node already.", "Name an empty folder.")
    geometry = geometry_of(spec.jurisdiction)
    cover(geometry)
    files.private_dir(folder)
    config.write(
        folder,
        {
            "agency": spec.agency,
            "ori": spec.ori,
            "name": spec.name,
            "state": spec.state,
            "level": spec.level,
            "federal": spec.federal,
            "vouched": list(spec.vouched),
            **(spec.settings or {}),
        },
    )
    supervise.setup("agency", folder)
    database.migrate_at_start()
    return make_keys(geometry, spec.recovery)


def make_keys(geometry: Mapping[str, Any], recovery: str = "") -> Initialised:
    """Make this node's keys and its first registration file."""
    from fairwitness.agency.services import officers  # noqa: PLC0415 - its tables need the settings that were set up just now

    secret: str | None = None
    if not recovery:
        secret, recovery = secrets_store.new_recovery_identity()
    secrets_store.set_recovery_recipient(recovery)
    key = node.make_agency_key()
    node.hold_identity()
    files.write_atomic(node.join_path().with_name("jurisdiction.json"), json.dumps(geometry).encode())
    officers.write_registration()
    return Initialised(node.join_path().with_name("registration.json"), secret, key.public.kid)


def geometry_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one geometry of a GeoJSON object. Raises Refused."""
    kind = value.get("type")
    if kind == "FeatureCollection" and len(value.get("features", [])) == 1:
        return geometry_of(value["features"][0])
    if kind == "Feature" and isinstance(value.get("geometry"), Mapping):
        return geometry_of(value["geometry"])
    if kind in ("Polygon", "MultiPolygon"):
        return {"type": kind, "coordinates": value.get("coordinates")}
    raise Refused(400, "jurisdiction.form", "The jurisdiction is one GeoJSON Polygon or MultiPolygon.")


def fetch_join(where: str) -> bytes:
    """Return a join file's bytes from a path or an address. Raises Refused, OSError."""
    if not where.startswith(("http://", "https://")):
        return Path(where).read_bytes()
    try:
        answer = Http().get(where, max_bytes=_MAX_JOIN)
    except (Unreachable, TooLarge) as error:
        raise Refused(503, "hub.unreachable", f"{where}: {error}") from error
    if answer.status != 200:
        raise Refused(502, "hub.join", f"{where} answered {answer.status}.")
    return answer.body


def trust(data: bytes, *, accept: bool) -> list[str]:
    """Return the fingerprints of a join file, to compare with those each witness publishes; pin it if `accept`.

    A pinned hub is not changed by this: another genesis is another hub. Raises Refused, ProtocolError.
    """
    data = data.removesuffix(b"\n")
    join = JoinFile.parse(data)
    policy = Policy.parse(join.policy.encode())
    for vkey in (join.public_log, join.sealed_log):
        if vkey not in {item.key.encode() for item in policy.logs}:
            raise Refused(400, "hub.policy", "The policy of this join file does not list both of its logs.")
    if accept:
        if node.joined() and node.hub().genesis != join.genesis:
            raise Refused(409, "hub.other", "Another hub is pinned here.", "Make a new node for another hub.")
        files.write_atomic(node.join_path(), data)
    return [
        f"hub         {join.name} {join.url}",
        f"hub key     {dsse.b64(join.hub_key)}",
        f"public log  {join.public_log}",
        f"sealed log  {join.sealed_log}",
        f"genesis     {join.genesis}",
        *(f"witness     {item.name} {item.key.encode()} {item.url}".rstrip() for item in policy.witnesses),
        f"quorum      {policy.quorum}",
    ]
