"""The agency's node, as its operator's commands see it."""

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairwitness.agency.config import Config
from fairwitness.kit import clock, config, supervise
from fairwitness.kit.operate import doctor, rotate
from fairwitness.kit.operate.checks import Check, failed, ok, warn
from fairwitness.kit.operate.metrics import Metric, Sample
from fairwitness.kit.operate.role import BackupPlan, Operations

MEANINGS = {
    "lapse_days": "days without a sign-in after which a person's access ends by itself",
    "training_days": "days that a recorded training counts",
    "agency": "this agency's id, as registered with the hub",
    "ori": "originating agency identifier",
    "state": "two letters of the state; US for a federal agency",
    "level": "municipal, county, state, campus, tribal, fire or federal",
    "federal": "a federal agency, which hubs refuse unless a logged policy says otherwise",
    "vouched": "public bodies that vouch for this agency",
    "collect_seconds": "seconds between collections, responses or none",
    "emergency_collect_seconds": "the same while an emergency request is live",
    "prove_seconds": "seconds between askings for proofs of custody that are missing",
    "touch_minutes": "minutes for which one logged touch of a clip is good, for the officer who logged it",
    "request_key_days": "days after a request's end for which its key waits for late answers before it is destroyed",
    "hub_timeout_seconds": "seconds that the hub may take to answer",
    "census_file": "CSV of cell,dwellings, so that officers see the dwellings of an area while they draw; the hub's file decides",
}
PLAN = BackupPlan(
    withhold={"exports/**": "bags hold clips in the clear: back up where they were handed to, or export them again"},
    # Keys of responses are never in an archive: a restore must not bring back what was declined and destroyed.
    sealed_keys=("keys/agency/*.key", "keys/officers/*.key", "keys/requests/*.key"),
)
METRICS = (
    Metric("fairwitness_joined", "gauge", "1 where a hub is pinned"),
    Metric("fairwitness_collect_age_seconds", "gauge", "seconds since the last collection, which comes responses or none"),
)


def _is_agency(folder: Path) -> bool:
    return (folder / config.FILE_NAME).exists() and (folder / "registration.json").exists()


def _check(folder: Path) -> Sequence[Check]:
    supervise.setup("agency", folder)
    from fairwitness_core.tlog.policy import Policy  # noqa: PLC0415 - doctor starts quickly

    from fairwitness.agency.services import collect, node  # noqa: PLC0415 - needs the settings
    from fairwitness.kit.accounts.models import User  # noqa: PLC0415

    schema = doctor.migrations()
    found = [schema]
    if schema.state != "ok":
        return found
    cfg = node.settings()
    roles = [user.role for user in User.objects.all() if user.is_active]
    if roles.count("supervisor") < 1 or sum(role in ("officer", "supervisor") for role in roles) < 2:
        todo = "fairwitness agency officer add DIR NAME --role supervisor"
        found.append(warn("officers", "a request needs two people, one of them a supervisor", todo))
    else:
        found.append(ok("officers", "two people can sign a request"))
    if not node.joined():
        found.append(warn("hub", "no hub is pinned", "fairwitness agency trust DIR JOIN_FILE --accept"))
        return found
    hub = node.hub()
    witnesses = [(f"witness {w.name}", f"{w.url.rstrip('/')}/logs") for w in Policy.parse(hub.policy.encode()).witnesses if w.url]
    found += doctor.skew([("the hub", f"{hub.url}/join.json"), *witnesses])
    last = collect.last_round()
    if last is not None and clock.now() - last > 3 * cfg.collect_seconds + 600:
        todo = "see that the node runs and reaches the hub; job_failed in its log says why"
        found.append(failed("collection", f"responses were last collected {clock.now() - last} seconds ago", todo))
    elif last is not None:
        found.append(ok("collection", f"{clock.now() - last} seconds ago"))
    return [*found, *doctor.metrics_are_private(cfg)]


def _sample() -> Sequence[Sample]:
    from fairwitness.agency.services import collect, node  # noqa: PLC0415 - needs the settings

    last = collect.last_round()
    samples = [Sample("fairwitness_joined", float(node.joined()))]
    return samples if last is None else [*samples, Sample("fairwitness_collect_age_seconds", max(0, clock.now() - last))]


def _ready() -> bool:
    from fairwitness.agency.services import node  # noqa: PLC0415 - needs the settings

    return bool(node.agency_id()) and node.joined()


def _restored(_folder: Path) -> Sequence[str]:
    return (
        "stop the old node for good before this one starts: two of one agency would collect each other's responses",
        "what was declined, released or destroyed after the backup was made must be decided again: compare with the custody log",
    )


def _agency_key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--finish", action="store_true", help="the hub has logged the new key: sign with it, destroy the old one")


def _agency_key(_folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    from fairwitness.agency.services import rotation  # noqa: PLC0415 - needs the settings

    return rotation.finish_agency_key() if options.finish else rotation.begin_agency_key()


def _plan_agency_key(_folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    from fairwitness.agency.services import rotation  # noqa: PLC0415 - needs the settings

    return rotation.plan_finish() if options.finish else {}


def _officer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("username")


def _officer(_folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    from fairwitness.agency.services import rotation  # noqa: PLC0415 - needs the settings

    return rotation.replace_officer_key(options.username)


def _plan_officer(_folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    from fairwitness.agency.services import rotation  # noqa: PLC0415 - needs the settings

    return {"officer": rotation.plan_officer(options.username).actor}


ROTATIONS = (
    *rotate.COMMON,
    rotate.Rotation(
        what="agency-key",
        text="replace the key that signs calls, custody and status, in two steps",
        consequences=(
            "First a new key is made and registration.json names both; nothing changes until the hub has logged it.",
            (
                "With --finish the new key signs and the old one is destroyed. What the old one signed stays valid: it "
                "is judged by when."
            ),
            "If the old key was stolen, also have the hub log its removal at once: finish, and hand in registration.json again.",
        ),
        act=_agency_key,
        plan=_plan_agency_key,
        options=_agency_key_options,
        stopped=False,
    ),
    rotate.Rotation(
        what="officer",
        text="replace an officer's signing key",
        consequences=(
            "The node must be stopped. From now until the hub has logged the new key, this officer can sign no request.",
            "Requests that were published stay valid: their signatures are judged by the log as it stood then.",
            "Passkey and account stay. For another person, remove this one and add that one.",
        ),
        act=_officer,
        plan=_plan_officer,
        options=_officer_options,
    ),
    rotate.never(
        "request-key",
        "the key to which answers are sealed: only with a new request",
        "A request is signed with its key in it, and owners sealed to that key. To stop using it, withdraw the "
        "request and ask anew; what was "
        "sealed to it is collected first. The key destroys itself request_key_days after the request's end.",
    ),
)


def _prove(_folder: Path, items: int) -> Mapping[str, int]:
    from fairwitness_core.wire.errors import ProtocolError  # noqa: PLC0415 - a drill's alone

    from fairwitness.agency.models import CustodyRecord, Officer, Response  # noqa: PLC0415 - needs the settings
    from fairwitness.agency.services import custody, evidence, node, officers  # noqa: PLC0415

    proved = {"officers": 0, "custody": 0, "clips": 0}
    node.agency_key()
    for officer in Officer.objects.filter(removed_at=None, user__role__in=officers.SIGNERS):
        if officers.stored_key(officer).public != officers.public_key(officer):
            raise ProtocolError("drill.officer", "an officer's key is not the one in the database", evidence=officer.actor)
        proved["officers"] += 1
    links = list(CustodyRecord.objects.filter(state="proven"))
    for link in random.sample(links, min(20 * items, len(links))):
        custody.verify(link, bytes(link.proof or b""))
        proved["custody"] += 1
    rows = [row for row in Response.objects.filter(destroyed_at=None) if node.key_file("responses", row.id).exists()]
    for row in random.sample(rows, min(items, len(rows))):
        proved["clips"] += evidence.compare(row)
    return proved


OPERATIONS = Operations(
    role="agency",
    config=Config,
    meanings=MEANINGS,
    plan=PLAN,
    keys=("keys/node.key", "keys/agency/agency.key"),
    check=_check,
    is_node=_is_agency,
    metrics=METRICS,
    sample=_sample,
    ready=_ready,
    restored=_restored,
    rotations=ROTATIONS,
    prove=_prove,
)
