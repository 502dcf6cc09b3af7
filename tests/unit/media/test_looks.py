"""Previews and stills: made in a child with limits, clean, whole or not at all."""

import io
import itertools

import av
import numpy as np
import pytest
from fairwitness_core.wire.errors import ProtocolError
from PIL import Image

from fairwitness.kit.video import preview, thumbs
from fairwitness.kit.video.boxes import check_clean
from fairwitness.kit.video.clip import Cut
from fairwitness.kit.video.make import write_recording
from tests import testdata

from .test_masks import SQUARE, inside, recording, shown, turned


def levels(width, height, count, fps=10):
    """Each second has its own grey: a picture says when it is from."""
    for i in range(count):
        yield np.full((height, width, 3), 20 + 20 * (i // fps), np.uint8)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return write_recording(path, levels(640, 360, 100), fps=10, options={"preset": "ultrafast", "crf": "20", "g": "10"})


@pytest.fixture(scope="module")
def hevc(tmp_path_factory):
    path = tmp_path_factory.mktemp("hevc") / "h265.mp4"
    return write_recording(
        path, levels(320, 180, 60), fps=10, codec="libx265", options={"x265-params": "log-level=none:keyint=20"}
    )


def made(cut, tmp_path):
    target = tmp_path / "cache.mp4"
    sizes = list(preview.make(cut, target))
    data = target.read_bytes()
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(data)
    assert target.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["cache.mp4"]
    assert check_clean(io.BytesIO(data)) == []
    return data


def codec(data):
    with av.open(io.BytesIO(data)) as container:
        return container.streams.video[0].codec_context.name, sum(1 for _ in container.decode(video=0))


def test_h264_is_copied_and_others_become_h264(long, hevc, tmp_path):
    data = made(Cut(long, 2.0, 5.0), tmp_path)
    assert codec(data) == ("h264", 30)
    assert len(data) < long.stat().st_size
    (tmp_path / "cache.mp4").unlink()
    assert codec(made(Cut(hevc, 1.0, 3.0), tmp_path)) == ("h264", 20)


def test_a_preview_begins_before_it_is_finished(long, tmp_path):
    target = tmp_path / "cache.mp4"
    making = preview.make(Cut(long, transcode=None), target)
    size = next(making)
    assert preview.part_of(target).read_bytes()[:size][4:8] == b"ftyp"
    assert not target.exists()
    making.close()
    assert list(tmp_path.iterdir()) == []


def test_a_preview_shows_what_a_share_would_cover(long, tmp_path):
    data = made(Cut(long, 3.0, 4.0, masks=(SQUARE,)), tmp_path)
    for luma, *_ in shown(data):
        assert luma[inside(SQUARE, 640, 360)].max() <= 24
        assert luma[:40].min() > 60


def test_a_large_picture_is_made_smaller_only_when_it_is_converted(tmp_path):
    path = recording(tmp_path / "wide.mp4", 2000, 100)
    for number, (cut, width) in enumerate([(Cut(path), 2000), (Cut(path, masks=(SQUARE,), side=preview.LARGEST_SIDE), 1280)]):
        assert list(preview.make(cut, tmp_path / f"{number}.mp4"))
        with av.open(str(tmp_path / f"{number}.mp4")) as container:
            assert container.streams.video[0].codec_context.width == width


def still(path, at):
    data = thumbs.thumb(path, at)
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "JPEG"
    assert not picture.getexif()
    assert b"Exif" not in data
    return picture


def test_a_still_is_of_its_time_and_small(long, hevc):
    for path, size in ((long, (480, 270)), (hevc, (320, 180))):
        for at in (0.0, 2.5, 4.95):
            picture = still(path, at)
            assert picture.size == size
            assert np.asarray(picture.convert("L")).mean() == pytest.approx(20 + 20 * int(at), abs=4)
    assert still(long, 500.0).size == (480, 270)  # behind the end: the last one


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_still_is_turned_as_it_is_displayed(tmp_path, degrees):
    path = turned(recording(tmp_path / "a.mp4"), degrees)
    upright = np.asarray(still(turned(recording(tmp_path / "b.mp4"), 0), 0).convert("L")).astype(int)
    found = np.asarray(still(path, 0).convert("L")).astype(int)
    assert abs(found - np.rot90(upright, -degrees // 90)).mean() < 8


def test_a_strip_is_of_key_frames_from_all_over(long):
    found = thumbs.strip(long, 10)
    picture = Image.open(io.BytesIO(found.jpeg)).convert("L")
    assert (found.width, found.height) == (160, 90)
    assert picture.size == (160 * len(found.times), 90)
    assert len(found.times) == 10
    assert list(found.times) == pytest.approx(range(10), abs=0.01)
    sheet = np.asarray(picture).astype(int)
    for number, time in enumerate(found.times):
        assert sheet[:, 160 * number + 40 : 160 * number + 120].mean() == pytest.approx(20 + 20 * int(time), abs=4)
    assert len(thumbs.strip(long, 30).times) == 10  # no key frame twice
    with pytest.raises(ProtocolError):
        thumbs.strip(long, 31)


@pytest.mark.parametrize("name", ["a.ts", "a.h264", "a.avi", "a.mkv"])
def test_containers_without_an_index_have_stills_too(tmp_path, name):
    path = recording(tmp_path / name, codec="mpeg4" if name.endswith("avi") else "libx264", bf="0")
    assert still(path, 0.5).size == (160, 96)
    assert 1 <= len(thumbs.strip(path, 5).times) <= 5


@pytest.mark.slow
@pytest.mark.testdata
def test_real_and_odd_files_are_shown_or_refused(tmp_path):
    """Nothing but an answer or a refusal, and nothing left behind, whatever the file."""
    files = (
        testdata.files("video/codecs/*.mp4") + testdata.files("video/malformed-or-odd/*") + testdata.files("video/surveillance/*")
    )
    shown_, codes = 0, set()
    for number, path in enumerate(files):
        target = tmp_path / f"{number}.mp4"
        for attempt in (
            lambda path=path: still(path, 0.4),
            lambda path=path: thumbs.strip(path, 4),
            lambda path=path, target=target: list(preview.make(Cut(path, 0.0, 0.5), target)),
        ):
            try:
                assert attempt()
                shown_ += 1
            except ProtocolError as error:
                codes.add(error.code.split(".", maxsplit=1)[0])
    assert shown_ >= 15
    assert codes <= {"clip"}
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


@pytest.mark.testdata
def test_the_h265_sample_becomes_what_browsers_play(tmp_path):
    (path,) = testdata.files("video/codecs/h265_video.mp4")
    data = made(Cut(path, 0.0, 1.0), tmp_path)
    name, count = codec(data)
    assert name == "h264"
    assert count >= 10


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"<html>", None], ids=["empty", "zeros", "page", "short"])
def test_a_file_that_is_no_recording_is_refused_and_leaves_nothing(tmp_path, damage, long):
    path = tmp_path / "bad.mp4"
    path.write_bytes(long.read_bytes()[:3000] if damage is None else damage)
    for attempt in (
        lambda: thumbs.thumb(path, 0),
        lambda: thumbs.strip(path, 3),
        lambda: list(itertools.islice(preview.make(Cut(path), tmp_path / "out.mp4"), 5)),
    ):
        with pytest.raises(ProtocolError):
            attempt()
    assert [one.name for one in tmp_path.iterdir()] == ["bad.mp4"]
