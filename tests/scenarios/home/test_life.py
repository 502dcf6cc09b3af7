"""Random lives of a home beside an unreliable hub, with a check of the whole world after each step."""
# ruff: noqa: PLC0415, F811, PT017, RUF028 - fixtures are imported by name; Django loads late

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairwitness.home.models import Answer, Request, Token
from fairwitness.home.services import answers, delivery, follower, requests, sharing
from fairwitness.kit.errors import Refused
from tests.unit.home.conftest import folders, home, hub, lone, moment, sent, world  # noqa: F401 - fixtures

OPS = st.lists(
    st.sampled_from(
        [
            "tick",
            "bent_tick",
            "ask",
            "answer",
            "seal",
            "upload",
            "lose_call",
            "lose_answer",
            "heal",
            "withdraw",
            "retry",
            "status",
            "wait",
            "restart",
            "mute",
            "collect",
        ]
    ),  # fmt: skip
    min_size=4,
    max_size=24,
)


def check_world(home):
    """What must hold at any moment, whatever happened."""
    answered = {row.response_id: row for row in Answer.objects.all() if row.response_id}
    finalized = home.hub.finalized()
    # Whatever reached the hub is known here, and went under one token each.
    assert set(home.hub.uploads) <= set(answered)
    assert len(set(home.hub.spent.values())) == len(home.hub.spent)
    for rid, row in answered.items():
        assert row.state != "cancelled"
        if row.state == "uploaded":
            assert rid in finalized
            assert row.promise is not None
    # One answer never stands twice at the hub.
    owners = [answered[rid].pk for rid in finalized]
    assert len(owners) == len(set(owners))
    # A spool lies here exactly while it is needed.
    needed = set(Answer.objects.filter(state__in=("sealed", "uploading")).values_list("spool", flat=True))
    assert needed <= {path.name for path in sharing.spool_folder().iterdir()}
    # A token is used by one answer, or by none.
    used = Token.objects.filter(state="used").count()
    assert used == Answer.objects.filter(token__state="used").count()
    # Nothing was believed that two witnesses did not see.
    assert all(len(row.witnesses) >= 2 for row in Request.objects.all())
    # No call but those of the list.
    for _now, method, url, _headers, _body in home.hub.calls:
        assert method == "GET" or any(word in url for word in ("/v1/uploads", "/v1/withdrawals", "/issuer/v1/tokens"))


def act(home, op, state):
    match op:
        case "tick":
            home.tick()
        case "bent_tick":
            home.tick(names=["w1.example"], keep=False)
            home.world.log.entries.pop()
        case "ask":
            state["asked"] += 1
            if state["asked"] <= 2:
                home.world.publish(home.world.request(state["asked"], at=home.now, from_=home.now - 7200, to=home.now - 3600))
        case "answer":
            for view in requests.listing():
                if not view.answered:
                    answer = answers.draft(view.id)
                    answers.set_clips(answer.pk, [])
                    answers.set_statement(answer.pk, "I heard glass break, then a van drove off.")
                    answers.confirm(answer.pk, at_once=True)
        case "seal":
            delivery.seal_due(home.now)
        case "upload":
            delivery.upload_due(home.now)
        case "lose_call":
            home.hub.lose_call = ["/v1/uploads", "/finalize"][state["asked"] % 2 :]
        case "lose_answer":
            home.hub.lose_answer = ["/finalize", "/v1/uploads"][state["asked"] % 2 :]
        case "heal":
            home.hub.lose_call, home.hub.lose_answer = [], []
        case "withdraw":
            for answer in Answer.objects.exclude(state__in=("cancelled", "withdrawn")):
                sharing.withdraw(answer.pk)
        case "retry":
            for answer in Answer.objects.filter(state="failed"):
                delivery.retry(answer.pk, at_once=True)
        case "status":
            sharing.status_due(home.now)
            sharing.withdrawals_due(home.now)
        case "wait":
            home.world.ticks(13)
            home.at(home.world.now)
        case "restart":
            follower._cache = None
        case "mute":
            from fairwitness.home.services import optouts

            optouts.set_all(not optouts.get().alerts_off)
        case "collect":
            for rid in home.hub.finalized():
                home.hub.put_status(rid, "collected", home.now)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ops=OPS)
def test_any_life_keeps_the_world_in_order(home, ops):
    from django.db import transaction
    from fairwitness_core.crypto import tokens as voprf

    from core.tests.rules.feed_world import World
    from fairwitness.kit import http
    from tests.unit.home.fake_hub import FakeHub

    with transaction.atomic():
        fresh = World()
        fresh.publish(fresh.authorized())
        hub = FakeHub(fresh, lambda: home._moment[0])
        hub.log_issuer(voprf.epoch_of(fresh.start))
        hub.issuers |= home.hub.issuers
        fresh.ticks(2)
        http.set_transport(hub)
        follower._cache = None
        home.world, home.hub = fresh, hub
        home.at(fresh.now)
        state = {"asked": 0}
        for op in ops:
            try:
                act(home, op, state)
            except Refused as refusal:
                assert refusal.code in {"token.none", "answer.unclear", "request.expired", "answer.state"}
            check_world(home)
        # In the end everything that was wanted has arrived, once.
        hub.lose_call, hub.lose_answer = [], []
        for _again in range(3):
            home.at(home.now + 4000)
            delivery.seal_due(home.now)
            delivery.upload_due(home.now)
            sharing.withdrawals_due(home.now)
            check_world(home)
        assert not Answer.objects.filter(state__in=("queued", "sealed", "uploading")).exists()
        assert not Answer.objects.filter(withdrawal__isnull=False, withdrawal_sent_at=None).exists()
        transaction.set_rollback(True)
