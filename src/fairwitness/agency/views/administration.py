"""Administration: people and their access, the freeze of the whole agency, retention classes, and the record of every act."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import Officer
from fairwitness.agency.services import access, audit, freeze, node, officers, retention
from fairwitness.agency.views.cases import as_refused, offenses
from fairwitness.agency.views.people import me
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.accounts.models import ROLES
from fairwitness.kit.errors import Refused
from fairwitness.kit.offenses import spoken

_PER_PAGE = 100
_DAY = 86400
_YEAR = 365 * _DAY


@gate.require("admin")
@never_cache
@require_safe
def people(request: HttpRequest) -> HttpResponseBase:
    """Show everybody, and how the agency stands."""
    return _people(request)


@gate.require("admin")
@never_cache
@sensitive_variables()
@require_POST
def add(request: HttpRequest) -> HttpResponseBase:
    """Add a person; their one-time code is shown once."""
    try:
        training = request.POST.get("training", "").strip()[:120]
        if not training:
            raise Refused(400, "officer.training_name", _("Say which training this person has had."))  # noqa: TRY301
        made = officers.enrol(
            request.POST.get("username", ""), request.POST.get("display_name", ""), request.POST.get("role", ""), me(request),
            training=training, trained_until=_time(request, "trained_until") if request.POST.get("trained_until") else None,
        )  # fmt: skip
    except (Refused, ProtocolError) as error:
        return _people(request, problem=as_refused(error))
    return _people(request, code=made.code, shown=made.officer)


@gate.require("admin")
@never_cache
@require_safe
def person(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """Show one person."""
    return _person(request, officers.get(officer_id))


@gate.require("admin")
@never_cache
@require_POST
def train(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """Record a training."""

    def do(by: Officer, other: Officer) -> None:
        access.train(by, other, request.POST.get("training", ""), _time(request, "until"))

    return _done(request, officer_id, do, _("The training is on record."))


@gate.require("admin")
@never_cache
@require_POST
def renew(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """Confirm that a person needs access."""

    def do(by: Officer, other: Officer) -> None:
        access.renew(by, other, _time(request, "until"))

    return _done(request, officer_id, do, _("Access is confirmed."))


@gate.require("admin")
@never_cache
@require_POST
def stop(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """Freeze one person."""
    return _done(request, officer_id, access.stop, _("Frozen, in every session, as of now."))


@gate.require("admin")
@never_cache
@require_POST
def go_on(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """End a person's freeze."""
    return _done(request, officer_id, access.let_go_on, _("This person can sign in again."))


@gate.require("admin")
@never_cache
@require_POST
def sign_out(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """End a person's sessions."""
    return _done(request, officer_id, access.sign_out, _("All sessions are ended."))


@gate.require("admin")
@never_cache
@sensitive_variables()
@require_POST
def new_code(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """Show a new one-time code for a person who lost their passkey, once."""
    other = officers.get(officer_id)
    return _person(request, other, code=officers.new_code(other, me(request)))


@gate.require("admin")
@never_cache
@require_POST
def remove(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """End a person's access and key for good."""
    other = officers.get(officer_id)
    try:
        officers.remove(other, me(request))
    except Refused as error:
        return _person(request, other, error)
    messages.success(request, _("Removed. Hand the new registration to the hub, so that the key stops counting there."))
    return HttpResponseRedirect(reverse("agency_admin"))


@gate.require("admin")
@never_cache
@require_POST
def freeze_all(request: HttpRequest) -> HttpResponseBase:
    """Freeze the whole agency."""
    try:
        access.freeze_agency(me(request), request.POST.get("reason", ""))
    except (Refused, ProtocolError) as error:
        return _people(request, problem=as_refused(error))
    messages.success(request, _("The agency is frozen. Every session but the administrators' has ended."))
    return HttpResponseRedirect(reverse("agency_admin"))


@gate.require("admin")
@never_cache
@require_POST
def thaw(request: HttpRequest) -> HttpResponseBase:
    """End the freeze of the agency."""
    access.thaw_agency(me(request))
    messages.success(request, _("The agency works again. Everybody signs in anew."))
    return HttpResponseRedirect(reverse("agency_admin"))


@gate.require("admin")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def classes(request: HttpRequest) -> HttpResponseBase:
    """Show the retention classes; make or change one."""
    problem: Refused | None = None
    if request.method == "POST":
        days = _digits(request.POST.get("days", "")) or 0
        codes = [str(code) for code in request.POST.getlist("offense")][:100]
        try:
            retention.put(me(request), request.POST.get("name", ""), days, codes, _digits(request.POST.get("pk", "")))
        except Refused as error:
            problem = error
        else:
            messages.success(request, _("The class is as you wrote it. Nothing was destroyed by it."))
            return HttpResponseRedirect(reverse("agency_retention"))
    rows = [{"kind": one, "names": [spoken(code) for code in one.offenses]} for one in retention.listing()]
    listed = [(f"nibrs:{one.code}", one.value) for one in offenses()]
    typed = request.POST if problem else {}
    context = {"rows": rows, "offenses": listed, "problem": problem, "typed": typed, "chosen": request.POST.getlist("offense")}
    return render(request, "agency/admin_retention.html", context, status=problem.status if problem else 200)


@gate.require("admin")
@never_cache
@require_POST
def drop_class(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Remove a retention class."""
    retention.drop(me(request), pk)
    messages.success(request, _("The class is gone. Evidence stays until somebody decides on it."))
    return HttpResponseRedirect(reverse("agency_retention"))


@gate.require("supervisor")
@never_cache
@require_safe
def due(request: HttpRequest) -> HttpResponseBase:
    """Show a supervisor what lies here beyond its class's time, and who has access."""
    officer = me(request)
    context = {
        "due": retention.due(officer, clock.now()),
        "people": [one for one in access.people() if one.state in ("active", "lapsed") and one.officer.pk != officer.pk],
        "year": clock.now() + _YEAR,
    }
    return render(request, "agency/review.html", context)


@gate.require("supervisor")
@never_cache
@require_POST
def confirm(request: HttpRequest, officer_id: int) -> HttpResponseBase:
    """Let a supervisor confirm that a person needs access, for a year at most."""
    access.renew(me(request), officers.get(officer_id), clock.now() + _YEAR)
    messages.success(request, _("Access is confirmed for a year."))
    return HttpResponseRedirect(reverse("agency_review"))


@gate.require("admin")
@never_cache
@require_safe
def record(request: HttpRequest) -> HttpResponseBase:
    """Show everything that was done, with the same fields everywhere."""
    wanted = _wanted(request)
    page = Paginator(audit.everything(wanted), _PER_PAGE).get_page(request.GET.get("page"))
    names = officers.names()
    rows = [dict(zip(audit.FIELDS, row, strict=True)) | {"who": names.get(row[1], row[1])} for row in page]
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "page": page,
        "rows": rows,
        "wanted": wanted,
        "people": sorted(names.items(), key=lambda item: item[1].casefold()),
        "actions": audit.actions(),
        "query": query.urlencode(),
    }
    return render(request, "agency/admin_audit.html", context)


@gate.require("admin")
@never_cache
@require_safe
def record_csv(request: HttpRequest) -> HttpResponseBase:
    """Hand out the same as CSV, streamed."""
    answer = StreamingHttpResponse(audit.as_csv(_wanted(request)), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{node.agency_id()}-audit.csv"'
    return answer


@gate.require("admin")
@never_cache
@require_safe
def registration(request: HttpRequest) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    """Hand out what a hub's administrator admits this agency by."""
    path = node.join_path().with_name("registration.json")
    officers.write_registration()
    answer = HttpResponse(path.read_bytes(), content_type="application/json")
    answer.headers["Content-Disposition"] = 'attachment; filename="registration.json"'
    return answer


def _people(
    request: HttpRequest, *, problem: Refused | None = None, code: str = "", shown: Officer | None = None
) -> HttpResponseBase:
    context: dict[str, Any] = {
        "people": access.people(),
        "freeze": freeze.now(),
        "roles": ROLES["agency"],
        "problem": problem,
        "typed": request.POST if problem else {},
        "code": code,
        "shown": shown,
        "enrol_address": request.build_absolute_uri(reverse("enrol")),
        "year": clock.now() + node.settings().training_days * _DAY,
        "lapse_days": node.settings().lapse_days,
        "now": clock.now(),
    }
    return render(request, "agency/admin.html", context, status=problem.status if problem else 200)


def _person(request: HttpRequest, other: Officer, problem: Refused | None = None, code: str = "") -> HttpResponseBase:
    other.refresh_from_db()
    found = next(one for one in access.people() if one.officer.pk == other.pk)
    context = {
        "person": found,
        "self": other.user_id == gate.actor(request).pk,
        "did": audit.everything(audit.Wanted(actor=other.actor))[:20],
        "problem": problem,
        "typed": request.POST if problem else {},
        "code": code,
        "enrol_address": request.build_absolute_uri(reverse("enrol")),
        "year": clock.now() + _YEAR,
    }
    return render(request, "agency/admin_person.html", context, status=problem.status if problem else 200)


def _done(request: HttpRequest, officer_id: int, do: Callable[[Officer, Officer], object], said: str) -> HttpResponseBase:
    """Do one act of the administrator to a person, and say so on their page; a refusal is shown there too."""
    other = officers.get(officer_id)
    try:
        do(me(request), other)
    except (Refused, ProtocolError) as error:
        return _person(request, other, as_refused(error))
    messages.success(request, said)
    return HttpResponseRedirect(reverse("agency_admin_person", args=[other.pk]))


def _wanted(request: HttpRequest) -> audit.Wanted:
    actor, action, case = (str(request.GET.get(name, ""))[:80] for name in ("actor", "action", "case"))
    since, until = (_digits(str(request.GET.get(name, ""))) for name in ("since", "until"))
    return audit.Wanted(actor, action, case, since, until)


def _digits(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _time(request: HttpRequest, name: str) -> int:
    found = _digits(request.POST.get(name, ""))
    if found is None:
        raise Refused(400, "input.time", _("A time is missing."), _("Choose a day and a time."))
    return found
