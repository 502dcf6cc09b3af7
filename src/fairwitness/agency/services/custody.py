"""The chain of custody: what happened to each response, signed by the agency and committed in the sealed ledger.

`record` writes a link. `prove` is the gate: it returns only when the link's commitment stands in the pinned hub's sealed
ledger under a quorum of the pinned witnesses, and the proof is stored here. Nobody but the agency and those it shows them
to can read the events; nobody can remove one without the chain showing it (protocol.md 6.2; design.md 9.4, 9.10).
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

from django.db import transaction
from fairwitness_core.crypto import random
from fairwitness_core.model.custody import CustodyEvent, Subject, commitment
from fairwitness_core.tlog.policy import CosignedCheckpoint
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.errors import NotYetLogged, unlogged
from fairwitness.agency.models import CustodyRecord, Officer, Response
from fairwitness.agency.services import hubcalls, node
from fairwitness.kit import clock, database
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, error_code, log

MANIFEST = "manifest.dsse.json"
SEALED = "sealed"
SYSTEM = "system"
NO_PURPOSE = "kept by the node itself"
UNKNOWN_REQUEST = "0" * 32
UNKNOWN_CASE = "unknown"
_BATCH = 256
_PAUSE = 0.2
_SKEW = 300  # seconds by which a witness's clock may be behind ours


def subjects_of(response: Response, *, sealed: bool = False, clips: bool = True) -> tuple[Subject, ...]:
    """Return the objects of a response by name and hash, as custody events name them."""
    found = []
    if sealed or not response.manifest_sha256:
        found.append(Subject(name=SEALED, sha256=response.sealed))
    if response.manifest_sha256:
        found.append(Subject(name=MANIFEST, sha256=response.manifest_sha256))
    if clips:
        found += [Subject(name=clip.name, sha256=clip.sha256) for clip in response.clips.all()]
    return tuple(found)


def record(
    response: Response,
    action: str,
    *,
    purpose: str,
    subjects: Sequence[Subject],
    officer: Officer | None = None,
    recipient: str | None = None,
) -> CustodyRecord:
    """Write the next link of a response's chain. MUST run inside a transaction, which makes it and its act one.

    The link names the SHA-256 of the one before, so none can be lost or moved later. It is not logged yet.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a custody record is written in the transaction of its act")
    last = CustodyRecord.objects.filter(response=response).order_by("-number").first()
    request = response.request
    event = CustodyEvent(
        agency=node.agency_id(),
        actor=officer.actor if officer else SYSTEM,
        action=action,
        request_id=request.id if request else UNKNOWN_REQUEST,
        response_id=response.id,
        case=request.case.number if request else UNKNOWN_CASE,
        purpose=purpose,
        subjects=tuple(subjects),
        prev=last.sha256 if last else "0" * 64,
        at=max(clock.now(), last.at if last else 0),
        recipient=recipient,
    )
    envelope = dsse.sign(dsse.STATEMENT, event.to_statement(), node.agency_key()).encode()
    nonce = random.token_bytes(32)
    return CustodyRecord.objects.create(
        response=response,
        number=last.number + 1 if last else 1,
        action=action,
        actor=event.actor,
        at=event.at,
        envelope=envelope,
        sha256=hashlib.sha256(envelope).hexdigest(),
        nonce=nonce,
        commitment=commitment(nonce, envelope),
    )


def prove(link: CustodyRecord) -> CustodyRecord:
    """Return the link once it is proven. On return the pinned quorum saw a ledger that holds its commitment.

    Earlier links of the same response are handed to the ledger with it. Raises NotYetLogged while the ledger has not
    flushed, Refused `custody.unlogged` when the hub cannot be reached, refuses or shows a false proof. Never waits.
    """
    link.refresh_from_db()
    if link.state == "proven":
        return link
    before = CustodyRecord.objects.filter(response_id=link.response_id, number__lte=link.number, state="pending")
    try:
        submit(before)
        if not _ask(link):
            raise NotYetLogged(link.pk, _retry_after())
    except ProtocolError as error:
        log(Event.MESSAGE_REFUSED, kind="sealed_proof", code=error.code)
        raise unlogged(f"the ledger's proof does not hold ({error.code})") from error
    except hubcalls.HubRefused as error:
        raise unlogged(f"the hub refused it ({error.code})") from error
    except hubcalls.HubUnreachable as error:
        raise unlogged("the hub cannot be reached") from error
    link.refresh_from_db()
    return link


def submit(links: Iterable[CustodyRecord]) -> None:
    """Hand commitments to the sealed ledger; again is harmless. Raises HubRefused, HubUnreachable."""
    waiting = list(links)
    for start in range(0, len(waiting), _BATCH):
        part = waiting[start : start + _BATCH]
        hubcalls.call("sealed_append", {"commitments": [hubcalls.b64(bytes(link.commitment)) for link in part]})
        CustodyRecord.objects.filter(pk__in=[link.pk for link in part], state="pending").update(state="submitted")


def settle() -> int:
    """Hand in what is pending, fetch the proofs that are missing, and return how many still are. The beat's job."""
    submit(CustodyRecord.objects.filter(state="pending").order_by("pk"))
    left = 0
    for link in CustodyRecord.objects.filter(state="submitted").order_by("pk"):
        try:
            left += not _ask(link)
        except ProtocolError as error:
            log(Event.MESSAGE_REFUSED, kind="sealed_proof", code=error.code)
            left += 1
    return left


def verify(link: CustodyRecord, proof: bytes) -> CosignedCheckpoint:
    """Check a proof for exactly this link; raises ProtocolError.

    1. the proof is of this link's commitment in the pinned sealed ledger, under the pinned quorum; 2. the commitment is that
    of the stored envelope and nonce; 3. the quorum saw it no earlier than the event (an older proof speaks of something else).
    """
    # 2. first: it needs no foreign bytes.
    if commitment(bytes(link.nonce), bytes(link.envelope)) != bytes(link.commitment):
        raise ProtocolError("custody.commitment", "the stored commitment is not that of the stored event")
    # 1.
    found = hubcalls.verify_sealed(proof, bytes(link.commitment)).checkpoint
    # 3.
    if found.fresh_at is not None and found.fresh_at < link.at - _SKEW:
        raise ProtocolError("custody.stale", "the proof is older than the event", evidence=str(found.fresh_at))
    return found


def _ask(link: CustodyRecord) -> bool:
    """Fetch, verify and store one proof; tell whether it was there."""
    try:
        answer = hubcalls.call("sealed_proof", {"commitment": hubcalls.b64(bytes(link.commitment))})
    except hubcalls.HubRefused as error:
        if error.status == 404:
            return False
        raise
    proof = hubcalls.text_of(answer, "proof").encode()
    verify(link, proof)
    index = hubcalls.number_of(answer, "index")
    CustodyRecord.objects.filter(pk=link.pk).update(state="proven", proof=proof, index=index)
    return True


def _retry_after() -> int:
    return min(node.settings().prove_seconds, 5)


def chain(response: Response) -> list[CustodyRecord]:
    """Return a response's links in order."""
    return list(CustodyRecord.objects.filter(response=response).order_by("number"))


def wait[T](act: Callable[[], T], seconds: float, *, pause: Callable[[float], None] = time.sleep) -> T:
    """Repeat a gated act until it is logged, for command lines and the demo; no web worker calls this.

    Raises what `act` raises; NotYetLogged when `seconds` are over.
    """
    for _ in range(int(seconds / _PAUSE)):
        try:
            return act()
        except NotYetLogged:
            pause(_PAUSE)
    return act()


@database.durable
def record_alone(response: Response, action: str, *, purpose: str, subjects: Sequence[Subject]) -> CustodyRecord:
    """Write a link that the node itself makes, as a transaction of its own."""
    return record(response, action, purpose=purpose, subjects=subjects)


def try_settle() -> None:
    """Hand in and fetch what can be, leaving the rest to the beat: a collected response must not wait for a slow hub."""
    try:
        settle()
    except Refused as error:
        log(Event.JOB_FAILED, job="custody", error=error_code(error), failures=1, retry_in=node.settings().prove_seconds)
