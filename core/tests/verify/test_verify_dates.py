"""What a report says of dates that nobody outside the agency vouches for, and of dates that no calendar has (P12, P16)."""

import pytest
from fairwitness_core.verify import layout, report
from fairwitness_core.verify.bag import verify_bag

from core.tests.verify.bagworld import MemoryFiles, World


class Shifted:
    """A log whose head was cosigned `seconds` later than asked for."""

    def __init__(self, log, seconds):
        self.log, self.seconds = log, seconds

    def prove(self, index, at):
        return self.log.prove(index, at + self.seconds)


def verify(world, trust):
    return verify_bag(MemoryFiles(world.files), trust)


@pytest.mark.claim("P12")
@pytest.mark.parametrize(("stage", "number", "where"), [("log 2", 7, "bag/custody/"), ("log 9", 8, "seal/export-")])
def test_an_event_dated_long_before_witnesses_saw_it_is_pointed_out(stage, number, where):
    sound, world = World(), World(on={stage: lambda log: Shifted(log, 3 * 86_400)})
    before, found = (next(check for check in verify(one, one.trust).checks if check.number == number) for one in (sound, world))
    assert found.ok
    assert before.ok
    assert "later than they say" not in before.detail
    assert "2 of them may have been written later than they say" in found.detail
    assert where in found.detail
    assert "72.0 hours" in found.detail


@pytest.mark.claim("P16")
def test_a_witness_time_beyond_every_calendar_does_not_stop_the_report():
    class Endless:
        """Cosigns in the far future: true signatures of witnesses that a bag brings along."""

        def __init__(self, log):
            self.log = log

        def prove(self, index, _at):
            return self.log.prove(index, 2**62)

    world = World()
    world.files[layout.REQUEST_PROOF] = Endless(world.public).prove(world.request_index, 0)
    for trust in (world.trust, None):
        found = verify(world, trust)
        assert "Unix second 4611686018427387905" in " ".join(report.to_text(found, "evidence").split())
        assert found.exit_code == 1  # its lists no longer fit, and nothing worse happened
