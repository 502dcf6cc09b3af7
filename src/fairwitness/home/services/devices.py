"""Pairing a phone or browser from the page: the one-time code, its QR code, and whether this home can be reached by a phone."""

from dataclasses import dataclass

import qrcode

from fairwitness.home import access
from fairwitness.home.config import Config
from fairwitness.home.lan import pairing
from fairwitness.home.models import Pairing
from fairwitness.home.services import household
from fairwitness.kit import clock, config
from fairwitness.kit.accounts.models import User


@dataclass(frozen=True, slots=True)
class Code:
    """A code for one browser. `address`: what the QR code holds; `path`, `side`: its drawing; `until`: Unix seconds UTC."""

    pairing: int
    code: str
    address: str
    page: str
    path: str
    side: int
    until: int


def reachable() -> bool:
    """Tell whether a phone in the owner's network can open this home: over TLS, at an address that others reach.

    Behind a proxy that brings TLS, the address that it has in public counts.
    """
    cfg = config.current(Config)
    return cfg.tls and (bool(cfg.behind_tls_proxy) or not access.loopback(cfg.host))


def issue(user_id: int) -> Code:
    """Return a code for a browser of this person. Raises Refused."""
    code = household.invite(user_id)
    row = Pairing.objects.latest("pk")
    page = f"{config.current(Config).url}/pair"
    path, side = drawn(f"{page}#{code}")
    return Code(row.pk, code, f"{page}#{code}", page, path, side, row.expires_at)


def concerns(pairing_id: int, who: User) -> bool:
    """Tell whether a code is there and `who` may know how it does: whom it is for, or an owner."""
    row = Pairing.objects.filter(pk=pairing_id).first()
    return row is not None and (who.role == "owner" or row.user_id == who.pk)


def state(pairing_id: int) -> str:
    """Return how a code does: waiting, used, or over."""
    row = Pairing.objects.filter(pk=pairing_id).first()
    if row is None:
        return "over"
    if row.used_at is not None:
        return "used"
    return "waiting" if clock.now() < row.expires_at else "over"


def drawn(text: str) -> tuple[str, int]:
    """Return the QR code of `text` as the path of an SVG and the length of its side, in modules with the quiet zone."""
    code = qrcode.QRCode(border=4, error_correction=qrcode.constants.ERROR_CORRECT_M)
    code.add_data(text)
    matrix = code.get_matrix()
    runs = []
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            width = 0
            while x + width < len(row) and row[x + width]:
                width += 1
            if width:
                runs.append(f"M{x} {y}h{width}v1h-{width}z")
            x += width or 1
    return "".join(runs), len(matrix)


LASTS_S = pairing.LASTS_S
