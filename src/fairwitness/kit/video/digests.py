"""The digests of a recording's pictures, as a copied clip would carry them (docs/spec/recording.md). Nothing is decoded."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av.error
from fairwitness_core.model.recording import MAX_PICTURES, pictures_root, sample_digest, split
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.nal import Cleaner, parameter_sets
from fairwitness.kit.video.source import open_source, picture_stream

_SAMPLE: Final = 32 << 20
_NEAR: Final = 0.001  # seconds by which a decimal time may miss a picture's


@dataclass(frozen=True, slots=True)
class Pictures:
    """Digests of 32 bytes, one for each picture in decode order."""

    digests: bytes

    @property
    def root(self) -> str:
        """The root of their tree, in hex."""
        return pictures_root(split(self.digests)).hex()


def pictures_of(path: Path) -> Pictures | None:
    """Return a recording's pictures; None where a clip of it would not be a copy: not H.264, or a sample cannot be cleaned."""
    digests = bytearray()
    try:
        with open_source(path) as container:
            video = picture_stream(container)
            if video.codec_context.name != "h264":
                return None
            cleaner: Cleaner | None = None
            record = b""
            for packet in container.demux(video):
                if not packet.size:
                    continue
                sample = bytes(packet)
                if cleaner is None:
                    sets = parameter_sets(video.codec_context.extradata, sample)
                    if sets is None:
                        return None
                    cleaner, record = Cleaner(sets), hashlib.sha256(sets.record()).digest()
                data = cleaner.clean(sample)
                if data:
                    digests += sample_digest(record, data)
                if packet.size > _SAMPLE or len(digests) > MAX_PICTURES * 32:
                    return None
    except (ProtocolError, av.error.FFmpegError, OSError):
        return None
    return Pictures(bytes(digests)) if digests else None


def key_before(path: Path, seconds: float) -> float | None:
    """Return when the last key frame at or before `seconds` is shown, in seconds from the first picture; None if unknown.

    For H.264 alone: what is encoded anew can begin anywhere.
    """
    try:
        with open_source(path) as container:
            video = picture_stream(container)
            if video.codec_context.name != "h264" or not video.time_base:
                return None
            origin = video.start_time or 0
            container.seek(origin + int((seconds + _NEAR) / video.time_base), stream=video, backward=True)
            for packet in container.demux(video):
                if packet.size and packet.is_keyframe and packet.pts is not None:
                    at = float((packet.pts - origin) * video.time_base)
                    return at if 0 <= at <= seconds + _NEAR else None
    except (ProtocolError, av.error.FFmpegError, OSError):
        return None
    return None
