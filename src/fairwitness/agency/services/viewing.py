"""One sitting with a response: what an officer asked to see, what of it is logged, what may be shown now.

Everything goes through `evidence.touch` and `evidence.use`, one touch for the manifest and one for each clip. All links are
written before the first proof is waited for, so that a response with many clips waits for one flush of the ledger.
"""

from dataclasses import dataclass, field

from fairwitness.agency.errors import NotYetLogged
from fairwitness.agency.models import Officer, Response, Touch
from fairwitness.agency.services import evidence
from fairwitness.kit import clock

ACTION = "viewed"


@dataclass(frozen=True, slots=True)
class Viewing:
    """What one officer has of a response now: fresh touches by target, those not proven yet, and when the first one ends.

    `until`: Unix seconds, UTC; None where nothing was asked for. `waited`: seconds since the oldest unproven one was written.
    """

    targets: tuple[str, ...]
    touches: dict[str, Touch] = field(default_factory=dict)
    until: int | None = None
    waited: int = 0

    @property
    def logged(self) -> int:
        """How many of the touches are proven."""
        return sum(touch.record.state == "proven" for touch in self.touches.values())

    @property
    def state(self) -> str:
        """`closed`, `logging`, or `open` once everything may be shown."""
        if len(self.touches) < len(self.targets):
            return "closed"
        return "open" if self.logged == len(self.targets) else "logging"

    def of(self, target: str) -> Touch | None:
        """Return the touch of a clip or of the manifest."""
        return self.touches.get(target)


def targets(response: Response) -> tuple[str, ...]:
    """Return what there is to open: the manifest, then the clips in the owner's order."""
    return (evidence.MANIFEST, *response.clips.values_list("name", flat=True))


def find(officer: Officer, response: Response) -> Viewing:
    """Return the officer's sitting as it stands. Writes nothing and asks nobody."""
    now = clock.now()
    found: dict[str, Touch] = {}
    rows = Touch.objects.filter(
        officer=officer, record__response=response, record__action=ACTION, expires_at__gt=now
    ).select_related("record")
    for touch in rows.order_by("record__number"):
        before = found.get(touch.target)
        if before is None or touch.record.state == "proven" or before.record.state != "proven":
            found[touch.target] = touch
    waiting = [touch.record.at for touch in found.values() if touch.record.state != "proven"]
    return Viewing(
        targets(response),
        found,
        min((touch.expires_at for touch in found.values()), default=None),
        max(0, now - min(waiting)) if waiting else 0,
    )


def begin(officer: Officer, response: Response, purpose: str) -> Viewing:
    """Log that the officer opens a response whole, for a stated purpose; asking again goes on where the last try stopped.

    Returns the sitting, `open` or still `logging`. Raises Refused.
    """
    evidence.check_purpose(purpose)
    for target in targets(response):
        try:
            evidence.touch(officer, response, ACTION, purpose, target=target)
        except NotYetLogged:
            continue  # its link is written; the next one's goes to the ledger with it
    return find(officer, response)
