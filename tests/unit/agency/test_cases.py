"""Who may see a case, who works on it, and what is written in it."""

import pytest

from fairwitness.agency.models import AuditRecord, CaseNote
from fairwitness.agency.services import cases, officers
from fairwitness.kit.errors import Refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(world):
    made = {"ana": world.ana, "sam": world.sam, "tess": world.tom, "alex": world.adm}
    made["ben"] = officers.enrol("ben", "Ben", "officer").officer
    return made


@pytest.fixture
def case(people):
    return cases.open_case(people["ana"], "26-000417", "nibrs:240", "Car taken")


def test_the_opener_works_on_it_and_others_see_nothing(people, case):
    assert list(cases.listing(people["ana"])) == [case]
    assert list(cases.listing(people["ben"])) == []
    with pytest.raises(Refused) as refused:
        cases.seen_by(people["ben"], case.pk)
    assert refused.value.status == 404
    for name in ("sam", "tess"):
        assert list(cases.listing(people[name])) == [case]


def test_a_member_is_added_and_removed_and_both_are_on_record(people, case):
    cases.add_member(people["ana"], case, people["ben"])
    cases.add_member(people["ana"], case, people["ben"])
    assert cases.is_member(people["ben"], case)
    cases.remove_member(people["sam"], case, people["ben"])
    assert not cases.may_see(people["ben"], case)
    cases.add_member(people["sam"], case, people["ben"])
    found = AuditRecord.objects.filter(subject=f"officer {people['ben'].actor}", case=case.number).order_by("id")
    assert [r.action for r in found] == [
        "case.member_added",
        "case.member_removed",
        "case.member_added",
    ]


def test_who_is_no_member_adds_nobody(people, case):
    with pytest.raises(Refused, match="do not work"):
        cases.add_member(people["ben"], case, people["ben"])
    with pytest.raises(Refused) as refused:
        cases.add_member(people["ana"], case, people["alex"])
    assert refused.value.code == "case.member_role"


def test_the_last_member_stays(people, case):
    with pytest.raises(Refused) as refused:
        cases.remove_member(people["ana"], case, people["ana"])
    assert refused.value.code == "case.last_member"
    assert cases.is_member(people["ana"], case)


def test_notes_are_struck_and_never_removed(people, case):
    made = cases.write_note(people["ana"], case, "  Neighbour at the corner has a camera.\r\nAsk tomorrow. ")
    assert made.text == "Neighbour at the corner has a camera.\nAsk tomorrow."
    with pytest.raises(Refused):
        cases.write_note(people["ben"], case, "x")
    with pytest.raises(Refused):
        cases.strike_note(people["ben"], case, made.pk)
    cases.strike_note(people["sam"], case, made.pk)
    cases.strike_note(people["ana"], case, made.pk)
    made.refresh_from_db()
    assert made.struck_by == people["sam"]
    assert CaseNote.objects.count() == 1
    for text in ("", " \n ", "x" * 4001):
        with pytest.raises(Refused):
            cases.write_note(people["ana"], case, text)


def test_search_finds_every_word_among_ones_own(people, case):
    assert list(cases.search(people["ana"], "car 000417")) == [case]
    assert list(cases.search(people["ana"], "car bicycle")) == []
    assert list(cases.search(people["ben"], "car")) == []
