"""Static copies of a hub's public files: at any moment whole for whoever reads them, whatever happens to the one who writes."""

import contextlib
import dataclasses
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fairwitness_core.model.hub import JoinFile
from fairwitness_core.tlog.note import VerifierKey
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.verify.log import check_log
from hypothesis import given
from hypothesis import strategies as st

from fairwitness.hub.config import Config, PublishConfig
from fairwitness.hub.operate import OPERATIONS, _published
from fairwitness.hub.services import agencies, inbox, publishing, tokens
from fairwitness.kit import blobs_s3, config, objects
from fairwitness.kit.config import BlobsConfig, ConfigError
from fairwitness.kit.http_static import Cache
from fairwitness.kit.operate import publish
from fairwitness.kit.operate.mirror import Mirror
from fairwitness.kit.operate.publish import BucketTarget, Differs, FolderTarget, Publisher, PublishError
from tests.harness import s3
from tests.unit.hub.test_requests import publish as ask
from tests.unit.hub.world import TICK, Responder

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture(scope="module")
def moto():
    with s3.moto() as server:
        yield server


@pytest.fixture
def town(world):
    """A hub with some life: requests, a changed directory, a sealed ledger, ticks of two days."""
    ask(world, world.agency.request())
    world.agency.call("sealed_append", {"commitments": ["A" * 43 + "="]})
    live(world)
    return world


def live(world, ticks=3):
    for _ in range(ticks):
        assert world.step(TICK) == "ok"


def bucket_of(server, name, folder):
    given = BlobsConfig(url=f"s3://{name}/town", endpoint=server.endpoint, timeout_seconds=5)
    return objects.Bucket(blobs_s3.client_of(given, s3.credentials(folder)))


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    """(target, what is there now)"""
    if request.param == "folder":
        folder = tmp_path / "site"
        return FolderTarget(folder), lambda: {p.relative_to(folder).as_posix(): p.read_bytes() for p in _files(folder)}
    server = request.getfixturevalue("moto")
    name = server.bucket()
    client = server.client()

    def there():
        return {
            path.removeprefix("town/"): client.get_object(Bucket=name, Key=path)["Body"].read() for path in server.paths(name)
        }

    return BucketTarget(bucket_of(server, name, tmp_path)), there


def _files(folder):
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


class Dead(BaseException):
    """The process is killed here."""


class Counting:
    """A target that dies at write number `nth`, `after` it or before; `seen` is called after each one."""

    def __init__(self, target, nth=-1, *, after=False, seen=lambda: None):
        self.target, self.left, self.after, self.seen, self.count = target, nth, after, seen, 0

    def get(self, path, most):
        return self.target.get(path, most)

    def _write(self, write, arguments):
        self.count += 1
        self.left -= 1
        if self.left == -1 and not self.after:
            raise Dead
        write(*arguments)
        self.seen()
        if self.left == -1:
            raise Dead

    def create(self, *arguments):
        self._write(self.target.create, arguments)

    def replace(self, *arguments):
        self._write(self.target.replace, arguments)


def reads_whole(files):
    """What any reader may rely on: heads have what they point to, the newest tick its day, its directory and its inboxes."""
    for path in files:
        assert publish.cache_of(path) is not None, path
    for name in ("p", "s"):
        if f"log/{name}/checkpoint" in files:
            join = JoinFile.parse(publishing.feed.root().joinpath("join.json").read_bytes())
            key = VerifierKey.parse(join.public_log if name == "p" else join.sealed_log)
            report = check_log(lambda p, n=name: files[f"log/{n}/{p}"], Policy.parse(join.policy.encode()), key)
            assert report.ok, report.first_failure
    ticks = [int(path.rsplit("/", 1)[1]) for path in files if path.startswith("feed/v1/all/")]
    snapshots = {p.name for p in (publishing.feed.root() / "v1" / "agencies").iterdir()}
    if ticks:
        assert {path.rsplit("/", 1)[1] for path in files if "/agencies/" in path} == snapshots
    if "feed/v1/latest" in files:
        latest = int(files["feed/v1/latest"])
        assert latest in ticks
        assert sorted(ticks) == list(range(min(ticks), max(ticks) + 1))
    if "join.json" in files:
        assert {"feed/v1/latest", "log/p/checkpoint", "log/s/checkpoint"} <= set(files)


def served(world):
    """Every public file of the hub, under the name that it has at its own address."""
    root, found = world.hub, {}
    for top, under in (("feed/v1", "feed/v1"), ("log/p/public", "log/p"), ("log/s/public", "log/s")):
        for path in _files(root / top):
            found[f"{under}/{path.relative_to(root / top).as_posix()}"] = path.read_bytes()
    return found | {"join.json": (root / "feed/join.json").read_bytes()}


def mirrored(world, files, folder):
    """Let a mirror verify all that is there, from the join file on."""

    def app(environ, start):
        data = files().get(environ["PATH_INFO"].lstrip("/"))
        start("200 OK" if data is not None else "404 Not Found", [])
        return [data or b""]

    world.net.apps["static.test"] = app
    copy = Mirror("http://static.test", folder)
    if copy.pinned() is None:
        copy.pin(copy.fetch_join())
    return copy.run()


@pytest.mark.claim("P12")
def test_every_moment_is_whole_and_a_kill_anywhere_is_mended(town, place, tmp_path):
    target, there = place
    source = publishing.source()
    dead, count = 0, 0
    # 1. Killed at every write of the first round, before and after, with the next try continuing each time.
    while True:
        dead += 1
        counting = Counting(target, dead, after=dead % 2 == 0, seen=(lambda: reads_whole(there())) if dead < 4 else lambda: None)
        try:
            Publisher(town.hub, "there", counting).run(source)
        except Dead:
            reads_whole(there())
            count += 1
            if dead % 5 == 0:
                live(town, 1)
            continue
        break
    assert count > 3
    reads_whole(there())
    # 2. Life goes on; a round writes what is new and no more.
    live(town)
    agencies.suspend(town.agency.id, "security")
    live(town)
    counting = Counting(target, seen=lambda: reads_whole(there()))
    done = Publisher(town.hub, "there", counting).run(source)
    assert done.tick == town.latest()
    written = counting.count
    quiet = Counting(target)
    Publisher(town.hub, "there", quiet).run(source)
    assert quiet.count == 0
    # 3. Without its notes it finds that all is there.
    for path in (town.hub / "publish").iterdir():
        path.unlink()
    again = Counting(target)
    Publisher(town.hub, "there", again).run(source)
    assert again.count >= written
    # 4. Everything that the hub serves is there with its bytes, and nothing else.
    ours, theirs = served(town), there()
    for path in ours.keys() | theirs.keys():
        if ".p/" not in path or path in ours.keys() & theirs.keys():  # partial tiles of heads in between come and go
            assert ours[path] == theirs[path], path
    # 5. A stranger verifies all of it.
    for moment in (15, 0):
        town.now += moment
        assert mirrored(town, there, tmp_path / "copy").tick == town.latest()


def test_only_public_names_leave(town, place):
    target, there = place
    Publisher(town.hub, "x", target).run(publishing.source())
    (town.hub / "feed/v1/agencies/notes.txt").write_text("private")
    (town.hub / "feed/v1/all/17.tmp").write_text("private")
    (town.hub / "log/p/public/leaves").write_bytes(b"private")
    live(town, 1)
    Publisher(town.hub, "x", target).run(publishing.source())
    allowed = re.compile(
        r"join\.json|feed/v1/(latest|all/\d+|day/all/\d{8}|agencies/[0-9a-f]{64}|inbox/\d{8})"
        r"|log/[ps]/(checkpoint|tile/(entries|\d)/[x0-9/]+(\.p/\d+)?)"
    )
    for path, data in there().items():
        assert allowed.fullmatch(path), path
        assert b"private" not in data
    with pytest.raises(PublishError, match="not public"):
        Publisher._put(target.create, "keys/hub.key", b"x", Cache.IMMUTABLE)


@given(
    st.text(alphabet="fedv1/alcgnisx0.p_keysjo%\\\n", max_size=60) | st.sampled_from(["log/p/leaves", "log/p/tile/../../keys"])
)
def test_no_other_name_is_public(path):
    if publish.cache_of(path) is not None:
        assert ".." not in path
        assert path.split("/")[0] in ("feed", "log", "join.json")


def test_headers_are_those_of_the_hub(town, tmp_path):
    seen = {}
    with serving(lambda call: (404 if call.command in ("GET", "HEAD") else 200, "NoSuchKey"), seen) as endpoint:
        given = BlobsConfig(url="s3://b/town", endpoint=endpoint, timeout_seconds=5)
        bucket = objects.Bucket(blobs_s3.client_of(given, s3.credentials(tmp_path)))
        Publisher(town.hub, "x", BucketTarget(bucket)).run(publishing.source())
    assert len(seen) > 10
    for path, headers in seen.items():
        own = town.client.get(path.removeprefix("/b/town"))
        assert own.status_code == 200, path
        assert (headers["Cache-Control"], headers["Content-Type"]) == (own["Cache-Control"], own["Content-Type"]), path
        immutable = "immutable" in own["Cache-Control"]
        assert (headers.get("If-None-Match") == "*") is (immutable and "/day/" not in path)


def test_other_bytes_under_a_name_are_an_alarm_and_stay(town, place, monkeypatch):
    target, there = place
    Publisher(town.hub, "x", target).run(publishing.source())
    live(town, 1)
    path = f"feed/v1/all/{town.latest()}"
    target.create(path, b"forged", Cache.IMMUTABLE)
    before = there()
    with pytest.raises(Differs, match="other bytes"):
        Publisher(town.hub, "x", target).run(publishing.source())
    assert there()[path] == b"forged"
    assert {k: v for k, v in there().items() if "tile" not in k} == {k: v for k, v in before.items() if "tile" not in k}
    noted = publish.noted(town.hub, "x")
    assert noted.alarm
    assert path in noted.problem


def test_a_hub_that_is_an_older_copy_takes_no_reader_back(town, place):
    target, there = place
    source = publishing.source()
    Publisher(town.hub, "x", target).run(source)
    old = (town.hub / "log/p/public/checkpoint").read_bytes()
    live(town)
    Publisher(town.hub, "x", target).run(source)
    newest = there()
    (town.hub / "log/p/public/checkpoint").write_bytes(old)
    with pytest.raises(PublishError, match="old copy"):
        Publisher(town.hub, "x", target).run(source)
    assert there() == newest
    # A successor, or another hub, into the same place.
    other = dataclasses.replace(source, genesis="0" * 64)
    with pytest.raises(PublishError, match="new place"):
        Publisher(town.hub, "x", target).run(other)


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (403, "RequestTimeTooSkewed"), (403, "InvalidAccessKeyId"), (404, "NoSuchBucket"), (301, "Moved")],
)
def test_a_bucket_that_refuses_is_told_and_nothing_counts_as_published(town, tmp_path, status, code):
    with serving(lambda _: (status, code)) as endpoint:
        given = BlobsConfig(url="s3://b/town", endpoint=endpoint, timeout_seconds=1)
        bucket = objects.Bucket(blobs_s3.client_of(given, s3.credentials(tmp_path)))
        with pytest.raises(PublishError) as caught:
            Publisher(town.hub, "x", BucketTarget(bucket)).run(publishing.source())
    assert s3.SECRET not in str(caught.value)
    assert s3.KEY not in str(caught.value)
    assert publish.noted(town.hub, "x").tick == -1
    assert all(not place.at for place, _ in publishing.look())
    assert publish.noted(town.hub, "x").problem


@contextlib.contextmanager
def serving(say, seen=None):
    """A server that answers what `say(call)` says, (status, S3's code); `seen` gets the headers of what was put."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if seen is not None and self.command == "PUT":
                seen[self.path] = self.headers
            status, code = say(self)
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            body = b"" if status == 200 or self.command == "HEAD" else body
            self.send_response(status)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_wrong_credentials_are_refused_by_a_server_that_checks_them(town, tmp_path):
    with s3.nanio(tmp_path / "n") as server:
        name = server.bucket()
        given = BlobsConfig(url=f"s3://{name}/town", endpoint=server.endpoint, timeout_seconds=2, write_once="client")
        wrong = blobs_s3.client_of(given, s3.credentials(tmp_path, secret="wrong"))
        with pytest.raises(PublishError):
            Publisher(town.hub, "x", BucketTarget(objects.Bucket(wrong, conditional=False))).run(publishing.source())
        assert server.paths(name) == []
        right = blobs_s3.client_of(given, s3.credentials(tmp_path))
        Publisher(town.hub, "x", BucketTarget(objects.Bucket(right, conditional=False))).run(publishing.source())
        assert f"town/feed/v1/all/{town.latest()}" in server.paths(name)


def test_a_bucket_with_versions_and_object_lock_takes_the_files_and_a_retention_is_told(town, moto, tmp_path):
    name = "locked-bucket"
    client = moto.client()
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    for _ in range(2):
        live(town, 1)
        done = Publisher(town.hub, "x", BucketTarget(bucket_of(moto, name, tmp_path))).run(publishing.source())
    assert done.tick == town.latest()
    # With a default retention every put wants a checksum that this client does not send: nothing is published, and it says so.
    client.create_bucket(Bucket="retaining-bucket", ObjectLockEnabledForBucket=True)
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}}
    client.put_object_lock_configuration(Bucket="retaining-bucket", ObjectLockConfiguration=rule)
    with pytest.raises(PublishError, match="does not answer as it should"):
        Publisher(town.hub, "y", BucketTarget(bucket_of(moto, "retaining-bucket", tmp_path))).run(publishing.source())
    assert publish.noted(town.hub, "y").tick == -1


def test_the_beat_publishes_what_config_says_and_the_operator_sees_it(town, moto, tmp_path):
    name = moto.bucket()
    keys = s3.credentials(tmp_path)
    places = (
        PublishConfig(to=str(tmp_path / "site")),
        PublishConfig(to=f"s3://{name}/town", endpoint=moto.endpoint, credentials=str(keys)),
    )
    before = config.current(Config)
    config.use(dataclasses.replace(before, publish=places))
    try:
        assert all(late > 0 for _, late in publishing.look())
        assert {check.state for check in _published()} == {"warning"}
        publishing.beat(town.now)
        assert [late for _, late in publishing.look()] == [0, 0]
        assert {check.state for check in _published()} == {"ok"}
        samples = {sample.name: sample.value for sample in OPERATIONS.sample()}
        assert (samples["fairwitness_publish_lag_seconds"], samples["fairwitness_publish_problems"]) == (0, 0)
        live(town, 5)
        assert [late for _, late in publishing.look()] == [5 * TICK] * 2
        # One place that fails keeps the other from nothing.
        (tmp_path / "site/feed/v1/all" / str(town.latest())).write_bytes(b"forged")
        with pytest.raises(Differs):
            publishing.beat(town.now)
        found = publishing.look()
        assert [late for _, late in found] == [5 * TICK, 0]
        assert [check.state for check in _published()] == ["failed", "ok"]
        assert [progress.alarm for progress, _ in found] == [True, False]
        assert {sample.name: sample.value for sample in OPERATIONS.sample()}["fairwitness_publish_problems"] == 1
    finally:
        config.use(before)


def test_what_is_no_place_is_refused(tmp_path, town):
    before = config.current(Config)
    for to, kind, word in (
        ("relative/folder", PublishError, "absolute"),
        ("https://x.example", PublishError, "neither"),
        ("s3://", ConfigError, "publish.to"),
    ):
        config.use(dataclasses.replace(before, publish=(PublishConfig(to=to, credentials=str(s3.credentials(tmp_path))),)))
        try:
            with pytest.raises(kind, match=word):
                publishing.publishers()
        finally:
            config.use(before)


def test_an_answer_reaches_the_accounts_of_a_static_copy(town, tmp_path):
    """The inbox of a day that ended is there before the tick that names it."""
    (code,) = tokens.create_invites(1, 1, town.now)
    Responder(town, code, b"sealed " * 40).respond()
    town.step(1200)
    assert inbox.close_days(town.now)
    live(town)
    target = FolderTarget(tmp_path / "site")
    Publisher(town.hub, "x", target).run(publishing.source())
    assert list((tmp_path / "site/feed/v1/inbox").iterdir())
    files = {p.relative_to(tmp_path / "site").as_posix(): p.read_bytes() for p in _files(tmp_path / "site")}
    town.now += 15
    assert mirrored(town, lambda: files, tmp_path / "copy").tick == town.latest()
