"""A writer that is killed at any write, sync, cut or rename loses nothing that it acknowledged."""

import shutil

import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import merkle, note
from fairwitness_core.verify.log import check_log

from fairwitness.kit.logstore import LogStore
from tests.harness.kill import CALLS, child_killed_at

ORIGIN = "log.example/p"
KEY = SigningKey(b"\1" * 32)
VKEY = note.VerifierKey(ORIGIN, note.ED25519, KEY.public)
BATCHES = [[b"%d of %d" % (n, size) for n in range(size)] for size in (1, 3, 250, 10, 300)]
PUBLISH_AFTER = {1, 3, 4}


def life(folder, told):
    """What one process does; `told(word, number)` is the acknowledgement that others rely on."""
    store = LogStore.open(folder, ORIGIN, KEY)
    for number, batch in enumerate(BATCHES):
        before = store.size
        if before >= sum(map(len, BATCHES[: number + 1])):
            continue
        store.append(batch)
        told("appended", store.size)
        if number in PUBLISH_AFTER:
            store.publish(store.signed_checkpoint())
            told("published", store.size)
    store.close()


@pytest.mark.claim("P12")
@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_every_call_loses_nothing_acknowledged(tmp_path, when):
    everything = [entry for batch in BATCHES for entry in batch]
    ends = {0, *(sum(map(len, BATCHES[:n])) for n in range(1, len(BATCHES) + 1))}
    kills = 0
    for nth in range(10_000):
        folder = tmp_path / "log"
        shutil.rmtree(folder, ignore_errors=True)
        finished, told = child_killed_at(nth, when, lambda tell, folder=folder: life(folder, tell))
        if finished:
            break
        kills += 1
        appended = max((size for word, size in told if word == "appended"), default=0)
        published = max((size for word, size in told if word == "published"), default=0)
        served = check_served(folder)
        assert served >= published
        # The next process finds whole batches only, every acknowledged one among them, and what is served under them.
        with LogStore.open(folder, ORIGIN, KEY) as store:
            assert store.size in ends
            assert store.size >= max(appended, served)
            assert store.entries(0, store.size) == everything[: store.size]
            assert store.root() == store.root_at(store.size) == root_of(everything[: store.size])
        # And it can go on to the end.
        life(folder, lambda word, size: None)
        with LogStore.open(folder, ORIGIN, KEY) as store:
            assert store.entries(0, store.size) == everything
            store.publish(store.signed_checkpoint())
        assert check_served(folder) == len(everything)
    assert kills > 60, f"only {kills} of the calls {CALLS} were hit"


def test_a_kill_during_recovery_is_recovered_from(tmp_path):
    """The recovery itself is interrupted at each of its calls, over a torn batch and no mark."""
    made = tmp_path / "made"
    with LogStore.open(made, ORIGIN, KEY) as store:
        store.append(BATCHES[1])
        store.append(BATCHES[3])
        store.close(mark=False)
    with (made / "leaves").open("ab") as leaves:
        leaves.write(b"FWL1 torn")
    for when in ("before", "after"):
        for nth in range(100):
            folder = tmp_path / "log"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made, folder)
            finished, _ = child_killed_at(nth, when, lambda tell, folder=folder: LogStore.open(folder, ORIGIN, KEY).close())
            with LogStore.open(folder, ORIGIN, KEY) as store:
                assert store.entries(0, store.size) == BATCHES[1] + BATCHES[3]
            if finished:
                break
        else:
            pytest.fail("recovery never ended")


def check_served(folder):
    if not (folder / "public" / "checkpoint").exists():
        return 0
    report = check_log(lambda path: (folder / "public" / path).read_bytes(), None, VKEY)
    assert report.ok, report.first_failure
    return report.size


def root_of(entries):
    edge = merkle.Frontier()
    edge.extend(entries)
    return edge.root()


def test_the_killer_kills(tmp_path):
    def life(tell):
        tell("alive", 1)
        tmp_path.joinpath("made").mkdir()

    assert child_killed_at(0, "before", life) == (False, [("alive", 1)])
    assert not (tmp_path / "made").exists()
    assert child_killed_at(0, "after", life) == (False, [("alive", 1)])
    assert (tmp_path / "made").exists()
    (tmp_path / "made").rmdir()
    assert child_killed_at(1, "after", life) == (True, [("alive", 1)])
