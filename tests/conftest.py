"""One Django role per pytest process: FAIRWITNESS_ROLE says which, `scripts/test.py` runs them all.

Folders named after a role are collected only in that role's process; everything else only in the process without one.
"""

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

ROLES = ("hub", "home", "agency")
POSTGRESQL = os.environ.get("FAIRWITNESS_TEST_DATABASE", "") == "postgresql"
"""The role keeps its rows in a PostgreSQL server that this process starts, and works as its own, bounded user."""
ROLE = os.environ.get("FAIRWITNESS_ROLE", "")
HERE = Path(__file__).parent

if ROLE:
    if ROLE not in ROLES:
        raise SystemExit(f"FAIRWITNESS_ROLE must be one of {', '.join(ROLES)}")
    if not os.environ.get("FAIRWITNESS_DATA"):
        import atexit

        _folder = tempfile.mkdtemp(prefix=f"fairwitness-{ROLE}-")
        os.environ["FAIRWITNESS_DATA"] = _folder
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    _config = Path(os.environ["FAIRWITNESS_DATA"]) / "config.toml"
    if not _config.exists():
        # A passkey needs a secure context: https, or this very name over http (WebAuthn level 3, 5.1.3).
        _text = 'public_url = "http://localhost"\nname = "Test node"\n'
        if ROLE == "home":
            _text += "propose_blur = false\n"  # what tests agree to leaves at once; those of blurring switch it on
        else:
            _text += (
                '[[oidc]]\nid = "city"\nname = "City sign-in"\nserver_url = "https://issuer.test"\n'
                'client_id = "fairwitness"\nclient_secret = "test"\n'
            )
        if POSTGRESQL and ROLE != "home":
            import atexit

            from tests.harness import postgres, s3

            if postgres.programs() is None:
                raise SystemExit(postgres.ABSENT)
            _cluster = postgres.Cluster()
            atexit.register(_cluster.close)
            _bucket = contextlib.ExitStack()
            _s3 = _bucket.enter_context(s3.moto())
            atexit.register(_bucket.close)
            postgres.RUNNING, s3.RUNNING = _cluster, _s3
            _cluster.make("fairwitness", users=(f"node_{ROLE}",), creates=True)
            _secret = _config.parent / "keys" / "database.password"
            _secret.parent.mkdir(mode=0o700)
            _secret.touch(mode=0o600)
            _secret.write_text("fairwitness_owner")
            _text += f'[database]\nurl = "{_cluster.url("fairwitness", "fairwitness_owner")}"\n'
        _config.write_text(_text)
    os.environ["DJANGO_SETTINGS_MODULE"] = f"fairwitness.{ROLE}.settings"

    import django

    django.setup()


def role_of(path: Path) -> str:
    """Return the role that a test file belongs to: the first part of its path under tests/ that names one, or ''."""
    parts = path.relative_to(HERE).parts if path.is_relative_to(HERE) else ()
    names = [part.removesuffix(".py").removeprefix("test_") for part in parts]
    return next((name for name in names if name in ROLES), "")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the other roles' files to their own processes."""
    if collection_path.is_relative_to(HERE / "mutants"):
        return True
    if collection_path.is_dir():
        named = role_of(collection_path)
        return True if named and named != ROLE else None
    if collection_path.suffix != ".py":
        return None
    return True if role_of(collection_path) != ROLE and collection_path.name != "conftest.py" else None


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests reach no network; the few that need loopback sockets say so with the marker `network`."""
    if request.path.is_relative_to(HERE / "unit") and request.node.get_closest_marker("network") is None:
        monkeypatch.setattr(socket.socket, "connect", _refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", _refuse)


def _refuse(*_: object) -> None:
    raise RuntimeError("a unit test tried to reach a network; mark it `network` if it needs loopback")


@pytest.fixture
def clock_at():
    """Set the kit's clock by hand: `clock_at(1_800_000_000)`, or `clock_at(step=60)`; it runs free again afterwards."""
    from fairwitness.kit import clock  # noqa: PLC0415 - after the environment is set

    state = {"now": 1_800_000_000.0}

    def set_to(moment: float | None = None, *, step: float = 0.0) -> float:
        if moment is not None:
            state["now"] = float(moment)
        state["now"] += step
        clock.set_clock(lambda: state["now"])
        return state["now"]

    yield set_to
    clock.set_clock(None)


@pytest.fixture
def journal_lines():
    """Collect what is written to the journal."""
    from fairwitness.kit import journal  # noqa: PLC0415 - after the environment is set

    lines: list[dict] = []
    journal.record_to(lines)
    yield lines
    journal.record_to(None)


if ROLE:

    @pytest.fixture(autouse=True)
    def _fresh_cache():
        """Rate limits of one test do not reach the next."""
        from django.core.cache import cache  # noqa: PLC0415 - after the environment is set

        cache.clear()


if ROLE and POSTGRESQL:
    NODE = f"node_{ROLE}"

    @pytest.fixture(scope="session")
    def node_user(django_db_setup, django_db_blocker):
        """Give the node's user its grants in the test's database."""
        from django.db import connection  # noqa: PLC0415 - after the environment is set

        from fairwitness.kit.postgresql import grants  # noqa: PLC0415

        with django_db_blocker.unblock():
            name = connection.settings_dict["NAME"]
            with _cluster.admin(name) as session:
                session.execute(grants.sql(NODE, name))
                session.execute(f"GRANT {NODE} TO fairwitness_owner")
        return NODE

    @pytest.fixture(autouse=True)
    def _as_node(request: pytest.FixtureRequest):
        """Let the test's own connection do no more than the node's user may; set-up and clean-up are the owner's."""
        wanted = {"transactional_db", "db"} & set(request.fixturenames) or request.node.get_closest_marker("django_db")
        if not wanted:
            yield
            return
        request.getfixturevalue("_django_db_helper")
        name = request.getfixturevalue("node_user")
        from django.db import connection  # noqa: PLC0415 - after the environment is set

        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {name}")
        yield
        if connection.connection is not None and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")

    @pytest.fixture(scope="session")
    def bucket(tmp_path_factory):
        """Return the test's bucket, as `[blobs]` would open it."""
        from fairwitness.kit import blobs_s3, config  # noqa: PLC0415 - after the environment is set

        given = config.BlobsConfig(url=f"s3://{_s3.bucket()}/node", endpoint=_s3.endpoint)
        return blobs_s3.client_of(given, s3.credentials(tmp_path_factory.mktemp("s3")))

    @pytest.fixture(autouse=True)
    def _in_a_bucket(bucket, monkeypatch, request):
        """Keep sealed bytes in the bucket, each test's apart."""
        from fairwitness.kit import blobs_s3  # noqa: PLC0415 - after the environment is set

        if request.path.is_relative_to(HERE / "unit" / "kit") or request.path.name == "test_kills.py":
            return
        draw = secrets.token_hex(6)

        def store_of(_cfg, area):
            return blobs_s3.S3Blobs(bucket, f"{draw}-{area}")

        if ROLE == "hub":
            from fairwitness.hub.services import vault  # noqa: PLC0415

            monkeypatch.setattr(vault, "store_of", store_of)
        else:
            from fairwitness.agency.services import vault  # noqa: PLC0415

            monkeypatch.setattr(vault, "_bucket", lambda area: store_of(None, area))
