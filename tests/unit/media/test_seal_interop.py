"""Another implementation of age reads what we seal, and we read what it seals."""

import shutil
import subprocess

import pytest
from fairwitness_core.crypto import seal

pytestmark = pytest.mark.skipif(shutil.which("age") is None, reason="the age program is not installed")


def test_both_ways(tmp_path):
    secret, recipient = seal.new_identity()
    key = tmp_path / "key"
    key.write_text(secret + "\n")
    data = bytes(range(256)) * 700
    sealed = tmp_path / "sealed"
    sealed.write_bytes(seal.seal_bytes(data, [recipient]))
    done = subprocess.run(["age", "-d", "-i", str(key), str(sealed)], capture_output=True, check=True)
    assert done.stdout == data
    theirs = subprocess.run(["age", "-r", recipient], input=data, capture_output=True, check=True).stdout
    assert seal.open_bytes(theirs, [secret]) == data
