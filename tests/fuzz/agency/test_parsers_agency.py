"""Parsers that need the settings of the agency."""

from tests.fuzz.agency.targets_agency import TARGETS  # noqa: F401 - read by them
from tests.fuzz.cases import *  # noqa: F403 - the cases are the same for every file
