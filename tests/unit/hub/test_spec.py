"""The worked examples of docs/spec are what the code makes."""

import hashlib
from pathlib import Path

from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.crypto.tokens import challenge_digest
from fairwitness_core.model.custody import commitment
from fairwitness_core.model.feed import Line, compress, scope_root
from fairwitness_core.model.hub import FeedTick
from fairwitness_core.rules.inbox import inbox_leaf, inbox_root
from fairwitness_core.tlog import merkle
from fairwitness_core.wire import dsse

from fairwitness.hub.services import tokens

SPEC = Path(__file__).parents[3] / "docs" / "spec"
KEY = SigningKey(b"\1" * 32)


def page(name):
    return (SPEC / name).read_text("utf-8")


def test_feed():
    gzip = compress([])
    root = scope_root(30_000_000, gzip)
    empty = hashlib.sha256(b"").hexdigest()
    tick = FeedTick(tick=30_000_000, root=root, scopes=1, agencies=empty, prev_tick_index=0, at=1_800_000_000)
    entry = dsse.sign(dsse.ENTRY, tick.encode(), KEY).encode()
    line = Line(5, dsse.sign(dsse.ENTRY, b'{"type":"x","v":1}', KEY)).encode().decode().strip().replace("\t", "→")
    text = page("feed.md")
    shown = [gzip.hex(), hashlib.sha256(gzip).hexdigest(), root.hex(), KEY.public.kid, line]
    shown += [hashlib.sha256(entry).hexdigest(), merkle.leaf_hash(entry).hex(), dsse.b64(root), f"{len(entry)} bytes"]
    assert [item for item in shown if item not in text] == []


def test_inbox():
    leaf = inbox_leaf("11" * 32, "22" * 32, 30_000_000)
    leaves = sorted([leaf, *(hashlib.sha256(bytes([n])).digest() for n in range(63))])
    text = page("inbox.md")
    shown = [leaf.hex(), inbox_root(leaves).hex(), f"position {leaves.index(leaf)}"]
    assert [item for item in shown if item not in text] == []


def test_sealed_ledger():
    leaf = commitment(b"\xa0" * 32, b"envelope")
    batch = sorted([leaf, *(hashlib.sha256(bytes([n])).digest() for n in range(7))])
    frontier = merkle.Frontier()
    frontier.extend(batch)
    text = page("sealed-ledger.md")
    shown = [leaf.hex(), merkle.leaf_hash(leaf).hex(), frontier.root().hex(), f"position {batch.index(leaf)}"]
    assert [item for item in shown if item not in text] == []


def test_hub_api(world):
    text = page("hub-api.md")
    assert challenge_digest("hub.example", "hub.example").hex() in text
    assert tokens._code_hash("24j6-5cq7 43xg-7yz5") in text
    assert world.client.get(f"/v1/uploads/{'0' * 64}").content.decode() in text
