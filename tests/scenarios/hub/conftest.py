"""The hub's scenarios play in the same world as its unit tests."""

from tests.unit.hub.conftest import bare, world

__all__ = ["bare", "world"]
