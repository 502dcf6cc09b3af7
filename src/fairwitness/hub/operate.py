"""The hub, as its operator's commands see it."""

import argparse
import functools
import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairwitness.hub.config import Config
from fairwitness.kit import config, supervise
from fairwitness.kit.operate import doctor, rotate
from fairwitness.kit.operate.checks import Check, failed, ok, warn
from fairwitness.kit.operate.metrics import Metric, Sample, one_hot
from fairwitness.kit.operate.role import BackupPlan, Operations

STATES = ("ok", "starting", "no_quorum", "behind", "forked")
MEANINGS = {
    "min_free_bytes": "free bytes below which uploads are refused",
    "moderators_required": "moderators that a request needs; one more where an assembly overlaps",
    "census_file": "CSV of cell,dwellings; without it the hub says publicly that dwellings are not counted",
    "assemblies_file": "iCalendar of lawful assemblies; a request that overlaps one needs a second moderator",
    "keep_days": "days that ciphertext waits to be collected",
    "accounting_days": "days that rows about ended uploads are kept for reconciliation",
    "submissions_per_hour": "requests that one agency may submit in an hour",
    "witness_seconds": "seconds that a witness may take to answer",
    "publish": "places (folders, buckets) that the beat keeps copies of the public files in, for web servers and CDNs",
    "single_operator": "one organisation asks, moderates and hosts; residents are told (docs/operate/one-organisation.md)",
}
PLAN = BackupPlan(
    first=("log/*/public/checkpoint", "log/retired/*/*/public/checkpoint"),
    last=("log/*/leaves", "log/retired/*/*/leaves"),
    skip=("**/hashes", "**/offsets", "**/mark"),
)
METRICS = (
    Metric(
        "fairwitness_log_entries", "gauge", "witnessed entries of a ledger, public on the feed", {"log": ("public", "sealed")}
    ),
    Metric("fairwitness_tick", "gauge", "newest tick served, public on the feed"),
    Metric("fairwitness_publish_lag_seconds", "gauge", "how far the slowest place of [[publish]] is behind, public there"),
    Metric("fairwitness_publish_problems", "gauge", "places of [[publish]] whose last round failed"),
    Metric("fairwitness_state", "gauge", "1 for the sequencer's state, 0 for the others", {"state": STATES}),
)


def _is_hub(folder: Path) -> bool:
    return (folder / "genesis.json").exists()


def _check(folder: Path) -> Sequence[Check]:
    supervise.setup("hub", folder)
    from fairwitness_core.tlog.policy import Policy  # noqa: PLC0415 - doctor starts quickly

    from fairwitness.hub.services import directory, health, identity  # noqa: PLC0415 - needs the settings
    from fairwitness.kit import clock  # noqa: PLC0415

    schema = doctor.migrations()
    if schema.state != "ok":
        return [schema]
    found = [schema]
    cfg = config.current(Config)
    if not (folder / "keys" / "hub.key").exists():
        return found
    me = identity.load()
    policy = Policy.parse(directory.policy_text(clock.now()).encode())
    witnesses = [(item.name, item.url) for item in policy.witnesses if item.url]
    found += doctor.heads(
        [(me.vkey(name), identity.log_folder(name) / "public" / "checkpoint") for name in identity.LOGS],
        witnesses,
        seconds=cfg.witness_seconds,
    )
    found += doctor.skew(((f"witness {name}", f"{url.rstrip('/')}/logs") for name, url in witnesses), seconds=cfg.witness_seconds)
    state = health.look().state
    if state in ("behind", "forked"):
        todo = "fairwitness hub recover DIR --mirror URL (docs/operate/hub.md, After a restore)"
        found.append(failed("sequencer", f"its state is {state}: nothing is appended", todo))
    elif state != "ok":
        found.append(warn("sequencer", f"its state is {state}", "see that the hub runs and two witnesses answer"))
    else:
        found.append(ok("sequencer", "its state is ok"))
    found += [
        failed(name, f"{path} cannot be read", f"name a readable file in {name}, or remove the setting")
        for name, path in (("census_file", cfg.census_file), ("assemblies_file", cfg.assemblies_file))
        if path and not Path(path).is_file()
    ]
    return [*found, *_published(), *doctor.metrics_are_private(cfg)]


def _published() -> Sequence[Check]:
    """Say of each place of [[publish]] whether it is current."""
    from fairwitness.hub.services import identity, publishing  # noqa: PLC0415 - needs the settings

    found = []
    for progress, late in publishing.look():
        name = f"publish {progress.to}"
        if progress.tick < 0 and not progress.problem:
            found.append(warn(name, "nothing was published yet", "start the hub, or: fairwitness hub publish DIR"))
        elif progress.alarm:
            found.append(failed(name, progress.problem, "find out who wrote there; docs/operate/hub.md, Static copies"))
        elif late > 3 * identity.load().tick_seconds + 60:
            todo = "see that the hub runs, and that key, clock and rights of the place are right: fairwitness hub publish DIR"
            found.append(failed(name, f"{late} seconds behind. {progress.problem}".strip(), todo))
        elif progress.problem:
            found.append(warn(name, progress.problem, "it is tried again by itself"))
        else:
            found.append(ok(name, f"current up to tick {progress.tick}"))
    return found


def _sample() -> Sequence[Sample]:
    from fairwitness.hub.services import health, publishing  # noqa: PLC0415 - needs the settings

    found = health.look()
    samples = [
        Sample("fairwitness_log_entries", found.public, {"log": "public"}),
        Sample("fairwitness_log_entries", found.sealed, {"log": "sealed"}),
        *one_hot("fairwitness_state", "state", STATES, found.state),
    ]
    if places := publishing.look():
        samples.append(Sample("fairwitness_publish_lag_seconds", max(late for _, late in places)))
        samples.append(Sample("fairwitness_publish_problems", sum(bool(progress.problem) for progress, _ in places)))
    return samples if found.tick is None else [*samples, Sample("fairwitness_tick", found.tick)]


def _ready() -> bool:
    from fairwitness.hub.services import health  # noqa: PLC0415 - needs the settings

    return health.look().ok


def _restored(_folder: Path) -> Sequence[str]:
    return (
        "start it; while witnesses saw more of its ledgers than are here it appends nothing and says `behind`",
        "then: fairwitness hub recover DIR --mirror URL, with any mirror, and start it again",
    )


def _witness_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replace", required=True, metavar="NAME", help="the witness that goes, as the policy calls it")
    parser.add_argument(
        "--by", required=True, metavar="NAME=URL=VKEY", help="the one that comes; it must run and follow both ledgers"
    )
    parser.add_argument(
        "--seconds", type=int, default=86_400, help="notice before it counts (default and least: a day, or the genesis')"
    )


def _planned(options: argparse.Namespace) -> Any:
    from fairwitness.hub.commands import parse_witness  # noqa: PLC0415 - it imports this module
    from fairwitness.hub.services import rotation  # noqa: PLC0415 - needs the settings

    return rotation.plan_witness(options.replace, *parse_witness(options.by), seconds=options.seconds)


def _plan_witness(_folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    return dict(_planned(options).told())


def _rotate_witness(_folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    from fairwitness.hub.services import rotation  # noqa: PLC0415 - needs the settings

    return rotation.replace_witness(_planned(options))


ROTATIONS = (
    *rotate.COMMON,
    rotate.Rotation(
        what="witness",
        text="replace a witness by a logged change of policy, with its notice",
        consequences=(
            "The change is an entry of the public log: everybody reads it, and it counts after its notice, not before.",
            "Until then the old policy holds: its quorum must go on signing, the old witness too if it is needed for that.",
            (
                "Homes that follow this hub take it up by themselves. New homes cannot join until it counts, then with "
                "the new join file."
            ),
            "Agencies take it up with: fairwitness agency trust DIR JOIN_FILE --accept, once it counts.",
        ),
        act=_rotate_witness,
        plan=_plan_witness,
        options=_witness_options,
        stopped=False,
    ),
    rotate.never(
        "issuer-key",
        "household tokens' key: not by hand",
        "The key of household tokens replaces itself every epoch, by a log entry, and is destroyed with it. There "
        "is one per epoch: a second "
        "would let a hub mark households by the key it gives them, so homes refuse it. If it was stolen, wait for "
        "the next epoch.",
    ),
    rotate.never(
        "log-keys",
        "the ledgers' keys: only with a successor log",
        "A log is its key: homes, agencies and witnesses pinned it. With a copy of the key stolen, or the key lost, "
        "stop the hub and run: "
        "fairwitness hub recover DIR --successor. It opens new ledgers that name the old ones' last witnessed head; "
        "every home and "
        "agency must accept them, and every witness must be told of them.",
    ),
    rotate.never(
        "hub-key",
        "the hub's own key: never",
        "The hub's key signs the directory and stands in every join file: whoever has it is this hub. It cannot be "
        "replaced. If it "
        "was stolen, stop this hub for good, say so where your witnesses publish, and make a new one with fairwitness hub init.",
    ),
)


def _prove(folder: Path, items: int) -> Mapping[str, int]:
    from fairwitness_core.tlog.policy import Policy  # noqa: PLC0415 - a drill's alone
    from fairwitness_core.verify.log import check_log  # noqa: PLC0415
    from fairwitness_core.wire.errors import ProtocolError  # noqa: PLC0415

    from fairwitness.hub.models import Upload  # noqa: PLC0415 - needs the settings
    from fairwitness.hub.services import directory, identity, vault  # noqa: PLC0415
    from fairwitness.kit import clock  # noqa: PLC0415

    policy = Policy.parse(directory.policy_text(clock.now()).encode())
    proved = {"entries": 0, "uploads": 0}
    for name in identity.LOGS:
        root = folder / "log" / name / "public"
        report = check_log(functools.partial(_read, root), policy, identity.load().vkey(name))
        if not report.ok:
            raise ProtocolError("drill.log", f"the ledger {report.origin} does not verify: {report.first_failure}")
        identity.read_log_key(name)
        proved["entries"] += report.size
    rows = list(Upload.objects.filter(state="sealed", collected=False))
    for row in random.sample(rows, min(items, len(rows))):
        digest = hashlib.sha256()
        with vault.store().open(row.response_id) as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
        if digest.hexdigest() != row.sealed:
            raise ProtocolError("drill.upload", "a sealed upload is not what was promised", evidence=row.response_id)
        proved["uploads"] += 1
    return proved


def _read(root: Path, path: str) -> bytes:
    return (root / path).read_bytes()


OPERATIONS = Operations(
    role="hub",
    config=Config,
    meanings=MEANINGS,
    plan=PLAN,
    keys=("keys/hub.key", "keys/log-public.key", "keys/log-sealed.key", "keys/node.key"),
    check=_check,
    is_node=_is_hub,
    metrics=METRICS,
    sample=_sample,
    ready=_ready,
    restored=_restored,
    min_free_bytes=1 << 30,
    rotations=ROTATIONS,
    prove=_prove,
)
