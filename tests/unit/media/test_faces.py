"""Looking for faces and plates, following a drawn box, and joining boxes into tracks."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairwitness.demo.footage import Passing, make_clip
from fairwitness.kit.video import networks
from fairwitness.kit.video.clip import ClipPass, Cut, Next
from fairwitness.kit.video.faces import Faces, Found
from fairwitness.kit.video.following import find, follow
from fairwitness.kit.video.plates import Plates
from fairwitness.kit.video.regions import Box, check, where
from fairwitness.kit.video.tracks import GAP, Joiner, simpler
from tests.testdata import files


@pytest.mark.slow
@pytest.mark.testdata
def test_the_face_of_a_real_clip_is_followed_from_its_first_picture_to_its_last():
    (path,) = files("video/surveillance/head-pose-face-detection-female.gif")
    words = list(find(Cut(path), seconds=600, pace=0.4))
    faces = [one for word in words for one in word.found if one.kind == "face"]
    assert len(faces) == 1
    track = faces[0].track
    assert words[0].at == 0.0
    for at in np.arange(0.0, 1.9, 0.08):
        box = where(track, float(at))
        assert box is not None
        # In the middle of the picture, and about a sixth of its width.
        assert 0.25 < box.x + box.width / 2 < 0.65
        assert 0.1 < box.width < 0.4


@pytest.mark.slow
@pytest.mark.testdata
def test_a_real_plate_is_found_and_its_letters_covered():
    (path,) = files("lpr-images/openalpr-endtoend-br/AYO9034.jpg")
    picture = cv2.imread(str(path))
    height, width = picture.shape[:2]
    x, y, across, down = 528 / width, 412 / height, 162 / width, 52 / height
    finder = Plates()
    boxes = [
        (one.x - one.width * finder.grow[0], one.y - one.height * finder.grow[1], one.width * 1.4, one.height * 1.8)
        for one in finder.find(picture)
    ]
    assert any(
        left <= x + across * 0.1 and top <= y + down * 0.2 and left + wide >= x + across * 0.9 and top + high >= y + down * 0.8
        for left, top, wide, high in boxes
    )


def test_other_weights_are_refused(monkeypatch, tmp_path):
    (tmp_path / "centerface.onnx").write_bytes(b"something else")
    monkeypatch.setattr(networks, "_FOLDER", tmp_path)
    networks._weights.cache_clear()
    with pytest.raises(RuntimeError, match="not the ones"):
        Faces()
    networks._weights.cache_clear()


def test_a_drawn_box_is_followed_both_ways(tmp_path):
    """A patch of noise wanders over a plain ground; the box is drawn in the middle."""
    rng = np.random.default_rng(3)
    patch = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    patch = cv2.GaussianBlur(patch, (5, 5), 0)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for n in range(30):
            picture = np.full((180, 320, 3), 120, np.uint8)
            picture[60:108, 20 + 6 * n : 84 + 6 * n] = patch
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 10)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    track = follow(Cut(path), 1.5, Box((20 + 6 * 15) / 320, 60 / 180, 64 / 320, 48 / 180))
    assert track[0][0] <= 0.2
    assert track[-1][0] >= 2.7
    for n in range(2, 28):
        box = where(track, n / 10)
        assert abs(box.x - (20 + 6 * n) / 320) < 0.03
        assert abs(box.y - 60 / 180) < 0.03


def test_pictures_are_shown_at_the_times_by_which_they_are_covered(tmp_path):
    """A look and a conversion go through the same pictures at the same times, over a join too."""
    clip = make_clip(tmp_path / "a.mp4", seed=1, seconds=1, start=1_795_447_125, width=160, height=96, fps=10,
                     passings=[Passing("car", at=0.1, speed=150, color="red")])  # fmt: skip
    times = []
    cut = Cut(clip, 0.25, 1.75, more=(Next(clip, 1.0),))
    assert not list(ClipPass(cut, see=lambda at, _frame: times.append(at)))
    done = ClipPass(Cut(clip, 0.25, 1.75, more=(Next(clip, 1.0),), transcode=True))
    assert b"".join(done)
    assert times[0] == pytest.approx(done.facts.start)
    assert len(times) == done.facts.frames
    assert times == sorted(times)


def at_(x, score=0.9):
    return Found(x, 0.4, 0.1, 0.1, score)


def test_what_crosses_another_stays_itself_and_what_is_lost_for_long_is_another():
    joiner = Joiner("face", (0.0, 0.0))
    over = []
    for n in range(20):
        over += joiner.add(n * 0.2, [at_(0.1 + 0.02 * n), at_(0.7 - 0.02 * n)])
    over += joiner.add(4.0 + GAP, [at_(0.1)])
    assert len(over) == 2
    over += joiner.end()
    assert len(over) == 3
    assert all(check([one.track]) for one in over)


def test_a_thing_that_was_not_found_for_a_moment_is_covered_in_between():
    joiner = Joiner("face", (0.0, 0.0))
    for at, x in ((0.0, 0.1), (0.2, 0.12), (1.0, 0.2), (1.2, 0.22)):
        joiner.add(at, [at_(x)])
    (one,) = joiner.end()
    assert where(one.track, 0.6).x == pytest.approx(0.16, abs=0.01)


def test_one_doubtful_look_is_no_proposal():
    joiner = Joiner("face", (0.0, 0.0))
    joiner.add(0.0, [at_(0.1, score=0.31)])
    assert not joiner.end()


@settings(max_examples=80)
@given(st.lists(st.tuples(st.floats(-0.2, 1.1), st.floats(-0.2, 1.1), st.floats(0.001, 0.6), st.floats(0.001, 0.6)), max_size=25))
def test_whatever_is_found_becomes_tracks_that_can_be_covered(boxes):
    joiner = Joiner("plate", (0.2, 0.4))
    over = []
    for n, (x, y, width, height) in enumerate(boxes):
        over += joiner.add(n * 0.2, [Found(x, y, width, height, 0.9)])
    over += joiner.end()
    check([one.track for one in over])


def test_simpler_keeps_within_its_part():
    keys = [(n / 5, 0.1 + 0.3 * np.sin(n / 10) ** 2, 0.2, 0.1, 0.1) for n in range(60)]
    less = simpler(keys)
    assert len(less) < 40
    for key in keys:
        assert abs(where(tuple(less), key[0]).x - key[1]) <= 0.006
