"""The hub, as its operator's commands see it."""

from collections.abc import Sequence
from pathlib import Path

from fairwitness.hub.config import Config
from fairwitness.kit import config, supervise
from fairwitness.kit.operate import doctor
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
    return [*found, *doctor.metrics_are_private(cfg)]


def _sample() -> Sequence[Sample]:
    from fairwitness.hub.services import health  # noqa: PLC0415 - needs the settings

    found = health.look()
    samples = [
        Sample("fairwitness_log_entries", found.public, {"log": "public"}),
        Sample("fairwitness_log_entries", found.sealed, {"log": "sealed"}),
        *one_hot("fairwitness_state", "state", STATES, found.state),
    ]
    return samples if found.tick is None else [*samples, Sample("fairwitness_tick", found.tick)]


def _ready() -> bool:
    from fairwitness.hub.services import health  # noqa: PLC0415 - needs the settings

    return health.look().ok


def _restored(_folder: Path) -> Sequence[str]:
    return (
        "start it; while witnesses saw more of its ledgers than are here it appends nothing and says `behind`",
        "then: fairwitness hub recover DIR --mirror URL, with any mirror, and start it again",
    )


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
)
