"""Invites on paper: one page each, for households that are invited at their door or at a meeting.

The page asks for nothing from anywhere: styles and pictures stand in it. The hub keeps of each code what it keeps of any: a hash,
an epoch, how many uses. Who was handed which page is written nowhere.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import qrcode
import qrcode.image.svg
from django.template.loader import render_to_string
from django.utils import translation
from fairwitness_core.tlog.policy import Policy
from fairwitness_core.wire import dsse

from fairwitness.hub.services import directory, identity, tokens
from fairwitness.kit import clock, files
from fairwitness.kit.errors import Refused

LANGUAGES = ("en", "es")
MOST = 500


def make(out: Path, count: int, *, uses: int = 1, language: str = "en") -> int:
    """Write `count` new invites to the file `out` (0600), a page each, and return how many. Raises Refused, OSError.

    The codes count once the file is on disk: if it cannot be written they are made worthless again.
    """
    if out.exists():
        raise Refused(409, "sheet.exists", f"{out} is there already.", "Name another file: it may hold invites that count.")
    if not 1 <= count <= MOST:
        raise Refused(400, "sheet.count", f"1 to {MOST} pages at a time.")
    codes = tokens.create_invites(count, uses, clock.now())
    try:
        files.write_atomic(out, render(codes, uses=uses, language=language).encode())
    except BaseException:
        for code in codes:
            tokens.revoke_invite(code)
        raise
    return len(codes)


def render(codes: Sequence[str], *, uses: int, language: str) -> str:
    """Return the pages as HTML."""
    join = identity.join_file(directory.policy_text(clock.now()))
    policy = Policy.parse(join.policy.encode())
    urls = dict(join.witnesses)
    keys = [
        ("log", join.public_log.split("+", 1)[0], short(join.public_log), ""),
        ("log", join.sealed_log.split("+", 1)[0], short(join.sealed_log), ""),
        ("hub", join.name, short(dsse.b64(join.hub_key)), ""),
        *(("witness", item.name, short(item.key.encode()), urls.get(item.name, item.url)) for item in policy.witnesses),
    ]
    pages = [{"code": code, "qr": qr(f"{join.url} {code}")} for code in codes]
    with translation.override(language):
        return render_to_string(
            "hub/sheet.html",
            {"pages": pages, "join": join, "keys": keys, "uses": uses, "language": language, "quorum": policy.quorum},
        )


def short(text: str) -> str:
    """Return a key's fingerprint as a home shows it: eight groups of four hex digits."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return " ".join(digest[i : i + 4] for i in range(0, 32, 4))


def qr(text: str) -> str:
    """Return a QR code as an SVG element. The text is no address of its own, so that no camera app opens it unasked."""
    made = qrcode.QRCode(border=2, error_correction=qrcode.constants.ERROR_CORRECT_M, image_factory=qrcode.image.svg.SvgPathImage)
    made.add_data(text)
    made.make(fit=True)
    return str(made.make_image().to_string(encoding="unicode"))
