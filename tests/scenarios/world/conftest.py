"""One stage a run: building it takes seconds, a world on it tenths of one."""

from collections.abc import Iterator

import pytest

from tests.harness.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Witnesses, a hub, an agency and homes, ready to be put into any number of worlds."""
    built = Stage()
    yield built
    built.close()
