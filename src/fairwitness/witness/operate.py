"""The witness, as its keeper's commands see it."""

from collections.abc import Sequence
from pathlib import Path

from fairwitness_core.tlog import checkpoint, merkle, note, tiles
from fairwitness_core.tlog.cosignature import verify as cosigned_at

from fairwitness.kit import files, http
from fairwitness.kit.operate.checks import Check, failed, ok, warn
from fairwitness.kit.operate.metrics import COMMON, Metric, Sample, render
from fairwitness.kit.operate.role import BackupPlan, Operations
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


def resume(directory: Path, mirrors: Sequence[str]) -> dict[str, int]:
    """After a restore: take over the newest heads that this witness itself cosigned, from hubs or mirrors, and sign again.

    For each followed log: 1. every address that has it is asked for its served head; 2. a head counts if log and this witness
    signed it; 3. it extends the head here, proved by the tiles; 4. it is kept. A log that no address has keeps this witness silent. Raises
    WitnessError, ProtocolError, Unreachable.
    """
    held = config.load(directory)
    store = services.open_store(held)
    found: dict[str, int] = {}
    with store.locked():
        for url in mirrors:
            for name in _LOGS:
                base = f"{url.rstrip('/')}/log/{name}"
                # 1.
                signed = note.Note.parse(_get(f"{base}/checkpoint", _SMALL))
                head = checkpoint.Checkpoint.parse(signed.text)
                keys = held.logs.get(head.origin, ())
                # 2.
                if not any(signed.verified_by(key) for key in keys) or cosigned_at(signed, held.vkey) is None:
                    continue
                known = store.head(head.origin)
                # 3.
                if known is not None:
                    if head.size < known.size:
                        raise WitnessError(
                            f"{url} serves {head.size} entries of {head.origin}, here are {known.size}: find a newer one"
                        )
                    _check_extends(base, known, head)
                # 4.
                store.keep(head.origin, signed)
                found[head.origin] = head.size
        missing = sorted(set(held.logs) - set(found))
        if missing:
            raise WitnessError(
                f"no address served a head of {', '.join(missing)} that this witness signed; name its hub or a mirror"
            )
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
        return [failed("heads", str(error), "restore a backup, then: fairwitness witness resume DIR URL")]
    found = [ok("heads", f"{len(heads)} logs are followed")] if heads else []
    if not heads:
        found.append(
            warn("logs", "no log is followed", "fairwitness witness trust DIR ORIGIN VKEY, as the hub's witness-trust prints")
        )
    if services.conflicts(folder):
        todo = f"publish the files in {folder / 'conflicts'}: each proves that a hub signed two logs"
        found.append(failed("conflicts", "a fork was shown to this witness", todo))
    if (folder / RESTORED).exists():
        todo = "fairwitness witness resume DIR URL, with the address of the hub and of a mirror"
        found.append(failed("restored", "this witness was restored and signs nothing yet", todo))
    return found


def _restored(folder: Path) -> Sequence[str]:
    files.write_atomic(folder / RESTORED, b"this witness may have signed more than is here; see fairwitness witness resume\n")
    return (
        "fairwitness witness resume DIR URL ..., with the hubs that it watches or mirrors of them; until then it signs nothing",
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
)
