"""What an owner sees and sets: tokens, opt-outs, alerts, sources, the API, the command line."""
# ruff: noqa: PLC0415 - Django's modules are loaded once its settings are; the rest is layout

import base64
import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from fairwitness_core.crypto import tokens as voprf
from fairwitness_core.crypto.tokens import EPOCH_SECONDS, IssuerKey, epoch_of
from fairwitness_core.wire.errors import ProtocolError

from core.tests.rules.feed_world import TICK
from fairwitness.home import access
from fairwitness.home.models import Recording, Request, Token
from fairwitness.home.services import cameras, follower, join, matching, notifier, optouts, requests, sources, tokens
from fairwitness.kit.errors import Refused

# ---------------------------------------------------------------- tokens


@pytest.mark.claim("P10")
def test_tokens_are_bound_verified_and_ready(home):
    assert tokens.available() == 8
    token = Token.objects.order_by("position").first()
    found = voprf.Token.decode(bytes(token.token))
    place = "hub.example"
    key = home.hub.issuer(token.epoch)
    pk = tokens.key_of(token).public.raw
    voprf.verify(key, found, digest=voprf.challenge_digest(place, place), response_pk=pk)
    assert tokens.key_of(token).seed not in bytes(token.secret)


def test_tokens_are_fetched_once_an_epoch_needed_or_not(home):
    for _again in range(3):
        assert tokens.fetch_due(home.now).asked is None
    begin = (epoch_of(home.now) + 1) * EPOCH_SECONDS
    from fairwitness.home import slots

    mine = begin + int(slots.fraction("tokens", 0) * EPOCH_SECONDS)
    home.hub.log_issuer(epoch_of(begin))
    home.tick()
    home.hub.calls.clear()
    assert tokens.fetch_due(mine - 1).asked is None
    assert tokens.fetch_due(mine).ready == 8
    assert [call[2] for call in home.hub.calls] == ["http://hub.example/issuer/v1/tokens"]
    assert tokens.available() == 16


def test_a_lost_answer_is_asked_for_again_with_the_same_bytes_and_no_second_use(lone):
    lone.join()
    lone.hub.calls.clear()
    lone.hub.lose_answer = ["/issuer"]
    assert lone.tokens().code == "unreachable"
    assert lone.tokens().code == "unreachable"
    first, second = (call[4] for call in lone.hub.calls)
    assert first == second
    # After a restart the batch is blinded anew, for the same keys.
    keys = [tokens.key_of(row).public for row in Token.objects.order_by("position")]
    lone.hub.lose_answer = []
    follower._cache = None
    tokens._asked.clear()
    assert lone.tokens().ready == 8
    assert lone.hub.calls[-1][4] != first
    assert keys == [tokens.key_of(row).public for row in Token.objects.order_by("position")]
    assert list(lone.hub.fetches.values()) == [2]


def test_a_home_that_loses_power_too_often_waits_for_the_next_fortnight(lone):
    lone.join()
    lone.hub.lose_answer = ["/issuer"]
    for _kill in range(voprf.FETCHES_PER_EPOCH):
        assert lone.tokens().code == "unreachable"
        tokens._asked.clear()
    lone.hub.lose_answer = []
    assert lone.tokens().code == "invite.used_up"
    assert lone.tokens().asked is None
    assert [row.code for row in follower.alarms()] == ["invite.used_up"]
    epoch = epoch_of(lone.now) + 1
    lone.hub.log_issuer(epoch)
    lone.tick()
    lone.at((epoch + 1) * EPOCH_SECONDS - 1)
    assert lone.tokens().ready == 8
    assert follower.alarms() == []


@pytest.mark.claim("P10")
def test_a_hub_that_answers_with_a_key_of_its_own_marks_nobody(lone):
    lone.join()
    lone.hub.issuers[epoch_of(lone.now)] = IssuerKey(b"\5" * 32)
    honest = Token.objects.count()
    assert lone.tokens().code in {"token.key", "token.proof", "http"}
    bad = IssuerKey(b"\5" * 32)
    asked = json.loads(lone.hub.calls[-1][4])["blinded"]
    body = json.dumps({"evaluated": [_b64(bad.answer(base64.b64decode(item)[3:])) for item in asked]}).encode()
    lone.hub.bent["/issuer/v1/tokens"] = (200, body)
    assert lone.tokens().code == "token.proof"
    assert "token.proof" in [row.code for row in follower.alarms()]
    assert tokens.available() == honest == 0


def _b64(data):
    return base64.b64encode(data).decode()


def test_a_bad_invite_is_said_and_a_new_one_starts_anew(lone):
    lone.join(invite="wrong")
    assert lone.tokens().code == "invite.invalid"
    assert lone.tokens().asked is None
    lone.join()
    assert lone.tokens().ready == 8
    assert follower.alarms() == []


# ---------------------------------------------------------------- opt-outs and alerts


@pytest.fixture
def matched(home):
    home.tick()
    request = home.world.request(1)
    home.recording(home.porch, request.from_ + 60)
    home.world.publish(request)
    home.tick()
    return home


@pytest.mark.parametrize("how", ["all", "agency", "offense"])
@pytest.mark.claim("P7")
def test_opting_out_hides_and_silences_here_only(matched, sent, how):
    notifier.add_channel("mine", "ntfy://192.168.1.5/fair")
    switch = {
        "all": lambda off: optouts.set_all(off),
        "agency": lambda off: optouts.set_agency("us-ca-oakland", off),
        "offense": lambda off: optouts.set_offense("nibrs:220", off),
    }[how]
    switch(True)
    matched.hub.calls.clear()
    assert notifier.deliver(matched.now) == 0
    assert requests.listing() == []
    assert requests.listing(include_muted=True)[0].muted
    assert notifier.badge() == 0
    assert matched.hub.calls == []
    switch(False)
    assert notifier.deliver(matched.now) == 1
    assert notifier.badge() == 1
    assert "Oakland Police" in sent[0][2]
    assert notifier.deliver(matched.now) == 0


def test_quiet_hours_hold_an_alert_until_they_end(matched, sent):
    notifier.add_channel("mine", "ntfy://192.168.1.5/fair")
    local = datetime.fromtimestamp(matched.now, ZoneInfo("America/Los_Angeles"))
    minute = local.hour * 60 + local.minute
    optouts.set_quiet((minute - 5) % 1440, (minute + 30) % 1440, "America/Los_Angeles")
    assert notifier.deliver(matched.now) == 0
    assert notifier.deliver(matched.now + 31 * 60) == 1
    with pytest.raises(Refused, match=r"zone\.unknown"):
        optouts.set_quiet(1, 2, "Mars/Base")


@pytest.mark.claim("P2")
def test_a_company_gets_one_same_message_a_day_matched_or_not(matched, sent):
    notifier.add_channel("company", "ntfy://ntfy.sh/fair")
    notifier.set_digest_minute(0)
    for hour in range(0, 72, 3):
        notifier.deliver(matched.now + hour * 3600)
    with_match = list(sent)
    Request.objects.all().delete()
    sent.clear()
    stored = optouts.row()
    stored.digest_day = ""
    stored.save()
    for hour in range(0, 72, 3):
        notifier.deliver(matched.now + hour * 3600)
    assert sent == with_match
    assert 3 <= len(sent) <= 4
    assert len(set(sent)) == 1
    assert "Oakland" not in sent[0][2]


def test_an_instant_alert_through_a_company_needs_the_tick_and_says_nothing(matched, sent):
    with pytest.raises(Refused, match=r"channel\.instant") as caught:
        notifier.add_channel("company", "ntfy://ntfy.sh/fair", instant=True)
    assert "This company will learn" in str(caught.value)
    notifier.add_channel("company", "ntfy://ntfy.sh/fair", instant=True, understood=True)
    notifier.set_digest_minute(1439)
    notifier.deliver(matched.now)
    assert [body for _url, _title, body in sent] == [notifier.INSTANT_BODY]


def test_ignoring_is_invisible(matched):
    matched.hub.calls.clear()
    requests.ignore(f"{1:032x}")
    requests.detail(f"{1:032x}")
    assert matched.hub.calls == []
    assert notifier.badge() == 0
    assert "invisible" in requests.detail(f"{1:032x}").tip


def test_the_third_request_of_an_agency_in_30_days_is_called_so(matched):
    matched.world.publish(matched.world.request(2, offense="nibrs:240"))
    matched.tick()
    assert "request number 2 covering you" in requests.detail(f"{2:032x}").context


# ---------------------------------------------------------------- matching


@pytest.mark.claim("P3")
def test_footage_that_comes_later_and_a_camera_that_moves_are_judged_again(home):
    home.tick()
    request = home.world.request(1)
    home.world.publish(request)
    home.tick()
    assert requests.listing()[0].matched is False
    home.recording(home.porch, request.from_ + 60)
    (fresh,) = matching.rematch()
    assert fresh.hits == [{"camera": home.porch.pk, "intervals": [[request.from_ + 60, request.from_ + 660]]}]
    assert matching.rematch() == []
    cameras.edit(home.porch.pk, lat=34.05, lon=-118.24)
    matching.rematch()
    assert requests.listing() == []


def test_a_camera_must_be_one(home):
    for bad in ({"lat": 91.0}, {"fov": 0.0}, {"range_m": 10_000.0}):
        with pytest.raises(ProtocolError):
            cameras.edit(home.porch.pk, **bad)
    with pytest.raises(Refused, match=r"camera\.name_taken"):
        cameras.add("Porch", 1.0, 1.0)
    with pytest.raises(Refused, match=r"camera\.unknown"):
        cameras.remove(999)


# ---------------------------------------------------------------- sources


def test_an_unplugged_disk_forgets_nothing(home, tmp_path):
    folder = tmp_path / "cam"
    folder.mkdir()
    source = sources.add(home.porch.pk, str(folder))
    home_row = Recording.objects.create(
        source=source, path="a.mp4", identity={"size": 1, "mtime_ns": 1, "inode": 1}, start=1, end=2, seconds=1.0,
        time_source="name", codec="h264", size=1,
    )  # fmt: skip
    folder.rmdir()
    assert sources.scan().unreadable == 1
    home_row.refresh_from_db()
    assert not home_row.gone
    folder.mkdir()
    assert sources.scan().removed == 1
    with pytest.raises(Refused, match=r"source\.folder"):
        sources.add(home.porch.pk, "relative")


def test_a_broken_file_is_refused_once_and_named(home, tmp_path):
    import os

    folder = tmp_path / "cam"
    folder.mkdir()
    (folder / "broken.mp4").write_bytes(b"this is no video")
    os.utime(folder / "broken.mp4", (1, 1))
    source = sources.add(home.porch.pk, str(folder))
    assert sources.scan().added == 0
    source.refresh_from_db()
    assert source.refused[0]["path"] == "broken.mp4"
    assert sources.scan().anything is False


# ---------------------------------------------------------------- the owner's API


@pytest.fixture
def call(home, client):
    header = {"Authorization": f"Bearer {access.owner_token()}"}

    def run(method, path, body=None, **more):
        headers = {**header, "Host": "localhost", **more.pop("headers", {})}
        return client.generic(
            method, f"/api{path}", json.dumps(body) if body is not None else "", content_type="application/json",
            headers={k: v for k, v in headers.items() if v is not None}, **more,
        )  # fmt: skip

    return run


def test_the_api_does_what_the_services_do(matched, call):
    assert call("GET", "/status").json()["outcome"] == "ok"
    (view,) = call("GET", "/requests").json()
    assert call("GET", f"/requests/{view['id']}").json()["proof"]
    camera = call("POST", "/cameras", {"name": "Yard", "lat": 37.8, "lon": -122.2}).json()
    assert [row["name"] for row in call("GET", "/cameras").json()] == ["Porch", "Yard"]
    assert call("PUT", f"/cameras/{camera['id']}", {"name": "Gate", "lat": 37.8, "lon": -122.2}).json()["name"] == "Gate"
    assert call("DELETE", f"/cameras/{camera['id']}").status_code == 200
    answer = call("POST", f"/requests/{view['id']}/answer").json()
    changed = call("PATCH", f"/answers/{answer['id']}", {"statement": "I saw it.", "clips": []}).json()
    assert (changed["statement"], changed["clips"]) == ("I saw it.", [])
    terms = call("GET", "/terms").json()
    sealed = call("POST", f"/answers/{answer['id']}/confirm", {"terms_sha256": terms["sha256"]}).json()
    assert sealed["state"] == "queued"
    assert call("GET", f"/answers/{answer['id']}/receipt").json()["promise"] is None
    assert call("POST", f"/answers/{answer['id']}/withdraw").json()["sentence"].startswith("Cancelled")
    for path in ("/answers", "/sources", "/channels", "/choices", "/recordings/unknown", "/requests/refused"):
        assert call("GET", path).status_code == 200, path
    assert call("POST", "/choices/all", {"off": True}).json() == {"ok": True}
    assert call("POST", "/choices/all", {"off": "yes"}).status_code == 422
    assert call("POST", "/requests/nothing/answer").json()["error"]["code"] == "request.unknown"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic abc"}, 401),
        ({"Host": "attacker.example"}, 400),
        ({"Host": "localhost.attacker.example"}, 400),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://localhost"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_a_page_from_elsewhere_reaches_nothing_even_by_a_rebound_name(call, headers, status):
    assert call("GET", "/cameras", headers=headers).status_code == status


def test_the_owner_token_is_a_private_file(folders):
    token = access.owner_token()
    path = folders.data_dir / "keys" / "owner.token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert access.owner_token() == token
    assert len(token) >= 43


# ---------------------------------------------------------------- storage


def test_models_equal_the_migrated_schema(db):
    from django.core.management import call_command

    call_command("makemigrations", "home", check=True, dry_run=True, verbosity=0)


def test_old_public_requests_are_forgotten_and_answered_ones_kept(matched):
    from fairwitness.home import tasks

    later = matched.now + 200 * 86_400
    assert tasks.tidy(later) >= 1
    assert not Request.objects.exists()
    assert join.pinned() is not None
    assert TICK == 300
