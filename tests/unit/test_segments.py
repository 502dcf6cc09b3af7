"""What a recorder decides: times, cuts, names, pauses, and the chain of what it wrote."""
# ruff: noqa: PT017 - either a value or an error is right

import itertools
import json
import struct
from fractions import Fraction

import pytest
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

from fairwitness.home.adapters import segments
from fairwitness.home.adapters.chain import Chain, Link, file_sha256, genesis, record_of
from fairwitness.home.adapters.rtsp import check_address, look_at_chain
from fairwitness.home.adapters.task import Task
from fairwitness.home.recordings.timeline import JOIN_S, Place, clips_in_window, join

NOW = 1_780_000_000_000
times = st.integers(1_500_000_000_000, 4_000_000_000_000)


@given(times, st.integers(1, 99_999_999))
def test_a_name_says_its_times(start, length):
    assert segments.times_of(segments.name_of(start, start + length)) == (start, start + length)


@given(st.text(max_size=60))
def test_any_other_name_says_nothing(text):
    found = segments.times_of(text)
    assert found is None or segments.name_of(*found) == text


def test_a_name_of_another_day_is_not_ours():
    assert segments.times_of("2026-06-02/20260601T000000.000Z_1000.mp4") is None
    assert segments.times_of("2026-06-01/20260601T250000.000Z_1000.mp4") is None


@given(st.lists(st.tuples(st.none() | st.integers(-10, 100), st.integers(0, 5)), max_size=50))
def test_stamps_rise_and_never_come_after_their_picture(packets):
    stamps, last = segments.Stamps(), None
    for dts, ahead in packets:
        pts = 5 if dts is None else dts + ahead
        got_pts, got = stamps.fill(pts, dts)
        assert got_pts >= got
        assert last is None or got > last
        last = got


def test_packets_before_the_first_time_get_theirs_backwards():
    assert segments.backwards(90_000, 6_000, 3) == [72_000, 78_000, 84_000]
    with pytest.raises(ValueError, match="time"):
        segments.Stamps().fill(None, None)


def test_pauses_grow_to_a_bound_and_differ():
    pauses = [segments.pause(n, 0.5) for n in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[0] == segments.FIRST_PAUSE
    assert pauses[-1] == segments.LONGEST_PAUSE
    assert segments.pause(3, 0.0) < segments.pause(3, 0.99) <= 1.25 * segments.LONGEST_PAUSE
    assert segments.pause(10**6, 0.9) < 100


def test_the_least_late_packet_tells_the_time():
    media = segments.MediaClock()
    # Two seconds that the camera kept back come in one burst; the newest of them is not late.
    for number in range(31):
        assert not media.see(number / 15, 1000.0 + number / 10_000, number / 10_000)
    assert media.wall(2.0) == pytest.approx(1000.003)
    assert media.wall(0.0) == pytest.approx(998.003)


@pytest.mark.parametrize("ppm", [-200, 0, 150])
def test_drift_is_measured_and_not_too_early(ppm):
    media = segments.MediaClock()
    for number in range(4 * 1200):
        wall = 1000.0 + number / 4
        late = (number * 7919 % 13) / 1000  # jitter of up to 12 ms
        assert not media.see((wall - 1000.0) * (1 + ppm / 1e6), wall + late, wall + late)
        if number < 4 * 300:
            assert media.drift_ppm() is None
    assert abs(media.drift_ppm() - ppm) <= 5


def test_jumps_break_the_stream():
    def after(media, wall, steady):
        clock = segments.MediaClock()
        assert not clock.see(10.0, 1000.0, 50.0)
        return clock.see(media, wall, steady)

    assert after(10.07, 1000.07, 50.07) == ""
    assert after(10.07, 1009.0, 59.0) == ""  # the network stood still
    assert after(18.0, 1008.0, 58.0) == "stream"  # footage was lost
    assert after(3.0, 1000.07, 50.07) == "stream"  # the camera began anew
    assert after(10.07, 4600.0, 50.07) == "clock"  # this machine's clock was set
    assert after(10.07, 900.0, 50.07) == "clock"


def test_a_segment_ends_at_a_key_frame_or_at_last_anywhere():
    cutter = segments.Cutter(60, 600)
    assert not cutter.ends(0, 59, key=True)
    assert cutter.ends(0, 60, key=True)
    assert not cutter.ends(0, 599, key=False)
    assert cutter.ends(0, 600, key=False)


def test_credentials_stand_in_no_text_of_a_task():
    task = Task(address="rtsp://cam.local:554/a?b=1", user="o w", password="p@ss/:word", folder="f", chain="c")
    assert "p@ss" not in repr(task)
    assert task.url() == "rtsp://o%20w:p%40ss%2F%3Aword@cam.local:554/a?b=1"


@pytest.mark.parametrize(
    "text",
    ["http://cam/x", "rtsp://", "rtsp://u:p@cam/x", "rtsp://cam/x y", "file:///etc/passwd", "rtsp://cam:0/", "rtsp://[::1"],
)  # fmt: skip
def test_bad_addresses(text):
    with pytest.raises(ProtocolError) as caught:
        check_address(text)
    assert caught.value.code in ("rtsp.address", "rtsp.credentials")
    assert "u:p" not in str(caught.value)


@given(st.text(max_size=80))
def test_any_address_is_taken_or_refused(text):
    try:
        assert check_address(text) == text
    except ProtocolError as error:
        assert error.code.startswith("rtsp.")


def add(chain, folder, start, end, *, after="", data=b"x"):
    name = segments.name_of(start, end)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return chain.append(
        sha256=file_sha256(folder / name), start=start, end=end, size=len(data), path=name, codec="h264", after=after
    )


@pytest.fixture
def chained(tmp_path):
    folder = tmp_path / "rec"
    folder.mkdir()
    return Chain(tmp_path / "chain"), folder


def test_links_follow_as_the_formula_says(chained):
    chain, folder = chained
    links = [add(chain, folder, NOW + 60_000 * n, NOW + 60_000 * (n + 1), data=b"%d" % n) for n in range(3)]
    head = genesis(chain.identity())
    for link in links:
        head = record_of(head, bytes.fromhex(link.sha256), link.start, link.end)
        assert link.record == head.hex()
    assert chain.last() == links[-1]
    assert list(chain.verify(folder)) == []
    assert (chain.root / "chain.id").stat().st_mode & 0o777 == 0o600
    import hashlib  # noqa: PLC0415

    assert record_of(b"a" * 32, b"b" * 32, 1, 2) == hashlib.sha256(b"a" * 32 + b"b" * 32 + struct.pack(">QQ", 1, 2)).digest()


def test_a_link_with_pictures_says_so_in_its_record_and_an_old_one_reads_on(chained):
    import hashlib  # noqa: PLC0415

    chain, _folder = chained
    sums = {"sha256": "aa" * 32, "size": 1, "codec": "h264", "after": ""}
    old = chain.append(start=NOW, end=NOW + 1, path="a.mp4", **sums)
    new = chain.append(start=NOW + 1, end=NOW + 2, path="b.mp4", pictures="bb" * 32, **sums)
    assert b"pictures" not in old.encode()
    assert Link.parse(new.encode()[:-1]) == new
    tail = struct.pack(">QQ", NOW + 1, NOW + 2)
    assert new.record == hashlib.sha256(bytes.fromhex(old.record) + b"\xaa" * 32 + b"\xbb" * 32 + tail).hexdigest()
    assert list(chain.verify()) == []
    (day,) = chain.days()
    lines = day.read_bytes().splitlines(keepends=True)
    for forged in (new.encode().replace(b"bb", b"cc"), new.encode().replace(b',"pictures":"' + b"bb" * 32 + b'"', b"")):
        day.write_bytes(lines[0] + forged)
        assert list(chain.verify()) == ["link 1: it does not follow from the one before it"]
    for bad in (b"", b"xx" * 32, b"BB" * 32):
        with pytest.raises(ProtocolError):
            Link.parse(new.encode()[:-1].replace(b"bb" * 32, bad))


def test_links_near_a_time_are_found_in_the_order_of_the_chain(chained):
    chain, folder = chained
    day = 86_400_000
    made = [add(chain, folder, NOW + n * day, NOW + n * day + 1000) for n in range(6)]
    made.append(add(chain, folder, NOW + 2 * day + 5000, NOW + 2 * day + 6000, after="clock"))  # the clock was set back
    assert chain.near(NOW + 3 * day) == made[2:]
    assert chain.near(NOW + 3 * day, NOW + 3 * day + 1000) == made[2:4]
    assert chain.near(NOW + 20 * day) == made[5:]
    assert Chain(chain.root / "none").near(NOW) == []


place = st.builds(
    Place,
    st.sampled_from(["a", "b"]),
    st.integers(0, 300).map(lambda n: n / 4),
    st.sampled_from([0.0, 5.0, 9.75]),
    st.booleans(),
    st.none() | st.integers(0, 9),
    st.booleans(),
)


@given(st.lists(place, max_size=12).map(lambda found: sorted(found, key=lambda p: p.start)))
def test_each_recording_is_in_one_run_and_no_run_has_a_gap(places):
    runs = join(places)
    assert sorted(index for run in runs for index, _offset in run) == list(range(len(places)))
    for run in runs:
        assert run[0][1] == 0.0
        assert len({places[index].source for index, _offset in run}) == 1
        for (a, at), (b, then) in itertools.pairwise(run):
            assert at + places[a].seconds - 1e-6 <= then <= at + places[a].seconds + JOIN_S
            assert abs(places[run[0][0]].start + then - places[b].start) <= JOIN_S
            if places[b].chained:
                assert places[b].follows
                assert places[b].link == places[a].link + 1


def test_forty_minutes_of_segments_are_one_run():
    # Names say whole seconds, lengths do not: the true times are what the lengths add up to.
    at, places = 0.7, []
    for _ in range(40):
        places.append(Place("x", float(int(at)), 60.0625))
        at += 60.0625
    (run,) = join(places)
    assert [offset for _index, offset in run] == pytest.approx([60.0625 * n for n in range(40)], abs=1.0)
    places[20] = Place("x", places[20].start + 2, 60.0)
    assert next(len(run) for run in join(places)) == 20


def test_a_changed_file_and_a_changed_link_show(chained):
    chain, folder = chained
    links = [add(chain, folder, NOW + 60_000 * n, NOW + 60_000 * (n + 1), data=b"%d" % n) for n in range(3)]
    (folder / links[1].path).write_bytes(b"?")
    assert [fault.split(":")[0] for fault in chain.verify(folder)] == ["link 1"]
    (folder / links[1].path).unlink()
    assert list(chain.verify(folder)) == []
    (day,) = chain.days()
    lines = day.read_bytes().splitlines()
    changed = json.loads(lines[1]) | {"end": NOW + 119_000}
    day.write_bytes(b"\n".join([lines[0], json.dumps(changed, separators=(",", ":"), sort_keys=True).encode(), lines[2], b""]))
    assert list(chain.verify()) == ["link 1: it does not follow from the one before it"]
    day.write_bytes(lines[0] + b"\n" + lines[2] + b"\n")
    assert list(chain.verify()) == ["link 1: it does not follow from the one before it"]


def test_reading_goes_on_from_a_cursor_and_over_days(chained):
    chain, folder = chained
    assert chain.read() == ([], "")
    day = 86_400_000
    first = add(chain, folder, NOW, NOW + 1000)
    found, cursor = chain.read()
    assert found == [first]
    later = [add(chain, folder, NOW + day + n * 1000, NOW + day + (n + 1) * 1000) for n in range(2)]
    assert chain.read(cursor)[0] == later
    assert chain.read(chain.read(cursor)[1])[0] == []
    # A clock that was set back: the order of the chain stays.
    back = add(chain, folder, NOW + 5000, NOW + 6000, after="clock")
    assert [link.number for link in chain.read()[0]] == [0, 1, 2, 3]
    assert chain.last() == back
    assert list(chain.verify(folder)) == []
    for bad in ("x", "2026-01-01.jsonl", "2026-01-01.jsonl:-1", "../2026-01-01.jsonl:0"):
        with pytest.raises(ProtocolError, match="place"):
            chain.read(bad)


def test_a_torn_line_is_cut_off(chained):
    chain, folder = chained
    link = add(chain, folder, NOW, NOW + 1000)
    (day,) = chain.days()
    day.write_bytes(day.read_bytes() + b'{"after":"",')
    assert chain.read()[0] == [link]
    chain.mend()
    assert day.read_bytes() == link.encode()


def test_holes_are_declared_with_their_reason(chained):
    chain, folder = chained
    add(chain, folder, NOW, NOW + 60_000)
    add(chain, folder, NOW + 60_000, NOW + 120_000)
    add(chain, folder, NOW + 150_000, NOW + 200_000, after="camera")
    add(chain, folder, NOW + 86_500_000, NOW + 86_600_000, after="start")
    holes = chain.holes(NOW, NOW + 10**9)
    assert [(h.start - NOW, h.end - NOW, h.reason) for h in holes] == [
        (120_000, 150_000, "camera"), (200_000, 86_500_000, "start"),
    ]  # fmt: skip
    assert chain.holes(NOW + 160_000, NOW + 170_000) == []
    assert len(chain.holes(NOW + 86_400_000, NOW + 86_450_000)) == 1


def test_segments_that_join_leave_no_gap_on_the_timeline(chained):
    chain, folder = chained
    at = NOW + 490
    for length in (60_067, 59_999, 60_500):
        add(chain, folder, at, at + length)
        at += length
    look = look_at_chain(folder, chain, "")
    assert look.whole
    found = clips_in_window(look.scan.recordings, NOW // 1000, at // 1000)
    assert found.gaps == ()
    assert [r.time_source.value for r in look.scan.recordings] == ["camera"] * 3
    # Behind the cursor there is nothing new; a file that changed its size is none of ours.
    assert look_at_chain(folder, chain, look.cursor).scan.recordings == ()
    (folder / look.scan.recordings[0].path).write_bytes(b"other")
    assert len(look_at_chain(folder, chain, "").scan.recordings) == 2


LINK = Link(0, 1, 2, 3, "a" * 64, "b" * 64, "2026-06-01/x.mp4", "hevc", "crash", -5, None)


def test_a_link_is_read_in_one_way_only():
    assert Link.parse(LINK.encode()[:-1]) == LINK
    whole = json.loads(LINK.encode())
    for bad in (
        {"start": 2}, {"start": True}, {"size": 1.0}, {"sha256": "A" * 64}, {"path": "../x"}, {"path": "/x"}, {"after": "why"},
        {"camera_ahead_ms": "1"}, {"derived": 1}, {"more": 1}, {"codec": ""}, {"number": -1}, {"drift_ppm": 2**50},
    ):  # fmt: skip
        with pytest.raises(ProtocolError):
            Link.parse(json.dumps(whole | bad, separators=(",", ":"), sort_keys=True).encode())
    with pytest.raises(ProtocolError):
        Link.parse(json.dumps(whole).encode())  # other spaces


@given(st.binary(max_size=300))
def test_any_line_is_a_link_or_refused(data):
    try:
        assert Link.parse(data).encode() == data + b"\n"
    except ProtocolError as error:
        assert error.code.startswith("chain.")


def test_untimed_packets_come_first_and_in_order():
    from fairwitness.home.adapters.recorder import _timed  # noqa: PLC0415 - it opens the video library

    class Stream:
        index, average_rate = 0, Fraction(15)

    class Packet:
        stream, time_base, size = Stream, Fraction(1, 90_000), 9

        def __init__(self, at):
            self.pts = self.dts = at

    assert [p.pts for p in _timed(iter([Packet(None), Packet(None), Packet(0), Packet(6000)]), Stream)] == [
        -12000,
        -6000,
        0,
        6000,
    ]
    assert [p.pts for p in _timed(iter([Packet(0), Packet(None), Packet(6000)]), Stream)] == [0, 6000]
