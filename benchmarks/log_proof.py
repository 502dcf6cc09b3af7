"""Inclusion proofs from a log of ten million entries, their verification, and the time to open it.

    python -m benchmarks.log_proof [--size N] [--quick] [--place FOLDER]

The peer for proofs from files is aics-tlog reading published tiles, on a smaller tree of the same kind (its cost grows
with the number of tile levels only); for verification it is the same proofs checked by aics-tlog.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import aics_tlog as peer
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import merkle

from benchmarks._log_report import report
from fairwitness.kit.logstore import LogStore

KEY = SigningKey(b"\1" * 32)
ORIGIN = "log.example/benchmark"
PEER_SIZE = 200_000


def build(folder, size):
    begin = time.perf_counter()
    with LogStore.open(folder, ORIGIN, KEY) as store:
        for at in range(0, size, 20_000):
            store.append([n.to_bytes(8, "big") for n in range(at, min(size, at + 20_000))])
    return time.perf_counter() - begin


def timed(call, items):
    """Return the microseconds of one call, for each of five rounds over `items`."""
    found = []
    for _ in range(5):
        begin = time.perf_counter()
        for item in items:
            call(*item)
        found.append((time.perf_counter() - begin) / len(items) * 1e6)
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10_000_000)
    parser.add_argument("--quick", action="store_true", help="a tree of 300,000 entries")
    parser.add_argument("--place", default=None)
    options = parser.parse_args(argv)
    size = 300_000 if options.quick else options.size
    folder = Path(tempfile.mkdtemp(prefix="log-proof-", dir=options.place))
    rows = []

    def row(what, who, micros):
        middle = statistics.median(micros)
        rows.append(
            {
                "what": what,
                "who": who,
                "median us": round(middle, 1),
                "min us": round(min(micros), 1),
                "max us": round(max(micros), 1),
                "per second": round(1e6 / middle),
            }
        )
        return middle

    try:
        built = build(folder / "log", size)
        begin = time.perf_counter()
        store = LogStore.open(folder / "log", ORIGIN, KEY)
        opened = time.perf_counter() - begin
        dice = random.Random(1)
        indexes = [(dice.randrange(size), size) for _ in range(2000)]
        proving = row(f"inclusion proof, {size:,}", "ours", timed(store.inclusion, indexes))
        root = store.root()
        proofs = [(merkle.leaf_hash(store.entry(n)), n, size, store.inclusion(n, size), root) for n, _ in indexes]
        verifying = row(f"verify inclusion, {size:,}", "ours", timed(merkle.verify_inclusion, proofs))
        assert all(peer.verify_inclusion(*item) for item in proofs[:100])
        row(f"verify inclusion, {size:,}", "aics-tlog", timed(peer.verify_inclusion, proofs))
        olds = [(dice.randrange(1, size), size) for _ in range(1000)]
        row(f"consistency proof, {size:,}", "ours", timed(store.consistency, olds))

        # The peer reads tiles; a tree small enough to publish in a minute.
        small = min(size, PEER_SIZE)
        with LogStore.open(folder / "small", ORIGIN, KEY) as published:
            published.append([n.to_bytes(8, "big") for n in range(small)])
            published.publish(published.signed_checkpoint())
            reader = peer.FileSystemTileReader(published.public)
            some = [(dice.randrange(small), small) for _ in range(30)]
            assert all(peer.inclusion_proof_from_tiles(reader, *item) == published.inclusion(*item) for item in some[:5])
            ours = row(f"inclusion proof, {small:,}", "ours", timed(published.inclusion, some))
            other = row(
                f"inclusion proof, {small:,}",
                "aics-tlog",
                timed(lambda n, of: peer.inclusion_proof_from_tiles(reader, n, of), some),
            )
        store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"built {size:,} entries in {built:.1f} s; opened in {opened * 1000:.1f} ms; peer/ours {other / ours:.1f}")
    goals = {
        "a proof in 0.5 ms, warm": proving <= 500,
        "45,000 verifications/s": verifying <= 1e6 / 45_000,
        "open in a second": opened <= 1,
    }
    report("log_proof", "proofs of a log", rows, goals)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
