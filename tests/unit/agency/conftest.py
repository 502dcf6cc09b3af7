"""One agency with its people, its own folder and a small hub, on a clock set by hand."""

import dataclasses
import os

import pytest

from fairwitness.agency import worker
from fairwitness.agency.config import Config
from fairwitness.agency.services import intake
from fairwitness.kit import clock, config, http
from tests.unit.agency import agency_steps
from tests.unit.agency.world import START, SmallHub, clean_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return clean_clip(tmp_path_factory.mktemp("footage"))


@pytest.fixture
def world(tmp_path, transactional_db, clip, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # thousands of them; crashes are tested where disks are
    monkeypatch.setattr(os, "fdatasync", lambda handle: None)
    before = config.current(Config)
    moment = {"now": float(START)}
    clock.set_clock(lambda: moment["now"])
    config.use(
        dataclasses.replace(
            before,
            data_dir=tmp_path / "agency",
            agency="us-ca-oakland",
            ori="CA0010900",
            name="Oakland Police",
            state="CA",
            level="municipal",
            vouched=("City council",),
        )
    )
    hub = SmallHub(tmp_path / "hub")
    http.set_transport(hub)
    yield agency_steps.Agency(hub, clip, moment, tmp_path / "agency").begin()
    http.set_transport(None)
    clock.set_clock(None)
    config.use(before)


@pytest.fixture
def inline(monkeypatch):
    """Run the intake's job in this process: what it does is the same, a child costs half a second."""
    monkeypatch.setattr(intake, "_work", lambda job, spool: worker.work(job))
