"""Each cap at its edges, and bait requests refused by hub and home alike."""

from dataclasses import replace

import h3
import pytest
from fairwitness_core.rules import caps
from fairwitness_core.rules.caps import DAY, Allowance, Assembly, HubPolicy, LiveRequest
from hypothesis import given
from hypothesis import strategies as st

from core.tests.rules.places import AGENCY, AREA, CENTRE, NOW, OFFICERS, REQUEST, believed, disk, judged, request

FAR = h3.latlng_to_cell(40.0, -100.0, 9)


def test_a_proper_request_passes_without_flags():
    assert judged() == caps.Verdict((), ())
    assert believed().ok


def test_every_rule_that_is_broken_is_explained():
    for rule, sentence in caps.CAP_RULES.items():
        assert sentence.endswith("."), rule
        assert rule.isascii()
        assert set(rule) <= set("abcdefghijklmnopqrstuvwxyz_.0123456789")


CASES = [
    ("offense.catch_all", {"offense": "nibrs:90Z"}),
    ("offense.unknown", {"offense": "nibrs:90C"}),
    ("offense.unknown", {"offense": "protest"}),
    ("offense.unknown", {"offense": ""}),
    ("offense.immigration", {"offense": "nibrs:30A"}),
    ("offense.immigration", {"offense": "nibrs:49C"}),
    ("window.short", {"from_": NOW - 899, "to": NOW}),
    ("window.long", {"from_": NOW - 43_201, "to": NOW}),
    ("window.future", {"from_": NOW, "to": NOW + 3600}),
    ("expiry.long", {"expires": NOW + 14 * DAY + 1}),
    ("area.small", {"area": disk(6)}),
    ("area.small", {"area": (CENTRE,)}),
    ("area.small", {"area": ()}),
    ("area.large", {"area": disk(13)}),
    ("area.large", {"area": disk(20), "wide_reason": "Fleeing driver crossed the whole district twice"}),
    ("area.large", {"area": disk(62), "wide_reason": "sparse"}),
    ("area.cell", {"area": (*AREA[:-1], "zzz")}),
    ("area.cell", {"area": (h3.cell_to_parent(CENTRE, 8),)}),
    ("area.order", {"area": AREA[::-1]}),
    ("area.order", {"area": tuple(sorted((*AREA, AREA[0])))}),
    ("area.connected", {"area": tuple(sorted((*disk(7), *h3.grid_ring(CENTRE, 3)[:1])))}),
    ("area.jurisdiction", {"area": tuple(sorted(h3.grid_disk(FAR, 1)))}),
    ("standing.agency", {"agency": "us-ca-0002"}),
    ("text.vague", {"msg": "investigation"}),
    ("text.vague", {"msg": "Suspect vehicle, please send any video for ongoing police investigation"}),
    ("text.case_number", {"msg": "26-001873"}),
    ("text.case_number", {"msg": "."}),
    ("text.link", {"msg": REQUEST.msg + " https://example.org/upload"}),
    ("text.markup", {"msg": REQUEST.msg + " ![](x)"}),
    ("text.length", {"msg": REQUEST.msg + " word" * 120}),
    ("text.length", {"contact": "x" * 81}),
    ("text.link", {"contact": "www.example.org"}),
    ("contact.empty", {"contact": " "}),
    ("purpose.immigration", {"msg": REQUEST.msg + " Immigration status unknown."}),
    ("purpose.assembly", {"msg": REQUEST.msg + " After the protest."}),
    ("purpose.assembly", {"case": "protest-2026"}),
    ("text.vague", {"area": disk(13), "wide_reason": "investigation"}),
    ("purpose.reproductive", {"area": disk(13), "wide_reason": "Driver left an abortion clinic heading north"}),
]


@pytest.mark.claim("P6")
@pytest.mark.parametrize(("rule", "changes"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_hub_and_home_refuse_alike(rule, changes):
    asked = request(**changes)
    for verdict in (judged(asked), believed(asked)):
        assert rule in verdict.rules
        violation = next(one for one in verdict.violations if one.rule == rule)
        assert violation.message
        assert rule in caps.CAP_RULES
        with pytest.raises(Exception, match=rf"^{verdict.rules[0]}:"):
            verdict.raise_first()


@pytest.mark.claim("P6")
@pytest.mark.parametrize("signers", [(), OFFICERS[:1], OFFICERS[:1] * 2, ("stranger", OFFICERS[0]), ("a", "b")])
def test_a_single_signer_is_refused_by_both(signers):
    for verdict in (judged(signers=signers), believed(signers=signers)):
        assert "signers.two" in verdict.rules


def test_a_third_unknown_signer_is_named():
    assert judged(signers=(*OFFICERS, "stranger")).rules == ("signers.unknown",)
    assert judged(signers=("kid-officer-one1", "kid-officer-thr3")).ok


@pytest.mark.parametrize(
    "changes",
    [
        {"from_": NOW - 900, "to": NOW},
        {"from_": NOW - 43_200, "to": NOW},
        {"to": NOW + 300, "from_": NOW - 3600},
        {"expires": NOW + 14 * DAY},
        {"area": disk(7)},
        {"area": disk(12)},
        {"area": disk(19), "wide_reason": "Fleeing driver crossed the whole district twice"},
        {"msg": "é" * 240 + " " + "Red hatchback broke bakery window, fled north with roof rack"[:118]},
    ],
)
def test_edges_pass(changes):
    assert judged(request(**changes)).ok
    assert believed(request(**changes)).ok


def test_times_against_the_clock():
    assert "expiry.past" in judged(now=REQUEST.expires).rules
    assert believed(now=REQUEST.expires + DAY).ok  # a home catching up meets expired requests
    assert "time.future" in believed(now=NOW - 301).rules
    assert believed(now=NOW - 300).ok


def test_dwellings():
    assert judged(dwellings=None).flag_rules == ("dwellings_unchecked",)
    assert judged(dwellings=None).ok
    assert judged(dwellings=lambda _cells: 40).ok
    assert judged(dwellings=lambda _cells: 39).rules == ("area.dwellings",)


def test_sparse_areas_grow_only_where_houses_are_sparse():
    grown = request(area=disk(30), wide_reason="sparse")
    assert judged(grown, dwellings=lambda cells: 2 * len(cells)).ok  # 24 in any twelve cells, 60 in all
    assert judged(grown, dwellings=lambda cells: 2 * len(cells)).flag_rules == ("wide_area",)
    assert judged(grown, dwellings=lambda cells: 4 * len(cells)).rules == ("area.sparse",)
    assert judged(grown, dwellings=len).rules == ("area.dwellings",)
    assert judged(grown, dwellings=None).rules == ("area.sparse",)
    # A dense street among empty cells: twelve cells would do.
    street = frozenset(disk(10))
    assert judged(grown, dwellings=lambda cells: 5 * len(street.intersection(cells))).rules == ("area.sparse",)
    assert believed(grown).ok


def test_standing():
    federal = replace(AGENCY, federal=True, state="US")
    nevada = replace(AGENCY, state="NV")
    assert judged(agency=federal).rules == ("standing.federal",)
    assert believed(agency=federal).rules == ("standing.federal",)
    assert judged(agency=nevada).rules == ("standing.state",)
    assert judged(agency=replace(AGENCY, active=False)).rules == ("standing.active",)
    allowed = HubPolicy("CA", (Allowance(AGENCY.agency, NOW - DAY, NOW),))
    assert judged(agency=federal, policy=allowed).ok
    assert believed(agency=nevada, policy=allowed).ok
    early = HubPolicy("CA", (Allowance(AGENCY.agency, NOW - DAY, NOW + 1),))
    rushed = HubPolicy("CA", (Allowance(AGENCY.agency, NOW - DAY + 1, NOW),))
    other = HubPolicy("CA", (Allowance("us-ca-0002", NOW - DAY, NOW),))
    for policy in (early, rushed, other):
        assert believed(agency=federal, policy=policy).rules == ("standing.federal",)


def test_assemblies_flag_but_do_not_refuse():
    here = Assembly(frozenset({h3.cell_to_parent(CENTRE, 8)}), NOW - 5000, NOW)
    assert judged(assemblies=[here]).flag_rules == ("assembly_overlap",)
    assert judged(assemblies=[here]).ok
    touching = replace(here, from_=REQUEST.to, to=NOW)
    elsewhere = replace(here, area=frozenset({FAR}))
    assert judged(assemblies=[touching, elsewhere]).flags == ()


def test_the_emergency_lane_is_flagged_and_has_a_deadline():
    assert judged(request(emergency=True)).flag_rules == ("emergency_lane",)
    assert "signers.two" in judged(request(emergency=True), signers=OFFICERS[:1]).rules
    assert caps.emergency_review_due(NOW) == NOW + 7200


def live(number: int, *, case: str = "26-001873", at: int = NOW - DAY, **changes: object) -> LiveRequest:
    return replace(LiveRequest(f"{number:032x}", AGENCY.agency, case, AREA, at, at + 14 * DAY), **changes)


def rules(*others: LiveRequest, now: int = NOW) -> list[str]:
    return [one.rule for one in caps.check_live(REQUEST, others, now=now)]


def test_two_live_requests_per_case():
    away = tuple(sorted(h3.grid_disk(FAR, 1)))
    one, two = live(1, area=away), live(2, area=away)
    assert rules(one) == []
    assert rules(one, two) == ["live.case"]
    assert rules(one, replace(two, withdrawn=True)) == ["live.case"]
    assert rules(one, replace(two, expires=NOW)) == []
    assert rules(one, replace(two, agency="us-ca-0002")) == []
    assert rules(one, replace(two, case="other")) == []
    assert rules(replace(one, id=REQUEST.id)) == ["live.duplicate"]


def test_two_per_place_in_any_seven_days():
    one, two = live(1, case="a", at=NOW - 6 * DAY), live(2, case="b", at=NOW - DAY, withdrawn=True)
    assert rules(one) == []
    assert rules(one, two) == ["live.cell"]
    assert rules(replace(one, at=NOW - 7 * DAY), two) == []
    assert rules(replace(one, agency="us-ca-0002"), two) == []
    assert rules(replace(one, expires=NOW - 5 * DAY), replace(two, expires=NOW - 1)) == ["live.cell"]
    # A request that arrives late sits between two others: each pair is near it, the three span more than 7 days.
    assert rules(live(3, case="c", at=NOW - 4 * DAY), live(4, case="d", at=NOW + 4 * DAY)) == []
    assert rules(live(3, case="c", at=NOW - 3 * DAY), live(4, case="d", at=NOW + 3 * DAY)) == ["live.cell"]


def test_a_neighbouring_area_in_the_same_larger_cell_counts():
    beside = tuple(sorted(h3.grid_disk(h3.grid_ring(CENTRE, 2)[0], 1)))
    assert rules(live(1, case="a", area=beside), live(2, case="b", area=beside)) == ["live.cell"]


@given(
    st.lists(st.tuples(st.integers(-20, 20), st.booleans(), st.booleans()), max_size=8),
)
def test_counting_agrees_with_brute_force(given_others):
    others = [
        live(n + 1, case=f"{n}", at=NOW + half_days * DAY // 2, withdrawn=gone, area=AREA if here else disk(7))
        for n, (half_days, gone, here) in enumerate(given_others)
    ]
    moments = sorted([NOW, *(other.at for other in others)])
    crowded = any(low <= NOW < low + 7 * DAY and sum(low <= moment < low + 7 * DAY for moment in moments) > 2 for low in moments)
    found = [one.rule for one in caps.check_live(REQUEST, others, now=NOW)]
    assert ("live.cell" in found) == crowded


@given(st.integers(-100_000, 100_000), st.integers(-100_000, 100_000), st.integers(1, 2_000_000))
def test_windows_and_lives_by_arithmetic(start, length, life):
    asked = request(from_=NOW + start, to=NOW + start + length, expires=NOW + life)
    found = set(believed(asked).rules)
    assert ("window.short" in found) == (length < 900)
    assert ("window.long" in found) == (length > 43_200)
    assert ("window.future" in found) == (start + length > 300)
    assert ("expiry.long" in found) == (life > 14 * DAY)


def test_what_a_home_believes_is_never_laxer_than_the_hub_on_shared_rules():
    """Whatever the home refuses, the hub refuses: so no honest hub publishes what homes throw away."""
    for _rule, changes in CASES:
        asked = request(**changes)
        assert set(believed(asked).rules) <= set(judged(asked).rules)
