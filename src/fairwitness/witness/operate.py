"""The witness, as its keeper's commands see it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairwitness_core.model.hub import JoinFile
from fairwitness_core.tlog import checkpoint, cosignature, merkle, note, tiles
from fairwitness_core.tlog.policy import Policy

from fairwitness.kit import clock, files, http
from fairwitness.kit.operate.checks import Check, failed, ok, warn
from fairwitness.kit.operate.metrics import COMMON, Metric, Sample, render
from fairwitness.kit.operate.role import BackupPlan, Operations
from fairwitness.kit.operate.rotate import Rotation
from fairwitness.witness import config, services
from fairwitness.witness.errors import WitnessError

RESTORED = "restored"
"""A file that a restore leaves: the heads here may be older than what this witness signed, so it signs nothing until `resume`."""
_SMALL = 1 << 16
_TILE = 1 << 25
_LOGS = ("p", "s")
METRICS = (
    Metric("fairwitness_witness_entries", "gauge", "entries of a log that were cosigned last, public at /logs", {"log": None}),
    Metric("fairwitness_witness_conflicts", "gauge", "pairs of signed heads that prove a fork, kept in conflicts/"),
)


def metrics_page(directory: Path) -> bytes:
    """Return the metrics of the witness in `directory`. Raises WitnessError."""
    held = config.load(directory)
    store = services.open_store(held)
    samples = [Sample("fairwitness_ready", float(is_ready(directory)))]
    samples.append(Sample("fairwitness_witness_conflicts", len(services.conflicts(directory))))
    for origin in sorted(held.logs):
        head = store.head(origin)
        samples.append(Sample("fairwitness_witness_entries", head.size if head else 0, {"log": origin}))
    return render((COMMON[0], *METRICS), samples)


def is_ready(directory: Path) -> bool:
    """Tell whether this witness cosigns: it follows a log, its heads can be read, and it was not just restored."""
    try:
        held = config.load(directory)
        store = services.open_store(held)
        for origin in held.logs:
            store.head(origin)
    except (WitnessError, OSError):
        return False
    return bool(held.logs) and not (directory / RESTORED).exists()


def status(directory: Path) -> dict[str, object]:
    """Return name, key, and what was cosigned last of each log. Raises WitnessError, UnsafeMode."""
    held = config.load(directory)
    store = services.open_store(held)
    heads = {origin: store.head(origin) for origin in sorted(held.logs)}
    return {
        "name": held.name,
        "vkey": held.vkey.encode(),
        "logs": {origin: head.size if head else 0 for origin, head in heads.items()},
        "conflicts": len(services.conflicts(directory)),
        "ready": is_ready(directory),
    }


def resume(directory: Path, join: bytes, mirrors: Sequence[str]) -> dict[str, int]:
    """After a restore: take over the newest witnessed heads of the hub whose join file is `join`, and sign again.

    For each ledger at each address: 1. the log signed the head, and so did a quorum of the join file's policy that does
    without this witness: so a branch that this one may have signed and forgotten cannot also have had its quorum, unless
    another witness signed both; 2. it extends the head here, proved by the tiles; 3. it is kept. A followed log that no
    address has keeps this witness silent. Raises WitnessError, ProtocolError.
    """
    held = config.load(directory)
    store = services.open_store(held)
    policy = Policy.parse(JoinFile.parse(join.rstrip(b"\n")).policy.encode())
    mine = {item.name for item in policy.witnesses if item.key == held.vkey}
    if policy.met(()):
        raise WitnessError("this hub asks for no witnesses, so nobody else's signature can stand for its log: make a new witness")
    found: dict[str, int] = {}
    with store.locked():
        for url in mirrors:
            for name in _LOGS:
                base = f"{url.rstrip('/')}/log/{name}"
                # 1.
                seen = policy.verify(_get(f"{base}/checkpoint", _SMALL))
                head = seen.checkpoint
                if seen.log not in held.logs.get(head.origin, ()):
                    raise WitnessError(f"{url} serves {head.origin}, which this witness does not follow under that key")
                if not policy.met([witness for witness, _ in seen.times if witness not in mine]):
                    raise WitnessError(f"too few other witnesses signed the head that {url} serves; wait for them and try again")
                # 2.
                known = store.head(head.origin)
                if known is not None:
                    if head.size < known.size:
                        raise WitnessError(
                            f"{url} serves {head.size} entries of {head.origin}, here are {known.size}: find a newer one"
                        )
                    _check_extends(base, known, head)
                # 3.
                line = cosignature.cosign(seen.note.text, held.name, held.key, clock.now())
                keys = {(key.name, key.key_id) for key in held.logs[head.origin]}
                signers = tuple(item for item in seen.note.signatures if (item.name, item.key_id) in keys)
                store.keep(head.origin, note.Note(seen.note.text, (*signers, line)))
                found[head.origin] = head.size
        missing = sorted(set(held.logs) - set(found))
        if missing:
            raise WitnessError(f"no address served {', '.join(missing)}: name that hub, or a mirror of it, in the same command")
        (directory / RESTORED).unlink(missing_ok=True)
        files.sync_folder(directory)
    return found


def _check_extends(base: str, known: checkpoint.Checkpoint, head: checkpoint.Checkpoint) -> None:
    if known.size == head.size:
        path: list[bytes] = []
    else:
        path = merkle.consistency(known.size, head.size, tiles.node_reader(lambda p: _get(f"{base}/{p}", _TILE), head.size))
    merkle.verify_consistency(known.size, known.root, head.size, head.root, path)


def _get(url: str, most: int) -> bytes:
    try:
        answer = http.Http().get(url, max_bytes=most)
    except (http.Unreachable, http.TooLarge, ValueError) as error:
        raise WitnessError(f"{url} cannot be read: {error}") from error
    if answer.status == 404:
        raise LookupError(url)
    if answer.status != 200:
        raise WitnessError(f"{url} answered {answer.status}")
    return answer.body


def _check(folder: Path) -> Sequence[Check]:
    try:
        held = config.load(folder)
        store = services.open_store(held)
        heads = {origin: store.head(origin) for origin in held.logs}
    except WitnessError as error:
        return [failed("heads", str(error), "restore a backup, then: fairwitness witness resume DIR JOIN_FILE URL")]
    found = [ok("heads", f"{len(heads)} logs are followed")] if heads else []
    if not heads:
        found.append(
            warn("logs", "no log is followed", "fairwitness witness trust DIR ORIGIN VKEY, as the hub's witness-trust prints")
        )
    if services.conflicts(folder):
        todo = f"publish the files in {folder / 'conflicts'}: each proves that a hub signed two logs"
        found.append(failed("conflicts", "a fork was shown to this witness", todo))
    if (folder / RESTORED).exists():
        todo = "fairwitness witness resume DIR JOIN_FILE URL, with the hub or a mirror"
        found.append(failed("restored", "this witness was restored and signs nothing yet", todo))
    return found


def _restored(folder: Path) -> Sequence[str]:
    files.write_atomic(folder / RESTORED, b"this witness may have signed more than is here; see fairwitness witness resume\n")
    return ("fairwitness witness resume DIR JOIN_FILE URL ..., with its hub or mirrors; until then it signs nothing",)


def successor(directory: Path, new: Path, name: str = "") -> dict[str, object]:
    """Make, in the empty folder `new`, the witness that will take this one's place: another key, the same logs.

    It begins with this one's heads, signed anew: it never signs what does not extend what this one saw. Raises WitnessError,
    ProtocolError, OSError; this witness is not changed and goes on until each hub's policy counts without it.
    """
    held = config.load(directory)
    if new.exists() and any(new.iterdir()) and not (new / "key").exists():
        raise WitnessError(f"{new} is not empty; name a new folder")
    if (directory / RESTORED).exists():
        raise WitnessError("this witness was restored and does not know its newest heads: resume it first")
    vkey = config.init(new, name or held.name)
    fresh = config.load(new)
    if fresh.key.seed == held.key.seed:
        raise WitnessError(f"{new} holds the same key")
    old, store = services.open_store(held), services.open_store(fresh)
    with old.locked(), store.locked():
        for origin, keys in sorted(held.logs.items()):
            signed = old.signed(origin)
            if signed is not None and store.head(origin) is None:
                lines = {(key.name, key.key_id) for key in keys}
                signers = tuple(item for item in signed.signatures if (item.name, item.key_id) in lines)
                line = cosignature.cosign(signed.text, fresh.name, fresh.key, clock.now())
                store.keep(origin, note.Note(signed.text, (*signers, line)))
    for origin, keys in sorted(held.logs.items()):
        for key in keys:
            config.trust(new, origin, key.encode())
    return {"vkey": vkey, "heads": {origin: head.size for origin in held.logs if (head := store.head(origin)) is not None}}


def _key_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("new", type=Path, help="the new witness's folder; empty or absent")
    parser.add_argument("--name", default="", help="its name (default: the same)")


def _rotate_key(folder: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    made = successor(folder, options.new.absolute(), options.name)
    todo = f"fairwitness hub rotate witness DIR --replace NAME --by NAME=URL={made['vkey']}"
    return {**made, "next": f"run it at another address, then each hub's keeper: {todo}"}


def _plan_key(folder: Path, _options: argparse.Namespace) -> Mapping[str, Any]:
    return {"logs": sorted(config.load(folder).logs)}


ROTATIONS = (
    Rotation(
        what="key",
        text="make the witness that takes this one's place: a witness's key itself is never replaced",
        consequences=(
            "A witness is its key, so a new key is a new witness, in a folder of its own. This one is not changed.",
            (
                "Run both until each hub's logged change of policy counts (a day or more); then stop this one, keep its "
                "conflicts, destroy its key."
            ),
            "Publish the new key where you published the old one. If the old key was stolen, say so there at once.",
        ),
        act=_rotate_key,
        plan=_plan_key,
        options=_key_options,
        stopped=False,
    ),
)
OPERATIONS = Operations(
    role="witness",
    config=None,
    meanings={},
    plan=BackupPlan(secrets=("key",), database=False),
    keys=("key",),
    check=_check,
    is_node=lambda folder: (folder / "logs").exists(),
    metrics=METRICS,
    sample=tuple,
    ready=lambda: True,
    restored=_restored,
    rotations=ROTATIONS,
)
