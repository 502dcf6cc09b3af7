"""A home that records a real RTSP server, loses camera and recorder, and answers a request from what it has."""
# ruff: noqa: PLC0415, F811 - fixtures are imported by name; Django loads late

import os
import signal
import time
from pathlib import Path

import av
import pytest
from fairwitness_core.model.response import Manifest, verify_responder

from core.tests.rules.feed_world import CENTRE, World
from fairwitness.demo.footage import make_clip
from fairwitness.home.models import Recorder, Recording, Request
from fairwitness.home.services import answers, delivery, recorders, sources
from tests.harness.rtsp import RtspCamera, until
from tests.unit.home.conftest import folders, home, hub, lone, moment, sent  # noqa: F401 - fixtures
from tests.unit.home.test_sharing import open_response

pytestmark = [pytest.mark.slow, pytest.mark.network]
SECRET = "S3cret-of-the-porch"


@pytest.fixture
def world():
    """A hub whose clock runs two hours ahead: the recorder is a process of its own and writes the true time."""
    start = (int(time.time()) + 7200) // 300 * 300
    world = World(start=start)
    late = start + 10**8
    keys = (*(world.agency_key(o, not_after=late) for o in world.officers), world.agency_key(world.console, "agency", late))
    world.publish(world.authorized(keys=keys, expires=late))
    return world


@pytest.fixture(params=["h264", "hevc"])
def camera(request, tmp_path):
    footage = tmp_path / "made.mp4"
    make_clip(footage, seed=3, seconds=40, start=1_780_000_000, place=CENTRE, width=320, height=180, fps=10, audio=False)
    if request.param == "hevc":
        footage = _as_hevc(footage, tmp_path / "made265.mp4")
    found = RtspCamera(footage, tmp_path / "served").start()
    found.codec = request.param
    yield found
    found.stop()


def _as_hevc(source, target):
    from fairwitness.kit.video.make import write_recording

    with av.open(str(source)) as clip:
        pictures = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    options = {"preset": "ultrafast", "x265-params": "keyint=20:min-keyint=20:open-gop=0:log-level=none:pools=1"}
    return write_recording(target, pictures, fps=10, codec="libx265", options=options)


def pictures_of(path):
    with av.open(str(path)) as clip:
        assert next(clip.demux(video=0)).is_keyframe
        clip.seek(0)
        return sum(1 for _ in clip.decode(video=0)), clip.streams.video[0].codec_context.name


def test_recorded_killed_unplugged_and_answered_from(home, camera, journal_lines):
    row = recorders.add_rtsp(home.porch.pk, camera.address, user="owner", password=SECRET)
    row.options |= {"seconds": 2.0}
    row.save()

    def finished(count):
        def found():
            sources.scan(int(time.time()))
            return Recording.objects.count() >= count

        return found

    def keep():
        recorders.keep(int(time.time()))

    try:
        until(finished(2), step=keep)
        pid = recorders.running()[row.pk]
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        time.sleep(2.5)  # into a segment, past its first fragment
        os.kill(pid, signal.SIGKILL)
        count = Recording.objects.count()
        until(finished(count + 2), step=keep)
        assert recorders.running()[row.pk] != pid
        camera.stop()
        until(lambda: recorders.listing()[0].state == "unreachable", step=keep)
        camera.start()
        until(finished(Recording.objects.count() + 2), step=keep)
        shown = until(
            lambda: next((v for v in recorders.listing() if v.state == "recording" and v.camera_ahead_ms is not None), None),
            step=keep,
        )
        assert (shown.state, shown.codec) == ("recording", camera.codec)
        assert abs(shown.camera_ahead_ms) < 2000
    finally:
        recorders.stop()
    sources.scan(int(time.time()))

    # Every segment is whole, begins with a key frame, has the camera's own codec, and is the file that was chained.
    rows = list(Recording.objects.order_by("start", "pk"))
    seen = [pictures_of(sources.path_of(one)) for one in rows]
    assert all(codec == camera.codec for _count, codec in seen)
    # Ten pictures a second: none of them is lost to a cut.
    assert all(abs(count - one.seconds * 10) <= 3 for (count, _codec), one in zip(seen, rows, strict=True)), [
        (c, one.path) for (c, _k), one in zip(seen, rows, strict=True)
    ]
    assert {one.time_source for one in rows} == {"camera"}
    assert abs(rows[-1].end - time.time()) < 10
    assert recorders.verify(row.pk) == []
    reasons = {hole.reason for hole in recorders.holes(row.pk, int(time.time()) - 600, int(time.time()))}
    assert reasons == {"crash", "camera"}

    # The password is nowhere but wrapped.
    assert SECRET.encode() not in bytes(Recorder.objects.get().secret)
    kept = [recorders.chain(row).root, Path(rows[0].source.folder)]
    texts = [p.read_bytes() for folder in kept for p in folder.rglob("*") if p.is_file()]
    assert not any(SECRET.encode() in text for text in texts)
    assert SECRET not in repr(recorders.listing()) + repr(journal_lines)
    assert all(p.stat().st_mode & 0o077 == 0 for folder in kept for p in folder.rglob("*"))

    # An answer from it, by the ordinary way.
    now = int(time.time())
    home.tick()
    home.world.publish(home.world.request(1, from_=now - 3600, to=now))
    home.tick()
    (request,) = [r for r in Request.objects.all() if r.hits]
    answer = answers.draft(request.pk)
    chosen = answer.clips.count()
    held = chosen + sum(clip.pieces.count() for clip in answer.clips.all())
    assert len(rows) - 1 <= held  # the last one may have begun after the window
    assert chosen < held  # what followed without a gap was joined
    links = recorders.chain(row).read()[0]
    assert [bool(link.pictures) for link in links] == [camera.codec == "h264"] * len(links)
    answers.confirm(answer.pk, at_once=True)
    delivery.seal_due(home.now)
    assert delivery.upload_due(home.now) == 1
    answer.refresh_from_db()
    assert answer.state == "uploaded"
    opened, clips = open_response(home, answer.response_id)
    manifest = verify_responder(Manifest, opened.manifest)
    assert {clip.time_source for clip in manifest.clips} == {"camera"}
    assert all(clip.chain_commit for clip in manifest.clips)
    assert len(clips) == chosen
    assert manifest.gaps


def test_a_camera_that_refuses_or_is_no_camera_is_said_so(home, tmp_path):
    from tests.harness.rtsp import free_port

    row = recorders.add_rtsp(home.porch.pk, f"rtsp://127.0.0.1:{free_port()}/cam", password=SECRET, user="o")
    try:
        until(lambda: recorders.listing()[0].state == "unreachable", step=lambda: recorders.keep(int(time.time())))
        recorders.keep(int(time.time()) + 100)
        assert recorders.listing()[0].problem == "unreachable"
        recorders.remove(row.pk)
        recorders.keep(int(time.time()))
        assert recorders.running() == {}
    finally:
        recorders.stop()
