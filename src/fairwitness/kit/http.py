"""The client with which one node calls another.

It says as little as it can: a fixed set of headers in a fixed order, no cookies, no redirects, no proxies from the
environment, identity encoding, one connection per call (so that two calls cannot be joined by their connection), and a
bound on every answer.
"""

import functools
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx

USER_AGENT = "fairwitness/1"
DEFAULT_MAX_BYTES = 16 << 20
DEFAULT_TIMEOUT = 30.0
_CHUNK = 1 << 16


class Unreachable(Exception):
    """The other node could not be reached, or stopped in the middle; nothing can be said about what it did."""


class TooLarge(Exception):
    """The other node's answer is longer than the caller accepts."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a transport returns: the body comes in chunks, and `close` ends the exchange early or late."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]
    close: Callable[[], None] = field(default=lambda: None)


class Transport(Protocol):
    """Carries one exchange.

    It MUST send the given headers and no others besides Host, and the body whole or raise Unreachable; it MUST NOT follow
    redirects or keep cookies.
    """

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes], timeout: float) -> Answer:
        """Perform the exchange; `timeout` is in seconds for each step of it. Raises Unreachable."""


@functools.cache
def _context(ca_file: Path | None, pinned: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None, cadata=pinned or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pinned:
        # Devices at home show a certificate of their own for no name at all: the certificate itself is what is compared.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class SocketTransport:
    """The real one, over TCP and TLS. `ca_file` replaces the system's roots by one authority (a home-made CA).

    `pinned`: the one certificate (PEM) that the other side must show, whatever name it bears.
    """

    def __init__(self, ca_file: Path | None = None, *, pinned: str = "") -> None:
        self._ca_file = ca_file
        self._pinned = pinned

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes], timeout: float) -> Answer:
        """Open a connection, send, and hand back the answer; the connection ends with the answer."""
        carrier = httpx.HTTPTransport(verify=_context(self._ca_file, self._pinned), trust_env=False, retries=0, http2=False)
        request = httpx.Request(
            method,
            url,
            headers=list(headers.items()),
            content=body,
            extensions={"timeout": httpx.Timeout(timeout).as_dict()},
        )
        try:
            answer = carrier.handle_request(request)
        except (httpx.HTTPError, OSError, ValueError) as error:
            carrier.close()
            raise Unreachable(f"no answer: {type(error).__name__}") from error

        def close() -> None:
            answer.close()
            carrier.close()

        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, _chunks(answer), close)


def _chunks(answer: httpx.Response) -> Iterator[bytes]:
    try:
        yield from answer.iter_raw(_CHUNK)
    except (httpx.HTTPError, OSError) as error:
        raise Unreachable(f"the answer broke off: {type(error).__name__}") from error


_transport: Transport = SocketTransport()


def set_transport(transport: Transport | None) -> None:
    """Route every call of this process through `transport` (a harness's pipe); None brings sockets back."""
    global _transport  # noqa: PLW0603 - one transport per process is the point
    _transport = SocketTransport() if transport is None else transport


class Http:
    """Calls to other nodes. Pass `transport` to use another one than the process's."""

    def __init__(self, *, timeout: float = DEFAULT_TIMEOUT, transport: Transport | None = None) -> None:
        self._timeout = timeout
        self._own = transport

    def get(self, url: str, *, max_bytes: int = DEFAULT_MAX_BYTES, timeout: float | None = None) -> Response:
        """Fetch `url`. Raises Unreachable, TooLarge."""
        return self.request("GET", url, max_bytes=max_bytes, timeout=timeout)

    def post(self, url: str, body: bytes = b"", *, max_bytes: int = DEFAULT_MAX_BYTES, timeout: float | None = None) -> Response:
        """Send `body` to `url`. Raises Unreachable, TooLarge."""
        return self.request("POST", url, body, max_bytes=max_bytes, timeout=timeout)

    def request(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        timeout: float | None = None,
    ) -> Response:
        """Make one call and return the whole answer, of whatever status. Raises Unreachable, TooLarge, ValueError."""
        return self._whole(method, url, body, len(body), max_bytes, timeout)

    def upload(
        self,
        method: str,
        url: str,
        chunks: Iterable[bytes],
        *,
        size: int,
        max_bytes: int = DEFAULT_MAX_BYTES,
        timeout: float | None = None,
    ) -> Response:
        """Send exactly `size` bytes from `chunks` without holding them. Raises Unreachable, TooLarge, ValueError."""
        return self._whole(method, url, _exactly(chunks, size), size, max_bytes, timeout)

    def download(
        self,
        url: str,
        sink: Callable[[bytes], object],
        *,
        max_bytes: int,
        timeout: float | None = None,
        method: str = "GET",
        body: bytes = b"",
    ) -> Response:
        """Fetch `url` (by POST, for a call that is signed in its body) and hand each chunk of a 200 answer to `sink`.

        The Response's body is empty then; the body of any other status is returned (64 KiB of it at most). Raises
        Unreachable, TooLarge (the sink may have had up to `max_bytes` by then).
        """
        answer = self._send(method, url, body, len(body), timeout)
        try:
            if answer.status != 200:
                return Response(answer.status, answer.headers, _collect(answer.chunks, 1 << 16))
            seen = 0
            for chunk in answer.chunks:
                seen += len(chunk)
                if seen > max_bytes:
                    raise TooLarge(f"the answer is longer than {max_bytes} bytes")
                sink(chunk)
            _check_length(answer, seen)
            return Response(answer.status, answer.headers, b"")
        finally:
            answer.close()

    def _whole(  # noqa: PLR0917 - private, called twice
        self, method: str, url: str, body: bytes | Iterable[bytes], size: int, max_bytes: int, timeout: float | None
    ) -> Response:
        answer = self._send(method, url, body, size, timeout)
        try:
            data = _collect(answer.chunks, max_bytes)
            if method != "HEAD":
                _check_length(answer, len(data))
            return Response(answer.status, answer.headers, data)
        finally:
            answer.close()

    def _send(self, method: str, url: str, body: bytes | Iterable[bytes], size: int, timeout: float | None) -> Answer:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("an address must be http:// or https:// with a host and no user")
        headers = {
            "Host": parts.netloc,
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if method not in ("GET", "HEAD", "DELETE") or size:
            headers["Content-Type"] = "application/octet-stream"
            headers["Content-Length"] = str(size)
        transport = self._own or _transport
        return transport.send(method, url, headers, body, self._timeout if timeout is None else timeout)


def _collect(chunks: Iterator[bytes], max_bytes: int) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > max_bytes:
            raise TooLarge(f"the answer is longer than {max_bytes} bytes")
    return bytes(data)


def _check_length(answer: Answer, seen: int) -> None:
    stated = answer.headers.get("content-length")
    if stated is not None and stated.isascii() and stated.isdigit() and int(stated) != seen:
        raise Unreachable(f"the answer broke off after {seen} of {stated} bytes")


def _exactly(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    sent = 0
    for chunk in chunks:
        sent += len(chunk)
        if sent > size:
            raise ValueError(f"the body is longer than the {size} bytes stated")
        yield chunk
    if sent != size:
        raise ValueError(f"the body has {sent} bytes, {size} were stated")
