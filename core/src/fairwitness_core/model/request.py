"""A Community Request and what happens to it in public (protocol.md 4.4, 6.4; design.md 7, 9.8).

Here stand the formats and what a document can check about itself. Caps on area, window and wording live in `rules`,
where hub, home and monitor apply them alike.
"""

from dataclasses import dataclass
from typing import ClassVar

from fairwitness_core.model.document import Document, wire
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError

MODES = ("anonymous", "identified")
OUTCOMES = ("solved_with_footage", "solved_otherwise", "not_solved", "withdrawn_by_victim", "unfounded")
WORDS_MAX_BYTES = 300
RECIPIENT = f.text(62, min_bytes=62, pattern=r"age1[02-9ac-hj-np-z]{58}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Document):
    """An agency asks for footage. Signed by two officers of the agency; public; permanent in the log.

    `area`: sorted distinct H3 res-9 cells. `from_`, `to`: the incident's window, `at`: when it was
    drafted, `expires`: when it ends; all Unix seconds UTC. `key`: the fresh age recipient that answers are sealed to.
    """

    TYPE: ClassVar[str] = "request_published"

    id: str = wire(f.ID16)
    agency: str = wire(f.AGENCY_ID)
    case: str = wire(f.text(40, min_bytes=1, pattern=r"[A-Za-z0-9][A-Za-z0-9 ./_-]*"))
    offense: str = wire(f.text(10, min_bytes=9, pattern=r"nibrs:[0-9A-Z]{3}"))
    area: tuple[str, ...] = wire(f.array(f.cell(9, 9), low=1, high=64, ordered_set=True))
    from_: int = wire(f.TIME, name="from")
    to: int = wire(f.TIME)
    msg: str = wire(f.text(600, min_bytes=1, newline=True))
    contact: str = wire(f.text(80))
    expires: int = wire(f.TIME)
    key: str = wire(RECIPIENT)
    modes: tuple[str, ...] = wire(f.array(f.one_of(*MODES), low=1, high=2, ordered_set=True))
    emergency: bool = wire(f.boolean())
    at: int = wire(f.TIME)
    wide_reason: str = wire(f.text(300, min_bytes=1), optional=True, default="")

    def check(self) -> None:
        """A window and a life run forward."""
        if self.from_ >= self.to:
            raise ProtocolError("request.window", "the window ends before it starts")
        if self.expires <= self.at:
            raise ProtocolError("request.expires", "the request expires before it was made")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestWithdrawn(Document):
    """A request ends early. Signed by one officer of its agency, or by the hub for an emergency left unreviewed."""

    TYPE: ClassVar[str] = "request_withdrawn"

    request_id: str = wire(f.ID16)
    agency: str = wire(f.AGENCY_ID)
    reason: str = wire(f.one_of("resolved", "withdrawn", "emergency_unreviewed", "moderation"))
    at: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExtended(Document):
    """A published request lives longer. Signed by two officers of its agency, as the request was.

    `expires`: the new end, Unix seconds UTC; `reason`: why, for every neighbour to read. What a document alone cannot tell
    is in `rules.changes`: it never shortens, comes once, while the request lives, and stays within the request's 14 days.
    """

    TYPE: ClassVar[str] = "request_extended"

    request_id: str = wire(f.ID16)
    agency: str = wire(f.AGENCY_ID)
    expires: int = wire(f.TIME)
    reason: str = wire(f.text(WORDS_MAX_BYTES, min_bytes=1))
    at: int = wire(f.TIME)

    def check(self) -> None:
        """A life runs forward."""
        if self.expires <= self.at:
            raise ProtocolError("request.expires", "the request would expire before it was extended")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestResolved(Document):
    """What came of a request. It ends one that lives, and may follow one that has expired. Signed by one officer.

    `outcome` is one of `OUTCOMES`; `words` (may be absent) are the agency's own, for every neighbour to read.
    """

    TYPE: ClassVar[str] = "request_resolved"

    request_id: str = wire(f.ID16)
    agency: str = wire(f.AGENCY_ID)
    outcome: str = wire(f.one_of(*OUTCOMES))
    at: int = wire(f.TIME)
    words: str = wire(f.text(WORDS_MAX_BYTES, min_bytes=1), optional=True, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(Document):
    """A request that was refused: its id, agency, offence and the rule, never its text (design.md 9.8)."""

    TYPE: ClassVar[str] = "request_refused"

    request_id: str = wire(f.ID16)
    agency: str = wire(f.AGENCY_ID)
    offense: str = wire(f.text(10, min_bytes=9, pattern=r"nibrs:[0-9A-Z]{3}"))
    rule: str = wire(f.text(64, min_bytes=3, pattern=r"[a-z0-9_.]+"))
    at: int = wire(f.TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModerationAction(Document):
    """What a moderator (role, never a name) did to a request, and which flags were shown while doing it.

    `flags` are public caveats such as `dwellings_unchecked` or `assembly_overlap`; `moderators` is how many agreed.
    """

    TYPE: ClassVar[str] = "moderation_action"

    request_id: str = wire(f.ID16)
    action: str = wire(f.one_of("approved", "refused", "emergency_published", "reviewed", "withdrawn"))
    rule: str = wire(f.text(64, min_bytes=3, pattern=r"[a-z0-9_.]+"))
    flags: tuple[str, ...] = wire(f.array(f.text(40, min_bytes=3, pattern=r"[a-z0-9_.]+"), high=16, ordered_set=True))
    moderators: int = wire(f.integer(0, 16))
    at: int = wire(f.TIME)
