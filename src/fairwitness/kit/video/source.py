"""Opening a recording without letting it reach anything but itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from fairwitness_core.wire.errors import ProtocolError

# Containers that hold their own samples. A playlist (hls, dash, concat, sdp) names other files or addresses, and a file called
# .mp4 can be one; a still picture (image2, *_pipe) is not a recording.
CONTAINERS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,h264,hevc,m4v,mjpeg,gif,apng,ogg,asf,asf_o,"
    "mxf,wtv,dhav,ivf,obu,nut,rm,dv,yuv4mpegpipe,wmv,vvc,h263,h261,av1,vc1,cavsvideo,gxf,swf,amv,rawvideo,smjpeg,nsv,webp"
)
MAX_STREAMS: Final = 32
_PICTURES: Final = frozenset({"gif", "apng", "mjpeg", "webp"})  # containers that also hold a single picture


@contextmanager
def open_source(path: Path) -> Iterator[InputContainer]:
    """Open a recording for reading; raises ProtocolError `clip.unreadable`, `clip.format`, `clip.streams`.

    Only the file itself is read: no protocol but `file`, no container that names other places, no external tracks.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    try:
        container = av.open(f"file:{path.absolute()}", options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if not path.is_file():
            raise ProtocolError("clip.unreadable", "there is no such file", evidence=path.name) from error
        raise ProtocolError("clip.format", "this is no recording that can be read", evidence=path.name) from error
    with container:
        if len(container.streams) > MAX_STREAMS:
            raise ProtocolError("clip.streams", f"more than {MAX_STREAMS} tracks", evidence=str(len(container.streams)))
        if container.format.name in _PICTURES and _only_one(container):
            raise ProtocolError("clip.still", "this is a still picture, not a recording", evidence=path.name)
        yield container


def _only_one(container: InputContainer) -> bool:
    """Tell whether an animation has a single picture, then go back to its beginning."""
    pictures = sum(1 for _ in islice((p for p in container.demux() if p.size), 2))
    container.seek(0)
    return pictures < 2


def picture_stream(container: InputContainer) -> VideoStream:
    """Return the first track of moving pictures (no cover art); raises ProtocolError `clip.no_video`, `clip.codec`."""
    unknown = False
    for stream in container.streams.video:
        if stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image):
            continue
        context: VideoCodecContext | None = stream.codec_context  # none where there is no decoder
        if context is not None:
            return stream
        unknown = True
    if unknown:
        raise ProtocolError("clip.codec", "there is no decoder for the pictures in this file")
    raise ProtocolError("clip.no_video", "there are no moving pictures in this file")


def seconds_of(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the stated length in seconds; None where the file does not say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
