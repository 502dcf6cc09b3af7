"""Cases: a number, an offence code, who works on it, what they wrote down, and the requests made for it.

Who may see a case: its members, and every supervisor and technician of the agency. `need_member` is the one place that says
so; whatever belongs to a case asks it.
"""

import re
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q, QuerySet
from fairwitness_core.rules.offenses import check_offense
from fairwitness_core.wire import canonical

from fairwitness.agency.errors import by_rules, missing
from fairwitness.agency.models import Case, CaseMember, CaseNote, Officer
from fairwitness.agency.services import audit, officers
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

STAFF = ("officer", "supervisor", "technician")
SEE_ALL = ("supervisor", "technician")
_TITLE_MAX = 200
_NOTE_MAX = 4000
_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ./_-]{0,39}")  # as in model.request


def open_case(officer: Officer, number: str, offense: str, title: str = "") -> Case:
    """Open a case. Its number and offence stand in every public request made for it. Raises Refused, ProtocolError."""
    officers.need(officer, "officer", "supervisor")
    if not _NUMBER.fullmatch(number):
        raise Refused(400, "case.number", "A case number has at most 40 letters, digits, spaces and ./_-", "As in 26-001873.")
    violations = check_offense(offense)
    if violations:
        raise by_rules(violations)
    canonical.check_text(title, "title")
    if len(title) > _TITLE_MAX:
        raise Refused(400, "case.title", f"A title has at most {_TITLE_MAX} characters.")
    with transaction.atomic():
        found, fresh = Case.objects.get_or_create(
            number=number,
            defaults={"offense": offense, "title": title, "opened_by": officer, "opened_at": clock.now()},
        )
        if not fresh:
            raise Refused(409, "case.exists", "This case number is taken.", "Open the existing case.")
        _join(found, officer, officer)
        audit.note(officer, "case.opened", f"case {found.pk}", case=found, words=offense)
    return found


def get(pk: int) -> Case:
    """Return a case. Raises Refused."""
    found = Case.objects.filter(pk=pk).first()
    if found is None:
        raise missing("case")
    return found


def seen_by(officer: Officer, pk: int) -> Case:
    """Return a case that this officer may see; another's looks like none. Raises Refused."""
    found = get(pk)
    if not may_see(officer, found):
        raise missing("case")
    return found


def listing(officer: Officer | None = None) -> QuerySet[Case]:
    """Return the cases that `officer` may see (None: all), the newest first."""
    found = Case.objects.all()
    if officer is None or officer.user.role in SEE_ALL:
        return found
    return found.filter(pk__in=_mine(officer))


def may_see(officer: Officer, case: Case) -> bool:
    """Tell whether a case is this officer's business: as a member, or as a supervisor or technician."""
    return officer.user.role in SEE_ALL or is_member(officer, case)


def is_member(officer: Officer, case: Case) -> bool:
    """Tell whether the officer works on the case now."""
    return CaseMember.objects.filter(case=case, officer=officer, removed_at=None).exists()


def need_member(officer: Officer, case: Case) -> None:
    """Refuse whoever the case is none of their business. Raises Refused."""
    if not may_see(officer, case):
        raise stranger()


def stranger() -> Refused:
    """Return the refusal of whoever a case is none of their business."""
    return Refused(403, "case.member", "You do not work on this case.", "Ask a member of the case to add you.")


def members(case: Case) -> QuerySet[CaseMember]:
    """Return who works on the case now."""
    return CaseMember.objects.filter(case=case, removed_at=None).select_related("officer__user", "added_by__user")


def add_member(by: Officer, case: Case, officer: Officer) -> None:
    """Let another officer work on the case; a second time changes nothing. Raises Refused."""
    officers.need(by, *STAFF)
    need_member(by, case)
    if officer.user.role not in STAFF or officer.removed_at is not None or not officer.user.is_active:
        raise Refused(409, "case.member_role", "This person works on no cases.", "Choose an officer, supervisor or technician.")
    with transaction.atomic():
        if not is_member(officer, case):
            _join(case, officer, by)
            audit.note(by, "case.member_added", f"officer {officer.actor}", case=case)


def remove_member(by: Officer, case: Case, officer: Officer) -> None:
    """End an officer's work on the case. Raises Refused where they would be the last."""
    officers.need(by, *STAFF)
    need_member(by, case)
    with transaction.atomic():
        if members(case).exclude(officer=officer).count() == 0:
            raise Refused(409, "case.last_member", "Somebody has to work on this case.", "Add another person first.")
        ended = CaseMember.objects.filter(case=case, officer=officer, removed_at=None).update(removed_at=clock.now())
        if ended:
            audit.note(by, "case.member_removed", f"officer {officer.actor}", case=case)


def write_note(by: Officer, case: Case, text: str) -> CaseNote:
    """Write something down in the case. Raises Refused, ProtocolError."""
    officers.need(by, *STAFF)
    need_member(by, case)
    text = text.strip().replace("\r\n", "\n")
    canonical.check_text(text.replace("\n", " "), "note")
    if not text or len(text) > _NOTE_MAX:
        raise Refused(400, "case.note", f"A note has between 1 and {_NOTE_MAX} characters.")
    with transaction.atomic():
        made = CaseNote.objects.create(case=case, officer=by, at=clock.now(), text=text)
        audit.note(by, "case.note_written", f"note {made.pk}", case=case)
    return made


def strike_note(by: Officer, case: Case, pk: int) -> None:
    """Strike a note through; it stays readable. Raises Refused."""
    officers.need(by, *STAFF)
    need_member(by, case)
    with transaction.atomic():
        if not CaseNote.objects.filter(pk=pk, case=case).exists():
            raise missing("note")
        if CaseNote.objects.filter(pk=pk, case=case, struck_at=None).update(struck_at=clock.now(), struck_by=by):
            audit.note(by, "case.note_struck", f"note {pk}", case=case)


def search(officer: Officer, words: str) -> QuerySet[Case]:
    """Return the officer's cases whose number, title or offence code hold every word."""
    found = listing(officer)
    for word in words.split()[:8]:
        found = found.filter(Q(number__icontains=word) | Q(title__icontains=word) | Q(offense__icontains=word))
    return found


def _mine(officer: Officer) -> Sequence[int] | QuerySet[CaseMember, int]:
    return CaseMember.objects.filter(officer=officer, removed_at=None).values_list("case_id", flat=True)


def _join(case: Case, officer: Officer, by: Officer) -> None:
    CaseMember.objects.create(case=case, officer=officer, added_by=by, added_at=clock.now())
