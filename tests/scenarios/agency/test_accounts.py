"""Who gets in, and who does not: every way through the ordinary pages, with a software authenticator."""

import base64
import json
import time
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.socialaccount.models import SocialAccount
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.http import JsonResponse
from django.test import Client
from django.urls import path

from fairwitness.demo.authenticator import SignInFailed, SoftClient
from fairwitness.kit import clock
from fairwitness.kit.accounts import gate, services, social
from fairwitness.kit.accounts.models import EnrolmentCode, SignIn, TotpGrant, User
from fairwitness.kit.accounts.social import SocialAdapter
from fairwitness.kit.errors import Refused
from fairwitness.kit.urls import common

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@gate.require("officer")
def officers_only(request):
    return JsonResponse({"who": gate.actor(request).username})


urlpatterns = [*common(), path("officers", officers_only)]


@pytest.fixture
def browser():
    return lambda: SoftClient.over_django(Client(enforce_csrf_checks=True))


@pytest.fixture
def officer():
    return services.create_user("rivera", "A. Rivera", "officer")


@pytest.fixture
def enrolled(browser, officer):
    client = browser()
    client.enrol(services.issue_code(officer))
    return client


def test_enrol_then_sign_in(enrolled, journal_lines):
    assert enrolled.get("/officers").status == 401
    enrolled.sign_in()
    assert enrolled.get("/officers").json() == {"who": "rivera"}
    assert [line["event"] for line in journal_lines] == ["signed_in"]
    assert journal_lines[0]["method"] == "passkey"
    assert "rivera" not in json.dumps(journal_lines)


def test_enrolling_session_can_only_add_a_passkey(browser, officer):
    client = browser()
    client.get("/auth/enrol")
    assert client.post("/auth/enrol", form={"code": services.issue_code(officer)}).status == 302
    for address in ("/officers", "/auth/account", "/auth/people", "/auth/passkey/add", "/auth/passkey/again"):
        answer = client.get(address)
        assert answer.status == 403, address
        assert answer.json()["error"]["code"] == "auth.enrolling"
    assert client.get("/auth/enrol/passkey").status == 200


def test_enrolling_session_ends_with_the_passkey_and_after_a_quarter_of_an_hour(browser, officer, clock_at):
    clock_at(time.time())
    client = browser()
    client.enrol(services.issue_code(officer))
    assert client.get("/auth/enrol/passkey").status == 401
    other = browser()
    other.get("/auth/enrol")
    other.post("/auth/enrol", form={"code": services.issue_code(officer)})
    clock_at(step=901)
    assert other.get("/auth/enrol/passkey").status == 401


def test_a_code_works_once_and_for_a_day(browser, officer, clock_at):
    clock_at(time.time())
    code = services.issue_code(officer)
    stored = EnrolmentCode.objects.get()
    assert code.replace("-", "").encode() not in bytes(stored.code_hash)
    browser().enrol(code)
    for _ in range(2):
        with pytest.raises(SignInFailed, match=r"auth\.code"):
            browser().enrol(code)
    late = services.issue_code(officer)
    clock_at(step=24 * 3600)
    with pytest.raises(SignInFailed, match=r"auth\.code"):
        browser().enrol(late)
    with pytest.raises(SignInFailed, match=r"auth\.code"):
        browser().enrol("AAAAA-BBBBB")


def test_a_newer_code_voids_the_older(browser, officer):
    first = services.issue_code(officer)
    services.issue_code(officer)
    with pytest.raises(SignInFailed, match=r"auth\.code"):
        browser().enrol(first)


def test_replayed_assertion_is_refused(enrolled, browser):
    assertion = enrolled.assertion()
    assert enrolled.send_assertion(assertion).status == 302
    enrolled.sign_out()
    assert enrolled.send_assertion(assertion).status == 403
    thief = browser()
    thief.get("/auth/sign-in")
    thief.get("/auth/passkey/sign-in")
    assert thief.send_assertion(assertion).status == 403
    assert thief.get("/officers").status == 401


def test_replay_within_the_same_browser_session_is_refused(enrolled):
    """The challenge is spent by its first use, also by a failed one."""
    enrolled.authenticator.user_verified = False
    refused = enrolled.assertion()
    assert enrolled.send_assertion(refused).status == 403
    assert enrolled.send_assertion(refused).status == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:8001", "https://localhost", "http://a.localhost", "null"]
)
def test_wrong_origin_is_refused(enrolled, origin, journal_lines):
    enrolled.get("/auth/sign-in")
    options = enrolled.get("/auth/passkey/sign-in").json()["request_options"]
    assertion = enrolled.authenticator.get(options, origin)
    assert enrolled.send_assertion(assertion).status == 403
    assert enrolled.get("/officers").status == 401
    assert "passkey.origin" in {line.get("code") for line in journal_lines}


def test_wrong_origin_is_refused_at_enrolment(browser, officer):
    client = browser()
    client.get("/auth/enrol")
    client.post("/auth/enrol", form={"code": services.issue_code(officer)})
    options = client.get("/auth/enrol/passkey").json()["creation_options"]
    credential = client.authenticator.create(options, "http://localhost:9999")
    assert client.post("/auth/enrol/passkey", form={"credential": json.dumps(credential)}).status == 403
    assert not services.passkeys_of(officer).exists()


def test_counter_rollback_is_refused(enrolled, journal_lines):
    for _ in range(2):
        enrolled.sign_in()
        enrolled.sign_out()
    enrolled.authenticator.credentials[0].count = 1  # the clone's next assertion says 2 again
    with pytest.raises(SignInFailed):
        enrolled.sign_in()
    assert "passkey.counter" in {line.get("code") for line in journal_lines}
    enrolled.authenticator.credentials[0].count = 10
    enrolled.sign_in()


def test_user_verification_is_needed(browser, officer, enrolled):
    enrolled.authenticator.user_verified = False
    with pytest.raises(SignInFailed):
        enrolled.sign_in()
    client = browser()
    client.authenticator.user_verified = False
    with pytest.raises(SignInFailed):
        client.enrol(services.issue_code(officer))


def test_somebody_elses_key_is_refused(enrolled, browser, officer):
    other = services.create_user("okafor", "B. Okafor", "supervisor")
    thief = browser()
    thief.enrol(services.issue_code(other))
    assertion = thief.assertion()
    enrolled_handle = enrolled.authenticator.credentials[0].user_handle
    assertion["response"]["userHandle"] = base64.urlsafe_b64encode(enrolled_handle).rstrip(b"=").decode()
    assert thief.send_assertion(assertion).status == 403


@pytest.mark.parametrize(
    "credential",
    ["", "{", "[]", "{}", "null", '"x"', '{"id": 1}', '{"response": {"clientDataJSON": "e30"}}', '{"response": []}'],
)
def test_malformed_credentials_are_refused(enrolled, credential):
    enrolled.get("/auth/sign-in")
    enrolled.get("/auth/passkey/sign-in")
    assert enrolled.post("/auth/passkey/sign-in", form={"credential": credential}).status == 403


def test_password_login_is_impossible(enrolled, officer, browser):
    assert not officer.has_usable_password()
    assert not officer.check_password("!")
    with pytest.raises(Refused):
        officer.set_password("secret")
    with pytest.raises(NotImplementedError):
        make_password("secret")
    assert authenticate(username="rivera", password="!") is None
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=officer.pk).update(password="x")
    client = browser()
    client.get("/auth/sign-in")
    for address in (
        "/auth/sign-in",
        "/accounts/login/",
        "/auth/login/",
        "/auth/password/reset/",
        "/auth/signup/",
        "/_allauth/browser/v1/auth/login",
        "/auth/reauthenticate/",
    ):
        answer = client.post(address, form={"login": "rivera", "username": "rivera", "password": "!"})
        assert answer.status in (404, 405), address
        assert client.get("/officers").status == 401


def test_no_session_without_a_row_in_the_gate(officer):
    """Django's own login makes no session that the gate accepts."""
    client = Client()
    client.force_login(officer, backend=services.BACKEND)
    assert client.get("/officers").status_code == 401


def test_wrong_role_is_refused(browser):
    client = browser()
    client.enrol(services.issue_code(services.create_user("tech", "T", "technician")))
    client.sign_in()
    answer = client.get("/officers")
    assert answer.status == 403
    assert answer.json()["error"]["code"] == "auth.role"


def test_freezing_stops_a_running_session_at_once(enrolled, officer):
    enrolled.sign_in()
    services.freeze(officer)
    assert enrolled.get("/officers").status == 401
    with pytest.raises(SignInFailed):
        enrolled.sign_in()
    services.unfreeze(officer)
    assert enrolled.get("/officers").status == 401
    enrolled.sign_in()
    assert enrolled.get("/officers").status == 200


def test_an_account_ends_at_its_moment(enrolled, officer, clock_at):
    now = clock_at(time.time())
    User.objects.filter(pk=officer.pk).update(active_until=int(now) + 100)
    enrolled.sign_in()
    assert enrolled.get("/officers").status == 200
    clock_at(step=101)
    assert enrolled.get("/officers").status == 401
    with pytest.raises(SignInFailed):
        enrolled.sign_in()


def test_sessions_end_by_age_by_idling_and_by_revocation(enrolled, officer, clock_at):
    clock_at(time.time())
    enrolled.sign_in()
    for _ in range(12):
        assert enrolled.get("/officers").status == 200
        clock_at(step=59 * 60)
    clock_at(step=13 * 60)
    assert enrolled.get("/officers").status == 401
    enrolled.sign_in()
    clock_at(step=61 * 60)
    assert enrolled.get("/officers").status == 401
    enrolled.sign_in()
    (sign_in,) = services.sessions_of(officer)[:1]
    services.revoke(sign_in)
    assert enrolled.get("/officers").status == 401
    enrolled.sign_in()
    assert services.revoke_all(officer) >= 1
    assert enrolled.get("/officers").status == 401


def test_sign_out_kills_the_stolen_cookie_too(enrolled):
    enrolled.sign_in()
    stolen = dict(enrolled.cookies)
    enrolled.sign_out()
    enrolled.cookies = stolen
    assert enrolled.get("/officers").status == 401


def test_own_sessions_and_passkeys_only(enrolled, browser):
    other = browser()
    person = services.create_user("okafor", "B. Okafor", "supervisor")
    other.enrol(services.issue_code(person))
    other.sign_in()
    enrolled.sign_in()
    foreign = services.sessions_of(person)[0]
    assert enrolled.post(f"/auth/sessions/{foreign.pk}/revoke").status == 404
    key = services.passkeys_of(person)[0]
    assert enrolled.post(f"/auth/passkeys/{key.pk}/remove").status == 404
    mine = services.passkeys_of(User.objects.get(username="rivera"))[0]
    assert enrolled.post(f"/auth/passkeys/{mine.pk}/remove").json()["error"]["code"] == "passkey.last"


def test_a_second_passkey_needs_a_fresh_assertion(enrolled):
    enrolled.sign_in()
    answer = enrolled.get("/auth/passkey/add")
    assert answer.status == 302
    assert answer.headers["location"].startswith("/auth/passkey/again")
    page = enrolled.get(answer.headers["location"], accept="text/html")
    assert page.status == 200
    options = json.loads(page.body.split(b'id="passkey-options" type="application/json">')[1].split(b"</script>")[0])
    credential = json.dumps(enrolled.authenticator.get(options["request_options"], enrolled.origin))
    answer = enrolled.post(answer.headers["location"], form={"credential": credential})
    assert answer.status == 302
    created = enrolled.get("/auth/passkey/add").json()["creation_options"]
    made = enrolled.authenticator.create(created, enrolled.origin)
    assert enrolled.post("/auth/passkey/add", form={"credential": json.dumps(made)}).status == 302
    assert services.passkeys_of(User.objects.get(username="rivera")).count() == 2


def test_csrf_token_and_origin_are_needed(enrolled):
    enrolled.sign_in()
    client = Client(enforce_csrf_checks=True)
    cookie = "; ".join(f"{name}={value}" for name, value in enrolled.cookies.items())
    without = client.post("/auth/sign-out", headers={"cookie": cookie, "origin": "http://localhost"})
    assert without.status_code == 403
    token = next(value for name, value in enrolled.cookies.items() if name.endswith("_csrf"))
    foreign = client.post("/auth/sign-out", headers={"cookie": cookie, "origin": "http://evil.example", "x-csrftoken": token})
    assert foreign.status_code == 403
    assert enrolled.get("/officers").status == 200


def test_unknown_host_is_refused():
    assert Client().get("/auth/sign-in", headers={"host": "rebound.example"}).status_code == 400


def test_browser_is_led_to_sign_in_and_back():
    answer = Client().get("/officers?x=1", headers={"accept": "text/html"})
    assert answer.status_code == 302
    assert answer.headers["location"] == "/auth/sign-in?next=%2Fofficers%3Fx%3D1"
    page = Client().get(answer.headers["location"], headers={"accept": "text/html"})
    assert b'value="/officers?x=1"' in page.content


# Administration


@pytest.fixture
def admin(browser):
    client = browser()
    client.enrol(services.issue_code(services.create_user("root", "The Admin", "admin")))
    client.sign_in()
    return client


def test_an_administrator_makes_and_freezes_accounts(admin, browser):
    page = admin.post(
        "/auth/people/add", form={"username": "new", "display_name": "New One", "role": "officer"}, accept="text/html"
    )
    assert page.status == 200
    code = page.body.split(b'class="code">')[1].split(b"<")[0].decode()
    newcomer = browser()
    newcomer.enrol(code)
    newcomer.sign_in()
    assert newcomer.get("/auth/people").status == 403
    person = User.objects.get(username="new")
    assert admin.post(f"/auth/people/{person.pk}/freeze").status == 200
    assert newcomer.get("/officers").status == 401
    myself = User.objects.get(username="root")
    assert admin.post(f"/auth/people/{myself.pk}/freeze").json()["error"]["code"] == "user.self"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"username": "A b", "display_name": "x", "role": "officer"}, "user.name"),
        ({"username": "ok", "display_name": "x", "role": "moderator"}, "user.role"),
        ({"username": "ok", "display_name": " ", "role": "officer"}, "user.display_name"),
        ({"username": "root", "display_name": "x", "role": "officer"}, "user.exists"),
        ({}, "user.name"),
    ],
)
def test_bad_accounts_are_refused(admin, fields, code):
    assert admin.post("/auth/people/add", form=fields).json()["error"]["code"] == code


# The one-time-password fallback


def totp_code(secret: str, moment: int) -> str:
    return format_hotp_value(hotp_value(secret, moment // 30))


def test_totp_works_only_while_granted_and_once_per_code(admin, officer, browser, clock_at, journal_lines):
    clock_at(1_900_000_000)
    keeper = User.objects.get(username="root")
    grant, secret = services.grant_totp(officer, 2, keeper)
    assert secret.encode() not in bytes(grant.secret_wrapped)
    client = browser()

    def attempt(code):
        client.get("/auth/totp")
        return client.post("/auth/totp", form={"username": "rivera", "code": code})

    assert attempt("000000").status == 403
    code = totp_code(secret, clock.now())
    assert attempt(code).status == 302
    assert client.get("/officers").json() == {"who": "rivera"}
    other = browser()
    other.get("/auth/totp")
    assert other.post("/auth/totp", form={"username": "rivera", "code": code}).status == 403
    events = [line["event"] for line in journal_lines]
    assert {"totp_granted", "totp_used", "signed_in"} <= set(events)
    clock_at(step=30 * 60)
    assert client.get("/officers").status == 200
    clock_at(1_900_000_000 + 2 * 3600)
    assert client.get("/officers").status == 401, "the session ends with the grant"
    assert attempt(totp_code(secret, clock.now())).status == 403
    assert TotpGrant.objects.count() == 1


def test_totp_is_refused_without_a_grant_and_after_ten_wrong_codes(officer, browser, clock_at):
    clock_at(1_900_000_000)
    keeper = services.create_user("root", "The Admin", "admin")
    client = browser()
    client.get("/auth/totp")
    assert client.post("/auth/totp", form={"username": "rivera", "code": "123456"}).status == 403
    _, secret = services.grant_totp(officer, 2, keeper)
    good = totp_code(secret, clock.now())
    bad = "000000" if good != "000000" else "000001"
    for _ in range(10):
        assert client.post("/auth/totp", form={"username": "rivera", "code": bad}).status == 403
    assert client.post("/auth/totp", form={"username": "rivera", "code": good}).status == 403


def test_totp_is_granted_by_another_administrator_for_a_week_at_most(officer):
    keeper = services.create_user("root", "The Admin", "admin")
    with pytest.raises(Refused, match=r"totp\.by"):
        services.grant_totp(officer, 2, officer)
    with pytest.raises(Refused, match=r"totp\.by"):
        services.grant_totp(keeper, 2, keeper)
    with pytest.raises(Refused, match=r"totp\.hours"):
        services.grant_totp(officer, 169, keeper)


# OIDC


class Issuer:
    """A small OpenID Connect provider, reached through allauth's session instead of a socket."""

    def __init__(self, subject="sub-1", login="rivera@city.example"):
        self.subject, self.login = subject, login
        self.key = rsa.generate_private_key(65537, 2048)
        self.published = {"keys": [{**self.public(self.key), "kid": "k1", "alg": "RS256", "use": "sig"}]}
        self.token, self.down = {}, False

    @staticmethod
    def public(key):
        return jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)

    def signed(self, **changes):
        now = int(time.time())
        claims = {"iss": "https://issuer.test", "aud": "fairwitness", "sub": self.subject, "iat": now, "exp": now + 60}
        return jwt.encode(claims | changes, self.key, "RS256", {"kid": "k1"})

    def __call__(self, *_args):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        return None

    def request(self, method, url, **_options):
        return self.get(url) if method == "GET" else self.post(url)

    def post(self, url, **_options):
        said = {"access_token": "a", "token_type": "Bearer", "id_token": self.signed(), "expires_in": 60}
        return Answer({name: value for name, value in (said | self.token).items() if value is not None})

    def get(self, url, **_options):
        if self.down:
            raise ConnectionError("no such host")
        if url.endswith("/jwks"):
            return Answer(self.published)
        if url.endswith("/userinfo"):
            return Answer({"sub": self.subject, "preferred_username": self.login})
        return Answer(
            {
                "issuer": "https://issuer.test",
                "authorization_endpoint": "https://issuer.test/authorize",
                "token_endpoint": "https://issuer.test/token",
                "userinfo_endpoint": "https://issuer.test/userinfo",
                "jwks_uri": "https://issuer.test/jwks",
            }
        )


class Answer:
    status_code = 200

    def __init__(self, data):
        self.headers = {"content-type": "application/json"}
        self._data = data
        self.text = json.dumps(data)

    def json(self):
        return self._data

    def raise_for_status(self):
        return None


def oidc_sign_in(client):
    client.get("/auth/sign-in")
    start = client.post("/auth/oidc/city/login")
    assert start.status == 302, start.body[:500]
    there = urlsplit(start.headers["location"])
    query = parse_qs(there.query)
    assert there.netloc == "issuer.test"
    assert query["code_challenge_method"] == ["S256"]
    return client.get(f"/auth/oidc/city/callback?code=x&state={query['state'][0]}")


@pytest.fixture
def issuer(monkeypatch):
    found = Issuer()
    monkeypatch.setattr(SocialAdapter, "get_requests_session", lambda _self: found)
    return found


def test_oidc_needs_the_passkey_after_it(enrolled, officer, issuer, journal_lines):
    User.objects.filter(pk=officer.pk).update(oidc_provider="city", oidc_login="rivera@city.example")
    answer = oidc_sign_in(enrolled)
    assert answer.status == 302, answer.body
    assert answer.headers["location"] == "/auth/passkey/follow"
    for address in ("/officers", "/auth/account"):
        assert enrolled.get(address).status == 401, "nothing works before the passkey"
    code = enrolled.post("/auth/passkey/follow", form={"code": "123456"})
    assert code.status in (200, 403)
    assert enrolled.get("/officers").status == 401
    enrolled.step_up()
    assert enrolled.get("/officers").json() == {"who": "rivera"}
    assert SignIn.objects.filter(method="oidc-passkey").count() == 1
    # Bound to the subject from now on, whatever login the provider states.
    enrolled.sign_out()
    issuer.login = "renamed@city.example"
    assert oidc_sign_in(enrolled).headers["location"] == "/auth/passkey/follow"


def test_oidc_admits_nobody_unknown_and_binds_once(enrolled, officer, issuer, browser):
    assert oidc_sign_in(enrolled).status == 403
    assert not User.objects.exclude(username="rivera").exists()
    User.objects.filter(pk=officer.pk).update(oidc_provider="city", oidc_login="rivera@city.example")
    assert oidc_sign_in(enrolled).status == 302
    issuer.subject = "sub-2"
    assert oidc_sign_in(browser()).status == 403, "another subject with the same login is another person"


def test_oidc_without_a_passkey_or_with_a_frozen_account_is_refused(browser, officer, issuer):
    User.objects.filter(pk=officer.pk).update(oidc_provider="city", oidc_login="rivera@city.example")
    answer = oidc_sign_in(browser())
    assert (answer.status, answer.json()["error"]["code"]) == (403, "auth.oidc_no_passkey")
    services.freeze(officer)
    assert oidc_sign_in(browser()).json()["error"]["code"] == "auth.oidc_unknown"


def test_oidc_step_up_with_another_persons_passkey_is_refused(enrolled, officer, issuer, browser):
    User.objects.filter(pk=officer.pk).update(oidc_provider="city", oidc_login="rivera@city.example")
    thief = browser()
    thief.enrol(services.issue_code(services.create_user("okafor", "B. Okafor", "supervisor")))
    assert oidc_sign_in(thief).status == 302
    options = thief.get("/auth/passkey/follow").json()["request_options"]
    options["publicKey"].pop("allowCredentials", None)
    credential = json.dumps(thief.authenticator.get(options, thief.origin))
    thief.post("/auth/passkey/follow", form={"credential": credential})
    assert thief.get("/officers").status == 401


def tampered(issuer, how):
    head, body, signature = issuer.signed().split(".")
    now = int(time.time())
    claims = {"iss": "https://issuer.test", "aud": "fairwitness", "sub": "sub-1", "iat": now, "exp": now + 60}
    return {
        "absent": None,
        "not a token": "x.y",
        "another issuer": issuer.signed(iss="https://other.test"),
        "another client": issuer.signed(aud="payroll"),
        "expired": issuer.signed(exp=int(time.time()) - 300),
        "another subject": issuer.signed(sub="sub-2"),
        "altered claims": f"{head}.{issuer.signed(extra=1).split('.')[1]}.{signature}",
        "altered signature": f"{head}.{body}.{signature[:40][::-1]}{signature[40:]}",
        "another key": jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", {"kid": "k1"}),
        "unknown key": jwt.encode(claims, issuer.key, "RS256", {"kid": "k2"}),
        "no key named": jwt.encode(claims, issuer.key, "RS256"),
        "unsigned": jwt.encode(claims, None, "none", {"kid": "k1"}),
        "signed by a word": jwt.encode(claims, "k" * 32, "HS256", {"kid": "k1"}),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "absent", "not a token", "another issuer", "another client", "expired", "another subject", "altered claims",
        "altered signature", "another key", "unknown key", "no key named", "unsigned", "signed by a word",
    ],
)  # fmt: skip
def test_oidc_believes_a_token_by_its_signature_alone(enrolled, officer, issuer, how):
    social.name_login(officer, "city", "rivera@city.example")
    issuer.token = {"id_token": tampered(issuer, how)}
    answer = oidc_sign_in(enrolled)
    assert (answer.status, answer.json()["error"]["code"]) == (403, "auth.oidc_failed")
    assert enrolled.get("/auth/passkey/follow").status != 200
    assert not SocialAccount.objects.exists(), "nobody was bound to anything"
    issuer.token = {}
    assert oidc_sign_in(enrolled).headers["location"] == "/auth/passkey/follow"


def test_oidc_provider_that_is_silent_is_named(enrolled, issuer):
    issuer.down = True
    enrolled.get("/auth/sign-in")
    answer = enrolled.post("/auth/oidc/city/login")
    assert (answer.status, answer.json()["error"]["code"]) == (502, "auth.oidc_silent")
    assert enrolled.get("/auth/oidc/nowhere/callback").status == 404


def test_oidc_logins_are_named_one_to_a_person(officer, issuer, enrolled):
    other = services.create_user("okafor", "B. Okafor", "officer")
    for provider, login, code in (
        ("nowhere", "rivera@city.example", "user.oidc_provider"),
        ("city", " rivera", "user.oidc_login"),
        ("city", "r" * 256, "user.oidc_login"),
        ("city", "ri\nvera", "user.oidc_login"),
    ):
        with pytest.raises(Refused, match=code.replace(".", r"\.")):
            social.name_login(officer, provider, login)
    social.name_login(officer, "city", "rivera@city.example")
    with pytest.raises(Refused, match=r"user\.oidc_taken"):
        social.name_login(other, "city", "rivera@city.example")
    assert oidc_sign_in(enrolled).status == 302
    # Named anew, the subject that was bound is a stranger; ended, nobody comes that way.
    social.name_login(officer, "city", "ana@city.example")
    assert oidc_sign_in(enrolled).status == 403
    issuer.login = "ana@city.example"
    assert oidc_sign_in(enrolled).status == 302
    social.name_login(officer, "", "")
    assert oidc_sign_in(enrolled).status == 403
    officer.refresh_from_db()
    assert (officer.oidc_provider, officer.oidc_login) == ("", "")


# Pages


@pytest.mark.parametrize("address", ["/auth/sign-in", "/auth/enrol", "/auth/totp"])
def test_pages_are_strict_and_plain(address):
    page = Client().get(address, headers={"accept": "text/html", "accept-language": "es"})
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "same-origin"
    text = page.content.decode()
    assert '<html lang="es">' in text
    assert text.count("<main") == 1
    assert "onclick" not in text
    assert "style=" not in text
    for script in text.split("<script")[1:]:
        assert " src=" in script.split(">")[0]


def test_static_files_of_the_pages_are_served():
    for name in ("kit/base.css", "kit/passkey.js", "kit/icon.svg", "mfa/js/webauthn-json.js"):
        answer = Client().get(f"/static/{name}")
        assert answer.status_code == 200, name
        assert "Vary" not in answer.headers
    for name in ("../settings.py", "kit/../../settings.py", "nothing.js", "%2e%2e/settings.py", "/etc/passwd"):
        assert Client().get(f"/static/{name}").status_code == 404
