"""A hub that is killed, or whose disk fails, at any write loses nothing that anybody was told, and doubles nothing."""

import pytest
from django.db import connection

from tests.harness.kill import FAULTS, KILLED_BEFORE, KILLS, scratch, sweep
from tests.harness.lives.hub import Prepared

LIVES = ("publish", "answers", "inbox", "tokens", "day")


@pytest.fixture(scope="module")
def hub(django_db_blocker):
    with django_db_blocker.unblock(), scratch() as folder:
        prepared = Prepared(folder)
        yield prepared
        prepared.close()


@pytest.mark.claim("P12")
@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
def test_a_kill_loses_nothing_acknowledged(hub, name):
    sweep(hub.life(name), [KILLED_BEFORE], most=8)


@pytest.mark.claim("P12")
@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
def test_a_failing_write_is_told_and_the_next_try_succeeds(hub, name):
    sweep(hub.life(name), FAULTS, most=6)


@pytest.mark.proof
@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("how", [*KILLS, *FAULTS])
def test_every_point_in_every_way(hub, name, how):
    assert "commit" in sweep(hub.life(name), [how])


@pytest.mark.proof
@pytest.mark.parametrize("name", LIVES)
def test_the_same_at_every_write_that_the_database_itself_makes(hub, name):
    wanted = "statement" if connection.vendor == "postgresql" else "sqlite pwrite64"
    assert wanted in sweep(hub.life(name), [KILLED_BEFORE, *FAULTS], most=60, deep=True)
