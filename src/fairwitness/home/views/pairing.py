"""How a browser is let in, and the certificate that makes it trust this home."""

from django.http import FileResponse, Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from fairwitness.home.config import Config
from fairwitness.home.lan import pairing
from fairwitness.kit import config
from fairwitness.kit.accounts import gate
from fairwitness.kit.accounts.start import start_url
from fairwitness.kit.errors import Refused


@gate.anyone("whoever holds a one-time code shown on this home's terminal")
@sensitive_post_parameters("code")
@never_cache
@ensure_csrf_cookie
@require_http_methods(["GET", "HEAD", "POST"])
def pair(request: HttpRequest) -> HttpResponseBase:
    """Sign this browser in by a one-time code. Only a press of the button uses it up: programs look at links before people do."""
    problem: Refused | None = None
    if request.method == "POST":
        try:
            pairing.use(request, request.POST.get("code", "")[:100])
        except Refused as refused:
            problem = refused
        else:
            return HttpResponseRedirect(start_url())
    return render(request, "home/pair.html", {"problem": problem}, status=403 if problem else 200)


@gate.anyone("the certificate of this home's authority is public; phones fetch it before they can sign in")
@require_safe
def authority(request: HttpRequest) -> HttpResponseBase:  # noqa: ARG001 - Django's signature
    """Hand out the certificate that makes phones trust this home. Raises Http404."""
    path = config.current(Config).folder("lan") / "ca.crt"
    if not path.is_file():
        raise Http404
    return FileResponse(path.open("rb"), content_type="application/x-x509-ca-cert", filename="fairwitness-home.crt")
