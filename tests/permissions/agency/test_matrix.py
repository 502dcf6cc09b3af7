"""The permission matrix of the agency."""

from tests.permissions.cases import *  # noqa: F403 - the cases are generated from what this role serves
