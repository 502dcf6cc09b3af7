"""Writing a recording as a camera would, with all the traces that a camera leaves: for the demo and for tests of cleaning."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

_SOUND_RATE = 16_000


def write_recording(
    path: Path,
    pictures: Iterable[np.ndarray[Any, np.dtype[np.uint8]]],
    *,
    fps: int,
    sound: np.ndarray[Any, np.dtype[np.int16]] | None = None,
    metadata: Mapping[str, str] | None = None,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
) -> Path:
    """Encode RGB pictures (height x width x 3, even sides) and 16 kHz mono sound into the container that `path`'s suffix names.

    The encoder's own notes, its SEI and `metadata` are left in on purpose: this is a source, not a clip to send.
    """
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"} if path.suffix == ".mov" else {}) as out:
        out.metadata.update(metadata or {})
        video: VideoStream | None = None
        voice: AudioStream | None = None
        for number, picture in enumerate(pictures):
            if video is None:
                added = out.add_stream(codec, rate=fps)
                if not isinstance(added, VideoStream):
                    raise ValueError(f"{codec} is no codec of pictures")
                video = added
                video.height, video.width = picture.shape[:2]
                video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                video.codec_context.options = dict(options or {"preset": "ultrafast", "crf": "26", "g": str(2 * fps)})
                if sound is not None:
                    voice = out.add_stream("aac", rate=_SOUND_RATE, layout="mono")
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            out.mux(video.encode(frame))
            if voice is not None and sound is not None:
                begin, end = (_SOUND_RATE * n // fps for n in (number, number + 1))
                _speak(out, voice, sound[begin:end], begin)
        for stream in (video, voice):
            if stream is not None:
                out.mux(stream.encode(None))
    return path


def _speak(out: Any, voice: AudioStream, piece: np.ndarray[Any, np.dtype[np.int16]], at: int) -> None:
    if not piece.size:
        return
    frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = _SOUND_RATE, at, Fraction(1, _SOUND_RATE)
    out.mux(voice.encode(frame))
