import base64
import json

import pytest
import testdata
from fairwitness_core.tlog import merkle
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

LEAVES = [b"leaf %d" % n for n in range(300)]


def reference_root(leaves):
    """The definition of RFC 6962 section 2.1, word for word and slow."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return merkle.leaf_hash(leaves[0])
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    return merkle.node_hash(reference_root(leaves[:k]), reference_root(leaves[k:]))


def reference_path(m, leaves):
    if len(leaves) == 1:
        return []
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    if m < k:
        return [*reference_path(m, leaves[:k]), reference_root(leaves[k:])]
    return [*reference_path(m - k, leaves[k:]), reference_root(leaves[:k])]


def reference_consistency(m, leaves, whole=True):
    if m == len(leaves):
        return [] if whole else [reference_root(leaves)]
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    if m <= k:
        return [*reference_consistency(m, leaves[:k], whole), reference_root(leaves[k:])]
    return [*reference_consistency(m - k, leaves[k:], False), reference_root(leaves[:k])]


def read(level, index):
    return reference_root(LEAVES[index << level : (index + 1) << level])


def stored(leaves):
    edge = merkle.Frontier()
    return edge, edge.extend(leaves)


def test_the_empty_root_is_the_hash_of_nothing():
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.tree_root(0, read) == merkle.Frontier().root() == merkle.EMPTY_ROOT


def test_proofs_equal_the_definition_for_every_small_tree():
    for size in range(1, 41):
        leaves = LEAVES[:size]
        root = reference_root(leaves)
        assert merkle.tree_root(size, read) == root
        for index in range(size):
            path = merkle.inclusion(index, size, read)
            assert path == reference_path(index, leaves)
            merkle.verify_inclusion(merkle.leaf_hash(leaves[index]), index, size, path, root)
        for old in range(1, size + 1):
            path = merkle.consistency(old, size, read)
            assert path == reference_consistency(old, leaves)
            merkle.verify_consistency(old, reference_root(leaves[:old]), size, root, path)


def test_a_growing_edge_gives_every_root_and_stores_every_node_in_its_place():
    edge, one_by_one = merkle.Frontier(), []
    for size, leaf in enumerate(LEAVES, 1):
        one_by_one += edge.append(merkle.leaf_hash(leaf))
        assert edge.root() == reference_root(LEAVES[:size])
        assert len(one_by_one) == merkle.stored_count(size)
    whole, done = stored(LEAVES)
    assert done == one_by_one
    assert whole.root() == edge.root()
    for level in range(9):
        for index in range(len(LEAVES) >> level):
            assert done[merkle.stored_position(level, index)] == read(level, index)
    again = merkle.Frontier.at(len(LEAVES), read)
    assert (again.size, again.root()) == (edge.size, edge.root())
    copy = edge.copy()
    copy.append(bytes(32))
    assert edge.root() != copy.root()


@given(st.data())
def test_any_change_of_a_proof_is_refused(data):
    size = data.draw(st.integers(2, 300))
    index = data.draw(st.integers(0, size - 1))
    root, leaf = merkle.tree_root(size, read), merkle.leaf_hash(LEAVES[index])
    path = merkle.inclusion(index, size, read)
    merkle.verify_inclusion(leaf, index, size, path, root)
    at, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    flipped = bytearray(path[at])
    flipped[bit // 8] ^= 1 << bit % 8
    other = data.draw(st.integers(0, 400).filter(lambda n: n != index))
    for bad in (
        (leaf, index, size, [*path[:at], bytes(flipped), *path[at + 1 :]], root),
        (leaf, index, size, path[:-1], root),
        (leaf, index, size, [*path, path[-1]], root),
        (leaf, index, size, [*path[:-1], path[-1][:31]], root),
        (leaf, other, size, path, root),
        (leaf, -1, size, path, root),
        (merkle.leaf_hash(b"other"), index, size, path, root),
        (leaf[:31], index, size, path, root),
        (leaf, index, size, path, root[:12]),
    ):
        with pytest.raises(ProtocolError):
            merkle.verify_inclusion(*bad)


@given(st.data())
def test_any_change_of_a_consistency_proof_is_refused(data):
    new = data.draw(st.integers(2, 300))
    old = data.draw(st.integers(1, new - 1))
    roots = merkle.tree_root(old, read), merkle.tree_root(new, read)
    path = merkle.consistency(old, new, read)
    merkle.verify_consistency(old, roots[0], new, roots[1], path)
    at = data.draw(st.integers(0, len(path) - 1))
    for bad in (
        (old, roots[0], new, roots[1], [*path[:at], bytes(32), *path[at + 1 :]]),
        (old, roots[0], new, roots[1], path[:-1]),
        (old, roots[0], new, roots[1], [*path, bytes(32)]),
        (old, roots[1], new, roots[1], path),
        (old, roots[0], new, bytes(32), path),
        (0, merkle.EMPTY_ROOT, new, roots[1], []),
        (0, merkle.EMPTY_ROOT, new, roots[1], path),
        (new, roots[0], new, roots[1], []),
        (new, roots[1], new, roots[1], path),
        (new, roots[1], old, roots[0], path),
    ):
        with pytest.raises(ProtocolError):
            merkle.verify_consistency(*bad)


def test_proofs_for_what_is_not_there_are_our_own_mistake():
    for call in (
        lambda: merkle.inclusion(5, 5, read),
        lambda: merkle.inclusion(-1, 5, read),
        lambda: merkle.consistency(0, 5, read),
        lambda: merkle.consistency(6, 5, read),
    ):
        with pytest.raises(ValueError, match="there is no"):
            call()


def hashes(items):
    # One published file carries a root of twelve bytes; here a hash of another length than 32 is never accepted.
    return [base64.b64decode(item) for item in items or ()]


@pytest.mark.testdata
def test_published_inclusion_vectors():
    for path in testdata.files("vectors/rfc6962-merkle/inclusion/**/*.json"):
        case = json.loads(path.read_bytes())
        leaf, root = hashes([case["leafHash"], case["root"]])
        arguments = (leaf, case["leafIdx"], case["treeSize"], hashes(case["proof"]), root)
        if case["wantErr"]:
            with pytest.raises(ProtocolError):
                merkle.verify_inclusion(*arguments)
        else:
            merkle.verify_inclusion(*arguments)


@pytest.mark.testdata
def test_published_consistency_vectors():
    for path in testdata.files("vectors/rfc6962-merkle/consistency/**/*.json"):
        case = json.loads(path.read_bytes())
        old_root, new_root = hashes([case["root1"], case["root2"]])
        arguments = (case["size1"], old_root, case["size2"], new_root, hashes(case["proof"]))
        odd = len(old_root) != 32 or len(new_root) != 32
        if case["wantErr"] or odd:
            with pytest.raises(ProtocolError):
                merkle.verify_consistency(*arguments)
        else:
            merkle.verify_consistency(*arguments)
