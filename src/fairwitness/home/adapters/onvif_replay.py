"""Takes one stretch of a recorder's replay and writes it as MP4 files: a process of its own, bounded and killable.

`python -m fairwitness.home.adapters.onvif_replay` reads its task (with the password) as one JSON line from standard input and
writes a JSON line for each finished file, and at last `{"code": ..., "reached": ...}`. All times here are the recorder's own.
"""

# ruff: noqa: BLE001 - a library's error can quote the address, so only its kind leaves here

import io
import json
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import av
import av.logging
from av.container import OutputContainer
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters import onvif_rtp, segments
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.onvif_rtsp import Rtsp
from fairwitness.kit import files

MEMORY: Final = 384 << 20
MAX_FILE: Final = 1 << 30
EARLY_S: Final = 15.0
"""A recorder begins at the key frame before the time that it was asked for; what is older than this is left out."""
MAX_FILES: Final = 256
_SEAM_S: Final = 0.1
_OVER_S: Final = 30.0
_TICKS: Final = 90_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to fetch: `start` to `end`, Unix seconds by the recorder's clock, into `folder`.

    `seam`: what is before `start` is here already, so nothing older is taken; `join`: more follows, so the end is the first key
    frame at or after `end`. `longest`: seconds that a file lasts at most without a key frame.
    """

    address: str
    user: str = ""
    password: str = field(default="", repr=False)
    folder: str
    start: float
    end: float
    seam: bool = False
    join: bool = False
    seconds: float = 60.0
    longest: float = 600.0
    wall: float = 90.0
    patience: float = 8.0


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture with its time by the recorder's clock; `stated`: the replay itself gave that time."""

    unit: onvif_rtp.Unit
    at: float
    stated: bool
    codec: str


class Times:
    """Gives each picture its time: the replay's extension, else a credible sender report, else where the range began."""

    def __init__(self, start: float, end: float, track: onvif_rtp.Track) -> None:
        """`start`, `end`: what was asked for."""
        self._range, self._rate, self._codec = (start - 600.0, end + 600.0), track.rate, track.codec
        self._unwrap = onvif_rtp.Unwrap()
        self._anchor: tuple[float, int, bool] | None = None
        self._start = start

    def report(self, time: float | None, stamp: int) -> None:
        """Take a sender report; one of the time of sending, not of recording, is no use and left out."""
        if time is None or not self._range[0] <= time <= self._range[1] or self._unwrap.last is None:
            return
        step = (stamp - self._unwrap.last) & 0xFFFFFFFF
        self._anchor = (time, self._unwrap.last + step - (1 << 32 if step >= 1 << 31 else 0), True)

    def shot(self, unit: onvif_rtp.Unit) -> Shot:
        """Return the picture with its time."""
        stamp = self._unwrap.see(unit.stamp)
        if unit.ntp is not None and self._range[0] <= unit.ntp <= self._range[1]:
            since = None if self._anchor is None else self._anchor[0] + (stamp - self._anchor[1]) / self._rate
            # Stamps pace the pictures of a stretch; the extension, which some write in whole seconds, says where it lies.
            if since is None or not self._anchor or not self._anchor[2] or abs(since - unit.ntp) > segments.JUMP_S / 2:
                self._anchor = (unit.ntp, stamp, True)
        if self._anchor is None:
            self._anchor = (self._start, stamp, False)
        at = self._anchor[0] + (stamp - self._anchor[1]) / self._rate
        return Shot(unit, at, self._anchor[2], self._codec)


class Film:
    """The file that is being written."""

    def __init__(self, folder: Path, shot: Shot) -> None:
        """Open it with the codec's own description, which its first picture, a key frame, holds."""
        self.began, self.stated, self.codec = shot.at, shot.stated, shot.codec
        self.part = folder / f"replay-{round(shot.at * 1000)}.mp4"
        self.last, self.step = shot.at, 0.0
        self._order = onvif_rtp.Order()
        self._out: OutputContainer | None = None
        self._size = 0
        with av.open(io.BytesIO(shot.unit.data), format=shot.codec) as probe:
            picture = probe.streams.video[0]
            if not picture.codec_context.width or not picture.codec_context.extradata:
                raise SourceProblem("picture")
            self._out = av.open(str(self.part), "w", format="mp4")
            self._track = self._out.add_stream_from_template(picture)
        self._track.time_base = Fraction(1, _TICKS)

    def write(self, shot: Shot) -> None:
        """Add a picture."""
        if shot.at > self.last:
            self.step, self.last = shot.at - self.last, shot.at
        self._size += len(shot.unit.data)
        if self._size > MAX_FILE:
            raise SourceProblem("too_large")
        self._put(self._order.push(round((shot.at - self.began) * _TICKS), shot.unit))

    def close(self, end: float | None) -> dict[str, Any] | None:
        """Finish the file and say what it is; None (and no file) when it holds next to nothing. `end`: where the next begins."""
        self._put(self._order.end())
        if self._out is not None:
            self._out.close()
            self._out = None
        until = end if end is not None else self.last + min(max(self.step, 0.001), 2.0)
        if until - self.began < 0.05:
            self.part.unlink(missing_ok=True)
            return None
        handle = os.open(self.part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        start, stop = round(self.began * 1000), round(until * 1000)
        return {"part": self.part.name, "start": start, "end": stop, "codec": self.codec, "stated": self.stated}

    def discard(self) -> None:
        """Leave no file."""
        if self._out is not None:
            self._out.close()
        self.part.unlink(missing_ok=True)

    def _put(self, ready: Iterator[tuple[int, int, object]]) -> None:
        for shown, decode, unit in ready:
            if self._out is None or not isinstance(unit, onvif_rtp.Unit):
                raise SourceProblem("picture")
            packet = av.Packet(unit.data)
            packet.stream, packet.time_base = self._track, Fraction(1, _TICKS)
            packet.pts, packet.dts, packet.is_keyframe = shown, decode, unit.key
            packet.duration = max(round(self.step * _TICKS), 1)
            self._out.mux(packet)


def shots(rtsp: Rtsp, task: Task) -> Iterator[Shot]:
    """Ask for the replay and yield its pictures, in order of decoding. Raises SourceProblem, ProtocolError."""
    reply = rtsp.ask("DESCRIBE", task.address, Accept="application/sdp", Require="onvif-replay")
    base = reply.headers.get("content-base") or reply.headers.get("content-location") or task.address
    track = onvif_rtp.read_sdp(reply.body, _same(base, task.address) or task.address)
    control = _same(track.control, task.address)
    if not control:
        raise SourceProblem("other_host")
    media, reports = rtsp.set_up(control)
    rtsp.play(task.start, task.end + (_OVER_S if task.join else 0.0))
    times = Times(task.start, task.end, track)
    pieces = onvif_rtp.Depacketizer(track.codec, track.sets)
    for channel, data in rtsp.frames():
        if channel == reports:
            time, stamp, bye = onvif_rtp.read_report(data)
            times.report(time, stamp)
            if bye:
                break
        elif channel == media:
            packet = onvif_rtp.read_packet(data)
            if packet.payload == track.payload:
                for unit in pieces.push(packet):
                    yield times.shot(unit)
    for unit in pieces.end():
        yield times.shot(unit)


def _same(url: str, ours: str) -> str:
    """Return `url` when it is this very recorder's, with our own host and port; else ""."""
    try:
        one, other = urlsplit(url), urlsplit(ours)
        fits = one.scheme == "rtsp" and (one.port or 554) == (other.port or 554) and "@" not in one.netloc
    except ValueError:
        return ""
    if not fits or not url.isascii() or not url.isprintable() or " " in url or len(url) > 1000:
        return ""
    return one._replace(netloc=other.netloc).geturl() if (one.hostname or "") in (other.hostname, "0.0.0.0", "") else ""  # noqa: S104


def fetch(task: Task, tell: Any) -> None:
    """Fetch `task`; `tell` takes each line of the answer. Raises nothing that a recorder causes."""
    rtsp = Rtsp(task.address, task.user, task.password, seconds=task.wall, patience=task.patience)
    film: Film | None = None
    reached: int | None = None
    code, count = "", 0
    cutter = segments.Cutter(task.seconds, task.longest)
    folder = Path(task.folder)
    floor = task.start - (_SEAM_S if task.seam else EARLY_S)

    def finish(end: float | None) -> None:
        nonlocal film, reached, count
        if film is not None:
            done, film = film, None
            line = done.close(end)
            if line is not None:
                count += 1
                if count > MAX_FILES:
                    raise SourceProblem("answer")
                reached = line["end"]
                tell(line)

    try:
        rtsp.open()
        for shot in shots(rtsp, task):
            if shot.at >= task.end and (shot.unit.key or not task.join or shot.at >= task.end + _OVER_S):
                finish(shot.at if film is not None and shot.at - film.last <= segments.JUMP_S else None)
                reached = round(max(shot.at if task.join else task.end, task.end) * 1000)
                break
            if film is not None:
                jump = shot.at - film.last
                if (shot.unit.broken and shot.unit.key) or not -segments.JUMP_S <= jump <= segments.JUMP_S:
                    finish(None)
                elif cutter.ends(film.began, shot.at, key=shot.unit.key):
                    finish(shot.at)
            if film is None and shot.unit.key and shot.at >= floor:
                film = Film(folder, shot)
            if film is not None:
                film.write(shot)
        finish(None)
    except SourceProblem as problem:
        code = problem.code
    except ProtocolError as error:
        code = error.code.rpartition(".")[2]
    except OSError as error:
        code = "disk_full" if error.errno == 28 else "picture"
    except Exception:
        code = "picture"
    finally:
        rtsp.tear_down()
        rtsp.close()
    if film is not None:
        _save(film, finish)
    tell({"code": code, "reached": reached})


def _save(film: Film, finish: Any) -> None:
    """Keep what was whole before the recorder failed."""
    try:
        finish(None)
    except Exception:
        film.discard()


def main() -> int:
    """Take the task from standard input and fetch."""
    os.umask(0o077)
    av.logging.set_level(None)
    try:
        task = Task(**json.loads(sys.stdin.readline(65_536)))
    except (ValueError, TypeError):
        return 2
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files.private_dir(Path(task.folder))

    def tell(line: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    fetch(task, tell)
    return 0


if __name__ == "__main__":
    sys.exit(main())
