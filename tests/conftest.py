"""One Django role per pytest process: FAIRWITNESS_ROLE says which, `scripts/test.py` runs them all.

Folders named after a role are collected only in that role's process; everything else only in the process without one.
"""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

ROLES = ("hub", "home", "agency")
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
        if ROLE != "home":
            _text += (
                '[[oidc]]\nid = "city"\nname = "City sign-in"\nserver_url = "https://issuer.test"\n'
                'client_id = "fairwitness"\nclient_secret = "test"\n'
            )
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
