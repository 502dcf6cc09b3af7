"""The requests that concern this home, with why it believes them; and those it refused."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from fairwitness_core.rules.caps import CAP_RULES
from fairwitness_core.rules.offenses import offense_name

from fairwitness.home.errors import conflict, unknown
from fairwitness.home.models import Answer, RefusedLine, Request
from fairwitness.home.services import matching, optouts
from fairwitness.home.services.matching import OwnClips
from fairwitness.kit import clock

CONTEXT_DAYS = 30
NOT_ANSWERING = "Not answering is invisible: nobody learns that you saw this, or that you have video."


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request in a list. `state`: live, withdrawn or expired; `clips` counts own recordings in the window. UTC seconds."""

    id: str
    agency: str
    agency_name: str
    case: str
    offense: str
    offense_name: str
    msg: str
    start: int
    end: int
    expires: int
    emergency: bool
    state: str
    near: bool
    matched: bool
    muted: bool
    clips: int
    seen: bool
    ignored: bool
    answered: str


@dataclass(frozen=True, slots=True)
class RequestDetail:
    """A request with all that an owner may ask about it. `proof`: plain sentences; `context`: how often this agency asks here."""

    view: RequestView
    contact: str
    area: tuple[str, ...]
    modes: tuple[str, ...]
    flags: tuple[str, ...]
    wide_reason: str
    withdrawn_reason: str
    proof: tuple[str, ...]
    context: str
    own: tuple[OwnClips, ...]
    tip: str


def get(request_id: str) -> Request:
    """Return one stored request. Raises Refused."""
    found = Request.objects.filter(pk=request_id).first()
    if found is None:
        raise unknown("request")
    return found


def state_of(row: Request, now: int) -> str:
    """Return live, withdrawn or expired."""
    if row.withdrawn:
        return "withdrawn"
    return "expired" if row.expires <= now else "live"


def listing(*, include_muted: bool = False, include_past: bool = False, now: int | None = None) -> list[RequestView]:
    """Return the requests whose area a camera of this home sees, newest first."""
    moment = clock.now() if now is None else now
    chosen = optouts.get()
    rows = Request.objects.filter(near=True).order_by("-log_index")
    found = [_view(row, chosen, moment) for row in rows]
    return [one for one in found if (include_muted or not one.muted) and (include_past or one.state == "live" or one.answered)]


def _view(row: Request, chosen: optouts.Chosen, now: int) -> RequestView:
    document = matching.document(row)
    answer = Answer.objects.filter(request=row, kind="clips").exclude(state="cancelled").order_by("-pk").first()
    return RequestView(
        id=row.id,
        agency=row.agency,
        agency_name=row.agency_name,
        case=document.case,
        offense=row.offense,
        offense_name=offense_name(row.offense) or row.offense,
        msg=document.msg,
        start=row.start,
        end=row.end,
        expires=row.expires,
        emergency=row.emergency,
        state=state_of(row, now),
        near=row.near,
        matched=row.matched_at is not None and bool(row.hits),
        muted=chosen.mutes(row),
        clips=sum(len(hit["intervals"]) for hit in row.hits),
        seen=row.seen_at is not None,
        ignored=row.ignored_at is not None,
        answered=answer.state if answer else "",
    )


def detail(request_id: str, *, now: int | None = None, note: bool = True) -> RequestDetail:
    """Return everything about one request; noting that its owner opened it stays in this home. Raises Refused.

    `note` False: somebody looks who cannot decide, so that it goes on waiting for who can.
    """
    moment = clock.now() if now is None else now
    row = get(request_id)
    if note and row.seen_at is None:
        row.seen_at = moment
        row.save(update_fields=["seen_at"])
    document = matching.document(row)
    return RequestDetail(
        view=_view(row, optouts.get(), moment),
        contact=document.contact,
        area=document.area,
        modes=document.modes,
        flags=tuple(row.flags),
        wide_reason=document.wide_reason,
        withdrawn_reason=row.withdrawn,
        proof=proof_sentences(row),
        context=context_sentence(row),
        own=tuple(matching.own_clips(row)),
        tip=_(NOT_ANSWERING),
    )


def proof_sentences(row: Request) -> tuple[str, ...]:
    """Say in plain words why this home believes that everybody was shown the same request."""
    names = ", ".join(name for name, _at in row.witnesses)
    when = datetime.fromtimestamp(row.witnessed_at, UTC).strftime("%d %b %Y %H:%M UTC")
    return (
        _("It is entry %(index)d of the public log, in tick %(tick)d.") % {"index": row.log_index, "tick": row.tick},
        _("%(names)s saw the log with it by %(when)s: it was not made for you alone.") % {"names": names, "when": when},
        ngettext(
            "%(count)d officer of %(agency)s signed it, with a key that counted then.",
            "%(count)d officers of %(agency)s signed it, with keys that counted then.",
            len(row.signers),
        )
        % {"count": len(row.signers), "agency": row.agency_name},
        _("This home checked every limit on area, time and wording itself."),
    )


def context_sentence(row: Request) -> str:
    """Say which of this agency's requests this is, of those covering this home in the 30 days before it."""
    since = row.witnessed_at - CONTEXT_DAYS * 86_400
    number = Request.objects.filter(agency=row.agency, near=True, witnessed_at__gt=since, log_index__lte=row.log_index).count()
    return _("%(agency)s: request number %(number)d covering you in %(days)d days.") % {
        "agency": row.agency_name,
        "number": max(number, 1),
        "days": CONTEXT_DAYS,
    }


def ignore(request_id: str, *, now: int | None = None) -> None:
    """Put a request away; nothing is sent. Raises Refused."""
    row = get(request_id)
    row.ignored_at = clock.now() if now is None else now
    row.save(update_fields=["ignored_at"])


def check_live(row: Request, now: int) -> None:
    """Raise Refused unless the request can be answered now: clients refuse to seal to one that was withdrawn."""
    state = state_of(row, now)
    if state == "withdrawn":
        raise conflict("request.withdrawn", _("This request was withdrawn; nothing is sent to it."))
    if state == "expired":
        raise conflict("request.expired", _("This request has expired; nothing is sent to it."))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line of the log that this home does not show as a request: where, which rule, and the rule in words."""

    index: int
    kind: str
    rule: str
    sentence: str
    request_id: str
    agency: str
    at: int


def refused() -> list[Refusal]:
    """Return what this home refused, newest first; never the text of it."""
    return [
        Refusal(
            row.log_index,
            row.kind,
            row.rule,
            _("Refused by this home: %(why)s") % {"why": CAP_RULES.get(row.rule, row.message)},
            row.request_id,
            row.agency,
            row.at,
        )
        for row in RefusedLine.objects.order_by("-log_index")
    ]
