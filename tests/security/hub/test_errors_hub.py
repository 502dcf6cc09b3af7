"""See tests/security/errors.py."""

from tests.security.errors import *  # noqa: F403 - the same for each role
