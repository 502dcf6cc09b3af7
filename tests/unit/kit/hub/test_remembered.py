"""What stands before the framework for speed answers exactly what the framework would: status, headers, bytes, order."""

import io
import os
import threading
import time

import pytest
from django.core.wsgi import get_wsgi_application
from django.urls import path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairwitness.kit.http_static import Cache, Remembered, static_files

ROOT = None


def policy(name):
    if name == "checkpoint":
        return Cache.SHORT
    if name == "day":
        return Cache.GROWING
    return None if name.startswith("hidden") else Cache.IMMUTABLE


urlpatterns = [path("log/<path:path>", static_files(lambda: ROOT, policy))]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


class Counting:
    """The framework, and how often it was asked."""

    def __init__(self):
        self.inner = get_wsgi_application()
        self.count = 0

    def __call__(self, environ, start):
        self.count += 1
        return self.inner(environ, start)


@pytest.fixture
def tree(tmp_path):
    global ROOT  # noqa: PLW0603 - the view reads it at each request
    ROOT = tmp_path / "root"
    (ROOT / "tile/0").mkdir(parents=True)
    (ROOT / "tile/0/x001").write_bytes(bytes(range(256)) * 20)
    (ROOT / "empty").write_bytes(b"")
    (ROOT / "large").write_bytes(b"L" * (1 << 20 | 1))
    (ROOT / "checkpoint").write_bytes(b"head")
    (ROOT / "day").write_bytes(b"one")
    (ROOT / "hidden").write_bytes(b"no")
    (ROOT / ".tmp").mkdir()
    (ROOT / ".tmp/x").write_bytes(b"no")
    (tmp_path / "secret").write_bytes(b"no")
    (ROOT / "link").symlink_to(tmp_path / "secret")
    (ROOT / "inside").symlink_to(ROOT / "checkpoint")
    (ROOT / "out").symlink_to(tmp_path)
    return ROOT


def call(app, target="/log/tile/0/x001", **changes):
    """One request as a WSGI server hands it on: (status, headers in order, body)."""
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": target, "QUERY_STRING": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.1", "HTTP_HOST": "localhost", "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http", "wsgi.multithread": True, "wsgi.multiprocess": False,
        "wsgi.run_once": False, "wsgi.version": (1, 0), "SCRIPT_NAME": "",
    }  # fmt: skip
    environ |= changes
    environ = {key: value for key, value in environ.items() if value is not None}
    seen = []
    answer = app(environ, lambda status, headers, *_rest: seen.append((status, list(headers))))
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    ((status, headers),) = seen
    return status, headers, body


NAMES = """tile/0/x001 empty large checkpoint day hidden nothing tile/0 tile/0/ .tmp/x ../secret tile/../checkpoint ..
link inside out/secret tile//0/x001 /etc/passwd //log/checkpoint %2e%2e/secret tile/0/x001%00 checkpoint/ Checkpoint
tile/0/x001;a=1 tile/0/x001?a checkpoint#x \\..\\secret"""
PATHS = NAMES.split()
HOSTILE = [
    "tile/0/x001\0",
    "checkpoint\n",
    "check point",
    "\xc3\xa9",
    "\xff",
    "a" * 300,
    "a/" * 3000,
    "x" * 70_000,
    "tile/0/x001\r\nA: b",
]
VARIATIONS = [
    {},
    {"REQUEST_METHOD": "HEAD"},
    {"REQUEST_METHOD": "POST"},
    {"REQUEST_METHOD": "OPTIONS"},
    {"REQUEST_METHOD": "get"},
    {"QUERY_STRING": "owner=7"},
    {"HTTP_HOST": "evil.test"},
    {"HTTP_HOST": "localhost:9"},
    {"HTTP_HOST": "LOCALHOST"},
    {"HTTP_HOST": "localhost, evil.test"},
    {"HTTP_HOST": None},
    {"HTTP_X_FORWARDED_PROTO": "https"},
    {"HTTP_X_FORWARDED_PROTO": "https, http"},
    {"wsgi.url_scheme": "https"},
    {"CONTENT_LENGTH": "4", "wsgi.input": io.BytesIO(b"body")},
    {"HTTP_IF_NONE_MATCH": "*", "HTTP_IF_MODIFIED_SINCE": "Thu, 01 Jan 2099 00:00:00 GMT"},
    {"HTTP_RANGE": "bytes=0-1"},
    {"HTTP_COOKIE": "sessionid=x; fw_hub=y", "HTTP_ACCEPT_LANGUAGE": "es", "HTTP_ACCEPT": "text/html"},
    {"HTTP_ACCEPT_ENCODING": "gzip, br", "HTTP_USER_AGENT": "somebody", "REMOTE_ADDR": "198.51.100.9"},
]


@pytest.mark.claim("P3")
@pytest.mark.parametrize("name", [*PATHS, *HOSTILE], ids=lambda name: repr(name)[:24])
def test_every_answer_is_the_frameworks_own(tree, name):
    plain, fast = get_wsgi_application(), Remembered(get_wsgi_application())
    for _again in range(2):
        for changes in VARIATIONS:
            assert call(fast, f"/log/{name}", **changes) == call(plain, f"/log/{name}", **changes), changes


STEPS = st.lists(
    st.sampled_from(["tile", "0", "x001", "..", ".", "", "checkpoint", "link", "out", "secret", "%2e%2e", "\0", "é"])
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, changes=st.lists(st.sampled_from(VARIATIONS), max_size=2))
def test_any_path_and_any_mixture(tree, steps, changes):
    plain, fast = get_wsgi_application(), Remembered(get_wsgi_application())
    mixed = {key: value for change in changes for key, value in change.items()}
    target = "/log/" + "/".join(steps).encode().decode("latin-1")
    for _again in range(2):
        assert call(fast, target, **mixed) == call(plain, target, **mixed)


def test_a_file_is_read_once_and_then_remembered(tree, monkeypatch):
    counting = Counting()
    fast = Remembered(counting)
    for _again in range(5):
        assert call(fast)[0] == call(fast, "/log/checkpoint")[0] == "200 OK"
    assert counting.count == 2
    # What is too large goes to the framework each time, a growing day once a second.
    for _again in range(2):
        call(fast, "/log/day")
        call(fast, "/log/large")
    assert counting.count == 5
    later = time.monotonic() + 1.1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert call(fast, "/log/day")[2] == b"one"
    assert call(fast, "/log/checkpoint")[2] == b"head"
    assert counting.count == 6


def test_what_changes_on_disk_changes_in_the_next_answer(tree):
    fast = Remembered(get_wsgi_application())
    file = tree / "checkpoint"
    assert call(fast, "/log/checkpoint")[2] == b"head"
    other = tree / "new"
    other.write_bytes(b"late")
    os.replace(other, file)  # noqa: PTH105 - as files.write_atomic does
    assert call(fast, "/log/checkpoint")[2] == b"late"
    with file.open("ab") as stream:
        stream.write(b"r")
    assert call(fast, "/log/checkpoint")[2] == b"later"
    file.write_bytes(b"LATER")
    os.utime(file, ns=(1, 1))
    assert call(fast, "/log/checkpoint")[2] == b"LATER"
    file.unlink()
    assert call(fast, "/log/checkpoint")[0] == "404 Not Found"
    file.symlink_to(tree.parent / "secret")
    assert call(fast, "/log/checkpoint")[0] == "404 Not Found"
    file.unlink()
    file.mkdir()
    assert call(fast, "/log/checkpoint")[0] == "404 Not Found"


def test_a_folder_swapped_for_a_link_is_noticed(tree):
    fast = Remembered(get_wsgi_application())
    assert call(fast)[0] == "200 OK"
    elsewhere = tree.parent / "elsewhere"
    (elsewhere / "0").mkdir(parents=True)
    (elsewhere / "0/x001").write_bytes(bytes(range(256)) * 20)
    (tree / "tile").rename(tree / "gone")
    (tree / "tile").symlink_to(elsewhere)
    assert call(fast)[0] == "404 Not Found"


def test_memory_is_bounded_and_the_least_asked_for_goes_first(tree):
    for number in range(40):
        (tree / f"f{number}").write_bytes(b"x" * 1000)
    counting = Counting()
    fast = Remembered(counting, room=10_500, largest=2000)
    for number in range(40):
        call(fast, f"/log/f{number}")
        call(fast, "/log/f0")
    assert len(fast._answers) == 10
    assert fast._held == sum(len(answer.body) for answer in fast._answers.values()) <= 10_500
    assert counting.count == 40
    assert ("/log/f0", "http", False) in fast._answers
    # Names that a stranger makes up are not kept, nor any number of spellings of ours.
    for number in range(200):
        call(fast, "/log/f39", HTTP_HOST=f"localhost:{number + 1}")
        call(fast, "/log/f39", HTTP_HOST=f"evil{number}.test")
        call(fast, f"/log/missing{number}")
    assert len(fast._hosts) <= 64
    assert len(fast._answers) == 10


def test_threads_at_once(tree):
    for number in range(30):
        (tree / f"f{number}").write_bytes(b"%d" % number * 500)
    fast = Remembered(get_wsgi_application(), room=8000)
    wrong = []

    def work(seed):
        for turn in range(150):
            number = (seed * 7 + turn) % 30
            if call(fast, f"/log/f{number}")[2] != b"%d" % number * 500:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert fast._held == sum(len(answer.body) for answer in fast._answers.values()) <= 8000
