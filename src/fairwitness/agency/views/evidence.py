"""Evidence: the accepted answers of one's cases, and the work with one of them. The original is never touched."""

import datetime as dt
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.models import Annotation, Hold, Officer, Response, Touch
from fairwitness.agency.services import annotations, audit, cases, evidence, library, report, story
from fairwitness.agency.views import gated, triage
from fairwitness.agency.views.cases import as_refused
from fairwitness.agency.views.people import me
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

_PER_PAGE = 24


@gate.require(*triage.STAFF)
@never_cache
@require_safe
def grid(request: HttpRequest) -> HttpResponseBase:
    """List evidence of one's cases; a picture is shown only of what is open in this sitting."""
    officer = me(request)
    words = request.GET.get("q", "")[:100]
    since, until = _day(request.GET.get("since", "")), _day(request.GET.get("until", ""))
    found = library.search(officer, words, since=since, until=until + 86400 if until is not None else None)
    page_ = Paginator(found, _PER_PAGE).get_page(request.GET.get("page"))
    opened = _opened(officer, list(page_))
    rows = [
        {
            "response": one,
            "clips": len(one.clips.all()),
            "seconds": sum(clip.seconds or 0 for clip in one.clips.all()),
            "notes": sum(note.struck_at is None for note in one.annotations.all()),
            "touch": opened.get(one.pk),
        }
        for one in page_
    ]
    context = {
        "page": page_, "rows": rows, "words": words, "since": request.GET.get("since", ""), "until": request.GET.get("until", ""),
        "searched": bool(words or since or until), "sees_all": officer.user.role in cases.SEE_ALL,
    }  # fmt: skip
    return render(request, "agency/evidence.html", context)


def _opened(officer: Officer, shown: list[Response]) -> dict[str, Touch]:
    rows = Touch.objects.filter(
        officer=officer, record__response__in=shown, record__action="viewed", record__state="proven", target="clip-01.mp4",
        expires_at__gt=clock.now(),
    ).select_related("record")  # fmt: skip
    return {row.record.response_id: row for row in rows}


@gate.require(*triage.STAFF, per_object=True)
@never_cache
@require_safe
def item(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Show one piece of evidence."""
    officer = me(request)
    return page(request, officer, evidence.seen_by(officer, response_id))


@gate.require(*triage.STAFF, per_object=True)
@never_cache
@require_POST
def annotate(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Write a note, set a marker, or keep a clip's beginning and end."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    kind, clip = request.POST.get("kind", ""), request.POST.get("clip", "")
    try:
        at, start, end = (_milliseconds(request.POST.get(name, "")) for name in ("at", "start", "end"))
        if kind == "clip":
            annotations.add(officer, found, kind, request.POST.get("text", ""), clip=clip, start_ms=start, end_ms=end)
        else:
            moment = at if clip else None
            annotations.add(officer, found, kind, request.POST.get("text", ""), clip=clip, start_ms=moment)
    except (Refused, ProtocolError) as error:
        return page(request, officer, found, as_refused(error))
    messages.success(request, _("Written down. It can be struck, never removed."))
    return HttpResponseRedirect(reverse("agency_evidence_item", args=[found.pk]) + "#written")


@gate.require(*triage.STAFF, per_object=True)
@never_cache
@require_POST
def strike(request: HttpRequest, response_id: str, annotation_id: int) -> HttpResponseBase:
    """Strike a note, marker or clip through, with the reason."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    try:
        annotations.strike(officer, found, annotation_id, request.POST.get("words", ""))
    except (Refused, ProtocolError) as error:
        return page(request, officer, found, as_refused(error))
    messages.success(request, _("Struck. It stays readable, with your reason."))
    return HttpResponseRedirect(reverse("agency_evidence_item", args=[found.pk]) + "#written")


@gate.require(*triage.STAFF, per_object=True)
@never_cache
@require_POST
def download(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Order a download, of an original clip or of a derived one: logged first, then ready for a while."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    purpose = request.POST.get("purpose", "").strip() or gated.stated(request, found)
    what = request.POST.get("what", "")
    back = reverse("agency_evidence_item", args=[found.pk])

    def do() -> tuple[str, str]:
        if what.isascii() and what.isdigit() and len(what) < 19:
            annotations.order(officer, found, int(what), purpose)
        else:
            evidence.touch(officer, found, "downloaded", purpose, target=what)
        return back + "#ready", _("Logged. The download is ready below.")

    return gated.act(
        request, do, title=_("Preparing the download"), back=back, refused=lambda problem: page(request, officer, found, problem)
    )


@gate.require(*triage.STAFF, per_object=True)
@never_cache
@require_safe
def part(request: HttpRequest, touch_id: str, annotation_id: int) -> HttpResponseBase:
    """Hand out a derived clip, cut from the original while it goes out; nothing of it is kept."""
    officer = me(request)
    touch = evidence.get_touch(touch_id, officer)
    pieces = annotations.render(officer, touch, annotation_id)
    title = slugify(Annotation.objects.get(pk=annotation_id).text)[:40] or "clip"
    answer = StreamingHttpResponse(pieces, content_type="video/mp4")
    answer["Content-Disposition"] = f'attachment; filename="{touch.record.response_id[:16]}-{title}.mp4"'
    answer["Cache-Control"] = "no-store"
    return answer


@gate.require(*triage.STAFF, per_object=True)
@never_cache
@require_POST
def report_item(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Make the report of one piece of evidence."""
    officer = me(request)
    found = evidence.seen_by(officer, response_id)
    return _pdf(report.of_response(officer, found), f"{found.id[:16]}-report")


@gate.require(*triage.STAFF, per_object=True)
@never_cache
@require_POST
def report_case(request: HttpRequest, case_id: int) -> HttpResponseBase:
    """Make the report of a case."""
    officer = me(request)
    case = cases.seen_by(officer, case_id)
    return _pdf(report.of_case(officer, case), f"{slugify(case.number) or 'case'}-report")


def _pdf(data: bytes, name: str) -> HttpResponseBase:
    headers = {"Content-Disposition": f'attachment; filename="{name}.pdf"', "Cache-Control": "no-store"}
    return HttpResponse(data, content_type="application/pdf", headers=headers)


def page(request: HttpRequest, officer: Officer, found: Response, problem: Refused | None = None) -> HttpResponseBase:
    """Show one piece of evidence, with what was refused on top."""
    context = triage.facts(request, officer, found)
    written = list(annotations.listing(found))
    context |= {
        "problem": problem or context["closed"],
        "typed": request.POST,
        "written": written,
        "ready": _ready(officer, found, written),
        "exports": library.exports_of(found),
        "all_holds": Hold.objects.filter(response=found).select_related("placed_by__user"),
        "is_supervisor": officer.user.role == "supervisor",
        "may_export": officer.user.role in ("supervisor", "technician") and found.state in ("accepted", "exported"),
        "may_write": found.state in ("collected", "accepted", "exported", "held"),
        "audit": audit.of_case(found.request.case).filter(subject=f"response {found.id}") if found.request else [],
    }
    return render(request, "agency/evidence_item.html", context, status=problem.status if problem else 200)


def _ready(officer: Officer, found: Response, written: list[Annotation]) -> list[dict[str, Any]]:
    """Return the downloads that this officer ordered and may still fetch."""
    rows = Touch.objects.filter(
        officer=officer, record__response=found, record__action="downloaded", record__state="proven", expires_at__gt=clock.now()
    ).select_related("record")
    ready = []
    for touch in rows:
        purpose = story.purpose_of(touch.record)
        derived = next((one for one in written if one.kind == "clip" and purpose.startswith(f"{annotations.part(one)}: ")), None)
        if derived is not None and derived.clip == touch.target:
            ready.append(
                {"name": derived.text, "url": reverse("agency_part", args=[touch.pk, derived.pk]), "until": touch.expires_at}
            )
        else:
            ready.append(
                {"name": touch.target, "url": reverse("agency:touched_content", args=[touch.pk]), "until": touch.expires_at}
            )
    return ready


def _milliseconds(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 10**6:
        raise Refused(400, "annotation.moment", _("A moment is a number of seconds into the clip."))
    return round(seconds * 1000)


def _day(text: str) -> int | None:
    """Read a calendar day; returns its beginning, Unix seconds UTC."""
    try:
        return int(dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC).timestamp())
    except ValueError:
        return None
