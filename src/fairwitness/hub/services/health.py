"""How the hub is doing, in numbers that are public anyway."""

from dataclasses import dataclass

from fairwitness.hub.errors import HubState
from fairwitness.hub.models import Mark, PendingEntry, Tick
from fairwitness.hub.services import ledger
from fairwitness.kit.logstore import LogError


@dataclass(frozen=True, slots=True)
class Health:
    """`state`: ok, starting, no_quorum, behind, forked; served sizes of both ledgers; the newest tick served."""

    state: str
    public: int
    sealed: int
    tick: int | None
    queued: int

    @property
    def ok(self) -> bool:
        """Tell whether everything runs."""
        return self.state == "ok"


def look() -> Health:
    """Return the state that the sequencer last told and what is served."""
    row = Mark.objects.filter(name="state").first()
    last = Tick.objects.filter(state="served").order_by("-number").first()
    queued = PendingEntry.objects.filter(state="queued").count()
    return Health(row.text if row else "starting", _size("p"), _size("s"), last.number if last else None, queued)


def _size(log: str) -> int:
    try:
        return ledger.reader(log).size
    except (LogError, HubState):
        return 0
