"""When was this recorded? From the file's name, the container, or the owner; never a guess.

A wrong time sends an innocent minute to the police, so every doubt ends in `unknown`, and the owner is asked: a local time
without a known zone, a local time that the autumn change of clocks repeats or the spring one skips, a date whose day and month
could be exchanged, a name and a container that disagree without a known reason.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

AGREE: Final = 5
"""Seconds by which a name and a container may differ and still agree: a camera names a file as it opens it."""


class TimeSource(StrEnum):
    """Who says when a recording began."""

    NAME = "name"
    CONTAINER = "container"
    OWNER = "owner"
    CAMERA = "camera"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NameTime:
    """A time read from a name. `local` has no zone when the camera wrote its own wall clock; `form` names the pattern."""

    local: datetime
    form: str

    @property
    def absolute(self) -> bool:
        """Whether the name itself says the zone."""
        return self.local.tzinfo is not None


@dataclass(frozen=True, slots=True)
class CameraClock:
    """What the owner said about a camera's clock.

    `zone` is the IANA zone in which it writes wall-clock names (None: not said), `offset` how many seconds it is ahead of true
    time, `owner_start` the owner's own answer for one recording (Unix seconds, UTC), `container_trusted` that the time inside
    this camera's files was checked and is UTC.
    """

    zone: str | None = None
    offset: int = 0
    owner_start: int | None = None
    container_trusted: bool = False


@dataclass(frozen=True, slots=True)
class TimeVerdict:
    """When a recording began (Unix seconds UTC, None when unknown), who says so, and why in a word for the owner's page."""

    start: int | None
    source: TimeSource
    why: str


_D = r"(?P<y>20\d\d)(?P<s>[-_.]?)(?P<mo>\d\d)(?P=s)(?P<d>\d\d)"
_T = r"(?P<h>[01]\d|2[0-3])(?P<t>[-_.:h]?)(?P<mi>[0-5]\d)(?:(?P=t)|(?<=h\d\d)m)(?P<sec>[0-5]\d)"
# In this order: the first that matches decides. Each camera's form is one that owners' folders show; a form that two makers
# write with different meanings is not here.
_FORMS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    # Frigate's stored segments: UTC by its own rule (recordings/YYYY-MM-DD/HH/camera/MM.SS.mp4).
    (
        "frigate-segment",
        re.compile(r"(?:^|/)(?P<y>20\d\d)-(?P<mo>\d\d)-(?P<d>\d\d)/(?P<h>\d\d)/[^/]+/(?P<mi>\d\d)\.(?P<sec>\d\d)\.mp4$"),
    ),
    # Frigate's events: camera-UNIXTIME.microseconds-random.
    ("frigate-event", re.compile(r"(?:^|[-_/])(?P<unix>1[5-9]\d{8}|2\d{9})\.\d{1,6}-[a-z0-9]{6}(?:-clean)?\.")),
    # Wyze's card: record/YYYYMMDD/HH/MM.mp4, one file a minute.
    ("wyze-card", re.compile(r"(?:^|/)(?P<y>20\d\d)(?P<mo>\d\d)(?P<d>\d\d)/(?P<h>\d\d)/(?P<mi>\d\d)\.mp4$")),
    # Blink's local storage: YY-MM-DD/HH-MM-SS_camera_number.mp4.
    (
        "blink-storage",
        re.compile(r"(?:^|/)(?P<yy>\d\d)-(?P<mo>\d\d)-(?P<d>\d\d)/(?P<h>\d\d)-(?P<mi>\d\d)-(?P<sec>\d\d)_[^/]*\.mp4$"),
    ),
    # Reolink's card and recorder: RecM01_YYYYMMDD_HHMMSS_HHMMSS_....mp4 (begin, end).
    (
        "reolink-card",
        re.compile(
            r"(?:^|/)Rec[A-Z]\d\d_(?:DST)?(?P<y>20\d\d)(?P<mo>\d\d)(?P<d>\d\d)_(?P<h>\d\d)(?P<mi>\d\d)(?P<sec>\d\d)_\d{6}_"
        ),
    ),
    # UniFi Protect's export, day and month in the owner's order: "Drive 11-23-2025, 14.05.00 ...".
    (
        "unifi-export",
        re.compile(
            r"(?:^|[ _/])(?P<a>\d{1,2})-(?P<b>\d{1,2})-(?P<y>20\d\d),? ?(?P<h>\d{1,2})\.(?P<mi>\d\d)\.(?P<sec>\d\d)"
            r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?: (?:GMT|UTC)(?P<gmt>[+-]\d{1,2}(?::?\d\d)?)?)?"
        ),
    ),
    # ISO 8601 with its zone.
    ("iso-zone", re.compile(rf"(?<!\d){_D}[T_ -]?{_T}(?:[.,]\d+)?(?P<zone>Z|[+-]\d\d:?\d\d)(?![\dA-Za-z])")),
    # A plain date and time: Ring, Reolink's FTP, Frigate's exports, phones, most others. The camera's wall clock.
    ("plain", re.compile(rf"(?<!\d){_D}(?:[T_ -]|, ?|__)?{_T}(?!\d)")),
)
_UTC_FORMS: Final = frozenset({"frigate-segment"})


def from_name(name: str) -> NameTime | None:
    """Read the time out of a path inside a camera's folder (`/` between parts); None when no known form fits or it is ambiguous.

    A name that holds two different times of one form (begin and end) means the first.
    """
    for form, pattern in _FORMS:
        match = pattern.search(name)
        if match is None:
            continue
        try:
            local = _READERS.get(form, _plain)(match)
        except ValueError:
            return None  # month 13 or hour 24: this is some other number
        if local is None:
            return None
        return NameTime(local.replace(tzinfo=UTC) if form in _UTC_FORMS else local, form)
    return None


def _plain(match: re.Match[str]) -> datetime:
    part = {key: int(value) for key, value in match.groupdict().items() if value and value.isdigit()}
    year = part["y"] if "y" in part else 2000 + part["yy"]
    return datetime(year, part["mo"], part["d"], part["h"], part["mi"], part.get("sec", 0))  # noqa: DTZ001 - a wall clock


def _zoned(match: re.Match[str]) -> datetime:
    return _plain(match).replace(tzinfo=_offset(match["zone"]))


def _unix(match: re.Match[str]) -> datetime:
    return datetime.fromtimestamp(int(match["unix"]), UTC)


def _exported(match: re.Match[str]) -> datetime | None:
    first, second, hour = int(match["a"]), int(match["b"]), int(match["h"])
    if first <= 12 and second <= 12 and first != second:
        return None  # the third of May or the fifth of March
    month, day = (second, first) if first > 12 else (first, second)
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"] in "Pp" else 0)
    local = datetime(int(match["y"]), month, day, hour, int(match["mi"]), int(match["sec"]))  # noqa: DTZ001 - a wall clock
    if match[0].rstrip().endswith(("GMT", "UTC")):
        return local.replace(tzinfo=UTC)
    return local.replace(tzinfo=_offset(match["gmt"])) if match["gmt"] else local


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    digits = text[1:].replace(":", "")
    hours, minutes = (int(digits), 0) if len(digits) <= 2 else (int(digits[:-2]), int(digits[-2:]))
    if hours > 14 or minutes > 59:
        raise ValueError("no zone is that far from UTC")
    return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if text[0] == "-" else 1))


_READERS: Final[dict[str, Callable[[re.Match[str]], datetime | None]]] = {
    "iso-zone": _zoned,
    "frigate-event": _unix,
    "unifi-export": _exported,
}


def decide(name: str, container_time: int | None, seconds: float, clock: CameraClock) -> TimeVerdict:
    """Say when a recording of `seconds` began, from its path in the folder, its container's claim (Unix seconds) and the owner.

    1. The owner's own answer wins. 2. A name counts when its zone is known. 3. A container beside a name must agree with it:
    equal, or written at the recording's end, or the same wall clock written as if it were UTC. 4. A container alone counts when
    the owner checked this camera's. 5. The camera's offset is taken off. Anything else is unknown, with the reason.
    """
    if clock.owner_start is not None:
        return TimeVerdict(clock.owner_start, TimeSource.OWNER, "you said so")
    read = from_name(name)
    if read is None:
        if container_time is None:
            return TimeVerdict(None, TimeSource.UNKNOWN, "neither the name nor the file says a time")
        if not clock.container_trusted:
            return TimeVerdict(None, TimeSource.UNKNOWN, "only the file's own clock says a time, and it was never checked")
        return TimeVerdict(container_time - clock.offset, TimeSource.CONTAINER, "the file's own clock, which you checked")
    named, problem = _instant(read, clock.zone)
    if named is None:
        return TimeVerdict(None, TimeSource.UNKNOWN, problem)
    if container_time is not None:
        as_if_utc = int(read.local.replace(tzinfo=UTC).timestamp())
        explained = (named, named + int(seconds), as_if_utc, as_if_utc + int(seconds))
        if min(abs(container_time - time) for time in explained) > AGREE:
            return TimeVerdict(None, TimeSource.UNKNOWN, "the file's name and its own clock disagree")
    return TimeVerdict(named - clock.offset, TimeSource.NAME, f"the file's name ({read.form})")


def _instant(read: NameTime, zone: str | None) -> tuple[int | None, str]:
    """Turn a name's time into Unix seconds; the second value says why that is impossible."""
    if read.absolute:
        return int(read.local.timestamp()), ""
    if zone is None:
        return None, "the name says a wall-clock time, and this camera's time zone is not set"
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None, "this camera's time zone does not exist"
    early, late = (read.local.replace(tzinfo=place, fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        # Repeated when the clocks go back, skipped when they go forward: either way two instants are possible.
        return None, "the clocks changed in this hour, so the name could mean two times"
    return int(early.timestamp()), ""
