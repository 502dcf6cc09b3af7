"""A process that holds keys: no core dump, private files, memory closed to its user's other processes."""

import subprocess
import sys

SCRIPT = """
import os, resource
from fairwitness.kit import process
assert not process.is_hardened()
process.harden()
assert process.is_hardened()
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
assert os.umask(0) == 0o077
assert os.stat(f"/proc/{os.getpid()}/environ").st_uid == 0
"""


def test_a_hardened_process_shows_nothing():
    lift = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))\n"
    done = subprocess.run([sys.executable, "-c", lift + SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_holds_keys_calls_it_first():
    import inspect  # noqa: PLC0415 - only here

    from fairwitness.agency import worker  # noqa: PLC0415
    from fairwitness.kit import supervise  # noqa: PLC0415
    from fairwitness.witness import commands  # noqa: PLC0415

    for function in (supervise.setup, supervise._application, supervise.child, worker._limit, commands._told):
        assert "process.harden()" in inspect.getsource(function), function
