"""Motion and persons: found where they are, to the second; not in noise, not in a change of the light, not where covered."""

import numpy as np
import pytest
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.marks.intervals import Look, intervals
from fairwitness.kit.video import marks
from fairwitness.kit.video.make import write_recording
from tests import testdata

from . import plant

FPS = 8


def street(seconds, change, noise=6, size=(320, 180)):
    """A textured scene with a camera's noise; `change(picture, at)` draws into it."""
    rng = np.random.default_rng(2)
    width, height = size
    ground = (
        rng.integers(60, 160, (height // 6 + 1, width // 6 + 1, 3), dtype=np.uint8).repeat(6, 0).repeat(6, 1)[:height, :width]
    )
    for number in range(int(seconds * FPS)):
        picture = ground.astype(np.int16)
        picture = change(picture, number / FPS)
        picture = picture + rng.normal(0, noise, picture.shape)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def square(begin, end, left=0.1):
    """A bright square that crosses the picture between two times."""

    def change(picture, at):
        if begin <= at < end:
            width = picture.shape[1]
            x = int((left + 0.7 * (at - begin) / (end - begin)) * width)
            picture[60:100, x : x + 40] = 230
        return picture

    return change


def found(path, masks=()):
    cpu = []
    rows = list(marks.samples(path, masks, seconds=60, cancelled=lambda: False, spent=cpu.append))
    assert cpu == sorted(cpu)
    assert cpu[-1] > 0
    return intervals(Look(row.at, row.motion, row.person) for row in rows)


def film(tmp_path, seconds, change, codec="libx264", name="a.mp4", **more):
    options = (
        {"x265-params": "log-level=none:keyint=32"} if codec == "libx265" else {"preset": "ultrafast", "g": "32", "crf": "24"}
    )
    return write_recording(tmp_path / name, street(seconds, change, **more), fps=FPS, codec=codec, options=options)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_moving_square_is_marked_to_the_second(tmp_path, codec):
    (mark,) = found(film(tmp_path, 16, square(5, 9), codec))
    assert mark.kind == "motion"
    assert mark.start == pytest.approx(5, abs=1)
    assert mark.end == pytest.approx(9, abs=1)
    assert 0.01 < mark.score < 0.2


def test_what_moves_from_the_first_moment_is_marked(tmp_path):
    (mark,) = found(film(tmp_path, 8, square(0, 3)))
    assert mark.start < 1
    assert mark.end == pytest.approx(3, abs=1)


def test_noise_is_no_motion(tmp_path):
    assert found(film(tmp_path, 10, lambda picture, at: picture, noise=14)) == ()


@pytest.mark.parametrize(
    "light",
    [
        lambda picture, at: picture + (40 if at > 4 else 0),
        lambda picture, at: picture - (30 if 3 < at < 6 else 0),
        lambda picture, at: picture * (1.4 if at > 4 else 1.0),
        lambda picture, at: picture + 6 * at,
        lambda picture, at: picture + (90 if at > 4 else 0),
    ],
    ids=["brighter", "a cloud", "contrast", "dawn", "a lamp"],
)
def test_the_light_is_no_motion(tmp_path, light):
    assert found(film(tmp_path, 9, light)) == ()


def test_motion_under_a_change_of_light_is_marked(tmp_path):
    moving = square(5, 8)
    (mark,) = found(film(tmp_path, 12, lambda picture, at: moving(picture, at) + (25 if at > 2 else 0)))
    assert mark.start == pytest.approx(5, abs=1)
    assert mark.end == pytest.approx(8, abs=1)


def test_where_a_camera_is_covered_nothing_is_seen(tmp_path):
    path = film(tmp_path, 12, square(4, 8))
    band = ((0.0, 0.3), (1.0, 0.3), (1.0, 0.6), (0.0, 0.6))
    assert found(path, (band,)) == ()
    elsewhere = ((0.0, 0.7), (1.0, 0.7), (1.0, 1.0), (0.0, 1.0))
    assert [mark.kind for mark in found(path, (elsewhere,))] == ["motion"]


def test_a_thing_that_came_to_stay_is_marked_while_it_moves(tmp_path):
    def parks(picture, at):
        x = int(min(max(at - 3, 0), 3) / 3 * 180)
        if at >= 3:
            picture[60:100, x : x + 40] = 230
        return picture

    (mark,) = found(film(tmp_path, 14, parks))
    assert mark.start == pytest.approx(3, abs=1)
    assert mark.end == pytest.approx(6, abs=1)


def test_its_processor_time_is_a_limit(tmp_path):
    """A recording that takes more than it was given ends the child, not the machine."""
    path = plant.write_long(tmp_path / "a.mp4", 60)
    with pytest.raises(ProtocolError) as caught:
        list(marks.samples(path, (), seconds=1, cancelled=lambda: False, spent=lambda cpu: None))
    assert caught.value.code in ("clip.crashed", "clip.limits")  # a busy machine may not even give it the second


@pytest.mark.testdata
def test_persons_in_real_footage(tmp_path):
    (path,) = testdata.files("video/surveillance/vtest_first30s.avi")
    people = [mark for mark in found(path) if mark.kind == "person"]
    assert sum(mark.end - mark.start for mark in people) > 15
    (cars,) = testdata.files("video/surveillance/car-detection.mp4")
    assert {mark.kind for mark in found(cars)} == {"motion"}


def test_intervals_join_what_is_near_and_drop_what_nothing_confirms():
    looks = [Look(at, 0.1 if at in (1, 1.5, 3, 3.5, 20, 40, 40.5) else 0.0, 0.0) for at in np.arange(0, 50, 0.5)]
    assert [(one.start, one.end) for one in intervals(looks)] == [(1, 3.5), (40, 40.5)]
    assert intervals([]) == ()
    both = [Look(1, 0.1, 0.5), Look(1.3, 0.2, 0.7), Look(1.6, 0.1, 0.0)]
    assert [(one.kind, one.score) for one in intervals(both)] == [("motion", 0.2), ("person", 0.7)]
