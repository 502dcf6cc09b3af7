"""Settings of a home. None of them changes a byte or a time of the feed's polls."""

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from fairwitness.kit.config import ConfigError, RoleConfig, limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(RoleConfig):
    """`mirror_url`: a mirror whose feed is fetched in place of the hub's: only the host of those GETs changes.

    `upload_delay_minutes`: mean of the random delay before an answer leaves; `upload_cap_minutes`: its longest.

    `scan_seconds`: how often folders of recordings are looked through, on this machine only. `settle_seconds`: how long a
    file must have stood unchanged before it is read.

    `clip_max_mib`: the largest file that a browser may bring in; `clips_quota_mib`: room for all of those together.

    `preview_cache_mib`: room for previews and stills that the owner looked at. `marks_cpu_minutes`: processor time that looking
    for motion and persons may take in a day (UTC), where a camera has it switched on.

    `session_hours`, `session_idle_minutes`: a paired phone stays paired for 90 days, and for 30 without being used: it is the
    household's own, is paired on the spot, and an owner ends it at once.

    `propose_blur`: clips of a new answer are looked through for faces and plates; these are covered until the owner decides.
    """

    role: ClassVar[str] = "home"

    name: str = "Home"
    workers: int = limit(1, low=1, high=8)
    upload_delay_minutes: int = limit(30, low=0, high=360)
    upload_cap_minutes: int = limit(360, low=0, high=360)
    scan_seconds: int = limit(60, low=1, high=86_400)
    settle_seconds: int = limit(30, low=0, high=3600)
    clip_max_mib: int = limit(4096, low=1, high=1 << 20)
    clips_quota_mib: int = limit(20_480, low=1, high=1 << 24)
    preview_cache_mib: int = limit(2048, low=64, high=1 << 20)
    marks_cpu_minutes: int = limit(120, low=1, high=1440)
    session_hours: int = limit(2160, low=1, high=8760)
    session_idle_minutes: int = limit(43_200, low=5, high=525_600)
    propose_blur: bool = True
    keep_days: int = limit(90, low=15, high=3650)
    mirror_url: str = ""

    def __post_init__(self) -> None:
        """Check the mirror's address; raises ConfigError."""
        RoleConfig.__post_init__(self)
        parts = urlsplit(self.mirror_url)
        if self.mirror_url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ConfigError(f"mirror_url: {self.mirror_url!r} must look like https://mirror.example.org")
