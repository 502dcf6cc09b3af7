"""What an owner looks at at home: bytes as they are, previews while they are made, stills; bounded, cached, cleared."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import io
import os
import shutil
import threading

import av
import numpy as np
import pytest
from django.test import Client
from fairwitness_core.wire.errors import ProtocolError
from PIL import Image

from fairwitness.home import access
from fairwitness.home.models import Recording, Source
from fairwitness.home.services import masks, previews
from fairwitness.kit.errors import Refused
from fairwitness.kit.video import preview as maker
from fairwitness.kit.video.make import write_recording
from tests.unit.home.test_masks import SQUARE, levels


def scene(count=40):
    for i in range(count):
        yield np.full((180, 320, 3), 100 + 20 * (i // 10), np.uint8)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    place = tmp_path_factory.mktemp("footage")
    write_recording(place / "h264.mp4", scene(), fps=10, options={"preset": "ultrafast", "g": "10"})
    write_recording(place / "h265.mp4", scene(), fps=10, codec="libx265", options={"x265-params": "log-level=none"})
    (place / "broken.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(4000))
    return place


@pytest.fixture
def cam(home, tmp_path, footage):
    """A camera with three recordings; `cam.h264` and so on are their ids."""
    folder = tmp_path / "cam"
    shutil.copytree(footage, folder)
    shutil.rmtree(previews._cache(), ignore_errors=True)
    source = Source.objects.create(camera=home.porch, folder=str(folder))
    home.folder = folder
    home.ids = {}
    for path in folder.iterdir():
        found = path.stat()
        row = Recording.objects.create(
            source=source, path=path.name, start=home.now - 100, end=home.now - 96, seconds=4.0, time_source="name",
            identity={"size": found.st_size, "mtime_ns": found.st_mtime_ns, "inode": found.st_ino}, codec="x", size=found.st_size,
        )  # fmt: skip
        home.ids[path.stem] = row.pk
    home.client = Client(headers={"Authorization": f"Bearer {access.owner_token()}", "host": "localhost"})
    yield home
    shutil.rmtree(previews._cache(), ignore_errors=True)


def get(cam, name, what, **headers):
    return cam.client.get(f"/api/recordings/{cam.ids[name]}/{what}", headers=headers)


def body(answer):
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def pictures(data):
    with av.open(io.BytesIO(data)) as container:
        return container.streams.video[0].codec_context.name, sum(1 for _ in container.decode(video=0))


def test_the_original_is_sent_as_it_lies_in_its_folder(cam):
    whole = (cam.folder / "h265.mp4").read_bytes()
    answer = get(cam, "h265", "media")
    assert (answer.status_code, answer["Content-Type"], answer["Accept-Ranges"]) == (200, "video/mp4", "bytes")
    assert answer["Cache-Control"].startswith("private")
    assert body(answer) == whole
    for asked, begin, end in (
        ("0-9", 0, 10),
        ("100-", 100, len(whole)),
        ("-7", len(whole) - 7, len(whole)),
        ("5-99999999", 5, None),
    ):
        part = get(cam, "h265", "media", Range=f"bytes={asked}")
        assert part.status_code == 206
        data = body(part)
        assert data == whole[begin : end or len(whole)]
        assert part["Content-Range"] == f"bytes {begin}-{(end or len(whole)) - 1}/{len(whole)}"
        assert part["Content-Length"] == str(len(data))
    for asked in (f"bytes={len(whole)}-", "bytes=9-3", "bytes=-0"):
        assert get(cam, "h265", "media", Range=asked).status_code == 416
    for asked in ("bytes=0-1,3-4", "bits=1-2", "bytes=-", "bytes=x-"):
        assert get(cam, "h265", "media", Range=asked).status_code == 200
    assert get(cam, "h265", "media", Range="bytes=0-1", **{"If-Range": '"other"'}).status_code == 200


def test_no_other_site_may_show_what_this_browser_keeps(cam):
    """A hostile page that embeds a picture: refused by where it comes from, and by the kept answer itself."""
    for what in ("media", "preview", "thumb", "strip"):
        answer = get(cam, "h264", what)
        assert answer.status_code == 200, what
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        b"".join(answer)
        other = get(cam, "h264", what, **{"Sec-Fetch-Site": "cross-site", "Range": "bytes=0-9"})
        assert other.status_code == 403
        assert other.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_nothing_but_the_recording_itself_is_sent(cam, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 10)
    path = cam.folder / "h264.mp4"
    for bend, status in (
        (lambda: path.unlink(), 404),
        (lambda: path.symlink_to(secret), 409),
        (lambda: (path.unlink(), os.mkfifo(path)), 409),
        (lambda: (path.unlink(), path.write_bytes(b"another")), 409),
    ):
        bend()
        for what in ("media", "thumb", "strip", "preview"):
            assert get(cam, "h264", what).status_code == status, what
    Recording.objects.filter(pk=cam.ids["h264"]).update(path="../secret")
    assert get(cam, "h264", "media").status_code == 409
    Recording.objects.filter(pk=cam.ids["h264"]).update(gone=True)
    assert get(cam, "h264", "media").status_code == 404


@pytest.mark.parametrize("name", ["h264", "h265"])
def test_a_preview_can_be_played_and_is_made_once(cam, name, monkeypatch):
    answer = get(cam, name, "preview?from=1&to=3")
    assert (answer.status_code, answer["Content-Type"]) == (200, "video/mp4")
    assert answer["Cache-Control"].startswith("private")
    data = body(answer)
    answer.close()
    assert pictures(data) == ("h264", 20)
    previews.settle()
    monkeypatch.setattr(maker, "make", None)
    again = get(cam, name, "preview?from=1&to=3", Range="bytes=0-99")
    assert again.status_code == 206
    assert body(again) == data[:100]


def test_a_preview_shows_what_a_share_would_cover(cam):
    masks.add(cam.porch.pk, "Window", SQUARE)
    for query, dark in (("", False), ("&masked=1", True)):
        answer = get(cam, "h264", f"preview?from=0&to=2{query}")
        found = levels(body(answer), SQUARE)
        answer.close()
        previews.settle()
        assert (max(found) < 30) is dark


def test_one_preview_at_a_time_and_it_ends_when_nobody_looks(cam, monkeypatch):
    go, ended = threading.Event(), threading.Event()

    def slow(cut, target, *, cancelled):
        part = maker.part_of(target)
        part.write_bytes(b"first")
        try:
            yield 5
            go.wait(20)
            if cancelled():
                raise ProtocolError("clip.cancelled", "nobody looks")
            part.write_bytes(b"firstsecond")
            yield 11
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
            ended.set()

    monkeypatch.setattr(maker, "make", slow)
    one = previews.preview(cam.ids["h264"], 0.0, 2.0)
    also = previews.preview(cam.ids["h264"], 0.0, 2.0)  # the same one is followed by both
    with pytest.raises(Refused) as caught:
        previews.preview(cam.ids["h264"], 0.0, 3.0)
    assert (caught.value.status, caught.value.code) == (503, "preview.busy")
    also.close()
    first = iter(one)
    assert next(first) == b"first"
    go.set()
    assert next(first) == b"second"
    assert list(first) == []
    one.close()
    previews.settle()
    # Another one, left at once.
    go.clear()
    ended.clear()
    two = previews.preview(cam.ids["h264"], 0.0, 3.0)
    two.close()
    go.set()
    assert ended.wait(20)
    previews.settle()
    assert not list(previews._cache().glob("*.part"))
    assert previews._making is None


@pytest.mark.parametrize("query", ["from=3&to=2", "from=-1", "from=0&to=601", "from=nan", "to=inf", "from=5", "from=x"])
def test_a_stretch_that_is_none_is_refused(cam, query):
    assert get(cam, "h264", f"preview?{query}").status_code == 422


def test_stills(cam):
    for name in ("h264", "h265"):
        answer = get(cam, name, "thumb?at=2.5")
        assert answer["Cache-Control"].startswith("private")
        picture = Image.open(io.BytesIO(answer.content))
        assert picture.size == (320, 180)
        assert np.asarray(picture.convert("L")).mean() == pytest.approx(140, abs=5)
    answer = get(cam, "h264", "strip?count=4")
    assert answer["X-Strip-Tile"] == "160x90"
    assert answer["X-Strip-Times"] == "0.000,1.000,2.000,3.000"
    assert Image.open(io.BytesIO(answer.content)).size == (640, 90)
    for bad in ("thumb?at=nan", "thumb?at=-1", "strip?count=0", "strip?count=31"):
        assert get(cam, "h264", bad).status_code == 422


def test_a_broken_recording_is_answered_in_words(cam):
    for what in ("thumb", "strip", "preview"):
        answer = get(cam, "broken", what)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"].startswith("clip.")
    previews.settle()
    assert [path.name for path in previews._cache().iterdir() if not path.name.startswith(".")] == []


def test_the_cache_is_bounded_and_forgets_what_is_gone(cam, monkeypatch):
    from fairwitness.home.config import Config
    from fairwitness.kit import config

    get(cam, "h264", "thumb?at=1")
    get(cam, "h265", "thumb?at=1")
    assert len(previews._entries()) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in previews._entries())
    now = int(max(path.stat().st_mtime for path in previews._entries()))
    assert previews.clear(now) == 0
    Recording.objects.filter(pk=cam.ids["h264"]).update(gone=True)
    assert previews.clear(now) == 1
    assert previews.clear(now + 8 * 86_400) == 1
    old = previews._cache() / f"{cam.ids['h265']}-old.mp4"
    new = previews._cache() / f"{cam.ids['h265']}-new.mp4"
    for path, at in ((old, 1_000), (new, 2_000)):
        with path.open("wb") as out:
            out.truncate(40 << 20)
        os.utime(path, (at, at))
    assert config.current(Config).preview_cache_mib >= 64
    previews.prune(64 << 20)
    assert not old.exists()
    assert new.exists()
