"""Parsers that need the settings of the hub."""

from tests.fuzz.cases import *  # noqa: F403 - the cases are the same for every file
from tests.fuzz.hub.targets_hub import TARGETS  # noqa: F401 - read by them
