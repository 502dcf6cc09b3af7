"""Setting a home up: joining with fingerprints, a camera's place, where its video comes from, how long it is kept."""

import json
import os
import re
from types import SimpleNamespace

import pytest
from django.test import Client

from core.tests.rules.feed_world import CENTRE
from fairwitness.demo.footage import make_clip
from fairwitness.home.adapters import frigate, glimpse
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.lan import pairing
from fairwitness.home.models import Camera, Recorder, Source
from fairwitness.home.services import cameras, join, mapview, onvif, previews, recorders, trials
from fairwitness.home.services.onvif import DeviceView
from tests.harness.frigate import FakeFrigate
from tests.harness.onvif import FakeOnvif
from tests.harness.rtsp import RtspCamera

PASSWORD = "never-to-be-seen-9"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "f.mp4"
    return make_clip(path, seed=5, seconds=6, start=1_780_000_000, place=CENTRE, width=320, height=180, fps=10)


def browser():
    client = Client(headers={"host": "localhost", "accept": "text/html"})
    assert client.post("/pair", {"code": pairing.issue()}).status_code == 302
    return client


def words(answer):
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


def follow(client, answer, status=200):
    assert answer.status_code == 302, words(answer)
    found = client.get(answer["location"])
    assert found.status_code in (status, 302)
    return found


@pytest.fixture
def seen(monkeypatch):
    """What a camera's stream shows; a SourceProblem is raised. `tasks`: what was asked of it."""
    held = SimpleNamespace(
        tasks=[], problem=None, glimpse=glimpse.Glimpse("h264", 1920, 1080, -7400, 250_000.0, b"\xff\xd8\xff picture")
    )

    def look(task):
        held.tasks.append(task)
        if held.problem:
            raise SourceProblem(held.problem)
        return held.glimpse

    monkeypatch.setattr(trials.glimpse, "look", look)
    return held


# ---------------------------------------------------------------- joining


def test_the_set_up_begins_with_joining_and_shows_what_each_witness_says_itself(lone):
    client = browser()
    answer = client.get("/setup")
    assert answer["location"] == "/setup/join"
    answer = client.post("/setup/join", {"act": "look", "address": lone.world.url})
    told = words(answer)
    prints = join.fingerprints(lone.world.join)
    assert all(join.short(one.pinned) in told for one in prints)
    assert told.count("Agrees") == len([one for one in prints if one.kind == "witness"])
    assert join.pinned() is None, "nothing is pinned by looking"
    shown = re.search(r'name="join" value="([^"]+)"', answer.content.decode())[1]
    answer = client.post("/setup/join", {"act": "accept", "join": shown, "invite": "invite-for-one-household"})
    assert answer["location"] == "/setup"
    assert join.pinned().invite == "invite-for-one-household"
    assert client.get("/setup")["location"] == "/setup/camera"
    assert lone.world.join.name in words(client.get("/setup/join"))


def test_a_witness_that_states_another_key_stops_the_joining(lone):
    host = next(iter(lone.world.witnesses))
    other = join.fingerprints(lone.world.join, ask_witnesses=False)[-1].pinned
    real = {one.name: one.pinned for one in join.fingerprints(lone.world.join, ask_witnesses=False)}
    fake = real[host][:-6] + ("AAAAA=" if not real[host].endswith("AAAAA=") else "BBBBB=")
    lone.hub.bent["/vkey"] = (200, fake.encode())
    client = browser()
    answer = client.post("/setup/join", {"act": "look", "address": lone.world.url})
    assert "Do not join" in words(answer)
    assert "by telephone or in person" in words(answer)
    assert 'value="accept"' not in answer.content.decode()
    assert other
    answer = client.post("/setup/join", {"act": "accept", "address": lone.world.url})
    assert answer.status_code == 409
    assert join.pinned() is None


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({}, 422, "Give the hub's address"),
        ({"address": "ftp://hub.example"}, 422, "This is no hub's address"),
        ({"address": "https://u:p@hub.example"}, 422, "This is no hub's address"),
        ({"address": "hub.example:99999"}, 422, "This is no hub's address"),
        ({"join": "%%%"}, 422, "This is no join file"),
        ({"join": "e30="}, 422, "This join file cannot be used"),
    ],
)
def test_what_is_no_hub_is_said_and_keeps_what_was_typed(lone, sent, status, said):
    answer = browser().post("/setup/join", {"act": "look", **sent})
    assert answer.status_code == status
    assert said in words(answer).replace("&#x27;", "'")
    assert sent.get("address", "") in answer.content.decode()


def test_a_hub_that_does_not_answer(lone):
    lone.hub.down = True
    answer = browser().post("/setup/join", {"act": "look", "address": lone.world.url})
    assert answer.status_code == 502
    assert "could not be reached" in words(answer)


def test_a_join_file_from_a_stick_and_witnesses_that_are_silent(lone, tmp_path):
    path = tmp_path / "join.json"
    path.write_bytes(lone.world.join.encode())
    lone.hub.lose_call = ["/vkey"]
    with path.open("rb") as file:
        answer = browser().post("/setup/join", {"act": "look", "file": file})
    assert "No witness could be asked" in words(answer)
    assert 'value="accept"' in answer.content.decode(), "the owner compares by eye and decides"


# ---------------------------------------------------------------- place


@pytest.mark.claim("P4")
def test_a_camera_is_placed_and_the_map_begins_where_the_agencies_are(home):
    Camera.objects.all().delete()
    view = mapview.start()
    assert abs(view["lat"] - CENTRE[0]) < 1
    assert abs(view["lon"] - CENTRE[1]) < 1
    home.hub.calls.clear()
    client = browser()
    answer = client.get("/setup/camera")
    assert "stored only here" in words(answer)
    drawn = json.loads(re.search(r'application/json">(\{.*?\})</script>', answer.content.decode())[1])
    assert drawn["points"] == []
    assert drawn["view"] == view
    answer = client.post("/setup/camera", {"name": "Porch", "lat": "", "lon": ""})
    assert answer.status_code == 422
    assert "Tap the map" in words(answer)
    assert not Camera.objects.exists()
    sent = {"name": "Porch", "lat": "37,8", "lon": "-122.27", "heading": "-90", "fov": "110", "range_m": "40"}
    answer = client.post("/setup/camera", sent | {"lat": "137"})
    assert answer.status_code == 422
    assert 'value="137"' in answer.content.decode()
    follow(client, client.post("/setup/camera", sent))
    camera = Camera.objects.get()
    assert (camera.lat, camera.lon, camera.heading, camera.fov, camera.range_m) == (37.8, -122.27, 270, 110, 40)
    assert home.hub.calls == [], "nothing was asked of anybody"
    client.post(f"/cameras/{camera.pk}/place", sent | {"heading": "45", "name": "Front door"})
    camera.refresh_from_db()
    assert (camera.name, camera.heading) == ("Front door", 45)


def test_without_cameras_or_agencies_the_map_shows_the_world(lone):
    assert mapview.start() == mapview.WORLD


def test_steps_are_left_out_and_come_back_to(lone):
    client = browser()
    client.get("/setup/join")  # by its own address, too
    assert follow(client, client.post("/setup/join", {"act": "skip"}))["location"] == "/setup/camera"
    answer = client.post("/setup/camera", {"name": "Porch", "act": "unplaced"})
    camera = Camera.objects.get()
    assert answer["location"] == f"/cameras/{camera.pk}/video"
    done = follow(client, client.post(f"/cameras/{camera.pk}/video"))
    for left in ("No hub", "Where it stands is not known", "Nothing records it yet"):
        assert left in words(done)
    assert client.get("/setup")["location"] == "/setup/join", "another time it begins where something is missing"


# ---------------------------------------------------------------- a stream


def stream(client, camera, **more):
    sent = {"act": "look", "address": "rtsp://192.168.1.20/stream", "user": "viewer", "password": PASSWORD} | more
    return client.post(f"/cameras/{camera.pk}/video/rtsp", sent)


def test_a_stream_is_looked_at_before_it_is_stored(home, seen):
    client = browser()
    client.get("/setup")
    answer = stream(client, home.porch)
    row = Recorder.objects.get()
    assert answer["location"] == f"/cameras/{home.porch.pk}/video/{row.source_id}/found"
    assert (seen.tasks[0].user, seen.tasks[0].password) == ("viewer", PASSWORD)
    page = client.get(answer["location"])
    told = words(page)
    for fact in ("1920 \u00d7 1080", "H264", "It is 7 s behind this machine", "20.1", "set the camera's clock"):
        assert fact in told.replace("\xa0", " ").replace("&#x27;", "'"), fact
    picture = client.get(f"/cameras/{home.porch.pk}/video/{row.source_id}/picture")
    assert picture.content == b"\xff\xd8\xff picture"
    assert (picture["content-type"], picture["x-content-type-options"]) == ("image/jpeg", "nosniff")
    keep = client.get(f"/cameras/{home.porch.pk}/keep")
    assert "14 days" in words(keep)
    assert "about 281.6" in words(keep).replace("\xa0", " ")
    answer = client.post(f"/cameras/{home.porch.pk}/keep", {"recorder": row.pk, "days": "30", "gib": "200"})
    assert answer["location"] == "/setup/done"
    row.refresh_from_db()
    assert (row.keep_days, row.keep_bytes) == (30, 200 << 30)
    assert "What happens now" in words(client.get("/setup/done"))


@pytest.mark.parametrize("problem", ["refused", "unreachable", "not_found", "no_stream", "slow", "failed"])
def test_a_stream_that_fails_is_told_with_a_remedy_and_no_page_has_the_password(home, seen, problem):
    seen.problem = problem
    client = browser()
    answer = stream(client, home.porch)
    assert answer.status_code == 502
    told = words(answer)
    assert all(sentence.split(".")[0] in told.replace("&#x27;", "'") for sentence in trials.explain(problem))
    assert PASSWORD not in answer.content.decode()
    assert 'value="rtsp://192.168.1.20/stream"' in answer.content.decode()
    assert PASSWORD not in json.dumps(dict(client.session.items()))
    assert not Recorder.objects.exists()
    # The password still waits, for this very address and user.
    answer = stream(client, home.porch, password="", act="anyway")
    assert answer.status_code == 302
    assert json.loads(trials.secrets_store.unwrap(bytes(Recorder.objects.get().secret)))["password"] == PASSWORD
    assert "video" not in client.session
    assert PASSWORD not in client.get(answer["location"]).content.decode()


def test_a_waiting_password_goes_to_no_other_address(home, seen):
    seen.problem = "unreachable"
    client = browser()
    stream(client, home.porch)
    stream(client, home.porch, password="", address="rtsp://192.168.1.66/stream")
    stream(client, home.porch, password="", user="other")
    home.at(home.now + 601)
    stream(client, home.porch, password="")
    assert [task.password for task in seen.tasks] == [PASSWORD, "", "", ""]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://192.168.1.20/x", "This is no stream's address"),
        ("rtsp://u:p@192.168.1.20/x", "Leave user and password out of the address"),
    ],
)
def test_an_address_that_is_none(home, seen, address, said):
    answer = stream(browser(), home.porch, address=address)
    assert answer.status_code == 422
    assert said in words(answer).replace("&#x27;", "'")
    assert seen.tasks == []


@pytest.mark.network
def test_a_real_stream_is_seen(clip, tmp_path):
    camera = RtspCamera(clip, tmp_path / "srv").start()
    try:
        found = glimpse.look(trials.Task(address=camera.address, folder="", chain=""))
        assert (found.codec, found.width, found.height) == ("h264", 320, 180)
        assert found.picture.startswith(b"\xff\xd8\xff")
        with pytest.raises(SourceProblem, match="not_found"):
            glimpse.look(trials.Task(address=f"{camera.address}-no", folder="", chain=""))
    finally:
        camera.stop()
    with pytest.raises(SourceProblem, match="unreachable"):
        glimpse.look(trials.Task(address=camera.address, folder="", chain=""))


# ---------------------------------------------------------------- a folder


def put(folder, clip, name, at):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(clip.read_bytes())
    os.utime(path, (at, at))


def test_a_folder_is_looked_into_and_its_newest_recording_shown(home, clip, tmp_path):
    for number in range(5):
        put(tmp_path / "rec", clip, f"2026052{number + 4}_202640.mp4", home.now - 500_000 + number)
    client = browser()
    sent = {"folder": str(tmp_path / "rec"), "zone": "UTC", "offset": "0"}
    answer = client.post(f"/cameras/{home.porch.pk}/video/folder", sent)
    page = follow(client, answer)
    told = words(page)
    assert "20260528_202640.mp4" in told
    assert "28 May 2026, 20:26:40 UTC" in told
    assert "320 \u00d7 180" in told
    source = Source.objects.get()
    assert client.get(f"/cameras/{home.porch.pk}/video/{source.pk}/picture").content.startswith(b"\xff\xd8\xff")
    assert client.get(f"/cameras/{home.porch.pk}/picture").content.startswith(b"\xff\xd8\xff")
    assert sorted(path.name for path in (tmp_path / "rec").iterdir()) == [f"2026052{n + 4}_202640.mp4" for n in range(5)]
    source.delete()
    assert previews.clear(home.now) == 2, "what was found goes with its source"


def test_a_folder_with_nothing_to_see(home, clip, tmp_path):
    client = browser()
    where = f"/cameras/{home.porch.pk}/video/folder"
    (tmp_path / "rec").mkdir()
    cases = [
        (str(tmp_path / "no"), "There is no such folder"),
        ("rec", "There is no such folder"),
        (str(tmp_path / "rec"), "no videos"),
    ]
    for folder, said in cases:
        answer = client.post(where, {"folder": folder, "zone": "UTC"})
        assert answer.status_code == 422
        assert said in words(answer)
        assert folder in answer.content.decode()
    put(tmp_path / "rec", clip, "20200101_120000.mp4", home.now)
    assert "still being written" in words(client.post(where, {"folder": str(tmp_path / "rec")}))
    assert "no such time zone" in words(client.post(where, {"folder": str(tmp_path / "rec"), "zone": "Mars/Base"}))
    assert not Source.objects.exists()
    put(tmp_path / "rec", clip, "no-time-in-it.mp4", home.now - 100)
    (tmp_path / "rec" / "20200101_120000.mp4").unlink()
    page = follow(client, client.post(where, {"folder": str(tmp_path / "rec")}))
    assert "When it was recorded is not known" in words(page)


# ---------------------------------------------------------------- ONVIF, Frigate


@pytest.mark.network
def test_an_onvif_camera_is_found_asked_and_recorded(home, seen, monkeypatch):
    device = FakeOnvif(password=PASSWORD, now=lambda: home.now)
    device.stream = "rtsp://0.0.0.0:8554/main"
    monkeypatch.setattr(onvif, "discover", lambda *_: [DeviceView(device.address, "Front door", "Eye-2", ())])
    client = browser()
    where = f"/cameras/{home.porch.pk}/video/onvif"
    try:
        listed = client.post(where, {"act": "discover"})
        assert "Front door" in words(listed)
        login = {"address": device.address, "user": device.user}
        assert device.address in client.get(where, {"address": device.address}).content.decode()
        answer = client.post(where, login | {"act": "look", "password": "wrong"})
        assert answer.status_code == 502
        assert "does not accept this user and password" in words(answer)
        answer = client.post(where, login | {"act": "look", "password": PASSWORD})
        told = words(answer)
        assert "1280 \u00d7 720" in told
        assert "640 \u00d7 360" in told
        assert "It agrees with this machine" in told
        assert PASSWORD not in answer.content.decode()
        answer = client.post(where, login | {"act": "add", "profile": "sub", "recording": ""})
        assert answer.status_code == 302, words(answer)
    finally:
        device.close()
    row = Recorder.objects.get()
    assert row.options["onvif"]["profile"] == "sub"
    assert seen.tasks[-1].password == PASSWORD
    assert "1920 \u00d7 1080" in words(client.get(answer["location"]))


@pytest.mark.network
def test_a_frigate_is_looked_at_and_shows_its_newest_picture(home, monkeypatch):
    nvr = FakeFrigate()
    nvr.password = PASSWORD
    monkeypatch.setattr(frigate.Client, "glance", lambda *_: (b"\xff\xd8\xff frigate", 0))
    client = browser()
    where = f"/cameras/{home.porch.pk}/video/frigate"
    sent = {"address": nvr.address, "user": nvr.user, "password": PASSWORD, "name": "front_door"}
    try:
        nvr.role = "admin"
        answer = client.post(where, sent)
        assert answer.status_code == 502
        assert "limited to the shared cameras" in words(answer)
        assert not Recorder.objects.exists()
        nvr.role = "neighbours"
        page = follow(client, client.post(where, sent))
    finally:
        nvr.close()
    assert "Is this Porch?" in words(page)
    source = Source.objects.get()
    assert client.get(f"/cameras/{home.porch.pk}/video/{source.pk}/picture").content == b"\xff\xd8\xff frigate"


@pytest.mark.network
def test_what_a_real_answer_of_frigate_says_of_picture_and_clock(home):
    nvr = FakeFrigate()
    try:
        client = frigate.Client(nvr.address, nvr.user, nvr.password)
        picture, _ahead = client.glance("front_door")
        assert picture == b"", "an answer that is no JPEG is none"
        with pytest.raises(SourceProblem, match="refused"):
            frigate.Client(nvr.address, nvr.user, "no").glance("front_door")
    finally:
        nvr.close()


# ---------------------------------------------------------------- others' objects


def test_a_source_of_another_camera_is_not_there(home, seen):
    client = browser()
    stream(client, home.porch)
    source = Source.objects.get()
    other = cameras.add("Garden")
    for path in ("found", "picture"):
        assert client.get(f"/cameras/{other.pk}/video/{source.pk}/{path}").status_code == 404
    row = Recorder.objects.get()
    assert client.post(f"/cameras/{other.pk}/keep", {"recorder": row.pk, "days": "1"}).status_code == 404
    assert recorders.get(row.pk).keep_days == 14
    assert client.get(f"/cameras/{other.pk}/video/nothing").status_code == 404
