"""The hub's endpoints name public objects only; none belongs to one of its staff."""

from collections.abc import Callable
from typing import Any

from fairwitness.hub.services import setup
from fairwitness.kit import config

OBJECTS: dict[str, Callable[..., dict[str, Any]]] = {}


def prepare():
    """Make the session's folder a hub, once; nobody steps its sequencer."""
    folder = config.current(config.RoleConfig).folder()
    if not (folder / "genesis.json").exists():
        kept = (folder / "config.toml").read_bytes()
        spec = setup.Spec(name="Test hub", state="CA", public_url="http://localhost", witnesses=[])
        setup.prepare(folder, spec)
        (folder / "config.toml").write_bytes(kept)
