"""What an owner covered is black in every picture that leaves, and what is beside it is what it was."""

import io
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairwitness.kit.video import masks
from fairwitness.kit.video.clip import ClipPass, Cut
from fairwitness.kit.video.make import write_recording
from fairwitness.kit.video.spool import Job
from fairwitness.kit.video.worker import pass_to_spool

pytestmark = pytest.mark.claim("P20")

SQUARE = ((0.25, 0.25), (0.5, 0.25), (0.5, 0.5), (0.25, 0.5))
CORNER = ((0.8, 0.7), (1.0, 0.7), (1.0, 1.0))
NOISE = 3  # levels by which a decoded picture may be off black
EDGE = 24  # and in the encoder's blocks that an edge runs through, which ring


def scene(width, height, count=12):
    """Bright, busy pictures: any of their content inside an area would show."""
    rng = np.random.default_rng(1)
    base = rng.integers(120, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for i in range(count):
        yield np.ascontiguousarray(np.roll(base, i, 1)[:height, :width])


def recording(path, width=160, height=96, codec="libx264", **options):
    defaults = {"preset": "ultrafast", "crf": "18", "g": "6", "bf": "2"} | options
    return write_recording(path, scene(width, height), fps=12, codec=codec, options=defaults if codec != "mpeg4" else {"g": "6"})


def turned(path, degrees):
    """Write the display matrix that a phone writes, into the track's header of an MP4."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    whole = 1 << 16
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0), "mirror": (-1, 0, 0, 1)}[degrees]
    matrix = [a * whole, b * whole, 0, c * whole, d * whole, 0, 0, 0, 1 << 30]
    data[at : at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in matrix)
    path.write_bytes(data)
    return path


def shown(data):
    """Every picture as (Y, U, V) planes, turned as a player shows it."""
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            planes = []
            for plane, (h, w) in zip(frame.planes, [(1, 1), (2, 2), (2, 2)], strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height // h, : frame.width // w]
                planes.append(np.rot90(rows, frame.rotation // 90).astype(int))
            yield planes


def inside(polygon, width, height):
    """The centres of pixels inside a polygon, by the crossing rule: no code of the product's."""
    y, x = np.mgrid[0:height, 0:width]
    x, y = (x + 0.5) / width, (y + 0.5) / height
    found = np.zeros((height, width), bool)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        with np.errstate(all="ignore"):
            found ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return found


def near(area, by):
    grown = area.copy()
    for dy in range(-by, by + 1):
        for dx in range(-by, by + 1):
            grown |= np.roll(np.roll(area, dy, 0), dx, 1)
    return grown


def assert_covered(data, polygons, plain):
    """No picture shows anything inside, and outside each is as it is without areas."""
    count = 0
    for covered, open_ in zip(shown(data), shown(plain), strict=True):
        luma, *chroma = covered
        height, width = luma.shape
        area = np.any([inside(p, width, height) for p in polygons], axis=0)
        assert area.any()
        assert abs(luma[area] - 16).max() <= EDGE
        assert abs(luma[~near(~area, 8)] - 16).max() <= NOISE
        block = area.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3))
        for plane in chroma:
            assert abs(plane[block] - 128).max() <= EDGE
            assert abs(plane[~near(~block, 5)] - 128).max() <= NOISE
        outside = ~near(area, 6)
        assert abs(luma - open_[0])[outside].mean() < 3
        assert luma[outside].mean() > 90
        count += 1
    assert count == 12


def make(cut):
    done = ClipPass(cut)
    return b"".join(done), done.facts


@pytest.mark.parametrize("size", [(160, 96), (4000, 96)])
def test_nothing_of_the_inside_comes_out_at_all(tmp_path, size):
    """Two recordings that differ in the covered areas alone become the same clip, byte for byte; a scaled one too."""
    made = []
    for level in (0, 255):
        path = tmp_path / f"{level}.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=12)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
            for number, picture in enumerate(scene(*size, count=5)):
                for area in (SQUARE, CORNER):
                    picture[inside(area, *size)] = (level, 255 - level, number)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv444p")
                frame.pts = number
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        made.append(make(Cut(path, masks=(SQUARE, CORNER)))[0])
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("name", "size", "codec"),
    [
        ("a.mp4", (160, 96), "libx264"),
        ("b.mp4", (160, 96), "libx265"),
        ("c.avi", (160, 96), "mpeg4"),
        ("d.mkv", (322, 182), "libx264"),
    ],
)
def test_every_picture_is_covered(tmp_path, name, size, codec):
    path = recording(tmp_path / name, *size, codec=codec)
    areas = (SQUARE, CORNER)
    data, facts = make(Cut(path, masks=areas))
    assert facts.transcoded
    assert facts.covered == 2
    assert_covered(data, areas, make(Cut(path, transcode=True))[0])


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_areas_lie_where_the_owner_saw_them(tmp_path, degrees):
    path = turned(recording(tmp_path / "a.mp4"), degrees)
    areas = (SQUARE, CORNER)
    data, _ = make(Cut(path, masks=areas))
    assert_covered(data, areas, make(Cut(path, transcode=True))[0])
    with av.open(io.BytesIO(data)) as container:
        assert -next(container.decode(video=0)).rotation % 360 == degrees


def test_a_mirrored_picture_is_refused_rather_than_covered_elsewhere(tmp_path):
    path = turned(recording(tmp_path / "a.mp4"), "mirror")
    with pytest.raises(ProtocolError) as caught:
        make(Cut(path, masks=(SQUARE,)))
    assert caught.value.code == "mask.turn"


def test_odd_sides(tmp_path):
    """An odd recording is cut to even sides by the encoder; areas stay on what they cover."""
    path = tmp_path / "odd.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=12)
        stream.width, stream.height, stream.pix_fmt = 163, 97, "yuvj444p"
        for number, picture in enumerate(scene(163, 97)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    data, facts = make(Cut(path, masks=(SQUARE, CORNER)))
    assert (facts.width, facts.height) == (162, 96)
    assert_covered(data, (SQUARE, CORNER), make(Cut(path, transcode=True))[0])


def test_a_cut_with_areas_is_never_copied(tmp_path):
    path = recording(tmp_path / "a.mp4")
    assert not make(Cut(path))[1].transcoded
    assert make(Cut(path, masks=(SQUARE,)))[1].transcoded
    with pytest.raises(ProtocolError) as caught:
        make(Cut(path, transcode=False, masks=(SQUARE,)))
    assert caught.value.code == "clip.not_copyable"


def test_the_decoders_own_pictures_are_left_alone(tmp_path):
    """A later picture is predicted from an earlier one: black that got into that one would spread over the open parts."""
    path = recording(tmp_path / "a.mp4", g="100", bf="0")
    moving = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    data, _ = make(Cut(path, masks=(moving,)))
    assert_covered(data, (moving,), make(Cut(path, transcode=True))[0])


def test_the_child_process_covers_too(tmp_path):
    from fairwitness_core.crypto import seal  # noqa: PLC0415
    from fairwitness_core.wire.frames import FrameReader  # noqa: PLC0415

    secret, recipient = seal.new_identity()
    path = recording(tmp_path / "a.mp4")
    seen = []
    pass_to_spool(
        Job((Cut(path, masks=(SQUARE,)), Cut(path)), (recipient,), tmp_path / "spool"),
        lambda results: seen.extend(results) or b"{}",
    )
    assert [(one.covered, one.transcoded) for one in seen] == [(1, True), (0, False)]

    class Sink:
        def __init__(self):
            self.data = b""

        def write(self, data):
            self.data += data
            return len(data)

        def close(self, _digest):
            return None

    sinks = {}
    reader = FrameReader(lambda name: sinks.setdefault(name, Sink()))
    with (tmp_path / "spool").open("rb") as source:
        seal.open_stream(source, reader, [secret])
    reader.finish()
    assert_covered(sinks["clip-01.mp4"].data, (SQUARE,), make(Cut(path, transcode=True))[0])


@pytest.mark.parametrize(
    ("points", "code"),
    [
        ([(0, 0), (1, 1)], "mask.points"),
        ([(0, 0), (0.5, 0.5), (1, 1)], "mask.empty"),
        ([(0, 0), (0, 1.01), (1, 1)], "mask.place"),
        ([(0, 0), (0, float("nan")), (1, 1)], "mask.place"),
        ([(0, 0), (0, True), (1, 1)], "mask.place"),
        ([(0, 0, 0), (0, 1), (1, 1)], "mask.place"),
        ([(0, 0)] * 65, "mask.points"),
    ],
)
def test_areas_that_are_none_are_refused(points, code):
    with pytest.raises(ProtocolError) as caught:
        Cut(Path("a.mp4"), masks=(points,))
    assert caught.value.code == code
    with pytest.raises(ProtocolError):
        masks.check([SQUARE] * 65)


unit = st.floats(0, 1, allow_nan=False)


@settings(max_examples=150, deadline=None)
@example([(0.0, 0.0), (0.0, 1.0), (0.03125, 1.0)], 8, 9, 90)
@given(
    st.lists(st.tuples(unit, unit), min_size=3, max_size=12),
    st.integers(8, 60),
    st.integers(8, 60),
    st.sampled_from([0, 90, 180, 270]),
)
def test_no_pixel_inside_stays_open(points, half_width, half_height, turn):
    """Any polygon, crossing itself or not: every pixel whose centre it encloses by either rule is covered."""
    try:
        (polygon,) = masks.check([points])
    except ProtocolError:
        return
    width, height = 2 * half_width, 2 * half_height
    covered = masks.blocks([polygon], width, height, turn).repeat(2, 0).repeat(2, 1)
    displayed = np.rot90(covered, -turn // 90)
    assert (displayed[inside(polygon, displayed.shape[1], displayed.shape[0])] == 255).all()


def test_what_a_crossing_line_encloses_is_covered():
    star = tuple((0.5 + 0.45 * np.sin(i * 4 * np.pi / 5), 0.5 - 0.45 * np.cos(i * 4 * np.pi / 5)) for i in range(5))
    covered = masks.blocks(masks.check([[(float(x), float(y)) for x, y in star]]), 100, 100)
    assert covered[25, 25] == 255


def test_a_recording_that_breaks_off_leaves_nothing_uncovered(tmp_path):
    path = recording(tmp_path / "a.mkv")
    shutil.copyfile(path, tmp_path / "b.mkv")
    data = (tmp_path / "b.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(data[: len(data) * 2 // 3])
    out, facts = make(Cut(tmp_path / "b.mkv", masks=(SQUARE,)))
    assert facts.frames >= 1
    for luma, *_ in shown(out):
        assert abs(luma[inside(SQUARE, 160, 96)] - 16).max() <= NOISE
