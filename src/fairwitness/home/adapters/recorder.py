"""One camera's recorder: a process of its own that reads RTSP packets and writes them into segments, decoding nothing.

`python -m fairwitness.home.adapters.recorder` reads its task as one JSON line from standard input, and ends, with the segment in
hand finished, when its standard input closes: so it never outlives the node. The task holds the camera's password, which is
thus in no command line, environment or file. A segment is written as a fragmented MP4 under `.part/` and becomes a plain one,
under its own name, when it is finished; what a killed recorder left there is mended at the next start, up to the last fragment.
"""

# ruff: noqa: BLE001 - a library's error can quote the camera's address with its password, so only its kind leaves here

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import av
import av.error
import av.logging
from av.container import InputContainer, OutputContainer
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters import segments
from fairwitness.home.adapters.chain import Chain, file_sha256
from fairwitness.home.adapters.task import Task
from fairwitness.kit import clock, files
from fairwitness.kit.video.digests import pictures_of

PICTURES: Final = frozenset({"h264", "hevc", "av1", "mpeg4", "mjpeg"})
SOUNDS: Final = frozenset({"aac", "opus", "mp3", "ac3", "eac3"})
PART: Final = ".part"
MEMORY: Final = 384 << 20
_FRAGMENT: Final = 4 << 20  # bytes that the writer holds at most before it puts them on disk
_FRAGMENT_US: Final = 1_000_000  # microseconds of footage that a killed recorder loses at most, beside what is on the wire
_OPEN_S: Final = 10.0
_READ_S: Final = 15.0
_UNTIMED: Final = 64  # packets without a time that may come before the first one that has one
_JOINS_MS: Final = 100
_STATUS_S: Final = 10.0
_DISK_PAUSE: Final = 30.0


class _Stop(Exception):
    """A connection is over; `args` are the state to show and the reason of the gap that follows."""


class Status:
    """What the owner's page shows of a recorder: a small file, replaced in one step, not synced."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        self._path = path
        self._written = 0.0
        self.values: dict[str, Any] = {"pid": os.getpid(), "state": "connecting", "since": int(clock.now()), "segments": 0}

    def show(self, state: str, **more: object) -> None:
        """Write the state; the same one again only every few seconds."""
        changed = state != self.values["state"]
        if changed:
            self.values["since"] = int(clock.now())
        self.values |= {"state": state, "at": int(clock.now()), **more}
        if not changed and time.monotonic() - self._written < _STATUS_S and not more:
            return
        self._written = time.monotonic()
        spare = self._path.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            spare.write_text(json.dumps(self.values))
            spare.replace(self._path)


class Segment:
    """The segment that is being written. Times are the camera's media time in seconds."""

    def __init__(self, part: Path, tracks: list[Any], began: float) -> None:
        """Open the file with a copy of each track's description."""
        self.part, self.began = part, began
        options = {
            "movflags": "hybrid_fragmented+frag_keyframe",
            "frag_duration": str(_FRAGMENT_US),
            "frag_size": str(_FRAGMENT),
            "flush_packets": "1",
        }
        self.out: OutputContainer = av.open(str(part), "w", format="mp4", options=options)
        self.tracks = {track.index: self.out.add_stream_from_template(track) for track in tracks}

    def write(self, packet: Any, pts: int, dts: int) -> None:
        """Add a packet with its times in its own track's units."""
        shift = round(self.began / packet.time_base)
        packet.pts, packet.dts = pts - shift, dts - shift
        packet.stream = self.tracks[packet.stream.index]
        self.out.mux(packet)

    def close(self) -> None:
        """Turn the fragments into a plain file, and put it on disk."""
        self.out.close()
        _sync(self.part)


class Recorder:
    """Records one camera until `stop` is set."""

    def __init__(self, task: Task, stop: threading.Event) -> None:
        """Make the folders; mend what an earlier recorder left."""
        self.task, self.stop = task, stop
        self.folder = files.private_dir(Path(task.folder))
        self.parts = files.private_dir(self.folder / PART)
        self.chain = Chain(Path(task.chain))
        self.chain.identity()
        self.status = Status(Path(task.chain) / "status.json")
        self.cutter = segments.Cutter(task.seconds, task.longest)
        self.reason = "start"
        self._codec = "unknown"

    def run(self) -> None:
        """Connect, record, and connect again, ever more patiently while nothing comes."""
        failures = 0
        while not self.stop.is_set():
            before = self.status.values["segments"]
            began = time.monotonic()
            state, wait = "unreachable", None
            try:
                self._connection()
                state = "ended"
            except _Stop as end:
                state, self.reason = end.args
            except files.DiskFull:
                state, self.reason, wait = "disk_full", "disk", _DISK_PAUSE
            except (OSError, av.error.HTTPClientError) as error:
                state = kind_of(error)
                if state == "disk_full":
                    self.reason, wait = "disk", _DISK_PAUSE
                elif self.reason != "start":
                    self.reason = "camera"
            except Exception:
                state, self.reason = "failed", "stream"
            if self.stop.is_set():
                return
            lasted = self.status.values["segments"] > before or time.monotonic() - began > self.task.seconds
            failures = 1 if lasted else failures + 1
            self.status.show(state, failures=failures)
            # Spreading, not secrecy: several cameras behind one switch should not all knock in the same second.
            draw = random.random()  # noqa: S311
            self.stop.wait(wait if wait is not None else segments.pause(failures, draw))

    def _connection(self) -> None:
        self._room()
        self.status.show("connecting")
        with opened(self.task) as camera:
            self._record(camera)

    def _room(self) -> None:
        if shutil.disk_usage(self.folder).free < self.task.reserve:
            raise files.DiskFull("no space left for recordings")

    def _tracks(self, camera: InputContainer) -> list[Any]:
        pictures = [s for s in camera.streams.video if codec_of(s) in PICTURES][:1]
        if not pictures:
            raise _Stop("no_pictures", "stream")
        sounds = [s for s in camera.streams.audio if codec_of(s) in SOUNDS][:1] if self.task.sound else []
        size = pictures[0].codec_context
        left = bool(self.task.sound and not sounds and camera.streams.audio)
        self._codec = codec_of(pictures[0])
        self.status.show("connected", codec=self._codec, width=size.width, height=size.height, sound_left_out=left)
        return [*pictures, *sounds]

    def _record(self, camera: InputContainer) -> None:
        tracks = self._tracks(camera)
        picture = tracks[0]
        stamps = {track.index: segments.Stamps() for track in tracks}
        media = segments.MediaClock()
        segment: Segment | None = None
        at = 0.0
        ahead: list[int] = []
        state, why = "ended", "camera"
        try:
            for packet in _timed(camera.demux(tracks), picture):
                track = packet.stream.index
                pts, dts = stamps[track].fill(packet.pts, packet.dts)
                if track != picture.index:
                    if segment is not None and float(dts * packet.time_base) >= segment.began:
                        segment.write(packet, pts, dts)
                    continue
                now = clock.now_float()
                before, at = at, float(dts * packet.time_base)
                broken = media.see(at, now, time.monotonic())
                if broken:
                    at = before
                    state, why = "reconnecting", broken
                    break
                _note_clock(ahead, packet, media.wall(at))
                if segment is not None and self.cutter.ends(segment.began, at, key=packet.is_keyframe):
                    done, segment = segment, None
                    self._finish(done, media, at, ahead)
                    if not packet.is_keyframe:
                        self.reason = "stream"
                    self._room()
                if segment is None and packet.is_keyframe:
                    segment = Segment(self.parts / f"{round(media.wall(at) * 1000)}.mp4", tracks, at)
                if segment is not None:
                    segment.write(packet, pts, dts)
                    self.status.show("recording")
                if self.stop.is_set():
                    break
        except _Stop as end:
            state, why = end.args
        except OSError as error:
            state = kind_of(error)
            why = "disk" if state == "disk_full" else "camera"
        if segment is not None and at > segment.began:
            # The last picture lasts as long as the ones before it; how long nobody can say any more.
            self._finish(segment, media, at, ahead)
        elif segment is not None:
            segment.close()
            segment.part.unlink(missing_ok=True)
        raise _Stop(state, why)

    def _finish(self, segment: Segment, media: segments.MediaClock, at: float, ahead: list[int]) -> None:
        """Close, name and chain a segment that ends at media time `at`."""
        with files.disk_errors("recordings"):
            segment.close()
        start, end = round(media.wall(segment.began) * 1000), round(media.wall(at) * 1000)
        seen = sorted(ahead)
        drift = media.drift_ppm()
        camera = seen[len(seen) // 2] if seen else None
        ahead.clear()
        self._link(segment.part, start, end, camera_ahead_ms=camera, drift_ppm=drift)
        self.status.show("recording", segments=self.status.values["segments"] + 1, camera_ahead_ms=camera, drift_ppm=drift)

    def _link(self, part: Path, start: int, end: int, **clocks: int | None) -> None:
        last = self.chain.last()
        # The same instant ends one segment and starts the next, and small corrections of the clock must not part them. A large
        # one (the stream was late at first) stands: a segment's length is that of its pictures, so it may overlap the last.
        if not self.reason and last is not None and abs(start - last.end) < _JOINS_MS:
            start = last.end
        end = max(end, start + 1)
        name = segments.name_of(start, end)
        target = self.folder / name
        files.private_dir(target.parent)
        part.replace(target)
        files.sync_folder(target.parent)
        self._chain(name, self.reason, **clocks)
        self.reason = ""

    def _chain(self, name: str, after: str, **clocks: int | None) -> None:
        times = segments.times_of(name)
        if times is None:
            raise ValueError("a recorder's own name says a time")
        path = self.folder / name
        first = self.chain.last() is None
        pictures = pictures_of(path)
        self.chain.append(
            sha256=file_sha256(path),
            start=times[0],
            end=times[1],
            size=path.stat().st_size,
            path=name,
            codec=self._codec,
            after="" if first else after,
            pictures="" if pictures is None else pictures.root,
            **clocks,
        )

    def mend(self) -> None:
        """Finish what a killed recorder left: link finished segments that are in no chain, and save unfinished ones."""
        self.chain.mend()
        last = self.chain.last()
        since = last.start if last is not None else -1
        for name in sorted(p.relative_to(self.folder).as_posix() for p in self.folder.glob("????-??-??/*.mp4")):
            times = segments.times_of(name)
            if times is not None and times[0] > since:
                self._codec = _codec_of(self.folder / name)
                self._chain(name, "crash")
        for part in sorted(self.parts.iterdir()):
            self._mend_part(part)

    def _mend_part(self, part: Path) -> None:
        if not part.stem.isdecimal():
            part.unlink(missing_ok=True)
            return
        whole = part.with_name(f"mended-{part.name}")
        try:
            length, self._codec = _copy(part, whole)
        except (OSError, ValueError):
            length = 0.0  # it holds no complete fragment
        self.reason = "crash"
        if length > 0:
            start = int(part.stem)
            self._link(whole, start, start + round(length * 1000))
            self.reason = "crash"
        whole.unlink(missing_ok=True)
        part.unlink(missing_ok=True)


def opened(task: Task) -> InputContainer:
    """Connect to a camera: over TCP, by RTSP alone. Raises the library's errors.

    The library follows a camera's redirect, to RTSP elsewhere; it takes no credentials along (a test holds it to that).
    """
    secure = task.address.partition("://")[0] == "rtsps"
    options = {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video+audio" if task.sound else "video",
        "protocol_whitelist": "rtsps,tls,tcp,rtp,crypto" if secure else "rtsp,tcp,rtp",
        "analyzeduration": "3000000",
        "probesize": "2000000",
    }
    return av.open(task.url(), format="rtsp", options=options, timeout=(_OPEN_S, _READ_S))


def _timed(packets: Iterator[Any], picture: Any) -> Iterator[Any]:
    """Yield the packets that hold something, all with a time: those before the first known time get theirs backwards from it.

    The key frame that everything after it needs is usually among them (its RTCP report had not come yet).
    """
    waiting: list[Any] = []
    known = False
    for packet in packets:
        if not packet.size:
            continue
        if packet.stream.index != picture.index:
            if packet.pts is not None or packet.dts is not None:
                yield packet
            continue
        first = packet.dts if packet.dts is not None else packet.pts
        if first is None:
            if not known and len(waiting) < _UNTIMED:
                waiting.append(packet)
            continue
        rate = float(picture.average_rate or 0)
        step = round(1 / (rate if 1 <= rate <= 120 else 15) / packet.time_base)
        for early, time_of in zip(waiting, segments.backwards(first, step, len(waiting)), strict=True):
            early.pts = early.dts = time_of
            yield early
        waiting.clear()
        known = True
        yield packet


def _note_clock(ahead: list[int], packet: Any, wall: float) -> None:
    """Keep how far the camera's clock (RTCP sender reports, RFC 3550 section 6.4.1) is ahead of ours, at key frames."""
    if not packet.is_keyframe or len(ahead) >= 256:
        return
    for data in packet.iter_sidedata():
        if data.data_type == "prft":
            (stated,) = struct.unpack_from("<q" if sys.byteorder == "little" else ">q", bytes(data))
            difference = round(stated / 1000 - wall * 1000)
            if abs(difference) < 2**46:
                ahead.append(difference)


def codec_of(stream: Any) -> str:
    """Return a stream's codec by its library's name, "" where it has none."""
    context = stream.codec_context
    return str(context.name) if context is not None else ""


def _codec_of(path: Path) -> str:
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as source:
            return codec_of(source.streams.video[0]) or "unknown"
    except (OSError, ValueError, IndexError):
        return "unknown"


def _copy(part: Path, whole: Path) -> tuple[float, str]:
    """Copy the complete fragments of `part` into the plain file `whole`; return seconds and codec. Raises OSError, ValueError."""
    with av.open(f"file:{part}", options={"protocol_whitelist": "file"}) as source:
        if not source.streams.video:
            raise ValueError("no pictures")
        picture = source.streams.video[0]
        codec = codec_of(picture) or "unknown"
        end = 0.0
        with av.open(str(whole), "w", format="mp4") as out:
            tracks = {s.index: out.add_stream_from_template(s) for s in source.streams if s.type in ("video", "audio")}
            try:
                for packet in source.demux():
                    if not packet.size or packet.dts is None or packet.stream.index not in tracks:
                        continue
                    if packet.stream.index == picture.index:
                        end = max(end, float((packet.dts + (packet.duration or 0)) * packet.time_base))
                    packet.stream = tracks[packet.stream.index]
                    out.mux(packet)
            except av.error.InvalidDataError:
                pass  # the fragment that was cut short: all before it is copied
    _sync(whole)
    return end, codec


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def kind_of(error: BaseException) -> str:
    """Name what went wrong in a word of ours; the error's own text holds the address."""
    if isinstance(error, av.error.HTTPClientError):
        return "not_found" if isinstance(error, av.error.HTTPNotFoundError) else "refused"
    if isinstance(error, av.error.InvalidDataError):
        return "no_stream"
    if isinstance(error, OSError) and error.errno == 28:
        return "disk_full"
    return "unreachable"


def _line() -> bytes:
    """Read the first line of standard input and not a byte more: what follows is only ever its end."""
    found = bytearray()
    while len(found) < 65_536 and (byte := os.read(0, 1)) not in (b"", b"\n"):
        found += byte
    return bytes(found)


def limit_memory() -> None:
    """Bound what this process can take, whatever a camera sends."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Take the task from standard input and record until it closes."""
    os.umask(0o077)
    av.logging.set_level(None)
    line = _line()
    try:
        task = Task(**json.loads(line))
    except (ValueError, TypeError):
        return 2
    del line
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def follow() -> None:
        while os.read(0, 64):
            continue
        stop.set()
        # A camera that sends nothing holds the reader for up to its time limit; what is on disk by then is mended later.
        time.sleep(5)
        os._exit(0)

    threading.Thread(target=follow, daemon=True, name="parent").start()
    limit_memory()
    try:
        lock = files.FileLock(files.private_dir(Path(task.chain)) / "lock").acquire(wait=False)
        try:
            recorder = Recorder(task, stop)
            recorder.mend()
            recorder.run()
            recorder.status.show("stopped")
        finally:
            lock.release()
    except (files.Locked, ProtocolError, OSError):
        return 1
    except Exception:
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
