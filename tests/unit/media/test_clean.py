"""T20: what leaves is pictures and sound, and nothing else."""

import io
import subprocess
from pathlib import Path
from struct import pack

import av
import numpy as np
import pytest
from fairwitness_core.wire.errors import ProtocolError
from PIL import Image

from fairwitness.demo.footage import Passing, make_clip
from fairwitness.kit.video import nal
from fairwitness.kit.video.boxes import check_clean
from fairwitness.kit.video.clip import ClipPass, Cut

from . import plant

pytestmark = pytest.mark.claim("P10")


def cut(path, **kwargs):
    done = ClipPass(Cut(path, **kwargs))
    return b"".join(done), done.facts


def found(data):
    return check_clean(io.BytesIO(data))


def frames(data):
    with av.open(io.BytesIO(data)) as container:
        return [round(frame.time, 3) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return plant.with_everything(tmp_path_factory.mktemp("planted") / "everything.mp4")


@pytest.fixture(scope="module")
def clean(planted):
    return cut(planted, mute=False)[0]


@pytest.mark.parametrize("transcode", [False, True])
@pytest.mark.parametrize("mute", [False, True])
def test_no_planted_trace_comes_out(planted, transcode, mute):
    source = planted.read_bytes()
    assert source.count(plant.CANARY) > 50
    with av.open(str(planted)) as container:
        assert [s.type for s in container.streams] == ["video", "audio", "data"]  # the positions really are a track
    data, facts = cut(planted, mute=mute, transcode=transcode)
    for trace in (plant.CANARY, b"37.8715", b"x264", b"Lavc", b"Lavf", b"xmp", b"gpmd", b"udta", b"Handler"):
        assert trace not in data
    assert found(data) == []
    assert facts.tracks == (("video",) if mute else ("video", "audio"))
    assert facts.transcoded is transcode
    assert len(frames(data)) == facts.frames == 50


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi", "mov", "flv", "h264"])
def test_other_containers(tmp_path, suffix):
    path = plant.write(tmp_path / f"a.{suffix}", bframes=0, sound=suffix not in ("h264", "avi"))
    data, facts = cut(path, mute=False)
    assert plant.CANARY not in data
    assert found(data) == []
    assert facts.frames >= 49
    assert len(frames(data)) == facts.frames
    assert facts.seconds == pytest.approx(2.0, abs=0.1)


def test_the_demo_street_is_cleaned(tmp_path):
    path = make_clip(tmp_path / "porch.mp4", seed=3, seconds=3, start=1762200000, camera="Porch")
    source = path.read_bytes()
    assert b"loci" in source
    assert b"FW00000003" in source
    data, facts = cut(path, mute=False)
    for trace in (b"loci", b"FW0", b"Porch", b"x264", b"Lav"):
        assert trace not in data
    assert found(data) == []
    assert facts.seconds == pytest.approx(3.0, abs=0.05)
    with pytest.raises(ValueError, match="DEMO"):
        Passing("car", 0.0, 1.0, "red", "7ABC123")


# -- the check must be able to fail --------------------------------------------------------------------------------------


def test_the_walker_refuses_the_source(planted):
    said = {violation.what for violation in found(planted.read_bytes())}
    assert "not on the allow-list" in said
    assert "a time of making, or bytes in reserved fields" in said


def grown(data, path, extra):
    """Append `extra` to the box that `path` names and make every box around it longer."""
    out = bytearray(data)
    begin, end, at = 0, len(data), 0
    for kind in path:
        at = begin
        while data[at + 4 : at + 8] != kind:
            at += int.from_bytes(data[at : at + 4], "big")
            assert at < end
        size = int.from_bytes(data[at : at + 4], "big")
        out[at : at + 4] = pack(">I", size + len(extra))
        begin, end = at + 8, at + size
        begin += {b"stsd": 8, b"avc1": 78}.get(kind, 0)
    out[end:end] = extra
    return bytes(out)


def patched(data, kind, offset, value):
    at = data.index(kind) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


def mdat_size(data):
    at = data.index(b"mdat")
    return int.from_bytes(data[at - 4 : at], "big")


ENTRY = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]
MUTANTS = {
    "udta in moov": lambda d: grown(d, [b"moov"], plant.udta()),
    "keys in moov": lambda d: grown(d, [b"moov"], plant.keys()),
    "meta in trak": lambda d: grown(d, [b"moov", b"trak"], plant.keys()),
    "a track of positions": lambda d: grown(d, [b"moov"], plant.gpmd(0, 0)),
    "XMP at the end": lambda d: d + plant.xmp(),
    "free space": lambda d: d + plant.box(b"free", plant.CANARY),
    "a second mdat": lambda d: d + plant.box(b"mdat", plant.CANARY),
    "colour box": lambda d: grown(d, ENTRY, plant.box(b"colr", plant.CANARY)),
    "bytes behind avcC": lambda d: grown(d, [*ENTRY, b"avcC"], b"\1\2\3\4\5"),
    "a handler's name": lambda d: grown(d, [b"moov", b"trak", b"mdia", b"hdlr"], b"Camera\0"),
    "time in mvhd": lambda d: patched(d, b"mvhd", 4, b"\xe0\0\0\1"),
    "time in tkhd": lambda d: patched(d, b"tkhd", 8, b"\xe0\0\0\1"),
    "time in mdhd": lambda d: patched(d, b"mdhd", 4, b"\xe0\0\0\1"),
    "language": lambda d: patched(d, b"mdhd", 20, b"\x15\xc7"),
    "an encoder's name": lambda d: patched(d, b"avc1", 42, b"\4x264"),
    "a brand": lambda d: patched(d, b"ftyp", 0, b"qt  "),
    "a reference": lambda d: patched(d, b"url ", 0, b"\0\0\0\0"),
    "a long edit": lambda d: patched(d, b"elst", 12, b"\x00\xff\xff\xff"),
    "SEI for a slice": lambda d: patched(d, b"mdat", 4, bytes((d[d.index(b"mdat") + 8] & 0xE0 | 6,))),
    "an odd length": lambda d: patched(d, b"mdat", 0, b"\0\0\0\0"),
    "encoder's name in sound": lambda d: patched(d, b"mdat", mdat_size(d) - 20, b"Lavc62"),
    "cut short": lambda d: d[:-1],
    "one byte more": lambda d: d + b"\0",
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_walker_finds_each_trace(clean, name):
    assert found(clean) == []
    assert found(MUTANTS[name](clean)) != []


def test_unowned_bytes_in_mdat_are_found(clean):
    at = clean.rindex(b"mdat") - 4
    size = int.from_bytes(clean[at : at + 4], "big")
    assert at + size == len(clean)
    assert found(clean[:at] + pack(">I", size + 6) + clean[at + 4 :] + plant.CANARY) != []


def test_a_cleaner_that_keeps_sei_is_caught(planted, monkeypatch):
    monkeypatch.setattr(nal, "SLICES", nal.SLICES | {6})
    data, _ = cut(planted)
    assert plant.CANARY in data
    assert any("SEI" in violation.what for violation in found(data))


@pytest.mark.parametrize("kind", [9, 12, 14, 20, 31])
def test_a_cleaner_that_keeps_other_units_is_caught(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(plant, "sei", lambda: bytes((kind, 1, 2, 3, 128)))
    path = plant.write(tmp_path / "a.mp4", count=5, sound=False)
    assert found(cut(path)[0]) == []
    monkeypatch.setattr(nal, "SLICES", nal.SLICES | {kind})
    assert any(f"type {kind} " in violation.what for violation in found(cut(path)[0]))


@pytest.mark.parametrize("data", [b"", b"x", bytes(64), plant.noise(4096), b"\0\0\0\1mdat" + b"\xff" * 8, b"\0\0\0\x08moov" * 9])
def test_the_walker_survives_anything(data):
    assert found(data) != []


def test_the_walker_survives_every_damage(clean):
    rng = plant.random.Random(5)
    for _ in range(400):
        data = bytearray(clean[: rng.randrange(len(clean))] if rng.random() < 0.3 else clean)
        for _ in range(3):
            if data:
                data[rng.randrange(min(len(data), 1400))] = rng.randrange(256)
        found(bytes(data))


# -- what a cut is -------------------------------------------------------------------------------------------------------


def test_a_copied_cut_declares_where_it_truly_begins(tmp_path):
    path = plant.write(tmp_path / "a.mp4", count=250)
    data, facts = cut(path, start=3.5, end=6.2)
    assert not facts.transcoded
    assert facts.start == pytest.approx(3.0)
    assert 6.0 < facts.end <= 6.2
    times = frames(data)
    assert times[0] == 0.0
    assert times == sorted(times)
    assert len(times) == facts.frames == round(facts.seconds * 25)


def test_an_exact_cut_is_encoded_again(tmp_path):
    path = plant.write(tmp_path / "a.mp4", count=250)
    data, facts = cut(path, start=3.52, end=6.2, transcode=True)
    assert (facts.start, facts.end) == (pytest.approx(3.52), pytest.approx(6.2, abs=0.001))
    assert len(frames(data)) == facts.frames == 67


def test_a_far_key_frame_is_not_sent(tmp_path):
    """An owner who cuts at ten seconds did not agree to send the first ten."""
    path = plant.write(tmp_path / "a.mp4", count=300, gop=300)
    _, facts = cut(path, start=10.0)
    assert facts.transcoded
    assert facts.start == pytest.approx(10.0)
    with pytest.raises(ProtocolError) as caught:
        cut(path, start=10.0, transcode=False)
    assert caught.value.code == "clip.not_copyable"


def test_pictures_hidden_by_an_edit_list_stay_hidden(tmp_path):
    path = plant.write(tmp_path / "a.mp4", count=100, shift=-30, bframes=0, sound=False)
    with av.open(str(path)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    assert shown == 70
    data, facts = cut(path)
    assert facts.transcoded
    assert len(frames(data)) == 70


def test_sound_stays_with_the_picture(tmp_path):
    path = plant.write(tmp_path / "a.mp4", count=250)
    for kwargs in ({"start": 3.5, "end": 6.2}, {"start": 3.52, "end": 6.2, "transcode": True}):
        data, facts = cut(path, mute=False, **kwargs)
        with av.open(io.BytesIO(data)) as container:
            heard = [(float(f.pts * f.time_base), f.samples / f.sample_rate) for f in container.decode(audio=0)]
        assert heard[0][0] < 0.05
        assert heard[-1][0] + heard[-1][1] == pytest.approx(facts.seconds, abs=0.09)


def test_rotation_is_kept(tmp_path):
    path = plant.rotated(plant.write(tmp_path / "a.mp4", sound=False))
    with av.open(str(path)) as container:
        turned = next(container.decode(video=0)).rotation
    assert turned != 0
    for transcode in (False, True):
        data, _ = cut(path, transcode=transcode)
        assert found(data) == []
        with av.open(io.BytesIO(data)) as container:
            assert next(container.decode(video=0)).rotation == turned


def test_a_truncated_recording_gives_what_there_is(tmp_path):
    path = plant.write(tmp_path / "a.ts", count=250, sound=False)
    path.write_bytes(path.read_bytes()[:-5000])
    data, facts = cut(path)
    assert facts.frames > 100
    assert found(data) == []


def test_another_program_plays_the_clip(tmp_path, clean):
    """Chromium and ffmpeg share this demuxer; its complaints are ours."""
    try:
        subprocess.run(["ffmpeg", "-version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("ffmpeg is not installed")
    path = tmp_path / "clip.mp4"
    path.write_bytes(clean)
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-f", "null", "-"], capture_output=True, check=True
    )
    assert done.stderr == b""


# -- refusals ------------------------------------------------------------------------------------------------------------


def refusal(path, **kwargs):
    with pytest.raises(ProtocolError) as caught:
        cut(path, **kwargs)
    return caught.value.code


def test_what_is_no_recording_is_refused_by_name(tmp_path):
    assert refusal(tmp_path / "nothing.mp4") == "clip.unreadable"
    text = tmp_path / "text.mp4"
    text.write_text("hello")
    assert refusal(text) == "clip.format"
    for name in ("still.jpg", "still.png", "still.gif", "still.mp4"):
        Image.new("RGB", (64, 64), "red").save(tmp_path / name, format="JPEG" if name.endswith("mp4") else None)
        assert refusal(tmp_path / name) in ("clip.still", "clip.format")
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as out:
        voice = out.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        out.mux(voice.encode(frame))
        out.mux(voice.encode(None))
    assert refusal(sound) == "clip.no_video"


def test_a_playlist_reaches_nothing(tmp_path):
    """A file that names other files or addresses must not make the reader open them."""
    secret = plant.write(tmp_path / "secret.ts", count=30, sound=False)
    lists = {
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile {secret}\n",
        "remote.m3u8": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        assert refusal(tmp_path / name) == "clip.format"


def test_a_name_cannot_be_a_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(Path("http://127.0.0.1:9/a.mp4")) == "clip.unreadable"
    assert refusal(Path("concat:a|b")) == "clip.unreadable"


def test_cuts_and_cancelling(tmp_path):
    path = plant.write(tmp_path / "a.mp4", sound=False)
    for bad in ({"start": 2.0, "end": 1.0}, {"start": -1.0}, {"end": 0.0}, {"start": float("nan")}):
        assert refusal(path, **bad) == "clip.cut"
    assert refusal(path, start=60.0) == "clip.empty"
    calls = []
    with pytest.raises(ProtocolError) as caught:
        list(ClipPass(Cut(path), cancelled=lambda: len(calls) > 3 or calls.append(1)))
    assert caught.value.code == "clip.cancelled"
    with pytest.raises(RuntimeError):
        _ = ClipPass(Cut(path)).facts


def test_a_damaged_recording_is_made_or_refused(tmp_path):
    source = plant.write(tmp_path / "a.mp4").read_bytes()
    rng = plant.random.Random(11)
    made = refused = 0
    for number in range(60):
        data = bytearray(source)
        for _ in range(rng.choice([1, 20, 400])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(data)
        try:
            out, _ = cut(path, mute=False)
        except ProtocolError:
            refused += 1
        else:
            assert found(out) == []
            made += 1
    assert made > 0
    assert made + refused == 60
