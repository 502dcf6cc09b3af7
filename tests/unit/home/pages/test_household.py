"""Who lives here: what owners, members and viewers may see and do, and how one lets them in."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are

import pytest
from django.test import Client

from fairwitness.home.lan import pairing
from fairwitness.home.models import CameraShare, Member
from fairwitness.home.services import cameras, household
from fairwitness.kit.accounts.models import SignIn, User
from fairwitness.kit.errors import Refused


def paired(user=None):
    """A browser that was paired as `user`, or as the owner."""
    client = Client(headers={"host": "localhost", "accept": "text/html"}, raise_request_exception=False)
    assert client.post("/pair", {"code": pairing.issue(user)}).status_code == 302
    return client


def api(client, method, path, body=None):
    return client.generic(
        method,
        f"/api{path}",
        data=b"" if body is None else body,
        content_type="application/json",
        headers={"accept": "application/json"},
    )


def test_a_pairing_code_belongs_to_one_person(db):
    maya = household.add("Maya Ortiz", "member")
    assert maya.username == "maya-ortiz"
    client = paired(maya)
    assert SignIn.objects.get().user == maya
    assert api(client, "GET", "/choices").status_code == 403, "an owner's"
    assert api(client, "GET", "/requests").status_code == 200
    assert household.add("Maya Ortiz", "viewer").username == "maya-ortiz-2"
    assert household.add("李", "viewer").username == "person"


def test_a_viewer_sees_what_was_shared_and_nothing_else(home):
    other = cameras.add("Garden")
    mine = cameras.listing()[0] if cameras.listing()[0].pk != other.pk else cameras.listing()[1]
    seen, hidden = home.recording(mine, home.now - 600), home.recording(other, home.now - 600)
    nina = household.add("Nina", "viewer", cameras=[mine.pk])
    client = paired(nina)
    assert api(client, "GET", "/cameras").json() == [{"id": mine.pk, "name": mine.name}], "nor where it stands"
    span = f"?from={home.now - 900}&to={home.now}"
    assert api(client, "GET", f"/cameras/{mine.pk}/timeline{span}").status_code == 200
    assert api(client, "GET", f"/cameras/{other.pk}/timeline{span}").json()["error"]["code"] == "camera.unknown"
    assert api(client, "GET", f"/recordings/{hidden.pk}/media").json()["error"]["code"] == "recording.unknown"
    assert api(client, "GET", f"/recordings/{seen.pk}/media").json()["error"]["code"] != "recording.unknown"
    for path in ("/requests", "/status", "/answers", "/requests/refused", "/recorders", "/sources", "/uploads"):
        assert api(client, "GET", path).status_code == 403, path
    household.edit(nina.pk, name="Nina", role="viewer", may_answer=True, cameras=[])
    assert not household.may_send(User.objects.get(pk=nina.pk)), "that is a member's"
    assert api(client, "GET", f"/cameras/{mine.pk}/timeline{span}").status_code == 404, "at once, in the same session"


def test_a_member_prepares_and_only_who_may_sends(home):
    from fairwitness.home.models import Answer, Request
    from fairwitness.home.services import answers

    home.tick()
    home.world.publish(home.world.request(1))
    home.tick()
    member = household.add("Maya", "member")
    client = paired(member)
    request = Request.objects.get().pk
    assert api(client, "GET", f"/requests/{request}").status_code == 200
    assert Request.objects.get().seen_at is None, "it goes on waiting for who decides"
    answer = api(client, "POST", f"/requests/{request}/answer").json()["id"]
    assert api(client, "PATCH", f"/answers/{answer}", b'{"statement": "A grey van."}').status_code == 200
    confirm = f'{{"terms_sha256": "{answers.TERMS_SHA256}"}}'.encode()
    refused = api(client, "POST", f"/answers/{answer}/confirm", confirm)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "household.send")
    for path in ("send-now", "retry", "withdraw"):
        found = api(client, "POST", f"/answers/{answer}/{path}", b"{}").json()
        assert found["error"]["code"] == "household.send", path
    assert api(client, "POST", f"/answers/{answer}/step-forward", b'{"name": "M", "contact": "c"}').status_code == 403
    assert Answer.objects.get().state == "draft"
    household.edit(member.pk, name="Maya", role="member", may_answer=True, cameras=[])
    assert api(client, "POST", f"/answers/{answer}/confirm", confirm).status_code == 200
    assert Answer.objects.get().state == "queued"


def test_shutting_out_and_removing_are_at_once_and_never_lock_the_owner_out(db):
    owner = pairing.first_owner()
    maya, nina = household.add("Maya", "owner"), household.add("Nina", "viewer")
    hers = paired(nina)
    assert api(hers, "GET", "/cameras").status_code == 200
    household.freeze(nina.pk, owner)
    assert api(hers, "GET", "/cameras").status_code == 401
    with pytest.raises(Refused, match="shut out"):
        household.invite(nina.pk)
    household.unfreeze(nina.pk)
    assert api(hers, "GET", "/cameras").status_code == 401, "the browser has to be paired again"
    code = household.invite(nina.pk)
    household.remove(nina.pk, owner)
    assert Client(headers={"host": "localhost"}).post("/pair", {"code": code}).status_code == 403
    assert not Member.objects.filter(user_id=nina.pk).exists()
    assert not CameraShare.objects.exists()
    for act in (lambda: household.freeze(owner.pk, maya), lambda: household.remove(owner.pk, maya)):
        with pytest.raises(Refused, match="owns the machine"):
            act()
    with pytest.raises(Refused, match="owns the machine"):
        household.edit(owner.pk, name="X", role="viewer", may_answer=False, cameras=[])
    with pytest.raises(Refused, match="yourself"):
        household.remove(maya.pk, maya)


def test_all_other_browsers_end_at_once(db):
    first, second = paired(), paired(household.add("Maya", "member"))
    keep = SignIn.objects.filter(user__username="owner").get()
    assert len(household.sessions()) == 2
    assert household.end_sessions(keep) == 1
    assert api(first, "GET", "/cameras").status_code == 200
    assert api(second, "GET", "/cameras").status_code == 401
    household.end_session(keep.pk)
    assert api(first, "GET", "/cameras").status_code == 401
    with pytest.raises(Refused):
        household.end_session(keep.pk)


# ---------------------------------------------------------------- pages


def text(answer):
    return " ".join(answer.content.decode().split())


def test_an_owner_adds_changes_shuts_out_and_removes_on_the_pages(db):
    porch = cameras.add("Porch")
    client = paired()
    assert "Owner" in text(client.get("/settings/household"))
    bad = client.post("/settings/household", {"name": " ", "role": "viewer", "cameras": [porch.pk]})
    assert bad.status_code == 400
    assert 'role="alert"' in text(bad)
    assert f'value="{porch.pk}" checked' in text(bad), "what was chosen stays"
    assert client.post("/settings/household", {"name": "Nina", "role": "viewer", "cameras": ["99"]}).status_code == 404
    answer = client.post("/settings/household", {"name": "Nina", "role": "viewer", "cameras": [porch.pk]})
    assert answer.status_code == 302
    page = answer.headers["Location"]
    assert "Sees Porch" in text(client.get("/settings/household"))
    nina = User.objects.get(display_name="Nina")
    assert client.post(page, {"what": "edit", "name": "Nina B", "role": "member", "may_answer": "on"}).status_code == 302
    assert household.may_send(User.objects.get(pk=nina.pk))
    assert not CameraShare.objects.exists()
    hers = paired(nina)
    assert hers.get(page).status_code == 403
    client.post(page, {"what": "freeze"})
    assert hers.get("/").status_code == 302, "to the sign-in page"
    assert "shut out" in text(client.get(page))
    assert client.post(page, {"what": "pair"}).status_code == 409
    client.post(page, {"what": "unfreeze"})
    answer = client.post(page, {"what": "remove"})
    assert answer.headers["Location"] == "/settings/household"
    assert client.get(page).status_code == 404
    me = User.objects.get(username="owner").pk
    assert client.post(f"/settings/household/{me}", {"what": "remove"}).status_code == 409
    assert client.post(f"/settings/household/{me}", {"what": "edit", "name": "Sam", "role": "viewer"}).status_code == 422
    assert client.post(f"/settings/household/{me}", {"what": "edit", "name": "Sam", "role": "owner"}).status_code == 302
    assert client.post(page, {"what": "x"}).status_code == 404
    assert client.post(f"/settings/household/{me}", {"what": "x"}).status_code == 422


def test_a_code_from_the_page_pairs_once_and_the_page_learns_of_it(db, clock_at):
    import re

    clock_at(1_780_272_000)
    client = paired()
    answer = client.post("/settings/devices")
    assert "no-store" in answer.headers["Cache-Control"]
    page = text(answer)
    assert "A phone cannot open this home yet" in page, "it serves this machine alone"
    code = re.search(r"<code class=\"code\">([A-Z2-7-]+)</code>", page)[1]
    state = re.search(r"/settings/devices/codes/\d+", page)[0]
    assert "every 2s" in text(client.get(state))
    other = paired_by(code)
    assert SignIn.objects.count() == 2
    done = text(client.get(state))
    assert "Paired." in done
    assert "hx-get" not in done, "it asks no more"
    nina = paired(household.add("Nina", "viewer"))
    assert nina.get(state).status_code == 404
    mine = SignIn.objects.filter(user__username="owner").latest("pk")
    assert nina.post(f"/settings/devices/{mine.pk}/end").status_code == 404
    assert "Nina" in text(nina.get("/settings/devices"))
    assert "this browser" in text(nina.get("/settings/devices"))
    assert client.post(f"/settings/devices/{mine.pk}/end").status_code == 302
    assert other.get("/settings").status_code == 302
    assert client.post("/settings/devices/end").status_code == 302
    assert client.get("/settings").status_code == 200
    assert nina.get("/settings").status_code == 302


def paired_by(code):
    client = Client(headers={"host": "localhost", "accept": "text/html"}, raise_request_exception=False)
    assert client.post("/pair", {"code": code}).status_code == 302
    return client


def test_over_tls_in_the_own_network_the_code_is_a_qr_code_without_a_script(db, clock_at):
    import dataclasses

    from fairwitness.home.config import Config
    from fairwitness.home.services import devices
    from fairwitness.kit import config

    clock_at(1_780_272_000)
    here = config.current(Config)
    client = paired()
    config.use(dataclasses.replace(here, host="192.168.1.20", port=8443, public_url="https://192.168.1.20:8443"))
    try:
        assert devices.reachable()
        page = text(client.post("/settings/devices", secure=True))
    finally:
        config.use(here)
    assert '<svg class="qr"' in page
    assert "data:" not in page
    assert "cannot open this home yet" not in page
    assert "https://192.168.1.20:8443/pair" in page


def test_the_drawn_code_is_the_text():
    """Read back with OpenCV: what a phone's camera would see."""
    import re

    import cv2
    import numpy as np

    from fairwitness.home.services import devices

    address = "https://192.168.1.20:8443/pair#ABCDE-FGHIJ-KLMNO-PQRST-UVWXY-Z"
    path, side = devices.drawn(address)
    picture = np.full((side, side), 255, np.uint8)
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1", path):
        picture[int(y), int(x) : int(x) + int(width)] = 0
    large = cv2.resize(picture, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    assert cv2.QRCodeDetector().detectAndDecode(large)[0] == address
