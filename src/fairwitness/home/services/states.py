"""How each camera does, in one word and a sentence with a remedy: what the list of cameras shows."""

from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Max, Q
from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.models import Camera, Recorder, Source
from fairwitness.home.services import recorders, trials
from fairwitness.home.services.recorders import RecorderView
from fairwitness.kit import clock

DAY_S: Final = 86_400
_QUIET_S: Final = 3 * 86_400  # a folder in which nothing new came for so long is worth a word
_LEAST_GAP_S: Final = 5


@dataclass(frozen=True, slots=True)
class SourceState:
    """One source. `mood`: good, warn, bad or "" (nothing to say); `word`: a badge; `told`, `remedy`: sentences, may be empty.

    `last`: end of its newest recording; `gap_s`: seconds of the last day of which nothing was recorded though it should be.
    """

    id: int
    kind: str
    place: str
    mood: str
    word: str
    told: str
    remedy: str
    last: int | None
    gap_s: int
    unknown: int
    recordings: int
    recorder: RecorderView | None
    zone: str | None
    offset: int
    container_trusted: bool


@dataclass(frozen=True, slots=True)
class CameraState:
    """One camera: as its worst source does. `last`: Unix seconds UTC of the newest footage."""

    camera: Camera
    mood: str
    word: str
    told: str
    remedy: str
    last: int | None
    gap_s: int
    unknown: int
    picture: bool
    sources: list[SourceState]


_WORST: Final = {"bad": 0, "warn": 1, "": 2, "good": 3}


def listing(now: int | None = None) -> list[CameraState]:
    """Return all cameras by name."""
    return [of(camera, now) for camera in Camera.objects.order_by("name")]


def of(camera: Camera, now: int | None = None) -> CameraState:
    """Return how one camera does."""
    moment = clock.now() if now is None else now
    known = Q(recordings__gone=False)
    rows = camera.sources.order_by("pk").annotate(
        last=Max("recordings__end", filter=known),
        count=Count("recordings", filter=known),
        unknown=Count("recordings", filter=known & Q(recordings__start=None)),
    )
    found = [_source(row, moment) for row in rows]
    last = max((one.last for one in found if one.last is not None), default=None)
    mood, word, told, remedy = "", _("No video yet"), _("Nothing records this camera yet."), _("Say where its video comes from.")
    if found:
        worst = min(found, key=lambda one: _WORST[one.mood])
        mood, word, told, remedy = worst.mood, worst.word, worst.told, worst.remedy
    if camera.lat is None and mood in ("", "good"):
        mood, word = "warn", _("Not placed")
        told = _("Where this camera stands is not known yet, so no request can be matched.")
        remedy = _("Put it on the map.")
    return CameraState(
        camera, mood, word, told, remedy, last, sum(one.gap_s for one in found), sum(one.unknown for one in found),
        trials.has_picture(camera), found,
    )  # fmt: skip


def _source(row: "Source", now: int) -> SourceState:
    recorder = Recorder.objects.select_related("source__camera").filter(source=row).first()
    view = None if recorder is None else recorders.view(recorder)
    last, count, unknown = row.last, row.count, row.unknown  # type: ignore[attr-defined]  # annotated above
    gap_s = 0
    if view is not None and recorder is not None:
        mood, word, told, remedy = _recording(view)
        if view.kind == "rtsp":
            gap_s = _gaps(recorder, now)
    else:
        mood, word, told, remedy = _folder(row, count, last, now)
    if unknown and mood in ("", "good"):
        mood, word = "warn", _("Time unknown")
        told = _("Of some recordings it is not known when they were made, so no request can be matched with them.")
        remedy = _("Say the time zone of the files' names, or answer recording by recording.")
    return SourceState(
        row.pk, view.kind if view else row.kind, view.address if view else row.folder, mood, word, told, remedy, last, gap_s,
        unknown, count, view, row.zone, row.offset, row.container_trusted,
    )  # fmt: skip


def _recording(view: RecorderView) -> tuple[str, str, str, str]:
    if view.problem:
        bad = "bad" if view.problem not in ("connecting", "starting", "reconnecting") else "warn"
        return (bad, _("Trouble"), *trials.explain(view.problem))
    if view.kind != "rtsp":
        return "good", _("Ready"), _("Recordings are fetched from it when a request asks about their time."), ""
    if view.state in ("recording", "connected"):
        return "good", _("Recording"), "", ""
    return ("warn", _("Connecting"), *trials.explain(view.state))


def _folder(row: "Source", count: int, last: int | None, now: int) -> tuple[str, str, str, str]:
    if row.problem:
        return ("bad", _("Trouble"), *trials.explain(row.problem))
    if row.kind == "upload":
        return ("good" if count else "", _("Brought in by hand"), "", "")
    if row.scanned_at is None:
        return "", _("Looking"), _("The folder is looked through for the first time."), ""
    if not count:
        return "warn", _("Empty"), _("No recording was found in the folder."), _("See that the camera writes into it.")
    if last is not None and now - last > _QUIET_S:
        return "warn", _("Quiet"), _("Nothing new came for some days."), _("See that the camera still writes into the folder.")
    return "good", _("Watched"), "", ""


def _gaps(row: Recorder, now: int) -> int:
    begin = max(now - DAY_S, row.added_at)
    if begin >= now:
        return 0
    try:
        holes = recorders.holes(row.pk, begin, now)
    except ProtocolError:
        return 0
    lengths = [min(hole.end, now) - max(hole.start, begin) for hole in holes if hole.reason != "start"]
    return round(sum(one for one in lengths if one >= _LEAST_GAP_S))
