"""Parsers that need the settings of the home."""

from tests.fuzz.cases import *  # noqa: F403 - the cases are the same for every file
from tests.fuzz.home.targets_home import TARGETS  # noqa: F401 - read by them
