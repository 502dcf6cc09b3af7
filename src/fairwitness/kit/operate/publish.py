"""Puts a hub's public files into a bucket or a folder that any static web server or CDN serves.

Names and bytes are those that the hub serves itself. The order is what makes it safe to read at any moment: heads are read first
and written last, and what they point to comes before them, so that a reader never meets a head without its tiles, or a
tick without the directory and the inbox that it names. A round that was killed is made again: what is there with the same
bytes stays, what is there with other bytes is an alarm and is not touched.

Only names of the closed list in `cache_of` can leave. Whoever owns the place can withhold files, and sees from which addresses
they are fetched; every reader verifies what it gets.
"""

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from fairwitness_core.model.feed import read_containers
from fairwitness_core.rules.feed import day_of, tick_number
from fairwitness_core.tlog import checkpoint, note, tiles
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit import clock, files
from fairwitness.kit.blobs import BlobError, BlobExists, BlobMissing, BlobsUnavailable
from fairwitness.kit.http_static import Cache

LOGS = ("p", "s")
KIND = "application/octet-stream"
_FOLDER = "publish"
_WORLD_FILE, _WORLD_FOLDER = 0o644, 0o755
_SMALL = 1 << 16
_MOST = 1 << 28
_IMMUTABLE = re.compile(r"feed/v1/(all/[0-9]{1,12}|agencies/[0-9a-f]{64}|inbox/[0-9]{8})", re.ASCII)
_DAY = re.compile(r"feed/v1/day/all/[0-9]{8}", re.ASCII)
_PAGE = re.compile(
    r"(?:es/)?(?:(?:index|requests|agencies|hosts|check)\.html|feed\.atom|(?:requests|agencies)/[a-z0-9.-]{1,80}\.html)"
    r"|requests/[0-9a-f]{32}\.(?:envelope\.json|tlog-proof)|(?:requests|agencies|summary|public)\.json"
    r"|static/(?:kit|web)/[a-z-]{1,40}\.(?:css|js|svg)|basemap\.pmtiles",
    re.ASCII,
)
_PAGES = "public.json"
_KINDS = {
    ".html": "text/html; charset=utf-8", ".json": "application/json", ".atom": "application/atom+xml; charset=utf-8",
    ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
    ".tlog-proof": "text/plain; charset=utf-8",
}  # fmt: skip
_HEADS = ("join.json", "feed/v1/latest", "log/p/checkpoint", "log/s/checkpoint")


class PublishError(Exception):
    """A round could not be made; what was published stays as it is. `alarm`: it will not pass by itself."""

    def __init__(self, message: str, *, alarm: bool = False) -> None:
        super().__init__(message)
        self.alarm = alarm


class Differs(PublishError):
    """There are other bytes under a name than the hub has. Nothing was overwritten."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is there already with other bytes, and was not overwritten: another hub's place, a successor's (it needs a "
            "place of its own), or somebody wrote to it",
            alarm=True,
        )


def cache_of(path: str) -> Cache | None:
    """Say how a published file may be cached (protocol.md 4.4); None for what is never published. Days: while they grow."""
    if path in _HEADS or _DAY.fullmatch(path):
        return Cache.SHORT
    if _IMMUTABLE.fullmatch(path):
        return Cache.IMMUTABLE
    if _PAGE.fullmatch(path):
        return Cache.SHORT
    name, _, rest = path.removeprefix("log/").partition("/")
    if path.startswith("log/") and name in LOGS:
        with contextlib.suppress(ProtocolError):
            tiles.parse_path(rest)
            return Cache.IMMUTABLE
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """The hub's public files: folders of the feed and of both ledgers; `genesis`: SHA-256 of its genesis, in hex.

    `pages`: the folder of its public page, if it has one.
    """

    feed: Path
    logs: Mapping[str, Path]
    tick_seconds: int
    genesis: str
    pages: Path | None = None


class Target(Protocol):
    """Where files go. Every method raises BlobError or OSError where the place does not answer."""

    def get(self, path: str, most: int) -> bytes | None:
        """Return a file, None where there is none."""

    def create(self, path: str, data: bytes, cache: Cache) -> None:
        """Write a file once; the same bytes again succeed, others raise Differs."""

    def replace(self, path: str, data: bytes, cache: Cache) -> None:
        """Write a file in one step, whatever was there."""


class BucketTarget:
    """Objects of a bucket, with the headers of protocol.md 4.4."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def get(self, path: str, most: int) -> bytes | None:
        """See Target."""
        try:
            found: bytes = self._bucket.get(path, most)
        except BlobMissing:
            return None
        return found

    def create(self, path: str, data: bytes, cache: Cache) -> None:
        """See Target."""
        try:
            self._bucket.create(path, data, _headers(path, cache))
        except BlobExists:
            raise Differs(path) from None

    def replace(self, path: str, data: bytes, cache: Cache) -> None:
        """See Target."""
        self._bucket.replace(path, data, _headers(path, cache))


class FolderTarget:
    """Files of a folder that a web server of another user can read; that server sets the headers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: str, most: int) -> bytes | None:
        """See Target."""
        try:
            with (self._folder / path).open("rb") as stream:
                return stream.read(most + 1)
        except FileNotFoundError:
            return None

    def create(self, path: str, data: bytes, cache: Cache) -> None:
        """See Target."""
        held = self.get(path, len(data))
        if held is None:
            self.replace(path, data, cache)
        elif held != data:
            raise Differs(path)

    def replace(self, path: str, data: bytes, cache: Cache) -> None:  # noqa: ARG002 - see Target
        """See Target; the cache is the web server's to say."""
        target = self._folder / path
        for folder in reversed([p for p in (target.parent, *target.parent.parents) if not p.exists()]):
            folder.mkdir(mode=_WORLD_FOLDER)
            folder.chmod(_WORLD_FOLDER)
        files.write_atomic(target, data, mode=_WORLD_FILE)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a place is. `sizes`: entries of each ledger; `tick`: newest one; `named`: directories and inboxes that are there.

    `closed`: newest day whose roll-up is final; `at`: when the last whole round ended, Unix seconds; `problem`, `alarm`: why
    the last one did not.
    """

    to: str
    genesis: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    tick: int = -1
    closed: str = ""
    named: tuple[str, ...] = ()
    at: int = 0
    problem: str = ""
    alarm: bool = False


class Publisher:
    """Brings the place `target`, which the operator calls `to`, up to what the hub serves. `folder`: the hub's data folder."""

    def __init__(self, folder: Path, to: str, target: Target) -> None:
        self._to, self._target = to, target
        self._state = _state_of(folder, to)
        self._done, self._lock = self._state.with_suffix(".done"), self._state.with_suffix(".lock")
        self._folder = files.private_dir(self._state.parent).parent
        self._written: set[str] = set()

    def progress(self) -> Progress:
        """Return how far the place is, as the last round left it."""
        return noted(self._folder, self._to)

    def run(self, source: Source) -> Progress:
        """Make one round; raises PublishError, which is also noted in `progress`."""
        lock = files.FileLock(self._lock)
        try:
            lock.acquire(wait=False)
        except files.Locked:
            raise PublishError(f"another process publishes to {self._to} at this moment") from None
        before = self.progress()
        try:
            try:
                after = self._round(source, before)
            except BlobsUnavailable as error:
                raise PublishError(
                    f"{self._to} does not answer as it should ({error.kind}): see its address, its key and this machine's clock"
                ) from error
            except (BlobError, OSError, ProtocolError) as error:
                raise PublishError(f"{self._to}: {error}") from error
            self._keep(after)
            self._done.unlink(missing_ok=True)
        except PublishError as error:
            with contextlib.suppress(OSError):
                self._keep(replace(before, problem=str(error), alarm=error.alarm))
            raise
        finally:
            lock.release()
        return after

    def _keep(self, progress: Progress) -> None:
        files.write_atomic(self._state, json.dumps(asdict(progress)).encode())

    # -- one round

    def _round(self, source: Source, before: Progress) -> Progress:
        """Make a round without its frame.

        1. read the heads here; 2. compare them with those there; 3. write what they point to; 4. write them: ledgers, then the
        feed's newest tick, then the join file, without which nobody begins.
        """
        # 1.
        join = self._read(source.feed / "join.json")
        heads = {name: self._read(source.logs[name] / "checkpoint") for name in LOGS}
        sizes = {name: _size(head) for name, head in heads.items()}
        tick = _number(self._read(source.feed / "v1" / "latest"))
        # 2.
        if before.genesis and before.genesis != source.genesis:
            raise PublishError(f"{self._to} holds the files of this hub's predecessor: a successor needs a new place", alarm=True)
        self._must_not_be_ahead(heads, tick)
        self._written = set(self._done.read_text().split()) if self._done.exists() else set()
        # 3.
        named = self._named(source, before)
        for name in LOGS:
            self._tiles(source.logs[name], name, min(before.sizes.get(name, 0), sizes[name]), sizes[name])
        closed = self._feed(source, before, tick)
        # 4.
        for name, head in heads.items():
            self._head(f"log/{name}/checkpoint", head)
        self._head("feed/v1/latest", b"%d\n" % tick)
        self._head("join.json", join)
        self._public(source)
        return Progress(self._to, source.genesis, sizes, tick, closed, named, clock.now())

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise PublishError("the hub has served nothing yet") from None

    def _must_not_be_ahead(self, heads: Mapping[str, bytes], tick: int) -> None:
        """Never take a reader back: a hub that was restored from a backup publishes once it has caught up."""
        for name, head in heads.items():
            held = self._target.get(f"log/{name}/checkpoint", _SMALL)
            if held is None or held == head:
                continue
            ours, theirs = (checkpoint.Checkpoint.parse(note.Note.parse(data).text) for data in (head, held))
            if ours.origin != theirs.origin or (ours.size == theirs.size and ours.root != theirs.root):
                raise Differs(f"log/{name}/checkpoint")
            if theirs.size > ours.size:
                raise PublishError(
                    f"{self._to} has {theirs.size} entries of a ledger, this hub {ours.size}: is it an old copy? see `recover`",
                    alarm=True,
                )
        held = self._target.get("feed/v1/latest", _SMALL)
        if held is not None and _number(held) > tick:
            raise PublishError(f"{self._to} has a newer tick than this hub: is it an old copy? see `recover`", alarm=True)

    def _named(self, source: Source, before: Progress) -> tuple[str, ...]:
        known = set(before.named)
        for kind in ("agencies", "inbox"):
            folder = source.feed / "v1" / kind
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                name = f"feed/v1/{kind}/{path.name}"
                if name not in known and cache_of(name) is not None:
                    self._once(name, path.read_bytes)
                    known.add(name)
        return tuple(sorted(known))

    def _tiles(self, folder: Path, name: str, old: int, new: int) -> None:
        def held(path: str) -> bytes:
            return (folder / path).read_bytes()

        for tile in tiles.tiles_for(old, new):
            self._once(f"log/{name}/{tile.encode()}", functools.partial(tiles.fetch_tile, held, tile.level, tile.n, tile.width))

    def _feed(self, source: Source, before: Progress, newest: int) -> str:
        """Write the ticks up to `newest`, then the days that they are in; returns the newest day that is final."""
        root = source.feed / "v1"
        first = before.tick + 1 if before.tick >= 0 else min(map(int, _numbers(root / "all")), default=newest)
        for tick in range(first, newest + 1):
            self._once(f"feed/v1/all/{tick}", (root / "all" / str(tick)).read_bytes)
        today = day_of(newest, source.tick_seconds)
        days = sorted(name for name in _numbers(root / "day" / "all") if before.closed < name <= today)
        for day in days:
            data = (root / "day" / "all" / day).read_bytes()
            if day == today:
                data = _up_to(data, newest)
            path = f"feed/v1/day/all/{day}"
            there = self._target.get(path, _MOST)
            if there is not None and not data.startswith(there):
                raise Differs(path)
            if there != data or day < today:
                self._put(self._target.replace, path, data, Cache.SHORT if day == today else Cache.IMMUTABLE)
        return max([before.closed, *(day for day in days if day < today)])

    def _public(self, source: Source) -> None:
        """Bring the public page up to date: first what changed, the list of its files last. One that just changes waits."""
        if source.pages is None or not (source.pages / _PAGES).exists():
            return
        listed = (source.pages / _PAGES).read_bytes()
        held = self._target.get(_PAGES, _MOST)
        if held == listed:
            return
        there: dict[str, str] = {}
        with contextlib.suppress(ValueError, KeyError, TypeError):
            there = dict(json.loads(held or b"{}")["files"])
        for path, digest in sorted(json.loads(listed)["files"].items()):
            if there.get(path) == digest or cache_of(path) is None:
                continue
            data = (source.pages / path).read_bytes()
            if hashlib.sha256(data).hexdigest() != digest:
                return
            self._put(self._target.replace, path, data, Cache.SHORT)
        self._put(self._target.replace, _PAGES, listed, Cache.SHORT)

    # -- one file

    def _once(self, path: str, read: Callable[[], bytes]) -> None:
        if path in self._written:
            return
        self._put(self._target.create, path, read(), Cache.IMMUTABLE)
        self._written.add(path)
        # Only saves work after a kill; a line that is lost is written again.
        with self._done.open("a") as stream:
            stream.write(f"{path}\n")

    def _head(self, path: str, data: bytes) -> None:
        if self._target.get(path, _SMALL) != data:
            self._put(self._target.replace, path, data, Cache.SHORT)

    @staticmethod
    def _put(write: Callable[[str, bytes, Cache], None], path: str, data: bytes, cache: Cache) -> None:
        """The one door: nothing but public names goes through."""
        if cache_of(path) is None:
            raise PublishError(f"{path} is not public", alarm=True)
        write(path, data, cache)


def _state_of(folder: Path, to: str) -> Path:
    return folder / _FOLDER / f"{hashlib.sha256(to.encode()).hexdigest()[:16]}.json"


def noted(folder: Path, to: str) -> Progress:
    """Return how far the place `to` is, as the last round left it; what cannot be read counts as nothing."""
    try:
        value = json.loads(_state_of(folder, to).read_bytes())
        return Progress(**value | {"named": tuple(value["named"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Progress(to)


def lag(progress: Progress, latest: int | None, first: int, tick_seconds: int) -> int:
    """Return how many seconds a place is behind the newest tick served; `first` is the hub's first one."""
    return 0 if latest is None else max(0, latest - max(progress.tick, first - 1)) * tick_seconds


def run_all(publishers: Iterable[Publisher], source: Source) -> Iterator[Progress | PublishError]:
    """Make a round for each place; one that fails keeps none of the others waiting."""
    for publisher in publishers:
        try:
            yield publisher.run(source)
        except PublishError as error:
            yield error


def folder_of(to: str) -> Path:
    """Return the folder that `to` names; raises PublishError for what is neither that nor an s3:// address."""
    path = Path(to)
    if "://" in to or not path.is_absolute():
        raise PublishError(f"{to!r} is neither s3://bucket/prefix nor an absolute folder", alarm=True)
    return path


def _numbers(folder: Path) -> list[str]:
    """Return the names in a folder that are numbers: others are work under way."""
    return [path.name for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []


def _headers(path: str, cache: Cache) -> dict[str, str]:
    kind = _KINDS.get(Path(path).suffix, KIND) if _PAGE.fullmatch(path) and path != "join.json" else KIND
    return {"Cache-Control": cache.header, "Content-Type": kind}


def _size(head: bytes) -> int:
    return checkpoint.Checkpoint.parse(note.Note.parse(head).text).size


def _number(data: bytes) -> int:
    text = data.strip()
    if not text.isdigit() or len(text) > 12:
        raise PublishError("feed/v1/latest holds no tick's number", alarm=True)
    return int(text)


def _up_to(data: bytes, newest: int) -> bytes:
    """Return a day's roll-up without the ticks behind `newest`, which may have come since the heads were read."""
    return b"".join(container.encode() for container in read_containers(data) if tick_number(container) <= newest)
