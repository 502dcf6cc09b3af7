"""The one place that opens evidence, and the gate before it: log first, then open (design.md 2, 9.10; P8).

Every act on a response is a *touch*: a custody link written, committed in the sealed ledger and proven to us, before anything
is decrypted, changed or handed out. No other module reads a response's key.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import BinaryIO

from fairwitness_core.crypto import random
from fairwitness_core.crypto.segments import SUFFIX, SegmentReader
from fairwitness_core.model.response import Manifest, StepForward, verify_responder
from fairwitness_core.rules import wording
from fairwitness_core.wire import canonical
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.errors import by_rules, missing
from fairwitness.agency.models import CustodyRecord, Officer, Response, Touch
from fairwitness.agency.services import cases, custody, node, officers, status, vault
from fairwitness.kit import clock, database
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

MANIFEST = custody.MANIFEST
OPENING = ("viewed", "opened", "downloaded")
_STAFF = ("officer", "supervisor", "technician")
_HELD_STAFF = ("supervisor", "technician")
_READABLE = ("collected", "accepted", "exported")
_PURPOSE_MAX = 300


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done: the custody action, why, to which clip (empty for the whole), for whom (empty for nobody else)."""

    action: str
    purpose: str
    target: str = ""
    recipient: str = ""


def open_clip(officer: Officer, response: Response, clip: str, action: str, purpose: str) -> BinaryIO:
    """Open one clip (or MANIFEST) for reading at any place. THE choke point: see `touch` and `use`.

    Raises NotYetLogged (nothing was opened; ask again), Refused.
    """
    return use(officer, touch(officer, response, action, purpose, target=clip))


def read_manifest(officer: Officer, response: Response, purpose: str) -> Manifest | StepForward:
    """Return what the owner signed: statement, times, gaps, and who they are where they said so. Same gate."""
    return signed_words(officer, touch(officer, response, "viewed", purpose, target=MANIFEST))


def signed_words(officer: Officer, found: Touch) -> Manifest | StepForward:
    """Return what the owner signed, by a proven touch of the manifest. Raises Refused, ProtocolError."""
    with use(officer, found) as stream:
        envelope = stream.read()
    if found.record.response.about:
        return verify_responder(StepForward, envelope)
    return verify_responder(Manifest, envelope)


def touch(
    officer: Officer,
    response: Response,
    action: str,
    purpose: str,
    *,
    target: str = "",
    recipient: str | None = None,
) -> Touch:
    """Write the custody link of one act, if it is not written yet, and return its touch once the link is proven.

    Asking again within `touch_minutes` finds the same link. On return: 1. the officer may do this to a response in this
    state; 2. the purpose is stated and not a forbidden one; 3. the link stands in the pinned sealed ledger under the pinned
    quorum. Raises NotYetLogged, Refused.
    """
    # 1.
    response.refresh_from_db()
    _may(officer, response, action, target)
    # 2.
    check_purpose(purpose)
    act = Act(action, purpose, target, recipient or "")
    found = _touch(officer, response, act)
    # 3.
    custody.prove(found.record)
    return found


def fresh_touch(officer: Officer, response: Response, action: str, purpose: str) -> Touch:
    """Return a proven touch that no earlier act has used up: done, undone and done again is three links in custody."""
    key = touch_key(officer, response, Act(action, purpose))
    Touch.objects.filter(key=key, expires_at__gt=clock.now()).exclude(done_at=None).update(expires_at=clock.now())
    return touch(officer, response, action, purpose)


def whole(words: str) -> str:
    """Return what custody is to say if it fits; a cut could drop the very order that it rests on. Raises Refused."""
    if len(words.encode()) > _PURPOSE_MAX:
        raise Refused(400, "purpose.long", "Case, order and purpose are too long together.", f"At most {_PURPOSE_MAX} bytes.")
    return words


def use(officer: Officer, found: Touch) -> BinaryIO:
    """Open what a proven touch names, for the officer who made it, while it is fresh. Raises Refused, ProtocolError.

    On return: 1. the touch is this officer's, of an opening kind, and not older than `touch_minutes`; 2. its stored proof
    holds, checked again now: for this very event, in the pinned ledger, under the quorum; 3. the state still allows it.
    """
    # 1.
    link = CustodyRecord.objects.select_related("response").get(pk=found.record_id)
    if found.officer_id != officer.pk:
        raise missing("touch")
    if link.action not in OPENING or clock.now() >= found.expires_at:
        raise Refused(409, "touch.over", "This was logged too long ago, or for another act.", "State the purpose again.")
    # 2.
    if link.state != "proven" or link.proof is None:
        raise Refused(409, "custody.unlogged", "This is not logged yet, so nothing was opened.", "Ask again in a moment.")
    custody.verify(link, bytes(link.proof))
    # 3.
    _may(officer, link.response, link.action, found.target)
    stream = _decrypt(link.response, found.target)
    log(Event.EVIDENCE_OPENED, record=link.pk)
    return stream


def finish(found: Touch) -> None:
    """Mark that the act of a touch was done, inside the transaction that did it."""
    Touch.objects.filter(pk=found.pk, done_at=None).update(done_at=clock.now())


def opened_for_export(response: Response, name: str, link: CustodyRecord) -> BinaryIO:
    """Open a clip or the manifest for a bag whose `exported` link is proven. Raises Refused, ProtocolError."""
    if link.action != "exported" or link.response_id != response.id or link.state != "proven" or link.proof is None:
        raise Refused(409, "custody.unlogged", "The export is not logged yet, so nothing was opened.")
    custody.verify(link, bytes(link.proof))
    return _decrypt(response, name)


def compare(response: Response) -> int:
    """Open all clips of a response in a restored copy, compare each with its hash, and return how many there were.

    For restore drills: nothing is kept, shown or said of what they hold. Raises ProtocolError, Refused, OSError.
    """
    for clip in response.clips.all():
        digest = hashlib.sha256()
        with _decrypt(response, clip.name) as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
        if digest.hexdigest() != clip.sha256:
            raise ProtocolError("drill.clip", "a clip is not the one that was collected", evidence=f"{response.id} {clip.name}")
    return response.clips.count()


def seen_by(officer: Officer, pk: str) -> Response:
    """Return a response of a case that is this officer's business; another's looks like none. Raises Refused."""
    found = Response.objects.select_related("request__case").filter(pk=pk).first()
    if found is None or not may_see(officer, found):
        raise missing("response")
    return found


def may_see(officer: Officer, response: Response) -> bool:
    """Tell whether a response is this officer's business: by its case; without one, a supervisor's or technician's."""
    return cases.may_see(officer, response.request.case) if response.request else officer.user.role in cases.SEE_ALL


def get_touch(pk: str, officer: Officer) -> Touch:
    """Return an officer's own touch; another's looks like none. Raises Refused."""
    found = Touch.objects.select_related("record__response").filter(pk=pk, officer=officer).first()
    if found is None:
        raise missing("touch")
    return found


def check_purpose(purpose: str, *, other: bool = False, case: str = "") -> None:
    """Refuse a purpose that is empty, too long or forbidden; for use outside the case also one that says nothing (SG01)."""
    canonical.check_text(purpose, "purpose")
    if not purpose.strip() or "\n" in purpose or len(purpose.encode()) > _PURPOSE_MAX:
        raise Refused(400, "purpose.missing", "State the purpose in one line.", f"At most {_PURPOSE_MAX} bytes.")
    forbidden = wording.forbidden_purpose(purpose)
    violations = [forbidden] if forbidden else []
    if other:
        violations += [v for v in wording.check_reason(purpose, case=case) if v.rule != (forbidden.rule if forbidden else "")]
    if violations:
        raise by_rules(violations)


def use_in_case(officer: Officer, response: Response, *, case: str, purpose: str, recipient: str, sealed_by: str = "") -> Touch:
    """Let evidence serve another case than the one it was given for. Same gate.

    The owner agreed to this case only, so: a supervisor does it, naming purpose and recipient; the purpose passes the
    forbidden-purpose rules; it is logged first; and the owner's status says so, unless `sealed_by` names a court's order.
    """
    officers.need(officer, "supervisor")
    response.refresh_from_db()
    if response.state not in _READABLE:
        raise Refused(409, "evidence.state", f"This response is {response.state}; it serves no other case.")
    check_purpose(purpose, other=True, case=case)
    _name(recipient)
    order = f", sealed by {sealed_by}" if sealed_by else ""
    found = touch(officer, response, "released", whole(f"for case {case}{order}: {purpose}"), recipient=recipient)
    _used(found, "" if sealed_by else f"Used in another case, {case}, by {recipient}: {purpose}")
    return found


@database.durable
def _used(found: Touch, note: str) -> None:
    fresh = Touch.objects.select_for_update().get(pk=found.pk)
    if fresh.done_at is None:
        if note:
            response = fresh.record.response
            status.push(response, "exported" if response.exported else "accepted", note)
        finish(fresh)


def _name(recipient: str) -> None:
    if not recipient.strip() or len(recipient.encode()) > 120:
        raise Refused(400, "recipient.missing", "Name who receives it, in at most 120 bytes.")
    canonical.check_text(recipient, "recipient")


def check_recipient(recipient: str) -> None:
    """Refuse an empty or overlong recipient."""
    _name(recipient)


@database.durable
def _touch(officer: Officer, response: Response, act: Act) -> Touch:
    now = clock.now()
    key = touch_key(officer, response, act)
    found = Touch.objects.filter(key=key, expires_at__gt=now).order_by("-record").first()
    if found is not None:
        return found
    named = custody.subjects_of(response)
    if act.target:
        named = tuple(subject for subject in named if subject.name == act.target)
    link = custody.record(
        response, act.action, purpose=act.purpose, subjects=named, officer=officer, recipient=act.recipient or None
    )
    return Touch.objects.create(
        id=random.token_bytes(16).hex(),
        record=link,
        officer=officer,
        target=act.target,
        key=key,
        expires_at=now + node.settings().touch_minutes * 60,
    )


def touch_key(officer: Officer, response: Response, act: Act) -> str:
    """Name one act of one officer on one response, so that asking for it again finds it."""
    parts = [officer.actor, response.id, act.action, act.purpose, act.target, act.recipient]
    return hashlib.sha256(canonical.encode(parts)).hexdigest()


def _may(officer: Officer, response: Response, action: str, target: str) -> None:
    """Refuse what this officer may not do to a response in this state."""
    officers.need(officer, *_STAFF)
    if not may_see(officer, response):
        raise cases.stranger()
    if response.state in ("declined", "destroyed") and action not in ("held", "declined", "released"):
        raise Refused(
            410,
            f"evidence.{response.state}",
            f"This response was {response.state}; nobody here can open it.",
            "Only a logged legal hold or a defence's demand releases a declined one, within its 30 days.",
        )
    if response.state == "quarantined" and action != "declined":
        raise Refused(409, "evidence.quarantined", f"This response failed a check ({response.reason}) and is never shown.")
    if action in OPENING:
        if response.state == "held":
            officers.need(officer, *_HELD_STAFF)
        elif response.state not in _READABLE:
            raise Refused(409, "evidence.state", f"This response is {response.state}.")
        known = {MANIFEST, *response.clips.values_list("name", flat=True)}
        if target not in known:
            raise missing("clip")


def _decrypt(response: Response, name: str) -> BinaryIO:
    identity = node.get_secret(node.key_file("responses", response.id)).decode()
    raw = vault.open_file(response.id, f"{name}{SUFFIX}")
    return io.BufferedReader(SegmentReader(raw, [identity]), 1 << 16)
