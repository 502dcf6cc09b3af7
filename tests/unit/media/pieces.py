"""Cutting a recording into segments as a recorder does, for tests of joining."""

import av

from . import plant


def split(path, folder, seconds, *, name="piece"):
    """Copy a recording into pieces that begin at the first key frame after each `seconds`; return [(path, offset in seconds)]."""
    folder.mkdir(exist_ok=True)
    made, out, began = [], None, 0.0
    with av.open(str(path)) as source:
        streams = [*source.streams.video, *source.streams.audio]
        held = [p for p in source.demux(*streams) if p.size and p.dts is not None]
        held.sort(key=lambda p: (float(p.dts * p.time_base), p.stream.index))
        for packet in held:
            at = float(packet.dts * packet.time_base)
            picture = packet.stream.type == "video"
            if picture and packet.is_keyframe and (out is None or at - began >= seconds - 0.001):
                if out is not None:
                    out.close()
                began = at
                target = folder / f"{name}-{len(made):02}.mp4"
                out = av.open(str(target), "w")
                tracks = {s.index: out.add_stream_from_template(s) for s in streams}
                made.append((target, began))
            if out is None or at < began:
                continue
            shift = round(began / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = tracks[packet.stream.index]
            out.mux(packet)
        out.close()
    first = made[0][1]
    return [(target, at - first) for target, at in made]


def footage(path, **more):
    """Write a recording with pictures in a changed order and sound."""
    return plant.write(path, **{"count": 250, **more})
