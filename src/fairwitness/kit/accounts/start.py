"""Where a person begins on this node."""

from django.conf import settings
from django.urls import NoReverseMatch, Resolver404, resolve, reverse


def start_url() -> str:
    """Return the role's first page, or the account page on a node whose role has none: never an address that is not there."""
    first = str(settings.LOGIN_REDIRECT_URL)
    try:
        # ninja keeps an address without a page at the root of every API.
        if resolve(first).url_name != "api-root":
            return first
    except Resolver404:
        pass
    try:
        return reverse("mfa_index")
    except NoReverseMatch:
        return first
