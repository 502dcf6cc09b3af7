"""Write the core's golden vectors, the golden evidence bag and the page of worked examples; `--check` only compares.

    scripts/make_vectors.py [--check]

All of it follows from one seed, so a change of a format shows as a change of these files. Exit 1 when they differ.
"""

import argparse
import hashlib
import json
import shutil
import struct
import sys
import textwrap
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fairwitness_core.crypto.sign import SigningKey  # noqa: E402
from fairwitness_core.model.custody import commitment  # noqa: E402
from fairwitness_core.model.feed import Container, Line, scope_root  # noqa: E402
from fairwitness_core.model.recording import RecordingProof, chain_commitment, original_commitment, split  # noqa: E402
from fairwitness_core.wire import dsse  # noqa: E402

from core.tests.verify.bagworld import World  # noqa: E402
from core.tests.verify.wire_examples import documents  # noqa: E402

GOLDEN = "core/vectors/golden.json"
BAG = "core/vectors/bag"
OBJECTS = "docs/spec/objects.md"
ABOUT = """Each document is canonical JSON (RFC 8785): what stands below is spread over lines for reading; the bytes on the wire
hold no space between tokens. `v` is the version. A signed document travels in a DSSE envelope, whose signatures are
Ed25519 over `DSSEv1 SP len(payloadType) SP payloadType SP len(payload) SP payload`. The signing keys of these
examples are made from public seeds.
"""


def stored_gzip(data: bytes) -> bytes:
    """Return a gzip member with one stored block: every zlib reads it, and none has a say in its bytes (RFC 1951, 1952)."""
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    block = b"\x01" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data
    return head + block + struct.pack("<II", zlib.crc32(data), len(data))


def golden(world: World) -> dict[str, object]:
    """Return the golden vectors as a JSON value."""
    rows = []
    for document, payload_type, keys in documents(world):
        payload = document.to_statement() if payload_type == dsse.STATEMENT else document.encode()
        row = {"type": document.TYPE, "document": document.encode().decode()}
        if payload_type is not None:
            envelope = dsse.sign(payload_type, payload, *keys)
            row |= {
                "payload_type": payload_type,
                "payload": payload.decode(),
                "seeds": [key.seed.hex() for key in keys],
                "envelope": envelope.encode().decode(),
            }
        rows.append(row)
    lines = [Line(2, dsse.Envelope.parse(world.request_entry))]
    content = stored_gzip(lines[0].encode())
    nonce = world.secret("nonce")
    return {
        "about": "Made by scripts/make_vectors.py from the seed below. Keys are SHA-256 of seed and label: never use them.",
        "seed": world.seed,
        "documents": rows,
        "feed": {
            "line": lines[0].encode().decode(),
            "container": Container("proof", content).encode().hex(),
            "tick": 7,
            "root": scope_root(7, content).hex(),
        },
        "custody": {
            "nonce": nonce.hex(),
            "envelope": rows[-2]["envelope"],
            "commitment": commitment(nonce, str(rows[-2]["envelope"]).encode()).hex(),
        },
        "recording": recording(rows, world),
        "directory": {"lines": world.directory.encode().decode(), "digest": world.directory.digest()},
    }


def recording(rows: list[dict[str, str]], world: World) -> dict[str, object]:
    """Return what a clip's commitments come to, for the recording proof among the documents."""
    proof = RecordingProof.read(next(row["document"] for row in rows if row["type"] == RecordingProof.TYPE).encode())
    records, record = [], bytes.fromhex(proof.before)
    for link in proof.links:
        record = link.record(record)
        records.append(record.hex())
    sums = [link.sha256 for link in proof.links]
    return {
        "decoder_sha256": world.secret("avcC").hex(),
        "samples": [world.secret(f"picture {n}").hex() for n in range(3)],
        "digests": [digest.hex() for digest in split(proof.pictures[0])],
        "records": records,
        "chain_commit": chain_commitment(bytes.fromhex(proof.salt), record),
        "orig_commit_of_one": original_commitment(bytes.fromhex(proof.orig_salt), sums[:1]),
        "orig_commit_of_both": original_commitment(bytes.fromhex(proof.orig_salt), sums),
    }


def page(vectors: dict[str, object], world: World) -> str:
    """Return the page of worked examples."""
    described = {kind.TYPE: kind for kind in (type(document) for document, _, _ in documents(world))}
    parts = [
        "# Wire objects, worked out\n",
        "Made by `scripts/make_vectors.py` from `core/vectors/golden.json`; a test fails when this page and the code differ.\n",
        ABOUT,
    ]
    rows = vectors["documents"]
    assert isinstance(rows, list)  # noqa: S101
    for row in rows:
        kind = described[row["type"]]
        shown = json.dumps(json.loads(row.get("payload", row["document"])), indent=2, ensure_ascii=False)
        parts.append(f"## {row['type']}\n")
        parts.append(textwrap.dedent("    " + str(kind.__doc__)).strip() + "\n")
        parts.append(f"```json\n{shown}\n```\n")
        if "envelope" in row:
            signers = ", ".join(f"`{SigningKey(bytes.fromhex(seed)).public.kid}`" for seed in row["seeds"])
            digest = hashlib.sha256(row["envelope"].encode()).hexdigest()
            parts.append(
                f"Payload: {len(row['payload'].encode())} bytes of type `{row['payload_type']}`. Signed by {signers}.\n"
                f"SHA-256 of the envelope: `{digest}`\n"
            )
            if row["type"] == "log_genesis":
                parts.append(f"The whole envelope:\n\n```json\n{row['envelope']}\n```\n")
        else:
            digest = hashlib.sha256(row["document"].encode()).hexdigest()
            parts.append(f"Not signed; {len(row['document'].encode())} bytes, SHA-256 `{digest}`\n")
    return "\n".join(parts)


def build() -> dict[str, bytes]:
    """Return every file by its path from the root of the repository."""
    world = World()
    vectors = golden(world)
    files = {
        GOLDEN: json.dumps(vectors, indent=1, ensure_ascii=False).encode() + b"\n",
        OBJECTS: page(vectors, world).encode(),
        f"{BAG}/trust.json": world.trust.encode() + b"\n",
        f"{BAG}/join.json": world.join.encode(),
    }
    return files | {f"{BAG}/export/{name}": data for name, data in world.files.items()}


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    check = parser.parse_args().check
    files = build()
    present = {str(path.relative_to(ROOT)) for path in (ROOT / BAG).rglob("*") if path.is_file()}
    stale = sorted(present - set(files))
    differ = [n for n, data in files.items() if not (ROOT / n).is_file() or (ROOT / n).read_bytes() != data] + stale
    if check:
        for name in differ:
            print(f"differs: {name}")
        return 1 if differ else 0
    shutil.rmtree(ROOT / BAG, ignore_errors=True)
    for name, data in files.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_bytes(data)
    print(f"{len(files)} files, {len(differ)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
