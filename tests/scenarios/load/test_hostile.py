"""Slow, lying and hostile clients cost the hub sockets, never its answers: an honest home is served within a second."""

import http.client
import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress

import pytest

from tests.scenarios.load import crowd

pytestmark = [pytest.mark.proof, pytest.mark.network]

HEAD = 10  # seconds that a head may take, kit.supervise
GRACE = 10  # seconds that a body may take at least, kit.front
MEMORY = 512 << 20  # private bytes of all of the hub's processes together (a quiet hub's five have about 300 MiB)
GROWTH = 160 << 20  # of them, what attacks may add
PART = (4 << 20) + 65_536


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    town = crowd.open_town(tmp_path_factory.mktemp("town"))
    try:
        yield town
    finally:
        town.stop()


@pytest.fixture(scope="module")
def quiet_memory(town):
    """What the hub's processes take when they have answered a few calls."""
    for _ in range(50):
        town.get("/log/p/checkpoint")
        town.get("/healthz")
    return crowd.memory(town.processes.running["hub"].pid)


@pytest.fixture
def watched(town, quiet_memory):
    """Honest homes poll all the while; afterwards: none waited for a second, descriptors and memory are bounded."""
    stop, waits, wrong = threading.Event(), [], []

    def poll():
        while not stop.is_set():
            began = time.monotonic()
            try:
                for path in (
                    f"/feed/v1/all/{town.latest()}",
                    "/log/p/checkpoint",
                    "/healthz",
                    f"/v1/responses/{'0' * 64}/status",
                ):
                    assert town.get(path).status in (200, 404)
                    waits.append(time.monotonic() - began)
                    began = time.monotonic()
            except Exception as error:  # noqa: BLE001 - told to the test
                wrong.append(repr(error))
            time.sleep(0.05)

    homes = [threading.Thread(target=poll) for _ in range(2)]
    for home in homes:
        home.start()
    try:
        yield town
        now = crowd.memory(town.processes.running["hub"].pid)
        crowd.until("homes were served many times", lambda: len(waits) >= 20)
    finally:
        stop.set()
        for home in homes:
            home.join()
    assert now < MEMORY
    assert now < quiet_memory + GROWTH
    assert not wrong
    assert max(waits) < 1.0, sorted(waits)[-5:]


def connect(town):
    line = socket.create_connection(("127.0.0.1", town.ports[3]), timeout=40)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def head(town, method="POST", path="/v1/uploads", **headers):
    named = {"Host": f"localhost:{town.ports[3]}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def ask(town, data):
    """Send bytes; returns (status, body) of the first answer, or None where the line was closed without one."""
    with connect(town) as line:
        with suppress(OSError):
            line.sendall(data)
        answer = http.client.HTTPResponse(line)
        try:
            answer.begin()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None


def closed_after(lines, seconds):
    """Feed each line a byte now and then until the hub closes it; returns how many it closed in time."""
    end = time.monotonic() + seconds
    open_lines = list(lines)
    for line in open_lines:
        line.setblocking(False)
    while open_lines and time.monotonic() < end:
        for line in list(open_lines):
            try:
                if line.recv(4096) == b"":
                    open_lines.remove(line)
            except BlockingIOError:
                pass
            except OSError:
                open_lines.remove(line)
        time.sleep(0.05)
    return len(lines) - len(open_lines)


def drip(lines, byte, stop):
    while not stop.wait(1.0):
        for line in lines:
            with suppress(OSError):
                line.send(byte)


def attack(lines, byte, seconds):
    stop = threading.Event()
    dripping = threading.Thread(target=drip, args=(lines, byte, stop))
    dripping.start()
    try:
        return closed_after(lines, seconds)
    finally:
        stop.set()
        dripping.join()
        for line in lines:
            line.close()


def test_slow_heads_are_cut_off(watched):
    lines = [connect(watched) for _ in range(300)]
    for line in lines:
        line.sendall(b"GET /join.json HTTP/1.1\r\nX-Slow: ")
    assert attack(lines, b"a", HEAD + 8) == 300


def test_parts_of_a_byte_a_second_are_cut_off_and_hold_no_thread(watched):
    lines = [connect(watched) for _ in range(200)]
    for line in lines:
        line.sendall(head(watched, "PUT", f"/v1/uploads/{'0' * 64}/0", Content_Length=PART))
    assert attack(lines, b"a", GRACE + 8) == 200


@pytest.mark.proof
def test_bodies_that_never_come_are_cut_off(watched):
    lines = [connect(watched) for _ in range(200)]
    for line in lines:
        line.sendall(head(watched, Content_Length=1000))
    assert attack(lines, b"", GRACE + 8) == 200


@pytest.mark.proof
def test_five_thousand_idle_connections(watched):
    before = crowd.descriptors(watched.processes.running["hub"].pid)
    lines = []
    for number in range(5000):
        line = connect(watched)
        lines.append(line)
        if number % 2:
            line.sendall(head(watched, "GET", "/log/p/checkpoint"))
    during = crowd.descriptors(watched.processes.running["hub"].pid)
    assert during < 10_000
    assert closed_after(lines, HEAD + 20) == 5000
    for line in lines:
        line.close()
    crowd.until("descriptors are free again", lambda: crowd.descriptors(watched.processes.running["hub"].pid) < before + 50)


def test_readers_that_do_not_read(watched):
    lines = [connect(watched) for _ in range(100)]
    for line in lines:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        for _pipelined in range(50):
            line.sendall(head(watched, "GET", "/join.json"))
    time.sleep(3)
    for line in lines:
        line.close()


def test_a_body_too_large_is_refused_before_it_comes(watched):
    for size in (PART + 1, 1 << 40, 1 << 62):
        status, body = ask(watched, head(watched, Content_Length=size))
        assert (status, json.loads(body)["error"]["code"]) == (413, "body.too_large")


def test_lengths_that_are_only_announced_keep_nobody_out(watched):
    # More than may come in all is announced, hardly any of it comes: whoever sends what was announced is still heard.
    lines = [connect(watched) for _ in range(700)]
    try:
        for line in lines:
            line.sendall(head(watched, "PUT", f"/v1/uploads/{'0' * 64}/0", Content_Length=PART) + b"x" * 70_000)
        request = head(watched, "PUT", f"/v1/uploads/{'0' * 64}/0", Content_Length=70_000) + b"x" * 70_000
        found = ask(watched, request)
        assert found is not None
        assert found[0] not in (408, 503, 507), found
    finally:
        for line in lines:
            line.close()


def test_lengths_that_lie(watched):
    path = f"/v1/uploads/{'0' * 64}/0"
    assert ask(watched, head(watched, Content_Length="-1")) is None or ask(watched, head(watched, Content_Length="-1"))[0] == 400
    for stated in ("0x10", "1,2", "1 2", "+4", "9" * 40, ""):
        found = ask(watched, head(watched, Content_Length=stated) + b"body")
        assert found is None or found[0] in (400, 411, 413), stated
    two = b"POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!"
    found = ask(watched, two)
    assert found is None or found[0] == 400
    # More than stated is another request, and no good one; less, and the line is dropped.
    status, _ = ask(watched, head(watched, "PUT", path, Content_Length=4) + b"bodyGARBAGE\r\n\r\n")
    assert 400 <= status < 500
    with connect(watched) as line:
        line.sendall(head(watched, "PUT", path, Content_Length=100) + b"short")
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100)[:12] in (b"HTTP/1.1 400", b"")


def test_chunks_and_compression_are_refused(watched):
    bomb = b"fffffff\r\n" + b"\0" * 100_000
    for coding in ("chunked", "gzip, chunked"):
        found = ask(watched, head(watched, Transfer_Encoding=coding) + bomb)
        assert found is None or found[0] in (400, 411)
    smuggled = head(watched, Transfer_Encoding="chunked", Content_Length=4) + b"0\r\n\r\nGET /join.json HTTP/1.1\r\n\r\n"
    found = ask(watched, smuggled)
    assert found is None or found[0] in (400, 411)
    # Nobody unpacks anything: it is taken for the bytes that it is.
    for coding in ("gzip", "br", "deflate"):
        status, body = ask(watched, head(watched, Content_Length=30, Content_Encoding=coding) + b"\x1f\x8b\x08" + b"\0" * 27)
        assert (status, json.loads(body)["error"]["code"]) == (400, "json.malformed")


def test_pipelining_old_http_and_garbage(watched):
    wanted = watched.get("/join.json").body
    with connect(watched) as line:
        line.sendall(head(watched, "GET", "/join.json") * 20)
        stream = line.makefile("rb")
        for _answer in range(20):
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = http.client.parse_headers(stream)
            assert stream.read(int(headers["Content-Length"])) == wanted
    status, body = ask(watched, f"GET /join.json HTTP/1.0\r\nHost: localhost:{watched.ports[3]}\r\n\r\n".encode())
    assert (status, body) == (200, wanted)
    for junk in (
        b"\r\n" * 5000, b"\0" * 5000, os.urandom(5000), b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET " + b"/a" * 50_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G\xff /\r\n\r\n",
        b"GET /join.json HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n", b"GET /join.json HTTP/1.1\r\n\r\n",
    ):  # fmt: skip
        with connect(watched) as line, suppress(OSError):
            line.sendall(junk)
            line.shutdown(socket.SHUT_WR)
            answer = line.recv(100)
            assert not answer or answer[9:10] == b"4", (junk[:30], answer)


def test_a_header_with_an_underscore_passes_for_no_other(watched):
    port = watched.ports[3]
    line = f"GET /join.json HTTP/1.1\r\nHost: localhost:{port}\r\nX_Forwarded_Proto: https\r\nContent_Length: 7\r\n\r\n"
    status, _ = ask(watched, line.encode())
    assert status == 200


@pytest.mark.proof
def test_many_lie_at_once_and_nothing_is_left(watched):
    """All of it together, at random, from many sides."""

    def lie(seed):
        end = time.monotonic() + 4
        while time.monotonic() < end:
            with suppress(OSError), connect(watched) as line:
                kind = seed % 4
                data = [
                    head(watched, "PUT", f"/v1/uploads/{secrets.token_hex(32)}/0", Content_Length=PART) + os.urandom(200_000),
                    os.urandom(500),
                    head(watched, Content_Length=10) + b"0123456789",
                    head(watched, "GET", "/join.json")[:-2],
                ][kind]
                line.sendall(data)
                line.settimeout(0.05)
                with suppress(OSError):
                    line.recv(100)

    liars = [threading.Thread(target=lie, args=(n,)) for n in range(16)]
    for liar in liars:
        liar.start()
    for liar in liars:
        liar.join()
    bodies = watched.hub / "run" / "bodies"
    crowd.until("no body is left on disk", lambda: not [p for p in bodies.rglob("*") if p.is_file()], 80)
