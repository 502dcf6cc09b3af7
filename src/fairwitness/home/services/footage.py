"""What an owner looks at of an answer: the stretch on which a clip is trimmed, and the very bytes that would leave.

Both are cut by what seals them (`delivery.cut_of`, one child's code) and kept in the cache of previews, which only this home's
household sees. The bytes that are shown are those that would be sealed: the same cut of the same file comes out the same.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.errors import conflict, unknown
from fairwitness.home.models import Answer, AnswerClip
from fairwitness.home.services import answers, delivery, matching, previews
from fairwitness.kit import files
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import preview as maker
from fairwitness.kit.video import thumbs
from fairwitness.kit.video.clip import Cut
from fairwitness.kit.video.preview import Facts
from fairwitness.kit.video.worker import cut_out

STRIP: Final = 12
LEASE_S: Final = 60
"""So long somebody must not have asked for what is being made until it is given up."""
_AGAIN_S: Final = 30


@dataclass(frozen=True, slots=True)
class Sight:
    """How far something to look at is. `state`: ready, making, waiting (another one is made) or failed; `size`: bytes so far.

    `share`: how much of it there is, 0..1, as far as that can be said. `facts` once it is ready; `problem`: a code, when failed.
    """

    state: str
    size: int = 0
    share: float = 0.0
    facts: Facts | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """The stretch that a clip may be trimmed to. Seconds from its first recording's start; `long`: more than one stage shows."""

    begin: float
    end: float
    long: bool
    cut: Cut


_failed: dict[str, tuple[str, float]] = {}
_threads: dict[str, threading.Thread] = {}
_one = threading.Lock()


def clip_of(answer_id: int, number: int) -> AnswerClip:
    """Return the `number`-th clip of an answer, counted from 1. Raises Refused."""
    found = AnswerClip.objects.select_related("answer__request", "recording__source__camera", "camera")
    row = found.filter(answer_id=answer_id, position=number - 1).first()
    if row is None:
        raise unknown("clip")
    return row


def leaving(clip: AnswerClip) -> Cut:
    """Return the cut that sealing would make of a clip as things stand. Raises Refused, ProtocolError."""
    with _readable():
        return delivery.cut_of(clip, *delivery.hidden_of(clip), delivery.chosen_file)


def stage(clip: AnswerClip, begin: float | None = None) -> Stage:
    """Return what of a clip's recordings may be chosen: all that lies in the request's window, and what is chosen now.

    A stage shows at most previews.MAX_SECONDS of it, from `begin` on. It is not covered: its owner looks. Raises Refused.
    """
    low, high = _reach(clip)
    with _readable():
        cut = delivery.cut_of(clip, (), (), delivery.chosen_file)
    long = high - low > previews.MAX_SECONDS
    if long:
        begin = low if begin is None else min(max(begin, low), high - 1)
        last = min(begin + previews.MAX_SECONDS, high)
        shown = _from(cut, begin, last)
    else:
        shown = replace(cut, start=low, end=high)
    shown = replace(shown, mute=False, lead=float(previews.MAX_SECONDS), side=maker.LARGEST_SIDE)
    return Stage(low, high, long, shown)


def _from(cut: Cut, begin: float, end: float) -> Cut:
    """Return a cut of joined recordings that begins in a later one of them."""
    if not cut.more or begin < cut.more[0].offset:
        return replace(cut, start=begin, end=end)
    first = max(index for index, one in enumerate(cut.more) if one.offset <= begin)
    base = cut.more[first].offset
    more = tuple(replace(one, offset=one.offset - base) for one in cut.more[first + 1 :])
    return replace(cut, source=cut.more[first].source, start=begin - base, end=end - base, more=more)


def base_of(clip: AnswerClip, shown: Cut) -> float:
    """Return the seconds from the clip's first recording's start to that of the first one that a stage shows."""
    parts = {Path(piece.source_path): piece.offset for piece in clip.pieces.all()}
    return parts.get(shown.source, 0.0)


def _reach(clip: AnswerClip) -> tuple[float, float]:
    pieces = list(clip.pieces.select_related("recording"))
    offsets = {clip.recording_id: 0.0} | {piece.recording_id: piece.offset for piece in pieces}
    found = [
        (offsets[piece.recording] + piece.cut_start, offsets[piece.recording] + piece.cut_end)
        for camera in matching.own_clips(clip.answer.request)
        for piece in camera.pieces
        if piece.recording in offsets
    ]
    chosen_end = answers.end_of(clip)
    low = min([clip.cut_start, *(begin for begin, _end in found)])
    high = max([chosen_end, *(end for _begin, end in found)])
    if pieces and low >= pieces[0].offset:
        low = clip.cut_start
    return low, high


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except ProtocolError as error:
        if error.code != "clip.changed":
            raise
        raise conflict(
            "recording.changed", _("This recording has changed since it was chosen."), _("Choose the clips again.")
        ) from error
    except OSError as error:
        raise Refused(404, "recording.gone", _("This recording is not there any more, or cannot be read.")) from error


# ---------------------------------------------------------------- making it


def prepare(clip: AnswerClip, cut: Cut) -> Sight:
    """Return how far `cut` is, and have it made where it is not there yet: one at a time, while somebody asks. Raises Refused."""
    target = _target(clip, cut)
    facts = _facts(target)
    if facts is not None:
        return Sight("ready", facts.size, 1.0, facts)
    with _one:
        failure = _failed.get(target.name)
        if failure is not None and time.monotonic() - failure[1] < _AGAIN_S:
            return Sight("failed", problem=failure[0])
        _want(target)
        running = _threads.get(target.name)
        if running is not None and running.is_alive():
            return _so_far(target, clip)
        previews.check_room()
        lock = files.FileLock(previews.folder() / ".preview.lock")
        try:
            lock.acquire(wait=False)
        except files.Locked:
            return _so_far(target, clip) if maker.part_of(target).exists() else Sight("waiting")
        _threads[target.name] = threading.Thread(target=_run, args=(cut, target, lock), name="footage", daemon=True)
        _threads[target.name].start()
    return Sight("making")


def _so_far(target: Path, clip: AnswerClip) -> Sight:
    try:
        size = maker.part_of(target).stat().st_size
    except FileNotFoundError:
        size = 0
    expected = answers.weight_of(clip)
    return Sight("making", size, min(size / expected, 0.95) if expected else 0.0)


def _run(cut: Cut, target: Path, lock: files.FileLock) -> None:
    def left() -> bool:
        try:
            return time.monotonic() - _wanted(target).stat().st_mtime > LEASE_S
        except FileNotFoundError:
            return True

    def done(facts: Facts) -> None:
        files.write_atomic(target.with_suffix(".facts"), json.dumps(asdict(facts)).encode())

    try:
        for _size in maker.make(cut, target, cancelled=left, done=done):
            pass
    except (ProtocolError, OSError) as error:
        code = error.code if isinstance(error, ProtocolError) else "disk_failed"
        if code != "clip.cancelled":
            _failed[target.name] = (code, time.monotonic())
    finally:
        _wanted(target).unlink(missing_ok=True)
        lock.release()
        _threads.pop(target.name, None)
        previews.prune(keep=target)


def settle() -> None:
    """Wait until nothing is being made in this process."""
    for thread in list(_threads.values()):
        thread.join()


def _target(clip: AnswerClip, cut: Cut) -> Path:
    """Return the cache's name for a cut: another one once the files, the cut or what is covered changes."""
    identities = [clip.identity, *(piece.identity for piece in clip.pieces.all())]
    digest = hashlib.sha256(json.dumps([cut_out(cut), identities], sort_keys=True, default=list).encode()).hexdigest()
    return previews.folder() / f"{clip.recording_id or 0}-{digest[:40]}.mp4"


def _want(target: Path) -> None:
    """Note that somebody asks, for whichever process makes it: in the machine's own seconds, which no clock's change moves."""
    wanted = _wanted(target)
    wanted.touch(0o600)
    os.utime(wanted, (time.monotonic(), time.monotonic()))


def _wanted(target: Path) -> Path:
    return target.with_name(f".{target.name}.wanted")


def _facts(target: Path) -> Facts | None:
    try:
        data = json.loads(target.with_suffix(".facts").read_bytes())
        if target.stat().st_size != data["size"]:
            return None
        os.utime(target)
        os.utime(target.with_suffix(".facts"))
    except (FileNotFoundError, ValueError):
        return None
    return Facts(**{**data, "tracks": tuple(data["tracks"])})


def opened(clip: AnswerClip, cut: Cut) -> previews.Opened:
    """Open what `prepare` made. Raises Refused while it is not there."""
    target = _target(clip, cut)
    if _facts(target) is None:
        raise Refused(503, "preview.busy", _("This preview is not ready yet."), _("Try again in a few seconds."))
    return previews.open_file(target, "video/mp4")


def strip(clip: AnswerClip, cut: Cut) -> bytes:
    """Return a JPEG of pictures from all over what `prepare` made, beside each other. Raises Refused, ProtocolError."""
    target = _target(clip, cut)
    if _facts(target) is None:
        raise Refused(503, "preview.busy", _("This preview is not ready yet."), _("Try again in a few seconds."))
    return previews.still(target.with_suffix(".jpg"), lambda: thumbs.strip(target, STRIP).jpeg)


def cover(clip: AnswerClip) -> bytes:
    """Return a JPEG of a clip's beginning, for lists. Raises Refused, ProtocolError."""
    if clip.recording_id is None:
        raise unknown("recording")
    return previews.thumb(clip.recording_id, clip.cut_start + 0.5)


def sights(answer: Answer) -> list[tuple[AnswerClip, Sight]]:
    """Return how far the preview of each clip of a draft is, and go on with the first that is not there. Raises ProtocolError."""
    found = []
    for clip in answer.clips.select_related("answer__request", "recording__source__camera", "camera"):
        try:
            found.append((clip, prepare(clip, leaving(clip))))
        except Refused as refused:
            found.append((clip, Sight("failed", problem=refused.code)))
    return found
