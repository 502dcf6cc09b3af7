"""T5: over a day of slots, a home that matches and one that does not put the same bytes on the wire at the same moments.

Recorded twice: what the program hands to its transport, and what a counting proxy sees on the sockets behind it.
"""

import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from core.tests.rules.feed_world import CENTRE, TICK
from fairwitness.home import slots
from fairwitness.home.models import Request
from fairwitness.home.services import answers, cameras, matching
from fairwitness.home.services.answers import ClipChoice
from fairwitness.home.tasks import beat_jobs
from fairwitness.kit import files, http
from fairwitness.kit.beat import Beat
from tests.unit.home.fake_hub import INVITE

pytestmark = pytest.mark.network
DAY_TICKS = 86_400 // TICK
HUB_JOBS = {"feed", "tokens", "status", "withdrawals"}


class Web:
    """The hub on a loopback socket, and before it a proxy that counts."""

    def __init__(self, hub, now):
        self.connections = []
        self.now = now

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                address = f"http://{self.headers['Host']}{self.path}"
                answer = hub.send(self.command, address, dict(self.headers), self.rfile.read(length), 5)
                body = b"".join(answer.chunks)
                self.send_response_only(answer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - http.server's names

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.gate = socket.create_server(("127.0.0.1", 0))
        self.port = self.gate.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.gate.accept()
            except OSError:
                return
            seen = {"at": int(self.now()), "up": b"", "down": b""}
            self.connections.append(seen)
            far = socket.create_connection(self.server.server_address)
            pair = [
                threading.Thread(target=self.pump, args=(near, far, seen, "up"), daemon=True),
                threading.Thread(target=self.pump, args=(far, near, seen, "down"), daemon=True),
            ]
            for thread in pair:
                thread.start()

    @staticmethod
    def pump(source, target, seen, way):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                seen[way] += data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self.gate.close()
        self.server.shutdown()
        self.server.server_close()


class ThroughProxy:
    """kit.http's own transport over real sockets, every host being behind the proxy; notes what it was handed."""

    def __init__(self, web):
        self.web, self.sent = web, []
        self.inner = http.SocketTransport()

    def send(self, method, url, headers, body, timeout):
        data = body if isinstance(body, bytes) else b"".join(body)
        self.sent.append((int(self.web.now()), method, url, tuple(headers.items()), data))
        return self.inner.send(method, f"http://127.0.0.1:{self.web.port}{urlsplit(url).path}", headers, data, timeout)


@pytest.fixture
def wired(lone, folders):
    """A home whose calls go over sockets."""
    web = Web(lone.hub, lambda: lone.now)
    lone.web, lone.folders = web, folders
    lone.wire = ThroughProxy(web)
    http.set_transport(lone.wire)
    yield lone
    http.set_transport(lone.hub)
    web.close()


def live(home, *, matches, ticks):
    """Join, and live through `ticks` ticks; in the second tick a request is published that the camera matches or not."""
    files.write_atomic(home.folders.file("keys", "slots.seed"), b"\5" * 32)
    # What a household draws for itself at joining (its keys) differs from one to another anyway: without an invite it draws none.
    home.join(invite="")
    camera = cameras.add("Porch", *(CENTRE if matches else (34.05, -118.24)))
    home.recording(camera, home.world.start - 7000, 7000)
    home.wire.sent.clear()
    home.web.connections.clear()
    home.at(home.world.next_tick * TICK)
    beat = Beat([job for job in beat_jobs() if job.name in HUB_JOBS])
    stop = home.world.next_tick + ticks
    home.world.publish(home.world.request(1))
    while home.world.next_tick < stop:
        home.world.tick()
        end = home.world.next_tick * TICK
        while (due := beat.next_due()) is not None and due < end:
            home.at(max(due, home.now))
            beat.run_due(home.now)
    matching.rematch(home.now)
    assert (Request.objects.get().matched_at is not None) == matches
    return home.wire.sent, home.web.connections


VIEWS = {}


def compare(name, view):
    """Hold a view against the first of its kind."""
    first = VIEWS.setdefault(name, view)
    assert len(view) == len(first), f"THE WIRE TELLS: {len(view)} and {len(first)} calls"
    for ours, theirs in zip(view, first, strict=True):
        assert ours == theirs, f"THE WIRE TELLS: {ours} and {theirs}"


def look(home, *, matches, ticks):
    """Live, hold both recordings against each other, and against those of the other household."""
    sent, connections = live(home, matches=matches, ticks=ticks)
    # What the program handed over is what went over the sockets, call by call, and nothing besides.
    compare(f"transport {ticks}", sent)
    compare(
        f"sockets {ticks}",
        [(seen["at"], seen["up"].split(b"\r\nHost")[0], len(seen["up"]), seen["down"]) for seen in connections],
    )
    assert len(sent) == len(connections) == ticks
    for (now, method, url, _headers, body), seen in zip(sent, connections, strict=True):
        path = urlsplit(url).path.encode()
        assert seen["at"] == now
        assert seen["up"].startswith(b"%s %s HTTP/1.1\r\n" % (method.encode(), path))
        assert seen["up"].endswith(b"\r\n\r\n" + body)
        assert seen["down"].startswith((b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\n"))
    assert len({headers for _now, _method, _url, headers, _body in sent}) == 1


@pytest.mark.claim("P4")
@pytest.mark.claim("P3")
@pytest.mark.slow
@pytest.mark.parametrize("matches", [False, True], ids=["without", "with"])
def test_hours_with_a_match_look_like_hours_without(wired, matches):
    look(wired, matches=matches, ticks=8)


@pytest.mark.claim("P4")
@pytest.mark.proof
@pytest.mark.parametrize("matches", [False, True], ids=["without", "with"])
def test_a_day_with_a_match_looks_like_a_day_without(wired, matches):
    look(wired, matches=matches, ticks=DAY_TICKS)


@pytest.mark.claim("P4")
def test_only_consent_changes_the_wire(wired):
    """The next thing that such a home sends beside its polls is an upload, and only after its owner said so."""
    wired.join(invite=INVITE)
    camera = wired.camera()
    recording = wired.recording(camera, wired.world.start - 7000, 7000)
    assert wired.tokens().ready == 8
    wired.world.publish(wired.world.request(1))
    wired.tick()
    assert Request.objects.get().matched_at is not None
    wired.wire.sent.clear()
    answer = answers.draft(f"{1:032x}")
    answers.set_clips(answer.pk, [ClipChoice(recording.pk, 0.0, 20.0)])
    answers.set_clips(answer.pk, [])
    answers.set_statement(answer.pk, "I saw a van.")
    assert wired.wire.sent == []
    answers.confirm(answer.pk, at_once=True)
    beat = Beat([job for job in beat_jobs() if job.name in {"seal", "upload"}])
    for _pass in range(3):
        wired.at(wired.now + 5)
        beat.run_due(wired.now)
    assert [(method, urlsplit(url).path.split("/")[2]) for _now, method, url, _headers, _body in wired.wire.sent] == [
        ("POST", "uploads"),
        ("PUT", "uploads"),
        ("POST", "uploads"),
    ]
    assert slots.long_slot(TICK) == 3600
