import pytest
import testdata
from fairwitness_core.tlog import checkpoint, merkle, note, tiles
from fairwitness_core.verify.log import check_log
from fairwitness_core.wire.errors import ProtocolError
from hypothesis import given
from hypothesis import strategies as st
from tlog_builder import published

TESSERA = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


@pytest.mark.parametrize(
    ("path", "level", "n", "width"),
    [
        ("tile/0/000", 0, 0, 256),
        ("tile/0/x001/234.p/5", 0, 1234, 5),
        ("tile/3/x001/x234/067", 3, 1234067, 256),
        ("tile/entries/x123/x456/789.p/255", None, 123456789, 255),
        ("tile/entries/999", None, 999, 256),
    ],
)
def test_paths_are_those_of_the_specification(path, level, n, width):
    assert tiles.parse_path(path) == tiles.TilePath(level, n, width)
    assert tiles.TilePath(level, n, width).encode() == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/8/000",
        "tile/-1/000",
        "tile/00/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/001/234",
        "tile/0/x001/../234",
        "tile/data/000",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/" + "x999/" * 9 + "999",
    ],
)
def test_other_spellings_are_refused(path):
    with pytest.raises(ProtocolError):
        tiles.parse_path(path)


@given(st.one_of(st.none(), st.integers(0, 7)), st.integers(0, 2**62), st.integers(1, 256))
def test_every_tile_has_one_path(level, n, width):
    tile = tiles.TilePath(level, n, width)
    assert tiles.parse_path(tile.encode()) == tile


@given(st.text(max_size=30) | st.from_regex(r"tile/[0-9a-z]{1,7}/[x0-9/]{1,12}(\.p/[0-9]{1,3})?", fullmatch=True))
def test_a_path_is_read_back_as_it_was_written_or_refused(text):
    try:
        found = tiles.parse_path(text)
    except ProtocolError:
        return
    assert found.encode() == text


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_bundles_round_trip(entries):
    data = tiles.encode_bundle(entries)
    assert list(tiles.parse_bundle(data, len(entries))) == entries
    for bad in (data[:-1], data + b"\0", data + b"\0\0"):
        with pytest.raises(ProtocolError):
            tiles.parse_bundle(bad, len(entries))


@given(st.binary(max_size=60), st.integers(1, 4))
def test_any_bytes_are_a_bundle_or_refused(data, width):
    try:
        found = tiles.parse_bundle(data, width)
    except ProtocolError:
        return
    assert tiles.encode_bundle(found) == data


def test_an_entry_too_long_for_a_bundle_is_our_own_mistake():
    with pytest.raises(ValueError, match="does not fit"):
        tiles.encode_bundle([bytes(65536)])
    assert tiles.parse_bundle(tiles.encode_bundle([bytes(65535)]), 1) == (bytes(65535),)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700])
def test_proofs_from_tiles(size):
    entries = [b"%d" % n for n in range(size)]
    served = published(entries)
    edge = merkle.Frontier()
    edge.extend(entries)
    read = tiles.node_reader(served.__getitem__, size)
    assert merkle.tree_root(size, read) == edge.root()
    for index in {0, size // 2, size - 1}:
        path = merkle.inclusion(index, size, read)
        merkle.verify_inclusion(merkle.leaf_hash(entries[index]), index, size, path, edge.root())
    assert {path.encode() for path in tiles.tiles_for(0, size)} == set(served)


def test_a_partial_tile_that_is_gone_is_cut_from_the_full_one():
    served = published([b"%d" % n for n in range(256)])
    assert tiles.fetch_tile(served.__getitem__, 0, 0, 3) == served["tile/0/000"][:96]
    assert tiles.fetch_tile(served.__getitem__, None, 0, 2) == tiles.encode_bundle([b"0", b"1"])
    with pytest.raises(KeyError):
        tiles.fetch_tile(served.__getitem__, 0, 1, 3)


@given(st.integers(0, 70000), st.integers(0, 70000))
def test_what_is_new_between_two_sizes_is_what_both_together_name(one, other):
    old, new = sorted((one, other))
    before, fresh = set(tiles.tiles_for(0, old)), set(tiles.tiles_for(old, new))
    assert set(tiles.tiles_for(0, new)) <= before | fresh


@pytest.mark.testdata
def test_every_tessera_tree_is_verified_whole():
    heads = testdata.files("vectors/tlog-tiles-tessera/log/checkpoint.*")
    key = note.VerifierKey.parse(TESSERA)
    for head in heads:
        folder = head.parent
        report = check_log(
            lambda path, head=head, folder=folder: (head if path == "checkpoint" else folder / path).read_bytes(),
            None,
            key,
        )
        assert report.ok, report.first_failure
        assert report.size == int(head.suffix[1:])
        assert not report.pinned
    for tile in testdata.files("vectors/tlog-tiles-tessera/log/tile/0/**/*"):
        found = tiles.parse_path(str(tile.relative_to(tile.parents[3])))
        tiles.parse_tile(tile.read_bytes(), found.width)


@pytest.mark.testdata
def test_the_sunlight_tree_has_this_layout_and_its_placeholder_tiles_are_refused():
    for head in testdata.files("vectors/sunlight-skylight/tree/checkpoint"):
        # Its signature is of a kind that only certificate logs use; note and checkpoint are the same as everywhere.
        signed = note.Note.parse(head.read_bytes())
        assert signed.encode() == head.read_bytes()
        found = checkpoint.Checkpoint.parse(signed.text)
        assert found.encode() == signed.text
        wanted = {path.encode() for path in tiles.tiles_for(0, found.size) if path.level is not None}
        assert wanted == {
            str(tile.relative_to(head.parent)) for tile in testdata.files("vectors/sunlight-skylight/tree/tile/[0-9]/**/*")
        }
        # The published files hold a word in place of hashes.
        read = tiles.node_reader(lambda path, head=head: (head.parent / path).read_bytes(), found.size)
        with pytest.raises(ProtocolError) as caught:
            merkle.tree_root(found.size, read)
        assert caught.value.code == "tile.length"
