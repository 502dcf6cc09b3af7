"""A camera for tests: a real RTSP server in a process of its own, which plays a file again and again."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RtspCamera:
    """Serves `footage` as rtsp://127.0.0.1:PORT/cam.mp4; `start` and `stop` are a plug. It starts anew when the file ends."""

    def __init__(self, footage: Path, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(footage, folder / "cam.mp4")
        self.folder, self.port = folder, free_port()
        self.process = None

    @property
    def address(self):
        return f"rtsp://127.0.0.1:{self.port}/cam.mp4"

    def start(self):
        server = Path(sys.executable).with_name("rtsp-server")
        command = [server, "-d", str(self.folder), "-H", "127.0.0.1", "-p", str(self.port), "-cp", str(free_port())]
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self
        raise TimeoutError("the RTSP server did not come up")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def until(condition, seconds=30.0, step=None):
    """Wait for a condition of another process, calling `step` meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if step is not None:
            step()
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError("what was waited for did not happen")
