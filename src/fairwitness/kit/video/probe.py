"""What a recording says about itself, without decoding more than one picture."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import av.error

from fairwitness.kit.video.source import open_source, picture_stream, seconds_of


@dataclass(frozen=True, slots=True)
class Stream:
    """One track: its kind (`video`, `audio`, `data`, `subtitle`) and codec's name."""

    kind: str
    codec: str


@dataclass(frozen=True, slots=True)
class Probe:
    """A recording's facts.

    `seconds` is its length and `start` the first picture's time in the file's own clock (seconds), `creation_time` what the
    container claims (Unix seconds UTC, None when absent or absurd: many cameras write 1904, 1970 or local time as UTC),
    `rotation` the display turn in degrees clockwise.
    """

    container: str
    seconds: float | None
    start: float
    codec: str
    width: int
    height: int
    rotation: int
    has_audio: bool
    creation_time: int | None
    streams: tuple[Stream, ...]


def probe(path: Path) -> Probe:
    """Return a recording's facts; raises ProtocolError `clip.*` as `source.open_source` and for no moving pictures.

    Hostile files: this runs the demuxer and decodes one picture in the calling process; a role calls it through a worker.
    """
    with open_source(path) as container:
        video = picture_stream(container)
        turn = 0
        try:
            frame = next(container.decode(video), None)
            turn = -frame.rotation % 360 if frame is not None else 0
        except (av.error.FFmpegError, ValueError):
            turn = 0  # an undecodable picture is the clip pass's affair
        context = video.codec_context
        start = float(video.start_time * video.time_base) if video.start_time is not None and video.time_base else 0.0
        stated = container.metadata.get("creation_time") or video.metadata.get("creation_time")
        return Probe(
            container=container.format.name,
            seconds=seconds_of(container, video),
            start=start,
            codec=context.name,
            width=context.width,
            height=context.height,
            rotation=turn if turn % 90 == 0 else 0,
            has_audio=bool(container.streams.audio),
            creation_time=_unix(stated),
            streams=tuple(Stream(s.type, s.codec_context.name if s.codec_context else "") for s in container.streams),
        )


def _unix(text: str | None) -> int | None:
    """Read a container's claim; a time before 2000 is a clock that was never set."""
    try:
        when = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return int(when.timestamp()) if when.year >= 2000 else None
