"""Check a whole published log: every bundle against every tile, the root, the signatures. Numbered, and pure."""

import base64
import json
from collections import Counter
from dataclasses import dataclass

from fairwitness_core.tlog import checkpoint as heads
from fairwitness_core.tlog import merkle, note, tiles
from fairwitness_core.tlog.policy import CosignedCheckpoint, Policy
from fairwitness_core.wire.errors import ProtocolError

TITLES = (
    "the log signed its checkpoint",
    "a quorum of witnesses cosigned it",
    "every entry is the one that its hash tile names",
    "every higher tile is made from the one below it",
    "the entries lead to the signed root",
    "every entry was read, those of unknown kinds kept as they are",
)
_MAX_KINDS = 256


@dataclass(frozen=True, slots=True)
class LogCheck:
    """One check: its number, what it says when `ok`, and what was found."""

    number: int
    title: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was found in a log. `ok` is whether every check that was made held.

    `first_failure` names the first place that is wrong, empty if none. `pinned` is whether a policy was given: without
    one the witnesses were not checked. `entry_kinds` counts entries by `type` and version as they state them, `sealed`
    for 32-byte commitments (design.md 9.4) and `opaque` for what states neither.
    """

    origin: str
    size: int
    root: bytes
    checks: tuple[LogCheck, ...]
    first_failure: str
    pinned: bool
    cosigned: CosignedCheckpoint | None
    entry_kinds: tuple[tuple[str, int], ...]

    @property
    def ok(self) -> bool:
        """Tell whether no check failed."""
        return not self.first_failure


def check_log(fetch: tiles.Fetch, policy: Policy | None, log: note.VerifierKey) -> LogReport:
    """Re-verify the whole log that `fetch` reads, as far as its checkpoint reaches.

    Checks, in this order; the first that fails ends the work, since what follows would rest on it:
    1. `checkpoint` is a note that `log` signed, of the log that the key names;
    2. with a policy, its quorum cosigned it (tlog-policy);
    3. every entry bundle parses, and its leaf hashes are the level 0 tiles (tlog-tiles; RFC 6962 section 2.1);
    4. every tile above is made of the roots of those below;
    5. the root of all entries is the signed one;
    6. entries are counted by kind; an unknown one is no fault (design.md 9.13).
    Never raises for what it fetched: a missing file or wrong bytes are in the report.
    """
    checks: list[LogCheck] = []
    head = heads.Checkpoint(log.name, 0, merkle.EMPTY_ROOT)
    cosigned: CosignedCheckpoint | None = None
    kinds: Counter[str] = Counter()
    place = "checkpoint"

    def held(detail: str) -> None:
        checks.append(LogCheck(len(checks) + 1, TITLES[len(checks)], ok=True, detail=detail))

    failure = ""
    try:
        # 1.
        signed = note.Note.parse(fetch(place))
        head = heads.verify(signed, log)
        held(f"{head.size} entries")
        # 2.
        if policy is None:
            held("not checked: no policy was given")
        else:
            cosigned = policy.verify(signed)
            held(", ".join(name for name, _ in cosigned.times) or "the policy asks for none")
        # 3.
        edge = merkle.Frontier()
        row: list[bytes] = []
        for n in range(-(-head.size // tiles.WIDTH)):
            width = min(tiles.WIDTH, head.size - n * tiles.WIDTH)
            place = tiles.entries_path(n, width)
            entries = tiles.parse_bundle(tiles.fetch_tile(fetch, None, n, width), width)
            leaves = [merkle.leaf_hash(entry) for entry in entries]
            place = tiles.tile_path(0, n, width)
            _same_tile(tiles.fetch_tile(fetch, 0, n, width), leaves, n)
            if width == tiles.WIDTH:
                row.append(_top(leaves))
            for leaf in leaves:
                edge.append(leaf)
            for entry in entries:
                kind = _kind(entry)
                kinds[kind if kind in kinds or len(kinds) < _MAX_KINDS else "other"] += 1
        held(f"{head.size} entries in {-(-head.size // tiles.WIDTH)} bundles")
        # 4.
        level, count = 1, 0
        while row:
            above = []
            for n in range(-(-len(row) // tiles.WIDTH)):
                hashes = row[n * tiles.WIDTH : (n + 1) * tiles.WIDTH]
                place = tiles.tile_path(level, n, len(hashes))
                _same_tile(tiles.fetch_tile(fetch, level, n, len(hashes)), hashes, n)
                count += 1
                if len(hashes) == tiles.WIDTH:
                    above.append(_top(hashes))
            row, level = above, level + 1
        held(f"{count} tiles")
        # 5.
        place = "checkpoint"
        if edge.root() != head.root:
            raise ProtocolError("log.root", "the entries lead to another root", evidence=edge.root().hex())  # noqa: TRY301
        held(head.root.hex())
        # 6.
        held(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    except ProtocolError as error:
        failure = f"{place}: {error.code}: {error.message}" + (f" ({error.evidence})" if error.evidence else "")
    except (LookupError, OSError) as error:
        failure = f"{place}: cannot be fetched: {error}"
    if failure:
        checks.append(LogCheck(len(checks) + 1, TITLES[len(checks)], ok=False, detail=failure))
    return LogReport(
        head.origin,
        head.size,
        head.root,
        tuple(checks),
        failure,
        policy is not None,
        cosigned,
        tuple(sorted(kinds.items())),
    )


def _same_tile(found: bytes, hashes: list[bytes], n: int) -> None:
    given = tiles.parse_tile(found, len(hashes))
    for at, (one, other) in enumerate(zip(given, hashes, strict=True)):
        if one != other:
            index = n * tiles.WIDTH + at
            raise ProtocolError("log.tile", f"hash {index} is not that of what it covers", evidence=one.hex())


def _top(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [merkle.node_hash(hashes[k], hashes[k + 1]) for k in range(0, len(hashes), 2)]
    return hashes[0]


def _kind(entry: bytes) -> str:
    """Name what an entry says it is. Nothing rests on it, so nothing is refused."""
    if len(entry) == merkle.HASH_SIZE:
        return "sealed"
    try:
        outer = json.loads(entry)
        inner = json.loads(base64.b64decode(outer["payload"], validate=True))
        kind, version = inner["type"], inner["v"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "opaque"
    if not isinstance(kind, str) or not isinstance(version, int) or not kind.isidentifier() or len(kind) > 64:
        return "opaque"
    return f"{kind} v{version % 1000}"
