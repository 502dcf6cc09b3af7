"""Calls to one ONVIF device: bounded, never redirected, and never to another host than the one its owner named.

Messages and answers are built and read by onveef's functions that do no input or output (defusedxml beneath: no entities). The
calls are ours, because a library's client takes proxies from the environment, decodes compressed bodies, falls back to Basic
and quotes answers in its errors. A device is shown the WS-UsernameToken digest (Web Services Security UsernameToken Profile
1.0, which ONVIF Core section 5.9 names) and, where it asks, HTTP Digest; the password itself never.
"""

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from xml.sax.saxutils import escape

from fairwitness_core.crypto.random import token_bytes
from onveef import envelopes, parsers

from fairwitness.home.adapters import onvif_digest
from fairwitness.home.adapters.base import SourceProblem
from fairwitness.kit import clock
from fairwitness.kit.http import SocketTransport, Transport, Unreachable

MAX_ANSWER: Final = 1 << 20
CALL_S: Final = 10.0
NEAR_S: Final = 2.0
"""A device's clock states whole seconds: one that is off by less than this is taken as right."""
_TYPE: Final = "application/soap+xml; charset=utf-8"
_WSS: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_DENIED: Final = ("notauthorized", "not authorized", "unauthorized", "failedauthentication", "failed authentication")


@dataclass(slots=True)
class Device:
    """One device at `address` (its device service). `certificate`: the one (PEM) that it must show, where the address is https.

    `ahead`: seconds by which its clock is ahead of ours, None = not asked or not said; `skewed`: it only took the password with
    the time of its own clock.
    """

    address: str
    user: str
    password: str = field(repr=False)
    certificate: str = field(default="", repr=False)
    transport: Transport | None = field(default=None, repr=False)
    call_s: float = CALL_S
    ahead: float | None = None
    skewed: bool = False
    _services: dict[str, str] | None = field(default=None, repr=False)
    _challenge: onvif_digest.Challenge | None = field(default=None, repr=False)
    _count: int = 0

    def services(self) -> dict[str, str]:
        """Return which services there are, and under which address of this very device. Raises SourceProblem."""
        if self._services is None:
            found: dict[str, str] = {}
            try:
                found = parsers.parse_services(self.call("device", envelopes.device_get_services()))
            except SourceProblem as problem:
                if problem.code not in ("missing", "fault"):
                    raise
            if not found:
                found = parsers.parse_capabilities(self.call("device", envelopes.device_get_capabilities()))
            self._services = {name: self._own(where) for name, where in found.items()}
        return self._services

    def has(self, service: str) -> bool:
        """Tell whether the device offers a service. Raises SourceProblem."""
        return service in self.services()

    def clock(self) -> float | None:
        """Ask for the device's time (no password is needed for it) and return `ahead`. Raises SourceProblem."""
        before = clock.now_float()
        said = walked(parsers.parse_system_datetime, self._once(self.address, envelopes.device_get_system_date_time(), None))
        after = clock.now_float()
        self.ahead = _ahead(said.get("UTCDateTime"), before, after)
        return self.ahead

    def call(self, service: str, body: str) -> str:
        """Make one call and return the answer's XML, well-formed and no fault.

        Raises SourceProblem: `unreachable`, `refused` (user or password), `missing` (no such service or call), `redirect`,
        `too_large`, `slow`, `fault`, `answer`.
        """
        url = self.address if service == "device" else self.services().get(service, "")
        if not url:
            raise SourceProblem("missing")
        offset = self.ahead or 0.0 if self.skewed else 0.0
        try:
            return self._once(url, body, offset)
        except SourceProblem as problem:
            if problem.code != "refused" or self.skewed or not self.user:
                raise
        # A device refuses a token whose time is not its own; most say no more than that they refuse.
        if self.clock() is None or abs(self.ahead or 0.0) <= NEAR_S:
            raise SourceProblem("refused")
        found = self._once(url, body, self.ahead)
        self.skewed = True
        return found

    def _own(self, where: str) -> str:
        """Return a service's address with our own scheme, host and port: what a device says of these is often wrong."""
        try:
            told = urlsplit(where)
        except ValueError as error:
            raise SourceProblem("answer") from error
        if not where.isascii() or not where.isprintable() or " " in where or len(where) > 1000:
            raise SourceProblem("answer")
        ours = urlsplit(self.address)
        return urlunsplit((ours.scheme, ours.netloc, told.path or "/", told.query, ""))

    def _once(self, url: str, body: str, offset: float | None) -> str:
        """Make one call with the login of a clock that is `offset` seconds ahead, None = without; the HTTP challenge is met."""
        status, text, asked = self._post(url, self._envelope(body, offset), login=offset is not None)
        if status == 401 and offset is not None and self.user:
            challenge = onvif_digest.parse(asked)
            if challenge is not None:
                self._challenge, self._count = challenge, 0
                status, text, _asked = self._post(url, self._envelope(body, offset), login=True)
        if 300 <= status < 400:
            raise SourceProblem("redirect")
        if status in (401, 403):
            raise SourceProblem("refused")
        root = parsers.parse_xml(text)
        if root is None:
            raise SourceProblem("missing" if status == 404 else "answer")
        fault = parsers.find_local(root, "Fault")
        if fault is not None:
            words = " ".join(t for t in fault.itertext() if t.strip()).lower()[:4000]
            if any(word in words for word in _DENIED):
                raise SourceProblem("refused")
            raise SourceProblem("missing" if parsers.fault_is_unsupported(words) else "fault")
        if status != 200:
            raise SourceProblem("answer")
        return text

    def _post(self, url: str, body: bytes, *, login: bool) -> tuple[int, str, str]:
        parts = urlsplit(url)
        headers = {
            "Host": parts.netloc,
            "User-Agent": "fairwitness/1",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "Content-Type": _TYPE,
            "Content-Length": str(len(body)),
        }
        if login and self._challenge is not None:
            self._count += 1
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            headers["Authorization"] = onvif_digest.answer(
                self._challenge,
                user=self.user,
                password=self.password,
                method="POST",
                uri=path,
                cnonce=token_bytes(8).hex(),
                count=self._count,
            )
        carrier = self.transport or SocketTransport(pinned=self.certificate)
        until = time.monotonic() + self.call_s
        found = bytearray()
        try:
            answer = carrier.send("POST", url, headers, body, self.call_s)
        except Unreachable as error:
            raise SourceProblem("unreachable") from error
        try:
            for chunk in answer.chunks:
                found += chunk
                if len(found) > MAX_ANSWER:
                    raise SourceProblem("too_large")
                if time.monotonic() > until:
                    raise SourceProblem("slow")
        except Unreachable as error:
            raise SourceProblem("unreachable") from error
        finally:
            answer.close()
        return answer.status, found.decode("utf-8", "replace"), answer.headers.get("www-authenticate", "")

    def _envelope(self, body: str, offset: float | None) -> bytes:
        head = "<s:Header/>" if offset is None or not self.user else f"<s:Header>{self._token(offset)}</s:Header>"
        return f"{envelopes.XML_PROLOG}<s:Envelope {envelopes.NS_DECL}>{head}<s:Body>{body}</s:Body></s:Envelope>".encode()

    def _token(self, offset: float) -> str:
        nonce = token_bytes(16)
        created = f"{datetime.fromtimestamp(clock.now_float() + offset, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
        digest = hashlib.sha1(nonce + created.encode() + self.password.encode(), usedforsecurity=False).digest()
        kinds = {
            "Password": (f"{_WSS}username-token-profile-1.0#PasswordDigest", digest),
            "Nonce": (f"{_WSS}soap-message-security-1.0#Base64Binary", nonce),
        }
        attribute = {"Password": "Type", "Nonce": "EncodingType"}
        fields = "".join(
            f'<wsse:{name} {attribute[name]}="{kind}">{base64.b64encode(value).decode()}</wsse:{name}>'
            for name, (kind, value) in kinds.items()
        )
        return (
            f'<wsse:Security s:mustUnderstand="1" xmlns:wsse="{_WSS}wssecurity-secext-1.0.xsd"'
            f' xmlns:wsu="{_WSS}wssecurity-utility-1.0.xsd"><wsse:UsernameToken>'
            f"<wsse:Username>{escape(self.user)}</wsse:Username>{fields}"
            f"<wsu:Created>{created}</wsu:Created></wsse:UsernameToken></wsse:Security>"
        )


def walked[T](parse: Callable[[str], T], answer: str) -> T:
    """Return what a parser makes of an answer; what it cannot walk through is no answer. Raises SourceProblem."""
    try:
        return parse(answer)
    except (RecursionError, ValueError, OverflowError, TypeError, AttributeError) as error:
        raise SourceProblem("answer") from error


def _ahead(said: Any, before: float, after: float) -> float | None:
    """Return by how much the stated second (its middle) is ahead of the middle of the call."""
    if not isinstance(said, dict):
        return None
    try:
        names = ("year", "month", "day", "hour", "minute", "second")
        year, month, day, hour, minute, second = (int(said[name]) for name in names)
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return at.timestamp() + 0.5 - (before + after) / 2
