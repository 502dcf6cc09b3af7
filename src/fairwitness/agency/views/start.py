"""The first page: a map of what is live, and what waits for this officer."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from fairwitness.agency.models import Request
from fairwitness.agency.services import cases, desk, officers, requests
from fairwitness.agency.views.people import me
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate


@gate.require("officer", "supervisor", "technician", "admin")
@never_cache
@require_safe
def start(request: HttpRequest) -> HttpResponseBase:
    """Show the desk."""
    officer = me(request)
    found = desk.look(officer, clock.now())
    areas = [_area(one) for one in found.live]
    most = max([count for _, count in found.per_day] + [1])
    bars = [
        {"at": at, "count": count, "x": 10 * n, "y": 60 - round(56 * count / most), "height": round(56 * count / most)}
        for n, (at, count) in enumerate(found.per_day)
    ]
    context = {
        "desk": found,
        "bars": bars,
        "answers": sum(count for _, count in found.per_day),
        "drawn": {"areas": areas} if areas else {"shapes": [officers.registration()["jurisdiction"]]},
        "may_ask": officer.user.role in ("officer", "supervisor"),
        "works_on_cases": officer.user.role in cases.STAFF,
    }
    return render(request, "agency/start.html", context)


def _area(one: Request) -> dict[str, object]:
    document = requests.document_of(one)
    return {
        "cells": list(document.area),
        "label": f"{one.case.number}: {one.case.title}",
        "href": reverse("agency_request", args=[one.id]),
        "kind": "request" if one.state == "published" else "past",
    }
