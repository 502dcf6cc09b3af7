"""Keys under hold: a declined response waits out its 30 days under a key that only a logged demand releases (design.md 9.10).

While a response is declined its key is wrapped to the hold key and to nothing else, the console's own included; `place`
writes the legal hold or the defence's demand into custody first and only then gives the key back.
"""

from fairwitness_core.crypto import seal
from fairwitness_core.rules import states
from fairwitness_core.wire import canonical

from fairwitness.agency.errors import missing
from fairwitness.agency.models import Hold, Officer, Response, Touch
from fairwitness.agency.services import evidence, node, officers
from fairwitness.kit import clock, database, files
from fairwitness.kit.errors import Refused

KINDS = ("legal_hold", "defence_preservation")
_REFERENCE_MAX = 120


def lock_key(response: Response) -> None:
    """Move a response's key under the hold key; from here on nothing opens it. Harmless to repeat."""
    open_key = node.key_file("responses", response.id)
    if open_key.exists():
        wrapped = seal.seal_bytes(node.get_secret(open_key), [seal.recipient_of(node.hold_identity())])
        files.write_atomic(node.hold_file(response.id), wrapped)
    node.shred(open_key)


def place(officer: Officer, response: Response, kind: str, reference: str, purpose: str) -> Hold:
    """Keep a response from destruction, and give its key back if it was declined. Logged first.

    `reference`: the order's or demand's own name. Raises NotYetLogged, Refused.
    """
    officers.need(officer, "supervisor")
    canonical.check_text(reference, "reference")
    if kind not in KINDS or not 0 < len(reference.encode()) <= _REFERENCE_MAX:
        raise Refused(400, "hold.form", "Name a legal_hold or a defence_preservation, and its reference.")
    response.refresh_from_db()
    if response.state == "destroyed":
        raise Refused(410, "evidence.destroyed", "This response is destroyed; there is nothing left to hold.")
    before = Hold.objects.filter(response=response, kind=kind, reference=reference, lifted_at=None).first()
    if before is None:
        found = evidence.fresh_touch(officer, response, "held", evidence.whole(f"{kind} {reference}: {purpose}"))
        before = _placed(found, officer, kind, reference)
        response.refresh_from_db()
    if response.state == "held":
        give_back(response)  # after the rows, also when it is asked again: a declined one's key never lies open
    return before


def lift(officer: Officer, held: Hold, purpose: str) -> Hold:
    """End a hold; a declined response goes back under the hold key, its 30 days as they stood. Logged first."""
    officers.need(officer, "supervisor")
    held.refresh_from_db()
    if held.lifted_at is not None:
        return held
    response = held.response
    words = evidence.whole(f"{held.kind} {held.reference} ends: {purpose}")
    found = evidence.fresh_touch(officer, response, "released", words)
    if response.state == "held" and not Hold.objects.filter(response=response, lifted_at=None).exclude(pk=held.pk).exists():
        lock_key(response)
    return _lifted(found, held)


def give_back(response: Response) -> None:
    """Move a response's key from under the hold key. Harmless to repeat; nothing happens where it is not there."""
    path = node.hold_file(response.id)
    if path.exists():
        node.put_secret(node.key_file("responses", response.id), seal.open_bytes(files.read_secret(path), [node.hold_identity()]))
    node.shred(path)


@database.durable
def _placed(found: Touch, officer: Officer, kind: str, reference: str) -> Hold:
    response = Response.objects.select_for_update().get(pk=found.record.response_id)
    if response.state == "declined":
        response.state = states.advance(states.EVIDENCE, response.state, "hold")
        response.save()
    evidence.finish(found)
    return Hold.objects.create(response=response, kind=kind, reference=reference, placed_by=officer, placed_at=clock.now())


@database.durable
def _lifted(found: Touch, held: Hold) -> Hold:
    now = clock.now()
    Hold.objects.filter(pk=held.pk).update(lifted_at=now)
    response = Response.objects.select_for_update().get(pk=held.response_id)
    if response.state == "held" and not Hold.objects.filter(response=response, lifted_at=None).exists():
        response.state = states.advance(states.EVIDENCE, response.state, "release")
        response.save()
    evidence.finish(found)
    held.refresh_from_db()
    return held


def get(pk: int) -> Hold:
    """Return a hold. Raises Refused."""
    found = Hold.objects.select_related("response").filter(pk=pk).first()
    if found is None:
        raise missing("hold")
    return found
