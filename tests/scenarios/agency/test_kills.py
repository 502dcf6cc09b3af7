"""An agency that is killed, or whose disk fails, at any write keeps what it acknowledged and every link of custody, once."""

import pytest
from django.db import connection

from tests.harness.kill import FAULTS, KILLED_BEFORE, KILLS, scratch, sweep
from tests.harness.lives.agency import Prepared

LIVES = ("request", "collect", "decide", "decline", "hold", "end", "export")


@pytest.fixture(scope="module")
def agency(django_db_blocker):
    with django_db_blocker.unblock(), scratch() as folder:
        prepared = Prepared(folder)
        yield prepared
        prepared.close()


@pytest.mark.claim("P8")
@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
def test_a_kill_loses_nothing_acknowledged(agency, name):
    sweep(agency.life(name), [KILLED_BEFORE], most=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
def test_a_failing_write_is_told_and_the_next_try_succeeds(agency, name):
    sweep(agency.life(name), FAULTS, most=4)


@pytest.mark.proof
@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("how", [*KILLS, *FAULTS])
def test_every_point_in_every_way(agency, name, how):
    assert "commit" in sweep(agency.life(name), [how])


@pytest.mark.proof
@pytest.mark.parametrize("name", LIVES)
def test_the_same_at_every_write_that_the_database_itself_makes(agency, name):
    wanted = "statement" if connection.vendor == "postgresql" else "sqlite pwrite64"
    assert wanted in sweep(agency.life(name), [KILLED_BEFORE, *FAULTS], most=60, deep=True)
