"""Holds, preservation demands, their end, and the use of evidence in another case."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from fairwitness.agency.models import Hold, Response
from fairwitness.agency.services import evidence, hold
from fairwitness.agency.views import evidence as pages
from fairwitness.agency.views import gated
from fairwitness.agency.views.people import me
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

_DAY = 86400
_MOST = 200


@gate.require("supervisor", "technician")
@never_cache
@require_safe
def listing(request: HttpRequest) -> HttpResponseBase:
    """Show what is held, and what is destroyed when."""
    now = clock.now()
    held = Hold.objects.filter(lifted_at=None).select_related("response__request__case", "placed_by__user")
    kept = set(held.values_list("response_id", flat=True))
    declined = Response.objects.filter(state="declined").select_related("request__case").order_by("destroy_at")[:_MOST]
    ended = Hold.objects.exclude(lifted_at=None).select_related("response__request__case").order_by("-lifted_at")[:20]
    context = {
        "held": held,
        "declined": [
            {"response": one, "days": max(0, ((one.destroy_at or now) - now) // _DAY), "kept": one.pk in kept} for one in declined
        ],
        "ended": ended,
        "is_supervisor": me(request).user.role == "supervisor",
    }
    return render(request, "agency/evidence_holds.html", context)


@gate.require("supervisor", per_object=True)
@never_cache
@require_POST
def place(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Place a legal hold or a defence's preservation demand."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    kind, reference = request.POST.get("kind", ""), request.POST.get("reference", "").strip()
    purpose = request.POST.get("purpose", "").strip()
    back = reverse("agency_evidence_item", args=[found.pk])

    def do() -> tuple[str, str]:
        evidence.check_purpose(purpose)
        hold.place(officer, found, kind, reference, purpose)
        return back + "#holds", _("It is held: nothing of it is destroyed until the hold is lifted.")

    return gated.act(
        request, do, title=_("Placing the hold"), back=back, refused=lambda problem: pages.page(request, officer, found, problem)
    )


@gate.require("supervisor", per_object=True)
@never_cache
@require_POST
def lift(request: HttpRequest, hold_id: int) -> HttpResponseBase:
    """End a hold."""
    officer = me(request)
    held = hold.get(hold_id)
    found = evidence.seen_by(officer, held.response_id)
    purpose = request.POST.get("purpose", "").strip()
    back = reverse("agency_evidence_item", args=[found.pk])

    def do() -> tuple[str, str]:
        evidence.check_purpose(purpose)
        hold.lift(officer, held, purpose)
        return back + "#holds", _("The hold has ended. A declined answer goes back to waiting for its destruction.")

    return gated.act(
        request, do, title=_("Lifting the hold"), back=back, refused=lambda problem: pages.page(request, officer, found, problem)
    )


@gate.require("supervisor", per_object=True)
@never_cache
@require_POST
def use(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Let a piece of evidence serve another case."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    posted = {name: request.POST.get(name, "").strip() for name in ("case", "purpose", "recipient", "sealed_by")}
    back = reverse("agency_evidence_item", args=[found.pk])

    def do() -> tuple[str, str]:
        if not posted["case"]:
            raise Refused(400, "use.case", _("Name the other case."))
        if found.request is not None and posted["case"] == found.request.case.number:
            raise Refused(400, "use.case", _("This is the case that it was given for."))
        evidence.use_in_case(officer, found, **posted)
        said = (
            _("Logged. Its owner is not told while the court's order holds.")
            if posted["sealed_by"]
            else _("Logged. Its owner is told.")
        )
        return back + "#use", said

    return gated.act(
        request,
        do,
        title=_("Recording the other use"),
        back=back,
        refused=lambda problem: pages.page(request, officer, found, problem),
    )
