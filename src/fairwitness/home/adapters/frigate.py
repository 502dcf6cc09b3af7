"""Fetching from a Frigate recorder, as a user that may see the shared cameras and nothing else.

Read against Frigate 0.18; older ones answer 404 where a call is missing, and each such call has its fallback here. What is
fetched is the stored segment itself (Frigate's copy of the camera's stream), by the path that its start gives in UTC, and only
for times that a live request asks about. Nothing is ever deleted or made there. Its error bodies are never passed on: they list
the cameras a user may see.
"""

import functools
import hashlib
import json
import os
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters.base import Known, Look, SourceProblem, Span
from fairwitness.home.adapters.chain import Chain, file_sha256
from fairwitness.home.adapters.rtsp import look_at_chain
from fairwitness.kit import clock, files, foreign
from fairwitness.kit.http import Answer, SocketTransport, Transport, Unreachable
from fairwitness.kit.video.worker import pictures_each, probe_each

INTERNAL_PORT: Final = 5000
PORT: Final = 8971
MAX_SEGMENT: Final = 512 << 20
MAX_ANSWER: Final = 16 << 20
MAX_PICTURE: Final = 4 << 20
SETTLE_S: Final = 30  # a segment that ended so lately may not be written yet
_JOINS_MS: Final = 500
_LAST: Final = 2**33  # a second of the year 2242: no recording is later, and calendars here end before 2**40
_CAMERA = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}[0-9A-Za-z.+-]{0,40}")
_COOKIE = re.compile(r"(?:^|[,;]\s*)frigate_token=([A-Za-z0-9._-]{16,4096})")


@dataclass(frozen=True, slots=True)
class About:
    """What a Frigate says of itself and of the user: version, role, cameras that the user may see."""

    version: str
    role: str
    cameras: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored segment: begin and end, Unix seconds UTC."""

    start: float
    end: float

    def path(self, camera: str) -> str:
        """Return where Frigate keeps it; its folders are UTC."""
        at = datetime.fromtimestamp(int(self.start), UTC)
        return f"{at:%Y-%m-%d}/{at:%H}/{camera}/{at:%M.%S}.mp4"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that Frigate saw: `kind` is `alert`, `detection` or `object`; times in Unix seconds UTC, `end` None = goes on."""

    start: float
    end: float | None
    kind: str
    labels: tuple[str, ...]


def check_address(text: str) -> str:
    """Return a Frigate's address; raises ProtocolError `frigate.address`, `frigate.internal_port`, `frigate.plain`."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ProtocolError("frigate.address", "this is no address") from error
    bare = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme not in ("https", "http") or not parts.hostname or not bare or not text.isprintable():
        raise ProtocolError("frigate.address", f"a Frigate's address looks like https://192.168.1.10:{PORT}")
    if port == INTERNAL_PORT:
        raise ProtocolError("frigate.internal_port", f"port {INTERNAL_PORT} takes everybody for an administrator; use {PORT}")
    if port is None:
        raise ProtocolError("frigate.address", f"name the port: Frigate's authenticated one is {PORT}")
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ProtocolError("frigate.plain", "the password would cross the network in clear; use https")
    return text.rstrip("/")


def check_camera(name: str) -> str:
    """Return a camera's name in Frigate; raises ProtocolError `frigate.camera`."""
    if not _CAMERA.fullmatch(name):
        raise ProtocolError("frigate.camera", "a camera's name in Frigate has letters, digits, _ and -")
    return name


def explain(code: str) -> str:
    """Say what a SourceProblem of this module means, for the owner."""
    return {
        "unreachable": _("Frigate does not answer, or its certificate is not the one expected."),
        "refused": _("Frigate does not accept this user and password."),
        "unrestricted": _("This user may see everything. Make a role in Frigate that is limited to the shared cameras."),
        "not_allowed": _("This user may not see this camera."),
        "fingerprint": _("The certificate has another fingerprint."),
    }.get(code, _("Frigate gave an answer that is not understood."))


def pin(address: str, fingerprint: str) -> str:
    """Return the certificate (PEM) that a Frigate shows, if its SHA-256 is `fingerprint`. Raises SourceProblem, ProtocolError."""
    wanted = fingerprint.replace(":", "").strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ProtocolError("frigate.fingerprint", "a fingerprint is the certificate's SHA-256, 64 hexadecimal digits")
    parts = urlsplit(check_address(address))
    try:
        found = ssl.get_server_certificate((parts.hostname or "", parts.port or PORT), timeout=10)
    except (OSError, ValueError) as error:
        raise SourceProblem("unreachable") from error
    if hashlib.sha256(ssl.PEM_cert_to_DER_cert(found)).hexdigest() != wanted:
        raise SourceProblem("fingerprint")
    return found


@dataclass(slots=True)
class Client:
    """Calls to one Frigate. `certificate`: the one (PEM) that it must show, "" = one that this machine's authorities signed."""

    address: str
    user: str
    password: str = field(repr=False)
    certificate: str = field(default="", repr=False)
    transport: Transport | None = None
    _token: str = field(default="", repr=False)

    def about(self, camera: str) -> About:
        """Sign in and check the user's role. Raises SourceProblem: `unrestricted`, `not_allowed`, and as every call.

        Proven on return: 1. the password was taken; 2. the role is not the administrator's; 3. the user may see `camera`.
        """
        profile = self._json("/api/profile")
        role, allowed = profile.get("role"), profile.get("allowed_cameras", [])
        if not isinstance(role, str) or not isinstance(allowed, list) or not all(isinstance(c, str) for c in allowed):
            raise SourceProblem("answer")
        if role in ("admin", "viewer"):  # Frigate's own two roles see every camera
            raise SourceProblem("unrestricted")
        if camera not in allowed:
            raise SourceProblem("not_allowed")
        version = b"".join(self._get("/api/version", limit=200)).decode("ascii", "replace").strip()
        return About(version if _VERSION.fullmatch(version) else "unknown", role, tuple(sorted(allowed)))

    def glance(self, camera: str) -> tuple[bytes, int | None]:
        """Return the camera's newest picture (JPEG, empty: none to be had) and how far Frigate's clock is ahead, in ms.

        The clock is the answer's Date (RFC 9110 section 6.6.1), to the second; None where there is none. Raises SourceProblem.
        """
        if not self._token:
            self._login()
        answer = self._send("GET", f"/api/{camera}/latest.jpg?h=360", {"authorization": f"Bearer {self._token}"}, b"")
        ahead = _ahead(answer.headers.get("date", ""))
        data = b"".join(_bounded(answer, MAX_PICTURE)) if answer.status == 200 else b""
        answer.close()
        return (data if data.startswith(b"\xff\xd8\xff") else b""), ahead

    def segments(self, camera: str, start: float, end: float) -> list[Stored]:
        """Return the stored segments that touch a time, in order. Raises SourceProblem."""
        rows = self._rows(f"/api/{camera}/recordings", after=start, before=end)
        found = [Stored(_number(row.get("start_time")), _number(row.get("end_time"))) for row in rows]
        return sorted((s for s in found if s.start < s.end), key=lambda s: s.start)

    def unavailable(self, camera: str, start: float, end: float) -> list[tuple[float, float]] | None:
        """Return the gaps that Frigate itself declares; None from one too old to say. Raises SourceProblem."""
        # Both ends always: without them some versions take the moment they were started, and some fail.
        try:
            rows = self._rows("/api/recordings/unavailable", cameras=camera, after=start, before=end, scale=30)
        except SourceProblem as problem:
            if problem.code == "missing":
                return None
            raise
        return [(_number(row.get("start_time")), _number(row.get("end_time"))) for row in rows]

    def marks(self, camera: str, start: float, end: float) -> list[Mark]:
        """Return alerts, detections and objects of a time; a plate or a name is not asked for. Raises SourceProblem."""
        found: list[Mark] = []
        try:
            rows = self._rows("/api/review", cameras=camera, after=start, before=end, limit=1000)
        except SourceProblem as problem:
            if problem.code != "missing":
                raise
            rows = []
        for row in rows:
            data = row.get("data")
            objects = data.get("objects") if isinstance(data, dict) else []
            found.append(_mark(row, "alert" if row.get("severity") == "alert" else "detection", objects))
        rows = self._rows("/api/events", cameras=camera, after=start, before=end, limit=1000, sort="date_asc")
        found += [_mark(row, "object", [row.get("label")]) for row in rows]
        return sorted(found, key=lambda mark: (mark.start, mark.kind))

    def fetch(self, camera: str, stored: Stored, target: Path) -> bool:
        """Write the original segment to `target`, synced; False if it is gone. Raises SourceProblem, OSError."""
        return self._save(f"/recordings/{stored.path(camera)}", target)

    def fetch_cut(self, camera: str, stored: Stored, target: Path) -> bool:
        """Write a cut of the same time that Frigate makes: whole seconds, not the original. Raises as `fetch`."""
        return self._save(f"/api/{camera}/start/{int(stored.start)}/end/{int(-(-stored.end // 1))}/clip.mp4", target)

    def _save(self, path: str, target: Path) -> bool:
        try:
            chunks = self._get(path, limit=MAX_SEGMENT)
        except SourceProblem as problem:
            if problem.code == "missing":
                return False
            raise
        with files.disk_errors("recordings"), target.open("wb") as sink:
            for chunk in chunks:
                sink.write(chunk)
            sink.flush()
            os.fsync(sink.fileno())
        return target.stat().st_size > 0

    def _rows(self, path: str, **query: object) -> list[dict[str, Any]]:
        found = self._json(f"{path}?{urlencode(query)}", kind=list)
        if not all(isinstance(row, dict) for row in found):
            raise SourceProblem("answer")
        return list(found)

    def _json(self, path: str, kind: type = dict) -> Any:
        try:
            found = foreign.json_value(b"".join(self._get(path, limit=MAX_ANSWER)))
        except ValueError as error:
            raise SourceProblem("answer") from error
        if not isinstance(found, kind):
            raise SourceProblem("answer")
        return found

    def _get(self, path: str, *, limit: int) -> Iterator[bytes]:
        """Make one call, signing in first, and once again when the session has ended; the body comes bounded."""
        for attempt in (1, 2):
            if not self._token:
                self._login()
            answer = self._send("GET", path, {"authorization": f"Bearer {self._token}"}, b"")
            if answer.status == 200:
                return _bounded(answer, limit)
            answer.close()
            if answer.status == 401 and attempt == 1:
                self._token = ""
                continue
            if answer.status in (401, 403):
                raise SourceProblem("refused" if answer.status == 401 else "not_allowed")
            # 400 is how clip.mp4 says that it has nothing for this time.
            raise SourceProblem("missing" if answer.status in (400, 404, 405, 422) else "answer")
        raise SourceProblem("refused")

    def _login(self) -> None:
        body = json.dumps({"user": self.user, "password": self.password}).encode()
        answer = self._send("POST", "/api/login", {"content-type": "application/json"}, body)
        answer.close()
        cookie = _COOKIE.search(answer.headers.get("set-cookie", ""))
        if answer.status != 200 or cookie is None:
            raise SourceProblem("refused" if answer.status in (200, 401, 403, 404) else "answer")
        self._token = cookie[1]

    def _send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        carrier = self.transport or _carrier(self.certificate)
        length = {"content-length": str(len(body))} if body else {}
        try:
            return carrier.send(method, self.address.rstrip("/") + path, {"accept": "*/*", **length, **headers}, body, 30.0)
        except Unreachable as error:
            raise SourceProblem("unreachable") from error


@functools.lru_cache(maxsize=8)
def _carrier(certificate: str) -> SocketTransport:
    return SocketTransport(pinned=certificate)


def _bounded(answer: Answer, limit: int) -> Iterator[bytes]:
    size = 0
    try:
        for chunk in answer.chunks:
            size += len(chunk)
            if size > limit:
                raise SourceProblem("too_large")
            yield chunk
        stated = answer.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) != size:
            raise SourceProblem("unreachable")
    except Unreachable as error:
        raise SourceProblem("unreachable") from error
    finally:
        answer.close()


def _ahead(stated: str) -> int | None:
    try:
        at = parsedate_to_datetime(stated).timestamp()
    except (ValueError, OverflowError):
        return None
    return round((at - clock.now_float()) * 1000)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST:
        raise SourceProblem("answer")
    return float(value)


def _moment(value: object) -> float:
    """Read a time, which reviews state as ISO 8601 in UTC without saying so, and events as Unix seconds."""
    if not isinstance(value, str):
        return _number(value)
    try:
        at = datetime.fromisoformat(value)
        return _number((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise SourceProblem("answer") from error


def _mark(row: dict[str, Any], kind: str, labels: object) -> Mark:
    names = [label for label in labels if isinstance(label, str) and len(label) <= 40] if isinstance(labels, list) else []
    end = row.get("end_time")
    return Mark(_moment(row.get("start_time")), None if end is None else _moment(end), kind, tuple(names[:16]))


@dataclass(frozen=True, slots=True)
class FrigateAdapter:
    """Fetches into `folder`, under the paths that Frigate uses, and chains what it fetched. Times are Frigate's own."""

    folder: Path
    chain: Chain
    client: Client
    camera: str
    kind: str = "frigate"

    def look(self, known: Known, *, now: int, cursor: str, windows: Sequence[Span]) -> Look:  # noqa: ARG002 - the chain says it
        """Fetch what the windows ask about and is not here yet, then read the chain. Raises SourceProblem, OSError."""
        if windows:
            self.client.about(self.camera)  # a role that was widened since is refused before anything is fetched
            self.chain.mend()
        for start, end in windows:
            self._fetch(start, min(end, now - SETTLE_S))
        return look_at_chain(self.folder, self.chain, cursor)

    def _fetch(self, start: int, end: int) -> None:
        if end <= start:
            return
        for stored in self.client.segments(self.camera, start, end):
            if stored.end > end + SETTLE_S:
                continue  # it may still be growing
            name = stored.path(self.camera)
            if not any((self.folder / place).exists() for place in (name, _cut_name(name))):
                self._take(stored, name)

    def _take(self, stored: Stored, name: str) -> None:
        target = self.folder / name
        files.private_dir(target.parent)
        spare = target.with_name(f".{target.name}.part")
        derived = False
        try:
            if not self.client.fetch(self.camera, stored, spare):
                derived = True
                if not self.client.fetch_cut(self.camera, stored, spare):
                    return
            ((_path, facts),) = probe_each([spare])
            if isinstance(facts, ProtocolError) or facts.seconds is None:
                return
            start, end = stored.start, stored.end
            if derived:
                start, end = float(int(start)), int(start) + facts.seconds
            if abs(facts.seconds - (end - start)) > 2.0:
                return  # a body that ended early: the next look asks again
            place = _cut_name(name) if derived else name
            self._link(spare, place, round(start * 1000), round(end * 1000), facts.codec, derived=derived)
        finally:
            spare.unlink(missing_ok=True)

    def _link(self, spare: Path, place: str, start: int, end: int, codec: str, *, derived: bool) -> None:
        last = self.chain.last()
        joins = last is None or abs(start - last.end) <= _JOINS_MS
        target = self.folder / place
        sha256, size = file_sha256(spare), spare.stat().st_size
        ((_path, pictures),) = pictures_each([spare])
        # The link first: a file without one would never be looked at again, a link without its file is fetched anew.
        self.chain.append(
            sha256=sha256,
            start=start,
            end=end,
            size=size,
            path=place,
            codec=codec or "unknown",
            after="" if joins else "source",
            pictures="" if pictures is None else pictures.root,
            derived=derived,
        )
        spare.chmod(files.PRIVATE_FILE)
        spare.replace(target)
        files.sync_folder(target.parent)


def _cut_name(name: str) -> str:
    return f"{name.removesuffix('.mp4')}-cut.mp4"
