import hashlib
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video import spool as spool_module
from fairwitness.kit.video import worker
from fairwitness.kit.video.boxes import check_clean
from fairwitness.kit.video.clip import Cut
from fairwitness.kit.video.make import write_recording
from fairwitness.kit.video.opening import decodes, open_sealed
from fairwitness.kit.video.probe import Probe
from fairwitness.kit.video.spool import Job, part_of, seal_response
from fairwitness.kit.video.worker import decodes_safely, pass_to_spool, probe_each

from . import plant

SECRET, RECIPIENT = seal.new_identity()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return plant.write(tmp_path_factory.mktemp("source") / "porch CANARY.mp4", count=100)


def job(folder, *sources, **kwargs):
    return Job(tuple(Cut(path, **kwargs) for path in sources), (RECIPIENT,), folder / "response.age")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class Sink:
    """Keeps a clip in a file, as an agency would."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        return _File(self.folder / name)


class _File:
    def __init__(self, path):
        self.path = path
        self.file = path.open("xb")

    def write(self, data):
        self.file.write(data)

    def close(self, digest):
        self.file.close()


@pytest.mark.parametrize("run", [seal_response, pass_to_spool])
@pytest.mark.claim("P8", "P10")
def test_two_recordings_become_one_sealed_response(tmp_path, source, run):
    asked, told = [], []

    def manifest(clips):
        asked.append(clips)
        return b'{"manifest":1}'

    work = job(tmp_path, source, source, mute=False)
    result = run(work, manifest, progress=told.append)
    assert [clip.name for clip in result.clips] == ["clip-01.mp4", "clip-02.mp4"]
    assert asked == [result.clips]
    sealed = work.spool.read_bytes()
    assert result.size == len(sealed)
    assert result.sha256 == hashlib.sha256(sealed).hexdigest()
    assert stat.S_IMODE(work.spool.stat().st_mode) == 0o600
    assert names(tmp_path) == ["response.age"]

    out = tmp_path / "out"
    out.mkdir()
    opened = open_sealed(work.spool, [SECRET], Sink(out))
    assert opened.manifest == b'{"manifest":1}'
    for clip, digest in zip(result.clips, opened.clips, strict=True):
        data = (out / clip.name).read_bytes()
        assert (clip.sha256, clip.bytes) == (hashlib.sha256(data).hexdigest(), len(data)) == (digest.sha256.hex(), digest.size)
        assert plant.CANARY not in data
        with (out / clip.name).open("rb") as stream:
            assert check_clean(stream) == []
        assert decodes(out / clip.name)
        assert clip.tracks == ("video", "audio")
        assert clip.seconds == pytest.approx(4.0, abs=0.1)


def test_a_foreign_key_opens_nothing(tmp_path, source):
    work = job(tmp_path, source)
    seal_response(work, lambda _c: b"m")
    opened = []
    with pytest.raises(ProtocolError) as caught:
        open_sealed(work.spool, [seal.new_identity()[0]], lambda name: opened.append(name))
    assert caught.value.code == "seal.open"
    assert opened == []


def test_a_changed_byte_anywhere_is_refused(tmp_path, source):
    work = job(tmp_path, source, end=0.5)
    seal_response(work, lambda _c: b"m")
    sealed = work.spool.read_bytes()
    rng = plant.random.Random(2)
    for number in range(40):
        data = bytearray(sealed)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        work.spool.write_bytes(data)
        out = tmp_path / str(number)
        out.mkdir()
        with pytest.raises(ProtocolError):
            open_sealed(work.spool, [SECRET], Sink(out))


@pytest.mark.parametrize("run", [seal_response, pass_to_spool])
def test_what_fails_leaves_no_spool(tmp_path, source, run):
    def refuse(_clips):
        raise LookupError("the key is gone")

    with pytest.raises(LookupError):
        run(job(tmp_path, source), refuse)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(ProtocolError) as caught:
        run(job(tmp_path, source, text), lambda _c: b"m")
    assert caught.value.code == "clip.format"
    with pytest.raises(ProtocolError) as caught:
        run(job(tmp_path, source), lambda _c: b"")
    assert caught.value.code == "frames.manifest_size"
    with pytest.raises(ProtocolError) as caught:
        run(job(tmp_path, source), lambda _c: b"m", cancelled=lambda: True)
    assert caught.value.code == "clip.cancelled"
    assert names(tmp_path) == ["text.mp4"]


def test_an_unfinished_spool_is_started_again(tmp_path, source):
    work = job(tmp_path, source)
    part_of(work.spool).write_bytes(b"left by a crash")
    result = seal_response(work, lambda _c: b"m")
    assert result.size == work.spool.stat().st_size
    assert not part_of(work.spool).exists()


@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, source, monkeypatch, after):
    real, count = os.write, []

    def write(handle, data):
        if threading.current_thread().name != "spool":
            return real(handle, data)
        count.append(1)
        if len(count) > after:
            raise OSError(28, "No space left on device")
        return real(handle, data[: len(data) // 2])

    monkeypatch.setattr(spool_module.os, "write", write)
    monkeypatch.setattr(spool_module, "_BATCH", 4096)
    with pytest.raises(OSError, match="No space"):
        seal_response(job(tmp_path, source), lambda _c: b"m")
    assert names(tmp_path) == []


def test_jobs_are_checked(tmp_path, source):
    for cuts, recipients in [((), (RECIPIENT,)), ((Cut(source),) * 17, (RECIPIENT,)), ((Cut(source),), ("age1x",))]:
        with pytest.raises(ProtocolError):
            Job(cuts, recipients, tmp_path / "x")
    with pytest.raises(ProtocolError):
        seal_response(Job((Cut(source),), (), tmp_path / "x"), lambda _c: b"m")


# -- the child -----------------------------------------------------------------------------------------------------------


def test_a_child_that_is_killed_is_the_recordings_fault(tmp_path, source, monkeypatch):
    """A decoder's crash must not look like our defect, nor take the parent with it."""
    script = "import os,sys; sys.stdin.readline(); os.kill(os.getpid(), 11)"
    monkeypatch.setattr(worker.sys, "executable", str(_fake(tmp_path, script)))
    with pytest.raises(ProtocolError) as caught:
        pass_to_spool(job(tmp_path, source), lambda _c: b"m")
    assert caught.value.code == "clip.crashed"
    assert caught.value.evidence == "SIGSEGV"
    assert not decodes_safely(source)
    (answer,) = probe_each([source])
    assert answer[1].code == "clip.crashed"


def test_a_child_that_hangs_is_stopped(tmp_path, source, monkeypatch):
    monkeypatch.setattr(worker.sys, "executable", str(_fake(tmp_path, "import time; time.sleep(600)")))
    with pytest.raises(ProtocolError) as caught:
        pass_to_spool(job(tmp_path, source), lambda _c: b"m", seconds=0)
    assert caught.value.code == "clip.limits"


def test_a_defect_of_ours_is_told_as_such(tmp_path, source, monkeypatch):
    monkeypatch.setattr(worker.sys, "executable", str(_fake(tmp_path, "raise SystemExit('no such thing')")))
    with pytest.raises(RuntimeError, match="no such thing"):
        pass_to_spool(job(tmp_path, source), lambda _c: b"m")


def _fake(folder, script):
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{script}"\n')
    path.chmod(0o700)
    return path


def test_the_child_is_confined_and_its_parent_holds_the_key(tmp_path, source):
    """Nothing secret is in the child's arguments or environment, and its limits are in force while it waits."""
    seen = {}

    def manifest(_clips):
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        # Other tests of this process may keep children of their own.
        (child,) = [int(pid) for pid in children if b"kit.video.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        seen["limits"] = Path(f"/proc/{child}/limits").read_text()
        seen["status"] = Path(f"/proc/{child}/status").read_text()
        seen["environ"] = Path(f"/proc/{child}/environ").read_bytes()
        seen["cmdline"] = Path(f"/proc/{child}/cmdline").read_bytes()
        return b"m"

    if not Path("/proc/self/limits").exists():
        pytest.skip("needs /proc")
    os.environ["FAIRWITNESS_SECRET"] = "CANARY"
    try:
        pass_to_spool(job(tmp_path, source), manifest, seconds=77)
    finally:
        del os.environ["FAIRWITNESS_SECRET"]
    rows = {line[:26].strip(): line[26:].split()[1] for line in seen["limits"].splitlines()}
    assert rows["Max cpu time"] == "77"
    assert rows["Max address space"] == str(worker.MEMORY)
    assert rows["Max core file size"] == "0"
    assert "NoNewPrivs:\t1" in seen["status"]
    assert b"CANARY" not in seen["environ"] + seen["cmdline"]
    assert RECIPIENT.encode() not in seen["cmdline"]


@pytest.mark.parametrize("megabytes", [120, 220, 260])
def test_a_memory_limit_refuses_and_leaves_nothing(tmp_path, monkeypatch, megabytes):
    large = write_recording(tmp_path / "large.mp4", [np.zeros((1440, 2560, 3), np.uint8)] * 3, fps=5)
    script = tmp_path / "small.py"
    script.write_text(f"import fairwitness.kit.video.worker as w\nw.MEMORY = {megabytes} << 20\nraise SystemExit(w.main())\n")
    monkeypatch.setattr(worker.sys, "executable", str(_run(tmp_path, script)))
    work = job(tmp_path, large, transcode=True)
    with pytest.raises(ProtocolError) as caught:
        pass_to_spool(work, lambda _c: b"m")
    assert caught.value.code in ("clip.limits", "clip.crashed", "clip.undecodable")
    assert not work.spool.exists()
    assert not part_of(work.spool).exists()


def _run(folder, script):
    path = folder / "python"
    path.write_text(f"#!/bin/sh\nexec {sys.executable} {script}\n")
    path.chmod(0o700)
    return path


def test_one_child_probes_many_and_survives_a_bad_one(tmp_path, source):
    text = tmp_path / "text.mp4"
    text.write_text("x")
    answers = dict(probe_each([source, text, tmp_path / "gone.mp4", source]))
    assert isinstance(answers[source], Probe)
    assert answers[source].codec == "h264"
    assert answers[source].creation_time == 1762200000
    assert answers[source].seconds == pytest.approx(4.0)
    assert answers[source].has_audio
    assert (answers[text].code, answers[tmp_path / "gone.mp4"].code) == ("clip.format", "clip.unreadable")
    assert list(probe_each([])) == []


def test_decoding_is_checked_in_a_child(tmp_path, source):
    text = tmp_path / "text.mp4"
    text.write_text("x")
    assert decodes_safely(source)
    assert not decodes_safely(text)
    assert not decodes(text)


def test_a_killed_parent_takes_the_child_along(tmp_path, source):
    """Otherwise an orphan would go on writing beside the pass that starts again."""
    if sys.platform != "linux":
        pytest.skip("Linux only")
    code = (
        "import os,sys\nfrom pathlib import Path\nfrom fairwitness.kit.video.worker import *\n"
        "def m(c):\n"
        "    print(open(f'/proc/self/task/{os.getpid()}/children').read().split()[0], flush=True)\n"
        "    sys.stdin.readline()\n"
        f"pass_to_spool(Job((Cut(Path({str(source)!r})),), ({RECIPIENT!r},), Path({str(tmp_path / 'a.age')!r})), m)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    watch = os.pidfd_open(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    ready = spool_wait(watch)
    os.close(watch)
    parent.stdin.close()
    parent.stdout.close()
    assert ready
    assert not (tmp_path / "a.age").exists()


def spool_wait(handle):
    return bool(select.select([handle], [], [], 20)[0])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path):
    """Memory of a whole process that cuts, cleans, hashes and seals: at most 64 MB of its own, whatever the input's size.

    Its own is what no other process shares: how much of a library's file a kernel maps at a touch is the kernel's choice.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    code = (
        "import sys\nfrom pathlib import Path\nfrom fairwitness.kit.video.clip import Cut\n"
        "from fairwitness.kit.video.spool import Job, seal_response\n"
        "seal_response(Job((Cut(Path(sys.argv[1]), transcode=False),), (sys.argv[2],), Path(sys.argv[3])), lambda c: b'm')\n"
        "seen = dict(l.split(':') for l in open('/proc/self/status'))\n"
        "print(*(int(seen[name].split()[0]) / 1024 for name in ('VmHWM', 'RssFile')))\n"
    )
    peaks = []
    for megabytes in (5, 120):
        source = plant.write_long(tmp_path / f"{megabytes}.mp4", megabytes)
        assert source.stat().st_size > megabytes * 900_000
        command = [sys.executable, "-c", code, str(source), RECIPIENT, str(tmp_path / "a.age")]
        peak, shared = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
        peaks.append(peak)
        assert peak - shared <= 64
    assert peaks[1] - peaks[0] <= 8
