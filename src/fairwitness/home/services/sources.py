"""Folders of recordings: what is in them and when it was recorded. Nothing is copied, changed or sent."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters.base import Adapter, Look, SourceProblem
from fairwitness.home.adapters.folder import FolderAdapter
from fairwitness.home.adapters.upload import UploadAdapter
from fairwitness.home.config import Config
from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.models import Recorder, Recording, Source
from fairwitness.home.recordings import folder as folders
from fairwitness.home.recordings.times import CameraClock, TimeSource
from fairwitness.home.services import cameras, optouts, recorders
from fairwitness.kit import clock, config
from fairwitness.kit.journal import Event, log

MAX_OFFSET = 10 * 366 * 86_400
RECHECK_S = 3600  # a recorder's folder is looked through whole this often: somebody may have deleted in it by hand
_looked_at: set[int] = set()  # recorders whose folders this process has looked through whole
_WIRE_SOURCE = {
    TimeSource.NAME: "file_name",
    TimeSource.CONTAINER: "container",
    TimeSource.OWNER: "owner",
    TimeSource.CAMERA: "camera",
}


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What one look through all folders found; `unreadable` counts folders that could not be read (nothing was forgotten)."""

    added: int
    removed: int
    changed: int
    unreadable: int

    @property
    def anything(self) -> bool:
        """Tell whether matching has to look again."""
        return bool(self.added or self.removed or self.changed)


def add(camera_id: int, path: str, *, zone: str | None = None, offset: int = 0, container_trusted: bool = False) -> Source:
    """Add a folder of a camera's recordings. `offset`: seconds that the camera's clock is ahead. Raises Refused."""
    camera = cameras.get(camera_id)
    place = Path(path).expanduser()
    if not place.is_absolute() or not place.is_dir():
        raise invalid("source.folder", _("There is no such folder."), _("Give the folder's full path."))
    _check(zone, offset)
    if Source.objects.filter(folder=str(place)).exists():
        raise conflict("source.taken", _("This folder is a source already."))
    return Source.objects.create(camera=camera, folder=str(place), zone=zone, offset=offset, container_trusted=container_trusted)


def edit(source_id: int, *, zone: str | None, offset: int, container_trusted: bool) -> Source:
    """Say anew what is known of a camera's clock; times are judged again at the next look. Raises Refused."""
    _check(zone, offset)
    source = get(source_id)
    source.zone, source.offset, source.container_trusted = zone, offset, container_trusted
    source.save()
    return source


def _check(zone: str | None, offset: int) -> None:
    if zone is not None:
        optouts.check_zone(zone)
    if abs(offset) > MAX_OFFSET:
        raise invalid("source.offset", _("A clock that is ten years off cannot be corrected; answer recording by recording."))


def get(source_id: int) -> Source:
    """Return one source. Raises Refused."""
    found = Source.objects.select_related("camera").filter(pk=source_id).first()
    if found is None:
        raise unknown("source")
    return found


def remove(source_id: int) -> None:
    """Forget a folder and what is known of its recordings; the files stay."""
    source = get(source_id)
    if source.kind == "upload":
        raise conflict("source.upload", _("This folder holds what you brought in."), _("Delete those files one by one instead."))
    if Recorder.objects.filter(source=source).exists():
        raise conflict("source.recorder", _("A recorder fills this folder."), _("Remove the recorder instead."))
    source.delete()


def listing() -> list[Source]:
    """Return all sources in the order they were added."""
    return list(Source.objects.select_related("camera").order_by("pk"))


def scan(now: int | None = None) -> ScanReport:
    """Look at every source through its adapter; one that cannot be looked at keeps what was known of it."""
    moment = clock.now() if now is None else now
    total = ScanReport(0, 0, 0, 0)
    for source in listing():
        found = _scan(source, moment)
        total = ScanReport(
            total.added + found.added,
            total.removed + found.removed,
            total.changed + found.changed,
            total.unreadable + found.unreadable,
        )
    return total


def _scan(source: Source, now: int) -> ScanReport:
    recorder = Recorder.objects.filter(source=source).first()
    rows: dict[str, Recording] = {}
    known: dict[str, folders.Recording | folders.Refusal] = {}
    cursor = "" if recorder is None else recorder.cursor
    # The first look of a process is whole: while none ran, files may have been restored, replaced or deleted.
    whole = recorder is None or not cursor or now - recorder.checked_at >= RECHECK_S or recorder.pk not in _looked_at
    if whole:
        cursor = ""
        rows = {row.path: row for row in source.recordings.filter(gone=False)}
        known = {path: as_recording(row) for path, row in rows.items()}
        # What the owner deleted here but kept in their folder is known, so that it is not opened again at each look.
        known |= {row.path: as_recording(row) for row in source.recordings.filter(hidden=True)}
        known |= {item["path"]: _refusal(item) for item in source.refused}
    try:
        look = _adapter(source, recorder).look(known, now=now, cursor=cursor, windows=_windows(source, recorder, now))
    except (OSError, SourceProblem, ProtocolError) as error:
        code = "unreadable" if isinstance(error, OSError) else error.code
        if source.problem != code:
            log(Event.CAMERA_UNREACHABLE, code="folder" if code == "unreadable" else code)
        source.problem = code
        source.save(update_fields=["problem"])
        return ScanReport(0, 0, 0, 1)
    report = _store(source, rows, look, now)
    if recorder is not None:
        changes: dict[str, object] = {"cursor": look.cursor} | ({"checked_at": now} if look.whole else {})
        Recorder.objects.filter(pk=recorder.pk).update(**changes)
        _looked_at.add(recorder.pk)
    return report


def _adapter(source: Source, recorder: Recorder | None) -> Adapter:
    if recorder is not None:
        return recorders.adapter(recorder)
    if source.kind == "upload":
        return UploadAdapter(Path(source.folder))
    settle = config.current(Config).settle_seconds
    rules = CameraClock(zone=source.zone, offset=source.offset, container_trusted=source.container_trusted)
    return FolderAdapter(Path(source.folder), rules, settle)


def _windows(source: Source, recorder: Recorder | None, now: int) -> list[tuple[int, int]]:
    """Return what live requests ask of this source's camera; only for an adapter that fetches, because it costs a look at all."""
    return [] if recorder is None or recorder.kind == "rtsp" else recorders.windows(source.camera, now)


def _store(source: Source, rows: dict[str, Recording], look: Look, now: int) -> ScanReport:
    added = changed = 0
    found = look.scan
    hidden = {row.path: as_recording(row).identity for row in source.recordings.filter(hidden=True)}
    with transaction.atomic():
        for item in found.recordings:
            if hidden.get(item.path) == item.identity:
                continue
            row = rows.get(item.path)
            if row is not None and as_recording(row) == item:
                continue
            values = _values(item)
            if row is None:
                added += 1
                Recording.objects.update_or_create(source=source, path=item.path, defaults=values)
            else:
                changed += 1
                Recording.objects.filter(pk=row.pk).update(**values)
        kept = {item.path for item in found.recordings}
        gone = [row.pk for path, row in rows.items() if path not in kept and path not in found.pending] if look.whole else []
        Recording.objects.filter(pk__in=gone).update(gone=True)
        source.refused = [asdict(item) for item in found.refused]
        source.pending, source.scanned_at, source.problem = len(found.pending), now, ""
        source.save()
    return ScanReport(added, len(gone), changed, 0)


def _values(item: folders.Recording) -> dict[str, object]:
    return {
        "identity": asdict(item.identity),
        "start": item.start,
        "end": item.end,
        "seconds": item.seconds,
        "time_source": item.time_source.value,
        "why": item.why,
        "codec": item.codec,
        "size": item.size,
        "container_time": item.container_time,
        "gone": False,
        "hidden": False,
    }


def as_recording(row: Recording, *, path: str | None = None) -> folders.Recording:
    """Return a stored recording as the timeline reads it, under another name where several folders are put together."""
    return folders.Recording(
        path=row.path if path is None else path,
        identity=folders.FileIdentity(**row.identity),
        start=row.start,
        end=row.end,
        seconds=row.seconds,
        time_source=TimeSource(row.time_source),
        why=row.why,
        codec=row.codec,
        size=row.size,
        container_time=row.container_time,
    )


def _refusal(item: dict[str, object]) -> folders.Refusal:
    identity = item["identity"]
    if not isinstance(identity, dict):
        raise TypeError("a stored refusal has an identity")
    return folders.Refusal(str(item["path"]), folders.FileIdentity(**identity), str(item["code"]), str(item["message"]))


def unknown_times() -> list[Recording]:
    """Return the recordings of which nobody knows when they were made: the owner is asked, nothing is guessed."""
    return list(Recording.objects.filter(gone=False, start=None).select_related("source__camera").order_by("pk"))


def answer_time(recording_id: int, start: int) -> Recording:
    """Take the owner's word for when a recording began (Unix seconds UTC); it stays until the file changes. Raises Refused."""
    row = Recording.objects.filter(pk=recording_id, gone=False).first()
    if row is None:
        raise unknown("recording")
    if not 0 < start <= clock.now():
        raise invalid("recording.start", _("A recording began in the past."))
    row.start, row.end = start, start + max(round(row.seconds), 1)
    row.time_source, row.why = TimeSource.OWNER.value, "the owner said so"
    row.save()
    return row


def wire_source(row: Recording) -> str:
    """Return how a manifest names the source of a recording's known time."""
    return _WIRE_SOURCE[TimeSource(row.time_source)]


def path_of(row: Recording) -> Path:
    """Return where a recording lies."""
    return Path(row.source.folder) / row.path


def recordings(rows: Iterable[int]) -> dict[int, Recording]:
    """Return recordings by id; raises Refused if one is gone."""
    wanted = list(rows)
    found = {row.pk: row for row in Recording.objects.filter(pk__in=wanted, gone=False).select_related("source__camera")}
    for one in wanted:
        if one not in found:
            raise unknown("recording")
    return found
