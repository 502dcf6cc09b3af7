"""Looking through the clips of answers for faces and plates, one at a time, and following the owner's boxes; in children."""

import threading
import time
from collections.abc import Callable
from typing import Final

from django.db.models import Q
from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.errors import conflict
from fairwitness.home.models import AnswerClip, ClipLook, ClipRegion
from fairwitness.home.services import answers, blur, delivery
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import following
from fairwitness.kit.video.clip import Cut
from fairwitness.kit.video.regions import Box, where
from fairwitness.kit.video.tracks import Proposal

_LEAST_S: Final = 300
_TIMES: Final = 60  # seconds of work that a second of footage may take at most: five looks on a slow machine
_FOLLOW_S: Final = 300
_TOLD_S: Final = 1.0

_running = threading.Lock()


def step(now: int) -> bool:  # noqa: ARG001 - a job is told the time
    """Look through one clip that waits for it; True if there was one. One at a time on this machine."""
    if not _running.acquire(blocking=False):
        return False
    try:
        clip = _due()
        if clip is None:
            return False
        _look(clip)
    finally:
        _running.release()
    return True


def _due() -> AnswerClip | None:
    """Return the clip that comes next: agreed answers first, then what somebody looks at."""
    rows = AnswerClip.objects.filter(answer__blur="on", answer__kind="clips", answer__state__in=("draft", "queued"))
    rows = rows.filter(Q(look=None) | Q(look__state__in=("waiting", "looking")))
    found = rows.select_related("answer", "look", "recording__source__camera", "camera")
    return found.order_by("-answer__state", "-look__asked_at", "answer_id", "position").first()


def edited(clip: AnswerClip) -> Cut:
    """Return a clip's stretch as its owner edits it: what leaves, with fixed areas and nothing of what moves covered."""
    return delivery.cut_of(clip, (), (), delivery.chosen_file)


def _look(clip: AnswerClip) -> None:
    look, _made = ClipLook.objects.get_or_create(clip=clip)
    ClipLook.objects.filter(pk=look.pk).update(state="looking", share=0.0, problem="")
    begin, length = clip.cut_start, max(answers.end_of(clip) - clip.cut_start, 1.0)
    first: float | None = None
    last = begin
    told = time.monotonic()
    found: list[Proposal] = []
    try:
        limit = int(max(_LEAST_S, length * _TIMES))
        for word in following.find(edited(clip), seconds=limit, cancelled=_no_more(look)):
            first = word.at if first is None else first
            last = max(last, word.at)
            found += word.found
            if time.monotonic() - told >= _TOLD_S:
                told = time.monotonic()
                ClipLook.objects.filter(pk=look.pk).update(share=min((word.at - begin) / length, 0.99))
    except ProtocolError as error:
        if error.code == "clip.cancelled":
            ClipLook.objects.filter(pk=look.pk).update(state="waiting", share=0.0)
            return
        _fail(look, error.code)
        return
    except OSError:
        _fail(look, "clip.gone")
        return
    blur.keep(look, found, begin if first is None else first, last)


def _fail(look: ClipLook, code: str) -> None:
    ClipLook.objects.filter(pk=look.pk).update(state="failed", share=0.0, problem=code[:64])


def _no_more(look: ClipLook) -> Callable[[], bool]:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        if asked % 10:
            return False
        live = ClipLook.objects.filter(pk=look.pk, clip__answer__blur="on", clip__answer__state__in=("draft", "queued"))
        return not live.exists()

    return stop


def follow(clip: AnswerClip, region_id: int, at: float) -> ClipRegion:
    """Follow what a box of the owner's holds `at` a time, as far as it can be seen, and cover it there. Raises Refused."""
    row = blur.region(clip, region_id)
    box = regions_box(row, at)
    if not _running.acquire(timeout=2):
        raise Refused(503, "blur.busy", _("A clip is being looked through just now."), _("Try again in a moment."))
    try:
        track = following.follow(edited(clip), at, box, seconds=_FOLLOW_S)
    except OSError as error:
        raise Refused(404, "recording.gone", _("This recording is not there any more, or cannot be read.")) from error
    finally:
        _running.release()
    if len(track) < 2:
        raise conflict(
            "region.lost", _("What is in this box could not be followed."), _("Set its times, and move it where it goes.")
        )
    return blur.replace_track(clip, region_id, track)


def regions_box(row: ClipRegion, at: float) -> Box:
    """Return where something's box is at a time. Raises Refused where it is not covered then."""
    box = where(blur.track_of(row), at)
    if box is None:
        raise conflict("region.times", _("It is not covered at this moment."))
    return box
