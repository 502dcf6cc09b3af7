"""The hub's world, as in its unit tests."""

from tests.unit.hub.conftest import bare, world

__all__ = ["bare", "world"]
