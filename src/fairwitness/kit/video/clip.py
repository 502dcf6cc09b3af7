"""One pass from recordings to a clean clip: cut, join, strip, mute, in bounded memory and without a temporary file.

H.264 is copied, not encoded again, when the cut can begin at a key frame; everything else is decoded and encoded. The true
start is in `ClipPass.facts`: a copied cut begins at the key frame before the asked time and never runs past the asked end.
Recordings that follow each other without a gap become one clip; one of them is open at a time.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.copying import TINY, CopyPlan, Limits, origin, plan_copy, seek, turn
from fairwitness.kit.video.encode import MAX_SIDE, AnyPacket, PictureEncoder, SoundEncoder
from fairwitness.kit.video.fmp4 import VIDEO_SCALE, AudioTrack, Sample, VideoTrack, Writer
from fairwitness.kit.video.masks import Polygon, check
from fairwitness.kit.video.nal import Cleaner, ParameterSets, parameter_sets
from fairwitness.kit.video.regions import Track
from fairwitness.kit.video.regions import check as check_regions
from fairwitness.kit.video.source import open_source, picture_stream, seconds_of

FRAGMENT_BYTES: Final = 512 << 10
FRAGMENT_SECONDS: Final = 2
MAX_SOURCES: Final = 512
_EARLY: Final = 200  # packets of sound held back until the first picture's time is known
_PUSH: Final = 2  # seconds by which a recording's pictures may be put later, so that they follow those of the one before it


@dataclass(frozen=True, slots=True)
class Next:
    """A recording that goes on where the one before it ends. `offset`: seconds from the first one's start to this one's."""

    source: Path
    offset: float


@dataclass(frozen=True, slots=True)
class Cut:
    """What to take of a recording, and of those in `more` behind it: seconds from its first picture; `end` None is the end.

    `transcode` True encodes again, which makes the cut exact; False copies or refuses; None copies where a browser can play
    the copy and a key frame lies at most `lead` seconds before `start`: all from there on is sent, and declared. `masks` are
    areas that nobody may see (kit.video.masks), `regions` are such areas that move (kit.video.regions): they are covered in every
    picture, so such a cut is never copied. `side`: the longest that a converted picture has.
    """

    source: Path
    start: float = 0.0
    end: float | None = None
    mute: bool = True
    transcode: bool | None = None
    lead: float = 5.0
    masks: tuple[Polygon, ...] = ()
    side: int = MAX_SIDE
    more: tuple[Next, ...] = ()
    regions: tuple[Track, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a cut that holds no time, areas that are none, or recordings that do not follow each other."""
        if not 0 <= self.start < 10**7 or (self.end is not None and not self.start < self.end < 10**7):
            raise ProtocolError("clip.cut", "a cut begins before it ends", evidence=f"{self.start} to {self.end}")
        object.__setattr__(self, "masks", check(self.masks))
        object.__setattr__(self, "regions", check_regions(self.regions))
        starts = [0.0, *(one.offset for one in self.more)]
        if len(starts) > MAX_SOURCES or any(not a < b < 10**7 for a, b in itertools.pairwise(starts)):
            raise ProtocolError("clip.join", f"a clip joins at most {MAX_SOURCES} recordings, each later than the one before it")
        if len(starts) > 1 and self.start >= starts[1]:
            raise ProtocolError("clip.join", "a cut begins in its first recording", evidence=f"{self.start}")


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What a finished pass made: true start and end in seconds from the recording's first picture, tracks, pictures."""

    start: float
    end: float
    tracks: tuple[str, ...]
    transcoded: bool
    width: int
    height: int
    frames: int
    dropped: int
    covered: int = 0  # areas that are covered in every one of its pictures
    regions: int = 0  # areas that are followed and covered through its pictures

    @property
    def seconds(self) -> float:
        """The clip's length."""
        return self.end - self.start


class ClipPass:
    """Yields the bytes of one clean fragmented MP4; iterate once, then read `facts`.

    Raises ProtocolError `clip.*` for what cannot be read, has no pictures in the cut, or passes a limit, and
    `clip.cancelled` when `cancelled()` says so, which is asked at every packet.

    With `see` nothing is made: it is shown each picture of the cut, at the seconds by which moving areas are placed.
    """

    def __init__(
        self,
        cut: Cut,
        *,
        cancelled: Callable[[], bool] | None = None,
        limits: Limits | None = None,
        see: Callable[[float, av.VideoFrame], None] | None = None,
    ) -> None:
        self._cut = cut if see is None else replace(cut, transcode=True, mute=True, masks=(), regions=())
        self._see = see
        self._cancelled = cancelled or (lambda: False)
        self._limits = limits or Limits()
        self._facts: ClipFacts | None = None

    @property
    def facts(self) -> ClipFacts:
        """The facts, once the last byte was drawn."""
        if self._facts is None:
            raise RuntimeError("the pass is not finished")
        return self._facts

    def __iter__(self) -> Iterator[bytes]:
        """Run the pass."""
        try:
            plan = self._plan()
            run = _Run(self, plan, self._rest())
            for source in (Next(self._cut.source, 0.0), *self._cut.more):
                if run.over(source):
                    break
                with open_source(source.source) as container:
                    video = picture_stream(container)
                    _check_pixels(video, self._limits)
                    yield from run.take(container, video, source.offset)
            yield from run.finish()
        except av.error.FFmpegError as error:
            raise ProtocolError("clip.undecodable", "the recording breaks off", evidence=str(error)) from error
        self._facts = run.facts()

    def _rest(self) -> float:
        """Return when the last recording ends, where there are several; 0 where that is not stated."""
        if not self._cut.more:
            return 0.0
        last = self._cut.more[-1]
        with open_source(last.source) as container:
            stated = seconds_of(container, picture_stream(container))
        return last.offset + stated if stated else 0.0

    def _plan(self) -> CopyPlan | None:
        """Decide whether all of the cut can be copied; None when it has to be converted."""
        cut = self._cut
        if cut.masks or cut.regions:
            if cut.transcode is False:
                raise ProtocolError("clip.not_copyable", "areas cannot be covered in a copy", hint="allow transcoding")
            return None
        if cut.transcode:
            return None
        try:
            with open_source(cut.source) as container:
                plan = plan_copy(container, cut.source, cut.start, cut.lead, self._limits)
        except ProtocolError as error:
            if error.code != "clip.empty" or not cut.more:
                raise
            plan = None  # the cut begins in the last moment of its first recording, behind the last picture
        for source in cut.more:
            if plan is None or (cut.end is not None and source.offset >= cut.end):
                break
            with open_source(source.source) as container:
                # Pictures that need other parameter sets than those the clip declares, or lie turned otherwise, cannot be copied.
                other = plan_copy(container, source.source, 0.0, cut.lead, self._limits)
            plan = plan.and_then(other) if other is not None else None
        if plan is None and cut.transcode is False:
            raise ProtocolError("clip.not_copyable", "this recording must be converted", hint="allow transcoding")
        return plan


def _check_pixels(video: VideoStream, limits: Limits) -> None:
    context = video.codec_context
    if context.width * context.height > limits.pixels:
        raise ProtocolError("clip.pixels", "the pictures are too large", evidence=f"{context.width}x{context.height}")


def _ticks(seconds: Fraction) -> int:
    """Return seconds in a picture track's units, rounded down on both sides of nought."""
    return seconds * VIDEO_SCALE // 1


def _decodable(audio: AudioStream) -> bool:
    """Tell whether there is a decoder for a track of sound; PyAV gives one of an unknown codec no context at all."""
    context: AudioCodecContext | None = audio.codec_context
    return context is not None and context.channels > 0


class _Run:
    """The state of one pass: over one open container after the other. `rest`: when the last of several ends, 0 = not stated."""

    def __init__(self, owner: ClipPass, plan: CopyPlan | None, rest: float) -> None:
        self._cut = owner._cut  # noqa: SLF001 - a pass and its run are one thing in two lifetimes
        self._cancelled = owner._cancelled  # noqa: SLF001
        self._limits = owner._limits  # noqa: SLF001
        self._see = owner._see  # noqa: SLF001
        self._plan = plan
        self._rest = rest
        self._writer: Writer | None = None
        self._head = b""
        self._size = (0, 0)
        self._pictures: list[Sample] = []
        self._sounds: list[Sample] = []
        self._pending: Sample | None = None  # a sample's length is known only from the next one
        self._held = 0
        self._zero: Fraction | None = None  # the clip's first picture, seconds from the first recording's first
        self._shift = self._delay = 0  # the first picture's decode time, and how long it waits to be shown (1/90000 s)
        self._early: list[AnyPacket] = []  # sound that the file holds before the first picture
        self._frames = self._dropped = self._errors = self._seen = 0
        self._last_end = 0
        self._until = Fraction(0)  # when the pictures seen so far end
        self._encoder: PictureEncoder | None = None
        self._sound: SoundEncoder | None = None
        self._turn = plan.turn if plan else 0
        self._number = -1  # of the recording that is open
        self._done = False

    def _enter(self, container: InputContainer, video: VideoStream, offset: float) -> None:
        """Turn to the next recording."""
        self._number += 1
        self._container = container
        self._video = video
        self._base = video.time_base or Fraction(1, VIDEO_SCALE)
        self._origin = origin(video)
        # What a clock of whole seconds calls an overlap is none: the pictures of one recording follow those of the one before it.
        self._offset = min(max(Fraction(offset), self._until), Fraction(offset) + _PUSH) if self._number else Fraction(0)
        self._begun = self._hidden = False  # a picture of this recording was taken; the rest of it is hidden
        self._guess = self._origin
        self._early = []
        if self._plan is not None:
            self._cleaner = Cleaner(self._plan.each[self._number])
        heard = [stream for stream in container.streams.audio if _decodable(stream)]
        self._audio: AudioStream | None = heard[0] if heard and not self._cut.mute else None
        if self._sound is not None:
            self._sounds += self._sound.join()

    def _at(self, time: int) -> Fraction:
        """Return a time of the open stream in seconds from the first recording's first picture."""
        return (time - self._origin) * self._base + self._offset

    # -- driving ---------------------------------------------------------------------------------------------------------

    def over(self, source: Next) -> bool:
        """Tell whether nothing of `source` is in the cut any more."""
        return self._done or (self._cut.end is not None and source.offset >= self._cut.end - TINY)

    def take(self, container: InputContainer, video: VideoStream, offset: float) -> Iterator[bytes]:
        """Take what the cut has of one recording."""
        self._enter(container, video, offset)
        if not self._number:
            seek(container, video, self._cut.start)
        if self._plan is None:
            video.thread_type = "AUTO"
            video.codec_context.thread_count = 2
        step = self._copy if self._plan is not None else self._convert
        for packet in self._packets():
            if packet.stream_index == video.index:
                self._done = self._done or step(packet)
                time = packet.pts if packet.pts is not None else packet.dts
                if time is not None and not self._done:
                    self._until = max(self._until, self._at(time + (packet.duration or 0)))
            else:
                self._hear(packet)
            if self._held >= FRAGMENT_BYTES or self._span() >= FRAGMENT_SECONDS * VIDEO_SCALE:
                yield from self._flush()
            if self._hidden or (self._done and not self._sound_is_behind(packet)):
                break
        if self._plan is None and not self._done:
            self._drain()

    def _sound_is_behind(self, packet: AnyPacket) -> bool:
        """Tell whether sound of the cut may still follow in the file after its last picture."""
        if self._sound is None or self._cut.end is None or packet.pts is None or packet.time_base is None:
            return False
        past = packet.pts * packet.time_base - self._origin * self._base + self._offset - Fraction(self._cut.end)
        return past < (2 if packet.stream_index == self._video.index else 0)

    def _packets(self) -> Iterator[AnyPacket]:
        streams = [self._video] if self._audio is None else [self._video, self._audio]
        demuxed = self._container.demux(*streams)
        while True:
            try:
                packet = next(demuxed)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                if isinstance(error, av.error.EOFError) or self._frames:
                    return  # what was read so far is kept: a camera that lost power leaves such files
                raise
            self._seen += 1
            if self._cancelled():
                raise ProtocolError("clip.cancelled", "the pass was cancelled")
            if self._seen > self._limits.packets or packet.size > self._limits.sample:
                raise ProtocolError("clip.limits", "the recording has too many or too large packets")
            if packet.size:
                yield packet

    # -- copying ---------------------------------------------------------------------------------------------------------

    def _copy(self, packet: AnyPacket) -> bool:
        """Take one packet of an H.264 stream; return True after the cut's end."""
        plan = self._plan
        if plan is None:
            raise RuntimeError("no plan to copy by")
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None or (not self._begun and not (packet.is_keyframe and (self._number or pts >= plan.start))):
            return False
        if pts < plan.start and not self._number:
            self._dropped += 1  # it leads an open group of pictures and refers to what is before the cut
            return False
        if packet.is_discard:
            self._hidden = True  # an edit list hides what follows in this recording; the next one goes on
            return False
        if self._cut.end is not None and self._at(pts) >= self._cut.end - TINY:
            return True
        decoded = _ticks(self._at(packet.dts if packet.dts is not None else pts))
        if self._zero is None:
            self._shift = decoded
            self._delay = max(_ticks(self._at(pts)) - decoded, 0)
            self._begin(self._at(pts), plan.sets)
        self._begun = True
        try:
            data = self._cleaner.clean(bytes(packet))
        except ProtocolError:
            data = b""
        if not data:
            self._dropped += 1
            return False
        time = decoded - self._shift
        shown = _ticks(self._at(pts) - (self._zero or 0))
        length = _ticks((packet.duration or 0) * self._base)
        self._add(time, shown, length, sync=packet.is_keyframe, data=data)
        return False

    # -- converting ------------------------------------------------------------------------------------------------------

    def _convert(self, packet: AnyPacket) -> bool:
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            self._fail(error)
            return False
        return self._encode(frames)

    def _fail(self, error: av.error.FFmpegError) -> None:
        self._errors += 1
        if self._errors > self._limits.errors:
            raise ProtocolError("clip.undecodable", "too much of the recording is damaged", evidence=str(error)) from error

    def _drain(self) -> None:
        try:
            self._encode(self._video.codec_context.decode(None))
        except (av.error.FFmpegError, EOFError):
            return  # the last pictures are lost with the damage before them

    def _encode(self, frames: list[av.VideoFrame]) -> bool:
        """Encode pictures of the cut; return True after its end."""
        for frame in frames:
            if frame.width * frame.height > self._limits.pixels:
                raise ProtocolError("clip.pixels", "the pictures are too large", evidence=f"{frame.width}x{frame.height}")
            pts = frame.pts if frame.pts is not None else self._guessed()
            self._guess, self._begun = pts, True
            at = self._at(pts)
            if at < self._cut.start - TINY:
                continue
            if self._cut.end is not None and at >= self._cut.end - TINY:
                return True
            if self._see is not None:
                self._see(float(at), frame)
                self._frames += 1
                continue
            if self._encoder is None:
                self._turn = turn(frame)
                self._encoder = PictureEncoder(frame, self._rate(), self._cut.masks, self._cut.regions, max_side=self._cut.side)
                sets = parameter_sets(self._encoder.extradata)
                if sets is None:
                    raise RuntimeError("the encoder gave no parameter sets")
                self._cleaner = Cleaner(sets)
                self._begin(at, sets)
            self._take(self._encoder.encode(frame, _ticks(at - (self._zero or 0)), float(at)))
        return False

    def _rate(self) -> Fraction:
        rate = self._video.average_rate or self._video.guessed_rate
        return Fraction(rate.numerator, rate.denominator) if rate else Fraction(25)

    def _guessed(self) -> int:
        """Return a time for a picture that has none (raw streams): one frame after the last."""
        return self._guess + max(int(1 / self._rate() / self._base), 1) if self._begun else self._origin

    def _take(self, packets: list[AnyPacket]) -> None:
        for packet in packets:
            time = packet.dts if packet.dts is not None else packet.pts or 0
            data = self._cleaner.clean(bytes(packet))
            if data:
                self._add(time, packet.pts or 0, packet.duration or 0, sync=packet.is_keyframe, data=data)

    # -- sound -----------------------------------------------------------------------------------------------------------

    def _hear(self, packet: AnyPacket) -> None:
        """Decode and encode sound: a copied AAC frame can carry text of the camera's encoder in its fill elements."""
        if self._zero is None:
            self._early = [*self._early[-_EARLY:], packet]
            return
        if self._sound is None:
            return
        try:
            frames: list[Any] = packet.decode()
        except av.error.FFmpegError as error:
            self._fail(error)
            return
        for frame in frames:
            if not isinstance(frame, av.AudioFrame) or frame.pts is None or not frame.time_base:
                continue
            at = Fraction(frame.pts) * frame.time_base - self._origin * self._base + self._offset
            ended = self._cut.end is not None and at >= self._cut.end
            if at >= self._zero and not ended:
                self._sounds += self._sound.encode(frame, at - self._zero)
        self._held += 1024 * len(frames)

    # -- writing ---------------------------------------------------------------------------------------------------------

    def _begin(self, zero: Fraction, sets: ParameterSets) -> None:
        self._zero = zero
        sound = None
        if self._audio is not None:
            self._sound = SoundEncoder(self._audio)
            sound = AudioTrack(self._sound.channels, self._sound.config)
        context = self._video.codec_context
        width, height = (self._encoder.width, self._encoder.height) if self._encoder else (context.width, context.height)
        aspect = self._video.sample_aspect_ratio or Fraction(1)
        if not Fraction(1, 8) <= aspect <= 8:
            aspect = Fraction(1)
        track = VideoTrack(width, height, self._turn, (aspect.numerator, aspect.denominator), sets.record(), self._delay)
        stated = self._rest if self._cut.more else seconds_of(self._container, self._video) or 0.0
        end = min(self._cut.end or stated, stated) if stated else self._cut.end or 0.0
        self._writer = Writer(track, sound, max(end - float(zero), 0.0))
        self._size = (width, height)
        self._head = self._writer.head()
        early, self._early = self._early, []
        for packet in early:
            self._hear(packet)

    def _add(self, time: int, shown: int, length: int, *, sync: bool, data: bytes) -> None:
        last = self._pending
        if last is not None:
            time = max(time, last.time + 1)  # a camera's clock may stand still; a track's may not
            self._pictures.append(Sample(last.time, time - last.time, last.offset, last.sync, last.data))
        length = length or (time - last.time if last else VIDEO_SCALE // 25)
        self._pending = Sample(time, length, shown + self._delay - time, sync, data)
        if self._cut.end is not None and self._zero is not None:
            left = _ticks(Fraction(self._cut.end) - self._zero) - shown
            self._pending = replace(self._pending, length=max(min(self._pending.length, left), 1))
        self._last_end = max(self._last_end, shown + self._pending.length)
        self._held += len(data)
        self._frames += 1

    def _span(self) -> int:
        return self._pictures[-1].time - self._pictures[0].time if self._pictures else 0

    def _flush(self) -> Iterator[bytes]:
        if self._writer is None or not (self._pictures or self._sounds):
            return
        if self._head:
            yield self._head
            self._head = b""
        yield self._writer.fragment(self._pictures, self._sounds)
        self._pictures, self._sounds, self._held = [], [], 0

    def finish(self) -> Iterator[bytes]:
        """Write what is left, once every recording was taken."""
        if self._encoder is not None:
            self._take(self._encoder.finish())
        if self._sound is not None:
            self._sounds += self._sound.finish()
        if self._pending is not None:
            self._pictures.append(self._pending)
        if not self._frames:
            what = "clip.undecodable" if self._errors else "clip.empty"
            raise ProtocolError(what, "there is no picture in this cut", hint="choose another part of the recording")
        yield from self._flush()

    def facts(self) -> ClipFacts:
        covered = self._encoder.covered if self._encoder is not None else 0
        if (self._cut.masks or self._cut.regions) and covered < self._frames:
            raise ProtocolError("mask.missed", "not every picture was covered", evidence=f"{covered} of {self._frames}")
        start = float(self._zero or 0)
        tracks = ("video", "audio") if self._sound is not None else ("video",)
        return ClipFacts(
            start=start,
            end=start + self._last_end / VIDEO_SCALE,
            tracks=tracks,
            transcoded=self._plan is None,
            width=self._size[0],
            height=self._size[1],
            frames=self._frames,
            dropped=self._dropped,
            covered=len(self._cut.masks),
            regions=len(self._cut.regions),
        )
