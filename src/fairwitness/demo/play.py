"""Plays one incident through the running neighbourhood, as its people would, and tells what came of it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairwitness_core.verify import cli as verify_cli

from fairwitness.demo.places import AGENCY_ID, Resident
from fairwitness.demo.processes import DemoError, command
from fairwitness.demo.town import COLLECT_SECONDS, Neighbourhood
from fairwitness.kit import http

OFFENSE = "nibrs:240"
CASE = "26-004217"
TITLE = "Car taken from a driveway"
MESSAGE = (
    "A parked car was taken from a driveway and driven off slowly. We look for video of a red car passing, and of anyone "
    "walking along the street shortly before."
)
PURPOSE = "Identify the car and its direction of travel in this theft"
LIVE_DAYS = 3


@dataclass(slots=True)
class Outcome:
    """What the report says; filled in as the story goes."""

    seconds: dict[str, float] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    homes: list[dict[str, Any]] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    bag: Path | None = None
    trust: Path | None = None
    verify_exit: int | None = None


class Story:
    """One request from the officer's desk to a verified bag. `visited`: it leaves something to do for who looks around after."""

    def __init__(self, town: Neighbourhood, *, visited: bool = False) -> None:
        self.town = town
        self.visited = visited
        self.outcome = Outcome()
        self.request_id = ""
        self.case_id = 0
        self._tick = 0
        self._answers: dict[str, dict[str, Any]] = {}

    @contextmanager
    def step(self, name: str, words: str) -> Iterator[None]:
        """Tell and time one step."""
        started = time.monotonic()
        self.town.say(words)
        yield
        self.outcome.seconds[name] = round(time.monotonic() - started, 2)

    def set_up(self) -> None:
        """Bring the neighbourhood up."""
        town = self.town
        with self.step("hub", "Three witnesses and the hub start; the log begins."):
            town.start_hub()
        with self.step("agency", "The police department starts; its officers add passkeys; the hub logs its authorisation."):
            town.start_agency()
        with self.step("footage", "Cameras record the street."):
            town.film()
        with self.step("homes", "Five homes pin the hub's join file and start following the feed."):
            town.start_homes()
            for resident in town.town.residents:
                town.furnish(resident)
        with self.step("tokens", "Each home fetches its household tokens on its own slot, needed or not."):
            town.until("every home holds tokens", lambda: all(o.get("/api/status")["tokens"] for o in town.owners.values()))

    def play(self) -> None:
        """Play the incident through to a verified bag."""
        self._ask()
        self._match()
        self._share()
        self._collect()
        self._export()
        if self.visited:
            self._leave_open()

    def _ask(self) -> None:
        town = self.town
        ana, sam, mina = town.people["ana"], town.people["sam"], town.people["mina"]
        with self.step("request", "Officer Ortiz drafts a request, Sergeant Weber approves it, the hub's moderator passes it."):
            case = ana.post("/api/cases", {"number": CASE, "offense": OFFENSE, "title": TITLE})
            self.case_id = int(case["id"])
            draft = {
                "area": list(town.town.area),
                "from": town.window[0],
                "to": town.window[1],
                "msg": MESSAGE,
                "contact": f"Case desk, {CASE}",
                "expires": int(time.time()) + LIVE_DAYS * 86400,
            }
            made = ana.post(f"/api/cases/{case['id']}/requests", draft)
            self.request_id = made["id"]
            sam.post(f"/api/requests/{self.request_id}/approve")
            town.until("the request waits for its moderator", lambda: self._waits(mina))
            mina.post(f"/api/requests/{self.request_id}/approve")
        with self.step("publish", "The request enters the log; witnesses cosign; the next tick carries it to everyone alike."):
            found = town.until("the request is published and proven", lambda: self._published(ana))
            self._tick = int(http.Http().get(f"{town.hub_url}/feed/v1/latest").body)
            self.outcome.request = {"id": self.request_id, "log_index": found["log_index"], "cells": list(town.town.area)}

    def _waits(self, moderator: Any) -> bool:
        return any(item["id"] == self.request_id for item in moderator.get("/api/requests?state=submitted")["requests"])

    def _published(self, officer: Any) -> dict[str, Any] | None:
        found: dict[str, Any] = officer.get(f"/api/requests/{self.request_id}")
        return found if found["state"] == "published" else None

    def _seen(self, resident: Resident) -> dict[str, Any] | None:
        listed = self.town.owners[resident.name].get("/api/requests?muted=true")
        return next((view for view in listed if view["id"] == self.request_id), None)

    def _match(self) -> None:
        town = self.town
        inside = [r for r in town.town.residents if r.part != "outside"]
        with self.step("match", "Every home has fetched the same bytes; those with footage then and there find it, alone."):
            town.until("the homes inside have matched", lambda: all((v := self._seen(r)) and v["matched"] for r in inside))
            town.until("the home outside has read the tick", lambda: self._has_read(town.town.residents[-1]))
        for resident in town.town.residents:
            view = self._seen(resident)
            self.outcome.homes.append(
                {
                    "name": resident.name,
                    "in_area": resident.part != "outside",
                    "matched": bool(view and view["matched"]),
                    "alerted": town.owners[resident.name].get("/api/status")["badge"] > 0,
                    "shared": False,
                    "private": [*resident.private, *self._secrets(resident)],
                }
            )

    def _has_read(self, resident: Resident) -> bool:
        return int(self.town.owners[resident.name].get("/api/status")["next_tick"]) > self._tick

    def _secrets(self, resident: Resident) -> list[str]:
        return [(self.town.home(resident) / "keys" / "owner.token").read_text().strip()]

    def _share(self) -> None:
        town = self.town
        by_part = {resident.part: resident for resident in town.town.residents}
        with self.step("share", "One owner watches and shares with their name; the clips are stripped, sealed and uploaded."):
            self._answer(by_part["shares"], mode="identified", statement="The red car came past twice, the second time faster.")
        with self.step("withdraw", "Another shares without a name, then takes it back before it was collected."):
            # Agencies collect on a fixed beat; right after one there is time to change one's mind.
            time.sleep(COLLECT_SECONDS - time.time() % COLLECT_SECONDS + 1)
            self._answer(by_part["withdraws"], mode="anonymous", statement="")
            owner = town.owners[by_part["withdraws"].name]
            taken = owner.post(f"/api/answers/{self._answers['withdraws']['id']}/withdraw")
            town.say(f"  {taken['sentence']}")
            town.until(
                "the withdrawal has reached the hub",
                lambda: owner.get(f"/api/answers/{self._answers['withdraws']['id']}/receipt")["state"] == "withdrawn",
            )
            self.outcome.withdrawn.append(self._answers["withdraws"]["response_id"])
        if not self.visited:
            town.owners[by_part["ignores"].name].post(f"/api/requests/{self.request_id}/ignore")

    def _answer(self, resident: Resident, *, mode: str, statement: str) -> None:
        owner = self.town.owners[resident.name]
        terms = owner.get("/api/terms")
        answer = owner.post(f"/api/requests/{self.request_id}/answer")
        change: dict[str, Any] = {"mode": mode, "statement": statement}
        if mode == "identified":
            change |= {"name": "Robin Example", "contact": "robin@home.invalid"}
        owner.ask("PATCH", f"/api/answers/{answer['id']}", change)
        owner.post(f"/api/answers/{answer['id']}/confirm", {"terms_sha256": terms["sha256"], "at_once": True})
        path = f"/api/answers/{answer['id']}/receipt"
        # An answer waits for the search for faces and plates, which a busy machine takes minutes for.
        self.town.until("the hub has promised to keep the answer", lambda: owner.get(path)["promise"], seconds=600)
        self._answers[resident.part] = next(a for a in owner.get("/api/answers") if a["id"] == answer["id"])
        for home in self.outcome.homes:
            home["shared"] = home["shared"] or home["name"] == resident.name

    def _collect(self) -> None:
        town = self.town
        ana = town.people["ana"]
        response_id = self._answers["shares"]["response_id"]
        with self.step(
            "collect", "On its beat the department collects, opens, checks every hash and signature, and seals again."
        ):
            listed = town.until(
                "the answer is collected",
                lambda: next((r for r in self._responses() if r["id"] == response_id and r["state"] != "collecting"), None),
            )
            if listed["state"] == "quarantined":
                raise DemoError(f"the answer was quarantined: {listed['reason']}")
        with self.step("view", "Officer Ortiz asks to view; the access is committed to the log; only then the clip opens."):
            self._open(ana, response_id, "manifest.dsse.json")
            for clip in listed["clips"]:
                size = len(self._open(ana, response_id, clip["name"]))
                if size != clip["size"]:
                    raise DemoError(f"{clip['name']} has {size} bytes where {clip['size']} were promised")
            self._logged(ana, f"/api/responses/{response_id}/accept", {"purpose": PURPOSE})
        with self.step("status", "The owner reads what became of the answer."):
            owner = town.owners[town.town.residents[0].name]
            path = f"/api/answers/{self._answers['shares']['id']}/receipt"
            town.until("the owner sees that it was accepted", lambda: owner.get(path)["state"] == "accepted", seconds=120)
        sent = {a["response_id"]: a for a in self._answers.values()}
        for item in self._responses():
            answer = sent[item["id"]]
            seconds = {clip["name"]: (clip["seconds"], clip["tracks"]) for clip in answer["clips"]}
            clips = [
                {"sha256": c["sha256"], "seconds": seconds[c["name"]][0], "tracks": seconds[c["name"]][1]} for c in item["clips"]
            ]
            self.outcome.responses.append({"id": item["id"], "mode": answer["mode"], "clips": clips})

    def _responses(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.town.people["ana"].get(f"/api/requests/{self.request_id}/responses")["responses"]
        return found

    def _logged(self, person: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call something that is logged first: 202 until the log has it."""

        def done() -> dict[str, Any] | None:
            answer: dict[str, Any] = person.post(path, body)
            return None if answer.get("state") == "logging" else answer

        found: dict[str, Any] = self.town.until(f"{path} is logged", done)
        return found

    def _open(self, person: Any, response_id: str, target: str) -> bytes:
        touch = person.post(f"/api/responses/{response_id}/touch", {"action": "viewed", "target": target, "purpose": PURPOSE})
        self.town.until(
            f"the opening of {target} is logged",
            lambda: person.get(f"/api/touches/{touch['touch']}")["state"] == "logged",
        )
        reply = person.client.get(f"/api/touches/{touch['touch']}/content")
        if reply.status != 200:
            raise DemoError(f"{target} did not open: {reply.status} {reply.body[:300]!r}")
        content: bytes = reply.body
        return content

    def _export(self) -> None:
        town = self.town
        tess = town.people["tess"]
        response_id = self._answers["shares"]["response_id"]
        with self.step("export", "The evidence technician exports a bag for the court; the export is logged first."):
            purpose = "Disclosure of the video of the stolen red car to the court for trial"
            body = {"responses": [response_id], "purpose": purpose, "recipient": "County court clerk"}
            made = self._logged(tess, f"/api/requests/{self.request_id}/export", body)
            bag = town.agency / "exports" / made["export"]
            trust = town.data / "trust.json"
            join = town.data / "join.json"
            join.write_bytes((town.agency / "join.json").read_bytes())
            trust.write_text(command("trust", join))
            self.outcome.bag, self.outcome.trust = bag, trust
        with self.step("verify", "Anyone verifies it offline, trusting nothing inside it:"):
            self.outcome.verify_exit = verify_cli.main([str(bag), "--trust", str(trust)])

    def _leave_open(self) -> None:
        """Have an answer come in that nobody opens, while the home that would put the request away still has it before it."""
        town = self.town
        [resident] = [one for one in town.town.residents if one.part == "muted"]
        with self.step("open", "A neighbour who had muted requests hears of it and answers too; nobody opens that answer yet."):
            town.owners[resident.name].post("/api/choices/all", {"off": False})
            self._answer(resident, mode="anonymous", statement="A red car left slowly, without lights. I heard a door before.")
            wanted = self._answers[resident.part]["response_id"]
            town.until(
                "the second answer is collected",
                lambda: any(one["id"] == wanted and one["state"] != "collecting" for one in self._responses()),
            )

    def report(self) -> dict[str, Any]:
        """Return the report of the whole story, ready for JSON."""
        town, outcome = self.town, self.outcome
        status = json.loads(command("hub", "status", town.hub))
        return {
            "request": outcome.request,
            "homes": outcome.homes,
            "responses": outcome.responses,
            "withdrawn": outcome.withdrawn,
            "bag": str(outcome.bag),
            "trust": str(outcome.trust),
            "verify_exit": outcome.verify_exit,
            "log": {"public": status["public"], "sealed": status["sealed"], "witnesses": len(town.witness_urls)},
            "log_dir": str(town.hub / "log"),
            "data": {
                "hub": str(town.hub),
                "agency": str(town.agency),
                "homes": [str(town.home(resident)) for resident in town.town.residents],
            },
            "agency_id": AGENCY_ID,
            "seconds": outcome.seconds,
        }
