"""What a process that holds keys does first: nothing of its memory or files is for anybody else on the machine."""

import contextlib
import ctypes
import os
import resource
import sys

_PR_SET_DUMPABLE = 4
_PR_GET_DUMPABLE = 3


def harden() -> None:
    """Write no core dump, let no other process of this user read our memory (Linux), and make new files private.

    prctl(2), PR_SET_DUMPABLE: it also takes /proc/PID/environ and /proc/PID/mem from everyone but root. The limit on core dumps
    is inherited by every child; the rest each process does for itself. Elsewhere than on Linux only the limit and the file
    mode hold.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def is_hardened() -> bool:
    """Tell whether `harden` took hold in this process."""
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        return False
    return sys.platform != "linux" or bool(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
