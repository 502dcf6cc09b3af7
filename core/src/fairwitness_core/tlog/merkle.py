"""The Merkle tree of RFC 6962 section 2.1 over SHA-256: hashes, proofs and their verification.

Nothing here holds a tree. Functions that need stored hashes take a `NodeReader`, so that the same code serves a hash
file, published tiles and a test's dictionary.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

from fairwitness_core.wire.errors import ProtocolError

type NodeReader = Callable[[int, int], bytes]
"""`read(level, index)` MUST return the 32-byte hash of the complete subtree over leaves
`[index << level, (index + 1) << level)`; it is never asked for an incomplete one."""

HASH_SIZE = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return `H(00, data)` (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return `H(01, left, right)` (RFC 6962 section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: enough to append and to know the root, and nothing more."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        # Roots of the complete subtrees that make up the tree, largest first: one for each bit set in `size`.
        self._peaks: list[bytes] = []

    @classmethod
    def at(cls, size: int, read: NodeReader) -> "Frontier":
        """Return the edge of the tree of `size` leaves whose stored hashes `read` gives."""
        edge = cls()
        edge.size = size
        edge._peaks = [read(level, index) for level, index in _peaks(0, size)]
        return edge

    def append(self, leaf: bytes) -> list[bytes]:
        """Add one leaf hash; return the hashes that it completes, the leaf's own first, each a level above the last."""
        done = [leaf]
        peaks, number = self._peaks, self.size
        while number & 1:
            leaf = sha256(b"\x01" + peaks.pop() + leaf).digest()
            done.append(leaf)
            number >>= 1
        peaks.append(leaf)
        self.size += 1
        return done

    def extend(self, entries: Sequence[bytes]) -> list[bytes]:
        """Add the leaf hash of each entry; return all hashes completed, in the order of `stored_position`."""
        done: list[bytes] = []
        keep = done.append
        peaks, size, hasher = self._peaks, self.size, sha256
        for entry in entries:
            current = hasher(b"\x00" + entry).digest()
            keep(current)
            number = size
            while number & 1:
                current = hasher(b"\x01" + peaks.pop() + current).digest()
                keep(current)
                number >>= 1
            peaks.append(current)
            size += 1
        self.size = size
        return done

    def root(self) -> bytes:
        """Return the root of the tree so far; of no leaves, SHA-256 of nothing."""
        if not self._peaks:
            return EMPTY_ROOT
        return _fold_right(self._peaks)

    def copy(self) -> "Frontier":
        """Return an independent copy."""
        twin = Frontier()
        twin.size, twin._peaks = self.size, list(self._peaks)
        return twin


def stored_position(level: int, index: int) -> int:
    """Return where a node stands when hashes are stored in the order in which leaves complete them (32 bytes each)."""
    last_leaf = ((index + 1) << level) - 1
    return 2 * last_leaf - last_leaf.bit_count() + level


def stored_count(size: int) -> int:
    """Return how many hashes are stored for a tree of `size` leaves."""
    return 2 * size - size.bit_count()


def tree_root(size: int, read: NodeReader) -> bytes:
    """Return the root of the first `size` leaves."""
    if size == 0:
        return EMPTY_ROOT
    return _range_hash(0, size, read)


def inclusion(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size` leaves (RFC 6962 section 2.1.1).

    Raises ValueError where there is no such leaf: indexes are ours to choose, not foreign bytes.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    return _path(index, 0, size, read)


def consistency(old: int, new: int, read: NodeReader) -> list[bytes]:
    """Return the proof that the tree of `new` leaves begins with that of `old` (RFC 6962 section 2.1.2).

    Raises ValueError unless `0 < old <= new`.
    """
    if not 0 < old <= new:
        raise ValueError(f"there is no consistency proof from {old} to {new}")
    if old == new:
        return []
    # The largest complete subtree that ends at `old` is a node of both trees. Its path in the new tree is the proof;
    # the verifier knows the node itself when it is the whole old tree.
    level = (old & -old).bit_length() - 1
    index = (old - 1) >> level
    path = _path(index, level, new, read)
    return path if index == 0 else [read(level, index), *path]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the tree with `root` over `size` leaves holds the leaf hash `leaf` at `index`.

    On return (RFC 9162 section 2.1.3.2):
    1. `0 <= index < size`, and each hash has 32 bytes;
    2. the path has exactly the length that the two numbers demand;
    3. folding the path over the leaf gives the root.
    Raises ProtocolError otherwise.
    """
    # 1.
    if not 0 <= index < size <= MAX_SIZE:
        raise ProtocolError("merkle.index", "the leaf lies outside the tree", evidence=f"{index} of {size}")
    if len(leaf) != 32 or len(root) != 32:
        raise ProtocolError("merkle.hash_length", "a leaf hash and a root have 32 bytes")
    # 2. Levels below `inner` have a sibling each; above, only where the leaf is in a right branch (left siblings).
    last = size - 1
    inner = (index ^ last).bit_length()
    if len(path) != inner + (index >> inner).bit_count():
        raise ProtocolError("merkle.path_length", "the inclusion proof has the wrong length", evidence=str(len(path)))
    # 3.
    hasher = sha256
    current = leaf
    for level, sibling in enumerate(path):
        if len(sibling) != 32:
            raise ProtocolError("merkle.hash_length", "a hash of the proof has not 32 bytes", evidence=sibling.hex())
        if level >= inner or (index >> level) & 1:
            current = hasher(b"\x01" + sibling + current).digest()
        else:
            current = hasher(b"\x01" + current + sibling).digest()
    if current != root:
        raise ProtocolError("merkle.inclusion", "the inclusion proof does not lead to the root", evidence=current.hex())


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree of `new` leaves begins with the tree of `old` leaves.

    On return (RFC 9162 section 2.1.4.2):
    1. `0 < old <= new` (everything is consistent with nothing, so an empty old tree proves nothing), 32 bytes a hash;
    2. equal sizes have equal roots and an empty proof;
    3. the path has exactly the length that the two numbers demand;
    4. the path leads to the old root;
    5. the path leads to the new root.
    Raises ProtocolError otherwise.
    """
    # 1.
    if not 0 < old <= new <= MAX_SIZE:
        raise ProtocolError("merkle.sizes", "the sizes allow no consistency proof", evidence=f"{old} to {new}")
    if len(old_root) != 32 or len(new_root) != 32 or any(len(item) != 32 for item in path):
        raise ProtocolError("merkle.hash_length", "each hash has 32 bytes")
    # 2.
    if old == new:
        if path:
            raise ProtocolError("merkle.path_length", "equal sizes need an empty proof", evidence=str(len(path)))
        if old_root != new_root:
            raise ProtocolError("merkle.consistency", "two roots for one size", evidence=new_root.hex())
        return
    # 3.
    level = (old & -old).bit_length() - 1
    index = (old - 1) >> level
    inner = (index ^ ((new - 1) >> level)).bit_length()
    start = 0 if index == 0 else 1
    if len(path) != start + inner + (index >> inner).bit_count():
        raise ProtocolError("merkle.path_length", "the consistency proof has the wrong length", evidence=str(len(path)))
    # 4. and 5. Left siblings belong to both trees, right siblings to the new one only.
    old_hash = new_hash = path[0] if start else old_root
    for height, sibling in enumerate(path[start:]):
        if height >= inner or (index >> height) & 1:
            old_hash = node_hash(sibling, old_hash)
            new_hash = node_hash(sibling, new_hash)
        else:
            new_hash = node_hash(new_hash, sibling)
    if old_hash != old_root:
        raise ProtocolError("merkle.consistency", "the proof does not lead to the old root", evidence=old_hash.hex())
    if new_hash != new_root:
        raise ProtocolError("merkle.consistency", "the proof does not lead to the new root", evidence=new_hash.hex())


def _peaks(begin: int, end: int) -> list[tuple[int, int]]:
    """Split `[begin, end)` into complete subtrees, largest first; `begin` is a multiple of the largest."""
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append((level, begin >> level))
        begin += 1 << level
    return found


def _fold_right(hashes: Sequence[bytes]) -> bytes:
    current = hashes[-1]
    for left in reversed(hashes[:-1]):
        current = node_hash(left, current)
    return current


def _range_hash(begin: int, end: int, read: NodeReader) -> bytes:
    return _fold_right([read(level, index) for level, index in _peaks(begin, end)])


def _path(index: int, level: int, size: int, read: NodeReader) -> list[bytes]:
    """Return the siblings from node (`level`, `index`) up to the root of the tree of `size` leaves."""
    last = (size - 1) >> level
    inner = (index ^ last).bit_length()
    path = []
    for height in range(inner):
        sibling = (index >> height) ^ 1
        here = level + height
        if (sibling + 1) << here <= size:
            path.append(read(here, sibling))
        else:
            path.append(_range_hash(sibling << here, size, read))
    above = index >> inner
    height = level + inner
    while above:
        if above & 1:
            path.append(read(height, above - 1))
        above >>= 1
        height += 1
    return path
