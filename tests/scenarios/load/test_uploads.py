"""Two hundred homes upload at once through cut lines and a hub that is killed and comes back: nothing is lost or doubled."""

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fairwitness_core.model.response import PART_SIZE
from fairwitness_core.rules.inbox import inbox_leaf
from fairwitness_core.wire.dsse import Envelope

from fairwitness.kit.http import Unreachable
from tests.scenarios.load import crowd
from tests.scenarios.operate.town import until

pytestmark = [pytest.mark.proof, pytest.mark.network]

HOMES, KILLS = 200, 4
MEMORY = 640 << 20  # private bytes of all of the hub's processes together, while 200 uploads run
SECONDS = 480


@pytest.fixture
def town(tmp_path):
    town = crowd.open_town(tmp_path)
    try:
        yield town
    finally:
        town.stop()


def strike(town):
    """End the whole hub as a power cut would, and start it again."""
    process = town.processes.running.pop("hub")
    crowd.kill(process.pid)
    process.wait(30)
    time.sleep(1)
    town.start_hub(town.hub)


def rows(town, query):
    with closing(sqlite3.connect(f"file:{town.hub / 'db.sqlite3'}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def homes_of(town, count, draw, chance):
    def cut(_home, _sent):
        return draw.random() < chance

    found = []
    for number, (key, token, hub_key) in enumerate(crowd.gather(town, count)):
        # Two parts and a bit for a few, one and a bit for the rest: 300 to 400 MB would only wear the disk.
        size = PART_SIZE * (2 if number % 20 == 0 else 1) + draw.randrange(1, 200_000) if number % 4 == 0 else 180_000 + number
        found.append(crowd.Home(town, draw.randbytes(size), token, key, hub_key, cut=cut))
    return found


@pytest.mark.claim("P17")
def test_two_hundred_uploads_through_cuts_and_kills(town):
    draw = random.Random(3)
    homes = homes_of(town, HOMES, draw, 0.02)
    peak, stop = [0], threading.Event()

    def watch():
        while not stop.wait(0.5):
            if "hub" in town.processes.running:
                peak[0] = max(peak[0], crowd.memory(town.processes.running["hub"].pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    end = time.monotonic() + SECONDS
    with ThreadPoolExecutor(HOMES) as pool:
        waiting = [pool.submit(home.upload) for home in homes]
        kills = 0
        while not all(job.done() for job in waiting) and time.monotonic() < end:
            time.sleep(0.1)
            # By what is done, not by the clock: a quick machine is struck as often as a slow one.
            if kills < KILLS and sum(job.done() for job in waiting) >= HOMES * (kills + 1) // (KILLS + 2):
                strike(town)
                kills += 1
        promises = [job.result(timeout=max(1.0, end - time.monotonic())) for job in waiting]
        # Asked again, the hub says the same again.
        again = [job.result() for job in [pool.submit(home.finalize) for home in homes]]
    stop.set()
    watcher.join()
    assert kills == KILLS
    assert sum(home.cuts for home in homes) > 10
    assert sum(home.retries for home in homes) > 50
    # Every promise is for the bytes sent, and says the same however often it is given.
    assert again == promises
    assert all(len(set(home.promises)) == 1 for home in homes)
    inbox = town.hub / "inbox"
    for home in homes:
        assert hashlib.sha256((inbox / home.rid).read_bytes()).digest() == hashlib.sha256(home.data).digest()
    # None twice, none besides.
    assert {path.name for path in inbox.iterdir() if path.is_file()} == {home.rid for home in homes}
    states = rows(town, "SELECT response_id, state FROM hub_upload")
    assert sorted(states) == sorted((home.rid, "sealed") for home in homes)
    assert rows(town, "SELECT count(*), count(DISTINCT nonce) FROM hub_spenttoken") == [(HOMES, HOMES)]
    # The day's accounting has exactly these leaves; a day that ended meanwhile (UTC) has them in its padded file.
    closed = {day for (day,) in rows(town, "SELECT day FROM hub_inboxday")}
    leaves = sorted(bytes(leaf) for (leaf,) in rows(town, "SELECT leaf FROM hub_inboxleaf"))
    assert leaves == sorted(inbox_leaf(p.response_id, p.sealed, p.tick) for p in promises if p.inbox_day not in closed)
    filed = b"".join((town.hub / "feed" / "v1" / "inbox" / day).read_bytes() for day in closed)
    padded = {filed[i : i + 32] for i in range(0, len(filed), 32)}
    assert {inbox_leaf(p.response_id, p.sealed, p.tick) for p in promises if p.inbox_day in closed} <= padded
    # Nothing half is left once the sweep has been: parts, spare files, bodies on their way.
    assert peak[0] < MEMORY, peak[0] >> 20
    for path in (inbox / ".tmp").iterdir():
        os.utime(path, (1, 1))
    sweep = "from fairwitness.kit import clock, supervise; supervise.setup('hub'); from fairwitness.hub.services import uploads; "
    environment = os.environ | {"FAIRWITNESS_DATA": str(town.hub)}
    subprocess.run([sys.executable, "-c", sweep + "uploads.sweep(clock.now())"], env=environment, check=True, capture_output=True)
    assert not [p for name in (".parts", ".tmp") for p in (inbox / name).rglob("*") if p.is_file()]
    assert not [p for p in (town.hub / "run" / "bodies").rglob("*") if p.is_file()]


@pytest.mark.claim("P12")
def test_restarts_in_mid_tick_under_load(town):
    """Writers and readers load the hub while it is stopped, killed and started: its ticks go on, and homes accept them."""
    draw = random.Random(4)
    homes = homes_of(town, 48, draw, 0.01)
    state, _ = crowd.follow(town)
    begin = state.next_tick
    seen, wrong, stop = [], [], threading.Event()

    def poll():
        nonlocal state
        while not stop.wait(0.3):
            try:
                state, numbers = crowd.follow(town, state)
                seen.extend(numbers)
            except Unreachable:
                continue
            except Exception as error:  # noqa: BLE001 - told to the test
                wrong.append(repr(error))
                return

    poller = threading.Thread(target=poll)
    poller.start()
    with ThreadPoolExecutor(len(homes)) as pool:
        waiting = [pool.submit(home.upload) for home in homes]
        for turn in range(6):
            # A tick is made each second: somewhere in one.
            time.sleep(1.5 + draw.random())
            process = town.processes.running["hub"]
            if turn % 3 == 0:
                strike(town)
            elif turn % 3 == 1:
                # Only the writer: the supervisor starts it again.
                writers = [n for n in crowd.processes(process.pid) if crowd.is_sequencer(n)]
                for number in writers:
                    os.kill(number, signal.SIGKILL)
            else:
                town.stop_one("hub")
                town.start_hub(town.hub)
        for job in waiting:
            job.result(timeout=240)
    target = town.latest()
    until("the home has read up to now", lambda: state.next_tick > target, 60)
    stop.set()
    poller.join()
    assert not wrong
    # Each tick once, none left out, in the order of time, and every one accepted.
    assert seen == list(range(begin, begin + len(seen)))
    numbers = [document["tick"] for document in crowd.logged(town) if document["type"] == "feed_tick"]
    assert len(numbers) == len(set(numbers))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert town.state() == "ok"
    # All witnesses stand on one history: the hub shows a head that a quorum cosigned, of all that it appended.
    heads = {crowd.witnessed(town, name) for name in town.names}
    assert len({head for head in heads if head}) >= 1
    for size, root in filter(None, heads):
        assert crowd.root_at(town, size) == root
    assert all(Envelope.parse(home.promises[0]) for home in homes)
