"""A camera that points its recorder elsewhere learns nothing by it, and neither does who is there."""

import contextlib
import socket
import threading

import av.error
import pytest

from fairwitness.home.adapters.recorder import opened
from fairwitness.home.adapters.task import Task

pytestmark = pytest.mark.network
DIGEST = 'WWW-Authenticate: Digest realm="x", nonce="abc"'
BASIC = 'WWW-Authenticate: Basic realm="x"'


@contextlib.contextmanager
def device(host, answer):
    """Answer each RTSP request with `answer(request)` (status line and headers); yields (port, requests seen)."""
    listener = socket.create_server((host, 0))
    seen: list[str] = []

    def run():
        with contextlib.suppress(OSError):
            while True:
                talk(*listener.accept())

    def talk(peer, _address):
        peer.settimeout(5)
        data = b""
        with peer, contextlib.suppress(OSError):
            while piece := peer.recv(65536):
                data += piece
                while b"\r\n\r\n" in data:
                    head, _, data = data.partition(b"\r\n\r\n")
                    seen.append(head.decode())
                    number = next(line for line in seen[-1].split("\r\n") if line.startswith("CSeq"))
                    status, *headers = answer(seen[-1])
                    peer.sendall("\r\n".join([f"RTSP/1.0 {status}", number, *headers, "", ""]).encode())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize("first", [DIGEST, BASIC])
@pytest.mark.parametrize("second", [DIGEST, BASIC, ""])
def test_a_redirect_takes_no_password_to_another_host(first, second):
    def thief(_request):
        return ("401 Unauthorized", second) if second else ("404 Not Found",)

    with device("127.0.0.2", thief) as (port, stolen):

        def camera(request):
            if "Authorization" not in request:
                return "401 Unauthorized", first
            return "302 Moved", f"Location: rtsp://127.0.0.2:{port}/elsewhere"

        with device("127.0.0.1", camera) as (mine, _asked):
            task = Task(address=f"rtsp://127.0.0.1:{mine}/x", user="owner", password="Sw0rdfish-7", folder="", chain="")
            with pytest.raises(av.error.FFmpegError):
                opened(task)
    assert not any("Authorization" in request or "owner" in request for request in stolen), stolen
