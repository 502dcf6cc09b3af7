import socket
import threading

import pytest

from fairwitness.kit import http
from fairwitness.kit.http import Answer, Http, TooLarge, Unreachable


class Pipe:
    def __init__(self, status=200, chunks=(b"ok",), headers=None):
        self.status, self.chunks, self.headers = status, chunks, headers or {}
        self.seen, self.closed = [], 0

    def send(self, method, url, headers, body, timeout):
        sent = body if isinstance(body, bytes) else b"".join(body)
        self.seen.append((method, url, dict(headers), sent, timeout))

        def close():
            self.closed += 1

        return Answer(self.status, self.headers, iter(self.chunks), close)


def test_headers_are_fixed_in_set_and_order():
    pipe = Pipe()
    client = Http(transport=pipe)
    assert client.post("https://hub.example/x", b"abc").body == b"ok"
    client.get("https://hub.example:8443/x")
    assert list(pipe.seen[0][2].items()) == [
        ("Host", "hub.example"),
        ("User-Agent", "fairwitness/1"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", "3"),
    ]
    assert list(pipe.seen[1][2]) == ["Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"]
    assert pipe.closed == 2


def test_bounds():
    pipe = Pipe(chunks=[b"12345"] * 3)
    with pytest.raises(TooLarge):
        Http(transport=pipe).get("http://x/", max_bytes=14)
    got = []
    with pytest.raises(TooLarge):
        Http(transport=pipe).download("http://x/", got.append, max_bytes=14)
    assert sum(map(len, got)) <= 14
    assert pipe.closed == 2


def test_download_streams_only_a_200():
    got = []
    assert Http(transport=Pipe()).download("http://x/", got.append, max_bytes=9).body == b""
    assert got == [b"ok"]
    answer = Http(transport=Pipe(status=404, chunks=[b"no"])).download("http://x/", got.append, max_bytes=9)
    assert (answer.status, answer.body, got) == (404, b"no", [b"ok"])


def test_a_short_answer_is_no_answer():
    with pytest.raises(Unreachable):
        Http(transport=Pipe(headers={"content-length": "3"})).get("http://x/")


def test_upload_has_exactly_the_stated_size():
    pipe = Pipe()
    Http(transport=pipe).upload("PUT", "http://x/", iter([b"ab", b"c"]), size=3)
    assert pipe.seen[0][3] == b"abc"
    for size in (2, 4):
        with pytest.raises(ValueError, match="bytes"):
            Http(transport=pipe).upload("PUT", "http://x/", iter([b"ab", b"c"]), size=size)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/", "http://", "x", "http://user:pw@x/"])
def test_bad_addresses(url):
    with pytest.raises(ValueError, match="address"):
        Http(transport=Pipe()).get(url)


def test_process_transport_can_be_replaced():
    pipe = Pipe()
    http.set_transport(pipe)
    try:
        Http().get("http://x/y", timeout=5)
    finally:
        http.set_transport(None)
    assert pipe.seen[0][1] == "http://x/y"
    assert pipe.seen[0][4] == 5


def serve(answer: bytes):
    """Answer one connection with raw bytes; return the port and what was received."""
    listener = socket.create_server(("127.0.0.1", 0))
    received = bytearray()

    def run():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            while b"\r\n\r\n" not in received:
                received.extend(connection.recv(65536))
            connection.sendall(answer)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return listener.getsockname()[1], received, thread


@pytest.mark.network
def test_sockets_say_nothing_more(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    port, received, thread = serve(
        b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nhi"
    )
    answer = Http().get(f"http://127.0.0.1:{port}/feed")
    thread.join(5)
    assert (answer.status, answer.body, answer.headers["location"]) == (302, b"hi", "http://evil/")
    assert bytes(received) == (
        b"GET /feed HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: fairwitness/1\r\nAccept: */*\r\n"
        b"Accept-Encoding: identity\r\nConnection: close\r\n\r\n" % port
    )


@pytest.mark.network
def test_broken_answers_are_unreachable():
    port, _, thread = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi")
    with pytest.raises(Unreachable):
        Http(timeout=5).get(f"http://127.0.0.1:{port}/")
    thread.join(5)
    port, _, thread = serve(b"garbage\r\n\r\n")
    with pytest.raises(Unreachable):
        Http(timeout=5).get(f"http://127.0.0.1:{port}/")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable):
        Http(timeout=5).get(f"http://127.0.0.1:{port}/")
