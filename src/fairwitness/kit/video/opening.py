"""The agency's side: opening a sealed response, and seeing whether a clip decodes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av.error
from fairwitness_core.crypto.seal import open_stream
from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.frames import ClipSink, FrameReader, Opened

from fairwitness.kit.video.source import open_source, picture_stream

MAX_ERRORS = 500


def open_sealed(path: Path, identities: Sequence[str], open_clip: Callable[[str], ClipSink]) -> Opened:
    """Open a sealed response with one of `identities`, sending each clip to the sink that `open_clip(name)` returns.

    What the sinks hold is in quarantine until this returns: only then is the response whole, every hash right and the manifest
    (still unverified) in hand. Memory is bounded; pyrage holds the GIL, so a server calls this in a worker process.
    Raises ProtocolError `seal.*` or `frames.*`; OSError of disk or sinks passes through.
    """
    reader = FrameReader(open_clip)
    with path.open("rb") as sealed:
        open_stream(sealed, reader, identities)
    return reader.finish()


def decodes(path: Path, seconds: float = 1.0) -> bool:
    """Tell whether at least `seconds` of moving pictures (or the whole of a shorter file) can be decoded.

    Pictures are shown for a time that only the next one ends, so the last picture's own length counts.
    """
    try:
        with open_source(path) as container:
            video = picture_stream(container)
            first: float | None = None
            last = errors = 0.0
            pictures = 0
            for packet in container.demux(video):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    errors += 1
                    if errors > MAX_ERRORS:
                        return False
                    continue
                for frame in frames:
                    pictures += 1
                    time = frame.time if frame.time is not None else pictures / 25
                    first = time if first is None else first
                    last = time
                    if last - first >= seconds:
                        return True
            # The file ended early: fine when nothing was damaged on the way.
            return pictures > 0 and not errors
    except (ProtocolError, av.error.FFmpegError, OSError, ValueError):
        return False
