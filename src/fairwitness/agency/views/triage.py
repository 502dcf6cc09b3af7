"""Triage: what came in for a request, and one answer opened, judged, accepted or declined."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from fairwitness_core.model.response import Clip as SignedClip
from fairwitness_core.model.response import Manifest, StepForward
from fairwitness_core.rules import retention
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import Clip, Hold, Officer, Request, Response, Touch
from fairwitness.agency.services import cases, checks, collect, evidence, looking, requests, status, story, triage, viewing
from fairwitness.agency.views import gated
from fairwitness.agency.views.cases import as_refused
from fairwitness.agency.views.people import me
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

STAFF = ("officer", "supervisor", "technician")
DECLINE: dict[str, str | Promise] = {
    "not_shown": gettext_lazy("It does not show what we asked about"),
    "other_time": gettext_lazy("It shows another time"),
    "other_place": gettext_lazy("It shows another place"),
    "unclear": gettext_lazy("Too little can be made out"),
    "duplicate": gettext_lazy("Another answer gave the same"),
    "too_private": gettext_lazy("It shows more of other people than the case needs"),
    "solved": gettext_lazy("The case does not need it any more"),
}
_OPENABLE = ("collected", "accepted", "exported", "held")
_FILTERS: dict[str, tuple[str | Promise, tuple[str, ...]]] = {
    "waiting": (gettext_lazy("Waiting"), ("collected",)),
    "accepted": (gettext_lazy("Accepted"), ("accepted", "exported")),
    "declined": (gettext_lazy("Declined"), ("declined", "held", "destroyed")),
    "quarantine": (gettext_lazy("Quarantine"), ("quarantined",)),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A response in the queue: its number by arrival, what the rows say of it, how long it has waited and who was told."""

    number: int
    response: Response
    clips: int
    seconds: int | None
    size: int
    waits: int | None
    level: int
    step_forward: bool
    why: str | Promise


@dataclass(frozen=True, slots=True)
class Shown:
    """A clip of an opened response: its row, what its owner signed of it, and the touch that opens it."""

    clip: Clip
    signed: SignedClip | None
    touch: Touch | None


@gate.require(*STAFF, per_object=True)
@never_cache
@require_safe
def queue(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Show what came in for a request, and when answers arrive."""
    officer = me(request)
    asked = requests.seen_by(officer, request_id)
    now = clock.now()
    rows = listing(asked, now)
    chosen = request.GET.get("show", "")
    tabs = [
        {"key": key, "label": label, "count": sum(row.response.state in states for row in rows), "here": key == chosen}
        for key, (label, states) in _FILTERS.items()
    ]
    states = _FILTERS[chosen][1] if chosen in _FILTERS else ()
    context = {
        "asked": asked,
        "document": requests.document_of(asked),
        "case": asked.case,
        "rows": [row for row in rows if not states or row.response.state in states],
        "all": len(rows),
        "tabs": tabs,
        "chosen": chosen if chosen in _FILTERS else "",
        "next": collect.next_round(now),
        "every": collect.every_seconds(now),
        "live": asked.state == "published",
        "first": next((row.response for row in rows if row.response.state == "collected"), None),
    }
    return render(request, "agency/responses.html", context)


def listing(asked: Request, now: int) -> list[Row]:
    """Return a request's responses by arrival; what waits longest keeps its number."""
    found = asked.responses.prefetch_related("clips").order_by("collected_at", "id")
    return [_row(number, response, now) for number, response in enumerate(found, 1)]


def _row(number: int, response: Response, now: int) -> Row:
    clips = list(response.clips.all())
    lengths = [clip.seconds for clip in clips if clip.seconds is not None]
    waits = now - response.collected_at if response.state == "collected" else None
    return Row(
        number=number,
        response=response,
        clips=len(clips),
        seconds=sum(lengths) if len(lengths) == len(clips) and clips else None,
        size=sum(clip.size for clip in clips),
        waits=waits,
        level=retention.triage_level(response.collected_at, now) if waits is not None else 0,
        step_forward=bool(response.about),
        why=story.why_quarantined(response.reason) if response.state == "quarantined" else "",
    )


@gate.require(*STAFF, per_object=True)
@never_cache
@require_safe
def response(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Show one response: closed with its facts and checks, or opened under the purpose that was stated."""
    officer = me(request)
    return _page(request, officer, evidence.seen_by(officer, response_id))


@gate.require(*STAFF, per_object=True)
@never_cache
@require_POST
def open_response(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Open a response for a purpose: logged first, shown once the log holds it."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    purpose = request.POST.get("purpose", "").strip()
    back = _safe_page(request, found)

    def do() -> tuple[str, str]:
        seen = viewing.begin(officer, found, purpose)
        gated.state(request, found, purpose)
        if seen.state != "open":
            raise gated.Waiting(seen.logged, len(seen.targets), seen.waited)
        return back, ""

    def again(problem: Refused) -> HttpResponseBase:
        if request.POST.get("page") == "evidence":
            from fairwitness.agency.views import evidence as pages  # noqa: PLC0415 - it builds on this module

            return pages.page(request, officer, found, problem)
        return _page(request, officer, found, problem)

    return gated.act(request, do, title=_("Opening this answer"), back=back, refused=again)


@gate.require(*STAFF, per_object=True)
@never_cache
@require_POST
def accept(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Accept; logged first, and the owner is told."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    purpose = _purpose(request, found)

    def do() -> tuple[str, str]:
        triage.accept(officer, found, purpose)
        return _next_page(request, found), _("Accepted. Its owner is told, and it is evidence of this case now.")

    return _decided(request, officer, found, do, _("Accepting this answer"))


@gate.require(*STAFF, per_object=True)
@never_cache
@require_POST
def decline(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Decline with a reason; logged first, and the owner is told why."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    purpose, reason = _purpose(request, found), request.POST.get("reason", "")

    def do() -> tuple[str, str]:
        if reason not in triage.REASONS:
            raise Refused(400, "decline.reason", _("Choose why this answer is declined."))
        triage.decline(officer, found, purpose, reason=reason, words=request.POST.get("words", "").strip())
        return _next_page(request, found), _("Declined. Its owner is told why; nobody here can open it any more.")

    return _decided(request, officer, found, do, _("Declining this answer"))


def _purpose(request: HttpRequest, found: Response) -> str:
    return request.POST.get("purpose", "").strip() or gated.stated(request, found)


def _decided(
    request: HttpRequest, officer: Officer, found: Response, do: Callable[[], tuple[str, str]], title: str
) -> HttpResponseBase:
    back = reverse("agency_response", args=[found.id])
    return gated.act(request, do, title=title, back=back, refused=lambda problem: _page(request, officer, found, problem))


@gate.require(*STAFF, per_object=True)
@never_cache
@require_safe
def look(request: HttpRequest, touch_id: str) -> HttpResponseBase:
    """Show the player of an opened clip, with a filmstrip made from it in memory and kept nowhere."""
    officer = me(request)
    found = evidence.get_touch(touch_id, officer)
    context: dict[str, Any] = {
        "source": reverse("agency:touched_content", args=[found.pk]),
        "begin": _number(request.GET.get("begin", "")),
        "trim": request.GET.get("trim") == "1",
        "label": request.GET.get("label", "")[:80],
        "name": found.target,
    }
    try:
        strip = looking.strip(officer, found)
        context |= {"strip": looking.address(strip), "fps": strip.fps}
    except (Refused, ProtocolError) as error:
        problem = as_refused(error)
        if problem.code in ("touch.over", "custody.unlogged", "not_found"):
            return render(request, "agency/response_player.html", {"over": problem})
        context["without"] = problem
    return render(request, "agency/response_player.html", context)


@gate.require(*STAFF, per_object=True)
@never_cache
@require_safe
def picture(request: HttpRequest, touch_id: str) -> HttpResponseBase:
    """Show one small picture of an opened clip; it is made now and kept nowhere."""
    officer = me(request)
    found = looking.still(officer, evidence.get_touch(touch_id, officer), 1.0)
    return HttpResponse(found.jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


@gate.require(*STAFF, per_object=True)
@never_cache
@require_POST
def seen(request: HttpRequest, notice_id: int) -> HttpResponseBase:
    """Put a notice aside."""
    officer = me(request)
    notice = triage.seen(officer, notice_id)
    messages.success(request, _("Noted as read."))
    where = reverse("agency_response", args=[notice.response_id]) if notice.response_id else reverse("agency_start")
    return HttpResponseRedirect(where)


@gate.require("supervisor", "technician")
@never_cache
@require_safe
def quarantine(request: HttpRequest) -> HttpResponseBase:
    """List what failed a check, with the reason; the contents are never shown."""
    found = Response.objects.filter(state="quarantined").select_related("request__case").order_by("-collected_at")[:500]
    rows = [{"response": one, "why": story.why_quarantined(one.reason)} for one in found]
    return render(request, "agency/responses_quarantine.html", {"rows": rows})


# -- what triage and evidence share ----------------------------------------------------------------------------------------


def facts(request: HttpRequest, officer: Officer, found: Response) -> dict[str, Any]:
    """Return what every page of one response shows; opened parts only where this officer's logged touches are fresh."""
    now = clock.now()
    rows = listing(found.request, now) if found.request else []
    place = next((row.number for row in rows if row.response.pk == found.pk), 1)
    sitting = viewing.find(officer, found)
    manifest: Manifest | StepForward | None = None
    closed: Refused | None = None
    if sitting.state == "open" and (touch := sitting.of(evidence.MANIFEST)) is not None:
        try:
            manifest = evidence.signed_words(officer, touch)
        except (Refused, ProtocolError) as error:
            closed = as_refused(error)
    signed = {clip.name: clip for clip in manifest.clips} if isinstance(manifest, Manifest) else {}
    document = requests.document_of(found.request) if found.request else None
    return {
        "response": found,
        "asked": found.request,
        "case": found.request.case if found.request else None,
        "document": document,
        "number": place,
        "total": len(rows),
        "row": next((row for row in rows if row.response.pk == found.pk), None),
        "sitting": sitting,
        "opened": manifest is not None,
        "closed": closed,
        "manifest": manifest if isinstance(manifest, Manifest) else None,
        "step_forward": manifest if isinstance(manifest, StepForward) else None,
        "clips": [Shown(clip, signed.get(clip.name), sitting.of(clip.name)) for clip in found.clips.all()],
        "checks": checks.of(found, manifest),
        "steps": story.of(found),
        "told": status.history(found.id),
        "notices": found.notices.filter(seen_at=None),
        "holds": Hold.objects.filter(response=found, lifted_at=None),
        "purpose": gated.stated(request, found),
        "may_open": found.state in _OPENABLE and (found.state != "held" or officer.user.role in cases.SEE_ALL),
        "why": story.why_quarantined(found.reason) if found.state == "quarantined" else "",
        "drawn": {"areas": [{"cells": list(document.area), "label": _("The area asked about"), "kind": "request"}]}
        if document
        else {},
        "makes_known": Response.objects.filter(about=found.id).first() if not found.about else None,
    }


def _page(request: HttpRequest, officer: Officer, found: Response, problem: Refused | None = None) -> HttpResponseBase:
    context = facts(request, officer, found)
    rows = listing(found.request, clock.now()) if found.request else []
    before, after = _neighbours(rows, found)
    context |= {
        "problem": problem or context["closed"],
        "typed": request.POST,
        "before": before,
        "after": after,
        "reasons": DECLINE.items(),
        "may_decide": found.state in ("collected", "held", "accepted"),
        "chosen_reason": request.POST.get("reason", ""),
    }
    return render(request, "agency/response.html", context, status=problem.status if problem else 200)


def _neighbours(rows: list[Row], found: Response) -> tuple[Response | None, Response | None]:
    ids = [row.response.pk for row in rows]
    if found.pk not in ids:
        return None, None
    at = ids.index(found.pk)
    return rows[at - 1].response if at else None, rows[at + 1].response if at + 1 < len(rows) else None


def _next_page(request: HttpRequest, found: Response) -> str:
    """Return where to go after a decision: the next one that waits, or back to this one."""
    if request.POST.get("then") == "next" and found.request is not None:
        waiting = found.request.responses.filter(state="collected").exclude(pk=found.pk).order_by("collected_at", "id").first()
        if waiting is not None:
            return reverse("agency_response", args=[waiting.pk])
        return reverse("agency_responses", args=[found.request.pk])
    return reverse("agency_response", args=[found.pk])


def _safe_page(request: HttpRequest, found: Response) -> str:
    return reverse("agency_evidence_item" if request.POST.get("page") == "evidence" else "agency_response", args=[found.pk])


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def exportable(asked: Request) -> list[Row]:
    """Return the accepted responses of a request, with their numbers."""
    return [row for row in listing(asked, clock.now()) if row.response.state in ("accepted", "exported") and not row.step_forward]
