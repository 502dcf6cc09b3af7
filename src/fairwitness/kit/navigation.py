"""The places that a page's head leads to: each role lists its own in `fairwitness.<role>.navigation`."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise

from fairwitness.kit import config
from fairwitness.kit.accounts import gate
from fairwitness.kit.accounts.models import STAGE_FULL


@dataclass(frozen=True, slots=True)
class Place:
    """One entry: its address's name, label, icon, who sees it (roles; "anyone" needs no account), and the paths below it.

    `count`: how many things there are new, shown beside the label while it is not 0.
    """

    url_name: str
    label: str | Promise
    icon: str
    roles: tuple[str, ...]
    under: str = ""
    count: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One entry as a page shows it."""

    url: str
    label: str | Promise
    icon: str
    current: bool
    count: int = 0


def items(request: HttpRequest) -> list[Item]:
    """Return what this person may go to, in order; nothing for somebody who is not fully signed in."""
    name = f"fairwitness.{config.role_name()}.navigation"
    if not config.role_name() or importlib.util.find_spec(name) is None:
        return []
    places: tuple[Place, ...] = importlib.import_module(name).PLACES
    found = gate.sign_in_of(request)
    role = found.user.role if found is not None and found.stage == STAGE_FULL else ""
    return [_item(place, request.path) for place in places if role in place.roles or "anyone" in place.roles]


def _item(place: Place, here: str) -> Item:
    try:
        url = reverse(place.url_name)
    except NoReverseMatch as error:
        raise ValueError(f"navigation names {place.url_name!r}, which is no address") from error
    under = place.under or url
    current = here == url or (under != "/" and here.startswith(under))
    return Item(url, place.label, place.icon, current, 0 if place.count is None else place.count())
