"""What the lines of one verified tick mean to a home: believed, refused with the rule, withdrawn, or not known here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.agency import AgencyAuthorized
from fairwitness_core.model.directory import DIRECTORY_TYPES, AgencyRecord, Directory
from fairwitness_core.model.document import UnknownKind, kind_of
from fairwitness_core.model.feed import Line
from fairwitness_core.model.hub import InboxEpoch
from fairwitness_core.model.request import Request, RequestExtended, RequestResolved, RequestWithdrawn
from fairwitness_core.rules import wording
from fairwitness_core.rules.caps import (
    PUBLISHED_WITHIN_S,
    SIGNERS_MIN,
    AgencyFacts,
    Allowance,
    HubPolicy,
    LiveRequest,
    check_age,
    check_live,
    check_published,
)
from fairwitness_core.rules.changes import LATE_S, check_extension
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

HUB_WITHDRAWS = ("emergency_unreviewed", "moderation")


@dataclass(frozen=True, slots=True)
class Published:
    """A request that this home believes: logged, witnessed, signed by two officers of its agency, within every cap."""

    request: Request
    envelope: dsse.Envelope
    index: int
    agency: AgencyAuthorized
    signers: tuple[str, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that stands in the log and that this home will not show: which rule, and what can be told of it."""

    index: int
    kind: str
    rule: str
    message: str
    request_id: str = ""
    agency: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A request that ended early, by its agency or by the hub."""

    index: int
    document: RequestWithdrawn


@dataclass(frozen=True, slots=True)
class Extended:
    """A request that this home holds lives longer, within every rule, by the word of two officers of its agency."""

    index: int
    document: RequestExtended


@dataclass(frozen=True, slots=True)
class Resolved:
    """What came of a request, by one officer of its agency. `words` is empty where theirs break the rules of wording."""

    index: int
    document: RequestResolved
    words: str


class Reading:
    """Steps 8 and 9 of `feed.verify_container`: collects what the lines of one tick come to."""

    def __init__(self, pin: Pinned, directory: Directory, live: Sequence[LiveRequest], *, at: int, begun: int) -> None:
        """Begin with the directory after this tick and the requests that count beside its own.

        `at`: when the witnesses saw the tick; `begun`: when it began; both Unix seconds UTC.
        """
        self.pin = pin
        self.begun = begun
        self.directory = directory
        self.at = at
        self.live = list(live)
        self.published: list[Published] = []
        self.refused: list[RefusedLine] = []
        self.withdrawn: list[Withdrawn] = []
        self.extended: list[Extended] = []
        self.resolved: list[Resolved] = []
        self.epochs: list[InboxEpoch] = []
        self.opaque = 0

    def read(self, line: Line) -> None:
        """Sort one line."""
        value = canonical.decode(line.envelope.payload)
        kind, version = kind_of(value)
        if kind in DIRECTORY_TYPES:
            self.opaque += version != DIRECTORY_TYPES[kind].VERSION
            return
        try:
            match kind:
                case Request.TYPE:
                    self._request(line, Request.from_document(value))
                case RequestWithdrawn.TYPE:
                    self._withdrawal(line, RequestWithdrawn.from_document(value))
                case RequestExtended.TYPE:
                    self._extension(line, RequestExtended.from_document(value))
                case RequestResolved.TYPE:
                    self._resolution(line, RequestResolved.from_document(value))
                case InboxEpoch.TYPE:
                    line.envelope.verify(dsse.ENTRY, self.pin.hub_key)
                    self.epochs.append(InboxEpoch.from_document(value))
                case _:
                    self.opaque += 1
        except UnknownKind:
            self.opaque += 1
        except ProtocolError as error:
            self.refused.append(
                RefusedLine(line.index, kind, error.code, error.message, _word(value, "id"), _word(value, "agency"))
            )

    def _request(self, line: Line, request: Request) -> None:
        record = self.directory.agency(request.agency, below=line.index)
        if record is None:
            raise ProtocolError("request.agency", "no such agency was authorised here", evidence=request.agency)
        keys = record.officers(self.at)
        signers = tuple(key.kid for key in line.envelope.signers(keys))
        if len(signers) != len(line.envelope.signatures):
            raise ProtocolError(
                "request.signers",
                "a signature is not of an officer whose key counted when this was logged",
                evidence=",".join(s.kid for s in line.envelope.signatures),
            )
        policy = HubPolicy(self.pin.state, self._allowed(line.index), self.pin.notice_seconds)
        verdict = check_published(request, signers=signers, agency=_facts(record, keys), now=self.at, policy=policy)
        verdict.raise_first()
        for violation in check_age(request, now=self.begun, most=PUBLISHED_WITHIN_S):
            raise violation.error()
        for violation in check_live(request, self.live, now=self.at):
            raise violation.error()
        self.live.append(
            LiveRequest(
                id=request.id,
                agency=request.agency,
                case=request.case,
                area=request.area,
                at=request.at,
                expires=request.expires,
            )
        )
        flags = tuple(sorted(verdict.flag_rules))
        self.published.append(Published(request, line.envelope, line.index, record.authorized, signers, flags))

    def _allowed(self, index: int) -> tuple[Allowance, ...]:
        policy = self.directory.policy("standing", self.at, index)
        if policy is None:
            return ()
        return tuple(Allowance(agency, policy.at, policy.effective_at) for agency in json.loads(policy.text))

    def _withdrawal(self, line: Line, document: RequestWithdrawn) -> None:
        if document.reason in HUB_WITHDRAWS:
            line.envelope.verify(dsse.ENTRY, self.pin.hub_key)
        elif not self._signers(line, document.agency):
            raise ProtocolError("withdrawal.signer", "no current officer of the agency signed the withdrawal")
        self._end(document.request_id, document.agency)
        self.withdrawn.append(Withdrawn(line.index, document))

    def _extension(self, line: Line, document: RequestExtended) -> None:
        """Take an extension, of a request that this home holds: one that it refused or never saw it does not let live."""
        signers = self._signers(line, document.agency)
        if len(signers) != len(line.envelope.signatures) or len(signers) < SIGNERS_MIN:
            raise ProtocolError("extension.signers", "two current officers of the agency sign an extension, and nobody else")
        known = self._known(document.request_id, document.agency)
        if known is None:
            return
        for violation in check_extension(document, self.live[known], now=self.begun, late=LATE_S):
            raise violation.error()
        self.live[known] = replace(self.live[known], expires=document.expires, extended=True)
        self.extended.append(Extended(line.index, document))

    def _resolution(self, line: Line, document: RequestResolved) -> None:
        """Take an outcome. Words that break the rules are not shown, but the request is over all the same."""
        if not self._signers(line, document.agency):
            raise ProtocolError("resolution.signer", "no current officer of the agency signed the outcome")
        known = self._end(document.request_id, document.agency)
        case = "" if known is None else self.live[known].case
        words = "" if wording.check_words(document.words, case=case) else document.words
        self.resolved.append(Resolved(line.index, document, words))

    def _signers(self, line: Line, agency: str) -> tuple[str, ...]:
        record = self.directory.agency(agency, below=line.index)
        keys = record.officers(self.at) if record else ()
        return tuple(key.kid for key in line.envelope.signers(keys))

    def _known(self, request_id: str, agency: str) -> int | None:
        """Return the place of a request among the live ones; raises ProtocolError for another agency's."""
        known = next((i for i, one in enumerate(self.live) if one.id == request_id), None)
        if known is not None and self.live[known].agency != agency:
            raise ProtocolError("withdrawal.agency", "an agency changed another agency's request")
        return known

    def _end(self, request_id: str, agency: str) -> int | None:
        known = self._known(request_id, agency)
        if known is not None:
            self.live[known] = replace(self.live[known], withdrawn=True)
        return known


def _facts(record: AgencyRecord, keys: Sequence[PublicKey]) -> AgencyFacts:
    authorized = record.authorized
    return AgencyFacts(
        agency=authorized.agency,
        state=authorized.state,
        federal=authorized.federal,
        active=not record.suspended,
        jurisdiction=authorized.jurisdiction,
        officer_keys=tuple(key.kid for key in keys),
    )


def _word(value: object, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found[:64] if isinstance(found, str) else ""
