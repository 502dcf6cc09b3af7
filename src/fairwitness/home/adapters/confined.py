"""Starts a plug-in under limits: `python -m fairwitness.home.adapters.confined BYTES PROGRAM`; this process becomes it."""

import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import Final

MEMORY: Final = 2 << 30
CPU_S: Final = 300


def main() -> None:
    """Set the limits, which hold for the program and all that it starts, then become the program."""
    largest, program = int(sys.argv[1]), sys.argv[2]
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_FSIZE: largest,
        resource.RLIMIT_AS: MEMORY,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    place = str(Path.cwd())
    os.execve(program, [program], {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": place, "TMPDIR": place})  # noqa: S606 - the owner named it


if __name__ == "__main__":
    main()
