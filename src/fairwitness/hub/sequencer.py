"""The one writer of both ledgers. Everything public goes through `Sequencer.append`, and nothing else does.

Web workers and beat jobs queue envelopes; each step appends what is queued and the ticks that are due as one batch, has the
new heads cosigned, and serves what witnesses have seen. A step can be taken again after a crash at any point.
"""

from collections import deque
from collections.abc import Sequence

from django.db import DatabaseError, close_old_connections, transaction
from fairwitness_core.model.directory import DIRECTORY_TYPES, Directory
from fairwitness_core.model.feed import Line
from fairwitness_core.model.request import Request as RequestDocument
from fairwitness_core.model.request import RequestRefused
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.errors import HubState
from fairwitness.hub.models import LogEntry, PendingEntry, Request, Tick
from fairwitness.hub.services import admission, feed, identity, ledger, sealed
from fairwitness.hub.services import directory as directories
from fairwitness.hub.services.witnesses import HeadBehind, HeadForked, Witnesses
from fairwitness.kit import clock, database, supervise
from fairwitness.kit.journal import Event, error_code, log
from fairwitness.kit.logstore import LogError, LogStore, LogWriteError

_BATCH = 1024  # queued entries of one batch
_TICKS = 256  # ticks of one batch
_PAUSE = 0.05  # seconds between looks at the queue
_LOOK = 5.0  # seconds between looks at whether this is still the one writer of the database


class Sequencer:
    """The writer. `parallel`: ask witnesses side by side, in threads."""

    def __init__(self, *, parallel: bool = False) -> None:
        self._stores: dict[str, LogStore] = {}
        self._directory: Directory | None = None
        self._digest: tuple[int, str] = (-1, "")
        self._known: dict[str, int] = {}
        self._compared = False
        self._join = ""
        self._settled = -1
        self._state = ""
        self.witnesses = Witnesses(identity.settings().witness_seconds, parallel)

    def close(self) -> None:
        """Let the logs go."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()
        self._directory = None
        self._compared = False
        self._settled = -1

    def step(self, now: int | None = None) -> str:
        """Do all that is due at Unix second `now` and return the hub's state.

        `ok`; `starting`: too few witnesses were heard to know that this is not an old copy, nothing was appended;
        `no_quorum`: entries are appended and wait for witnesses, nothing new is served; `behind`, `forked`: the logs here
        are not what witnesses saw, nothing is appended until `recover`. Raises LogError, OSError when the disk fails.
        """
        moment = clock.now() if now is None else now
        try:
            state = self._step(moment)
        except HeadBehind as error:
            log(Event.HEAD_BEHIND, ours=error.ours, theirs=error.theirs)
            self._compared = False
            state = "behind"
        except HeadForked:
            log(Event.LOG_REFUSED, code="log.forked")
            self._compared = False
            state = "forked"
        except Exception:
            # A database that failed after an append knows less than the log: opening anew brings it up before the next batch.
            self.close()
            raise
        self._say(state)
        return state

    def _step(self, now: int) -> str:
        public, secret = self._open()
        policy = directories.policy(now)
        if not self._compared:
            self._compared = self.witnesses.compare(policy, (public, secret))
            if not self._compared:
                return "starting"
        while self._append_due(public, now):
            pass
        sealed.flush(secret, now)
        met = True
        for store in (public, secret):
            served = store.cosigned
            if served is None or served.size < store.size:
                met = self.witnesses.cosign(policy, store) and met
        served = public.cosigned
        if served is not None and served.size != self._settled:
            ledger.settle(served.size)
            feed.serve(public)
            self._settled = served.size
        text = directories.policy_text(now)
        if text != self._join:
            feed.write_join(text)
            self._join = text
        return "ok" if met else "no_quorum"

    def append(self, store: LogStore, entries: Sequence[bytes]) -> range:
        """Append to the public log: the one call that does. Durable on return."""
        indexes = store.append(entries)
        ledger.catch_up(store)
        log(Event.LOG_APPENDED, first=indexes.start, count=len(indexes))
        return indexes

    def _open(self) -> tuple[LogStore, LogStore]:
        if not self._stores:
            for name in identity.LOGS:
                key = identity.read_log_key(name)
                self._stores[name] = LogStore.open(identity.log_folder(name), identity.load().vkey(name).name, key)
            ledger.catch_up(self._stores["p"])
            ledger.catch_up_sealed(self._stores["s"])
            feed.write_latest()
        return self._stores["p"], self._stores["s"]

    def _append_due(self, store: LogStore, now: int) -> bool:
        """Append one batch of what is queued and of due ticks, each tick behind what came before it began."""
        me = identity.load()
        # What a crash or a failed write left prepared is not in the log (catch_up would have seen it): make it anew.
        if Tick.objects.filter(state="prepared").exists():
            Tick.objects.filter(state="prepared").delete()
        last = Tick.objects.order_by("-number").first()
        ahead = last is not None and last.number >= now // me.tick_seconds
        if ahead and store.size and not PendingEntry.objects.filter(state="queued").exists():
            return False
        if self._directory is None:
            self._directory = directories.fold()
        directory = self._directory
        batch: list[bytes] = [] if store.size else [me.genesis]
        queue = deque(PendingEntry.objects.filter(state="queued").order_by("id")[:_BATCH])
        full = len(queue) == _BATCH
        self._known = dict(LogEntry.objects.filter(sha256__in=[r.sha256 for r in queue]).values_list("sha256", "index"))
        cut = feed.next_cut(store)
        ticks: list[Tick] = []
        while cut.number <= now // me.tick_seconds and len(ticks) < _TICKS:
            start = cut.number * me.tick_seconds
            while queue and queue[0].at < start and len(cut.lines) < feed.MAX_LINES:
                self._take(queue.popleft(), store.size + len(batch), batch, cut, now)
            if full and not queue:
                break
            entry, row = cut.close(store.size + len(batch), self._digest_of(directory), now)
            batch.append(entry)
            ticks.append(row)
        while queue and len(cut.lines) < feed.MAX_LINES:
            self._take(queue.popleft(), store.size + len(batch), batch, cut, now)
        if not batch:
            return False
        if ticks:
            Tick.objects.bulk_create(ticks)
        try:
            self.append(store, batch)
        except BaseException:
            self._directory = None
            raise
        return True

    def _take(self, row: PendingEntry, index: int, batch: list[bytes], cut: feed.Cut, now: int) -> None:
        data = bytes(row.envelope)
        directory = self._directory or directories.fold()
        if row.sha256 in self._known:
            PendingEntry.objects.filter(pk=row.pk).update(state="appended", log_index=self._known[row.sha256])
            return
        try:
            admitted = admission.admit(data, directory, now)
            line = Line(index, admitted.envelope)
            if admitted.document.TYPE in DIRECTORY_TYPES:
                directory.apply(line)
        except ProtocolError as error:
            self._refuse(row, error, now)
            return
        batch.append(data)
        if admitted.document.TYPE in ledger.FEED_KINDS:
            cut.lines.append(line)

    def _refuse(self, row: PendingEntry, error: ProtocolError, now: int) -> None:
        log(Event.LOG_REFUSED, code=error.code)
        with transaction.atomic():
            PendingEntry.objects.filter(pk=row.pk).update(state="refused", rule=error.code)
            if row.kind != RequestDocument.TYPE:
                return
            document = RequestDocument.parse(dsse.Envelope.parse(bytes(row.envelope)).payload)
            Request.objects.filter(id=document.id).update(state="refused", rule=error.code, review_due=None)
            refused = RequestRefused(
                request_id=document.id, agency=document.agency, offense=document.offense, rule=error.code, at=now
            )
            envelope = identity.load().sign(refused)
            PendingEntry.objects.get_or_create(
                sha256=directories.sha256_hex(envelope),
                defaults={"kind": RequestRefused.TYPE, "envelope": envelope, "agency": document.agency, "at": now},
            )

    def _digest_of(self, directory: Directory) -> str:
        if self._digest[0] != len(directory.lines):
            self._digest = (len(directory.lines), directory.digest())
        return self._digest[1]

    def _say(self, state: str) -> None:
        if state != self._state:
            ledger.set_mark("state", clock.now(), state)
            self._state = state


_shared: Sequencer | None = None


def step(now: int | None = None) -> str:
    """Take one step with this process's own sequencer (drivers and tests)."""
    global _shared  # noqa: PLW0603 - one writer per process
    if _shared is None:
        _shared = Sequencer()
    return _shared.step(now)


def reset() -> None:
    """Close this process's own sequencer, so that the next `step` opens the logs again."""
    global _shared  # noqa: PLW0603 - see step
    if _shared is not None:
        _shared.close()
        _shared = None


def main() -> None:
    """Run as a process of its own until told to stop. Raises Locked where another machine's sequencer has the database.

    A sequencer whose hold on the database is lost ends, and takes it again when it is started again.
    """
    with database.holding("sequencer") as lock:
        _loop(lock)


def _loop(lock: database.SessionLock) -> None:
    stop = supervise.stopping()
    writer = Sequencer(parallel=True)
    look = 0.0
    failures = 0
    try:
        while not stop.is_set():
            close_old_connections()
            if clock.now_float() >= look:
                if not lock.alive():
                    raise database.LockLost("the database's sequencer lock was lost")
                look = clock.now_float() + _LOOK
            try:
                state = writer.step()
                failures = 0
                pause = _PAUSE if state == "ok" else 1.0
            except (LogError, LogWriteError, HubState, OSError, DatabaseError, ProtocolError) as error:
                failures += 1
                pause = min(2.0**failures, 30.0)
                log(Event.DEFECT, where="sequencer", error=error_code(error))
            stop.wait(pause)
    finally:
        writer.close()
