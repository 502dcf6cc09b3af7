"""What a home does by itself. Only `feed`, `tokens`, `upload`, `status` and `withdrawals` speak to the hub (home-traffic.md)."""

from collections.abc import Callable

from fairwitness.home import slots
from fairwitness.home.config import Config
from fairwitness.home.models import Answer, Recording, RefusedLine, Request
from fairwitness.home.services import (
    blurring,
    deletion,
    delivery,
    follower,
    join,
    marks,
    matching,
    notifier,
    previews,
    recorders,
    sharing,
    sources,
    tokens,
    uploads,
)
from fairwitness.kit import config
from fairwitness.kit.beat import Job
from fairwitness.kit.journal import Event, error_code, log

LOCAL_S = 5
LATE_S = 60
RETAIN_S = 300
CHECK_S = 2  # an owner looks at the page and waits
EXPIRE_S = 600


def beat_jobs() -> list[Job]:
    """Return the home's jobs. The phases come from the seed in keys/, so a restart keeps its slots."""
    cfg = config.current(Config)
    return [
        _slot_job("feed", _tick, _feed),
        _slot_job("tokens", _long, tokens.fetch_due, lane="tokens"),
        _slot_job("status", _long, sharing.status_due, lane="receipts"),
        _slot_job("withdrawals", _minute, sharing.withdrawals_due, lane="receipts"),
        Job("scan", cfg.scan_seconds, _scan, at_start=True, lane="local"),
        Job("recorders", LOCAL_S, recorders.keep, at_start=True, lane="recorders"),
        Job("retention", RETAIN_S, recorders.retain, at_start=True, lane="local"),
        Job("uploads", CHECK_S, uploads.check_due, at_start=True, lane="uploads"),
        Job("uploads.expire", EXPIRE_S, uploads.expire, at_start=True, lane="uploads"),
        Job("previews", RETAIN_S, previews.clear, at_start=True, lane="local"),
        Job("deletions", RETAIN_S, deletion.resume, at_start=True, lane="local"),
        Job("marks", LOCAL_S, marks.step, lane="marks"),
        Job("blur", CHECK_S, blurring.step, at_start=True, lane="blur"),
        Job("notify", LOCAL_S, notifier.deliver, lane="notify"),
        Job("seal", LOCAL_S, delivery.seal_due, at_start=True, lane="seal"),
        Job("upload", LOCAL_S, delivery.upload_due, lane="upload"),
        Job("tidy", 86_400, tidy, phase=4 * 3600.0, lane="local"),
    ]


def _tick() -> int:
    return join.current().pin.tick_seconds if join.pinned() else slots.UNJOINED_S


def _long() -> int:
    return slots.long_slot(_tick()) if join.pinned() else slots.UNJOINED_S


def _minute() -> int:
    return min(_tick(), 60) if join.pinned() else slots.UNJOINED_S


def _slot_job(name: str, length: Callable[[], int], run: Callable[[int], object], *, lane: str = "main") -> Job:
    """Return a job that runs at its slot's moment or not at all, and fails quietly: a call off its slot is a signal.

    The beat would run a slot late (after the machine slept) and try a failed one again at once.
    """

    def attempt(now: int) -> None:
        if now - job.starts(job.slot(now)) > max(LATE_S, length() / 4):
            return
        try:
            run(now)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next slot is the next try
            log(Event.JOB_FAILED, job=name, error=error_code(error), failures=1, retry_in=0)

    job = slots.SlotJob(name, 60, attempt, lane=lane, length=length)
    return job


def _feed(now: int) -> None:
    done = follower.poll(now)
    if done is not None and done.requests:
        matching.rematch(now)


def _scan(now: int) -> None:
    if sources.scan(now).anything:
        matching.rematch(now)


def tidy(now: int) -> int:
    """Forget public requests, refusals and recordings' traces that are long over and that no answer needs."""
    horizon = now - config.current(Config).keep_days * 86_400
    needed = Answer.objects.exclude(state="draft").values_list("request_id", flat=True)
    count = Answer.objects.filter(state="draft", request__expires__lt=now).delete()[0]
    count += Request.objects.filter(expires__lt=horizon).exclude(pk__in=needed).delete()[0]
    count += RefusedLine.objects.filter(at__lt=horizon).delete()[0]
    count += Recording.objects.filter(gone=True, hidden=False).delete()[0]
    log(Event.RETENTION_PURGED, kind="home", count=count)
    return count
