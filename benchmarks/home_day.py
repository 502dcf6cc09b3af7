"""A home looks at a day of requests: how long for a thousand, against a plain loop over the same cells.

    python -m benchmarks.home_day [--requests N] [--rounds N] [--cameras N]

The target of the project is 0.5 ms per thousand requests and 20 MB of memory for what this step holds. The areas are made
anew from text for each round, as they come out of a feed container, so no string has a hash cached. The peer is the same
question asked the obvious way: for each request, each camera and each cell, is it in the area? Answers are compared.
"""

import argparse
import json
import random
import statistics
import time
import tracemalloc
from pathlib import Path

import h3
from fairwitness_core.rules.matching import View, Watcher, view_cells

RESULTS = Path(__file__).resolve().parent / "results"
TARGET_MS = 0.5
HOME = (37.8044, -122.2712)


def day(count: int, draw: random.Random) -> str:
    """`count` requests spread over the country, one in a thousand near the home, as JSON text."""
    requests = []
    for number in range(count):
        lat, lon = HOME if number % 1000 == 7 else (draw.uniform(26, 48), draw.uniform(-123, -70))
        centre = h3.latlng_to_cell(lat, lon, 9)
        cells = sorted(h3.grid_disk(centre, 1)) + sorted(h3.grid_ring(centre, 2))[: draw.randrange(6)]
        start = draw.randrange(86_400)
        requests.append([sorted(cells), start, start + draw.randrange(900, 43_200)])
    return json.dumps(requests)


def plain(requests, cameras, recordings):
    """The peer: nested loops, nothing prepared."""
    found = []
    for number, (area, low, high) in enumerate(requests):
        for name, cells in cameras.items():
            if any(cell in area for cell in cells) and any(a < high and low < b for a, b in recordings[name]):
                found.append(number)
                break
    return found


def watched(requests, watcher, recordings):
    """The project's way."""
    return [
        number
        for number, (area, low, high) in enumerate(requests)
        if watcher.near(area) and watcher.match(area, (low, high), recordings)
    ]


def timed(work):
    start = time.perf_counter()
    answer = work()
    return 1000 * (time.perf_counter() - start), answer


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--output", type=Path, default=RESULTS / "home_day.json")
    options = parser.parse_args(argv)

    draw = random.Random(20260101)
    text = day(options.requests, draw)
    cameras = {f"camera-{n}": view_cells(View(*HOME, 360 * n / options.cameras, 90, 60)) for n in range(options.cameras)}
    recordings = {name: [(start, start + 60) for start in range(0, 86_400, 600)] for name in cameras}
    watcher = Watcher(cameras)
    mine, theirs = [], []
    for _ in range(options.rounds):
        fresh = json.loads(text)
        took, answer = timed(lambda fresh=fresh: watched(fresh, watcher, recordings))
        mine.append(took * 1000 / options.requests)
        fresh = json.loads(text)
        took, expected = timed(lambda fresh=fresh: plain(fresh, cameras, recordings))
        theirs.append(took * 1000 / options.requests)
        if answer != expected:
            raise SystemExit("the two ways disagree")
    fresh = json.loads(text)
    tracemalloc.start()
    watched(fresh, Watcher(cameras), recordings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    result = {
        "name": "home_day",
        "requests": options.requests,
        "cameras": options.cameras,
        "matches": len(answer),
        "rounds": options.rounds,
        "ms_per_thousand": {"median": statistics.median(mine), "min": min(mine), "max": max(mine)},
        "peer_ms_per_thousand": {"median": statistics.median(theirs), "min": min(theirs), "max": max(theirs)},
        "ratio": statistics.median(theirs) / statistics.median(mine),
        "target_ms_per_thousand": TARGET_MS,
        "met": statistics.median(mine) <= TARGET_MS,
        "peak_bytes": peak,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(f"{'':24}{'median':>10}{'min':>10}{'max':>10}   ms per thousand requests")
    for name, values in (("home (prepared sets)", mine), ("peer (plain loops)", theirs)):
        print(f"{name:24}{statistics.median(values):10.3f}{min(values):10.3f}{max(values):10.3f}")
    print(f"{result['ratio']:.1f} times the peer; peak memory {peak / 1e3:.1f} kB; {len(answer)} matches; target {TARGET_MS} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
