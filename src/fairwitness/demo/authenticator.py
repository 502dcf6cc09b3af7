"""A passkey authenticator in software, and a client that enrols and signs in with it through the ordinary pages.

It is for tests and the demo, where no person sits before a device. The node treats it as any other authenticator: there
is no other way in (design 9.16).
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fairwitness_core.crypto import random
from fido2 import cbor

from fairwitness.kit import http

_USER_PRESENT, _USER_VERIFIED, _ATTESTED = 0x01, 0x04, 0x40
_ES256 = -7


class SignInFailed(Exception):
    """The node did not accept what the authenticator gave it; the message quotes the node's answer."""


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(slots=True)
class _Credential:
    id: bytes
    rp_id: str
    user_handle: bytes
    key: ec.EllipticCurvePrivateKey
    count: int = 0


@dataclass(slots=True)
class SoftAuthenticator:
    """Holds ES256 passkeys (WebAuthn level 3). `user_verified` is the UV flag it sets; tests turn it off."""

    user_verified: bool = True
    credentials: list[_Credential] = field(default_factory=list)

    def create(self, options: Mapping[str, Any], origin: str) -> dict[str, Any]:
        """Make a passkey for creation `options` (`{"publicKey": ...}`) and return the credential as JSON-ready data."""
        wanted = options["publicKey"]
        if not any(item["alg"] == _ES256 for item in wanted["pubKeyCredParams"]):
            raise SignInFailed("the node asks for no algorithm that this authenticator has")
        made = _Credential(
            id=random.token_bytes(32),
            rp_id=wanted["rp"].get("id") or str(urlsplit(origin).hostname),
            user_handle=_unb64(wanted["user"]["id"]),
            key=ec.generate_private_key(ec.SECP256R1()),
        )
        self.credentials.append(made)
        point = made.key.public_key().public_numbers()
        cose = cbor.encode({1: 2, 3: _ES256, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})
        attested = bytes(16) + len(made.id).to_bytes(2, "big") + made.id + cose
        client = self._client_data("webauthn.create", wanted["challenge"], origin)
        data = self._authenticator_data(made, _ATTESTED) + attested
        return {
            "id": _b64(made.id),
            "rawId": _b64(made.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {"credProps": {"rk": True}},
            "response": {
                "clientDataJSON": _b64(client),
                "attestationObject": _b64(cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})),
                "transports": ["internal"],
            },
        }

    def get(self, options: Mapping[str, Any], origin: str) -> dict[str, Any]:
        """Sign request `options` (`{"publicKey": ...}`) with the newest fitting passkey; the counter grows by one."""
        wanted = options["publicKey"]
        rp_id = wanted.get("rpId") or str(urlsplit(origin).hostname)
        allowed = {_unb64(item["id"]) for item in wanted.get("allowCredentials") or ()}
        fitting = [c for c in self.credentials if c.rp_id == rp_id and (not allowed or c.id in allowed)]
        if not fitting:
            raise SignInFailed("this authenticator has no passkey for that node")
        used = fitting[-1]
        used.count += 1
        client = self._client_data("webauthn.get", wanted["challenge"], origin)
        data = self._authenticator_data(used, 0)
        signature = used.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return {
            "id": _b64(used.id),
            "rawId": _b64(used.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": _b64(client),
                "authenticatorData": _b64(data),
                "signature": _b64(signature),
                "userHandle": _b64(used.user_handle),
            },
        }

    def _authenticator_data(self, credential: _Credential, flags: int) -> bytes:
        bits = flags | _USER_PRESENT | (_USER_VERIFIED if self.user_verified else 0)
        return hashlib.sha256(credential.rp_id.encode()).digest() + bytes([bits]) + credential.count.to_bytes(4, "big")

    @staticmethod
    def _client_data(kind: str, challenge: str, origin: str) -> bytes:
        found = {"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}
        return json.dumps(found, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """A node's answer to SoftClient. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Exchange(Protocol):
    """Carries one request of SoftClient to a node."""

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send it and return the answer; cookies are SoftClient's own affair."""


class HttpExchange:
    """Carries requests over kit.http's transport to the node at `base` (such as http://localhost:8000)."""

    def __init__(self, base: str, *, transport: http.Transport | None = None, timeout: float = 30.0) -> None:
        self._base = base.rstrip("/")
        self._transport = transport or http.SocketTransport()
        self._timeout = timeout

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send one request; raises Unreachable."""
        every = {"Host": urlsplit(self._base).netloc, **headers, "Content-Length": str(len(body))}
        answer = self._transport.send(method, self._base + path, every, body, self._timeout)
        try:
            return Reply(answer.status, answer.headers, b"".join(answer.chunks))
        finally:
            answer.close()


class DjangoExchange:
    """Carries requests into a `django.test.Client` made with enforce_csrf_checks=True."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Perform one request in this process."""
        self._client.cookies.clear()
        kind = headers.get("Content-Type", "application/octet-stream")
        answer = self._client.generic(method, path, body, content_type=kind, headers=dict(headers), secure=False)
        found = {key.lower(): value for key, value in answer.headers.items()}
        cookies = [morsel.OutputString() for morsel in answer.cookies.values()]
        if cookies:
            found["set-cookie"] = ", ".join(cookies)
        return Reply(answer.status_code, found, answer.getvalue())


class SoftClient:
    """A person's browser: one cookie jar, one authenticator, one node."""

    def __init__(self, exchange: Exchange, origin: str = "http://localhost") -> None:
        self.origin = origin
        self.authenticator = SoftAuthenticator()
        self.cookies: dict[str, str] = {}
        self._exchange = exchange

    @classmethod
    def over_http(cls, base: str) -> "SoftClient":
        """Return a client of the node that listens at `base`."""
        return cls(HttpExchange(base), base.rstrip("/"))

    @classmethod
    def over_django(cls, client: Any, origin: str = "http://localhost") -> "SoftClient":
        """Return a client of the node in this process; `client` is a django.test.Client."""
        return cls(DjangoExchange(client), origin)

    def request(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        data: Any = None,
        body: bytes | None = None,
        accept: str = "application/json",
    ) -> Reply:
        """Perform one request with this client's cookies; `form` is sent as a form, `data` as JSON, `body` as it is."""
        headers = {"Accept": accept, "Host": urlsplit(self.origin).netloc}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        payload = b""
        if method not in ("GET", "HEAD"):
            headers |= {"Origin": self.origin, "X-CSRFToken": self._csrf()}
            headers["Content-Type"] = "application/octet-stream"
        if form is not None:
            payload, headers["Content-Type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif data is not None:
            payload, headers["Content-Type"] = json.dumps(data).encode(), "application/json"
        elif body is not None:
            payload = body
        reply = self._exchange(method, path, headers, payload)
        self._keep_cookies(reply.headers.get("set-cookie", ""))
        return reply

    def get(self, path: str, **options: Any) -> Reply:
        """Fetch `path`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Reply:
        """Send to `path`."""
        return self.request("POST", path, **options)

    def enrol(self, code: str) -> None:
        """Add a passkey with a one-time code. Raises SignInFailed."""
        self.get("/auth/enrol")
        self._must(self.post("/auth/enrol", form={"code": code}), 302)
        options = self._must(self.get("/auth/enrol/passkey"), 200).json()["creation_options"]
        credential = self.authenticator.create(options, self.origin)
        self._must(self.post("/auth/enrol/passkey", form={"credential": json.dumps(credential), "name": "Software"}), 302)

    def sign_in(self) -> None:
        """Sign in with the passkey. Raises SignInFailed."""
        self._must(self.send_assertion(self.assertion()), 302)

    def assertion(self) -> dict[str, Any]:
        """Fetch request options and sign them, without sending."""
        self.get("/auth/sign-in")
        options = self._must(self.get("/auth/passkey/sign-in"), 200).json()["request_options"]
        return self.authenticator.get(options, self.origin)

    def send_assertion(self, assertion: Mapping[str, Any]) -> Reply:
        """Send an assertion to the sign-in address."""
        return self.post("/auth/passkey/sign-in", form={"credential": json.dumps(assertion)})

    def step_up(self) -> None:
        """Follow a sign-in at an OIDC provider with the passkey. Raises SignInFailed."""
        options = self._must(self.get("/auth/passkey/follow"), 200).json()["request_options"]
        credential = json.dumps(self.authenticator.get(options, self.origin))
        self._must(self.post("/auth/passkey/follow", form={"credential": credential}), 302)

    def sign_out(self) -> None:
        """End the session."""
        self._must(self.post("/auth/sign-out"), 302)

    def _csrf(self) -> str:
        return next((value for name, value in self.cookies.items() if name.endswith("_csrf")), "")

    def _keep_cookies(self, header: str) -> None:
        for cookie in re.split(r", (?=[A-Za-z0-9_\-]+=)", header) if header else ():
            name, _, rest = cookie.partition("=")
            value = rest.split(";", 1)[0].strip('"')
            if value and "max-age=0" not in cookie.lower():
                self.cookies[name.strip()] = value
            else:
                self.cookies.pop(name.strip(), None)

    @staticmethod
    def _must(reply: Reply, status: int) -> Reply:
        if reply.status != status:
            raise SignInFailed(f"the node answered {reply.status}: {reply.body[:300].decode('utf-8', 'replace')}")
        return reply
