"""The feed: one tick after another, the same bytes for all, bound into the log before anybody sees them.

A tick is prepared (its content is on disk), appended, cosigned, served; each step is durable and can be taken again after
a crash. There is never a second tick of one number, and none is left out.
"""

import contextlib
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction
from fairwitness_core.model.feed import Line, compress, read_containers, scope_root
from fairwitness_core.model.hub import FeedTick
from fairwitness_core.rules.feed import day_of, make_container
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import DirectoryLine, LogEntry, Tick
from fairwitness.hub.services import directory as directories
from fairwitness.hub.services import identity
from fairwitness.hub.services.ledger import FEED_KINDS
from fairwitness.kit import durable, files
from fairwitness.kit.http_static import Cache
from fairwitness.kit.journal import Event, log
from fairwitness.kit.logstore import LogStore

_SERVE = 256  # ticks written together
MAX_LINES = 4096  # of one tick; what is over waits for the next


def root() -> Path:
    """Return the folder of the static feed."""
    return identity.settings().folder("feed")


def cache_policy(path: str) -> Cache | None:
    """Say how a file of the feed may be cached; None for what is not one."""
    if path in ("join.json", "v1/latest"):
        return Cache.SHORT
    match path.split("/"):
        case ["v1", "all", tick] if tick.isdigit():
            return Cache.IMMUTABLE
        case ["v1", "day", "all", day] if day.isdigit():
            return Cache.GROWING if _open_day(day) else Cache.IMMUTABLE
        case ["v1", "agencies" | "inbox", _]:
            return Cache.IMMUTABLE
    return None


def log_cache_policy(path: str) -> Cache | None:
    """Say how a file of a ledger may be cached."""
    if path == "checkpoint":
        return Cache.SHORT
    return Cache.IMMUTABLE if path.startswith("tile/") else None


def _open_day(day: str) -> bool:
    last = Tick.objects.filter(state="served").order_by("-number").first()
    return last is None or day >= day_of(last.number, identity.load().tick_seconds)


@dataclass(slots=True)
class Cut:
    """What the next tick will hold, gathered while a batch is put together."""

    number: int
    prev_index: int
    lines: list[Line] = field(default_factory=list)

    def close(self, index: int, agencies: str, now: int) -> tuple[bytes, Tick]:
        """Return the tick's signed entry, which will stand at `index`, and its row; begin the next tick behind it."""
        gzip = compress(self.lines)
        entry = identity.load().sign(
            FeedTick(
                tick=self.number,
                root=scope_root(self.number, gzip),
                scopes=1,
                agencies=agencies,
                prev_tick_index=self.prev_index,
                at=now,
            )
        )
        row = Tick(number=self.number, state="prepared", sha256=directories.sha256_hex(entry), index=index, gzip=gzip)
        self.number, self.prev_index, self.lines = self.number + 1, index, []
        return entry, row


def next_cut(store: LogStore) -> Cut:
    """Return the tick that comes next with the lines appended since the one before it."""
    last = Tick.objects.exclude(state="prepared").order_by("-number").first()
    cut = Cut(identity.load().first_tick, 0)
    if last is not None and last.index is not None:
        cut = Cut(last.number + 1, last.index)
    cut.lines = _lines(store, cut.prev_index, store.size)
    return cut


def _lines(store: LogStore, after: int, before: int) -> list[Line]:
    rows = LogEntry.objects.filter(kind__in=FEED_KINDS, index__gt=after, index__lt=before).order_by("index")
    return [Line(i, dsse.Envelope.parse(store.entry(i))) for i in rows.values_list("index", flat=True)]


def serve(store: LogStore) -> int:
    """Write the files of every tick that witnesses have seen, in order; returns how many."""
    count = 0
    while rows := list(Tick.objects.filter(state="cosigned").order_by("number")[:_SERVE]):
        _serve(store, rows)
        count += len(rows)
    if count:
        write_latest()
    return count


def write_latest() -> None:
    """Bring `latest` and the join file up to date."""
    last = Tick.objects.filter(state="served").order_by("-number").first()
    if last is not None:
        _put(root() / "v1" / "latest", b"%d\n" % last.number)


def write_join(policy_text: str) -> bytes:
    """Write the join file if it changed, and return its bytes."""
    data = identity.join_file(policy_text).encode()
    _put(root() / "join.json", data)
    return data


def _put(path: Path, data: bytes) -> None:
    files.private_dir(path.parent)
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return
    files.write_atomic(path, data)


def _serve(store: LogStore, rows: list[Tick]) -> None:
    """Serve ticks that follow each other: 1. their files, 2. their days' roll-ups, 3. the acknowledgement."""
    me = identity.load()
    # 1.
    folder = files.private_dir(root() / "v1" / "all")
    containers = [_container(store, row, folder) for row in rows]
    files.sync_folder(folder)
    # 2.
    ends: dict[int, int] = {}
    by_day = itertools.groupby(zip(rows, containers, strict=True), lambda pair: day_of(pair[0].number, me.tick_seconds))
    for day, group in by_day:
        pairs = list(group)
        end = _extend_rollup(day, pairs[0][0], b"".join(container for _, container in pairs))
        for row, container in reversed(pairs):
            ends[row.number] = end
            end -= len(container)
    # 3.
    with transaction.atomic():
        for row in rows:
            Tick.objects.filter(number=row.number).update(state="served", gzip=None, rollup_end=ends[row.number])
    log(Event.TICK_PUBLISHED, tick=rows[-1].number, entries=len(rows))


def _container(store: LogStore, row: Tick, folder: Path) -> bytes:
    """Return a tick's container, its file being written. One that is there was complete: its bytes are final."""
    path = folder / str(row.number)
    if path.exists():
        return path.read_bytes()
    if row.index is None:
        raise ProtocolError("tick.index", "a cosigned tick has its place in the log", evidence=str(row.number))
    entry = store.entry(row.index)
    tick = FeedTick.parse(dsse.Envelope.parse(entry).payload)
    snapshot = root() / "v1" / "agencies" / tick.agencies
    if not snapshot.exists():
        below = DirectoryLine.objects.filter(index__lt=row.index).order_by("index")
        lines = [Line(line.index, dsse.Envelope.parse(bytes(line.envelope))).encode() for line in below]
        _put(snapshot, b"".join(lines))
    gzip = bytes(row.gzip) if row.gzip is not None else compress(_lines(store, tick.prev_tick_index, row.index))
    if scope_root(tick.tick, gzip) != tick.root:
        raise ProtocolError(
            "tick.content",
            "the content made anew is not the logged one (another zlib?); fetch this container from a mirror",
            evidence=str(row.number),
        )
    data = make_container(store.proof(row.index), entry, gzip).encode()
    with files.disk_errors("a tick"):
        durable.replace(path, data, mode=files.PRIVATE_FILE)
    return data


def _extend_rollup(day: str, first: Tick, data: bytes) -> int:
    """Append to a day's file, cut back before to what was acknowledged; returns its length."""
    path = root() / "v1" / "day" / "all" / day
    files.private_dir(path.parent)
    before = Tick.objects.filter(number__lt=first.number, state="served").order_by("-number").first()
    same_day = before is not None and day_of(before.number, identity.load().tick_seconds) == day
    start = (before.rollup_end or 0) if before is not None and same_day else 0
    held = path.stat().st_size if path.exists() else 0
    if held < start:
        start = _rebuild_rollup(path, day, first.number)
    elif held > start:
        # A crash came between the append and its acknowledgement; what follows is the same containers again.
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(handle, start)
            os.fsync(handle)
        finally:
            os.close(handle)
    files.append_durable(path, data)
    return start + len(data)


def _rebuild_rollup(path: Path, day: str, below: int) -> int:
    """Make a day's file again from its containers, below tick `below`; returns its length."""
    me = identity.load()
    data = bytearray()
    for row in Tick.objects.filter(state="served", number__lt=below).order_by("number"):
        if day_of(row.number, me.tick_seconds) == day:
            data += (root() / "v1" / "all" / str(row.number)).read_bytes()
            Tick.objects.filter(number=row.number).update(rollup_end=len(data))
    for _ in read_containers(bytes(data)):
        pass
    files.write_atomic(path, bytes(data))
    return len(data)
