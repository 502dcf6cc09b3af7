# ruff: noqa: PLC0415 - a role can be imported only in a process that is set up as it
"""The hub's operator, moderators and disk."""

import json
import shutil
from pathlib import Path
from typing import Any


def build(folder: Path, witnesses: list[tuple[str, str, str]], **changes: Any) -> dict[str, Any]:
    """Make a hub; returns its two logs as (origin, vkey)."""
    from fairwitness.hub.services import setup
    from tests.harness import acts

    spec: dict[str, Any] = {
        "name": "Bay Area Witness Hub",
        "state": "CA",
        "public_url": "http://hub.test",
        "witnesses": witnesses,
        "tick_seconds": 60,
        "sealed_seconds": 20,
        "notice_seconds": 86_400,
        "settings": {"min_free_bytes": 0, **acts.STATE},
    }
    done = setup.initialise(folder, setup.Spec(**spec | changes))
    return {"logs": list(done.logs), "hub_key": done.hub_key}


def register(registration: dict[str, Any]) -> list[str]:
    from fairwitness.hub.services import agencies

    return [row.kind for row in agencies.register(registration)]


def suspend(agency: str, reason: str) -> None:
    from fairwitness.hub.services import agencies

    agencies.suspend(agency, reason)


def invites(count: int) -> list[str]:
    from fairwitness.hub.services import tokens
    from fairwitness.kit import clock

    return tokens.create_invites(count, 1, clock.now())


def approve(request_id: str, moderator: int = 1) -> str:
    from fairwitness.hub.services import moderation

    return moderation.approve(request_id, moderator).state


def refuse(request_id: str, rule: str = "moderation.vague") -> str:
    from fairwitness.hub.services import moderation

    return moderation.refuse(request_id, rule).state


def step() -> str:
    from fairwitness.hub import sequencer

    return sequencer.step()


def state() -> str:
    from fairwitness.hub.services import health

    return health.look().state


def queue() -> list[tuple[str, str]]:
    """Return (id, state) of every request."""
    from fairwitness.hub.models import Request

    return list(Request.objects.order_by("submitted_at", "id").values_list("id", "state"))


def held() -> list[str]:
    """Return the response ids whose ciphertext is stored."""
    from fairwitness.hub.services import vault

    return list(vault.store().names())


def uploads() -> list[dict[str, Any]]:
    from fairwitness.hub.models import Upload

    return list(Upload.objects.order_by("response_id").values())


def secret_keys() -> dict[str, bytes]:
    """What a hub that turns malicious signs with: its own keys."""
    from fairwitness.hub.services import identity

    return {"hub": identity.load().hub_key.seed, "p": identity.read_log_key("p").seed, "s": identity.read_log_key("s").seed}


def inject(envelopes: list[bytes]) -> list[int]:
    """A malicious operator appends entries past every check and lets them stand in the next tick as any other."""
    from fairwitness.hub import sequencer

    sequencer.step()
    shared = sequencer._shared
    public, _ = shared._open()
    return list(shared.append(public, envelopes))


def successor() -> str:
    from fairwitness.hub import sequencer
    from fairwitness.hub.services import recover
    from fairwitness.kit import config
    from tests.harness import elsewhere

    sequencer.reset()
    with elsewhere.as_owner(config.current(config.RoleConfig).folder()):
        return recover.successor().predecessor.origin


def recover(mirror: str) -> dict[str, int]:
    from fairwitness.hub import sequencer
    from fairwitness.hub.services import recover as recovery
    from fairwitness.kit import config
    from tests.harness import elsewhere

    sequencer.reset()
    with elsewhere.as_owner(config.current(config.RoleConfig).folder()):
        return recovery.from_mirror(mirror)


def keep_backup(folder: str) -> None:
    """Copy the data folder, as a backup does."""
    from django.db import connections

    from fairwitness.hub import sequencer
    from fairwitness.kit import config

    sequencer.reset()
    connections.close_all()
    shutil.copytree(config.current(config.RoleConfig).folder(), folder)


def status_json() -> str:
    from fairwitness.hub.services import health

    found = health.look()
    return json.dumps({"state": found.state, "public": found.public, "sealed": found.sealed, "tick": found.tick})


def tick_rows() -> list[tuple[int, int]]:
    """Return (number, index) of every tick that stands in the log, read from the log itself."""
    from fairwitness_core.model.hub import FeedTick
    from fairwitness_core.wire import dsse

    from fairwitness.hub.services import ledger

    try:
        reader = ledger.reader("p")
        size = reader.cosigned.size if reader.cosigned else 0
    except LookupError:
        return []
    found = []
    for index, data in enumerate(reader.entries(0, size)):
        payload = dsse.Envelope.parse(data).payload
        if b'"type":"feed_tick"' in payload:
            found.append((FeedTick.parse(payload).tick, index))
    return found


def log_entries() -> list[bytes]:
    """Return every cosigned entry of the public log."""
    from fairwitness.hub.services import ledger

    reader = ledger.reader("p")
    return list(reader.entries(0, reader.cosigned.size if reader.cosigned else 0))


def newer(kinds: list[str]) -> None:
    """Let this hub put kinds into its feed that the homes' program does not know: a later version's."""
    from fairwitness.hub.services import feed, ledger

    ledger.FEED_KINDS = feed.FEED_KINDS = type(feed.FEED_KINDS)([*feed.FEED_KINDS, *kinds])
