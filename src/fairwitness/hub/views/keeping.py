"""What the hub's keepers look after: the rota, the agencies, the hub's health, and demands made by law."""

import json
import shutil

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from fairwitness_core.model.hub import LEGAL_KINDS
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.hub.models import Agency, Polygon
from fairwitness.hub.services import agencies, desk, directory, health, identity, legal, rota
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

KINDS = {
    "court_order": gettext_lazy("Court order"),
    "emergency": gettext_lazy("Emergency demand"),
    "other": gettext_lazy("Something else"),
    "preservation": gettext_lazy("Preservation demand"),
    "subpoena": gettext_lazy("Subpoena"),
    "warrant": gettext_lazy("Warrant"),
}
ANSWERS = {
    "pending": gettext_lazy("not answered yet"),
    "nothing": gettext_lazy("nothing: there was nothing of it here"),
    "refused": gettext_lazy("nothing: refused"),
    "sealed_bytes": gettext_lazy("sealed bytes that nobody here can open"),
}
SUSPENSIONS = {
    "misuse": gettext_lazy("Misuse of its access"),
    "security": gettext_lazy("Its keys or accounts are not safe"),
    "court_order": gettext_lazy("A court ordered it"),
    "lapsed": gettext_lazy("Its authorisation has lapsed"),
    "left": gettext_lazy("It left this hub"),
}
_CHART_HEIGHT = 60
_REGISTRATION_MAX = 1 << 18


@gate.require("moderator", "admin")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def shifts(request: HttpRequest) -> HttpResponseBase:
    """Show the rota; an administrator adds a shift."""
    problem: Refused | None = None
    if request.method == "POST":
        try:
            if gate.actor(request).role != "admin":
                raise Refused(403, "auth.role", _("Your role may not do this."), _("Ask an administrator who may."))  # noqa: TRY301
            rota.add(request.POST.get("username", "")[:40], _number(request, "begins"), _number(request, "ends"))
        except Refused as error:
            problem = error
        else:
            messages.success(request, _("The shift is on the rota."))
            return HttpResponseRedirect(reverse("hub_rota"))
    now = clock.now()
    context = {
        "coming": rota.coming(now),
        "gaps": rota.gaps(now),
        "moderators": get_user_model().objects.filter(role="moderator", frozen=False),
        "administers": gate.actor(request).role == "admin",
        "problem": problem,
        "typed": request.POST if problem else {},
        "now": now,
    }
    return render(request, "hub/rota.html", context, status=problem.status if problem else 200)


@gate.require("admin")
@never_cache
@require_POST
def remove_shift(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Take a shift off the rota."""
    rota.remove(pk)
    messages.success(request, _("The shift is off the rota."))
    return HttpResponseRedirect(reverse("hub_rota"))


@gate.require("moderator", "admin")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def agency_list(request: HttpRequest) -> HttpResponseBase:
    """Show who may ask here; an administrator admits an agency by its registration."""
    problem: Refused | None = None
    if request.method == "POST":
        try:
            queued = _admit(request)
        except (Refused, ProtocolError) as error:
            problem = error if isinstance(error, Refused) else Refused(400, error.code, str(error))
        else:
            logged, same = _("It goes to the public log with the next entry."), _("Nothing changed: the log says this already.")
            messages.success(request, logged if queued else same)
            return HttpResponseRedirect(reverse("hub_agencies"))
    folded = directory.current()
    rows = [{"row": row, "vouched": found.authorized.vouched if (found := folded.agency(row.agency)) else ()}
            for row in Agency.objects.order_by("name")]  # fmt: skip
    context = {
        "rows": rows,
        "administers": gate.actor(request).role == "admin",
        "problem": problem,
        "typed": request.POST if problem else {},
        "now": clock.now(),
    }
    return render(request, "hub/agencies.html", context, status=problem.status if problem else 200)


@gate.require("moderator", "admin")
@never_cache
@require_safe
def agency(request: HttpRequest, agency_id: str) -> HttpResponseBase:
    """Show one agency as the log has it."""
    return _agency(request, agency_id)


@gate.require("admin")
@never_cache
@require_POST
def suspend(request: HttpRequest, agency_id: str) -> HttpResponseBase:
    """Suspend an agency."""
    try:
        agencies.suspend(agency_id, request.POST.get("reason", "").strip())
    except (Refused, ProtocolError) as error:
        return _agency(request, agency_id, error if isinstance(error, Refused) else Refused(400, error.code, str(error)))
    messages.success(request, _("Suspended: nothing that it signs counts from the next entry on."))
    return HttpResponseRedirect(reverse("hub_agency", args=[agency_id]))


@gate.require("moderator", "admin")
@never_cache
@require_safe
def hub_health(request: HttpRequest) -> HttpResponseBase:
    """Show ticks, witnesses, disk and backlog."""
    late = desk.ticks()
    seconds = identity.load().tick_seconds
    most = max([one.late for one in late] + [seconds])
    bars = []
    for number, one in enumerate(late):
        height = max(1, round(_CHART_HEIGHT * one.late / most))
        bars.append({"x": 5 * number, "y": _CHART_HEIGHT - height, "height": height, "slow": one.late > seconds})
    disk = shutil.disk_usage(identity.settings().folder())
    context = {
        "health": health.look(),
        "witnesses": desk.witnesses(),
        "bars": bars,
        "on_time": sum(one.late <= seconds for one in late),
        "ticks": len(late),
        "last": late[-1] if late else None,
        "tick_seconds": seconds,
        "backlog": desk.backlog(),
        "disk": disk,
        "used": round(100 * disk.used / disk.total),
        "least": identity.settings().min_free_bytes,
        "low": disk.free < 2 * identity.settings().min_free_bytes,
    }
    return render(request, "hub/health.html", context)


@gate.require("moderator", "admin")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def legal_desk(request: HttpRequest) -> HttpResponseBase:
    """Show what was demanded by law and what there is; an administrator enters a demand."""
    problem: Refused | None = None
    if request.method == "POST":
        try:
            if gate.actor(request).role != "admin":
                raise Refused(403, "auth.role", _("Your role may not do this."), _("Ask an administrator who may."))  # noqa: TRY301
            words = {name: request.POST.get(name, "")[:400] for name in ("kind", "reference", "asked", "answer")}
            legal.enter(**words, silent_until=_number(request, "silent_until") if request.POST.get("silent_until") else None)
        except (Refused, ProtocolError) as error:
            problem = error if isinstance(error, Refused) else Refused(400, error.code, str(error))
        else:
            messages.success(request, _("Entered. It is counted publicly when the month is over."))
            return HttpResponseRedirect(reverse("hub_legal"))
    demands = [{"row": row, "kind": KINDS[row.kind], "answer": ANSWERS[row.answer]} for row in legal.listing()]
    context = {
        "held": legal.held(),
        "demands": demands,
        "kinds": [(kind, KINDS[kind]) for kind in LEGAL_KINDS],
        "answers": ANSWERS,
        "administers": gate.actor(request).role == "admin",
        "problem": problem,
        "typed": request.POST if problem else {},
    }
    return render(request, "hub/legal.html", context, status=problem.status if problem else 200)


@gate.require("admin")
@never_cache
@require_POST
def legal_answer(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Say what a demand came to."""
    legal.answer(pk, request.POST.get("answer", "")[:20])
    messages.success(request, _("Noted."))
    return HttpResponseRedirect(reverse("hub_legal"))


def _number(request: HttpRequest, name: str) -> int:
    text = request.POST.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise Refused(400, "input.time", _("A time is missing."), _("Choose a day and a time."))
    return int(text)


def _admit(request: HttpRequest) -> bool:
    if gate.actor(request).role != "admin":
        raise Refused(403, "auth.role", _("Your role may not do this."), _("Ask an administrator who may."))
    file = request.FILES.get("file")
    text = file.read(_REGISTRATION_MAX + 1) if file is not None and file.size else request.POST.get("registration", "").encode()
    if len(text) > _REGISTRATION_MAX:
        raise Refused(413, "registration.size", _("This is too large for a registration."))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(
            400, "registration.json", _("This is no registration."), _("Paste the whole content of registration.json.")
        ) from None
    days = request.POST.get("days", "365")
    if not days.isdigit() or not 1 <= int(days) <= 1096:
        raise Refused(400, "agency.days", _("An authorisation lasts 1 day to 3 years."))
    return bool(agencies.register(agencies.read_registration(value), days=int(days)))


def _agency(request: HttpRequest, agency_id: str, problem: Refused | None = None) -> HttpResponseBase:
    row = Agency.objects.filter(agency=agency_id).first()
    record = directory.current().agency(agency_id)
    if row is None or record is None:
        raise Refused(404, "agency.unknown", _("There is no such agency."))
    polygon = Polygon.objects.filter(sha256=row.polygon_sha256).first()
    context = {
        "row": row,
        "record": record,
        "drawn": {"shapes": [json.loads(bytes(polygon.geojson))]} if polygon else {},
        "officers": [key for key in record.keys if key.use == "officer"],
        "requests": desk.of_agency(agency_id),
        "reasons": SUSPENSIONS,
        "administers": gate.actor(request).role == "admin",
        "problem": problem,
        "typed": request.POST if problem else {},
        "now": clock.now(),
    }
    return render(request, "hub/agency.html", context, status=problem.status if problem else 200)
