"""Caps on requests: the numbers of design.md section 7, and who checks what.

Hub, home and monitor call the same functions (protocol.md 11, T8). `check_request` is the hub's, before a request is
published. `check_published` needs no private file and no opinion of the hub, so every home and every monitor repeats it
and believes no request that fails. `check_live` counts requests against each other. All are pure: time is an argument.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import h3

from fairwitness_core.rules import area as areas
from fairwitness_core.rules import offenses, wording
from fairwitness_core.rules.area import AREA_MAX, AREA_MAX_SPARSE, AREA_MAX_WIDE, AREA_MIN, DWELLINGS_MIN
from fairwitness_core.rules.violation import Flag, Verdict, Violation
from fairwitness_core.wire.fields import is_cell

HOUR = 3600
DAY = 86_400
WINDOW_MIN_S = 900
WINDOW_MAX_S = 12 * HOUR
EXPIRY_MAX_S = 14 * DAY
CLOCK_TOLERANCE_S = 300
APPROVED_WITHIN_S = 2 * DAY  # from a request's date to a hub's approval
PUBLISHED_WITHIN_S = 3 * DAY  # and to the tick that carries it, which an outage may delay
CASE_LIVE_MAX = 2
CELL8_MAX = 2
CELL8_SPAN_S = 7 * DAY
POLICY_NOTICE_S = DAY
EMERGENCY_REVIEW_S = 2 * HOUR
SIGNERS_MIN = 2
SPARSE_REASON = "sparse"

CAP_RULES: Mapping[str, str] = MappingProxyType(
    {
        "offense.unknown": "A request names an offence of NIBRS Group A.",
        "offense.catch_all": 'The code "all other offences" (90Z) is never accepted.',
        "offense.immigration": "Immigration offences are never a ground for a request.",
        "purpose.immigration": "No request speaks of immigration.",
        "purpose.reproductive": "No request speaks of reproductive care.",
        "purpose.gender": "No request speaks of gender-affirming care or gender identity.",
        "purpose.assembly": "No request speaks of a protest, a vigil, worship or another lawful assembly.",
        "text.length": "A message has at most 600 bytes, a contact 80, a supervisor's reason 300.",
        "text.vague": "A message says what happened and what to look for; generic words alone are refused.",
        "text.case_number": "A number or a mark is not a description of what happened.",
        "text.hidden": "A text holds no invisible or direction-changing characters.",
        "text.link": "A text holds no link or network address.",
        "text.markup": "A text holds no markup and no image.",
        "text.email": "A message holds no e-mail address; the contact has its own field.",
        "text.phone": "A message holds no telephone number; the contact has its own field.",
        "text.pressure": "A text puts no pressure on its readers: sharing is free.",
        "text.victim": "A message gives no detail of a victim.",
        "text.address": "A message names a block or a crossing, never a house.",
        "text.slur": "A text holds no slur.",
        "contact.empty": "A request names somebody to turn to.",
        "window.short": "The window is at least 15 minutes long.",
        "window.long": "The window is at most 12 hours long.",
        "window.future": "The window has ended when the request is made: footage that exists is asked for, never a watch.",
        "expiry.long": "A request lives at most 14 days.",
        "expiry.past": "A request that has expired is not published.",
        "time.future": "A request is not dated in the future.",
        "time.stale": "A request is published within 3 days of its date, so that no date escapes the counts of 7 days.",
        "area.cell": "An area is made of H3 cells of resolution 9.",
        "area.order": "The cells of an area are sorted and distinct.",
        "area.small": "An area has at least 7 cells.",
        "area.large": "An area has at most 12 cells, 19 with a supervisor's reason, 61 where houses are sparse.",
        "area.connected": "The cells of an area hang together by their edges.",
        "area.dwellings": "An area holds at least 40 dwellings.",
        "area.sparse": "An area grows past 12 cells for sparse houses only where no 12 of its cells hold 40 dwellings.",
        "area.jurisdiction": "An area lies inside the agency's own jurisdiction.",
        "standing.active": "The agency is in good standing.",
        "standing.agency": "A request is judged by the record of the agency that it names.",
        "standing.federal": "Federal agencies may not ask unless a policy logged 24 hours ahead says so.",
        "standing.state": "Agencies of another state may not ask unless a policy logged 24 hours ahead says so.",
        "signers.two": "Two different officers of the agency sign.",
        "signers.unknown": "Only registered officers' keys sign.",
        "live.case": "A case has at most two live requests; withdrawn ones count until they would have expired.",
        "live.cell": "An agency touches a place (one H3 cell of resolution 8) at most twice in any 7 days, whatever the case.",
        "live.duplicate": "A request's id is used once.",
        "dwellings_unchecked": "This hub has no file of dwellings, so the floor of 40 is unchecked.",
        "assembly_overlap": "Place and time overlap a listed assembly: a second moderator must agree.",
        "emergency_lane": "Published before moderation; reviewed within 2 hours or withdrawn.",
        "wide_area": "The area is larger than 12 cells, for a reason that a supervisor gave.",
    }
)


class RequestLike(Protocol):
    """What the rules read of a request; `fairwitness_core.model`'s Request fits. Times in Unix seconds UTC."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def agency(self) -> str: ...  # noqa: D102
    @property
    def case(self) -> str: ...  # noqa: D102
    @property
    def offense(self) -> str: ...  # noqa: D102
    @property
    def area(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def from_(self) -> int: ...  # noqa: D102
    @property
    def to(self) -> int: ...  # noqa: D102
    @property
    def msg(self) -> str: ...  # noqa: D102
    @property
    def contact(self) -> str: ...  # noqa: D102
    @property
    def expires(self) -> int: ...  # noqa: D102
    @property
    def at(self) -> int: ...  # noqa: D102
    @property
    def emergency(self) -> bool: ...  # noqa: D102
    @property
    def wide_reason(self) -> str: ...  # noqa: D102


class AgencyLike(Protocol):
    """What the rules read of an agency's record, as of the request's log index (design.md 9.1)."""

    @property
    def agency(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def federal(self) -> bool: ...  # noqa: D102
    @property
    def active(self) -> bool: ...  # noqa: D102
    @property
    def jurisdiction(self) -> Collection[str]: ...  # noqa: D102
    @property
    def officer_keys(self) -> Collection[str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """A plain RequestLike, for drafts that are no signed document yet."""

    id: str
    agency: str
    case: str
    offense: str
    area: tuple[str, ...]
    from_: int
    to: int
    msg: str
    contact: str
    expires: int
    at: int
    emergency: bool = False
    wide_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyFacts:
    """A plain AgencyLike. `jurisdiction`: compacted H3 cells; `officer_keys`: key ids computed from the public keys."""

    agency: str
    state: str
    jurisdiction: Collection[str]
    officer_keys: Collection[str]
    federal: bool = False
    active: bool = True


@dataclass(frozen=True, slots=True)
class Allowance:
    """One agency may ask here though federal or of another state, from `effective_at` on, as logged at `logged_at`."""

    agency: str
    logged_at: int
    effective_at: int


@dataclass(frozen=True, slots=True)
class HubPolicy:
    """Whom this hub serves: agencies of `state`, and those on the logged list."""

    state: str
    allow: tuple[Allowance, ...] = ()
    notice_s: int = POLICY_NOTICE_S

    def allows(self, agency: str, at: int) -> bool:
        """Tell whether an allowance that was logged early enough is in force at `at`."""
        return any(
            one.agency == agency and one.effective_at - one.logged_at >= self.notice_s and one.effective_at <= at
            for one in self.allow
        )


@dataclass(frozen=True, slots=True)
class Assembly:
    """A listed assembly: H3 cells of any resolution up to 9, and its time in Unix seconds UTC."""

    area: Collection[str]
    from_: int
    to: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """A published request as far as counting goes. `withdrawn` (also: resolved) changes nothing there: such ones count.

    `extended`: its one extension has come, and `expires` is the end that this gave it.
    """

    id: str
    agency: str
    case: str
    area: tuple[str, ...]
    at: int
    expires: int
    withdrawn: bool = False
    extended: bool = False


def _window(request: RequestLike) -> Iterable[Violation]:
    length = request.to - request.from_
    if length < WINDOW_MIN_S:
        yield Violation("window.short", CAP_RULES["window.short"], "widen the window to 15 minutes", f"{length} s")
    if length > WINDOW_MAX_S:
        hint = "narrow the window to 12 hours; a second request can cover another part"
        yield Violation("window.long", CAP_RULES["window.long"], hint, f"{length} s")
    if request.to > request.at + CLOCK_TOLERANCE_S:
        hint = "ask after the time has passed"
        yield Violation("window.future", CAP_RULES["window.future"], hint, f"{request.to - request.at} s ahead")
    if request.expires - request.at > EXPIRY_MAX_S:
        life = f"{(request.expires - request.at) / DAY:.1f} days"
        yield Violation("expiry.long", CAP_RULES["expiry.long"], "let it expire within 14 days", life)


def _shape(request: RequestLike) -> Iterable[Violation]:
    cells = request.area
    for cell in cells:
        if not is_cell(cell) or h3.get_resolution(cell) != areas.RESOLUTION:
            yield Violation("area.cell", CAP_RULES["area.cell"], "use uncompacted cells of resolution 9", cell)
            return
    if list(cells) != sorted(set(cells)):
        yield Violation("area.order", CAP_RULES["area.order"], "sort the cells and name each once")
    count = len(set(cells))
    if count < AREA_MIN:
        hint = "draw the area larger: a small one points at a house"
        yield Violation("area.small", CAP_RULES["area.small"], hint, f"{count} cells")
    most = AREA_MAX
    if request.wide_reason:
        most = AREA_MAX_SPARSE if request.wide_reason == SPARSE_REASON else AREA_MAX_WIDE
    if count > most:
        hint = "draw the area smaller" if request.wide_reason else "draw it smaller, or have a supervisor give a reason"
        yield Violation("area.large", CAP_RULES["area.large"], hint, f"{count} cells, {most} at most")
    elif count and not areas.is_connected(cells):
        yield Violation("area.connected", CAP_RULES["area.connected"], "make one piece of it, or two requests")


def _dwellings(cells: tuple[str, ...], wide_reason: str, dwellings: areas.Dwellings) -> Iterable[Violation]:
    total = dwellings(cells)
    if total < DWELLINGS_MIN:
        hint = f'draw the area larger, with the reason "{SPARSE_REASON}" past 12 cells'
        yield Violation("area.dwellings", CAP_RULES["area.dwellings"], hint, f"{total} dwellings")
    if wide_reason == SPARSE_REASON and len(cells) > AREA_MAX:
        densest = sum(sorted((dwellings((cell,)) for cell in cells), reverse=True)[:AREA_MAX])
        if densest >= DWELLINGS_MIN:
            hint = "12 cells are enough here, or have a supervisor give another reason"
            yield Violation("area.sparse", CAP_RULES["area.sparse"], hint, f"{densest} dwellings in 12 cells")


def _standing(request: RequestLike, agency: AgencyLike, policy: HubPolicy) -> Iterable[Violation]:
    if request.agency != agency.agency:
        yield Violation("standing.agency", CAP_RULES["standing.agency"], "", f"{request.agency}, {agency.agency}")
    if not agency.active:
        hint = "turn to the hub's keepers"
        yield Violation("standing.active", CAP_RULES["standing.active"], hint, agency.agency)
    if not policy.allows(agency.agency, request.at):
        hint = "the hub can allow it by a policy that is in the log 24 hours before it counts"
        if agency.federal:
            yield Violation("standing.federal", CAP_RULES["standing.federal"], hint, agency.agency)
        elif agency.state != policy.state:
            yield Violation("standing.state", CAP_RULES["standing.state"], hint, agency.state)


def _signers(signers: Sequence[str], agency: AgencyLike) -> Iterable[Violation]:
    known = set(agency.officer_keys)
    strangers = [kid for kid in signers if kid not in known]
    if strangers:
        hint = "sign with the keys that the log lists for this agency now"
        yield Violation("signers.unknown", CAP_RULES["signers.unknown"], hint, strangers[0])
    if len(known.intersection(signers)) < SIGNERS_MIN:
        yield Violation("signers.two", CAP_RULES["signers.two"], "let a second officer approve and sign")


def _texts(request: RequestLike) -> Iterable[Violation]:
    yield from wording.check_message(request.msg, case=request.case)
    yield from wording.check_contact(request.contact)
    if request.wide_reason and request.wide_reason != SPARSE_REASON:
        yield from wording.check_reason(request.wide_reason, case=request.case)
    # A case number is an agency's own text as well, and as public as the rest.
    purpose = wording.forbidden_purpose(request.case)
    if purpose:
        yield purpose


def check_published(request: RequestLike, *, signers: Sequence[str], agency: AgencyLike, now: int, policy: HubPolicy) -> Verdict:
    """Check everything that a home or a monitor can check by itself, whatever the hub says.

    `signers`: ids computed from the public keys whose signatures over the request verified. `agency`: its record as of the
    request's log index. `now` only refuses a request from the future; one that has expired is still sound.
    """
    violations = [
        *offenses.check_offense(request.offense),
        *_texts(request),
        *_window(request),
        *_shape(request),
        *_standing(request, agency, policy),
        *_signers(signers, agency),
    ]
    if request.at > now + CLOCK_TOLERANCE_S:
        hint = "check this machine's clock"
        violations.append(Violation("time.future", CAP_RULES["time.future"], hint, f"{request.at - now} s ahead"))
    if not any(violation.rule == "area.cell" for violation in violations):
        strays = areas.outside(request.area, agency.jurisdiction)
        if strays:
            hint = "draw the area inside the jurisdiction, or ask the neighbouring agency to ask"
            found = f"{len(strays)} cells outside, such as {strays[0]}"
            violations.append(Violation("area.jurisdiction", CAP_RULES["area.jurisdiction"], hint, found))
    flags = []
    if request.emergency:
        flags.append(Flag("emergency_lane", CAP_RULES["emergency_lane"]))
    if len(request.area) > AREA_MAX:
        flags.append(Flag("wide_area", CAP_RULES["wide_area"]))
    return Verdict(tuple(violations), tuple(flags))


def check_age(request: RequestLike, *, now: int, most: int) -> list[Violation]:
    """Refuse a request dated over `most` seconds before `now`: the caps in any 7 days count by that date (`check_live`)."""
    age = now - request.at
    if age <= most:
        return []
    hint = "draft it anew, with a date of today"
    return [Violation("time.stale", CAP_RULES["time.stale"], hint, f"{age / DAY:.1f} days old")]


def overlaps(request: RequestLike, assembly: Assembly) -> bool:
    """Tell whether a request touches a listed assembly in place and time."""
    in_time = assembly.from_ < request.to and request.from_ < assembly.to
    return in_time and len(areas.outside(request.area, assembly.area)) < len(request.area)


def check_request(
    request: RequestLike,
    *,
    now: int,
    signers: Sequence[str],
    agency: AgencyLike,
    policy: HubPolicy,
    dwellings: areas.Dwellings | None = None,
    assemblies: Iterable[Assembly] = (),
) -> Verdict:
    """Check what a hub checks before it publishes: all of `check_published`, its dwellings file and its calendar.

    `dwellings`: how many dwellings stand in some cells, by the operator's census file; None leaves a flag that the hub must
    publish. Also the requests alive count: see `check_live`.
    """
    verdict = check_published(request, signers=signers, agency=agency, now=now, policy=policy)
    violations, flags = list(verdict.violations), list(verdict.flags)
    violations.extend(check_age(request, now=now, most=APPROVED_WITHIN_S))
    if request.expires <= now:
        violations.append(Violation("expiry.past", CAP_RULES["expiry.past"], "set a later expiry"))
    sound = not {"area.cell", "area.order", "area.large"}.intersection(verdict.rules)
    if dwellings is None:
        flags.append(Flag("dwellings_unchecked", CAP_RULES["dwellings_unchecked"]))
        if request.wide_reason == SPARSE_REASON and len(request.area) > AREA_MAX:
            hint = "without a file of dwellings nobody can tell; have a supervisor give another reason"
            violations.append(Violation("area.sparse", CAP_RULES["area.sparse"], hint))
    elif sound:
        violations.extend(_dwellings(request.area, request.wide_reason, dwellings))
    if sound:
        for assembly in assemblies:
            if overlaps(request, assembly):
                flags.append(Flag("assembly_overlap", CAP_RULES["assembly_overlap"]))
                break
    return Verdict(tuple(violations), tuple(flags))


def check_live(request: RequestLike, others: Iterable[LiveRequest], *, now: int) -> list[Violation]:
    """Count `request` against the agency's published ones: per case, and per place in any 7 days.

    `others`: at least every published request of the agency whose `at` lies within 7 days of `request.at`, or that has not
    expired. Withdrawn ones count: withdrawing and asking anew is no way round.
    """
    found = []
    case_count = 0
    times: dict[str, list[int]] = defaultdict(list)
    places = {h3.cell_to_parent(cell, 8) for cell in request.area}
    for other in others:
        if other.id == request.id:
            found.append(Violation("live.duplicate", CAP_RULES["live.duplicate"], "draw a new id", request.id))
            continue
        if other.agency != request.agency:
            continue
        case_count += other.case == request.case and other.expires > now
        if abs(other.at - request.at) < CELL8_SPAN_S:
            for place in places.intersection(h3.cell_to_parent(cell, 8) for cell in other.area):
                times[place].append(other.at)
    if case_count >= CASE_LIVE_MAX:
        hint = "wait until one of them would have expired"
        found.append(Violation("live.case", CAP_RULES["live.case"], hint, f"{case_count} live"))
    for place in sorted(times):
        if _crowded([*times[place], request.at], request.at):
            hint = "wait until 7 days have passed since the earlier of the two"
            found.append(Violation("live.cell", CAP_RULES["live.cell"], hint, place))
            break
    return found


def _crowded(moments: list[int], own: int) -> bool:
    """Tell whether some 7 days that include `own` hold more requests than allowed."""
    moments.sort()
    return any(
        last - first < CELL8_SPAN_S and first <= own <= last for first, last in zip(moments, moments[CELL8_MAX:], strict=False)
    )


def emergency_review_due(published_at: int) -> int:
    """Return when an unreviewed emergency request is withdrawn by the hub (design.md 9.8)."""
    return published_at + EMERGENCY_REVIEW_S
