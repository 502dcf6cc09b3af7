"""Does a request concern this home? Decided here, stored here, and sent nowhere."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fairwitness_core.model.request import Request as Document
from fairwitness_core.rules.matching import Watcher
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters.chain import Link
from fairwitness.home.models import Camera, Recorder, Recording, Request
from fairwitness.home.recordings.timeline import Gap, Piece, Place, clips_in_window, join
from fairwitness.home.services import cameras, recorders, sources
from fairwitness.kit import clock

CHAINED = ("rtsp", "frigate", "onvif", "plugin")  # the recorders whose segments stand in a chain


@dataclass(frozen=True, slots=True)
class OwnPiece:
    """A stretch of one recording that the owner could share. Cuts in seconds from its start; times in Unix seconds UTC."""

    recording: int
    path: str
    cut_start: float
    cut_end: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OwnRun:
    """Stretches of recordings that follow each other without a gap. `offsets`: seconds from the first recording's start."""

    pieces: tuple[OwnPiece, ...]
    offsets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class OwnClips:
    """What one camera has in a request's window with its pre-roll, and where it has nothing.

    `pieces` are its recordings' stretches, `runs` the same put together where nothing is missing between them.
    """

    camera: int
    name: str
    pieces: tuple[OwnPiece, ...]
    gaps: tuple[tuple[int, int], ...]
    runs: tuple[OwnRun, ...] = ()


def document(request: Request) -> Document:
    """Return the signed document of a stored request."""
    return Document.parse(dsse.Envelope.parse(bytes(request.envelope)).payload)


def rematch(now: int | None = None) -> list[Request]:
    """Judge every live request against cameras and recordings as they are now; returns those that match anew.

    Muted or not makes no difference here: opt-outs decide on alerts and lists alone.
    """
    moment = clock.now() if now is None else now
    watcher = cameras.watcher()
    live = Request.objects.filter(expires__gt=moment, withdrawn="")
    return [request for request in live if _judge(request, watcher, moment)]


def _judge(request: Request, watcher: Watcher, now: int) -> bool:
    area = document(request).area
    near = watcher.near(area)
    found = watcher.match(area, (request.start, request.end), _intervals(request)) if near else None
    hits = (
        []
        if found is None
        else [{"camera": int(hit.camera), "intervals": [list(i) for i in hit.intervals]} for hit in found.hits]
    )
    anew = bool(hits) and request.matched_at is None
    if (near, hits) != (request.near, request.hits) or anew:
        request.near, request.hits = near, hits
        request.matched_at = request.matched_at or (now if hits else None)
        request.save(update_fields=["near", "hits", "matched_at"])
    return anew


def _intervals(request: Request) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    rows = Recording.objects.filter(gone=False, start__isnull=False, start__lt=request.end, end__gt=request.start)
    for camera, start, end in rows.values_list("source__camera_id", "start", "end"):
        if start is not None and end is not None:
            found[str(camera)].append((start, end))
    return found


def own_clips(request: Request) -> list[OwnClips]:
    """Return, for each camera that sees the request's area, its stretches in the window with pre-roll, and the gaps."""
    area = document(request).area
    seeing = [camera for camera in cameras.listing() if Watcher({"": cameras.cells(camera)}).near(area)]
    return [_of_camera(camera, request) for camera in seeing]


def _of_camera(camera: Camera, request: Request) -> OwnClips:
    rows = list(
        Recording.objects.filter(
            source__camera=camera,
            gone=False,
            start__isnull=False,
            start__lt=request.end,
            end__gt=request.start - camera.pre_roll,
        ).order_by("start", "pk")
    )
    # Several folders may hold files of one name, so each goes by its number here.
    known = {str(row.pk): row for row in rows}
    named = [sources.as_recording(row, path=str(row.pk)) for row in rows]
    window = clips_in_window(named, request.start, request.end, camera.pre_roll)
    pieces = tuple(_piece(piece, known) for piece in window.clips)
    runs = tuple(
        OwnRun(tuple(pieces[index] for index, _ in run), tuple(offset for _, offset in run))
        for run in joined([known[piece.recording.path] for piece in window.clips])
    )
    return OwnClips(camera.pk, camera.name, pieces, tuple(_gap(gap) for gap in window.gaps), runs)


def joined(rows: Sequence[Recording]) -> list[list[tuple[int, float]]]:
    """Put recordings, in order of time, together where nothing is missing between them (recordings.timeline.join)."""
    links: dict[int, dict[str, Link] | None] = {}
    for source in {row.source_id for row in rows}:
        own = [row for row in rows if row.source_id == source]
        links[source] = _links(source, min(row.start or 0 for row in own), max(row.end or 0 for row in own))
    return join([_place(row, links[row.source_id]) for row in rows])


def _links(source: int, start: int, end: int) -> dict[str, Link] | None:
    """Return the links of a source's recordings between two times by path; None for a source without a chain."""
    recorder = Recorder.objects.filter(source_id=source, kind__in=CHAINED).first()
    if recorder is None:
        return None
    try:
        return {link.path: link for link in recorders.chain(recorder).near(start * 1000, end * 1000)}
    except (ProtocolError, OSError):
        return {}  # a damaged chain joins nothing; `recorders.verify` says what is wrong with it


def _place(row: Recording, links: dict[str, Link] | None) -> Place:
    start = float(row.start or 0)
    source = f"{row.source_id} {row.time_source}"  # a clip states one source of its time
    link = links.get(row.path) if links else None
    if link is None:
        return Place(source, start, row.seconds, chained=links is not None)
    return Place(source, link.start / 1000, (link.end - link.start) / 1000, True, link.number, not link.after)


def _piece(piece: Piece, known: dict[str, Recording]) -> OwnPiece:
    row = known[piece.recording.path]
    return OwnPiece(row.pk, row.path, piece.cut_start, piece.cut_end, piece.start, piece.end)


def _gap(gap: Gap) -> tuple[int, int]:
    return (gap.start, gap.end)
