"""The golden vectors, the golden bag and the page of worked examples are what the code makes today."""

import hashlib
import json
import re

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.wire import dsse

from scripts import make_vectors


def test_the_files_are_what_the_code_makes():
    files = make_vectors.build()
    differ = [name for name, data in files.items() if (make_vectors.ROOT / name).read_bytes() != data]
    assert not differ, "run scripts/make_vectors.py and look at what changed"
    bag = make_vectors.ROOT / make_vectors.BAG
    assert {str(p.relative_to(make_vectors.ROOT)) for p in bag.rglob("*") if p.is_file()} == {
        name for name in files if name.startswith(make_vectors.BAG)
    }


def test_golden_envelopes_are_signed_as_they_say():
    vectors = json.loads((make_vectors.ROOT / make_vectors.GOLDEN).read_text())
    signed = 0
    for row in vectors["documents"]:
        if "envelope" not in row:
            continue
        keys = [SigningKey(bytes.fromhex(seed)).public for seed in row["seeds"]]
        envelope = dsse.Envelope.parse(row["envelope"].encode())
        assert envelope.verify(row["payload_type"], *keys) == row["payload"].encode()
        signed += 1
    assert signed > 20


def test_the_page_shows_each_vector():
    page = (make_vectors.ROOT / make_vectors.OBJECTS).read_text()
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", page, re.DOTALL)]
    for row in json.loads((make_vectors.ROOT / make_vectors.GOLDEN).read_text())["documents"]:
        assert json.loads(row.get("payload", row["document"])) in shown, row["type"]
        assert f"## {row['type']}\n" in page
        if "envelope" in row:
            assert hashlib.sha256(row["envelope"].encode()).hexdigest() in page
