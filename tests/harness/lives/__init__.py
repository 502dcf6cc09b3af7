"""Lives of the roles, to be played with kills and faults at each write; each module needs its own role's settings."""

from typing import Any

from fairwitness.kit import clock, http
from tests.harness.kill import Line


class Distant:
    """kit.http's transport: the hub is in another process."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def send(self, method: str, url: str, headers: Any, body: Any, timeout: float) -> http.Answer:
        data = body if isinstance(body, bytes) else b"".join(body)
        code, names, answer = self.line.ask("send", clock.now_float(), method, url, data)
        return http.Answer(code, names, iter([answer]))
