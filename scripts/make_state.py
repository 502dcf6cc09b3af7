#!/usr/bin/env python3
"""Make the folders of a whole neighbourhood as one version left them, for the tests of upgrades.

    git archive COMMIT | tar -x -C OLD
    PYTHONPATH=OLD/src:OLD/core/src python scripts/make_state.py tests/data/upgrade/VERSION

Runs the program that PYTHONPATH names, with real processes: a hub with three witnesses, a department with officers, a home with
recordings; one request, its answer collected, opened and accepted. Then all stop, and their folders become one archive a role
beside `facts.json`. Everything in them, keys and footage, is made here and for this.
"""

import json
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from fairwitness.demo import places, play, town
from fairwitness.demo.processes import command
from fairwitness.kit import http

PORTS = (21731, 21732, 21733, 21734, 21735)
"""Fixed, and outside the range from which systems draw: addresses stand in the hub's genesis and are signed."""


def make(work: Path) -> dict[str, object]:
    """Play the story in `work` and return what a test has to know about it."""
    ports = iter(PORTS)
    vars(town).update(free_ports=lambda count: [next(ports) for _ in range(count)], CLIP_SECONDS=2)
    drawn = places.draw(7)
    place = places.Town(drawn.jurisdiction, drawn.area, drawn.residents[:1])
    neighbourhood = town.Neighbourhood(work, place, lambda words: print(words, file=sys.stderr))
    story = play.Story(neighbourhood)
    resident = place.residents[0]
    try:
        story.set_up()
        story._ask()  # noqa: SLF001 - the steps of the demo, one by one, without the owners that this needs not
        neighbourhood.until("the home has matched", lambda: (story._seen(resident) or {}).get("matched"))  # noqa: SLF001
        story._answer(resident, mode="identified", statement="The car came past twice.")  # noqa: SLF001
        story._collect()  # noqa: SLF001
        (response,) = story._responses()  # noqa: SLF001
        spare = command("hub", "invite", neighbourhood.hub, "--uses", "3").split()
        custody = neighbourhood.people["ana"].get(f"/api/responses/{response['id']}/custody")
        time.sleep(2)
        facts = {
            "made_at": int(time.time()),
            "hub": neighbourhood.hub_url,
            "agency": neighbourhood.agency_url,
            "witnesses": neighbourhood.witness_urls,
            "request": story.request_id,
            "response": response["id"],
            "clips": {clip["name"]: clip["sha256"] for clip in response["clips"]},
            "custody": len(next(iter(custody.values())) if isinstance(custody, dict) else custody),
            "tick": int(http.Http().get(f"{neighbourhood.hub_url}/feed/v1/latest").body),
            "resident": {"name": resident.name, "lat": resident.lat, "lon": resident.lon},
            "area": list(place.area),
            "invites": spare,
        }
    finally:
        neighbourhood.processes.stop()
    return facts | {
        "stopped_at": int(time.time()),
        "status": json.loads(command("witness", "status", work / "witnesses" / town.WITNESSES[0])),
    }


def pack(source: Path, target: Path) -> None:
    """Write the folder `source` as an archive that says nothing of this machine's users."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "run" in Path(info.name).parts[:3] or info.name.endswith(("-wal", "-shm", ".lock")):
            return None
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        info.mtime = 0
        return info

    with tarfile.open(target, "w:xz", preset=9) as tar:
        tar.add(source, arcname=source.name, filter=plain)


def main(words: Sequence[str]) -> int:
    """Make the state in the folder named."""
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    target = Path(words[0])
    target.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="fairwitness-state-"))
    try:
        facts = make(work)
        for name in ("hub", "agency", "homes", "witnesses"):
            pack(work / name, target / f"{name}.tar.xz")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    (target / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
