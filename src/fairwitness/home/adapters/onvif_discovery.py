"""Looking for ONVIF devices on this machine's own networks (WS-Discovery 2005/04), when its owner asks and only then.

Anybody on the network may answer, so an answer counts only if it names our question, came from one of our own networks, and
names an address in that same network: a hostile one cannot send the home's password to a host elsewhere. One on the same network
can still pretend to be a camera; see docs/threat-model.md.
"""

import contextlib
import fcntl
import ipaddress
import re
import select
import socket
import struct
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from fairwitness_core.crypto.random import token_bytes
from onveef import parsers, wsdiscovery

GROUP: Final = (wsdiscovery.WS_DISCOVERY_ADDRESS, wsdiscovery.WS_DISCOVERY_PORT)
MAX_DATAGRAMS: Final = 512
MAX_DEVICES: Final = 64
MAX_SECONDS: Final = 30.0
_MAX_DATAGRAM: Final = 32_768
_PROBES: Final = 3  # a datagram may be lost
_GET_ADDRESS, _GET_MASK, _GET_FLAGS = 0x8915, 0x891B, 0x8913  # Linux: SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFFLAGS
_UP, _LOOPBACK, _POINT_TO_POINT, _MULTICAST = 0x1, 0x8, 0x10, 0x1000
_TEXT: Final = re.compile(r"[^\x20-\x7e\xa0-\ud7ff]")


@dataclass(frozen=True, slots=True)
class Place:
    """One of this machine's own addresses, and the network that it is part of."""

    address: str
    network: ipaddress.IPv4Network


@dataclass(frozen=True, slots=True)
class Found:
    """A device as it describes itself: unproven words. `address`: its device service, on one of our networks."""

    address: str
    host: str
    name: str
    hardware: str


def places() -> list[Place]:
    """Return this machine's private IPv4 networks that carry multicast; a tunnel or a public address is none."""
    found: list[Place] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:

        def ask(name: str, what: int) -> bytes:
            return fcntl.ioctl(handle.fileno(), what, struct.pack("256s", name.encode()[:15]))

        for _number, name in socket.if_nameindex():
            try:
                (flags,) = struct.unpack_from("<H" if struct.pack("=H", 1) == b"\1\0" else ">H", ask(name, _GET_FLAGS), 16)
                address = socket.inet_ntoa(ask(name, _GET_ADDRESS)[20:24])
                mask = socket.inet_ntoa(ask(name, _GET_MASK)[20:24])
            except OSError:
                continue  # an interface without an IPv4 address
            fit = flags & _UP and flags & _MULTICAST and not flags & (_LOOPBACK | _POINT_TO_POINT)
            if fit and ipaddress.ip_address(address).is_private:
                found.append(Place(address, ipaddress.IPv4Network(f"{address}/{mask}", strict=False)))
    return found


def discover(seconds: float, *, where: Sequence[Place] | None = None, target: tuple[str, int] = GROUP) -> list[Found]:
    """Ask on every one of our networks and listen for `seconds`; at most MAX_DEVICES devices, in order of address.

    `where` and `target` are for tests. Raises OSError when no network can be asked.
    """
    seconds = min(max(seconds, 0.2), MAX_SECONDS)
    asked = [f"urn:uuid:{uuid.UUID(bytes=token_bytes(16), version=4)}" for _ in range(_PROBES)]
    found: dict[str, Found] = {}
    with contextlib.ExitStack() as stack:
        handles = {}
        for place in places() if where is None else where:
            handle = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            handle.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            handle.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(place.address))
            handle.bind((place.address, 0))
            handle.setblocking(False)
            handles[handle] = place
        if not handles:
            raise OSError("this machine is part of no private network")
        begun = time.monotonic()
        sent = taken = 0
        while (passed := time.monotonic() - begun) < seconds and taken < MAX_DATAGRAMS and len(found) < MAX_DEVICES:
            if sent < _PROBES and passed >= sent * seconds / (_PROBES + 1):
                for handle in handles:
                    with contextlib.suppress(OSError):
                        handle.sendto(wsdiscovery.build_probe(message_id=asked[sent]).encode(), target)
                sent += 1
            ready, _, _ = select.select(list(handles), [], [], min(0.2, seconds - passed))
            for handle in ready:
                try:
                    data, (sender, _port) = handle.recvfrom(_MAX_DATAGRAM + 1)
                except OSError:
                    continue
                taken += 1
                for device in read(data, sender, handles[handle], asked):
                    found.setdefault(device.address, device)
    return sorted(found.values(), key=lambda d: (ipaddress.ip_address(d.host), d.address))[:MAX_DEVICES]


def read(data: bytes, sender: str, place: Place, asked: Sequence[str]) -> list[Found]:
    """Return the devices that one datagram names; none for what is not an answer to `asked` from `place` itself."""
    if len(data) > _MAX_DATAGRAM or not _near(sender, place):
        return []
    try:
        root = parsers.parse_xml(data)
        relates = None if root is None else parsers.find_local(root, "RelatesTo")
        if relates is None or (relates.text or "").strip() not in asked:
            return []
        named = wsdiscovery.parse_probe_matches(data.decode("utf-8", "replace"))[:MAX_DEVICES]
    except (RecursionError, ValueError):
        return []
    found = []
    for device in named:
        own = [where for where in device.xaddrs[:8] if _ours(where, place)]
        # Several addresses of one device: the one that it answered from surely leads to it.
        own.sort(key=lambda where: urlsplit(where).hostname != sender)
        if own:
            host = urlsplit(own[0]).hostname or ""
            found.append(Found(own[0], host, _plain(device.name), _plain(device.hardware)))
    return found


def _ours(where: str, place: Place) -> bool:
    try:
        parts = urlsplit(where)
        port = parts.port
    except ValueError:
        return False
    plain = where.isascii() and where.isprintable() and len(where) <= 300
    bare = "@" not in parts.netloc and not parts.query and not parts.fragment and port != 0
    return plain and bare and parts.scheme in ("http", "https") and _near(parts.hostname or "", place)


def _near(host: str, place: Place) -> bool:
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return address in place.network and address not in (place.network.broadcast_address, ipaddress.IPv4Address(0))


def _plain(text: str) -> str:
    return _TEXT.sub("", unquote(text)).strip()[:64]
