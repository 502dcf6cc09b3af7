"""A file system of a few MiB, which tests fill to its last byte."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest


class Disk:
    """A tmpfs mounted at `root`. Only root can have one; elsewhere the test is skipped and says what it would have tried."""

    def __init__(self, root: Path, megabytes: int, untested: str) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "fairwitness-test", str(root)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            refused = done.stderr.strip() if done.returncode else ""
        except OSError as error:
            refused = str(error)
        if refused:
            pytest.skip(f"no file system can be mounted here ({refused}); not tested: {untested}")

    @property
    def free(self) -> int:
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take all but about `leave` free bytes."""
        self.give_back()
        with (self.root / "ballast").open("wb", buffering=0) as stream, suppress(OSError):
            while (left := self.free - leave) > 0:
                stream.write(bytes(min(left, 1 << 20)))

    def give_back(self) -> None:
        """Free what `fill` took."""
        (self.root / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, also under processes that still look at it."""
        subprocess.run(["umount", "-l", str(self.root)], capture_output=True, check=False)
