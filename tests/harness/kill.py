"""Run something in a child process that dies, without any clean-up, at the n-th call that touches the disk."""

import io
import os
import signal
import sys
from collections.abc import Callable

CALLS = ("pwrite", "write", "fsync", "fdatasync", "ftruncate", "replace", "rename", "mkdir", "unlink", "rmdir")
_KILLED = 77
_FAILED = 78
_SECONDS = 60

type Tell = Callable[[str, int], None]


def child_killed_at(nth: int, when: str, life: Callable[[Tell], object]) -> tuple[bool, list[tuple[str, int]]]:
    """Fork, run `life(tell)` and kill it at disk call number `nth` (from 0), `when` "before" or "after" its effect.

    Returns whether it came to its end without reaching that call, and all that it told before it died. An exception in
    the child is raised here as AssertionError.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        tell_fd, plain_write = writing, os.write
        code = _FAILED
        try:
            signal.alarm(_SECONDS)  # a fork of a threaded runner may stall: then it fails instead
            _arm(nth, when)
            life(lambda word, number: plain_write(tell_fd, f"{word} {number}\n".encode()) and None)
            code = 0
        except BaseException as error:  # noqa: BLE001 - the child must never return into the test runner
            plain_write(tell_fd, f"error {error!r}\n".replace("\n", " ").encode() + b"\n")
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        lines = stream.read().decode().splitlines()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, _KILLED}, f"the child ended with {code}: {lines}"
    told = [(line.rpartition(" ")[0], int(line.rpartition(" ")[2])) for line in lines]
    return code == 0, told


def _arm(nth: int, when: str) -> None:
    left = [nth]

    def wrapped(plain: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] == -1 and when == "before":
                os._exit(_KILLED)
            try:
                return plain(*arguments, **named)
            finally:
                if left[0] == -1:
                    os._exit(_KILLED)

        return call

    for name in CALLS:
        if hasattr(os, name):
            setattr(os, name, wrapped(getattr(os, name)))
    sys.stdout = sys.stderr = io.StringIO()
