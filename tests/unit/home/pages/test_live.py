"""A camera as it is now: nothing runs while nobody looks, pictures of any camera reach a browser's format, and it is bounded."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import io
import itertools
import os
import shutil
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fairwitness.home.adapters import recorder as recording
from fairwitness.home.adapters.recorder import Segment
from fairwitness.home.adapters.task import Task
from fairwitness.home.models import Recorder, Source
from fairwitness.home.services import cameras, live, recorders
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused
from fairwitness.kit.video.make import write_recording
from tests.harness.rtsp import RtspCamera, until
from tests.permissions.cases import signed_in

FPS, GROUP = 10, 10


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    place = tmp_path_factory.mktemp("footage")

    def scene():
        for i in range(600):
            yield np.full((90, 160, 3), 50 + i % 180, np.uint8)

    write_recording(place / "h264.mp4", scene(), fps=FPS, options={"preset": "ultrafast", "g": str(GROUP)})
    parameters = f"log-level=none:keyint={GROUP}"
    write_recording(
        place / "h265.mp4", scene(), fps=FPS, codec="libx265", options={"x265-params": parameters, "preset": "ultrafast"}
    )
    return place


class Growing:
    """Writes a recorder's segments as one does, quicker than in real time; `step` writes so many pictures."""

    def __init__(self, parts, source):
        self.parts = parts
        self.container = av.open(str(source))
        self.video = self.container.streams.video[0]
        self.packets = (p for p in self.container.demux(self.video) if p.size)
        self.segment = None
        self.count = 0

    def step(self, count, *, anew=False):
        for packet in itertools.islice(self.packets, count):
            at = float(packet.dts * packet.time_base)
            if self.segment is None or (anew and packet.is_keyframe):
                self.end()
                anew = False
                self.segment = Segment(self.parts / f"{1_795_449_600_000 + round(at * 1000)}.mp4", [self.video], at)
            self.segment.write(packet, packet.pts, packet.dts)
            self.count += 1

    def end(self):
        if self.segment is not None:
            self.segment.close()
            self.segment.part.replace(self.segment.part.parent.parent / f"done-{self.segment.part.name}")
            self.segment = None

    def close(self):
        self.container.close()
        self.end()


@pytest.fixture
def watching(home, tmp_path):
    """A home with a recorder whose folder a test fills; `home.watcher` is the owner's browser. Time is this machine's."""
    clock.set_clock(None)
    row = recorders.add_rtsp(home.porch.pk, "rtsp://127.0.0.1/x")
    home.parts = Path(row.source.folder) / recording.PART
    home.parts.mkdir(parents=True)
    home.recorder = row
    _, home.watcher = signed_in("owner", name="owner2")
    home.page = f"/cameras/{home.porch.pk}"
    yield home
    for path in live._place(home.porch.pk).glob("*.viewer"):
        path.unlink(missing_ok=True)
    live.settle()
    shutil.rmtree(live._place(home.porch.pk).parent, ignore_errors=True)
    clock.set_clock(lambda: 0.0)


def fetch(home, viewer, after=""):
    return home.watcher.get(f"{home.page}/live/next?viewer={viewer}&after={after}", headers={"accept": "application/json"})


def collect(home, viewer, wanted, step=None, cursor=""):
    """Fetch until so many pictures have come; return the bytes, the heads of answers that began anew, and the cursor."""
    data, heads = b"", []

    def more():
        nonlocal data, cursor
        answer = fetch(home, viewer, cursor)
        assert answer.status_code in (200, 204), answer.content
        if answer.status_code == 200:
            data += answer.content
            cursor = answer["X-Live-Cursor"]
            heads.extend([answer.headers] if "X-Live-Codec" in answer.headers else [])
        return pictures(data) >= wanted

    until(more, 60, step)
    return data, heads, cursor


def pictures(data):
    """Count the pictures in fragments: what a MediaSource would have appended so far."""
    return data.count(b"moof") and sum(
        struct.unpack_from(">I", data, at + 8)[0] for at in _all(data, b"trun") if at + 12 <= len(data)
    )


def _all(data, name):
    at = data.find(name)
    while at >= 0:
        yield at
        at = data.find(name, at + 1)


def test_nothing_runs_until_somebody_looks_and_it_ends_with_the_last_viewer(watching, footage, monkeypatch):
    monkeypatch.setattr(live, "AWAY_S", 1.0)
    growing = Growing(watching.parts, footage / "h264.mp4")
    growing.step(45)
    assert not live.watched(watching.porch.pk)
    page = watching.watcher.get(f"{watching.page}/live")
    assert page.status_code == 200
    assert not live.watched(watching.porch.pk)  # the page alone starts nothing
    data, heads, _ = collect(watching, live.viewer(), 20, lambda: growing.step(2))
    assert heads[0]["X-Live-Codec"].startswith("avc1.")
    with av.open(io.BytesIO(data)) as found:
        assert found.streams.video[0].codec_context.name == "h264"
        times = [p.pts for p in found.demux(video=0) if p.size]
    assert times == sorted(times)
    # It begins near now: what lies before the newest key frame is not sent.
    assert float(heads[0]["X-Live-Began"]) >= 1_795_449_600 + 2.0
    until(lambda: not live.watched(watching.porch.pk), 15)
    live.settle()
    assert not list(live._place(watching.porch.pk).glob("run-*"))
    growing.close()


def test_it_goes_on_into_the_next_segment_on_one_line_of_time(watching, footage):
    growing = Growing(watching.parts, footage / "h264.mp4")
    growing.step(25)
    first, viewer = growing.segment, live.viewer()
    before, heads, cursor = collect(watching, viewer, 5, lambda: growing.step(1))

    def step():
        growing.step(3, anew=growing.segment is first)

    after, more, _ = collect(watching, viewer, 50, step, cursor)
    assert len(heads + more) == 2  # each file has its own description
    data = before + after
    second = data.index(b"ftyp", 10) - 4
    first_run, second_run = ([int.from_bytes(part[at + 8 : at + 16], "big") for at in _all(part, b"tfdt")] for part in
                             (data[:second], data[second:]))  # fmt: skip
    assert first_run == sorted(first_run)
    assert second_run[0] > first_run[-1]
    growing.close()


def test_what_browsers_do_not_play_is_converted(watching, footage):
    growing = Growing(watching.parts, footage / "h265.mp4")
    growing.step(30)
    data, heads, _ = collect(watching, live.viewer(), 10, lambda: growing.step(3))
    assert heads[0]["X-Live-Codec"].startswith("avc1.")
    with av.open(io.BytesIO(data)) as found:
        assert found.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in found.decode(video=0)) >= 10
    growing.close()


def test_viewers_and_cameras_are_limited(watching, footage, monkeypatch):
    growing = Growing(watching.parts, footage / "h264.mp4")
    growing.step(30)
    for _ in range(live.VIEWERS):
        assert fetch(watching, live.viewer()).status_code in (200, 204)
    refused = fetch(watching, live.viewer())
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "live.viewers")
    assert fetch(watching, "../x").status_code == 422
    assert sum(1 for _ in live._place(watching.porch.pk).glob("run-*")) == 1  # one child for all of them
    monkeypatch.setattr(live, "CAMERAS", 1)
    other = cameras.add("Yard")
    row = recorders.add_rtsp(other.pk, "rtsp://127.0.0.1/y")
    parts = Path(row.source.folder) / recording.PART
    parts.mkdir(parents=True)
    shutil.copyfile(next(watching.parts.iterdir()), parts / "1795449600000.mp4")
    busy = watching.watcher.get(f"/cameras/{other.pk}/live/next?viewer={live.viewer()}", headers={"accept": "application/json"})
    assert (busy.status_code, busy.json()["error"]["code"]) == (503, "live.busy")
    growing.close()


def test_a_recorder_that_gets_nothing_and_a_camera_without_one_are_said(watching, footage):
    assert fetch(watching, live.viewer()).status_code == 204
    with pytest.raises(Refused, match=r"live\.silent"):
        live.follow(watching.porch.pk, live.viewer(), "")
    old = watching.parts / "1795449600000.mp4"
    shutil.copyfile(footage / "h264.mp4", old)
    os.utime(old, (1, 1))
    with pytest.raises(Refused, match=r"live\.silent"):
        live.follow(watching.porch.pk, live.viewer(), "")
    Recorder.objects.all().delete()
    none = fetch(watching, live.viewer())
    assert (none.status_code, none.json()["error"]["code"]) == (409, "live.none")
    page = watching.watcher.get(f"{watching.page}/live").content.decode()
    assert "Nothing to see yet" in page
    waiting = watching.watcher.get(f"{watching.page}/still")
    assert (waiting.status_code, waiting.content) == (204, b"")


def test_the_newest_picture_is_of_the_file_that_grows(watching, footage):
    growing = Growing(watching.parts, footage / "h264.mp4")
    growing.step(85)
    answer = watching.watcher.get(f"{watching.page}/still")
    assert answer.status_code == 200, answer.content
    shade = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")).mean()
    assert shade > 50 + 65  # one of the last pictures on disk, not the first
    assert abs(int(answer["X-Picture-At"]) - time.time()) < 30
    growing.close()


def test_a_folders_camera_says_how_old_its_newest_recording_is(home, tmp_path, footage):
    from tests.unit.home.pages.test_timeline import add

    home.folder = tmp_path / "cam"
    home.folder.mkdir()
    home.source = Source.objects.create(camera=home.porch, folder=str(home.folder))
    add(home, footage, "a", home.now - 184)
    _, watcher = signed_in("owner", name="owner2")
    page = watcher.get(f"/cameras/{home.porch.pk}/live").content.decode()
    assert "Newest recording 3 min" in page
    assert "no live video" in page
    assert watcher.get(f"/cameras/{home.porch.pk}/still").status_code == 200


@pytest.mark.network
@pytest.mark.slow
def test_a_real_camera_is_seen_live(watching, footage, tmp_path):
    """A camera's stream over RTSP, its recorder, and a viewer: within seconds of what the camera sent."""
    camera = RtspCamera(footage / "h264.mp4", tmp_path / "camera")
    row = watching.recorder
    stop = threading.Event()
    try:
        camera.start()
        task = Task(
            address=camera.address, folder=row.source.folder, chain=str(recorders.chain(row).root), seconds=60.0, reserve=0
        )
        recorder = recording.Recorder(task, stop)
        thread = threading.Thread(target=recorder.run, daemon=True)
        thread.start()
        until(lambda: list(watching.parts.glob("*.mp4")), 20)
        viewer, cursor, behind = live.viewer(), "", []

        def seen():
            nonlocal cursor
            answer = fetch(watching, viewer, cursor)
            if answer.status_code == 200:
                cursor = answer["X-Live-Cursor"]
                if "X-Live-Began" in answer.headers:
                    began.append(float(answer["X-Live-Began"]))
                for at in _all(answer.content, b"tfdt"):
                    time_of = int.from_bytes(answer.content[at + 8 : at + 16], "big") / 90_000
                    behind.append(time.time() - began[-1] - time_of)
            else:
                assert answer.status_code in (204, 409), answer.content
            return len(behind) >= 8

        began = []
        until(seen, 40)
        print(f"behind the camera: {[round(one, 1) for one in behind]} s")
        assert min(behind[2:]) < 4
    finally:
        stop.set()
        with suppress(OSError):
            camera.stop()
        thread.join(30)
