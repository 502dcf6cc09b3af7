"""Somebody who knows nothing of the project runs the demo and follows what it prints: they answer, and they open a clip."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Node

pytestmark = [pytest.mark.slow, pytest.mark.network]
STARTS = 900
"""Seconds that the demo is given to play its story; it took 490 on two cores with ten other programs running."""
LOGGED = 90_000
ENDS = "Control-C stops everything"


@dataclass
class Terminal:
    """The demo in a terminal of 100 columns, and what stands on it."""

    process: subprocess.Popen
    master: int
    said: str = ""
    reader: threading.Thread = field(init=False)

    def __post_init__(self):
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # Linux ends a terminal without a program so
                return
            if not data:
                return
            self.said += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode("utf-8", "replace")).replace("\r", "")

    def wait(self, words: str) -> None:
        end = time.monotonic() + STARTS
        while words not in self.said:
            assert self.process.poll() is None, self.said[-3000:]
            assert time.monotonic() < end, self.said[-3000:]
            time.sleep(0.2)

    def part(self, number: int) -> list[str]:
        """Return the lines of one of the numbered things to try."""
        found = re.search(rf"^{number}\. .*?(?=^\d\. |^The evidence bag)", self.said, re.MULTILINE | re.DOTALL)
        assert found, self.said[-3000:]
        return found[0].splitlines()

    def addresses(self, number: int) -> list[str]:
        """Return the addresses among them, each alone on its line."""
        return [line.strip() for line in self.part(number) if re.fullmatch(r"\s+http://\S+", line)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory, chromium):
    master, slave = pty.openpty()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRWITNESS_", "DJANGO_", "PYTEST"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "fairwitness", "demo", "--data", str(tmp_path_factory.mktemp("demo") / "data")],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=kept | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
        start_new_session=True,
    )
    os.close(slave)
    terminal = Terminal(process, master)
    try:
        terminal.wait(ENDS)
        yield terminal
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "Everything is kept in" in terminal.said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        terminal.reader.join(5)
        os.close(master)


def at(address: str, role: str) -> Node:
    parts = urlsplit(address)
    return Node(role, f"{parts.scheme}://{parts.netloc}", {})


def through(door: str, visitor):
    """Return who opened the door's address, and so stands before the home's pairing page."""
    found = visitor(at(door, "home"), passkeys=False)
    found.allowed.append("request to another host: http://localhost:")  # the demo's door leads into the home
    found.page.goto(door)
    return found


def test_a_resident_answers(demo, visitor):
    [door] = demo.addresses(1)
    page = through(door, visitor).page
    page.get_by_role("button", name="Pair", exact=True).click()
    page.wait_for_url(lambda url: "/pair" not in url)
    page.get_by_role("link", name=re.compile("Requests")).first.click()
    page.locator('a.cover[href^="/requests/"]').first.click()
    page.get_by_role("button", name="Look and answer").click()
    for step in ("Clips", "You"):
        page.locator("ol.steps li[aria-current=step]", has_text=step).wait_for()
        page.get_by_role("button", name="Go on").click()
    page.get_by_label("What you saw or heard").fill("The car turned left at the corner.")
    page.get_by_role("button", name="Go on").click()
    page.locator("fw-player[data-ready]").first.wait_for(timeout=300_000)
    page.get_by_label("I have looked at it and agree.").check()
    page.get_by_label("Now", exact=False).last.check()
    page.get_by_role("button", name="Send").click()
    page.get_by_text("signed a receipt").wait_for(timeout=180_000)


def test_a_detective_opens_a_clip(demo, visitor):
    enrol, desk = demo.addresses(2)
    [code] = re.findall(r"one-time code: (\S+)", "\n".join(demo.part(2)))
    detective = visitor(at(enrol, "agency"))
    page = detective.page
    detective.enrol(code)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(detective.node.url + "/")
    page.goto(desk)
    page.get_by_role("link", name="Start with the oldest").click()
    page.get_by_label("Purpose").first.fill("See which way the red car was driven in this theft")
    page.get_by_role("button", name="Log it and open").click()
    page.locator("fw-player[data-ready]").first.wait_for(timeout=LOGGED)
    assert page.locator("fw-player video").first.evaluate("one => one.duration") > 1


def test_anybody_sees_the_public_page(demo, visitor):
    [town] = demo.addresses(3)
    anybody = visitor(at(town, "hub"), passkeys=False)
    anybody.page.goto(town)
    anybody.page.locator("h1").wait_for()


def test_a_wrong_address_opens_no_home(demo, visitor):
    [door] = demo.addresses(1)
    stranger = visitor(at(door, "home"), passkeys=False)
    stranger.expect_status(404)
    key = urlsplit(door).path.split("/")[1]
    assert stranger.page.goto(door.replace(key, "0" * len(key))).status == 404
    assert stranger.page.goto(door + "0").status == 404
    assert through(door, visitor).page.get_by_label("One-time code").input_value()
