"""Files that an owner brings in: whole or not at all, resumed anywhere, never placed in time without the owner's word."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import base64
import contextlib
import errno
import io
import shutil
from pathlib import Path

import pytest
from django.test import Client
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.tests.rules.feed_world import CENTRE
from fairwitness.demo.footage import make_clip
from fairwitness.home import access
from fairwitness.home.config import Config
from fairwitness.home.models import Recording, Source, Upload
from fairwitness.home.services import answers, cameras, matching, sources, uploads
from fairwitness.kit import config, files
from fairwitness.kit.errors import Refused

TUS = {"tus-resumable": "1.0.0"}
BODY = "application/offset+octet-stream"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("phone") / "clip.mp4"
    return make_clip(path, seed=8, seconds=4, start=1_780_000_000, place=CENTRE, width=160, height=90, fps=10).read_bytes()


@pytest.fixture
def phone(home):
    """A tus client with the owner's token."""
    yield Client(headers={"host": "localhost", "authorization": f"Bearer {access.owner_token()}"})
    shutil.rmtree(config.current(Config).data_dir / "uploads", ignore_errors=True)


def words(**values):
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def begin(phone, home, size, name="Front door 2026-06-01 03.00.00.mp4", **more):
    metadata = words(filename=name, camera=str(home.porch.pk))
    answer = phone.generic("POST", "/api/uploads", headers=TUS | {"upload-length": str(size), "upload-metadata": metadata} | more)
    assert answer.status_code == 201, answer.content
    return answer.headers["Location"].removeprefix("http://localhost")


def send(phone, place, offset, data, **environ):
    return phone.patch(place, data, content_type=BODY, headers=TUS | {"upload-offset": str(offset)}, **environ)


def offset_of(phone, place):
    answer = phone.head(place, headers=TUS)
    return answer.status_code, int(answer.headers.get("Upload-Offset", -1))


def bring(phone, home, data, **more):
    place = begin(phone, home, len(data), **more)
    assert send(phone, place, 0, data).status_code == 204
    uploads.check_due(home.now)
    return uploads.get(place.rsplit("/", 1)[1])


def part_of(row_id):
    return config.current(Config).data_dir / "uploads" / "incoming" / f"{row_id}.part"


def refusal(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_in_parts_with_a_break_then_placed_in_time_by_its_owner_and_matched(phone, home, clip):
    assert phone.options("/api/uploads").headers["Tus-Extension"] == "creation,expiration,termination"
    place = begin(phone, home, len(clip))
    assert offset_of(phone, place) == (200, 0)
    half = len(clip) // 2
    assert send(phone, place, 0, clip[:half]).headers["Upload-Offset"] == str(half)
    # A connection that breaks: the body ends before its stated length; what came counts.
    stopping = {"wsgi.input": io.BytesIO(clip[half : half + 999]), "CONTENT_LENGTH": str(len(clip) - half)}
    broken = send(phone, place, half, b"...", **stopping)
    assert refusal(broken) == (400, "body.short")
    assert offset_of(phone, place) == (200, half + 999)
    assert send(phone, place, half + 999, clip[half + 999 :]).status_code == 204
    (shown,) = phone.get("/api/uploads").json()
    assert (shown["state"], shown["seconds"]) == ("checking", None)
    uploads.check_due(home.now)
    (shown,) = phone.get("/api/uploads").json()
    assert (shown["state"], shown["start"], shown["camera_name"]) == ("kept", None, "Porch")
    assert shown["seconds"] == pytest.approx(4, abs=0.2)
    assert {(f["place"], f["local"], f["at"]) for f in shown["found"]} >= {("name", "2026-06-01T03:00:00", None)}
    row = uploads.get(shown["id"])
    kept = sources.path_of(row.recording)
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (clip, 0o600)
    assert not part_of(row.pk).exists()
    # Nothing is guessed: a scan finds no time either, and no request matches.
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    sources.scan(home.now)
    (request,) = matching.Request.objects.all()
    assert Recording.objects.get().start is None
    assert not request.hits
    late = phone.post(f"{place}/time", {"start": home.now + 99}, content_type="application/json")
    assert refusal(late) == (422, "recording.start")
    said = phone.post(f"{place}/time", {"start": request.start + 60}, content_type="application/json").json()
    assert (said["start"], said["asked"]) == (request.start + 60, 1)
    request.refresh_from_db()
    assert request.hits[0]["camera"] == home.porch.pk
    sources.scan(home.now)
    recording = Recording.objects.get()
    assert (recording.start, recording.time_source) == (request.start + 60, "owner")
    # It answers the request as any recording does, and stays while an answer needs it.
    draft = answers.draft(request.pk)
    assert draft.clips.get().recording_id == recording.pk
    assert refusal(phone.delete(place, headers=TUS)) == (409, "upload.used")
    answers.discard(draft.pk)
    assert phone.delete(place, headers=TUS).status_code == 204
    assert not kept.exists()
    request.refresh_from_db()
    assert not request.hits
    assert phone.head(place, headers=TUS).status_code == 404


def test_a_stranger_a_page_from_elsewhere_and_another_version_are_refused(phone, home, clip):
    place = begin(phone, home, 10)
    assert Client(headers={"host": "localhost"}).get("/api/uploads").status_code == 401
    assert phone.get("/api/uploads", headers={"origin": "http://evil.example"}).status_code == 403
    assert phone.get("/api/uploads", headers={"host": "evil.example"}).status_code == 400
    wrong = phone.head(place, headers={"tus-resumable": "0.2.2"})
    assert (wrong.status_code, wrong.headers["Tus-Version"]) == (412, "1.0.0")
    for method in (phone.patch, phone.delete):
        assert method(place).status_code == 412
    assert phone.generic("POST", "/api/uploads").status_code == 412
    assert send(phone, place, 0, b"x").status_code == 204


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 422),
        ({"upload-length": "5"}, 422),
        ({"upload-length": "-1", "upload-metadata": words(camera="1")}, 400),
        ({"upload-length": "9" * 20, "upload-metadata": words(camera="1")}, 400),
        ({"upload-defer-length": "1"}, 400),
        ({"upload-length": "5", "upload-metadata": "filename ***"}, 400),
        ({"upload-length": "5", "upload-metadata": "camera MQ==,camera MQ=="}, 400),
        ({"upload-length": "5", "upload-metadata": words(camera="1", colour="red")}, 400),
        ({"upload-length": "5", "upload-metadata": words(filename="a", camera="999999")}, 404),
        ({"upload-length": "5", "upload-metadata": words(filename="a", camera="٣")}, 422),
    ],
)
def test_bad_beginnings(phone, headers, status):
    assert phone.generic("POST", "/api/uploads", headers=TUS | headers).status_code == status
    assert not Upload.objects.exists()


def test_names_are_for_showing_only(phone, home):
    for given_name, shown in [
        ("../../keys/node.key", "node.key"),
        ("C:\\Users\\ana\\a.mp4", "a.mp4"),
        ("a\x00b\u202e.mp4", "a b .mp4"),
    ]:
        row = uploads.create(home.porch.pk, given_name, 5)
        assert row.name == shown
        assert part_of(row.pk).parent == config.current(Config).data_dir / "uploads" / "incoming"
    for bad in ("", "/", "\n"):
        with pytest.raises(Refused):
            uploads.create(home.porch.pk, bad, 5)


def test_offsets_lengths_and_two_at_once(phone, home, clip):
    place = begin(phone, home, len(clip))
    row_id = place.rsplit("/", 1)[1]
    assert refusal(send(phone, place, 7, b"abc")) == (409, "upload.offset")
    assert refusal(send(phone, place, 0, clip + b"x")) == (413, "upload.too_long")
    plain = phone.patch(place, b"x", content_type="video/mp4", headers=TUS | {"upload-offset": "0"})
    assert refusal(plain) == (415, "upload.type")
    seen = []

    def slow():
        yield clip[:100]
        seen.append(refusal(send(phone, place, 0, clip)))
        home.at(home.now + uploads.LEASE_S + 1)
        # Nothing came for so long that the other one takes over, from what is durable.
        seen.append(send(phone, place, 0, clip[:200]).status_code)
        yield clip[100:300]

    with pytest.raises(Refused) as lost:
        uploads.append(row_id, 0, len(clip), slow())
    assert lost.value.code == "upload.busy"
    assert seen == [(423, "upload.busy"), 204]
    assert offset_of(phone, place) == (200, 200)
    assert send(phone, place, 200, clip[200:]).status_code == 204
    with pytest.raises(Refused):
        uploads.append(row_id, len(clip), 0, [])
    uploads.check_due(home.now)
    assert sources.path_of(uploads.get(row_id).recording).read_bytes() == clip


def test_what_is_no_video_is_refused_and_deleted(phone, home, clip, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "still.webp")
    for name, data, code in [
        ("notes.mp4", b"these are no pictures" * 50, "clip.format"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "clip.format"),
        ("still.mp4", (tmp_path / "still.webp").read_bytes(), "clip."),
        ("cut.mp4", clip[: len(clip) // 3], "clip."),
    ]:
        row = bring(phone, home, data, name=name)
        assert (row.state, row.recording) == ("refused", None), name
        assert row.problem.startswith(code), row.problem
        assert uploads.view(row).sentence
        assert not part_of(row.pk).exists()
        assert not list(Path(row.source.folder).iterdir())
        assert phone.head(f"/api/uploads/{row.pk}", headers=TUS).status_code == 410
    assert not Recording.objects.exists()


def test_the_same_file_again_is_told(phone, home, clip):
    first = bring(phone, home, clip)
    again = bring(phone, home, clip, name="copy.mp4")
    assert (again.state, again.problem) == ("duplicate", first.pk)
    assert first.name in uploads.view(again).sentence
    assert Recording.objects.filter(gone=False).count() == 1
    uploads.remove(first.pk)
    assert bring(phone, home, clip, name="copy.mp4").state == "kept"


def test_limits_are_said_and_nothing_is_lost(phone, home, clip, monkeypatch):
    cfg = config.current(Config)
    assert refusal(phone.generic("POST", "/api/uploads", headers=TUS | {
        "upload-length": str((cfg.clip_max_mib << 20) + 1), "upload-metadata": words(filename="a.mp4", camera=str(home.porch.pk)),
    })) == (413, "upload.too_large")  # fmt: skip
    place = begin(phone, home, len(clip))
    row_id = place.rsplit("/", 1)[1]
    Upload.objects.create(
        id="f" * 32,
        source=Source.objects.get(),
        name="big",
        size=cfg.clips_quota_mib << 20,
        state="kept",
        created_at=1,
        touched_at=1,
    )
    with pytest.raises(Refused) as full:
        uploads.create(home.porch.pk, "more.mp4", 1)
    assert (full.value.status, full.value.code) == (507, "upload.quota")
    Upload.objects.filter(pk="f" * 32).delete()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**12, 10**12, uploads.RESERVE))
        with pytest.raises(Refused) as full:
            uploads.create(home.porch.pk, "more.mp4", 1)
        assert (full.value.status, full.value.code) == (507, "storage.full")
    assert send(phone, place, 0, clip[:1000]).status_code == 204
    write = files.write_all

    def no_space(handle, data):
        write(handle, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_all", no_space)
        assert refusal(send(phone, place, 1000, clip[1000:])) == (507, "storage.full")
    assert offset_of(phone, place) == (200, 1000)
    assert send(phone, place, 1000, clip[1000:]).status_code == 204
    uploads.check_due(home.now)
    assert sources.path_of(uploads.get(row_id).recording).read_bytes() == clip


def test_what_nobody_goes_on_with_is_forgotten_after_a_day(phone, home, clip):
    place = begin(phone, home, len(clip))
    row_id = place.rsplit("/", 1)[1]
    send(phone, place, 0, clip[:100])
    stray = part_of("0" * 32)
    stray.write_bytes(b"x")
    kept = bring(phone, home, clip)
    home.at(home.now + uploads.EXPIRES_S - 1)
    uploads.expire(home.now)
    assert offset_of(phone, place) == (200, 100)
    home.at(home.now + 10 * 365 * 86_400)
    assert uploads.expire(home.now) == 1
    assert phone.head(place, headers=TUS).status_code == 404
    assert not part_of(row_id).exists()
    assert not stray.exists()
    assert uploads.get(kept.pk).state == "kept"


def test_a_process_that_dies_in_between_goes_on(phone, home, clip, monkeypatch):
    place = begin(phone, home, len(clip))
    row_id = place.rsplit("/", 1)[1]
    # Killed between the last byte and the word that it was the last.
    monkeypatch.setattr(uploads, "_let_go", lambda *_a: None)
    assert send(phone, place, 0, clip).status_code == 204
    monkeypatch.undo()
    # Killed between moving the file and recording it.
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "size_class", lambda _n: 1 / 0)
        patch.setattr(Recording.objects, "update_or_create", lambda **_k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            uploads.check_due(home.now)
    assert not part_of(row_id).exists()
    sources.scan(home.now)
    uploads.check_due(home.now)
    row = uploads.get(row_id)
    assert (row.state, row.recording.start, Recording.objects.count()) == ("kept", None, 1)
    # The file is taken away by hand: the owner is told, and nothing is offered.
    sources.path_of(row.recording).unlink()
    sources.scan(home.now)
    assert uploads.view(uploads.get(row_id)).state == "refused"


def test_a_restored_node_asks_for_what_its_backup_left_out(phone, home, clip):
    place = begin(phone, home, len(clip))
    send(phone, place, 0, clip[:5000])
    part_of(place.rsplit("/", 1)[1]).unlink()
    assert offset_of(phone, place) == (200, 0)
    assert send(phone, place, 5000, clip[5000:]).status_code == 409
    assert send(phone, place, 0, clip).status_code == 204


def test_a_camera_without_a_place_matches_nothing_until_it_has_one(phone, home, clip):
    made = phone.post("/api/cameras", {"name": "Gate"}, content_type="application/json").json()
    assert made["lat"] is None
    home.porch = cameras.get(made["id"])
    row = bring(phone, home, clip)
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    (request,) = matching.Request.objects.all()
    assert uploads.confirm(row.pk, request.start + 60).asked == 0
    assert matching.own_clips(request) != []
    cameras.edit(made["id"], lat=CENTRE[0], lon=CENTRE[1])
    matching.rematch()
    assert uploads.view(uploads.get(row.pk)).asked == 1
    with pytest.raises((Refused, ProtocolError)):
        cameras.edit(made["id"], lat=None)
    with pytest.raises(Refused):
        sources.remove(row.source_id)


def test_clocks_that_go_back_and_forward(db):
    zone = "America/Los_Angeles"
    assert uploads.moments("2026-06-01T03:00:00", zone) == [1_780_308_000]
    twice = uploads.moments("2026-11-01T01:30", zone)
    assert twice[1] - twice[0] == 3600
    assert uploads.moments("2026-03-08T02:30:00", zone) == []
    for bad in ("", "yesterday", "2026-06-01", "2026-06-31T00:00:00", "2026-06-01T03:00:00Z"):
        with pytest.raises(Refused):
            uploads.moments(bad, zone)
    with pytest.raises(Refused):
        uploads.moments("2026-06-01T03:00:00", "Mars/Olympus")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(min_size=1, max_size=300),
    moves=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 120), st.booleans()), max_size=12),
)
def test_whatever_is_sent_the_part_is_a_prefix_of_the_file(phone, home, data, moves):
    class Broken(Exception):
        pass

    row = uploads.create(home.porch.pk, "a.mp4", len(data))
    for slip, length, breaks in moves:
        at = uploads.get(row.pk).offset

        def pieces(start=at + slip, stop=at + slip + length, breaks=breaks):
            yield data[max(start, 0) : max(start, 0) + (stop - start) // 2]
            if breaks:
                raise Broken
            yield data[max(start, 0) + (stop - start) // 2 : max(stop, 0)]

        with contextlib.suppress(Refused, Broken):
            uploads.append(row.pk, at + slip, length, pieces())
        found = uploads.get(row.pk)
        assert part_of(row.pk).read_bytes()[: found.offset] == data[: found.offset]
        assert found.state == ("checking" if found.offset == len(data) else "receiving")
    uploads.remove(row.pk)
