"""A hub whose disk is really full, as a node on a file system of its own: it says so, loses nothing, and goes on by itself."""

import hashlib
import secrets
import time

import pytest
from fairwitness_core.model import response as documents

from tests.harness.disk import Disk
from tests.scenarios.load import crowd
from tests.scenarios.operate.town import until

pytestmark = [pytest.mark.proof, pytest.mark.network]

RESERVE = 6 << 20
EXTRA = 100_000


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path, 64, "a hub's uploads, log and ticks on a full disk")
    try:
        yield disk
    finally:
        disk.close()


@pytest.fixture
def town(disk):
    town = crowd.open_town(disk.root)
    try:
        process = town.processes.running.pop("hub")
        process.terminate()
        process.wait(20)
        file = town.hub / "config.toml"
        text = file.read_text().replace(f"min_free_bytes = {1 << 20}\n", "")
        file.write_text(f"min_free_bytes = {RESERVE}\n{text}")
        town.start_hub(town.hub)
        yield town
    finally:
        disk.give_back()
        town.stop()


def opening(home):
    size = len(home.data)
    return home.sign(
        documents.UploadOpen(
            response_id=home.rid, pk=home.key.public.raw, agency=crowd.AGENCY, size=size, parts=documents.parts_of(size),
            token=home.token, at=int(time.time()),
        )
    )  # fmt: skip


def part(home, number):
    data = home.data[number * documents.PART_SIZE :][: documents.PART_SIZE]
    statement = home.sign(
        documents.UploadPart(response_id=home.rid, pk=home.key.public.raw, part=number, sha256=hashlib.sha256(data).hexdigest())
    )
    return home.call("PUT", f"/v1/uploads/{home.rid}/{number}", b"FWP1" + len(statement).to_bytes(4, "big") + statement + data)


def finalizing(home):
    size = len(home.data)
    return home.sign(
        documents.Finalize(
            response_id=home.rid, pk=home.key.public.raw, agency=crowd.AGENCY, sealed=hashlib.sha256(home.data).hexdigest(),
            size=size, parts=documents.parts_of(size), token=home.token,
        )
    )  # fmt: skip


def refused(answer):
    status, value = answer
    assert status in (507, 503), answer
    assert value["error"]["code"] in ("storage.full", "storage.failed", "hub.not_ready"), value
    assert value["error"]["message"]
    return status


def ticks_go_on(town):
    before = town.latest()
    until("another tick", lambda: town.latest() > before + 1)


@pytest.mark.claim("P10")
def test_a_full_disk(disk, town):
    keys = crowd.gather(town, 3)
    data = secrets.token_bytes(documents.PART_SIZE + EXTRA)
    done, home, late = (crowd.Home(town, data, token, key, hub_key) for key, token, hub_key in keys)
    promised = done.upload()
    state, _ = crowd.follow(town)
    state, numbers = crowd.follow(town, state)

    # Below the reserve uploads are refused at each step, and the log goes on.
    status, value = home.call("POST", "/v1/uploads", opening(home))
    assert status == 200, value
    disk.fill(RESERVE)
    assert refused(late.call("POST", "/v1/uploads", opening(late))) == 507
    assert refused(part(home, 0)) == 507
    ticks_go_on(town)
    disk.give_back()
    assert part(home, 0)[0] == 200
    assert part(home, 1)[1]["parts_have"] == [0, 1]
    disk.fill(RESERVE)
    assert refused(home.call("POST", f"/v1/uploads/{home.rid}/finalize", finalizing(home))) == 507
    assert home.call("GET", f"/v1/uploads/{home.rid}", b"")[1]["parts_have"] == [0, 1], "what was answered stays"
    ticks_go_on(town)

    # To the last byte: even the log has to wait.
    disk.fill()
    until("no more ticks", lambda: stands(town))
    stood = town.latest()
    assert refused(late.call("POST", "/v1/uploads", opening(late))) == 507
    refused(home.call("POST", f"/v1/uploads/{home.rid}/finalize", finalizing(home)))
    assert town.get(f"/feed/v1/all/{stood}").status == 200, "what was published is served"
    state, more = crowd.follow(town, state)
    numbers += more
    size = int(town.get("/log/p/checkpoint").body.split(b"\n")[1])

    # Space returns, and nobody does anything.
    disk.give_back()
    until("ticks again", lambda: town.latest() > stood + 2, seconds=60)
    state, more = crowd.follow(town, state)
    numbers += more
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "each tick once, in order"
    entries = crowd.logged(town)
    assert len(entries) > size
    ticks = [entry["tick"] for entry in entries if entry["type"] == "feed_tick"]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks))), "no number was used twice or skipped"
    for name in town.names:
        seen = crowd.witnessed(town, name)
        assert seen is None or seen[1] == crowd.root_at(town, seen[0])
    assert home.finalize().response_id == home.rid
    assert done.finalize() == promised
    assert late.upload().response_id == late.rid
    held = [path for path in (town.hub / "inbox").rglob("*") if path.is_file() and ".parts" not in path.parts]
    assert {path.name for path in held} >= {done.rid, home.rid, late.rid}
    assert all(path.read_bytes() == data for path in held), "no half-written file is left"


def stands(town):
    before = town.latest()
    time.sleep(3)
    return town.latest() == before
