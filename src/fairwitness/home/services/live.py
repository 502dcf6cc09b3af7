"""Looking at a camera as it is now. Nothing is decoded or copied while nobody looks.

A recorder writes the camera's stream to this disk anyway. While somebody looks, one child process (kit.video.live) follows that
file and hands its pictures on in pieces of half a second; browsers fetch them one after the other, so no answer is kept open.
The child ends seconds after the last fetch. There is one for each camera, `CAMERAS` at a time here, and `VIEWERS` of each.
"""

import contextlib
import json
import os
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from struct import pack, unpack_from
from typing import Any, Final

from django.utils.translation import gettext as _
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters.recorder import PART
from fairwitness.home.errors import conflict, invalid
from fairwitness.home.models import Recorder, Recording
from fairwitness.home.services import cameras, days, previews
from fairwitness.kit import clock, config, files
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log
from fairwitness.kit.video import thumbs
from fairwitness.kit.video.live import STATE
from fairwitness.kit.video.worker import child_lines

CAMERAS: Final = 2
VIEWERS: Final = 4
AWAY_S: Final = 8.0
"""Seconds without a fetch after which a viewer is gone."""
LONGEST_S: Final = 3600  # a child's own life; whoever still looks then gets another one
STILL_S: Final = 5
_AT_ONCE: Final = 4 << 20
_FRESH_S: Final = 90  # a growing file that was not written to for so long is a recorder's that stopped
_VIEWER = re.compile(r"[0-9a-f]{16}")
_CURSOR = re.compile(r"([0-9a-f]{16})-(\d{1,9})-(\d{1,12})")


@dataclass(frozen=True, slots=True)
class Piece:
    """What a viewer gets next. `fresh`: it begins anew, with a description of its own; `began`: Unix seconds of its time 0."""

    data: bytes
    cursor: str
    codec: str
    began: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class Still:
    """The newest picture there is, a JPEG, and when it is from (Unix seconds UTC)."""

    jpeg: bytes
    at: int


def kind(camera_id: int) -> str:
    """Return what can be seen of now: `stream`; `newest` (the newest recording); "" while there is nothing at all."""
    if Recorder.objects.filter(source__camera=camera_id, kind="rtsp").exists():
        return "stream"
    return "newest" if Recording.objects.filter(source__camera=camera_id, gone=False, start__isnull=False).exists() else ""


def viewer() -> str:
    """Return a name for one open page."""
    return token_bytes(8).hex()


# ---------------------------------------------------------------- the stream


def follow(camera_id: int, who: str, after: str) -> Piece | None:
    """Return the pictures behind the cursor `after` ("" at the start), None while there are none yet; keeps the child going.

    Raises Refused: `live.none`, `live.silent` (the recorder gets nothing now), `live.viewers`, `live.busy`.
    """
    row = _recorder(camera_id)
    if not _VIEWER.fullmatch(who):
        raise invalid("live.viewer", _("This is no viewer's name."))
    place = _place(camera_id)
    _seen(place, who)
    _growing(row)
    _start(row, place)
    return _piece(place, after)


def _recorder(camera_id: int) -> Recorder:
    found = Recorder.objects.filter(source__camera=cameras.get(camera_id), kind="rtsp").select_related("source").first()
    if found is None:
        raise conflict("live.none", _("This home does not record this camera itself, so there is no live picture."))
    return found


def _place(camera_id: int) -> Path:
    return config.current(config.RoleConfig).folder("cache", "live", str(camera_id))


def _seen(place: Path, who: str) -> None:
    """Note that a viewer is there. Raises Refused where there are too many others."""
    mine = place / f"{who}.viewer"
    others = [path for path in _viewers(place) if path != mine]
    if len(others) >= VIEWERS:
        raise Refused(
            503, "live.viewers", _("This camera is being watched on several devices already."), _("Close it on one of them.")
        )
    now = clock.now_float()
    mine.touch()
    os.utime(mine, (now, now))


def _viewers(place: Path) -> list[Path]:
    """Return the viewers that are there; forget the others."""
    horizon = clock.now_float() - AWAY_S
    found = []
    for path in place.glob("*.viewer"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime >= horizon:
                found.append(path)
            else:
                path.unlink()
    return found


def _growing(row: Recorder) -> Path:
    """Return the file that the recorder writes now. Raises Refused."""
    found: tuple[float, Path] | None = None
    for path in (Path(row.source.folder) / PART).glob("*.mp4"):
        with contextlib.suppress(FileNotFoundError):
            if path.stem.isdecimal():
                found = max(found or (0.0, path), (path.stat().st_mtime, path))
    if found is None or found[0] < clock.now_float() - _FRESH_S:
        raise conflict("live.silent", _("Nothing comes from this camera just now."), _("Its recorder keeps trying."))
    return found[1]


_running: dict[int, threading.Thread] = {}
_one = threading.Lock()


def _start(row: Recorder, place: Path) -> None:
    """Have a child follow the camera, unless one does already, in whatever process. Raises Refused."""
    camera = row.source.camera_id
    with _one:
        lock = files.FileLock(place / ".lock")
        try:
            lock.acquire(wait=False)
        except files.Locked:
            return
        slot = _slot(place.parent)
        if slot is None:
            lock.release()
            raise Refused(503, "live.busy", _("Other cameras are being watched already."), _("Close one of them first."))
        for old in place.glob("run-*"):
            shutil.rmtree(old, ignore_errors=True)
        out = files.private_dir(place / f"run-{token_bytes(8).hex()}")
        job: dict[str, object] = {
            "do": "look", "look": "live", "path": str(Path(row.source.folder) / PART), "out": str(out), "nice": 5,
        }  # fmt: skip
        thread = threading.Thread(target=_run, args=(job, place, out, (lock, slot)), name="live", daemon=True)
        _running[camera] = thread
        thread.start()


def _slot(place: Path) -> files.FileLock | None:
    for number in range(CAMERAS):
        lock = files.FileLock(place / f".slot-{number}")
        with contextlib.suppress(files.Locked):
            lock.acquire(wait=False)
            return lock
    return None


def _run(job: dict[str, object], place: Path, out: Path, locks: tuple[files.FileLock, ...]) -> None:
    try:
        for _line in child_lines(job, seconds=LONGEST_S, cancelled=lambda: not _viewers(place)):
            continue
    except ProtocolError as error:
        if error.code != "clip.cancelled":
            log(Event.JOB_FAILED, job="live", error=error.code, failures=1, retry_in=0)
    except (OSError, RuntimeError):
        log(Event.JOB_FAILED, job="live", error="live.child", failures=1, retry_in=0)
    finally:
        shutil.rmtree(out, ignore_errors=True)
        for lock in locks:
            lock.release()


def settle(seconds: float = 30.0) -> None:
    """Wait until nothing is followed by this process any more."""
    for thread in list(_running.values()):
        thread.join(seconds)


def watched(camera_id: int) -> bool:
    """Tell whether a child follows a camera."""
    return any(_place(camera_id).glob("run-*"))


def _piece(place: Path, after: str) -> Piece | None:
    out = next(iter(place.glob("run-*")), None)
    if out is None:
        return None
    try:
        state: dict[str, Any] = json.loads((out / STATE).read_bytes())
    except (OSError, ValueError):
        return None
    run = out.name.removeprefix("run-")
    known = _CURSOR.fullmatch(after)
    try:
        if known is None or known[1] != run:
            return _first(out, run, state)
        return _next(out, run, state, int(known[2]), int(known[3]))
    except OSError:
        return None  # it ends just now, or this viewer is too far behind: the next fetch begins anew


def _first(out: Path, run: str, state: dict[str, Any]) -> Piece:
    path = out / f"{state['file']}.mp4"
    data = _read(path, 0, state["head"]) + _read(path, state["key"], state["size"])
    return Piece(data, f"{run}-{state['file']}-{state['size']}", state["codec"], state["began"], fresh=True)


def _next(out: Path, run: str, state: dict[str, Any], number: int, offset: int) -> Piece | None:
    if number == state["file"]:
        end = min(state["size"], offset + _AT_ONCE)
        data = _read(out / f"{number}.mp4", offset, end)
        return Piece(data, f"{run}-{number}-{offset + len(data)}", "", 0.0, fresh=False) if data else None
    path = out / f"{number}.mp4"
    size = path.stat().st_size if path.exists() else -1
    if size < 0 or number != state["file"] - 1:
        return _first(out, run, state)
    if offset < size:
        data = _read(path, offset, min(size, offset + _AT_ONCE))
        return Piece(data, f"{run}-{number}-{offset + len(data)}", "", 0.0, fresh=False)
    data = _read(out / f"{state['file']}.mp4", 0, min(state["size"], _AT_ONCE))
    return Piece(data, f"{run}-{state['file']}-{len(data)}", state["codec"], state["began"], fresh=True)


def _read(path: Path, begin: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(max(end - begin, 0))


# ---------------------------------------------------------------- the newest picture


def still(camera_id: int) -> Still:
    """Return the newest picture of a camera; made at most every few seconds, whoever asks. Raises Refused, ProtocolError."""
    cameras.get(camera_id)
    row = Recorder.objects.filter(source__camera=camera_id, kind="rtsp").select_related("source").first()
    if row is not None:
        with contextlib.suppress(Refused, ProtocolError, OSError):
            return _of_growing(camera_id, _growing(row))
    newest = days.newest(camera_id)
    if newest is None or newest.start is None:
        raise conflict("live.nothing", _("There is no picture of this camera yet."))
    at = max(newest.seconds - 1.0, 0.0)
    return Still(previews.thumb(newest.pk, at), int(newest.start + at))


def _of_growing(camera_id: int, path: Path) -> Still:
    place = _place(camera_id)
    made = place / "still.jpg"
    now = clock.now()
    with contextlib.suppress(FileNotFoundError):
        found = made.stat()
        if 0 <= now - found.st_mtime < STILL_S:
            return Still(made.read_bytes(), int(found.st_mtime))
    lock = files.FileLock(place / ".still.lock")
    try:
        lock.acquire(wait=False)
    except files.Locked:
        return Still(made.read_bytes(), int(made.stat().st_mtime))
    part = place / "still.part"
    try:
        end = _tail(path, part)
        jpeg = thumbs.thumb(part, float(end))
        files.write_atomic(made, jpeg)
        os.utime(made, (now, now))
    finally:
        part.unlink(missing_ok=True)
        lock.release()
    return Still(jpeg, now)


def _tail(path: Path, part: Path) -> int:
    """Copy the description and the newest key frame with what follows it out of a growing file; all keep their places in it.

    What lies between is one empty box (ISO/IEC 14496-12, 8.1.2) in a hole of the file, so nothing of it is read. Returns more
    seconds than the file can have.
    """
    first = key = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = end = 0
        while at + 8 <= size:
            file.seek(at)
            head = file.read(8)
            length, name = unpack_from(">I4s", head)
            if length < 8 or at + length > size:
                break
            if name == b"moof":
                first = first or at
                file.seek(at)
                if _begins_with_key(file.read(min(length, 1 << 16))):
                    key = at
            at += length
            end = at
        with part.open("wb") as out:
            file.seek(0)
            out.write(file.read(first if key else end))
            if key:
                if key > first:
                    out.write(pack(">I4sQ", 1, b"free", key - first))
                file.seek(key)
                out.seek(key)
                out.write(file.read(end - key))
    return 100_000


def _begins_with_key(moof: bytes) -> bool:
    """Tell whether a fragment's first sample is a key frame (8.8.7, 8.8.8: sample_is_non_sync_sample)."""
    run, track = moof.find(b"trun"), moof.find(b"tfhd")
    if run < 0 or track < 0 or len(moof) < run + 24:
        return False
    flags = int.from_bytes(moof[run + 5 : run + 8], "big")
    place = run + 12 + (4 if flags & 0x1 else 0)
    if not flags & 0x4:
        if not flags & 0x400:
            given = int.from_bytes(moof[track + 5 : track + 8], "big")
            if not given & 0x20:
                return False
            place = track + 12 + sum(size for bit, size in ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4)) if given & bit)
        else:
            place += sum(4 for bit in (0x100, 0x200) if flags & bit)
    (value,) = unpack_from(">I", moof, place)
    return not value & 0x10000
