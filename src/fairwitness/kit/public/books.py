"""A hub's public files, read and believed: the join file, the public log and the feed's ticks; nothing else.

What is drawn is what the log said when its newest tick was made. Everything up to there is under a head that the log signed and
a quorum of witnesses cosigned, and that head stands in the tick's own file: the same for everybody who holds it.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from fairwitness_core.model.feed import read_containers
from fairwitness_core.model.hub import JoinFile, PolicyChanged
from fairwitness_core.rules.history import Entry, History
from fairwitness_core.rules.pinned import Pinned
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, tiles
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.tlog.proof import TlogProof
from fairwitness_core.wire.errors import ProtocolError

_MOST = 1 << 25
_BEHIND = 32  # ticks by which a copy's log may be behind its feed


class PublicError(Exception):
    """The pages cannot be drawn from what is here; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where public files lie: the join file, the public log's folder, the feed's folder."""

    join: Path
    log: Path
    feed: Path


def place_of(folder: Path) -> Place:
    """Return the public files of a mirror, of a static copy or of a hub's data folder. Raises PublicError."""
    for base in (folder / "site", folder):
        if (base / "join.json").is_file():
            return Place(base / "join.json", base / "log" / "p", base / "feed" / "v1")
    if (folder / "feed" / "join.json").is_file():
        return Place(folder / "feed" / "join.json", folder / "log" / "p" / "public", folder / "feed" / "v1")
    raise PublicError(f"{folder} holds no join file: name a folder that `fairwitness mirror` made, or a hub's")


@dataclass(frozen=True, slots=True)
class Head:
    """The witnessed head that a tick's file carries. `index`: the tick's own place; `times`: witness and Unix seconds UTC."""

    tick: int
    index: int
    checkpoint: checkpoint.Checkpoint
    note: note.Note
    times: tuple[tuple[str, int], ...]


class Books:
    """Reads a place forward, tick by tick."""

    def __init__(self, place: Place) -> None:
        """Begin at entry 0; raises PublicError, ProtocolError."""
        self._place = place
        self._fetch = functools.lru_cache(maxsize=256)(self._read)
        try:
            self.join = JoinFile.parse(place.join.read_bytes().rstrip(b"\n"))
        except FileNotFoundError as error:
            raise PublicError("the log has not begun") from error
        self._size = self._served()
        self._key = note.VerifierKey.parse(self.join.public_log)
        self.history = History(Pinned.of(self.join, self._bundle(0)[0]))
        self._edge = merkle.Frontier()
        self._nodes = tiles.node_reader(self._fetch, self._size)
        self._heads: dict[int, Head] = {}
        self.head: Head | None = None
        self._broken = False

    def newest(self) -> int | None:
        """Return the number of the newest tick that is served here, None before the first."""
        try:
            text = (self._place.feed / "latest").read_bytes().strip()
        except FileNotFoundError:
            return None
        if not text.isdigit() or len(text) > 12:
            raise PublicError("feed/v1/latest holds no tick's number")
        return int(text)

    def advance(self, until: int | None = None) -> bool:
        """Read on up to tick `until`, the newest by default; tells whether there was anything new.

        On return: 1. the tick's head is signed by the log and cosigned by a quorum of the witnesses that the join file, or a
        logged change, names; 2. the entries read lead to that head's root; 3. the tick is the entry that its file proves.
        Raises ProtocolError, after which these books are of no use; PublicError where a file is missing.
        """
        if self._broken:
            raise PublicError("these books did not hold; begin anew")
        wanted = self.newest() if until is None else until
        if wanted is None or (self.head is not None and wanted <= self.head.tick):
            return False
        head = self._head(wanted)
        # Files are there for the sizes that were served; what a smaller tree needs is part of them.
        self._size = self._served()
        first = wanted
        while until is None and self._size < head.checkpoint.size and first - wanted < _BEHIND:
            # A copy, or a hub just now, may have the feed a little further than the log: then an earlier tick is the newest.
            wanted -= 1
            if self.head is not None and wanted <= self.head.tick:
                return False
            head = self._head(wanted)
        self._broken = True
        if self._size < head.checkpoint.size:
            raise PublicError(f"the log here has {self._size} entries, tick {wanted} was made under {head.checkpoint.size}")
        self._nodes = tiles.node_reader(self._fetch, self._size)
        rest = []
        for n in range(self._edge.size // tiles.WIDTH, -(-head.checkpoint.size // tiles.WIDTH)):
            for index, entry in enumerate(self._bundle(n), n * tiles.WIDTH):
                if index < self.history.size or index >= head.checkpoint.size:
                    continue
                if index <= head.index:
                    self._edge.append(merkle.leaf_hash(entry))
                    self.history.take(entry)
                else:
                    rest.append(entry)
        # 1.
        self._policy(self.history.at).verify(head.note)
        # 2.
        edge = self._edge.copy()
        edge.extend(rest)
        if edge.root() != head.checkpoint.root:
            raise ProtocolError("public.root", "the log's entries here do not lead to the head that the witnesses saw")
        # 3.
        if (self.history.ticks.newest, self.history.ticks.newest_index) != (wanted, head.index):
            raise ProtocolError("public.tick", "the tick's file is of another entry than the log's", evidence=str(wanted))
        self.head, self._broken = head, False
        return True

    def entry(self, index: int) -> bytes:
        """Return the exact bytes of an entry that was read."""
        n, place = divmod(index, tiles.WIDTH)
        return self._bundle(n)[place]

    def head_of(self, entry: Entry) -> Head:
        """Return the head of the first tick behind an entry; raises ProtocolError where it is of another history."""
        found = self._heads.get(entry.tick)
        if found is None:
            found = self._head(entry.tick)
            if merkle.tree_root(found.checkpoint.size, self._nodes) != found.checkpoint.root:
                raise ProtocolError("public.tick", "a tick's head is not of this log", evidence=str(entry.tick))
            if len(self._heads) >= 256:
                self._heads.pop(next(iter(self._heads)))
            self._heads[entry.tick] = found
        return found

    def proof(self, entry: Entry) -> bytes:
        """Return a tlog-proof of an entry under the head of the first tick behind it. Raises ProtocolError."""
        head = self.head_of(entry)
        path = tuple(merkle.inclusion(entry.index, head.checkpoint.size, self._nodes))
        merkle.verify_inclusion(entry.leaf, entry.index, head.checkpoint.size, path, head.checkpoint.root)
        return TlogProof(entry.index, path, head.note).encode()

    # -- files

    def policy(self) -> Policy:
        """Return the witness policy in force when the newest tick was made."""
        return self._policy(self.history.at)

    def _policy(self, at: int) -> Policy:
        for entry in reversed(self.history.policies):
            one = entry.document
            if isinstance(one, PolicyChanged) and one.kind == "witness" and one.effective_at <= at:
                return Policy.parse(one.text.encode())
        return self.history.pin.policy

    def _head(self, tick: int) -> Head:
        path = self._place.feed / "all" / str(tick)
        try:
            (container,) = read_containers(path.read_bytes())
        except FileNotFoundError as error:
            raise PublicError(f"tick {tick} of the feed is not here") from error
        except ValueError as error:
            raise ProtocolError("public.tick", "a tick's file holds one tick", evidence=str(tick)) from error
        proof = TlogProof.parse(container.proof.encode())
        found = checkpoint.verify(proof.checkpoint, self._key)
        merkle.verify_inclusion(merkle.leaf_hash(proof.extra or b""), proof.index, found.size, proof.path, found.root)
        keys = {item.key.encode(): item for item in self.history.pin.policy.witnesses}
        for entry in self.history.policies:
            one = entry.document
            if isinstance(one, PolicyChanged) and one.kind == "witness":
                keys |= {item.key.encode(): item for item in Policy.parse(one.text.encode()).witnesses}
        times = [(item.name, cosignature.verify(proof.checkpoint, item.key)) for item in keys.values()]
        seen = tuple(sorted((name, at) for name, at in times if at is not None))
        return Head(tick, proof.index, found, proof.checkpoint, seen)

    def _read(self, path: str) -> bytes:
        with (self._place.log / path).open("rb") as stream:
            data = stream.read(_MOST + 1)
        if len(data) > _MOST:
            raise ProtocolError("log.too_large", f"this file has more than {_MOST} bytes", evidence=path)
        return data

    def _served(self) -> int:
        try:
            data = self._read("checkpoint")
        except FileNotFoundError as error:
            raise PublicError("the log has not begun") from error
        size = checkpoint.Checkpoint.parse(note.Note.parse(data).text).size
        if not size:
            raise PublicError("the log has not begun")
        return size

    def _bundle(self, n: int) -> tuple[bytes, ...]:
        width = min(tiles.WIDTH, self._size - n * tiles.WIDTH)
        return self._split(tiles.fetch_tile(self._fetch, None, n, width), width)

    @staticmethod
    @functools.lru_cache(maxsize=16)
    def _split(data: bytes, width: int) -> tuple[bytes, ...]:
        return tiles.parse_bundle(data, width)
