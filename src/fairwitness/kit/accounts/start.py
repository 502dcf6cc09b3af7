"""Where a person begins on this node."""

from django.conf import settings
from django.urls import Resolver404, resolve, reverse


def start_url() -> str:
    """Return the role's first page, or the account page on a node whose role has none: never an address that is not there."""
    try:
        found = resolve(settings.LOGIN_REDIRECT_URL)
    except Resolver404:
        return reverse("mfa_index")
    # ninja keeps an address without a page at the root of every API.
    return reverse("mfa_index") if found.url_name == "api-root" else str(settings.LOGIN_REDIRECT_URL)
