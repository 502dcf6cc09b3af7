"""What every world starts from, built once per run: witnesses, a hub, an agency with people, and homes that joined.

Each node's folder is kept as a template; `Stage.world` puts copies in place, so that worlds that differ in nothing are equal
byte for byte. Cameras, choices and answers are not part of the templates.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fairwitness.demo.footage import make_clip
from fairwitness.witness import app, services
from tests.harness import elsewhere, postgres, s3
from tests.harness.net import Net, scratch
from tests.harness.scene import CANARY_CAMERA, CANARY_PLACE, HOMES, JOINED, START, WINDOW, WITNESSES
from tests.harness.world import World

POSTGRESQL = os.environ.get("FAIRWITNESS_TEST_DATABASE", "") == "postgresql"
"""Hub and agency keep their rows in a PostgreSQL server and their sealed bytes in a bucket, both started by the stage."""


class Stage:
    """The templates, the network, and the witnesses in this process. `places`: the nodes that keep their state elsewhere."""

    def __init__(self, homes: Iterable[str] = HOMES, *, postgresql: bool = POSTGRESQL) -> None:
        self.folder = scratch()
        self.places: dict[str, elsewhere.Place] = {}
        self._servers = contextlib.ExitStack()
        if postgresql:
            cluster, server = self._servers.enter_context(postgres.cluster()), self._servers.enter_context(s3.moto())
            self.places = {name: elsewhere.Place(cluster, server, name) for name in ("hub", "agency")}
        self.net = Net(self.folder)
        self.net.now = START - 360
        self.templates: dict[str, Path] = {}
        self.home_names = tuple(homes)
        self.footage = self._film()
        self.witness_folders: dict[str, Path] = {}
        self.facts: dict[str, Any] = {}
        self.witnesses_down: set[str] = set()
        self.serial = 0
        self._build()

    # -- building

    def _film(self) -> Path:
        folder = self.folder / "footage"
        folder.mkdir()
        path = folder / "20270115_071500.mp4"
        make_clip(
            path,
            seed=7,
            seconds=1.0,
            start=WINDOW[0] + 900,
            width=160,
            height=96,
            fps=10,
            audio=False,
            camera=CANARY_CAMERA,
            place=CANARY_PLACE,
        )
        os.utime(path, (WINDOW[0] + 1000, WINDOW[0] + 1000))
        return folder

    def _witnesses(self) -> list[tuple[str, str, str]]:
        listed = []
        for name in WITNESSES:
            folder = self.folder / "witnesses" / name
            folder.mkdir(parents=True, mode=0o700)
            vkey = services.init(folder, f"{name}.example", seed=(name.encode() * 32)[:32])
            self.witness_folders[name] = folder
            listed.append((f"{name}.example", f"http://{name}.test", vkey))
            self._serve(name)
        return listed

    def _serve(self, name: str) -> None:
        answer = app.make_app(self.witness_folders[name], lambda: int(self.net.now))
        self.net.wsgi(f"{name}.test", answer, lambda name=name: name not in self.witnesses_down)

    def _build(self) -> None:
        net = self.net
        listed = self._witnesses()
        roles = {"hub": "hub", "agency": "agency"} | dict.fromkeys(self.home_names, "home")
        net.start(roles)
        for name, place in self.places.items():
            place.secrets(net.nodes[name].folder)
        net.active = set(roles)
        hub, agency = net.nodes["hub"], net.nodes["agency"]
        with ThreadPoolExecutor(len(roles)) as pool:
            first = pool.submit(hub.build, listed, seed="stage/hub")
            second = pool.submit(agency.build, seed="stage/agency")
            others = [pool.submit(net.nodes[name].build, name, seed=f"stage/{name}") for name in self.home_names]
            made, registration = first.result(), second.result()
            for other in others:
                other.result()
        for origin, vkey in made["logs"]:
            for folder in self.witness_folders.values():
                services.trust(folder, origin, vkey)
        net.active = {"hub"}
        hub.act("register", registration)
        net.until(net.now + 120)
        join = hub.ask("http", "GET", "/join.json", [("Host", "hub.test")], b"", "10.9.9.9", net.now)[2]
        net.active = {"hub", "agency"}
        agency.act("trust", join)
        codes = hub.act("invites", len(self.home_names))
        for name, code in zip(self.home_names, codes, strict=True):
            if name in JOINED:
                net.active.add(name)
                net.nodes[name].act("join", join, code)
                net.nodes[name].ask("restart")
                if net.nodes[name].act("fetch_tokens") != 8:
                    raise AssertionError(f"{name} got no tokens")
        net.until(START)
        self.facts = {"join": join, "invites": dict(zip(self.home_names, codes, strict=True)), "logs": made["logs"]}
        for name in roles:
            self.keep(name)
        for name, folder in self.witness_folders.items():
            shutil.copytree(folder, self.folder / "templates" / f"witness-{name}")

    def keep(self, name: str) -> None:
        """Make the node's present folder its template."""
        self.net.nodes[name].ask("close")
        target = self.folder / "templates" / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.net.nodes[name].folder, target)
        if name in self.places:
            self.places[name].keep()
        self.templates[name] = target

    # -- worlds

    def world(self, homes: Iterable[str] = JOINED, *, seed: str = "w") -> World:
        """Begin a world at START with these homes; the one before is over."""
        for name, folder in self.witness_folders.items():
            shutil.rmtree(folder)
            shutil.copytree(self.folder / "templates" / f"witness-{name}", folder)
            self._serve(name)
        self.witnesses_down = set()
        names = ["hub", "agency", *homes]
        for name, place in self.places.items():
            self.net.nodes[name].ask("close")
            place.lay_out()
        self.net.reset({name: self.templates[name] for name in names}, now=START, seed=seed)
        return World(self)

    def close(self) -> None:
        """End every process and forget everything."""
        self.net.close()
        self._servers.close()
        shutil.rmtree(self.folder, ignore_errors=True)
