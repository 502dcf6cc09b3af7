"""State tables: what may happen to a request, a response, a tick and a piece of evidence, as data.

`advance` is the one way from a state to the next. Naming an event twice is refused, not forgiven: who retries looks first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fairwitness_core.wire.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Table:
    """States and moves of one kind of thing: `moves[state][event]` is the next state; a state without moves is final."""

    name: str
    start: str
    moves: Mapping[str, Mapping[str, str]]

    @property
    def states(self) -> frozenset[str]:
        """All states."""
        return frozenset(self.moves)

    def events(self, state: str) -> tuple[str, ...]:
        """Return the events that are legal in `state`, sorted; raises ProtocolError for a state unknown here."""
        return tuple(sorted(self._row(state)))

    def is_final(self, state: str) -> bool:
        """Tell whether nothing more can happen."""
        return not self._row(state)

    def _row(self, state: str) -> Mapping[str, str]:
        try:
            return self.moves[state]
        except KeyError:
            raise ProtocolError("state.unknown", f"{self.name} has no state {state!r}") from None


def make_table(name: str, start: str, moves: dict[str, dict[str, str]]) -> Table:
    """Freeze a table; raises ValueError when a state is missing or cannot be reached from the start."""
    reached, walk = {start}, [start]
    while walk:
        fresh = set(moves[walk.pop()].values()) - reached
        reached |= fresh
        walk.extend(fresh)
    if reached != set(moves):
        raise ValueError(f"{name}: {sorted(reached ^ set(moves))} is not a table that hangs together")
    return Table(name, start, MappingProxyType({state: MappingProxyType(row) for state, row in moves.items()}))


# A request at the hub. The emergency lane skips only the prior moderation (design.md 9.8).
REQUEST = make_table(
    "request",
    "submitted",
    {
        "submitted": {
            "approve": "approved",
            "refuse": "refused",
            "publish_emergency": "emergency_published",
            "withdraw": "dropped",
            "expire": "lapsed",
        },
        "approved": {"publish": "published", "withdraw": "dropped", "expire": "lapsed"},
        "emergency_published": {"review": "published", "withdraw": "withdrawn", "expire": "expired", "resolve": "resolved"},
        "published": {"extend": "published", "withdraw": "withdrawn", "expire": "expired", "resolve": "resolved"},
        "refused": {},
        "dropped": {},  # taken back before anybody saw it
        "lapsed": {},  # expired before anybody saw it
        "withdrawn": {},
        "expired": {"resolve": "resolved"},
        "resolved": {},  # its outcome is public
    },
)

# A response as its owner sees it (design.md 9.9). After collection a withdrawal is a notice on record, which hides nothing
# of what happens to the clip afterwards: the state stays and goes on moving.
RESPONSE = make_table(
    "response",
    "queued",
    {
        "queued": {"upload": "uploaded", "withdraw": "withdrawn", "expire": "expired"},
        "uploaded": {"collect": "collected", "withdraw": "withdrawn", "expire": "expired"},
        "collected": {"accept": "accepted", "decline": "declined", "notice": "collected"},
        "accepted": {"export": "exported", "decline": "declined", "notice": "accepted"},
        "declined": {"accept": "accepted", "expire": "expired", "notice": "declined"},
        "exported": {"export": "exported", "notice": "exported"},
        "withdrawn": {},
        "expired": {},
    },
)

# A feed tick at the hub (design.md section 3): each state is durable before the next begins.
TICK = make_table(
    "tick",
    "open",
    {
        "open": {"append": "appended"},
        "appended": {"cosign": "cosigned"},
        "cosigned": {"serve": "served"},
        "served": {},
    },
)

# A piece of evidence at the agency (design.md 9.10). Untriaged is `collected`: it escalates and is never destroyed there.
EVIDENCE = make_table(
    "evidence",
    "fetched",
    {
        "fetched": {"open": "collected", "fail": "quarantined"},
        "quarantined": {"open": "collected", "decline": "declined"},
        "collected": {"accept": "accepted", "decline": "declined"},
        "accepted": {"export": "exported", "decline": "declined"},
        "exported": {"export": "exported"},
        "declined": {"hold": "held", "destroy": "destroyed"},
        "held": {"release": "declined", "accept": "accepted"},
        "destroyed": {},
    },
)

TABLES: Mapping[str, Table] = MappingProxyType({table.name: table for table in (REQUEST, RESPONSE, TICK, EVIDENCE)})


def advance(table: Table, state: str, event: str) -> str:
    """Return the state that `event` leads to; raises ProtocolError `state.unknown` or `state.illegal`."""
    legal = table.events(state)
    if event not in legal:
        hint = f"possible here: {', '.join(legal)}" if legal else "nothing more can happen to it"
        raise ProtocolError("state.illegal", f"a {table.name} that is {state} cannot {event}", evidence=event, hint=hint)
    return table.moves[state][event]
