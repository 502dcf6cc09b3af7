"""Looking through a camera's folder, again and again, without reading a file twice or reading one that is still growing."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.recordings.times import CameraClock, TimeSource, TimeVerdict, decide
from fairwitness.kit.video.probe import Probe
from fairwitness.kit.video.worker import probe_each

SUFFIXES: Final = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "m2ts", "mts", "mpg", "mpeg", "flv", "3gp", "3g2", "wmv", "asf"),
        *("h264", "264", "h265", "265", "hevc", "mjpg", "mjpeg", "dav", "gif", "ogv", "vob", "mxf"),
    )
)
MAX_DEPTH: Final = 12
MAX_FILES: Final = 200_000
_AHEAD: Final = 300  # seconds by which a recording may begin after now before its clock is disbelieved

type Prober = Callable[[Iterable[Path]], Iterator[tuple[Path, Probe | ProtocolError]]]


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells that a file is still the one that was read: size in bytes, time of change in nanoseconds, inode."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording: path inside the folder (with `/`), begin and end (Unix seconds UTC, None when unknown), and its facts."""

    path: str
    identity: FileIdentity
    start: int | None
    end: int | None
    seconds: float
    time_source: TimeSource
    why: str
    codec: str
    size: int
    container_time: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that is no usable recording, and why; it is not read again until it changes."""

    path: str
    identity: FileIdentity
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look found: all recordings in order of path, paths that are gone, refused files, and files still being written."""

    recordings: tuple[Recording, ...]
    removed: tuple[str, ...]
    refused: tuple[Refusal, ...]
    pending: tuple[str, ...]


def scan(
    folder: Path,
    known: Mapping[str, Recording | Refusal],
    *,
    now: int,
    clock: CameraClock,
    settle: int = 30,
    probe: Prober = probe_each,
) -> Scan:
    """Look through `folder` at `now` (Unix seconds); `known` is what the last look found, by path.

    A file is read when it is new or its identity changed, and has not changed for `settle` seconds. Links are not followed: one
    that leads out of the folder is refused, one that stays inside names a file that is found anyway. Raises OSError when the
    folder itself cannot be read: an unplugged disk must not look like a thousand deleted recordings.
    """
    found: dict[str, Recording | Refusal] = {}
    fresh: dict[Path, tuple[str, FileIdentity]] = {}
    pending: list[str] = []
    root = folder.resolve(strict=True)
    for path, name, identity, link in _walk(root):
        if link is not None:
            found[name] = link
            continue
        old = known.get(name)
        if old is not None and old.identity == identity:
            found[name] = _judged(old, clock, now) if isinstance(old, Recording) else old
        elif identity.size == 0 or now - identity.mtime_ns // 10**9 < settle:
            pending.append(name)
        else:
            fresh[path] = (name, identity)
    for path, facts in probe(fresh):
        name, identity = fresh[path]
        if _identity(path) != identity:
            pending.append(name)  # it changed while it was read
        elif isinstance(facts, ProtocolError):
            found[name] = Refusal(name, identity, facts.code, facts.message)
        else:
            found[name] = _recording(name, identity, facts, clock, now)
    ordered = sorted(found.items())
    gone = sorted(name for name in known if name not in found and name not in pending)
    return Scan(
        recordings=tuple(item for _, item in ordered if isinstance(item, Recording)),
        removed=tuple(gone),
        refused=tuple(item for _, item in ordered if isinstance(item, Refusal)),
        pending=tuple(sorted(pending)),
    )


def _recording(name: str, identity: FileIdentity, facts: Probe, clock: CameraClock, now: int) -> Recording:
    blank = Recording(
        path=name,
        identity=identity,
        start=None,
        end=None,
        seconds=facts.seconds or 0.0,
        time_source=TimeSource.UNKNOWN,
        why="",
        codec=facts.codec,
        size=identity.size,
        container_time=facts.creation_time,
    )
    return _judged(blank, clock, now)


def _judged(recording: Recording, clock: CameraClock, now: int) -> Recording:
    """Apply what the owner says about the clock now; an answer for this one recording, or a recorder's own time, is kept."""
    if recording.time_source in (TimeSource.OWNER, TimeSource.CAMERA):
        return recording
    verdict = decide(recording.path, recording.container_time, recording.seconds, clock)
    if verdict.start is not None and verdict.start > now + _AHEAD:
        verdict = TimeVerdict(None, TimeSource.UNKNOWN, "it would have been recorded in the future")
    return answered(recording, verdict)


def answered(recording: Recording, verdict: TimeVerdict) -> Recording:
    """Return `recording` with a verdict about its time, such as the owner's answer."""
    end = None if verdict.start is None else verdict.start + max(round(recording.seconds), 1)
    return replace(recording, start=verdict.start, end=end, time_source=verdict.source, why=verdict.why)


def _identity(path: Path) -> FileIdentity | None:
    try:
        info = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return FileIdentity(info.st_size, info.st_mtime_ns, info.st_ino)


def _walk(root: Path) -> Iterator[tuple[Path, str, FileIdentity, Refusal | None]]:
    """Yield every file that could be a recording: path, name inside the folder, identity, and a refusal for a link out of it."""
    left = [(root, 0)]
    count = 0
    while left:
        folder, depth = left.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            if folder == root:
                raise
            continue  # a sub-folder that went away or may not be read
        for entry in listed:
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                if depth < MAX_DEPTH and not entry.name.startswith("."):
                    left.append((path, depth + 1))
                continue
            if path.suffix.lower() not in SUFFIXES or entry.name.startswith("."):
                continue
            count += 1
            if count > MAX_FILES:
                raise OSError(f"more than {MAX_FILES} recordings in {root}")
            identity = _identity(path)
            if identity is None:
                continue
            name = path.relative_to(root).as_posix()
            if entry.is_symlink():
                if not path.resolve().is_relative_to(root):
                    yield path, name, identity, Refusal(name, identity, "folder.link", "a link that leads out of the folder")
            elif stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                yield path, name, identity, None
