import json

import pytest

from fairwitness.kit import clock, journal
from fairwitness.kit.journal import BOOL, CODE, INT, PUBLIC_ID, Event, JournalError, log


@pytest.fixture
def lines():
    found = []
    journal.record_to(found)
    yield found
    journal.record_to(None)
    journal.configure(strict=True)


def test_every_event_is_declared_soundly():
    labels = [event.label for event in Event]
    assert len(set(labels)) == len(labels)
    for event in Event:
        assert event.label == event.name.lower()
        assert all(kind in (INT, BOOL, CODE, PUBLIC_ID) for kind in event.fields.values())
        # No field can be meant for a person, an address, a place or a text.
        assert not set(event.fields) & {"ip", "user", "username", "name", "path", "url", "message", "lat", "lon", "cell"}


def test_a_declared_event_is_one_line(lines, clock_at):
    clock_at(1_800_000_000)
    log(Event.TICK_PUBLISHED, tick=7, entries=3)
    assert lines == [{"at": 1_800_000_000, "event": "tick_published", "tick": 7, "entries": 3}]


@pytest.mark.parametrize(
    ("event", "values"),
    [
        (Event.TICK_PUBLISHED, {"where": "5th & Main"}),
        (Event.TICK_PUBLISHED, {"tick": "7"}),
        (Event.TICK_PUBLISHED, {"tick": True}),
        (Event.TICK_PUBLISHED, {"tick": 1.5}),
        (Event.MESSAGE_REFUSED, {"code": "A sentence about Jane"}),
        (Event.MESSAGE_REFUSED, {"code": "x" * 65}),
        (Event.MESSAGE_REFUSED, {"code": ""}),
        (Event.WITNESS_UNREACHABLE, {"witness": "Jane Doe"}),
    ],
)
def test_undeclared_raises_in_tests_and_is_dropped_in_production(lines, event, values):
    journal.configure(strict=True)
    with pytest.raises(JournalError):
        log(event, **values)
    journal.configure(strict=False)
    log(event, **values)
    assert lines[-1]["dropped"] == 1
    for value in values.values():
        assert str(value) not in json.dumps({k: v for k, v in lines[-1].items() if k not in ("at", "dropped")}) or not value


def test_output_is_json_on_standard_error(capsys):
    journal.configure()
    log(Event.STOPPED, process="beat")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "stopped"


def test_error_text_never_gets_in():
    class JaneDoeError(Exception):
        pass

    assert journal.error_code(ValueError("Jane lives at 5th & Main")) == "valueerror"
    assert journal.size_class(1) == 0
    assert journal.size_class(1024) == 10
    assert journal.size_class(1025) == 11
    assert clock.now() > 0
