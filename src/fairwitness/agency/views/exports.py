"""Exports to a court, a prosecutor or a defence: order, wait for the log, download, and how the receiver checks it."""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from fairwitness.agency.models import Request
from fairwitness.agency.services import bags, export, library, requests
from fairwitness.agency.views import gated, triage
from fairwitness.agency.views.people import me
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

_KEEPERS = ("supervisor", "technician")
_SHOWN = 100
TO: dict[str, tuple[str | Promise, str]] = {
    "court": (gettext_lazy("Court"), "Court"),
    "prosecutor": (gettext_lazy("Prosecutor"), "Prosecutor"),
    "defence": (gettext_lazy("Defence"), "Defence"),
}


@gate.require(*_KEEPERS)
@never_cache
@require_safe
def listing(request: HttpRequest) -> HttpResponseBase:
    """List the bags of one's cases."""
    officer = me(request)
    rows = [bags.describe(one) for one in library.exports(officer)[:_SHOWN]]
    ready = library.search(officer).filter(state__in=("accepted", "exported")).values_list("request_id", flat=True)
    asked = Request.objects.filter(pk__in=set(ready)).select_related("case")
    return render(request, "agency/exports.html", {"rows": rows, "asked": asked})


@gate.require(*_KEEPERS, per_object=True)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, request_id: str) -> HttpResponseBase:
    """Order a bag: the same words asked again go on where the last try stopped."""
    officer = me(request)
    asked = requests.seen_by(officer, request_id)
    if request.method != "POST":
        return _form(request, asked)
    wanted = request.POST.getlist("responses")
    whom, name = request.POST.get("to", ""), request.POST.get("recipient", "").strip()

    def do() -> tuple[str, str]:
        if whom not in TO or not name:
            raise Refused(400, "recipient.missing", _("Say who receives it: court, prosecutor or defence, and their name."))
        done = export.export(
            officer,
            asked,
            wanted,
            purpose=request.POST.get("purpose", "").strip(),
            recipient=f"{TO[whom][1]}: {name}",
            sealed_by=request.POST.get("sealed_by", "").strip(),
        )
        return reverse("agency_exports") + f"#{done.path.name}", _("The bag is ready to download.")

    return gated.act(
        request,
        do,
        title=_("Making the bag"),
        back=request.get_full_path(),
        refused=lambda problem: _form(request, asked, problem),
    )


@gate.require(*_KEEPERS, per_object=True)
@never_cache
@require_POST
def download(request: HttpRequest, export_id: str) -> HttpResponseBase:
    """Hand out a bag as one ZIP file, streamed; who fetched it stands in the audit."""
    officer = me(request)
    found = bags.fetch(officer, export_id)
    answer = StreamingHttpResponse(bags.zipped(found), content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="{bags.name_of(found)}.zip"'
    answer["Cache-Control"] = "no-store"
    return answer


@gate.require(*triage.STAFF)
@never_cache
@require_safe
def trust(request: HttpRequest) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    """Hand out the trust file that a receiver compares and verifies with."""
    headers = {"Content-Disposition": 'attachment; filename="trust.json"'}
    return HttpResponse(bags.trust_file(), content_type="application/json", headers=headers)


def _form(request: HttpRequest, asked: Request, problem: Refused | None = None) -> HttpResponseBase:
    rows = triage.exportable(asked)
    chosen = request.POST.getlist("responses") if request.method == "POST" else request.GET.getlist("response")
    context = {
        "asked": asked, "case": asked.case, "rows": rows, "chosen": chosen or [row.response.pk for row in rows],
        "to": [(key, label) for key, (label, _name) in TO.items()], "problem": problem, "typed": request.POST,
    }  # fmt: skip
    return render(request, "agency/export_new.html", context, status=problem.status if problem else 200)
