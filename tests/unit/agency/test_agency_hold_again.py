"""A hold that is placed again is logged again, however soon and in whatever words (P8; design.md 9.10)."""

import pytest

from fairwitness.agency.services import custody, hold, node, triage
from fairwitness.kit.errors import Refused
from tests.unit.agency.agency_steps import PURPOSE
from tests.unit.agency.world import Owner

ORDER = ("legal_hold", "Order 7", "the court asks for it")


@pytest.mark.claim("P8")
def test_placing_a_lifted_hold_again_releases_nothing_before_it_is_logged(world, inline):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    triage.decline(world.ana, response, PURPOSE)
    hold.lift(world.sam, hold.place(world.sam, response, *ORDER), "the order ended")
    world.hub.down = True
    with pytest.raises(Refused, match=r"custody\.unlogged"):
        hold.place(world.sam, response, *ORDER)
    assert not node.key_file("responses", response.id).exists()
    world.hub.down = False
    hold.lift(world.sam, hold.place(world.sam, response, *ORDER), "the order ended")
    actions = [link.action for link in custody.chain(response)]
    assert actions == ["collected", "declined", "held", "released", "held", "released"]
    assert not node.key_file("responses", response.id).exists()
