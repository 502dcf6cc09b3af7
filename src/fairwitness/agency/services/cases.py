"""Cases: a number, an offence code, and the requests made for it."""

import re

from fairwitness_core.rules.offenses import check_offense
from fairwitness_core.wire import canonical

from fairwitness.agency.errors import by_rules, missing
from fairwitness.agency.models import Case, Officer
from fairwitness.agency.services import officers
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

STAFF = ("officer", "supervisor", "technician")
_TITLE_MAX = 200
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
    found, fresh = Case.objects.get_or_create(
        number=number,
        defaults={"offense": offense, "title": title, "opened_by": officer, "opened_at": clock.now()},
    )
    if not fresh:
        raise Refused(409, "case.exists", "This case number is taken.", "Open the existing case.")
    return found


def get(pk: int) -> Case:
    """Return a case. Raises Refused."""
    found = Case.objects.filter(pk=pk).first()
    if found is None:
        raise missing("case")
    return found


def listing() -> list[Case]:
    """Return all cases, the newest first."""
    return list(Case.objects.all())
