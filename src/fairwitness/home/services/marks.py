"""Motion and persons on a camera's timeline: found on this machine, off until the owner switches it on, told to nobody.

A mark is a time, a kind and a score. Nobody is recognised, and nothing is compared between cameras. Nothing that leaves this home
is made from marks: answering neither reads nor needs them.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.config import Config
from fairwitness.home.errors import invalid
from fairwitness.home.marks.intervals import Look as Seen
from fairwitness.home.marks.intervals import intervals
from fairwitness.home.models import Camera, Look, LookBudget, Mark, Recorder, Recording
from fairwitness.home.recordings.timeline import clips_in_window
from fairwitness.home.services import cameras, masks, recorders, sources
from fairwitness.kit import clock, config
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import marks as looking

LONGEST_S: Final = 31 * 86_400
_SELDOM: Final = 50  # a child's parent asks five times a second whether to stop
_RECENT_S: Final = 600
_PRESSED: Final = frozenset({"stalled", "stream", "disk"})  # of a recorder's problems, those that more work would make worse
_LEAST_S: Final = 60  # of processor time for one recording, however short
_SHARE: Final = 1.0  # seconds of processor time for a second of footage: more is no ordinary recording

_running = threading.Lock()


@dataclass(frozen=True, slots=True)
class RecordingView:
    """A recording on the timeline; Unix seconds UTC. `looked`: it was looked through for marks."""

    id: int
    start: int
    end: int
    codec: str
    looked: bool


@dataclass(frozen=True, slots=True)
class GapView:
    """Nothing was recorded between two times; `reason` (adapters.chain.REASONS) is empty where nobody knows it."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True, slots=True)
class MarkView:
    """Between two times (Unix seconds UTC) there was `kind`. `by`: `home`, or `frigate` which was asked just now."""

    start: float
    end: float
    kind: str
    score: float | None
    by: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """A camera's recordings, gaps and marks. `unknown`: a Frigate that could not be asked, by its code."""

    camera: int
    marks_on: bool
    recordings: list[RecordingView]
    gaps: list[GapView]
    marks: list[MarkView]
    unknown: list[str]


def switch(camera_id: int, *, on: bool) -> Camera:
    """Have a camera's recordings looked through from now on, or no more: then its marks are deleted. Raises Refused."""
    camera = cameras.get(camera_id)
    with transaction.atomic():
        camera.marks_on = on
        camera.save(update_fields=["marks_on"])
        if not on:
            Mark.objects.filter(recording__source__camera=camera).delete()
            Look.objects.filter(recording__source__camera=camera).delete()
    return camera


# ---------------------------------------------------------------- looking


def step(now: int) -> bool:
    """Look through one recording that is due, newest first; True if there was one.

    Only one at a time on this machine, at the lowest priority, within the day's processor time, and not while a recorder has
    trouble keeping up.
    """
    Mark.objects.filter(recording__gone=True).delete()
    if not _running.acquire(blocking=False):
        return False
    try:
        row = _due()
        left = budget_left(now)
        if row is None or left <= 0 or behind(now):
            return False
        _look(row, now, left)
    finally:
        _running.release()
    return True


def _due() -> Recording | None:
    wanted = Recording.objects.filter(gone=False, start__isnull=False, source__camera__marks_on=True)
    fresh = wanted.filter(Q(look=None) | ~Q(look__identity=F("identity")))
    return fresh.select_related("source__camera").order_by("-start", "-pk").first()


def budget_left(now: int) -> float:
    """Return how many seconds of processor time are left today (UTC)."""
    row = LookBudget.objects.filter(day=_day(now)).first()
    return config.current(Config).marks_cpu_minutes * 60 - (row.cpu if row is not None else 0.0)


def _day(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def _spend(now: int, cpu: float) -> None:
    row = LookBudget.objects.first() or LookBudget()
    if row.day != _day(now):
        row.day, row.cpu = _day(now), 0.0
    row.cpu += cpu
    row.save()


def behind(now: int) -> bool:
    """Tell whether a recorder lost footage on the way lately, finds no room, or does not get to say that it goes on."""
    for row in Recorder.objects.filter(kind="rtsp"):
        if row.problem in _PRESSED:
            return True
        try:
            holes = recorders.chain(row).holes((now - _RECENT_S) * 1000, now * 1000)
        except ProtocolError:
            return True
        if any(hole.reason in ("stream", "disk") for hole in holes):
            return True
    return False


def _look(row: Recording, now: int, left: float) -> None:
    camera = row.source.camera
    path = sources.path_of(row)
    spent = 0.0
    problem = ""
    seen: list[Seen] = []

    def hear(cpu: float) -> None:
        nonlocal spent
        spent = cpu

    limit = int(min(max(_LEAST_S, row.seconds * _SHARE), left)) + 1
    try:
        areas = masks.polygons(camera)
        for one in looking.samples(path, areas, seconds=limit, cancelled=_no_more(row), spent=hear):
            seen.append(Seen(one.at, one.motion, one.person))  # noqa: PERF401 - what was seen before a failure counts as spent
    except ProtocolError as error:
        if error.code == "clip.cancelled":
            _spend(now, spent)
            return
        problem = error.code[:64]
        spent = max(spent, limit if error.code in ("clip.limits", "clip.crashed") else spent)
    except OSError:
        problem = "unreadable"
    _spend(now, spent)
    _keep(row, now, [] if problem else seen, problem)


def _no_more(row: Recording) -> Callable[[], bool]:
    """Return what a running look is stopped by: the switch, the recording's end, or a recorder in trouble."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        if asked % _SELDOM:
            return False
        return not Recording.objects.filter(pk=row.pk, gone=False, source__camera__marks_on=True).exists() or behind(clock.now())

    return stop


def _keep(row: Recording, now: int, seen: list[Seen], problem: str) -> None:
    with transaction.atomic():
        fresh = Recording.objects.select_related("source__camera").filter(pk=row.pk, gone=False).first()
        if fresh is None or not fresh.source.camera.marks_on or fresh.identity != row.identity or fresh.start is None:
            return
        start = fresh.start
        Mark.objects.filter(recording=fresh).delete()
        Mark.objects.bulk_create(
            Mark(recording=fresh, start=start + one.start, end=start + one.end, kind=one.kind, score=one.score)
            for one in intervals(seen)
        )
        Look.objects.update_or_create(recording=fresh, defaults={"identity": row.identity, "at": now, "problem": problem})


# ---------------------------------------------------------------- timeline


def timeline(camera_id: int, start: int, end: int) -> Timeline:
    """Return what a camera recorded between two times (Unix seconds UTC, at most 31 days), what not and why, and the marks.

    A Frigate is asked for its own marks now, where the camera's marks are on; nothing of its answer is kept. Raises Refused.
    """
    if not 0 <= start < end < 2**40 or end - start > LONGEST_S:
        raise invalid("timeline.times", _("Give a begin and a later end, at most 31 days apart."))
    camera = cameras.get(camera_id)
    rows = list(
        Recording.objects.filter(source__camera=camera, gone=False, start__lt=end, end__gt=start)
        .select_related("look")
        .order_by("start", "pk")
    )
    marks: list[MarkView] = []
    unknown: list[str] = []
    if camera.marks_on:
        found = Mark.objects.filter(recording__in=[row.pk for row in rows], start__lt=end, end__gt=start)
        marks = [MarkView(one.start, one.end, one.kind, one.score, "home") for one in found]
        asked, unknown = _asked(camera, start, end)
        marks += asked
    return Timeline(
        camera=camera.pk,
        marks_on=camera.marks_on,
        recordings=[RecordingView(r.pk, r.start or 0, r.end or 0, r.codec, hasattr(r, "look")) for r in rows],
        gaps=_gaps(camera, rows, start, end),
        marks=sorted(marks, key=lambda one: (one.start, one.kind)),
        unknown=unknown,
    )


def _asked(camera: Camera, start: int, end: int) -> tuple[list[MarkView], list[str]]:
    marks: list[MarkView] = []
    unknown = []
    for row in Recorder.objects.filter(source__camera=camera, kind="frigate"):
        try:
            found = recorders.marks(row.pk, start, end)
        except Refused as refusal:
            unknown.append(refusal.code)
            continue
        for one in found:
            kind = "person" if "person" in one.labels else "motion"
            marks.append(MarkView(one.start, end if one.end is None else one.end, kind, None, "frigate"))
    return marks, unknown


def _gaps(camera: Camera, rows: list[Recording], start: int, end: int) -> list[GapView]:
    window = clips_in_window([sources.as_recording(row, path=str(row.pk)) for row in rows], start, end)
    holes = []
    for recorder in Recorder.objects.filter(source__camera=camera):
        try:
            holes += recorders.chain(recorder).holes(start * 1000, end * 1000)
        except ProtocolError:
            continue  # `camera chain` says what is wrong with it
    found = []
    for gap in window.gaps:
        shares = {
            hole.reason: min(hole.end / 1000, gap.end) - max(hole.start / 1000, gap.start)
            for hole in holes
            if hole.start / 1000 < gap.end and hole.end / 1000 > gap.start
        }
        found.append(GapView(gap.start, gap.end, max(shares, key=lambda reason: shares[reason]) if shares else ""))
    return found
