"""An owner's answer, from draft to consent. Until `confirm` nothing but this machine knows of it, and then only after a delay."""

import hashlib
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import transaction
from django.utils.translation import gettext as _
from fairwitness_core.crypto.random import token_bytes
from fairwitness_core.model.response import MAX_CLIP, MAX_CLIPS, MAX_RESPONSE, Identity
from fairwitness_core.wire import canonical

from fairwitness.home.config import Config
from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.models import Answer, AnswerClip, AnswerEvent, AnswerPiece, Recording
from fairwitness.home.services import blur, masks, matching, requests, sources, tokens
from fairwitness.kit import clock, config, secrets_store
from fairwitness.kit.video.clip import MAX_SOURCES
from fairwitness.kit.video.worker import keys_before

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
LEAST_S = 1.0
_CHOICE = re.compile(r"(\d{1,15})(?:-(\d{1,15}))?(?:@(\d{1,7}(?:\.\d{1,3})?)(?:-(\d{1,7}(?:\.\d{1,3})?))?)?")
# A clip's size is known only when it is made: what its recordings' sizes say of it stays well below what is allowed.
ROOM = MAX_CLIP - (MAX_CLIP >> 3)
ROOM_ALL = MAX_RESPONSE - (MAX_RESPONSE >> 3)
KEY_S = 5.0
"""A stretch that is chosen for the owner begins at a key frame at most so many seconds earlier, shown like any begin: it then
leaves as it was recorded, and quickly."""


@dataclass(frozen=True, slots=True)
class ClipChoice:
    """A stretch of one recording: seconds from its start, `end` None for all of the rest. Sound is removed unless said.

    `through`: the last of several recordings that follow each other without a gap; `end` still counts from the first's start.
    """

    recording: int
    start: float
    end: float | None
    mute: bool = True
    through: int | None = None


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

    Recordings that follow each other without a gap make one clip, as far as a clip may be large. An answer has room for
    MAX_CLIPS; where there are more, the first are chosen and `left_out` says how many stretches are not.
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
        blur="on" if config.current(Config).propose_blur else "off",
    )
    set_clips(answer.pk, _all_own(matching.own_clips(request)))
    return answer


def _all_own(own: Sequence[matching.OwnClips]) -> list[ClipChoice]:
    """Choose all that there is room for, in order of cameras and time."""
    numbers = [piece.recording for camera in own for piece in camera.pieces]
    rows = Recording.objects.select_related("source__camera").in_bulk(numbers)
    chosen: list[ClipChoice] = []
    size = 0
    for camera in own:
        for run in camera.runs:
            for choice, weight in _parts(run, rows):
                if len(chosen) < MAX_CLIPS and size + weight <= ROOM_ALL:
                    chosen.append(choice)
                    size += weight
    return _at_key_frames(chosen, rows)


def _parts(run: matching.OwnRun, rows: Mapping[int, Recording]) -> Iterator[tuple[ClipChoice, int]]:
    """Cut a run where a clip would become too large; yield each part with the size that it may have."""
    begin = total = 0
    for index, piece in enumerate(run.pieces):
        weight = _weight(piece, rows[piece.recording])
        if index > begin and (total + weight > ROOM or index - begin >= MAX_SOURCES):
            yield _part(run, begin, index, rows), total
            begin, total = index, 0
        total += weight
    yield _part(run, begin, len(run.pieces), rows), total


def _weight(piece: matching.OwnPiece, row: Recording) -> int:
    share = min((piece.cut_end - piece.cut_start) / row.seconds, 1.0) if row.seconds else 1.0
    return int(row.size * share) * (1 if row.codec == "h264" else 2)  # newer codecs become larger when they are converted


def _part(run: matching.OwnRun, begin: int, end: int, rows: Mapping[int, Recording]) -> ClipChoice:
    first, last = run.pieces[begin], run.pieces[end - 1]
    if end - begin == 1:
        return ClipChoice(first.recording, first.cut_start, first.cut_end)
    whole = last.end == rows[last.recording].end
    stop = None if whole else run.offsets[end - 1] - run.offsets[begin] + last.cut_end
    return ClipChoice(first.recording, first.cut_start, stop, through=last.recording)


def _at_key_frames(choices: Sequence[ClipChoice], rows: Mapping[int, Recording]) -> list[ClipChoice]:
    """Begin where a copy can, if that is near: but not where areas are covered, for such a clip is no copy in any case."""
    inside = [
        choice
        for choice in choices
        if choice.start > 0
        and rows[choice.recording].codec == "h264"
        and not masks.polygons(rows[choice.recording].source.camera)
    ]
    keys = keys_before([(sources.path_of(rows[choice.recording]), choice.start) for choice in inside])
    near = {id(c): key for c, key in zip(inside, keys, strict=True) if key is not None and c.start - key <= KEY_S}
    return [replace(choice, start=min(near.get(id(choice), choice.start), choice.start)) for choice in choices]


@dataclass(frozen=True, slots=True)
class Other:
    """An own stretch of the window that a draft does not hold. `key` names it in a form; Unix seconds UTC."""

    key: str
    choice: ClipChoice
    camera: str
    start: int
    end: int
    joined: int


def others(answer: Answer) -> list[Other]:
    """Return the own stretches of the window that a draft does not hold, joined where nothing is missing between them."""
    held = _held(answer)
    found = []
    for camera in matching.own_clips(answer.request):
        rows = Recording.objects.select_related("source__camera").in_bulk([piece.recording for piece in camera.pieces])
        for run in camera.runs:
            for free in _free(run, held):
                parts = _at_key_frames([choice for choice, _weight in _parts(free, rows)], rows)
                found += [_other(part, camera.name, free) for part in parts]
    return found


def _held(answer: Answer) -> set[int | None]:
    held: set[int | None] = set(answer.clips.values_list("recording_id", flat=True))
    return held.union(AnswerPiece.objects.filter(clip__answer=answer).values_list("recording_id", flat=True))


def _free(run: matching.OwnRun, held: set[int | None]) -> Iterator[matching.OwnRun]:
    """Yield the stretches of a run between pieces that are held."""
    begin: int | None = None
    for index, piece in enumerate(run.pieces):
        if piece.recording in held:
            if begin is not None:
                yield matching.OwnRun(run.pieces[begin:index], run.offsets[begin:index])
            begin = None
        elif begin is None:
            begin = index
    if begin is not None:
        yield matching.OwnRun(run.pieces[begin:], run.offsets[begin:])


def _other(choice: ClipChoice, camera: str, run: matching.OwnRun) -> Other:
    numbers = [piece.recording for piece in run.pieces]
    first, last = numbers.index(choice.recording), numbers.index(choice.through or choice.recording)
    key = f"{choice.recording}-{choice.through or choice.recording}"
    return Other(key, choice, camera, run.pieces[first].start, run.pieces[last].end, last - first + 1)


def pick(answer_id: int, kept: Collection[int], added: Collection[str], sound: Collection[int]) -> Answer:
    """Keep some clips of a draft by their ids, add others by their keys, and say which keep their sound. Raises Refused.

    Clips stay in order of camera and time as they were; what is added comes behind them.
    """
    answer = _open_draft(answer_id)
    chosen = []
    for clip in answer.clips.all():
        choice = choice_of(clip)
        if clip.pk in kept and choice is not None:
            chosen.append(replace(choice, mute=clip.pk not in sound))
    chosen += [other.choice for other in others(answer) if other.key in added]
    return set_clips(answer_id, chosen)


@transaction.atomic
def trim(answer_id: int, clip_id: int, start: float, end: float) -> Answer:
    """Cut one clip of a draft to `start` to `end`, seconds from its first recording's start. Raises Refused.

    Recordings that nothing is taken of any more are left out of it.
    """
    answer = _open_draft(answer_id)
    clip = answer.clips.select_related("recording").filter(pk=clip_id).first()
    if clip is None or clip.recording is None:
        raise unknown("clip")
    if not math.isfinite(start) or not math.isfinite(end) or end - start < LEAST_S:
        raise invalid("answer.short", _("A clip is at least one second long."))
    parts: list[tuple[Recording | None, float]] = [(clip.recording, 0.0)]
    parts += [(piece.recording, piece.offset) for piece in clip.pieces.select_related("recording")]
    first = max((index for index, (_row, offset) in enumerate(parts) if offset <= max(start, 0.0)), default=0)
    last = max(index for index, (_row, offset) in enumerate(parts) if offset < end or index == first)
    base, row, final = parts[first][1], parts[first][0], parts[last][0]
    if row is None or final is None:
        raise unknown("recording")
    # At its very end nothing is cut: the last picture may last longer than its file says.
    stop = None if end >= parts[last][1] + final.seconds - 0.05 else end - base
    through = final.pk if last > first else None
    choice = ClipChoice(row.pk, max(start - base, 0.0), stop, clip.mute, through)
    choices = [choice if one.pk == clip.pk else choice_of(one) for one in answer.clips.all()]
    return set_clips(answer_id, [one for one in choices if one is not None])


def end_of(clip: AnswerClip) -> float:
    """Return where a clip ends, in seconds from its first recording's start."""
    if clip.cut_end is not None:
        return clip.cut_end
    last = clip.pieces.select_related("recording").last()
    recording = clip.recording if last is None else last.recording
    length = recording.seconds if recording is not None else 0.0
    return length + (0.0 if last is None else last.offset)


def weight_of(clip: AnswerClip) -> int:
    """Return about how many bytes a clip has, from what its recordings' sizes say."""
    rows = [clip.recording, *(piece.recording for piece in clip.pieces.select_related("recording"))]
    known = [row for row in rows if row is not None and row.seconds]
    seconds = sum(row.seconds for row in known)
    return int(sum(row.size for row in known) * (end_of(clip) - clip.cut_start) / seconds) if seconds else 0


def read_choice(text: str) -> ClipChoice:
    """Read `RECORDING[-LAST][@START[-END]]`: numbers of recordings, seconds from the first one's start. Raises Refused."""
    match = _CHOICE.fullmatch(text)
    if match is None:
        raise invalid("answer.choice", _("A clip is chosen as RECORDING, RECORDING-LAST, or either with @START-END in seconds."))
    first, last, start, end = match.groups()
    return ClipChoice(
        int(first), float(start or 0), None if end is None else float(end), through=None if last is None else int(last)
    )


def choice_of(clip: AnswerClip) -> ClipChoice | None:
    """Return what was chosen, for choosing it anew; None when its recording is forgotten."""
    last = clip.pieces.last()
    through = None if last is None else last.recording_id
    if clip.recording_id is None or (last is not None and through is None):
        return None
    return ClipChoice(clip.recording_id, clip.cut_start, clip.cut_end, clip.mute, through)


def left_out(answer: Answer) -> int:
    """Return how many own stretches of the window an open draft does not hold, so that nothing is dropped unsaid."""
    if answer.state != "draft" or answer.kind != "clips":
        return 0
    held = _held(answer)
    return sum(piece.recording not in held for camera in matching.own_clips(answer.request) for piece in camera.pieces)


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves of one clip, for its owner to see before agreeing. Times in Unix seconds UTC; `end` None: all of the rest.

    `before`, `after`: seconds outside of what the request asks about. `areas`: how many are covered as things stand.
    """

    clip: int
    camera: str
    start: float
    end: float | None
    before: float
    after: float
    sound: bool
    areas: int


def leaving(answer: Answer) -> list[Leaving]:
    """Return what leaves with an answer, clip by clip. Raises ProtocolError for areas that are none."""
    asked = answer.request
    found = []
    for clip in answer.clips.select_related("recording__source__camera", "camera"):
        last = clip.pieces.select_related("recording").last()
        recording = clip.recording if last is None else last.recording
        rest = None if recording is None or recording.seconds is None else recording.seconds + (last.offset if last else 0.0)
        cut = rest if clip.cut_end is None else clip.cut_end
        start, end = clip.started + clip.cut_start, None if cut is None else clip.started + cut
        found.append(
            Leaving(
                clip=clip.pk,
                camera="" if clip.camera is None else clip.camera.name,
                start=start,
                end=end,
                before=max(asked.start - start, 0.0),
                after=0.0 if end is None else max(end - asked.end, 0.0),
                sound=not clip.mute,
                areas=len(masks.of_clip(clip)),
            )
        )
    return found


def _open_draft(answer_id: int) -> Answer:
    answer = get(answer_id)
    if answer.state != "draft":
        raise conflict("answer.sealed", _("This answer was already confirmed."), _("Withdraw it and begin another."))
    return answer


@transaction.atomic
def set_clips(answer_id: int, choices: Sequence[ClipChoice]) -> Answer:
    """Choose and trim the clips, in this order; none for a statement alone; what stays keeps its row. Raises Refused."""
    answer = _open_draft(answer_id)
    if len(choices) > MAX_CLIPS:
        raise invalid("answer.clips", _("An answer has at most %(count)d clips.") % {"count": MAX_CLIPS})
    found = sources.recordings(choice.recording for choice in choices)
    before = {_without_sound(known): clip for clip in answer.clips.all() if (known := choice_of(clip)) is not None}
    stay = [before[_without_sound(choice)].pk for choice in choices if _without_sound(choice) in before]
    leaving = list(answer.clips.exclude(pk__in=stay).select_related("look", "answer").prefetch_related("pieces"))
    fresh: list[AnswerClip] = []
    for position, choice in enumerate(choices):
        row = found[choice.recording]
        if row.start is None:
            raise conflict("recording.time", _("When was this recorded? Say so first; nothing is guessed."))
        more = _more(row, choice)
        _check_cut(row, choice, more)
        facts = {
            "position": position,
            "recording": row,
            "camera": row.source.camera,
            "masks": masks.polygons(row.source.camera),
            "source_path": str(sources.path_of(row)),
            "identity": row.identity,
            "started": row.start,
            "time_source": sources.wire_source(row),
            "cut_start": choice.start,
            "cut_end": choice.end,
            "mute": choice.mute,
        }
        clip = before.pop(_without_sound(choice), None) or AnswerClip(answer=answer)
        fresh += [clip] if clip.pk is None else []
        for name, value in facts.items():
            setattr(clip, name, value)
        clip.save()
        clip.pieces.all().delete()
        for number, (one, offset) in enumerate(more, 1):
            AnswerPiece.objects.create(
                clip=clip,
                position=number,
                recording=one,
                source_path=str(sources.path_of(one)),
                identity=one.identity,
                offset=offset,
            )
    for clip in fresh:
        old = next((one for one in leaving if (one.recording_id, one.identity) == (clip.recording_id, clip.identity)), None)
        if old is not None:
            blur.carry(old, clip)
    answer.clips.filter(pk__in=[one.pk for one in leaving]).delete()
    return answer


def _without_sound(choice: ClipChoice) -> ClipChoice:
    return replace(choice, mute=True)


def _more(first: Recording, choice: ClipChoice) -> list[tuple[Recording, float]]:
    """Return the recordings behind the first one of a choice, each with its offset. Raises Refused."""
    if choice.through is None or choice.through == choice.recording:
        return []
    last = sources.recordings([choice.through])[choice.through]
    rows = list(
        Recording.objects.filter(source=first.source_id, gone=False, start__gte=first.start, start__lte=last.start)
        .order_by("start", "pk")
        .select_related("source__camera")
    )
    for run in matching.joined(rows):
        numbers = [rows[index].pk for index, _ in run]
        if first.pk in numbers and last.pk in numbers[numbers.index(first.pk) :]:
            begin, end = numbers.index(first.pk), numbers.index(last.pk)
            if end - begin >= MAX_SOURCES:
                raise invalid("answer.joined", _("A clip joins at most %(count)d recordings.") % {"count": MAX_SOURCES})
            return [(rows[index], offset - run[begin][1]) for index, offset in run[begin + 1 : end + 1]]
    raise conflict("answer.joined", _("These recordings do not follow each other without a gap."))


def _check_cut(row: Recording, choice: ClipChoice, more: Sequence[tuple[Recording, float]]) -> None:
    length = min([offset for _row, offset in more[:1]], default=row.seconds)
    if not math.isfinite(choice.start) or choice.start < 0 or (length and choice.start >= length):
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
        blur.check_ready(answer)
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
