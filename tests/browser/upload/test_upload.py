"""An owner with a phone: pairs it, brings a clip in through breaks and reloads, says when it was, and it answers a request."""

from datetime import UTC, datetime

import pytest

from fairwitness.demo.footage import make_clip
from tests.browser.conftest import PHONE
from tests.browser.test_people import tab_to
from tests.browser.upload.conftest import kill_web, pair

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Two real clips of some hundred kilobytes, and a file that is none."""
    folder = tmp_path_factory.mktemp("camera")
    for number, name in enumerate(("Front door 2026-11-01 01.30.00.mp4", "clip (2).mp4")):
        make_clip(
            folder / name, seed=number, seconds=12, start=1_780_000_000, place=(37.8, -122.3), width=640, height=360, fps=15
        )
    (folder / "notes.mp4").write_text("nothing to see here\n" * 200)
    return folder


def slow(person, bytes_a_second, *, offline=False):
    """Make the phone's uplink slow, or cut it; 0 ends it."""
    conditions = {"offline": offline, "latency": 5, "downloadThroughput": -1, "uploadThroughput": bytes_a_second or -1}
    person.session.send("Network.enable")
    person.session.send("Network.emulateNetworkConditions", conditions)


def arrive(visitor, **more):
    person = visitor("home", passkeys=False, **more)
    person.page.set_viewport_size(PHONE)
    person.page.goto(pair(person.node.codes["folder"]))
    return person


def item(person, name):
    return person.page.get_by_role("listitem").filter(has=person.page.get_by_role("heading", name=name))


def far(page, share):
    """Wait until so much of the file is sent; a transfer that broke off may hold its place for a quarter of a minute."""
    page.wait_for_function(
        "share => { const b = document.querySelector('progress'); return b && b.value > share }", arg=share, timeout=60_000
    )


def offsets(person):
    """Gather the offsets at which parts of files begin."""
    found = []
    person.page.on("request", lambda r: found.append(int(r.headers["upload-offset"])) if r.method == "PATCH" else None)
    return found


def test_from_the_phone_to_the_request(visitor, footage):
    person = arrive(visitor)
    page = person.page
    assert page.get_by_label("One-time code").input_value().count("-") == 5
    assert "#" not in page.url, "the code would stay in the history"
    person.look("pair")
    used = page.get_by_label("One-time code").input_value()
    page.get_by_role("button", name="Pair", exact=True).click()
    page.wait_for_url(lambda url: "/pair" not in url)
    person.go("/upload")
    page.get_by_text("Nothing yet.").wait_for()
    person.look("empty")
    # A code works once.
    person.expect_status(403)
    second = page.context.new_page()
    second.goto(person.node.at("/pair"))
    second.get_by_label("One-time code").fill(used)
    second.get_by_role("button", name="Pair", exact=True).click()
    second.get_by_text("unknown, used or older than two minutes").wait_for()
    second.close()

    page.set_viewport_size(PHONE)
    began = offsets(person)
    slow(person, 150_000)
    page.set_input_files("#files", footage / "Front door 2026-11-01 01.30.00.mp4")
    mine = item(person, "Front door 2026-11-01")
    bar = mine.get_by_role("progressbar")
    far(page, 0.2)
    person.look("progress")
    assert "Sending" in mine.inner_text()
    # The phone leaves the house.
    person.allowed += ["ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION", "ERR_EMPTY", "ERR_NETWORK", "status of 423"]
    slow(person, 0, offline=True)
    mine.get_by_text("No connection to your home node").wait_for()
    person.look("offline")
    slow(person, 150_000)
    far(page, 0.5)
    # A pause is the owner's word: nothing moves.
    mine.get_by_role("button", name="Pause").click()
    mine.get_by_text("Paused", exact=True).wait_for()
    person.look("paused")
    # The power goes in the house: the server dies in the middle of it.
    mine.get_by_role("button", name="Go on").click()
    slow(person, 150_000)
    far(page, 0.6)
    kill_web(person.node)
    page.wait_for_timeout(1500)
    slow(person, 0)
    mine.get_by_text("When was this?").wait_for(timeout=40_000)
    assert len(began) >= 4
    assert began[0] == 0
    assert began == sorted(began), "it went on where it stopped, and never from the start"
    assert began[-1] > 0
    assert bar.count() == 0

    # Its time: nothing is filled in until the owner says so.
    at = mine.get_by_label("It begins at")
    zone = mine.get_by_label("Time zone")
    assert at.input_value() == ""
    zone.select_option("America/Los_Angeles")
    page.wait_for_timeout(200)
    person.look("time")
    mine.get_by_role("button", name="Use this: Nov 1, 2026").click()
    mine.get_by_text("Clocks went back in this hour").wait_for()
    person.look("twice")
    start = person.node.codes["start"]
    zone.select_option("UTC")
    at.fill(datetime.fromtimestamp(start + 60, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    at.dispatch_event("change")
    mine.get_by_text(datetime.fromtimestamp(start + 60, UTC).strftime("That is %Y-%m-%d %H:%M:%S UTC")).wait_for()
    mine.get_by_role("button", name="Yes, it began then").click()
    mine.get_by_text("A request near this camera asks about this time.").wait_for()
    assert mine.get_by_text("Ready", exact=True).count() == 1
    person.look("done")

    # The same file again is told, and what is no video is refused; both in plain words.
    page.set_viewport_size(PHONE)
    page.set_input_files("#files", [footage / "Front door 2026-11-01 01.30.00.mp4", footage / "notes.mp4"])
    page.get_by_text("You have brought in this file before").wait_for()
    page.get_by_text("This is not a video that can be read").wait_for()
    person.look("refused")
    item(person, "notes.mp4").get_by_role("button", name="Delete notes.mp4").click()
    person.look("sure")
    page.get_by_role("button", name="Keep").click()
    assert item(person, "notes.mp4").count() == 1
    item(person, "notes.mp4").get_by_role("button", name="Delete notes.mp4").click()
    page.get_by_role("button", name="Yes, delete").click()
    item(person, "notes.mp4").wait_for(state="detached")


def test_a_reload_in_the_middle_and_the_keyboard_alone(visitor, footage):
    person = arrive(visitor, locale="es-MX")
    page, keys = person.page, person.page.keyboard
    page.get_by_label("Código de un solo uso").wait_for()
    tab_to(person, "Vincular")
    keys.press("Enter")
    page.wait_for_url(lambda url: "/pair" not in url)
    person.go("/upload")
    page.set_viewport_size({"width": 390, "height": 2400})
    page.locator("#camera").focus()
    keys.press("End")
    assert page.locator("#picker").is_hidden()
    tab_to(person, "Nombre de la nueva cámara")
    keys.press("Enter")
    assert page.locator("#camera-problem").inner_text().strip()
    keys.type("Garaje")
    keys.press("Enter")
    page.locator("#picker").wait_for()
    assert page.evaluate("() => document.activeElement.id") == "files"
    began = offsets(person)
    slow(person, 150_000)
    page.set_input_files("#files", footage / "clip (2).mp4")
    far(page, 0.2)
    page.reload()
    page.get_by_text("La página se cerró mientras").wait_for()
    person.look("es-again")
    page.set_viewport_size({"width": 390, "height": 2400})
    slow(person, 0)
    # Another file is not taken for it.
    with page.expect_file_chooser() as chooser:
        tab_to(person, "Elegir el archivo otra vez")
        keys.press("Enter")
    chooser.value.set_files(footage / "notes.mp4")
    page.get_by_text("Este es otro archivo").wait_for()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Elegir el archivo otra vez").click()
    chooser.value.set_files(footage / "clip (2).mp4")
    mine = item(person, "clip (2).mp4")
    mine.get_by_label("Zona horaria").wait_for()
    assert began[0] == 0
    assert began[-1] > 0
    person.look("es-time")
    page.set_viewport_size({"width": 390, "height": 2400})
    mine.get_by_label("Zona horaria").select_option("America/Mexico_City")
    mine.get_by_label("Empieza a las").fill("2026-06-01T03:00:00")
    page.keyboard.press("Tab")
    mine.get_by_text("2026-06-01 09:00:00 UTC").wait_for()
    tab_to(person, "Sí, empezó entonces")
    keys.press("Enter")
    mine.get_by_text("Todavía no se sabe dónde está esta cámara").wait_for()
    person.look("es-done")
