"""The evidence bag's layout: names, file formats and the pure builders that an exporter calls (docs/spec/bag.md).

    OUT/bag/    a BagIt 1.0 bag (RFC 8493): payload under data/, everything else is tag files
    OUT/seal/   what can exist only after the bag: the agency's seal over its tag manifest, and the export's custody event

Names here are relative to OUT, with `/`. Nothing touches a disk: builders return `{name: bytes}`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Self

from fairwitness_core.model.custody import STATEMENT_TYPE, Subject
from fairwitness_core.model.document import Document, wire
from fairwitness_core.wire import canonical
from fairwitness_core.wire import fields as f
from fairwitness_core.wire.errors import ProtocolError

BAG = "bag"
SEAL = "seal"
BAGIT = f"{BAG}/bagit.txt"
BAG_INFO = f"{BAG}/bag-info.txt"
MANIFEST = f"{BAG}/manifest-sha256.txt"
TAGMANIFEST = f"{BAG}/tagmanifest-sha256.txt"
BY_HAND = f"{BAG}/BY-HAND.txt"
CERTIFICATE = f"{BAG}/certificate/902-14.md"
REQUEST_ENTRY = f"{BAG}/proofs/request.entry.json"
REQUEST_PROOF = f"{BAG}/proofs/request.tlog-proof"
GENESIS = f"{BAG}/proofs/genesis.entry.json"
DIRECTORY = f"{BAG}/proofs/directory.lines"
TICK_ENTRY = f"{BAG}/proofs/tick.entry.json"
TICK_PROOF = f"{BAG}/proofs/tick.tlog-proof"
POLICY = f"{BAG}/proofs/policy.tlog-policy"
PROOFS = (REQUEST_ENTRY, REQUEST_PROOF, GENESIS, DIRECTORY, TICK_ENTRY, TICK_PROOF, POLICY)
SEAL_ENVELOPE = f"{SEAL}/seal.dsse.json"
SEAL_SUMS = f"{SEAL}/sha256.txt"

EVENT_KINDS = ("dsse.json", "nonce", "tlog-proof")  # the three files of a logged event
SEAL_PREDICATE = "https://fairwitness.invalid/seal/v1"
# Names of a custody event's subjects; clips go by their own names.
SUBJECT_SEALED = "sealed"
SUBJECT_MANIFEST = "manifest.dsse.json"
SUBJECT_TAGMANIFEST = "tagmanifest-sha256.txt"
SUBJECT_SEAL = "seal.dsse.json"

LAST_MOMENT = 253_402_300_799  # the last second of the year 9999, as far as calendars here go
BAGIT_TXT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_LINE = re.compile(rb"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._/-]{0,299})")


@dataclass(frozen=True, slots=True)
class Digest:
    """A file's SHA-256 (lower-case hex) and its length in bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        """Digest bytes at hand."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A custody event as it stands in a bag: the envelope's exact bytes, its 32-byte nonce, its sealed-ledger tlog-proof."""

    envelope: bytes
    nonce: bytes
    proof: bytes


def manifest_path(response_id: str) -> str:
    """Where the owner's signed Manifest envelope stands."""
    return f"{BAG}/data/{response_id}/manifest.dsse.json"


def clip_path(response_id: str, name: str) -> str:
    """Where a clip (`clip-NN.mp4`) stands."""
    return f"{BAG}/data/{response_id}/{name}"


def promise_path(response_id: str) -> str:
    """Where the hub's Promise envelope stands, if the agency was given it."""
    return f"{BAG}/data/{response_id}/promise.dsse.json"


def sealed_path(response_id: str) -> str:
    """Where hash and size of the ciphertext stand."""
    return f"{BAG}/data/{response_id}/sealed.json"


def custody_path(response_id: str, number: int, kind: str) -> str:
    """Where the custody event `number` (from 1) stands; `kind` is `dsse.json`, `nonce` or `tlog-proof`."""
    return f"{BAG}/custody/{response_id}/{number:05}.{kind}"


def export_path(response_id: str, kind: str) -> str:
    """Where a response's export event stands, beside the bag; `kind` as in `custody_path`."""
    return f"{SEAL}/export-{response_id}.{kind}"


def utc(at: int) -> str:
    """Return Unix seconds as readable UTC, such as `2026-11-03 02:00:00 UTC`; a witness may sign a time beyond any calendar."""
    if not 0 <= at <= LAST_MOMENT:
        return f"Unix second {at}"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile(Document):
    """`sealed.json`: the ciphertext that the owner sent, which the agency opened."""

    TYPE: ClassVar[str] = "sealed"

    sealed: str = wire(f.HASH)
    size: int = wire(f.integer(1, 4 << 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal(Document):
    """What the agency signs over a finished bag. `tagmanifest`: SHA-256 of its tagmanifest-sha256.txt, which binds all else."""

    TYPE: ClassVar[str] = "seal"

    agency: str = wire(f.AGENCY_ID)
    case: str = wire(f.text(40, min_bytes=1))
    request_id: str = wire(f.ID16)
    responses: tuple[str, ...] = wire(f.array(f.HASH, low=1, high=256, ordered_set=True))
    tagmanifest: str = wire(f.HASH)
    at: int = wire(f.TIME)

    def to_statement(self) -> bytes:
        """Return the canonical in-toto Statement (v1) whose predicate is this seal."""
        predicate = self.to_json()
        digest = predicate.pop("tagmanifest")
        return canonical.encode(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": SUBJECT_TAGMANIFEST, "digest": {"sha256": digest}}],
                "predicateType": SEAL_PREDICATE,
                "predicate": predicate,
            }
        )

    @classmethod
    def from_statement(cls, payload: bytes) -> Self:
        """Read the Statement strictly; raises ProtocolError."""
        value = canonical.decode(payload)
        if not isinstance(value, dict) or set(value) != {"_type", "subject", "predicateType", "predicate"}:
            raise ProtocolError("seal.shape", "not an in-toto Statement v1")
        if value["_type"] != STATEMENT_TYPE or value["predicateType"] != SEAL_PREDICATE:
            raise ProtocolError("seal.type", "not a seal", evidence=str(value["predicateType"]))
        predicate, subject = value["predicate"], value["subject"]
        if not isinstance(predicate, dict) or "tagmanifest" in predicate or not isinstance(subject, list) or len(subject) != 1:
            raise ProtocolError("seal.shape", "a seal has one subject and an object for predicate")
        only = subject[0]
        if not isinstance(only, dict) or set(only) != {"name", "digest"} or only["name"] != SUBJECT_TAGMANIFEST:
            raise ProtocolError("seal.subject", f"a seal's subject is {SUBJECT_TAGMANIFEST}")
        if not isinstance(only["digest"], dict) or set(only["digest"]) != {"sha256"}:
            raise ProtocolError("seal.subject", "the digest is sha256")
        return cls.from_document({**predicate, "tagmanifest": only["digest"]["sha256"]})


def sums(digests: Mapping[str, str]) -> bytes:
    """Return a checksum file that `sha256sum -c` reads: one line per name, sorted."""
    return b"".join(f"{digests[name]}  {name}\n".encode() for name in sorted(digests))


def parse_sums(data: bytes) -> dict[str, str]:
    """Read what `sums` writes, and nothing else; raises ProtocolError.

    On return: 1. names are relative, of plain ASCII letters, without `.` or `..` parts; 2. sorted and distinct, also where
    upper and lower case are one (file systems differ); 3. each has a SHA-256 in lower-case hex.
    """
    if data and not data.endswith(b"\n"):
        raise ProtocolError("bag.sums", "the last line is cut short")
    result: dict[str, str] = {}
    folded: set[str] = set()
    last = ""
    for line in data.split(b"\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ProtocolError("bag.sums", "a line is hash, two spaces, plain name", evidence=repr(line[:100]))
        name = match[2].decode()
        if any(piece in {"", ".", ".."} for piece in name.split("/")):
            raise ProtocolError("bag.path", "a name leaves its folder", evidence=name)
        if name <= last or name.casefold() in folded:
            raise ProtocolError("bag.sums", "names are sorted and distinct, in any case", evidence=name)
        last = name
        folded.add(name.casefold())
        result[name] = match[1].decode()
    return result


def custody_files(response_id: str, events: Sequence[LoggedEvent]) -> dict[str, bytes]:
    """Return the custody files of a response, its events in order from `collected` on."""
    result = {}
    for number, event in enumerate(events, 1):
        result[custody_path(response_id, number, "dsse.json")] = event.envelope
        result[custody_path(response_id, number, "nonce")] = event.nonce.hex().encode() + b"\n"
        result[custody_path(response_id, number, "tlog-proof")] = event.proof
    return result


def bag_files(
    payload: Mapping[str, Digest],
    tags: Mapping[str, bytes],
    *,
    agency_name: str,
    request_id: str,
    case: str,
    at: int,
) -> dict[str, bytes]:
    """Return every tag file of a bag, `tags` included, `tagmanifest-sha256.txt` last.

    `payload`: digests of all files under `bag/data/` (clips are streamed elsewhere). `tags`: the proofs, the custody files.
    `at`: when the bag is made, Unix seconds UTC.
    """
    for name in payload:
        if not name.startswith(f"{BAG}/data/"):
            raise ProtocolError("bag.path", "payload stands under bag/data/", evidence=name)
    total = sum(digest.size for digest in payload.values())
    info = {
        "Bag-Software-Agent": "fairwitness",
        "Bagging-Date": utc(at)[:10],
        "External-Identifier": request_id,
        "Payload-Oxum": f"{total}.{len(payload)}",
        "Source-Organization": agency_name,
    }
    result = {
        **tags,
        BAGIT: BAGIT_TXT,
        BAG_INFO: "".join(f"{label}: {value}\n" for label, value in info.items()).encode(),
        BY_HAND: by_hand(request_id).encode(),
        CERTIFICATE: certificate(agency_name, case, request_id, payload, at).encode(),
        MANIFEST: sums({name.removeprefix(f"{BAG}/"): digest.sha256 for name, digest in payload.items()}),
    }
    tag_sums = {name.removeprefix(f"{BAG}/"): Digest.of(data).sha256 for name, data in result.items()}
    return {**result, TAGMANIFEST: sums(tag_sums)}


def export_subjects(tagmanifest: bytes, seal_envelope: bytes) -> tuple[Subject, ...]:
    """Return the subjects of a response's `exported` custody event: the bag as sealed, and the seal."""
    return (
        Subject(name=SUBJECT_TAGMANIFEST, sha256=Digest.of(tagmanifest).sha256),
        Subject(name=SUBJECT_SEAL, sha256=Digest.of(seal_envelope).sha256),
    )


def seal_files(seal_envelope: bytes, exports: Mapping[str, LoggedEvent]) -> dict[str, bytes]:
    """Return the files beside the bag; `exports` maps each response id to its logged `exported` event."""
    result = {SEAL_ENVELOPE: seal_envelope}
    for response_id, event in exports.items():
        result[export_path(response_id, "dsse.json")] = event.envelope
        result[export_path(response_id, "nonce")] = event.nonce.hex().encode() + b"\n"
        result[export_path(response_id, "tlog-proof")] = event.proof
    # Unsigned: it finds damage. Forgery is found by the signatures and proofs that it lists.
    result[SEAL_SUMS] = sums({name.removeprefix(f"{SEAL}/"): Digest.of(data).sha256 for name, data in result.items()})
    return result


def certificate(agency_name: str, case: str, request_id: str, payload: Mapping[str, Digest], at: int) -> str:
    """Return the draft of a certification under Federal Rule of Evidence 902(14), for a qualified person to check and sign."""
    rows = "\n".join(f"| {name.removeprefix(f'{BAG}/')} | {d.size} | {d.sha256} |" for name, d in sorted(payload.items()))
    return f"""# Certification of data copied from an electronic device (FRE 902(14))

Draft. It states nothing until a qualified person has checked it and signed it.

Agency: {agency_name}
Case: {case}
Request: {request_id}
Bag made: {utc(at)}

I am familiar with the process by which the files below were received, kept and copied into this bag. Each was identified
by its SHA-256 hash when it was collected, and again when it was copied; the two hashes are equal. Every touch of the files
in between is a signed event in the folder `custody`, and was logged before it happened.

| file | bytes | SHA-256 |
| --- | --- | --- |
{rows}

Name, title:

Date, signature:
"""


def by_hand(request_id: str) -> str:
    """Return the recipe that checks a bag with stock tools; each line that begins with `$ ` is a command."""
    return f"""CHECKING THIS EVIDENCE BY HAND                                   request {request_id}

`fairwitness-verify --trust POLICY` does all of this. With stock tools, from the folder that holds `bag` and `seal`
(lines that begin with a dollar sign are shell commands; GNU coreutils):

1. No file was changed or lost. Every line must end in OK, and no file may be present that is not listed:

$ (cd bag && sha256sum -c tagmanifest-sha256.txt && sha256sum -c manifest-sha256.txt)
$ (cd seal && sha256sum -c sha256.txt)

2. The seal names this bag. The first hash must stand in the statement that follows it:

$ sha256sum bag/tagmanifest-sha256.txt
$ sed 's/.*"payload":"\\([^"]*\\)".*/\\1/' seal/seal.dsse.json | base64 -d

   The signature is Ed25519 over the bytes  DSSEv1 L1 T L2 P  where T is payloadType, P the decoded payload, L1 and L2
   their lengths in bytes in decimal, with single spaces between. The agency's keys stand in bag/proofs/directory.lines.

3. The request is in the public log. Its leaf hash:

$ {{ printf '\\000'; cat bag/proofs/request.entry.json; }} | sha256sum

   bag/proofs/request.tlog-proof holds: a header, `index I`, the path hashes in base64, an empty line, then the
   checkpoint: log name, tree size N, root in base64, an empty line, signatures. Arithmetic (RFC 9162, 2.1.3.2):
     h = leaf hash, f = I, s = N - 1
     for each path hash p: if s = 0, fail.
       if f is odd or f = s:  h = SHA-256(01 p h); while f is even and not 0: halve f and s (dropping remainders)
       else:                  h = SHA-256(01 h p)
       halve f and s (dropping remainders)
     at the end s must be 0 and h must be the root.
   A signature line is: dash, name, base64 of 4 bytes of key id and the signature. The log's 64 bytes sign the checkpoint
   text up to and with the newline before the empty line. A witness's 72 bytes are an 8-byte time t and an Ed25519
   signature over  cosignature/v1 LF time t LF  followed by the same text. Take the keys from a policy that you have from
   somewhere other than this bag; at least its quorum of witnesses must have signed.
   bag/proofs/tick.* is checked alike; sha256sum bag/proofs/directory.lines must be the `agencies` of tick.entry.json.

4. Custody. For each number NNNNN in bag/custody/RESPONSE, and for seal/export-RESPONSE, the leaf data is 32 bytes:

$ nonce() {{ tr a-f A-F < "$1" | basenc --base16 -d -i; }}
$ data() {{ printf 'fairwitness/s1'; nonce "$1.nonce"; cat "$1.dsse.json"; }}
$ for n in bag/custody/*/*.nonce seal/*.nonce; do echo "$(data "${{n%.nonce}}" | sha256sum | cut -c1-64)  $n"; done

   The leaf hash is SHA-256(00 data); the proof is checked as in 3, with the sealed log's name. In each event `prev` is
   the SHA-256 of the envelope before it (64 zeros in the first):

$ sha256sum bag/custody/*/*.dsse.json seal/*.dsse.json
"""
