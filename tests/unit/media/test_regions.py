"""What is followed and covered is filled in every picture that leaves: not a bit of the inside comes out."""

from fractions import Fraction

import av
import numpy as np
import pytest
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

from fairwitness.kit.video import regions
from fairwitness.kit.video.clip import ClipPass, Cut, Next
from fairwitness.kit.video.regions import HOLD, where
from fairwitness.kit.video.spool import Job, seal_response
from fairwitness.kit.video.worker import cut_in, cut_out

from .test_masks import EDGE, scene, shown, turned

pytestmark = pytest.mark.claim("P21")

RATE = 10
# Crosses the picture while it grows; its ends lie inside the recording, so that the hold before and after counts too.
TRACK = ((0.4, 0.1, 0.2, 0.2, 0.25), (0.9, 0.4, 0.3, 0.2, 0.3), (1.6, 0.6, 0.5, 0.3, 0.4))
LONE = ((1.0, 0.02, 0.75, 0.15, 0.25),)


def lies(track, at):
    """Where a followed thing is: in a straight line between its places,
    half a second still at both ends. None of the product's code."""
    times = [key[0] for key in track]
    if not times[0] - 0.5 <= at <= times[-1] + 0.5:
        return None
    return regions.Box(*(float(np.interp(at, times, [key[n] for key in track])) for n in range(1, 5)))


def pixels(box, width, height):
    """Every pixel that a box touches; no code of the product's."""
    y, x = np.mgrid[0:height, 0:width]
    across = ((x + 1) / width > box.x) & (x / width < box.x + box.width)
    return across & ((y + 1) / height > box.y) & (y / height < box.y + box.height)


def film(path, level, tracks, *, size=(160, 96), times=None, degrees=0, offset=0.0):
    """Write a recording without loss; what the tracks cover is `level` and noise, everything else the same each time."""
    times = [n / RATE for n in range(20)] if times is None else times
    rng = np.random.default_rng(level)
    across, down = size if degrees in (0, 180) else size[::-1]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"qp": "0", "preset": "ultrafast", "bf": "0", "g": "7"}
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for at, picture in zip(times, scene(across, down, count=len(times)), strict=True):
            for track in tracks:
                box = lies(track, at + offset)
                if box is not None:
                    inside = pixels(box, across, down)
                    picture[inside] = np.clip(level + rng.integers(-30, 30, (int(inside.sum()), 3)), 0, 255)
            stored = np.ascontiguousarray(np.rot90(picture, degrees // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return turned(path, degrees) if degrees else path


def clip(cut):
    done = ClipPass(cut)
    return b"".join(done), done.facts


def assert_filled(data, tracks, start, times):
    """Every picture is there, and what a track covers in it is black."""
    pictures = list(shown(data))
    assert len(pictures) == len(times)
    hidden = 0
    for at, (luma, _u, _v) in zip(times, pictures, strict=True):
        for track in tracks:
            box = lies(track, at)
            if box is not None:
                hidden += 1
                assert abs(luma[pixels(box, luma.shape[1], luma.shape[0])] - 16).max() <= EDGE
    assert hidden
    assert any(luma.mean() > 90 for luma, _u, _v in pictures)


JITTER = [0.0, 0.03, 0.2, 0.21, 0.5, 0.93, 0.95, 1.4, 1.41, 1.7, 2.05, 2.06, 2.6]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"degrees": 90},
        {"degrees": 180},
        {"degrees": 270},
        {"size": (4000, 96)},
        {"times": JITTER},
    ],
    ids=["plain", "turned 90", "turned 180", "turned 270", "scaled down", "uneven times"],
)
def test_nothing_of_the_inside_comes_out_at_all(tmp_path, how):
    """Recordings that differ only in what is followed become the same clip, byte for byte, and it is black there."""
    tracks = (TRACK, LONE)
    made = [
        clip(Cut(film(tmp_path / f"{level}.mp4", level, tracks, **how), regions=tracks, transcode=None)) for level in (40, 220)
    ]
    assert made[0][0] == made[1][0]
    facts = made[0][1]
    assert (facts.regions, facts.transcoded) == (2, True)
    assert_filled(made[0][0], tracks, 0.0, how.get("times") or [n / RATE for n in range(20)])


def test_an_area_that_is_there_from_the_first_picture_to_the_last_is_covered_in_both(tmp_path):
    track = ((0.0, 0.3, 0.3, 0.3, 0.3), (5.0, 0.3, 0.3, 0.3, 0.3))
    made = [clip(Cut(film(tmp_path / f"{level}.mp4", level, (track,)), regions=(track,)))[0] for level in (40, 220)]
    assert made[0] == made[1]
    for luma, _u, _v in shown(made[0]):
        assert luma[40, 70] <= 16 + EDGE


def test_a_trimmed_join_is_covered_by_the_time_of_its_first_recording(tmp_path):
    track = ((0.7, 0.1, 0.2, 0.2, 0.3), (3.1, 0.6, 0.4, 0.25, 0.3))
    made = []
    for level in (40, 220):
        first = film(tmp_path / f"a{level}.mp4", level, (track,))
        second = film(tmp_path / f"b{level}.mp4", level, (track,), offset=2.0)
        made.append(clip(Cut(first, 0.35, 3.35, more=(Next(second, 2.0),), regions=(track,))))
    assert made[0][0] == made[1][0]
    times = [n / RATE for n in range(4, 34)]
    assert_filled(made[0][0], (track,), 0.35, times)


def test_masks_and_regions_are_both_covered(tmp_path):
    corner = ((0.8, 0.7), (1.0, 0.7), (1.0, 1.0), (0.8, 1.0))
    data, facts = clip(Cut(film(tmp_path / "a.mp4", 200, (TRACK,)), masks=(corner,), regions=(TRACK,)))
    assert (facts.covered, facts.regions) == (1, 1)
    for luma, _u, _v in shown(data):
        assert luma[90, 150] <= 16 + EDGE
    assert_filled(data, (TRACK,), 0.0, [n / RATE for n in range(20)])


def test_a_cut_with_regions_is_never_copied(tmp_path):
    path = film(tmp_path / "a.mp4", 200, ())
    assert not clip(Cut(path))[1].transcoded
    assert clip(Cut(path, regions=(LONE,)))[1].transcoded
    with pytest.raises(ProtocolError) as refused:
        clip(Cut(path, regions=(LONE,), transcode=False))
    assert refused.value.code == "clip.not_copyable"


def test_what_is_outside_stays_as_it_is(tmp_path):
    path = film(tmp_path / "a.mp4", 200, ())
    covered, plain = clip(Cut(path, regions=(LONE,)))[0], clip(Cut(path, transcode=True))[0]
    for (one, _u, _v), (other, _u2, _v2) in zip(shown(covered), shown(plain), strict=True):
        assert abs(one[:60] - other[:60]).mean() < 3


def test_the_way_to_the_child_keeps_them(tmp_path):
    cut = Cut(film(tmp_path / "a.mp4", 200, ()), regions=(TRACK, LONE))
    assert cut_in(cut_out(cut)) == cut


def test_the_sealed_clip_counts_them(tmp_path):
    from fairwitness_core.crypto import seal  # noqa: PLC0415

    _secret, recipient = seal.new_identity()
    job = Job((Cut(film(tmp_path / "a.mp4", 200, ()), regions=(TRACK,)),), (recipient,), tmp_path / "s.age")
    assert seal_response(job, lambda clips: str(clips[0].regions).encode()).clips[0].regions == 1


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ([()], "region.key"),
        ([((0, 0, 0, 0.1),)], "region.key"),
        ([((0, 0, 0, 0.1, float("nan")),)], "region.key"),
        ([((0, 0, 0, 0.1, "1"),)], "region.key"),
        ([((0, 0.95, 0, 0.1, 0.1),)], "region.key"),
        ([((-1, 0, 0, 0.1, 0.1),)], "region.key"),
        ([((0, 0, 0, 0.0, 0.1),)], "region.key"),
        ([((0, 0, 0, True, 0.1),)], "region.key"),
        ([((1, 0, 0, 0.1, 0.1), (1, 0, 0, 0.1, 0.1))], "region.order"),
        ([((0, 0, 0, 0.1, 0.1),)] * (regions.MAX_TRACKS + 1), "region.count"),
        ([tuple((n / 10, 0, 0, 0.1, 0.1) for n in range(regions.MAX_KEYS + 1))], "region.count"),
    ],
)
def test_what_is_no_region_is_refused(bad, code):
    with pytest.raises(ProtocolError) as refused:
        regions.check(bad)
    assert refused.value.code == code


@settings(max_examples=60)
@given(st.data())
def test_a_box_goes_from_key_to_key_and_holds_at_both_ends(data):
    times = sorted(data.draw(st.sets(st.floats(0, 100, width=32), min_size=1, max_size=6)))
    part = st.floats(0.01, 0.5)
    (track,) = regions.check([[(t, *(data.draw(part) for _ in range(4))) for t in times]])
    for key in track:
        box = where(track, key[0])
        assert (box.x, box.y, box.width, box.height) == pytest.approx(key[1:])
    at = data.draw(st.floats(0, 110))
    box = where(track, at)
    assert (box is not None) == (track[0][0] - HOLD <= at <= track[-1][0] + HOLD)
    if box is not None:
        assert min(k[1] for k in track) - 1e-9 <= box.x <= max(k[1] for k in track) + 1e-9
        assert box.x + box.width <= 1 + 1e-9


def test_a_picture_that_missed_its_covering_is_no_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(regions.Painter, "paint", lambda *_: None)
    with pytest.raises(ProtocolError) as refused:
        clip(Cut(film(tmp_path / "a.mp4", 200, ()), regions=(LONE,)))
    assert refused.value.code == "mask.missed"
