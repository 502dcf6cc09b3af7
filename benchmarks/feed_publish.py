# ruff: noqa: PLC0415 - Django's parts can be imported only after the folder is named
"""Publish requests durably at a hub, and show that the cost does not know how many households there are.

    python -m benchmarks.feed_publish [--owners 10000,100000,1000000,10000000] [--rounds N] [--batch N]

The hub takes signed requests into its queue (a durable commit each), appends them and the tick to its log, and writes the
tick's container and roll-up; without witnesses, whose answer is a matter of the network. Reported are the cost of accepting
one, and what one more request adds to a tick. The peer is what such services do: a table of owners by H3 cell (SQLite, a
clustered index, the same durability), one query per request for its recipients, one durable row for each. Both run
interleaved at each number of owners. The hub has no table to put owners into: its counters (bytes, write calls, syncs,
files) are compared between the smallest and the largest number, and the run fails if they differ by 5 % or more.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import h3

RESULTS = Path(__file__).resolve().parent / "results"
CENTRE = (37.8044, -122.2712)
CELLS = sorted(h3.grid_disk(h3.latlng_to_cell(*CENTRE, 9), 80))


class Counters:
    """Bytes and calls of this process's writes, and the syncs and files that Python code causes."""

    def __init__(self):
        self.syncs = self.files = 0
        self.waited = 0.0  # seconds in syncs and in SQLite's commits: what durability costs here and now
        self._real = {name: getattr(os, name) for name in ("fsync", "fdatasync", "open") if hasattr(os, name)}
        for name, real in self._real.items():
            setattr(os, name, self._counted(name, real))

    def _counted(self, name, real):
        def call(*args, **kwargs):
            if name == "open":
                self.files += bool(args[1] & (os.O_WRONLY | os.O_RDWR))
                return real(*args, **kwargs)
            self.syncs += 1
            return self._timed(real, *args, **kwargs)

        return call

    def _timed(self, real, *args, **kwargs):
        started = time.perf_counter()
        try:
            return real(*args, **kwargs)
        finally:
            self.waited += time.perf_counter() - started

    def watch_commits(self):
        """Count the time of the database's commits too; once Django is there."""
        from django.db.backends.base.base import BaseDatabaseWrapper

        real = BaseDatabaseWrapper._commit  # noqa: SLF001 - where Django waits for the disk
        BaseDatabaseWrapper._commit = lambda database: self._timed(real, database)  # noqa: SLF001

    def read(self):
        fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return {"bytes": int(fields["wchar"]), "writes": int(fields["syscw"]), "syncs": self.syncs, "files": self.files}


def start_hub(folder):
    os.environ["FAIRWITNESS_DATA"] = str(folder)
    from fairwitness.hub.services import setup
    from fairwitness.kit import clock, journal

    now = [1_800_000_000]
    clock.set_clock(lambda: now[0])
    journal.record_to([])
    spec = setup.Spec(name="Bench", state="CA", public_url="http://hub.test", witnesses=[], tick_seconds=60, sealed_seconds=3600)
    setup.initialise(folder, spec)
    return now


class Hub:
    def __init__(self, folder):
        from fairwitness_core.crypto import seal
        from fairwitness_core.crypto.sign import SigningKey
        from fairwitness_core.model.agency import AgencyKey

        self.now = start_hub(folder)
        from fairwitness.hub.sequencer import Sequencer
        from fairwitness.hub.services import agencies

        self.key, self.one, self.two = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
        keys = [
            AgencyKey(kid=k.public.kid, alg="ed25519", pk=k.public.raw, use=use, not_after=2_000_000_000).to_json()
            for k, use in ((self.key, "agency"), (self.one, "officer"), (self.two, "officer"))
        ]
        ring = [[-124.0, 36.5], [-121.0, 36.5], [-121.0, 39.0], [-124.0, 39.0], [-124.0, 36.5]]
        agencies.register(
            {
                "v": 1, "type": "agency_registration", "agency": "us-ca-bench", "ori": "CA0010900", "name": "Bench PD",
                "state": "CA", "level": "municipal", "federal": False, "vouched": ["Bench"], "keys": keys,
                "jurisdiction": {"type": "Polygon", "coordinates": [ring]},
            }
        )  # fmt: skip
        self.recipient = seal.new_identity()[1]
        self.count = 0
        self.writer = Sequencer()
        if self.writer.step() != "ok":
            raise SystemExit("the hub did not start")

    def request(self, area):
        from fairwitness_core.model.request import Request
        from fairwitness_core.wire import dsse

        self.count += 1
        document = Request(
            id=hashlib.sha256(str(self.count).encode()).hexdigest()[:32], agency="us-ca-bench", case=f"26-{self.count}",
            offense="nibrs:220", area=tuple(sorted(area)), from_=self.now[0] - 7200, to=self.now[0] - 3600,
            msg="Burglary at a shop. Look for a grey van with a roof rack and two people in dark jackets.",
            contact="Det. Diaz", expires=self.now[0] + 86_400, key=self.recipient, modes=("anonymous",), emergency=False,
            at=self.now[0],
        )  # fmt: skip
        return dsse.sign(dsse.ENTRY, document.encode(), self.one, self.two).encode()

    def publish(self, envelopes):
        """Return (seconds to accept them all, seconds of the tick that serves them)."""
        from fairwitness_core.model.request import Request as Document
        from fairwitness_core.wire.dsse import Envelope

        from fairwitness.hub.models import Request, Tick
        from fairwitness.hub.services import entries

        # They were submitted and approved before; publishing begins here.
        documents = [Document.parse(Envelope.parse(envelope).payload) for envelope in envelopes]
        Request.objects.bulk_create(
            Request(
                id=d.id, agency=d.agency, case=d.case, offense=d.offense, envelope=envelope, state="approved",
                envelope_sha256=hashlib.sha256(envelope).hexdigest(), emergency=False, submitted_at=d.at, expires=d.expires,
            )
            for d, envelope in zip(documents, envelopes, strict=True)
        )  # fmt: skip
        started = time.perf_counter()
        for envelope in envelopes:
            entries.enqueue("request_published", envelope)
        accepted = time.perf_counter()
        self.now[0] += 60
        self.writer.step()
        ended = time.perf_counter()
        if Tick.objects.order_by("-number").first().state != "served":
            raise SystemExit("the tick was not served")
        return accepted - started, ended - accepted


class Peer:
    """Owners by cell, recipients found and written for each request."""

    def __init__(self, path, owners):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute("CREATE TABLE owner (cell INTEGER, id INTEGER, PRIMARY KEY (cell, id)) WITHOUT ROWID")
        self.db.execute("CREATE TABLE delivery (request INTEGER, owner INTEGER)")
        cells = sorted(h3.str_to_int(cell) for cell in CELLS)
        each, more = divmod(owners, len(cells))
        self.db.execute("BEGIN")
        number = 0
        for place, cell in enumerate(cells):
            size = each + (place < more)
            self.db.executemany("INSERT INTO owner VALUES (?, ?)", ((cell, number + n) for n in range(size)))
            number += size
        self.db.execute("COMMIT")
        self.db.execute("CREATE TABLE plain (sha256 TEXT UNIQUE, envelope BLOB)")
        self.requests = 0

    def floor(self, envelopes):
        """Seconds to store the envelopes one by one and do nothing else: what the disk alone asks for."""
        started = time.perf_counter()
        for envelope in envelopes:
            self.db.execute("INSERT INTO plain VALUES (?, ?)", (hashlib.sha256(envelope).hexdigest(), envelope))
        return time.perf_counter() - started

    def publish(self, areas):
        recipients = 0
        for area in areas:
            self.requests += 1
            marks = ",".join("?" * len(area))
            cells = [h3.str_to_int(cell) for cell in area]
            self.db.execute("BEGIN IMMEDIATE")
            found = self.db.execute(f"SELECT id FROM owner WHERE cell IN ({marks})", cells).fetchall()  # noqa: S608 - only marks
            self.db.executemany("INSERT INTO delivery VALUES (?, ?)", ((self.requests, row[0]) for row in found))
            self.db.execute("COMMIT")
            recipients += len(found)
        return recipients


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--owners", default="10000,100000,1000000,10000000")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--output", type=Path, default=RESULTS / "feed_publish.json")
    options = parser.parse_args(argv)
    sizes = [int(text) for text in options.owners.split(",")]
    draw = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="fairwitness-bench-") as name:
        counters = Counters()
        hub = Hub(Path(name) / "hub")
        counters.watch_commits()
        peers = {}
        for owners in sizes:
            started = time.perf_counter()
            peers[owners] = Peer(Path(name) / f"peer-{owners}.db", owners)
            print(f"peer with {owners:,} owners filled in {time.perf_counter() - started:.1f} s", flush=True)
        areas = [h3.grid_disk(draw.choice(CELLS), 1) for _ in range(options.batch)]
        hub.publish([hub.request(area) for area in areas])  # warm
        found = {
            owners: {"accept": [], "one": [], "more": [], "peer": [], "floor": [], "counters": [], "told": 0, "waited": []}
            for owners in sizes
        }
        # Interleaved, so that a busy moment of the machine meets them all.
        for turn in range(options.rounds):
            # There and back, so that the growth of the hub's own log falls on all alike.
            for owners in sizes if turn % 2 == 0 else reversed(sizes):
                row = found[owners]
                areas = [h3.grid_disk(draw.choice(CELLS), 1) for _ in range(options.batch)]
                envelopes = [hub.request(area) for area in areas]
                single = hub.publish([hub.request(areas[0])])
                before, waited = counters.read(), counters.waited
                many = hub.publish(envelopes)
                after = counters.read()
                row["waited"].append(1000 * (counters.waited - waited) / options.batch)
                row["counters"].append({key: (after[key] - before[key]) / options.batch for key in after})
                row["accept"].append(1000 * many[0] / options.batch)
                row["one"].append(1000 * sum(single))
                row["more"].append(1000 * max(many[1] - single[1], 0) / (options.batch - 1))
                started = time.perf_counter()
                told = peers[owners].publish(areas)
                row["peer"].append(1000 * (time.perf_counter() - started) / options.batch)
                row["told"] = told / options.batch
                row["floor"].append(1000 * peers[owners].floor(envelopes) / options.batch)
        hub.writer.close()
    rows = []
    for owners in sizes:
        row = found[owners]
        total = [a + b for a, b in zip(row["accept"], row["more"], strict=True)]
        rows.append(
            {
                "owners": owners,
                "hub_ms_per_request": spread(total),
                "hub_of_it_waiting_for_commits_and_syncs_ms": spread(row["waited"]),
                "hub_accept_ms": spread(row["accept"]),
                "hub_tick_ms_per_further_request": spread(row["more"]),
                "hub_whole_tick_with_one_ms": spread(row["one"]),
                "hub_counters_per_request": {k: statistics.fmean(c[k] for c in row["counters"]) for k in row["counters"][0]},
                "peer_ms_per_request": spread(row["peer"]),
                "peer_recipients_per_request": row["told"],
                "bare_commit_ms": spread(row["floor"]),
            }
        )
    first, last = rows[0], rows[-1]
    change = {
        key: last["hub_counters_per_request"][key] / max(first["hub_counters_per_request"][key], 1e-9) - 1
        for key in first["hub_counters_per_request"]
    }
    time_change = last["hub_ms_per_request"]["median"] / first["hub_ms_per_request"]["median"] - 1
    flat = all(abs(value) < 0.05 for value in change.values())
    result = {
        "name": "feed_publish",
        "batch": options.batch,
        "rounds": options.rounds,
        "rows": rows,
        "counters_change_first_to_last": change,
        "time_change_first_to_last": time_change,
        "peer_time_change_first_to_last": last["peer_ms_per_request"]["median"] / first["peer_ms_per_request"]["median"] - 1,
        "owner_bytes_at_hub": 0,
        "flat": flat,
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(
        f"{'owners':>12}{'hub ms':>10}{'min':>8}{'max':>8}{'bytes':>10}{'syncs':>8}{'peer ms':>10}{'min':>8}{'max':>8}{'told':>8}"
    )
    for row in rows:
        hub_ms, peer_ms, counted = row["hub_ms_per_request"], row["peer_ms_per_request"], row["hub_counters_per_request"]
        print(
            f"{row['owners']:12,}{hub_ms['median']:10.2f}{hub_ms['min']:8.2f}{hub_ms['max']:8.2f}{counted['bytes']:10.0f}"
            f"{counted['syncs']:8.2f}{peer_ms['median']:10.2f}{peer_ms['min']:8.2f}{peer_ms['max']:8.2f}"
            f"{row['peer_recipients_per_request']:8.0f}"
        )
    print("change of the hub's counters from first to last: " + ", ".join(f"{k} {v:+.1%}" for k, v in change.items()))
    waited = statistics.median(r["hub_of_it_waiting_for_commits_and_syncs_ms"]["median"] for r in rows)
    print(f"of the hub's time, waiting for commits and syncs: {waited:.2f} ms a request")
    print(
        f"one bare durable commit, in the same minutes: {statistics.median(r['bare_commit_ms']['median'] for r in rows):.2f} ms"
    )
    print(f"change of time: hub {time_change:+.1%}, peer {result['peer_time_change_first_to_last']:+.1%}")
    return 0 if flat else 1


if __name__ == "__main__":
    raise SystemExit(main())
