"""Recorders: who is fetched from and how, what is kept, what is refused, and that no password is ever shown."""
# ruff: noqa: PLC0415, PT017 - Django's modules are loaded once its settings are

import itertools
import json
import re
from pathlib import Path

import pytest
from fairwitness_core.model.response import Manifest, verify_responder
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

from core.tests.rules.feed_world import CENTRE
from fairwitness.demo.footage import make_clip
from fairwitness.home.adapters import frigate, segments
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.keeper import Keeper
from fairwitness.home.adapters.task import Task
from fairwitness.home.models import Recorder, Recording, Source
from fairwitness.home.services import answers, delivery, matching, recorders, requests, sources
from fairwitness.kit.errors import Refused
from tests import testdata
from tests.harness.frigate import FakeFrigate
from tests.unit.home.test_sharing import open_response

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    path = tmp_path_factory.mktemp("frigate") / "segment.mp4"
    return make_clip(path, seed=5, seconds=4, start=1_780_000_000, place=CENTRE, width=160, height=90, fps=10).read_bytes()


@pytest.fixture
def nvr():
    found = FakeFrigate()
    yield found
    found.close()


def add(home, nvr, **more):
    values = {"user": nvr.user, "password": nvr.password, "name": "front_door"} | more
    return recorders.add_frigate(home.porch.pk, nvr.address, **values)


def ask(home):
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    (row,) = matching.Request.objects.all()
    return row


def test_only_what_is_asked_about_is_fetched_and_it_answers_the_request(home, nvr, footage):
    row = add(home, nvr)
    request = ask(home)
    at = request.start + 600.25
    nvr.segments["front_door"] = [
        (request.start - 5000.0, request.start - 4996.0, footage),
        (at, at + 4, footage),
        (at + 4, at + 8, footage),
        (at + 100, at + 104, footage),
        (at + 200, at + 204, None),
        (request.end + 500.0, request.end + 504.0, footage),
    ]
    nvr.calls.clear()
    assert sources.scan(home.now).added == 3
    found = list(Recording.objects.order_by("start"))
    assert [one.start for one in found] == [round(at), round(at + 4), round(at + 100)]
    assert found[0].path == frigate.Stored(at, at + 4).path("front_door")
    assert sources.path_of(found[0]).read_bytes() == footage
    assert {one.time_source for one in found} == {"camera"}
    assert {method for method, path, _q in nvr.calls if path != "/api/login"} == {"GET"}
    assert all({"after", "before"} <= set(query) for _m, path, query in nvr.calls if path.endswith("/recordings"))
    # What is here is not fetched again.
    nvr.calls.clear()
    assert not sources.scan(home.now).anything
    assert not [path for _m, path, _q in nvr.calls if found[0].path in path]
    assert recorders.verify(row.pk) == []
    assert [h.reason for h in recorders.holes(row.pk, int(at), int(at) + 200)] == ["source"]

    matching.rematch(home.now)
    answer = answers.draft(request.pk)
    assert [clip.pieces.count() for clip in answer.clips.all()] == [1, 0]  # the first two follow each other
    answers.confirm(answer.pk, at_once=True)
    delivery.seal_due(home.now)
    assert delivery.upload_due(home.now) == 1
    answer.refresh_from_db()
    opened, clips = open_response(home, answer.response_id)
    manifest = verify_responder(Manifest, opened.manifest)
    assert [clip.time_source for clip in manifest.clips] == ["camera"] * 2
    assert all(clip.chain_commit for clip in manifest.clips)
    assert (manifest.clips[0].start, manifest.clips[0].end) == (int(at), round(at + 8))
    assert (round(at + 8), round(at + 100)) in [(gap.start, gap.end) for gap in manifest.gaps]
    assert not any(b"front_door" in data for data in (opened.manifest, *clips.values()))


def test_without_a_request_nothing_is_asked_of_it(home, nvr):
    add(home, nvr)
    nvr.calls.clear()
    sources.scan(home.now)
    assert nvr.calls == []


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_a_user_who_sees_everything_is_refused(home, nvr, role):
    nvr.role = role
    with pytest.raises(Refused, match="limited"):
        add(home, nvr)
    assert not Recorder.objects.exists()


def test_a_role_that_was_widened_later_stops_the_fetching(home, nvr, footage):
    add(home, nvr)
    request = ask(home)
    nvr.segments["front_door"] = [(request.start + 10.0, request.start + 14.0, footage)]
    nvr.role = "admin"
    assert sources.scan(home.now).unreadable == 1
    assert Source.objects.get().problem == "unrestricted"
    assert not [path for _m, path, _q in nvr.calls if path.startswith("/recordings")]


def test_wrong_password_and_foreign_camera_are_said_and_not_relayed(home, nvr):
    with pytest.raises(Refused) as caught:
        add(home, nvr, password="nope")
    assert caught.value.code == "frigate.refused"
    with pytest.raises(Refused) as caught:
        add(home, nvr, name="back_yard")
    assert caught.value.code == "frigate.not_allowed"
    assert "front_door" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("https://10.0.0.9:5000", "frigate.internal_port"),
        ("http://127.0.0.1:5000", "frigate.internal_port"),
        ("http://10.0.0.9:8971", "frigate.plain"),
        ("https://10.0.0.9", "frigate.address"),
        ("https://u:p@10.0.0.9:8971", "frigate.address"),
        ("https://10.0.0.9:8971/x", "frigate.address"),
        ("rtsp://10.0.0.9:8971", "frigate.address"),
    ],
)
def test_addresses(address, code):
    with pytest.raises(ProtocolError) as caught:
        frigate.check_address(address)
    assert caught.value.code == code


@given(st.text(max_size=60))
def test_any_address_is_taken_or_refused(text):
    try:
        assert ":5000" not in frigate.check_address(text).partition("//")[2]
    except ProtocolError as error:
        assert error.code.startswith("frigate.")


def test_an_ended_session_is_renewed_once(nvr):
    client = frigate.Client(nvr.address, nvr.user, nvr.password)
    assert client.about("front_door").version == nvr.version
    nvr.tokens.clear()
    assert client.segments("front_door", 0, 10) == []
    assert [path for _m, path, _q in nvr.calls].count("/api/login") == 2
    nvr.tokens.clear()
    nvr.password = "changed"
    with pytest.raises(SourceProblem, match="refused"):
        client.segments("front_door", 0, 10)


def test_older_versions_have_fallbacks(home, nvr, footage):
    """No reviews, no gaps, no original by path: events, holes of the list, and a cut that says that it is one."""
    row = add(home, nvr)
    nvr.missing = {"/api/review", "/api/recordings/unavailable"}
    nvr.serve_originals = False
    request = ask(home)
    at = float(request.start + 600)
    nvr.segments["front_door"] = [(at, at + 4, footage)]
    nvr.cuts[int(at), int(at) + 4] = footage
    nvr.events = [{"id": "1", "label": "person", "camera": "front_door", "start_time": at + 1, "end_time": None}]
    assert sources.scan(home.now).added == 1
    assert Recording.objects.get().path.endswith("-cut.mp4")
    (link,) = recorders.chain(row).read()[0]
    assert link.derived
    client = frigate.Client(nvr.address, nvr.user, nvr.password)
    assert client.unavailable("front_door", at, at + 60) is None
    assert client.marks("front_door", int(at), int(at) + 60) == [frigate.Mark(at + 1, None, "object", ("person",))]
    assert not sources.scan(home.now).anything


def test_a_body_that_ends_early_or_is_no_footage_is_not_taken(home, nvr, footage):
    add(home, nvr)
    request = ask(home)
    at = float(request.start + 600)
    nvr.segments["front_door"] = [
        (at, at + 4, footage[: len(footage) // 3]),
        (at + 4, at + 8, b"<html>"),
        (at + 8, at + 60, footage),
    ]
    assert not sources.scan(home.now).anything
    nvr.segments["front_door"][0] = (at, at + 4, footage)
    assert sources.scan(home.now).added == 1


@pytest.mark.parametrize(
    "rows", [{}, [1], [{"start_time": "x", "end_time": 1}], [{"start_time": True, "end_time": 2}], [{"start_time": -1}]]
)
def test_answers_that_are_no_list_of_segments(nvr, monkeypatch, rows):
    monkeypatch.setattr(
        nvr, "route", lambda *a, _route=nvr.route: (200, rows, {}) if a[1].endswith("/recordings") else _route(*a)
    )
    with pytest.raises(SourceProblem, match="answer"):
        frigate.Client(nvr.address, nvr.user, nvr.password).segments("front_door", 0, 10)


@pytest.mark.testdata
def test_marks_as_a_real_one_lists_them_and_calls_that_its_interface_has(nvr):
    nvr.events = json.loads(testdata.files("frigate/events.json")[0].read_text())
    nvr.reviews = json.loads(testdata.files("frigate/reviews.json")[0].read_text())
    first = int(nvr.events[0]["start_time"])
    marks = frigate.Client(nvr.address, nvr.user, nvr.password).marks("front_door", first - 86_400, first + 86_400)
    assert {"alert", "object"} <= {mark.kind for mark in marks}
    assert any("person" in mark.labels for mark in marks)
    client = frigate.Client(nvr.address, nvr.user, nvr.password)
    client.about("front_door")
    client.segments("front_door", 1, 2)
    client.unavailable("front_door", 1, 2)
    client.fetch_cut("front_door", frigate.Stored(1.5, 3.5), Path("unused"))
    interface = testdata.files("frigate/frigate-api.yaml")[0].read_text()
    known = set(re.findall(r"^  (/\S*?):$", interface, re.MULTILINE))
    for _method, path, _query in nvr.calls:
        plain = path.removeprefix("/api").replace("front_door", "{camera_name}")
        plain = re.sub(r"start/\d+/end/\d+", "start/{start_ts}/end/{end_ts}", plain)
        assert plain in known, plain


# ---------------------------------------------------------------- retention


@pytest.fixture
def cam(home):
    return recorders.add_rtsp(home.porch.pk, "rtsp://192.0.2.1/stream", user="u", password="hidden-word")


def footprint(row, start, size=100 << 20):
    """A finished segment, as large as said, of one minute."""
    from fairwitness.home.adapters.chain import file_sha256

    name = segments.name_of(start * 1000, (start + 60) * 1000)
    path = Path(row.source.folder) / name
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as sink:
        sink.truncate(size)
    chain = recorders.chain(row)
    digest = file_sha256(path) if size < 1000 else "a" * 64
    chain.append(sha256=digest, start=start * 1000, end=(start + 60) * 1000, size=size, path=name, codec="h264", after="")
    return path


def test_days_and_bytes_are_kept_to(home, cam):
    old = footprint(cam, home.now - 15 * 86_400, 500)
    young = [footprint(cam, home.now - 600 + 60 * n) for n in range(5)]
    assert sources.scan(home.now).added == 6
    assert recorders.retain(home.now) == 1
    assert not old.exists()
    assert not old.parent.exists()
    assert all(path.exists() for path in young)
    recorders.edit(cam.pk, keep_days=14, keep_bytes=250 << 20)
    assert recorders.retain(home.now) == 3
    assert [path.exists() for path in young] == [False, False, False, True, True]
    assert Recording.objects.filter(gone=False).count() == 2
    assert recorders.listing()[0].kept_at == home.now
    # What was deleted stays provable, and a look does not bring it back.
    assert recorders.chain(cam).last().number == 5
    Recorder.objects.update(cursor="")
    assert not sources.scan(home.now).added


def test_what_a_request_asks_about_outlives_its_days_but_not_the_disk(home, cam):
    request = ask(home)
    wanted = footprint(cam, request.start + 60)
    other = footprint(cam, request.start - 7200)
    sources.scan(home.now)
    later = request.expires - 10
    recorders.edit(cam.pk, keep_days=1, keep_bytes=0)
    assert recorders.retain(later) == 1
    assert (wanted.exists(), other.exists()) == (True, False)
    newest = footprint(cam, home.now)
    sources.scan(home.now)
    recorders.edit(cam.pk, keep_days=30, keep_bytes=150 << 20)
    recorders.retain(home.now)
    assert (wanted.exists(), newest.exists()) == (True, False)
    recorders.edit(cam.pk, keep_days=30, keep_bytes=64 << 20)
    recorders.retain(home.now)
    assert not wanted.exists()


def test_all_that_an_open_answer_joins_outlives_its_days(home, cam):
    request = ask(home)
    paths = [footprint(cam, request.start + 60 * n, 500) for n in range(3)]
    sources.scan(home.now)
    matching.rematch(home.now)
    answer = answers.draft(request.pk)
    assert [clip.pieces.count() for clip in answer.clips.all()] == [2]
    requests.ignore(request.pk)
    recorders.edit(cam.pk, keep_days=1, keep_bytes=0)
    later = request.expires - 10
    assert recorders.retain(later) == 0
    answers.discard(answer.pk)
    assert recorders.retain(later) == 3
    assert not any(path.exists() for path in paths)


def test_a_file_that_cannot_be_deleted_is_a_problem_to_see(home, cam, monkeypatch):
    footprint(cam, home.now - 15 * 86_400, 500)
    sources.scan(home.now)
    monkeypatch.setattr(recorders, "_unlink", lambda *_a: False)
    assert recorders.retain(home.now) == 0
    assert (recorders.listing()[0].problem, recorders.listing()[0].kept_at) == ("retention", 0)
    monkeypatch.undo()
    assert recorders.retain(home.now) == 1
    assert recorders.listing()[0].problem == ""


def test_an_unplugged_disk_forgets_nothing_and_deleted_files_are_noticed(home, cam):
    path = footprint(cam, home.now - 600, 500)
    sources.scan(home.now)
    away = Path(cam.source.folder)
    away.rename(away.with_name("away"))
    Recorder.objects.update(cursor="")
    assert sources.scan(home.now).unreadable == 1
    assert Recording.objects.filter(gone=False).count() == 1
    away.with_name("away").rename(away)
    path.unlink()
    assert sources.scan(home.now + sources.RECHECK_S).removed == 1


def test_a_home_that_starts_anew_knows_files_that_were_copied_back(home, cam, monkeypatch):
    path = footprint(cam, home.now - 600, 500)
    sources.scan(home.now)
    before = Recording.objects.get().identity
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    sources.scan(home.now + 1)
    assert Recording.objects.get().identity == before
    monkeypatch.setattr(sources, "_looked_at", set())  # another process
    assert sources.scan(home.now + 2).changed == 1
    assert Recording.objects.get().identity["inode"] == path.stat().st_ino != before["inode"]


def test_limits_addresses_and_secrets(home, cam):
    assert b"hidden-word" not in bytes(Recorder.objects.get().secret)
    assert "hidden-word" not in repr(recorders.listing())
    for days, size in ((0, 0), (4000, 0), (14, 5)):
        with pytest.raises(Refused):
            recorders.edit(cam.pk, keep_days=days, keep_bytes=size)
    with pytest.raises(ProtocolError, match="by themselves"):
        recorders.add_rtsp(home.porch.pk, "rtsp://u:p@192.0.2.1/stream")
    with pytest.raises(Refused, match="already"):
        recorders.add_rtsp(home.porch.pk, "rtsp://192.0.2.1/stream")
    with pytest.raises(Refused, match="recorder"):
        sources.remove(cam.source.pk)
    path = footprint(cam, home.now - 600, 500)
    sources.scan(home.now)
    recorders.remove(cam.pk, erase=True)
    assert not path.exists()
    assert not Source.objects.exists()
    with pytest.raises(Refused):
        recorders.get(cam.pk)


def test_the_keeper_starts_again_with_growing_pauses_and_stops_what_is_unwanted():
    died, made = [], []

    def task():
        made.append(1)
        return Task(address="rtsp://x/", folder="f", chain="c")

    keeper = Keeper(command=("/bin/sh", "-c", "read line; exit 3"), died=lambda number, status: died.append((number, status)))
    now = 0.0
    keeper.step({1: ("a", task)}, now)
    starts = [now]
    while len(starts) < 5:
        worker = keeper._workers[1]
        if worker.process is not None:
            worker.process.wait()
        now += 0.5
        keeper.step({1: ("a", task)}, now)
        if len(made) > len(starts):
            starts.append(now)
    pauses = [b - a for a, b in itertools.pairwise(starts)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 8
    assert set(died) == {(1, 3)}
    keeper.step({}, now)
    assert keeper.running() == {}
    keeper = Keeper(command=("/bin/cat",))
    keeper.step({1: ("a", task), 2: ("b", task)}, 0.0)
    first = keeper.running()
    keeper.step({1: ("changed", task), 2: ("b", task)}, 1.0)
    assert keeper.running()[2] == first[2]
    assert keeper.running()[1] != first[1]
    keeper.stop()
    assert keeper.running() == {}
