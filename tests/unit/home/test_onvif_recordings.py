"""What a recorder recorded itself: found, replayed and chained for live requests only, and every bound against a hostile one."""
# ruff: noqa: PLC0415, PLR0917 - Django's modules are loaded once its settings are

import contextlib
import itertools
import json
import struct
import time
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from fairwitness_core.model.response import Manifest, verify_responder
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import example, given
from hypothesis import strategies as st

from core.tests.rules.feed_world import CENTRE
from fairwitness.demo.footage import make_clip
from fairwitness.home.adapters import onvif, onvif_digest, onvif_recordings, onvif_replay, onvif_rtp, onvif_rtsp
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.onvif_recordings import Stored, without
from fairwitness.home.adapters.onvif_soap import Device
from fairwitness.home.models import Recorder, Recording, Source
from fairwitness.home.services import answers, delivery, matching, recorders, sources
from fairwitness.home.services import onvif as service
from fairwitness.kit.errors import Refused
from fairwitness.kit.video.make import write_recording
from tests.harness.onvif import FakeOnvif, Replay, at_text, envelope, pictures_of
from tests.unit.home.test_recorders import ask
from tests.unit.home.test_sharing import open_response

pytestmark = pytest.mark.network
SECRET = "p4ss-of-the-recorder"


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    path = tmp_path_factory.mktemp("onvif") / "made.mp4"
    return make_clip(path, seed=7, seconds=20, start=1_780_000_000, place=CENTRE, width=160, height=90, fps=10, audio=False)


@pytest.fixture
def nvr(home, footage):
    """A recorder that has nothing yet; `have` gives it 20 s of pictures from each of the given times on."""
    device = FakeOnvif(password=SECRET, now=lambda: home.now)
    device.services = ["device", "search", "replay"]
    codec, sets, _frames = pictures_of(footage, 0)
    replay = Replay(device.user, SECRET, codec, sets, [])
    device.replay = replay.address

    def have(*starts, earliest=0.0):
        device.recordings = {"rec-1": ("Front", starts[0] - earliest, starts[-1] + 20, [(s, s + 20) for s in starts])}
        replay.frames = [frame for start in starts for frame in pictures_of(footage, start)[2]]

    device.have, device.rtsp = have, replay
    have(home.now - 1000.0)
    yield device
    device.close()
    replay.close()


def add(home, nvr, **more):
    values = {"user": nvr.user, "password": nvr.password, "recordings": True} | more
    return service.add(home.porch.pk, nvr.address, **values)


def scan(home):
    found = sources.scan(home.now)
    return found, Source.objects.get().problem


def counted(path):
    with av.open(str(path)) as clip:
        assert next(p for p in clip.demux(video=0) if p.size).is_keyframe
        clip.seek(0)
        return sum(1 for _ in clip.decode(video=0))


# ---------------------------------------------------------------- the whole way


def test_a_window_across_a_gap_becomes_recordings_and_answers_the_request(home, nvr):
    row = add(home, nvr)
    assert (row.kind, row.options["onvif"]["recording"]) == ("onvif", "rec-1")
    request = ask(home)
    at = request.start + 600.25
    nvr.have(request.start - 5000.0, at, at + 20, at + 100, request.end + 500.0)
    nvr.calls.clear()
    found, problem = scan(home)
    assert (found.added, problem) == (2, "")
    seen = list(Recording.objects.order_by("start"))
    for one, (begin, end) in zip(seen, ((at, at + 40), (at + 100, at + 120)), strict=True):
        assert abs(one.start - begin) <= 1
        assert abs(one.end - end) <= 1
        assert counted(sources.path_of(one)) == round((end - begin) * 10)
        assert (one.time_source, one.why) == ("camera", onvif_recordings.WHY)
    assert recorders.verify(row.pk) == []
    links = recorders.chain(row).read()[0]
    assert all(link.derived and link.pictures for link in links)
    assert [link.after for link in links] == ["", "source"]
    assert abs(links[0].start / 1000 - at) < 0.1
    assert [h.reason for h in recorders.holes(row.pk, int(at), int(at) + 200)] == ["source"]
    # Only the window was asked about, of this recording, and nothing was made or deleted there.
    assert all(request.start - 60 <= a and b <= request.end + 60 for a, b in nvr.rtsp.asked)
    assert not [call for call in nvr.calls if not call.startswith(("Get", "Find", "EndSearch"))]
    assert nvr.calls.count("EndSearch") == nvr.calls.count("FindRecordings") + nvr.calls.count("FindEvents")
    # What is here is not asked about again.
    nvr.calls.clear()
    nvr.rtsp.asked.clear()
    assert not sources.scan(home.now).anything
    assert nvr.calls == []
    assert nvr.rtsp.asked == []

    matching.rematch(home.now)
    answer = answers.draft(request.pk)
    assert answer.clips.count() == 2
    answers.confirm(answer.pk, at_once=True)
    delivery.seal_due(home.now)
    assert delivery.upload_due(home.now) == 1
    answer.refresh_from_db()
    opened, clips = open_response(home, answer.response_id)
    manifest = verify_responder(Manifest, opened.manifest)
    assert {clip.time_source for clip in manifest.clips} == {"camera"}
    assert not any(b"rec-1" in data for data in (opened.manifest, *clips.values()))


def test_without_a_request_nothing_is_asked_of_it(home, nvr):
    add(home, nvr)
    nvr.calls.clear()
    sources.scan(home.now)
    assert nvr.calls == []


def test_the_password_is_nowhere(home, nvr, journal_lines, monkeypatch):
    lines = []
    real = onvif_recordings.subprocess.Popen

    def popen(command, **more):
        process = real(command, **more)
        lines.extend(Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        return process

    monkeypatch.setattr(onvif_recordings.subprocess, "Popen", popen)
    row = add(home, nvr)
    request = ask(home)
    nvr.have(request.start + 600.0)
    assert scan(home)[0].added == 1
    nvr.rtsp.password = "another"
    request_end = request.start + 1200.0
    nvr.have(request.start + 600.0, request_end)
    (recorders.chain(row).root / "replayed.json").unlink()
    assert scan(home)[1] == "refused"
    assert lines
    assert not any(SECRET.encode() in line for line in lines)
    assert SECRET not in repr(recorders.listing()) + repr(journal_lines) + repr(recorders.adapter(row))
    assert SECRET.encode() not in bytes(Recorder.objects.get().secret)
    folders = [recorders.chain(row).root, Path(row.source.folder)]
    kept = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in kept)
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
    heads = repr(nvr.rtsp.heads)
    assert SECRET not in heads
    assert "digest" in heads.lower()


@pytest.mark.slow
def test_long_windows_come_in_pieces_that_join(home, nvr, monkeypatch):
    monkeypatch.setattr(onvif_recordings, "PIECE_S", 15)
    row = add(home, nvr)
    request = ask(home)
    at = request.start + 600.25
    nvr.have(at, at + 20, at + 40)
    assert scan(home)[0].added >= 4
    links = recorders.chain(row).read()[0]
    assert all(a.end == b.start for a, b in itertools.pairwise(links))
    assert abs(links[-1].end / 1000 - (at + 60)) < 0.2
    assert sum(counted(Path(row.source.folder) / link.path) for link in links) == 600


@pytest.mark.slow
def test_what_goes_on_is_taken_look_by_look(home, nvr):
    """The camera records all the time; each look takes what came since, without losing a picture between them."""
    row = add(home, nvr)
    request = ask(home)
    begin = home.now - 100.0
    starts = [begin + 20 * n for n in range(20)]
    nvr.have(*starts)
    assert request.start < begin < request.end + 10**6
    monkeypatched = [(int(begin), home.now + 300)]
    recorders_windows, recorders.windows = recorders.windows, lambda _c, now: [(a, min(b, now)) for a, b in monkeypatched]
    try:
        for _ in range(4):
            assert scan(home)[1] == ""
            home.at(home.now + 37)
    finally:
        recorders.windows = recorders_windows
    links = recorders.chain(row).read()[0]
    assert len(links) >= 4
    assert all(a.end == b.start for a, b in itertools.pairwise(links))
    assert sum(counted(Path(row.source.folder) / link.path) for link in links) == round((links[-1].end - links[0].start) / 100)


@pytest.mark.parametrize("ahead", [7200.0, -3600.0])
def test_a_recorders_wrong_clock_is_put_right(home, nvr, ahead):
    nvr.ahead = ahead
    row = add(home, nvr)
    request = ask(home)
    at = request.start + 600.0
    nvr.have(at + ahead)
    assert scan(home)[0].added == 1
    (one,) = Recording.objects.all()
    assert abs(one.start - at) <= 1
    (link,) = recorders.chain(row).read()[0]
    assert abs(link.camera_ahead_ms - ahead * 1000) <= 1000


def test_a_replay_that_states_no_time_is_placed_by_the_search_and_marked(home, nvr):
    """Its sender reports give the time of sending, which is not taken for that of recording."""
    nvr.rtsp.stated = False
    row = add(home, nvr)
    request = ask(home)
    at = request.start + 600.0
    nvr.have(at)
    assert scan(home)[0].added == 1
    (one,) = Recording.objects.all()
    assert one.path.endswith("-searched.mp4")
    assert one.why == onvif_recordings.WHY_SEARCHED
    assert abs(one.start - at) <= 1
    assert recorders.verify(row.pk) == []
    assert not sources.scan(home.now).anything


def test_a_recorder_that_keeps_no_events_is_asked_for_the_whole_window(home, nvr, monkeypatch):
    nvr.events = False
    add(home, nvr)
    request = ask(home)
    at = request.start + 600.0
    nvr.have(at, at + 200)
    nvr.rtsp.bye = False
    monkeypatch.setattr(onvif_recordings, "PATIENCE_S", 1.0)
    assert scan(home)[0].added == 2
    nvr.answers["FindEvents"] = (500, b"", {})
    assert onvif_recordings.present(Device(nvr.address, nvr.user, SECRET), Stored("rec-1", "", at, at + 220, ()), at, at + 9) == [
        (at, at + 9)
    ]


def test_what_is_gone_is_asked_for_again_only_after_a_while(home, nvr):
    row = add(home, nvr)
    request = ask(home)
    nvr.have(request.start + 600.0)
    nvr.rtsp.frames = []
    assert scan(home)[0].added == 0
    assert len(nvr.rtsp.asked) == 1
    sources.scan(home.now + 60)
    assert len(nvr.rtsp.asked) == 1
    later = min(home.now + onvif_recordings.AGAIN_S + 1, request.expires - 10)
    home.at(later)
    nvr.have(request.start + 600.0)
    assert sources.scan(later).added == 1
    # A link stays when somebody deletes its file: what the hole was is provable.
    assert recorders.verify(row.pk) == []


def test_a_replay_that_ends_early_is_asked_for_the_rest_later(home, nvr):
    row = add(home, nvr)
    request = ask(home)
    at = request.start + 600.0
    nvr.have(at)
    whole = nvr.rtsp.frames
    nvr.rtsp.frames = [frame for frame in whole if frame[0] < at + 8]
    assert scan(home)[0].added == 1
    nvr.rtsp.frames = whole
    assert not sources.scan(home.now + 60).anything
    home.at(home.now + onvif_recordings.AGAIN_S + 1)
    assert scan(home)[0].added == 1
    first, second = recorders.chain(row).read()[0]
    assert abs(second.start - first.end) <= 500
    assert abs(second.end / 1000 - at - 20) < 0.2
    assert counted(Path(row.source.folder) / second.path) == 120


def test_h265_and_reordered_pictures(home, tmp_path):
    shots = [np.full((96, 160, 3), (n * 2) % 255, dtype="uint8") for n in range(90)]
    hevc = {"preset": "ultrafast", "x265-params": "keyint=20:min-keyint=20:open-gop=0:log-level=none:pools=1"}
    reordered = {"preset": "fast", "g": "30", "bf": "3", "b_strategy": "0", "sc_threshold": "0"}
    for codec, options, name in (("libx265", hevc, "h265"), ("libx264", reordered, "h264")):
        path = write_recording(tmp_path / f"{name}.mp4", shots, fps=10, codec=codec, options=options)
        found, sets, frames = pictures_of(path, 1_780_000_000.0)
        assert found == name
        assert name == "h265" or any(a[0] > b[0] for a, b in itertools.pairwise(frames))
        replay = Replay("", "", found, sets, frames)
        lines = []
        task = onvif_replay.Task(
            address=replay.here, folder=str(tmp_path), start=1_780_000_000.0, end=1_780_000_100.0, patience=2.0
        )  # fmt: skip
        onvif_replay.fetch(task, lines.append)
        replay.close()
        *kept, last = lines
        assert last["code"] == ""
        assert len(kept) == 1
        with av.open(str(tmp_path / kept[0]["part"])) as clip:
            shown = [frame.pts for frame in clip.decode(video=0)]
        assert len(shown) == 90
        assert shown == sorted(set(shown))
        assert abs(kept[0]["end"] - kept[0]["start"] - 9000) <= 200


# ---------------------------------------------------------------- adding


def test_which_recording_has_to_be_said_where_there_are_several(home, nvr):
    nvr.recordings["rec-2"] = ("Yard", 0.0, 1.0, [])
    nvr.recordings["rec-3"] = ("Gate", 0.0, 1.0, [])
    seen = service.look(nvr.address, user=nvr.user, password=SECRET)
    assert [(one.token, one.name, one.pictures) for one in seen.recordings] == [
        (token, name, ("V1",)) for token, name in (("rec-1", "Front"), ("rec-2", "Yard"), ("rec-3", "Gate"))
    ]
    assert seen.profile is None
    for recording, word in (("", "onvif.several"), ("rec-9", "onvif.no_recording")):
        with pytest.raises(Refused) as caught:
            add(home, nvr, recording=recording)
        assert caught.value.code == word
    assert add(home, nvr, recording="rec-2").options["onvif"]["recording"] == "rec-2"
    nvr.replay = "rtsp://203.0.113.9/replay"
    with pytest.raises(Refused) as caught:
        add(home, nvr, recording="rec-3")
    assert caught.value.code == "onvif.other_host"


# ---------------------------------------------------------------- hostile recorders


@pytest.mark.parametrize(
    ("bend", "word"),
    [
        (lambda nvr: setattr(nvr, "endless", True), "too_many"),
        (lambda nvr: nvr.recordings.update({f"r{n}": ("x", 1.0, 2.0, []) for n in range(80)}), "too_many"),
        (lambda nvr: nvr.recordings.clear(), "no_recording"),
        (lambda nvr: nvr.answers.update(FindRecordings=b"<a>" + b"x" * (2 << 20)), "too_large"),
        (lambda nvr: nvr.answers.update(FindRecordings=envelope("<a/>")), "answer"),
        (lambda nvr: nvr.answers.update(GetRecordingSearchResults=envelope("<b>" * 3000 + "</b>" * 3000)), "no_recording"),
        (lambda nvr: setattr(nvr, "replay", "rtsp://203.0.113.9/r"), "other_host"),
        (lambda nvr: setattr(nvr, "replay", "rtsps://0.0.0.0/r"), "no_replay"),
        (lambda nvr: setattr(nvr.rtsp, "basic", True) or setattr(nvr.rtsp, "password", "x"), "basic"),
        (lambda nvr: setattr(nvr.rtsp, "control", "rtsp://203.0.113.9/track"), "other_host"),
        (lambda nvr: setattr(nvr.rtsp, "codec", "jpeg") or setattr(nvr.rtsp, "sets", {"sps": b"", "pps": b""}), "codec"),
        (lambda nvr: setattr(nvr.rtsp, "raw", b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 5000), "too_large"),
        (lambda nvr: setattr(nvr.rtsp, "raw", b"$\0\0\x02ab"), "rtp"),
        (lambda nvr: setattr(nvr.rtsp, "raw", b"GARBAGE\r\n\r\n"), "answer"),
        (lambda nvr: setattr(nvr.rtsp, "raw", b"RTSP/1.0 200 OK\r\nContent-Length: 999999\r\n\r\n"), "too_large"),
    ],
)
def test_a_hostile_recorder_is_refused_with_a_word(home, nvr, bend, word):
    add(home, nvr)
    request = ask(home)
    nvr.have(request.start + 600.0)
    bend(nvr)
    began = time.monotonic()
    found, problem = scan(home)
    assert (found.added, problem) == (0, word)
    assert time.monotonic() - began < 20
    assert not Recording.objects.exists()
    assert not list(Path(Source.objects.get().folder).rglob("*.mp4"))


def test_a_stream_without_end_is_ended(tmp_path):
    """Pictures that never reach the end of the range: the time for all of it is what ends them."""
    head = struct.pack(">BBHII", 0x80, 96, 1, 1, 7) + b"\x01abc"
    replay = Replay("", "", "h264", {"sps": b"g", "pps": b"h"}, [])
    replay.raw, replay.repeat = b"$\0" + struct.pack(">H", len(head)) + head, True
    lines = []
    task = onvif_replay.Task(address=replay.here, folder=str(tmp_path), start=1.0, end=9.0, wall=1.5)
    began = time.monotonic()
    onvif_replay.fetch(task, lines.append)
    replay.close()
    assert lines[-1]["code"] in ("slow", "too_large")
    assert time.monotonic() - began < 4


def test_a_child_that_says_nonsense_is_not_believed(home, nvr, tmp_path):
    row = add(home, nvr)
    request = ask(home)
    nvr.have(request.start + 600.0)
    adapter = recorders.adapter(row)
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"x")
    part = {"start": 1000, "end": 2000, "codec": "h264", "stated": True}
    for said in ({"part": "../../outside.mp4"}, {"part": "replay-1.mp4"}, {"part": None}, {"part": "replay-1.mp4", "start": "x"}):
        text = json.dumps(part | said) + "\n[]\nnonsense\n" + json.dumps({"code": "", "reached": None})
        script = tmp_path / "say"
        script.write_text(text)
        odd = onvif_recordings.OnvifAdapter(
            adapter.folder, adapter.chain, adapter.device, "rec-1", command=("/bin/cat", str(script))
        )
        look = odd.look({}, now=home.now, cursor="", windows=[(request.start, request.end)])
        assert look.scan.recordings == ()
        (adapter.chain.root / "replayed.json").unlink()
    assert outside.exists()
    dead = onvif_recordings.OnvifAdapter(adapter.folder, adapter.chain, adapter.device, "rec-1", command=("/bin/false",))
    with pytest.raises(SourceProblem, match="answer"):
        dead.look({}, now=home.now, cursor="", windows=[(request.start, request.end)])


def test_a_full_disk_stops_before_anything_is_fetched(home, nvr, monkeypatch):
    add(home, nvr)
    request = ask(home)
    nvr.have(request.start + 600.0)
    monkeypatch.setattr(onvif_recordings.shutil, "disk_usage", lambda _p: SimpleNamespace(free=1))
    assert scan(home)[1] == "disk_full"
    assert nvr.rtsp.asked == []


# ---------------------------------------------------------------- pieces


def test_what_is_left_of_a_time():
    assert without((0, 10_000), []) == [(0, 10_000)]
    assert without((0, 10_000), [(2000, 4000), (9500, 12_000)]) == [(0, 2000), (4000, 9500)]
    assert without((0, 10_000), [(0, 10_000)]) == []
    assert without((0, 10_000), [(500, 9600)]) == []


@given(
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).map(sorted),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).map(sorted), max_size=6),
)
def test_what_is_left_touches_nothing_that_was_taken(span, taken):
    for low, high in without(tuple(span), [tuple(t) for t in taken]):
        assert span[0] <= low < high <= span[1]
        assert all(high <= a or b <= low or a == b for a, b in taken)


@pytest.mark.parametrize(
    ("changes", "spans"),
    [
        ([], [(0, 100)]),
        ([(0, True)], [(0, 100)]),
        ([(10, True)], [(10, 100)]),
        ([(10, False)], [(0, 10)]),
        ([(0, False), (20, True), (30, False), (60, True)], [(20, 30), (60, 100)]),
        ([(0, True), (0, True), (50, False), (50, False)], [(0, 50)]),
        ([(-50, True), (150, False)], [(0, 100)]),
    ],
)
def test_when_there_are_pictures(changes, spans):
    assert onvif_recordings._spans(changes, 0, 100) == spans


class Saying:
    """A device that answers every call with the same bytes."""

    def __init__(self, body):
        self.body = body

    def send(self, *_a):
        from fairwitness.kit.http import Answer

        return Answer(200, {}, iter([self.body]))


def seeds():
    device = FakeOnvif()
    device.close()
    device.services = ["device", "media", "search", "replay"]
    device.recordings = {"r": ("Front", 1_780_000_000.0, 1_780_000_100.0, [])}
    rows = [device.row_of("r", *device.recordings["r"]), device.event("r", 1_780_000_010.0, there=True)]
    made = [
        getattr(device, f"do_{name}")(None) for name in ("GetServices", "GetDeviceInformation", "GetProfiles", "GetStreamUri")
    ]
    made += [device.do_GetSystemDateAndTime(None), "<SearchToken>t</SearchToken>", f"<ResultList>{''.join(rows)}</ResultList>"]
    return [envelope(one) for one in made] + [envelope("".join(made))]


SEEDS = seeds()
ODD = [
    b"",
    b"-1",
    b"99999999999999999999",
    b"1e400",
    b"NaN",
    b"\xff",
    b"<",
    b"</x>",
    b"&amp;",
    b"0",
    b"9999-12-31T23:59:59Z",
    b"A" * 70_000,
]


@example(SEEDS[4].replace(b"<tt:Hour>", b"<tt:Hour>1e400"), [])
@example(b"<a>" * 200_000 + b"</a>" * 200_000, [])
@example(SEEDS[2].replace(b"<tt:Width>", b"<tt:Width>1e400"), [])
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 40), st.sampled_from(ODD)), max_size=4))
def test_any_answer_is_taken_or_refused(seed, cuts):
    data = seed
    for at, length, put in cuts:
        here = at % (len(data) + 1)
        data = data[:here] + put + data[here + length :]
    asked = Device("http://10.0.0.9/onvif/device_service", "u", "p4ssword", transport=Saying(data))
    asked._services = dict.fromkeys(("media", "media2", "search", "replay"), "http://10.0.0.9/x")
    stored = Stored("r", "", 1_780_000_000.0, 1_780_000_100.0, ("V1",))
    for call in (
        lambda: Device(asked.address, "u", "p", transport=Saying(data)).services(),
        lambda: onvif.about(asked),
        asked.clock,
        lambda: onvif.choose(onvif.profiles(asked)),
        lambda: onvif.stream_address(asked, "main"),
        lambda: onvif_recordings.recordings(asked),
        lambda: onvif_recordings.present(asked, stored, 1_780_000_000.0, 1_780_000_050.0),
        lambda: onvif_recordings.replay_address(asked, "r"),
    ):
        with contextlib.suppress(SourceProblem):
            call()


@given(st.text(max_size=200))
def test_any_challenge_is_answered_or_not(text):
    for said in (text, f'Digest realm="r", nonce="{text}"', f"Digest {text}"):
        found = onvif_digest.parse(said)
        if found is not None:
            header = onvif_digest.answer(found, user='a"b', password="p", method="GET", uri="/", cnonce="c")
            assert header.isprintable()


def test_times_of_a_search():
    assert onvif_recordings._moment("2026-06-01T02:00:00.5Z") == onvif_recordings._moment("2026-06-01T04:00:00.5+02:00")
    for odd in (None, "", "x", "9999-12-31T23:59:59Z", "1960-01-01T00:00:00Z", 5):
        assert onvif_recordings._moment(odd) is None
    assert onvif_recordings._text(1_780_000_000.5) == at_text(1_780_000_000.5)


def packet(data=b"\x01x", number=1, stamp=0, marker=1, head=b"", first=0x80):
    return struct.pack(">BBHII", first, marker << 7 | 96, number, stamp, 7) + head + data


def test_the_replays_extension():
    ntp = 1_780_000_000 + 2_208_988_800
    head = struct.pack(">HHIIBBH", 0xABAC, 3, ntp & 0xFFFFFFFF, 1 << 31, 0xA0, 0, 0)
    found = onvif_rtp.read_packet(packet(head=head, first=0x90))
    assert (found.ntp, found.broken, found.last, found.data) == (1_780_000_000.5, True, False, b"\x01x")
    late = onvif_rtp.read_packet(packet(head=struct.pack(">HHIIBBH", 0xABAC, 3, 100, 0, 0x10, 0, 0), first=0x90))
    assert late.ntp == 2**32 + 100 - 2_208_988_800
    assert late.last
    assert onvif_rtp.read_packet(packet(head=struct.pack(">HHI", 0xBEDE, 1, 5), first=0x90)).ntp is None
    for odd in (
        b"",
        b"\x80" * 11,
        packet(first=0x40),
        packet(b"", head=b"\xab\xac\0\x09", first=0x90),
        packet(b"\xff", first=0xA0),
    ):
        with pytest.raises(ProtocolError, match="packet"):
            onvif_rtp.read_packet(odd)


def test_a_lost_packet_loses_pictures_up_to_the_next_key_frame():
    pieces = onvif_rtp.Depacketizer("h264", (b"\x67s", b"\x68p"))

    def units(*rows):
        return [
            unit
            for number, stamp, data in rows
            for unit in pieces.push(onvif_rtp.read_packet(packet(data, number=number, stamp=stamp)))
        ]

    first = units((1, 0, b"\x65a"), (2, 1, b"\x41b"))
    assert [(u.key, u.broken) for u in first] == [(True, False), (False, False)]
    assert first[0].data == b"\0\0\0\1\x67s\0\0\0\1\x68p\0\0\0\1\x65a"
    lost = units((4, 3, b"\x41d"), (5, 4, b"\x41e"), (6, 5, b"\x65f"), (7, 6, b"\x41g"))
    assert [(u.key, u.broken) for u in lost] == [(True, True), (False, False)]


@pytest.mark.parametrize("data", [b"\x1d\0\0", b"\x78\0\x09abc", b"\x78\0\0ab", b"\x7c\x85"])
def test_pictures_packed_as_no_camera_packs_them(data):
    with pytest.raises(ProtocolError, match="picture"):
        list(onvif_rtp.Depacketizer("h264").push(onvif_rtp.read_packet(packet(data))))


@given(st.sampled_from(["h264", "hevc"]), st.lists(st.binary(max_size=60), max_size=12), st.data())
def test_any_packets_are_survived(codec, parts, data):
    pieces = onvif_rtp.Depacketizer(codec)
    for part in parts:
        head = struct.pack(">BBHII", data.draw(st.integers(0, 255)), data.draw(st.integers(0, 255)), 1, 1, 1)
        try:
            list(pieces.push(onvif_rtp.read_packet(head + part)))
        except ProtocolError as error:
            assert error.code.startswith("replay.")  # noqa: PT017
        onvif_rtp.read_report(part)


def test_descriptions():
    rows = (
        "v=0|m=audio 0 RTP/AVP 0|a=control:a|m=video 0 RTP/AVP 98|a=rtpmap:98 H265/90000|a=fmtp:98 sprop-sps=QUI=|a=control:{}|"
    )
    sdp = rows.replace("|", "\r\n")
    track = onvif_rtp.read_sdp(sdp.format("track2").encode(), "rtsp://h/replay")
    assert track == onvif_rtp.Track("hevc", "rtsp://h/replay/track2", 98, 90_000, (b"AB",))
    assert onvif_rtp.read_sdp(sdp.format("*").encode(), "rtsp://h/r").control == "rtsp://h/r"
    assert onvif_rtp.read_sdp(sdp.format("rtsp://h/x").encode(), "rtsp://h/r").control == "rtsp://h/x"
    assert onvif_rtp.read_sdp(sdp.format("t").encode(), "rtsp://h/r?a=1").control == "rtsp://h/r?a=1/t"
    for odd in (
        b"",
        b"\xff",
        b"m=video 0 RTP/AVP x",
        b"m=video 0 RTP/AVP 96\r\n",
        b"m=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000",
    ):
        with pytest.raises(ProtocolError):
            onvif_rtp.read_sdp(odd, "rtsp://h/")


@given(st.binary(max_size=300))
def test_any_description_is_read_or_refused(data):
    try:
        onvif_rtp.read_sdp(b"m=video 0 RTP/AVP 96\n" + data, "rtsp://h/")
    except ProtocolError as error:
        assert error.code.startswith("replay.")  # noqa: PT017


def test_stamps_that_wrap():
    unwrap = onvif_rtp.Unwrap()
    assert [unwrap.see(n) for n in (2**32 - 10, 5, 2**32 - 3, 20)] == [2**32 - 10, 2**32 + 5, 2**32 - 3, 2**32 + 20]


@given(st.permutations(range(6)), st.integers(1, 8))
def test_decode_times_rise_and_are_never_after_showing(order, repeats):
    """Every reordering inside of a group, again and again."""
    times = [6 * n + k for n in range(repeats * 3) for k in order]
    ordering = onvif_rtp.Order()
    found = [row for n, t in enumerate(times) for row in ordering.push(t * 3000, n)] + list(ordering.end())
    assert [what for _s, _d, what in found] == list(range(len(times)))
    assert [shown for shown, _d, _w in found] == [t * 3000 for t in times]
    decode = [d for _s, d, _w in found]
    assert decode == sorted(set(decode))
    assert all(d <= s for s, d, _w in found)


def test_rtsp_answers_in_odd_order():
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"$\0\0\x03abcANNOUNCE rtsp://x RTSP/1.0\r\nCSeq: 9\r\nContent-Length: 2\r\n\r\nhi")
            connection.sendall(b"RTSP/1.0 200 OK\r\nCSeq: 77\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 1\r\nX: a\r\nX: b\r\n\r\n$\1\0\1z")

    threading.Thread(target=serve, daemon=True).start()
    rtsp = onvif_rtsp.Rtsp(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/x", "", "", patience=2.0)
    rtsp.open()
    assert rtsp.ask("OPTIONS", "*").headers["x"] == "a, b"
    assert list(rtsp.frames()) == [(0, b"abc"), (1, b"z")]
    rtsp.close()
    listener.close()
    with pytest.raises(SourceProblem, match="unreachable"):
        onvif_rtsp.Rtsp(rtsp.url, "", "", patience=0.5).open()
    assert onvif_rtsp.clock_of(1_780_000_000.9996) == "20260528T202641.000Z"
