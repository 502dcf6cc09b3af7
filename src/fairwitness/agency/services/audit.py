"""The record of who did what on this node, with the same fields for every act. Custody of evidence has its own, signed chain."""

from django.db.models import QuerySet

from fairwitness.agency.models import AuditRecord, Case, Officer
from fairwitness.kit import clock

NODE = "node"
"""The actor of what the program does by itself."""

_WORDS_MAX = 600


def note(by: Officer | None, action: str, subject: str, *, case: Case | None = None, words: str = "") -> AuditRecord:
    """Record one act, in the transaction of the act itself. `action` is a dotted name such as `case.opened`."""
    return AuditRecord.objects.create(
        at=clock.now(),
        actor=by.actor if by else NODE,
        action=action,
        subject=subject,
        case=case.number if case else "",
        words=words[:_WORDS_MAX],
    )


def of_case(case: Case) -> QuerySet[AuditRecord]:
    """Return what was done in a case, the newest first."""
    return AuditRecord.objects.filter(case=case.number)
