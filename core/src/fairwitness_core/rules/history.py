"""What a public log comes to, entry by entry: every request ever, every agency, every act; a pure function of the entries.

A public page is drawn from this alone, so whoever holds the entries can draw it again. Nothing is believed for standing in the
log: signatures and rules are checked as homes check them, and what breaks one is kept and said to break it.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model import request as documents
from fairwitness_core.model.agency import AgencyAuthorized, AgencySuspended, KeyRotated
from fairwitness_core.model.directory import DIRECTORY_TYPES, AgencyRecord
from fairwitness_core.model.document import Document, UnknownKind, kind_of
from fairwitness_core.model.hub import FeedTick, InboxEpoch, IssuerKey, LegalProcess, LogGenesis, PolicyChanged
from fairwitness_core.rules import wording
from fairwitness_core.rules.caps import AgencyFacts, Allowance, HubPolicy, check_published
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.rules.reading import HUB_WITHDRAWS
from fairwitness_core.tlog import merkle
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

STATES = ("open", "resolved", "withdrawn", "removed", "expired", "refused")
_MAX_FAULTS = 1000
_MAX_KINDS = 64
_ABOUT_REQUESTS: dict[str, type[Document]] = {
    kind.TYPE: kind
    for kind in (
        documents.Request,
        documents.RequestExtended,
        documents.RequestRefused,
        documents.RequestResolved,
        documents.RequestWithdrawn,
        documents.ModerationAction,
    )
}
_KNOWN: dict[str, type[Document]] = {
    **_ABOUT_REQUESTS,
    **DIRECTORY_TYPES,
    **{kind.TYPE: kind for kind in (FeedTick, InboxEpoch, LegalProcess, LogGenesis)},
}


@dataclass(slots=True)
class Entry:
    """One log entry that was understood. `tick`: the first tick behind it; `fault`: the rule that it breaks, '' for none.

    `signers`: key ids that truly signed. A faulty entry changes nothing but the list that it stands in.
    """

    index: int
    leaf: bytes
    document: Document
    signers: tuple[str, ...] = ()
    fault: str = ""
    tick: int = -1

    @property
    def at(self) -> int:
        """When its author says that it was made, Unix seconds UTC."""
        found: int = getattr(self.document, "at", 0)
        return found


@dataclass(slots=True)
class RequestHistory:
    """One request from its first entry on. `logged_at`: when the tick behind that entry was made."""

    id: str
    agency: str
    offense: str
    entries: list[Entry] = field(default_factory=list)
    request: documents.Request | None = None
    refused: str = ""
    expires: int = 0
    ended: str = ""
    ended_at: int = 0
    outcome: str = ""
    words: str = ""
    extended: bool = False
    emergency: bool = False
    reviewed: bool = False
    approved_at: int = 0
    moderators: int = 0
    flags: tuple[str, ...] = ()
    logged_at: int = 0

    @property
    def first(self) -> Entry:
        """The entry that published or refused it, else the first that names it."""
        main = (documents.Request, documents.RequestRefused)
        return next((entry for entry in self.entries if isinstance(entry.document, main)), self.entries[0])

    @property
    def fault(self) -> str:
        """The rule that the request itself breaks, as a home would find it; '' for none."""
        return self.first.fault

    def state(self, at: int) -> str:
        """Return one of STATES as of Unix second `at`."""
        if self.ended:
            return self.ended
        if self.request is None:
            return "refused"
        return "expired" if at >= self.expires else "open"

    def row(self, at: int) -> dict[str, Any]:
        """Return what is public of it as of `at`, ready for canonical JSON."""
        found: dict[str, Any] = {
            "id": self.id, "agency": self.agency, "offense": self.offense, "state": self.state(at), "fault": self.fault,
            "emergency": self.emergency, "flags": list(self.flags), "logged_at": self.logged_at,
            "entries": [_entry_row(entry) for entry in self.entries],
        }  # fmt: skip
        if self.request is not None:
            one = self.request
            if not self.fault:
                # What homes do not show is not shown here either; it stands in the log.
                found |= {"case": one.case, "msg": one.msg, "contact": one.contact}
            found |= {
                "area": list(one.area), "from": one.from_, "to": one.to, "at": one.at,
                "expires": self.expires, "extended": self.extended, "approved_at": self.approved_at,
                "moderators": self.moderators, "reviewed": self.reviewed,
            }  # fmt: skip
        if self.refused:
            found["rule"] = self.refused
        if self.ended:
            found |= {"ended_at": self.ended_at, "outcome": self.outcome, "words": self.words}
        return found


@dataclass(slots=True)
class AgencyHistory:
    """One agency: what the log last said of it, and everything that it said."""

    id: str
    record: AgencyRecord
    entries: list[Entry] = field(default_factory=list)
    suspended_at: int = 0
    suspended_for: str = ""

    @property
    def since(self) -> int:
        """When it was first authorised, Unix seconds UTC."""
        return self.entries[0].at

    def standing(self, at: int) -> str:
        """Return active, suspended or lapsed as of Unix second `at`."""
        if self.record.suspended:
            return "suspended"
        return "lapsed" if at >= self.record.authorized.expires else "active"


@dataclass(slots=True)
class Ticks:
    """How the feed kept its beat. `late`: ticks made over one tick's length after their time; `missing`: numbers left out."""

    count: int = 0
    newest: int = -1
    newest_at: int = 0
    newest_index: int = -1
    late: int = 0
    missing: int = 0
    recent: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class History:
    """Folds the entries of one log in order. Mutable: `take` appends one. `touched` collects what changed, for who draws."""

    pin: Pinned
    size: int = 0
    genesis: LogGenesis | None = None
    requests: dict[str, RequestHistory] = field(default_factory=dict)
    agencies: dict[str, AgencyHistory] = field(default_factory=dict)
    policies: list[Entry] = field(default_factory=list)
    ticks: Ticks = field(default_factory=Ticks)
    epochs: list[InboxEpoch] = field(default_factory=list)
    legal: list[LegalProcess] = field(default_factory=list)
    issuer_keys: list[IssuerKey] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str, str]] = field(default_factory=list)
    faulty: int = 0
    touched: set[tuple[str, str]] = field(default_factory=set)
    _waiting: list[tuple[Entry, RequestHistory | None]] = field(default_factory=list)

    @property
    def at(self) -> int:
        """The log's own time: when its newest tick was made, Unix seconds UTC."""
        return self.ticks.newest_at or self.pin.genesis_at

    def take(self, data: bytes) -> None:
        """Add the next entry. Raises nothing for what it holds: what cannot be read or breaks a rule is counted and named."""
        index, self.size = self.size, self.size + 1
        kind = "unreadable"
        try:
            envelope = dsse.Envelope.parse(data)
            value = canonical.decode(envelope.payload)
            name, version = kind_of(value)
            known = _KNOWN.get(name)
            if known is None or version != known.VERSION or envelope.payload_type != dsse.ENTRY:
                raise UnknownKind("document.kind", "an entry of a kind that this program does not know")  # noqa: TRY301
            kind = name
            document = known.from_document(value)
            entry = Entry(index, merkle.leaf_hash(data), document)
            self.kinds[kind] += 1
            self._sort(entry, envelope)
        except UnknownKind:
            label = f"{name[:40]} v{version % 1000}"
            self.unknown[label if label in self.unknown or len(self.unknown) < _MAX_KINDS else "other"] += 1
        except ProtocolError as error:
            self._fault(index, kind, error.code)

    def _fault(self, index: int, kind: str, code: str) -> None:
        self.faulty += 1
        if len(self.faults) < _MAX_FAULTS:
            self.faults.append((index, kind, code))

    # -- one entry

    def _sort(self, entry: Entry, envelope: dsse.Envelope) -> None:
        document = entry.document
        match document:
            case documents.Request():
                self._request(entry, envelope, document)
            case documents.RequestWithdrawn() if document.reason not in HUB_WITHDRAWS:
                self._by_officers(entry, envelope, document, 1)
            case documents.RequestExtended():
                self._by_officers(entry, envelope, document, 2)
            case documents.RequestResolved():
                self._by_officers(entry, envelope, document, 1)
            case _:
                envelope.verify(dsse.ENTRY, self.pin.hub_key)
                entry.signers = (self.pin.hub_key.kid,)
                self._by_hub(entry)

    def _by_hub(self, entry: Entry) -> None:
        match entry.document:
            case LogGenesis() as genesis:
                if entry.index:
                    raise ProtocolError("log.genesis", "a log begins once")
                self.genesis = genesis
            case FeedTick() as tick:
                self._tick(entry, tick)
            case InboxEpoch() as epoch:
                self.epochs.append(epoch)
            case LegalProcess() as counted:
                self.legal.append(counted)
            case IssuerKey() as key:
                self.issuer_keys.append(key)
            case PolicyChanged():
                self.policies.append(entry)
                self._wait(entry)
            case AgencyAuthorized() | AgencySuspended() | KeyRotated() as stated:
                self._agency(entry, stated)
            case documents.RequestWithdrawn() as ended:
                self._change(entry, ended.request_id, ended.agency)
            case documents.RequestRefused() as refused:
                self._refused(entry, refused)
            case documents.ModerationAction() as action:
                self._moderated(entry, action)

    def _tick(self, entry: Entry, tick: FeedTick) -> None:
        ticks, seconds = self.ticks, self.pin.tick_seconds
        expected = ticks.newest + 1 if ticks.count else self.pin.genesis_at // seconds
        if tick.tick < expected:
            raise ProtocolError("feed.repeated", "a tick comes once, in order", evidence=str(tick.tick))
        ticks.missing += tick.tick - expected
        ticks.count += 1
        lateness = max(0, tick.at - tick.tick * seconds)
        ticks.late += lateness > seconds
        ticks.newest, ticks.newest_at, ticks.newest_index = tick.tick, tick.at, entry.index
        ticks.recent = [*ticks.recent[-59:], (tick.tick, lateness)]
        for waiting, about in self._waiting:
            waiting.tick = tick.tick
            if about is not None:
                about.logged_at = about.logged_at or tick.at
                if isinstance(waiting.document, documents.Request) and not waiting.fault:
                    waiting.fault = self._judge(waiting, waiting.document, tick.at)
        self._waiting.clear()

    def _wait(self, entry: Entry, about: RequestHistory | None = None) -> None:
        self._waiting.append((entry, about))

    # -- agencies

    def _agency(self, entry: Entry, document: AgencyAuthorized | AgencySuspended | KeyRotated) -> None:
        name = document.agency
        known = self.agencies.get(name)
        if known is None:
            if not isinstance(document, AgencyAuthorized):
                raise ProtocolError("directory.agency", "no such agency", evidence=name)
            known = self.agencies[name] = AgencyHistory(name, AgencyRecord(document, entry.index, document.keys, suspended=False))
        before = known.record
        match document:
            case AgencyAuthorized():
                known.record = AgencyRecord(document, entry.index, document.keys, suspended=False)
            case AgencySuspended():
                known.record = AgencyRecord(before.authorized, before.index, before.keys, suspended=True)
                known.suspended_at, known.suspended_for = document.at, document.reason
            case KeyRotated():
                kept = tuple(key for key in before.keys if key.kid not in document.remove)
                added = tuple(key for key in document.add if key.kid not in {k.kid for k in kept})
                known.record = AgencyRecord(before.authorized, before.index, kept + added, before.suspended)
        known.entries.append(entry)
        self._wait(entry)
        self.touched.add(("agency", name))

    def _officers(self, agency: str, at: int) -> tuple[PublicKey, ...]:
        known = self.agencies.get(agency)
        return known.record.officers(at) if known else ()

    # -- requests

    def _of(self, request_id: str, agency: str, offense: str = "") -> RequestHistory:
        found = self.requests.get(request_id)
        if found is None:
            found = self.requests[request_id] = RequestHistory(request_id, agency, offense)
        return found

    def _keep(self, entry: Entry, about: RequestHistory) -> None:
        about.entries.append(entry)
        self._wait(entry, about)
        self.touched |= {("request", about.id), ("agency", about.agency)}
        if entry.fault:
            self._fault(entry.index, entry.document.TYPE, entry.fault)

    def _request(self, entry: Entry, envelope: dsse.Envelope, request: documents.Request) -> None:
        known = self.requests.get(request.id)
        if known is not None and (known.request is not None or known.refused):
            raise ProtocolError("request.repeated", "a request comes once", evidence=request.id)
        try:
            signers = envelope.signers(self._officers(request.agency, request.at))
            entry.signers = tuple(key.kid for key in signers)
            if len(signers) != len(envelope.signatures):
                entry.fault = "request.signers"
        except ProtocolError as error:
            entry.fault = error.code
        about = self._of(request.id, request.agency)
        about.agency, about.offense = request.agency, request.offense
        about.request, about.expires, about.emergency = request, request.expires, about.emergency or request.emergency
        self._keep(entry, about)

    def _judge(self, entry: Entry, request: documents.Request, at: int) -> str:
        """Return the first rule of a home that a published request breaks, '' for none."""
        known = self.agencies.get(request.agency)
        if known is None:
            self._fault(entry.index, request.TYPE, "request.agency")
            return "request.agency"
        one = known.record.authorized
        facts = AgencyFacts(
            agency=one.agency,
            state=one.state,
            federal=one.federal,
            active=not known.record.suspended,
            jurisdiction=one.jurisdiction,
            officer_keys=tuple(key.kid for key in known.record.officers(at)),
        )
        policy = HubPolicy(self.pin.state, self._standing(at), self.pin.notice_seconds)
        for violation in check_published(request, signers=entry.signers, agency=facts, now=at, policy=policy).violations:
            self._fault(entry.index, request.TYPE, violation.rule)
            return violation.rule
        return ""

    def _standing(self, at: int) -> tuple[Allowance, ...]:
        for entry in reversed(self.policies):
            policy = entry.document
            if isinstance(policy, PolicyChanged) and policy.kind == "standing" and policy.effective_at <= at:
                return tuple(Allowance(agency, policy.at, policy.effective_at) for agency in json.loads(policy.text))
        return ()

    def _by_officers(
        self,
        entry: Entry,
        envelope: dsse.Envelope,
        document: documents.RequestWithdrawn | documents.RequestExtended | documents.RequestResolved,
        least: int,
    ) -> None:
        signers = envelope.signers(self._officers(document.agency, document.at))
        entry.signers = tuple(key.kid for key in signers)
        if len(signers) < least or len(signers) != len(envelope.signatures):
            raise ProtocolError("entry.signers", "too few current officers of the agency signed it, or somebody else did")
        self._change(entry, document.request_id, document.agency)

    def _change(self, entry: Entry, request_id: str, agency: str) -> None:
        """End or extend a request."""
        about = self.requests.get(request_id)
        if about is None or about.request is None:
            raise ProtocolError("request.unknown", "it changes a request that was never published", evidence=request_id)
        if about.agency != agency:
            raise ProtocolError("request.agency", "an agency changed another agency's request", evidence=agency)
        match entry.document:
            case documents.RequestExtended() as longer:
                if about.ended or longer.expires < about.expires:
                    entry.fault = "extension.late" if about.ended else "extension.shorter"
                else:
                    about.expires, about.extended = longer.expires, True
            case documents.RequestResolved() as over:
                if about.ended:
                    entry.fault = "request.ended"
                else:
                    about.ended, about.ended_at, about.outcome = "resolved", over.at, over.outcome
                    case_number = about.request.case
                    about.words = "" if wording.check_words(over.words, case=case_number) else over.words
            case documents.RequestWithdrawn() as over if not about.ended:
                about.ended = (
                    "removed" if over.reason in HUB_WITHDRAWS else "resolved" if over.reason == "resolved" else "withdrawn"
                )
                about.ended_at, about.outcome = over.at, over.reason
        self._keep(entry, about)

    def _refused(self, entry: Entry, refused: documents.RequestRefused) -> None:
        about = self._of(refused.request_id, refused.agency, refused.offense)
        if about.request is not None or about.refused:
            raise ProtocolError("request.repeated", "a request that was published or refused is refused", evidence=about.id)
        about.agency, about.offense, about.refused = refused.agency, refused.offense, refused.rule
        self._keep(entry, about)

    def _moderated(self, entry: Entry, action: documents.ModerationAction) -> None:
        about = self._of(action.request_id, "")
        match action.action:
            case "approved":
                about.approved_at, about.moderators = action.at, action.moderators
            case "emergency_published":
                about.emergency = True
            case "reviewed":
                about.reviewed, about.moderators = True, action.moderators
        about.flags = tuple(sorted({*about.flags, *action.flags}))
        self._keep(entry, about)


def _entry_row(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "index": entry.index, "leaf": entry.leaf.hex(), "kind": entry.document.TYPE, "at": entry.at, "tick": entry.tick,
        "signers": list(entry.signers),
    }  # fmt: skip
    for name in ("action", "rule", "reason", "moderators", "expires", "outcome"):
        value = getattr(entry.document, name, None)
        if value is not None and not isinstance(entry.document, documents.Request):
            found[name] = value
    if entry.fault:
        found["fault"] = entry.fault
    return found
