"""Recordings joined, trimmed, muted, sealed and opened: what ties the clip to its camera's chain survives, and no lie does."""
# ruff: noqa: PLC0415, F811 - fixtures are imported by name; Django loads late

import dataclasses
import hashlib
import json
import threading
from pathlib import Path

import pytest
from fairwitness_core.model import recording as core
from fairwitness_core.model.recording import RecordingProof
from fairwitness_core.model.response import Manifest, verify_responder
from fairwitness_core.verify.layout import Digest
from fairwitness_core.verify.recording import verify_recording

from core.tests.verify.bagworld import MemoryFiles, World
from fairwitness.home.adapters.recorder import Recorder as Process
from fairwitness.home.adapters.task import Task
from fairwitness.home.models import AnswerClip, Recording, Request
from fairwitness.home.services import answers, delivery, matching, provenance, recorders, sharing, sources, tokens
from fairwitness.home.services.answers import ClipChoice
from fairwitness.kit.errors import Refused
from tests.unit.home.conftest import folders, home, hub, lone, moment, sent, world  # noqa: F401 - fixtures
from tests.unit.home.test_sharing import open_response
from tests.unit.media.pieces import footage, split

pytestmark = [pytest.mark.slow, pytest.mark.claim("P19")]
LENGTH = 2.0


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """Ten seconds of footage with sound, in five segments that a recorder could have written."""
    whole = footage(tmp_path_factory.mktemp("whole") / "whole.mp4")
    return [path.read_bytes() for path, _ in split(whole, tmp_path_factory.mktemp("cut"), LENGTH)]


def record(home, row, cut, start, *, first="start"):
    """Let the recorder's own code finish and chain segments."""
    task = Task(address=row.address, folder=row.source.folder, chain=str(recorders.chain(row).root))
    process = Process(task, threading.Event())
    process._codec, process.reason = "h264", first
    for number, data in enumerate(cut):
        part = process.parts / f"{number}.mp4"
        part.write_bytes(data)
        begin = round(start * 1000) + round(number * LENGTH * 1000)
        process._link(part, begin, begin + round(LENGTH * 1000))
    sources.scan(home.now)


@pytest.fixture
def asked(home, cut):
    """A camera that was recorded for ten seconds in the window of a live request, and another one beside it."""
    home.row = recorders.add_rtsp(home.porch.pk, "rtsp://192.168.1.20:554/stream")
    home.begin = home.world.start - 5000
    record(home, home.row, cut, home.begin + 0.25)
    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    return home


def send(home, choices=None):
    answer = answers.draft(Request.objects.get().pk)
    if choices is not None:
        answers.set_clips(answer.pk, choices)
    answers.confirm(answer.pk, at_once=True)
    delivery.seal_due(home.now)
    assert delivery.upload_due(home.now) == 1
    answer.refresh_from_db()
    opened, clips = open_response(home, answer.response_id)
    return answer, verify_responder(Manifest, opened.manifest), clips


class Bag(World):
    """An agency's bag that holds the response of a home, exactly as it was opened."""

    request_id = property(lambda self: self.manifest.request_id, lambda self, value: None)

    def __init__(self, answer, manifest, clips):
        self.answer, self.manifest, self.clips = answer, manifest, clips
        super().__init__(on={"manifest": lambda made: manifest if made.response_id == manifest.response_id else made})

    def key(self, label):
        return tokens.key_of(self.answer.token) if label == "response Ortiz" else super().key(label)

    def make_clip(self, label):
        return self.clips[f"clip-{int(label[-1]) + 1:02}.mp4"] if label.startswith("Ortiz") else super().make_clip(label)


def verify(bag, proof, originals=()):
    return verify_recording(MemoryFiles(bag.files), proof, bag.trust, originals)


def codes(report):
    return {problem.code for check in report.checks for problem in check.problems}


def numbers():
    return list(Recording.objects.order_by("start").values_list("pk", flat=True))


def test_a_draft_joins_what_was_recorded_without_a_gap(asked):
    answer, manifest, _clips = send(asked)
    (clip,) = manifest.clips
    assert (clip.start, clip.end, clip.muted, clip.transcoded) == (asked.begin, asked.begin + 10, True, False)
    (row,) = answer.clips.all()
    assert row.pieces.count() == 4
    assert len(sharing.reveal_original(row.pk).originals) == 5
    assert sharing.reveal_original(row.pk).unchanged
    hashes = [link.sha256 for link in recorders.chain(asked.row).read()[0]]
    assert clip.orig_commit == core.original_commitment(bytes(row.salt), hashes)
    assert len(list(asked_originals())) == 5
    assert not manifest.gaps or all(gap.end <= asked.begin or gap.start >= asked.begin + 10 for gap in manifest.gaps)


def asked_originals():
    from fairwitness.home.config import Config
    from fairwitness.kit import config

    return config.current(Config).folder("originals").iterdir()


def test_a_trimmed_and_muted_clip_is_proven_and_every_lie_about_it_refused(asked, cut, tmp_path):
    _one, two, three, _four, five = numbers()
    # From a key frame in the second segment to the middle of the third; and something else, so that a bag has two clips.
    answer, manifest, clips = send(asked, [ClipChoice(two, 1.0, 3.0, through=three), ClipChoice(five, 0.0, None, mute=False)])
    assert [clip.transcoded for clip in manifest.clips] == [False, False]
    assert len({clip.chain_commit for clip in manifest.clips}) == 2  # a salt of its own for each
    record(asked, asked.row, cut[:2], asked.begin + 60, first="camera")  # recording goes on

    shown = provenance.reveal(answer.pk, "1", tmp_path / "proof.json", tmp_path)
    assert (shown.segments, shown.links) == (2, 4)
    assert "no picture" in shown.sentence
    proof = RecordingProof.read((tmp_path / "proof.json").read_bytes())
    originals = [(name, Digest.of(Path(name).read_bytes())) for name in shown.originals]
    bag = Bag(answer, manifest, clips)
    report = verify(bag, proof, originals)
    assert report.ok, [(check.number, check.detail, check.problems) for check in report.checks if not check.ok]
    details = {check.number: check.detail for check in report.checks}
    assert details[7] == "All 50 pictures of the clip were recorded so: nothing is left out between first and last."
    assert "fit at each of 1 segment starts" in details[8]
    assert details[10].startswith("2 of 2 segments given")
    last = provenance.reveal(answer.pk, "clip-02.mp4", tmp_path / "other.json")
    assert (last.segments, last.links) == (1, 1)
    assert verify(bag, RecordingProof.read((tmp_path / "other.json").read_bytes())).ok

    links, lists = list(proof.links), list(proof.pictures)
    other = dataclasses.replace(links[1], sha256=hashlib.sha256(b"another camera").hexdigest())
    for changes, expected in (
        ({"salt": "00" * 32}, "recording.commitment"),
        ({"links": (links[0], other, *links[2:])}, "recording.links"),
        ({"links": (links[0], dataclasses.replace(links[1], end=links[1].end + 1), *links[2:])}, "recording.links"),
        ({"links": tuple(dataclasses.replace(x, start=x.start + 9000, end=x.end + 9000) for x in links)}, "recording.times"),
        ({"pictures": (lists[0], lists[1][32:])}, "recording.pictures"),
        ({"pictures": (lists[0], lists[1][32:64] + lists[1][:32] + lists[1][64:])}, "recording.pictures"),
        ({"orig_salt": "00" * 32}, "recording.segments"),
    ):
        assert expected in codes(verify(bag, dataclasses.replace(proof, **changes))), expected

    # A clip of which one picture was taken out or painted over, signed by the very home that made it.
    import io

    from fairwitness_core.verify.mp4 import read_clip

    from core.tests.verify.test_recording import movie

    record_of = read_clip(io.BytesIO(clips["clip-01.mp4"])).record
    samples = [bytes(packet) for packet in _packets(clips["clip-01.mp4"])]
    for spoiled, expected in (
        (samples[:20] + samples[21:], "recording.left_out"),
        ([*samples[:20], samples[21], samples[20], *samples[22:]], "recording.order"),
        ([*samples[:20], samples[20][:-1] + b"\0", *samples[21:]], "recording.foreign"),
    ):
        data = movie(spoiled, avcc=record_of, steps=[3600] * len(spoiled))
        forged = dataclasses.replace(manifest.clips[0], sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        lie = dataclasses.replace(manifest, clips=(forged, manifest.clips[1]))
        assert codes(verify(Bag(answer, lie, {**clips, "clip-01.mp4": data}), proof)) == {expected}


def _packets(data):
    import io

    import av

    with av.open(io.BytesIO(data)) as clip:
        return [packet for packet in clip.demux(video=0) if packet.size]


def test_a_converted_clip_shows_its_originals_alone(asked, tmp_path):
    two, three = numbers()[1:3]
    answer, manifest, clips = send(asked, [ClipChoice(two, 0.52, 3.0, through=three), ClipChoice(two, 0.0, None)])
    assert [clip.transcoded for clip in manifest.clips] == [True, False]
    provenance.reveal(answer.pk, "1", tmp_path / "proof.json")
    report = verify(Bag(answer, manifest, clips), RecordingProof.read((tmp_path / "proof.json").read_bytes()))
    assert report.ok
    assert "NOT COMPARED" in next(check.detail for check in report.checks if check.number == 7)


def test_what_does_not_follow_is_not_joined(asked, cut):
    record(asked, asked.row, cut[:2], asked.begin + 40, first="camera")
    answer = answers.draft(Request.objects.get().pk)
    assert [clip.pieces.count() for clip in answer.clips.all()] == [4, 1]
    assert answers.left_out(answer) == 0
    first, *_rest, last = numbers()
    for choice in (ClipChoice(first, 0.0, None, through=last), ClipChoice(last, 0.0, None, through=first)):
        with pytest.raises(Refused, match=r"answer\.joined"):
            answers.set_clips(answer.pk, [choice])
    with pytest.raises(Refused, match=r"answer\.cut"):
        answers.set_clips(answer.pk, [ClipChoice(first, 2.5, None, through=numbers()[1])])
    (camera,) = matching.own_clips(answer.request)
    assert [len(run.pieces) for run in camera.runs] == [5, 2]


def test_a_chain_that_was_tampered_with_is_not_committed_to_nor_shown(asked, tmp_path):
    (day,) = recorders.chain(asked.row).days()
    lines = day.read_bytes().splitlines(keepends=True)
    value = json.loads(lines[-1]) | {"end": json.loads(lines[-1])["end"] + 1}
    whole = b"".join(lines)
    day.write_bytes(b"".join(lines[:-1]) + json.dumps(value, separators=(",", ":"), sort_keys=True).encode() + b"\n")
    answer, manifest, _clips = send(asked, [ClipChoice(numbers()[0], 0.0, None)])
    assert manifest.clips[0].chain_commit == ""
    with pytest.raises(Refused, match=r"recording\.none"):
        provenance.reveal(answer.pk, "1", tmp_path / "x.json")
    day.write_bytes(whole)
    answer, manifest, _clips = send(asked, [ClipChoice(numbers()[0], 0.0, None)])
    assert manifest.clips[0].chain_commit
    day.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(Refused, match=r"recording\.chain"):
        provenance.reveal(answer.pk, "1", tmp_path / "x.json")
    day.write_bytes(whole)
    (tmp_path / "x.json").write_text("mine")
    with pytest.raises(Refused, match=r"recording\.exists"):
        provenance.reveal(answer.pk, "1", tmp_path / "x.json")
    for clip in ("2", "clip-09.mp4", ""):
        with pytest.raises(Refused, match="unknown"):
            provenance.reveal(answer.pk, clip, tmp_path / "y.json")
    row = AnswerClip.objects.get(answer=answer)
    sharing.original_of(row).write_bytes(b"changed")
    with pytest.raises(Refused, match=r"recording\.original"):
        provenance.reveal(answer.pk, "1", tmp_path / "y.json")
