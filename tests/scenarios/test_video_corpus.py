"""Every real recording at hand is made into a clean clip or refused cleanly, within limits."""

import os
import time
from pathlib import Path

import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.kit.video.boxes import check_clean
from fairwitness.kit.video.clip import Cut
from fairwitness.kit.video.opening import decodes, open_sealed
from fairwitness.kit.video.probe import Probe
from fairwitness.kit.video.worker import Job, pass_to_spool, probe_each

pytestmark = [pytest.mark.testdata, pytest.mark.claim("P10")]
DATA = Path(os.environ.get("FAIRWITNESS_TEST_DATA", Path(__file__).resolve().parents[2] / "../shared/data"))
SUFFIXES = {".mp4", ".avi", ".mkv", ".mov", ".ts", ".gif", ".webm", ".json", ".m4v"}
FILES = sorted(p for folder in ("video", "c2pa") for p in (DATA / folder).rglob("*") if p.suffix in SUFFIXES)
REFUSALS = {"clip.format", "clip.undecodable", "clip.no_video", "clip.still", "clip.codec", "clip.empty", "clip.limits"}
SECRET, RECIPIENT = seal.new_identity()


class Sink:
    def __init__(self, path):
        self.file = path.open("wb")

    def write(self, data):
        self.file.write(data)

    def close(self, digest):
        self.file.close()


@pytest.mark.skipif(not FILES, reason="no test data: set FAIRWITNESS_TEST_DATA")
@pytest.mark.parametrize("transcode", [None, True])
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_accepted_converted_or_refused(tmp_path, path, transcode):
    began = time.monotonic()
    job = Job((Cut(path, mute=False, transcode=transcode),), (RECIPIENT,), tmp_path / "a.age")
    refused = None
    try:
        result = pass_to_spool(job, lambda _clips: b"manifest", seconds=60)
    except ProtocolError as error:
        refused = error
    assert time.monotonic() - began < 60
    if refused is not None:
        assert refused.code in REFUSALS, refused
        assert not decodes(path), f"{path.name} decodes, so it may not be refused: {refused}"
        assert list(tmp_path.iterdir()) == []
        return
    clip = tmp_path / "clip.mp4"
    open_sealed(job.spool, [SECRET], lambda _name: Sink(clip))
    with clip.open("rb") as stream:
        assert check_clean(stream) == []
    assert decodes(clip)
    assert result.clips[0].seconds > 0


@pytest.mark.skipif(not FILES, reason="no test data: set FAIRWITNESS_TEST_DATA")
def test_probing_all_of_them():
    for path, answer in probe_each(FILES):
        if isinstance(answer, Probe):
            assert answer.width > 0 or not decodes(path)
        else:
            assert answer.code in REFUSALS
            assert not decodes(path)
