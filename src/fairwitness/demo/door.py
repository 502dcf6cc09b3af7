"""A door into the demo's homes: an address for each that stays good while the demo runs.

A home lets a browser in by a one-time code that lasts two minutes, which is too short for somebody who reads a list first. The
door asks the home for a fresh code when its address is opened, by the command that an owner would type, and leads there. It
is the demo's alone: it listens on the loopback, and its addresses hold a key that only the terminal shows.
"""

import hmac
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fairwitness_core.crypto import random

from fairwitness.demo.processes import DemoError, command

_ADDRESS = re.compile(r"http://\S+/pair#\S+")
_HOST = "127.0.0.1"


class Door:
    """Serves the door for `homes` (data folder by name) in a thread of its own. Raises OSError without a free port."""

    def __init__(self, homes: Mapping[str, Path]) -> None:
        self._homes = dict(homes)
        self._key = random.token_bytes(16).hex()
        door = self

        class Handler(BaseHTTPRequestHandler):
            """Answers GET alone."""

            def do_GET(self) -> None:
                """Lead a browser that knows the key to the home's pairing page."""
                door.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
                """Write nothing: the terminal is for the demo's own words, and the addresses hold the key."""

        self._server = ThreadingHTTPServer((_HOST, 0), Handler)
        self._server.daemon_threads = True
        self._base = f"http://{_HOST}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="door", daemon=True).start()

    def address(self, name: str) -> str:
        """Return the address that leads into the home `name`."""
        return f"{self._base}/{self._key}/{name}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        """Answer one request. A page whose name was rebound to this machine is told from us by its Host."""
        _, _, rest = asked.path.partition("/")
        key, _, name = rest.partition("/")
        if (
            asked.headers.get("Host") != self._base.removeprefix("http://")
            or not hmac.compare_digest(key.encode(), self._key.encode())
            or name not in self._homes
        ):
            self._say(asked, 404, "There is nothing here. Copy the whole address from the terminal.")
            return
        try:
            found = _ADDRESS.search(command("home", "pair", self._homes[name]))
        except DemoError as error:
            self._say(asked, 503, f"{name} does not answer: {error}")
            return
        if found is None:
            self._say(asked, 503, f"{name} gave no address.")
            return
        asked.send_response(303)
        asked.send_header("Location", found[0])
        self._finish(asked, b"")

    def _say(self, asked: BaseHTTPRequestHandler, status: int, words: str) -> None:
        asked.send_response(status)
        asked.send_header("Content-Type", "text/plain; charset=utf-8")
        self._finish(asked, words.encode() + b"\n")

    @staticmethod
    def _finish(asked: BaseHTTPRequestHandler, body: bytes) -> None:
        asked.send_header("Cache-Control", "no-store")
        asked.send_header("Referrer-Policy", "no-referrer")
        asked.send_header("Content-Length", str(len(body)))
        asked.end_headers()
        asked.wfile.write(body)
