"""The public age test kit (C2SP/CCTV), for the X25519 files that this project uses."""

import hashlib
import os
from pathlib import Path

import pytest
from fairwitness_core.crypto import seal
from fairwitness_core.wire.errors import ProtocolError

pytestmark = pytest.mark.testdata
DATA = Path(os.environ.get("FAIRWITNESS_TEST_DATA", Path(__file__).resolve().parents[2] / "../shared/data"))
KIT = DATA / "vectors" / "age-cctv"


def cases():
    return sorted(KIT.iterdir()) if KIT.is_dir() else []


def load(path):
    head, _, body = path.read_bytes().partition(b"\n\n")
    fields = [line.split(": ", 1) for line in head.decode().splitlines()]
    return {key: [v for k, v in fields if k == key] for key, _ in fields}, body


@pytest.mark.skipif(not cases(), reason="no test data: set FAIRWITNESS_TEST_DATA")
def test_every_x25519_file_of_the_kit():
    ran = 0
    for path in cases():
        fields, body = load(path)
        identities = fields.get("identity", [])
        if fields.get("compressed") or any(not i.startswith("AGE-SECRET-KEY-1") for i in identities):
            continue
        if any(i.startswith("AGE-SECRET-KEY-PQ") for i in identities) or not identities:
            continue  # hybrid keys and passphrases are not used here
        ran += 1
        if "armored" in fields:
            # Armour is refused whole: one message has one encoding.
            with pytest.raises(ProtocolError):
                seal.open_bytes(body, identities)
            continue
        if fields["expect"] == ["success"]:
            assert hashlib.sha256(seal.open_bytes(body, identities)).hexdigest() == fields["payload"][0], path.name
        else:
            with pytest.raises(ProtocolError):
                seal.open_bytes(body, identities)
    assert ran >= 40
