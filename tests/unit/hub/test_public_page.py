"""The hub draws its public page from its own log, serves it to everybody alike, and keeps it up to date."""

import json

import pytest

from fairwitness.hub.services import moderation, public
from fairwitness.kit.public.compare import compare
from tests.unit.hub.world import TICK


@pytest.fixture
def drawn(world):
    request = world.agency.request()
    world.agency.submit(request)
    moderation.approve(request.id, 1)
    world.step(TICK)
    world.step(TICK)
    assert public.draw(world.now) > 0
    yield world, request
    public._held.clear()


def test_before_the_first_tick_it_says_so(bare):
    answer = bare.client.get("/")
    assert answer.status_code == 200
    assert "first tick" in answer.content.decode()
    assert public.draw(bare.now) == 0


def test_everybody_gets_the_same_files_without_a_cookie(drawn):
    world, request = drawn
    for path in ("/", "/es/", "/requests.html", f"/requests/{request.id}.html", "/agencies/us-ca-oakland.html", "/hosts.html"):
        answer = world.client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "max-age=5"
        assert not answer.cookies
        assert "Vary" not in answer.headers
        again = world.client.get(path, headers={"if-none-match": answer.headers["ETag"]})
        assert again.status_code == 304
    for path, kind in (("/requests.json", "application/json"), ("/feed.atom", "application/atom+xml; charset=utf-8")):
        assert world.client.get(path).headers["Content-Type"] == kind
    rows = json.loads(world.get("/requests.json"))["requests"]
    assert [(row["id"], row["state"], row["msg"]) for row in rows] == [(request.id, "open", request.msg)]


def test_nothing_else_of_the_data_folder_is_served(drawn):
    world, _ = drawn
    for path in (
        "/public/index.html",
        "/../config.toml",
        "/index.html.keys",
        "/public.keys",
        "/requests/../index.html",
        "/es/x.html",
    ):
        assert world.client.get(path).status_code in (400, 404), path
    assert world.client.get("/index.html?who=me").status_code == 404
    assert world.client.post("/").status_code in (403, 405)


def test_it_follows_the_log(drawn):
    world, request = drawn
    assert public.draw(world.now) == 0
    world.agency.withdraw(request, reason="withdrawn")
    other = world.agency.request(msg="Theft of a bicycle by the library. Look for a red cargo bike with a wooden box in front.")
    world.agency.submit(other)
    moderation.refuse(other.id, "moderation.vague")
    world.step(TICK)
    world.step(TICK)
    assert public.draw(world.now) > 0
    rows = {row["id"]: row for row in json.loads(world.get("/requests.json"))["requests"]}
    assert (rows[request.id]["state"], rows[other.id]["state"]) == ("withdrawn", "refused")
    text = world.get("/requests.html").decode() + world.get(f"/requests/{other.id}.html").decode()
    assert "cargo bike" not in text + world.get("/requests.json").decode()


@pytest.mark.claim("SG07")
def test_what_the_hub_shows_is_what_its_log_comes_to(drawn):
    world, _ = drawn
    found = compare(world.hub, str(world.hub))
    assert found.same, found
    page = world.hub / "public" / "es" / "index.html"
    page.write_bytes(page.read_bytes().replace(b"Oakland", b"Orlando"))
    assert compare(world.hub, str(world.hub)).differ == ("es/index.html",)
