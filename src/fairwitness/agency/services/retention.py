"""Retention classes: how long accepted evidence stays before a supervisor has to decide on it again. Nothing goes by itself."""

from dataclasses import dataclass

from django.db import transaction
from fairwitness_core.rules.offenses import GROUP_A

from fairwitness.agency.models import Hold, Officer, Response, RetentionClass
from fairwitness.agency.services import audit, cases, officers
from fairwitness.kit.errors import Refused

DAY = 86400
_LONGEST_DAYS = 99 * 366
_NAME_MAX = 80


@dataclass(frozen=True, slots=True)
class Due:
    """A response whose class's time is over since `at`."""

    response: Response
    kind: RetentionClass
    at: int


def listing() -> list[RetentionClass]:
    """Return the classes, the shortest first."""
    return list(RetentionClass.objects.all())


def put(by: Officer, name: str, days: int, offenses: list[str], pk: int | None = None) -> RetentionClass:
    """Make a class, or change one. Raises Refused. Shortening one destroys nothing: it brings things up for a decision."""
    officers.need(by, "admin")
    unknown = [code for code in offenses if code not in GROUP_A]
    if not name.strip() or len(name) > _NAME_MAX or not 1 <= days <= _LONGEST_DAYS or unknown:
        raise Refused(400, "retention.class", "A class has a name, 1 day to 99 years, and offences of the list.")
    if RetentionClass.objects.filter(name=name.strip()).exclude(pk=pk or 0).exists():
        raise Refused(409, "retention.exists", "There is a class of this name.", "Choose another name.")
    with transaction.atomic():
        if pk is None:
            found = RetentionClass.objects.create(name=name.strip(), days=days, offenses=sorted(set(offenses)))
        else:
            if not RetentionClass.objects.filter(pk=pk).update(name=name.strip(), days=days, offenses=sorted(set(offenses))):
                raise Refused(404, "not_found", "There is no such class here.")
            found = RetentionClass.objects.get(pk=pk)
        words = f"{found.name}: {days} days, {len(found.offenses)} offences"
        audit.note(by, "retention.changed", f"class {found.pk}", words=words)
    return found


def drop(by: Officer, pk: int) -> None:
    """Remove a class. Raises Refused."""
    officers.need(by, "admin")
    with transaction.atomic():
        found = RetentionClass.objects.filter(pk=pk).first()
        if found is None:
            raise Refused(404, "not_found", "There is no such class here.")
        audit.note(by, "retention.removed", f"class {pk}", words=found.name)
        found.delete()


def class_of(offense: str, classes: list[RetentionClass]) -> RetentionClass | None:
    """Return the longest class that names an offence, or None."""
    return max((one for one in classes if offense in one.offenses), key=lambda one: one.days, default=None)


def due(officer: Officer, now: int) -> list[Due]:
    """Return what this officer's cases hold beyond its class's time, longest first. A held response is not due."""
    classes = listing()
    if not classes:
        return []
    shortest = min(one.days for one in classes)
    rows = Response.objects.filter(
        state="accepted", decided_at__lte=now - shortest * DAY, request__case__in=cases.listing(officer)
    ).select_related("request__case")
    found = []
    held = set(Hold.objects.filter(lifted_at=None).values_list("response_id", flat=True))
    for row in rows.exclude(pk__in=held):
        kind = class_of(row.request.case.offense, classes) if row.request else None
        at = (row.decided_at or now) + (kind.days if kind else 0) * DAY
        if kind is not None and at <= now:
            found.append(Due(row, kind, at))
    return sorted(found, key=lambda one: one.at)
