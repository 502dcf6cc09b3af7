"""Who has access, until when and why; what ends by itself; and the two steps that stop a person or the whole agency (SG30)."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max
from fairwitness_core.wire import canonical

from fairwitness.agency.models import Freeze, Officer
from fairwitness.agency.services import audit, freeze, node, officers
from fairwitness.kit import clock
from fairwitness.kit.accounts import services as accounts
from fairwitness.kit.accounts.models import SignIn, User
from fairwitness.kit.errors import Refused

DAY = 86400
LONGEST_S = 366 * DAY
_TEXT_MAX = 120
_REASON_MAX = 300
RENEWERS = ("supervisor", "admin")


@dataclass(frozen=True, slots=True)
class Person:
    """One officer as the administration shows them. `state`: active, frozen, lapsed, untrained, removed."""

    officer: Officer
    state: str
    last_seen: int | None
    sessions: int


def people() -> list[Person]:
    """Return everybody, those with access first, by name."""
    now = clock.now()
    seen = dict(SignIn.objects.order_by().values_list("user").annotate(Max("seen_at")))
    live: dict[int, int] = {}
    for user in SignIn.objects.filter(revoked_at=None, ends_at__gt=now).values_list("user", flat=True):
        live[user] = live.get(user, 0) + 1
    found = [
        Person(one, state_of(one, now), seen.get(one.user_id), live.get(one.user_id, 0))
        for one in Officer.objects.select_related("user")
    ]
    return sorted(found, key=lambda one: (one.state == "removed", one.officer.user.display_name.casefold()))


def state_of(officer: Officer, now: int) -> str:
    """Return how an officer's access stands at `now`."""
    if officer.removed_at is not None:
        return "removed"
    if officer.user.frozen:
        return "frozen"
    if not officer.user.is_active:
        return "lapsed"
    return "untrained" if officer.trained_until <= now and officer.user.role != "admin" else "active"


def train(by: Officer, officer: Officer, training: str, until: int) -> None:
    """Record a training that counts until Unix second `until`. Raises Refused, ProtocolError."""
    officers.need(by, "admin")
    canonical.check_text(training, "training")
    if not training.strip() or len(training) > _TEXT_MAX:
        raise Refused(400, "officer.training_name", "Say which training it was.", f"At most {_TEXT_MAX} characters.")
    _in_time(until, 3 * LONGEST_S)
    with transaction.atomic():
        Officer.objects.filter(pk=officer.pk).update(training=training.strip(), trained_until=until)
        audit.note(by, "officer.trained", f"officer {officer.actor}", words=training.strip())


def renew(by: Officer, officer: Officer, until: int) -> None:
    """Confirm that an officer needs access, until Unix second `until`; a supervisor's step, or an administrator's."""
    officers.need(by, *RENEWERS)
    if by.pk == officer.pk:
        raise Refused(403, "officer.self", "Nobody confirms their own access.", "Ask another person.")
    if officer.removed_at is not None:
        raise Refused(409, "officer.removed", "This person was removed.", "Add them anew.")
    _in_time(until, LONGEST_S)
    with transaction.atomic():
        User.objects.filter(pk=officer.user_id).update(active_until=until)
        Officer.objects.filter(pk=officer.pk).update(renewed_at=clock.now())
        audit.note(by, "officer.renewed", f"officer {officer.actor}")


def stop(by: Officer, officer: Officer) -> None:
    """Freeze one person, in every session, at once. Raises Refused."""
    officers.need(by, "admin")
    if by.pk == officer.pk:
        raise Refused(409, "officer.self", "Nobody freezes themselves.", "Ask another administrator.")
    accounts.freeze(officer.user, by.user)


def let_go_on(by: Officer, officer: Officer) -> None:
    """End the freeze of one person. Raises Refused."""
    officers.need(by, "admin")
    accounts.unfreeze(officer.user, by.user)


def sign_out(by: Officer, officer: Officer) -> int:
    """End every session of a person; returns how many there were. Raises Refused."""
    officers.need(by, "admin")
    return accounts.revoke_all(officer.user, by.user)


def freeze_agency(by: Officer, reason: str) -> Freeze:
    """Stop everybody but the administrators, and end their sessions, in one step. Again changes nothing. Raises Refused."""
    officers.need(by, "admin")
    canonical.check_text(reason, "reason")
    if not reason.strip() or len(reason) > _REASON_MAX:
        raise Refused(400, "agency.freeze_reason", "Say why.", f"At most {_REASON_MAX} characters.")
    with transaction.atomic():
        found = freeze.now()
        if found is None:
            found = Freeze.objects.create(by=by, at=clock.now(), reason=reason.strip())
            for one in Officer.objects.select_related("user").exclude(user__role="admin"):
                accounts.revoke_all(one.user, by.user)
            audit.note(by, "agency.frozen", "agency", words=reason.strip())
    return found


def thaw_agency(by: Officer) -> None:
    """End the agency's freeze. Raises Refused."""
    officers.need(by, "admin")
    with transaction.atomic():
        if Freeze.objects.filter(lifted_at=None).update(lifted_at=clock.now(), lifted_by=by):
            audit.note(by, "agency.unfrozen", "agency")


def lapse(now: int) -> int:
    """End the access of whoever has not used it for `lapse_days`; returns how many. One administrator always stays."""
    oldest = now - node.settings().lapse_days * DAY
    seen = dict(SignIn.objects.order_by().values_list("user").annotate(Max("seen_at")))
    working = [one for one in Officer.objects.select_related("user").filter(removed_at=None) if one.user.is_active]
    admins = sum(one.user.role == "admin" for one in working)
    count = 0
    for one in working:
        if max(one.created_at, one.renewed_at, seen.get(one.user_id, 0)) > oldest:
            continue
        if one.user.role == "admin":
            if admins == 1:
                continue
            admins -= 1
        with transaction.atomic():
            User.objects.filter(pk=one.user_id).update(active_until=now)
            accounts.revoke_all(one.user)
            audit.note(None, "officer.lapsed", f"officer {one.actor}", words="not used")
        count += 1
    return count


def _in_time(until: int, longest: int) -> None:
    now = clock.now()
    if not now < until <= now + longest:
        raise Refused(400, "officer.until", "The last day is to come, and not too far away.", f"Within {longest // DAY} days.")
