"""The tree over a day's received responses (protocol.md 5.4): a promise to a responder can be checked against its root."""

import hashlib
from collections.abc import Sequence

from fairwitness_core.tlog import merkle


def inbox_leaf(response_id: str, sealed: str, tick: int) -> bytes:
    """Return the leaf of a received response (protocol.md 5.4): ids as lower-case hex of 32 bytes."""
    data = b"fairwitness/inbox" + bytes.fromhex(response_id) + bytes.fromhex(sealed) + tick.to_bytes(8, "big")
    return hashlib.sha256(data).digest()


def inbox_root(leaves: Sequence[bytes]) -> bytes:
    """Return the RFC 6962 root over a day's 32-byte leaves in the order of the file."""
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier.append(merkle.leaf_hash(leaf))
    return frontier.root()
