"""A Ring for tests: a real HTTP server with the few calls that the plug-in makes, as the library expects their answers."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ADAPTED = """#!{python}
import os
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
from ring_doorbell import Auth
from ring_doorbell.const import OAuth
from fairwitness_ring import program
base = {base!r}
OAuth.ENDPOINT = base + "/oauth/token"
program.RECORDING = program.RECORDING.replace("https://api.ring.com", base)
query = Auth.async_query
async def adapted(self, url, *args, **kwargs):
    return await query(self, url.replace("https://api.ring.com", base), *args, **kwargs)
Auth.async_query = adapted
program.main()
"""


class FakeRing:
    """`events`: device -> [(id, Unix seconds, length or None, bytes or None)]; None = listed but gone. Knobs are attributes."""

    def __init__(self):
        self.user, self.password, self.code = "ana@example.org", "p4ss", "654321"
        self.devices = {101: "Front Door", 102: "Garage"}
        self.events = {}
        self.calls, self.tokens, self.number, self.limited = [], set(), 0, False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                """Say nothing."""

            def do_GET(self):
                outer.answer(self, b"")

            def do_POST(self):
                outer.answer(self, self.rfile.read(int(self.headers.get("content-length", 0))))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def program(self, folder: Path, python: Path) -> Path:
        """Write the plug-in's program with this server's address in place of Ring's."""
        path = folder / "fairwitness-ring-here"
        path.write_text(ADAPTED.format(python=python, base=self.address))
        path.chmod(0o700)
        return path

    def answer(self, handler, body):
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.calls.append((handler.command, parts.path, query))
        status, data = self.route(handler.command, parts.path, query, body, handler.headers)
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def route(self, method, path, query, body, headers):
        if path == "/oauth/token":
            return self.token({key: values[0] for key, values in parse_qs(body.decode()).items()}, headers)
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, {"error": "unauthorized"}
        if self.limited:
            return 429, {"error": "slow down"}
        if (method, path) == ("POST", "/clients_api/session"):
            return 201, {"profile": {"id": 1}}
        if path == "/clients_api/ring_devices":
            made = [
                {
                    "id": number,
                    "device_id": f"aa{number}",
                    "description": name,
                    "kind": "lpd_v2",
                    "features": {},
                    "location_id": "x",
                }
                for number, name in self.devices.items()
            ]
            return 200, {"doorbots": made, "authorized_doorbots": [], "stickup_cams": [], "chimes": [], "other": []}
        words = path.split("/")
        if words[2:3] == ["doorbots"] and words[-1] == "history":
            return 200, self.history(int(words[3]), query)
        if words[2:3] == ["dings"] and words[-1] == "recording":
            data = next((data for rows in self.events.values() for number, _, _, data in rows if number == int(words[3])), None)
            return (404, {}) if data is None else (200, data)
        return 404, {}

    def token(self, form, headers):
        if form.get("grant_type") == "refresh_token":
            if not form.get("refresh_token", "").startswith("refresh-"):
                return 401, {"error": "invalid_grant"}
        elif (form.get("username"), form.get("password")) != (self.user, self.password):
            return 401, {"error": "access_denied", "error_description": "invalid user credentials"}
        elif headers.get("2fa-code") != self.code:
            return 412, {"phone": "xxx-xxx-xx12", "tsv_state": "sms"}
        self.number += 1
        self.tokens = {f"access-{self.number}"}
        return 200, {
            "access_token": f"access-{self.number}", "refresh_token": f"refresh-{self.number}", "expires_in": 3600,
            "scope": "client", "token_type": "Bearer",
        }  # fmt: skip

    def history(self, device, query):
        rows = sorted(self.events.get(device, []), key=lambda row: -row[1])
        if "older_than" in query:
            place = next(n for n, row in enumerate(rows) if row[0] == int(query["older_than"]))
            rows = rows[place + 1 :]
        return [
            {"id": number, "created_at": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z"), "kind": "motion"}
            | ({} if seconds is None else {"duration": seconds})
            for number, at, seconds, _ in rows[: int(query.get("limit", 30))]
        ]
