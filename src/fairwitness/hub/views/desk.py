"""The staff's desk: the queue of requests, one request with its checklist, and the decisions on it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import Agency, Request
from fairwitness.hub.services import desk, moderation, rota
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused
from fairwitness.kit.offenses import spoken

CHECKLIST = (
    ("says", gettext_lazy("It says what happened and what to look for, so that a neighbour can tell their video matters.")),
    ("place", gettext_lazy("Area and time fit what happened: no wider, no longer.")),
    ("person", gettext_lazy("It points at no person who is no suspect, and describes nobody by race, faith or origin alone.")),
    ("victim", gettext_lazy("It names no victim and no witness.")),
    ("pressure", gettext_lazy("It neither threatens nor promises anything: answering stays voluntary.")),
    ("purpose", gettext_lazy("It serves no purpose that this hub refuses: protest, worship, immigration, reproductive care.")),
)
_SHOWN = 200


@gate.require("moderator", "admin")
@never_cache
@require_safe
def queue(request: HttpRequest) -> HttpResponseBase:
    """Show what waits: emergencies to review first, then the oldest."""
    now = clock.now()
    names = dict(Agency.objects.values_list("agency", "name"))
    context = {
        "review": [_row(one, names) for one in moderation.queue("review")],
        "waiting": [_row(one, names) for one in moderation.queue("submitted")],
        "decided": [_row(one, names) for one in Request.objects.exclude(state="submitted").order_by("-submitted_at")[:15]],
        "times": desk.times(now),
        "on_duty": rota.on_duty(now),
        "now": now,
    }
    return render(request, "hub/desk.html", context)


@gate.require("moderator", "admin")
@never_cache
@require_safe
def one(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Show a request."""
    return _one(request, moderation.get(request_id))


@gate.require("moderator")
@never_cache
@require_POST
def approve(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Agree to a request, each point of the checklist being ticked; or let an emergency stand."""
    row = moderation.get(request_id)
    try:
        missing = [str(words) for name, words in CHECKLIST if name not in request.POST]
        if missing:
            raise Refused(400, "moderation.checklist", _("Every point has to hold before you agree."), missing[0])  # noqa: TRY301
        if row.review_due is not None:
            moderation.review(request_id, gate.actor(request).pk)
            messages.success(request, _("Reviewed. The emergency request stands."))
        else:
            found = moderation.approve(request_id, gate.actor(request).pk)
            done = _("Approved. It goes out with the next tick.")
            messages.success(request, done if found.state != "submitted" else _("Noted. A second moderator has to agree."))
    except (Refused, ProtocolError) as error:
        return _one(request, row, error)
    return HttpResponseRedirect(reverse("hub_desk"))


@gate.require("moderator")
@never_cache
@require_POST
def refuse(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Refuse a request by a rule."""
    row = moderation.get(request_id)
    try:
        moderation.refuse(request_id, request.POST.get("rule", "")[:64])
    except (Refused, ProtocolError) as error:
        return _one(request, row, error)
    messages.success(request, _("Refused. Its id, agency, offence and the rule are public; its text is not."))
    return HttpResponseRedirect(reverse("hub_desk"))


@gate.require("moderator")
@never_cache
@require_POST
def withdraw(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Take a published request back in the hub's name."""
    row = moderation.get(request_id)
    try:
        moderation.withdraw(request_id)
    except (Refused, ProtocolError) as error:
        return _one(request, row, error)
    messages.success(request, _("Withdrawn. Homes stop showing it with the next tick; the entry stays public."))
    return HttpResponseRedirect(reverse("hub_desk_request", args=[request_id]))


def _row(row: Request, names: dict[str, str]) -> dict[str, Any]:
    return {"row": row, "agency": names.get(row.agency, row.agency), "offense": spoken(row.offense)}


def _one(request: HttpRequest, row: Request, error: Refused | ProtocolError | None = None) -> HttpResponseBase:
    problem = Refused(400, error.code, str(error)) if isinstance(error, ProtocolError) else error
    row.refresh_from_db()
    asked = desk.document(row)
    agency = Agency.objects.filter(agency=row.agency).first()
    mine = row.approvals.filter(moderator=gate.actor(request).pk).exists()
    context = {
        "row": row,
        "asked": asked,
        "agency": agency,
        "offense": spoken(row.offense),
        "drawn": {"areas": [{"cells": list(asked.area), "label": row.case, "kind": "request"}]},
        "cells": len(asked.area),
        "dwellings": desk.dwellings(asked),
        "overlapping": desk.overlapping(asked),
        "earlier": desk.earlier(row),
        "checklist": CHECKLIST,
        "reasons": moderation.REASONS,
        "approvals": row.approvals.count(),
        "mine": mine,
        "decides": gate.actor(request).role == "moderator",
        "problem": problem,
        "typed": request.POST if problem else {},
        "now": clock.now(),
    }
    return render(request, "hub/request.html", context, status=problem.status if problem else 200)
