"""Cut, strip, hash, seal, hash, store: our one pass against the chain of tools with temporary files.

The chain is `ffmpeg -c copy` to a clean MP4, `sha256sum` of it, `age` to a file, `sha256sum` and `sync` of that: ours is
durable too. Both read the same recording, encrypt to the same recipient and are timed as whole processes, interleaved, after
the file system has come to rest. Tools that are missing are named.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from fairwitness_core.crypto import seal

from fairwitness.kit.video.boxes import check_clean
from fairwitness.kit.video.opening import open_sealed

RESULTS = Path(__file__).parent / "results"
# One pass in a process of its own, so that its peak memory is its own. The manifest is as long as a real one.
OURS = """
import json, sys
from pathlib import Path
from fairwitness.kit.video.clip import Cut
from fairwitness.kit.video.spool import Job, seal_response
source, recipient, spool = sys.argv[1:]
def peak():  # ru_maxrss would count the parent's memory before exec
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
base = peak()
done = seal_response(Job((Cut(Path(source)),), (recipient,), Path(spool)), lambda clips: bytes(2000))
print(json.dumps({"base": base, "rss": peak(), "sha256": done.sha256,
                  "size": done.size, "clip": done.clips[0].bytes, "frames": done.clips[0].seconds}))
"""


def make_recording(path, size):
    """Write an H.264 recording of about `size` bytes: ten seconds of noisy street, encoded once and repeated."""
    rng = np.random.default_rng(7)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 360, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size = Fraction(1, 25), Fraction(25), 50
    encoder.options = {"preset": "ultrafast", "b": "8000000", "x264-params": "nal-hrd=cbr:vbv-maxrate=8000:vbv-bufsize=8000"}
    encoder.bit_rate = 8_000_000
    encoder.open()
    packets = []
    for i in range(250):
        picture = rng.integers(0, 256, (360, 640, 3), dtype=np.uint8) // 3
        picture[:, (i * 5) % 600 : (i * 5) % 600 + 40] = 200
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = i, Fraction(1, 25)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    once = [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in packets]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 640, 360, "yuv420p", Fraction(1, 25)
        stream.codec_context.extradata = encoder.extradata
        written, turn = 0, 0
        while written < size:
            for pts, dts, key, data in once:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.duration = pts + turn * 250, dts + turn * 250, 1
                packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, key
                out.mux(packet)
                written += len(data)
            turn += 1


def timed(command, **kwargs):
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, **kwargs)
    return time.perf_counter() - began, done.stdout


def ours(source, recipient, folder):
    seconds, out = timed([sys.executable, "-c", OURS, str(source), recipient, str(folder / "ours.age")])
    return seconds, json.loads(out)


def chain(source, recipient, folder):
    """Run the chain of tools; return seconds and the highest peak memory of any of them, in KiB."""
    clean, sealed = folder / "clean.mp4", folder / "chain.age"
    ffmpeg = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(source), "-map", "0:v:0", "-c", "copy", "-an", "-map_metadata", "-1"]
    ffmpeg += ["-bsf:v", "filter_units=remove_types=6|9|12", "-fflags", "+bitexact", "-movflags", "frag_keyframe+empty_moov"]
    seconds = timed([*ffmpeg, str(clean)])[0]
    seconds += timed(["sha256sum", str(clean)])[0]
    seconds += timed(["age", "-r", recipient, "-o", str(sealed), str(clean)])[0]
    seconds += timed(["sha256sum", str(sealed)])[0]
    seconds += timed(["sync", str(sealed)])[0]
    return seconds, clean.stat().st_size


def measure(size, rounds, folder):
    secret, recipient = seal.new_identity()
    source = folder / "recording.mp4"
    make_recording(source, size)
    megabytes = source.stat().st_size / 1e6
    tools = [tool for tool in ("ffmpeg", "age", "sha256sum") if shutil.which(tool) is None]
    mine, theirs, facts, peer = [], [], {}, 0
    for _ in range(rounds):
        (folder / "ours.age").unlink(missing_ok=True)
        os.sync()
        seconds, facts = ours(source, recipient, folder)
        mine.append(seconds)
        if not tools:
            for name in ("clean.mp4", "chain.age"):
                (folder / name).unlink(missing_ok=True)
            os.sync()
            seconds, peer = chain(source, recipient, folder)
            theirs.append(seconds)
    check(folder / "ours.age", secret, facts)
    row = {
        "megabytes": round(megabytes, 1),
        "ours_s": spread(mine),
        "ours_MB_per_s": round(megabytes / statistics.median(mine), 1),
        "ours_rss_MB": round(facts["rss"] / 1024, 1),
        "ours_rss_after_import_MB": round(facts["base"] / 1024, 1),
        "ours_clip_bytes": facts["clip"],
    }
    if tools:
        row["peer"] = f"skipped: {', '.join(tools)} not installed"
    else:
        row |= {
            "chain_s": spread(theirs),
            "chain_MB_per_s": round(megabytes / statistics.median(theirs), 1),
            "chain_clip_bytes": peer,
            "ratio": round(statistics.median(theirs) / statistics.median(mine), 2),
        }
    return row


def check(sealed, secret, facts):
    """See that what was timed is a whole, clean, playable response and that the hash is the file's."""

    class Sink:
        def __init__(self, _name):
            self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the object

        def write(self, data):
            self.file.write(data)

        def close(self, _digest):
            Sink.last = self.file

    digest = hashlib.sha256()
    with sealed.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    assert digest.hexdigest() == facts["sha256"], "the pass's hash is not the spool's"
    open_sealed(sealed, [secret], Sink)
    assert check_clean(Sink.last) == [], "the clip is not clean"


def spread(times):
    return {"median": round(statistics.median(times), 3), "min": round(min(times), 3), "max": round(max(times), 3)}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also a recording of 2 GB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    args = parser.parse_args(argv)
    rows = []
    for size, rounds in [(args.megabytes, args.rounds), *([(2000, max(args.rounds // 2, 1))] if args.large else [])]:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(size * 1_000_000, rounds, Path(folder)))
    print(f"{'MB':>8} {'ours s':>8} {'MB/s':>7} {'RSS MB':>7} {'chain s':>8} {'MB/s':>7} {'ratio':>6}")
    for row in rows:
        peer = row.get("chain_s", {}).get("median", "-")
        print(
            f"{row['megabytes']:>8} {row['ours_s']['median']:>8} {row['ours_MB_per_s']:>7} {row['ours_rss_MB']:>7} "
            f"{peer:>8} {row.get('chain_MB_per_s', '-'):>7} {row.get('ratio', '-'):>6} {row.get('peer', '')}"
        )
    print("target: ratio >= 1.6, RSS <= 64 MB at either size; no plaintext file is written by ours")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "clip_pass.json").write_text(json.dumps({"benchmark": "clip_pass", "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
