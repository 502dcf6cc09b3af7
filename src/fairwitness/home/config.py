"""Settings of a home. None of them changes a byte or a time of the feed's polls."""

from dataclasses import dataclass
from typing import ClassVar

from fairwitness.kit.config import RoleConfig, limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(RoleConfig):
    """`upload_delay_minutes`: mean of the random delay before an answer leaves; `upload_cap_minutes`: its longest.

    `scan_seconds`: how often folders of recordings are looked through, on this machine only. `settle_seconds`: how long a
    file must have stood unchanged before it is read.
    """

    role: ClassVar[str] = "home"

    name: str = "Home"
    workers: int = limit(1, low=1, high=8)
    upload_delay_minutes: int = limit(30, low=0, high=360)
    upload_cap_minutes: int = limit(360, low=0, high=360)
    scan_seconds: int = limit(60, low=1, high=86_400)
    settle_seconds: int = limit(30, low=0, high=3600)
    keep_days: int = limit(90, low=15, high=3650)
