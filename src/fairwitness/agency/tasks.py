"""What the agency's beat does. Its traffic follows the clock and the agency's own public requests, never what owners do."""

from collections.abc import Callable

from fairwitness.agency.services import access, changes, collect, custody, node, requests, status, triage, withdrawals
from fairwitness.kit.accounts import services as accounts
from fairwitness.kit.beat import Job

_HOUR = 3600
_DAY = 86400
_MINUTE = 60


def beat_jobs() -> list[Job]:
    """Return the jobs; before a hub is pinned the ones that call it do nothing."""
    settings = node.settings()
    quick = min(settings.collect_seconds, settings.emergency_collect_seconds)
    minute = min(_MINUTE, settings.collect_seconds)
    return [
        Job("requests", minute, _if_joined(requests.beat), lane="requests"),
        Job("changes", minute, _if_joined(changes.beat), lane="requests"),
        Job("withdrawals", quick, _if_joined(withdrawals.beat), lane="collect"),
        Job("collect", quick, _if_joined(_collect), lane="collect"),
        Job("custody", settings.prove_seconds, _if_joined(lambda _now: custody.settle()), lane="custody"),
        Job("status", minute, _if_joined(status.send), lane="custody"),
        Job("triage", min(_HOUR, settings.collect_seconds), triage.escalate, lane="retention", at_start=True),
        Job("retention", min(_HOUR, settings.collect_seconds), _if_joined(triage.destroy_due), lane="retention"),
        Job("lapse", _HOUR, access.lapse, lane="retention"),
        Job("sessions", _DAY, accounts.clear_expired, lane="retention"),
    ]


def _collect(now: int) -> object:
    done = collect.beat(now)
    withdrawals.note(now)  # one that was listed before its response had been collected
    return done


def _if_joined(run: Callable[[int], object]) -> Callable[[int], object]:
    def ran(now: int) -> object:
        return run(now) if node.joined() else None

    return ran
