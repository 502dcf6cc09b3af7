"""ONVIF cameras and recorders: which streams they have, where, and how far their clock is off.

A device says a lot of itself that is wrong or meant to mislead, above all its own address. What it names as the address of a
stream is taken only with the host that its owner gave: an unroutable host is replaced by that one, any other is refused.
"""

import hashlib
import ipaddress
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from django.utils.translation import gettext as _
from fairwitness_core.wire.errors import ProtocolError
from onveef import envelopes, parsers

from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.onvif_soap import Device, walked

PATH: Final = "/onvif/device_service"
MAX_PROFILES: Final = 64
_TOKEN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")
_TEXT: Final = re.compile(r"[^\x20-\x7e\xa0-\ud7ff]")
_SECRET: Final = re.compile(r"(?:pass(?:wo?r?d?)?|pwd)[=:]", re.IGNORECASE)
_CODECS: Final = {"H264": "h264", "H265": "hevc", "MPEG4": "mpeg4", "MPV4-ES": "mpeg4", "JPEG": "mjpeg"}
_RANK: Final = {"h264": 3, "hevc": 2, "mpeg4": 1, "mjpeg": 0}


@dataclass(frozen=True, slots=True)
class About:
    """What a device says of itself; unproven."""

    maker: str
    model: str
    version: str
    serial: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One of a camera's streams. `codec`: `h264`, `hevc`, `mpeg4`, `mjpeg`, or "" for one that nothing here records."""

    token: str
    name: str
    codec: str
    width: int
    height: int
    rate: float


def check_address(text: str) -> str:
    """Return the address of a device's service from a host, `host:port` or an address.

    Raises ProtocolError `onvif.address`, `onvif.credentials`, `onvif.public` (plain http to a public address).
    """
    if not text.isascii() or not text.isprintable() or " " in text or not 0 < len(text) <= 300:
        raise ProtocolError("onvif.address", "an address has no spaces and at most 300 characters")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise ProtocolError("onvif.address", "this is no address") from error
    if "@" in parts.netloc:
        raise ProtocolError("onvif.credentials", "give user and password by themselves, not inside the address")
    if parts.scheme not in ("http", "https") or not host or port == 0 or parts.query or parts.fragment:
        raise ProtocolError("onvif.address", "a camera's address looks like 192.168.1.20 or https://192.168.1.20:443")
    if parts.scheme == "http" and not _private(host):
        raise ProtocolError("onvif.public", "a camera in a public network is not asked over plain http; use https")
    return f"{parts.scheme}://{parts.netloc}{parts.path if parts.path not in ('', '/') else PATH}"


def _private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        # A name: only such as are given inside of a network.
        return "." not in host or host.endswith((".local", ".lan", ".home", ".internal", ".home.arpa", ".fritz.box"))


def check_token(token: str) -> str:
    """Return a profile's or recording's token (ONVIF Core: 64 characters; some have more). Raises ProtocolError `onvif.token`."""
    if not _TOKEN.fullmatch(token):
        raise ProtocolError("onvif.token", "a token is printable text of at most 128 characters")
    return token


def explain(code: str) -> str:
    """Say what a problem of an ONVIF device means, for the owner."""
    return {
        "unreachable": _("The camera does not answer, or its certificate is not the one expected."),
        "refused": _("The camera does not accept this user and password."),
        "missing": _("The camera does not offer this."),
        "redirect": _("The camera points to another address; it is not followed."),
        "too_large": _("The camera's answer is longer than any camera's should be."),
        "too_many": _("The camera's answer goes on and on."),
        "slow": _("The camera answers too slowly."),
        "other_host": _("The camera names a stream on another machine; your password is not sent there."),
        "secret": _("The address of the camera's stream holds a password, so it is not stored."),
        "no_profile": _("The camera has no stream that can be recorded."),
        "no_recording": _("This device has no such recording."),
        "several": _("This device has several recordings; say which one is this camera's."),
        "no_replay": _("The recorder offers no replay that can be read here."),
        "basic": _("The recorder wants the password in clear; it is not sent."),
        "fingerprint": _("The certificate has another fingerprint."),
        "other_device": _("Another device answers at this address."),
    }.get(code, _("The camera gave an answer that is not understood."))


def certificate(address: str, fingerprint: str) -> str:
    """Return the certificate (PEM) that a device shows, if its SHA-256 is `fingerprint`. Raises SourceProblem, ProtocolError."""
    wanted = fingerprint.replace(":", "").strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ProtocolError("onvif.fingerprint", "a fingerprint is the certificate's SHA-256, 64 hexadecimal digits")
    parts = urlsplit(address)
    if parts.scheme != "https":
        raise ProtocolError("onvif.fingerprint", "a fingerprint belongs to an https address")
    try:
        found = ssl.get_server_certificate((parts.hostname or "", parts.port or 443), timeout=10)
    except (OSError, ValueError) as error:
        raise SourceProblem("unreachable") from error
    if hashlib.sha256(ssl.PEM_cert_to_DER_cert(found)).hexdigest() != wanted:
        raise SourceProblem("fingerprint")
    return found


def about(device: Device) -> About:
    """Ask who the device is. Raises SourceProblem."""
    said = parsers.parse_device_information(device.call("device", envelopes.device_get_information()))
    names = ("Manufacturer", "Model", "FirmwareVersion", "SerialNumber")
    return About(*(plain(said.get(name, "")) for name in names))


def profiles(device: Device) -> list[Profile]:
    """Return the camera's streams; the newer media service names H.265, so it is asked first. Raises SourceProblem."""
    found: list[Profile] = []
    problem = SourceProblem("missing")
    for service, newer in (("media2", True), ("media", False)):
        if found or not device.has(service):
            continue
        try:
            answer = device.call(service, envelopes.media_get_profiles(use_media2=newer))
        except SourceProblem as error:
            if error.code not in ("missing", "fault"):
                raise
            problem = error
            continue
        said: list[dict[str, Any]] = walked(parsers.parse_profiles, answer)
        if len(said) > MAX_PROFILES:
            raise SourceProblem("too_many")
        found = [one for one in map(_profile, said) if one is not None]
    if not found and not (device.has("media2") or device.has("media")):
        raise problem
    return found


def choose(found: Sequence[Profile], token: str = "") -> tuple[Profile, str]:
    """Return the profile to record, and why. Raises SourceProblem `no_profile`.

    By default the largest picture; of equal ones H.264, which more machines can show, before H.265, and then the higher rate.
    """
    if token:
        for one in found:
            if one.token == token:
                if not one.codec:
                    break
                return one, _("It is the one that you named.")
        raise SourceProblem("no_profile")
    usable = [one for one in found if one.codec]
    if not usable:
        raise SourceProblem("no_profile")
    # `found` in the camera's own order: of wholly equal ones the first is its main stream.
    best = max(usable, key=lambda one: (one.width * one.height, _RANK[one.codec], one.rate))
    same = [one for one in usable if one.width * one.height == best.width * best.height and one.codec != best.codec]
    if same and best.codec == "h264":
        return best, _("It has the largest picture, and of that size H.264 is shown by more machines than H.265.")
    return best, _("It has the largest picture.")


def stream_address(device: Device, token: str) -> str:
    """Ask where a profile's stream is; the address has our host and no credentials. Raises SourceProblem."""
    problem = SourceProblem("missing")
    for service, newer in (("media2", True), ("media", False)):
        if not device.has(service):
            continue
        body = envelopes.media_get_stream_uri(profile_token=token, use_media2=newer)
        try:
            answer = device.call(service, body)
        except SourceProblem as error:
            if error.code not in ("missing", "fault"):
                raise
            problem = error
            continue
        return own_address(parsers.parse_stream_uri(answer), device)
    raise problem


def own_address(said: str, device: Device) -> str:
    """Return a media address that a device named, on the host that its owner named.

    A password or a user in it is left out; one that hides a password in its path is refused. Raises SourceProblem `answer`,
    `other_host`, `secret`.
    """
    ours = urlsplit(device.address).hostname or ""
    try:
        parts = urlsplit(said)
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise SourceProblem("answer") from error
    if parts.scheme not in ("rtsp", "rtsps") or not said.isascii() or not said.isprintable() or " " in said or len(said) > 1000:
        raise SourceProblem("answer")
    if port == 0:
        raise SourceProblem("answer")
    if host != ours and not _unroutable(host):
        raise SourceProblem("other_host")
    rest = unquote(parts.path + "?" + parts.query)
    if _SECRET.search(rest) or (len(device.password) >= 4 and device.password in rest):
        raise SourceProblem("secret")
    netloc = (f"[{ours}]" if ":" in ours else ours) + (f":{port}" if port else "")
    return parts._replace(netloc=netloc, fragment="").geturl()


def _unroutable(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_unspecified or address.is_loopback or address.is_link_local


def _profile(said: dict[str, Any]) -> Profile | None:
    token, picture = said.get("token"), said.get("video_encoder") or {}
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    rate = picture.get("fps_limit") or 0
    size = [picture.get(name) or 0 for name in ("width", "height")]
    if any(not 0 <= n <= 32_768 for n in size) or not 0 <= rate <= 1000:
        return None
    codec = _CODECS.get(str(picture.get("encoding", "")).upper(), "")
    return Profile(token, plain(said.get("name", "")), codec, size[0], size[1], float(rate))


def plain(text: object) -> str:
    """Return a device's word as text that can be shown."""
    return _TEXT.sub("", str(text)).strip()[:64]
