"""Plays two ends of a response's life on real folders and lets a thief with every disk try to read them (T10, version 1 form).

Run by test_shred.py as a process of its own, because it needs a database file, its write-ahead log and its free pages.
"""

import io
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from fairwitness_core.crypto import seal, segments
from fairwitness_core.wire.errors import ProtocolError

from fairwitness.agency.services import setup
from fairwitness.kit import clock, http, journal
from tests.unit.agency.world import POLYGON, START, Owner, SmallHub, clean_clip

IDENTITY = re.compile(rb"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}")
AGE = b"age-encryption.org/v1\n"


def image(*folders: Path) -> dict[str, bytes]:
    """Every byte of some disks, but for what is kept offline."""
    return {str(p): p.read_bytes() for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()}


def identities(disk: dict[str, bytes]) -> list[str]:
    """Every key that the disks give up, opening wrapped ones with those found already until nothing new comes."""
    known: set[str] = set()
    texts = list(disk.values())
    sealed = [data for data in texts if data.startswith(AGE) and len(data) < seal.MAX_SMALL]
    while True:
        before = len(known)
        known |= {match.decode() for data in texts for match in IDENTITY.findall(data)}
        texts = []
        for data in sealed:
            try:
                texts.append(seal.open_bytes(data, sorted(known)))
            except ProtocolError:
                continue
        known |= {match.decode() for data in texts for match in IDENTITY.findall(data)}
        if len(known) == before:
            return sorted(known)


def opens(ciphertext: bytes, disk: dict[str, bytes]) -> bool:
    found = identities(disk)
    try:
        if ciphertext.startswith(segments.MAGIC):
            return bool(segments.SegmentReader(io.BytesIO(ciphertext), found).read())
        return bool(seal.open_bytes(ciphertext, found))
    except ProtocolError:
        return False


def main() -> None:
    root, mutant = Path(sys.argv[1]), sys.argv[2]
    moment = {"now": float(START)}
    clock.set_clock(lambda: moment["now"])
    journal.record_to([])
    clip = clean_clip(root)
    for path in root.iterdir():
        path.unlink()
    hub = SmallHub(root / "logs")
    http.set_transport(hub)
    made = setup.initialise(
        root / "agency",
        setup.AgencySpec(
            agency="us-ca-oakland", ori="CA0010900", name="Oakland Police", state="CA", level="municipal",
            jurisdiction=POLYGON, vouched=("City council",),
        ),
    )  # fmt: skip
    from fairwitness.agency.models import Response  # noqa: PLC0415 - needs the settings that were set up just now
    from fairwitness.agency.services import collect, evidence, intake, node, triage, withdrawals  # noqa: PLC0415 - as above
    from tests.unit.agency.agency_steps import PURPOSE, Agency  # noqa: PLC0415 - as above

    if mutant == "long_lived_key":
        fixed = seal.new_identity()

        class Constant:
            new_identity = staticmethod(lambda: fixed)
            seal_bytes = staticmethod(seal.seal_bytes)

        intake.seal = Constant
    world = Agency(hub, clip, moment, root / "agency").begin()
    request = world.published()
    document = world.document(request)
    inbox = root / "inbox"
    inbox.mkdir()

    def disks() -> dict[str, bytes]:
        for path in inbox.iterdir():
            path.unlink()
        for rid, waiting in hub.inbox.items():
            if not waiting.acked:
                (inbox / rid).write_bytes(waiting.data)
        return image(root / "agency", inbox)

    result: dict[str, object] = {"recovery_is_offline": all(made.recovery_secret.encode() not in d for d in disks().values())}

    # 1. Withdrawn before collection.
    early = Owner(1, [clip], statement="EARLY-CANARY a red car stopped")
    hub.answer(document, early)
    ciphertext = hub.inbox[early.response_id].data
    disk = disks()
    result["early_before"] = any(opens(data, disk) for name, data in disk.items() if early.response_id in name)
    hub.withdraw(early)
    withdrawals.beat(clock.now())
    collect.run(clock.now())
    disk = disks()
    result["early_after"] = any(data == ciphertext for data in disk.values())
    result["early_left"] = any(b"EARLY-CANARY" in data for data in disk.values())

    # 2. Declined, 30 days on; another response of the same request lives on beside it.
    gone = Owner(2, [clip], statement="LATE-CANARY a silver hatchback", name="LATE-CANARY Dana")
    alive = Owner(3, [clip], statement="it lives on")
    world.collected(request, gone, alive)
    response = Response.objects.get(pk=gone.response_id)
    evidence.read_manifest(world.ana, response, PURPOSE)
    folder = node.evidence_folder(gone.response_id)
    kept = {p.name: p.read_bytes() for p in folder.iterdir()}  # a backup of the evidence folder, without keys
    disk = disks()
    result["late_before"] = [opens(data, disk) for data in kept.values()]
    result["plaintext_before"] = any(b"LATE-CANARY" in d or clip[:64] in d for d in disk.values())
    triage.decline(world.ana, response, "it shows another street")
    result["declined_key_gone"] = not node.key_file("responses", gone.response_id).exists()
    moment["now"] += 30 * 86400
    result["destroyed"] = triage.destroy_due(clock.now())
    disk = disks()
    result["late_after"] = [opens(data, disk) for data in kept.values()]
    result["late_left"] = [
        name
        for name, data in disk.items()
        if b"LATE-CANARY" in data or clip[:64] in data or any(k in data for k in kept.values())
    ]
    result["database_files"] = sorted(Path(n).name for n in disk if "db.sqlite3" in n)
    living = node.evidence_folder(alive.response_id)
    result["alive_after"] = [opens(p.read_bytes(), disk) for p in sorted(living.iterdir())]
    result["day"] = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%d")
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
