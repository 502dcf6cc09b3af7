"""Recordings for the household to keep elsewhere: a file as it is, or a stretch cut out of it without encoding it again."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.errors import conflict, invalid
from fairwitness.home.models import Recording
from fairwitness.home.services import cameras, matching, previews, sources
from fairwitness.home.services.previews import Opened
from fairwitness.kit import files
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import cutting
from fairwitness.kit.video.clip import MAX_SOURCES, Cut, Next

LONGEST_S = 2 * 3600


@dataclass(frozen=True, slots=True)
class Download:
    """A file to send, under a name that says camera and time."""

    file: Opened
    name: str


def whole(recording_id: int, where: ZoneInfo) -> Download:
    """Return a recording's own bytes. Raises Refused."""
    row = sources.recordings([recording_id])[recording_id]
    name = _name(row.source.camera.name, row.start, where) if row.start is not None else _plain(Path(row.path).stem)
    return Download(previews.original(recording_id), f"{name}{Path(row.path).suffix.lower()}")


def span(camera_id: int, start: int, end: int, where: ZoneInfo) -> Download:
    """Return what a camera recorded between two times (Unix seconds UTC) as one file; where that is one file, its own bytes.

    A cut begins at the key frame before `start`: nothing is encoded again. Raises Refused: also where something is missing in
    between, and for pictures that can only be handed out whole.
    """
    camera = cameras.get(camera_id)
    if not 0 <= start < end < 2**40 or end - start > LONGEST_S:
        raise invalid("download.times", _("Give a begin and a later end, at most two hours apart."))
    found = Recording.objects.filter(source__camera=camera, gone=False, start__lt=end, end__gt=start)
    rows = list(found.select_related("source__camera").order_by("start", "pk"))
    if not rows:
        raise conflict("download.nothing", _("Nothing was recorded then."))
    first = rows[0]
    begun, ended = first.start or 0, first.end or 0
    if len(rows) == 1 and start <= begun and end >= ended:
        return whole(first.pk, where)
    runs = matching.joined(rows)
    if len(runs) > 1 or len(rows) > MAX_SOURCES:
        raise conflict(
            "download.gap",
            _("Something is missing in this time, so it is not one recording."),
            _("Choose a time without a gap, or download each recording."),
        )
    more = tuple(Next(previews.path_of(rows[index]), offset) for index, offset in runs[0][1:])
    cut = Cut(previews.path_of(first), float(max(start - begun, 0)), float(end - begun), more=more)
    target = previews.cached(first, ".mp4", ["cut", start, end, [row.pk for row in rows], [row.identity for row in rows]])
    return Download(_cut(cut, target), f"{_name(camera.name, max(start, begun), where)}.mp4")


def _cut(cut: Cut, target: Path) -> Opened:
    lock = files.FileLock(target.with_name(".cut.lock"))
    try:
        lock.acquire(wait=False)
    except files.Locked as error:
        raise Refused(503, "download.busy", _("Another download is being cut."), _("Try again in a few seconds.")) from error
    try:
        if not target.exists():
            previews.check_room()
            with files.disk_errors("cache"):
                cutting.make(cut, target)
        found = previews.from_cache(target, "video/mp4")
    except ProtocolError as error:
        if error.code != "clip.not_copyable":
            raise
        raise conflict(
            "download.whole",
            _("This camera's pictures cannot be cut without converting them."),
            _("Download the whole recordings: they are handed out as they were recorded."),
        ) from error
    finally:
        lock.release()
    previews.prune()
    return found


def _name(camera: str, moment: int, where: ZoneInfo) -> str:
    """Return a file's name without its suffix: the camera's name, the local time and its distance from UTC."""
    local = datetime.fromtimestamp(moment, UTC).astimezone(where)
    return f"{_plain(camera)}_{local:%Y-%m-%d_%H-%M-%S%z}"


def _plain(text: str) -> str:
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", bare).strip("-")[:60] or "camera"
