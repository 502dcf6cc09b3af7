"""The numbered verification of an evidence bag (protocol.md 8; design.md 9.11). No network, no clock, no disk of its own.

Everything is anchored in a `TrustPolicy`: the hub's key, the logs and witnesses, the genesis. Given by the verifier, it is
pinned. Taken from the bag itself, it shows only that the bag agrees with itself, and the report says so.
"""

import bisect
import hashlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fairwitness_core.crypto.sign import PublicKey
from fairwitness_core.model.custody import CustodyEvent, Subject, commitment
from fairwitness_core.model.directory import AgencyRecord, Directory
from fairwitness_core.model.hub import FeedTick, LogGenesis
from fairwitness_core.model.request import Request
from fairwitness_core.model.response import Manifest, Promise, verify_responder
from fairwitness_core.rules import caps
from fairwitness_core.tlog.note import VerifierKey
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.tlog.proof import TlogProof, VerifiedInclusion
from fairwitness_core.verify import layout
from fairwitness_core.verify.checks import BagReport, Check, Missing, Recorder
from fairwitness_core.verify.intake import Files, Intake
from fairwitness_core.verify.layout import Seal, SealedFile, utc
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError

SKEW = 300  # seconds that an agency's clock may be ahead of the witnesses'
FIRST_PREV = "0" * 64
LATE = 3600  # seconds from an event's date to the witnesses' sight of it that a report mentions


def verify_bag(files: Files, trust: TrustPolicy | None, *, progress: Callable[[int], None] | None = None) -> BagReport:
    """Check a bag and its seal; `trust` is what the verifier holds from elsewhere, None to take it from the bag.

    The report's checks are, in this order; the bag holds if all do:
    1. BagIt structure: every file is there, unchanged, listed, of a known kind; none was added (RFC 8493).
    2. The agency's own key sealed exactly this bag.
    3. Two different officers of the agency signed the request with keys that were theirs at its place in the log.
    4. The request stands in the hub's public log, which a quorum of witnesses cosigned.
    5. Genesis, hub key and directory of agencies are the ones that this log names.
    6. Each response is signed by its own key, answers this request, and its clips are the files in the bag.
    7. Each response's custody is one unbroken chain from `collected` on, of the agency's signed events, each in the sealed log.
    8. The export of exactly this bag is the chain's last event, and is in the sealed log.
    9. The request keeps the published rules.
    10. Where the hub promised receipt of a response, the promise is its own and names this ciphertext.
    Never raises for what is in the files; OSError from `files.list` passes through.
    """
    return _Procedure(Intake(files, progress), trust).run()


@dataclass(slots=True)
class _Procedure:
    intake: Intake
    given: TrustPolicy | None
    done: list[Check] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    trust: TrustPolicy | None = None
    policy: Policy | None = None
    root_file: str = layout.GENESIS
    unfounded: ProtocolError | None = None  # why genesis, hub key and policy could not be established, as found in root_file
    genesis: LogGenesis | None = None
    inclusion: VerifiedInclusion | None = None
    directory: Directory | None = None
    changed_at: list[int] = field(default_factory=list)  # latest Unix second of the directory's entries up to each
    changed_by: list[int] = field(default_factory=list)  # log index of each
    directory_at: int = 0
    request: Request | None = None
    signers: tuple[str, ...] = ()
    manifests: dict[str, Manifest] = field(default_factory=dict)
    sealed: dict[str, SealedFile] = field(default_factory=dict)
    chain_ends: dict[str, tuple[str, int]] = field(default_factory=dict)  # hash and time of the last custody event
    places: dict[int, str] = field(default_factory=dict)  # sealed-log index -> file, so that no entry serves twice
    late: dict[str, int] = field(default_factory=dict)  # event -> seconds from its date until witnesses saw it, where over LATE
    records: dict[tuple[str, int | None], AgencyRecord | None] = field(default_factory=dict)

    def run(self) -> BagReport:
        # 1. first: what follows reads files that were listed there. 5 and 4 before the rest: they yield the keys.
        with self._check(1, "Every file is there and unchanged", layout.BAG) as check:
            self.intake.check(check)
        self._roots()
        self._public_log()
        self._directory()
        self._request()
        self._seal()
        self._responses()
        self._custody()
        self._exports()
        self._rules()
        self._promises()
        self.done.sort(key=lambda check: check.number)
        prints = self.trust.fingerprints() if self.trust else ()
        return BagReport(tuple(self.done), tuple(self.facts), prints, pinned=self.given is not None)

    def _check(self, number: int, title: str, where: str) -> Recorder:
        return Recorder(number, title, where, self.done.append)

    def _roots(self) -> None:
        """Choose what all else is judged by. A failure here is told by check 5."""
        try:
            self.root_file = layout.GENESIS
            if self.given is not None:
                self.trust = self.given
            else:
                entry = self.intake.read(layout.GENESIS)
                genesis = LogGenesis.parse(dsse.Envelope.parse(entry).payload)
                self.root_file = layout.POLICY
                text = self.intake.read(layout.POLICY).decode("utf-8", "replace")
                self.trust = TrustPolicy(hub_key=genesis.hub_key, policy=text, genesis=hashlib.sha256(entry).hexdigest())
            self.policy = self.trust.witness_policy
            self.root_file = layout.GENESIS
            self.genesis = self.trust.check_genesis(self.intake.read(layout.GENESIS))
        except ProtocolError as error:
            self.unfounded = error

    def _needs_keys(self) -> tuple[Policy, LogGenesis]:
        if self.policy is None or self.genesis is None:
            raise Missing("Not checked: the log's genesis could not be established (check 5).")
        return self.policy, self.genesis

    def _needs_request(self) -> Request:
        if self.request is None:
            raise Missing("Not checked: the request could not be read (check 3).")
        return self.request

    def _needs_directory(self) -> Directory:
        if self.directory is None:
            raise Missing("Not checked: the directory of agencies could not be established (check 5).")
        return self.directory

    def _public_log(self) -> None:
        """Check 4."""
        with self._check(4, "The request stands in the public log", layout.REQUEST_PROOF) as check:
            entry, proof = self.intake.read(layout.REQUEST_ENTRY), self.intake.read(layout.REQUEST_PROOF)
            policy, genesis = self._needs_keys()
            self.inclusion = included(policy, genesis.public_log, proof, entry)
            head = self.inclusion.checkpoint
            seen = ", ".join(f"{name} on {utc(at)}" for name, at in head.times)
            check.detail = (
                f"It is entry {self.inclusion.index} of {head.checkpoint.origin}, a log of {head.checkpoint.size} entries "
                f"that was cosigned by {seen}."
            )
            self.facts.append(("Public log", f"{head.checkpoint.origin}, entry {self.inclusion.index}"))

    def _directory(self) -> None:
        """Check 5."""
        with self._check(5, "The agency's keys are those that the log names", layout.GENESIS) as check:
            # 5.1 The genesis is the pinned one, its hub key signed it, the policy covers both its ledgers: see TrustPolicy.
            check.where = self.root_file
            if self.unfounded is not None:
                raise self.unfounded
            policy, genesis = self._needs_keys()
            if self.trust is None:
                raise Missing("Not checked: there is nothing to judge by.")
            hub = PublicKey(self.trust.hub_key)
            # 5.2 A tick in the public log binds the directory's bytes.
            check.where = layout.TICK_PROOF
            entry = self.intake.read(layout.TICK_ENTRY)
            inclusion = included(policy, genesis.public_log, self.intake.read(layout.TICK_PROOF), entry)
            check.where = layout.TICK_ENTRY
            tick = FeedTick.parse(dsse.Envelope.parse(entry).verify(dsse.ENTRY, hub))
            check.where = layout.DIRECTORY
            data = self.intake.read(layout.DIRECTORY)
            found = hashlib.sha256(data).hexdigest()
            if found != tick.agencies:
                raise ProtocolError("directory.digest", "the directory is not the one that the log names", evidence=found)
            # 5.3 It is signed by the hub, ends before the tick, and the tick is younger than the request.
            directory = Directory.read(hub, data)
            if directory.lines and directory.lines[-1].index >= inclusion.index:
                raise ProtocolError("directory.future", "the directory names entries later than the tick that binds it")
            if self.inclusion is not None and inclusion.index <= self.inclusion.index:
                check.where = layout.TICK_PROOF
                raise ProtocolError("directory.old", "the directory is older than the request")
            self.changed_at = list(itertools.accumulate((_at(line.envelope.payload) for line in directory.lines), max))
            self.changed_by = [line.index for line in directory.lines]
            self.directory, self.directory_at = directory, tick.at
            check.detail = (
                f"The directory of {genesis.name}, which names {len(directory.agencies())} in all, is bound by tick {tick.tick} "
                f"of {utc(tick.at)}, entry {inclusion.index} of the public log."
            )

    def _record(self, agency: str, below: int | None) -> AgencyRecord | None:
        if (agency, below) not in self.records:
            self.records[agency, below] = self._needs_directory().agency(agency, below)
        return self.records[agency, below]

    def _consoles(self, agency: str, at: int) -> tuple[PublicKey, ...]:
        """Console keys of an agency as the directory stood at Unix second `at`."""
        self._needs_directory()
        first_later = bisect.bisect_right(self.changed_at, at)
        record = self._record(agency, self.changed_by[first_later] if first_later < len(self.changed_by) else None)
        return record.consoles(at) if record else ()

    def _by_agency(self, envelope: dsse.Envelope, agency: str, at: int) -> bytes:
        """Return the payload of a statement that exactly one console key of the agency signed; raises ProtocolError."""
        if envelope.payload_type != dsse.STATEMENT:
            raise ProtocolError("dsse.type", "an evidence statement was expected", evidence=envelope.payload_type)
        if len(envelope.signatures) != 1 or len(envelope.signers(self._consoles(agency, at))) != 1:
            signer = ",".join(s.kid for s in envelope.signatures)
            raise ProtocolError("custody.signer", f"no key of {agency} that was good on {utc(at)} signed this", evidence=signer)
        return envelope.payload

    def _request(self) -> None:
        """Check 3."""
        with self._check(3, "Two officers signed the request", layout.REQUEST_ENTRY) as check:
            envelope = dsse.Envelope.parse(self.intake.read(layout.REQUEST_ENTRY))
            if envelope.payload_type != dsse.ENTRY:
                raise ProtocolError("dsse.type", "a log entry was expected", evidence=envelope.payload_type)
            request = Request.parse(envelope.payload)
            self.request = request
            self._needs_directory()
            if self.inclusion is None:
                raise Missing("Not checked: the request's place in the log is not proved (check 4).")
            record = self._record(request.agency, self.inclusion.index)
            if record is None:
                raise ProtocolError(
                    "request.agency", "no such agency was authorised before this request", evidence=request.agency
                )
            signers = envelope.signers(record.officers(request.at))
            if len(signers) < 2 or len(signers) != len(envelope.signatures):
                raise ProtocolError(
                    "request.signers",
                    f"two officers of {record.authorized.name} have to sign, and nobody else; {len(signers)} did",
                    evidence=", ".join(s.kid for s in envelope.signatures),
                )
            self.signers = tuple(key.kid for key in signers)
            name = record.authorized.name
            count = "Two" if len(signers) == 2 else str(len(signers))
            check.detail = f"{count} officers of {name} signed this request on {utc(request.at)} ({', '.join(self.signers)})."
            self.facts[:0] = [
                ("Agency", f"{name} ({record.authorized.agency}, ORI {record.authorized.ori})"),
                ("Case", request.case),
                ("Offence", request.offense),
                ("Request", request.id),
                ("Footage asked for", f"{utc(request.from_)} to {utc(request.to)}, {len(request.area)} map cells"),
                ("Request text", request.msg),
            ]

    def _seal(self) -> None:
        """Check 2."""
        with self._check(2, "The agency sealed exactly this bag", layout.SEAL_ENVELOPE) as check:
            envelope = dsse.Envelope.parse(self.intake.read(layout.SEAL_ENVELOPE))
            seal = Seal.from_statement(envelope.payload)
            found = hashlib.sha256(self.intake.read(layout.TAGMANIFEST)).hexdigest()
            if found != seal.tagmanifest:
                text = f"its SHA-256 is {found}, the seal says {seal.tagmanifest}"
                check.problem(layout.TAGMANIFEST, "seal.tagmanifest", f"this is not the tag manifest that was sealed: {text}")
            same = seal.responses == self.intake.responses
            check.demand(same, layout.SEAL_ENVELOPE, "seal.responses", "the seal names other responses than the bag holds")
            request = self._needs_request()
            same = (seal.agency, seal.request_id, seal.case) == (request.agency, request.id, request.case)
            check.demand(same, layout.SEAL_ENVELOPE, "seal.request", "the seal names another agency, case or request")
            self._by_agency(envelope, request.agency, seal.at)
            check.detail = f"{self._name(request)} sealed the bag on {utc(seal.at)}; nothing in it changed since."

    def _name(self, request: Request) -> str:
        record = self._record(request.agency, None)
        return record.authorized.name if record else request.agency

    def _responses(self) -> None:
        """Check 6."""
        with self._check(6, "The clips are what their owners sent", "bag/data") as check:
            clips = 0
            for rid in self.intake.responses:
                path = layout.manifest_path(rid)
                try:
                    manifest = verify_responder(Manifest, self.intake.read(path))
                    _require(manifest.response_id == rid, "response.id", "this response stands in the folder of another")
                    self.manifests[rid] = manifest
                    path = layout.sealed_path(rid)
                    self.sealed[rid] = SealedFile.parse(self.intake.read(path))
                except ProtocolError as error:
                    check.refuse(path, error)
                    continue
                clips += len(manifest.clips)
                self._clips(check, rid, manifest)
            request = self._needs_request()
            for rid, manifest in self.manifests.items():
                path = layout.manifest_path(rid)
                same = manifest.request_id == request.id
                check.demand(same, path, "response.request", "this response answers another request")
                check.demand(manifest.mode in request.modes, path, "response.mode", "the request did not allow this mode")
            count = len(self.manifests)
            check.detail = (
                f"{clips} clip{'s' if clips != 1 else ''} of {count} response{'s' if count != 1 else ''}: each file has the "
                "hash and size that its owner's key signed, in answer to this request."
            )

    def _clips(self, check: Recorder, rid: str, manifest: Manifest) -> None:
        base = f"bag/data/{rid}/"
        present = {name.removeprefix(base) for name in self.intake.names if name.startswith(base) and name.endswith(".mp4")}
        for name in sorted(present - {clip.name for clip in manifest.clips}):
            check.problem(base + name, "response.extra_clip", "the owner's signed manifest does not name this clip")
        for clip in manifest.clips:
            path = layout.clip_path(rid, clip.name)
            if clip.name not in present:
                check.problem(path, "response.missing_clip", "the owner sent this clip; it is missing")
                continue
            try:
                found = self.intake.digest(path)
            except ProtocolError as error:
                check.refuse(path, error)
                continue
            same = (found.sha256, found.size) == (clip.sha256, clip.bytes)
            check.demand(same, path, "response.clip", "this is not the clip that its owner sent")
            if same:
                span = f"{utc(clip.start)} to {utc(clip.end)}, time from {clip.time_source.replace('_', ' ')}"
                self.facts.append((f"Clip {rid[:8]}/{clip.name}", f"{span}, {manifest.mode}, SHA-256 {clip.sha256}"))

    def _custody(self) -> None:
        """Check 7."""
        with self._check(7, "Custody is one unbroken, logged chain", "bag/custody") as check:
            request = self._needs_request()
            self._needs_directory()
            self._needs_keys()
            total, late = 0, 0
            for rid in sorted(set(self.intake.custody) - set(self.intake.responses)):
                check.problem(layout.custody_path(rid, 1, "dsse.json"), "custody.stray", "custody of a response not in this bag")
            for rid in self.intake.responses:
                numbers = self.intake.custody.get(rid, [])
                if sorted(numbers) != list(range(1, len(numbers) + 1)) or not numbers:
                    path = layout.custody_path(rid, 1, "dsse.json")
                    check.problem(path, "custody.numbers", "the events are not numbered from 1 without a gap")
                    continue
                prev, last = FIRST_PREV, request.at
                for number in range(1, len(numbers) + 1):
                    paths = {kind: layout.custody_path(rid, number, kind) for kind in layout.EVENT_KINDS}
                    event = self._event(check, rid, paths, prev, last)
                    if event is None:
                        break
                    total += 1
                    late += event.at > self.directory_at
                    first = number == 1
                    if first != (event.action == "collected"):
                        text = "a chain begins with `collected`, and holds it once"
                        check.problem(paths["dsse.json"], "custody.collected", text)
                    same = not first or event.case == request.case
                    check.demand(same, paths["dsse.json"], "custody.case", "it was collected for another case than the request's")
                    self._subjects(check, rid, paths["dsse.json"], event, whole=first)
                    prev, last = hashlib.sha256(self.intake.read(paths["dsse.json"])).hexdigest(), event.at
                else:
                    self.chain_ends[rid] = (prev, last)
            check.detail = f"{total} signed events, each logged with witnesses, none missing between collection and export."
            check.detail += self._lateness("bag/custody/")
            if late:
                check.detail += f" {late} came after the directory of {utc(self.directory_at)}, by whose keys they were judged."

    def _event(self, check: Recorder, rid: str, paths: dict[str, str], prev: str, last: int) -> CustodyEvent | None:
        """Verify one event: its signer, its place in the chain, its entry in the sealed log. Notes problems; None if unusable.

        `prev`, `last`: hash and time of the event before.
        """
        request = self._needs_request()
        policy, genesis = self._needs_keys()
        path = paths["dsse.json"]
        try:
            data = self.intake.read(path)
            envelope = dsse.Envelope.parse(data)
            event = CustodyEvent.from_statement(envelope.payload)
            self._by_agency(envelope, request.agency, event.at)
            path = paths["nonce"]
            nonce = nonce_of(self.intake.read(path))
            path = paths["tlog-proof"]
            inclusion = included(policy, genesis.sealed_log, self.intake.read(path), commitment(nonce, data))
        except ProtocolError as error:
            check.refuse(path, error)
            return None
        path = paths["dsse.json"]
        same = (event.agency, event.request_id, event.response_id) == (request.agency, request.id, rid)
        check.demand(same, path, "custody.about", "this event is about another agency, request or response")
        check.demand(
            event.prev == prev, path, "custody.chain", "this event does not follow the one before it: the chain is broken"
        )
        check.demand(event.at >= last, path, "custody.time", "this event is earlier than the one before it")
        newest = inclusion.checkpoint.newest
        possible = newest is not None and event.at <= newest + SKEW
        check.demand(possible, path, "custody.future", "this event is dated later than the witnesses saw it")
        # No flaw by itself: a hub may be down for days. But a link may be written long after the date that it bears, and
        # whoever relies on the date has to know until when nobody outside the agency had seen it.
        seen = inclusion.checkpoint.reached_at
        if seen is not None and seen - event.at > LATE:
            self.late[path] = seen - event.at
        other = self.places.setdefault(inclusion.index, path)
        check.demand(other == path, path, "custody.entry_twice", f"this event has the same log entry as {other}")
        return event

    def _lateness(self, folder: str) -> str:
        """Say which events below a folder bear a date long before witnesses saw them; nothing where none does."""
        found = {path: seconds for path, seconds in self.late.items() if path.startswith(folder)}
        if not found:
            return ""
        worst = max(found, key=lambda path: found[path])
        return (
            f" {len(found)} of them may have been written later than they say: witnesses first saw {worst} "
            f"{found[worst] / 3600:.1f} hours after the date that it bears."
        )

    def _subjects(self, check: Recorder, rid: str, path: str, event: CustodyEvent, *, whole: bool) -> None:
        """An event's objects are this response's; the first event names all of them."""
        if event.action == "exported":
            names = {layout.SUBJECT_TAGMANIFEST, layout.SUBJECT_SEAL}  # an earlier export, whose files are not here
            same = {subject.name for subject in event.subjects} == names
            check.demand(same, path, "custody.subject", "an export names one bag and its seal")
            return
        manifest, sealed = self.manifests.get(rid), self.sealed.get(rid)
        if manifest is None or sealed is None:
            return  # named by check 6
        expected = {clip.name: clip.sha256 for clip in manifest.clips}
        expected[layout.SUBJECT_SEALED] = sealed.sealed
        expected[layout.SUBJECT_MANIFEST] = self.intake.digests[layout.manifest_path(rid)].sha256
        found = {subject.name: subject.sha256 for subject in event.subjects}
        check.demand(len(found) == len(event.subjects), path, "custody.subject", "this event names an object twice")
        for name, sha256 in found.items():
            same = expected.get(name) == sha256
            check.demand(same, path, "custody.subject", f"this event is about a {name} that is not the one in this bag")
        if whole:
            complete = set(found) == set(expected)
            check.demand(complete, path, "custody.incomplete", "the first event does not name everything that was collected")

    def _exports(self) -> None:
        """Check 8."""
        with self._check(8, "The export of this bag was logged", layout.SEAL) as check:
            self._needs_request()
            self._needs_directory()
            self._needs_keys()
            tags, seal = self.intake.read(layout.TAGMANIFEST), self.intake.read(layout.SEAL_ENVELOPE)
            subjects = set(layout.export_subjects(tags, seal))
            sealed_at = Seal.from_statement(dsse.Envelope.parse(seal).payload).at
            words: list[str] = []
            for rid in self.intake.responses:
                paths = {kind: layout.export_path(rid, kind) for kind in layout.EVENT_KINDS}
                prev, last = self.chain_ends.get(rid, ("", 0))
                if not prev:
                    check.problem(paths["dsse.json"], "export.chain", "the custody chain that leads to this export is broken")
                    continue
                event = self._event(check, rid, paths, prev, max(last, sealed_at))
                if event is not None:
                    self._export(check, paths["dsse.json"], event, subjects)
                    to = f" to {event.recipient}" if event.recipient else ""
                    words.append(f"{rid[:8]} on {utc(event.at)}{to} ({event.purpose})")
            strays = {name for name in self.intake.names if name.startswith("seal/export-")}
            strays -= {
                layout.export_path(rid, kind) for rid in self.intake.responses for kind in ("dsse.json", "nonce", "tlog-proof")
            }
            for name in sorted(strays):
                check.problem(name, "export.stray", "the export of a response that is not in this bag")
            check.detail = f"Logged with witnesses before the bag left the agency: {'; '.join(words)}."
            check.detail += self._lateness("seal/")

    def _export(self, check: Recorder, path: str, event: CustodyEvent, subjects: Iterable[Subject]) -> None:
        check.demand(event.action == "exported", path, "export.action", "this event is not an export")
        same = len(event.subjects) == 2 and set(event.subjects) == set(subjects)
        check.demand(same, path, "export.subject", "the logged export is of another bag or seal")

    def _rules(self) -> None:
        """Check 9."""
        with self._check(9, "The request keeps the published rules", layout.REQUEST_ENTRY) as check:
            request = self._needs_request()
            directory = self._needs_directory()
            _, genesis = self._needs_keys()
            if self.inclusion is None or not self.signers:
                raise Missing("Not checked: the request's signatures or its place in the log are not proved (checks 3, 4).")
            below = self.inclusion.index
            record = self._record(request.agency, below)
            if record is None:
                raise Missing("Not checked: the agency is unknown (check 3).")
            standing = directory.policy("standing", request.at, below)
            allowed = directory.standing(request.at, below)
            allow = (
                tuple(caps.Allowance(name, standing.at, standing.effective_at) for name in sorted(allowed)) if standing else ()
            )
            agency = caps.AgencyFacts(
                agency=record.authorized.agency,
                state=record.authorized.state,
                federal=record.authorized.federal,
                active=not record.suspended and request.at < record.authorized.expires,
                jurisdiction=record.authorized.jurisdiction,
                officer_keys=tuple(key.kid for key in record.officers(request.at)),
            )
            policy = caps.HubPolicy(genesis.state, allow, genesis.notice_seconds)
            # A verifier comes years later: the rules are those of the moment when the officers signed.
            verdict = caps.check_published(request, signers=self.signers, agency=agency, now=request.at, policy=policy)
            for violation in verdict.violations:
                text = violation.message + (f" ({violation.evidence})" if violation.evidence else "")
                check.problem(layout.REQUEST_ENTRY, violation.rule, text)
            flags = ", ".join(flag.rule for flag in verdict.flags)
            check.detail = "Area, window, offence, wording and signatures are within the rules that hub and homes apply."
            if flags:
                check.detail += f" It carries these marks: {flags}."

    def _promises(self) -> None:
        """Check 10."""
        with self._check(10, "The hub's promises fit", "bag/data") as check:
            paths = [(rid, layout.promise_path(rid)) for rid in self.intake.responses]
            present = [(rid, path) for rid, path in paths if path in self.intake.names]
            check.detail = "The bag holds no promise of receipt by the hub; none is needed."
            if present and self.trust is None:
                raise Missing("Not checked: the hub's key could not be established (check 5).")
            for rid, path in present:
                if self.trust is None:
                    break
                try:
                    envelope = dsse.Envelope.parse(self.intake.read(path))
                    promise = Promise.parse(envelope.verify(dsse.RECEIPT, PublicKey(self.trust.hub_key)))
                    _require(promise.response_id == rid, "promise.response", "the hub promised receipt of another response")
                    sealed = self.sealed.get(rid)
                    same = sealed is None or promise.sealed == sealed.sealed
                    _require(same, "promise.sealed", "the hub promised receipt of another ciphertext")
                except ProtocolError as error:
                    check.refuse(path, error)
            if present:
                check.detail = f"The hub signed that it received {len(present)} of {len(paths)} responses, as these very bytes."


def included(policy: Policy, ledger: str, proof: bytes, leaf: bytes) -> VerifiedInclusion:
    """Verify that `leaf` stands in the ledger with this key, under the policy's quorum; raises ProtocolError."""
    found = TlogProof.parse(proof).verify(policy, leaf)
    if found.checkpoint.log != VerifierKey.parse(ledger):
        raise ProtocolError("proof.other_log", "the proof is of another log", evidence=found.checkpoint.log.name)
    return found


def _require(truth: bool, code: str, text: str) -> None:
    if not truth:
        raise ProtocolError(code, text)


def _at(payload: bytes) -> int:
    """Return the time of a directory entry, also of one whose version is unknown; raises ProtocolError."""
    at = canonical.decode(payload).get("at")
    if isinstance(at, bool) or not isinstance(at, int):
        raise ProtocolError("directory.time", "a directory entry has no time")
    return at


def nonce_of(data: bytes) -> bytes:
    """Read a nonce file: 64 lower-case hex digits and a newline; raises ProtocolError."""
    try:
        nonce = bytes.fromhex(data[:64].decode("ascii"))
    except ValueError as error:
        raise ProtocolError("custody.nonce", "a nonce file holds 64 hex digits and a newline") from error
    if nonce.hex().encode() + b"\n" != data or len(nonce) != 32:
        raise ProtocolError("custody.nonce", "a nonce file holds 64 hex digits and a newline")
    return nonce
