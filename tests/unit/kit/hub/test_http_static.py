import pytest
from django.test import Client
from django.urls import path

from fairwitness.kit.http_static import Cache, static_files

ROOT = None


def policy(name):
    if name == "checkpoint":
        return Cache.SHORT
    return None if name.startswith("hidden") else Cache.IMMUTABLE


urlpatterns = [path("log/<path:path>", static_files(lambda: ROOT, policy))]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def _tree(tmp_path):
    global ROOT  # noqa: PLW0603 - the view reads it at each request
    ROOT = tmp_path / "root"
    (ROOT / "tile/0").mkdir(parents=True)
    (ROOT / "tile/0/x001").write_bytes(b"tile")
    (ROOT / "checkpoint").write_bytes(b"head")
    (ROOT / "hidden").write_bytes(b"no")
    (ROOT / ".tmp").mkdir()
    (ROOT / ".tmp/x").write_bytes(b"no")
    (tmp_path / "secret").write_bytes(b"no")
    (ROOT / "link").symlink_to(tmp_path / "secret")


def get(name, **options):
    return Client().get(f"/log/{name}", **options)


def test_headers_are_exactly_those_of_the_protocol():
    answer = get("tile/0/x001", headers={"accept-language": "es", "cookie": "sessionid=x"})
    assert b"".join(answer.streaming_content) == b"tile"
    found = {name.lower(): value for name, value in answer.headers.items()}
    assert found.pop("content-security-policy")
    assert found == {
        "content-type": "application/octet-stream",
        "content-length": "4",
        "cache-control": "public, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "x-frame-options": "DENY",
    }
    assert not answer.cookies
    assert get("checkpoint").headers["Cache-Control"] == "max-age=5"


def test_everybody_gets_the_same_headers():
    one = get("tile/0/x001")
    other = Client().get("/log/tile/0/x001", headers={"user-agent": "x", "accept": "text/html", "if-none-match": "*"})
    assert dict(one.headers) == dict(other.headers)
    assert one.status_code == other.status_code == 200


ABSENT = """tile/0/x001?a=1 checkpoint?x nothing tile/0 tile/0/ hidden .tmp/x ../secret %2e%2e/secret tile/../checkpoint
link tile//0/x001 tile/0/x001%00 tile/0/x%201 /etc/passwd"""


@pytest.mark.parametrize("name", ABSENT.split())
def test_everything_else_is_absent(name):
    answer = get(name)
    assert answer.status_code == 404
    assert "Vary" not in answer.headers
    assert not answer.cookies


def test_only_reading():
    assert Client().post("/log/checkpoint").status_code == 405
    head = Client().head("/log/checkpoint")
    assert (head.status_code, head.headers["Content-Length"]) == (200, "4")
