"""Triage through the pages: the queue, the gate with its progress, the player's parts, accepting, declining."""

import re

import pytest

from fairwitness.agency.models import CustodyRecord, Notice, Response
from fairwitness.agency.services import collect, looking, requests, triage, withdrawals
from fairwitness.kit import clock
from tests.unit.agency.agency_steps import PURPOSE
from tests.unit.agency.world import Owner


def open_it(reader, response):
    answer = reader.post(f"/responses/{response.id}/open", purpose=PURPOSE, page="response")
    assert answer.status_code == 302, answer.content
    return reader.get(f"/responses/{response.id}")


def test_the_queue_says_when_answers_come_and_what_waits(world, sit, read):
    request = world.published()
    ana = sit("ana")
    empty = read(ana.get(f"/requests/{request.id}/responses"))
    assert "No answer has come in" in empty
    assert "Answers arrive every 1 h" in empty
    assert "The beat is the same whether there are any or not." in empty
    world.collected(request, Owner(1, [world.clip]), Owner(2, [], name="Dana Owner"))
    page = read(ana.get(f"/requests/{request.id}/responses"))
    assert "Answer 1" in page
    assert "Answer 2" in page
    assert "gives a name" in page
    assert "anonymous" in page
    assert "words only" in page
    assert "1 clip · 1 h" in page  # as its owner signed it, not what the file holds
    assert "Dana Owner" not in page  # the name itself stays sealed
    Response.objects.update(collected_at=clock.now() - 2 * 86400)
    assert "waits 2 days, reminder" in read(ana.get(f"/requests/{request.id}/responses"))
    Response.objects.update(collected_at=clock.now() - 5 * 86400)
    assert "second reminder" in read(ana.get(f"/requests/{request.id}/responses"))
    assert "None of these" in read(ana.get(f"/requests/{request.id}/responses", show="declined"))


def test_the_next_collection_is_at_the_beat(world):
    request = world.published()
    now = clock.now()
    collect.beat(now)
    every = collect.every_seconds(now)
    assert collect.next_round(now) == (now // every + 1) * every
    assert collect.next_round(now + every) == now + every
    world.hub.answer(world.document(request), Owner(1, [world.clip]))
    assert collect.next_round(now) == (now // every + 1) * every


def test_nothing_is_shown_before_the_log_holds_it(world, sit, read):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip], statement="The silver car turned left."))
    ana = sit("ana")
    closed = read(ana.get(f"/responses/{response.id}"))
    assert "Open this answer" in closed
    assert "The silver car" not in closed
    empty = ana.post(f"/responses/{response.id}/open", purpose="")
    assert empty.status_code == 400
    assert "State the purpose" in read(empty)
    forbidden = ana.post(f"/responses/{response.id}/open", purpose="find out their immigration status for ICE")
    assert forbidden.status_code == 409
    assert 'role="alert"' in forbidden.content.decode()
    world.hub.slow = True
    waiting = ana.post(f"/responses/{response.id}/open", purpose=PURPOSE, page="response")
    assert waiting.status_code == 202
    assert "The log is being written" in read(waiting)
    assert 'hx-trigger="load delay:1500ms"' in waiting.content.decode()
    assert f'value="{PURPOSE}"' in waiting.content.decode()
    assert "The silver car" not in read(ana.get(f"/responses/{response.id}"))
    written = CustodyRecord.objects.filter(response=response, action="viewed").count()
    assert ana.again(f"/responses/{response.id}/open", purpose=PURPOSE, page="response").status_code == 202
    assert CustodyRecord.objects.filter(response=response, action="viewed").count() == written == 2
    world.hub.slow = False
    done = ana.again(f"/responses/{response.id}/open", purpose=PURPOSE, page="response")
    assert done.headers["HX-Redirect"] == f"/responses/{response.id}"
    shown = read(ana.get(f"/responses/{response.id}"))
    assert "The silver car turned left." in shown
    assert PURPOSE in shown
    assert "Anonymous. Nothing in the answer says who sent it." in shown
    assert "The silver car" not in read(sit("sam").get(f"/responses/{response.id}"))  # open for who opened it
    world.step(16 * 60)
    again = read(ana.get(f"/responses/{response.id}"))
    assert "The silver car" not in again
    assert "You stated this before in this sitting." in again


def test_a_hub_out_of_reach_is_told_and_nothing_opens(world, sit, read):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    ana = sit("ana")
    world.hub.down = True
    refused = ana.post(f"/responses/{response.id}/open", purpose=PURPOSE)
    assert refused.status_code == 503
    assert "cannot be logged now" in read(refused)
    world.hub.down = False
    world.hub.slow = True
    ana.post(f"/responses/{response.id}/open", purpose=PURPOSE)
    world.hub.down = True
    later = ana.again(f"/responses/{response.id}/open", purpose=PURPOSE)
    assert "cannot be logged now" in read(later)
    assert "hx-post" not in later.content.decode()


def test_the_player_has_frames_and_a_filmstrip_that_no_disk_sees(world, sit, read, monkeypatch):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    ana = sit("ana")
    page = open_it(ana, response).content.decode()
    url = re.search(r'hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
    before = {path for path in world.folder.rglob("*") if path.is_file()}
    player = ana.get(url)
    assert "<fw-player" in player.content.decode()
    assert 'fps="10.0"' in player.content.decode()
    assert "data:image/jpeg;base64," in player.content.decode()
    assert {path for path in world.folder.rglob("*") if path.is_file()} == before
    touch = url.split("/")[2].split("?")[0]
    assert ana.get(f"/looks/{touch}/picture").content[:2] == b"\xff\xd8"
    assert sit("sam").get(f"/looks/{touch}").status_code == 404
    monkeypatch.setattr(looking, "MOST", 10)
    large = read(ana.get(url))
    assert "There is no filmstrip: This clip is too large for that here." in large
    world.step(16 * 60)
    assert "State the purpose again" in read(ana.get(url))


def test_checks_and_custody_in_words(world, sit, read):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    page = read(open_it(sit("ana"), response))
    for words in (
        "Signed by whoever answered", "Sealed on the way", "One household, one answer", "Promised in the public log",
        "The untouched recording", "Every clip lies in the time", "Custody without a gap", "Viewed · clip-01.mp4",
        "Ana (Officer)", "Proven: entry", "The node itself",
    ):  # fmt: skip
        assert words in page, words
    assert response.sealed in page


def test_accepting_waits_for_the_log_and_goes_to_the_next(world, sit, read):
    request = world.published()
    one, two = sorted(world.collected(request, Owner(1, [world.clip]), Owner(2, [])), key=lambda r: r.id)
    ana = sit("ana")
    assert ana.post(f"/responses/{one.id}/accept").status_code == 400  # no purpose was stated yet
    world.hub.slow = True
    assert ana.post(f"/responses/{one.id}/accept", purpose=PURPOSE, then="next").status_code == 202
    assert Response.objects.get(pk=one.id).state == "collected"
    world.hub.slow = False
    gone = ana.post(f"/responses/{one.id}/accept", purpose=PURPOSE, then="next")
    assert gone.headers["Location"] == f"/responses/{two.id}"
    assert Response.objects.get(pk=one.id).state == "accepted"
    assert "Accepted. Its owner is told" in read(ana.get(f"/responses/{two.id}"))
    assert world.told(one) == ["collected", "accepted"]


def test_declining_needs_a_reason_and_the_owner_hears_it(world, sit, read):
    request = world.published()
    [response] = world.collected(request, Owner(1, [world.clip]))
    ana = sit("ana")
    open_it(ana, response)
    bare = ana.post(f"/responses/{response.id}/decline", words="wrong corner")
    assert bare.status_code == 400
    assert "Choose why this answer is declined." in read(bare)
    assert 'value="wrong corner"' in bare.content.decode()
    long = ana.post(f"/responses/{response.id}/decline", reason="other_place", words="x" * 121)
    assert long.status_code == 400
    done = ana.post(f"/responses/{response.id}/decline", reason="other_place", words="the corner of Oak Street")
    assert done.status_code == 302
    page = read(ana.get(f"/responses/{response.id}"))
    assert "Nobody here can open this answer any more." in page
    assert "other_place (the corner of Oak Street)" in page
    world.told(response)
    note = next(item["note"] for item in world.hub.statuses if item["status"] == "declined")
    assert note.startswith("Declined because it shows another place than the one asked about: the corner of Oak Street.")
    assert set(triage.REASONS) == set(__import__("fairwitness.agency.views.triage", fromlist=["DECLINE"]).DECLINE)
    assert ana.post(f"/responses/{response.id}/open", purpose=PURPOSE).status_code == 410


def test_quarantine_is_told_in_words_and_never_opened(world, sit, read):
    request = world.published()
    world.hub.put("ab" * 32, b"age-encryption.org/v1\nnot a response")
    collect.run(clock.now())
    sam, ana = sit("sam"), sit("ana")
    page = read(sam.get("/quarantine"))
    assert "Its seal is damaged." in page
    assert "of no request that we know" in page
    assert ana.get("/quarantine").status_code == 403
    assert ana.get(f"/responses/{'ab' * 32}").status_code == 404
    shown = sam.get(f"/responses/{'ab' * 32}")
    assert "nobody has seen it, and nobody will" in read(shown)
    assert "Open this answer" not in read(shown)
    assert request.state == "published"


def test_a_withdrawal_is_shown_and_noted(world, sit, read):
    request = world.published()
    owner = Owner(1, [world.clip])
    [response] = world.collected(request, owner)
    world.hub.withdraw(owner)
    withdrawals.beat(clock.now())
    ana = sit("ana")
    assert "Its owner took this answer back" in read(ana.get(f"/responses/{response.id}"))
    assert "taken back" in read(ana.get(f"/requests/{request.id}/responses"))
    notice = Notice.objects.get(kind="withdrawn")
    assert ana.post(f"/notices/{notice.pk}/seen").status_code == 302
    assert "A withdrawal came in." not in read(ana.get(f"/responses/{response.id}"))
    assert "Its owner took this answer back" in read(ana.get(f"/responses/{response.id}"))


@pytest.mark.parametrize("path", ["", "/open", "/accept", "/decline"])
def test_a_case_that_is_not_ones_own_looks_like_none(world, sit, path):
    from fairwitness.agency.services import officers  # noqa: PLC0415 - one more person, for this test

    world.codes["otto"] = officers.enrol("otto", "Otto", "officer").code
    request = world.published()
    [response] = world.collected(request, Owner(1, []))
    otto = sit("otto")
    ask = otto.post if path else otto.get
    assert ask(f"/responses/{response.id}{path}").status_code == 404
    assert otto.get(f"/requests/{request.id}/responses").status_code == 404
    assert requests.get(request.id).responses.count() == 1
