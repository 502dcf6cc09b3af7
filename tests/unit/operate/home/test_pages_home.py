"""The home's health pages."""

from tests.unit.operate.pages import *  # noqa: F403
