"""A department's sign-in provider: django-allauth's own OpenID Connect provider, as a program.

    python -m tests.harness.oidc_provider FOLDER PORT CLIENT SECRET CALLBACK NAME:PASSWORD...

Its database and its signing key, made at the start, lie in FOLDER. While the file FOLDER/bend holds one of `BENDS`, its
answers are what a provider must never say.
"""

import json
import os
import secrets
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.http import HttpResponse
from django.urls import include, path

BENDS = ("issuer", "audience", "expired", "subject", "signature", "claim", "key", "none", "absent")
TOKEN_PATH = "/identity/o/api/token"

urlpatterns = []
"""Filled once the settings stand, which allauth's own addresses need."""


def pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def bent(token: str, how: str) -> str | None:
    """Return the ID token as `how` says; signed by the provider's own key where only a claim is wrong."""
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(token)["kid"]
    own = settings.IDP_OIDC_PRIVATE_KEY
    head, body, signature = token.split(".")
    match how:
        case "issuer":
            return jwt.encode(claims | {"iss": "http://127.0.0.1:9"}, own, "RS256", {"kid": kid})
        case "audience":
            return jwt.encode(claims | {"aud": "payroll"}, own, "RS256", {"kid": kid})
        case "expired":
            return jwt.encode(claims | {"iat": 1_700_000_000, "exp": 1_700_000_300}, own, "RS256", {"kid": kid})
        case "subject":
            return jwt.encode(claims | {"sub": "somebody-else"}, own, "RS256", {"kid": kid})
        case "signature":
            return f"{head}.{body}.{signature[:40][::-1]}{signature[40:]}"
        case "claim":
            other = jwt.encode(claims | {"name": "Somebody Else"}, own, "RS256", {"kid": kid}).split(".")[1]
            return f"{head}.{other}.{signature}"
        case "key":
            return jwt.encode(claims, pem(rsa.generate_private_key(65537, 2048)), "RS256", {"kid": kid})
        case "none":
            return jwt.encode(claims, None, "none", {"kid": kid})
        case _:
            return None


class Bending:
    """Alters what leaves through the token address."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        file = Path(settings.FOLDER) / "bend"
        if request.path == TOKEN_PATH and response.status_code == 200 and file.exists():
            said = json.loads(response.content)
            said["id_token"] = bent(said["id_token"], file.read_text())
            response.content = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
            response.headers["Content-Length"] = str(len(response.content))
        return response


class Quiet(WSGIRequestHandler):
    def log_message(self, *_args):
        """Say nothing."""


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def configure(folder: Path) -> None:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "provider.sqlite3"), "OPTIONS": {"timeout": 20}}
    settings.configure(
        FOLDER=folder,
        DEBUG=False,
        SECRET_KEY=secrets.token_urlsafe(48),
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={"default": database},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "allauth",
            "allauth.account",
            "allauth.idp.oidc",
        ],
        MIDDLEWARE=[
            f"{__name__}.Bending",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"],
        LOGIN_URL="/accounts/login/",
        ACCOUNT_EMAIL_VERIFICATION="none",
        ACCOUNT_RATE_LIMITS=False,
        IDP_OIDC_PRIVATE_KEY=pem(rsa.generate_private_key(65537, 2048)),
    )


def main(folder: Path, port: int, client: str, secret: str, callback: str, *people: str) -> None:
    # Settings and addresses name this module, which is called otherwise while it runs as a program.
    configure(folder)
    django.setup()
    from allauth.idp.oidc.models import Client  # noqa: PLC0415 - needs the settings
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415

    urlpatterns.extend([path("accounts/", include("allauth.account.urls")), path("", include("allauth.idp.urls"))])
    urlpatterns.append(path("favicon.ico", lambda _request: HttpResponse(status=204)))
    call_command("migrate", verbosity=0)
    known = Client(id=client, name="Agency", skip_consent=True, scopes="openid\nprofile\nemail", redirect_uris=callback)
    known.set_secret(secret)
    known.save()
    for person in people:
        name, _, password = person.partition(":")
        get_user_model().objects.create_user(name, password=password)
    with make_server("127.0.0.1", port, get_wsgi_application(), Server, Quiet) as server:
        sys.stdout.write(f"ready {os.getpid()}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    from tests.harness import oidc_provider

    oidc_provider.main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
