"""The numbered verification of where a clip comes from (docs/spec/recording.md). No network, no clock, no disk of its own.

An owner's proof ties a clip in an evidence bag to the chain of its camera's recordings, whose state the owner's signed manifest
committed to when the answer was sealed. It shows order, completeness and that nothing was changed since; it cannot show that
what the camera saw was true, nor that nobody made up a whole chain before the answer was sealed.
"""

import bisect
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

from fairwitness_core.model.custody import CustodyEvent, commitment
from fairwitness_core.model.hub import LogGenesis
from fairwitness_core.model.recording import (
    DIGEST,
    RecordingProof,
    chain_commitment,
    original_commitment,
    pictures_root,
    split,
)
from fairwitness_core.model.response import Clip, Manifest, verify_responder
from fairwitness_core.verify import layout
from fairwitness_core.verify.bag import included, nonce_of, verify_bag
from fairwitness_core.verify.checks import BagReport, Check, Missing, Recorder
from fairwitness_core.verify.intake import Files
from fairwitness_core.verify.layout import Digest, utc
from fairwitness_core.verify.mp4 import SCALE, ClipPictures, read_clip
from fairwitness_core.verify.trust import TrustPolicy
from fairwitness_core.wire import dsse
from fairwitness_core.wire.errors import ProtocolError

NEAR_S = 3
"""Seconds by which a manifest's times, which are rounded outward, may differ from those of the recordings."""
PAUSE_MS = 2000  # between one segment and the next: more than that is told
_TRIES = 64
MAX_LEADING = 16
"""Pictures that may be missing behind a clip's first one: such as are shown before it and refer to what is before the clip."""
CONVERTED = (
    "the clip's pictures were NOT COMPARED with the recordings. Its owner declared it converted, and could have put any pictures "
    "into it; only the untouched originals, looked at beside it, tell."
)
_SMALL = 2 << 20
_PROOF = "recording proof"


@dataclass(frozen=True, slots=True)
class Found:
    """Where a clip's pictures stand in the lists of its segments: the index of the first and behind the last, holes between.

    `holes`: (picture of the clip behind which it is, index of its first missing picture, how many are missing).
    """

    first: int
    end: int
    holes: tuple[tuple[int, int, int], ...]


def locate(clip: bytes, lists: bytes) -> Found:
    """Find a clip's pictures, in order, among those of its segments (32 bytes each).

    Raises ProtocolError `recording.foreign` for a picture that is in no list, `recording.order` where they are in another order.
    """
    at = -1
    for _ in range(_TRIES):  # lists can be made so that a find hits beside the digests again and again, each time at great cost
        at = lists.find(clip, at + 1)
        if at < 0:
            break
        if at % DIGEST == 0:
            return Found(at // DIGEST, (at + len(clip)) // DIGEST, ())
    wanted, there = split(clip), split(lists)
    known = set(there)
    for number, digest in enumerate(wanted):
        if digest not in known:
            raise ProtocolError("recording.foreign", "this picture is in none of the segments", evidence=f"picture {number + 1}")
    starts = (index for index, digest in enumerate(there) if digest == wanted[0])
    for _, start in zip(range(_TRIES), starts, strict=False):
        if (found := _in_order(wanted, there, start)) is not None:
            return found
    raise ProtocolError("recording.order", "the clip's pictures are not in the order in which they were recorded")


def _in_order(wanted: Sequence[bytes], there: Sequence[bytes], start: int) -> Found | None:
    holes = []
    at = start
    for number, digest in enumerate(wanted):
        began = at
        while at < len(there) and there[at] != digest:
            at += 1
        if at == len(there):
            return None
        if at > began:
            holes.append((number, began, at - began))
        at += 1
    return Found(start, at, tuple(holes))


def verify_recording(
    files: Files,
    proof: RecordingProof,
    trust: TrustPolicy | None,
    originals: Sequence[tuple[str, Digest]] = (),
    *,
    progress: Callable[[int], None] | None = None,
) -> BagReport:
    """Check an owner's proof about one clip of a bag; `trust` as for `verify_bag`, `originals`: names and digests of files given.

    The report's checks are, in this order; the proof holds if all do:
    1. The bag itself holds, with all its checks.
    2. The proof is about a clip of this bag, whose signed manifest commits to the state of a chain.
    3. Salt and head are what that commitment was made over.
    4. The links lead from the clip's first segment to that head without a break.
    5. The clip's segments are the originals that the manifest commits to.
    6. The lists of pictures are those that the segments' links were made over.
    7. The clip's pictures are pictures of these segments, in order, with none left out between the first and the last.
    8. The times that the manifest states are those at which these segments were recorded.
    9. The commitment existed at a time that witnesses saw.
    10. Only where originals are given: each is one of the segments, unchanged.
    Never raises for what is in the files; OSError from `files.list` passes through.
    """
    return _Procedure(files, proof, trust, originals, progress).run()


@dataclass(slots=True)
class _Procedure:
    files: Files
    proof: RecordingProof
    given: TrustPolicy | None
    originals: Sequence[tuple[str, Digest]]
    progress: Callable[[int], None] | None
    done: list[Check] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    bag: BagReport | None = None
    envelope: bytes = b""
    clip: Clip | None = None
    pictures: ClipPictures | None = None
    found: Found | None = None

    def run(self) -> BagReport:
        self._bag()
        self._about()
        self._head()
        self._links()
        self._segments()
        self._lists()
        self._pictures()
        self._times()
        self._when()
        if self.originals:
            self._originals()
        prints = self.bag.fingerprints if self.bag else ()
        caveat = CONVERTED if self.clip is not None and self.clip.transcoded else ""
        return BagReport(tuple(self.done), tuple(self.facts), prints, pinned=self.given is not None, caveat=caveat)

    def _check(self, number: int, title: str, where: str = _PROOF) -> Recorder:
        return Recorder(number, title, where, self.done.append)

    def _needs_clip(self) -> Clip:
        if self.clip is None:
            raise Missing("Not checked: the clip that the proof is about was not found (check 2).")
        return self.clip

    def _read(self, name: str) -> bytes:
        try:
            with self.files.open(name) as stream:
                data = stream.read(_SMALL + 1)
        except OSError as error:
            raise ProtocolError("bag.unreadable", "this file cannot be read", evidence=str(error)) from error
        if len(data) > _SMALL:
            raise ProtocolError("bag.too_large", f"this file has more than {_SMALL} bytes")
        return data

    def _bag(self) -> None:
        """Check 1."""
        with self._check(1, "The evidence bag holds", layout.BAG) as check:
            self.bag = verify_bag(self.files, self.given, progress=self.progress)
            for one in self.bag.checks:
                for problem in one.problems:
                    check.problem(problem.where, problem.code, f"check {one.number} of the bag: {problem.text}")
                check.demand(one.ok or bool(one.problems), one.where, "recording.bag", f"check {one.number} of the bag failed")
            check.detail = f"All {len(self.bag.checks)} checks of the bag hold."

    def _about(self) -> None:
        """Check 2."""
        rid, name = self.proof.response_id, self.proof.clip
        with self._check(2, "The proof is about a clip of this bag", layout.manifest_path(rid)) as check:
            self.envelope = self._read(layout.manifest_path(rid))
            manifest = verify_responder(Manifest, self.envelope)
            if manifest.response_id != rid:
                raise ProtocolError("response.id", "this response stands in the folder of another")
            clip = next((one for one in manifest.clips if one.name == name), None)
            if clip is None:
                raise ProtocolError("recording.clip", "the manifest names no such clip", evidence=name)
            if not clip.chain_commit:
                raise ProtocolError("recording.no_commitment", "the manifest says nothing of a chain of recordings")
            self.clip = clip
            self.facts.append(("Clip", f"{rid[:8]}/{name}, {utc(clip.start)} to {utc(clip.end)}, SHA-256 {clip.sha256}"))
            check.detail = f"{name}, whose manifest commits to the chain of its camera's recordings."

    def _head(self) -> None:
        """Check 3."""
        with self._check(3, "The manifest commits to this chain") as check:
            clip = self._needs_clip()
            same = chain_commitment(bytes.fromhex(self.proof.salt), bytes.fromhex(self.proof.head)) == clip.chain_commit
            text = "salt and head are not what the manifest commits to"
            check.demand(same, _PROOF, "recording.commitment", text)
            check.detail = "Salt and newest record give exactly the manifest's commitment."

    def _links(self) -> None:
        """Check 4."""
        with self._check(4, "The links lead to the record that was committed to") as check:
            record = bytes.fromhex(self.proof.before)
            for link in self.proof.links:
                record = link.record(record)
            same = record.hex() == self.proof.head
            check.demand(same, _PROOF, "recording.links", "a link was changed, left out, added or moved")
            links = self.proof.links
            last = max(link.end for link in links)
            check.detail = (
                f"{len(links)} segments follow each other, the first begun {_moment(links[0].start)}, the last ended "
                f"{_moment(last)}; none can be changed, added or taken out."
            )
            self.facts.append(("Chain", f"{len(links)} segments from {_moment(links[0].start)} to {_moment(last)}"))

    def _segments(self) -> None:
        """Check 5."""
        with self._check(5, "These segments are the originals that the owner committed to") as check:
            clip = self._needs_clip()
            hashes = [link.sha256 for link in self.proof.used]
            same = original_commitment(bytes.fromhex(self.proof.orig_salt), hashes) == clip.orig_commit
            check.demand(same, _PROOF, "recording.segments", "the manifest commits to other originals than these segments")
            pauses = [
                f"{(b.start - a.end) / 1000:.1f} s after {_moment(a.end)}"
                for a, b in zip(self.proof.used, self.proof.used[1:], strict=False)
                if b.start - a.end > PAUSE_MS
            ]
            check.detail = f"{len(hashes)} segment{'s' if len(hashes) != 1 else ''}, by hash."
            if pauses:
                check.detail += f" Nothing was recorded for {', '.join(pauses[:8])}."

    def _lists(self) -> None:
        """Check 6."""
        with self._check(6, "The lists of pictures are those of the segments") as check:
            for number, (link, blob) in enumerate(zip(self.proof.used, self.proof.pictures, strict=False), 1):
                root = pictures_root(split(blob)).hex() if blob else ""
                text = f"the list of segment {number} is not the one that its link was made over"
                check.demand(root == link.pictures, _PROOF, "recording.pictures", text)
            count = sum(len(blob) for blob in self.proof.pictures) // DIGEST
            check.detail = f"{count} pictures in {len(self.proof.pictures)} segments, in the order in which they were recorded."

    def _pictures(self) -> None:
        """Check 7."""
        rid = self.proof.response_id
        path = layout.clip_path(rid, self.proof.clip)
        with self._check(7, "The clip's pictures are those that were recorded", path) as check:
            clip = self._needs_clip()
            if clip.transcoded:
                check.detail = (
                    "NOT COMPARED: the clip was converted, so its pictures are encoded anew and cannot be compared one by one. "
                    "What ties it to the recordings is the hash of the untouched originals (check 5) and nothing more."
                )
                return
            try:
                with self.files.open(path) as stream:
                    pictures = read_clip(stream)
            except OSError as error:
                raise ProtocolError("bag.unreadable", "this file cannot be read", evidence=str(error)) from error
            if (pictures.sha256, pictures.size) != (clip.sha256, clip.bytes):
                raise ProtocolError("response.clip", "this is not the clip that its owner sent")
            if not all(self.proof.pictures):
                raise ProtocolError("recording.no_pictures", "a segment has no list of pictures to compare with")
            self.pictures = pictures
            self.found = found = locate(pictures.digests, b"".join(self.proof.pictures))
            count = len(pictures.times)
            first_segment = next(bound for bound in self._bounds() if bound > found.first)
            check.detail = f"All {count} pictures of the clip were recorded so: nothing is left out between first and last."
            for behind, index, missing in found.holes:
                words = f"{missing} picture{'s' if missing != 1 else ''} of {self._place(index)}"
                if behind == 1 and missing <= MAX_LEADING and index + missing <= first_segment:
                    # A camera may send pictures that refer to what is before the clip's first one; nobody could show them.
                    check.detail = (
                        f"All {count} pictures of the clip were recorded so. Directly behind the first one, {words} are not in "
                        "it; behind that nothing is left out up to the last."
                    )
                    continue
                check.problem(path, "recording.left_out", f"{words} left out behind the clip's picture {behind}")

    def _bounds(self) -> list[int]:
        """Return the index behind each segment's last picture."""
        total = 0
        return [total := total + len(blob) // DIGEST for blob in self.proof.pictures]

    def _place(self, index: int) -> str:
        segment = bisect.bisect_right(self._bounds(), index)
        return f"segment {segment + 1}"

    def _times(self) -> None:
        """Check 8."""
        where = layout.manifest_path(self.proof.response_id)
        with self._check(8, "The clip's times are those of the recordings", where) as check:
            clip = self._needs_clip()
            first, last = self.proof.used[0], self.proof.used[-1]
            if clip.transcoded:
                within = first.start / 1000 - NEAR_S <= clip.start and clip.end <= last.end / 1000 + NEAR_S
                check.demand(within, where, "recording.times", "the manifest states times outside of these segments")
                check.detail = "The stated times lie within the segments; which part of them the clip shows was not compared."
                return
            if self.pictures is None or self.found is None:
                raise Missing("Not checked: the clip's pictures were not found in the segments (check 7).")
            bounds = self._bounds()
            first = self.proof.used[bisect.bisect_right(bounds, self.found.first)]
            last = self.proof.used[bisect.bisect_right(bounds, self.found.end - 1)]
            near = (
                first.start / 1000 - NEAR_S <= clip.start <= first.end / 1000 + NEAR_S
                and last.start / 1000 - NEAR_S <= clip.end <= last.end / 1000 + NEAR_S
                and abs(clip.end - clip.start - self.pictures.seconds) <= NEAR_S
            )
            check.demand(near, where, "recording.times", "the manifest states other times than those of the recordings")
            anchors = 0
            for start, at in self._anchors(self.pictures, self.found, bounds):
                anchors += 1
                exact = abs(clip.start + at - start) <= NEAR_S
                check.demand(exact, where, "recording.times", "a segment begins at another time than the manifest makes it")
            check.detail = f"Recorded from {_moment(first.start)} to {_moment(last.end)} by the recorder's clock; "
            check.detail += (
                f"the clip's own times fit at each of {anchors} segment starts."
                if anchors
                else "the clip lies within one segment, so its times are shown to lie within it and no closer."
            )

    def _anchors(self, pictures: ClipPictures, found: Found, bounds: Sequence[int]) -> Iterator[tuple[float, float]]:
        """Yield, for each segment whose first picture is in the clip, when it began and how far into the clip that is."""
        missing = 0
        holes = list(found.holes)
        for link, begin in zip(self.proof.used, [0, *bounds], strict=False):
            while holes and holes[0][1] < begin:
                missing += holes.pop(0)[2]
            number = begin - found.first - missing
            if found.first <= begin < found.end and 0 <= number < len(pictures.times):
                yield link.start / 1000, (pictures.times[number] - pictures.times[0]) / SCALE

    def _when(self) -> None:
        """Check 9."""
        rid = self.proof.response_id
        paths = {kind: layout.custody_path(rid, 1, kind) for kind in layout.EVENT_KINDS}
        with self._check(9, "Witnesses saw the commitment", paths["tlog-proof"]) as check:
            self._needs_clip()
            data = self._read(paths["dsse.json"])
            event = CustodyEvent.from_statement(dsse.Envelope.parse(data).payload)
            named = {subject.name: subject.sha256 for subject in event.subjects}.get(layout.SUBJECT_MANIFEST)
            same = (event.action, event.response_id, named) == ("collected", rid, Digest.of(self.envelope).sha256)
            text = "the first event is not the collection of this manifest"
            check.demand(same, paths["dsse.json"], "recording.collected", text)
            genesis = LogGenesis.parse(dsse.Envelope.parse(self._read(layout.GENESIS)).payload)
            trust = self.given or TrustPolicy(
                hub_key=genesis.hub_key,
                policy=self._read(layout.POLICY).decode("utf-8", "replace"),
                genesis=Digest.of(self._read(layout.GENESIS)).sha256,
            )
            leaf = commitment(nonce_of(self._read(paths["nonce"])), data)
            place = included(trust.witness_policy, genesis.sealed_log, self._read(paths["tlog-proof"]), leaf)
            seen = place.checkpoint.reached_at
            if seen is None:
                raise ProtocolError("recording.unseen", "no quorum of witnesses says when it saw the commitment")
            last = max(link.end for link in self.proof.links) / 1000
            check.demand(last <= seen + NEAR_S, _PROOF, "recording.future", "a segment ended after witnesses saw the commitment")
            check.detail = (
                f"Entry {place.index} of the sealed log holds the manifest's collection; witnesses had seen it by {utc(seen)}. "
                "From then on nobody could change, add or take out a segment; the newest of them ended "
                f"{_moment(round(last * 1000))}."
            )
            self.facts.append(("Committed", f"at the latest {utc(seen)}, entry {place.index} of the sealed log"))

    def _originals(self) -> None:
        """Check 10."""
        with self._check(10, "The originals given are the segments, unchanged") as check:
            known = {link.sha256: number for number, link in enumerate(self.proof.used, 1)}
            seen = set()
            for name, digest in self.originals:
                number = known.get(digest.sha256)
                if number is None:
                    check.problem(name, "recording.original", "this file is none of the clip's segments, or was changed")
                else:
                    seen.add(number)
            check.detail = f"{len(seen)} of {len(known)} segments given, each exactly as it was recorded."


def _moment(at: int) -> str:
    """Return milliseconds since 1970 as readable UTC."""
    seconds, rest = divmod(at, 1000)
    if seconds > layout.LAST_MOMENT:
        return f"Unix second {seconds}"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:03} UTC"


def digest_of(stream: BinaryIO) -> Digest:
    """Return the digest of a file given beside the bag, in bounded memory; raises what `stream.read` raises."""
    state, size = hashlib.sha256(), 0
    while piece := stream.read(1 << 20):
        state.update(piece)
        size += len(piece)
    return Digest(state.hexdigest(), size)
