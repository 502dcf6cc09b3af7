"""Deciding whether a recording's pictures can leave as they are, and from which key frame on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.encode import AnyPacket
from fairwitness.kit.video.nal import Cleaner, ParameterSets, parameter_sets
from fairwitness.kit.video.source import picture_stream

TINY: Final = 0.0005  # seconds by which a decimal cut may miss a picture's exact time
_DECODED: Final = 16  # packets of a copy that are decoded to see that they can be
_LOOKED_AT: Final = 64  # packets that decide whether a stream can be copied
_COPIED_FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})  # what browsers play


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a pass stops rather than follow a malformed or absurd file."""

    packets: int = 20_000_000
    pixels: int = 64_000_000
    errors: int = 5_000
    sample: int = 32 << 20


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """Where to begin a copy (pts in the first stream's time base), the parameter sets to declare, and those of each recording."""

    start: int
    sets: ParameterSets
    turn: int
    each: tuple[ParameterSets, ...]

    def and_then(self, other: "CopyPlan") -> "CopyPlan | None":
        """Return the plan with another recording behind this one; None where its pictures need another declaration."""
        same = (other.sets.sps, other.sets.pps, other.turn) == (self.sets.sps, self.sets.pps, self.turn)
        return replace(self, each=(*self.each, other.sets)) if same else None


def origin(video: VideoStream) -> int:
    """Return when the first picture is shown, in the stream's own units."""
    return video.start_time or 0


def seek(container: InputContainer, video: VideoStream, seconds: float) -> None:
    """Go to the key frame at or before `seconds`; where a file cannot seek, stay at its beginning."""
    if seconds <= 0 or not video.time_base:
        return
    try:
        container.seek(origin(video) + int(seconds / video.time_base), stream=video, backward=True)
    except (av.error.FFmpegError, OSError):
        return


def plan_copy(container: InputContainer, source: Path, begin: float, lead: float, limits: Limits) -> CopyPlan | None:
    """Decide whether the cut can be copied, and from which key frame; None when it has to be converted."""
    video = picture_stream(container)
    context = video.codec_context
    if context.name != "h264" or context.pix_fmt not in _COPIED_FORMATS or not video.time_base:
        return None
    if _many_edits(source):
        return None  # the order and visibility of pictures is then more than a run of packets
    seek(container, video, begin)
    asked = origin(video) + int((begin + TINY) / video.time_base)
    sets: ParameterSets | None = None
    cleaner: Cleaner | None = None
    start: int | None = None
    shown: list[av.VideoFrame] = []
    seen = last = 0
    for packet in container.demux(video):
        if not packet.size:
            if last <= asked and asked > origin(video):
                raise ProtocolError("clip.empty", "the cut begins after the recording's end", evidence=str(begin))
            break
        seen += 1
        if seen > limits.packets or packet.size > limits.sample or packet.dts is None:
            return None
        late = packet.pts is not None and packet.pts > asked
        if packet.is_keyframe:
            if late and start is not None:
                break
            if packet.is_discard or packet.pts is None:
                return None  # an edit list hides this picture from the owner: it must not leave
            start = packet.pts
            if sets is None:
                sets = parameter_sets(context.extradata, bytes(packet))
                cleaner = Cleaner(sets) if sets else None
        if start is None:
            continue
        if seen <= _DECODED or not shown:
            try:
                shown += packet.decode()[:1]  # a copy that does not decode at once is no use to anyone
            except av.error.FFmpegError:
                return None
        if packet.pts is None or packet.is_discard or cleaner is None or not _cleanable(cleaner, packet):
            return None
        last = max(last, packet.pts + (packet.duration or 1))
        if late and seen > _LOOKED_AT:
            break
    if sets is None or start is None or asked - start > (lead + 2 * TINY) / video.time_base:
        return None
    return CopyPlan(start, sets, turn(shown[0]) if shown else 0, (sets,))


def _cleanable(cleaner: Cleaner, packet: AnyPacket) -> bool:
    try:
        return bool(cleaner.clean(bytes(packet)))
    except ProtocolError:
        return False


def turn(frame: av.VideoFrame) -> int:
    """Return a picture's display turn in whole quarter turns clockwise; other angles and mirrors are not kept."""
    angle = -frame.rotation % 360
    return angle if angle % 90 == 0 else 0


def _many_edits(path: Path) -> bool:
    """Tell whether an MP4's edit list has more than the one edit that shifts a track's start."""
    with path.open("rb") as stream:
        at, end = 0, stream.seek(0, 2)
        while at + 16 <= end:
            stream.seek(at)
            head = stream.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            if kind == b"moov":
                stream.seek(at)
                return _edits_in(stream.read(min(size, 8 << 20)))
            if size < 8 or not kind.isalnum():
                return False
            at += size
    return False


def _edits_in(moov: bytes) -> bool:
    at = moov.find(b"elst")
    while at >= 0:
        wide = moov[at + 4 : at + 5] == b"\1"
        count = int.from_bytes(moov[at + 8 : at + 12], "big")
        row, place = (20, 8) if wide else (12, 4)
        media = 0
        for i in range(min(count, 64)):
            begin = at + 12 + i * row + place
            media += moov[begin : begin + place] not in (b"\xff" * place, b"")
        if media > 1:
            return True
        at = moov.find(b"elst", at + 4)
    return False
