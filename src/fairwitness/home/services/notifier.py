"""Telling the owner, and nobody else (design.md 9.12; protocol.md 4.8).

The home's own page shows a badge at once. Channels on the owner's network get the alert itself. A company's channel gets one
message a day, the same words at the same minute whether anything matched or not; instant ones only after the owner
ticked, beside "this company will learn that you were alerted".
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from fairwitness.home.errors import conflict, invalid, unknown, unreachable
from fairwitness.home.models import Channel, Request
from fairwitness.home.services import optouts
from fairwitness.kit import clock, notify, secrets_store
from fairwitness.kit.journal import Event, log

DIGEST_TITLE = "Fairwitness"
DIGEST_BODY = (
    "This is your daily message. It is the same every day, whether there is something for you or not. "
    "Open your home's page to see."
)
TEST_BODY = "This is a test from your home. It says nothing about any request."
INSTANT_BODY = "Open your home's page."
UNDERSTOOD = "This company will learn that you were alerted."


def badge(now: int | None = None) -> int:
    """Return how many matching requests the owner has neither opened nor ignored, opted-out ones left out."""
    moment = clock.now() if now is None else now
    chosen = optouts.get()
    return sum(not chosen.mutes(row) for row in _matching(moment).filter(seen_at=None, ignored_at=None))


def _matching(now: int) -> QuerySet[Request]:
    return Request.objects.filter(matched_at__isnull=False, withdrawn="", expires__gt=now)


def channels() -> list[Channel]:
    """Return the owner's channels by name."""
    return list(Channel.objects.order_by("name"))


def add_channel(name: str, url: str, *, instant: bool = False, understood: bool = False) -> Channel:
    """Add a channel by its Apprise address. Raises Refused.

    `instant` for a company's channel needs `understood`: the owner ticked UNDERSTOOD.
    """
    if not name.strip() or len(name) > 80:
        raise invalid("channel.name", _("Give the channel a name of at most 80 characters."))
    if not notify.valid(url):
        raise invalid("channel.url", _("This address cannot be used."), "ntfy://192.168.1.5/alerts")
    third_party = notify.classify(url) is notify.Reach.THIRD_PARTY
    if third_party and instant and not understood:
        raise conflict(
            "channel.instant", _("This company will learn that you were alerted."), _("Tick that you understand this.")
        )
    try:
        with transaction.atomic():
            return Channel.objects.create(
                name=name.strip(), url=secrets_store.wrap(url.encode()), third_party=third_party, instant=instant
            )
    except IntegrityError as error:
        raise conflict("channel.name_taken", _("Another channel has this name.")) from error


def remove_channel(channel_id: int) -> None:
    """Forget a channel. Raises Refused."""
    if not Channel.objects.filter(pk=channel_id).delete()[0]:
        raise unknown("channel")


def try_out(channel_id: int, now: int | None = None) -> Channel:
    """Send a message that says nothing through one channel; raises Refused where nobody took it."""
    channel = Channel.objects.filter(pk=channel_id).first()
    if channel is None:
        raise unknown("channel")
    if not _send(channel, DIGEST_TITLE, TEST_BODY, clock.now() if now is None else now):
        raise unreachable(
            "channel.failed",
            _("Nobody took the test message for “%(name)s” within ten seconds.") % {"name": channel.name},
            _("Check its address, and that the service runs and is reached from this machine. Then test again."),
        )
    return channel


def set_digest_minute(minute: int) -> None:
    """Set the minute of the day, in the zone of the quiet hours, at which the daily message goes out. Raises Refused."""
    if not 0 <= minute < 1440:
        raise invalid("digest.minute", _("A minute of the day is 0 to 1439."))
    stored = optouts.row()
    stored.digest_minute = minute
    stored.save()


def deliver(now: int) -> int:
    """Send what is due; returns how many messages were handed over. What was noted as sent is not sent twice."""
    return _digest(now) + _alerts(now)


def _alerts(now: int) -> int:
    chosen = optouts.get()
    if chosen.quiet_at(now):
        return 0
    sent = 0
    for request in _matching(now).filter(alerted_at=None).order_by("matched_at", "id"):
        if chosen.mutes(request):
            continue
        request.alerted_at = now
        request.save(update_fields=["alerted_at"])
        for channel in channels():
            if channel.third_party and not channel.instant:
                continue
            body = INSTANT_BODY if channel.third_party else alert_text(request, chosen.zone)
            sent += _send(channel, DIGEST_TITLE, body, now)
    return sent


def alert_text(request: Request, zone: str) -> str:
    """Return the alert for a channel on the owner's own network."""
    begin, end = (datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)) for at in (request.start, request.end))
    when = f"{begin:%d %b %Y %H:%M}-{end:%H:%M}" if begin.date() == end.date() else f"{begin:%d %b %Y %H:%M}-{end:%d %b %H:%M}"
    return _("%(agency)s ask for video of %(when)s. You have some. Only you know that.") % {
        "agency": request.agency_name,
        "when": when,
    }


def _digest(now: int) -> int:
    stored = optouts.row()
    local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(stored.zone))
    today = f"{local:%Y%m%d}"
    if stored.digest_day == today or local.hour * 60 + local.minute < stored.digest_minute:
        return 0
    stored.digest_day = today
    stored.save()
    return sum(_send(channel, DIGEST_TITLE, DIGEST_BODY, now) for channel in channels() if channel.third_party)


def _send(channel: Channel, title: str, body: str, now: int) -> int:
    ok = notify.send(notify.Channel(secrets_store.unwrap(bytes(channel.url)).decode()), title, body)
    if not ok:
        log(Event.NOTIFY_FAILED, channel=channel.pk)
    Channel.objects.filter(pk=channel.pk).update(failed_at=None if ok else now)
    return int(ok)
