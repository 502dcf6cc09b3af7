"""A Frigate for tests: a real HTTP server with the calls of its published interface that a home uses, and its known traps."""

import json
import secrets
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class FakeFrigate:
    """`segments`: camera -> [(start, end, bytes or None)]; None = listed but gone. Knobs are plain attributes."""

    def __init__(self):
        self.version, self.role, self.allowed = "0.18.0-e3fa701", "neighbours", ["front_door"]
        self.user, self.password = "home", "p4ss"
        self.segments, self.events, self.reviews = {}, [], []
        self.tokens, self.calls, self.missing, self.cuts = set(), [], set(), {}
        self.short, self.serve_originals = 0, True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                """Say nothing."""

            def do_GET(self):
                outer.answer(self, "GET", b"")

            def do_POST(self):
                outer.answer(self, "POST", self.rfile.read(int(self.headers.get("content-length", 0))))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler, method, body):
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.calls.append((method, parts.path, query))
        status, data, headers = self.route(method, parts.path, query, body, handler.headers)
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def route(self, method, path, query, body, headers):
        if path in self.missing:
            return 404, {"detail": "Not Found"}, {}
        if (method, path) == ("POST", "/api/login"):
            if json.loads(body) != {"user": self.user, "password": self.password}:
                return 401, {"message": "Login failed"}, {}
            token = secrets.token_urlsafe(24)
            self.tokens.add(token)
            return 200, {}, {"set-cookie": f"frigate_token={token}; HttpOnly; Path=/"}
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, {"message": "Unauthorized"}, {}
        if method != "GET":
            return 405, {}, {}
        if path == "/api/profile":
            return 200, {"username": self.user, "role": self.role, "allowed_cameras": self.allowed}, {}
        if path == "/api/version":
            return 200, self.version.encode(), {}
        if path in ("/api/recordings/unavailable", "/api/review", "/api/events"):
            # Without both ends the real one fails or takes the moment it was started.
            if not {"after", "before"} <= set(query) or query.get("cameras") not in self.allowed:
                return 500, {}, {}
            return 200, self.listed(path, query), {}
        words = path.strip("/").split("/")
        camera = words[3] if words[0] == "recordings" and len(words) == 5 else words[1] if len(words) > 1 else ""
        if camera not in self.allowed:
            return 403, {"detail": f"Access denied. You may see: {self.allowed}"}, {}
        if path == f"/api/{camera}/recordings":
            after, before = float(query["after"]), float(query["before"])
            found = [(s, e) for s, e, _data in self.segments.get(camera, []) if s < before and e > after]
            return 200, [
                {"id": f"{s}", "start_time": s, "end_time": e, "duration": e - s, "segment_size": 1.0, "motion": 0, "objects": 0}
                for s, e in found
            ], {}  # fmt: skip
        if words[0] == "recordings" and self.serve_originals:
            for start, _end, data in self.segments.get(camera, []):
                at = datetime.fromtimestamp(start, UTC)
                if data is not None and path == f"/recordings/{at:%Y-%m-%d}/{at:%H}/{camera}/{at:%M.%S}.mp4":
                    return 200, data[: self.short or None], {}
        if path.endswith("/clip.mp4"):
            data = self.cuts.get((int(words[3]), int(words[5])))
            return (200, data, {}) if data else (400, {"message": "No recordings found"}, {})
        return 404, {"detail": "Not Found"}, {}

    def listed(self, path, query):
        after, before = float(query["after"]), float(query["before"])
        if path == "/api/events":
            return [e for e in self.events if e["camera"] == query["cameras"] and after < e["start_time"] < before]
        if path == "/api/review":
            return [r for r in self.reviews if r["camera"] == query["cameras"]]
        gaps, at = [], after
        for start, end, _data in self.segments.get(query["cameras"], []):
            if start - at > float(query["scale"]):
                gaps.append({"start_time": at, "end_time": start})
            at = max(at, end)
        return gaps
