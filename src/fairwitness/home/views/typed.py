"""What owners type into the home's forms, and what is said when it cannot be used."""

import math

from django.http import HttpRequest
from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.errors import invalid
from fairwitness.kit.errors import Refused
from fairwitness.kit.moments import duration

LONGEST = 2000
AGREES_MS = 2500


def text(request: HttpRequest, name: str, *, strip: bool = True) -> str:
    """Return a field's text, at most 2000 characters."""
    found = request.POST.get(name, "")[:LONGEST]
    return found.strip() if strip else found


def number(request: HttpRequest, name: str, label: str) -> float | None:
    """Return a field's number, None where it is empty. Raises Refused."""
    found = text(request, name).replace(",", ".")
    if not found:
        return None
    try:
        value = float(found)
    except ValueError as error:
        raise invalid(f"field.{name}", _("%(label)s is a number.") % {"label": label}) from error
    if not math.isfinite(value):
        raise invalid(f"field.{name}", _("%(label)s is a number.") % {"label": label})
    return value


def whole(request: HttpRequest, name: str, label: str) -> int:
    """Return a field's whole number; nothing typed is 0. Raises Refused."""
    found = number(request, name, label)
    return 0 if found is None else round(found)


def as_refused(error: Refused | ProtocolError) -> Refused:
    """Return what a page says of an error: a format's own words become the owner's."""
    if isinstance(error, Refused):
        return error
    hint = ""
    match error.code:
        case "rtsp.address":
            told, hint = _("This is no stream's address."), _("It looks like rtsp://192.168.1.20:554/stream")
        case "rtsp.credentials" | "onvif.credentials":
            told = _("Leave user and password out of the address; they have their own fields below.")
        case "onvif.address":
            told, hint = _("This is no device's address."), _("It looks like 192.168.1.20 or https://192.168.1.20:443")
        case "onvif.public":
            told = _("A camera in a public network is not asked without encryption; give an https address.")
        case "onvif.fingerprint" | "frigate.fingerprint":
            told = _("A fingerprint is the SHA-256 of the certificate: 64 hexadecimal digits.")
        case "frigate.address":
            told, hint = _("This is no Frigate's address."), _("It looks like https://192.168.1.10:8971")
        case "frigate.internal_port":
            told = _("At port 5000 Frigate takes everybody for its administrator; use its port 8971.")
        case "frigate.plain":
            told = _("The password would cross your network unprotected; give an https address.")
        case "frigate.camera":
            told = _("A camera's name in Frigate has letters, digits, _ and -.")
        case "camera.view":
            told = _("No camera has this place and view.")
            hint = _("Latitude is -90 to 90, longitude -180 to 180, the view up to 360° wide and 500 m deep.")
        case code if code.startswith(("wire.", "document.", "json.", "canonical.", "join.", "note.", "policy.", "vkey.")):
            told, hint = _("This join file cannot be used."), f"{error.message} ({code})"
        case code:
            told, hint = _("This cannot be used."), f"{error.message} ({code})"
    return Refused(422, error.code, told, hint)


def clock_words(ahead_ms: int | None) -> str:
    """Say how a camera's clock stands to this machine's."""
    if ahead_ms is None:
        return _("It does not say its time.")
    if abs(ahead_ms) < AGREES_MS:
        return _("It agrees with this machine's.")
    away = duration(abs(ahead_ms) / 1000)
    if ahead_ms > 0:
        return _("It is %(time)s ahead of this machine's.") % {"time": away}
    return _("It is %(time)s behind this machine's.") % {"time": away}
