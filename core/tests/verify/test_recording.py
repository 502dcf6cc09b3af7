"""Where a clip comes from: the owner's proof, and every way in which it can lie."""
# ruff: noqa: PT017 - either a value or an error is right

import dataclasses
import functools
import hashlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from struct import pack

import pytest
from fairwitness_core.model import recording as core
from fairwitness_core.model.recording import ProofLink, RecordingProof
from fairwitness_core.tlog import merkle
from fairwitness_core.verify import cli
from fairwitness_core.verify.layout import Digest
from fairwitness_core.verify.recording import Found, locate, verify_recording
from fairwitness_core.verify.report import verdict
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tests.verify.bagworld import MemoryFiles
from core.tests.verify.recordingworld import AVCC, STEP, Cut, Recorded, box, full, movie, trak

pytestmark = pytest.mark.claim("P19")


@functools.cache
def world():
    return Cut()


def check(made, proof=None, originals=()):
    return verify_recording(MemoryFiles(made.files), proof or made.proof(), made.trust, originals)


def codes(report):
    return {problem.code for one in report.checks for problem in one.problems}


def failed(report):
    return [one.number for one in report.checks if one.state == "failed"]


def test_a_true_proof_holds_and_says_what_it_shows():
    report = check(world())
    assert report.ok, [(one.number, one.detail, one.problems) for one in report.checks if not one.ok]
    assert report.exit_code == 0
    assert [one.number for one in report.checks] == list(range(1, 10))
    details = {one.number: one.detail for one in report.checks}
    assert "nothing is left out" in details[7]
    assert "fit at each of 1 segment starts" in details[8]
    assert "sealed log" in details[9]
    assert verify_recording(MemoryFiles(world().files), world().proof(), None).exit_code == 3


def test_originals_are_compared_where_they_are_given():
    files = [(f"{n}.mp4", Digest.of(data)) for n, data in enumerate(world().recorded.files[1:3])]
    assert check(world(), originals=files).ok
    other = check(world(), originals=[*files, ("x.mp4", Digest.of(b"x"))])
    assert codes(other) == {"recording.original"}
    assert failed(other) == [10]


def links(change):
    made = list(world().proof().links)
    change(made)
    return tuple(made)


def replaced(index, **changes):
    return links(lambda made: made.__setitem__(index, dataclasses.replace(made[index], **changes)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (lambda: {"salt": "00" * 32}, {"recording.commitment"}),
        (lambda: {"head": "00" * 32}, {"recording.commitment", "recording.links"}),
        (lambda: {"before": "00" * 32}, {"recording.links"}),
        (lambda: {"orig_salt": "00" * 32}, {"recording.segments"}),
        (lambda: {"links": replaced(3, sha256="00" * 32)}, {"recording.links"}),
        (lambda: {"links": replaced(3, end=world().recorded.links[4].end + 1)}, {"recording.links"}),
        (lambda: {"links": replaced(2, pictures="00" * 32)}, {"recording.links"}),
        (lambda: {"links": links(lambda made: made.pop(2))}, {"recording.links"}),
        (lambda: {"links": links(lambda made: made.insert(2, made[1]))}, {"recording.links"}),
        (lambda: {"links": links(lambda made: made.reverse())}, {"recording.links", "recording.segments", "recording.pictures"}),
        (lambda: {"clip": "clip-02.mp4"}, {"recording.no_commitment"}),
        (lambda: {"clip": "clip-09.mp4"}, {"recording.clip"}),
    ],
)
def test_each_changed_part_of_a_proof_is_refused_by_its_own_code(changes, expected):
    report = check(world(), world().proof(**changes()))
    assert expected <= codes(report)
    assert report.exit_code == 1
    if len(expected) == 1:
        assert codes(report) == expected


def test_times_of_the_links_cannot_be_shifted():
    shifted = tuple(dataclasses.replace(link, start=link.start + 60_000, end=link.end + 60_000) for link in world().proof().links)
    assert {"recording.links", "recording.times"} <= codes(check(world(), world().proof(links=shifted)))


def test_a_changed_list_of_pictures_is_refused():
    whole = world().proof().pictures
    for spoil in (
        lambda blob: blob[32:],  # one picture was never recorded
        lambda blob: blob[32:64] + blob[:32] + blob[64:],
        lambda blob: b"\0" * 32 + blob[32:],
        lambda blob: blob + blob[:32],
    ):
        found = codes(check(world(), world().proof(pictures=(whole[0], spoil(whole[1])))))
        assert "recording.pictures" in found


def test_another_cameras_chain_is_refused():
    other = Cut(recorded=Recorded("other camera"))
    report = check(world(), other.proof())
    assert {"recording.commitment", "recording.segments", "recording.foreign"} <= codes(report)
    # Only the segments of another camera, under the true head.
    mixed = world().proof(links=(*other.proof().links[:2], *world().proof().links[2:]), pictures=other.proof().pictures)
    assert {"recording.links", "recording.segments", "recording.foreign"} <= codes(check(world(), mixed))


# What follows, the owner's own key signed: a home that tampers with its clips before it seals them.


def test_a_clip_without_one_of_its_pictures_is_refused():
    samples = Recorded().samples(Cut.FIRST, Cut.LENGTH)
    made = Cut(samples=samples[:30] + samples[31:])
    report = check(made)
    assert codes(report) == {"recording.left_out"}
    assert failed(report) == [7]
    (problem,) = next(one for one in report.checks if one.number == 7).problems
    assert problem.text == "1 picture of segment 2 left out behind the clip's picture 30"


def test_pictures_behind_the_first_one_are_told():
    samples = Recorded().samples(Cut.FIRST, Cut.LENGTH)
    steps = [STEP * 3, *[STEP] * (Cut.LENGTH - 3)]
    report = check(Cut(clip=movie(samples[:1] + samples[3:], steps=steps)))
    assert report.ok
    assert "Directly behind the first one, 2 pictures of segment 1" in next(c.detail for c in report.checks if c.number == 7)


def test_a_hole_behind_the_first_picture_is_no_excuse_for_hiding_what_happened():
    """One picture of before, then nothing until it is over: what an open group's first pictures excuse is a few of them."""
    recorded = Recorded(segments=8, pictures=40)
    samples = recorded.samples(40, 240)

    class Long(Cut):
        FIRST, LENGTH, USED = 40, 240, (1, 7)

    for missing, code in ((16, set()), (17, {"recording.left_out"}), (160, {"recording.left_out"})):
        steps = [STEP * (missing + 1), *[STEP] * (239 - missing)]
        made = Long(recorded=recorded, sealed_at=8, clip=movie(samples[:1] + samples[missing + 1 :], steps=steps))
        assert codes(check(made)) - {"recording.times"} == code, missing
    # Nor when the first picture stands at the end of its segment, and what is missing in the next.
    late = Long(
        recorded=recorded, sealed_at=8, changed={"start": recorded.start // 1000 + 7}, clip=movie(samples[39:40] + samples[50:])
    )
    assert "recording.left_out" in codes(check(late))


def test_lists_that_match_beside_the_digests_cost_no_time():
    """Found again and again at the wrong place, each time after comparing megabytes: a verifier would hang for hours."""
    same = b"\x07" * 32
    began = time.process_time()
    with pytest.raises(ProtocolError):
        locate((b"\x07" * 31 + b"\x08") * 40_000, b"\x01" + (b"\x07" * 31 + b"\x08") * 80_000 + b"\x02" * 31)
    assert locate(same * 9, same * 1000).end == 9
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "how",
    [
        {"more": [trak(2, 90_000, b"avc1", box(b"avcC", AVCC))]},
        {"offsets": [STEP * (59 - 2 * n) for n in range(60)]},
        {"edit": box(b"edts", full(b"elst", 0, pack(">IIIiI", 2, 1000, 0, STEP * 30, 1 << 16), pack(">IiI", 1000, 0, 1 << 16)))},
        {"edit": box(b"edts", full(b"elst", 0, pack(">IIiI", 1, 0, STEP * 30, 1 << 16)))},
    ],
)
def test_a_clip_that_shows_other_than_its_pictures_in_their_order_is_no_clip(how):
    """All samples are as recorded; what a player shows is not: another track, played backwards, an edit list that repeats."""
    samples = Recorded().samples(Cut.FIRST, Cut.LENGTH)
    report = check(Cut(clip=movie(samples, **how)))
    assert failed(report) == [7], codes(report)
    assert all(code.startswith("mp4.") for code in codes(report))


def test_swapped_and_foreign_pictures_are_refused():
    samples = Recorded().samples(Cut.FIRST, Cut.LENGTH)
    swapped = [*samples]
    swapped[7], swapped[8] = swapped[8], swapped[7]
    assert codes(check(Cut(samples=swapped))) == {"recording.order"}
    assert codes(check(Cut(samples=[*samples[:9], b"painted", *samples[10:]]))) == {"recording.foreign"}
    assert codes(check(Cut(clip=movie(samples, avcc=AVCC[:-1] + b"\0")))) == {"recording.foreign"}


def test_times_that_the_manifest_shifts_are_refused():
    start = Recorded().start // 1000 + 6
    for by in (-60, -5, 5, 60):
        made = Cut(changed={"start": start + by, "end": start + 6 + by})
        assert codes(check(made)) == {"recording.times"}
    assert codes(check(Cut(changed={"end": start + 12}))) == {"recording.times"}
    assert check(Cut(changed={"start": start - 1, "end": start + 7})).ok


def test_a_clip_inside_one_segment_says_how_exact_its_times_are():
    class Inside(Cut):
        FIRST, LENGTH, USED = 50, 20, (1, 2)

    report = check(Inside())
    assert report.ok
    assert "within one segment" in next(one.detail for one in report.checks if one.number == 8)


def test_a_converted_clip_says_plainly_that_its_pictures_were_not_compared():
    report = check(Cut(samples=[b"encoded anew"] * 60, changed={"transcoded": True}))
    assert report.ok
    assert "NOT COMPARED" in next(one.detail for one in report.checks if one.number == 7)
    # Who reads the last line alone must not take it for a clip whose pictures were compared.
    assert "VERIFIED" not in verdict(report)
    assert "NOT COMPARED" in verdict(report)
    assert "VERIFIED" in verdict(check(world()))
    assert "NOT COMPARED" in verdict(dataclasses.replace(report, pinned=False))
    outside = check(Cut(samples=[b"anew"] * 60, changed={"transcoded": True, "end": Recorded().start // 1000 + 90}))
    assert codes(outside) == {"recording.times"}


def test_a_recording_without_pictures_in_its_links_shows_the_originals_alone():
    recorded = Recorded()
    recorded.links = [dataclasses.replace(link, pictures="") for link in recorded.links]
    made = Cut(recorded=recorded, changed={"transcoded": True})
    assert check(made, made.proof(pictures=(b"", b""))).ok
    copied = Cut(recorded=recorded)
    assert codes(check(copied, copied.proof(pictures=(b"", b"")))) == {"recording.no_pictures"}


def test_a_chain_that_goes_on_after_the_witnesses_saw_it_is_refused():
    recorded = Recorded()
    recorded.links[4] = dataclasses.replace(recorded.links[4], end=recorded.links[4].end + 10**9)
    assert codes(check(Cut(recorded=recorded))) == {"recording.future"}


def test_a_broken_bag_fails_the_proof():
    files = dict(world().files)
    name = next(name for name in files if name.endswith("clip-02.mp4"))
    files[name] += b"x"
    report = verify_recording(MemoryFiles(files), world().proof(), world().trust)
    assert failed(report)[0] == 1
    assert "bag.hash" in codes(report)
    assert verify_recording(MemoryFiles({}), world().proof(), world().trust).exit_code == 1


# ---------------------------------------------------------------- formats


def test_the_formulas_are_what_the_page_says():
    def sha(data):
        return hashlib.sha256(data).digest()

    record, sample, salt = b"avcC", b"\0\0\0\1A", bytes(range(32))
    digest = core.sample_digest(sha(record), sample)
    assert digest == sha(b"fairwitness/sample" + sha(record) + sample)
    leaves = [sha(b"\0" + digest), sha(b"\0" + salt)]
    assert core.pictures_root([digest, salt]) == sha(b"\1" + leaves[0] + leaves[1])
    assert core.pictures_root([digest]) == merkle.leaf_hash(digest) == leaves[0]
    link = ProofLink(sha256="aa" * 32, pictures="bb" * 32, start=1, end=2, after="")
    head = b"\xaa" * 32 + b"\xbb" * 32 + (1).to_bytes(8, "big") + (2).to_bytes(8, "big")
    assert link.record(salt) == sha(salt + head)
    assert len(salt + head) == 112
    assert dataclasses.replace(link, pictures="").record(salt) == sha(salt + head[:32] + head[64:])
    assert core.chain_commitment(salt, record) == sha(b"fairwitness/chain" + salt + record).hex()
    assert core.original_commitment(salt, ["aa" * 32]) == sha(b"fairwitness/orig" + salt + b"\xaa" * 32).hex()
    both = sha(b"\xaa" * 32 + b"\xcc" * 32)
    assert core.original_commitment(salt, ["aa" * 32, "cc" * 32]) == sha(b"fairwitness/orig" + salt + both).hex()


def test_a_proof_is_read_in_one_way_only():
    data = world().proof().write()
    assert RecordingProof.read(data) == RecordingProof.read(data[:-1]) == world().proof()
    value = json.loads(data)
    for change in (
        {"type": "other"}, {"more": 1}, {"links": []}, {"pictures": []}, {"pictures": ["QUJD"]},
        {"pictures": value["pictures"] * 9},
        {"clip": "clip-1.mp4"}, {"salt": "xx" * 32}, {"links": [{**value["links"][0], "end": 0}]},
        {"links": [{**value["links"][0], "start": 2**60}]}, {"links": [{**value["links"][0], "after": "<b>"}]},
    ):  # fmt: skip
        with pytest.raises(ProtocolError):
            RecordingProof.read(json.dumps(value | change, separators=(",", ":"), sort_keys=True).encode())


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.tuples(st.integers(0, 5000), st.integers(0, 255)))
def test_no_bytes_make_the_reader_of_proofs_fall_over(spoil):
    data = bytearray(world().proof().write())
    if isinstance(spoil, tuple):
        data[spoil[0] % len(data)] = spoil[1]
    else:
        data = bytearray(spoil)
    try:
        RecordingProof.read(bytes(data))
    except ProtocolError:
        return


digests = st.integers(0, 5).map(lambda n: bytes([n]) * 32)


@settings(max_examples=300)
@given(st.lists(digests, min_size=1, max_size=8), st.lists(digests, max_size=20))
def test_pictures_are_found_exactly_where_they_can_be(clip, there):
    wanted, lists = b"".join(clip), b"".join(there)
    rest = iter(there)
    possible = all(one in rest for one in clip)
    windows = [i for i in range(len(there) - len(clip) + 1) if there[i : i + len(clip)] == clip]
    try:
        found = locate(wanted, lists)
    except ProtocolError as error:
        assert not possible, there
        assert error.code == ("recording.order" if set(clip) <= set(there) else "recording.foreign")
        return
    assert possible
    if windows:
        assert found == Found(windows[0], windows[0] + len(clip), ())
    else:
        assert found.holes
        assert found.end - found.first - sum(missing for _behind, _at, missing in found.holes) == len(clip)


def test_the_command(tmp_path, capsys):
    made = world()
    for name, data in made.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    trust, proof = tmp_path / "trust.json", tmp_path / "proof.json"
    original, bag = tmp_path / "original.mp4", tmp_path / "evidence"
    bag.mkdir()
    (tmp_path / "bag").rename(bag / "bag")
    (tmp_path / "seal").rename(bag / "seal")
    trust.write_bytes(made.trust.encode())
    proof.write_bytes(made.proof().write())
    original.write_bytes(made.recorded.files[1])
    base = ["recording", str(bag), str(proof)]
    assert cli.main([*base, "--trust", str(trust), "--original", str(original)]) == 0
    text = capsys.readouterr().out
    assert "VERIFIED. All 10 checks hold" in text
    assert cli.main(base) == 3
    assert cli.main([*base, "--trust", str(trust), "--original", str(trust)]) == 1
    assert cli.main([*base, "--trust", str(trust), "--json"]) == 0
    assert cli.main(["recording", str(bag), str(trust)]) == 2
    assert cli.main([*base, "--original", str(tmp_path / "none")]) == 2
    assert cli.main(["recording", str(bag)]) == 2
    assert "is no recording proof" in capsys.readouterr().err


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "jq", "xxd", "sha256sum"))), reason="needs jq, xxd and GNU coreutils")
def test_the_recipe_by_hand_gives_the_same(tmp_path):
    page = (Path(__file__).resolve().parents[3] / "docs" / "spec" / "recording.md").read_text()
    recipe = page.partition("## By hand")[2].partition("\n## ")[0]
    lines = [line[4:] for line in recipe.splitlines() if line.startswith("    ")]
    made = world()
    (tmp_path / "proof.json").write_bytes(made.proof().write())
    (tmp_path / "avcC.bin").write_bytes(AVCC)
    (tmp_path / "sample.bin").write_bytes(made.recorded.pictures[1][0])
    done = subprocess.run(  # noqa: S603
        ["bash", "-euc", "\n".join(lines)],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    commit, head, *digests, digest = done.stdout.split()
    assert commit == core.chain_commitment(made.secret("chain salt"), made.head)
    assert head == made.proof().head
    assert digests == [one.hex() for one in made.recorded.lists[1]]
    assert digest == digests[0]
