"""An independent implementation reads what we write, and we read what it writes."""

import aics_tlog as peer
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, tiles
from fairwitness_core.verify.log import check_log

SIZES = [1, 2, 3, 255, 256, 257, 600, 1000]
ENTRIES = [b"entry %d" % n for n in range(1000)]
ORIGIN = "log.example/peer"


def test_growing_side_by_side_gives_the_same_roots_tiles_and_proofs():
    store = peer.MemoryTileStore()
    writer = peer.IncrementalTileWriter(store, prune_partials=False)
    edge = merkle.Frontier()
    for size in SIZES:
        fresh = ENTRIES[edge.size : size]
        writer.append(fresh)
        edge.extend(fresh)
        assert writer.root() == edge.root()
        read = tiles.node_reader(store.tiles.__getitem__, size)
        assert merkle.tree_root(size, read) == edge.root()
        for path in tiles.tiles_for(0, size):
            assert path.encode() in store.tiles
        for index in {0, size // 3, size - 1}:
            ours = merkle.inclusion(index, size, read)
            assert ours == peer.inclusion_proof_from_tiles(store, index, size)
            assert peer.verify_leaf_inclusion(ENTRIES[index], index, size, ours, edge.root())
            merkle.verify_inclusion(merkle.leaf_hash(ENTRIES[index]), index, size, ours, edge.root())
        for old in {1, size // 2, size - 1} - {0}:
            if old > size:
                continue
            ours = merkle.consistency(old, size, read)
            assert ours == peer.consistency_proof_from_tiles(store, old, size)
            roots = merkle.tree_root(old, read), edge.root()
            assert peer.verify_consistency(old, size, *roots, ours)
            merkle.verify_consistency(old, roots[0], size, roots[1], ours)


@pytest.mark.parametrize("cosigners", [0, 1, 2])
def test_notes_and_cosignatures_are_read_by_either_side(cosigners):
    ours = SigningKey(b"\1" * 32)
    theirs = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    vkey = note.VerifierKey(ORIGIN, note.ED25519, ours.public)
    assert peer.format_vkey(peer.vkey_from_ed25519(ORIGIN, ours.public.raw)) == vkey.encode()
    head = checkpoint.Checkpoint(ORIGIN, 3, merkle.leaf_hash(b"x"))
    signed = checkpoint.sign(head, ours)
    assert peer.sign_checkpoint(peer.Checkpoint(ORIGIN, 3, head.root), theirs, ORIGIN).to_bytes() == signed.encode()
    keys = []
    for n in range(cosigners):
        name, seed = f"w{n}.example", bytes([10 + n]) * 32
        witness = SigningKey(seed)
        keys.append(peer.cosignature_vkey(name, witness.public.raw))
        line = cosignature.cosign(signed.text, name, witness, 1790000000 + n)
        _, theirs_line = peer.sign_cosignature(
            Ed25519PrivateKey.from_private_bytes(seed), name, 1790000000 + n, ORIGIN, 3, head.root
        )
        assert (line.name, line.key_id + line.signature) == (theirs_line.name, theirs_line.key_id + line.signature)
        signed = signed.with_signatures(line)
        assert cosignature.verify(signed, cosignature.vkey(name, witness.public)) == 1790000000 + n
    result = peer.verify_checkpoint(
        peer.parse_note(signed.encode()), peer.parse_vkey(vkey.encode()), keys, cosigners, expected_origin=ORIGIN
    )
    assert result.ok, result.error
    assert result.cosignature_count == cosigners


def test_our_whole_log_check_accepts_the_peers_log():
    store = peer.MemoryTileStore()
    writer = peer.IncrementalTileWriter(store)
    writer.append(ENTRIES)
    key = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    signed = peer.sign_checkpoint(peer.Checkpoint(ORIGIN, len(ENTRIES), writer.root()), key, ORIGIN).to_bytes()
    report = check_log(
        (store.tiles | {"checkpoint": signed}).__getitem__,
        None,
        note.VerifierKey(ORIGIN, note.ED25519, SigningKey(b"\1" * 32).public),
    )
    assert report.ok, report.first_failure
