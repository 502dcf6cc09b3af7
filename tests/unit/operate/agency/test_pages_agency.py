"""The agency's health pages."""

from tests.unit.operate.pages import *  # noqa: F403
