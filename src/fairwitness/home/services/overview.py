"""What a home's first page says: whether news is fresh, what is under way, and how much room there is."""

import shutil
from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from fairwitness_core.tlog.policy import Policy

from fairwitness.home.models import Answer
from fairwitness.home.services import answers, follower, join, requests, sharing
from fairwitness.home.services.requests import RequestView
from fairwitness.kit import clock, config
from fairwitness.kit.operate import metrics

_LATELY_S: Final = 7 * 86_400
_BEHIND_S: Final = 900  # less is a tick or two on their way
_UNDER_WAY: Final = ("queued", "sealed", "uploading", "failed", "draft")
_STEPS: Final = {"draft": 0, "queued": 1, "sealed": 2, "uploading": 3}


@dataclass(frozen=True, slots=True)
class News:
    """How current this home is. `mood`: good, warn or bad; `heard_at`: Unix seconds UTC of the newest news, 0 for none."""

    mood: str
    sentence: str
    remedy: str
    heard_at: int
    witnesses: int
    hub: str


@dataclass(frozen=True, slots=True)
class Going:
    """An answer that is not done with. `step` of 4 where it moves, None where it does not; `leaves_at`: when at the earliest."""

    id: int
    request: str
    agency: str
    state: str
    sentence: str
    step: int | None
    leaves_at: int | None
    at: int


@dataclass(frozen=True, slots=True)
class Disk:
    """Room on the data folder's disk, bytes."""

    free: int
    total: int
    used: int
    low: bool


def news(now: int | None = None) -> News:
    """Return how current this home is, in words."""
    moment = clock.now() if now is None else now
    status = follower.status(moment)
    if not status.joined:
        return News("warn", follower.explain("none"), "", 0, 0, "")
    document = join.current().join
    count = len(Policy.parse(document.policy.encode()).witnesses)
    if status.outcome == "ok":
        told = ngettext(
            "Up to date: heard from the hub and %(n)s witness", "Up to date: heard from the hub and %(n)s witnesses", count
        )
        mood, sentence, remedy = "good", told % {"n": count}, ""
        if status.catching_up and moment - status.last_fresh_at > _BEHIND_S:
            mood, sentence = "warn", _("Catching up with what was published while this home was away.")
    else:
        mood = "warn" if status.outcome == "stale" else "bad"
        sentence = follower.explain(status.outcome)
        remedy = {
            "stale": _("It asks again by itself. See that this machine is online."),
            "blocked": _("See that this machine is online. If it is, somebody may be keeping news from you: ask a neighbour."),
            "check_clock": _("Set the clock of this machine, best by network time. Requests are shown again once it is right."),
        }.get(status.outcome, "")
    return News(mood, sentence, remedy, status.last_fresh_at, count, document.name)


def waiting() -> list[RequestView]:
    """Return the requests that match and that nobody answered or put away, the soonest to end first."""
    found = [one for one in requests.listing() if one.matched and not one.ignored and one.state == "live"]
    return sorted((one for one in found if one.answered in ("", "draft")), key=lambda one: (not one.emergency, one.expires))


def going(now: int | None = None) -> list[Going]:
    """Return the answers that are under way or need somebody, and those that changed in the last week; newest first."""
    moment = clock.now() if now is None else now
    found = []
    for row in answers.listing():
        at = max(row.created_at, row.confirmed_at or 0, row.uploaded_at or 0, row.status_at or 0)
        if row.state in _UNDER_WAY or (row.state == "uploaded" and moment - at < _LATELY_S):
            found.append(_going(row, at))
    return sorted(found, key=lambda one: -one.at)


def _going(row: Answer, at: int) -> Going:
    state = sharing.state_of(row)
    return Going(
        row.pk, row.request_id, row.request.agency_name, state, sharing.sentence(row), _STEPS.get(state),
        row.not_before if state in ("queued", "sealed") else None, at,
    )  # fmt: skip


def disk() -> Disk:
    """Return how much room there is."""
    folder = config.current(config.RoleConfig).folder()
    usage = shutil.disk_usage(folder)
    return Disk(usage.free, usage.total, usage.total - usage.free, metrics.disk_low(folder))
