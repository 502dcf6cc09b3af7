"""Requests: the list, writing one with its rules told as one writes, and one with its signatures, its proof and its end."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from fairwitness_core.model.request import MODES
from fairwitness_core.rules import caps
from fairwitness_core.rules.area import AREA_MAX, AREA_MIN
from fairwitness_core.wire.errors import ProtocolError
from fairwitness_core.wire.fields import is_cell

from fairwitness.agency.errors import Detail, RefusedWhole
from fairwitness.agency.models import AuditRecord, Case, Officer, Request, RequestChange
from fairwitness.agency.services import cases, changes, drafting, node, officers, requests
from fairwitness.agency.views.people import me
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused
from fairwitness.kit.offenses import spoken

_PER_PAGE = 25
_MILE2_PER_KM2 = 0.386102
_DAY = 86400
DAYS = (1, 3, 5, 7, 10, 14)

FILTERS: dict[str, tuple[Promise, tuple[str, ...]]] = {
    "open": (gettext_lazy("Open"), ("draft", "returned", "approved", "submitted", "published")),
    "live": (gettext_lazy("Live"), ("published",)),
    "over": (gettext_lazy("Over"), ("refused", "withdrawn", "expired", "resolved")),
}
OUTCOMES: dict[str, Promise] = {
    "solved_with_footage": gettext_lazy("Solved, with the help of footage that neighbours gave"),
    "solved_otherwise": gettext_lazy("Solved by other means"),
    "not_solved": gettext_lazy("Not solved; we ask for nothing more"),
    "withdrawn_by_victim": gettext_lazy("The person harmed does not pursue it any more"),
    "unfounded": gettext_lazy("Nothing unlawful had happened"),
}
MISSING: dict[str, Promise] = {
    "area": gettext_lazy("Draw the area on the map."),
    "window": gettext_lazy("Say from when to when it happened."),
    "msg": gettext_lazy("Say what happened and what to look for."),
    "contact": gettext_lazy("Name somebody to turn to."),
    "modes": gettext_lazy("Allow at least one way to answer."),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """The form as it was typed, so that no refusal loses a word of it."""

    area: str = "[]"
    from_: str = ""
    to: str = ""
    msg: str = ""
    contact: str = ""
    days: int = 7
    modes: tuple[str, ...] = MODES
    emergency: bool = False
    wide: str = ""
    wide_reason: str = ""

    @classmethod
    def of_post(cls, post: QueryDict) -> "Typed":
        """Read a posted form."""
        days = post.get("days", "")
        return cls(
            area=post.get("area", "[]")[:4000],
            from_=post.get("from", "")[:12],
            to=post.get("to", "")[:12],
            msg=post.get("msg", "")[:5000].replace("\r\n", "\n").strip(),
            contact=post.get("contact", "")[:500].strip(),
            days=int(days) if days.isascii() and days.isdigit() and len(days) < 4 else 7,
            modes=tuple(mode for mode in MODES if mode in post.getlist("modes")),
            emergency=post.get("emergency") == "on",
            wide=post.get("wide", "")[:10],
            wide_reason=post.get("wide_reason", "")[:2000].strip(),
        )

    @classmethod
    def of_request(cls, found: Request) -> "Typed":
        """Return the form that an earlier request would have been typed into."""
        document = requests.document_of(found)
        sparse = document.wide_reason == caps.SPARSE_REASON
        days = max(1, round((document.expires - document.at) / _DAY))
        return cls(
            area=json.dumps(list(document.area)),
            from_=str(document.from_),
            to=str(document.to),
            msg=document.msg,
            contact=document.contact,
            days=min(DAYS, key=lambda one: abs(one - days)),
            modes=document.modes,
            emergency=document.emergency,
            wide="sparse" if sparse else "reason" if document.wide_reason else "",
            wide_reason="" if sparse else document.wide_reason,
        )

    def cells(self) -> tuple[str, ...]:
        """Return the cells that are drawn; what is no cell is left out."""
        try:
            found = json.loads(self.area)
        except (ValueError, RecursionError):
            return ()
        return tuple(sorted({cell for cell in found if is_cell(cell)})) if isinstance(found, list) else ()

    def draft(self, now: int) -> requests.Draft:
        """Return it as the services take it; what is empty or no number is 0."""
        reason = {"sparse": caps.SPARSE_REASON, "reason": self.wide_reason}.get(self.wide, "")
        return requests.Draft(
            area=self.cells(),
            from_=_seconds(self.from_),
            to=_seconds(self.to),
            msg=self.msg,
            contact=self.contact,
            expires=now + self.days * _DAY,
            modes=self.modes,
            emergency=self.emergency,
            wide_reason=reason,
        )


def _seconds(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0


@gate.require("officer", "supervisor", "technician")
@never_cache
@require_safe
def listing(request: HttpRequest) -> HttpResponseBase:
    """List the requests of one's cases, with filters."""
    officer = me(request)
    shown, whose = request.GET.get("show", "open"), request.GET.get("whose", "")
    found = requests.listing(officer)
    waiting = requests.waiting_for(officer).count()
    if whose == "waiting":
        found = requests.waiting_for(officer)
    elif whose == "mine":
        found = found.filter(drafted_by=officer)
    if shown in FILTERS and whose != "waiting":
        found = found.filter(state__in=FILTERS[shown][1])
    page = Paginator(found, _PER_PAGE).get_page(request.GET.get("page"))
    rows = [{"one": one, "document": requests.document_of(one), "offense": _offense(one)} for one in page]
    context = {
        "page": page,
        "rows": rows,
        "shown": shown if shown in FILTERS else "all",
        "whose": whose,
        "filters": [(name, label) for name, (label, _states) in FILTERS.items()],
        "waiting": waiting,
        "may_ask": officer.user.role in officers.SIGNERS,
        "anything": requests.listing(officer).exists(),
    }
    return render(request, "agency/requests.html", context)


@gate.require("officer", "supervisor", per_object=True)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, case_id: int) -> HttpResponseBase:
    """Write a request for a case."""
    officer = me(request)
    return _write(request, officer, cases.seen_by(officer, case_id), None)


@gate.require("officer", "supervisor", per_object=True)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Write a request anew after an earlier one: one that came back, a draft, or one that is over."""
    officer = me(request)
    found = requests.seen_by(officer, request_id)
    return _write(request, officer, found.case, found)


@gate.require("officer", "supervisor", per_object=True)
@never_cache
@require_POST
def check(request: HttpRequest, case_id: int) -> HttpResponseBase:
    """Say what the rules say of what is typed so far: the parts of the form that tell it. Nothing is stored."""
    officer = me(request)
    case = cases.seen_by(officer, case_id)
    return render(request, "agency/request_check.html", _told(officer, case, Typed.of_post(request.POST)) | {"oob": True})


def _write(request: HttpRequest, officer: Officer, case: Case, old: Request | None) -> HttpResponseBase:
    problem: Refused | None = None
    typed = Typed.of_request(old) if old else Typed()
    if request.method == "POST":
        typed = Typed.of_post(request.POST)
        if "look" not in request.POST:
            try:
                made = _drafted(officer, case, old, typed)
            except (Refused, ProtocolError) as error:
                problem = _refused(error)
            else:
                messages.success(request, _("Drafted and signed by you. A supervisor who is somebody else approves it now."))
                return HttpResponseRedirect(reverse("agency_request", args=[made.id]))
    lat, lon = drafting.centre()
    cells = list(typed.cells())
    drawn: dict[str, Any] = {"areas": [{"cells": cells}]} if cells else {"view": {"lat": lat, "lon": lon, "zoom": 13.5}}
    context = _told(officer, case, typed) | {
        "old": old,
        "problem": problem,
        "drawn": drawn,
        "days": DAYS,
        "collect": node.settings().emergency_collect_seconds,
        "review": caps.EMERGENCY_REVIEW_S,
    }
    return render(request, "agency/request_new.html", context, status=problem.status if problem else 200)


def _drafted(officer: Officer, case: Case, old: Request | None, typed: Typed) -> Request:
    draft = typed.draft(clock.now())
    looked = drafting.look(officer, case, draft)
    if looked.missing:
        details = [Detail(name, str(MISSING[name])) for name in looked.missing]
        details += [Detail(v.rule, _(v.message), _(v.hint) if v.hint else "") for found in looked.found.values() for v in found]
        raise RefusedWhole(400, "request.missing", _("Something is missing. Nothing that you typed is lost."), "", details)
    return drafting.redraft(officer, old, draft) if old else requests.draft(officer, case, draft)


def _told(officer: Officer, case: Case, typed: Typed) -> dict[str, Any]:
    """Return what the form's live parts show."""
    settings = node.settings()
    draft = typed.draft(clock.now())
    looked = drafting.look(officer, case, draft)
    imperial = settings.units == "imperial"
    return {
        "case": case,
        "offense": spoken(case.offense),
        "typed": typed,
        "draft": draft,
        "looked": looked,
        "missing": [MISSING[name] for name in looked.missing],
        "count": sum(len(found) for found in looked.found.values()),
        "size": looked.km2 * _MILE2_PER_KM2 if imperial else looked.km2,
        "imperial": imperial,
        "census": bool(settings.census_file),
        "window": draft.to - draft.from_ if draft.from_ and draft.to > draft.from_ else 0,
        "least": AREA_MIN,
        "most": AREA_MAX,
        "bytes": len(typed.msg.encode()),
        "agency_name": settings.name,
    }


@gate.require("officer", "supervisor", "technician", per_object=True)
@never_cache
@require_safe
def one(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Show a request."""
    officer = me(request)
    return _one(request, officer, requests.seen_by(officer, request_id))


@gate.require("supervisor", per_object=True)
@never_cache
@require_POST
def approve(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Sign a draft as its second officer and submit it."""

    def act(officer: Officer, found: Request) -> str:
        done = requests.approve(officer, found)
        if done.state == "approved":
            return _("Signed. The hub cannot be reached just now; it is submitted by itself as soon as it can be.")
        return _("Signed by both. The hub's moderator has it now.")

    return _act(request, request_id, act)


@gate.require("supervisor", per_object=True)
@never_cache
@require_POST
def give_back(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Return a draft to its drafter with a note."""

    def act(officer: Officer, found: Request) -> str:
        drafting.give_back(officer, found, request.POST.get("note", ""))
        return _("It is back with %(name)s, with your note.") % {"name": found.drafted_by.user.display_name}

    return _act(request, request_id, act)


@gate.require("officer", "supervisor", per_object=True)
@never_cache
@require_POST
def withdraw(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """End a request early."""

    def act(officer: Officer, found: Request) -> str:
        requests.withdraw(officer, found)
        return _("Withdrawn. Nobody is asked any more.")

    return _act(request, request_id, act)


@gate.require("officer", "supervisor", per_object=True)
@never_cache
@require_POST
def extend(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Propose that a live request lives longer."""

    def act(officer: Officer, found: Request) -> str:
        changes.extend(officer, found, _seconds(request.POST.get("expires", "")), request.POST.get("reason", "").strip())
        return _("Proposed and signed by you. A supervisor who is somebody else approves it now.")

    return _act(request, request_id, act)


@gate.require("officer", "supervisor", per_object=True)
@never_cache
@require_POST
def decide(request: HttpRequest, request_id: str, change_id: int) -> HttpResponseBase:
    """Approve a proposed extension, or drop it."""

    def act(officer: Officer, found: Request) -> str:
        change = changes.get(found, change_id)
        if request.POST.get("act") == "drop":
            changes.drop(officer, change)
            return _("The proposed extension is dropped; nobody outside saw it.")
        changes.approve(officer, change)
        return _("Signed by both. The new end counts once the log shows it.")

    return _act(request, request_id, act)


@gate.require("officer", "supervisor", per_object=True)
@never_cache
@require_POST
def resolve(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Say what came of a request."""

    def act(officer: Officer, found: Request) -> str:
        changes.resolve(officer, found, request.POST.get("outcome", ""), request.POST.get("words", "").strip())
        return _("Signed. Every home that saw the request shows the outcome once the log has it.")

    return _act(request, request_id, act)


def _act(request: HttpRequest, request_id: str, act: Any) -> HttpResponseBase:
    """Do something with a request and show it again; a refusal keeps what was typed."""
    officer = me(request)
    found = requests.seen_by(officer, request_id)
    try:
        said = act(officer, found)
    except (Refused, ProtocolError) as error:
        found.refresh_from_db()
        return _one(request, officer, found, _refused(error))
    messages.success(request, said)
    return HttpResponseRedirect(reverse("agency_request", args=[found.id]))


def _refused(error: Refused | ProtocolError) -> Refused:
    return error if isinstance(error, Refused) else Refused(400, error.code, error.message, error.hint)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a request's history: what, when (None while it is awaited), who, words, and the proof of its log entry."""

    what: str
    at: int | None = None
    who: str = ""
    words: str = ""
    seen: requests.Witnessed | None = None
    mood: str = field(default="")


def _one(request: HttpRequest, officer: Officer, found: Request, problem: Refused | None = None) -> HttpResponseBase:
    document = requests.document_of(found)
    signer = officer.user.role in officers.SIGNERS
    proposed = found.changes.filter(state="draft").select_related("drafted_by__user").first()
    outcome, longer = changes.outcome_of(found), changes.extension_of(found)
    mine, supervisor = found.drafted_by_id == officer.pk, officer.user.role == "supervisor"
    latest = changes.latest_end(found)
    context = {
        "found": found,
        "document": document,
        "offense": _offense(found),
        "agency_name": node.settings().name,
        "drawn": {"areas": [{"cells": list(document.area), "kind": "request" if found.state == "published" else "past"}]},
        "window": document.to - document.from_,
        "steps": _history(found),
        "responses": found.responses.count(),
        "responses_href": _href("agency_responses", found.id) or _href("agency_case", found.case_id),
        "problem": problem,
        "typed": request.POST if problem else {},
        "rules": _verdict(officer, found) if supervisor and not mine and found.state == "draft" else None,
        "proposed": proposed,
        "proposal": changes.extension(proposed) if proposed else None,
        "outcome": changes.outcome(outcome) if outcome else None,
        "outcome_name": OUTCOMES[changes.outcome(outcome).outcome] if outcome else "",
        "outcomes": OUTCOMES.items(),
        "latest": latest,
        "left": max(0, found.expires_at - clock.now()),
        "mine": mine,
        "may_approve": supervisor and not mine and found.state == "draft",
        "may_edit": signer and found.state in ("draft", "returned", "refused", "withdrawn", "expired"),
        "may_withdraw": signer and found.state in (*requests.UNSIGNED, *requests.LIVE) and outcome is None,
        "may_extend": signer and found.state == "published" and longer is None and outcome is None
        and latest > found.expires_at,
        "may_resolve": signer and found.state in changes.RESOLVABLE and found.log_index is not None and outcome is None,
        "may_decide": supervisor and proposed is not None and proposed.drafted_by_id != officer.pk,
        "may_drop": signer and proposed is not None,
        "moving": found.state in ("approved", "submitted") or found.changes.filter(state__in=("approved", "sent")).exists(),
        "refusals": _refusals(found),
    }  # fmt: skip
    return render(request, "agency/request.html", context, status=problem.status if problem else 200)


def _verdict(officer: Officer, found: Request) -> dict[str, Any]:
    """Return what the rules say of a draft now, for the second officer who is about to sign it."""
    document = requests.document_of(found)
    draft = requests.Draft(
        area=document.area, from_=document.from_, to=document.to, msg=document.msg, contact=document.contact,
        expires=document.expires, modes=document.modes, emergency=document.emergency, wide_reason=document.wide_reason,
    )  # fmt: skip
    try:
        looked = drafting.look(officer, found.case, draft)
    except Refused as error:
        return {"violations": [error], "flags": ()}
    return {"violations": [v for some in looked.found.values() for v in some], "flags": looked.flags}


def _refusals(found: Request) -> list[tuple[str, str]]:
    """Return (rule, sentence) of each reason that a request was refused for, from what the hub said."""
    rules = []
    for part in found.refusal.split("; ") if found.refusal else []:
        code, _colon, sentence = part.partition(": ")
        rules.append((code, sentence or caps.CAP_RULES.get(code, "")))
    return rules


def _href(name: str, *arguments: object) -> str:
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""


def _offense(found: Request) -> str:
    return spoken(found.case.offense)


def _history(found: Request) -> list[Step]:
    """Return what happened to a request, in order, and what is awaited."""
    acts: dict[str, AuditRecord] = {
        row.action: row for row in AuditRecord.objects.filter(subject=f"request {found.id}").order_by("id")
    }
    steps = [Step(_("Drafted and signed"), found.created_at, found.drafted_by.user.display_name)]
    if found.replaces_id:
        steps[0] = replace(steps[0], what=_("Written anew after an earlier draft, and signed"))
    if found.returned_by is not None:
        who = found.returned_by.user.display_name
        steps.append(Step(_("Returned with a note"), found.returned_at, who, found.return_note, mood="bad"))
    if found.approved_by is not None:
        signed = acts.get("request.approved")
        steps.append(Step(_("Approved and signed"), signed.at if signed else None, found.approved_by.user.display_name))
    elif found.state == "draft":
        steps.append(Step(_("Waits for a second officer"), mood="waiting"))
    if found.state == "approved":
        steps.append(Step(_("On its way to the hub"), mood="waiting"))
    if found.state == "submitted":
        steps.append(Step(_("With the hub's moderator"), mood="waiting"))
    seen = requests.witnessed(found.proof, found.envelope)
    if found.log_index is not None:
        steps.append(Step(_("Public"), seen.at if seen else None, seen=seen))
    for change in found.changes.exclude(state="dropped").select_related("drafted_by__user", "approved_by__user"):
        steps += _changed(change)
    ended = acts.get("request.withdrawn")
    if found.state == "withdrawn":
        who = officers.names().get(ended.actor, ended.actor) if ended else _("the hub")
        steps.append(Step(_("Withdrawn"), found.ended_at, who, mood="bad"))
    elif found.state == "refused":
        steps.append(Step(_("Refused"), found.ended_at, mood="bad"))
    elif found.state == "replaced":
        steps.append(Step(_("Replaced by a new draft"), found.ended_at))
    elif found.state == "expired" or (found.state == "resolved" and found.ended_at == found.expires_at):
        steps.append(Step(_("Expired"), found.ended_at))
    elif found.state == "published":
        steps.append(Step(_("Ends by itself"), found.expires_at, mood="waiting"))
    return steps


def _changed(change: RequestChange) -> list[Step]:
    who = change.drafted_by.user.display_name
    seen = requests.witnessed(change.proof, change.envelope)
    if change.kind == changes.EXTENDED:
        first = Step(_("A later end proposed and signed"), change.at, who, changes.extension(change).reason)
        name = change.approved_by.user.display_name if change.approved_by else ""
        what, mood = {
            "draft": (_("The later end waits for a second officer"), "waiting"),
            "logged": (_("The later end is public"), ""),
            "refused": (_("The later end was refused"), "bad"),
        }.get(change.state, (_("The later end is on its way into the log"), "waiting"))
        return [first, Step(what, seen.at if seen else None, name, change.refusal, seen, mood)]
    said = changes.outcome(change)
    words = f"{OUTCOMES[said.outcome]}. {said.words}".strip()
    first = Step(_("Outcome stated and signed"), change.at, who, words)
    what, mood = {
        "logged": (_("The outcome is public"), ""),
        "refused": (_("The outcome was refused"), "bad"),
    }.get(change.state, (_("The outcome is on its way into the log"), "waiting"))
    return [first, Step(what, seen.at if seen else None, "", change.refusal, seen, mood)]
