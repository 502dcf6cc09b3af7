"""What an owner looks at: recordings as they are, previews that a browser can play, stills. For nobody else.

Foreign bytes are decoded in a child with limits. Previews and stills are kept in a cache of limited size below the data folder,
which holds nothing of a recording that is gone.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.utils.translation import gettext as _

from fairwitness.home.config import Config
from fairwitness.home.errors import conflict, invalid
from fairwitness.home.models import Recording, Source
from fairwitness.home.services import masks, sources
from fairwitness.kit import config, files
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import preview as maker
from fairwitness.kit.video import thumbs
from fairwitness.kit.video.clip import Cut
from fairwitness.kit.video.masks import Polygon

MAX_SECONDS: Final = maker.MAX_SECONDS
KEEP_S: Final = 7 * 86_400
FIRST: Final = "first-"
"""How files of the cache begin that hold what a look at a source found (services.trials): a source's number follows."""
_RESERVE: Final = 512 << 20  # bytes of the disk that stay free for recording
_BLOCK: Final = 256 << 10
_PATIENCE: Final = 40  # tries of a tenth of a second to have a still made
_MIMES: Final = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".mkv": "video/x-matroska",
                 ".webm": "video/webm", ".ts": "video/mp2t", ".avi": "video/x-msvideo"}  # fmt: skip


@dataclass(slots=True)
class Opened:
    """A file that is sent as it is: `handle` is the caller's to close; `tag` changes when the file does."""

    handle: int
    size: int
    mime: str
    tag: str

    def blocks(self, begin: int, end: int) -> "Blocks":
        """Return the bytes from `begin` up to `end`, and close the file after them."""
        return Blocks(self.handle, begin, end)


class Blocks:
    """Bytes of an open file, in blocks; closes it."""

    def __init__(self, handle: int, begin: int, end: int) -> None:
        self._handle: int | None = handle
        self._at, self._end = begin, end

    def __iter__(self) -> Iterator[bytes]:
        """Yield block after block; a file that became shorter breaks off."""
        while self._handle is not None and self._at < self._end:
            data = os.pread(self._handle, min(_BLOCK, self._end - self._at), self._at)
            if not data:
                raise OSError("a recording became shorter while it was sent")
            self._at += len(data)
            yield data

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def original(recording_id: int) -> Opened:
    """Open a recording's own bytes, where its folder has them. Raises Refused: for a file that was replaced, too."""
    row = sources.recordings([recording_id])[recording_id]
    path = path_of(row)
    return open_file(path, _MIMES.get(path.suffix.lower(), "application/octet-stream"), row.identity)


def path_of(row: Recording) -> Path:
    """Return where a recording lies, inside its own folder. Raises Refused."""
    path = sources.path_of(row)
    folder = Path(row.source.folder)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise conflict("recording.place", _("This recording is not in its camera's folder."))
    _same(path, row.identity)
    return path


def _same(path: Path, identity: dict[str, int]) -> None:
    try:
        found = path.lstat()
    except OSError as error:
        raise _gone() from error
    if not stat.S_ISREG(found.st_mode) or [found.st_size, found.st_mtime_ns, found.st_ino] != [
        identity[name] for name in ("size", "mtime_ns", "inode")
    ]:
        raise conflict(
            "recording.changed", _("This recording has changed since it was found."), _("Look through the folders again.")
        )


def _gone() -> Refused:
    return Refused(404, "recording.gone", _("This recording is not there any more, or cannot be read."))


def open_file(path: Path, mime: str, identity: dict[str, int] | None = None) -> Opened:
    """Open a file that is sent as it is. Raises Refused where it is gone or is no plain file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _gone() from error
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or (identity is not None and found.st_ino != identity["inode"]):
        os.close(handle)
        raise _gone()
    return Opened(handle, found.st_size, mime, f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}")


# ---------------------------------------------------------------- previews


class Making:
    """A preview on its way: a thread of its own has it made, so a slow browser holds up nobody; any number may follow it.

    It is given up when nobody follows it any more.
    """

    def __init__(self, cut: Cut, target: Path, lock: files.FileLock) -> None:
        self.target = target
        self._cut, self._lock = cut, lock
        self._news = threading.Condition()
        self._size = self._followers = 0
        self._finished = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)

    def start(self) -> None:
        """Begin; somebody follows already."""
        self._thread.start()

    def follow(self) -> "Following":
        """Return the preview's bytes; they are there once `begin` was called."""
        with self._news:
            self._followers += 1
        return Following(self)

    def wait(self, beyond: int) -> int:
        """Return how many bytes there are once they are more than `beyond`, or all. Raises what making them raised."""
        with self._news:
            self._news.wait_for(lambda: self._size > beyond or self._finished)
            if self._size <= beyond and self._error is not None:
                raise self._error
            return self._size

    def leave(self) -> None:
        """Follow no more."""
        with self._news:
            self._followers -= 1

    def join(self) -> None:
        """Wait for the thread's end."""
        self._thread.join()

    def _run(self) -> None:
        try:
            for size in maker.make(self._cut, self.target, cancelled=self._left):
                with self._news:
                    self._size = size
                    self._news.notify_all()
        except Exception as error:  # noqa: BLE001 - it is raised again in whoever follows
            self._error = error
        finally:
            with self._news:
                self._finished = True
                self._news.notify_all()
            self._lock.release()
            _over(self)

    def _left(self) -> bool:
        with self._news:
            return self._followers <= 0


class Following:
    """The bytes of a preview, as they come."""

    def __init__(self, making: Making) -> None:
        self._making: Making | None = making
        self._handle: int | None = None
        self._size = 0

    def begin(self) -> None:
        """Wait for the first bytes."""
        if self._making is None:
            return
        self._size = self._making.wait(0)
        for path in (maker.part_of(self._making.target), self._making.target):
            with contextlib.suppress(FileNotFoundError):
                self._handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                return
        raise Refused(503, "preview.busy", _("This preview was thrown away while it was made."), _("Try again."))

    def __iter__(self) -> Iterator[bytes]:
        """Yield what there is and wait for more, to the end."""
        at = 0
        while self._handle is not None and self._making is not None:
            while at < self._size:
                data = os.pread(self._handle, min(_BLOCK, self._size - at), at)
                if not data:
                    raise OSError("a preview was cut short")
                at += len(data)
                yield data
            self._size = self._making.wait(at)
            if self._size <= at:
                return

    def close(self) -> None:
        """Follow no more; the last one to leave ends the making."""
        if self._making is not None:
            self._making.leave()
            self._making = None
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


_making: Making | None = None
_one = threading.Lock()


def _over(done: Making) -> None:
    global _making  # noqa: PLW0603 - one preview per home is the point
    with _one:
        if _making is done:
            _making = None
    prune()


def preview(
    recording_id: int, begin: float, end: float | None, *, masked: bool = False, sound: bool = False
) -> Opened | Following:
    """Return a preview of `begin` to `end` (seconds into the recording, at most 600): whole from the cache, or as it is made.

    H.264 is copied and then begins at the key frame before `begin`; everything else is converted. `masked`: with the camera's
    areas covered, as a share would have it. Raises Refused: `preview.busy` while another one is made.
    """
    global _making  # noqa: PLW0603
    row = sources.recordings([recording_id])[recording_id]
    last = min(begin + MAX_SECONDS, row.seconds or math.inf) if end is None else end
    if not (math.isfinite(begin) and math.isfinite(last) and 0 <= begin < last) or last - begin > MAX_SECONDS:
        raise invalid("preview.cut", _("A preview begins before it ends, and is at most ten minutes long."))
    areas: tuple[Polygon, ...] = masks.polygons(row.source.camera) if masked else ()
    cut = Cut(path_of(row), begin, last, mute=not sound, lead=float(MAX_SECONDS), masks=areas, side=maker.LARGEST_SIDE)
    target = cached(row, ".mp4", ["preview", begin, last, sound, areas])
    with _one:
        if target.exists():
            return from_cache(target, "video/mp4")
        if _making is None or _making.target != target:
            check_room()
            lock = files.FileLock(_cache() / ".preview.lock")
            try:
                lock.acquire(wait=False)
            except files.Locked as error:
                raise _busy() from error
            _making = Making(cut, target, lock)
            found = _making.follow()
            _making.start()
        else:
            found = _making.follow()
    # Outside of the lock, which the end of the making takes.
    try:
        found.begin()
    except BaseException:
        found.close()
        raise
    return found


def settle() -> None:
    """Wait until no preview is being made."""
    with _one:
        making = _making
    if making is not None:
        making.join()


def _busy() -> Refused:
    return Refused(503, "preview.busy", _("Another picture or preview is being made."), _("Try again in a few seconds."))


# ---------------------------------------------------------------- stills


def thumb(recording_id: int, at: float) -> bytes:
    """Return a JPEG of what a recording shows `at` seconds from its start. Raises Refused, ProtocolError `clip.*`."""
    row = sources.recordings([recording_id])[recording_id]
    if not math.isfinite(at) or not 0 <= at < 10**7:
        raise invalid("preview.at", _("Give the seconds from the recording's start."))
    path = path_of(row)
    at = round(at, 2)
    return still(cached(row, ".jpg", ["thumb", at]), lambda: thumbs.thumb(path, at))


def strip(recording_id: int, count: int) -> thumbs.Strip:
    """Return up to `count` key frames from all over a recording, beside each other. Raises Refused, ProtocolError `clip.*`."""
    row = sources.recordings([recording_id])[recording_id]
    if not 1 <= count <= thumbs.MAX_STRIP:
        raise invalid("preview.count", _("A strip has 1 to %(count)d pictures.") % {"count": thumbs.MAX_STRIP})
    path = path_of(row)

    def make() -> bytes:
        made = thumbs.strip(path, count)
        head = json.dumps([made.width, made.height, made.times]).encode()
        return len(head).to_bytes(4, "big") + head + made.jpeg

    data = still(cached(row, ".strip", ["strip", count]), make)
    size = int.from_bytes(data[:4], "big")
    width, height, times = json.loads(data[4 : 4 + size])
    return thumbs.Strip(data[4 + size :], width, height, tuple(times))


def still(target: Path, make: Callable[[], bytes]) -> bytes:
    """Return a still from the cache, or made now; one at a time, and who waited too long is told so."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(target)
        return target.read_bytes()
    lock = files.FileLock(_cache() / ".still.lock")
    for attempt in range(_PATIENCE):
        try:
            lock.acquire(wait=False)
            break
        except files.Locked as error:
            if attempt == _PATIENCE - 1:
                raise _busy() from error
            time.sleep(0.1)
    try:
        with contextlib.suppress(FileNotFoundError):
            return target.read_bytes()
        data = make()
        files.write_atomic(target, data)
    finally:
        lock.release()
    prune()
    return data


# ---------------------------------------------------------------- cache


def folder() -> Path:
    """Return the cache's folder."""
    return _cache()


def _cache() -> Path:
    return config.current(Config).folder("cache")


def cached(row: Recording, suffix: str, what: list[object]) -> Path:
    """Return the cache's name for something of a recording: another one once the file or what is asked for changes."""
    digest = hashlib.sha256(json.dumps([row.identity, what], sort_keys=True).encode()).hexdigest()
    return _cache() / f"{row.pk}-{digest[:40]}{suffix}"


def from_cache(path: Path, mime: str) -> Opened:
    """Open a file of the cache that was just looked at."""
    found = open_file(path, mime)
    os.utime(path)
    return found


def check_room() -> None:
    """Raise Refused unless there is room for another preview."""
    if shutil.disk_usage(_cache()).free < _RESERVE:
        raise Refused(507, "storage.full", _("There is too little room on this disk for a preview."), _("Make room on it."))


def prune(limit: int | None = None, *, keep: Path | None = None) -> int:
    """Throw away what was not looked at for the longest time, until the cache is within its limit; returns how many went.

    `keep` stays however large it is: somebody waits for it.
    """
    limit = config.current(Config).preview_cache_mib << 20 if limit is None else limit
    entries = []
    for path in _entries():
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            entries.append((found.st_mtime_ns, found.st_size, path))
    total, gone = sum(size for _at, size, _path in entries), 0
    for _at, size, path in sorted(entries):
        if total <= limit:
            break
        if keep is not None and path.stem == keep.stem:
            continue
        path.unlink(missing_ok=True)
        total -= size
        gone += 1
    return gone


def _entries() -> list[Path]:
    return [
        path
        for path in _cache().iterdir()
        if not path.name.startswith(".") and path.suffix in (".mp4", ".jpg", ".strip", ".facts")
    ]


def forget(recordings: Iterable[int]) -> int:
    """Throw away all that is kept of some recordings, by their ids; returns how many files went."""
    numbers = {str(one) for one in recordings}
    count = 0
    for path in _entries():
        if path.name.partition("-")[0] in numbers:
            path.unlink(missing_ok=True)
            count += 1
    return count


def clear(now: int) -> int:
    """Throw away what is left of recordings that are gone, and what nobody looked at for a week; returns how many went."""
    there = set(Recording.objects.filter(gone=False).values_list("pk", flat=True))
    count = 0
    for path in _entries():
        number = path.name.partition("-")[0]
        with contextlib.suppress(FileNotFoundError):
            if not number.isdecimal() or int(number) not in there or path.stat().st_mtime < now - KEEP_S:
                path.unlink()
                count += 1
    sources_there = set(Source.objects.values_list("pk", flat=True))
    for path in _cache().glob(f"{FIRST}*"):
        number = path.stem.removeprefix(FIRST)
        if not number.isdecimal() or int(number) not in sources_there:
            path.unlink(missing_ok=True)
            count += 1
    for path in [
        *_cache().glob("*.part"),
        *_cache().glob(".*.wanted"),
    ]:  # left by a kill: no maker has the lock
        lock = files.FileLock(_cache() / ".preview.lock")
        with contextlib.suppress(files.Locked):
            lock.acquire(wait=False)
            path.unlink(missing_ok=True)
            lock.release()
    return count
