"""What the owner does not want to hear of. It changes alerts and lists in this home, never what is sent or when."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from django.utils.translation import gettext as _
from fairwitness_core.rules.offenses import offense_name

from fairwitness.home.errors import invalid
from fairwitness.home.models import Choices, OptOut, Request

_DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True)
class Chosen:
    """The owner's choices; `quiet` in minutes of the day in `zone`, or None."""

    alerts_off: bool
    agencies: frozenset[str]
    offenses: frozenset[str]
    quiet: tuple[int, int] | None
    zone: str

    def mutes(self, request: Request) -> bool:
        """Tell whether the owner opted out of what this request is."""
        return self.alerts_off or request.agency in self.agencies or request.offense in self.offenses

    def quiet_at(self, moment: int) -> bool:
        """Tell whether Unix second `moment` lies in the quiet hours."""
        if self.quiet is None:
            return False
        local = datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(self.zone))
        minute, (begin, end) = local.hour * 60 + local.minute, self.quiet
        return begin <= minute < end if begin <= end else minute >= begin or minute < end


def row() -> Choices:
    """Return the stored choices."""
    return Choices.objects.filter(pk=1).first() or Choices()


def get() -> Chosen:
    """Return the owner's choices."""
    stored = row()
    begin, end = stored.quiet_from, stored.quiet_to
    quiet = None if begin is None or end is None else (begin, end)
    names = {kind: frozenset(OptOut.objects.filter(kind=kind).values_list("value", flat=True)) for kind in ("agency", "offense")}
    return Chosen(stored.alerts_off, names["agency"], names["offense"], quiet, stored.zone)


def set_all(off: bool) -> None:
    """Opt out of everything, or in again."""
    stored = row()
    stored.alerts_off = off
    stored.save()


def set_agency(agency: str, off: bool) -> None:
    """Opt out of one agency's requests, or in again. Raises Refused."""
    if not agency or len(agency) > 40:
        raise invalid("optout.agency", _("This is not an agency's id."))
    _set("agency", agency, off)


def set_offense(code: str, off: bool) -> None:
    """Opt out of one offence code, such as nibrs:220, or in again. Raises Refused."""
    if offense_name(code) is None:
        raise invalid("optout.offense", _("This is not an offence code of NIBRS Group A."))
    _set("offense", code, off)


def _set(kind: str, value: str, off: bool) -> None:
    if off:
        OptOut.objects.get_or_create(kind=kind, value=value)
    else:
        OptOut.objects.filter(kind=kind, value=value).delete()


def set_quiet(begin: int | None, end: int | None, zone: str = "UTC") -> None:
    """Set quiet hours in minutes of the day, or none; alerts of that time come afterwards. Raises Refused."""
    check_zone(zone)
    if (begin is None) != (end is None):
        raise invalid("optout.quiet", _("Quiet hours have a beginning and an end."))
    if begin is not None and end is not None and not (0 <= begin < _DAY_MINUTES and 0 <= end < _DAY_MINUTES and begin != end):
        raise invalid("optout.quiet", _("Quiet hours run from one minute of the day to another."))
    stored = row()
    stored.quiet_from, stored.quiet_to, stored.zone = begin, end, zone
    stored.save()


def check_zone(zone: str) -> None:
    """Raise Refused unless `zone` is a name of the IANA time zone database."""
    if zone not in available_timezones():
        raise invalid("zone.unknown", _("There is no such time zone."), "America/Los_Angeles")
