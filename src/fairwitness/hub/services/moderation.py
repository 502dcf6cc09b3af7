"""What moderators do with requests: approve, refuse by a rule, review the emergency lane, withdraw. Each act is public."""

from collections.abc import Mapping
from types import MappingProxyType

from django.db import transaction
from fairwitness_core.model import request as documents
from fairwitness_core.rules.caps import CAP_RULES
from fairwitness_core.rules.violation import Violation
from fairwitness_core.wire import dsse

from fairwitness.hub.errors import Detail, RulesRefused
from fairwitness.hub.models import Approval, PendingEntry, Request
from fairwitness.hub.services import entries
from fairwitness.hub.services import requests as own
from fairwitness.kit import clock
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log

REASONS: Mapping[str, str] = MappingProxyType(
    {
        **CAP_RULES,
        "moderation.vague": "A moderator found that the text does not say what happened and what to look for.",
        "moderation.purpose": "A moderator found a purpose that this hub does not serve.",
        "moderation.person": "A moderator found that the text points at a person who is no suspect, or at a group.",
        "moderation.proportion": "A moderator found the area or the window too wide for what happened.",
        "moderation.duplicate": "The same is asked by another request.",
    }
)


def queue(state: str = "submitted") -> list[Request]:
    """Return requests of a state, emergency reviews first, then the oldest."""
    rows = Request.objects.filter(state=state) if state != "review" else Request.objects.exclude(review_due=None)
    return list(rows.order_by("-emergency", "submitted_at"))


def get(request_id: str) -> Request:
    """Return one request; raises Refused."""
    row = Request.objects.filter(id=request_id).first()
    if row is None:
        raise Refused(404, "request.unknown", "There is no such request.")
    return row


def approve(request_id: str, moderator: int) -> own.Standing:
    """Note that `moderator` (a user's id) agrees; when enough do, the request goes to the log. Again changes nothing.

    The rules are applied once more, for keys, standing and time may have changed. Raises Refused, RulesRefused.
    """
    now = clock.now()
    with transaction.atomic():
        row = get(request_id)
        if row.state in ("approved", "published") and Approval.objects.filter(request=row, moderator=moderator).exists():
            return own.standing(row)
        _must_be(row, "submitted")
        envelope = dsse.Envelope.parse(bytes(row.envelope))
        verdict = own.judge(documents.Request.parse(envelope.payload), envelope, now)
        if verdict.violations:
            details = [Detail(one.rule, one.message, one.hint) for one in verdict.violations]
            raise RulesRefused(409, details)
        Approval.objects.get_or_create(request=row, moderator=moderator)
        count = Approval.objects.filter(request=row).count()
        if count >= row.required:
            entries.enqueue(documents.Request.TYPE, bytes(row.envelope))
            own.note_action(row, "approved", "moderation.approved", count, now)
            Request.objects.filter(id=row.id).update(state="approved")
            log(Event.REQUEST_PUBLISHED, request=row.id)
    return own.standing(row)


def refuse(request_id: str, rule: str) -> own.Standing:
    """Refuse a submitted request by a rule of REASONS. Again with the same rule changes nothing. Raises Refused."""
    if rule not in REASONS:
        raise Refused(400, "rule.unknown", "Name the rule that the request breaks.", ", ".join(REASONS))
    now = clock.now()
    with transaction.atomic():
        row = get(request_id)
        if row.state == "refused" and row.rule == rule:
            return own.standing(row)
        _must_be(row, "submitted")
        own.refuse(row, [Violation(rule, REASONS[rule])], now)
        own.note_action(row, "refused", rule, 1, now)
    return own.standing(row)


def review(request_id: str, moderator: int) -> own.Standing:
    """Note that `moderator` reviewed an emergency request and lets it stand; it stands when as many did as approve another.

    The lane skips the look before publication, not the second moderator that an assembly near by asks for (design.md 7,
    9.8). Again changes nothing. Raises Refused.
    """
    now = clock.now()
    with transaction.atomic():
        row = get(request_id)
        if not row.emergency or row.state not in ("approved", "published"):
            raise Refused(409, "request.state", "Only a published emergency request is reviewed.")
        if row.review_due is not None:
            Approval.objects.get_or_create(request=row, moderator=moderator)
            count = Approval.objects.filter(request=row).count()
            if count >= row.required:
                own.note_action(row, "reviewed", "emergency_lane", count, now)
                Request.objects.filter(id=row.id).update(review_due=None)
    return own.standing(row)


def withdraw(request_id: str) -> own.Standing:
    """Take a published request back in the hub's name. Again changes nothing. Raises Refused."""
    return _withdraw(request_id, "moderation", 1)


def withdraw_unreviewed(now: int) -> int:
    """Withdraw every emergency request whose review is overdue at Unix second `now`; returns how many."""
    overdue = Request.objects.filter(review_due__lte=now, state__in=("approved", "published"))
    ids = list(overdue.values_list("id", flat=True))
    for request_id in ids:
        _withdraw(request_id, "emergency_unreviewed", 0)
    return len(ids)


def _withdraw(request_id: str, reason: str, moderators: int) -> own.Standing:
    now = clock.now()
    with transaction.atomic():
        row = get(request_id)
        waiting = PendingEntry.objects.filter(kind=documents.RequestWithdrawn.TYPE, state="queued")
        if row.state == "withdrawn" or any(_names(one, row.id) for one in waiting):
            return own.standing(row)
        if row.state not in ("approved", "published"):
            raise Refused(409, "request.state", f"This request is {row.state}; there is nothing to withdraw.")
        entries.state(documents.RequestWithdrawn(request_id=row.id, agency=row.agency, reason=reason, at=now))
        own.note_action(row, "withdrawn", "moderation.withdrawn" if moderators else "emergency.unreviewed", moderators, now)
        Request.objects.filter(id=row.id).update(review_due=None)
        log(Event.REQUEST_WITHDRAWN, request=row.id)
    return own.standing(row)


def _names(row: PendingEntry, request_id: str) -> bool:
    return documents.RequestWithdrawn.parse(dsse.Envelope.parse(bytes(row.envelope)).payload).request_id == request_id


def _must_be(row: Request, state: str) -> None:
    if row.state != state:
        raise Refused(409, "request.state", f"This request is {row.state}.", "Only one that is submitted is decided on.")
