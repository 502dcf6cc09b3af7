"""The folders that an earlier version left (scripts/make_state.py), unpacked, and the moment at which they were left."""

import json
import os
import tarfile
import time
from pathlib import Path

from fairwitness.demo import places, play, town
from fairwitness.demo.town import Neighbourhood, Owner

STATES = Path(__file__).parents[2] / "data" / "upgrade"
SHIFTED = Path(__file__).parents[2] / "harness" / "shifted"
HUB, AGENCY = Path("hub"), Path("agency")


def facts(version="0.1.0"):
    return json.loads((STATES / version / "facts.json").read_text())


def unpack(target, *names, version="0.1.0"):
    """Unpack the folders of `names` (all by default) into `target`, with the modes that they had."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names or ("hub", "agency", "homes", "witnesses"):
        with tarfile.open(STATES / version / f"{name}.tar.xz") as tar:
            tar.extractall(target, filter="data")
    for path in (target, *target.rglob("*")):
        path.chmod(0o700 if path.is_dir() else path.stat().st_mode & 0o700)
    return target


def set_clock(patch, moment):
    """Have this process, and all that it starts, live at `moment` (Unix seconds) from now on."""
    real = time.time
    by = moment - real()
    patch.setattr(time, "time", lambda: real() + by)
    patch.setenv("SHIFT_SECONDS", str(by))
    patch.setenv("PYTHONPATH", os.pathsep.join([str(SHIFTED), *filter(None, [os.environ.get("PYTHONPATH", "")])]))


class Revived:
    """The neighbourhood of a state, its processes started by this version, and the demo's story to go on with."""

    def __init__(self, folder, patch, version="0.1.0"):
        self.facts = facts(version)
        drawn = places.draw(7)
        self.resident = drawn.residents[0]
        assert self.resident.name == self.facts["resident"]["name"]
        self.town = Neighbourhood(folder, places.Town(drawn.jurisdiction, drawn.area, drawn.residents[:1]), lambda _words: None)
        self.town.hub_url, self.town.agency_url = self.facts["hub"], self.facts["agency"]
        self.town.witness_urls = dict(self.facts["witnesses"])
        patch.setattr(play, "CASE", "24-777001")
        patch.setattr(town, "CLIP_SECONDS", 2)
        self.story = play.Story(self.town)

    def start(self):
        for name, url in self.town.witness_urls.items():
            self.town.processes.start(
                name, "witness", "run", self.town.data / "witnesses" / name, "--port", url.rsplit(":", 1)[1]
            )
        for name in self.town.witness_urls:
            self.town.processes.wait_ready(name)
        for name, folder in (("hub", self.town.hub), ("agency", self.town.agency), ("home-1", self.town.home(self.resident))):
            self.town.processes.start(name, "home" if name == "home-1" else name, "run", folder)
        for name in ("hub", "agency"):
            self.town.processes.wait_ready(name)
        url = self.town.processes.wait_ready("home-1")
        token = (self.town.home(self.resident) / "keys" / "owner.token").read_text().strip()
        self.town.owners["home-1"] = Owner(url, token)

    def film(self):
        """New recordings in a new folder of the home's camera."""
        self.town.film()
        owner = self.town.owners["home-1"]
        for source in owner.get("/api/sources"):
            owner.ask("DELETE", f"/api/sources/{source['id']}")  # its folder is not on this machine
        folder = self.town.data / "footage" / "home-1"
        for path in folder.iterdir():
            os.utime(path, (time.time() - 60, time.time() - 60))  # a disk keeps the machine's time, not the shifted one
        owner.post("/api/sources", {"camera": 1, "folder": str(folder), "zone": "UTC"})
        owner.post("/api/scan")

    def answer_next_request(self):
        """Ask, match, answer, collect, open, accept: the whole main job once more."""
        self.story._ask()
        self.town.until("the home has matched", lambda: (self.story._seen(self.resident) or {}).get("matched"))
        self.story._answer(self.resident, mode="identified", statement="Again.")
        self.story._collect()
