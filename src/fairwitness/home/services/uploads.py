"""Files that the owner brings in with a browser: received in parts that survive anything, looked into, kept, never guessed at.

What is acknowledged is on disk. One transfer writes at a time; one that stops getting on loses its place to the next. A file
counts as a recording after the isolated worker has found a video in it, and has a time once the owner has said one.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters.upload import WHY
from fairwitness.home.config import Config
from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.models import AnswerClip, Recording, Request, Source, Upload
from fairwitness.home.recordings.folder import SUFFIXES, FileIdentity
from fairwitness.home.recordings.times import TimeSource, from_name
from fairwitness.home.services import cameras, matching, optouts, sources
from fairwitness.kit import clock, config, files
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log, size_class
from fairwitness.kit.video.worker import probe_each

EXPIRES_S: Final = 24 * 3600
RESERVE: Final = 512 << 20
"""Bytes of the disk that stay free: recorders and the database need them."""
MAX_UNFINISHED: Final = 64
LEASE_S: Final = 10
"""A transfer that got on by no byte for so long is taken for lost."""
_DURABLE: Final = 8 << 20  # bytes between two syncs
_RENEW_S: Final = 2
_CHUNK: Final = 1 << 20
_PROBE_S: Final = 120
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")


@dataclass(frozen=True, slots=True)
class Found:
    """A time that a file proposes. `place`: `name` or `container`; `local` a wall clock without zone; `at` Unix seconds UTC."""

    place: str
    local: str
    at: int | None


@dataclass(frozen=True, slots=True)
class UploadView:
    """An upload as its owner sees it. `asked`: how many live requests near its camera ask about its time."""

    id: str
    name: str
    mark: str
    camera: int
    camera_name: str
    size: int
    offset: int
    state: str
    sentence: str
    seconds: float | None
    start: int | None
    end: int | None
    found: tuple[Found, ...]
    asked: int


# -- receiving -----------------------------------------------------------------------------------------------------------


def create(camera_id: int, name: str, size: int, mark: str = "") -> Upload:
    """Begin to receive a file of `size` bytes for a camera. Raises Refused (404, 413, 422, 507)."""
    cameras.get(camera_id)
    cfg = config.current(Config)
    shown = "".join(c if c.isprintable() else " " for c in name.replace("\\", "/").rpartition("/")[2]).strip()[-200:]
    if not shown:
        raise invalid("upload.name", _("A file needs a name."))
    if size < 1:
        raise invalid("upload.empty", _("This file is empty."))
    if size > cfg.clip_max_mib << 20:
        raise Refused(
            413, "upload.too_large", _("This file is too large."), _("At most %(mib)d MiB.") % {"mib": cfg.clip_max_mib}
        )
    now = clock.now()
    with transaction.atomic():
        live = list(Upload.objects.filter(state__in=("receiving", "checking", "kept")).values_list("state", "size", "offset"))
        if sum(1 for state, _size, _offset in live if state == "receiving") >= MAX_UNFINISHED:
            raise conflict("upload.many", _("Too many files are unfinished."), _("Finish or delete some of them first."))
        if sum(taken for _state, taken, _offset in live) + size > cfg.clips_quota_mib << 20:
            raise Refused(
                507,
                "upload.quota",
                _("There is no room left for files that you bring in."),
                _("Delete some of them first. What is here stays."),
            )
        promised = sum(taken - offset for state, taken, offset in live if state == "receiving")
        if shutil.disk_usage(_incoming()).free - promised - size < RESERVE:
            raise _full()
        source = _source(camera_id)
        row = Upload.objects.create(
            id=token_bytes(16).hex(), source=source, name=shown, mark=mark[:100], size=size, created_at=now, touched_at=now
        )
    with files.disk_errors("upload"):
        os.close(os.open(_part(row.pk), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE))
        files.sync_folder(_incoming())
    return row


def append(upload_id: str, offset: int, length: int, chunks: Iterable[bytes]) -> Upload:
    """Store `length` bytes from `offset` on, as far as `chunks` gets; what was stored counts however it ends.

    Raises Refused: 404, 409 `upload.offset`, 413, 423 while another transfer writes, 507; and what `chunks` raises.
    """
    settled(get(upload_id))
    lease = _take(upload_id, offset, length)
    at = offset
    try:
        with files.disk_errors("upload"):
            handle = os.open(_part(upload_id), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE)
            durable, renewed = at, clock.now_float()
            try:
                os.lseek(handle, at, os.SEEK_SET)
                for chunk in chunks:
                    files.write_all(handle, chunk)
                    at += len(chunk)
                    if at - durable >= _DURABLE or clock.now_float() - renewed >= _RENEW_S:
                        _keep(handle, upload_id, lease, at)
                        durable, renewed = at, clock.now_float()
            finally:
                try:
                    if at > durable:
                        _keep(handle, upload_id, lease, at)
                finally:
                    os.close(handle)
    except files.DiskFull as error:
        log(Event.DISK_FULL, store="uploads")
        raise _full() from error
    finally:
        _let_go(upload_id, lease)
    return get(upload_id)


def settled(row: Upload) -> Upload:
    """Return an upload that claims no more bytes than are there: a restored node has the row and not the part."""
    if row.state == "receiving" and row.offset:
        part = _part(row.pk)
        there = part.stat().st_size if part.exists() else 0
        if there < row.offset:
            row.offset = there
            row.save(update_fields=["offset"])
    return row


def _take(upload_id: str, offset: int, length: int) -> str:
    """Take the right to write, checking offset and length. Raises Refused."""
    lease = token_bytes(16).hex()
    moment = clock.now_float()
    with transaction.atomic():
        row = get(upload_id)
        if row.state == "receiving" and row.lease and 0 <= moment - row.lease_at < LEASE_S:
            raise Refused(423, "upload.busy", _("This file is being sent already."), _("Wait a moment, then go on."))
        if row.state != "receiving" or offset != row.offset:
            raise conflict("upload.offset", _("This is not where the file goes on."), _("Ask how far it got, and go on there."))
        if length > row.size - offset:
            raise Refused(413, "upload.too_long", _("This is more than the file was said to hold."))
        Upload.objects.filter(pk=upload_id).update(lease=lease, lease_at=moment)
    return lease


def _keep(handle: int, upload_id: str, lease: str, at: int) -> None:
    """Make everything up to `at` durable and count it. Raises Refused when another transfer has taken over."""
    os.fsync(handle)
    mine = Upload.objects.filter(pk=upload_id, lease=lease)
    if not mine.update(offset=at, lease_at=clock.now_float(), touched_at=clock.now()):
        raise Refused(423, "upload.busy", _("This file is being sent already."), _("Wait a moment, then go on."))


def _let_go(upload_id: str, lease: str) -> None:
    with transaction.atomic():
        row = Upload.objects.filter(pk=upload_id, lease=lease).first()
        if row is not None:
            row.lease = ""
            row.state = "checking" if row.offset == row.size else row.state
            row.save(update_fields=["lease", "state"])


def _full() -> Refused:
    return Refused(
        507,
        "storage.full",
        _("The disk of your home node is full."),
        _("Make some room there, then go on: nothing of what was sent is lost."),
    )


# -- looking into what came ----------------------------------------------------------------------------------------------


def check_due(now: int) -> int:
    """Look into every file that has come whole; returns how many were decided."""
    # A process that was killed right after the last byte was counted could not say so.
    Upload.objects.filter(state="receiving", offset=F("size")).update(state="checking", lease="")
    count = 0
    for row in Upload.objects.filter(state="checking").select_related("source").order_by("created_at", "pk"):
        _check(row, now)
        count += 1
    return count


def _check(row: Upload, now: int) -> None:
    """Decide about one file: 1. its hash repeats none that is kept; 2. the worker finds a video; 3. it is moved and recorded.

    A process that dies in between begins again: the file lies either where it was received or where it belongs.
    """
    suffix = Path(row.name).suffix.lower()
    target = Path(row.source.folder) / f"{row.pk}{suffix if suffix in SUFFIXES else '.mp4'}"
    part = _part(row.pk)
    place = part if part.exists() else target
    if not place.exists():
        _refuse(row, "upload.lost")
        return
    if place is part:
        os.truncate(part, row.size)  # a transfer that lost its place may have written behind the end
    sha256 = _sha256(place)
    twin = Upload.objects.filter(sha256=sha256, state="kept").exclude(pk=row.pk).order_by("created_at", "pk").first()
    if twin is not None:
        _drop(row, place, "duplicate", twin.pk)
        return
    ((_path, facts),) = probe_each([place], seconds=_PROBE_S)
    if isinstance(facts, ProtocolError):
        _drop(row, place, "refused", facts.code)
        return
    if not facts.seconds:
        _drop(row, place, "refused", "upload.no_length")
        return
    if place is part:
        files.private_dir(target.parent)
        part.chmod(files.PRIVATE_FILE)
        part.replace(target)
        files.sync_folder(target.parent)
    info = target.stat()
    with transaction.atomic():
        recording, _new = Recording.objects.update_or_create(
            source=row.source,
            path=target.name,
            defaults={
                "identity": asdict(FileIdentity(info.st_size, info.st_mtime_ns, info.st_ino)),
                "seconds": facts.seconds,
                "time_source": TimeSource.UNKNOWN.value,
                "why": WHY,
                "codec": facts.codec,
                "size": info.st_size,
                "container_time": facts.creation_time,
                "gone": False,
            },
        )
        row.state, row.sha256, row.recording, row.touched_at = "kept", sha256, recording, now
        row.save()
    log(Event.UPLOAD_STORED, size_class=size_class(row.size))


def _drop(row: Upload, place: Path, state: str, problem: str) -> None:
    place.unlink(missing_ok=True)
    row.state, row.problem, row.offset = state, problem[:64], 0
    row.save(update_fields=["state", "problem", "offset"])
    if state == "refused":
        log(Event.UPLOAD_REFUSED, code=row.problem)


def _refuse(row: Upload, code: str) -> None:
    row.state, row.problem, row.offset = "refused", code, 0
    row.save(update_fields=["state", "problem", "offset"])
    log(Event.UPLOAD_REFUSED, code=code)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def expire(now: int) -> int:
    """Forget unfinished files that nobody went on with for a day, the traces of refused ones, and parts that no row names."""
    limit = now - EXPIRES_S
    count = 0
    for row in Upload.objects.filter(state__in=("receiving", "refused", "duplicate"), touched_at__lt=limit):
        _part(row.pk).unlink(missing_ok=True)
        row.delete()
        count += 1
    if count:
        log(Event.UPLOAD_EXPIRED, count=count)
    named = set(Upload.objects.values_list("pk", flat=True))
    for path in _incoming().glob("*.part"):
        with contextlib.suppress(OSError):
            if path.stem not in named and path.stat().st_mtime < limit:
                path.unlink()
    return count


# -- the owner's view and word -------------------------------------------------------------------------------------------


def get(upload_id: str) -> Upload:
    """Return one upload. Raises Refused."""
    found = Upload.objects.select_related("source__camera", "recording").filter(pk=upload_id).first()
    if found is None:
        raise unknown("upload")
    return found


def listing() -> list[UploadView]:
    """Return all uploads, the newest first."""
    rows = Upload.objects.select_related("source__camera", "recording").order_by("-created_at", "-pk")
    return [view(row) for row in rows]


def view(row: Upload) -> UploadView:
    """Return an upload as the owner sees it."""
    one = row.recording
    gone = row.state == "kept" and (one is None or one.gone)
    return UploadView(
        id=row.pk,
        name=row.name,
        mark=row.mark,
        camera=row.source.camera_id,
        camera_name=row.source.camera.name,
        size=row.size,
        offset=row.offset,
        state="refused" if gone else row.state,
        sentence=explain("upload.lost") if gone else _sentence(row),
        seconds=None if one is None else one.seconds,
        start=None if one is None else one.start,
        end=None if one is None else one.end,
        found=() if one is None or gone else _found(row.name, one.container_time),
        asked=0 if one is None or gone else _asked(row.source.camera_id, one),
    )


def _sentence(row: Upload) -> str:
    if row.state == "duplicate":
        twin = Upload.objects.select_related("source__camera").filter(pk=row.problem).first()
        if twin is None:
            return _("You have brought in this file before.")
        return _("You have brought in this file before: “%(name)s”, camera %(camera)s.") % {
            "name": twin.name,
            "camera": twin.source.camera.name,
        }
    return explain(row.problem) if row.state == "refused" else ""


def explain(code: str) -> str:
    """Say in plain words why a file was refused."""
    return {
        "upload.lost": _("The file is no longer on this node. Bring it in again if you still have it."),
        "upload.no_length": _("This video does not say how long it is, so it cannot be placed in time."),
        "clip.still": _("This is a picture, not a video."),
        "clip.no_video": _("There is no video in this file, only sound or nothing."),
        "clip.codec": _("This video is of a kind that cannot be read here."),
        "clip.crashed": _("This file cannot be read safely, so it was deleted here."),
        "clip.limits": _("This file takes too much to read, so it was deleted here."),
    }.get(code, _("This is not a video that can be read, so it was deleted here."))


def _found(name: str, container_time: int | None) -> tuple[Found, ...]:
    found: list[Found] = []
    named = from_name(name)
    if named is not None:
        at = int(named.local.timestamp()) if named.absolute else None
        found.append(Found("name", named.local.replace(tzinfo=None).isoformat(), at))
    if container_time is not None and 0 < container_time < 2**40:
        stated = datetime.fromtimestamp(container_time, UTC).replace(tzinfo=None).isoformat()
        found.append(Found("container", stated, container_time))
    return tuple(found)


def _asked(camera: int, one: Recording) -> int:
    if one.start is None or one.end is None:
        return 0
    rows = Request.objects.filter(expires__gt=clock.now(), withdrawn="", start__lt=one.end, end__gt=one.start)
    return sum(1 for row in rows if any(hit["camera"] == camera for hit in row.hits))


def moments(local: str, zone: str) -> list[int]:
    """Return when a clock in `zone` shows `local`: one moment (Unix seconds), two when clocks go back, none when forward.

    Raises Refused.
    """
    optouts.check_zone(zone)
    wrong = invalid("upload.time", _("Give a date and a time."))
    if not _LOCAL.fullmatch(local):
        raise wrong
    try:
        wall = datetime.fromisoformat(local)
        place = ZoneInfo(zone)
        both = {int(wall.replace(tzinfo=place, fold=fold).timestamp()) for fold in (0, 1)}
    except (ValueError, OverflowError) as error:
        raise wrong from error
    return sorted(at for at in both if datetime.fromtimestamp(at, place).replace(tzinfo=None) == wall)


def confirm(upload_id: str, start: int) -> UploadView:
    """Take the owner's word for when a file was recorded (Unix seconds UTC), and look which requests ask about it."""
    row = get(upload_id)
    if row.state != "kept" or row.recording is None:
        raise conflict("upload.state", _("This file has no recording to place in time."))
    sources.answer_time(row.recording.pk, start)
    matching.rematch()
    return view(get(upload_id))


def remove(upload_id: str) -> None:
    """Delete a file, finished or not, for good. Raises Refused while an answer that is not sealed yet uses it."""
    with transaction.atomic():
        row = get(upload_id)
        if (
            AnswerClip.objects.filter(recording=row.recording_id, answer__state__in=("draft", "queued")).exists()
            and row.recording_id
        ):
            raise conflict("upload.used", _("An answer of yours uses this file."), _("Discard the answer first, or share it."))
        paths = [_part(row.pk)]
        if row.recording is not None:
            paths.append(Path(row.source.folder) / row.recording.path)
            Recording.objects.filter(pk=row.recording.pk).update(gone=True)
        matters = row.recording is not None
        # The file first: were the row gone and the file not, nobody would ever find it to delete it.
        for path in paths:
            path.unlink(missing_ok=True)
        row.delete()
    if matters:
        matching.rematch()


# -- places --------------------------------------------------------------------------------------------------------------


def _source(camera_id: int) -> Source:
    """Return a camera's folder of what was brought in, made at the first time."""
    found = Source.objects.filter(camera_id=camera_id, kind="upload").first()
    if found is None:
        folder = config.current(Config).folder("uploads", token_bytes(8).hex())
        found = Source.objects.create(camera_id=camera_id, kind="upload", folder=str(folder))
    return found


def _incoming() -> Path:
    return config.current(Config).folder("uploads", "incoming")


def _part(upload_id: str) -> Path:
    return _incoming() / f"{upload_id}.part"


def chunks_into(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Gather small pieces to a mebibyte, so that a slow network costs no write for each packet."""
    held = bytearray()
    try:
        for piece in stream:
            held += piece
            if len(held) >= _CHUNK:
                yield bytes(held)
                held.clear()
    except Refused:
        if held:
            yield bytes(held)
        raise
    if held:
        yield bytes(held)
