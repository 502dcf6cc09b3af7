"""An officer asks: the map, the words, the second officer, the moderator; then a later end and an outcome that residents read."""

from datetime import datetime, timedelta

REASON = "Two neighbours were away and asked for more time."
WORDS = "Somebody took a parked bicycle and left towards the station. We look for a yellow cargo bicycle with a torn seat."


NOW = "() => new Date(Date.now() - new Date().getTimezoneOffset() * 6e4).toISOString().slice(0, 19)"  # in the browser's zone


def draw(page, cells):
    """Draw an area as its owner's finger would, but by name: the map listens to the field's own event."""
    page.locator("fw-map[data-ready]").wait_for()
    box = page.locator("fw-map canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("#area-facts", has_text="7 cells").wait_for()
    page.evaluate(
        """([lat, lon]) => document.querySelector("fw-map").dispatchEvent(
            new CustomEvent("choose", { detail: { lat, lon, rings: 1 } }))""",
        cells,
    )
    page.locator("#area-facts", has_text="7 cells").wait_for()


def local(moment):
    return moment.strftime("%Y-%m-%dT%H:%M")


def test_a_request_from_the_map_to_its_outcome(town, staff, resident):
    ana = staff("ana", then="/cases/new")
    page = ana.page
    page.get_by_label("Case number").fill("26-007701")
    page.get_by_label("Offence").fill("23H All other larceny")
    page.get_by_label("Title").fill("Bicycle taken at the station")
    page.get_by_role("button", name="Open the case").click()
    page.get_by_role("link", name="Ask the neighbourhood").click()
    page.get_by_text("Draw the area on the map.").wait_for()
    page.locator("fw-map[data-ready]").wait_for()
    ana.look("request-new", spanish=True)

    place = town.town.residents[0]
    draw(page, [place.lat, place.lon])
    now = datetime.fromisoformat(page.evaluate(NOW))
    page.get_by_label("From").fill(local(now - timedelta(minutes=40)))
    page.get_by_label("To", exact=True).fill(local(now - timedelta(minutes=35)))
    page.locator("#find-window", has_text="at least 15 minutes").wait_for()
    page.get_by_label("What happened, and what").fill("suspicious person, call 510 555 0199")
    page.locator("#find-msg", has_text="telephone number").wait_for()
    page.get_by_label("Whom to ask").fill("Property desk, 510 555 0100")
    ana.look("request-new-broken")
    ana.expect_status(409)
    page.get_by_role("button", name="Submit for approval").click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_label("What happened, and what").input_value() == "suspicious person, call 510 555 0199"
    page.get_by_label("To", exact=True).fill(local(now - timedelta(minutes=5)))
    page.get_by_label("What happened, and what").fill(WORDS)
    page.get_by_text("Every rule that can be checked here is kept").wait_for()
    assert WORDS in page.locator("#findings").inner_text()
    ana.look("request-new-ready")
    page.get_by_role("button", name="Submit for approval").click()
    page.get_by_text("Waits for a second officer", exact=True).wait_for()
    first = page.url.rsplit("/", 1)[1]

    sam = staff("sam", then="/requests?whose=waiting")
    sam.look("requests-waiting", spanish=True)
    sam.page.locator(f'a[href="/requests/{first}"]').click()
    sam.page.get_by_text("Checked again just now").wait_for()
    sam.page.locator("fw-map[data-ready]").wait_for()
    sam.look("request-approve", spanish=True)
    sam.page.get_by_text("Return with a note").click()
    sam.page.get_by_label("What should change").fill("Say whether the lock was cut.")
    sam.page.get_by_role("button", name="Return it").click()
    sam.page.get_by_text("with your note").wait_for()

    page.goto(page.url)
    page.get_by_text("Say whether the lock was cut.").first.wait_for()
    ana.look("request-returned")
    page.get_by_role("link", name="Edit", exact=True).click()
    page.locator("fw-map[data-ready]").wait_for()
    page.locator("#area-facts", has_text="7 cells").wait_for()
    page.get_by_label("What happened, and what").fill(f"{WORDS} Its lock was cut.")
    page.get_by_role("button", name="Submit for approval").click()
    page.get_by_text("Written anew after an earlier draft").wait_for()
    second = page.url.rsplit("/", 1)[1]
    assert second != first

    sam.go(f"/requests/{second}")
    sam.page.get_by_role("button", name="Approve and sign").click()
    sam.page.get_by_text("With the hub's moderator").wait_for()
    mina = staff("mina", then="/desk")
    town.until(
        "it waits for the moderator",
        lambda: any(one["id"] == second for one in town.people["mina"].get("/api/requests")["requests"]),
    )
    mina.go("/desk")
    mina.look("desk", spanish=True)
    mina.page.locator(f'a[href="/desk/requests/{second}"]').click()
    mina.page.locator("fw-map[data-ready]").wait_for()
    mina.look("desk-request", spanish=True)
    for box in mina.page.get_by_role("checkbox").all():
        box.check()
    mina.page.get_by_role("button", name="Approve").click()
    mina.page.get_by_text("It goes out with the next tick.").wait_for()
    for name in ("rota", "agencies", "health", "legal"):
        mina.go(f"/desk/{name}")
        mina.look(f"desk-{name}", spanish=True)
    page.goto(page.url)
    page.get_by_text("Seen there by").wait_for(timeout=60_000)
    page.goto(page.url)
    page.locator("fw-map[data-ready]").wait_for()
    ana.look("request-live", spanish=True)

    page.get_by_text("Extend it").click()
    page.get_by_label("Why, for everybody to read").fill(REASON)
    page.get_by_role("button", name="Sign and propose").click()
    page.get_by_role("heading", name="A later end is proposed").wait_for()
    sam.go(f"/requests/{second}")
    sam.look("request-extension")
    sam.page.get_by_role("button", name="Approve and sign").click()
    sam.page.get_by_text("The later end is public").wait_for(timeout=60_000)

    page.goto(page.url)
    page.get_by_text("Say what came of it").click()
    page.get_by_label("Solved by other means").check()
    page.get_by_label("Words to the neighbours").fill("The bicycle is back. Thank you.")
    ana.look("request-outcome")
    page.get_by_role("button", name="Sign and publish the outcome").click()
    page.get_by_text("The outcome is public").wait_for(timeout=60_000)
    page.goto(page.url)
    ana.look("request-resolved", spanish=True)
    ana.go("/requests?show=all")
    ana.look("requests", spanish=True)

    home = town.owners[place.name]
    read = town.until("the home reads the outcome", lambda: _resolved(home, second))
    assert read["outcome_words"] == "The bicycle is back. Thank you."
    assert read["extension"] == REASON


def _resolved(home, request_id):
    rows = {one["id"]: one for one in home.get("/api/requests?past=true")}
    if rows.get(request_id, {}).get("state") != "resolved":
        return None
    return home.get(f"/api/requests/{request_id}")
