"""T18: any change of an exported bag is found and named; what a forger could rebuild fails under pinned keys."""

import base64
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fairwitness_core.model.custody import Subject
from fairwitness_core.verify import intake as intakes
from fairwitness_core.verify import layout, report
from fairwitness_core.verify.bag import verify_bag
from fairwitness_core.verify.checks import BagReport, Recorder
from fairwitness_core.wire import canonical, dsse
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tests.verify.bagworld import REQUEST_AT, MemoryFiles, World, relist

GOOD = World()
TRUST = GOOD.trust


def verify(files, trust=TRUST):
    return verify_bag(MemoryFiles(files), trust)


def failed(report):
    return [check.number for check in report.checks if check.state == "failed"]


def codes(report):
    return {problem.code for check in report.checks for problem in check.problems}


def named(report):
    return {problem.where for check in report.checks for problem in check.problems}


def spoiled(trust=TRUST, **on):
    """Verify a bag whose making went wrong at the stages given; all else is sound and signed."""
    return verify(World(on={name.replace("__", " "): spoil for name, spoil in on.items()}).files, trust)


@pytest.mark.claim("P16")
def test_a_sound_bag_holds_under_pinned_keys_and_is_only_consistent_without():
    pinned, loose = verify(GOOD.files), verify(GOOD.files, None)
    assert [check.number for check in pinned.checks] == list(range(1, 11))
    assert pinned.ok
    assert (pinned.exit_code, loose.exit_code) == (0, 3)
    assert loose.fingerprints == pinned.fingerprints == TRUST.fingerprints()
    assert "Two officers of Oakland Police signed this request on 2026-09-22 15:13:20 UTC" in pinned.checks[2].detail


@pytest.mark.claim("P16")
def test_a_bag_rebuilt_with_forged_log_and_witnesses_fails_only_against_pinned_keys():
    forged = World("forged").files
    assert verify(forged).exit_code == 1
    assert verify(forged, None).exit_code == 3


@pytest.mark.claim("P16", "P12")
def test_a_forged_log_behind_the_true_genesis_fails():
    forged = World("forged")
    files = dict(forged.files)
    files[layout.GENESIS] = GOOD.files[layout.GENESIS]
    files[layout.POLICY] = GOOD.files[layout.POLICY]
    for trust in (TRUST, None):
        found = verify(relist(files), trust)
        assert found.exit_code == 1
        assert "checkpoint.unsigned" in codes(found)


LISTS = (layout.MANIFEST, layout.TAGMANIFEST, layout.SEAL_SUMS)


class Fast(intakes.Intake):
    """An Intake that already knows the digests of the files that did not change."""

    def __init__(self, files, known):
        super().__init__(files)
        self.digests = dict(known)


def complete(files, known):
    done = []
    with Recorder(1, "", "bag", done.append) as check:
        Fast(MemoryFiles(files), known).check(check)
    return BagReport(tuple(done), (), (), pinned=True)


def flip(data, at):
    return data[:at] + bytes([data[at] ^ (1 << (at % 8))]) + data[at + 1 :]


@pytest.mark.slow
@pytest.mark.claim("P16")
def test_every_flipped_byte_is_found_and_named():
    """Each file has its own hash, so one round flips byte N of every file and asks that each of them is named."""
    known = {name: layout.Digest.of(data) for name, data in GOOD.files.items()}
    assert complete(GOOD.files, {}).ok
    plain = {name: data for name, data in GOOD.files.items() if name not in LISTS}
    flipped = 0
    for at in range(max(map(len, plain.values()))):
        changed = {name: flip(data, at) for name, data in plain.items() if at < len(data)}
        found = complete({**GOOD.files, **changed}, {name: known[name] for name in known if name not in changed})
        assert set(changed) <= named(found), (at, set(changed) - named(found))
        flipped += len(changed)
    # A list that changed disagrees with a file, or is no list any more: alone, so that nothing else hides it.
    for name in LISTS:
        others = {other: digest for other, digest in known.items() if other != name}
        for at in range(len(GOOD.files[name])):
            assert not complete({**GOOD.files, name: flip(GOOD.files[name], at)}, others).ok, (name, at)
            flipped += 1
    assert flipped == sum(map(len, GOOD.files.values()))


@pytest.mark.claim("P16")
def test_sampled_flips_fail_the_whole_verification_and_name_the_file():
    for number, (name, data) in enumerate(GOOD.files.items()):
        for at in sorted({0, len(data) - 1, len(data) * (number % 7 + 1) // 9, len(data) // 2}):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            found = verify({**GOOD.files, name: changed})
            assert found.exit_code == 1, (name, at)
            assert name in named(found) or name == layout.SEAL_SUMS, (name, at, named(found))


@pytest.mark.claim("P16")
def test_a_forger_who_brings_the_lists_up_to_date_still_fails():
    for name, data in GOOD.files.items():
        if name in {layout.MANIFEST, layout.TAGMANIFEST, layout.SEAL_SUMS, layout.BAG_INFO} or name.startswith("seal/"):
            continue
        changed = data[:-9] + bytes([data[-9] ^ 2]) + data[-8:]
        found = verify(relist({**GOOD.files, name: changed}))
        assert not {2, 8}.isdisjoint(failed(found)), (name, failed(found))
        assert layout.TAGMANIFEST in named(found)


@pytest.mark.claim("P16")
def test_every_dropped_file_and_every_added_file_is_named():
    for name in GOOD.files:
        files = {n: d for n, d in GOOD.files.items() if n != name}
        for trust in (TRUST, None):
            found = verify(files, trust)
            assert found.exit_code == 1, name
            assert name in named(found), name
    rid = min(GOOD.ends)
    for name in (
        "bag/data/extra.mp4", f"bag/data/{rid}/clip-09.mp4", f"bag/data/{rid}/original/x.mp4", "bag/note.txt", "note.txt",
        "bag/manifest-md5.txt", "bag/fetch.txt", f"bag/custody/{rid}/00007.dsse.json", f"bag/custody/{'0' * 64}/00001.dsse.json",
        f"seal/export-{'0' * 64}.dsse.json", "seal/x", ".hidden", "bag/certificate/other.md",
    ):  # fmt: skip
        found = verify({**GOOD.files, name: b"x"})
        assert found.exit_code == 1, name
        assert name in named(found), name


def test_unsafe_names_are_refused_and_named():
    for name in (
        "../evil", "/etc/passwd", "bag/../../x", "bag//x", "bag/./x", "bag/DATA\x1b[2J", "bag/\u0441.txt", "bag/a b", "C:\\x", "",
        layout.BY_HAND.lower(), layout.MANIFEST.upper(), "bag/" + "a" * 400,
    ):  # fmt: skip
        found = verify({**GOOD.files, name: b"x"})
        assert found.exit_code == 1
        assert name in named(found)
        assert "\x1b" not in report.to_text(found, name)
        assert "\x1b" not in report.to_html(found, name)


def test_manifests_that_leave_the_bag_or_repeat_a_name_are_refused():
    line = GOOD.files[layout.MANIFEST].splitlines(keepends=True)[0]
    for bad in (
        line.replace(b"data/", b"../data/"), line.replace(b"data/", b"/data/"), line.upper(), line.replace(b"  ", b" *"),
        line + line, line.replace(b"\n", b"\r\n"), line[:-1], line.replace(b"data/", b"data/./"), b"\n",
    ):  # fmt: skip
        with pytest.raises(ProtocolError):
            layout.parse_sums(bad)
        assert 1 in failed(verify({**GOOD.files, layout.MANIFEST: bad}))
    collision = b"".join(sorted([b"0" * 64 + b"  data/A\n", b"0" * 64 + b"  data/a\n"]))
    with pytest.raises(ProtocolError, match="distinct"):
        layout.parse_sums(collision)


def test_oversize_and_too_many_files_are_refused(monkeypatch):
    monkeypatch.setattr(intakes, "MAX_SMALL", 2000)
    found = verify(GOOD.files)
    assert "bag.too_large" in codes(found)
    monkeypatch.setattr(intakes, "MAX_FILES", 10)
    assert "bag.too_many" in codes(verify(GOOD.files))


def test_a_file_that_changes_between_two_reads_is_found():
    class Changing(MemoryFiles):
        seen = 0

        def open(self, name):
            if name == layout.SEAL_ENVELOPE:
                self.seen += 1
                if self.seen > 1:
                    return super().open(layout.GENESIS)
            return super().open(name)

    assert "bag.changing" in codes(verify_bag(Changing(GOOD.files), TRUST))


def test_unreadable_files_are_named():
    class Broken(MemoryFiles):
        def open(self, name):
            if name == layout.POLICY:
                raise OSError("input/output error")
            return super().open(name)

    found = verify_bag(Broken(GOOD.files), TRUST)
    assert layout.POLICY in named(found)
    assert found.exit_code == 1


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_nothing_in_the_files_makes_the_verifier_fall_over(draw):
    files = dict(GOOD.files)
    names = sorted(files)
    for _ in range(draw.draw(st.integers(1, 3))):
        name = draw.draw(st.sampled_from(names))
        data = files[name]
        spot = draw.draw(st.integers(0, max(0, len(data) - 1)))
        files[name] = draw.draw(
            st.sampled_from([GOOD.files[draw.draw(st.sampled_from(names))], data[:spot], b"", data + data])
            | st.binary(max_size=4).map(lambda b, data=data, spot=spot: data[:spot] + b + data[spot + len(b) :])
            | st.sampled_from([b"[]", b"{}", b"null", b"1", b'{"payload":"","payloadType":"","signatures":[]}'])
        )
    if draw.draw(st.booleans()):
        files = relist(files)
    trust = draw.draw(st.sampled_from([TRUST, None]))
    found = verify(files, trust)
    changed = {name for name in names if files[name] != GOOD.files[name]}
    if found.exit_code != 1:
        # Only a cosignature beyond the quorum may go, and only with the unsigned list brought up to date.
        assert all(name == layout.SEAL_SUMS or name.endswith(".tlog-proof") for name in changed), changed
        assert found.exit_code == (0 if trust else 3)
    else:
        assert changed
    assert len(found.checks) == 10
    for tell in (report.to_text, report.to_html):
        assert tell(found, "x")


def test_large_clips_are_read_in_bounded_memory():
    size = 256 << 20

    class Zeros:
        left = size

        def read(self, most):
            piece = bytes(min(most, self.left))
            self.left -= len(piece)
            return piece

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    class Large(MemoryFiles):
        def open(self, name):
            return Zeros()

    seen = []
    intake = intakes.Intake(Large({}), seen.append)
    tracemalloc.start()
    try:
        assert intake.digest("bag/data/x/clip-01.mp4").size == size
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert seen[-1] == size


def change(**changes):
    return lambda document: dataclasses.replace(document, **changes)


OTHER = World("other")


@pytest.mark.claim("P16")
@pytest.mark.parametrize(
    ("check", "code", "stage", "spoil"),
    [
        (2, "seal.responses", "seal", change(responses=("ab" * 32,))),
        (2, "seal.request", "seal", change(request_id="00" * 16)),
        (2, "seal.request", "seal", change(case="other")),
        (2, "seal.tagmanifest", "seal", change(tagmanifest="00" * 32)),
        (2, "custody.signer", "seal keys", lambda _: [GOOD.console]),  # rotated away before the seal
        (2, "custody.signer", "seal keys", lambda _: [GOOD.officers[1]]),
        (2, "custody.signer", "seal keys", lambda keys: [*keys, OTHER.console]),
        (3, "request.signers", "signers", lambda keys: keys[:1]),
        (3, "request.signers", "signers", lambda keys: [keys[0], GOOD.officers[2]]),  # joined after the request
        (3, "request.signers", "signers", lambda keys: [*keys, GOOD.console]),
        (3, "request.signers", "authorized", change(expires=REQUEST_AT - 1)),
        (3, "request.agency", "request", change(agency="us-ca-berkeley")),
        (4, "merkle", "request_entry", None),
        (5, "directory.digest", "tick", change(agencies="00" * 32)),
        (6, "response.request", "manifest", change(request_id="00" * 16)),
        (6, "dsse.signers", "responder", lambda _: OTHER.key("response Ortiz")),
        (7, "custody.chain", "event 2", change(prev="00" * 32)),
        (7, "custody.chain", "event 1", change(prev="11" * 32)),
        (7, "custody.time", "event 2", change(at=REQUEST_AT + 7_199)),
        (7, "custody.future", "log 2", None),
        (7, "custody.about", "event 2", change(response_id="ab" * 32)),
        (7, "custody.about", "event 2", change(request_id="ab" * 16)),
        (7, "custody.collected", "event 1", change(action="viewed")),
        (7, "custody.collected", "event 2", change(action="collected")),
        (7, "custody.subject", "event 3", change(subjects=(Subject(name="clip-01.mp4", sha256="00" * 32),))),
        (7, "custody.subject", "event 3", change(subjects=(Subject(name="clip-07.mp4", sha256="00" * 32),))),
        (7, "custody.signer", "keys 3", lambda _: [GOOD.console]),  # after its rotation
        (7, "custody.signer", "keys 1", lambda _: [GOOD.new_console]),  # before it was registered
        (7, "custody.signer", "keys 2", lambda _: [OTHER.console]),
        (7, "custody.case", "event 1", change(case="26-1")),
        (7, "merkle", "leaf 2", lambda _: bytes(32)),
        (7, "custody.numbers", "chain", lambda events: events[:0]),
        (8, "custody.chain", "chain", lambda events: events[:-1]),
        (7, "custody.chain", "chain", lambda events: [events[0], events[2]]),
        (7, "custody.chain", "chain", lambda events: [events[0], events[0], events[2]]),
        (8, "export.action", "event 9", change(action="viewed")),
        (8, "export.subject", "event 9", change(subjects=(Subject(name=layout.SUBJECT_SEAL, sha256="00" * 32),))),
        (8, "custody.time", "event 9", change(at=REQUEST_AT + 49_999)),
        (8, "custody.chain", "event 9", change(prev="00" * 32)),
        (9, "window.long", "request", change(from_=REQUEST_AT - 100_000)),
        (9, "area.small", "request", lambda r: dataclasses.replace(r, area=r.area[:1])),
        (9, "area.jurisdiction", "authorized", change(jurisdiction=("8428347ffffffff",))),
        (9, "offense.catch_all", "request", change(offense="nibrs:90Z")),
        (9, "standing.state", "authorized", change(state="NV")),
        (10, "promise.sealed", "promise", change(sealed="00" * 32)),
        (10, "promise.response", "promise", change(response_id="00" * 32)),
    ],
)
def test_each_flaw_that_is_signed_and_logged_all_the_same_is_found(check, code, stage, spoil):
    world = World()
    if stage == "request_entry":
        files = relist({**world.files, layout.REQUEST_PROOF: world.files[layout.TICK_PROOF]})
    elif stage == "log 2":
        # The agency dates an event after what the witnesses saw: the proof is of an older head.
        files = World(on={"event 2": change(at=REQUEST_AT + 12_000), "log 2": lambda log: Older(log, 2_000)}).files
    else:
        files = World(on={stage: spoil}).files
    found = verify(files)
    assert found.exit_code == 1
    assert check in failed(found), (failed(found), codes(found))
    assert any(c == code or c.startswith(code + ".") for c in codes(found)), codes(found)


class Older:
    """A log whose head was cosigned earlier than asked for."""

    def __init__(self, log, seconds):
        self.log, self.seconds = log, seconds

    def prove(self, index, at):
        return self.log.prove(index, at - self.seconds)


@pytest.mark.claim("P16")
def test_a_proof_of_the_wrong_log_or_with_too_few_witnesses_is_refused():
    class Crossed:
        def prove(self, index, at):
            world = World()
            index = world.public.append(world.sealed.leaves[index])
            return world.public.prove(index, at)

    assert "proof.other_log" in codes(spoiled(log__2=lambda _: Crossed()))

    def fewer(log):
        log.witnesses = dict(list(log.witnesses.items())[:1])
        return log

    found = spoiled(log__2=fewer)
    assert "policy.quorum" in codes(found)
    assert 7 in failed(found)


def test_one_log_entry_cannot_stand_for_two_events():
    files = dict(GOOD.files)
    rid = min(GOOD.ends)
    for kind in layout.EVENT_KINDS:
        files[layout.custody_path(rid, 4, kind)] = files[layout.custody_path(rid, 3, kind)]
    found = verify(relist(files))
    assert {"custody.entry_twice", "custody.chain"} <= codes(found)


def test_unpinned_evidence_that_contradicts_itself_says_where():
    for name in (layout.GENESIS, layout.POLICY):
        found = verify(relist({**GOOD.files, name: b"nonsense\n"}), None)
        assert found.exit_code == 1
        assert 5 in failed(found)
        assert name in {p.where for c in found.checks if c.number == 5 for p in c.problems}
    text = GOOD.files[layout.POLICY].replace(b"quorum quorum-group", b"quorum none")
    found = verify(relist({**GOOD.files, layout.POLICY: text}), None)
    assert "trust.quorum" in codes(found)


# ---------------------------------------------------------------- by hand


def independent_proof_check(data, leaf, keys, log_key, quorum):
    """Check a tlog-proof by RFC 9162 2.1.3.2 and the C2SP pages, with nothing of the core."""
    head, note_text = data.decode().split("\n\n", 1)
    lines = head.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    f = int(lines[1].removeprefix("index "))
    h = hashlib.sha256(b"\x00" + leaf).digest()
    body, signatures = note_text.split("\n\n", 1)
    body += "\n"
    origin, size, root = body.split("\n")[:3]
    s = int(size) - 1
    assert f <= s
    for line in lines[2:]:
        p = base64.b64decode(line)
        assert s > 0
        if f % 2 or f == s:
            h = hashlib.sha256(b"\x01" + p + h).digest()
            while f % 2 == 0 and f:
                f, s = f // 2, s // 2
        else:
            h = hashlib.sha256(b"\x01" + h + p).digest()
        f, s = f // 2, s // 2
    assert s == 0
    assert h == base64.b64decode(root)
    good = set()
    for line in signatures.splitlines():
        _, name, text = line.split(" ")
        raw = base64.b64decode(text)[4:]
        if name == origin:
            log_key.verify(raw, body.encode())
            good.add(name)
        elif name in keys:
            time = int.from_bytes(raw[:8], "big")
            keys[name].verify(raw[8:], f"cosignature/v1\ntime {time}\n{body}".encode())
            good.add(name)
    assert origin in good
    assert len(good) - 1 >= quorum


def export(folder, files):
    for name, data in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def by_hand(folder):
    """Run each command of BY-HAND.txt as a reader would; returns the outputs, or None where one fails."""
    text = (folder / "bag/BY-HAND.txt").read_text()
    commands = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    assert len(commands) == 9
    script = "set -e\n" + "\n".join(f"echo; echo '#{n}'\n{line}" for n, line in enumerate(commands))
    done = subprocess.run(  # noqa: S603
        ["bash", "-c", script],  # noqa: S607
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return re.split(r"^#\d\n", done.stdout, flags=re.MULTILINE)[1:] if done.returncode == 0 else None


@pytest.mark.claim("P16")
@pytest.mark.skipif(not all(map(shutil.which, ("sha256sum", "basenc", "bash"))), reason="needs GNU coreutils")
def test_the_recipe_by_hand_agrees_with_the_verifier(tmp_path):
    export(tmp_path, GOOD.files)
    out = by_hand(tmp_path)
    assert out is not None
    assert all(line.endswith(": OK") for line in (out[0] + out[1]).split("\n") if line)
    assert (out[0] + out[1]).count("OK") == len(GOOD.files) - 2  # neither tag manifest nor the seal's list lists itself
    assert out[2].split()[0] in out[3]
    # The leaf hash that the recipe prints is the one that the proof leads to.
    assert out[4].split()[0] == hashlib.sha256(b"\x00" + GOOD.request_entry).hexdigest()
    keys = {name: Ed25519PublicKey.from_public_bytes(key.public.raw) for name, key in GOOD.witnesses.items()}
    public, sealed = (Ed25519PublicKey.from_public_bytes(log.key.public.raw) for log in (GOOD.public, GOOD.sealed))
    independent_proof_check(GOOD.files[layout.REQUEST_PROOF], GOOD.request_entry, keys, public, 2)
    independent_proof_check(GOOD.files[layout.TICK_PROOF], GOOD.tick_entry, keys, public, 2)
    rows = [line.split() for line in out[7].splitlines() if line]
    assert len(rows) == 8
    for digest, nonce in rows:
        proof = GOOD.files[nonce.removesuffix("nonce") + "tlog-proof"]
        independent_proof_check(proof, bytes.fromhex(digest), keys, sealed, 2)
    hashes = {line.split()[1]: line.split()[0] for line in out[8].splitlines() if line}
    for name, data in GOOD.files.items():
        if name.endswith("00002.dsse.json"):
            event = canonical.decode(dsse.Envelope.parse(data).payload)
            assert event["predicate"]["prev"] == hashes[name.replace("00002", "00001")]


@pytest.mark.claim("P16")
@pytest.mark.skipif(not all(map(shutil.which, ("sha256sum", "basenc", "bash"))), reason="needs GNU coreutils")
def test_the_recipe_by_hand_finds_flips_and_losses_too(tmp_path):
    for number, name in enumerate(sorted(GOOD.files)[::6]):
        folder = export(tmp_path / str(number), GOOD.files)
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data[:10] + bytes([data[10] ^ 1]) + data[11:])
        if name != layout.BY_HAND:
            assert by_hand(folder) is None, name
        path.write_bytes(data)
        path.unlink()
        if name != layout.BY_HAND:
            assert by_hand(folder) is None, name


# ---------------------------------------------------------------- reports


def test_reports_escape_what_strangers_wrote():
    evil = "<script>alert(1)</script> A stranger broke the shop's window at night; we look for a red car."
    world = World(on={"request": change(msg=unicodedata.normalize("NFC", evil))})
    found = verify(world.files, world.trust)
    page = report.to_html(found, '"><img src=x>')
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert report.plain("a\u202eb\x07\ud800") == "a\\u202eb\\u0007\\ud800"


def test_json_report_has_every_check_and_the_exit_code():
    found = verify(World("forged").files)
    value = json.loads(report.to_json(found))
    assert value["exit"] == 1
    assert value["verdict"] == "failed"
    assert [c["number"] for c in value["checks"]] == list(range(1, 11))
    assert {c["ok"] for c in value["checks"]} == {True, False, None}
