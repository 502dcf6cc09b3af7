import os

import pytest
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.recordings import folder as folder_module
from fairwitness.home.recordings.folder import Recording, Refusal, answered, scan
from fairwitness.home.recordings.timeline import Gap, clips_in_window
from fairwitness.home.recordings.times import CameraClock, TimeSource, TimeVerdict
from fairwitness.kit.video.probe import Probe

UTC = CameraClock(zone="UTC")
START = 1762178700  # 2025-11-03 14:05:00 UTC
NOW = START + 86_400


def facts(seconds=60.0, creation_time=None):
    return Probe("mov", seconds, 0.0, "h264", 640, 360, 0, False, creation_time, ())


class Prober:
    def __init__(self, refuse=()):
        self.asked = []
        self.refuse = refuse

    def __call__(self, paths):
        for path in paths:
            self.asked.append(path.name)
            yield path, ProtocolError("clip.format", "no") if path.name in self.refuse else facts()


def put(path, data=b"x", at=START):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))


def known(result):
    return {item.path: item for item in (*result.recordings, *result.refused)}


def test_a_folder_is_read_once_and_then_only_where_it_changed(tmp_path):
    put(tmp_path / "a" / "20251103_140500.mp4")
    put(tmp_path / "20251103_140600.mp4")
    put(tmp_path / "bad.mp4")
    put(tmp_path / "note.txt")
    prober = Prober(refuse={"bad.mp4"})
    first = scan(tmp_path, {}, now=NOW, clock=UTC, probe=prober)
    assert [r.path for r in first.recordings] == ["20251103_140600.mp4", "a/20251103_140500.mp4"]
    assert [(r.start, r.end) for r in first.recordings] == [(START + 60, START + 120), (START, START + 60)]
    assert [(r.path, r.code) for r in first.refused] == [("bad.mp4", "clip.format")]
    assert len(prober.asked) == 3

    again = scan(tmp_path, known(first), now=NOW, clock=UTC, probe=prober)
    assert again == first
    assert len(prober.asked) == 3

    put(tmp_path / "20251103_140600.mp4", b"changed", START + 5)
    (tmp_path / "a" / "20251103_140500.mp4").unlink()
    third = scan(tmp_path, known(first), now=NOW, clock=UTC, probe=prober)
    assert prober.asked[3:] == ["20251103_140600.mp4"]
    assert third.removed == ("a/20251103_140500.mp4",)


def test_a_file_that_still_grows_waits(tmp_path):
    put(tmp_path / "20251103_140500.mp4", at=NOW - 10)
    put(tmp_path / "empty.mp4", b"")
    prober = Prober()
    result = scan(tmp_path, {}, now=NOW, clock=UTC, probe=prober)
    assert result.pending == ("20251103_140500.mp4", "empty.mp4")
    assert prober.asked == []
    assert scan(tmp_path, {}, now=NOW + 60, clock=UTC, probe=prober).recordings[0].start == START


def test_a_file_that_changes_while_it_is_read_waits(tmp_path):
    put(tmp_path / "20251103_140500.mp4")

    def prober(paths):
        for path in paths:
            put(path, b"longer now")
            yield path, facts()

    result = scan(tmp_path, {}, now=NOW, clock=UTC, probe=prober)
    assert result.pending == ("20251103_140500.mp4",)
    assert not result.recordings


def test_links_lead_nowhere(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    put(outside / "secret.mp4")
    put(inside / "20251103_140500.mp4")
    (inside / "out.mp4").symlink_to(outside / "secret.mp4")
    (inside / "same.mp4").symlink_to(inside / "20251103_140500.mp4")
    (inside / "dir").symlink_to(outside, target_is_directory=True)
    (inside / "passwd.mp4").symlink_to("/etc/passwd")
    os.mkfifo(inside / "pipe.mp4")
    prober = Prober()
    result = scan(inside, {}, now=NOW, clock=UTC, probe=prober)
    assert prober.asked == ["20251103_140500.mp4"]
    assert [(r.path, r.code) for r in result.refused] == [("out.mp4", "folder.link"), ("passwd.mp4", "folder.link")]


def test_a_missing_folder_is_an_error_and_not_a_thousand_deletions(tmp_path):
    with pytest.raises(OSError, match="gone"):
        scan(tmp_path / "gone", {}, now=NOW, clock=UTC, probe=Prober())


def test_thousands_of_files(tmp_path, monkeypatch):
    for minute in range(2000):
        put(tmp_path / f"20251103_{minute // 60 % 24:02d}{minute % 60:02d}{minute % 60:02d}_{minute}.mp4")
    first = scan(tmp_path, {}, now=NOW * 2, clock=UTC, probe=Prober())
    assert len(first.recordings) == 2000
    prober = Prober()
    scan(tmp_path, known(first), now=NOW * 2, clock=UTC, probe=prober)
    assert prober.asked == []
    monkeypatch.setattr(folder_module, "MAX_FILES", 100)
    with pytest.raises(OSError, match="more than 100"):
        scan(tmp_path, {}, now=NOW, clock=UTC, probe=Prober())


def test_unknown_times_are_asked_and_answers_are_kept(tmp_path):
    put(tmp_path / "movie.mp4")
    first = scan(tmp_path, {}, now=NOW, clock=UTC, probe=Prober())
    (movie,) = first.recordings
    assert (movie.start, movie.time_source) == (None, TimeSource.UNKNOWN)
    told = answered(movie, TimeVerdict(START, TimeSource.OWNER, "you said so"))
    assert (told.start, told.end) == (START, START + 60)
    (kept,) = scan(tmp_path, {"movie.mp4": told}, now=NOW, clock=UTC, probe=Prober()).recordings
    assert kept == told


def test_a_new_zone_moves_what_was_already_found(tmp_path):
    put(tmp_path / "20251103_140500.mp4")
    first = scan(tmp_path, {}, now=NOW, clock=CameraClock(), probe=Prober())
    assert first.recordings[0].start is None
    second = scan(tmp_path, known(first), now=NOW, clock=UTC, probe=Prober())
    assert second.recordings[0].start == START


def test_the_future_is_not_believed(tmp_path):
    put(tmp_path / "20991103_140500.mp4")
    (future,) = scan(tmp_path, {}, now=NOW, clock=UTC, probe=Prober()).recordings
    assert future.time_source is TimeSource.UNKNOWN


def recording(path, start, seconds):
    end = None if start is None else start + seconds
    return Recording(path, folder_module.FileIdentity(1, 1, 1), start, end, float(seconds), TimeSource.NAME, "", "h264", 1, None)


def test_a_window_finds_its_pieces_and_says_its_gaps():
    day = [
        recording("c", 1000, 60),
        recording("a", 880, 60),
        recording("b", 930, 20),
        recording("x", None, 5),
        recording("far", 5000, 60),
    ]
    window = clips_in_window(day, 900, 1030)
    assert [(p.recording.path, p.cut_start, p.cut_end, p.start, p.end) for p in window.clips] == [
        ("a", 20.0, 60.0, 900, 940),
        ("b", 0.0, 20.0, 930, 950),
        ("c", 0.0, 30.0, 1000, 1030),
    ]
    assert window.gaps == (Gap(950, 1000),)
    assert [r.path for r in window.unplaced] == ["x"]
    early = clips_in_window(day, 900, 1030, pre_roll=30)
    assert early.gaps == (Gap(870, 880), Gap(950, 1000))
    assert clips_in_window([], 0, 10).gaps == (Gap(0, 10),)
    for bad in [(10, 10, 0), (10, 20, -1)]:
        with pytest.raises(ValueError):
            clips_in_window([], *bad)


def test_refusals_survive_a_look(tmp_path):
    put(tmp_path / "bad.mp4")
    prober = Prober(refuse={"bad.mp4"})
    first = scan(tmp_path, {}, now=NOW, clock=UTC, probe=prober)
    again = scan(tmp_path, known(first), now=NOW, clock=UTC, probe=prober)
    assert isinstance(again.refused[0], Refusal)
    assert prober.asked == ["bad.mp4"]
