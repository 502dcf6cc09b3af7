"""Cameras that this home records itself, and other recorders that it fetches from. All of it stays on this machine's network."""

import atexit
import functools
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.model.request import Request as Document
from fairwitness_core.rules.matching import Watcher
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters import frigate, onvif_again, onvif_recordings
from fairwitness.home.adapters.base import Adapter, SourceProblem
from fairwitness.home.adapters.chain import Chain
from fairwitness.home.adapters.keeper import Keeper
from fairwitness.home.adapters.rtsp import RtspAdapter, check_address
from fairwitness.home.adapters.task import Task
from fairwitness.home.errors import conflict, invalid, unknown, unreachable
from fairwitness.home.models import AnswerClip, AnswerPiece, Camera, Recorder, Recording, Request, Source
from fairwitness.home.services import cameras, plugins
from fairwitness.kit import clock, config, secrets_store
from fairwitness.kit.journal import Event, log

MAX_KEEP_DAYS = 3650
QUIET_S = 60  # a camera that is silent for so long is a problem to be shown
_FINE = frozenset({"recording", "connected"})
_HIDDEN = ("certificate", "chain")


@dataclass(frozen=True, slots=True)
class RecorderView:
    """A recorder as its owner sees it: never with credentials.

    `state` since `since` (Unix seconds UTC) is what its process says. `camera_ahead_ms`: how far the camera's clock is ahead of
    this machine's; `drift_ppm`: how much faster it runs. `kept_at`: when retention last ran.
    """

    id: int
    camera: int
    kind: str
    address: str
    folder: str
    keep_days: int
    keep_bytes: int
    options: dict[str, Any]
    state: str
    since: int
    problem: str
    codec: str
    sound_left_out: bool
    camera_ahead_ms: int | None
    drift_ppm: int | None
    recordings: int
    bytes: int
    kept_at: int


@dataclass(frozen=True, slots=True)
class HoleView:
    """Nothing was recorded between `start` and `end` (Unix seconds UTC), because of `reason` (adapters.chain.REASONS)."""

    start: float
    end: float
    reason: str


def add_rtsp(
    camera_id: int,
    address: str,
    *,
    user: str = "",
    password: str = "",
    folder: str = "",
    keep_days: int = 14,
    keep_bytes: int = 0,
    sound: bool = False,
) -> Recorder:
    """Record a camera's stream from now on. `folder` "": below this home's data. Raises Refused, ProtocolError."""
    check_address(address)
    secret = {"user": user, "password": password}
    limits = {"keep_days": keep_days, "keep_bytes": keep_bytes}
    return add_row("rtsp", camera_id, address, secret=secret, options={"sound": sound}, folder=folder, **limits)


def add_frigate(
    camera_id: int,
    address: str,
    *,
    user: str,
    password: str,
    name: str,
    fingerprint: str = "",
    folder: str = "",
    keep_days: int = 14,
    keep_bytes: int = 0,
) -> Recorder:
    """Fetch from a Frigate what requests ask about. `name`: the camera's name there; `fingerprint`: SHA-256 of its certificate.

    Signs in once to see that the user is restricted to shared cameras and may see this one. Raises Refused, ProtocolError.
    """
    frigate.check_address(address)
    frigate.check_camera(name)
    try:
        certificate = frigate.pin(address, fingerprint) if fingerprint else ""
        about = frigate.Client(address, user, password, certificate=certificate).about(name)
    except SourceProblem as error:
        raise unreachable(f"frigate.{error.code}", frigate.explain(error.code)) from error
    options = {"camera": name, "certificate": certificate, "version": about.version}
    secret = {"user": user, "password": password}
    limits = {"keep_days": keep_days, "keep_bytes": keep_bytes}
    return add_row("frigate", camera_id, address, secret=secret, options=options, folder=folder, **limits)


def check_secret(*values: str) -> None:
    """Refuse a user or password that no protocol carries. Raises Refused."""
    if any(len(value) > 500 or not value.isprintable() for value in values):
        raise invalid("recorder.secret", _("A user and a password are plain text of at most 500 characters."))


def add_row(
    kind: str,
    camera_id: int,
    address: str,
    *,
    secret: dict[str, str],
    options: dict[str, Any],
    folder: str,
    keep_days: int,
    keep_bytes: int,
) -> Recorder:
    """Store a recorder whose `kind` has checked its address; the credentials in `secret` are wrapped. Raises Refused."""
    camera = cameras.get(camera_id)
    check_limits(keep_days, keep_bytes)
    check_secret(*secret.values())
    if folder:
        place = Path(folder).expanduser()
        if not place.is_absolute() or not place.is_dir():
            raise invalid("source.folder", _("There is no such folder."), _("Give the folder's full path."))
        folder = str(place)
        if Source.objects.filter(folder=folder).exists():
            raise conflict("source.taken", _("This folder is a source already."))
    if Recorder.objects.filter(kind=kind, address=address, source__camera=camera).exists():
        raise conflict("recorder.taken", _("This camera is recorded from there already."))
    # A name of its own, never a row's number: a restored database hands the same numbers out again.
    place_of = token_bytes(8).hex()
    with transaction.atomic():
        source = Source.objects.create(camera=camera, folder=folder, zone="UTC")
        if not folder:
            source.folder = str(config.current(config.RoleConfig).folder("recordings", place_of))
            source.save(update_fields=["folder"])
        return Recorder.objects.create(
            source=source,
            kind=kind,
            address=address,
            secret=secrets_store.wrap(json.dumps(secret).encode()),
            options=options | {"chain": place_of},
            keep_days=keep_days,
            keep_bytes=keep_bytes,
            added_at=clock.now(),
        )


def check_limits(keep_days: int, keep_bytes: int) -> None:
    """Refuse limits that keep nothing or never end. Raises Refused."""
    if not 1 <= keep_days <= MAX_KEEP_DAYS:
        raise invalid("recorder.days", _("Recordings are kept for 1 to 3650 days."))
    if keep_bytes and not 64 << 20 <= keep_bytes < 1 << 50:
        raise invalid("recorder.bytes", _("A limit in bytes is at least 64 MiB, or none."))


def edit(recorder_id: int, *, keep_days: int, keep_bytes: int) -> Recorder:
    """Change how long recordings are kept. Raises Refused."""
    check_limits(keep_days, keep_bytes)
    row = get(recorder_id)
    row.keep_days, row.keep_bytes = keep_days, keep_bytes
    row.save(update_fields=["keep_days", "keep_bytes"])
    return row


def get(recorder_id: int) -> Recorder:
    """Return one recorder. Raises Refused."""
    found = Recorder.objects.select_related("source__camera").filter(pk=recorder_id).first()
    if found is None:
        raise unknown("recorder")
    return found


def remove(recorder_id: int, *, erase: bool = False) -> None:
    """Stop recording and forget what is known of the recordings; the files go too with `erase`, else they stay for good.

    The chain stays. Raises Refused.
    """
    row = get(recorder_id)
    if erase:
        for one in row.source.recordings.filter(gone=False):
            _unlink(Path(row.source.folder), one.path)
    row.source.delete()


def listing() -> list[RecorderView]:
    """Return all recorders in the order they were added."""
    return [view(row) for row in Recorder.objects.select_related("source__camera").order_by("pk")]


def view(row: Recorder) -> RecorderView:
    """Return one recorder for its owner."""
    status = _status(row)
    sizes = list(row.source.recordings.filter(gone=False).values_list("size", flat=True))
    return RecorderView(
        id=row.pk,
        camera=row.source.camera_id,
        kind=row.kind,
        address=row.address,
        folder=row.source.folder,
        keep_days=row.keep_days,
        keep_bytes=row.keep_bytes,
        options=_shown(row.options),
        state=str(status.get("state", "starting" if row.kind == "rtsp" else "idle")),
        since=int(status.get("since", row.added_at)),
        problem=row.problem or row.source.problem,
        codec=str(status.get("codec", "")),
        sound_left_out=bool(status.get("sound_left_out", False)),
        camera_ahead_ms=_camera_ahead(row, status),
        drift_ppm=status.get("drift_ppm"),
        recordings=len(sizes),
        bytes=sum(sizes),
        kept_at=row.kept_at,
    )


def _shown(options: dict[str, Any]) -> dict[str, Any]:
    return {key: _shown(value) if isinstance(value, dict) else value for key, value in options.items() if key not in _HIDDEN}


def _camera_ahead(row: Recorder, status: dict[str, Any]) -> int | None:
    """Return what the camera's sender reports say of its clock; where it sends none, what it said when it was asked."""
    measured: int | None = status.get("camera_ahead_ms")
    stated: int | None = row.options.get("onvif", {}).get("ahead_ms")
    return stated if measured is None else measured


def chain(row: Recorder) -> Chain:
    """Return the chain of a recorder's segments."""
    return Chain(config.current(config.RoleConfig).folder("chains", str(row.options["chain"])))


def adapter(row: Recorder) -> Adapter:
    """Return the adapter that a scan looks through. Raises ProtocolError when the credentials are another node's."""
    folder = Path(row.source.folder)
    if row.kind == "rtsp":
        return RtspAdapter(folder, chain(row))
    if row.kind == "plugin":
        return plugins.adapter(row, folder, chain(row))
    if row.kind == "onvif":
        device = onvif_again.device(row.options["onvif"], _secret(row))
        return onvif_recordings.OnvifAdapter(folder, chain(row), device, str(row.options["onvif"]["recording"]))
    return frigate.FrigateAdapter(folder, chain(row), _client(row), str(row.options["camera"]))


def _client(row: Recorder) -> frigate.Client:
    secret = _secret(row)
    return frigate.Client(row.address, secret["user"], secret["password"], certificate=str(row.options.get("certificate", "")))


def _secret(row: Recorder) -> dict[str, str]:
    found: dict[str, str] = json.loads(secrets_store.unwrap(bytes(row.secret)))
    return found


def holes(recorder_id: int, start: int, end: int) -> list[HoleView]:
    """Return when and why nothing was recorded between two times (Unix seconds UTC). Raises Refused, ProtocolError."""
    if not 0 <= start < end < 2**40:
        raise invalid("recorder.times", _("Give a begin and a later end."))
    found = chain(get(recorder_id)).holes(start * 1000, end * 1000)
    return [HoleView(hole.start / 1000, hole.end / 1000, hole.reason) for hole in found]


def verify(recorder_id: int) -> list[str]:
    """Check a recorder's chain and the files that are left against it; no sentence means that all fits. Raises Refused."""
    row = get(recorder_id)
    try:
        return list(chain(row).verify(Path(row.source.folder)))
    except ProtocolError as error:
        return [f"the chain cannot be read: {error.code}"]


def marks(recorder_id: int, start: int, end: int) -> list[frigate.Mark]:
    """Ask a Frigate what it saw between two times (Unix seconds UTC). Raises Refused."""
    row = get(recorder_id)
    if row.kind != "frigate":
        raise conflict("recorder.marks", _("This recorder marks nothing: it decodes no picture."))
    if not row.source.camera.marks_on:
        raise conflict("marks.off", _("Marks are off for this camera."), _("Switch them on first."))
    if not 0 <= start < end < 2**40:
        raise invalid("recorder.times", _("Give a begin and a later end."))
    try:
        return _client(row).marks(str(row.options["camera"]), start, end)
    except SourceProblem as error:
        raise unreachable(f"frigate.{error.code}", frigate.explain(error.code)) from error


def windows(camera: Camera, now: int) -> list[tuple[int, int]]:
    """Return the times that live requests near this camera ask about, each begun at the camera's pre-roll."""
    found = []
    watcher = Watcher({"": cameras.cells(camera)})
    for row in Request.objects.filter(expires__gt=now, withdrawn="", ignored_at=None, start__lt=now):
        area = Document.parse(dsse.Envelope.parse(bytes(row.envelope)).payload).area
        if watcher.near(area):
            found.append((row.start - camera.pre_roll, min(row.end, now)))
    return sorted(found)


def retain(now: int) -> int:
    """Delete what is past its days, and the oldest beyond the limit in bytes; returns how many files went.

    What a live request asks about, or an open answer uses, stays beyond its days. The limit in bytes is hard: such recordings go
    last, but they go, because a full disk would end all recording.
    """
    count = 0
    for row in Recorder.objects.select_related("source__camera"):
        count += _retain(row, now)
    return count


def _retain(row: Recorder, now: int) -> int:
    folder = Path(row.source.folder)
    held = windows(row.source.camera, now)
    waiting = ("draft", "queued")
    clips = AnswerClip.objects.filter(recording__source=row.source, answer__state__in=waiting)
    pieces = AnswerPiece.objects.filter(recording__source=row.source, clip__answer__state__in=waiting)
    used = {number for found in (clips, pieces) for number in found.values_list("recording_id", flat=True)}
    rows = list(row.source.recordings.filter(gone=False, start__isnull=False).order_by("start", "pk"))
    free: list[Recording] = []
    kept: list[Recording] = []
    for one in rows:
        wanted = one.pk in used or _touches(one, held)
        (kept if wanted else free).append(one)
    loose = {one.pk for one in free}
    total = sum(one.size for one in rows)
    horizon = now - row.keep_days * 86_400
    gone: list[int] = []
    failed = False
    for one in (*free, *kept):
        over = bool(row.keep_bytes) and total > row.keep_bytes
        old = (one.end or 0) < horizon and one.pk in loose
        if not (over or old):
            continue
        if _unlink(folder, one.path):
            total -= one.size
            gone.append(one.pk)
        else:
            failed = True
    Recording.objects.filter(pk__in=gone).update(gone=True)
    if gone:
        log(Event.RETENTION_PURGED, kind="recordings", count=len(gone))
    changes: dict[str, Any] = {} if failed else {"kept_at": now}
    if failed != (row.problem == "retention"):
        changes |= {"problem": "retention" if failed else "", "problem_at": now if failed else 0}
    Recorder.objects.filter(pk=row.pk).update(**changes)
    return len(gone)


def _touches(one: Recording, windows: list[tuple[int, int]]) -> bool:
    begin, end = one.start or 0, one.end or 0
    return any(begin < high and low < end for low, high in windows)


def _unlink(folder: Path, name: str) -> bool:
    path = folder / name
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    try:
        path.parent.rmdir()  # a day that has nothing left
    except OSError:
        return True
    return True


def _status(row: Recorder) -> dict[str, Any]:
    try:
        found = json.loads((chain(row).root / "status.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


_keeper = Keeper(died=lambda _number, status: log(Event.CHILD_DIED, process="recorder", status=status, restart_in=0))
atexit.register(_keeper.stop)


def keep(now: int) -> None:
    """Bring the recorder processes in line with the cameras that are to be recorded, and note which of them are silent."""
    rows = list(Recorder.objects.select_related("source").filter(kind="rtsp"))
    _keeper.step({row.pk: (_mark(row), functools.partial(_task, row)) for row in rows}, time.monotonic())
    for row in rows:
        if row.problem == "retention":
            continue
        status = _status(row)
        state = str(status.get("state", "starting"))
        quiet = state not in _FINE and now - int(status.get("since", row.added_at)) >= QUIET_S
        stale = state in _FINE and now - int(status.get("at", now)) >= QUIET_S
        problem = state if quiet else "stalled" if stale else ""
        said = row.options.get("onvif")
        if said and onvif_again.due(said, now, problem):
            again = onvif_again.ask(said, _secret(row), row.address, now, problem)
            row.options |= {"onvif": again.options}
            Recorder.objects.filter(pk=row.pk).update(options=row.options, address=again.address)
            problem = again.problem or problem
        if problem != row.problem:
            if problem:
                log(Event.CAMERA_UNREACHABLE, code=problem)
            Recorder.objects.filter(pk=row.pk).update(problem=problem, problem_at=now if problem else 0)


def stop() -> None:
    """End all recorder processes of this process, each with the segment in hand finished."""
    _keeper.stop()


def running() -> dict[int, int]:
    """Return the process id of each recorder that this process runs."""
    return _keeper.running()


def _mark(row: Recorder) -> str:
    # What a camera says of its clock changes and is no reason to start its recorder anew.
    options = {key: value for key, value in row.options.items() if key != "onvif"}
    parts = (row.address, row.source.folder, json.dumps(options, sort_keys=True))
    return hashlib.sha256(repr(parts).encode() + bytes(row.secret)).hexdigest()


def _task(row: Recorder) -> Task:
    secret = _secret(row)
    return Task(
        address=row.address,
        user=secret["user"],
        password=secret["password"],
        folder=row.source.folder,
        chain=str(chain(row).root),
        sound=bool(row.options.get("sound", False)),
        seconds=float(row.options.get("seconds", 60.0)),
    )
