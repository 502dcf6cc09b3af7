"""The agency's people, each with a signing key of their own, and the registration that a hub is handed.

The key's seed lies wrapped on this node (design.md 9.15): "two officers signed" holds against one officer, not against whoever
runs this server.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from fairwitness_core.crypto import random
from fairwitness_core.crypto.sign import PublicKey, SigningKey
from fairwitness_core.model.agency import AgencyKey
from fairwitness_core.wire import dsse

from fairwitness.agency.errors import missing
from fairwitness.agency.models import Mark, Officer
from fairwitness.agency.services import audit, freeze, node
from fairwitness.kit import clock, files
from fairwitness.kit.accounts import services as accounts
from fairwitness.kit.accounts.models import User
from fairwitness.kit.errors import Refused
from fairwitness.kit.operate.rotate import NEXT

_DAY = 86400
KEY_LIFE_S = 3 * 365 * _DAY
SIGNERS = ("officer", "supervisor")
KEY_MADE = "agency_key"
KEY_CHANGED = "agency_key_changed"
"""Names of marks: when the agency key was made, and when it last took another's place."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A new person: the officer and the one-time code with which they add their passkey (shown once)."""

    officer: Officer
    code: str


def enrol(
    username: str,
    display_name: str,
    role: str,
    by: Officer | None = None,
    *,
    training: str = "",
    trained_until: int | None = None,
) -> Enrolled:
    """Add a person with an account, a pseudonym and a signing key. Raises Refused.

    `by` is the administrator who does it; None from the command line. Whoever adds a person says that they are trained, until
    `trained_until` (Unix seconds; the usual time where None is given). The key counts once the hub has logged it.
    """
    _only_admin(by)
    now = clock.now()
    until = now + node.settings().training_days * _DAY if trained_until is None else trained_until
    whose = by.user if by else None
    user = accounts.create_user(username, display_name, role, by=whose)
    actor = f"o-{random.token_bytes(4).hex()}"
    key = SigningKey.generate()
    node.put_secret(node.key_file("officers", actor), key.seed)
    officer = Officer.objects.create(
        user=user, actor=actor, public_key=key.public.raw, created_at=now, trained_until=until, training=training, renewed_at=now
    )
    audit.note(by, "officer.added", f"officer {actor}", words=role)
    write_registration()
    return Enrolled(officer, accounts.issue_code(user, whose))


def remove(officer: Officer, by: Officer | None = None) -> None:
    """End a person's access and key. The hub must be handed the new registration for the key to stop counting there."""
    _only_admin(by)
    if by is not None and by.pk == officer.pk:
        raise Refused(409, "officer.self", "Nobody removes themselves.", "Ask another administrator.")
    accounts.freeze(officer.user, by.user if by else None)
    with transaction.atomic():
        Officer.objects.filter(pk=officer.pk, removed_at=None).update(removed_at=clock.now())
        audit.note(by, "officer.removed", f"officer {officer.actor}")
    node.shred(node.key_file("officers", officer.actor))
    write_registration()


def new_code(officer: Officer, by: Officer | None = None) -> str:
    """Return a fresh enrolment code for a person who lost their passkey. Raises Refused."""
    _only_admin(by)
    return accounts.issue_code(officer.user, by.user if by else None)


def of_user(user: User) -> Officer:
    """Return the officer that a signed-in person is, while they may read and do anything here. Raises Refused."""
    found = Officer.objects.select_related("user").filter(user_id=user.pk, removed_at=None).first()
    if found is None:
        raise Refused(403, "officer.none", "This account belongs to no officer of this agency.")
    _let_on(found)
    return found


def by_name(username: str) -> Officer:
    """Return the officer of an account name. Raises Refused."""
    found = Officer.objects.select_related("user").filter(user__username=username).first()
    if found is None:
        raise missing("officer")
    return found


def need(officer: Officer, *roles: str) -> None:
    """Refuse unless the officer is active and has one of `roles`: asked by each service, whatever a page allowed."""
    officer.refresh_from_db()
    if officer.removed_at is not None or not officer.user.is_active:
        raise Refused(403, "officer.removed", "This person has no access any more.")
    if officer.user.role not in roles:
        raise Refused(403, "auth.role", "Your role may not do this.", f"Ask a {' or '.join(roles)}.")
    _let_on(officer)


def _let_on(officer: Officer) -> None:
    """Refuse while the agency is frozen, or the officer's training has run out: both stop reading too, administrators apart."""
    if officer.user.role == "admin":
        return
    if freeze.now() is not None:
        raise Refused(403, "agency.frozen", "This agency is frozen: nobody can do anything.", "Ask an administrator why.")
    if officer.trained_until <= clock.now():
        raise Refused(403, "officer.training", "Your training has run out.", "An administrator records the new one.")


def public_key(officer: Officer) -> PublicKey:
    """Return an officer's public signing key."""
    return PublicKey(bytes(officer.public_key))


def signing_key(officer: Officer) -> SigningKey:
    """Return the signing key of an officer who acts now. Raises Refused."""
    need(officer, *SIGNERS)
    return stored_key(officer)


def countersign(payload: bytes, first: Officer, signature: bytes, second: Officer) -> bytes:
    """Return the envelope that two officers signed: the `signature` of the first, and the second's made now. Raises Refused.

    Both signatures are checked over exactly these bytes before it is handed out; a first one that does not hold raises
    ProtocolError.
    """
    keys = (public_key(first), public_key(second))
    own = signing_key(second).sign(dsse.pae(dsse.ENTRY, payload))
    signatures = (dsse.Signature(keys[0].kid, signature), dsse.Signature(keys[1].kid, own))
    envelope = dsse.Envelope(dsse.ENTRY, payload, signatures)
    envelope.verify(dsse.ENTRY, *keys)
    return envelope.encode()


def stored_key(officer: Officer) -> SigningKey:
    """Return an officer's key as it lies here, to look at; whoever signs with it asks `signing_key`. Raises Refused."""
    return SigningKey(node.get_secret(node.key_file("officers", officer.actor)))


def registration() -> dict[str, Any]:
    """Return what a hub's administrator adds this agency by: who it is, its area, and every current key."""
    settings, agency = node.settings(), node.agency_id()
    geometry = json.loads((node.join_path().with_name("jurisdiction.json")).read_text("utf-8"))
    made, _ = Mark.objects.get_or_create(name=KEY_MADE, defaults={"value": clock.now()})
    keys = [_key(node.agency_key().public, "agency", made.value)]
    fresh = next_key_file("agency", "agency")
    if fresh.exists():
        keys.append(_key(SigningKey(node.get_secret(fresh)).public, "agency", int(fresh.stat().st_mtime)))
    keys += [
        _key(public_key(officer), "officer", officer.created_at)
        for officer in Officer.objects.filter(removed_at=None, user__role__in=SIGNERS)
    ]
    return {
        "v": 1,
        "type": "agency_registration",
        "agency": agency,
        "ori": settings.ori,
        "name": settings.name,
        "state": settings.state,
        "level": settings.level,
        "federal": settings.federal,
        "jurisdiction": geometry,
        "keys": [key.to_json() for key in keys],
        "vouched": list(settings.vouched),
    }


def next_key_file(kind: str, name: str) -> Path:
    """Return where a key lies that will take another's place (see rotation)."""
    return node.key_file(kind, name).with_suffix(NEXT)


def write_registration() -> None:
    """Write `registration.json` anew."""
    path = node.join_path().with_name("registration.json")
    files.write_atomic(path, (json.dumps(registration(), indent=1, sort_keys=True) + "\n").encode())


def _key(public: PublicKey, use: str, since: int) -> AgencyKey:
    return AgencyKey(kid=public.kid, alg="ed25519", pk=public.raw, use=use, not_after=since + KEY_LIFE_S)


def _only_admin(by: Officer | None) -> None:
    if by is not None:
        need(by, "admin")


def get(pk: int) -> Officer:
    """Return an officer. Raises Refused."""
    found = Officer.objects.select_related("user").filter(pk=pk).first()
    if found is None:
        raise missing("officer")
    return found


def working() -> list[Officer]:
    """Return the officers, supervisors and technicians who have access now, by name."""
    found = Officer.objects.select_related("user").filter(removed_at=None, user__frozen=False).exclude(user__role="admin")
    return sorted((one for one in found if one.user.is_active), key=lambda one: one.user.display_name.casefold())


def names() -> dict[str, str]:
    """Return each officer's pseudonym with the name that is shown for it."""
    return dict(Officer.objects.values_list("actor", "user__display_name"))
