"""A camera's timeline: its days and their bounds, playing on, downloads, and deleting with a receipt."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import io
import json
import shutil
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import av
import numpy as np
import pytest

from fairwitness.home.adapters.chain import Chain, file_sha256
from fairwitness.home.models import Answer, AnswerClip, Deletion, Mark, Recorder, Recording, Source
from fairwitness.home.services import days, deletion, household, previews, recorders, sources, tokens  # noqa: F401
from fairwitness.kit.video.make import write_recording
from tests.permissions.cases import signed_in

BASE = 1_795_449_600  # 2026-11-23 16:00:00 UTC


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    place = tmp_path_factory.mktemp("footage")

    def scene(count):
        for i in range(count):
            yield np.full((90, 160, 3), 60 + 2 * i, np.uint8)

    write_recording(place / "h264.mp4", scene(40), fps=10, options={"preset": "ultrafast", "g": "10"})
    write_recording(place / "h265.mp4", scene(40), fps=10, codec="libx265", options={"x265-params": "log-level=none"})
    return place


@pytest.fixture
def porch(home, tmp_path, footage):
    """A camera with a folder of three recordings, the last two without a gap between them; `porch.owner` is a browser."""
    home.at(BASE + 3600)
    shutil.rmtree(previews._cache(), ignore_errors=True)
    home.folder = tmp_path / "cam"
    home.folder.mkdir()
    home.source = Source.objects.create(camera=home.porch, folder=str(home.folder), zone="UTC")
    home.rows = [add(home, footage, name, start) for name, start in (("a", BASE), ("b", BASE + 60), ("c", BASE + 64))]
    _, home.owner = signed_in("owner", name="owner2")
    home.owner.defaults["HTTP_ACCEPT"] = "text/html"
    home.page = f"/cameras/{home.porch.pk}"
    yield home
    shutil.rmtree(previews._cache(), ignore_errors=True)


def add(home, footage, name, start, codec="h264"):
    path = home.folder / f"{name}.mp4"
    shutil.copyfile(footage / f"{codec}.mp4", path)
    found = path.stat()
    return Recording.objects.create(
        source=home.source, path=path.name, start=start, end=start + 4, seconds=4.0, time_source="name", codec=codec,
        identity={"size": found.st_size, "mtime_ns": found.st_mtime_ns, "inode": found.st_ino}, size=found.st_size,
    )  # fmt: skip


def body(answer):
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def text(answer):
    assert answer.status_code == 200, answer.content[:500]
    return answer.content.decode()


# ---------------------------------------------------------------- days


def test_days_are_those_of_the_viewers_zone_and_of_their_true_length(porch):
    auckland, chicago = ZoneInfo("Pacific/Auckland"), ZoneInfo("America/Chicago")
    assert days.days(porch.porch.pk, auckland) == [date(2026, 11, 24)]
    assert days.days(porch.porch.pk, chicago) == [date(2026, 11, 23)]
    for day, hours in ((date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 11, 2), 24)):
        begin, end = days.bounds(day, chicago)
        assert end - begin == hours * 3600
    assert days.zone("Nowhere/None").key == "UTC"
    # A recording that goes on past midnight belongs to both days.
    begin, _ = days.bounds(date(2026, 11, 24), chicago)
    Recording.objects.filter(pk=porch.rows[0].pk).update(start=begin - 2, end=begin + 2)
    assert days.days(porch.porch.pk, chicago) == [date(2026, 11, 23), date(2026, 11, 24)]


def test_the_page_shows_the_newest_day_and_counts_it_in_the_browsers_zone(porch):
    porch.owner.cookies["zone"] = "Pacific/Auckland"
    page = text(porch.owner.get(porch.page))
    assert 'data-days-in="Pacific/Auckland"' in page
    begin, end = days.bounds(date(2026, 11, 24), ZoneInfo("Pacific/Auckland"))
    assert f'data-begin="{begin}" data-end="{end}"' in page
    assert page.count('class="tl-span"') == 2  # b and c are one
    assert f"/api/recordings/{porch.rows[2].pk}/media#t=0.00" in page  # the newest one plays
    assert "nothing was recorded" in page
    porch.owner.cookies["zone"] = "../../etc/passwd"
    assert 'data-days-in="UTC"' in text(porch.owner.get(porch.page))


def test_zoom_moment_and_day_choose_the_window(porch):
    page = text(porch.owner.get(f"{porch.page}?zoom=20m&at={BASE + 61}"))
    assert f"/api/recordings/{porch.rows[1].pk}/media#t=1.00" in page
    begin = int(page.split('data-begin="')[1].split('"')[0])
    assert begin <= BASE + 61 < begin + 1200
    assert f'data-end="{begin + 1200}"' in page
    empty = text(porch.owner.get(f"{porch.page}?day=2026-11-20"))
    assert "Nothing recorded here" in empty
    assert f"?day=2026-11-23" in empty  # noqa: F541 - the way back to a day that has something
    for wrong in ("day=2026-13-01", "day=now", "at=x", "at=999999999999", "zoom=year"):
        assert porch.owner.get(f"{porch.page}?{wrong}", headers={"accept": "application/json"}).status_code == 422


def test_gaps_marks_and_requests_are_on_it(porch):
    from tests.unit.home.test_recorders import ask

    request = ask(porch)
    porch.porch.marks_on = True
    porch.porch.save()
    row = porch.rows[0]
    Recording.objects.filter(pk=row.pk).update(start=request.start + 60, end=request.start + 64)
    Mark.objects.create(recording=row, start=request.start + 61, end=request.start + 62, kind="motion", score=0.4)
    Mark.objects.create(recording=row, start=request.start + 61.5, end=request.start + 63, kind="person", score=0.9)
    from fairwitness.home.services import matching

    matching.rematch(porch.now)
    page = text(porch.owner.get(f"{porch.page}?at={request.start + 60}&zoom=3h"))
    assert 'class="tl-mark motion"' in page
    assert 'class="tl-mark person"' in page
    assert 'class="tl-asked"' in page
    assert f"/requests/{request.pk}" in page
    assert request.agency_name in page


def test_a_camera_without_recordings_says_so(porch):
    from fairwitness.home.services import cameras

    other = cameras.add("Garden")
    assert "No recordings yet" in text(porch.owner.get(f"/cameras/{other.pk}"))
    assert porch.owner.get("/cameras/987654", headers={"accept": "application/json"}).status_code == 404


def test_playing_goes_on_from_recording_to_recording(porch):
    def found(query):
        return porch.owner.get(f"{porch.page}/play?{query}").json()["found"]

    first = found(f"t={BASE + 2}")
    assert (first["recording"], first["offset"], first["waited"]) == (porch.rows[0].pk, 2.0, False)
    assert first["sources"] == [
        f"/api/recordings/{porch.rows[0].pk}/media", f"/api/recordings/{porch.rows[0].pk}/preview?sound=true",
    ]  # fmt: skip
    gap = found(f"t={BASE + 30}")
    assert (gap["recording"], gap["offset"], gap["waited"]) == (porch.rows[1].pk, 0.0, True)
    onward = porch.owner.get(gap["next"]).json()["found"]
    assert (onward["recording"], onward["waited"]) == (porch.rows[2].pk, False)
    assert porch.owner.get(onward["next"]).json()["found"] is None
    assert found(f"t={BASE + 500}") is None
    for wrong in ("", "t=x", "t=9999999999999"):
        assert porch.owner.get(f"{porch.page}/play?{wrong}").status_code == 422
    assert porch.owner.get(f"/cameras/{porch.porch.pk + 1}/play?behind={porch.rows[0].pk}").status_code == 404


def test_what_a_browser_may_not_play_is_converted(porch, footage):
    row = add(porch, footage, "d", BASE + 600, codec="h265")
    found = porch.owner.get(f"{porch.page}/play?t={BASE + 600}").json()["found"]
    assert found["sources"] == [f"/api/recordings/{row.pk}/preview?sound=true"]


# ---------------------------------------------------------------- downloads


def test_a_recording_is_handed_out_as_it_is_under_a_name_that_says_camera_and_time(porch):
    porch.owner.cookies["zone"] = "America/Chicago"
    answer = porch.owner.get(f"/recordings/{porch.rows[0].pk}/download")
    assert body(answer) == (porch.folder / "a.mp4").read_bytes()
    assert answer["Content-Disposition"] == 'attachment; filename="Porch_2026-11-23_10-00-00-0600.mp4"'
    same = porch.owner.get(f"{porch.page}/download?start={BASE - 5}&end={BASE + 30}")
    assert body(same) == (porch.folder / "a.mp4").read_bytes()


def test_a_span_is_cut_without_encoding_it_again(porch):
    answer = porch.owner.get(f"{porch.page}/download?start={BASE + 62}&end={BASE + 66}")
    assert answer.status_code == 200, answer.content
    data = body(answer)
    assert "16-01-02" in answer["Content-Disposition"]

    def packets(source):
        with av.open(source) as container:
            return [bytes(p)[-12:] for p in container.demux(video=0) if p.size]

    cut, before, after = packets(io.BytesIO(data)), packets(str(porch.folder / "b.mp4")), packets(str(porch.folder / "c.mp4"))
    assert len(cut) == 40  # two seconds of each, at ten pictures a second
    assert cut == before[20:] + after[:20]
    for wrong, status in ((f"start={BASE}&end={BASE + 62}", 409), (f"start={BASE + 200}&end={BASE + 300}", 409),
                          (f"start={BASE}&end={BASE}", 422), ("start=a&end=b", 422), (f"start=1&end={BASE}", 422)):  # fmt: skip
        assert porch.owner.get(f"{porch.page}/download?{wrong}", headers={"accept": "application/json"}).status_code == status


def test_pictures_that_cannot_be_cut_are_handed_out_whole_or_refused_in_words(porch, footage):
    row = add(porch, footage, "d", BASE + 600, codec="h265")
    whole = porch.owner.get(f"{porch.page}/download?start={BASE + 600}&end={BASE + 604}")
    assert body(whole) == (porch.folder / "d.mp4").read_bytes()
    part = porch.owner.get(f"{porch.page}/download?start={BASE + 601}&end={BASE + 603}", headers={"accept": "application/json"})
    assert (part.status_code, part.json()["error"]["code"]) == (409, "download.whole")
    assert row.pk


# ---------------------------------------------------------------- deleting


def test_deleting_asks_first_and_says_what_becomes_of_files_in_the_owners_folder(porch):
    url = f"/recordings/{porch.rows[0].pk}/delete"
    page = text(porch.owner.get(url))
    assert "Keep them there" in page
    assert str(porch.folder) in page
    refused = porch.owner.post(url, {})
    assert refused.status_code == 422
    assert "Say what happens to the files" in refused.content.decode()
    assert (porch.folder / "a.mp4").exists()
    assert not Deletion.objects.exists()


def test_deleted_files_are_gone_with_everything_made_of_them(porch):
    row = porch.rows[1]
    previews.thumb(row.pk, 1.0)
    assert list(previews._cache().glob(f"{row.pk}-*"))
    Mark.objects.create(recording=row, start=BASE + 61, end=BASE + 62, kind="motion", score=0.4)
    answer = porch.owner.post(f"{porch.page}/delete?start={BASE + 61}&end={BASE + 66}", {"originals": "delete"})
    assert answer.status_code == 302
    assert [p.name for p in porch.folder.iterdir()] == ["a.mp4"]
    assert not list(previews._cache().glob(f"{row.pk}-*"))
    assert not Mark.objects.exists()
    receipt = Deletion.objects.get()
    assert (receipt.count, receipt.originals, receipt.by, receipt.done_at) == (2, True, "Somebody", porch.now)
    assert (receipt.start, receipt.end) == (BASE + 60, BASE + 68)  # whole files
    page = text(porch.owner.get("/recordings/deleted"))
    assert "Deleted from this machine." in page
    assert "b.mp4" in page
    assert porch.owner.get(f"/api/recordings/{row.pk}/thumb").status_code == 404
    # A second time there is nothing.
    assert "Nothing to delete" in text(porch.owner.get(f"{porch.page}/delete?start={BASE + 61}&end={BASE + 66}"))


def test_kept_originals_stay_in_the_folder_and_are_not_found_again(porch):
    porch.owner.post(f"/recordings/{porch.rows[0].pk}/delete", {"originals": "keep"})
    assert (porch.folder / "a.mp4").exists()
    assert Recording.objects.get(pk=porch.rows[0].pk).hidden
    found = sources.scan(porch.now + 100)
    assert found.unreadable == 0
    assert porch.owner.get(f"/api/recordings/{porch.rows[0].pk}/thumb").status_code == 404
    assert not Recording.objects.filter(path="a.mp4", gone=False).exists()
    from fairwitness.home import tasks

    tasks.tidy(porch.now)
    sources.scan(porch.now + 200)
    assert not Recording.objects.filter(path="a.mp4", gone=False).exists()
    page = text(porch.owner.get("/recordings/deleted"))
    assert "still in your own folder" in page
    # Another file of this name is another recording.
    shutil.copyfile(porch.folder / "c.mp4", porch.folder / "a.mp4.new")
    (porch.folder / "a.mp4.new").replace(porch.folder / "a.mp4")
    porch.at(porch.now + 10**7)
    sources.scan(porch.now)
    assert Recording.objects.filter(path="a.mp4", gone=False, hidden=False).exists()


def test_a_recorders_chain_verifies_after_a_deletion_and_still_names_what_is_gone(porch, footage):
    row = recorders.add_rtsp(porch.porch.pk, "rtsp://127.0.0.1/x")
    folder, chain = Path(row.source.folder), recorders.chain(row)
    made = []
    for number in range(3):
        start = (BASE + 1000 + 4 * number) * 1000
        name = recorders_name(start, start + 4000)
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(footage / "h264.mp4", folder / name)
        made.append(
            chain.append(
                sha256=file_sha256(folder / name), start=start, end=start + 4000, size=(folder / name).stat().st_size,
                path=name, codec="h264", after="start" if not number else "",
            )
        )  # fmt: skip
    sources.scan(porch.now)
    assert Recording.objects.filter(source=row.source, gone=False).count() == 3
    page = text(porch.owner.get(f"{porch.page}/delete?start={BASE + 1004}&end={BASE + 1008}"))
    assert "Keep them there" not in page  # the files are this home's own
    porch.owner.post(f"{porch.page}/delete?start={BASE + 1004}&end={BASE + 1008}", {})
    assert not (folder / made[1].path).exists()
    assert (folder / made[0].path).exists()
    assert recorders.verify(row.pk) == []
    (item,) = Deletion.objects.get().items
    assert (item["link"], item["sha256"]) == (1, made[1].sha256)
    sources.scan(porch.now + 4000)
    assert Recording.objects.filter(source=row.source, gone=False).count() == 2
    assert made[1].sha256 in text(porch.owner.get("/recordings/deleted"))
    assert isinstance(chain, Chain)


def recorders_name(start, end):
    from fairwitness.home.adapters import segments

    return segments.name_of(start, end)


def answer_with(porch, state, row, original=""):
    from fairwitness.home.models import Request

    request = Request.objects.first()
    made = Answer.objects.create(request=request, state=state, created_at=porch.now, uploaded_at=porch.now)
    AnswerClip.objects.create(
        answer=made, position=0, recording=row, camera=porch.porch, source_path=str(porch.folder / row.path),
        identity=row.identity, started=row.start, time_source="name", cut_start=0.0, cut_end=2.0, original=original,
    )  # fmt: skip
    return made


def test_what_was_shared_is_said_and_what_is_on_its_way_is_not_deleted(porch):
    from fairwitness.home.config import Config
    from fairwitness.kit import config
    from tests.unit.home.test_recorders import ask

    ask(porch)
    row = porch.rows[0]
    waiting = answer_with(porch, "queued", row)
    url = f"/recordings/{row.pk}/delete"
    refused = porch.owner.post(url, {"originals": "delete"})
    assert refused.status_code == 409
    assert "that has not left yet uses this" in refused.content.decode()
    assert (porch.folder / "a.mp4").exists()
    waiting.state = "uploaded"
    waiting.save()
    copies = config.current(Config).folder("originals")
    (copies / "1-1.mp4").write_bytes(b"kept")
    waiting.clips.update(original="1-1.mp4")
    page = text(porch.owner.get(url))
    assert "The copy that you shared stays shared" in page
    assert "Also delete the untouched original" in page
    porch.owner.post(url, {"originals": "delete"})
    assert (copies / "1-1.mp4").exists()
    listed = text(porch.owner.get("/recordings/deleted"))
    assert "Shared before" in listed
    assert "untouched original is kept" in listed
    # With the box ticked the copy goes as well.
    receipt = Deletion.objects.get()
    receipt.proofs, receipt.done_at = True, None
    receipt.save()
    assert deletion.resume(porch.now) == 1
    assert not (copies / "1-1.mp4").exists()


def test_a_deletion_that_was_cut_off_is_carried_out_later(porch, monkeypatch):
    monkeypatch.setattr(deletion, "_unlink", lambda *_: False)
    porch.owner.post(f"/recordings/{porch.rows[0].pk}/delete", {"originals": "delete"})
    receipt = Deletion.objects.get()
    assert receipt.done_at is None
    assert "Not all of it is deleted yet" in text(porch.owner.get("/recordings/deleted"))
    monkeypatch.undo()
    assert deletion.resume(porch.now) == 1
    assert not (porch.folder / "a.mp4").exists()
    assert Deletion.objects.get().done_at is not None


# ---------------------------------------------------------------- who


def test_a_viewer_sees_the_cameras_that_were_shared_and_deletes_nothing(porch):
    user, viewer = signed_in("viewer", name="viewer1")
    viewer.defaults["HTTP_ACCEPT"] = "text/html"
    ask = {"accept": "application/json"}
    looks = [porch.page, f"{porch.page}/play?t={BASE}", f"{porch.page}/live", f"{porch.page}/still",
             f"{porch.page}/download?start={BASE}&end={BASE + 4}", f"/recordings/{porch.rows[0].pk}/download"]  # fmt: skip
    for url in looks:
        assert viewer.get(url, headers=ask).status_code == 404, url
    household._grant(user, may_answer=False, cameras=[porch.porch.pk])
    for url in looks:
        assert viewer.get(url, headers=ask).status_code == 200, url
    for url in (
        f"/recordings/{porch.rows[0].pk}/delete",
        f"{porch.page}/delete?start={BASE}&end={BASE + 4}",
        f"{porch.page}/masks",
    ):
        assert viewer.get(url, headers=ask).status_code == 403, url
        assert viewer.post(url, {"originals": "delete"}, headers=ask).status_code == 403, url
    assert viewer.get("/recordings/deleted", headers=ask).status_code == 403
    assert (porch.folder / "a.mp4").exists()
    assert "Delete" not in text(viewer.get(porch.page)).split("tl-legend")[0]
    assert json.loads(viewer.get(f"{porch.page}/play?t={BASE}").content)["found"]
    assert Recorder.objects.count() == 0
