"""The one recipe for every role's Django settings.

A role's settings module is one line: `globals().update(build("hub"))`. Without a data folder (type checking,
makemigrations) the database is in memory and nothing is written.
"""

import hashlib
import importlib
import importlib.util
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.utils.csp import CSP

from fairwitness.kit import config, files

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_STAFF_ROLES = ("hub", "agency")


def config_of(role: str) -> type[config.RoleConfig]:
    """Return the role's own `Config`, or RoleConfig where the role declares none."""
    name = f"fairwitness.{role}.config"
    if importlib.util.find_spec(name) is None:
        return config.RoleConfig
    found = importlib.import_module(name).Config
    if not (isinstance(found, type) and issubclass(found, config.RoleConfig)):
        raise config.ConfigError(f"{name}.Config must be a subclass of RoleConfig")
    return found


def _urls(role: str) -> str:
    own = f"fairwitness.{role}.urls"
    return own if importlib.util.find_spec(own) is not None else "fairwitness.kit.urls"


def build(role: str) -> dict[str, Any]:
    """Return the settings of `role`, having loaded its configuration. Raises ConfigError, UnsafeMode, OSError."""
    cfg = config.load(config_of(role), config.data_dir())
    config.use(cfg, role)
    staff = role in _STAFF_ROLES
    suffix = hashlib.sha256(cfg.url.encode()).hexdigest()[:8]
    prefix = "__Host-" if cfg.tls else ""
    return {
        "DEBUG": False,
        "SECRET_KEY": _secret_key(cfg),
        "ROOT_URLCONF": _urls(role),
        "INSTALLED_APPS": _apps(role, staff=staff),
        "MIDDLEWARE": [
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.csp.ContentSecurityPolicyMiddleware",
            "fairwitness.kit.middleware.Quiet",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.locale.LocaleMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
            "allauth.account.middleware.AccountMiddleware",
            "fairwitness.kit.middleware.Errors",
        ],
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.template.context_processors.i18n",
                        "django.template.context_processors.csp",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                        "fairwitness.kit.middleware.page_context",
                    ]
                },
            }
        ],
        "DATABASES": {"default": _database(cfg)},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        "SESSION_ENGINE": "django.contrib.sessions.backends.db",
        "SESSION_COOKIE_NAME": f"{prefix}fw_{role}_{suffix}",
        "SESSION_COOKIE_AGE": cfg.session_hours * 3600,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": cfg.tls,
        "CSRF_COOKIE_NAME": f"{prefix}fw_{role}_{suffix}_csrf",
        "CSRF_COOKIE_SECURE": cfg.tls,
        "CSRF_COOKIE_SAMESITE": "Lax",
        "CSRF_TRUSTED_ORIGINS": [cfg.url],
        "CSRF_FAILURE_VIEW": "fairwitness.kit.middleware.csrf_failed",
        "ALLOWED_HOSTS": _hosts(cfg),
        "USE_X_FORWARDED_HOST": False,
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https") if cfg.behind_tls_proxy else None,
        "SECURE_HSTS_SECONDS": 31_536_000 if cfg.tls else 0,
        "SECURE_CONTENT_TYPE_NOSNIFF": True,
        # Not "no-referrer": under that, browsers send `Origin: null` with our own forms (Fetch, "append a request
        # Origin header") and the Origin check would have to be given up. Other sites learn nothing under either.
        "SECURE_REFERRER_POLICY": "same-origin",
        "SECURE_CROSS_ORIGIN_OPENER_POLICY": "same-origin",
        "X_FRAME_OPTIONS": "DENY",
        "SECURE_CSP": _csp(cfg),
        "DATA_UPLOAD_MAX_MEMORY_SIZE": cfg.max_body_bytes,
        "FILE_UPLOAD_HANDLERS": ["django.core.files.uploadhandler.TemporaryFileUploadHandler"],
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "USE_I18N": True,
        "LANGUAGE_CODE": cfg.language,
        "LANGUAGES": [("en", "English"), ("es", "Español")],
        "LOCALE_PATHS": [str(Path(__file__).parent.parent / "locale")],
        "STATIC_URL": "/static/",
        "TEST_RUNNER": "django.test.runner.DiscoverRunner",
        "LOGGING_CONFIG": "fairwitness.kit.middleware.silence",
        "LOGGING": {"version": 1},
        **_accounts(cfg, staff=staff),
    }


def _apps(role: str, *, staff: bool) -> list[str]:
    apps = [
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "fairwitness.kit.apps.Kit",
        "fairwitness.kit.accounts.apps.Accounts",
        f"fairwitness.{role}",
        "allauth",
        "allauth.account",
        "allauth.mfa",
    ]
    if staff:
        apps += ["allauth.socialaccount", "allauth.socialaccount.providers.openid_connect"]
    return apps


def _accounts(cfg: config.RoleConfig, *, staff: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "AUTH_USER_MODEL": "accounts.User",
        "AUTHENTICATION_BACKENDS": ["fairwitness.kit.accounts.backend.Backend"],
        "PASSWORD_HASHERS": ["fairwitness.kit.accounts.backend.NoPasswords"],
        "LOGIN_URL": "/auth/sign-in",
        "LOGIN_REDIRECT_URL": "/desk" if cfg.role == "hub" else "/",
        "LOGOUT_REDIRECT_URL": "/auth/sign-in",
        "ACCOUNT_ADAPTER": "fairwitness.kit.accounts.adapters.AccountAdapter",
        "ACCOUNT_USER_MODEL_EMAIL_FIELD": None,
        "ACCOUNT_USER_MODEL_USERNAME_FIELD": "username",
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_SIGNUP_FIELDS": ["username*"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_EMAIL_NOTIFICATIONS": False,
        "ACCOUNT_LOGIN_BY_CODE_ENABLED": False,
        "ACCOUNT_SESSION_REMEMBER": True,
        "ACCOUNT_RATE_LIMITS": {"login": "60/m/ip"},
        "ALLAUTH_TRUSTED_PROXY_COUNT": 1 if cfg.behind_tls_proxy else 0,
        "MFA_ADAPTER": "fairwitness.kit.accounts.adapters.MfaAdapter",
        "MFA_SUPPORTED_TYPES": ["webauthn"],
        "MFA_PASSKEY_LOGIN_ENABLED": True,
        "MFA_PASSKEY_SIGNUP_ENABLED": False,
        "MFA_ALLOW_UNVERIFIED_EMAIL": True,
        "MFA_WEBAUTHN_USER_VERIFICATION": "required",
        "MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN": False,
        "MFA_TRUST_ENABLED": False,
        "MFA_RATE_LIMITS": {"webauthn_login": "60/m/ip"},
        "MFA_FORMS": {
            "add_webauthn": "fairwitness.kit.accounts.forms.AddPasskey",
            "login_webauthn": "fairwitness.kit.accounts.forms.SignInWithPasskey",
            "reauthenticate_webauthn": "fairwitness.kit.accounts.forms.StepUpWithPasskey",
            "authenticate_webauthn": "fairwitness.kit.accounts.forms.FollowWithPasskey",
            "authenticate": "fairwitness.kit.accounts.forms.NoCodes",
        },
    }
    if staff:
        found |= {
            "SOCIALACCOUNT_ADAPTER": "fairwitness.kit.accounts.social.SocialAdapter",
            "SOCIALACCOUNT_STORE_TOKENS": False,
            "SOCIALACCOUNT_AUTO_SIGNUP": False,
            "SOCIALACCOUNT_LOGIN_ON_GET": False,
            "SOCIALACCOUNT_PROVIDERS": {
                "openid_connect": {
                    "OAUTH_PKCE_ENABLED": True,
                    "APPS": [
                        {
                            "provider_id": provider.id,
                            "name": provider.name,
                            "client_id": provider.client_id,
                            "secret": provider.client_secret,
                            "settings": {"server_url": provider.server_url},
                        }
                        for provider in cfg.oidc
                    ],
                }
            },
        }
    return found


def _csp(cfg: config.RoleConfig) -> dict[str, list[str]]:
    providers = sorted({"{0.scheme}://{0.netloc}".format(urlsplit(provider.server_url)) for provider in cfg.oidc})
    return {
        "default-src": [CSP.NONE],
        "script-src": [CSP.SELF, CSP.NONCE],
        "style-src": [CSP.SELF, CSP.NONCE],
        "img-src": [CSP.SELF, "data:", "blob:"],
        "media-src": [CSP.SELF, "blob:"],
        "font-src": [CSP.SELF],
        "connect-src": [CSP.SELF],
        "worker-src": [CSP.SELF, "blob:"],
        "manifest-src": [CSP.SELF],
        # A browser applies form-action to the redirects after a form too, hence the sign-in providers.
        "form-action": [CSP.SELF, *providers],
        "frame-ancestors": [CSP.NONE],
        "base-uri": [CSP.NONE],
    }


def _hosts(cfg: config.RoleConfig) -> list[str]:
    hosts = [cfg.hostname, *cfg.allowed_hosts]
    if cfg.host in ("127.0.0.1", "::1", "localhost"):
        hosts += LOOPBACK
    return sorted({f"[{h}]" if ":" in h and not h.startswith("[") else h for h in hosts})


def _database(cfg: config.RoleConfig) -> dict[str, Any]:
    if cfg.data_dir is None:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    if cfg.database.url:
        from fairwitness.kit.postgresql import connecting  # noqa: PLC0415 - only nodes that use it load its client

        return connecting.settings_of(cfg)
    path = cfg.file("db.sqlite3")
    if not path.exists():
        # The write-ahead log and its index take over this file's mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE_FILE))
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            # FULL: a commit is on disk when it returns. secure_delete: deleted rows are overwritten (design 9.10).
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;",
        },
    }


def _secret_key(cfg: config.RoleConfig) -> str:
    if cfg.data_dir is None:
        return secrets.token_urlsafe(48)
    path = cfg.file("keys", "django.key")
    with files.FileLock(cfg.file("keys", ".lock")):
        if not path.exists():
            files.write_atomic(path, secrets.token_urlsafe(48).encode())
    return files.read_secret(path).decode()
