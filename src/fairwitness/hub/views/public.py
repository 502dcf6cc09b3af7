"""The first page of the public page, also before there is anything to draw it from."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render

from fairwitness.hub.services import public
from fairwitness.kit.accounts import gate
from fairwitness.kit.http_static import static_files

TOP = (
    "index.html", "requests.html", "agencies.html", "hosts.html", "check.html", "feed.atom",
    "requests.json", "agencies.json", "summary.json", "public.json",
)  # fmt: skip
"""The names at the root; all others are in folders."""


def pages(below: str = "") -> Callable[..., HttpResponseBase]:
    """Return what serves the pages of one folder."""
    return static_files(lambda: public.folder() / below, public.cache_policy, public.kind_of)


_page = pages()


@gate.anyone("the public page is for everybody")
def start(request: HttpRequest, path: str) -> HttpResponseBase:
    """Serve the first page, or say that it is still to come."""
    if (public.folder() / path).exists():
        return _page(request, path=path)
    return render(request, "hub/soon.html")
