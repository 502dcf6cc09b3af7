"""The first page of the public page, also before there is anything to draw it from."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render

from fairwitness.hub.services import public
from fairwitness.kit.accounts import gate
from fairwitness.kit.http_static import static_files

_TRY_AGAIN = "60"
page = static_files(public.folder, public.cache_policy, public.kind_of)


@gate.anyone("the public page is for everybody")
def start(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve the first page, or say that it is still to come."""
    if (public.folder() / path).exists():
        return page(request, path=path)
    answer = render(request, "hub/soon.html", status=503)
    answer.headers["Retry-After"] = _TRY_AGAIN
    return answer
