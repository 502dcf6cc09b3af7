"""Recordings that follow each other become one clip."""

import io

import av
import pytest
from fairwitness_core.verify.mp4 import read_clip
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.boxes import check_clean
from fairwitness.kit.video.clip import ClipPass, Cut, Next
from fairwitness.kit.video.digests import key_before, pictures_of
from fairwitness.kit.video.spool import Job
from fairwitness.kit.video.worker import _job_in, _job_out, keys_before, pictures_each

from . import plant
from .pieces import footage, split


def run(cut):
    done = ClipPass(cut)
    return b"".join(done), done.facts


def of(pieces, start=0.0, end=None, **more):
    (first, zero), *rest = pieces
    return Cut(first, start, end, more=tuple(Next(path, at - zero) for path, at in rest), **more)


def times(data):
    with av.open(io.BytesIO(data)) as clip:
        return [round(frame.time, 3) for frame in clip.decode(video=0)]


def sound_seconds(data):
    with av.open(io.BytesIO(data)) as clip:
        return sum(frame.samples / frame.sample_rate for frame in clip.decode(audio=0))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return footage(tmp_path_factory.mktemp("whole") / "whole.mp4")


@pytest.fixture(scope="module")
def pieces(whole, tmp_path_factory):
    return split(whole, tmp_path_factory.mktemp("pieces"), 2.0)


@pytest.mark.parametrize("mute", [True, False])
@pytest.mark.parametrize("transcode", [None, True])
def test_joined_pieces_are_the_whole(whole, pieces, mute, transcode):
    assert len(pieces) == 5
    data, facts = run(of(pieces, mute=mute, transcode=transcode))
    assert facts.transcoded is bool(transcode)
    assert (facts.frames, facts.dropped) == (250, 0)
    shown = times(data)
    assert shown == pytest.approx([n / 25 for n in range(250)], abs=0.002)
    assert facts.seconds == pytest.approx(10.0, abs=0.1)
    assert check_clean(io.BytesIO(data)) == []
    assert plant.CANARY not in data
    if not mute:
        assert sound_seconds(data) == pytest.approx(10.0, abs=0.2)
    if transcode is None:
        lists = [pictures_of(path).digests for path, _ in pieces]
        assert read_clip(io.BytesIO(data)).digests == b"".join(lists) == pictures_of(whole).digests


def test_a_cut_across_two_pieces(pieces):
    data, facts = run(of(pieces, start=1.0, end=5.0))
    assert not facts.transcoded
    assert (facts.start, facts.end) == (pytest.approx(1.0), pytest.approx(5.0, abs=0.05))
    clip = read_clip(io.BytesIO(data))
    lists = b"".join(pictures_of(path).digests for path, _ in pieces)
    assert len(clip.digests) == 32 * facts.frames
    assert lists.find(clip.digests) == 32 * 25
    exact, facts = run(of(pieces, start=1.5, end=4.5, lead=0.0))
    assert facts.transcoded
    assert (facts.start, facts.end) == (pytest.approx(1.52, abs=0.03), pytest.approx(4.5, abs=0.05))
    assert len(times(exact)) == facts.frames == pytest.approx(75, abs=1)


def test_a_small_gap_stays_and_a_small_overlap_is_none(pieces):
    spread = [(path, at + 0.4 * n) for n, (path, at) in enumerate(pieces[:3])]
    shown = times(run(of(spread))[0])
    assert shown == sorted(shown)
    assert shown[50] == pytest.approx(2.4, abs=0.002)
    assert shown[100] == pytest.approx(4.8, abs=0.002)
    tight = [(path, at - 0.3 * n) for n, (path, at) in enumerate(pieces[:3])]
    data, facts = run(of(tight))
    assert times(data) == pytest.approx([n / 25 for n in range(150)], abs=0.002)
    assert facts.seconds == pytest.approx(6.0, abs=0.05)


def test_pieces_of_another_size_are_converted_and_scaled(pieces, tmp_path):
    from fairwitness.kit.video.make import write_recording  # noqa: PLC0415

    other = write_recording(tmp_path / "other.mp4", plant.pictures(25, width=320, height=192), fps=25)
    data, facts = run(of([pieces[0], (other, 2.0), (pieces[1][0], 3.0)]))
    assert facts.transcoded
    assert (facts.width, facts.height) == (160, 96)
    assert facts.frames == len(times(data)) == 125
    with pytest.raises(ProtocolError, match="not_copyable"):
        run(of([pieces[0], (other, 2.0)], transcode=False))


def test_sound_that_is_missing_or_other_in_a_piece(pieces, tmp_path):
    mute = tmp_path / "mute.mp4"
    with av.open(str(pieces[1][0])) as source, av.open(str(mute), "w") as out:
        track = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = track
                out.mux(packet)
    data, facts = run(of([pieces[0], (mute, 2.0), (pieces[2][0], 4.0)], mute=False))
    assert facts.tracks == ("video", "audio")
    # What is heard at five seconds was heard there: silence stands in for the piece without sound.
    assert sound_seconds(data) == pytest.approx(6.0, abs=0.2)


def test_what_an_edit_list_hides_at_a_pieces_end_stays_hidden_and_the_next_goes_on(whole, tmp_path):
    (one, zero), (two, then), *_ = split(whole, tmp_path / "long", 4.0)
    data = bytearray(one.read_bytes())
    at = data.index(b"elst", data.index(b"moov")) + 12  # the pictures' track is the first
    at += 12 if data[at + 4 : at + 8] == b"\xff" * 4 else 0  # an empty edit comes before
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") * 7 // 8).to_bytes(4, "big")
    one.write_bytes(data)
    assert 86 <= len(times(one.read_bytes())) <= 89
    clip, facts = run(of([(one, zero), (two, then)]))
    assert not facts.transcoded
    shown = times(clip)
    assert len(shown) == facts.frames
    assert 84 <= len([at for at in shown if at < 3.9]) <= 89
    assert len([at for at in shown if at > 3.9]) == 100


def test_covered_areas_are_black_in_every_piece(pieces):
    area = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    data, facts = run(of(pieces[:3], masks=(area,)))
    assert (facts.transcoded, facts.covered, facts.frames) == (True, 1, 150)
    with av.open(io.BytesIO(data)) as clip:
        shown = [frame.to_ndarray(format="gray") for frame in clip.decode(video=0)]
    assert max(picture[8:-8, 8:72].max() for picture in shown) < 40
    assert min(picture[:, 96:].max() for picture in shown) > 60


def test_one_that_cannot_be_read_ends_the_pass(pieces, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no recording")
    with pytest.raises(ProtocolError):
        run(of([pieces[0], (bad, 2.0)]))


@pytest.mark.parametrize("offsets", [(0.0,), (-1.0,), (2.0, 2.0), (2.0, 1.0), (float("nan"),), (1e9,)])
def test_cuts_that_are_none(pieces, offsets):
    with pytest.raises(ProtocolError, match="join"):
        Cut(pieces[0][0], more=tuple(Next(pieces[1][0], at) for at in offsets))
    with pytest.raises(ProtocolError, match="join"):
        Cut(pieces[0][0], start=2.0, more=(Next(pieces[1][0], 2.0),))


def test_a_job_reaches_the_child_whole(pieces, tmp_path):
    import json  # noqa: PLC0415

    job = Job((of(pieces, start=0.5, masks=(((0.1, 0.1), (0.4, 0.1), (0.2, 0.4)),)),), (), tmp_path / "spool")
    assert _job_in(json.loads(json.dumps(_job_out(job)))) == job


def test_key_frames_and_digests_from_the_child(pieces, tmp_path):
    path = pieces[0][0]
    assert key_before(path, 1.7) == pytest.approx(1.0)
    assert key_before(path, 1.0) == pytest.approx(1.0)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no recording")
    assert keys_before([(path, 1.7), (bad, 3.0), (path, 0.2)]) == [pytest.approx(1.0), None, pytest.approx(0.0)]
    assert keys_before([]) == []
    assert dict(pictures_each([path, bad])) == {path: pictures_of(path), bad: None}


def test_no_digests_of_what_is_never_copied(tmp_path):
    from fairwitness.kit.video.make import write_recording  # noqa: PLC0415

    path = write_recording(tmp_path / "a.mp4", plant.pictures(10), fps=10, codec="mpeg4", options={})
    assert pictures_of(path) is None
    assert key_before(path, 0.5) is None
