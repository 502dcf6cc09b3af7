"""The permission matrix of the home."""

from tests.permissions.cases import *  # noqa: F403 - the cases are generated from what this role serves
