"""What is covered in the clips of an answer: faces and plates that were found, and boxes that the owner drew.

Blur proposes, the owner decides: what is found is covered until the owner leaves it clear or says that it is none. Only boxes
with times are kept; nobody is recognised, and nothing is compared. An answer whose clips have not been looked through, or could
not be, waits until they have been or the owner says in so many words to send it without (`choose`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from fairwitness.home.errors import conflict, invalid, unknown
from fairwitness.home.models import Answer, AnswerClip, ClipLook, ClipRegion
from fairwitness.kit import clock
from fairwitness.kit.video import regions
from fairwitness.kit.video.regions import HOLD, Box, Key, Track, where
from fairwitness.kit.video.tracks import Proposal, ordered

REDACTION = "moving areas covered"
"""What a manifest says of an answer in which something was followed and covered; a word of the format, not of a language."""
LOOKING = "blur.looking"
FAILED = "blur.failed"
MAX_OWN = 200
_NEAR_S = 0.5
"""A box that is put elsewhere replaces the places that it had so many seconds before and after."""
_STATES = ("covered", "clear", "removed")


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether an answer may leave as far as faces and plates go. `state`: none (no clips), off, looking, failed or ready.

    `share`: 0..1 of the looking. `covered`, `clear`: how many things are covered, and how many found ones stay as they are.
    """

    state: str
    share: float
    covered: int
    clear: int


def readiness(answer: Answer) -> Readiness:
    """Tell how far the looking for faces and plates is; the last step before agreeing shows it."""
    clips = list(answer.clips.select_related("look"))
    rows = ClipRegion.objects.filter(clip__answer=answer)
    covered = sum(len(tracks_of(clip)) for clip in clips)
    clear = (
        rows.filter(state="clear").count() if answer.blur == "on" else rows.exclude(kind="own").exclude(state="removed").count()
    )
    if not clips:
        return Readiness("none", 1.0, 0, 0)
    if answer.blur == "off":
        return Readiness("off", 1.0, covered, clear)
    looks = [look_of(clip) for clip in clips]
    if any(look is not None and look.state == "failed" for look in looks):
        return Readiness("failed", 0.0, covered, clear)
    share = sum(0.0 if look is None else 1.0 if look.state == "done" else look.share for look in looks) / len(looks)
    done = all(look is not None and look.state == "done" for look in looks)
    return Readiness("ready" if done else "looking", share, covered, clear)


def look_of(clip: AnswerClip) -> ClipLook | None:
    """Return how far a clip was looked through; None before anybody began."""
    return getattr(clip, "look", None)


def waits(answer: Answer) -> str:
    """Return the code of what keeps an answer from being sealed: blur.looking, blur.failed, or "" for nothing."""
    return {"looking": LOOKING, "failed": FAILED}.get(readiness(answer).state, "")


def check_ready(answer: Answer) -> None:
    """Raise Refused where looking failed and the owner has not said what then.

    While it goes on an answer may be agreed to: it is sealed when that is over, with all that was found covered.
    """
    if readiness(answer).state == "failed":
        raise conflict(
            FAILED,
            _("A clip could not be looked through for faces and plates."),
            _("Try again, cover them by hand, or say that it is sent without."),
        )


def tracks_of(clip: AnswerClip) -> tuple[Track, ...]:
    """Return what has to be covered in a clip as things stand. Raises ProtocolError for rows that are no tracks.

    Where the owner chose to send without, what was found is not covered; what they drew themselves is.
    """
    rows = clip.regions.filter(state="covered")
    if clip.answer.blur == "off":
        rows = rows.filter(kind="own")
    return regions.check(list(rows.order_by("pk").values_list("track", flat=True)))


# ---------------------------------------------------------------- the owner's word


def choose(answer_id: int, *, on: bool) -> Answer:
    """Cover what is found in an answer's clips, or send without that; an agreed answer that waits may do without, too.

    Raises Refused.
    """
    with transaction.atomic():
        answer = Answer.objects.select_for_update().filter(pk=answer_id).first()
        if answer is None:
            raise unknown("answer")
        if answer.state != "draft" and (on or answer.state != "queued"):
            raise conflict("answer.sealed", _("This answer was already confirmed."), _("Withdraw it and begin another."))
        answer.blur = "on" if on else "off"
        if answer.problem in (LOOKING, FAILED):
            answer.problem = ""
        answer.save(update_fields=["blur", "problem"])
    return answer


def again(clip: AnswerClip) -> None:
    """Look through a clip once more, where that failed. Raises Refused."""
    _check_open(clip, also=("queued",))
    ClipLook.objects.filter(clip=clip, state="failed").update(state="waiting", share=0.0, problem="")
    Answer.objects.filter(pk=clip.answer_id, problem=FAILED).update(problem="")


def wanted(clip: AnswerClip) -> ClipLook:
    """Return how far a clip was looked through, and put it before the others: somebody looks at it now."""
    row, made = ClipLook.objects.get_or_create(clip=clip, defaults={"asked_at": clock.now()})
    if not made and row.state in ("waiting", "looking") and row.asked_at != clock.now():
        ClipLook.objects.filter(pk=row.pk).update(asked_at=clock.now())
    return row


def set_state(clip: AnswerClip, region_id: int, state: str, *, described: bool = True) -> ClipRegion:
    """Cover something, leave it clear (`described`: because the request describes it), or say that it is none. Raises Refused."""
    row = region(clip, region_id)
    if state not in _STATES:
        raise invalid("region.state", _("Something is covered, clear or removed."))
    if state == "removed" and row.kind == "own":
        row.delete()
        return row
    row.state, row.why = state, "described" if state == "clear" and described else ""
    row.save()
    return row


def region(clip: AnswerClip, region_id: int) -> ClipRegion:
    """Return one thing of an open draft's clip. Raises Refused."""
    _check_open(clip)
    found = clip.regions.filter(pk=region_id).first()
    if found is None:
        raise unknown("region")
    return found


def _check_open(clip: AnswerClip, also: Sequence[str] = ()) -> None:
    if clip.answer.state not in ("draft", *also):
        raise conflict("answer.sealed", _("This answer was already confirmed."), _("Withdraw it and begin another."))


def add(clip: AnswerClip, begin: float, end: float, box: Box) -> ClipRegion:
    """Cover a box that the owner drew from `begin` to `end`, seconds from the first recording's start.

    Raises Refused, ProtocolError `region.key`.
    """
    _check_open(clip)
    if clip.regions.filter(kind="own").count() >= MAX_OWN:
        raise conflict("region.many", _("A clip has at most %(count)d boxes of your own.") % {"count": MAX_OWN})
    if not (math.isfinite(begin) and math.isfinite(end)) or begin > end:
        raise invalid("region.times", _("A box is covered from a time to a later one."))
    keys = [_key(begin, box)] + ([_key(end, box)] if end - begin >= 0.01 else [])
    return ClipRegion.objects.create(clip=clip, kind="own", number=_next(clip, "own"), track=_list(regions.check([keys])[0]))


def move(clip: AnswerClip, region_id: int, at: float, box: Box) -> ClipRegion:
    """Put a box elsewhere `at` a time; from the place before and to the place after it goes in a straight line.

    Raises Refused, ProtocolError `region.key`.
    """
    row = region(clip, region_id)
    track = track_of(row)
    if where(track, at) is None:
        raise invalid("region.times", _("It is not covered at this moment."))
    at = min(max(at, track[0][0]), track[-1][0])
    away = [key for key in track if abs(key[0] - at) >= _NEAR_S]
    keys = [*away, _key(at, box)]
    # It is covered for as long as before.
    keys += [_key(edge, box) for edge in (track[0][0], track[-1][0]) if abs(edge - at) < _NEAR_S]
    row.track = _list(regions.check([ordered(keys)])[0])
    row.save()
    return row


def span(clip: AnswerClip, region_id: int, begin: float, end: float) -> ClipRegion:
    """Cover something from `begin` to `end`: beyond its first and last place it stays there. Raises Refused, ProtocolError."""
    row = region(clip, region_id)
    if not (math.isfinite(begin) and math.isfinite(end)) or not 0 <= begin <= end:
        raise invalid("region.times", _("A box is covered from a time to a later one."))
    track = track_of(row)
    inner = [key for key in track if begin < key[0] < end]
    edges = [_key(at, _nearest(track, at)) for at in (begin, end)]
    row.track = _list(regions.check([ordered([*inner, *edges])])[0])
    row.save()
    return row


def replace_track(clip: AnswerClip, region_id: int, track: Track) -> ClipRegion:
    """Put what following a box found in its place. Raises Refused."""
    row = region(clip, region_id)
    row.track = _list(track)
    row.save()
    return row


def track_of(row: ClipRegion) -> Track:
    """Return where something is. Raises ProtocolError for a row that is no track."""
    return regions.check([row.track])[0]


def covered_span(row: ClipRegion) -> tuple[float, float]:
    """Return from when until when something is covered, in seconds from the first recording's start."""
    return max(row.track[0][0] - HOLD, 0.0), row.track[-1][0] + HOLD


def _nearest(track: Track, at: float) -> Box:
    found = where(track, min(max(at, track[0][0]), track[-1][0]))
    if found is None:
        raise RuntimeError("a track has a box at each of its times")
    return found


def _key(at: float, box: Box) -> Key:
    return (round(at, 3), box.x, box.y, box.width, box.height)


def _list(track: Track) -> list[list[float]]:
    return [[round(value, 4) for value in key] for key in track]


def _next(clip: AnswerClip, kind: str) -> int:
    return (clip.regions.filter(kind=kind).aggregate(top=Max("number"))["top"] or 0) + 1


# ---------------------------------------------------------------- what was found


def keep(look: ClipLook, found: Sequence[Proposal], begin: float, end: float) -> None:
    """Store what looking through a clip found, all of it covered; what the owner drew stays."""
    with transaction.atomic():
        if not ClipLook.objects.select_for_update().filter(pk=look.pk, clip__answer__state__in=("draft", "queued")).exists():
            return
        ClipRegion.objects.filter(clip_id=look.clip_id).exclude(kind="own").delete()
        for kind in ("face", "plate"):
            things = sorted((one for one in found if one.kind == kind), key=lambda one: one.track[0][0])
            ClipRegion.objects.bulk_create(
                ClipRegion(clip_id=look.clip_id, kind=kind, number=number, score=one.score, track=_list(one.track))
                for number, one in enumerate(things, 1)
            )
        ClipLook.objects.filter(pk=look.pk).update(state="done", share=1.0, begin=begin, end=end, problem="")


def carry(old: AnswerClip, new: AnswerClip) -> None:
    """Take over what was found and decided in a clip of the same recordings that the new one lies within; else what was drawn."""
    before = look_of(old)
    end = new.cut_end
    within = new.cut_start >= old.cut_start and (old.cut_end is None or (end is not None and end <= old.cut_end))
    if before is not None and before.state == "done" and within:
        ClipLook.objects.create(clip=new, state="done", share=1.0, begin=new.cut_start, end=before.end)
    rows = old.regions.all() if within and before is not None and before.state == "done" else old.regions.filter(kind="own")
    last = math.inf if end is None else end
    for row in rows:
        begins, ends = covered_span(row)
        if begins <= last and ends >= new.cut_start:
            row.pk, row.clip = None, new
            row.save(force_insert=True)
