"""Telling the owner, through channels that the owner configured and nobody else.

A channel on the owner's own network is `LOCAL`. Every other one belongs to a company that learns when it is used
(design 9.12), which is `THIRD_PARTY`; whoever calls decides what that may learn.
"""

import enum
import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from urllib.parse import urlsplit

import apprise

_LOCAL_NAMES = (".local", ".lan", ".home.arpa", ".internal", ".localdomain")
# Services of Apprise that speak to the host in the address and to nobody else.
_HOST_SCHEMES = frozenset(
    {
        "json", "jsons", "xml", "xmls", "form", "forms", "mqtt", "mqtts", "syslog", "rsyslog", "gotify", "gotifys",
        "hassio", "hassios", "ntfy", "ntfys", "mailto", "mailtos", "kodi", "kodis", "xbmc", "nctalk", "nctalks",
        "ncloud", "nclouds", "matrix", "matrixs", "apprise", "apprises",
    }
)  # fmt: skip
_NO_NETWORK = frozenset({"dbus", "kde", "qt", "glib", "gnome", "macosx", "windows", "syslog"})


class Reach(enum.Enum):
    """Who learns of a message's existence."""

    LOCAL = "the owner's own network"
    THIRD_PARTY = "a company outside"


@dataclass(frozen=True, slots=True)
class Channel:
    """One Apprise URL that the owner entered; its repr hides it, since it may carry a password."""

    url: str

    def __repr__(self) -> str:
        return f"Channel({urlsplit(self.url).scheme}://...)"

    @property
    def reach(self) -> Reach:
        """Where its messages go."""
        return classify(self.url)


def valid(url: str) -> bool:
    """Tell whether Apprise understands the address."""
    return apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None


def classify(url: str) -> Reach:
    """Return LOCAL for services that speak to a host on a private network or to this machine, else THIRD_PARTY.

    A name that only a resolver could judge counts as a third party: a wrong LOCAL would tell a company of a match.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme in _NO_NETWORK and not parts.hostname:
        return Reach.LOCAL
    if scheme in _NO_NETWORK - {"syslog"}:
        return Reach.LOCAL
    if scheme not in _HOST_SCHEMES or not parts.hostname:
        return Reach.THIRD_PARTY
    # `?smtp=...` and its like name another host than the address does.
    if parts.query and any(key in parts.query.lower() for key in ("smtp=", "host=", "server=", "proxy=", "mode=")):
        return Reach.THIRD_PARTY
    return Reach.LOCAL if _local_host(parts.hostname.lower()) else Reach.THIRD_PARTY


def _local_host(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(_LOCAL_NAMES)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return (address.is_private or address.is_link_local or address.is_loopback) and not address.is_unspecified


type Sender = Callable[[str, str, str], bool]


def _apprise(url: str, title: str, body: str) -> bool:
    node = apprise.Apprise()
    if not node.add(url):
        return False
    return bool(node.notify(title=title, body=body))


_sender: Sender = _apprise


def set_sender(sender: Sender | None) -> None:
    """Have `sender(url, title, body)` deliver instead of Apprise, in tests and drivers; None undoes it."""
    global _sender  # noqa: PLW0603 - one sender per process is the point
    _sender = _apprise if sender is None else sender


_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="notify")


def send(channel: Channel, title: str, body: str, timeout: float = 10.0) -> bool:
    """Deliver one message and tell whether the service took it within `timeout` seconds; never raises for the network."""
    future = _pool.submit(_sender, channel.url, title, body)
    try:
        return future.result(timeout)
    except (FutureTimeoutError, OSError, socket.gaierror):
        return False
    except Exception:  # noqa: BLE001 - a plugin of Apprise may raise anything, and the owner's page still shows the badge
        return False
