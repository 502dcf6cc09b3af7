"""The permission matrix: every endpoint of the running role against everybody who might knock."""

import importlib
import importlib.util
import json
import uuid

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from fairwitness.kit import clock, config
from fairwitness.kit.accounts import gate, services
from fairwitness.kit.accounts.models import ROLES, SignIn
from tests.permissions.matrix import Endpoint, endpoints, is_ninja_root
from tests.permissions.objects import common

pytestmark = pytest.mark.django_db

ROLE = config.role_name()
EVERY = [endpoint for endpoint in endpoints() if not is_ninja_root(endpoint)]
GUARDED = [e for e in EVERY if e.access and e.access.kind in ("session", "enrolling")]
FULL = [e for e in GUARDED if e.access.kind == "session"]
OPEN = [e for e in EVERY if e.access and e.access.kind in ("anyone", "signed")]
SAMPLE = {"IntConverter": 987654321, "UUIDConverter": uuid.UUID(int=7), "PathConverter": "x/y"}


def own_module():
    name = f"tests.permissions.objects.{ROLE}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def body_of(endpoint: Endpoint) -> bytes:
    """Return a body that the endpoint takes, so that what refuses is the object and not the form."""
    return json.dumps(getattr(own_module(), "BODIES", {}).get(endpoint.name, {})).encode()


def objects():
    """Return the role's table of foreign objects with the common one."""
    return {**common.OBJECTS, **getattr(own_module(), "OBJECTS", {})}


@pytest.fixture(autouse=True)
def node(db):
    """Have the role set its node up, where it says how."""
    prepare = getattr(own_module(), "prepare", None)
    if prepare is not None:
        prepare()


def of(cases):
    return pytest.mark.parametrize("endpoint", cases, ids=lambda e: e.id)


def address(endpoint: Endpoint, given: dict | None = None) -> str:
    """Fill the address's arguments, with `given` (and its query "?") or with samples that name nothing."""
    filled = "/" + endpoint.route
    for name, converter in endpoint.converters:
        value = (given or {}).get(name, SAMPLE.get(converter.__name__, "xx"))
        start = next(
            filled[i : filled.index(">", i) + 1]
            for i in range(len(filled))
            if filled[i] == "<" and filled[i + 1 : filled.index(">", i)].split(":")[-1] == name
        )
        filled = filled.replace(start, str(value))
    return filled + str((given or {}).get("?", ""))


def call(endpoint: Endpoint, client: Client | None = None, given: dict | None = None, body: bytes = b"{}"):
    client = client or Client(raise_request_exception=False)
    extra = {} if endpoint.method in ("GET", "HEAD") else {"data": body, "content_type": "application/json"}
    target = address(endpoint, given)
    return client.generic(endpoint.method, target, headers={"accept": "application/json"}, **extra)


def signed_in(role: str, *, stage: str = "full", name: str = "somebody", csrf: bool = False):
    """Return a person of `role` and a client with a live session, made below the pages that need a passkey."""
    user = services.create_user(name, "Somebody", role)
    return user, session_of(user, stage=stage, csrf=csrf)


def session_of(user, *, stage: str = "full", csrf: bool = False) -> Client:
    """Return a client with a live session of a person who exists."""
    session = SessionStore()
    session.create()
    now = clock.now()
    session.update({"_auth_user_id": str(user.pk), "_auth_user_backend": services.BACKEND})
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()
    SignIn.objects.create(
        user=user,
        key_hash=gate.key_hash(session.session_key),
        stage=stage,
        method="passkey",
        created_at=now,
        seen_at=now,
        ends_at=now + 3600,
    )
    client = Client(raise_request_exception=False, enforce_csrf_checks=csrf)
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    return client


def code_of(answer) -> str:
    try:
        return answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


@of(EVERY)
def test_declares_its_access(endpoint):
    assert endpoint.access is not None, f"{endpoint.id} declares no access: see fairwitness.kit.accounts.gate"
    assert not endpoint.problem
    if endpoint.access.kind in ("anyone", "signed"):
        assert len(endpoint.access.why) > 5, "say why this is open"
    if endpoint.access.kind == "session":
        assert endpoint.access.roles <= set(ROLES[ROLE]), "these roles do not exist on this node"


@of(GUARDED)
def test_nobody_is_refused(endpoint):
    assert call(endpoint).status_code == 401


@of(GUARDED)
def test_djangos_own_session_alone_is_refused(endpoint):
    _, client = signed_in(next(iter(endpoint.access.roles)))
    SignIn.objects.all().delete()
    assert call(endpoint, client).status_code == 401


@of(GUARDED)
def test_wrong_role_is_refused(endpoint):
    for role in sorted(set(ROLES[ROLE]) - endpoint.access.roles):
        _, client = signed_in(role, name=f"a-{role}")
        answer = call(endpoint, client)
        code = "auth.role" if endpoint.method == "HEAD" else code_of(answer)  # an answer to HEAD has no body
        assert (answer.status_code, code) == (403, "auth.role"), role


@of(FULL)
def test_enrolling_session_is_refused(endpoint):
    _, client = signed_in(next(iter(endpoint.access.roles)), stage="enrolling")
    answer = call(endpoint, client)
    code = "auth.enrolling" if endpoint.method == "HEAD" else code_of(answer)  # an answer to HEAD has no body
    assert (answer.status_code, code) == (403, "auth.enrolling")


@of(FULL)
def test_frozen_person_is_refused(endpoint):
    user, client = signed_in(next(iter(endpoint.access.roles)))
    user.frozen = True
    user.save()
    assert call(endpoint, client).status_code == 401


@of([e for e in FULL if e.method not in ("GET", "HEAD", "OPTIONS")])
def test_another_sites_form_is_refused(endpoint):
    _, client = signed_in(next(iter(endpoint.access.roles)), csrf=True)
    assert call(endpoint, client).status_code == 403


@of(FULL)
def test_right_role_passes_the_gate(endpoint):
    for role in sorted(endpoint.access.roles):
        _, client = signed_in(role, name=f"a-{role}")
        answer = call(endpoint, client)
        assert answer.status_code < 500, f"{role}: {answer.status_code}"
        assert answer.status_code != 401, role
        assert not (answer.status_code == 403 and code_of(answer).startswith("auth.")), (role, code_of(answer))


@of([e for e in FULL if e.access.per_object])
def test_somebody_elses_object_is_refused(endpoint):
    table = objects()
    assert endpoint.name in table, f"tests/permissions/objects/{ROLE}.py must name a foreign object for {endpoint.name}"
    for role in sorted(endpoint.access.roles):
        user, client = signed_in(role, name=f"a-{role}")
        answer = call(endpoint, client, table[endpoint.name](user), body_of(endpoint))
        assert answer.status_code in (403, 404, 405), (role, answer.status_code)


@of(OPEN)
def test_open_endpoint_holds(endpoint):
    """Open to all means no error of ours; open to a signature means nothing happens without one."""
    for body in (b"", b"{}", b"\xff\x00"):
        answer = call(endpoint, body=body)
        assert answer.status_code < 500 or endpoint.name == "readyz", answer.status_code
        if endpoint.access.kind == "signed":
            assert answer.status_code >= 400, "something was done without a signature"


def test_there_is_something_to_test():
    assert len(EVERY) > 10
    assert not [e.id for e in EVERY if "^" in e.route], "addresses are written with path(), not re_path()"
