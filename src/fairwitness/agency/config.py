"""What an agency's operator sets."""

from dataclasses import dataclass
from typing import ClassVar

from fairwitness.kit.config import RoleConfig, limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(RoleConfig):
    """Settings of an agency node.

    `agency`, `ori`, `state`, `level`, `federal`: who this is, as registered with the hub. `collect_seconds`: the fixed beat
    on which responses are fetched, whether or not there are any; `emergency_collect_seconds` while an emergency request is
    live. `prove_seconds`: how often missing proofs of custody are asked for. `touch_minutes`: how long one logged touch of a
    clip may be used by the officer who logged it. `lapse_days`: unused access ends after so many days (SG30). `training_days`:
    how long a training counts where nobody says otherwise. `request_key_days`: how long after a request's end its key is kept for
    late answers, before it is destroyed. `census_file`: dwellings per H3 cell, so that an area's are counted while it is drawn.
    """

    role: ClassVar[str] = "agency"

    agency: str = ""
    ori: str = ""
    state: str = ""
    level: str = "municipal"
    federal: bool = False
    vouched: tuple[str, ...] = ()
    collect_seconds: int = limit(3600, low=1, high=86400)
    emergency_collect_seconds: int = limit(900, low=1, high=3600)
    prove_seconds: int = limit(10, low=1, high=3600)
    touch_minutes: int = limit(15, low=1, high=240)
    lapse_days: int = limit(30, low=1, high=366)
    training_days: int = limit(365, low=1, high=1096)
    request_key_days: int = limit(30, low=1, high=365)
    census_file: str = ""
    hub_timeout_seconds: int = limit(30, low=1, high=600)
