from fairwitness_core.tlog import merkle, tiles


def published(entries):
    """Every file of a log of `entries`, made without the code that reads it back."""
    found = {}
    level, row = 0, [merkle.leaf_hash(entry) for entry in entries]
    for n in range(0, len(entries), 256):
        part = entries[n : n + 256]
        found[tiles.entries_path(n // 256, len(part))] = tiles.encode_bundle(part)
    while row:
        above = []
        for n in range(0, len(row), 256):
            part = row[n : n + 256]
            found[tiles.tile_path(level, n // 256, len(part))] = b"".join(part)
            if len(part) == 256:
                while len(part) > 1:
                    part = [merkle.node_hash(*part[k : k + 2]) for k in range(0, len(part), 2)]
                above.append(part[0])
        row, level = above, level + 1
    return found
