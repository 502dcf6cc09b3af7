"""Everything that this home keeps for its people, in one ZIP that any computer opens: never a key, never a password.

The documents are written to a temporary file first, one at a time; recordings are read from where they lie while the ZIP goes
out. Nothing is compressed (video does not get smaller), so its length is known before its first byte: APPNOTE 6.3.10, 4.3.
"""

import html
import importlib.metadata
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from django.forms.models import model_to_dict
from django.utils.translation import gettext as _
from fairwitness_core.wire import dsse

from fairwitness.home.config import Config
from fairwitness.home.models import Alarm, Answer, Camera, Recording, Request, Source
from fairwitness.home.operate import OPERATIONS
from fairwitness.home.services import answers, cameras, household, join, masks, matching, notifier, optouts, recorders, sharing
from fairwitness.kit import clock, config, secrets_store
from fairwitness.kit.operate import settings_page

BLOCK: Final = 1 << 18
LEFT_OUT_BYTES: Final = 1 << 16
_DOCUMENTS: Final = 1 << 20  # kept in memory up to here, on disk beyond


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the ZIP: its name there and its length; `offset` into the spool, or the `path` it is read from."""

    name: str
    size: int
    offset: int = 0
    path: Path | None = None


@dataclass(slots=True)
class Plan:
    """What goes into a ZIP, and how long it gets. `begun` is its date, Unix seconds UTC."""

    begun: int
    spool: IO[bytes]
    entries: list[Entry] = field(default_factory=list)

    @property
    def length(self) -> int:
        """The ZIP's length in bytes."""
        return zip_length([(entry.name, entry.size) for entry in self.entries])


def recordings_size() -> tuple[int, int]:
    """Return how many recordings there are and their bytes."""
    sizes = [row.size for row in _rows()]
    return len(sizes), sum(sizes)


def plan(*, with_recordings: bool) -> Plan:
    """Write the documents and list the recordings; the caller closes `spool` by `stream`."""
    made = Plan(clock.now(), tempfile.SpooledTemporaryFile(_DOCUMENTS))  # noqa: SIM115 - closed by stream
    told: list[tuple[str, list[tuple[str, str]]]] = []
    for title, rows in _documents(made, with_recordings=with_recordings):
        told.append((title, rows))
    _put(made, "index.html", _index(made.begun, told).encode())
    if with_recordings:
        taken: set[str] = set()
        for row in _rows():
            path = Path(row.source.folder) / row.path
            try:
                size = path.stat().st_size
            except OSError:
                continue
            made.entries.append(Entry(_recording_name(row, taken), size, path=path))
        if any(entry.path for entry in made.entries):
            made.entries.append(Entry("recordings/left-out.txt", LEFT_OUT_BYTES))
    return made


def stream(made: Plan) -> Iterator[bytes]:
    """Yield the ZIP, `made.length` bytes.

    A recording that is not there any more, or got shorter meanwhile, is filled up with zeros and named in left-out.txt.
    """
    sink = _Sink()
    when = datetime.fromtimestamp(made.begun, UTC).timetuple()[:6]
    missing: list[str] = []
    with made.spool, zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as out:
        for entry in made.entries:
            about = zipfile.ZipInfo(entry.name, date_time=when)
            about.external_attr = 0o600 << 16
            with out.open(about, "w", force_zip64=True) as target:
                for block in _blocks(made, entry, missing):
                    target.write(block)
                    yield from sink.taken()
            yield from sink.taken()
    yield from sink.taken()


def zip_length(entries: list[tuple[str, int]]) -> int:
    """Return the length of what `stream` makes of these names and sizes.

    Each entry: local header (4.3.7) with ZIP64 sizes (4.5.3), the bytes, a data descriptor (4.3.9.2), and its line of the central
    directory (4.3.12), in which only numbers that need it take ZIP64's eight bytes. The end: 4.3.14 to 4.3.16.
    """
    limit = zipfile.ZIP64_LIMIT
    at, central = 0, 0
    for name, size in entries:
        named = len(name.encode())
        wide = (2 if size > limit else 0) + (1 if at > limit else 0)
        central += 46 + named + (4 + 8 * wide if wide else 0)
        at += 30 + named + 20 + size + 24
    wide_end = len(entries) > zipfile.ZIP_FILECOUNT_LIMIT or at > limit or central > limit
    return at + central + (56 + 20 if wide_end else 0) + 22


class _Sink(io.RawIOBase):
    """What zipfile writes into: it cannot seek, and is emptied after each block."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        block = bytes(data)
        self._blocks.append(block)
        return len(block)

    def taken(self) -> list[bytes]:
        """Return what was written since the last time."""
        found, self._blocks = self._blocks, []
        return [b"".join(found)] if found else []


def _blocks(made: Plan, entry: Entry, missing: list[str]) -> Iterator[bytes]:
    if entry.name == "recordings/left-out.txt":
        names = "\n".join(missing) if missing else "Nothing was left out."
        yield names.encode()[:LEFT_OUT_BYTES].ljust(LEFT_OUT_BYTES, b" ")
        return
    left = entry.size
    if entry.path is None:
        made.spool.seek(entry.offset)
        while left:
            block = made.spool.read(min(BLOCK, left))
            left -= len(block)
            yield block
        return
    try:
        with entry.path.open("rb") as source:
            while left and (block := source.read(min(BLOCK, left))):
                left -= len(block)
                yield block
    except OSError:
        pass  # what is missing is named below
    if left:
        missing.append(entry.name)
    while left:
        block = bytes(min(BLOCK, left))
        left -= len(block)
        yield block


def _put(made: Plan, name: str, data: bytes) -> None:
    offset = made.spool.seek(0, io.SEEK_END)
    made.spool.write(data)
    made.entries.append(Entry(name, len(data), offset))


def _json(made: Plan, name: str, value: Any) -> None:
    _put(made, name, json.dumps(value, ensure_ascii=False, indent=1, default=_plain).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return dsse.b64(bytes(value))
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def _rows() -> Iterator[Recording]:
    return (
        Recording.objects.filter(gone=False)
        .select_related("source__camera")
        .order_by("source__camera__name", "start", "pk")
        .iterator(chunk_size=500)
    )


def _recording_name(row: Recording, taken: set[str]) -> str:
    camera = re.sub(r"[^\w .()-]", "_", row.source.camera.name)
    name = re.sub(r"[^\w .()/-]", "_", row.path).replace("..", "_").lstrip("/")
    found = f"recordings/{camera}/{name}"
    if found in taken:
        found = f"recordings/{camera}/{row.pk}-{Path(name).name}"
    taken.add(found)
    return found


# ---------------------------------------------------------------- documents


def _documents(made: Plan, *, with_recordings: bool) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Write the documents; yield what the readable page says: a title and its lines (what, and more of it)."""
    yield _("This home"), _home(made)
    yield _("Cameras"), _cameras(made)
    yield _("Recordings"), _recordings(made, with_recordings=with_recordings)
    yield _("Settings"), _settings(made)
    yield _("Requests"), list(_requests(made))
    yield _("Answers"), list(_answers(made))


def _home(made: Plan) -> list[tuple[str, str]]:
    version = importlib.metadata.version("fairwitness")
    value: dict[str, Any] = {"program": f"fairwitness {version}", "exported_at": made.begun}
    lines = [(_("Program"), f"Fairwitness {version}"), (_("Made"), _when(made.begun))]
    if join.pinned() is not None:
        document = join.current().join
        prints = [{"kind": p.kind, "name": p.name, "key": p.pinned} for p in join.fingerprints(document, ask_witnesses=False)]
        value |= {"hub": {"name": document.name, "url": document.url, "keys": prints}}
        lines.append((_("Hub"), f"{document.name}, {document.url}"))
    value["alarms"] = [model_to_dict(row) for row in Alarm.objects.order_by("at")]
    value["household"] = [
        {"name": one.name, "role": one.role, "may_answer": one.may_answer, "cameras": one.camera_names, "shut_out": one.frozen}
        for one in household.listing()
    ]
    _json(made, "home.json", value)
    return lines


def _cameras(made: Plan) -> list[tuple[str, str]]:
    views = {view.id: asdict(view) for view in recorders.listing()}
    lines, found = [], []
    for camera in cameras.listing():
        sources = [_source(row, views) for row in Source.objects.filter(camera=camera).select_related("recorder")]
        value = model_to_dict(camera) | {"sources": sources, "covered": [asdict(mask) for mask in masks.listing(camera.pk)]}
        found.append(value)
        lines.append((camera.name, _place(camera)))
    _json(made, "cameras.json", found)
    return lines


def _place(camera: Camera) -> str:
    if camera.lat is None or camera.lon is None:
        return _("place not known")
    return f"{camera.lat:.6f}, {camera.lon:.6f}"


def _source(row: Source, views: dict[int, dict[str, Any]]) -> dict[str, Any]:
    found = {key: getattr(row, key) for key in ("kind", "folder", "zone", "offset", "container_trusted", "problem")}
    recorder = getattr(row, "recorder", None)
    return found | {"recorder": None if recorder is None else views.get(recorder.pk)}


def _recordings(made: Plan, *, with_recordings: bool) -> list[tuple[str, str]]:
    offset = made.spool.seek(0, io.SEEK_END)
    count = size = 0
    made.spool.write(b"[")
    for row in _rows():
        value = {key: getattr(row, key) for key in ("id", "path", "start", "end", "seconds", "time_source", "codec", "size")} | {
            "camera": row.source.camera.name
        }
        made.spool.write((b",\n " if count else b"\n ") + json.dumps(value, ensure_ascii=False).encode())
        count, size = count + 1, size + row.size
    made.spool.write(b"\n]\n")
    made.entries.append(Entry("recordings.json", made.spool.tell() - offset, offset))
    where = _("in the folder “recordings”") if with_recordings else _("listed here, but not in this file")
    return [(_("%(n)d recordings, %(size)d bytes") % {"n": count, "size": size}, where)]


def _settings(made: Plan) -> list[tuple[str, str]]:
    stored, chosen = optouts.row(), optouts.get()
    channels = [
        {"name": row.name, "third_party": row.third_party, "at_once": row.instant} for row in notifier.channels()
    ]  # an address may hold a password
    shown = settings_page.settings_of(OPERATIONS, config.current(Config))
    value = {
        "choices": asdict(chosen) | {"digest_minute": stored.digest_minute},
        "channels": channels,
        "config": {item.name: item.value for item in shown if item.name != "oidc"},
    }
    _json(made, "settings.json", value)
    off = (
        _("none")
        if not (chosen.alerts_off or chosen.agencies or chosen.offenses)
        else ", ".join([*([_("all requests")] if chosen.alerts_off else []), *sorted(chosen.agencies | chosen.offenses)])
    )
    return [(_("Not to hear of"), off), (_("Channels"), ", ".join(str(row["name"]) for row in channels) or _("none"))]


def _requests(made: Plan) -> Iterator[tuple[str, str]]:
    """Those near this home, that somebody looked at, or that were answered: the others are everybody's and stand in the log."""
    answered = set(Answer.objects.values_list("request_id", flat=True))
    for row in Request.objects.order_by("log_index").iterator(chunk_size=200):
        if not (row.near or row.seen_at or row.ignored_at or row.pk in answered):
            continue
        document = matching.document(row)
        value = model_to_dict(row, exclude=["envelope", "hits"]) | {
            "id": row.pk, "case": document.case, "words": document.msg, "contact": document.contact, "area": list(document.area),
            "envelope": bytes(row.envelope).decode(),
        }  # fmt: skip
        _json(made, f"requests/{row.pk}.json", value)
        yield row.agency_name, f"{_when(row.start)} to {_when(row.end)}: {document.msg}"


def _answers(made: Plan) -> Iterator[tuple[str, str]]:
    for row in answers.listing():
        receipt = sharing.receipts(row.pk)
        identity = None if row.identity is None else json.loads(secrets_store.unwrap(bytes(row.identity)))
        value = asdict(receipt) | {
            "kind": row.kind, "mode": row.mode, "statement": row.statement, "identity": identity, "until": row.until,
            "status": row.status, "statuses": row.statuses, "terms_sha256": row.terms_sha256, "redactions": row.redactions,
            "withdrawal": None if row.withdrawal is None else bytes(row.withdrawal),
            "clips": [
                {
                    "name": clip.name, "sha256": clip.sha256, "size": clip.size, "start": clip.start, "end": clip.end,
                    "cut_start": clip.cut_start, "cut_end": clip.cut_end, "muted": clip.mute, "recording": clip.recording_id,
                }
                for clip in row.clips.all()
            ],
        }  # fmt: skip
        _json(made, f"answers/{row.pk}.json", value)
        more = f" “{row.statement}”" if row.statement else ""
        yield row.request.agency_name, f"{_when(row.created_at)}: {receipt.sentence}{more}"


def _when(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _index(begun: int, told: list[tuple[str, list[tuple[str, str]]]]) -> str:
    title = _("Everything that this home keeps, %(at)s") % {"at": _when(begun)}
    parts = [
        "<!doctype html><html><head><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{html.escape(title)}</title>",
        "<style>body{font:16px/1.5 sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}",
        "dt{font-weight:600}dd{margin:0 0 .5rem}</style></head><body>",
        f"<h1>{html.escape(title)}</h1><p>{html.escape(_('The same, for programs, stands beside this page as JSON.'))}</p>",
    ]
    for name, rows in told:
        parts.append(f"<h2>{html.escape(name)}</h2><dl>")
        parts += [f"<dt>{html.escape(what)}</dt><dd>{html.escape(more)}</dd>" for what, more in rows]
        parts.append(f"</dl>{'' if rows else '<p>' + html.escape(_('none')) + '</p>'}")
    return "\n".join([*parts, "</body></html>\n"])
