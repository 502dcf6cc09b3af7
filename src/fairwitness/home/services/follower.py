"""Following the feed: one GET per poll slot, whatever the owner chose and whatever came before (protocol.md 4.5).

What is asked for follows from the time and from the hub's own answers; nothing in this module reads cameras, choices,
matches or answers. Everything that a container changes is stored in one transaction with the new state.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from fairwitness_core.model.directory import Directory
from fairwitness_core.model.feed import Container, read_containers
from fairwitness_core.rules import feed
from fairwitness_core.rules.feed import FeedState, Outcome, Poll, Verified
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.config import Config
from fairwitness.home.models import Alarm, Feed, InboxRoot, RefusedLine, Request
from fairwitness.home.services import join
from fairwitness.kit import clock, config, files, http
from fairwitness.kit.journal import Event, log

MAX_CONTAINER = 17 << 20
MAX_DAY = 256 << 20
MAX_EVIDENCE = 50

SENTENCES = {
    "feed.stale": gettext_noop("The newest news from the hub is over two hours old."),
    "feed.blocked": gettext_noop("The feed has been blocked for over a day: nothing new has come that witnesses saw."),
    "feed.clock": gettext_noop(
        "Check this machine's clock: the witnesses' are over five minutes ahead. Until then nothing new is believed."
    ),
    "feed.fork": gettext_noop("The hub showed two different logs. Both are kept as evidence: tell a newspaper or a court."),
    "policy.quorum": gettext_noop("The hub served a tick that too few witnesses saw. It was not believed."),
}


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll slot did: the path asked for, the HTTP status (0: unreachable), ticks believed, and a refusal's code."""

    path: str
    status: int
    ticks: int = 0
    code: str = ""
    requests: int = 0


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How current this home is. Times in Unix seconds UTC; `opaque` counts entries of kinds newer than this program."""

    joined: bool
    outcome: str
    next_tick: int
    wanted_tick: int
    last_fresh_at: int
    catching_up: bool
    opaque: int
    polled_at: int
    last_code: str


_cache: tuple[bytes, bytes, FeedState] | None = None
_lock = threading.Lock()


def state(pin: Pinned, row: Feed) -> FeedState:
    """Return the stored state; the directory's signatures are verified once per process, not at each poll."""
    global _cache  # noqa: PLW0603 - one feed per process
    stored, directory = bytes(row.state), bytes(row.directory)
    with _lock:
        if _cache is not None and _cache[2].pin == pin and _cache[1] == directory:
            known = _cache[2] if _cache[0] == stored else FeedState.decode(pin, _cache[2].directory, stored)
        else:
            known = FeedState.decode(pin, Directory.read(pin.hub_key, directory), stored)
        _cache = (stored, directory, known)
        return known


def directory() -> Directory:
    """Return the agencies' directory as of the newest tick. Raises Refused before joining."""
    return state(join.current().pin, Feed.objects.get(pk=1)).directory


def poll(now: float) -> Polled | None:
    """Do what a poll slot does: one GET, then belief. Returns None before joining; raises nothing that comes from the hub."""
    if join.pinned() is None:
        return None
    joined = join.current()
    row = Feed.objects.get(pk=1)
    known = state(joined.pin, row)
    ask = feed.next_poll(known.next_tick, now, joined.pin.tick_seconds)
    done = _fetch(joined, known, ask, int(now))
    Feed.objects.filter(pk=1).update(polled_at=int(now), last_code=done.code)
    _watch_freshness(int(now))
    return done


def _fetch(joined: join.Joined, known: FeedState, ask: Poll, now: int) -> Polled:
    try:
        base = config.current(Config).mirror_url.rstrip("/") or joined.join.url
        answer = http.Http().get(base + ask.path, max_bytes=MAX_DAY if ask.day else MAX_CONTAINER)
    except http.Unreachable:
        log(Event.PEER_UNREACHABLE, peer="hub")
        return Polled(ask.path, 0, code="unreachable")
    except http.TooLarge:
        raise_alarm("feed.too_large", "The hub served more than any tick may hold.", now)
        return Polled(ask.path, 200, code="feed.too_large")
    if answer.status == 404:
        if ask.day is not None and (skipped := feed.without_history(known, ask.day)) is not None:
            _store(skipped, [], None)
        return Polled(ask.path, 404, code="not_yet")
    if answer.status != 200:
        return Polled(ask.path, answer.status, code="http")
    return _believe(known, answer.body, ask, now)


def _believe(known: FeedState, body: bytes, ask: Poll, now: int) -> Polled:
    today = feed.day_of(int(now // known.pin.tick_seconds), known.pin.tick_seconds)
    seen: list[tuple[Verified, Container]] = []
    code = ""
    outcome: Outcome | None = None
    current = known
    container: Container | None = None
    try:
        containers = list(read_containers(body))
        for place, container in enumerate(containers):
            last = place == len(containers) - 1
            if ask.day is not None and feed.tick_number(container) < current.next_tick:
                continue
            newest = last and ask.day in (None, today)
            verified = feed.verify_container(current, container, now=now, newest=newest)
            if newest:
                outcome = verified.outcome
            if verified.outcome is Outcome.CHECK_CLOCK:
                code = "feed.clock"
                break
            current = verified.state
            seen.append((verified, container))
    except ProtocolError as error:
        code = error.code
        raise_alarm(code, SENTENCES.get(code, error.message), now, evidence=_evidence(known, container, body, code))
        log(Event.FEED_REFUSED, tick=current.next_tick, code=_code(code))
    _store(current, seen, outcome)
    if outcome is Outcome.CHECK_CLOCK:
        raise_alarm("feed.clock", SENTENCES["feed.clock"], now)
    elif outcome is not None:
        clear_alarms("feed.clock", now=now)
    if seen:
        log(Event.FEED_FETCHED, tick=current.next_tick - 1)
    return Polled(ask.path, 200, len(seen), code, sum(len(v.published) for v, _c in seen))


def _code(code: str) -> str:
    return code.lower()[:64]


def _store(after: FeedState, seen: Sequence[tuple[Verified, Container]], outcome: Outcome | None) -> None:
    """Store the new state and all that the verified containers said, together."""
    global _cache  # noqa: PLW0603 - one feed per process
    encoded = after.encode()
    with transaction.atomic():
        row = Feed.objects.select_for_update().get(pk=1)
        row.state = encoded
        digest = after.directory.digest()
        if digest != row.directory_sha256:
            row.directory, row.directory_sha256 = after.directory.encode(), digest
        if outcome is not None:
            row.outcome = outcome.value
        for verified, container in seen:
            row.opaque += verified.opaque
            _store_tick(verified, container)
        row.save()
    with _lock:
        _cache = (encoded, bytes(row.directory), after)


def _store_tick(verified: Verified, container: Container) -> None:
    for item in verified.published:
        request = item.request
        Request.objects.get_or_create(
            id=request.id,
            defaults={
                "agency": request.agency,
                "agency_name": item.agency.name,
                "offense": request.offense,
                "envelope": item.envelope.encode(),
                "log_index": item.index,
                "tick": verified.tick,
                "tick_index": verified.index,
                "proof": container.proof,
                "witnesses": [list(pair) for pair in verified.times],
                "signers": list(item.signers),
                "flags": list(item.flags),
                "witnessed_at": verified.at,
                "start": request.from_,
                "end": request.to,
                "expires": request.expires,
                "emergency": request.emergency,
            },
        )
    for line in verified.refused:
        RefusedLine.objects.get_or_create(
            log_index=line.index,
            defaults={
                "tick": verified.tick,
                "kind": line.kind[:40],
                "rule": line.rule[:64],
                "message": line.message,
                "request_id": line.request_id,
                "agency": line.agency,
                "at": verified.at,
            },
        )
        log(Event.MESSAGE_REFUSED, kind="feed_line", code=_code(line.rule))
    for gone in verified.withdrawn:
        document = gone.document
        Request.objects.filter(id=document.request_id, agency=document.agency, withdrawn="").update(
            withdrawn=document.reason, withdrawn_at=document.at
        )
    for longer in verified.extended:
        Request.objects.filter(id=longer.document.request_id, agency=longer.document.agency).update(
            expires=longer.document.expires, extended_at=longer.document.at, extension=longer.document.reason
        )
    for done in verified.resolved:
        own = Request.objects.filter(id=done.document.request_id, agency=done.document.agency)
        own.filter(outcome="").update(outcome=done.document.outcome, outcome_words=done.words, resolved_at=done.document.at)
        # What is resolved asks nobody any more: everything that looks for live requests passes it by.
        own.filter(withdrawn="").update(withdrawn="resolved", withdrawn_at=done.document.at)
    for epoch in verified.epochs:
        InboxRoot.objects.get_or_create(day=epoch.day, defaults={"root": epoch.root, "leaves": epoch.leaves})


# ---------------------------------------------------------------- alarms


def raise_alarm(code: str, message: str, now: int, *, evidence: str = "") -> Alarm:
    """Tell the owner, once per code while it lasts. `evidence`: a file below the data folder."""
    row = Alarm.objects.filter(code=code, cleared_at=None).first()
    if row is None:
        return Alarm.objects.create(code=code, message=message, at=now, last_at=now, evidence=evidence)
    row.last_at, row.count = now, row.count + 1
    row.evidence = row.evidence or evidence
    row.save()
    return row


def clear_alarms(*codes: str, now: int) -> None:
    """Note that what was wrong is right again."""
    Alarm.objects.filter(code__in=codes, cleared_at=None).update(cleared_at=now)


def alarms(*, past: bool = False) -> list[Alarm]:
    """Return what is wrong now, newest first; with `past` what was, too."""
    rows = Alarm.objects.order_by("-last_at", "-pk")
    return list(rows if past else rows.filter(cleared_at=None))


def _watch_freshness(now: int) -> None:
    found = status(now)
    if found.outcome == Outcome.BLOCKED.value:
        raise_alarm("feed.blocked", SENTENCES["feed.blocked"], now)
        clear_alarms("feed.stale", now=now)
    elif found.outcome == Outcome.STALE.value:
        raise_alarm("feed.stale", SENTENCES["feed.stale"], now)
        clear_alarms("feed.blocked", now=now)
    else:
        clear_alarms("feed.stale", "feed.blocked", now=now)


def _evidence(known: FeedState, container: Container | None, body: bytes, code: str) -> str:
    """Keep what was refused, with the heads seen before: a signed note of the hub can convict it. Returns its path."""
    cfg = config.current(Config)
    folder = cfg.folder("evidence")
    if len(list(folder.iterdir())) >= MAX_EVIDENCE:
        return ""
    name = f"{clock.now()}-{_code(code)}.txt"
    data = container.encode() if container is not None else body[: 1 << 20]
    heads = b"".join(b"seen before, size %d:\n%s\n" % (head.size, head.note) for head in known.heads)
    files.write_atomic(folder / name, b"refused (%s):\n%s\n\n%s" % (code.encode(), data, heads))
    return f"evidence/{name}"


def status(now: int | None = None) -> FeedStatus:
    """Return how current this home is; before joining everything is zero and `joined` is False."""
    moment = clock.now() if now is None else now
    row = Feed.objects.filter(pk=1).first()
    if row is None or join.pinned() is None:
        return FeedStatus(False, "none", 0, 0, 0, False, 0, 0, "")
    joined = join.current()
    known = state(joined.pin, row)
    wanted = feed.wanted_tick(moment, joined.pin.tick_seconds)
    clock_wrong = Alarm.objects.filter(code="feed.clock", cleared_at=None).exists()
    outcome = Outcome.CHECK_CLOCK if clock_wrong else feed.freshness(known.last_fresh_at, moment)
    return FeedStatus(
        True,
        outcome.value,
        known.next_tick,
        wanted,
        known.last_fresh_at,
        known.next_tick <= wanted - max(1, feed.LAG_S // joined.pin.tick_seconds),
        row.opaque,
        row.polled_at,
        row.last_code,
    )


def explain(outcome: str) -> str:
    """Return the sentence that goes with an outcome."""
    return {
        "ok": _("Up to date: every tick was checked against the witnesses."),
        "stale": _("The newest news from the hub is over two hours old."),
        "blocked": _("The feed has been blocked for over a day."),
        "check_clock": _("Check this machine's clock: the witnesses' clocks are over five minutes ahead of it."),
        "none": _("This home has not joined a hub yet."),
    }[outcome]
