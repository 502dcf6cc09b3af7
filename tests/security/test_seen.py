"""The onlooker's own eyes: it sees what it would have to report."""

import os
import socket
import subprocess
import sys
import time

import pytest

from tests.security import seen

SECRET = "planted-7f3a9c"


@pytest.mark.parametrize("place", ["cmdline", "environ"])
def test_a_secret_in_a_process_is_seen(place):
    words = [sys.executable, "-c", "import time; time.sleep(30)", *([SECRET] if place == "cmdline" else [])]
    child = subprocess.Popen(words, env=os.environ | ({"PLANTED": SECRET} if place == "environ" else {}))
    watch = seen.Watch([child.pid], {"a secret": SECRET.encode()})
    try:
        end = time.monotonic() + 20
        while not watch.told and time.monotonic() < end:
            watch.look()
    finally:
        child.kill()
        child.wait()
    assert any(place in told for told in watch.told)


@pytest.mark.network
def test_every_kind_of_listener_is_seen(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as tcp6,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        found = seen.listening([os.getpid()])
        assert seen.Bound("tcp", "127.0.0.1", tcp.getsockname()[1]) in found
        assert seen.Bound("tcp6", "::1", tcp6.getsockname()[1]) in found
        assert seen.Bound("udp", "127.0.0.1", udp.getsockname()[1]) in found
        assert seen.Bound("unix", str(tmp_path / "s"), 0) in found


@pytest.mark.network
def test_a_connection_is_seen():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        assert seen.listening([os.getpid()])
        child = subprocess.Popen(
            [sys.executable, "-c", f"import socket, time; s = socket.create_connection({server.getsockname()!r}); time.sleep(30)"]
        )
        try:
            end = time.monotonic() + 20
            while not seen.connected([child.pid]) and time.monotonic() < end:
                time.sleep(0.05)
            assert seen.connected([child.pid]) == {("127.0.0.1", server.getsockname()[1])}
        finally:
            child.kill()
            child.wait()
