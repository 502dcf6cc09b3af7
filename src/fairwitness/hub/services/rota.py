"""Who of the moderators is on duty when."""

from collections.abc import Sequence

from django.contrib.auth import get_user_model

from fairwitness.hub.models import Shift
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused

_LONGEST_S = 7 * 86_400
_AHEAD_S = 366 * 86_400


def on_duty(now: int) -> list[str]:
    """Return the names of those on duty at Unix second `now`."""
    ids = Shift.objects.filter(begins__lte=now, ends__gt=now).values_list("moderator", flat=True)
    return sorted(get_user_model().objects.filter(pk__in=ids).values_list("display_name", flat=True))


def coming(now: int) -> Sequence[tuple[Shift, str]]:
    """Return the shifts that are not over, in order, with the name of who has each."""
    names = dict(get_user_model().objects.values_list("pk", "display_name"))
    return [(row, names.get(row.moderator, "")) for row in Shift.objects.filter(ends__gt=now)]


def gaps(now: int, days: int = 7) -> list[tuple[int, int]]:
    """Return the spans of the next `days` days in which nobody is on duty."""
    end, at, found = now + days * 86_400, now, []
    for row in Shift.objects.filter(ends__gt=now, begins__lt=end).order_by("begins"):
        if row.begins > at:
            found.append((at, row.begins))
        at = max(at, row.ends)
    return [*found, (at, end)] if at < end else found


def add(username: str, begins: int, ends: int) -> Shift:
    """Put a moderator on duty. Raises Refused."""
    person = get_user_model().objects.filter(username=username, role="moderator", frozen=False).first()
    if person is None:
        raise Refused(404, "rota.person", "There is no such moderator.")
    if not 0 < ends - begins <= _LONGEST_S or not clock.now() < ends <= clock.now() + _AHEAD_S:
        raise Refused(400, "rota.time", "A shift ends after it begins and lasts a week at most.", "Check the two times.")
    return Shift.objects.create(moderator=person.pk, begins=begins, ends=ends)


def remove(pk: int) -> None:
    """Take a shift off the rota. Raises Refused."""
    if not Shift.objects.filter(pk=pk).delete()[0]:
        raise Refused(404, "rota.unknown", "There is no such shift.")
