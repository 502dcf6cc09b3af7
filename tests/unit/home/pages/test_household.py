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
