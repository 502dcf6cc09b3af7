"""Fetching what an ONVIF recorder (Profile G) recorded itself, for times that a live request asks about and nothing else.

Which times it has: its search service's recording and events of the kind RecordingHistory/Track/State (ONVIF Recording Search
Specification sections 5.6 and 5.21). The pictures: its replay, taken by a process of its own (adapters.onvif_replay). Nothing
is ever made, changed or deleted there, except that a search is ended.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fairwitness_core.wire.errors import ProtocolError
from onveef import envelopes, parsers

from fairwitness.home.adapters import onvif, segments
from fairwitness.home.adapters.base import Known, Look, SourceProblem, Span
from fairwitness.home.adapters.chain import Chain, file_sha256
from fairwitness.home.adapters.onvif_replay import MAX_FILES, Task
from fairwitness.home.adapters.onvif_soap import NEAR_S, Device, walked
from fairwitness.home.adapters.rtsp import look_at_chain
from fairwitness.kit import files
from fairwitness.kit.video.probe import Probe
from fairwitness.kit.video.worker import pictures_each, probe_each

MAX_RECORDINGS: Final = 64
MAX_EVENTS: Final = 2000
MAX_PAGES: Final = 40
SEARCH_S: Final = 30.0
SETTLE_S: Final = 30  # what ended so lately may not be in its index yet
LOOK_S: Final = 120.0
"""Seconds that one look takes at most: what is left is taken by the next."""
PIECE_S: Final = 600
AGAIN_S: Final = 3600
"""A time of which the recorder had nothing is asked about again after so many seconds."""
PATIENCE_S: Final = 8.0
"""A recorder that is silent for so many seconds has no more."""
RESERVE: Final = 512 << 20
MAX_DONE: Final = 2000
LENGTH_S: Final = 2.0  # by which a file may be longer or shorter than it was said to be
_LATE_MS: Final = 2000
_JOINS_MS: Final = 500
_PART: Final = ".part"
_TOPIC: Final = "tns1:RecordingHistory/Track/State//."
WHY: Final = "replayed by the recorder; its clock, as the replay states it"
WHY_SEARCHED: Final = "replayed by the recorder; its clock, as the search states it: the replay states no time"
_NAMES: Final = re.compile(r"replay-\d{1,15}\.mp4")


@dataclass(frozen=True, slots=True)
class Stored:
    """A recording: its token, what it calls its source, and from when to when it has something (Unix seconds, its own clock)."""

    token: str
    name: str
    start: float
    end: float
    pictures: tuple[str, ...]


def recordings(device: Device) -> list[Stored]:
    """Return what is recorded at all, at most MAX_RECORDINGS. Raises SourceProblem."""
    body = envelopes.search_find_recordings(max_matches=MAX_RECORDINGS, keep_alive="PT30S")
    found: list[Stored] = []
    for row in _search(device, body, envelopes.search_get_recording_search_results, parsers.parse_recording_search_results):
        one = _stored(row)
        if one is not None and one.token not in {other.token for other in found}:
            found.append(one)
        if len(found) > MAX_RECORDINGS:
            raise SourceProblem("too_many")
    return found


def present(device: Device, stored: Stored, start: float, end: float) -> list[tuple[float, float]]:
    """Return when between two times (the recorder's clock) there are pictures; all of it where a device does not say.

    Raises SourceProblem.
    """
    start, end = max(start, stored.start), min(end, stored.end)
    if start >= end:
        return []
    body = envelopes.search_find_events(
        start_point=_text(start),
        end_point=_text(end),
        included_recordings=[stored.token],
        filter_expression=_TOPIC,
        include_start_state=True,
        max_matches=MAX_EVENTS,
        keep_alive="PT30S",
    )
    try:
        rows = list(_search(device, body, envelopes.search_get_event_search_results, parsers.parse_event_search_results))
    except SourceProblem as problem:
        if problem.code in ("missing", "fault", "answer"):
            return [(start, end)]
        raise
    changes = sorted(filter(None, (_change(row, stored) for row in rows)))
    return _spans(changes, start, end)


def replay_address(device: Device, token: str) -> str:
    """Ask where a recording is replayed. Raises SourceProblem."""
    said = parsers.parse_stream_uri(device.call("replay", envelopes.replay_get_replay_uri(recording_token=token)))
    found = onvif.own_address(said, device)
    if not found.startswith("rtsp:"):
        raise SourceProblem("no_replay")
    return found


def _search(device: Device, body: str, ask: Any, parse: Any) -> Iterator[dict[str, Any]]:
    """Begin a search, yield its results page by page, and end it. Raises SourceProblem."""
    until = time.monotonic() + SEARCH_S
    token = parsers.parse_created_token(device.call("search", body), tag="SearchToken")
    if not token or len(token) > 512:
        raise SourceProblem("answer")
    count = 0
    try:
        for _page in range(MAX_PAGES):
            answer = device.call("search", ask(search_token=token, max_results=100, wait_time="PT2S"))
            found = walked(parse, answer)
            for row in found["results"]:
                count += 1
                if count > MAX_EVENTS:
                    raise SourceProblem("too_many")
                if isinstance(row, dict):
                    yield row
            if found["state"] not in ("Queued", "Searching"):
                return
            if time.monotonic() > until:
                raise SourceProblem("slow")
        raise SourceProblem("too_many")
    finally:
        with contextlib.suppress(SourceProblem):  # it ends by itself
            device.call("search", envelopes.search_end_search(search_token=token))


def _stored(row: dict[str, Any]) -> Stored | None:
    token = row.get("RecordingToken")
    begin, end = _moment(row.get("EarliestRecording")), _moment(row.get("LatestRecording"))
    try:
        token = onvif.check_token(token) if isinstance(token, str) else ""
    except ProtocolError:
        return None
    source = row.get("Source")
    name = source.get("Name", "") if isinstance(source, dict) else ""
    tracks = row.get("Track", [])
    tracks = tracks if isinstance(tracks, list) else [tracks]
    pictures = [t.get("TrackToken") for t in tracks if isinstance(t, dict) and t.get("TrackType") == "Video"]
    if not token:
        return None
    return Stored(
        token,
        onvif.plain(name),
        0.0 if begin is None else begin,
        float(2**33) if end is None or row.get("RecordingStatus") == "Recording" else end,
        tuple(str(p) for p in pictures[:16]),
    )


def _change(row: dict[str, Any], stored: Stored) -> tuple[float, bool] | None:
    """Return when pictures began (True) or ended (False), out of an event of this recording; None for any other."""
    at = _moment(row.get("Time"))
    track = row.get("TrackToken")
    if at is None or row.get("RecordingToken") != stored.token or (stored.pictures and track not in stored.pictures):
        return None
    for name, value in _items(row.get("Event"), 0):
        if name == "IsDataPresent":
            return at, value.strip().lower() in ("true", "1")
    return None


def _items(found: object, depth: int) -> Iterator[tuple[str, str]]:
    if depth > 8:
        return
    if isinstance(found, list):
        for one in found[:32]:
            yield from _items(one, depth + 1)
    elif isinstance(found, dict):
        if isinstance(found.get("@Name"), str) and isinstance(found.get("@Value"), str):
            yield found["@Name"], found["@Value"]
        for one in found.values():
            yield from _items(one, depth + 1)


def _spans(changes: Sequence[tuple[float, bool]], start: float, end: float) -> list[tuple[float, float]]:
    """Return the times with pictures; before the first change there is the opposite of it."""
    if not changes:
        return [(start, end)]  # a recorder that names no change has none in this time, or does not keep count
    since = None if changes[0][1] else start
    found = []
    for at, there in changes:
        if there and since is None:
            since = at
        elif not there and since is not None:
            found.append((since, at))
            since = None
    if since is not None:
        found.append((since, end))
    joined: list[tuple[float, float]] = []
    for low, high in ((max(a, start), min(b, end)) for a, b in found):
        if joined and low - joined[-1][1] < 1:
            joined[-1] = (joined[-1][0], high)
        elif low < high:
            joined.append((low, high))
    return joined


def _moment(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        found = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return found if 0 < found < 2**33 else None


def _text(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}.{int(at % 1 * 1000):03d}Z"


class Done:
    """Which times were asked about to their end, by this machine's clock (ms), and the offset that was used; a small file."""

    def __init__(self, path: Path) -> None:
        """Read it; a damaged one only costs asking again."""
        self._path = path
        self.ahead = 0
        self._spans: list[list[int]] = []
        try:
            found = json.loads(path.read_bytes())
            self.ahead = int(found["ahead"])
            self._spans = [[int(n) for n in row[:3]] for row in found["spans"] if len(row) == 3][:MAX_DONE]
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._spans = []

    def spans(self, now: int) -> list[Span]:
        """Return the times that need not be asked about at `now`."""
        return [(a, b) for a, b, again in self._spans if not again or now < again]

    def add(self, start: int, end: int, again: int) -> None:
        """Note a time; `again`: when (Unix seconds) to ask once more, 0 = never."""
        self._spans = [row for row in self._spans if not (start <= row[0] and row[1] <= end)]
        self._spans = [*self._spans, [start, end, again]][-MAX_DONE:]
        self.write()

    def write(self) -> None:
        """Store it."""
        files.write_atomic(self._path, json.dumps({"ahead": self.ahead, "spans": self._spans}).encode())


def without(span: Span, taken: Sequence[Span]) -> list[Span]:
    """Return what is left of `span` when all of `taken` is cut out; pieces of less than a second are left out."""
    left = [span]
    for low, high in taken:
        left = [part for a, b in left for part in ((a, min(b, low)), (max(a, high), b)) if part[0] < part[1]]
    return [(a, b) for a, b in left if b - a >= 1000]


@dataclass(frozen=True, slots=True)
class OnvifAdapter:
    """Fetches into `folder` what the recording `token` of a device has, and chains it. Times are put to this machine's clock."""

    folder: Path
    chain: Chain
    device: Device
    token: str
    kind: str = "onvif"
    look_s: float = LOOK_S
    command: tuple[str, ...] = field(default=(sys.executable, "-m", "fairwitness.home.adapters.onvif_replay"), repr=False)

    def look(self, known: Known, *, now: int, cursor: str, windows: Sequence[Span]) -> Look:  # noqa: ARG002 - the chain says it
        """Fetch what the windows ask about and is not here yet, then read the chain. Raises SourceProblem, OSError."""
        wanted = self._wanted(now, windows)
        if wanted:
            self._fetch_all(now, wanted)
        look = look_at_chain(self.folder, self.chain, cursor)
        found = tuple(
            replace(one, why=WHY_SEARCHED if one.path.endswith("-searched.mp4") else WHY) for one in look.scan.recordings
        )
        return replace(look, scan=replace(look.scan, recordings=found))

    def _wanted(self, now: int, windows: Sequence[Span]) -> list[Span]:
        """Return what to ask about, in ms by this machine's clock."""
        if not windows:
            return []
        self.chain.mend()
        done = Done(self._notes())
        links = self.chain.read()[0]
        here = [(link.start, link.end) for link in links if (self.folder / link.path).exists()]
        found: list[Span] = []
        for start, end in windows:
            whole = (start * 1000, min(end, now - SETTLE_S) * 1000)
            if whole[0] < whole[1]:
                found += without(whole, [*done.spans(now), *here, *found])
        return sorted(found)

    def _notes(self) -> Path:
        return files.private_dir(self.chain.root) / "replayed.json"

    def _fetch_all(self, now: int, wanted: Sequence[Span]) -> None:
        until = time.monotonic() + self.look_s
        if shutil.disk_usage(files.private_dir(self.folder)).free < RESERVE:
            raise SourceProblem("disk_full")
        done = Done(self._notes())
        ahead = self._ahead(done)
        stored = next((one for one in recordings(self.device) if one.token == self.token), None)
        if stored is None:
            raise SourceProblem("no_recording")
        address = ""
        for start, end in wanted:
            there = present(self.device, stored, (start + ahead) / 1000, (end + ahead) / 1000)
            spans = [(round(low * 1000) - ahead, round(high * 1000) - ahead) for low, high in there]
            reached = start
            for low, high, joins in (piece for span in spans for piece in _pieces(*span)):
                if time.monotonic() > until:
                    return
                address = address or replay_address(self.device, self.token)
                # What goes on now will be asked about again: the next look begins at a key frame, so this one ends at it.
                goes_on = high >= (now - SETTLE_S) * 1000
                if high - max(low, reached) >= _JOINS_MS:
                    left = until - time.monotonic()
                    reached = self._piece(now, done, address, (max(low, reached), high), joins=joins or goes_on, left=left)
            # What the recorder says it has not may still come: a disk that it indexes late.
            for low, high in without((start, end), spans):
                done.add(low, high, now + AGAIN_S)

    def _ahead(self, done: Done) -> int:
        """Return by how many ms the recorder's clock is ahead; an error that its whole seconds leave open is none.

        The same offset as before is kept while it still fits, so that what was fetched before and now lies side by side.
        """
        said = self.device.clock()
        ahead = 0 if said is None or abs(said) <= NEAR_S else round(said * 1000)
        if abs(ahead - done.ahead) > NEAR_S * 1000 or not ahead:
            done.ahead = ahead
            done.write()
        return done.ahead

    def _piece(self, now: int, done: Done, address: str, span: Span, *, joins: bool, left: float) -> int:
        start, end = span
        seam = any(abs(start - link.end) <= _JOINS_MS for link in self.chain.read()[0])
        task = Task(
            address=address,
            user=self.device.user,
            password=self.device.password,
            folder=str(files.private_dir(self.folder / _PART)),
            start=(start + done.ahead) / 1000,
            end=(end + done.ahead) / 1000,
            seam=seam,
            join=joins,
            wall=max(min(left, 90.0), 10.0),
            patience=PATIENCE_S,
        )
        try:
            lines = _run(self.command, task)
            said = lines[-1] if lines and "code" in lines[-1] else {"code": "answer", "reached": None}
            kept = self._take_all([line for line in lines if "part" in line], done.ahead)
        finally:
            for part in (self.folder / _PART).glob("replay-*"):
                part.unlink(missing_ok=True)
        code = str(said.get("code", ""))[:32]
        last = self.chain.last()
        reached = last.end if kept and last is not None else start
        if code in ("", "nothing"):
            # A recorder that ends early says no reason; what is missing may come another time.
            upto = end if reached >= end - _LATE_MS else reached
            if start < upto:
                done.add(start, upto, 0)
            if upto < end:
                done.add(upto, end, now + AGAIN_S)
        elif not kept:
            raise SourceProblem(code)
        return max(reached, start) if kept else end

    def _take_all(self, lines: Sequence[dict[str, Any]], ahead: int) -> int:
        """Check, chain and keep finished files; returns how many. What is not what it should be is left out."""
        good: dict[Path, dict[str, Any]] = {}
        for line in lines:
            name, begin, end = line.get("part"), line.get("start"), line.get("end")
            if isinstance(name, str) and _NAMES.fullmatch(name) and type(begin) is int and type(end) is int:
                good[self.folder / _PART / name] = line
        if not good:
            return 0
        facts = dict(probe_each(list(good)))
        pictures = dict(pictures_each(list(good)))
        kept = 0
        for spare, line in good.items():
            found, root = facts[spare], pictures.get(spare)
            if isinstance(found, Probe) and found.seconds is not None:
                stated = (line["end"] - line["start"]) / 1000
                if abs(found.seconds - stated) <= LENGTH_S:
                    kept += self._take(spare, line, found.codec, "" if root is None else root.root, ahead)
        return kept

    def _take(self, spare: Path, line: dict[str, Any], codec: str, root: str, ahead: int) -> bool:
        """Chain and keep one file; False when its times are none."""
        begin, end = line["start"], line["end"]
        begin, end = begin - ahead, end - ahead
        last = self.chain.last()
        joins = last is not None and abs(begin - last.end) <= _JOINS_MS
        if joins and last is not None:
            begin = last.end
        if begin < 0 or end <= begin:
            return False
        place = segments.name_of(begin, end)
        place = place if line.get("stated") is True else f"{place.removesuffix('.mp4')}-searched.mp4"
        target = self.folder / place
        files.private_dir(target.parent)
        # The link first: a file without one would never be looked at again, a link without its file is fetched anew.
        self.chain.append(
            sha256=file_sha256(spare),
            start=begin,
            end=end,
            size=spare.stat().st_size,
            path=place,
            codec=codec or "unknown",
            after="" if joins or last is None else "source",
            pictures=root,
            camera_ahead_ms=ahead if self.device.ahead is None or ahead else round(self.device.ahead * 1000),
            derived=True,
        )
        spare.chmod(files.PRIVATE_FILE)
        spare.replace(target)
        files.sync_folder(target.parent)
        return True


def _pieces(start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Cut a time (ms) into pieces that one replay takes; True = the next piece joins."""
    while end - start > PIECE_S * 1000 * 3 // 2:
        yield start, start + PIECE_S * 1000, True
        start += PIECE_S * 1000
    yield start, end, False


def _run(command: Sequence[str], task: Task) -> list[dict[str, Any]]:
    """Run the fetching process to its end; return what it says. Through a pipe: a command line can be read by other users."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        out, _none = process.communicate(json.dumps(asdict(task)).encode() + b"\n", timeout=task.wall + 20)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _none = process.communicate()
    found = []
    for line in out.split(b"\n")[: MAX_FILES + 2]:
        try:
            row = json.loads(line) if line else None
        except ValueError:
            continue
        if isinstance(row, dict):
            found.append(row)
    return found
