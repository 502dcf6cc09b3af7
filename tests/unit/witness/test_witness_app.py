import io
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from wsgiref.util import setup_testing_defaults

import pytest
from fairwitness_core.crypto.sign import SigningKey
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note

from fairwitness.witness import app, services

ORIGIN = "log.example/p"
LOG = SigningKey(b"\1" * 32)
VKEY = note.VerifierKey(ORIGIN, note.ED25519, LOG.public)


def first_head(size=1):
    edge = merkle.Frontier()
    edge.extend([b"%d" % n for n in range(size)])
    return checkpoint.sign(checkpoint.Checkpoint(ORIGIN, size, edge.root()), LOG)


@pytest.fixture
def folder(tmp_path):
    services.init(tmp_path, "witness.example/w", seed=b"\7" * 32)
    services.trust(tmp_path, ORIGIN, VKEY.encode())
    return tmp_path


def call(application, method, path, body=b"", **extra):
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body)}
    setup_testing_defaults(environ)
    environ["wsgi.errors"] = io.StringIO()
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.update(extra)
    found = {}

    def start(status, headers):
        found.update(status=int(status[:3]), headers=dict(headers))

    content = b"".join(application(environ, start))
    return found["status"], found["headers"], content


def test_the_routes(folder):
    application = app.make_app(folder, lambda: 1234)
    request = cosignature.add_checkpoint_body(0, [], first_head().encode())
    status, headers, content = call(application, "POST", "/add-checkpoint", request)
    assert status == 200
    lines = note.parse_signature_lines(content)
    assert cosignature.verify(first_head().with_signatures(*lines), services.load(folder).vkey) == 1234
    status, headers, content = call(application, "POST", "/add-checkpoint", request)
    assert (status, headers["Content-Type"], content) == (409, "text/x.tlog.size", b"1\n")
    status, headers, content = call(application, "GET", "/vkey")
    assert (status, content.decode().strip()) == (200, services.load(folder).vkey.encode())
    assert headers["Content-Type"].startswith("text/plain")
    status, _, content = call(application, "GET", "/logs")
    assert content.decode().split() == [ORIGIN, "1", note.encode_base64(merkle.leaf_hash(b"0"))]
    assert call(application, "HEAD", "/logs")[2] == b""


@pytest.mark.parametrize(
    ("status", "method", "path", "extra"),
    [
        (404, "GET", "/", {}),
        (404, "GET", "/key", {}),
        (404, "POST", "/add-checkpoint/", {}),
        (405, "GET", "/add-checkpoint", {}),
        (405, "POST", "/vkey", {}),
        (405, "DELETE", "/logs", {}),
        (411, "POST", "/add-checkpoint", {"CONTENT_LENGTH": ""}),
        (411, "POST", "/add-checkpoint", {"CONTENT_LENGTH": "-1"}),
        (413, "POST", "/add-checkpoint", {"CONTENT_LENGTH": str(services.MAX_BODY + 1)}),
        (413, "POST", "/add-checkpoint", {"CONTENT_LENGTH": "9" * 5000}),
        (400, "POST", "/add-checkpoint", {"CONTENT_LENGTH": "5"}),
        (400, "POST", "/add-checkpoint", {}),
    ],
)
def test_what_is_refused(folder, status, method, path, extra):
    application = app.make_app(folder, lambda: 1)
    assert call(application, method, path, b"", **extra)[0] == status


def test_a_log_trusted_later_is_followed_without_a_restart(tmp_path):
    services.init(tmp_path, "witness.example/w")
    application = app.make_app(tmp_path, lambda: 1)
    request = cosignature.add_checkpoint_body(0, [], first_head().encode())
    assert call(application, "POST", "/add-checkpoint", request)[0] == 404
    services.trust(tmp_path, ORIGIN, VKEY.encode())
    assert call(application, "POST", "/add-checkpoint", request)[0] == 200


def test_a_fault_of_the_folder_is_no_cosignature_and_tells_a_stranger_nothing(folder):
    application = app.make_app(folder, lambda: 1)
    (folder / "heads").rename(folder / "elsewhere")
    request = cosignature.add_checkpoint_body(0, [], first_head().encode())
    status, _, content = call(application, "POST", "/add-checkpoint", request)
    assert status == 500
    assert str(folder).encode() not in content
    assert b"nothing was cosigned" in content


@pytest.mark.network
def test_many_at_once_get_one_history(folder):
    server = app.make_server(folder, "127.0.0.1", 0, lambda: 5)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/add-checkpoint"
    statuses = []

    def ask(size):
        request = cosignature.add_checkpoint_body(0, [], first_head(size).encode())
        try:
            with urllib.request.urlopen(url, request, timeout=10) as answer:
                statuses.append(answer.status)
        except urllib.error.HTTPError as error:
            statuses.append(error.code)

    askers = [threading.Thread(target=ask, args=(size,)) for size in range(1, 21)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    server.shutdown()
    server.server_close()
    thread.join()
    assert sorted(statuses) == [200] + [409] * 19


@pytest.mark.network
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_stops_when_told(folder, how):
    code = "import sys, pathlib; from fairwitness.witness import app; app.run(pathlib.Path(sys.argv[1]), '127.0.0.1', 0)"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, env=dict(os.environ))
    try:
        line = process.stdout.readline().decode()
        assert line.startswith("witness witness.example/w at http://127.0.0.1:")
        url = line.split()[-1]
        with urllib.request.urlopen(f"{url}/vkey", timeout=10) as answer:  # noqa: S310 - the address it printed
            assert answer.read().decode().strip() == services.load(folder).vkey.encode()
        # A connection that says nothing does not hold it up for longer than its own time.
        host, port = url.removeprefix("http://").split(":")
        socket.create_connection((host, int(port))).close()
        process.send_signal(how)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
