"""T10 in its version 1 form: what was withdrawn in time, or declined and thirty days old, cannot be read from any disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def play(folder: Path, mutant: str = "none") -> dict:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRWITNESS", "DJANGO", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.scenarios.agency.shred_driver", str(folder), mutant],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.claim("P8")
def test_destroyed_means_unreadable_with_every_disk_in_hand(tmp_path):
    told = play(tmp_path)
    assert told["recovery_is_offline"]
    # Before, a thief of both disks reads it: the test can tell the difference.
    assert told["early_before"]
    assert all(told["late_before"])
    assert told["late_before"]
    assert not told["plaintext_before"], "evidence lay open on a disk"
    # Withdrawn before collection: no ciphertext is left that any key here could open.
    assert not told["early_after"]
    assert not told["early_left"]
    # Declined and thirty days old: not even with a copy of the ciphertext kept from before.
    assert told["declined_key_gone"]
    assert told["destroyed"] == 1
    assert not any(told["late_after"]), "a kept ciphertext still opens"
    assert told["late_left"] == []
    assert told["alive_after"]
    assert all(told["alive_after"]), "another response must stay readable"


@pytest.mark.slow
def test_a_long_lived_key_would_be_noticed(tmp_path):
    assert any(play(tmp_path, "long_lived_key")["late_after"])
