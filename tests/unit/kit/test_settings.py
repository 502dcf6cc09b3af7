import pytest

from fairwitness.kit import config, files
from fairwitness.kit.settings import build

ROLES = ("hub", "home", "agency")


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Build a role's settings from a configuration file."""
    before = config._current, config._role
    monkeypatch.setenv(config.DATA_VARIABLE, str(tmp_path))
    monkeypatch.delenv(config.PORT_VARIABLE, raising=False)

    def make(role, **values):
        config.write(tmp_path, values)
        return build(role)

    yield make
    config._current, config._role = before


@pytest.mark.parametrize("role", ROLES)
def test_tls_turns_on_what_belongs_to_it(node, role):
    found = node(role, public_url="https://node.example")
    assert found["SESSION_COOKIE_SECURE"]
    assert found["CSRF_COOKIE_SECURE"]
    assert found["SESSION_COOKIE_NAME"].startswith("__Host-")
    assert found["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert found["ALLOWED_HOSTS"] == sorted({"node.example", "localhost", "127.0.0.1", "[::1]"})
    plain = node(role, port=8000)
    assert not plain["SESSION_COOKIE_SECURE"]
    assert plain["SECURE_HSTS_SECONDS"] == 0
    assert plain["ALLOWED_HOSTS"] == ["127.0.0.1", "[::1]", "localhost"]


@pytest.mark.parametrize("role", ROLES)
def test_nothing_debuggable_and_no_password_way_in(node, role):
    found = node(role)
    assert found["DEBUG"] is False
    assert found["AUTHENTICATION_BACKENDS"] == ["fairwitness.kit.accounts.backend.Backend"]
    assert "django.contrib.admin" not in found["INSTALLED_APPS"]
    assert ("allauth.socialaccount" in found["INSTALLED_APPS"]) == (role != "home")
    assert found["MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN"] is False
    assert found["MFA_SUPPORTED_TYPES"] == ["webauthn"]
    flat = " ".join(str(v) for values in found["SECURE_CSP"].values() for v in values)
    assert "unsafe" not in flat
    assert "*" not in flat


def test_nodes_on_one_host_do_not_share_cookies(node):
    names = {node("home", port=port)["SESSION_COOKIE_NAME"] for port in (8001, 8002)}
    names.add(node("agency", port=8001)["SESSION_COOKIE_NAME"])
    assert len(names) == 3


def test_the_secret_key_is_made_once_and_guarded(node, tmp_path):
    first = node("hub")["SECRET_KEY"]
    assert node("hub")["SECRET_KEY"] == first
    assert len(first) >= 64
    (tmp_path / "keys/django.key").chmod(0o644)
    with pytest.raises(files.UnsafeMode):
        node("hub")


def test_without_a_data_folder_nothing_is_written(monkeypatch, tmp_path):
    before = config._current, config._role
    monkeypatch.delenv(config.DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    try:
        found = build("hub")
    finally:
        config._current, config._role = before
    assert found["DATABASES"]["default"]["NAME"] == ":memory:"
    assert list(tmp_path.iterdir()) == []


def test_a_sign_in_provider_may_be_a_forms_target(node):
    provider = {"id": "city", "name": "City", "server_url": "https://sso.city.example/realm", "client_id": "x"}
    found = node("agency", oidc=[provider])
    assert "https://sso.city.example" in found["SECURE_CSP"]["form-action"]
    (app,) = found["SOCIALACCOUNT_PROVIDERS"]["openid_connect"]["APPS"]
    assert app["provider_id"] == "city"
