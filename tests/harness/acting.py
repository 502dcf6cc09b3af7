"""Operations on a world, for lists that hypothesis draws: each does what it can in the state that it finds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h3

from tests.harness.net import NodeError
from tests.harness.scene import WITNESSES, area
from tests.harness.world import World


class Story:
    """A world under a list of operations; after each one the whole world is checked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: list[tuple[str, int]] = []
        self.exports: list[Path] = []
        self.serial = 0
        for number, name in enumerate(world.homes):
            world.place(name, *_spot(number))

    def run(self, operations: list[tuple[str, int]]) -> None:
        """Do each operation, let time pass, look at everything."""
        for name, number in operations:
            getattr(self, f"do_{name}")(number)
            self.world.wait(40)
            self.world.check()

    def settle(self) -> None:
        """Everything is up again; whatever waits comes through."""
        self.world.stage.witnesses_down.clear()
        self.world.wait(300)
        self.world.check()

    # -- choices

    def _home(self, number: int) -> str:
        return self.world.homes[number % len(self.world.homes)]

    def _request(self, number: int, *states: str) -> str | None:
        found = [rid for rid, state in self.world.hub.act("queue") if state in states]
        return found[number % len(found)] if found else None

    def _response(self, number: int, *states: str) -> tuple[str, str] | None:
        found = [(rid, request) for rid, request, state in self.world.agency.act("responses") if state in states]
        return found[number % len(found)] if found else None

    # -- operations

    def do_request(self, number: int) -> None:
        if self.serial < 3:
            self._allowed(lambda: self.world.request(shift=self.serial, case=f"24-1{self.serial}", approve=bool(number % 3)))
            self.serial += 1

    def do_approve(self, number: int) -> None:
        if rid := self._request(number, "submitted"):
            self._allowed(lambda: self.world.hub.act("approve", rid))

    def do_refuse(self, number: int) -> None:
        if rid := self._request(number, "submitted"):
            self.world.hub.act("refuse", rid)

    def do_withdraw_request(self, number: int) -> None:
        if rid := self._request(number, "published", "approved"):
            self._allowed(lambda: self.world.agency.act("withdraw", rid))

    def do_mute(self, number: int) -> None:
        self.world.home(self._home(number)).act("choose", everything=bool(number % 2))

    def do_answer(self, number: int) -> None:
        name = self._home(number)
        known = self.world.home(name).act("requests")
        if known:
            self._allowed(lambda: self._answer(name, known[number % len(known)], number))

    def _answer(self, name: str, request: str, number: int) -> None:
        self.answers.append(
            (name, self.world.home(name).act("answer", request, f"Seen by {number}.", at_once=True, clips=number % 2 == 0))
        )

    def do_withdraw_answer(self, number: int) -> None:
        if self.answers:
            name, answer = self.answers[number % len(self.answers)]
            self._allowed(lambda: self.world.home(name).act("withdraw", answer))

    def do_collect(self, _number: int) -> None:
        self._allowed(lambda: self.world.agency.act("collect"))

    def do_view(self, number: int) -> None:
        if found := self._response(number, "collected", "accepted", "exported"):
            before = self.world.agency.act("clips", found[0])
            if before:
                self._gated(lambda: self.world.agency.act("view", found[0]))

    def do_accept(self, number: int) -> None:
        if found := self._response(number, "collected"):
            self._gated(lambda: self.world.agency.act("accept", found[0]))

    def do_decline(self, number: int) -> None:
        if found := self._response(number, "collected"):
            self._gated(lambda: self.world.agency.act("decline", found[0]))

    def do_export(self, number: int) -> None:
        if (found := self._response(number, "accepted")) and found[1]:
            out = self.world.stage.folder / "exports" / f"{self.world.net.now:.0f}-{number}"
            out.parent.mkdir(exist_ok=True)
            if self._gated(lambda: self.world.agency.act("export", found[1], [found[0]], str(out))):
                self.exports.append(out)

    def do_witness_down(self, number: int) -> None:
        self.world.stage.witnesses_down.add(WITNESSES[number % len(WITNESSES)])

    def do_witness_up(self, number: int) -> None:
        self.world.stage.witnesses_down.discard(WITNESSES[number % len(WITNESSES)])

    def do_restart_hub(self, _number: int) -> None:
        self.world.restart("hub")

    def do_restart_agency(self, _number: int) -> None:
        self.world.restart("agency")

    def do_restart_home(self, number: int) -> None:
        self.world.restart(self._home(number))

    def do_clock_jump(self, number: int) -> None:
        """The machines sleep for a while; nobody's beat runs meanwhile."""
        self.world.net.now += 300 * (1 + number % 3)

    # -- what may be refused

    def _allowed(self, act: Callable[[], Any]) -> Any:
        """An act that the state of the world may forbid: refused in words, never a crash."""
        try:
            return act()
        except NodeError as error:
            if error.kind not in ("Refused", "RulesRefused", "RefusedWhole", "HubRefused", "HubUnreachable", "ProtocolError"):
                raise
            return None

    def _gated(self, act: Callable[[], Any]) -> Any:
        """An act behind the log: asked again while its record is being logged."""
        for _ in range(4):
            if (done := self._allowed(act)) is not None:
                return done
            self.world.wait(30)
        return None


def _spot(number: int) -> tuple[float, float]:
    lat, lon = h3.cell_to_latlng(area()[number % 7])
    return lat, lon


OPERATIONS = tuple(sorted(name.removeprefix("do_") for name in vars(Story) if name.startswith("do_")))
