"""One world: acts by name, time, and what each actor has seen of it."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness import checks, views
from tests.harness.net import NodeError, Remote
from tests.harness.scene import MESSAGE, WINDOW, area

if TYPE_CHECKING:
    from tests.harness.stage import Stage


class World:
    """Between `Stage.world` and the next one."""

    def __init__(self, stage: "Stage") -> None:
        self.stage, self.net = stage, stage.net
        self.published: list[str] = []
        self.records = checks.Records()

    # -- nodes

    @property
    def hub(self) -> Remote:
        return self.net.nodes["hub"]

    @property
    def agency(self) -> Remote:
        return self.net.nodes["agency"]

    def home(self, name: str) -> Remote:
        return self.net.nodes[name]

    @property
    def homes(self) -> list[str]:
        return sorted(name for name in self.net.active if name not in ("hub", "agency"))

    # -- acts

    def wait(self, seconds: float, *, check: bool = False) -> None:
        """Let time pass."""
        self.net.until(self.net.now + seconds, after_step=(lambda: None) if not check else self.check)

    def request(self, *, shift: int = 0, case: str = "24-001", approve: bool = True, days: float = 3, **more: Any) -> str:
        """Two officers ask, a moderator agrees; published a tick later."""
        asked = {"case": case, "msg": MESSAGE, "expires": int(self.net.now + days * 86_400)} | more
        request_id, _ = self.agency.act("request", area(shift=shift), *WINDOW, **asked)
        if approve:
            self.hub.act("approve", request_id)
        self.published.append(request_id)
        return request_id

    def place(self, name: str, lat: float, lon: float, *, camera: str = "Porch", footage: bool = True) -> None:
        """Give a home a camera, with the stage's footage or none, and look through it once."""
        self.home(name).act("camera", camera, lat, lon, str(self.stage.footage) if footage else "")
        self.home(name).act("scan")

    def until(self, condition: Any, *, every: float = 30, limit: float = 1800) -> Any:
        """Let time pass until `condition()` gives something."""
        end = self.net.now + limit
        while not (found := condition()):
            if self.net.now >= end:
                raise AssertionError(f"nothing came in {limit} seconds of virtual time")
            self.wait(every)
        return found

    def restart(self, name: str) -> None:
        """The node's processes end and start again."""
        self.net.nodes[name].ask("restart")

    # -- what lies where

    def dump(self, name: str) -> dict[str, Any]:
        """Everything that whoever holds the node can read: rows, files and objects, log lines."""
        found: dict[str, Any] = self.net.nodes[name].ask("dump")
        if place := self.stage.places.get(name):
            found |= {"tables": place.tables(), "objects": place.objects()}
        return found

    def raw(self, name: str) -> dict[str, bytes]:
        """Every byte that the node keeps, wherever that is: its database's files too, with what was deleted in them."""
        found: dict[str, bytes] = self.net.nodes[name].ask("raw")
        if place := self.stage.places.get(name):
            found |= {f"rows of {table}": repr(rows).encode() for table, rows in place.tables().items()}
            found |= {f"file of {table}": data for table, data in place.heap().items()}
            found |= {f"object {path}": path.encode() + b"\0" + data for path, data in place.objects().items()}
        return found

    def held(self, rid: str) -> bool:
        """Tell whether the hub has the ciphertext of a response."""
        if "hub" in self.stage.places:
            return rid in self.hub.act("held")
        return any(path.is_file() and rid in path.as_posix() for path in (self.hub.folder / "inbox").rglob("*"))

    def lose(self, rid: str) -> None:
        """The agency, with its database's administrator, makes a response disappear as if it had never come."""
        self.agency.act("lose", rid)
        if place := self.stage.places.get("agency"):
            with place.as_administrator() as session:
                for table, columns in self.agency.call("tests.harness.acts.schema").items():
                    for column in {"response_id", "about"} & set(columns):
                        session.execute(f'DELETE FROM "{table}" WHERE "{column}" = %s', [rid])  # noqa: S608 - its own tables
                session.execute("DELETE FROM agency_response WHERE id = %s", [rid])

    def back_up(self, name: str, folder: Path) -> None:
        """Copy all that the node keeps."""
        self.net.nodes[name].act("keep_backup", str(folder))
        if place := self.stage.places.get(name):
            self.net.nodes[name].ask("close")
            place.keep("backup")

    def put_back(self, name: str, folder: Path) -> None:
        """Make the node what it was when `back_up` copied it; it is to be restarted."""
        node = self.net.nodes[name]
        node.ask("close")
        shutil.rmtree(node.folder)
        shutil.copytree(folder, node.folder)
        if place := self.stage.places.get(name):
            place.lay_out("backup")

    # -- views

    def check(self) -> None:
        """Look at the whole world."""
        checks.check_world(self)

    def agency_view(self) -> views.View:
        """All that the agency's people and machines can see."""
        return views.agency(self)

    def hub_view(self) -> views.View:
        """All that the hub can see."""
        return views.hub(self)

    def mirror_view(self) -> views.View:
        """All that a mirror of the hub's static files can see, if homes fetch there."""
        return views.mirror(self)

    def network_view(self) -> views.View:
        """All that whoever carries the homes' packets can see."""
        return views.network(self)

    def provider_view(self) -> views.View:
        """All that companies that carry notifications can see."""
        return views.provider(self)


__all__ = ["NodeError", "World"]
