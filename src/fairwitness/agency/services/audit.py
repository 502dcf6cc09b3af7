"""The record of who did what on this node, with the same fields for every act.

Custody of evidence has its own, signed chain; `everything` reads both as one.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Concat

from fairwitness.agency.models import AuditRecord, Case, CustodyRecord, Officer
from fairwitness.kit import clock

NODE = "node"
"""The actor of what the program does by itself."""

FIELDS = ("at", "actor", "action", "subject", "case", "words")
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


def account(action: str, user: Any, by: Any = None, words: str = "") -> AuditRecord:
    """Record what happened to an account: by its person (a sign-in), by `by`, or by the node."""
    own = action == "account.signed_in"
    return AuditRecord.objects.create(
        at=clock.now(),
        actor=_name(user) if own else _name(by) if by is not None else NODE,
        action=action,
        subject=f"account {_name(user)}",
        words=words[:_WORDS_MAX],
    )


def of_case(case: Case) -> QuerySet[AuditRecord]:
    """Return what was done in a case, the newest first."""
    return AuditRecord.objects.filter(case=case.number)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: each field empty means all. `since`, `until`: Unix seconds, UTC."""

    actor: str = ""
    action: str = ""
    case: str = ""
    since: int | None = None
    until: int | None = None


def everything(wanted: Wanted) -> QuerySet[Any, tuple[Any, ...]]:
    """Return every act, custody's too, with the same fields (FIELDS), the newest first."""
    plain = AuditRecord.objects.all()
    custody = CustodyRecord.objects.all()
    if wanted.actor:
        plain, custody = plain.filter(actor=wanted.actor), custody.filter(actor=wanted.actor)
    if wanted.case:
        plain, custody = plain.filter(case=wanted.case), custody.filter(response__request__case__number=wanted.case)
    if wanted.since is not None:
        plain, custody = plain.filter(at__gte=wanted.since), custody.filter(at__gte=wanted.since)
    if wanted.until is not None:
        plain, custody = plain.filter(at__lt=wanted.until), custody.filter(at__lt=wanted.until)
    if wanted.action:
        plain = plain.filter(action=wanted.action)
        custody = custody.filter(action=wanted.action.removeprefix("evidence."))
    text: CharField[str, str] = CharField()
    one = plain.order_by().values_list("at", "actor", "action", "subject", "case", "words")
    two = (
        custody.order_by()
        .annotate(
            act=Concat(Value("evidence."), F("action"), output_field=text),
            what=Concat(Value("response "), F("response_id"), output_field=text),
            whose=F("response__request__case__number"),
            said=Value("", output_field=text),
        )
        .values_list("at", "actor", "act", "what", "whose", "said")
    )
    return one.union(two, all=True).order_by("-at")  # rows in the order of FIELDS


def actions() -> list[str]:
    """Return the names of all acts on record."""
    found = set(AuditRecord.objects.order_by().values_list("action", flat=True).distinct())
    found |= {f"evidence.{action}" for action in CustodyRecord.objects.order_by().values_list("action", flat=True).distinct()}
    return sorted(found)


class _Line:
    """What csv writes to: hands back each line."""

    def write(self, text: str) -> str:
        return text


def as_csv(wanted: Wanted) -> Iterator[str]:
    """Yield the record as CSV (RFC 4180), a line at a time. A text that a spreadsheet would run as a formula is quoted."""
    writer = csv.writer(_Line())
    yield writer.writerow(FIELDS)
    for row in everything(wanted).iterator(chunk_size=500):
        yield writer.writerow([_plain(value) for value in row])


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _name(user: Any) -> str:
    found = Officer.objects.filter(user_id=user.pk).values_list("actor", flat=True).first()
    return found or str(user.username)
