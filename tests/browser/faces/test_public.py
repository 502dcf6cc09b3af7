"""A guest reads the public page: on a phone and a desktop, light and dark, in English and Spanish, under the hub's own policy."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fairwitness.kit.public import commands
from tests.browser.conftest import Node
from tests.unit.kit.hub.public_world import eventful, suspend, write

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "worker-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Quiet(SimpleHTTPRequestHandler):
    def end_headers(self):
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_words):
        pass


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The address of the pages of a hub at which everything has happened that can, as a static web server shows them."""
    from fairwitness.kit.public.books import Books, place_of  # noqa: PLC0415 - needs the settings
    from fairwitness.kit.public.site import Site  # noqa: PLC0415

    commands.ready()
    world = eventful()
    suspend(world)
    folder = tmp_path_factory.mktemp("public")
    Site(Books(place_of(write(world, folder / "copy"))), folder / "pages").draw()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder / "pages")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


@pytest.mark.slow
def test_a_guest_reads_and_follows(visitor, shown):
    guest = visitor(Node("public", shown, {}), passkeys=False, phone=True)
    page = guest.page
    guest.go("/")
    assert "in public" in guest.heading()
    page.locator("fw-map[data-ready]").wait_for()
    # The viewer's own zone; UTC stands beneath.
    assert page.locator("dd time[data-local]").first.is_visible()
    assert "UTC" in page.locator("dd", has=page.locator("time")).first.inner_text()
    guest.look("index")
    page.get_by_role("link", name="All requests").click()
    guest.look("requests")
    page.get_by_role("link", name="Refused", exact=False).first.click()
    page.locator(".rows a").first.click()
    assert "never its text" in page.locator("main").inner_text()
    guest.look("refused")
    page.get_by_role("link", name="Español").click()
    assert page.locator("html").get_attribute("lang") == "es"
    guest.look("refused-es")
    for name in ("agencies", "hosts", "check", "agencies/us-ca-oakland", "es/index", "es/hosts", f"es/requests/{5:032x}"):
        guest.go(f"/{name}.html")
        guest.look(name.replace("/", "-"))
    assert page.context.cookies() == []
