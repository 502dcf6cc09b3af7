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
from fairwitness_core.model.request import Request, RequestWithdrawn
from fairwitness_core.rules.caps import (
    PUBLISHED_WITHIN_S,
    AgencyFacts,
    Allowance,
    HubPolicy,
    LiveRequest,
    check_age,
    check_live,
    check_published,
)
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
        else:
            record = self.directory.agency(document.agency, below=line.index)
            keys = record.officers(self.at) if record else ()
            if not line.envelope.signers(keys):
                raise ProtocolError("withdrawal.signer", "no current officer of the agency signed the withdrawal")
        known = next((i for i, one in enumerate(self.live) if one.id == document.request_id), None)
        if known is not None:
            if self.live[known].agency != document.agency:
                raise ProtocolError("withdrawal.agency", "an agency withdrew another agency's request")
            self.live[known] = replace(self.live[known], withdrawn=True)
        self.withdrawn.append(Withdrawn(line.index, document))


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
