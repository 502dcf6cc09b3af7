"""What the operator may add for the rules: a census file and a calendar of assemblies. Without them the hub says so."""

import functools
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import h3
from fairwitness_core.rules.caps import Assembly

from fairwitness.hub.errors import HubState
from fairwitness.hub.services import identity
from fairwitness.kit import census

_RADIUS = 2  # res-9 cells around an event's point that count as its place


def dwellings() -> Callable[[tuple[str, ...]], int] | None:
    """Return how many dwellings stand in cells, by the census file; None where there is none. Raises HubState."""
    name = identity.settings().census_file
    if not name:
        return None
    try:
        return census.dwellings(Path(name))
    except ValueError as error:
        raise HubState(str(error)) from None


def assemblies() -> tuple[Assembly, ...]:
    """Return the listed assemblies with a place (iCalendar GEO) and a time. Raises HubState for an unreadable file."""
    name = identity.settings().assemblies_file
    if not name:
        return ()
    path = Path(name)
    return _calendar(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _calendar(path: Path, _changed: int) -> tuple[Assembly, ...]:
    """Read the VEVENTs of RFC 5545: DTSTART, DTEND or DURATION in hours, GEO. One without a place is refused."""
    text = path.read_text("utf-8").replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "")
    found = []
    event: dict[str, tuple[str, str]] | None = None
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        word, _, parameters = name.partition(";")
        match word.upper(), value.upper():
            case "BEGIN", "VEVENT":
                event = {}
            case "END", "VEVENT":
                if event is not None:
                    found.append(_assembly(path, event))
                event = None
            case key, _:
                if event is not None:
                    event[key] = (parameters, value)
    return tuple(found)


def _assembly(path: Path, event: dict[str, tuple[str, str]]) -> Assembly:
    title = event.get("SUMMARY", ("", ""))[1][:80]
    try:
        lat, lon = (float(part) for part in event["GEO"][1].split(";"))
        start = _moment(*event["DTSTART"])
        end = _moment(*event["DTEND"]) if "DTEND" in event else start + int(timedelta(hours=4).total_seconds())
        return Assembly(frozenset(h3.grid_disk(h3.latlng_to_cell(lat, lon, 9), _RADIUS)), start, end, title)
    except (KeyError, ValueError, ZoneInfoNotFoundError) as error:
        raise HubState(f"{path}: an event needs DTSTART and GEO:lat;lon that can be read ({title!r})") from error


def _moment(parameters: str, value: str) -> int:
    if len(value) == 8:
        day = date.fromisoformat(value)
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    if value.endswith("Z"):
        return int(datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
    zone = next((p.partition("=")[2].strip('"') for p in parameters.split(";") if p.upper().startswith("TZID=")), "")
    if not zone:
        raise ValueError("a local time without its zone")
    return int(datetime.strptime(value, "%Y%m%dT%H%M%S").replace(tzinfo=ZoneInfo(zone)).timestamp())
