"""The home, as its owner's commands see it."""

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairwitness.home.config import Config
from fairwitness.kit import config, supervise
from fairwitness.kit.operate import doctor, rotate
from fairwitness.kit.operate.checks import Check, failed, ok, warn
from fairwitness.kit.operate.metrics import Metric, Sample, one_hot
from fairwitness.kit.operate.role import BackupPlan, Operations

OUTCOMES = ("ok", "stale", "blocked", "check_clock", "none")
MEANINGS = {
    "upload_delay_minutes": "mean of the random minutes before an answer leaves",
    "upload_cap_minutes": "longest of those delays",
    "scan_seconds": "seconds between looks through the folders of recordings",
    "settle_seconds": "seconds that a file must stand unchanged before it is read",
    "preview_cache_mib": "room in MiB for previews and stills that the owner looked at",
    "propose_blur": "look for faces and number plates in the clips of new answers, and cover them until the owner decides",
    "marks_cpu_minutes": "minutes of processor time a day for finding motion and persons, where that is switched on",
    "keep_days": "days that ended requests and their choices are kept",
    "clip_max_mib": "largest file in MiB that a browser may bring in",
    "clips_quota_mib": "room in MiB for all files that browsers brought in",
    "mirror_url": "address of a mirror from which the feed is fetched in place of the hub; it is believed no more than the hub",
}
PLAN = BackupPlan(skip=("cache/**", "uploads/incoming/**"), blank=(("home_pin", "invite"),))
METRICS = (
    Metric("fairwitness_feed_tick", "gauge", "newest tick that this home verified, the same for every home"),
    Metric("fairwitness_feed_state", "gauge", "1 for how current the feed is, 0 for the others", {"state": OUTCOMES}),
)


def _is_home(folder: Path) -> bool:
    return (folder / config.FILE_NAME).exists() and (folder / "keys").is_dir()


def _check(folder: Path) -> Sequence[Check]:
    supervise.setup("home", folder)
    from fairwitness_core.tlog.policy import Policy  # noqa: PLC0415 - doctor starts quickly

    from fairwitness.home.services import follower, join, sources  # noqa: PLC0415 - needs the settings

    schema = doctor.migrations()
    found = [schema]
    if schema.state != "ok":
        return found
    pin = join.pinned()
    if pin is None:
        found.append(warn("hub", "this home follows no hub", "fairwitness home join DIR ADDRESS"))
        return found
    document = join.current().join
    if not pin.invite:
        todo = "ask the hub's keepers for an invite: fairwitness home join DIR ADDRESS --accept --invite CODE"
        found.append(warn("invite", "without one this home fetches no tokens, and cannot answer", todo))
    status = follower.status()
    if status.outcome == "ok":
        found.append(ok("feed", f"current up to tick {status.next_tick - 1}"))
    else:
        found.append(failed("feed", follower.explain(status.outcome), "see that this home runs and reaches the hub or a mirror"))
    found += [
        warn("recordings", f"a folder cannot be read ({row.problem})", "see fairwitness home source list DIR")
        for row in sources.listing()
        if row.problem
    ]
    # Witnesses and not the hub: a visit to the hub outside the home's fixed slots would say that somebody is here and looking.
    policy = Policy.parse(document.policy.encode())
    found += doctor.skew((f"witness {w.name}", f"{w.url.rstrip('/')}/vkey") for w in policy.witnesses if w.url)
    return found


def _sample() -> Sequence[Sample]:
    from fairwitness.home.services import follower  # noqa: PLC0415 - needs the settings

    found = follower.status()
    return [
        Sample("fairwitness_feed_tick", max(found.next_tick - 1, 0)),
        *one_hot("fairwitness_feed_state", "state", OUTCOMES, found.outcome),
    ]


def _ready() -> bool:
    from fairwitness.home.services import follower  # noqa: PLC0415 - needs the settings

    return follower.status().outcome in ("ok", "stale")


def _restored(folder: Path) -> Sequence[str]:
    notes = ["stop the old home for good before this one starts: two with the same slots give away that they are one"]
    if not (folder / "keys" / "node.key").exists():
        notes.append("without its keys this home makes new ones: unsent answers and notification channels have to be made anew")
    return notes


def _owner_token(_folder: Path, _options: argparse.Namespace) -> Mapping[str, Any]:
    from fairwitness.home import access  # noqa: PLC0415 - needs the settings
    from fairwitness.kit.accounts import services  # noqa: PLC0415
    from fairwitness.kit.accounts.models import User  # noqa: PLC0415

    place = access.new_owner_token()
    ended = sum(services.revoke_all(user) for user in User.objects.all())
    return {"token": str(place), "sessions_ended": ended}


ROTATIONS = (
    *rotate.COMMON,
    rotate.Rotation(
        what="owner-token",
        text="make a new owner's token, and end every session and pairing",
        consequences=(
            "Whoever has the old token, a script or a browser that kept it, can do nothing here any more.",
            "Every phone and browser has to be paired, or signed in, again.",
        ),
        act=_owner_token,
        stopped=False,
    ),
)


def _prove(_folder: Path, items: int) -> Mapping[str, int]:
    from fairwitness_core.wire.errors import ProtocolError  # noqa: PLC0415 - a drill's alone

    from fairwitness.home.models import AnswerClip, AnswerPiece  # noqa: PLC0415 - needs the settings
    from fairwitness.home.services import follower, join, sharing  # noqa: PLC0415

    proved = {"feed": 0, "originals": 0}
    if join.pinned() is not None:
        join.current()
        proved["feed"] = int(follower.status().next_tick > 0)
    kept = config.current(Config).folder("originals")
    parts = [part for kind in (AnswerClip, AnswerPiece) for part in kind.objects.exclude(original="")]
    parts = [part for part in parts if (kept / part.original).exists()]
    for part in random.sample(parts, min(items, len(parts))):
        if sharing.file_sha256(kept / part.original) != part.original_sha256:
            raise ProtocolError("drill.original", "an original is not the one that was committed to", evidence=part.original)
        proved["originals"] += 1
    return proved


OPERATIONS = Operations(
    role="home",
    config=Config,
    meanings=MEANINGS,
    plan=PLAN,
    keys=("keys/node.key", "keys/owner.token", "keys/slots.seed"),
    check=_check,
    is_node=_is_home,
    metrics=METRICS,
    sample=_sample,
    ready=_ready,
    restored=_restored,
    rotations=ROTATIONS,
    prove=_prove,
)
