"""Recordings with planted traces, for tests of cleaning. Every trace carries a word that must not come out again."""

import random
from fractions import Fraction
from struct import pack

import av
import numpy as np

CANARY = b"CANARY"
POSITION = b"CANARY+37.8715-122.2730/"


PLANTED = {"title": "CANARY title", "comment": "CANARY comment", "creation_time": "2025-11-03T20:00:00Z"}


def box(kind, *parts):
    body = b"".join(parts)
    return pack(">I4s", 8 + len(body), kind) + body


def full(kind, *parts):
    return box(kind, bytes(4), *parts)


def sei(payload=CANARY + b" serial 12345", kind=5):
    body = (bytes(range(16)) if kind == 5 else b"") + payload
    return bytes((6, kind, len(body))) + body + b"\x80"


def pictures(count, width=160, height=96, seed=1):
    rng = np.random.default_rng(seed)
    for i in range(count):
        picture = np.full((height, width, 3), 90, dtype=np.uint8)
        picture[:, (i * 4) % width : (i * 4) % width + 16] = 220
        picture[: height // 2] += rng.integers(0, 12, (height // 2, width, 3), dtype=np.uint8)
        yield picture


def encode(count=50, fps=25, gop=25, bframes=2, extra=b""):
    """Encode H.264 as a camera would, with user data in front of every picture."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 160, 96, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size, encoder.max_b_frames = Fraction(1, fps), Fraction(fps), gop, bframes
    encoder.options = {"preset": "ultrafast" if not bframes else "veryfast", "aud": "1", "sc_threshold": "0"}
    encoder.open()
    packets = []
    for number, picture in enumerate(pictures(count)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, fps)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    rows = []
    for packet in packets:
        data = bytes(packet)
        cut = 6 if data[4] & 31 == 9 else 0  # a delimiter stays first
        rows.append((packet.pts, packet.dts, packet.is_keyframe, data[:cut] + b"\0\0\0\1" + sei() + extra + data[cut:]))
    return rows, encoder.extradata or b""


def write(path, *, count=50, fps=25, gop=25, bframes=2, shift=0, sound=True, metadata=None, container=None):
    """Write an H.264 recording; a `shift` below zero makes the muxer hide that many pictures behind an edit list."""
    rows, extradata = encode(count, fps, gop, bframes)
    with av.open(str(path), "w", format=container) as out:
        out.metadata.update(
            metadata or {"title": "CANARY title", "comment": "CANARY comment", "creation_time": "2025-11-03T20:00:00Z"}
        )
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 160, 96, "yuv420p", Fraction(1, fps)
        if extradata:
            stream.codec_context.extradata = extradata
        stream.metadata["handler_name"] = "CANARY handler"
        voice = out.add_stream("aac", rate=48000, layout="mono") if sound else None
        for number, (pts, dts, key, data) in enumerate(rows):
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.duration, packet.time_base = pts + shift, dts + shift, 1, Fraction(1, fps)
            packet.stream, packet.is_keyframe = stream, key
            out.mux(packet)
            if voice is not None:
                tone = (3000 * np.sin(np.arange(48000 // fps) / 17)).astype(np.int16).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48000, number * 48000 // fps, Fraction(1, 48000)
                out.mux(voice.encode(frame))
        if voice is not None:
            out.mux(voice.encode(None))
    return path


def write_long(path, megabytes):
    """Write an H.264 recording of about that size by repeating two seconds of noise."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 192, "yuv420p", Fraction(1, 25)
    encoder.framerate, encoder.gop_size, encoder.options = Fraction(25), 25, {"preset": "ultrafast", "qp": "12"}
    encoder.open()
    rows = []
    for number in range(50):
        picture = np.frombuffer(noise(320 * 192 * 3, number), np.uint8).reshape(192, 320, 3)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        rows += [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in encoder.encode(frame)]
    rows += [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in encoder.encode(None)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 320, 192, "yuv420p", Fraction(1, 25)
        turn = written = 0
        while written < megabytes * 1_000_000:
            for pts, dts, key, data in rows:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.duration = pts + turn * 50, dts + turn * 50, 1
                packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, key
                out.mux(packet)
                written += len(data)
            turn += 1
    return path


def into_moov(data, extra):
    """Append a box to moov, which stands last in files of this muxer, so that no offset moves."""
    at = data.index(b"moov") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    assert at + size == len(data)
    return data[:at] + pack(">I", size + len(extra)) + data[at + 4 :] + extra


def udta():
    return box(b"udta", box(b"\xa9xyz", pack(">HH", len(POSITION), 0x15C7), POSITION), box(b"name", CANARY))


def keys():
    name = b"com.apple.quicktime.location.ISO6709"
    handler = full(b"hdlr", bytes(4), b"mdta", bytes(13))
    table = full(b"keys", pack(">I", 1), pack(">I4s", 8 + len(name), b"mdta"), name)
    value = box(pack(">I", 1), box(b"data", pack(">II", 1, 0), POSITION))
    return full(b"meta", handler, table, box(b"ilst", value))


def xmp():
    mark = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    return box(b"uuid", mark, b"<x:xmpmeta>CANARY</x:xmpmeta>")


def gpmd(offset, size):
    """Return a track of positions, as action cameras write."""
    media = box(
        b"mdia",
        full(b"mdhd", bytes(8), pack(">II", 1000, 2000), pack(">HH", 0x55C4, 0)),
        full(b"hdlr", bytes(4), b"meta", bytes(12), b"CANARY met\0"),
        box(
            b"minf",
            box(b"gmhd", full(b"gmin", bytes(12))),
            box(b"dinf", full(b"dref", pack(">I", 1), box(b"url ", b"\0\0\0\1"))),
            box(
                b"stbl",
                full(b"stsd", pack(">I", 1), box(b"gpmd", bytes(6), pack(">H", 1))),
                full(b"stts", pack(">III", 1, 1, 2000)),
                full(b"stsc", pack(">IIII", 1, 1, 1, 1)),
                full(b"stsz", pack(">II", size, 1)),
                full(b"stco", pack(">II", 1, offset)),
            ),
        ),
    )
    head = pack(">IIIII8xHHHH", 0, 0, 9, 0, 2000, 0, 0, 0, 0) + pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30) + bytes(8)
    return box(b"trak", full(b"tkhd", head), media)


def with_everything(path):
    """Write one MP4 with every trace at once."""
    write(path)
    data = path.read_bytes()
    telemetry = box(b"mdat", b"DEVC" + POSITION * 4)
    at = data.index(b"moov") - 4
    data = data[:at] + telemetry + data[at:]  # before moov, behind the first mdat: no offset of it moves
    for extra in (udta(), keys(), gpmd(at + 8, len(telemetry) - 8)):
        data = into_moov(data, extra)
    data += xmp() + box(b"free", CANARY * 3)
    path.write_bytes(data)
    return path


def rotated(path):
    """Turn an MP4's picture track by 90 degrees in its header."""
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    path.write_bytes(data[:at] + pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30) + data[at + 36 :])
    return path


def noise(size, seed=3):
    return random.Random(seed).randbytes(size)
