import pytest

from fairwitness.hub.services import agencies
from tests.unit.hub.world import end_world, make_world


@pytest.fixture
def bare(tmp_path, db):
    """A hub that has been initialised and never stepped."""
    world, before = make_world(tmp_path)
    yield world
    end_world(world, before)


@pytest.fixture
def world(bare):
    """A running hub with one agency in its log, at the start of a tick's second."""
    assert bare.step() == "ok"
    agencies.register(bare.agency.registration())
    assert bare.step(1) == "ok"
    return bare
