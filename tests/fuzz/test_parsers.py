"""Parsers that need no role's settings."""

from tests.fuzz.cases import *  # noqa: F403 - the cases are the same for every file
from tests.fuzz.targets import TARGETS  # noqa: F401 - read by them
