"""An owner's answer, from draft to consent. Until `confirm` nothing but this machine knows of it, and then only after a delay."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.model.response import MAX_CLIPS, Identity
from fairwitness_core.wire import canonical

from fairwitness.home.config import Config
from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.models import Answer, AnswerClip, AnswerEvent, Recording
from fairwitness.home.services import masks, matching, requests, sources, tokens
from fairwitness.kit import clock, config, secrets_store

TERMS = (
    "The agency may use what you share for this case only, and keep it until the date that you set. "
    "Use in another case, or handing it on, is logged first and shown to you, unless a court has sealed it. "
    "Until the agency collects it you can take it back; afterwards you can ask for its deletion, and that is on record. "
    "Place, device and names are removed from the file; sound too, unless you keep it. What the picture shows stays: "
    "the viewpoint may tell which house it was taken from."
)
TERMS_SHA256 = hashlib.sha256(TERMS.encode()).hexdigest()
KEEP_DAYS = 365
MAX_KEEP_DAYS = 3650
MAX_GAPS = 64


@dataclass(frozen=True, slots=True)
class ClipChoice:
    """A stretch of one recording: seconds from its start, `end` None for all of the rest. Sound is removed unless said."""

    recording: int
    start: float
    end: float | None
    mute: bool = True


def get(answer_id: int) -> Answer:
    """Return one answer. Raises Refused."""
    found = Answer.objects.select_related("request", "token").filter(pk=answer_id).first()
    if found is None:
        raise unknown("answer")
    return found


def listing() -> list[Answer]:
    """Return all answers, newest first."""
    return list(Answer.objects.select_related("request").order_by("-pk"))


def draft(request_id: str, *, now: int | None = None) -> Answer:
    """Return the open draft for a request, or begin one: anonymous, muted, with every own stretch of the window chosen.

    An answer has room for MAX_CLIPS; where there are more, the first are chosen and `left_out` says how many are not.
    Raises Refused for a request that is withdrawn or has expired.
    """
    moment = clock.now() if now is None else now
    request = requests.get(request_id)
    requests.check_live(request, moment)
    found = Answer.objects.filter(request=request, kind="clips", state="draft").first()
    if found is not None:
        return found
    modes = matching.document(request).modes
    answer = Answer.objects.create(
        request=request,
        created_at=moment,
        mode="anonymous" if "anonymous" in modes else modes[0],
        until=moment + KEEP_DAYS * 86_400,
    )
    own = [piece for camera in matching.own_clips(request) for piece in camera.pieces]
    set_clips(answer.pk, [ClipChoice(piece.recording, piece.cut_start, piece.cut_end) for piece in own[:MAX_CLIPS]])
    return answer


def left_out(answer: Answer) -> int:
    """Return how many own stretches of the window an open draft does not hold, so that nothing is dropped unsaid."""
    if answer.state != "draft" or answer.kind != "clips":
        return 0
    chosen = set(answer.clips.values_list("recording_id", flat=True))
    return sum(piece.recording not in chosen for camera in matching.own_clips(answer.request) for piece in camera.pieces)


def _open_draft(answer_id: int) -> Answer:
    answer = get(answer_id)
    if answer.state != "draft":
        raise conflict("answer.sealed", _("This answer was already confirmed."), _("Withdraw it and begin another."))
    return answer


@transaction.atomic
def set_clips(answer_id: int, choices: Sequence[ClipChoice]) -> Answer:
    """Choose and trim the clips, in this order; none for a statement alone. Raises Refused."""
    answer = _open_draft(answer_id)
    if len(choices) > MAX_CLIPS:
        raise invalid("answer.clips", _("An answer has at most %(count)d clips.") % {"count": MAX_CLIPS})
    found = sources.recordings(choice.recording for choice in choices)
    answer.clips.all().delete()
    for position, choice in enumerate(choices):
        row = found[choice.recording]
        if row.start is None:
            raise conflict("recording.time", _("When was this recorded? Say so first; nothing is guessed."))
        _check_cut(row, choice)
        AnswerClip.objects.create(
            answer=answer,
            position=position,
            recording=row,
            camera=row.source.camera,
            masks=masks.polygons(row.source.camera),
            source_path=str(sources.path_of(row)),
            identity=row.identity,
            started=row.start,
            time_source=sources.wire_source(row),
            cut_start=choice.start,
            cut_end=choice.end,
            mute=choice.mute,
        )
    return answer


def _check_cut(row: Recording, choice: ClipChoice) -> None:
    if not math.isfinite(choice.start) or choice.start < 0 or (row.seconds and choice.start >= row.seconds):
        raise invalid("answer.cut", _("The clip begins outside of the recording."))
    if choice.end is not None and (not math.isfinite(choice.end) or choice.end <= choice.start):
        raise invalid("answer.cut", _("The clip ends before it begins."))


def set_mode(answer_id: int, mode: str, *, name: str = "", contact: str = "") -> Answer:
    """Answer anonymously, or with a name and a contact that only the agency can read. Raises Refused, ProtocolError."""
    answer = _open_draft(answer_id)
    if mode not in matching.document(answer.request).modes:
        raise invalid("answer.mode", _("This request does not take such an answer."))
    answer.mode = mode
    answer.identity = None
    if mode == "identified":
        identity = Identity(name=name.strip(), contact=contact.strip())
        answer.identity = secrets_store.wrap(canonical.encode(identity.to_json()))
    answer.save()
    return answer


def set_statement(answer_id: int, text: str) -> Answer:
    """Write what the owner saw or wants to say. Raises Refused, ProtocolError."""
    answer = _open_draft(answer_id)
    canonical.check_text(text)
    if len(text.encode()) > 4000:
        raise invalid("answer.statement", _("A statement has at most 4000 bytes."))
    answer.statement = text
    answer.save()
    return answer


def set_until(answer_id: int, until: int, *, now: int | None = None) -> Answer:
    """Set until when the agency may keep the answer (Unix seconds UTC). Raises Refused."""
    moment = clock.now() if now is None else now
    answer = _open_draft(answer_id)
    if not moment < until <= moment + MAX_KEEP_DAYS * 86_400:
        raise invalid("answer.until", _("Choose a date within ten years."))
    answer.until = until
    answer.save()
    return answer


def discard(answer_id: int) -> None:
    """Throw a draft away. Raises Refused."""
    _open_draft(answer_id).delete()


def confirm(answer_id: int, *, at_once: bool = False, terms: str = TERMS_SHA256, now: int | None = None) -> Answer:
    """Consent. The answer is queued with everything that a restart needs; it is sealed now and leaves after a random delay.

    `terms`: hash of the terms that were shown. `at_once` skips the delay. Raises Refused: also when no token is left, since
    without one the hub takes nothing.
    """
    moment = clock.now() if now is None else now
    if terms != TERMS_SHA256:
        raise conflict("answer.terms", _("The terms have changed; read them again."))
    with transaction.atomic():
        answer = _open_draft(answer_id)
        requests.check_live(answer.request, moment)
        if not answer.clips.exists() and not answer.statement.strip():
            raise invalid("answer.empty", _("Choose a clip or write a statement."))
        if answer.mode == "identified" and answer.identity is None:
            raise invalid("answer.identity", _("Give a name and a contact, or answer anonymously."))
        answer.gaps = [list(gap) for gap in _gaps(answer)]
        answer.redactions = ["sound removed"] if any(clip.mute for clip in answer.clips.all()) else []
        answer.terms_sha256 = terms
        queue(answer, moment, at_once=at_once)
    return answer


def queue(answer: Answer, now: int, *, at_once: bool) -> None:
    """Give an answer its token and its time, inside the caller's transaction. Raises Refused."""
    token = tokens.take(now)
    if token is None:
        raise conflict(
            "token.none",
            _("This home has no token left to answer with; new ones come on a fixed day, never because of a request."),
        )
    answer.token = token
    answer.state, answer.confirmed_at = "queued", now
    answer.not_before = now if at_once else now + delay()
    answer.problem, answer.try_after, answer.tries = "", 0, 0
    answer.save()
    note(answer, "confirmed", now)


def delay() -> int:
    """Draw the seconds that an answer waits: exponential, so that its moment says nothing; never decided by contents."""
    cfg = config.current(Config)
    if not cfg.upload_delay_minutes:
        return 0
    # In (0, 1): never the logarithm of nothing.
    draw = (int.from_bytes(token_bytes(7), "big") + 0.5) / 2**56
    return int(min(-math.log(draw) * cfg.upload_delay_minutes, cfg.upload_cap_minutes) * 60)


def send_now(answer_id: int, *, now: int | None = None) -> Answer:
    """Skip what is left of the delay. Raises Refused."""
    answer = get(answer_id)
    if answer.state not in ("queued", "sealed"):
        raise conflict("answer.state", _("This answer is not waiting."))
    answer.not_before = clock.now() if now is None else now
    answer.save(update_fields=["not_before"])
    return answer


def _gaps(answer: Answer) -> list[tuple[int, int]]:
    """Return when the chosen cameras recorded nothing in the window: an honest answer says so."""
    chosen = set(answer.clips.filter(recording__isnull=False).values_list("recording__source__camera_id", flat=True))
    own = matching.own_clips(answer.request)
    found = [gap for camera in own if camera.camera in chosen for gap in camera.gaps]
    return sorted({gap for gap in found if gap[0] < gap[1]})[:MAX_GAPS]


def note(answer: Answer, kind: str, at: int, detail: str = "") -> None:
    """Add to what happened to an answer."""
    AnswerEvent.objects.create(answer=answer, at=at, kind=kind, detail=detail)
