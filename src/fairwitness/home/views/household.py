"""Who lives here, and the phones and browsers that are paired."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from fairwitness.home.config import Config
from fairwitness.home.errors import invalid, unknown
from fairwitness.home.services import cameras, devices, household
from fairwitness.kit import config
from fairwitness.kit.accounts import gate
from fairwitness.kit.accounts.models import User
from fairwitness.kit.errors import Refused

# ---------------------------------------------------------------- phones and browsers


@gate.require("owner", "member", "viewer")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def paired(request: HttpRequest) -> HttpResponseBase:
    """Show the browsers that are paired, an owner everybody's; with POST, a code for another one of one's own."""
    who = gate.actor(request)
    code = devices.issue(who.pk) if request.method == "POST" else None
    rows = [row for row in household.sessions() if who.role == "owner" or row.user_id == who.pk]
    shown = {"sessions": rows, "this": gate.sign_in_of(request), "owner": who.role == "owner", **_pairing(code)}
    return render(request, "home/devices.html", shown)


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_safe
def pairing_state(request: HttpRequest, pairing_id: int) -> HttpResponseBase:
    """Send the line that says whether a code was used; only to whom it is for, or an owner. Raises Refused."""
    if not devices.concerns(pairing_id, gate.actor(request)):
        raise unknown("pairing")
    return render(request, "home/parts/pairing_state.html", {"pairing_id": pairing_id, "state": devices.state(pairing_id)})


@gate.require("owner", "member", "viewer", per_object=True)
@never_cache
@require_POST
def end_session(request: HttpRequest, session_id: int) -> HttpResponseBase:
    """End one browser's session: one's own, or as an owner anybody's. Raises Refused."""
    who = gate.actor(request)
    row = next((one for one in household.sessions() if one.pk == session_id), None)
    if row is None or (who.role != "owner" and row.user_id != who.pk):
        raise unknown("session")
    household.end_session(session_id)
    messages.success(request, _("That browser is shut out. To come back, it has to be paired again."))
    return HttpResponseRedirect(reverse("home_devices"))


@gate.require("owner")
@never_cache
@require_POST
def end_sessions(request: HttpRequest) -> HttpResponseBase:
    """End every session but this one."""
    count = household.end_sessions(gate.sign_in_of(request))
    told = ngettext("%(n)s browser was shut out.", "%(n)s browsers were shut out.", count) % {"n": count}
    messages.success(request, told)
    return HttpResponseRedirect(reverse("home_devices"))


def _pairing(code: devices.Code | None) -> dict[str, Any]:
    cfg = config.current(Config)
    return {"code": code, "reachable": devices.reachable(), "lasts": devices.LASTS_S // 60, "folder": str(cfg.folder())}


# ---------------------------------------------------------------- household


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def people(request: HttpRequest) -> HttpResponseBase:
    """Show who lives here, and add somebody."""
    problem: Refused | None = None
    if request.method == "POST":
        try:
            found = household.add(request.POST.get("name", ""), request.POST.get("role", ""), **_rights(request))
        except Refused as refused:
            problem = refused
        else:
            messages.success(request, _("%(name)s was added. Pair their phone now.") % {"name": found.display_name})
            return HttpResponseRedirect(reverse("home_person", args=[found.pk]))
    shown = {
        "people": household.listing(),
        "cameras": cameras.listing(),
        "problem": problem,
        "typed": _typed(request) if problem else {"name": "", "role": "member", "may_answer": False, "cameras": ()},
        "me": gate.actor(request).pk,
    }
    return render(request, "home/household.html", shown, status=problem.status if problem else 200)


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def person(request: HttpRequest, user_id: int) -> HttpResponseBase:
    """Show one person; change, pair, shut out, let in, remove. Raises Refused."""
    problem: Refused | None = None
    code: devices.Code | None = None
    household.get(user_id)
    if request.method == "POST":
        try:
            if request.POST.get("what") == "pair":
                code = devices.issue(user_id)
            else:
                told, gone = _change(request, user_id, gate.actor(request))
                messages.success(request, told)
                return HttpResponseRedirect(reverse("home_household") if gone else reverse("home_person", args=[user_id]))
        except Refused as refused:
            problem = refused
    found = household.resident(user_id)
    typed = _typed(request) if problem and request.POST.get("what") == "edit" else None
    shown = {
        "person": found,
        "cameras": cameras.listing(),
        "typed": typed or {"name": found.name, "role": found.role, "may_answer": found.may_answer, "cameras": found.cameras},
        "problem": problem,
        "me": gate.actor(request).pk,
        **_pairing(code),
    }
    return render(request, "home/person.html", shown, status=problem.status if problem else 200)


def _change(request: HttpRequest, user_id: int, who: User) -> tuple[str, bool]:
    match request.POST.get("what", ""):
        case "edit":
            if user_id == who.pk and request.POST.get("role") != who.role:
                raise invalid("household.self", _("You cannot change your own role."), _("Another owner can."))
            name = request.POST.get("name", "")
            household.edit(user_id, name=name, role=request.POST.get("role", ""), **_rights(request))
            return _("Saved."), False
        case "freeze":
            name = household.freeze(user_id, who).display_name
            return _("%(name)s is shut out, on every phone and browser.") % {"name": name}, False
        case "unfreeze":
            name = household.unfreeze(user_id).display_name
            return _("%(name)s may come in again. Their phone has to be paired again.") % {"name": name}, False
        case "remove":
            return _("%(name)s was removed.") % {"name": household.remove(user_id, who)}, True
        case _:
            raise invalid("settings.what", _("There is no such action."))


def _rights(request: HttpRequest) -> dict[str, Any]:
    return {"may_answer": "may_answer" in request.POST, "cameras": _cameras(request)}


def _cameras(request: HttpRequest) -> tuple[int, ...]:
    return tuple(int(text) for text in request.POST.getlist("cameras") if text.isdecimal() and len(text) < 18)


def _typed(request: HttpRequest) -> dict[str, Any]:
    return {"name": request.POST.get("name", ""), "role": request.POST.get("role", ""), **_rights(request)}
