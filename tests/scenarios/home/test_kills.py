"""A home that is killed, or whose disk fails, at any write keeps its owner's word: one answer, one token, one receipt."""

import pytest

from tests.harness.kill import FAULTS, KILLED_BEFORE, KILLS, scratch, sweep
from tests.harness.lives.home import Prepared

LIVES = ("follow", "tokens", "answer", "withdraw")


@pytest.fixture(scope="module")
def home(django_db_blocker):
    with django_db_blocker.unblock(), scratch() as folder:
        prepared = Prepared(folder)
        yield prepared
        prepared.close()


@pytest.mark.claim("P17")
@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
def test_a_kill_loses_nothing_acknowledged(home, name):
    sweep(home.life(name), [KILLED_BEFORE], most=12)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
def test_a_failing_write_is_told_and_the_next_try_succeeds(home, name):
    sweep(home.life(name), FAULTS, most=8)


@pytest.mark.proof
@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("how", [*KILLS, *FAULTS])
def test_every_point_in_every_way(home, name, how):
    assert "commit" in sweep(home.life(name), [how])


@pytest.mark.proof
@pytest.mark.parametrize("name", LIVES)
def test_the_same_at_every_write_that_the_database_itself_makes(home, name):
    assert "sqlite pwrite64" in sweep(home.life(name), [KILLED_BEFORE, *FAULTS], most=60, deep=True)
