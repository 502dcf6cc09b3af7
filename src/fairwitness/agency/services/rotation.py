"""Replacing what an agency signs with (`fairwitness agency rotate`). The log says from which entry on a key counts.

The agency's own key is one program's, so two of them may count for a while: the new one waits in `keys/agency/agency.next` until
the hub has logged it, and no call is refused in between. An officer's key is a person's vote, and two votes of one person must
never count: the new one replaces the old at once, and that officer signs nothing valid until the hub has logged it.
"""

from collections.abc import Mapping
from typing import Any

from fairwitness_core.crypto.sign import SigningKey

from fairwitness.agency.models import Mark, Officer, Request
from fairwitness.agency.services import hubcalls, node, officers
from fairwitness.kit import clock, database
from fairwitness.kit.errors import Refused
from fairwitness.kit.journal import Event, log
from fairwitness.kit.operate.rotate import replace_shredding


def begin_agency_key() -> Mapping[str, Any]:
    """Make the next agency key, unless there is one, and name both in the registration."""
    path = officers.next_key_file("agency", "agency")
    if not path.exists():
        node.put_secret(path, SigningKey.generate().seed)
    officers.write_registration()
    return {
        "old": node.agency_key().public.kid,
        "new": SigningKey(node.get_secret(path)).public.kid,
        "registration": str(node.join_path().with_name("registration.json")),
        "next": "give registration.json to the hub (add-agency); when its directory lists the new key: the same with --finish",
    }


def plan_finish() -> Mapping[str, Any]:
    """Say whether the hub has logged the next agency key. Raises Refused, HubUnreachable; changes nothing."""
    path = officers.next_key_file("agency", "agency")
    if not path.exists():
        raise Refused(409, "rotate.none", "No replacement of the agency key was begun.", "Run it without --finish first.")
    fresh = SigningKey(node.get_secret(path)).public
    record = hubcalls.snapshot().directory.agency(node.agency_id())
    if record is None or fresh.kid not in {key.kid for key in record.consoles(clock.now())}:
        raise Refused(
            409, "rotate.unlogged", "The hub's directory does not list the new key yet.",
            "Give registration.json to the hub, wait for a tick, and try again. Until then the old key signs.",
        )  # fmt: skip
    return {"old": node.agency_key().public.kid, "new": fresh.kid}


def finish_agency_key() -> Mapping[str, Any]:
    """Sign with the next agency key from now on, and destroy the old one. Again is harmless. Raises Refused, HubUnreachable."""
    path = officers.next_key_file("agency", "agency")
    if not path.exists() and Mark.objects.filter(name=officers.KEY_CHANGED).exists():
        officers.write_registration()
        return {"new": node.agency_key().public.kid, "next": "it was finished before; registration.json is written anew"}
    found = dict(plan_finish())
    now = clock.now()
    for name in (officers.KEY_MADE, officers.KEY_CHANGED):
        Mark.objects.update_or_create(name=name, defaults={"value": now})
    replace_shredding(path, node.key_file("agency", "agency"))
    officers.write_registration()
    log(Event.ROTATED, key="agency-key", count=1)
    return {**found, "next": "give registration.json to the hub once more: then it logs that the old key counts no longer"}


def plan_officer(username: str) -> Officer:
    """Return the officer whose key can be replaced now. Raises Refused where a request waits with their old signature."""
    officer = officers.by_name(username)
    if officer.removed_at is not None:
        raise Refused(409, "officer.removed", "This person was removed.", "Enrol them anew: fairwitness agency officer add.")
    waiting = Request.objects.filter(state__in=("draft", "approved", "submitted"))
    mine = [row.id for row in waiting if officer.pk in (row.drafted_by_id, row.approved_by_id)]
    if mine and not officers.next_key_file("officers", officer.actor).exists():
        raise Refused(
            409, "rotate.signed", f"{len(mine)} requests on their way carry this officer's signature ({mine[0]}).",
            "Have them published or withdrawn first: the hub would refuse them under the new key.",
        )  # fmt: skip
    return officer


def replace_officer_key(username: str) -> Mapping[str, Any]:
    """Replace an officer's signing key: 1. the new one is on disk; 2. its public half is in the database; 3. it is in place.

    The node must not run. Cut off anywhere, the same call goes on. Raises Refused.
    """
    officer = plan_officer(username)
    path = officers.next_key_file("officers", officer.actor)
    # 1.
    if not path.exists():
        node.put_secret(path, SigningKey.generate().seed)
    fresh = SigningKey(node.get_secret(path)).public
    # 2.
    _store(officer, fresh.raw)
    # 3.
    replace_shredding(path, node.key_file("officers", officer.actor))
    officers.write_registration()
    log(Event.ROTATED, key="officer", count=1)
    return {
        "username": username,
        "kid": fresh.kid,
        "registration": str(node.join_path().with_name("registration.json")),
        "next": "give registration.json to the hub: until it is logged this officer's signatures are refused",
    }


@database.durable
def _store(officer: Officer, public: bytes) -> None:
    if bytes(officer.public_key) != public:
        Officer.objects.filter(pk=officer.pk).update(public_key=public, created_at=clock.now())
