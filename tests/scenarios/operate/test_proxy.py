"""Debian's nginx with the configuration of deploy/, in front of a real hub."""

import datetime as dt
import http.client
import ipaddress
import json
import os
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fairwitness.demo.processes import Processes, free_ports
from tests.scenarios.operate.town import cli, until

pytestmark = [pytest.mark.slow, pytest.mark.network]
CONFIGURATION = Path(__file__).parents[3] / "deploy" / "nginx" / "fairwitness-hub.conf"
NAME = "hub.test"


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "hub.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    (folder / "hub.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return folder / "hub.pem"


class Front:
    """The hub at `port`, nginx before it at `tls`."""

    def __init__(self, folder):
        self.folder, self.hub = folder, folder / "hub"
        self.port, self.tls, self.plain = free_ports(3)
        self.pem = certificate(folder)
        self.processes = Processes(folder / "logs")

    def start(self):
        cli(
            "hub", "init", self.hub, "--name", "Behind", "--state", "CA", "--public-url", f"https://{NAME}", "--port", self.port,
            "--quorum", 0, "--tick-seconds", 1, "--sealed-seconds", 1, "--min-free-bytes", 1,
        )  # fmt: skip
        settings = self.hub / "config.toml"
        settings.write_text(f"behind_tls_proxy = true\n{settings.read_text()}")
        self.processes.start("hub", "hub", "run", self.hub)
        self.processes.wait_ready("hub")
        # The folder's public files under the addresses that they have: what `publish` or a mirror writes.
        site = self.folder / "site"
        (site / "log").mkdir(parents=True)
        for name, target in (
            ("join.json", "feed/join.json"),
            ("feed", "feed"),
            ("log/p", "log/p/public"),
            ("log/s", "log/s/public"),
        ):
            (site / name).symlink_to(self.hub / target)
        text = CONFIGURATION.read_text()
        for old, new in (
            ("listen 443 ssl", f"listen 127.0.0.1:{self.tls} ssl"),
            ("listen 80", f"listen 127.0.0.1:{self.plain}"),
            ("127.0.0.1:8000", f"127.0.0.1:{self.port}"),
            ("hub.example.org", NAME),
            ("/etc/ssl/fairwitness", str(self.folder)),
            ("/srv/fairwitness/hub", str(site)),
            ("/var/log/nginx", str(self.folder)),
        ):
            assert old in text
            text = text.replace(old, new)
        (self.folder / "hub.conf").write_text(text)
        places = "".join(
            f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""  # the hub's files are its own user's
        (self.folder / "nginx.conf").write_text(
            f"{user} daemon off; worker_processes 1; pid {self.folder}/nginx.pid; error_log {self.folder}/errors crit;\n"
            f"events {{ }}\nhttp {{ {places} include {self.folder}/hub.conf; }}\n"
        )
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        assert nginx, "this test needs nginx (Debian: apt-get install nginx-light)"
        words = [nginx, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        subprocess.run([*words, "-t"], check=True, capture_output=True)
        self.nginx = subprocess.Popen(words)
        until("a tick", lambda: self.ask("/feed/v1/latest")[0] == 200)

    def stop(self):
        if hasattr(self, "nginx"):
            self.nginx.terminate()
            self.nginx.wait(20)
        self.processes.stop()

    def ask(self, path, *, through="nginx", method="GET", body=None, headers=()):
        if through == "nginx":
            context = ssl.create_default_context(cafile=self.pem)
            line = http.client.HTTPSConnection("127.0.0.1", self.tls, context=context, timeout=60)
        else:
            line = http.client.HTTPConnection("127.0.0.1", self.plain if through == "plain" else self.port, timeout=60)
        try:
            line.request(method, path, body=body, headers={"Host": NAME, **dict(headers)})
            answer = line.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except ConnectionRefusedError:
            return 0, {}, b""
        finally:
            line.close()


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    front = Front(tmp_path_factory.mktemp("front"))
    try:
        front.start()
        yield front
    finally:
        front.stop()


def test_files_from_the_folder_are_the_hubs_answers(front):
    until("a tile", lambda: list((front.hub / "log/p/public").rglob("tile/0/*")))
    tick = int(front.ask("/feed/v1/latest")[2])
    join = json.loads(front.ask("/join.json")[2])
    public = front.hub / "log" / "p" / "public"
    tiles = [path for path in sorted(public.rglob("tile/**/*")) if path.is_file()][:3]
    paths = ["/join.json", f"/feed/v1/all/{tick}", *(f"/log/p/{path.relative_to(public)}" for path in tiles)]
    forwarded = {"X-Forwarded-Proto": "https"}
    for path in paths:
        status, headers, body = front.ask(path)
        ours = front.ask(path, through="hub", headers=forwarded)
        assert status == ours[0] == 200, path
        assert body == ours[2], path
        passing = ("date", "server", "connection", "keep-alive", "accept-ranges", "last-modified", "content-length", "vary")
        left = {name: value for name, value in ours[1].items() if name not in passing}
        found = {name: value for name, value in headers.items() if name not in passing}
        # Of files that are no pages nothing is loaded: the hub's policy is for its pages too, nginx's for none.
        assert left.pop("content-security-policy").startswith("default-src 'none'; ")
        assert found.pop("content-security-policy") == "default-src 'none'"
        assert found == left, path
    assert len(paths) >= 4
    assert join["url"] == f"https://{NAME}"
    for path in ("/feed/v1/../../keys/hub.key", "/feed/v1/%2e%2e/%2e%2e/keys/hub.key", "/log/p/leaves", "/log/p/offsets"):
        status, _, body = front.ask(path)
        assert status in (400, 404), path
        assert b"PRIVATE" not in body


def test_tls_is_believed_of_the_proxy_alone(front):
    status, headers, _ = front.ask("/auth/")
    assert headers["strict-transport-security"].startswith("max-age=31536000")
    assert "server" not in headers or re.fullmatch("nginx", headers["server"])
    # A visitor cannot speak for the proxy.
    assert front.ask("/auth/", headers={"X-Forwarded-Proto": "http"})[1]["strict-transport-security"]
    assert "strict-transport-security" not in front.ask("/auth/", through="hub")[1]
    assert front.ask("/metrics")[0] == 404
    status, headers, _ = front.ask("/join.json", through="plain")
    assert (status, headers["location"]) == (301, f"https://{NAME}/join.json")


def test_a_whole_part_passes_and_more_does_not(front):
    part = os.urandom((4 << 20) + 600)
    status, headers, body = front.ask(f"/v1/uploads/{'0' * 64}/0", method="PUT", body=part)
    assert headers["content-type"].startswith("application/json"), (status, body[:200])
    assert json.loads(body)["error"]["code"]  # the hub's own word, of the part's content, not of its size
    assert status != 413
    try:
        status, headers, _ = front.ask(f"/v1/uploads/{'0' * 64}/0", method="PUT", body=bytes(6 << 20))
    except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
        return  # it hung up on the rest
    assert status == 413


def test_no_address_is_written(front):
    for _ in range(3):
        front.ask("/feed/v1/latest")
    text = "".join(path.read_text("utf-8", "replace") for path in front.folder.glob("*.log"))
    assert "127.0.0.1" not in text
    assert "access_log off" in CONFIGURATION.read_text()
