"""Looking at a source before, and after, it is used: what comes from it, how its clock stands, and its first picture.

What was found stands beside the previews in the cache, for as long as its source is there, and goes nowhere else.
"""

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters import frigate, glimpse
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.rtsp import check_address
from fairwitness.home.adapters.task import Task
from fairwitness.home.config import Config
from fairwitness.home.errors import invalid, unreachable
from fairwitness.home.models import Camera, Recorder, Recording, Source
from fairwitness.home.recordings import folder as folders
from fairwitness.home.recordings.times import CameraClock
from fairwitness.home.services import optouts, previews, recorders, sources
from fairwitness.kit import clock, config, files, secrets_store
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import thumbs
from fairwitness.kit.video.probe import Probe
from fairwitness.kit.video.worker import probe_each

NEWEST: Final = 3  # files of a folder that a look opens
_ENOUGH_S: Final = 600  # of recordings, from which the bytes of a day are worked out
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Found:
    """What one look at a source found, at `at` (Unix seconds UTC). Zero, "" and None: not known.

    `ahead_ms`: the camera's clock ahead of this machine's. `files`: recordings that a folder holds, of which the newest is
    `newest`, recorded `began` to `ended`, and last written at `written`; `why`: why its time is not known.
    """

    at: int
    codec: str = ""
    width: int = 0
    height: int = 0
    ahead_ms: int | None = None
    bytes_per_day: int = 0
    files: int = 0
    growing: int = 0
    newest: str = ""
    began: int | None = None
    ended: int | None = None
    written: int | None = None
    why: str = ""

    @property
    def clock_is_off(self) -> bool:
        """Tell whether the camera's clock is so far off that its own picture's date line would mislead."""
        return self.ahead_ms is not None and abs(self.ahead_ms) > 5000

    @property
    def off_s(self) -> int:
        """Return by how many seconds, whichever way."""
        return round(abs(self.ahead_ms or 0) / 1000)


@dataclass(frozen=True, slots=True)
class Room:
    """What recordings need on disk, in bytes. `per_day` 0: not known yet; `free`: on the disk that they go to."""

    per_day: int
    used: int
    free: int

    def needed(self, days: int) -> int:
        """Return the bytes of so many days."""
        return self.per_day * days

    @property
    def suggested(self) -> int:
        """Return a limit that leaves a fifth of the room to everything else: whole GiB, at least one."""
        return max((self.free + self.used) * 4 // 5 >> 30, 1) << 30

    def fits(self, days: int) -> bool:
        """Tell whether so many days have room beside what else is on the disk, with a tenth to spare."""
        return self.needed(days) <= (self.free + self.used) * 9 // 10


def look_rtsp(address: str, *, user: str = "", password: str = "") -> tuple[Found, bytes]:
    """Look at a stream for some seconds; return what was found and its first picture. Raises Refused, ProtocolError."""
    check_address(address)
    recorders.check_secret(user, password)
    return _glimpse(Task(address=address, user=user, password=password, folder="", chain=""))


def _glimpse(task: Task) -> tuple[Found, bytes]:
    try:
        seen = glimpse.look(task)
    except SourceProblem as error:
        raise unreachable(f"stream.{error.code}", *explain(error.code)) from error
    found = Found(
        at=clock.now(), codec=seen.codec, width=seen.width, height=seen.height, ahead_ms=seen.ahead_ms,
        bytes_per_day=round(seen.bytes_per_s * DAY_S),
    )  # fmt: skip
    return found, seen.picture


def look_folder(path: str, *, zone: str | None = None, offset: int = 0, container_trusted: bool = False) -> tuple[Found, bytes]:
    """Look at the newest recordings of a folder; nothing in it is changed. Raises Refused, for a folder without any too."""
    place = Path(path).expanduser()
    if not place.is_absolute() or not place.is_dir():
        raise invalid("source.folder", _("There is no such folder."), _("Give the folder's full path."))
    if zone is not None:
        optouts.check_zone(zone)
    facts: dict[Path, Probe] = {}
    count = 0

    def newest(paths: Iterable[Path]) -> Iterator[tuple[Path, Probe | ProtocolError]]:
        nonlocal count
        listed = sorted(paths, key=_written, reverse=True)
        count = len(listed)
        for one, fact in probe_each(listed[:NEWEST]):
            if isinstance(fact, Probe):
                facts[one] = fact
            yield one, fact

    rules = CameraClock(zone=zone, offset=offset, container_trusted=container_trusted)
    settle = config.current(Config).settle_seconds
    try:
        scan = folders.scan(place, {}, now=clock.now(), clock=rules, settle=settle, probe=newest)
    except OSError as error:
        raise invalid(
            "source.unreadable", _("This folder cannot be read."), _("See that this home's user may read it.")
        ) from error
    if not count and scan.pending:
        raise invalid(
            "source.growing",
            _("The only recordings there are still being written."),
            _("Wait half a minute and look again."),
        )
    if not count:
        raise invalid(
            "source.empty",
            _("There are no videos in this folder."),
            _("Give the folder into which the camera or its program writes; folders inside it are looked through too."),
        )
    if not scan.recordings:
        raise invalid(
            "source.no_video",
            _("The newest files there are no videos that can be read."),
            scan.refused[0].message if scan.refused else "",
        )
    best = max(scan.recordings, key=lambda one: one.identity.mtime_ns)
    file = place.resolve() / best.path
    seen = facts[file]
    picture = b""
    with contextlib.suppress(ProtocolError, OSError):
        picture = thumbs.thumb(file, best.seconds / 2)
    found = Found(
        at=clock.now(), codec=best.codec, width=seen.width, height=seen.height, files=count, growing=len(scan.pending),
        newest=best.path, began=best.start, ended=best.end, written=best.identity.mtime_ns // 10**9, why=best.why,
    )  # fmt: skip
    return found, picture


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def look(source_id: int) -> Found:
    """Look at a source that is in use, and keep what was found. Raises Refused, ProtocolError."""
    source = sources.get(source_id)
    row = Recorder.objects.filter(source=source).first()
    if row is None:
        found, picture = look_folder(
            source.folder, zone=source.zone, offset=source.offset, container_trusted=source.container_trusted
        )
    elif row.kind == "rtsp":
        secret = _secret(row)
        task = Task(address=row.address, user=secret["user"], password=secret["password"], folder="", chain="")
        found, picture = _glimpse(task)
    elif row.kind == "frigate":
        found, picture = _frigate(row)
    else:
        found, picture = Found(at=clock.now(), ahead_ms=row.options.get("onvif", {}).get("ahead_ms")), b""
    keep(source, found, picture)
    return found


def _frigate(row: Recorder) -> tuple[Found, bytes]:
    secret = _secret(row)
    pinned = str(row.options.get("certificate", ""))
    client = frigate.Client(row.address, secret["user"], secret["password"], certificate=pinned)
    name = str(row.options["camera"])
    try:
        client.about(name)
        picture, ahead = client.glance(name)
    except SourceProblem as error:
        raise unreachable(f"frigate.{error.code}", frigate.explain(error.code)) from error
    return Found(at=clock.now(), ahead_ms=ahead), picture


def _secret(row: Recorder) -> dict[str, str]:
    found: dict[str, str] = json.loads(secrets_store.unwrap(bytes(row.secret)))
    return found


def set_login(recorder_id: int, user: str, password: str) -> Found:
    """Take a stream's new user and password, once the camera took them. Raises Refused, ProtocolError."""
    row = recorders.get(recorder_id)
    if row.kind != "rtsp":
        raise invalid("recorder.login", _("Remove this source and add it again to change its password."))
    found, picture = look_rtsp(row.address, user=user, password=password)
    row.secret = secrets_store.wrap(json.dumps({"user": user, "password": password}).encode())
    row.save(update_fields=["secret"])
    keep(row.source, found, picture)
    return found


# ---------------------------------------------------------------- what was found, kept


def keep(source: Source, found: Found, picture: bytes) -> None:
    """Keep what a look found; a picture that was not had this time stays the one of before."""
    files.write_atomic(_place(source, "seen"), json.dumps(asdict(found)).encode())
    if picture:
        files.write_atomic(_place(source, "jpeg"), picture)


def kept(source: Source) -> Found | None:
    """Return what the last look found, None where nobody looked."""
    try:
        value: dict[str, Any] = json.loads(_place(source, "seen").read_bytes())
        return Found(**value)
    except (OSError, ValueError, TypeError):
        return None


def picture(source: Source) -> bytes | None:
    """Return the picture of the last look that had one."""
    try:
        return _place(source, "jpeg").read_bytes()
    except OSError:
        return None


def _place(source: Source, suffix: str) -> Path:
    return config.current(Config).folder("cache") / f"{previews.FIRST}{source.pk}.{suffix}"


def camera_picture(camera: Camera) -> bytes:
    """Return a JPEG of what a camera showed last: of its newest recording, else of the first look. Raises Refused."""
    rows = Recording.objects.filter(source__camera=camera, gone=False)
    newest = rows.exclude(start=None).order_by("-start", "-pk").first() or rows.order_by("-pk").first()
    if newest is not None:
        with contextlib.suppress(Refused, ProtocolError, OSError):
            return previews.thumb(newest.pk, newest.seconds / 2)
    for source in camera.sources.order_by("-pk"):
        found = picture(source)
        if found is not None:
            return found
    raise Refused(404, "camera.picture", _("There is no picture of this camera yet."))


def has_picture(camera: Camera) -> bool:
    """Tell whether `camera_picture` has something to try."""
    if Recording.objects.filter(source__camera=camera, gone=False).exists():
        return True
    return any(picture(source) is not None for source in camera.sources.all())


# ---------------------------------------------------------------- room


def room(row: Recorder) -> Room:
    """Return what a recorder's recordings need: by what it recorded, else by what the look at it measured."""
    recorded = row.source.recordings.filter(gone=False, start__isnull=False)
    newest = list(recorded.order_by("-start").values_list("size", "seconds")[:200])
    seconds = sum(one[1] for one in newest)
    per_day = 0
    if row.kind == "rtsp" and seconds >= _ENOUGH_S:
        per_day = round(sum(one[0] for one in newest) / seconds * DAY_S)
    elif row.kind == "rtsp":
        seen = kept(row.source)
        per_day = seen.bytes_per_day if seen is not None else 0
    try:
        free = shutil.disk_usage(row.source.folder).free
    except OSError:
        free = 0
    return Room(per_day, sum(recorded.values_list("size", flat=True)), free)


# ---------------------------------------------------------------- words


def explain(code: str) -> tuple[str, str]:
    """Say what a problem of a stream or folder means, and what to do."""
    found = {
        "unreachable": (
            _("The camera does not answer."),
            _("See that it has power and network, and that its address is right: a router may have given it another one."),
        ),
        "slow": (_("The camera answers too slowly."), _("Try again; if it stays so, look at its network.")),
        "refused": (
            _("The camera does not accept this user and password."),
            _("Use the ones of the camera's own settings, not of its maker's app. Some cameras want RTSP switched on first."),
        ),
        "not_found": (
            _("The camera has no stream at this address."),
            _("The part behind the host differs by maker; the camera's manual names it under RTSP."),
        ),
        "no_stream": (_("What answers there is no camera stream."), _("Check the address and the port; RTSP's own is 554.")),
        "no_pictures": (
            _("The stream has no pictures that can be recorded."),
            _("Choose H.264 or H.265 in the camera's own settings."),
        ),
        "too_large": (_("The camera's pictures are too large."), _("Choose a smaller picture in the camera's own settings.")),
        "disk_full": (_("The disk is full, so nothing is recorded."), _("Make room on it, or keep recordings for fewer days.")),
        "stalled": (
            _("The recorder has not said anything for a minute."),
            _("It is started again by itself; if this stays, start this home anew."),
        ),
        "retention": (
            _("Old recordings could not be deleted."),
            _("See that this home's user may write in the folder of the recordings."),
        ),
        "unreadable": (
            _("The folder cannot be read."),
            _("See that its disk is plugged in and that this home's user may read it. Nothing was forgotten."),
        ),
        "connecting": (_("The camera is being called."), ""),
        "starting": (_("The recorder is starting."), ""),
        "reconnecting": (_("The connection was lost and is made anew."), ""),
        "ended": (_("The camera ended the stream; it is called again."), _("If this stays, start the camera anew.")),
        "unrestricted": (frigate.explain("unrestricted"), ""),
        "not_allowed": (frigate.explain("not_allowed"), ""),
    }.get(code)  # fmt: skip
    return found or (
        _("The camera sends something that is not understood."),
        _("Try again; if it stays so, start the camera anew."),
    )
