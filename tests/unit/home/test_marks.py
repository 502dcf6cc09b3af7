"""Marks: only where the owner wants them, at home, bounded; and one timeline for recordings, gaps and marks."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import shutil

import pytest
from django.test import Client
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home import access
from fairwitness.home.config import Config
from fairwitness.home.models import Look, LookBudget, Mark, Recorder, Recording, Source
from fairwitness.home.services import answers, delivery, marks, masks, recorders
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import marks as looking
from tests.harness.frigate import FakeFrigate
from tests.unit.home import test_masks as shares
from tests.unit.home.test_sharing import open_response
from tests.unit.media.test_marks import film, square

footage, asked = shares.footage, shares.asked


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """Twelve seconds in which something moves from the fourth to the eighth."""
    return film(tmp_path_factory.mktemp("street"), 12, square(4, 8))


@pytest.fixture
def cam(home, tmp_path, street):
    folder = tmp_path / "cam"
    folder.mkdir()
    shutil.copyfile(street, folder / "a.mp4")
    found = (folder / "a.mp4").stat()
    source = Source.objects.create(camera=home.porch, folder=str(folder))
    home.row = Recording.objects.create(
        source=source, path="a.mp4", start=home.now - 1000, end=home.now - 988, seconds=12.0, time_source="name", codec="h264",
        identity={"size": found.st_size, "mtime_ns": found.st_mtime_ns, "inode": found.st_ino}, size=found.st_size,
    )  # fmt: skip
    return home


@pytest.fixture
def eye(monkeypatch):
    """Replaces the child: what it says, what it costs, and which files it was given."""

    class Eye:
        says, cpu, error, given, during = (), 1.0, None, (), None

    found = Eye()
    found.given = []

    def samples(path, areas, *, seconds, cancelled, spent):
        found.given.append((path.name, areas, seconds))
        spent(found.cpu)
        if found.during:
            found.during()
        for _ in range(100):
            if cancelled():
                raise ProtocolError("clip.cancelled", "stopped")
        if found.error:
            raise found.error
        yield from found.says

    monkeypatch.setattr(looking, "samples", samples)
    found.says = [looking.Sample(at, 0.1, 0.0) for at in (4.0, 4.5, 5.0)]
    return found


@pytest.mark.claim("P20")
def test_off_means_no_row_and_no_look(cam, eye):
    assert not cam.porch.marks_on
    assert marks.step(cam.now) is False
    assert eye.given == []
    assert not Mark.objects.exists()
    assert not Look.objects.exists()
    assert not LookBudget.objects.exists()


def test_a_recording_is_marked_once_and_switching_off_forgets(cam):
    marks.switch(cam.porch.pk, on=True)
    assert marks.step(cam.now) is True
    (mark,) = Mark.objects.all()
    assert mark.kind == "motion"
    assert mark.start == pytest.approx(cam.row.start + 4, abs=1)
    assert mark.end == pytest.approx(cam.row.start + 8, abs=1)
    assert 0 < LookBudget.objects.get().cpu < 30
    assert marks.step(cam.now) is False
    found = marks.timeline(cam.porch.pk, cam.row.start - 10, cam.now)
    assert [(one.kind, one.by) for one in found.marks] == [("motion", "home")]
    assert found.recordings[0].looked
    marks.switch(cam.porch.pk, on=False)
    assert not Mark.objects.exists()
    assert not Look.objects.exists()
    assert marks.timeline(cam.porch.pk, cam.row.start - 10, cam.now).marks == []


def test_covered_areas_are_not_looked_at_and_drawing_one_looks_again(cam, eye):
    marks.switch(cam.porch.pk, on=True)
    marks.step(cam.now)
    assert Mark.objects.count() == 1
    masks.add(cam.porch.pk, "Street", shares.SQUARE)
    assert not Mark.objects.exists()
    marks.step(cam.now)
    assert [len(areas) for _name, areas, _seconds in eye.given] == [0, 1]


def test_a_changed_file_is_looked_at_again_and_marks_go_with_their_recording(cam, eye):
    marks.switch(cam.porch.pk, on=True)
    marks.step(cam.now)
    Recording.objects.update(identity={"size": 1, "mtime_ns": 2, "inode": 3})
    assert marks.step(cam.now) is True
    assert Mark.objects.count() == 1
    Recording.objects.update(gone=True)
    assert marks.timeline(cam.porch.pk, cam.row.start - 10, cam.now).marks == []
    marks.step(cam.now)
    assert not Mark.objects.exists()


def test_the_days_processor_time_is_a_limit(cam, eye, monkeypatch):
    from fairwitness.kit import config

    assert config.current(Config).marks_cpu_minutes == 120
    marks.switch(cam.porch.pk, on=True)
    LookBudget(day=marks._day(cam.now), cpu=120 * 60.0).save()
    assert marks.step(cam.now) is False
    assert eye.given == []
    LookBudget(day=marks._day(cam.now), cpu=120 * 60.0 - 5).save()
    eye.cpu = 4.0
    assert marks.step(cam.now) is True
    assert eye.given[0][2] <= 6
    assert LookBudget.objects.get().cpu == 120 * 60.0 - 1
    cam.at(cam.now + 86_400)
    assert marks.budget_left(cam.now) == 120 * 60


@pytest.mark.parametrize("code", ["clip.format", "clip.crashed", "clip.limits"])
def test_a_recording_that_cannot_be_looked_at_is_not_tried_for_ever(cam, eye, code):
    marks.switch(cam.porch.pk, on=True)
    eye.error = ProtocolError(code, "no")
    assert marks.step(cam.now) is True
    assert marks.step(cam.now) is False
    assert Look.objects.get().problem == code
    assert not Mark.objects.exists()
    assert LookBudget.objects.get().cpu >= (1 if code == "clip.format" else 60)


def recorder(cam, problem=""):
    source = Source.objects.create(camera=cam.porch, folder="/nowhere/rtsp")
    return Recorder.objects.create(
        source=source, kind="rtsp", address="rtsp://camera/x", secret=b"", options={"chain": "0123456789abcdef"}, keep_days=1,
        added_at=0, problem=problem,
    )  # fmt: skip


def test_recording_comes_first(cam, eye):
    marks.switch(cam.porch.pk, on=True)
    row = recorder(cam, "camera")
    assert not marks.behind(cam.now)  # a camera that is away is not helped by idling
    row.problem = "stalled"
    row.save()
    assert marks.behind(cam.now)
    assert marks.step(cam.now) is False
    row.problem = ""
    row.save()
    eye.during = lambda: Recorder.objects.update(problem="stalled")
    marks.step(cam.now)
    assert len(eye.given) == 1
    assert not Look.objects.exists()  # it is begun anew once there is room
    assert LookBudget.objects.get().cpu == 1.0


def test_footage_lost_on_the_way_lately_is_a_reason_to_wait(cam, monkeypatch):
    from types import SimpleNamespace

    recorder(cam)
    for reason, verdict in (("stream", True), ("disk", True), ("camera", False), ("start", False)):
        hole = SimpleNamespace(start=0, end=1, reason=reason)
        monkeypatch.setattr(recorders, "chain", lambda row, hole=hole: SimpleNamespace(holes=lambda start, end: [hole]))
        assert marks.behind(cam.now) is verdict, reason


def test_switching_off_while_it_looks_keeps_nothing(cam, eye):
    marks.switch(cam.porch.pk, on=True)
    eye.during = lambda: marks.switch(cam.porch.pk, on=False)
    marks.step(cam.now)
    assert not Mark.objects.exists()
    assert not Look.objects.exists()


def test_a_timeline_says_what_is_missing_and_why(cam, monkeypatch):
    from types import SimpleNamespace

    recorder(cam)
    start = cam.row.start
    hole = SimpleNamespace(start=(start + 12) * 1000, end=(start + 500) * 1000, reason="camera")
    monkeypatch.setattr(recorders, "chain", lambda row: SimpleNamespace(holes=lambda begin, end: [hole]))
    found = marks.timeline(cam.porch.pk, start - 50, start + 400)
    assert [(gap.start - start, gap.end - start, gap.reason) for gap in found.gaps] == [(-50, 0, ""), (12, 400, "camera")]
    assert [(one.id, one.looked) for one in found.recordings] == [(cam.row.pk, False)]
    for bad in ((5, 5), (-1, 5), (0, 32 * 86_400)):
        with pytest.raises(Refused):
            marks.timeline(cam.porch.pk, *bad)


@pytest.mark.network
def test_one_switch_for_a_frigates_marks_too(home):
    nvr = FakeFrigate()
    try:
        row = recorders.add_frigate(home.porch.pk, nvr.address, user=nvr.user, password=nvr.password, name="front_door")
        nvr.calls.clear()
        assert marks.timeline(home.porch.pk, home.now - 100, home.now).marks == []
        with pytest.raises(Refused, match="off"):
            recorders.marks(row.pk, home.now - 100, home.now)
        assert nvr.calls == []  # off: it is not even asked
        marks.switch(home.porch.pk, on=True)
        found = marks.timeline(home.porch.pk, home.now - 100, home.now)
        assert nvr.calls
        assert found.unknown == []
        assert {one.by for one in found.marks} <= {"frigate"}
        assert not Mark.objects.exists()
    finally:
        nvr.close()
    found = marks.timeline(home.porch.pk, home.now - 100, home.now)
    assert found.unknown
    assert found.unknown[0].startswith("frigate.")


@pytest.mark.claim("P20")
def test_no_mark_leaves_this_home(asked):
    """The same bytes leave with marks and without, but for what is random: no field has room for one."""
    row = Recording.objects.get()
    marks.switch(asked.porch.pk, on=True)
    Look.objects.create(recording=row, identity=row.identity, at=asked.now)
    for kind in ("person", "motion"):
        Mark.objects.create(recording=row, start=row.start + 0.123456, end=row.start + 1.654321, kind=kind, score=0.987654)
    asked.hub.calls.clear()
    marks.step(asked.now)
    assert marks.timeline(asked.porch.pk, row.start - 10, row.end + 10).marks
    assert asked.hub.calls == []
    answer = answers.confirm(answers.draft(f"{1:032x}").pk, at_once=True)
    delivery.seal_due(asked.now)
    assert delivery.upload_due(asked.now) == 1
    answer.refresh_from_db()
    opened, clips = open_response(asked, answer.response_id)
    everything = b"".join([opened.manifest, *clips.values(), *(body for *_rest, body in asked.hub.calls)])
    everything += b"".join(url.encode() for _n, _m, url, _h, _b in asked.hub.calls)
    for trace in (b"person", b"motion", b"0.987654", b"123456", b"654321", b"marks"):
        assert trace not in everything, trace


def test_over_http(cam, eye):
    client = Client(headers={"Authorization": f"Bearer {access.owner_token()}", "host": "localhost"})
    place = f"/api/cameras/{cam.porch.pk}"
    assert client.post(f"{place}/marks", '{"on": true}', content_type="application/json").json()["marks_on"] is True
    marks.step(cam.now)
    found = client.get(f"{place}/timeline?from={cam.row.start - 5}&to={cam.now}").json()
    assert [(one["kind"], one["by"], one["score"]) for one in found["marks"]] == [("motion", "home", 0.1)]
    assert found["recordings"][0]["id"] == cam.row.pk
    assert client.get(f"{place}/timeline?from=5&to=4").status_code == 422
    assert client.get(f"{place}/timeline").status_code == 422
    assert client.get("/api/cameras/999/timeline?from=5&to=6").status_code == 404
