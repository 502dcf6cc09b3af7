"""Durable appends to a log, beside aics-tlog: entries of about 300 bytes, one acknowledgement a batch.

    python -m benchmarks.log_append [--rounds N] [--quick] [--place FOLDER]

Both sides sync what they acknowledge. Runs are interleaved, on fresh folders; both must reach the same root. Ours also
states its rate with the tiles published at the end, which the peer does with every batch.
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

from benchmarks._log_report import report
from fairwitness.kit.logstore import LogStore

KEY = SigningKey(b"\1" * 32)


def batches(size, count, seed=1):
    dice = random.Random(seed)
    return [[dice.randbytes(dice.randint(250, 350)) for _ in range(size)] for _ in range(count)]


def ours(folder, work):
    with LogStore.open(folder, "log.example/benchmark", KEY) as store:
        begin = time.perf_counter()
        for batch in work:
            store.append(batch)
        appended = time.perf_counter() - begin
        store.publish(store.signed_checkpoint())
        return appended, time.perf_counter() - begin, store.root()


def theirs(folder, work):
    writer = peer.IncrementalTileWriter(peer.DirectoryTileStore(folder))
    begin = time.perf_counter()
    for batch in work:
        writer.append(batch)
    return time.perf_counter() - begin, writer.root()


def measure(size, count, rounds, place):
    work = batches(size, count)
    entries = size * count
    rates = {"ours": [], "ours, with tiles": [], "aics-tlog": []}
    for _ in range(rounds):
        folder = Path(tempfile.mkdtemp(prefix="log-append-", dir=place))
        try:
            appended, published, root = ours(folder / "ours", work)
            other, other_root = theirs(folder / "theirs", work)
        finally:
            shutil.rmtree(folder)
        assert root == other_root, "the two logs have different roots"
        rates["ours"].append(entries / appended)
        rates["ours, with tiles"].append(entries / published)
        rates["aics-tlog"].append(entries / other)
    return rates


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the entries, three rounds")
    parser.add_argument("--place", default=None, help="a folder on the disk to measure (default: the temporary folder)")
    options = parser.parse_args(argv)
    rows = []
    for size, count in ((1, 400), (10, 300), (100, 300), (1000, 60)):
        rounds = 3 if options.quick else options.rounds
        rates = measure(size, max(10, count // 10) if options.quick else count, rounds, options.place)
        base = statistics.median(rates["aics-tlog"])
        for name, found in rates.items():
            rows.append(
                {
                    "batch": size,
                    "who": name,
                    "median": round(statistics.median(found)),
                    "min": round(min(found)),
                    "max": round(max(found)),
                    "ratio": round(statistics.median(found) / base, 2),
                }
            )
    main_row = next(row for row in rows if row["batch"] == 100 and row["who"] == "ours")
    goals = {
        "130,000 appends/s at batch 100": main_row["median"] >= 130_000,
        "4 times aics-tlog at batch 100": main_row["ratio"] >= 4,
    }
    report("log_append", "durable appends, entries/s", rows, goals)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
