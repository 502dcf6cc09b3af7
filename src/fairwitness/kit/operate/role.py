"""How a role describes itself to its operator's commands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairwitness.kit.config import RoleConfig
from fairwitness.kit.operate.checks import Check
from fairwitness.kit.operate.metrics import Metric, Sample
from fairwitness.kit.operate.rotate import Rotation

COMMON_MEANINGS: Mapping[str, str] = {
    "name": "what people read as the name of this node",
    "host": "IP address to listen on; 127.0.0.1 is this machine alone",
    "port": "port to listen on; 0 takes a free one and keeps it",
    "public_url": "address by which others reach this node, https but on one machine; passkeys are bound to its name",
    "workers": "processes that answer requests",
    "threads": "threads in each of those processes",
    "language": "language where a visitor's browser asks for none that there is",
    "allowed_hosts": "further names under which this node answers",
    "tls_certificate": "certificate file, where this node speaks TLS itself",
    "tls_key": "key file of that certificate",
    "behind_tls_proxy": "a reverse proxy on this machine speaks TLS and sets X-Forwarded-Proto",
    "max_body_bytes": "longest ordinary request body in bytes; uploads have limits of their own",
    "session_hours": "hours after which a person signs in again, come what may",
    "session_idle_minutes": "minutes without a request after which a session ends",
    "enrolment_code_hours": "hours for which a one-time enrolment code is good",
    "stop_seconds": "seconds that a stop waits for work under way before it kills",
    "migrate_at_start": "a start brings an older schema up to date without a backup; otherwise it says to run `upgrade`",
    "drill_days": "days after which doctor asks for another restore drill; 0 never asks",
    "basemap": "a PMTiles file in the data folder that maps are drawn from; without one they show a plain grid",
    "basemap_attribution": "whom the map names as its source",
    "units": "metric or imperial, on maps",
    "database": "PostgreSQL instead of the file db.sqlite3, where a url is set",
    "blobs": "a bucket for sealed bytes instead of the data folder, where a url is set",
    "oidc": "sign-in providers of staff; a passkey follows always",
}


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """What a role's archive holds. Patterns are those of pathlib's full_match, relative to the data folder.

    `first` is copied before all other files and `last` after them (a log's served head before its entries, so that the copy
    never has less than it says). `skip`: derived or passing files, left out without a word. `withhold`: left out and named in the
    manifest, with the reason. `secrets`: key files, only ever in the sealed bundle; below `keys/` what is already sealed to the
    node key may travel, if it is in `sealed_keys`. `blank`: (table, column) of the database that hold a secret in one row.
    """

    first: Sequence[str] = ()
    last: Sequence[str] = ()
    skip: Sequence[str] = ()
    withhold: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ("keys/**",)
    sealed_keys: Sequence[str] = ()
    blank: Sequence[tuple[str, str]] = ()
    database: bool = True


@dataclass(frozen=True, slots=True)
class Operations:
    """A role, as its operator's commands see it.

    `meanings`: what each setting of its own means. `keys`: key files that must be there and readable, relative to the
    data folder.
    `check`: further checks with Django set up (None: the role has no database); they may call peers. `restored`: what to do, and
    what to tell, after a restore. `metrics` and `sample`: the closed list and its present values. `ready`: whether work can
    be done. `rotations`: the keys that can be replaced.
    `prove(folder, items)`: with Django set up for a restored folder and nobody to call, verify its ledgers and up to `items`
    random pieces of its evidence; returns what was verified and how many of each, raises ProtocolError, Refused, OSError.
    """

    role: str
    config: type[RoleConfig] | None
    meanings: Mapping[str, str]
    plan: BackupPlan
    keys: Sequence[str]
    check: Callable[[Path], Sequence[Check]]
    is_node: Callable[[Path], bool]
    metrics: Sequence[Metric]
    sample: Callable[[], Sequence[Sample]]
    ready: Callable[[], bool]
    restored: Callable[[Path], Sequence[str]] = lambda _folder: ()
    min_free_bytes: int = 1 << 28
    rotations: Sequence[Rotation] = ()
    prove: Callable[[Path, int], Mapping[str, int]] | None = None
