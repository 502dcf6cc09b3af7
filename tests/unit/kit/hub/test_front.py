"""The hub's front without a socket: whole bodies, whole answers, and what it refuses before a thread is asked."""

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from fairwitness.kit import front
from fairwitness.kit.http_static import Cache, Remembered, static_files

ROOT = None
ASKED = []


@csrf_exempt
def echo(request):
    ASKED.append(request.method)
    return HttpResponse(request.read(), content_type="application/octet-stream", headers={"X-Seen": request.META["REMOTE_ADDR"]})


def file(request):
    return FileResponse((ROOT / "large").open("rb"), content_type="application/octet-stream")


def stream(request):
    return StreamingHttpResponse((b"%d" % n * 100_000 for n in range(30)), content_type="application/octet-stream")


urlpatterns = [
    path("echo", echo),
    path("file", file),
    path("stream", stream),
    path("log/<path:path>", static_files(lambda: ROOT, lambda name: Cache.IMMUTABLE)),
]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


@dataclass
class Headers:
    pairs: list

    def items(self):
        return self.pairs


@dataclass
class Scope:
    method: str = "POST"
    path: str = "/echo"
    pairs: list = field(default_factory=list)
    query_string: str = ""
    scheme: str = "http"
    http_version: str = "1.1"
    server: str = "127.0.0.1:80"
    client: str = "192.0.2.7:5000"
    host: tuple = (("host", "localhost"),)

    @property
    def headers(self):
        return Headers([*self.host, *self.pairs])


@dataclass
class Proto:
    """What granian gives: chunks of the body (a number is a pause in seconds), and calls that answer."""

    chunks: tuple = ()
    answer: tuple = ()

    async def __aiter__(self):
        for chunk in self.chunks:
            if isinstance(chunk, float):
                await asyncio.sleep(chunk)
            else:
                yield chunk

    def response_bytes(self, status, headers, body):
        self.answer = (status, dict(headers), body)

    def response_file(self, status, headers, name):
        self.answer = (status, dict(headers), Path(name))


@pytest.fixture
def node(tmp_path):
    global ROOT  # noqa: PLW0603 - the views read it
    ROOT = tmp_path / "root"
    ROOT.mkdir()
    (ROOT / "small").write_bytes(b"tile")
    (ROOT / "large").write_bytes(b"L" * 3_000_000)
    ASKED.clear()
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415 - the settings choose these urls

    return front.Front(Remembered(get_wsgi_application()), tmp_path / "bodies", threads=2, largest=1_000_000, grace=0.3)


def ask(node, scope, *chunks):
    proto = Proto(chunks)
    asyncio.run(node.__rsgi__(scope, proto))
    return proto.answer


def length(size):
    return [("content-length", str(size))]


@pytest.mark.parametrize("size", [0, 5, 70_000, 300_000, 1_000_000])
def test_a_body_arrives_whole(node, size):
    data = os.urandom(size)
    pieces = [data[start : start + 30_000] for start in range(0, size, 30_000)]
    status, headers, body = ask(node, Scope(pairs=length(size)), *pieces)
    assert (status, body, headers["X-Seen"]) == (200, data, "192.0.2.7")
    assert not list(node._folder.iterdir())
    assert node._waiting == 0


REFUSED = [
    (length(1_000_001), (), 413, "body.too_large"),
    (length(10), (b"short",), 400, "body.short"),
    (length(10), (b"a", 5.0), 408, "body.slow"),
    (length(400_000), (b"a" * 300_000, 30.0), 408, "body.slow"),
    ([("content-length", "ten")], (), 400, "body.length"),
    ([("transfer-encoding", "chunked")], (b"x",), 411, "body.length"),
    ([("transfer-encoding", "chunked"), *length(4)], (b"x",), 411, "body.length"),
]


@pytest.mark.parametrize(("pairs", "chunks", "status", "code"), REFUSED)
def test_what_is_refused_before_a_thread_is_asked(node, pairs, chunks, status, code):
    node._rate = 1_000_000
    found = ask(node, Scope(pairs=pairs), *chunks)
    assert (found[0], json.loads(found[2])["error"]["code"], found[1]["connection"]) == (status, code, "close")
    assert not ASKED
    assert not list(node._folder.iterdir())
    assert node._waiting == 0


def test_a_request_that_names_no_host_is_refused(node):
    status, headers, body = ask(node, Scope("GET", "/log/small", host=()))
    assert (status, json.loads(body)["error"]["code"], headers["connection"]) == (400, "host.missing", "close")
    assert not ASKED


def test_a_drip_is_too_slow_and_a_steady_stream_is_not(node):
    node._rate = 100
    assert ask(node, Scope(pairs=length(20)), *[item for _ in range(20) for item in (b"a", 0.05)])[0] == 408
    assert ask(node, Scope(pairs=length(200)), *[item for _ in range(20) for item in (b"a" * 10, 0.03)])[0] == 200


def test_bodies_together_have_an_end(node):
    node._room = 150_000

    async def both():
        slow, quick = Proto((b"a" * 100_000, 0.2)), Proto((b"b" * 100_000,))
        first = asyncio.create_task(node.__rsgi__(Scope(pairs=length(100_001)), slow))
        await asyncio.sleep(0.05)
        await node.__rsgi__(Scope(pairs=length(100_000)), quick)
        await first
        return quick.answer

    status, _, body = asyncio.run(both())
    assert (status, json.loads(body)["error"]["code"]) == (503, "busy")


def test_announcing_much_keeps_nobody_out(node):
    """Connections that state large bodies and send nothing take no room."""
    node._room = 1_000_000

    async def crowd():
        idle = [Proto((0.25, b"x")) for _ in range(50)]
        tasks = [asyncio.create_task(node.__rsgi__(Scope(pairs=length(1_000_000)), one)) for one in idle]
        await asyncio.sleep(0.05)
        honest = Proto((b"b" * 300_000,))
        await node.__rsgi__(Scope(pairs=length(300_000)), honest)
        await asyncio.gather(*tasks)
        return honest.answer[0]

    assert asyncio.run(crowd()) == 200
    assert node._waiting == 0


def test_what_came_counts_against_the_room_while_it_comes(node):
    node._room = 500_000

    async def crowd():
        many = [Proto((b"x" * 200_000, 0.1, b"x" * 200_000, 0.1)) for _ in range(3)]
        await asyncio.gather(*(node.__rsgi__(Scope(pairs=length(400_000)), one) for one in many))
        return sorted(one.answer[0] for one in many)

    found = asyncio.run(crowd())
    assert 503 in found
    assert node._waiting == 0
    assert not list(node._folder.iterdir())


def test_a_quick_beginning_buys_no_long_silence(node, monkeypatch):
    """A megabyte at once would buy minutes at the slowest rate that is allowed."""
    monkeypatch.setattr(front, "_SILENCE", 0.3)
    node._rate = 1000
    assert ask(node, Scope(pairs=length(900_001)), b"a" * 900_000, 5.0, b"a")[0] == 408
    assert ask(node, Scope(pairs=length(900_001)), b"a" * 900_000, 0.1, b"a")[0] == 200


def test_a_body_stops_at_the_disks_reserve(node, monkeypatch):
    free = iter([10_000_000, 10_000_000, 100_000, 0, 0, 0, 0])
    monkeypatch.setattr(front.shutil, "disk_usage", lambda _folder: SimpleNamespace(free=next(free)))
    node._reserve = 200_000
    assert ask(node, Scope(pairs=length(900_000)), *[b"a" * 300_000] * 3)[0] == 507
    assert not list(node._folder.iterdir())


def test_answers_from_memory_from_their_file_and_from_a_spare_one(node):
    for _again in range(2):
        status, headers, body = ask(node, Scope("GET", "/log/small"))
        assert (status, body, headers["Cache-Control"]) == (200, b"tile", "public, max-age=31536000, immutable")
    for place in ("/file", "/log/large"):
        status, headers, body = ask(node, Scope("GET", place))
        assert (status, body, headers["Content-Length"]) == (200, ROOT / "large", "3000000")
    status, headers, body = ask(node, Scope("GET", "/stream"))
    assert status == 200
    assert body.parent == node._folder
    assert body.read_bytes() == b"".join(b"%d" % n * 100_000 for n in range(30))
    assert ask(node, Scope("HEAD", "/log/large"))[1]["Content-Length"] == "3000000"
    assert ask(node, Scope("GET", "/log/../secret"))[0] == 404


def test_a_header_with_an_underscore_is_left_out_and_doubles_are_joined():
    pairs = [
        ("x_forwarded_proto", "https"),
        ("content_length", "7"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("accept", "x"),
        ("accept", "y"),
    ]
    environ = front.environ_of(Scope(pairs=pairs, client="[2001:db8::1]:9"))
    assert "HTTP_X_FORWARDED_PROTO" not in environ
    assert "CONTENT_LENGTH" not in environ
    assert (environ["HTTP_COOKIE"], environ["HTTP_ACCEPT"], environ["REMOTE_ADDR"]) == ("a=1; b=2", "x,y", "2001:db8::1")


def test_a_new_process_begins_with_an_empty_folder(tmp_path):
    old = tmp_path / "bodies" / "tmpold"
    old.parent.mkdir()
    old.write_bytes(b"left")
    front.make(Remembered(lambda *_: []), old.parent, threads=1, largest=1)
    assert not old.exists()
