"""Notes, markers and derived clips on a piece of evidence: the agency's own words, beside an original that nobody touches.

Nothing is edited or removed: what no longer holds is struck, with who did it and why. Each act stands in the agency's audit;
custody has no event for them, because nothing is opened. Downloading a derived clip opens the original and is custody's.
"""

from collections.abc import Iterator

from django.db import transaction
from django.db.models import QuerySet
from fairwitness_core.wire import canonical

from fairwitness.agency.errors import missing
from fairwitness.agency.models import Annotation, Case, Officer, Response, Touch
from fairwitness.agency.services import audit, cases, evidence, looking, officers, story
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

KINDS = ("note", "marker", "clip")
_TEXT_MAX = 2000
_TITLE_MAX = 120
_REASON_MAX = 300
_LONGEST_MS = 24 * 3600 * 1000
_SHORTEST_MS = 200


def add(
    officer: Officer,
    response: Response,
    kind: str,
    text: str,
    *,
    clip: str = "",
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Annotation:
    """Write a note (of the whole, or at a moment), a marker (at a moment) or a clip (from, to, title). Raises Refused."""
    _need(officer, response)
    text = text.strip().replace("\r\n", "\n")
    most = _TEXT_MAX if kind == "note" else _TITLE_MAX
    canonical.check_text(text.replace("\n", " "), "text")
    if kind not in KINDS:
        raise Refused(400, "annotation.kind", "This is a note, a marker or a clip.")
    if not text or len(text) > most or (kind != "note" and "\n" in text):
        raise Refused(400, "annotation.text", f"Write between 1 and {most} characters; a marker or a title is one line.")
    if clip and not response.clips.filter(name=clip).exists():
        raise missing("clip")
    _check_times(kind, clip, start_ms, end_ms)
    with transaction.atomic():
        made = Annotation.objects.create(
            response=response, kind=kind, clip=clip, start_ms=start_ms, end_ms=end_ms, text=text, officer=officer, at=clock.now()
        )
        audit.note(officer, f"evidence.{kind}_added", _subject(response), case=_case(response), words=f"{kind} {made.pk}")
    return made


def strike(officer: Officer, response: Response, pk: int, words: str) -> Annotation:
    """Strike one through; it stays readable, with who struck it and why. A second time changes nothing. Raises Refused."""
    _need(officer, response)
    words = words.strip()
    canonical.check_text(words, "reason")
    if not words or len(words) > _REASON_MAX:
        raise Refused(400, "annotation.reason", f"Say in at most {_REASON_MAX} characters why it no longer holds.")
    with transaction.atomic():
        found = of(response, pk)
        fresh = Annotation.objects.filter(pk=pk, struck_at=None).update(
            struck_at=clock.now(), struck_by=officer, struck_words=words
        )
        if fresh:
            audit.note(officer, f"evidence.{found.kind}_struck", _subject(response), case=_case(response), words=f"{pk}: {words}")
    found.refresh_from_db()
    return found


def listing(response: Response) -> QuerySet[Annotation]:
    """Return everything written about a response, struck or not, in order."""
    return Annotation.objects.filter(response=response).select_related("officer__user", "struck_by__user")


def of(response: Response, pk: int) -> Annotation:
    """Return one of a response's. Raises Refused."""
    found = Annotation.objects.filter(pk=pk, response=response).first()
    if found is None:
        raise missing("note")
    return found


def order(officer: Officer, response: Response, pk: int, purpose: str) -> Touch:
    """Log the download of a derived clip as what it is, a download of a part of the original. Same gate.

    The custody link names the original, the part and the purpose. Raises NotYetLogged, Refused.
    """
    found = _derived(response, pk)
    evidence.check_purpose(purpose)
    return evidence.touch(officer, response, "downloaded", evidence.whole(f"{part(found)}: {purpose}"), target=found.clip)


def render(officer: Officer, touch: Touch, pk: int) -> Iterator[bytes]:
    """Return the bytes of a derived clip, cut from the original now, by the proven touch that `order` made for this part.

    Raises Refused, ProtocolError.
    """
    found = _derived(touch.record.response, pk)
    if touch.target != found.clip or not story.purpose_of(touch.record).startswith(f"{part(found)}: "):
        raise missing("clip")
    return looking.cut(officer, touch, (found.start_ms or 0) / 1000, (found.end_ms or 0) / 1000)


def part(found: Annotation) -> str:
    """Return how custody names a derived clip."""
    return f"part {(found.start_ms or 0) / 1000:.3f} s to {(found.end_ms or 0) / 1000:.3f} s"


def _derived(response: Response, pk: int) -> Annotation:
    found = of(response, pk)
    if found.kind != "clip":
        raise missing("clip")
    return found


def _check_times(kind: str, clip: str, start_ms: int | None, end_ms: int | None) -> None:
    timed = start_ms is not None
    if kind != "note" and not (clip and timed):
        raise Refused(
            400, "annotation.moment", "Choose the clip and the moment.", "Move the player to it, then press the button."
        )
    if (kind == "clip") != (end_ms is not None) or (timed and not clip):
        raise Refused(400, "annotation.moment", "A clip has a beginning and an end; a note or marker has one moment.")
    if start_ms is not None and not 0 <= start_ms <= _LONGEST_MS:
        raise Refused(400, "annotation.moment", "That moment lies outside the clip.")
    if start_ms is not None and end_ms is not None and not start_ms + _SHORTEST_MS <= end_ms <= _LONGEST_MS:
        raise Refused(400, "annotation.moment", "A clip ends after it begins.", "Move the right handle.")


def _need(officer: Officer, response: Response) -> None:
    officers.need(officer, *cases.STAFF)
    if response.request is None:
        raise missing("response")
    cases.need_member(officer, response.request.case)
    if response.state in ("quarantined", "destroyed", "declined"):
        raise Refused(409, "evidence.state", f"This response is {response.state}; nothing is written about it any more.")


def _case(response: Response) -> Case | None:
    return response.request.case if response.request else None


def _subject(response: Response) -> str:
    return f"response {response.id}"
