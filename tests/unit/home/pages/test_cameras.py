"""The cameras' page says how each does and what to do; a camera's settings change what they say and nothing else."""

import re

import pytest
from django.test import Client

from fairwitness.home.adapters import glimpse
from fairwitness.home.lan import pairing
from fairwitness.home.models import Camera, Mark, Recorder, Recording, Source
from fairwitness.home.services import cameras, household, recorders, states, trials


def browser(user=None):
    client = Client(headers={"host": "localhost", "accept": "text/html"})
    assert client.post("/pair", {"code": pairing.issue(user)}).status_code == 302
    return client


def words(answer):
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text).replace("&#x27;", "'")


@pytest.fixture
def stream(home):
    return recorders.add_rtsp(home.porch.pk, "rtsp://192.168.1.20/stream", user="viewer", password="secret-1")


def status(monkeypatch, **values):
    monkeypatch.setattr(recorders, "_status", lambda _row: values)


def test_nothing_yet_leads_to_the_set_up(lone):
    client = browser()
    page = client.get("/cameras")
    assert "No camera yet" in words(page)
    assert 'href="/setup"' in page.content.decode()


def test_each_camera_says_how_it_does(home, stream, monkeypatch):
    status(monkeypatch, state="recording", since=home.now, at=home.now)
    client = browser()
    assert "Recording" in words(client.get("/cameras"))
    Recorder.objects.update(problem="refused", problem_at=home.now)
    told = words(client.get("/cameras"))
    assert "Trouble" in told
    assert all(sentence in told for sentence in trials.explain("refused"))
    cameras.add("Garden", 37.8, -122.2)
    assert "Nothing records this camera yet." in words(client.get("/cameras"))


def test_a_folder_says_when_it_is_empty_quiet_or_has_no_times(home):
    source = Source.objects.create(camera=home.porch, folder="/nowhere/x")

    def word():
        return states.of(home.porch, home.now).word

    assert word() == "Looking"
    Source.objects.update(scanned_at=home.now)
    assert word() == "Empty"
    row = Recording.objects.create(
        source=source, path="a.mp4", identity={}, start=home.now - 900, end=home.now - 300, seconds=600.0, time_source="name",
        codec="h264", size=1,
    )  # fmt: skip
    assert word() == "Watched"
    assert states.of(home.porch, home.now).last == home.now - 300
    Recording.objects.filter(pk=row.pk).update(start=None, end=None)
    assert word() == "Time unknown"
    Recording.objects.filter(pk=row.pk).update(start=home.now - 10 * 86_400, end=home.now - 10 * 86_400 + 600)
    assert word() == "Quiet"
    Source.objects.update(problem="unreadable")
    assert states.of(home.porch, home.now).told == trials.explain("unreadable")[0]


def test_others_see_what_is_theirs_to_see(home, stream):
    other = cameras.add("Garden", 37.8, -122.2)
    member, viewer = household.add("Maya", "member"), household.add("Nina", "viewer", cameras=[other.pk])
    page = browser(member).get("/cameras")
    assert "Porch" in words(page)
    assert "Garden" in words(page)
    assert "/settings" not in re.sub(r'href="/settings[^"]*"', "", page.content.decode())
    client = browser(viewer)
    assert "Porch" not in words(client.get("/cameras"))
    assert client.get(f"/cameras/{home.porch.pk}/picture").status_code == 404
    for path in (
        f"/cameras/{other.pk}/settings",
        "/setup",
        "/setup/camera",
        f"/cameras/{other.pk}/video",
        f"/cameras/{other.pk}/place",
    ):
        for one in (client, browser(member)):
            assert one.get(path).status_code == 403, path


def test_settings_show_all_sources_and_no_password(home, stream):
    page = browser().get(f"/cameras/{home.porch.pk}/settings")
    told = words(page)
    for part in (
        "rtsp://192.168.1.20/stream",
        "Stored only here",
        "Marks for motion and people",
        "it is off until you switch it on",
    ):
        assert part in told, part
    assert "secret-1" not in page.content.decode()


def test_keeping_marks_and_pre_roll_are_changed(home, stream):
    client = browser()
    where = f"/cameras/{home.porch.pk}/settings"

    def send(**values):
        return client.post(where, values)

    assert send(act="keep", recorder=stream.pk, days="3", gib="1.5").status_code == 302
    stream.refresh_from_db()
    assert (stream.keep_days, stream.keep_bytes) == (3, 3 << 29)
    answer = send(act="keep", recorder=stream.pk, days="0", gib="")
    assert answer.status_code == 422
    assert "1 to 3650 days" in words(answer)
    assert send(act="keep", recorder=stream.pk, days="3", gib="-4").status_code == 422
    assert send(act="keep", recorder=stream.pk, days="3", gib="0.00001").status_code == 422
    send(act="marks", on="yes")
    assert Camera.objects.get().marks_on
    row = home.recording(home.porch, home.now - 600)
    Mark.objects.create(recording=row, start=1.0, end=2.0, kind="motion", score=0.5)
    send(act="marks", on="no")
    assert not Camera.objects.get().marks_on
    assert not Mark.objects.exists()
    send(act="pre_roll", pre_roll="90")
    assert Camera.objects.get().pre_roll == 90
    assert send(act="pre_roll", pre_roll="soon").status_code == 422
    assert send(act="pre_roll", pre_roll="9000").status_code == 422
    assert send(act="other").status_code == 400


def test_a_folders_clock_is_said_anew(home):
    home.recording(home.porch, home.now - 600)
    source = Source.objects.get()
    client = browser()
    where = f"/cameras/{home.porch.pk}/settings"
    client.post(where, {"act": "clock", "source": source.pk, "zone": "America/Chicago", "offset": "-30"})
    source.refresh_from_db()
    assert (source.zone, source.offset, source.container_trusted) == ("America/Chicago", -30, False)
    assert client.post(where, {"act": "clock", "source": source.pk, "zone": "Nowhere"}).status_code == 422
    assert "America/Chicago" in client.get(where).content.decode()


def test_a_new_password_is_tried_first(home, stream, monkeypatch):
    tasks = []

    def look(task):
        tasks.append(task)
        if task.password != "right":
            raise trials.SourceProblem("refused")
        return glimpse.Glimpse("h264", 640, 360, None, 0.0, b"\xff\xd8\xff")

    monkeypatch.setattr(trials.glimpse, "look", look)
    client = browser()
    where = f"/cameras/{home.porch.pk}/settings"
    before = bytes(stream.secret)
    answer = client.post(where, {"act": "login", "recorder": stream.pk, "user": "viewer", "password": "wrong"})
    assert answer.status_code == 502
    stream.refresh_from_db()
    assert bytes(stream.secret) == before
    assert client.post(where, {"act": "login", "recorder": stream.pk, "user": "viewer", "password": "right"}).status_code == 302
    stream.refresh_from_db()
    assert trials._secret(stream) == {"user": "viewer", "password": "right"}


@pytest.mark.parametrize("erase", ["no", "yes"])
def test_a_removed_camera_keeps_or_loses_its_files(home, stream, tmp_path, erase):
    folder = recorders.Path(stream.source.folder)
    (folder / "a.mp4").write_bytes(b"x")
    (tmp_path / "b.mp4").write_bytes(b"x")
    Recording.objects.create(
        source=stream.source, path="a.mp4", identity={}, start=1, end=2, seconds=1.0, time_source="camera", codec="h264", size=1
    )
    source = Source.objects.create(camera=home.porch, folder=str(tmp_path))
    Recording.objects.create(
        source=source, path="b.mp4", identity={}, start=1, end=2, seconds=1.0, time_source="name", codec="h264", size=1
    )
    client = browser()
    answer = client.post(f"/cameras/{home.porch.pk}/settings", {"act": "remove", "erase": erase})
    assert answer["location"] == "/cameras"
    assert not Camera.objects.exists()
    assert (folder / "a.mp4").exists() is (erase == "no")
    assert (tmp_path / "b.mp4").exists(), "what something else records is never touched"


def test_a_source_of_another_camera_is_not_removed(home, stream):
    other = cameras.add("Garden")
    client = browser()
    sent = {"act": "remove_source", "source": stream.source_id, "erase": "yes"}
    assert client.post(f"/cameras/{other.pk}/settings", sent).status_code == 404
    assert Recorder.objects.exists()
    assert client.post(f"/cameras/{home.porch.pk}/settings", sent).status_code == 302
    assert not Recorder.objects.exists()
