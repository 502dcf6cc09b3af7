"""A camera's day for somebody who looks at it: what was recorded, what was not and why, what moved, who asks about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import F
from django.utils.translation import gettext as _

from fairwitness.home.errors import invalid
from fairwitness.home.models import Camera, Recording, Request
from fairwitness.home.recordings.timeline import JOIN_S
from fairwitness.home.services import cameras, marks
from fairwitness.home.services.marks import GapView, MarkView, RecordingView
from fairwitness.home.services.optouts import check_zone
from fairwitness.kit.errors import Refused

DAY, HOURS, MINUTES = "day", "3h", "20m"
ZOOMS = {DAY: 86_400, HOURS: 3 * 3600, MINUTES: 20 * 60}
_PIECE = {DAY: 3600, HOURS: 900, MINUTES: 120}
"""Seconds after which a list begins another entry where recording goes on, by zoom."""
_TOGETHER = {DAY: 60.0, HOURS: 15.0, MINUTES: 2.0}
_QUARTER = 900  # every zone's days begin at a quarter of an hour


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that asks about this camera and time: its whole window, Unix seconds UTC."""

    id: str
    agency: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list: `recorded` or `gap` from `start` to `end`; `recording` and `offset` say which picture shows it."""

    kind: str
    start: float
    end: float
    recording: int = 0
    offset: float = 0.0
    reason: str = ""
    marks: tuple[MarkView, ...] = field(default=())

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows of a camera between two times (Unix seconds UTC).

    `spans`: stretches with recordings, put together where nothing is missing; `marks_on`: marks are made at all; `unknown`: a
    recorder could not be asked for its marks.
    """

    camera: Camera
    start: int
    end: int
    recordings: tuple[RecordingView, ...]
    spans: tuple[tuple[int, int], ...]
    gaps: tuple[GapView, ...]
    marks: tuple[MarkView, ...]
    asked: tuple[Asked, ...]
    entries: tuple[Entry, ...]
    marks_on: bool
    unknown: bool


@dataclass(frozen=True, slots=True)
class At:
    """Where to play: a recording and the seconds into it; `waited`: it begins only after the moment that was asked for."""

    recording: Recording
    offset: float
    waited: bool


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name; UTC for one that is none."""
    try:
        check_zone(name)
        return ZoneInfo(name)
    except (Refused, ValueError, OSError):
        return ZoneInfo("UTC")


def read_day(text: str) -> date:
    """Return a day that was written YYYY-MM-DD. Raises Refused."""
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise invalid("timeline.day", _("A day looks like 2026-11-03.")) from error
    if not 1970 < found.year < 2200:
        raise invalid("timeline.day", _("A day looks like 2026-11-03."))
    return found


def bounds(day: date, where: ZoneInfo) -> tuple[int, int]:
    """Return when a day begins and ends in a zone, Unix seconds UTC: 23 to 25 hours."""
    begin = datetime(day.year, day.month, day.day, tzinfo=where)
    after = day + timedelta(days=1)
    return int(begin.timestamp()), int(datetime(after.year, after.month, after.day, tzinfo=where).timestamp())


def day_of(moment: float, where: ZoneInfo) -> date:
    """Return the day that a moment falls on in a zone."""
    return datetime.fromtimestamp(moment, UTC).astimezone(where).date()


def days(camera_id: int, where: ZoneInfo) -> list[date]:
    """Return the days on which a camera recorded something, in order."""
    rows = Recording.objects.filter(source__camera=camera_id, gone=False, start__isnull=False, end__isnull=False)
    quarters = set(rows.annotate(quarter=F("start") / _QUARTER).values_list("quarter", flat=True).distinct())
    # A recording that goes on past midnight belongs to the next day as well.
    quarters |= set(rows.annotate(quarter=(F("end") - 1) / _QUARTER).values_list("quarter", flat=True).distinct())
    return sorted({day_of(int(quarter) * _QUARTER, where) for quarter in quarters})


def newest(camera_id: int) -> Recording | None:
    """Return a camera's newest recording, or None."""
    rows = Recording.objects.filter(source__camera=camera_id, gone=False, start__isnull=False)
    return rows.select_related("source__camera").order_by("-start", "-pk").first()


def untimed(camera_id: int) -> int:
    """Return how many recordings of a camera nobody knows the time of."""
    return Recording.objects.filter(source__camera=camera_id, gone=False, start=None).count()


def at(camera_id: int, moment: float) -> At | None:
    """Return where to play a camera from a moment on (Unix seconds UTC): in the recording of then, or in the next one."""
    rows = Recording.objects.filter(source__camera=camera_id, gone=False, start__isnull=False, end__gt=moment)
    found = rows.select_related("source__camera").order_by("start", "pk").first()
    if found is None or found.start is None:
        return None
    offset = moment - found.start
    # Names say whole seconds, so a recording may be a little shorter than they do.
    most = max(found.seconds - 0.5, 0.0)
    return At(found, min(max(offset, 0.0), most), waited=offset < -JOIN_S)


def behind(recording_id: int) -> At | None:
    """Return the recording that a player goes on with after one has ended, or None."""
    row = Recording.objects.filter(pk=recording_id).select_related("source").first()
    if row is None or row.start is None or row.end is None:
        return None
    rows = Recording.objects.filter(source__camera=row.source.camera_id, gone=False, start__gt=row.start)
    found = rows.select_related("source__camera").order_by("start", "pk").first()
    return None if found is None else At(found, 0.0, waited=(found.start or 0) - row.end > JOIN_S)


def show(camera_id: int, start: int, end: int, zoom: str, now: int) -> Shown:
    """Return what a page shows of a camera between two times. Raises Refused."""
    camera = cameras.get(camera_id)
    line = marks.timeline(camera_id, start, end)
    spans = _spans(line.recordings)
    seen = _together(line.marks, _TOGETHER[zoom])
    # What has not happened yet is no gap.
    gaps = tuple(replace(gap, end=min(gap.end, now)) for gap in line.gaps if gap.start < now)
    return Shown(
        camera=camera,
        start=start,
        end=end,
        recordings=tuple(line.recordings),
        spans=spans,
        gaps=gaps,
        marks=seen,
        asked=_asked(camera, start, end),
        entries=_entries(line.recordings, spans, gaps, seen, start=start, end=end, piece=_PIECE[zoom]),
        marks_on=line.marks_on,
        unknown=bool(line.unknown),
    )


def _spans(recordings: Iterable[RecordingView]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for one in recordings:
        if found and one.start - found[-1][1] <= JOIN_S:
            found[-1] = found[-1][0], max(found[-1][1], one.end)
        else:
            found.append((one.start, one.end))
    return tuple(found)


def _together(found: Sequence[MarkView], near: float) -> tuple[MarkView, ...]:
    """Put marks of one kind together that are closer to each other than can be told apart at this zoom."""
    made: list[MarkView] = []
    last: dict[str, int] = {}
    for one in found:
        index = last.get(one.kind)
        if index is not None and one.start - made[index].end <= near:
            before = made[index]
            made[index] = replace(before, end=max(before.end, one.end), score=None)
        else:
            last[one.kind] = len(made)
            made.append(one)
    return tuple(made)


def _asked(camera: Camera, start: int, end: int) -> tuple[Asked, ...]:
    rows = Request.objects.filter(near=True, withdrawn="", start__lt=end, end__gt=start).order_by("start")
    return tuple(
        Asked(row.id, row.agency_name, row.start, row.end) for row in rows if any(hit["camera"] == camera.pk for hit in row.hits)
    )


def _entries(
    recordings: Sequence[RecordingView], spans: Iterable[tuple[int, int]], gaps: Iterable[GapView], seen: Sequence[MarkView],
    *, start: int, end: int, piece: int,
) -> tuple[Entry, ...]:  # fmt: skip
    made: list[Entry] = []
    for first, last in spans:
        low, high = max(first, start), min(last, end)
        while low < high:
            # Entries begin at round times, so that those of a long day can be compared.
            until = min((low // piece + 1) * piece, high)
            if high - until < piece / 4:
                until = high
            held = tuple(one for one in seen if low <= one.start < until)
            # A picture of what moved says more than one of the moment at which a file happened to begin.
            shown = held[0].start + 0.5 if held else float(low)
            row = next((one for one in recordings if one.start <= shown < one.end), None)
            row = row or next(one for one in recordings if one.end > low)
            made.append(Entry("recorded", low, until, row.id, max(min(shown, until) - row.start, 0.0), marks=held))
            low = until
    made += [Entry("gap", gap.start, gap.end, reason=gap.reason) for gap in gaps if gap.end - gap.start > JOIN_S]
    return tuple(sorted(made, key=lambda one: -one.start))
