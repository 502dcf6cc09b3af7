"""Real nodes, a real browser, and an eye on everything that the browser says while a test runs."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
)
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
VARIANTS = [(size, scheme) for size in ("desktop", "phone") for scheme in ("light", "dark")]
SHOTS = os.environ.get("FAIRWITNESS_SCREENSHOTS", "")
"""A folder for pictures of every page in every variant, for looking at; nothing is compared with them."""

SET_UP = """
import json, sys, time
from pathlib import Path
from fairwitness.kit import clock, supervise
role, folder = sys.argv[1], Path(sys.argv[2])
supervise.setup(role, folder)
from fairwitness.kit import database
from fairwitness.kit.accounts import services
database.migrate_at_start()
codes = {}
if role == "agency":
    from fairwitness.agency.services import officers, setup
    square = [[-122.35, 37.70], [-122.10, 37.70], [-122.10, 37.90], [-122.35, 37.90], [-122.35, 37.70]]
    setup.make_keys({"type": "Polygon", "coordinates": [square]})
for spec in sys.argv[3:]:
    username, shown, kind = spec.split("|")
    if role == "agency":
        codes[username] = officers.enrol(username, shown, kind).code
    else:
        codes[username] = services.issue_code(services.create_user(username, shown, kind))
clock.set_clock(lambda: time.time() - 3 * 86400)
codes["expired"] = services.issue_code(services.create_user("late", "Jo Late", kind))
print(json.dumps(codes))
"""
RUN = """
import sys
from pathlib import Path
from fairwitness.kit import supervise
sys.exit(supervise.run(sys.argv[1], Path(sys.argv[2])))
"""
PEOPLE = {
    "agency": [
        "rivera|Ana Rivera|officer",
        "okafor|Sam Okafor|admin",
        "lindqvist|Maj Lindqvist|supervisor",
        "keller|Ida Keller|technician",
        "ortiz|Luis Ortiz|officer",
        "adisa|Bola Adisa|officer",
    ],
    "hub": ["moss|Kit Moss|moderator"],
}
NAMES = {"agency": "Harbor City Police", "hub": "Harbor City hub"}
OIDC = (
    '\n[[oidc]]\nid = "city"\nname = "City sign-in"\nserver_url = "https://issuer.test"\nclient_id = "x"\nclient_secret = "x"\n'
)


@dataclass(frozen=True)
class Node:
    """A running node: its role, its address and the one-time codes of its people."""

    role: str
    url: str
    codes: dict[str, str]

    def at(self, path: str) -> str:
        return self.url + path


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("FAIRWITNESS_", "DJANGO_", "PYTEST"))}


@contextlib.contextmanager
def _running(role: str, folder: Path):
    from fairwitness.kit import config  # noqa: PLC0415 - only where a node runs

    # A browser keeps connections open, which the web process waits for when it stops.
    who = {"agency": "us-ca-harbor", "ori": "CA0010900", "state": "CA"} if role == "agency" else {}
    config.write(folder, {"workers": 1, "name": NAMES[role], "stop_seconds": 2, **who})
    if role == "agency":
        with (folder / "config.toml").open("a") as file:
            file.write(OIDC)
    made = subprocess.run(
        [sys.executable, "-c", SET_UP, role, str(folder), *PEOPLE[role]],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    codes = json.loads(made.stdout.splitlines()[-1])
    with (folder.parent / f"{role}.stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, role, str(folder)], stdout=subprocess.PIPE, stderr=errors, env=_environment()
        )
    try:
        line = process.stdout.readline()
        assert line, (folder.parent / f"{role}.stderr").read_text()
        yield Node(role, json.loads(line)["url"], codes)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait(30)


@pytest.fixture(scope="session")
def nodes(tmp_path_factory, chromium):
    """A running agency and a running hub, each with its people and their unused one-time codes."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(max_workers=2) as pool:

        def start(role: str) -> contextlib.AbstractContextManager:
            entered = _running(role, tmp_path_factory.mktemp(role) / "data")
            return entered, entered.__enter__()

        found = {}
        for role, (entered, node) in zip(PEOPLE, pool.map(start, PEOPLE), strict=True):
            stack.push(entered.__exit__)
            found[role] = node
        yield found


@pytest.fixture(scope="session")
def chromium():
    """The browser; every test here is skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on the PATH: install the Debian package chromium to test the pages")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Visitor:
    """A person before a browser, with an authenticator that a test can turn off. Gathers what should not happen."""

    node: Node
    page: object
    session: object
    authenticator: str
    troubles: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)
    phone: bool = False

    def go(self, path: str) -> None:
        self.page.goto(self.node.at(path))

    def heading(self) -> str:
        return self.page.locator("h1").inner_text()

    def confirm(self, willing: bool) -> None:
        """Say whether the person will confirm the next passkey dialogues; an unwilling one cancels them."""
        self.session.send("WebAuthn.setUserVerified", {"authenticatorId": self.authenticator, "isUserVerified": willing})

    def enrol(self, code: str, device: str = "Work laptop") -> None:
        self.go("/auth/enrol")
        self.page.get_by_label("One-time code").fill(code)
        self.page.get_by_role("button", name="Go on").click()
        self.page.get_by_label("A name for it").fill(device)
        self.page.get_by_role("button", name="Add the passkey").click()
        self.page.get_by_text("Your passkey is stored").wait_for()

    def sign_in(self, then: str = "/auth/account") -> None:
        self.go(f"/auth/sign-in?next={then}")
        self.page.get_by_role("button", name="Sign in with a passkey").click()
        self.page.wait_for_url(self.node.at(then))

    def credentials(self) -> list[dict]:
        return self.session.send("WebAuthn.getCredentials", {"authenticatorId": self.authenticator})["credentials"]

    def hold(self, soft) -> None:
        """Take over the passkeys of a fairwitness.demo.authenticator.SoftAuthenticator."""
        for one in soft.credentials:
            self.session.send(
                "WebAuthn.addCredential",
                {"authenticatorId": self.authenticator, "credential": passkey_of(one)},
            )

    def borrow(self, other: "Visitor") -> None:
        """Hold the other visitor's passkeys too, as devices do that share them."""
        for one in other.credentials():
            self.session.send("WebAuthn.addCredential", {"authenticatorId": self.authenticator, "credential": one})

    def expect_status(self, status: int) -> None:
        """Let the browser note a page that is answered so: it writes a line about every answer over 399."""
        self.allowed.append(f"the server responded with a status of {status}")

    def look(self, name: str, *, spanish: bool = False) -> None:
        """Hold the page as it stands to axe, and to the width of the screen, in all four variants; picture it if asked.

        `spanish`: load the page again in Spanish and hold that to the same; for pages that loading again does not change.
        """
        self._look(name)
        if spanish:
            language = {"name": "django_language", "value": "es", "url": self.node.url}
            self.page.context.add_cookies([language])
            self.page.reload()
            assert self.page.locator("html").get_attribute("lang") == "es", f"{name} knows no Spanish"
            self._look(f"{name}-es", (("desktop", "light"), ("phone", "dark")))
            self.page.context.add_cookies([language | {"value": "en"}])
            self.page.reload()

    def _look(self, name: str, variants=VARIANTS) -> None:
        from axe_playwright_python.base import AXE_SCRIPT  # noqa: PLC0415 - only where there is a browser

        self.page.evaluate(AXE_SCRIPT)
        for size, scheme in variants:
            self.page.set_viewport_size(DESKTOP if size == "desktop" else PHONE)
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            options = {"resultTypes": ["violations"]}
            if (size == "desktop") != (scheme == "light"):
                # Both sizes and both schemes have had every rule by the other two variants; colours meet here.
                options["runOnly"] = ["color-contrast", "target-size"]
            found = self.page.evaluate("options => axe.run(document, options).then(r => r.violations)", options)
            for one in found:
                nodes = "; ".join(f"{n['target']}: {n['html'][:120]} {n['failureSummary']}" for n in one["nodes"])
                self.troubles.append(f"axe {name} {size} {scheme}: {one['id']} ({one['help']}) {nodes}")
            wide, room = self.page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
            if wide > room:
                self.troubles.append(f"{name} {size} {scheme}: {wide} px wide on a screen of {room} px")
            if size == "desktop" and scheme == "light":
                weight = self.page.evaluate(SCRIPTS)
                if weight > SCRIPT_BUDGET:
                    self.troubles.append(f"{name}: {weight} bytes of script, at most {SCRIPT_BUDGET}")
            if SHOTS:
                Path(SHOTS).mkdir(parents=True, exist_ok=True)
                self.page.screenshot(path=f"{SHOTS}/{self.node.role}-{name}-{size}-{scheme}.png", full_page=True)
        self.page.set_viewport_size(PHONE if self.phone else DESKTOP)
        self.page.emulate_media(color_scheme="light")
        self.looked.add(name)

    def check(self) -> None:
        """Fail if the browser said anything that it should not have."""
        left = [trouble for trouble in self.troubles if not any(part in trouble for part in self.allowed)]
        assert not left, "\n".join(left)


SCRIPT_BUDGET = 100_000
AHEAD = itertools.count(100_000, 100_000)
SCRIPTS = """() => performance.getEntriesByType('resource')
  .filter(one => one.initiatorType === 'script' && !/\\/web\\/(map|blur|masks)/.test(one.name))
  .reduce((sum, one) => sum + one.decodedBodySize, 0)"""
"""Bytes of script that a page loaded, but for maps and editors."""


def passkey_of(one) -> dict:
    """Return a software passkey as the browser's virtual authenticator takes it."""
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415

    key = one.key.private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, s.NoEncryption())

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    # Ahead of whatever another copy of it has counted, or the node takes it for a cloned key.
    count = one.count + next(AHEAD)
    return {
        "credentialId": text(one.id),
        "isResidentCredential": True,
        "rpId": one.rp_id,
        "privateKey": text(key),
        "userHandle": text(one.user_handle),
        "signCount": count,
    }


WATCH = """
document.addEventListener('securitypolicyviolation', function (event) {
  console.error('policy violated: ' + event.violatedDirective + ' by ' + event.blockedURI + ' ' + event.sample)
})
"""


@pytest.fixture
def visitor(request, chromium):
    """Make visitors: `visitor("agency")`, or at a node of another fixture: `visitor(node)`.

    At the end every one's browser must have had nothing to complain about.
    """
    made = []

    def arrive(
        role: str | Node, *, locale: str = "en-US", passkeys: bool = True, phone: bool = False, zone: str = "America/Chicago"
    ) -> Visitor:
        node = request.getfixturevalue("nodes")[role] if isinstance(role, str) else role
        context = chromium.new_context(
            viewport=PHONE if phone else DESKTOP,
            locale=locale,
            timezone_id=zone,
            reduced_motion="reduce",
            has_touch=phone,
            accept_downloads=True,
        )
        context.set_default_timeout(15_000)
        context.add_init_script(WATCH)
        page = context.new_page()
        session = context.new_cdp_session(page)
        authenticator = ""
        if passkeys:
            session.send("WebAuthn.enable")
            authenticator = session.send(
                "WebAuthn.addVirtualAuthenticator",
                {
                    "options": {
                        "protocol": "ctap2",
                        "transport": "internal",
                        "hasResidentKey": True,
                        "hasUserVerification": True,
                        "isUserVerified": True,
                        "automaticPresenceSimulation": True,
                    }
                },
            )["authenticatorId"]
        found = Visitor(node, page, session, authenticator, phone=phone)
        home = urlsplit(node.url).netloc

        def requested(request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("data", "blob") and parts.netloc != home:
                found.troubles.append(f"request to another host: {request.url}")

        context.on("request", requested)

        def said(message) -> None:
            # A browser without a graphics card says so of every map that it draws.
            if message.type in ("error", "warning") and "GPU stall due to ReadPixels" not in message.text:
                found.troubles.append(f"console {message.type}: {message.text}")

        page.on("console", said)
        page.on("pageerror", lambda error: found.troubles.append(f"script failed: {error}"))
        made.append((context, found))
        return found

    yield arrive
    for context, _ in made:
        context.close()
    for _, found in made:
        found.check()
