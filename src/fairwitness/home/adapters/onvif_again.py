"""What is remembered of an ONVIF device, and asking it again: its clock now and then, its stream's address when that fails."""

from dataclasses import dataclass
from typing import Any, Final

from fairwitness_core.wire.errors import ProtocolError

from fairwitness.home.adapters import onvif
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.home.adapters.onvif_soap import CALL_S, Device
from fairwitness.home.adapters.rtsp import check_address

AGAIN_S: Final = 300
"""A camera that does not deliver is asked anew where its stream is this often."""
CLOCK_S: Final = 6 * 3600
_SHORT_S: Final = 4.0  # other cameras' recorders wait for this


@dataclass(frozen=True, slots=True)
class Again:
    """What asking again found: what to remember, the stream's address, and a problem to show ("" = none)."""

    options: dict[str, Any]
    address: str
    problem: str


def options(device: Device, now: int, about: onvif.About) -> dict[str, Any]:
    """Return what to remember of a device; no credentials."""
    return {
        "address": device.address,
        "certificate": device.certificate,
        "model": f"{about.maker} {about.model}".strip(),
        "serial": about.serial,
        "asked_at": now,
        "ahead_ms": _ahead(device),
        "skewed": device.skewed,
    }


def device(said: dict[str, Any], secret: dict[str, str], call_s: float = CALL_S) -> Device:
    """Return the device that `options` remembered."""
    ahead = said.get("ahead_ms")
    return Device(
        str(said["address"]),
        secret["user"],
        secret["password"],
        str(said.get("certificate", "")),
        call_s=call_s,
        ahead=None if ahead is None else ahead / 1000,
        skewed=bool(said.get("skewed", False)),
    )


def due(said: dict[str, Any], now: int, problem: str) -> bool:
    """Tell whether a device is to be asked again; `problem`: the word for why it delivers nothing, "" = it does."""
    return now - int(said.get("asked_at", 0)) >= (AGAIN_S if problem else CLOCK_S)


def ask(said: dict[str, Any], secret: dict[str, str], address: str, now: int, problem: str) -> Again:
    """Ask for the clock and, while there is a problem, for the stream. `address`: the stream's, as far as it is known."""
    asked = device(said, secret, _SHORT_S)
    found: dict[str, Any] = {"asked_at": now}
    trouble = ""
    try:
        asked.clock()
        if problem:
            address = _stream(asked, said)
        found |= {"ahead_ms": _ahead(asked), "skewed": asked.skewed}
    except SourceProblem as error:
        trouble = error.code if error.code in ("other_device", "other_host", "secret") else ""
    except ProtocolError:
        trouble = "answer"
    return Again(said | found, address, trouble)


def _stream(asked: Device, said: dict[str, Any]) -> str:
    # Another device may have taken over the address: its stream is not this camera's.
    if onvif.about(asked).serial != said.get("serial", ""):
        raise SourceProblem("other_device")
    return check_address(onvif.stream_address(asked, str(said["profile"])))


def _ahead(asked: Device) -> int | None:
    return None if asked.ahead is None else round(asked.ahead * 1000)
