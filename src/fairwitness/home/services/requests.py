"""The requests that concern this home, with why it believes them; and those it refused."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from fairwitness_core.rules.caps import CAP_RULES
from fairwitness_core.rules.changes import CHANGE_RULES

from fairwitness.home.errors import conflict, unknown
from fairwitness.home.models import Answer, Camera, RefusedLine, Request
from fairwitness.home.services import follower, join, matching, optouts
from fairwitness.home.services.matching import OwnClips
from fairwitness.kit import clock
from fairwitness.kit.offenses import spoken

CONTEXT_DAYS = 30
NOT_ANSWERING = "Not answering is invisible: nobody learns that you saw this, or that you have video."


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request in a list. `state`: live, withdrawn or expired; `clips` counts own recordings in the window. UTC seconds.

    `cameras`: names of own cameras with how many recordings each has in the window.
    """

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
    extended: bool = False
    outcome: str = ""
    cameras: tuple[tuple[str, int], ...] = ()


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
    extension: str = ""
    outcome_sentence: str = ""
    outcome_words: str = ""


def get(request_id: str) -> Request:
    """Return one stored request. Raises Refused."""
    found = Request.objects.filter(pk=request_id).first()
    if found is None:
        raise unknown("request")
    return found


def state_of(row: Request, now: int) -> str:
    """Return live, withdrawn, expired or resolved."""
    if row.outcome:
        return "resolved"
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


def over(*, exclude: Collection[str] = (), most: int = 50, now: int | None = None) -> list[RequestView]:
    """Return the newest requests near this home that are over, answered or not."""
    moment = clock.now() if now is None else now
    chosen = optouts.get()
    rows = Request.objects.filter(near=True).exclude(pk__in=exclude).order_by("-log_index")
    return [_view(row, chosen, moment) for row in rows if state_of(row, moment) != "live"][:most]


def _view(row: Request, chosen: optouts.Chosen, now: int) -> RequestView:
    document = matching.document(row)
    answer = Answer.objects.filter(request=row, kind="clips").exclude(state="cancelled").order_by("-pk").first()
    return RequestView(
        id=row.id,
        agency=row.agency,
        agency_name=row.agency_name,
        case=document.case,
        offense=row.offense,
        offense_name=spoken(row.offense),
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
        extended=row.extended_at is not None,
        outcome=row.outcome,
        cameras=_recorded(row),
    )


def _recorded(row: Request) -> tuple[tuple[str, int], ...]:
    names = dict(Camera.objects.filter(pk__in=[hit["camera"] for hit in row.hits]).values_list("pk", "name"))
    return tuple((names[hit["camera"]], len(hit["intervals"])) for hit in row.hits if hit["camera"] in names)


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
        extension=row.extension,
        outcome_sentence=outcome_sentence(row),
        outcome_words=row.outcome_words,
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


@dataclass(frozen=True, slots=True)
class Standing:
    """Who may ask, by the log: as this home holds it. `since`, `expires`: Unix seconds UTC; `suspended`: as of now."""

    name: str
    ori: str
    level: str
    vouched: tuple[str, ...]
    since: int
    expires: int
    suspended: bool


def standing(row: Request) -> Standing | None:
    """Return the standing of a request's agency: authorised how as the request was logged, suspended or not now."""
    if join.pinned() is None:
        return None
    directory = follower.directory()
    then, today = directory.agency(row.agency, row.log_index), directory.agency(row.agency)
    if then is None or today is None:
        return None
    found = then.authorized
    return Standing(found.name, found.ori, found.level, found.vouched, found.at, found.expires, today.suspended)


@dataclass(frozen=True, slots=True)
class Earlier:
    """An agency's other requests, as this home read them in the feed: all of them, and the newest few with their places."""

    count: int
    near: int
    live: int
    expired: int
    withdrawn: int
    resolved: int
    newest: tuple[RequestView, ...]


def earlier(row: Request, *, now: int | None = None, most: int = 5) -> Earlier:
    """Return what else this agency asked before this request, from this home's own history."""
    moment = clock.now() if now is None else now
    rows = list(Request.objects.filter(agency=row.agency, log_index__lt=row.log_index).order_by("-log_index"))
    states = [state_of(one, moment) for one in rows]
    chosen = optouts.get()
    return Earlier(
        len(rows),
        sum(one.near for one in rows),
        states.count("live"),
        states.count("expired"),
        states.count("withdrawn"),
        states.count("resolved"),
        tuple(_view(one, chosen, moment) for one in rows[:most]),
    )


def outcome_sentence(row: Request) -> str:
    """Say what came of a request, in the words of the closed list; empty while nobody has said it."""
    if not row.outcome:
        return ""
    return {
        "solved_with_footage": _("Solved, with the help of footage that neighbours gave."),
        "solved_otherwise": _("Solved by other means."),
        "not_solved": _("Not solved; the agency asks for nothing more."),
        "withdrawn_by_victim": _("The person harmed does not pursue it any more."),
        "unfounded": _("It turned out that nothing unlawful had happened."),
    }[row.outcome]


def ignore(request_id: str, *, now: int | None = None) -> None:
    """Put a request away; nothing is sent. Raises Refused."""
    row = get(request_id)
    row.ignored_at = clock.now() if now is None else now
    row.save(update_fields=["ignored_at"])


def bring_back(request_id: str) -> None:
    """Take a request that was put away out again; nothing is sent. Raises Refused."""
    row = get(request_id)
    row.ignored_at = None
    row.save(update_fields=["ignored_at"])


def check_live(row: Request, now: int) -> None:
    """Raise Refused unless the request can be answered now: clients refuse to seal to one that was withdrawn."""
    state = state_of(row, now)
    if state == "withdrawn":
        raise conflict("request.withdrawn", _("This request was withdrawn; nothing is sent to it."))
    if state == "resolved":
        raise conflict("request.resolved", _("The agency has closed this request; nothing is sent to it."))
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
            _("Refused by this home: %(why)s") % {"why": {**CAP_RULES, **CHANGE_RULES}.get(row.rule, row.message)},
            row.request_id,
            row.agency,
            row.at,
        )
        for row in RefusedLine.objects.order_by("-log_index")
    ]
