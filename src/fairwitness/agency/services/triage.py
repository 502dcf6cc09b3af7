"""Accept or decline; and what nobody has decided on yet is asked for again, never forgotten (design.md 9.10)."""

from django.db import transaction
from django.db.models import QuerySet
from fairwitness_core.rules import retention, states
from fairwitness_core.wire import canonical

from fairwitness.agency.errors import NotYetLogged, missing
from fairwitness.agency.models import Hold, Mark, Notice, Officer, Response, Touch
from fairwitness.agency.services import cases, custody, evidence, hold, node, officers, status, vault
from fairwitness.kit import clock, database
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

_DECIDERS = ("officer", "supervisor", "technician")
REASONS = {
    "not_shown": "it does not show what was asked about",
    "other_time": "it shows another time than the one asked about",
    "other_place": "it shows another place than the one asked about",
    "unclear": "too little can be made out",
    "duplicate": "the same was given by another answer",
    "too_private": "it shows more of other people than the case needs",
    "solved": "the case does not need it any more",
}
"""Why a response is declined: the code that custody holds, and the words that its owner is told."""
_WORDS_MAX = 120
_SCRUB = "scrub"
_PATIENCE_S = 86400  # how long a destruction that is due waits for a hub that does not log it


def accept(officer: Officer, response: Response, purpose: str) -> Response:
    """Take a response into the case. Logged first; asking again while it is being logged is how to wait.

    Raises NotYetLogged, Refused, ProtocolError `state.illegal`.
    """
    return _decide(officer, response, ("accept", "accepted"), purpose)


def decline(officer: Officer, response: Response, purpose: str, *, reason: str = "", words: str = "") -> Response:
    """Refuse a response: from then on nobody here can open it, and after 30 days key and bytes are destroyed.

    `reason`: one of REASONS, which with `words` (one line more) goes into custody and to the owner. Logged first. Raises
    NotYetLogged, Refused, ProtocolError `state.illegal`.
    """
    why = ""
    if reason or words:
        if reason not in REASONS:
            raise Refused(400, "decline.reason", "Choose why this answer is declined.")
        canonical.check_text(words, "words")
        words = words.strip().rstrip(".")
        if "\n" in words or len(words.encode()) > _WORDS_MAX:
            raise Refused(400, "decline.words", f"Explain in one line of at most {_WORDS_MAX} bytes.")
        why = f"Declined because {REASONS[reason]}{f': {words}' if words else ''}. "
        purpose = evidence.whole(f"{reason}{f' ({words})' if words else ''}: {purpose}")
    return _decide(officer, response, ("decline", "declined"), purpose, why)


def _decide(officer: Officer, response: Response, act: tuple[str, str], purpose: str, why: str = "") -> Response:
    event, action = act
    officers.need(officer, *_DECIDERS)
    response.refresh_from_db()
    if response.state == action and _done(officer, response, action, purpose):
        return response  # asked again after it was done
    states.advance(states.EVIDENCE, response.state, event)
    found = evidence.fresh_touch(officer, response, action, purpose)
    response.refresh_from_db()
    states.advance(states.EVIDENCE, response.state, event)
    if event == "decline":
        hold.lock_key(response)
    else:
        hold.give_back(response)  # a decline that was cut off before it was done may have moved the key
    _apply(found, event, why)
    response.refresh_from_db()
    return response


def _done(officer: Officer, response: Response, action: str, purpose: str) -> bool:
    key = evidence.touch_key(officer, response, evidence.Act(action, purpose))
    return Touch.objects.filter(key=key).exclude(done_at=None).exists()


@database.durable
def _apply(found: Touch, event: str, why: str) -> None:
    response = Response.objects.select_for_update().get(pk=found.record.response_id)
    now = clock.now()
    response.state = states.advance(states.EVIDENCE, response.state, event)
    response.decided_at = now
    if event == "decline":
        response.destroy_at = retention.declined_due(now)
        status.push(response, "declined", f"{why}Nobody at the agency can open it any more. It is destroyed after 30 days.")
    else:
        status.push(response, "accepted")
    response.save()
    evidence.finish(found)


def escalate(now: int) -> int:
    """Remind, two and five days on, of responses that nobody decided on. They are never destroyed by neglect."""
    count = 0
    for response in Response.objects.filter(state="collected"):
        level = retention.triage_level(response.collected_at, now)
        if level > response.triage_level:
            with transaction.atomic():
                Response.objects.filter(pk=response.pk).update(triage_level=level)
                Notice.objects.get_or_create(
                    kind="untriaged", request=response.request, response=response, level=level, defaults={"at": now}
                )
            count += 1
    for response in Response.objects.filter(until__lte=now).exclude(state__in=("declined", "destroyed", "quarantined")):
        Notice.objects.get_or_create(
            kind="consent_over", request=response.request, response=response, level=0, defaults={"at": now}
        )
    return count


def destroy_due(now: int) -> int:
    """Destroy key and bytes of declined responses whose 30 days are over and that no hold keeps. Returns how many.

    Logged first. A hub that will not log it for a day does not keep what the owner was promised is gone: then it is
    destroyed, and its link goes to the ledger when the ledger can be reached.
    """
    due = Response.objects.filter(state="declined", destroy_at__lte=now).exclude(
        pk__in=Hold.objects.filter(lifted_at=None).values("response_id")
    )
    count = 0
    for response in due:
        link = response.custody.filter(action="destroyed").first() or custody.record_alone(
            response, "destroyed", purpose="declined 30 days ago", subjects=custody.subjects_of(response)
        )
        try:
            custody.prove(link)
        except (NotYetLogged, Refused):
            if now < (response.destroy_at or now) + _PATIENCE_S:
                continue
        destroy(response, now)
        count += 1
    # Raises while others hold the database, and on PostgreSQL is the owner's to do: the mark stays till it is done.
    if Mark.objects.filter(name=_SCRUB).exists() and database.scrub():
        scrubbed()
    if count:
        log(Event.EVIDENCE_DESTROYED, count=count)
    return count


def scrubbed() -> None:
    """Note that nothing of destroyed rows is left in the database's own files."""
    Mark.objects.filter(name=_SCRUB).delete()


def destroy(response: Response, now: int) -> None:
    """Destroy the key first, then the bytes, then what the rows say of them."""
    node.shred(node.hold_file(response.id))
    node.shred(node.key_file("responses", response.id))
    vault.destroy(response.id)
    _forget(response, now)


@database.durable
def _forget(response: Response, now: int) -> None:
    Mark.objects.update_or_create(name=_SCRUB, defaults={"value": now})
    response.clips.all().delete()
    response.state = states.advance(states.EVIDENCE, "declined", "destroy")
    response.destroyed_at = now
    response.manifest_sha256 = ""
    response.manifest_size = 0
    response.save()
    status.push(response, "declined", "The agency's copy and its key were destroyed.")


def notices(officer: Officer) -> QuerySet[Notice]:
    """Return what of an officer's cases has not been seen yet, the newest first."""
    return _notices(officer).filter(seen_at=None)


def seen(officer: Officer, notice_id: int) -> Notice:
    """Mark a notice as seen and return it; one of another's case looks like none. Raises Refused."""
    officers.need(officer, *_DECIDERS)
    found = _notices(officer).filter(pk=notice_id).first()
    if found is None:
        raise missing("notice")
    Notice.objects.filter(pk=found.pk).update(seen_at=clock.now())
    return found


def _notices(officer: Officer) -> QuerySet[Notice]:
    found = Notice.objects.select_related("request__case", "response")
    return found if officer.user.role in cases.SEE_ALL else found.filter(request__case__in=cases.listing(officer))
