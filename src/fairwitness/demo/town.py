"""Sets up a whole neighbourhood on one machine: each role in its own folder, with its own database and processes.

Everything goes through the commands and the HTTP interfaces that real operators, officers and owners use.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairwitness.demo.authenticator import SoftClient
from fairwitness.demo.footage import make_clip
from fairwitness.demo.places import AGENCY_ID, AGENCY_NAME, ORI, STATE, TOWN, Resident, Town
from fairwitness.demo.processes import DemoError, Processes, command, free_ports
from fairwitness.kit import http

WITNESSES = ("press.example", "university.example", "auditor.example")
OFFICERS = (
    ("ana", "Ana Ortiz", "officer"),
    ("sam", "Sam Weber", "supervisor"),
    ("tess", "Tess Lindqvist", "technician"),
    ("alex", "Alex Moreau", "admin"),
)
COLLECT_SECONDS = 15
CLIP_SECONDS = 20
VIDEO_SUFFIXES = {".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mpeg", ".ts", ".webm", ".wmv"}


class Owner:
    """One resident's own page, as their browser or a script on their machine calls it."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self._token = url, token

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the home's API; raises DemoError with the home's own words."""
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json", "Connection": "close"}
        if method != "GET":
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
        answer = http.SocketTransport().send(method, self.url + path, headers, data, 60)
        content = b"".join(answer.chunks)
        answer.close()
        if answer.status >= 300:
            raise DemoError(f"the home answered {answer.status} to {path}: {content[:500].decode('utf-8', 'replace')}")
        return json.loads(content) if content else None

    def get(self, path: str) -> Any:
        """Read something."""
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Do something."""
        return self.ask("POST", path, {} if body is None else body)


@dataclass(slots=True)
class Person:
    """An officer or a member of the hub's staff with a passkey in software."""

    username: str
    client: SoftClient

    def get(self, path: str) -> Any:
        """Read something as this person."""
        return self._said(path, self.client.get(path))

    def post(self, path: str, data: Any = None) -> Any:
        """Do something as this person."""
        return self._said(path, self.client.post(path, data={} if data is None else data))

    def _said(self, path: str, reply: Any) -> Any:
        if reply.status >= 300:
            raise DemoError(f"{self.username} got {reply.status} from {path}: {reply.body[:500].decode('utf-8', 'replace')}")
        return reply.json() if reply.body else None


@dataclass(slots=True)
class Neighbourhood:
    """The running town: folders, addresses, people."""

    data: Path
    town: Town
    say: Callable[[str], None]
    footage: Sequence[Path] = ()
    processes: Processes = field(init=False)
    hub_url: str = ""
    agency_url: str = ""
    witness_urls: dict[str, str] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    home_urls: dict[str, str] = field(default_factory=dict)
    window: tuple[int, int] = (0, 0)
    starts: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Prepare the folder of logs."""
        self.processes = Processes(self.data / "logs")

    @property
    def hub(self) -> Path:
        """The hub's folder."""
        return self.data / "hub"

    @property
    def agency(self) -> Path:
        """The agency's folder."""
        return self.data / "agency"

    def home(self, resident: Resident) -> Path:
        """One home's folder."""
        return self.data / "homes" / resident.name

    def map(self, folder: Path) -> None:
        """Give a node the town's base map, as its operator would."""
        shutil.copyfile(Path(__file__).with_name("town.pmtiles"), folder / "basemap.pmtiles")
        path = folder / "config.toml"
        path.write_text('basemap = "basemap.pmtiles"\n' + (path.read_text() if path.exists() else ""))

    # -- the public side

    def start_hub(self) -> None:
        """Make and start three witnesses and the hub."""
        ports = free_ports(len(WITNESSES) + 1)
        arguments: list[str | Path] = []
        for name, port in zip(WITNESSES, ports, strict=False):
            folder = self.data / "witnesses" / name
            folder.parent.mkdir(parents=True, exist_ok=True)
            vkey = command("witness", "init", folder, "--name", name).strip()
            self.witness_urls[name] = f"http://127.0.0.1:{port}"
            arguments += ["--witness", f"{name}={self.witness_urls[name]}={vkey}"]
        self.hub_url = f"http://localhost:{ports[-1]}"
        made = json.loads(
            command(
                "hub", "init", self.hub, "--name", f"{TOWN} Commons (demo)", "--state", STATE, "--public-url", self.hub_url,
                "--port", str(ports[-1]), "--tick-seconds", "1", "--sealed-seconds", "1", "--notice-seconds", "5",
                "--embargo-seconds", "5", "--min-free-bytes", str(1 << 26), "--admin", "rosa", *arguments,
            )
        )  # fmt: skip
        self.map(self.hub)
        self.codes["rosa"] = made["admin"]["code"]
        self.codes["mina"] = json.loads(command("hub", "user", self.hub, "mina", "--role", "moderator", "--name", "Mina Okafor"))[
            "code"
        ]
        trusted = [line.split() for line in command("hub", "witness-trust", self.hub).splitlines()]
        for name, port in zip(WITNESSES, ports, strict=False):
            for origin, vkey in trusted:
                command("witness", "trust", self.data / "witnesses" / name, origin, vkey)
            self.processes.start(name, "witness", "run", self.data / "witnesses" / name, "--port", str(port))
        for name in WITNESSES:
            self.processes.wait_ready(name)
        self.processes.start("hub", "hub", "run", self.hub)
        self.processes.wait_ready("hub")
        self.until("the hub publishes its first tick", lambda: http.Http().get(f"{self.hub_url}/feed/v1/latest").status == 200)
        self.enrol("rosa", self.hub_url)
        self.enrol("mina", self.hub_url)

    def start_agency(self) -> None:
        """Make the agency, its officers and its entry in the hub's directory, and start it."""
        (port,) = free_ports(1)
        self.agency_url = f"http://localhost:{port}"
        polygon = self.data / "jurisdiction.geojson"
        polygon.write_text(json.dumps(self.town.jurisdiction))
        command(
            "agency", "init", self.agency, "--id", AGENCY_ID, "--ori", ORI, "--name", AGENCY_NAME, "--state", STATE,
            "--level", "municipal", "--jurisdiction", polygon, "--port", str(port), "--public-url", self.agency_url,
            "--collect-seconds", str(COLLECT_SECONDS), "--emergency-collect-seconds", str(COLLECT_SECONDS),
            "--prove-seconds", "1",
            "--vouched", f"{TOWN} Town Council (demo)",
        )  # fmt: skip
        self.map(self.agency)
        for username, name, role in OFFICERS:
            made = json.loads(command("agency", "officer", "add", self.agency, username, "--name", name, "--role", role))
            self.codes[username] = made["code"]
        command("hub", "add-agency", self.hub, self.agency / "registration.json")
        command("agency", "trust", self.agency, f"{self.hub_url}/join.json", "--accept")
        self.processes.start("agency", "agency", "run", self.agency)
        self.processes.wait_ready("agency")
        for username, _, _ in OFFICERS:
            self.enrol(username, self.agency_url)

    def enrol(self, username: str, url: str) -> None:
        """Add a passkey with the one-time code and sign in with it, as a person would in a browser."""
        client = SoftClient.over_http(url)
        client.enrol(self.codes.pop(username))
        client.sign_in()
        self.people[username] = Person(username, client)

    # -- the private side

    def film(self) -> None:
        """Give every household recordings around one incident half an hour ago: generated, or copies of real files."""
        now = int(time.time())
        self.window = (now - 2700, now - 600)
        first = self.window[0] + 420
        for number, resident in enumerate(self.town.residents):
            folder = self.data / "footage" / resident.name
            folder.mkdir(parents=True, exist_ok=True)
            if self.footage:
                files = list(self.footage) if number == 0 else [self.footage[number % len(self.footage)]]
                begin = first
                for file in files:
                    shutil.copyfile(file, folder / file.name)
                    self.starts.setdefault(resident.name, []).append((file.name, begin))
                    begin += 240
            else:
                for take in range(2 if number == 0 else 1):
                    begin = first + 240 * take + 13 * number
                    name = time.strftime("%Y%m%d_%H%M%S.mp4", time.gmtime(begin))
                    make_clip(
                        folder / name, seed=100 * number + take, seconds=CLIP_SECONDS, start=begin,
                        camera=resident.camera, place=(resident.lat, resident.lon),
                    )  # fmt: skip
            self.say(f"{resident.name}: {len(list(folder.iterdir()))} recordings")

    def start_homes(self) -> None:
        """Make and start the five homes; each pins the hub's join file and holds its own cameras."""
        invites = command("hub", "invite", self.hub, "--count", str(len(self.town.residents))).split()
        for resident, invite in zip(self.town.residents, invites, strict=True):
            self._make_home(resident, invite)
        for resident in self.town.residents:
            self.processes.start(resident.name, "home", "run", self.home(resident))
        for resident in self.town.residents:
            url = self.processes.wait_ready(resident.name)
            token = (self.home(resident) / "keys" / "owner.token").read_text().strip()
            self.home_urls[resident.name] = url
            self.owners[resident.name] = Owner(url, token)

    def _make_home(self, resident: Resident, invite: str) -> None:
        folder = self.home(resident)
        folder.parent.mkdir(parents=True, exist_ok=True)
        command("home", "init", folder, "--name", resident.place, "--settle-seconds", "0", "--upload-delay-minutes", "1")
        self.map(folder)
        command("home", "join", folder, f"{self.hub_url}/join.json", "--invite", invite, "--accept")

    def furnish(self, resident: Resident) -> None:
        """Give a home its camera and its folder of recordings, and answer what only its owner knows."""
        owner = self.owners[resident.name]
        camera = owner.post(
            "/api/cameras",
            {
                "name": resident.camera,
                "lat": resident.lat,
                "lon": resident.lon,
                "heading": float(resident.heading),
                "fov": 110.0,
                "range_m": 40.0,
            },
        )
        folder = self.data / "footage" / resident.name
        source = {"camera": camera["id"], "folder": str(folder), "zone": "UTC"}
        owner.post("/api/sources", source)
        owner.post("/api/scan")
        starts = dict(self.starts.get(resident.name, ()))
        for recording in owner.get("/api/recordings/unknown"):
            if recording["path"] in starts:
                owner.post(f"/api/recordings/{recording['id']}/start", {"start": starts[recording["path"]]})
        if resident.part == "muted":
            owner.post("/api/choices/all", {"off": True})

    # -- waiting

    def until(self, what: str, ready: Callable[[], Any], seconds: float = 90) -> Any:
        """Poll until `ready()` is true and return it. Raises DemoError naming `what`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.processes.check()
            found = ready()
            if found:
                return found
            time.sleep(0.1)
        raise DemoError(f"waited {seconds:.0f} s in vain until {what}")
