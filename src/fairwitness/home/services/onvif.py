"""Finding and adding ONVIF cameras and recorders: what an owner is shown before anything is stored, and what is stored then."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from fairwitness.home.adapters import onvif, onvif_again, onvif_discovery, onvif_recordings
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.onvif_soap import Device
from fairwitness.home.adapters.rtsp import check_address
from fairwitness.home.errors import invalid, unreachable
from fairwitness.home.models import Recorder
from fairwitness.home.services import cameras, recorders
from fairwitness.kit import clock


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device that answered: `known` names the cameras that are recorded from its address already."""

    address: str
    name: str
    hardware: str
    known: tuple[int, ...]


def discover(seconds: float = 4.0) -> list[DeviceView]:
    """Ask the devices on this machine's own networks who they are (adapters.onvif_discovery). Raises Refused."""
    if not 0 < seconds <= onvif_discovery.MAX_SECONDS:
        raise invalid("onvif.seconds", _("Listen for up to 30 seconds."))
    try:
        found = onvif_discovery.discover(seconds)
    except OSError as error:
        raise unreachable("onvif.network", _("This machine is part of no network in which cameras could be.")) from error
    known: dict[str, set[int]] = {}
    for row in Recorder.objects.select_related("source"):
        known.setdefault(urlsplit(row.address).hostname or "", set()).add(row.source.camera_id)
    return [DeviceView(one.address, one.name, one.hardware, tuple(sorted(known.get(one.host, ())))) for one in found]


@dataclass(frozen=True, slots=True)
class View:
    """What an ONVIF device has. `profile`: the stream that would be recorded (None: none can be), `why` it is that one.

    `ahead_ms`: how far its clock is ahead of this machine's (None: it does not say); `skewed`: it takes the password only with
    the time of its own clock. `recordings`: what it recorded itself (times in Unix seconds by its clock).
    """

    address: str
    maker: str
    model: str
    version: str
    ahead_ms: int | None
    skewed: bool
    profiles: list[onvif.Profile]
    profile: str | None
    why: str
    recordings: list[onvif_recordings.Stored]


def look(address: str, *, user: str = "", password: str = "", fingerprint: str = "", profile: str = "") -> View:
    """Ask a device what it has; nothing is stored. Raises Refused, ProtocolError."""
    device = _device(address, user, password, fingerprint)
    with _told():
        about = onvif.about(device)
        ahead = device.clock()
        found = onvif.profiles(device) if device.has("media") or device.has("media2") else []
        chosen, why = None, onvif.explain("no_profile")
        if profile or any(one.codec for one in found):
            chosen, why = onvif.choose(found, profile)
        own = onvif_recordings.recordings(device) if device.has("search") and device.has("replay") else []
    return View(
        address=device.address,
        maker=about.maker,
        model=about.model,
        version=about.version,
        ahead_ms=None if ahead is None else round(ahead * 1000),
        skewed=device.skewed,
        profiles=found,
        profile=None if chosen is None else chosen.token,
        why=why,
        recordings=own,
    )


def add(
    camera_id: int,
    address: str,
    *,
    user: str,
    password: str,
    profile: str = "",
    recordings: bool = False,
    recording: str = "",
    fingerprint: str = "",
    folder: str = "",
    keep_days: int = 14,
    keep_bytes: int = 0,
    sound: bool = False,
) -> Recorder:
    """Record the stream of an ONVIF camera (`profile` "": the best), or with `recordings` fetch what a device recorded itself.

    `recording`: which of its recordings; it may be left out where there is one. Raises Refused, ProtocolError.
    """
    cameras.get(camera_id)
    recorders.check_limits(keep_days, keep_bytes)
    recorders.check_secret(user, password)
    device = _device(address, user, password, fingerprint)
    secret = {"user": user, "password": password}
    limits = {"keep_days": keep_days, "keep_bytes": keep_bytes}
    with _told():
        about = onvif.about(device)
        device.clock()
        said: dict[str, Any] = onvif_again.options(device, clock.now(), about)
        if recordings or recording:
            one = _recording(device, recording)
            onvif_recordings.replay_address(device, one.token)
            more = {"onvif": said | {"recording": one.token}}
            return recorders.add_row("onvif", camera_id, device.address, secret=secret, options=more, folder=folder, **limits)
        chosen, why = onvif.choose(onvif.profiles(device), profile)
        stream = check_address(onvif.stream_address(device, chosen.token))
    options = {"sound": sound, "onvif": said | {"profile": chosen.token, "why": why}}
    return recorders.add_row("rtsp", camera_id, stream, secret=secret, options=options, folder=folder, **limits)


def _recording(device: Device, token: str) -> onvif_recordings.Stored:
    found = onvif_recordings.recordings(device)
    if token:
        found = [one for one in found if one.token == token]
    if len(found) != 1:
        raise SourceProblem("several" if found else "no_recording")
    return found[0]


def _device(address: str, user: str, password: str, fingerprint: str) -> Device:
    recorders.check_secret(user, password)
    where = onvif.check_address(address)
    with _told():
        return Device(where, user, password, onvif.certificate(where, fingerprint) if fingerprint else "")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn a device's problem into a sentence for the owner."""
    try:
        yield
    except SourceProblem as error:
        raise unreachable(f"onvif.{error.code}", onvif.explain(error.code)) from error
