"""Taking everything along."""

from datetime import UTC, datetime

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from fairwitness.home.services import export
from fairwitness.kit.accounts import gate


@gate.require("owner")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def export_page(request: HttpRequest) -> HttpResponseBase:
    """Say what goes along and how much it is; with POST, send it."""
    if request.method != "POST":
        count, size = export.recordings_size()
        return render(request, "home/export.html", {"count": count, "size": size})
    made = export.plan(with_recordings="recordings" in request.POST)
    day = datetime.fromtimestamp(made.begun, UTC).strftime("%Y-%m-%d")
    headers = {"Content-Length": str(made.length), "Content-Disposition": f'attachment; filename="fairwitness-home-{day}.zip"'}
    return StreamingHttpResponse(export.stream(made), content_type="application/zip", headers=headers)
