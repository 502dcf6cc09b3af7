"""Deleting recordings, with a receipt that stays here: what was deleted and when, and what had been shared already.

A receipt is written first and carried out after it, so that a crash between the two leaves nothing deleted in silence and
nothing undeleted for good: what is not done yet is tried again. The chain of a recorder's segments keeps its links, so it
verifies as before, and a deleted segment's hash still stands in it (docs/spec/recording.md).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.errors import conflict, invalid
from fairwitness.home.models import (
    AnswerClip,
    AnswerPiece,
    Camera,
    Deletion,
    Look,
    Mark,
    Recorder,
    Recording,
    Request,
    Source,
    Upload,
)
from fairwitness.home.services import cameras, matching, previews, recorders, sharing, sources
from fairwitness.kit import clock, config
from fairwitness.kit.journal import Event, log

MAX_FILES = 20_000
_OPEN = ("draft", "queued", "sealed", "uploading")  # answers that still need their recordings
_LEFT = ("uploaded", "withdrawn")
_GIVEN_UP = ("cancelled", "failed")


@dataclass(frozen=True, slots=True)
class Shared:
    """An answer that holds a part of what is to be deleted. `state`: local; `copies`: untouched originals kept with it here."""

    answer: int
    request: str
    agency: str
    state: str
    at: int | None
    copies: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What deleting would do. Unix seconds UTC; whole files go, so `start` and `end` may lie outside of what was asked for.

    `own`: files that lie in folders of the owner's; `elsewhere`: names of recorders (frigate, onvif, plugin) that keep their own
    copies and may be asked again; `asked`: live requests near here that ask about this time; `blocked`: answers on their way.
    """

    camera: Camera
    start: int | None
    end: int | None
    recordings: tuple[Recording, ...]
    size: int
    own: int
    folders: tuple[str, ...]
    elsewhere: tuple[str, ...]
    shared: tuple[Shared, ...]
    blocked: tuple[Shared, ...]
    asked: tuple[Request, ...]


def of_recording(recording_id: int) -> Plan:
    """Return what deleting one recording would do. Raises Refused."""
    row = sources.recordings([recording_id])[recording_id]
    return _plan(row.source.camera, [row])


def of_span(camera_id: int, start: int, end: int) -> Plan:
    """Return what deleting everything that a camera recorded between two times (Unix seconds UTC) would do. Raises Refused."""
    camera = cameras.get(camera_id)
    if not 0 <= start < end < 2**40:
        raise invalid("deletion.times", _("Give a begin and a later end."))
    found = Recording.objects.filter(source__camera=camera, gone=False, start__lt=end, end__gt=start)
    rows = list(found.select_related("source__camera").order_by("start", "pk")[: MAX_FILES + 1])
    if len(rows) > MAX_FILES:
        raise conflict("deletion.many", _("These are too many recordings at once."), _("Choose a shorter time."))
    return _plan(camera, rows)


def _plan(camera: Camera, rows: Sequence[Recording]) -> Plan:
    starts = [row.start for row in rows if row.start is not None]
    ends = [row.end for row in rows if row.end is not None]
    kinds = dict(Recorder.objects.filter(source__camera=camera).values_list("source_id", "kind"))
    own = [row for row in rows if _is_own(row.source, kinds)]
    answers = _answers([row.pk for row in rows])
    asked: tuple[Request, ...] = ()
    if starts and ends:
        live = Request.objects.filter(near=True, withdrawn="", expires__gt=clock.now(), start__lt=max(ends), end__gt=min(starts))
        asked = tuple(one for one in live.order_by("start") if any(hit["camera"] == camera.pk for hit in one.hits))
    return Plan(
        camera=camera,
        start=min(starts, default=None),
        end=max(ends, default=None),
        recordings=tuple(rows),
        size=sum(row.size for row in rows),
        own=len(own),
        folders=tuple(sorted({row.source.folder for row in own})),
        elsewhere=tuple(sorted({kinds[row.source_id] for row in rows if kinds.get(row.source_id, "rtsp") != "rtsp"})),
        shared=tuple(one for one in answers if one.state in _LEFT),
        blocked=tuple(one for one in answers if one.state in _OPEN),
        asked=asked,
    )


def _is_own(source: Source, kinds: dict[int, str]) -> bool:
    """Tell whether a recording lies in a folder that the owner filled, not this home."""
    return source.kind == "folder" and source.pk not in kinds


def _answers(rows: list[int]) -> list[Shared]:
    found: dict[int, list[AnswerClip | AnswerPiece]] = {}
    for clip in AnswerClip.objects.filter(recording__in=rows).select_related("answer__request"):
        found.setdefault(clip.answer_id, []).append(clip)
    for piece in AnswerPiece.objects.filter(recording__in=rows).select_related("clip__answer__request"):
        found.setdefault(piece.clip.answer_id, []).append(piece)
    listed = []
    for number, parts in sorted(found.items()):
        first = parts[0]
        answer = first.answer if isinstance(first, AnswerClip) else first.clip.answer
        kept = sum(1 for part in parts if part.original)
        listed.append(Shared(number, answer.request_id, answer.request.agency_name, answer.state, answer.uploaded_at, kept))
    return listed


# ---------------------------------------------------------------- doing it


def delete(plan: Plan, *, by: str, originals: bool | None, proofs: bool = False) -> Deletion:
    """Delete what `plan` says and return the receipt. `by`: who did it; `proofs`: also copies kept with answers that were sent.

    `originals`: whether files in the owner's own folders go too, else they stay there and are not shown here again; it must be
    said where there are such. Raises Refused, also while an answer that has not left yet uses one of them.
    """
    if not plan.recordings:
        raise conflict("deletion.nothing", _("Nothing was recorded then."))
    if plan.own and originals is None:
        raise invalid(
            "deletion.originals",
            _("Say what happens to the files in your own folder."),
            _("Keep them there, or delete them too."),
        )
    wanted = [row.pk for row in plan.recordings]
    with transaction.atomic():
        # Looked at again inside: an answer may have been begun since the page was shown.
        rows = list(Recording.objects.filter(pk__in=wanted, gone=False).select_related("source__camera").order_by("start", "pk"))
        fresh = _plan(plan.camera, rows)
        if fresh.blocked:
            raise conflict(
                "deletion.used",
                _("An answer of yours that has not left yet uses this."),
                _("Discard that answer first, or wait until it was sent."),
            )
        if not rows:
            raise conflict("deletion.nothing", _("Nothing was recorded then."))
        receipt = Deletion.objects.create(
            camera=plan.camera,
            camera_name=plan.camera.name,
            by=by,
            at=clock.now(),
            start=fresh.start,
            end=fresh.end,
            count=len(rows),
            size=fresh.size,
            originals=bool(originals),
            proofs=proofs,
            items=_items(rows, originals=bool(originals)),
            shared=[_kept(one) for one in fresh.shared],
        )
    finish(receipt)
    matching.rematch()
    return receipt


def _kept(one: Shared) -> dict[str, object]:
    said = asdict(one)
    del said["request"]  # its agency says enough on a receipt that outlives the request
    return said


def _items(rows: Sequence[Recording], *, originals: bool) -> list[dict[str, object]]:
    """Describe each file for the receipt, with its link of the chain where it has one."""
    kinds = dict(Recorder.objects.filter(source__in={row.source_id for row in rows}).values_list("source_id", "kind"))
    links: dict[tuple[int, str], tuple[int, str]] = {}
    for recorder in Recorder.objects.filter(source__in=list(kinds)):
        own = [row for row in rows if row.source_id == recorder.source_id and row.start is not None and row.end is not None]
        if not own:
            continue
        try:
            span = min(row.start or 0 for row in own) * 1000, max(row.end or 0 for row in own) * 1000
            for link in recorders.chain(recorder).near(*span):
                links[recorder.source_id, link.path] = (link.number, link.sha256)
        except (ProtocolError, OSError):
            continue  # a damaged chain says nothing; the files go all the same
    return [
        {
            "recording": row.pk,
            "path": row.path,
            "start": row.start,
            "end": row.end,
            "seconds": row.seconds,
            "size": row.size,
            "identity": row.identity,
            "kept": _is_own(row.source, kinds) and not originals,
            "link": links.get((row.source_id, row.path), (None, ""))[0],
            "sha256": links.get((row.source_id, row.path), (None, ""))[1],
        }
        for row in rows
    ]


def finish(receipt: Deletion) -> bool:
    """Carry out what a receipt says and is not done yet; True once nothing is left."""
    kept = {int(item["recording"]): bool(item["kept"]) for item in receipt.items}
    rows = list(Recording.objects.filter(pk__in=list(kept), gone=False).select_related("source"))
    identities = {int(item["recording"]): item["identity"] for item in receipt.items}
    gone, hidden = [], []
    for row in rows:
        if row.identity != identities[row.pk]:
            continue  # another file stands there by now: the receipt says nothing of it
        if kept[row.pk]:
            hidden.append(row.pk)
        elif _unlink(Path(row.source.folder), row.path):
            gone.append(row.pk)
    done = [*gone, *hidden]
    left = any(row.pk not in set(done) and row.identity == identities[row.pk] for row in rows)
    if receipt.proofs:
        left = _drop_copies(list(kept)) or left
    previews.forget(list(kept))
    with transaction.atomic():
        Mark.objects.filter(recording__in=done).delete()
        Look.objects.filter(recording__in=done).delete()
        Upload.objects.filter(recording__in=gone).delete()
        Recording.objects.filter(pk__in=gone).update(gone=True)
        Recording.objects.filter(pk__in=hidden).update(gone=True, hidden=True)
        receipt.problem = "files" if left else ""
        receipt.done_at = None if left else clock.now()
        receipt.save(update_fields=["problem", "done_at"])
    if done:
        log(Event.RETENTION_PURGED, kind="deleted", count=len(done))
    return not left


def _unlink(folder: Path, name: str) -> bool:
    """Remove a recording's file, never one outside of its folder; True once it is not there."""
    path = folder / name
    if not path.parent.resolve().is_relative_to(folder.resolve()) or not folder.is_dir():
        return False
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _drop_copies(rows: list[int]) -> bool:
    """Delete the untouched originals that are kept with answers that have left, or never will; True where one is left."""
    done = (*_LEFT, *_GIVEN_UP)
    parts: list[AnswerClip | AnswerPiece] = [
        *AnswerClip.objects.filter(recording__in=rows, answer__state__in=done).exclude(original=""),
        *AnswerPiece.objects.filter(recording__in=rows, clip__answer__state__in=done).exclude(original=""),
    ]
    folder = config.current(config.RoleConfig).folder("originals")
    left = False
    for part in parts:
        left = not _unlink(folder, part.original) or left
    return left


def resume(_now: int) -> int:
    """Go on with receipts that are not carried out yet; returns how many were finished."""
    return sum(finish(receipt) for receipt in Deletion.objects.filter(done_at=None).order_by("pk"))


def listing() -> list[Deletion]:
    """Return all receipts, the newest first."""
    return list(Deletion.objects.select_related("camera").order_by("-at", "-pk"))


def sentence(receipt: Deletion) -> str:
    """Say what became of the files, in one honest sentence."""
    kept = sum(1 for item in receipt.items if item["kept"])
    if receipt.done_at is None:
        return _("Not all of it is deleted yet: a file could not be removed. It is tried again every few minutes.")
    if kept == receipt.count:
        return _("Not shown here any more. The files are still in your own folder.")
    if kept:
        return ngettext(
            "Deleted. %(count)d file is still in your own folder.", "Deleted. %(count)d files are still in your own folder.", kept
        ) % {"count": kept}
    return _("Deleted from this machine.")


def after_sharing(state: str) -> str:
    """Say what deleting here means for an answer that has left."""
    if state == "withdrawn":
        return _("You withdrew this answer. Deleting here changes nothing about the copy that was sent.")
    return _("The copy that you shared stays shared. To take it back, withdraw that answer.")


def of_clips(receipt: Deletion) -> int:
    """Return how many untouched originals are still kept with answers."""
    numbers = [int(item["recording"]) for item in receipt.items]
    parts: list[AnswerClip | AnswerPiece] = [
        *AnswerClip.objects.filter(recording__in=numbers).exclude(original=""),
        *AnswerPiece.objects.filter(recording__in=numbers).exclude(original=""),
    ]
    return sum(1 for part in parts if sharing.original_of(part) is not None)
