"""A small RTSP client (RFC 2326) for a recorder's replay, because libav's can send no `Require: onvif-replay` and no clock range.

It speaks over one TCP connection to one host, takes the media interleaved (section 10.12), answers Digest challenges and no
others, follows no redirect, and bounds the size of everything and the time of all of it together.
"""

import re
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from fairwitness_core.crypto.random import token_bytes

from fairwitness.home.adapters import onvif_digest
from fairwitness.home.adapters.base import SourceProblem

PORT: Final = 554
MAX_HEAD: Final = 16_384
MAX_BODY: Final = 65_536
_MAX_QUEUE: Final = 4096
_SESSION: Final = re.compile(r"([A-Za-z0-9$_.+=/-]{1,200})(?:\s*;\s*timeout\s*=\s*(\d{1,5}))?")
_CHANNELS: Final = re.compile(r"interleaved\s*=\s*(\d{1,3})\s*-\s*(\d{1,3})")


@dataclass(frozen=True, slots=True)
class Reply:
    """A recorder's answer. Header names are in lower case; of several alike all are there, joined by a comma."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Rtsp:
    """One conversation about `url`. `seconds`: for all of it; `patience`: of silence; `limit`: bytes in all."""

    url: str
    user: str
    password: str = field(repr=False)
    seconds: float = 90.0
    patience: float = 8.0
    limit: int = 1 << 30
    _socket: socket.socket | None = field(default=None, repr=False)
    _data: bytearray = field(default_factory=bytearray, repr=False)
    _frames: deque[tuple[int, bytes]] = field(default_factory=deque, repr=False)
    _number: int = 0
    _seen: int = 0
    _until: float = 0.0
    _challenge: onvif_digest.Challenge | None = field(default=None, repr=False)
    _count: int = 0
    _session: str = ""
    _alive_s: float = 30.0
    _spoken: float = 0.0

    def open(self) -> None:
        """Connect. Raises SourceProblem `unreachable`."""
        parts = urlsplit(self.url)
        self._until = time.monotonic() + self.seconds
        try:
            self._socket = socket.create_connection((parts.hostname or "", parts.port or PORT), self.patience)
        except (OSError, ValueError) as error:
            raise SourceProblem("unreachable") from error

    def close(self) -> None:
        """End the conversation; safe to repeat."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, method: str, url: str, **headers: str) -> Reply:
        """Make one request, once more if the recorder asks for a password. Raises SourceProblem as `explain` has them."""
        reply = self._request(method, url, headers)
        if reply.status == 401 and self.user:
            challenge = onvif_digest.parse(reply.headers.get("www-authenticate", ""))
            if challenge is None:
                raise SourceProblem("basic")
            self._challenge, self._count = challenge, 0
            reply = self._request(method, url, headers)
        if reply.status in (401, 403):
            raise SourceProblem("refused")
        if 300 <= reply.status < 400:
            raise SourceProblem("redirect")
        if reply.status in (404, 457):  # 457: nothing was recorded in this range
            raise SourceProblem("nothing")
        if reply.status == 551:
            raise SourceProblem("no_replay")
        if reply.status != 200:
            raise SourceProblem("answer")
        return reply

    def set_up(self, url: str) -> tuple[int, int]:
        """Ask for the media on this connection; return the channels of RTP and RTCP. Raises SourceProblem."""
        reply = self.ask("SETUP", url, Transport="RTP/AVP/TCP;unicast;interleaved=0-1", Require="onvif-replay")
        session = _SESSION.match(reply.headers.get("session", ""))
        channels = _CHANNELS.search(reply.headers.get("transport", ""))
        if session is None or channels is None:
            raise SourceProblem("answer")
        self._session = session[1]
        self._alive_s = max(int(session[2] or 60) / 2, 5.0)
        return int(channels[1]), int(channels[2])

    def play(self, start: float, end: float) -> Reply:
        """Begin the replay of a time (Unix seconds by the recorder's clock), as fast as the recorder can."""
        # ONVIF Streaming Specification section 6.4: Rate-Control off means that this side's reading sets the pace.
        span = f"clock={clock_of(start)}-{clock_of(end)}"
        headers = {"Require": "onvif-replay", "Range": span, "Rate-Control": "no", "Immediate": "yes"}
        return self.ask("PLAY", self.url, **headers)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield (channel, data) as it comes; ends when the recorder closes or falls silent. Raises SourceProblem."""
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self._session and time.monotonic() - self._spoken > self._alive_s:
                self._send("GET_PARAMETER", self.url, {})
            try:
                if self._one() is None:
                    return
            except TimeoutError:
                return

    def tear_down(self) -> None:
        """Say good-bye without waiting for an answer."""
        if self._session and self._socket is not None:
            try:
                self._send("TEARDOWN", self.url, {})
            except SourceProblem:
                return

    def _request(self, method: str, url: str, headers: dict[str, str]) -> Reply:
        self._send(method, url, headers)
        number = str(self._number)
        while True:
            try:
                found = self._one()
            except TimeoutError as error:
                raise SourceProblem("slow") from error
            if found is None:
                raise SourceProblem("unreachable")
            if isinstance(found, Reply) and found.headers.get("cseq", number) == number:
                return found

    def _send(self, method: str, url: str, headers: dict[str, str]) -> None:
        self._number += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._number}", "User-Agent: fairwitness/1"]
        if self._challenge is not None:
            self._count += 1
            said = onvif_digest.answer(
                self._challenge,
                user=self.user,
                password=self.password,
                method=method,
                uri=url,
                cnonce=token_bytes(8).hex(),
                count=self._count,
            )
            lines.append(f"Authorization: {said}")
        if self._session:
            lines.append(f"Session: {self._session}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._spoken = time.monotonic()
        if self._socket is None:
            raise SourceProblem("unreachable")
        try:
            self._socket.settimeout(self.patience)
            self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        except OSError as error:
            raise SourceProblem("unreachable") from error

    def _one(self) -> Reply | bool | None:
        """Read one reply, or one frame into the queue; None at the end of the connection. Raises TimeoutError, SourceProblem."""
        if not self._fill(1):
            return None
        if self._data[0] == 0x24:
            if not self._fill(4):
                return None
            size = int.from_bytes(self._data[2:4], "big")
            if not self._fill(4 + size):
                return None
            if len(self._frames) >= _MAX_QUEUE:
                raise SourceProblem("answer")
            self._frames.append((self._data[1], bytes(self._data[4 : 4 + size])))
            del self._data[: 4 + size]
            return True
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            if len(self._data) > MAX_HEAD:
                raise SourceProblem("too_large")
            if not self._fill(len(self._data) + 1):
                return None
        if end > MAX_HEAD:
            raise SourceProblem("too_large")
        first, *rest = bytes(self._data[:end]).decode("utf-8", "replace").split("\r\n")
        del self._data[: end + 4]
        headers: dict[str, str] = {}
        for line in rest:
            name, colon, value = line.partition(":")
            if colon:
                key = name.strip().lower()
                headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY:
            raise SourceProblem("too_large")
        if not self._fill(int(length)):
            return None
        body = bytes(self._data[: int(length)])
        del self._data[: int(length)]
        match = re.fullmatch(r"RTSP/1\.\d (\d{3})(?: .*)?", first)
        if match is None:
            # The recorder asks something of us: nothing that it could ask has to be done.
            if not first.endswith(("RTSP/1.0", "RTSP/1.1")):
                raise SourceProblem("answer")
            return True
        return Reply(int(match[1]), headers, body)

    def _fill(self, count: int) -> bool:
        """Read until `count` bytes are here; False at the end of the connection. Raises TimeoutError, SourceProblem."""
        while len(self._data) < count:
            left = self._until - time.monotonic()
            if left <= 0 or self._seen > self.limit:
                raise SourceProblem("slow" if left <= 0 else "too_large")
            if self._socket is None:
                return False
            self._socket.settimeout(min(self.patience, left))
            try:
                found = self._socket.recv(65_536)
            except TimeoutError:
                raise
            except OSError:
                return False
            if not found:
                return False
            self._seen += len(found)
            self._data += found
        return True


def clock_of(at: float) -> str:
    """Return a time as RTSP writes it (RFC 2326 section 3.7), to the millisecond."""
    whole = round(at * 1000)
    return f"{datetime.fromtimestamp(whole // 1000, UTC):%Y%m%dT%H%M%S}.{whole % 1000:03d}Z"
