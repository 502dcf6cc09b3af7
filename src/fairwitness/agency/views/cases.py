"""Cases: the list, a new one, and one with its people, notes, requests and what happened in it."""

from collections import Counter
from dataclasses import dataclass

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from fairwitness_core.rules.offenses import GROUP_A, PREFIX, check_offense
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import AuditRecord, Case, Officer, Request
from fairwitness.agency.services import audit, cases, officers, requests
from fairwitness.agency.views.people import me
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused
from fairwitness.kit.offenses import spoken

_PER_PAGE = 25
_HAPPENED = 100


@dataclass(frozen=True, slots=True)
class Offense:
    """One entry of the list: `code` as officers say it (240), `name`, and `value`, what the field holds."""

    code: str
    name: str

    @property
    def value(self) -> str:
        """The code and the name, by which the list is searched."""
        return f"{self.code} {self.name}"


def offenses() -> list[Offense]:
    """Return the offences that a case may name, by code."""
    return [Offense(code.removeprefix(PREFIX), spoken(code)) for code in sorted(GROUP_A) if not check_offense(code)]


@gate.require("officer", "supervisor", "technician")
@never_cache
@require_safe
def listing(request: HttpRequest) -> HttpResponseBase:
    """List one's cases, searched by number, title and offence."""
    officer = me(request)
    words = request.GET.get("q", "")[:100]
    found = cases.search(officer, words).select_related("opened_by__user")
    page = Paginator(found, _PER_PAGE).get_page(request.GET.get("page"))
    shown = list(page)
    live = Counter(Request.objects.filter(case__in=shown, state__in=requests.LIVE).values_list("case_id", flat=True))
    rows = [{"case": one, "offense": spoken(one.offense), "live": live[one.pk]} for one in shown]
    context = {"page": page, "rows": rows, "words": words, "may_open": officer.user.role in officers.SIGNERS}
    return render(request, "agency/cases.html", context)


@gate.require("officer", "supervisor")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponseBase:
    """Open a case."""
    problem: Refused | None = None
    if request.method == "POST":
        code = request.POST.get("offense", "").split(" ", 1)[0][:8]
        try:
            made = cases.open_case(
                me(request), request.POST.get("number", "").strip(), PREFIX + code, request.POST.get("title", "").strip()
            )
        except (Refused, ProtocolError) as error:
            problem = as_refused(error)
        else:
            messages.success(request, _("Case %(number)s is open.") % {"number": made.number})
            return HttpResponseRedirect(reverse("agency_case", args=[made.pk]))
    context = {"problem": problem, "typed": request.POST, "offenses": offenses()}
    return render(request, "agency/case_new.html", context, status=problem.status if problem else 200)


@gate.require("officer", "supervisor", "technician", per_object=True)
@never_cache
@require_safe
def case(request: HttpRequest, case_id: int) -> HttpResponseBase:
    """Show a case."""
    officer = me(request)
    return _case(request, officer, cases.seen_by(officer, case_id))


@gate.require("officer", "supervisor", "technician", per_object=True)
@never_cache
@require_POST
def write(request: HttpRequest, case_id: int) -> HttpResponseBase:
    """Write a note."""
    officer = me(request)
    found = cases.seen_by(officer, case_id)
    try:
        cases.write_note(officer, found, request.POST.get("text", ""))
    except (Refused, ProtocolError) as error:
        return _case(request, officer, found, as_refused(error))
    return HttpResponseRedirect(reverse("agency_case", args=[case_id]) + "#notes")


@gate.require("officer", "supervisor", "technician", per_object=True)
@never_cache
@require_POST
def strike(request: HttpRequest, case_id: int, note_id: int) -> HttpResponseBase:
    """Strike a note through."""
    officer = me(request)
    cases.strike_note(officer, cases.seen_by(officer, case_id), note_id)
    return HttpResponseRedirect(reverse("agency_case", args=[case_id]) + "#notes")


@gate.require("officer", "supervisor", "technician", per_object=True)
@never_cache
@require_POST
def add_member(request: HttpRequest, case_id: int) -> HttpResponseBase:
    """Let a colleague work on the case."""
    officer = me(request)
    found = cases.seen_by(officer, case_id)
    try:
        other = officers.by_name(request.POST.get("username", "")[:40])
        cases.add_member(officer, found, other)
    except Refused as error:
        return _case(request, officer, found, error)
    messages.success(request, _("%(name)s works on this case now.") % {"name": other.user.display_name})
    return HttpResponseRedirect(reverse("agency_case", args=[case_id]) + "#people")


@gate.require("officer", "supervisor", "technician", per_object=True)
@never_cache
@require_POST
def remove_member(request: HttpRequest, case_id: int) -> HttpResponseBase:
    """End a colleague's work on the case, or one's own."""
    officer = me(request)
    found = cases.seen_by(officer, case_id)
    try:
        other = officers.by_name(request.POST.get("username", "")[:40])
        cases.remove_member(officer, found, other)
    except Refused as error:
        return _case(request, officer, found, error)
    messages.success(request, _("%(name)s no longer works on this case.") % {"name": other.user.display_name})
    if not cases.may_see(officer, found):
        return HttpResponseRedirect(reverse("agency_cases"))
    return HttpResponseRedirect(reverse("agency_case", args=[case_id]) + "#people")


def as_refused(error: Refused | ProtocolError) -> Refused:
    """Return an error of the core in the shape that pages show."""
    return error if isinstance(error, Refused) else Refused(400, error.code, str(error))


def _case(request: HttpRequest, officer: Officer, found: Case, problem: Refused | None = None) -> HttpResponseBase:
    who = list(cases.members(found))
    inside = {row.officer_id for row in who}
    context = {
        "case": found,
        "offense": spoken(found.offense),
        "members": who,
        "others": [one for one in officers.working() if one.pk not in inside],
        "notes": found.notes.select_related("officer__user", "struck_by__user"),
        "requests": found.requests.select_related("drafted_by__user"),
        "happened": _happened(found),
        "may_ask": officer.user.role in officers.SIGNERS,
        "problem": problem,
        "typed": request.POST if problem else {},
    }
    return render(request, "agency/case.html", context, status=problem.status if problem else 200)


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of a case's timeline: when, who, what in words, and where it leads."""

    at: int
    who: str
    words: str


def _happened(found: Case) -> list[Happening]:
    rows = list(audit.of_case(found)[:_HAPPENED])
    names = officers.names()
    return [Happening(row.at, names.get(row.actor, row.actor), _words(row, names)) for row in rows]


def _words(row: AuditRecord, names: dict[str, str]) -> str:
    about = row.subject.partition(" ")[2]
    said = {
        "case.opened": _("opened the case"),
        "case.member_added": _("added %(name)s") % {"name": names.get(about, about)},
        "case.member_removed": _("removed %(name)s") % {"name": names.get(about, about)},
        "case.note_written": _("wrote a note"),
        "case.note_struck": _("struck a note"),
    }
    return said.get(row.action) or f"{row.action.replace('.', ': ').replace('_', ' ')} {row.words}".strip()
