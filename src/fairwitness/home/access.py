"""Who may use the home's API: the owner, by the token file on this machine or by a signed-in session (design.md 9.17).

The server listens on loopback and knows its own names (Django's ALLOWED_HOSTS), so a page from elsewhere whose name was
rebound to this machine is refused by its Host; one that sends from another origin is refused by its Origin.
"""

import base64
import hmac
import ipaddress
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from fairwitness_core.crypto.random import token_bytes

from fairwitness.home.config import Config
from fairwitness.kit import config, files, middleware
from fairwitness.kit.accounts import gate
from fairwitness.kit.accounts.models import User
from fairwitness.kit.errors import Refused

_TOKEN = ("keys", "owner.token")
_BEARER = "Bearer "
_PLAIN = ("/healthz", "/readyz", "/metrics", "/static/")


def owner_token() -> str:
    """Return the owner's token, made at the first call. Raises UnsafeMode, OSError."""
    path = config.current(Config).file(*_TOKEN)
    if not path.exists():
        with files.FileLock(path.with_name(".owner.lock")):
            if not path.exists():
                files.write_atomic(path, _new_token())
    return files.read_secret(path).decode()


def new_owner_token() -> Path:
    """Put a new token in the place of the owner's, which is worth nothing from then on; returns the file. Raises OSError."""
    path = config.current(Config).file(*_TOKEN)
    with files.FileLock(path.with_name(".owner.lock")):
        files.write_atomic(path, _new_token())
    return path


def _new_token() -> bytes:
    return base64.urlsafe_b64encode(token_bytes(32)).rstrip(b"=")


def check_origin(request: HttpRequest) -> None:
    """Raise Refused where a browser says that the request comes from another page than ours."""
    origin = request.headers.get("Origin")
    if origin is None:
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Refused(403, "origin.other", _("This request comes from another page."))
        return
    parts = urlsplit(origin)
    if parts.netloc != request.get_host() or parts.scheme != ("https" if request.is_secure() else "http"):
        raise Refused(403, "origin.other", _("This request comes from another page."))


class Owner(gate.Session):
    """ninja `auth=`: an owner, and whoever has one of the `others` roles.

    A bearer token stands for the person who can read the data folder: an owner.
    """

    def __init__(self, *others: str, per_object: bool = False) -> None:
        super().__init__("owner", *others, per_object=per_object)

    def __call__(self, request: HttpRequest) -> object:
        """Check origin, then the token or the session."""
        check_origin(request)
        given = request.headers.get("Authorization", "")
        if not given:
            return super().__call__(request)
        if given.startswith(_BEARER) and hmac.compare_digest(given[len(_BEARER) :].encode(), owner_token().encode()):
            return True
        raise Refused(401, "auth.token", _("This is not the owner's token."), "keys/owner.token")


def person(request: HttpRequest) -> User | None:
    """Return who acts, behind the gate; None: the owner by the token. What they may do: services.household."""
    return None if getattr(request, "auth", None) is True else gate.actor(request)


HOW = gettext_noop("Give it a certificate with: fairwitness home lan DIR --address ADDRESS")


def loopback(host: str) -> bool:
    """Tell whether a server on `host` can be reached from this machine alone."""
    return ipaddress.ip_address(host).is_loopback


def safe(cfg: Config) -> bool:
    """Tell whether a home of this configuration may show its owner's pages: over TLS, or on the loopback."""
    return cfg.tls or loopback(cfg.host)


class OverTls:
    """Middleware: on a network, nothing of the owner's goes out in clear. Monitors' pages and static files stay reachable."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve over TLS and on the loopback; refuse with the remedy otherwise."""
        cfg = config.current(Config)
        if request.is_secure() or loopback(cfg.host) or request.path.startswith(_PLAIN):
            response = self._get_response(request)
            # A picture that this browser still keeps must not appear in another site's page (Fetch, 3.7).
            response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
            return response
        told = Refused(403, "home.tls", _("This home shows nothing over a network without TLS."), _(HOW))
        return middleware.refusal(request, told) or HttpResponse(status=403)
