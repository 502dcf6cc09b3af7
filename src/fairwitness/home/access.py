"""Who may use the home's API: the owner, by the token file on this machine or by a signed-in session (design.md 9.17).

The server listens on loopback and knows its own names (Django's ALLOWED_HOSTS), so a page from elsewhere whose name was
rebound to this machine is refused by its Host; one that sends from another origin is refused by its Origin.
"""

import base64
import hmac
from urllib.parse import urlsplit

from django.http import HttpRequest
from django.utils.translation import gettext as _
from fairwitness_core.crypto.random import token_bytes

from fairwitness.home.config import Config
from fairwitness.kit import config, files
from fairwitness.kit.accounts import gate
from fairwitness.kit.errors import Refused

_TOKEN = ("keys", "owner.token")
_BEARER = "Bearer "


def owner_token() -> str:
    """Return the owner's token, made at the first call. Raises UnsafeMode, OSError."""
    path = config.current(Config).file(*_TOKEN)
    if not path.exists():
        with files.FileLock(path.with_name(".owner.lock")):
            if not path.exists():
                files.write_atomic(path, base64.urlsafe_b64encode(token_bytes(32)).rstrip(b"="))
    return files.read_secret(path).decode()


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
    """ninja `auth=`: the owner. A bearer token stands for the person who can read the data folder."""

    def __init__(self) -> None:
        super().__init__("owner")

    def __call__(self, request: HttpRequest) -> object:
        """Check origin, then the token or the session."""
        check_origin(request)
        given = request.headers.get("Authorization", "")
        if not given:
            return super().__call__(request)
        if given.startswith(_BEARER) and hmac.compare_digest(given[len(_BEARER) :].encode(), owner_token().encode()):
            return True
        raise Refused(401, "auth.token", _("This is not the owner's token."), "keys/owner.token")
