"""The static layout of a log: C2SP tlog-tiles (paths, tiles of 256 hashes, entry bundles)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fairwitness_core.tlog import merkle
from fairwitness_core.wire.errors import ProtocolError

type Fetch = Callable[[str], bytes]
"""`fetch(path)` MUST return the whole file at the relative path; it MUST raise LookupError or FileNotFoundError where
there is none, and may raise whatever its transport raises for other faults."""

WIDTH = 256
HEIGHT = 8
MAX_ENTRY = 0xFFFF
MAX_LEVEL = 7  # 63-bit sizes need eight tile levels at most
_PATH = re.compile(r"tile/(entries|0|[1-7])/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)
_NODES = 4096


@dataclass(frozen=True, slots=True)
class TilePath:
    """What a path names: `level` 0 to 7, or None for an entry bundle; number `n`; `width` of 1 to 256 items."""

    level: int | None
    n: int
    width: int

    def encode(self) -> str:
        """Return the relative path."""
        if self.level is None:
            return entries_path(self.n, self.width)
        return tile_path(self.level, self.n, self.width)


def tile_path(level: int, n: int, width: int = WIDTH) -> str:
    """Return the path of the hash tile number `n` of `level`, holding `width` hashes."""
    if not 0 <= level <= MAX_LEVEL:
        raise ValueError(f"there is no tile level {level}")
    return f"tile/{level}/{_number(n)}{_suffix(width)}"


def entries_path(n: int, width: int = WIDTH) -> str:
    """Return the path of entry bundle number `n`, holding `width` entries."""
    return f"tile/entries/{_number(n)}{_suffix(width)}"


def parse_path(path: str) -> TilePath:
    """Read a path; raises ProtocolError unless it is the one spelling of a tile."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise ProtocolError("tile.path", "the path names no tile", evidence=path)
    kind, high, low, width = match.groups()
    number = int(high.replace("x", "").replace("/", "") + low)
    found = TilePath(None if kind == "entries" else int(kind), number, int(width) if width else WIDTH)
    if number > merkle.MAX_SIZE or (width and int(width) >= WIDTH) or found.encode() != path:
        raise ProtocolError("tile.path", "the path is not canonical", evidence=path)
    return found


def tiles_for(old: int, new: int) -> Iterator[TilePath]:
    """Yield each tile and entry bundle that a tree of `new` leaves has and one of `old` leaves had not, in full or part.

    Entry bundles come first, then levels upwards, so that what is written last refers to what is already there.
    """
    for level in (None, *range(MAX_LEVEL + 1)):
        shift = HEIGHT * (level or 0)
        before, after = old >> shift, new >> shift
        if after == before:
            continue
        for n in range(before // WIDTH, (after + WIDTH - 1) // WIDTH):
            yield TilePath(level, n, min(WIDTH, after - n * WIDTH))


def parse_tile(data: bytes, width: int) -> tuple[bytes, ...]:
    """Split a hash tile into `width` hashes; raises ProtocolError if its length is another."""
    if len(data) != width * merkle.HASH_SIZE:
        raise ProtocolError("tile.length", f"a tile of width {width} has {width * 32} bytes", evidence=str(len(data)))
    return tuple(data[at : at + 32] for at in range(0, len(data), 32))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Join entries, each behind its length as a big-endian u16; raises ValueError for one over 65,535 bytes."""
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise ValueError(f"an entry of {len(entry)} bytes does not fit a bundle")
        parts.append(len(entry).to_bytes(2, "big"))
        parts.append(entry)
    return b"".join(parts)


def parse_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Split an entry bundle into exactly `width` entries; raises ProtocolError for a cut or a longer one."""
    entries: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > end or at > end:
            raise ProtocolError("bundle.cut", "the entry bundle ends inside an entry", evidence=str(len(entries)))
        entries.append(data[start:at])
    if len(entries) != width:
        raise ProtocolError("bundle.count", f"the bundle should hold {width} entries", evidence=str(len(entries)))
    return tuple(entries)


def fetch_tile(fetch: Fetch, level: int | None, n: int, width: int) -> bytes:
    """Fetch one tile or bundle for a tree that has `width` of its items, whole or part.

    A log may drop a partial tile once the full one exists (tlog-tiles, "Partial Tiles"); the full one is then cut.
    """
    try:
        return fetch(TilePath(level, n, width).encode())
    except (LookupError, FileNotFoundError):
        if width == WIDTH:
            raise
        data = fetch(TilePath(level, n, WIDTH).encode())
    if level is None:
        return encode_bundle(parse_bundle(data, WIDTH)[:width])
    return b"".join(parse_tile(data, WIDTH)[:width])


def node_reader(fetch: Fetch, size: int) -> merkle.NodeReader:
    """Return a reader of the nodes of the tree of `size` leaves from its tiles.

    Tiles are as trustworthy as their source: check what is computed from them against a signed root.
    """
    held: dict[tuple[int, int], list[tuple[bytes, ...]]] = {}

    def rows(level: int, n: int) -> list[tuple[bytes, ...]]:
        known = held.get((level, n))
        if known is None:
            width = min(WIDTH, (size >> (HEIGHT * level)) - n * WIDTH)
            if width < 1:
                raise ValueError("the node lies outside the tree")
            known = [parse_tile(fetch_tile(fetch, level, n, width), width)]
            while len(known[-1]) > 1:
                row = known[-1]
                known.append(tuple(merkle.node_hash(row[k], row[k + 1]) for k in range(0, len(row) - 1, 2)))
            if len(held) >= _NODES:
                held.pop(next(iter(held)))
            held[level, n] = known
        return known

    def read(level: int, index: int) -> bytes:
        # A node below the top of a tile is computed from its row; the top of a full tile stands in the level above.
        tile_level, height = divmod(level, HEIGHT)
        n, place = divmod(index, WIDTH >> height)
        return rows(tile_level, n)[height][place]

    return read


def _number(n: int) -> str:
    if n < 0:
        raise ValueError("a tile's number is not negative")
    digits = f"{n:d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def _suffix(width: int) -> str:
    if not 1 <= width <= WIDTH:
        raise ValueError(f"a tile holds 1 to {WIDTH} items, not {width}")
    return "" if width == WIDTH else f".p/{width}"
