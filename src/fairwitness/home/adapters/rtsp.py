"""A camera's own stream: what its recorder has finished, as its chain says. No file is opened to know it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters.base import Known, Look, SourceProblem, Span
from fairwitness.home.adapters.chain import Chain, Link
from fairwitness.home.recordings.folder import FileIdentity, Recording, Scan
from fairwitness.home.recordings.times import TimeSource

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
WHY = "the time at which this machine recorded it"


def check_address(text: str) -> str:
    """Return a stream's address; raises ProtocolError `rtsp.address`, `rtsp.credentials`.

    A password inside the address would stand in every list of cameras, so it is refused here and asked for by itself.
    """
    if not text.isprintable() or any(c.isspace() for c in text) or len(text) > 1000:
        raise ProtocolError("rtsp.address", "an address has no spaces and at most 1000 characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ProtocolError("rtsp.address", "this is no address") from error
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ProtocolError("rtsp.credentials", "give user and password by themselves, not inside the address")
    if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname or port == 0 or parts.fragment:
        raise ProtocolError("rtsp.address", "a camera's address looks like rtsp://192.168.1.20:554/stream")
    return text


def recording_of(link: Link, folder: Path) -> Recording | None:
    """Return a finished segment as the timeline knows it; None when its file is gone or has another size.

    Whole seconds are rounded alike at both ends, so segments that join leave no gap of a second between them.
    """
    path = folder / link.path
    try:
        info = path.stat(follow_symlinks=False)
    except OSError:
        return None
    if info.st_size != link.size:
        return None
    start, end = round(link.start / 1000), round(link.end / 1000)
    return Recording(
        path=link.path,
        identity=FileIdentity(info.st_size, info.st_mtime_ns, info.st_ino),
        start=start,
        end=max(end, start + 1),
        seconds=(link.end - link.start) / 1000,
        time_source=TimeSource.CAMERA,
        why=WHY,
        codec=link.codec,
        size=link.size,
        container_time=None,
    )


def look_at_chain(folder: Path, chain: Chain, cursor: str) -> Look:
    """Return the recordings behind `cursor` in the chain; with "" all of them, and so what is gone. Raises SourceProblem."""
    if not folder.is_dir():
        # An unplugged disk is no thousand deleted recordings.
        raise SourceProblem("unreadable")
    # Links stay when their files go: a whole look begins with the oldest day of which files are left.
    oldest = min((p.name for p in folder.iterdir() if _DAY.fullmatch(p.name)), default="")
    links, after = chain.read(cursor or (f"{oldest}.jsonl:0" if oldest else ""))
    found = [item for link in links if (item := recording_of(link, folder)) is not None]
    return Look(Scan(tuple(found), (), (), ()), whole=not cursor, cursor=after)


@dataclass(frozen=True, slots=True)
class RtspAdapter:
    """`folder` and `chain` of one recorder (adapters.recorder), which runs beside this and is not waited for."""

    folder: Path
    chain: Chain
    kind: str = "rtsp"

    def look(self, known: Known, *, now: int, cursor: str, windows: Sequence[Span]) -> Look:  # noqa: ARG002 - the chain says it
        """Read what was chained since `cursor`. Raises SourceProblem, ProtocolError, OSError."""
        return look_at_chain(self.folder, self.chain, cursor)
