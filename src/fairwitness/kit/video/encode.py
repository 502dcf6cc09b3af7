"""Encoders that leave no name behind: H.264 by x264, AAC by libavcodec in its bit-exact mode."""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from fairwitness.kit.video import regions as moving
from fairwitness.kit.video.fmp4 import AUDIO_SCALE, VIDEO_SCALE, Sample
from fairwitness.kit.video.masks import Painter, Polygon, turn_of
from fairwitness.kit.video.regions import Track

if TYPE_CHECKING:
    import numpy as np  # at run time only where sound is missing or masks are covered: a fifth of a sealer's memory

type AnyPacket = Packet[Any]  # of either kind of stream; the alias is lazy because the class is generic in stubs only

MAX_SIDE: Final = 3840  # larger pictures are scaled down: no H.264 level that browsers decode goes further
_FRAME: Final = 1024  # sound samples in one AAC frame
_LONGEST_SILENCE: Final = 200  # frames of silence put between two recordings at most


class PictureEncoder:
    """Encodes pictures of one size; later pictures of another size are scaled to the first one's.

    `masks` and what moves, `regions`, are covered in every picture, after scaling and before the encoder sees it: there is no
    way around `encode`.
    """

    def __init__(
        self,
        first: av.VideoFrame,
        rate: Fraction | None,
        masks: Sequence[Polygon] = (),
        regions: Sequence[Track] = (),
        *,
        max_side: int = MAX_SIDE,
    ) -> None:
        scale = max(first.width, first.height, max_side) / max_side
        self.width = max(int(first.width / scale) & ~1, 2)
        self.height = max(int(first.height / scale) & ~1, 2)
        self._painter = Painter(masks, self.width, self.height, turn_of(first)) if masks else None
        self._follower = moving.Painter(regions, self.width, self.height, turn_of(first)) if regions else None
        context = av.CodecContext.create("libx264", "w")
        if not isinstance(context, VideoCodecContext):
            raise TypeError("libx264 is no video encoder")
        context.width, context.height, context.pix_fmt = self.width, self.height, "yuv420p"
        context.time_base = Fraction(1, VIDEO_SCALE)
        pace = rate if rate and 1 <= rate <= 120 else Fraction(25)
        context.framerate = pace
        context.flags |= Flags.global_header
        context.thread_count = 2
        context.max_b_frames = 0
        context.gop_size = max(int(pace * 2), 1)
        context.options = {"preset": "veryfast", "crf": "21", "rc-lookahead": "8", "sc_threshold": "0"}
        context.open()
        self._context = context
        self._last = -1

    @property
    def extradata(self) -> bytes:
        """The parameter sets, as the encoder wrote them."""
        return self._context.extradata or b""

    @property
    def covered(self) -> int:
        """Pictures in which everything was covered that had to be."""
        return min(one.count for one in (self._painter, self._follower) if one is not None) if self._covers else 0

    @property
    def _covers(self) -> bool:
        return self._painter is not None or self._follower is not None

    def encode(self, frame: av.VideoFrame, time: int, at: float = 0.0) -> list[AnyPacket]:
        """Encode one picture shown at `time` (1/90000 s); pictures that share a time are made to follow each other.

        `at`: seconds from the first recording's first picture, by which moving areas are placed.
        """
        self._last = max(time, self._last + 1)
        picture = frame.reformat(width=self.width, height=self.height, format="yuv420p")
        if self._painter is not None:
            self._painter.paint(picture, turn_of(frame))
        if self._follower is not None:
            self._follower.paint(picture, at, turn_of(frame))
        picture.pts, picture.time_base = self._last, Fraction(1, VIDEO_SCALE)
        picture.pict_type = 0
        return list(self._context.encode(picture))

    def finish(self) -> list[AnyPacket]:
        """Return the last packets."""
        return list(self._context.encode(None))


class SoundEncoder:
    """Encodes sound as AAC, 48 kHz, one or two channels, 64 kbit/s for each."""

    def __init__(self, source: AudioStream) -> None:
        self.channels = 1 if source.codec_context.channels == 1 else 2
        layout = "mono" if self.channels == 1 else "stereo"
        context = av.CodecContext.create("aac", "w")
        if not isinstance(context, AudioCodecContext):
            raise TypeError("aac is no sound encoder")
        context.sample_rate, context.layout, context.format = AUDIO_SCALE, layout, "fltp"
        context.time_base = Fraction(1, AUDIO_SCALE)
        context.bit_rate = 64_000 * self.channels
        context.flags |= Flags.global_header | Flags.bitexact
        context.open()
        self._context = context
        self._layout = layout
        self._resampler = self._fresh()
        self._next: int | None = None
        self._start = Fraction(0)
        self._fed = 0  # sound samples that the encoder was given
        self._joining = False

    def _fresh(self) -> AudioResampler:
        return AudioResampler(format="fltp", layout=self._layout, rate=AUDIO_SCALE, frame_size=_FRAME)

    @property
    def config(self) -> bytes:
        """The AudioSpecificConfig."""
        return self._context.extradata or b""

    def encode(self, frame: av.AudioFrame, at: Fraction) -> list[Sample]:
        """Encode sound that is heard `at` seconds after the clip's first picture."""
        if self._next is None:
            self._next = max(int(at * AUDIO_SCALE), 0)
            self._start = max(at, Fraction(0))
        missing = int((at - self._start) * AUDIO_SCALE) - self._fed
        out: list[Sample] = []
        if self._joining:
            if missing <= -_FRAME:
                return []  # the recording before it went on for longer
            out = self._take([self._silence() for _ in range(min(missing // _FRAME, _LONGEST_SILENCE))])
            self._joining = False
        frame.pts = None  # one unbroken run: holes of a camera's sound clock are closed by the order of samples
        return out + self._take(self._resampler.resample(frame))

    def join(self) -> list[Sample]:
        """Be ready for another recording's sound: of any format, and put in time with the pictures again."""
        if self._next is None:
            return []
        left = self._resampler.resample(None)
        self._resampler, self._joining = self._fresh(), True
        return self._take([self._whole(frame) for frame in left])

    def _silence(self) -> av.AudioFrame:
        return self._frame(self._zeros())

    def _whole(self, frame: av.AudioFrame) -> av.AudioFrame:
        """Return `frame` filled up with silence: the encoder takes a short one at the very end alone."""
        sound = self._zeros()
        sound[:, : frame.samples] = frame.to_ndarray()
        return self._frame(sound)

    def _zeros(self) -> "np.ndarray[Any, np.dtype[np.float32]]":
        import numpy as np  # noqa: PLC0415

        return np.zeros((self.channels, _FRAME), np.float32)

    def _frame(self, sound: "np.ndarray[Any, np.dtype[np.float32]]") -> av.AudioFrame:
        made = av.AudioFrame.from_ndarray(sound, format="fltp", layout=self._layout)
        made.sample_rate = AUDIO_SCALE
        return made

    def finish(self) -> list[Sample]:
        """Return the last samples."""
        if self._next is None:
            return []
        samples = self._take(self._resampler.resample(None))
        return samples + self._samples(list(self._context.encode(None)))

    def _take(self, frames: list[av.AudioFrame]) -> list[Sample]:
        packets: list[AnyPacket] = []
        for frame in frames:
            frame.pts = None
            self._fed += frame.samples
            packets += self._context.encode(frame)
        return self._samples(packets)

    def _samples(self, packets: list[AnyPacket]) -> list[Sample]:
        out = []
        for packet in packets:
            time = self._next or 0
            self._next = time + _FRAME
            out.append(Sample(time, _FRAME, 0, sync=True, data=bytes(packet)))
        return out
